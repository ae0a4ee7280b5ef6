// body.inc for any machine: what the compiler makes of four lanes.
#define WEIR_LANES 4
#define WEIR_MR 4
#define WEIR_TABLE PlainTable
#include "engine/kernels/cpu/body.inc"
