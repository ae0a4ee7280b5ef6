// The storage types of weights, as the engine, GGUF and safetensors know them: one list for all.
//
// A row is stored in blocks of BlockElements consecutive elements (1 for plain numbers), all of
// BlockBytes. The layouts are those of GGUF, little-endian; quant/blocks.h has them byte by byte,
// quant/decode.h each one's definition as plain loops in double. The enumerators' values are
// GGUF's type ids.
//
// Threads   pure functions.
// Errors    none, but where an optional or a Result says so; a shape that contradicts itself
//           aborts (CHECK).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weir::kernels {

enum class DType : uint8_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};
inline constexpr DType kAllDTypes[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ8_0,
                                       DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1,
                                       DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K,
                                       DType::kQ6_K};

inline constexpr int kSmallBlock = 32;   // elements of a block of Q4_0 .. Q8_0
inline constexpr int kSuperBlock = 256;  // elements of a block of the K types

std::string_view NameOf(DType type);                     // "F32", "BF16", "Q4_K", as GGUF has it
std::optional<DType> DTypeNamed(std::string_view name);  // case does not matter
std::optional<DType> DTypeOfGgufId(uint32_t id);         // nullopt: unknown, or not offered
inline uint32_t GgufId(DType type) { return static_cast<uint32_t>(type); }
std::string_view GgufTypeName(uint32_t id);  // also of types that are not offered; "?" if unknown

int BlockElements(DType type);  // 1, 32 or 256
int BlockBytes(DType type);
inline bool IsQuantized(DType type) { return BlockElements(type) > 1; }
// Bytes of `elements` consecutive elements; nullopt where that is no whole number of blocks, or on
// overflow. RowBytes is the same for shapes known to be good (CHECK).
std::optional<int64_t> BytesOf(DType type, int64_t elements);
int64_t RowBytes(DType type, int64_t cols);
double BitsPerElement(DType type);

// Half and brain floats. Rounding to nearest, ties to even; NaN stays NaN, overflow is infinity.
float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);
inline float BfloatToFloat(uint16_t b) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(b) << 16);
}
uint16_t FloatToBfloat(float value);

// n elements (whole blocks) in storage `type` to f32 and back. FromF32 to a quantized type is
// Quantize (quant/encode.h) without importance. The pointers need no alignment beyond their types'.
void ToF32(DType type, const void* from, int64_t n, float* to);
void FromF32(const float* from, int64_t n, DType type, void* to);

// Whether any scale or value of the blocks is NaN or infinite.
bool StoredNonFinite(DType type, std::span<const std::byte> data);

}  // namespace weir::kernels
