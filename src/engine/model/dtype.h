// Element types of stored weights.
//
// Q8_0 and Q4_0 are the block formats of GGUF: 32 consecutive elements of a row share one f16
// scale d, then follow 32 int8 (Q8_0, 34 bytes a block) or 16 bytes of nibbles (Q4_0, 18 bytes:
// the low nibble of byte i is element i, the high one is element i+16). Value: d*q, or d*(q-8).
// Threads: pure functions. Byte order: little-endian, as both file formats have it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weir::model {

enum class DType : uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0 };

inline constexpr int kQuantBlock = 32;  // elements that share a scale in Q8_0 and Q4_0

std::string_view NameOf(DType type);  // "F32", "F16", "BF16", "Q8_0", "Q4_0"
// Elements in one indivisible unit of a row: 1, or 32 for the block formats.
int BlockElements(DType type);
int BlockBytes(DType type);
// Bytes of `elements` (a multiple of BlockElements; nullopt if not so, or on overflow).
std::optional<int64_t> BytesOf(DType type, int64_t elements);

float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);  // round to nearest even; overflow gives infinity
inline float BfloatToFloat(uint16_t b) {
  const uint32_t bits = static_cast<uint32_t>(b) << 16;
  return __builtin_bit_cast(float, bits);
}
uint16_t FloatToBfloat(float value);  // round to nearest even; NaN stays NaN

// out.size() elements out of data. The plain definition of every format above.
void ToFloat(DType type, std::span<const std::byte> data, std::span<float> out);
// The inverse for F32, F16, BF16 and Q8_0 (CHECK). data.size() == BytesOf(type, in.size()).
void FromFloat(std::span<const float> in, DType type, std::span<std::byte> data);

}  // namespace weir::model
