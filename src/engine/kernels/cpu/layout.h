// How packed matrices lie in memory: what packed.cc writes and the bodies read.
//
// A panel is 16 rows of the matrix. A step is the smallest piece that a dot instruction takes: 4
// consecutive k of 16 rows, row after row, 64 bytes of codes. A block is 32 k: 8 steps. A group is
// 256 k (the last one of a row may be shorter, by whole blocks); groups follow each other, panels
// too, each panel beginning at a multiple of 64 bytes.
//
// Group of a quantized type:
//   scales    small types: f16 d[block][16]; then, with minima, f16 m[block][16]
//             K types: f16 d[16]; with minima f16 m[16]; then the small integers of 16 sub-blocks
//             (Q4_K, Q5_K: 8 scales, 8 minima; Q2_K: both in one byte), [sub][16], in 8, 4+4 or 6
//             bits. Of 6 bits, 256 of them are three runs of 64 bytes, z0 z1 z2: the low six bits
//             of z0 are numbers 0 to 63, of z1 64 to 127, of z2 128 to 191; the top two bits of the
//             three are bits 0-1, 2-3, 4-5 of numbers 192 to 255.
//   codes     block by block, a block's planes in this order:
//             8-bit plane: 8 steps of 64 bytes
//             4-bit plane: 4 x 64 bytes; the low nibbles are an even step, the high ones the next
//             2-bit plane: 2 x 64 bytes; bits 2s, 2s + 1 are step s of four
//             1-bit plane: 64 bytes; bit s is step s
//             A code's lowest bits stand in the first plane that the type has.
// Float types: f32 and f16 [k][16]; bf16 [k / 2][16][2], k rounded up to even, zero-filled.
#pragma once

#include <stdint.h>

namespace weir::kernels::cpu {

constexpr int kPanelRows = 16;
constexpr int kGroupElements = 256;
constexpr int kBlockElements = 32;
constexpr int kGroupBlocks = 8;
constexpr int kMaxTileRows = 8;  // rows of x that are multiplied together

enum class Scales : uint8_t { kHalves, kSixBits, kNibbles, kBytes };

struct PackedFormat {
  int sub;     // k that share a scale: 32 or 16
  int offset;  // subtracted from each code
  int bits;    // of a code
  bool has_min;
  Scales scales;

  constexpr bool has8() const { return bits == 8; }
  constexpr bool has4() const { return bits >= 4 && bits < 8; }
  constexpr bool has2() const { return bits == 2 || bits == 3 || bits == 6; }
  constexpr bool has1() const { return bits == 3 || bits == 5; }
  constexpr int block_bytes() const { return bits * 64; }
  constexpr int scale_bytes(int blocks) const {
    const int halves = 32 * (has_min ? 2 : 1);
    if (scales == Scales::kHalves) return blocks * halves;
    return halves + (scales == Scales::kSixBits ? 192 : 256);
  }
  constexpr int group_bytes(int blocks) const {
    return scale_bytes(blocks) + blocks * block_bytes();
  }
};

// In the order of Int8Table's rows.
enum QuantIndex : int {
  kIq8_0,
  kIq4_0,
  kIq4_1,
  kIq5_0,
  kIq5_1,
  kIq2_K,
  kIq3_K,
  kIq4_K,
  kIq5_K,
  kIq6_K
};
constexpr int kQuantTypes = 10;
constexpr PackedFormat kPackedFormats[kQuantTypes] = {
    {32, 128, 8, false, Scales::kHalves}, {32, 8, 4, false, Scales::kHalves},
    {32, 0, 4, true, Scales::kHalves},    {32, 16, 5, false, Scales::kHalves},
    {32, 0, 5, true, Scales::kHalves},    {16, 0, 2, true, Scales::kNibbles},
    {16, 4, 3, false, Scales::kSixBits},  {32, 0, 4, true, Scales::kSixBits},
    {32, 0, 5, true, Scales::kSixBits},   {16, 32, 6, false, Scales::kBytes},
};

}  // namespace weir::kernels::cpu
