// floats.inc for AVX512_BF16: two products of bf16 and their sum in each lane.
#if defined(__x86_64__)
#define WEIR_LANES 16
#define WEIR_BF16_PAIRS
#include "engine/kernels/cpu/floats.inc"

}  // namespace

const decltype(FloatTable::tile_bf16_pairs) kBf16PairsTile = &FloatTile<PairsStep>;

void BurnBf16(int64_t steps, float* sink) {
  constexpr int kChains = 10;
  V sum[kChains];  // each from its own start, or the compiler would keep only one
  for (int i = 0; i < kChains; ++i) sum[i] = V{} + static_cast<float>(i);
  const PairsStep w{Vu{} + 0x3F803F80u};
  const auto* x = reinterpret_cast<const uint8_t*>(sink);
  for (int64_t s = 0; s < steps; ++s) {
#pragma GCC unroll 8
    for (int step = 0; step < 8; ++step) {
#pragma GCC unroll 16
      for (int i = 0; i < kChains; ++i) sum[i] = w.Add(sum[i], x, 1);
    }
  }
  V total = {};
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) total += sum[i];
  sink[0] = Sum(total);
}

}  // namespace weir::kernels::cpu
#endif
