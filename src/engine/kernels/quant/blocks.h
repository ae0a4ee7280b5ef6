// The block formats of GGUF, byte by byte, taken apart into small integers.
//
// Every quantized type says:   value = d * scale[j] * (code - offset) + minimum,
//     j = the element's sub-block,   minimum = -m * min[j] (K types), +m (Q4_1, Q5_1) or 0
// with d and m in f16, the codes unsigned. Element i of a block, l = i % 32, byte order as listed:
//
//   Q8_0  34 bytes  d; 32 int8                     code = byte + 128
//   Q4_0  18        d; 16 nibble pairs             byte i: low nibble element i, high i + 16
//   Q4_1  20        d, m; 16 nibble pairs
//   Q5_0  22        d; u32 bits; 16 nibble pairs   bit i: element i's fifth bit
//   Q5_1  24        d, m; u32 bits; 16 nibble pairs
//   Q2_K  84        16 bytes (scale low nibble, min high); 64 bytes; d, m
//                   two bits of element i: byte 32 (i/128) + l, bits 2 (i/32 % 4)
//   Q3_K  110       32 bytes; 64 bytes as Q2_K; 12 bytes scales; d
//                   third bit of element i: byte l, bit i/32.  scale - 32 is what counts:
//                   low 4 bits of scale j: byte j % 8, nibble j / 8; high 2: byte 8 + j % 4,
//                   bits 2 (j / 4)
//   Q4_K  144       d, m; 12 bytes scales and mins; 128 bytes
//                   nibble of element i: byte 32 (i/64) + l, nibble i/32 % 2
//                   6-bit scale j and min j: j < 4 bytes j and j + 4, low 6 bits; else byte j + 4's
//                   low and high nibble, and the top 2 bits of bytes j - 4 and j
//   Q5_K  176       d, m; 12 bytes as Q4_K; 32 bytes; 128 bytes as Q4_K
//                   fifth bit of element i: byte l, bit i/32
//   Q6_K  210       128 bytes; 64 bytes; 16 int8 scales; d
//                   low nibble of element i: byte 64 (i/128) + i % 64, nibble i/64 % 2
//                   high two bits: byte 32 (i/128) + l, bits 2 (i/32 % 4)
#pragma once

#include <cstdint>

#include "engine/kernels/dtype.h"

namespace weir::kernels {

// What a type's blocks are made of.
struct BlockFormat {
  int sub = 32;       // elements that share a scale
  int offset = 0;     // what code 0 stands for, times -scale
  int code_bits = 8;  // codes lie in [0, 2^code_bits)
  bool has_min = false;
  bool super = false;  // sub-block scales are small integers times one d
};
constexpr BlockFormat FormatOf(DType type) {
  switch (type) {
    case DType::kQ8_0:
      return {32, 128, 8, false, false};
    case DType::kQ4_0:
      return {32, 8, 4, false, false};
    case DType::kQ4_1:
      return {32, 0, 4, true, false};
    case DType::kQ5_0:
      return {32, 16, 5, false, false};
    case DType::kQ5_1:
      return {32, 0, 5, true, false};
    case DType::kQ2_K:
      return {16, 0, 2, true, true};
    case DType::kQ3_K:
      return {16, 4, 3, false, true};
    case DType::kQ4_K:
      return {32, 0, 4, true, true};
    case DType::kQ5_K:
      return {32, 0, 5, true, true};
    case DType::kQ6_K:
      return {16, 32, 6, false, true};
    default:
      return {};
  }
}

// One block, taken apart. Of the small types only scale[0] and min[0] mean anything: both 1.
struct BlockParts {
  alignas(64) uint8_t code[kSuperBlock];
  int8_t scale[16];  // Q3_K's less its 32
  uint8_t min[16];
  uint16_t d = 0, m = 0;  // f16
};
void TakeApart(DType type, const uint8_t* block, BlockParts* parts);
// The inverse: codes, scales and mins within the type's range (not checked).
void PutTogether(DType type, const BlockParts& parts, uint8_t* block);

}  // namespace weir::kernels
