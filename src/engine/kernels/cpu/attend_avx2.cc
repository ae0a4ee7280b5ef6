// attend.inc for AVX2 with FMA.
#if defined(__x86_64__)
#define WEIR_LANES 8
#define WEIR_ATTEND_TABLE Avx2Attend
#include "engine/kernels/cpu/attend.inc"
#endif
