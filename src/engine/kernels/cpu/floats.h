// Products of float weights (f32, f16, bf16): the primitives that differ between instruction sets.
#pragma once

#include "engine/kernels/cpu/layout.h"

namespace weir::kernels::cpu {

struct FloatTable {
  const char* name;
  // acc[r][16] += the first `k` elements of a packed panel times x, for `rows` <= kMaxTileRows rows
  // of x, [k][rows] f32; and the same for the panel `panel_stride` bytes further, whose sums lie
  // acc_stride floats further, where `panels` is 2. One chain of multiply-adds in the order of k:
  // cutting k in pieces (of even length) does not change a bit. `ahead`: also fetch the memory that
  // follows, for a caller that streams through it.
  void (*tile_f32)(const uint8_t* panel, int64_t panel_stride, int panels, int64_t k, const void* x,
                   int rows, float* acc, int64_t acc_stride, bool ahead);
  decltype(tile_f32) tile_f16;
  decltype(tile_f32) tile_bf16;
  // x as bf16 pairs, [k / 2][rows][2], products of pairs summed as the instruction does. Null where
  // there is none.
  decltype(tile_f32) tile_bf16_pairs;
};

const FloatTable& PlainFloats();
#if defined(__x86_64__)
const FloatTable& Avx2Floats();
const FloatTable& Avx512Floats();
// AVX512_BF16's part: to be put into Avx512Floats' table. And multiply-adds of it on registers.
extern const decltype(FloatTable::tile_bf16_pairs) kBf16PairsTile;
void BurnBf16(int64_t steps, float* sink);
inline constexpr int64_t kBurnBf16Ops = 8 * 10 * 32 * 2;  // for each step
#endif

}  // namespace weir::kernels::cpu
