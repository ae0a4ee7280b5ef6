// int8.inc for AVX-512 with VNNI: four products and their sum in one instruction.
#if defined(__x86_64__)
#define WEIR_LANES 16
#define WEIR_INT8_NAME "int8 by VNNI"
#define WEIR_INT8_TABLE VnniInt8
#include "engine/kernels/cpu/int8.inc"
#endif
