// body.inc for AVX-512: 14 x 32 tiles keep 28 of 32 registers as sums.
#if defined(__x86_64__)
#define WEIR_LANES 16
#define WEIR_MR 14
#define WEIR_TABLE Avx512Table
#include "engine/kernels/cpu/body.inc"
#endif
