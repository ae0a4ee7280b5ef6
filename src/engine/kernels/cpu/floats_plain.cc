// floats.inc for any machine.
#define WEIR_LANES 4
#include "engine/kernels/cpu/floats.inc"

}  // namespace

const FloatTable& PlainFloats() {
  static const FloatTable table = {"f32", &FloatTile<F32Step>, &FloatTile<F16Step>,
                                   &FloatTile<Bf16Step>, nullptr};
  return table;
}

}  // namespace weir::kernels::cpu
