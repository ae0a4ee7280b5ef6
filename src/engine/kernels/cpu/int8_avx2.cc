// int8.inc for AVX2: 16-bit pair sums.
#if defined(__x86_64__)
#define WEIR_LANES 8
#define WEIR_INT8_NAME "int8 by AVX2"
#define WEIR_INT8_TABLE Avx2Int8
#include "engine/kernels/cpu/int8.inc"
#endif
