// floats.inc for AVX-512.
#if defined(__x86_64__)
#define WEIR_LANES 16
#include "engine/kernels/cpu/floats.inc"

}  // namespace

const FloatTable& Avx512Floats() {
  static const FloatTable table = {"f32", &FloatTile<F32Step>, &FloatTile<F16Step>,
                                   &FloatTile<Bf16Step>, nullptr};
  return table;
}

}  // namespace weir::kernels::cpu
#endif
