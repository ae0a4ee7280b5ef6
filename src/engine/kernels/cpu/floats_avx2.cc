// floats.inc for AVX2 with FMA.
#if defined(__x86_64__)
#define WEIR_LANES 8
#include "engine/kernels/cpu/floats.inc"

}  // namespace

const FloatTable& Avx2Floats() {
  static const FloatTable table = {"f32", &FloatTile<F32Step>, &FloatTile<F16Step>,
                                   &FloatTile<Bf16Step>, nullptr};
  return table;
}

}  // namespace weir::kernels::cpu
#endif
