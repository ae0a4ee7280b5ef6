// attend.inc for any machine.
#define WEIR_LANES 4
#define WEIR_ATTEND_TABLE PlainAttend
#include "engine/kernels/cpu/attend.inc"
