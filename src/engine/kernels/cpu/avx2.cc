// body.inc for AVX2 with FMA and F16C: 6 x 16 tiles keep 12 of 16 registers as sums.
#if defined(__x86_64__)
#define WEIR_LANES 8
#define WEIR_MR 6
#define WEIR_TABLE Avx2Table
#include "engine/kernels/cpu/body.inc"
#endif
