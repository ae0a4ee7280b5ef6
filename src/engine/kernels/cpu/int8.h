// Products of quantized weights with int8 inputs: the primitives that differ between instruction
// sets. matmul.cc has the loops above them, layout.h the memory layout.
#pragma once

#include "engine/kernels/cpu/layout.h"

namespace weir::kernels::cpu {

// A group of a panel, unpacked: codes one byte each, scales f32.
struct Int8Chunk {
  alignas(64) uint8_t codes[kGroupElements * kPanelRows];  // [step][16][4]
  alignas(64) float scale[16 * kPanelRows];                // [sub][16]
  alignas(64) float min[16 * kPanelRows];                  // [sub][16], signed as it is added; or
                                                           // as the body wants it
  alignas(64) int32_t start[16 * kPanelRows];              // [sub][16], where `biased`
};

// `rows` <= kMaxTileRows rows of the input, one group of it or all.
struct Int8Tile {
  int rows = 0;
  const int8_t* codes = nullptr;    // [k / 4][rows][4]; of several rows plus 128 where `biased`
  const float* scale = nullptr;     // [groups][rows]
  const int32_t* sums32 = nullptr;  // [k / 32][rows]: of 32 codes
  const int32_t* sums16 = nullptr;  // [k / 16][rows]
};

struct Int8Table {
  const char* name;
  bool biased;  // how tiles of several rows want their codes
  // acc[16] += panel · x for a tile of one row, all of k (a multiple of 32). Of an input scale that
  // is NaN the sums are NaN.
  void (*row[kQuantTypes])(const uint8_t* panel, int64_t k, const Int8Tile& x, float* acc);
  // A group of `blocks` blocks. The next group's memory is fetched ahead.
  void (*unpack[kQuantTypes])(const uint8_t* group, int blocks, Int8Chunk* to);
  // acc[rows][16] += chunk · x for one group, rows > 1 (= where `first`); and the same with the
  // chunk behind it, whose sums lie acc_stride floats further, where `panels` is 2. The same sums
  // as `row`, bit for bit.
  void (*tile[kQuantTypes])(const Int8Chunk* chunk, int panels, int blocks, const Int8Tile& x,
                            float* acc, int64_t acc_stride, bool first);
  // n <= 256 (a multiple of 16) floats to int8: scale = max |x| / 127, sums of each 16 codes.
  // A NaN or an infinity in x: codes 0, scale NaN.
  void (*quantize)(const float* x, int n, int8_t* codes, float* scale, int32_t* sums);
  void (*burn)(int64_t steps, int32_t* sink);  // steps * kInt8BurnOps multiplies and adds
  int64_t burn_ops;                            // for each step
};

const Int8Table& PlainInt8();
#if defined(__x86_64__)
const Int8Table& Avx2Int8();
const Int8Table& VnniInt8();  // AVX-512 with VNNI
#endif

}  // namespace weir::kernels::cpu
