// int8.inc for any machine.
#if defined(__x86_64__)
#include <emmintrin.h>
#endif
#define WEIR_LANES 4
#define WEIR_INT8_NAME "plain int8"
#define WEIR_INT8_TABLE PlainInt8
#include "engine/kernels/cpu/int8.inc"
