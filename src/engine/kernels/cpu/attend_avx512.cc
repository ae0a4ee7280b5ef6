// attend.inc for AVX-512.
#if defined(__x86_64__)
#define WEIR_LANES 16
#define WEIR_ATTEND_TABLE Avx512Attend
#include "engine/kernels/cpu/attend.inc"
#endif
