#include "engine/kernels/dtype.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "engine/kernels/cpu/table.h"
#include "engine/kernels/quant/blocks.h"
#include "engine/kernels/quant/encode.h"

namespace weir::kernels {
namespace {

struct Info {
  DType type;
  std::string_view name;
  int elements;
  int bytes;
};
constexpr Info kInfo[] = {{DType::kF32, "F32", 1, 4},       {DType::kF16, "F16", 1, 2},
                          {DType::kBF16, "BF16", 1, 2},     {DType::kQ8_0, "Q8_0", 32, 34},
                          {DType::kQ4_0, "Q4_0", 32, 18},   {DType::kQ4_1, "Q4_1", 32, 20},
                          {DType::kQ5_0, "Q5_0", 32, 22},   {DType::kQ5_1, "Q5_1", 32, 24},
                          {DType::kQ2_K, "Q2_K", 256, 84},  {DType::kQ3_K, "Q3_K", 256, 110},
                          {DType::kQ4_K, "Q4_K", 256, 144}, {DType::kQ5_K, "Q5_K", 256, 176},
                          {DType::kQ6_K, "Q6_K", 256, 210}};

const Info& InfoOf(DType type) {
  for (const Info& info : kInfo) {
    if (info.type == type) return info;
  }
  CHECK_MSG(false, "type {}", static_cast<int>(type));
}

// GGUF's ids in order, for messages about types that this program does not offer.
constexpr std::string_view kGgufNames[] = {
    "F32",   "F16",        "Q4_0",       "Q4_1",       "Q4_2",     "Q4_3",     "Q5_0",
    "Q5_1",  "Q8_0",       "Q8_1",       "Q2_K",       "Q3_K",     "Q4_K",     "Q5_K",
    "Q6_K",  "Q8_K",       "IQ2_XXS",    "IQ2_XS",     "IQ3_XXS",  "IQ1_S",    "IQ4_NL",
    "IQ3_S", "IQ2_S",      "IQ4_XS",     "I8",         "I16",      "I32",      "I64",
    "F64",   "IQ1_M",      "BF16",       "Q4_0_4_4",   "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",
    "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4"};

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool EqualButCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

uint16_t Load16(const std::byte* p) {
  uint16_t bits;
  std::memcpy(&bits, p, 2);
  return bits;
}
bool HalfNonFinite(const std::byte* p) { return (Load16(p) & 0x7C00) == 0x7C00; }

// Where the f16 scales of a block lie.
struct ScalesAt {
  int first, second;  // bytes; second < 0: none
};
ScalesAt HalvesOf(DType type) {
  switch (type) {
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108, -1};
    case DType::kQ6_K:
      return {208, -1};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {0, 2};
    default:
      return {0, -1};
  }
}

}  // namespace

std::string_view NameOf(DType type) { return InfoOf(type).name; }

std::optional<DType> DTypeNamed(std::string_view name) {
  for (const Info& info : kInfo) {
    if (EqualButCase(info.name, name)) return info.type;
  }
  return std::nullopt;
}
std::optional<DType> DTypeOfGgufId(uint32_t id) {
  for (const Info& info : kInfo) {
    if (GgufId(info.type) == id) return info.type;
  }
  return std::nullopt;
}
std::string_view GgufTypeName(uint32_t id) {
  return id < std::size(kGgufNames) ? kGgufNames[id] : "?";
}

int BlockElements(DType type) { return InfoOf(type).elements; }
int BlockBytes(DType type) { return InfoOf(type).bytes; }

std::optional<int64_t> BytesOf(DType type, int64_t elements) {
  const Info& info = InfoOf(type);
  if (elements < 0 || elements % info.elements != 0) return std::nullopt;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(elements / info.elements, int64_t{info.bytes}, &bytes)) {
    return std::nullopt;
  }
  return bytes;
}
int64_t RowBytes(DType type, int64_t cols) {
  const std::optional<int64_t> bytes = BytesOf(type, cols);
  CHECK_MSG(bytes, "{} rows of {} columns", NameOf(type), cols);
  return *bytes;
}
double BitsPerElement(DType type) {
  const Info& info = InfoOf(type);
  return 8.0 * info.bytes / info.elements;
}

float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 0x1F;
  const uint32_t mantissa = half & 0x3FF;
  if (exponent == 0) {  // zero and subnormals: mantissa * 2^-24, exact in f32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 0xFF : exponent + (127 - 15);
  return __builtin_bit_cast(float, sign | (wide << 23) | (mantissa << 13));
}

uint16_t FloatToHalf(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return sign | 0x7E00;
  if (magnitude >= 65520.0f) return sign | 0x7C00;  // halfway to 65536 rounds up, to infinity
  if (magnitude < 0x1p-14f) {
    // Subnormal: a multiple of 2^-24. nearbyint rounds to even, as every step here does.
    return sign | static_cast<uint16_t>(std::nearbyint(magnitude * 0x1p24f));
  }
  const uint32_t rest = bits & 0x7FFFFFFF;
  const uint32_t rounded = rest + 0xFFF + ((rest >> 13) & 1);
  return sign | static_cast<uint16_t>((rounded >> 13) - ((127 - 15) << 10));
}

uint16_t FloatToBfloat(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

void ToF32(DType type, const void* from, int64_t n, float* to) {
  const cpu::Table& table = cpu::Active();
  switch (type) {
    case DType::kF32:
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::kBF16:
      return table.bf16_to_f32(static_cast<const uint16_t*>(from), n, to);
    case DType::kF16:
      return table.f16_to_f32(static_cast<const uint16_t*>(from), n, to);
    case DType::kQ8_0:
      CHECK_MSG(n % kSmallBlock == 0, "n={}", n);
      return table.q8_0_to_f32(from, n, to);
    default:
      break;
  }
  const int elements = BlockElements(type), bytes = BlockBytes(type);
  CHECK_MSG(n % elements == 0, "{} elements of {}", n, NameOf(type));
  const BlockFormat format = FormatOf(type);
  const auto* block = static_cast<const uint8_t*>(from);
  BlockParts parts;
  for (int64_t i = 0; i < n; i += elements, block += bytes) {
    TakeApart(type, block, &parts);
    const float d = HalfToFloat(parts.d), m = HalfToFloat(parts.m);
    for (int j = 0; j * format.sub < elements; ++j) {
      const float scale = d * static_cast<float>(parts.scale[j]);  // exact: 11 and at most 8 bits
      const uint8_t* code = parts.code + j * format.sub;
      float* out = to + i + j * format.sub;
      for (int l = 0; l < format.sub; ++l) {
        out[l] = scale * static_cast<float>(code[l] - format.offset);
      }
      if (!format.has_min) continue;
      const float minimum = format.super ? -m * static_cast<float>(parts.min[j]) : m;
      for (int l = 0; l < format.sub; ++l) out[l] += minimum;
    }
  }
}

void FromF32(const float* from, int64_t n, DType type, void* to) {
  const cpu::Table& table = cpu::Active();
  switch (type) {
    case DType::kF32:
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::kBF16:
      return table.f32_to_bf16(from, n, static_cast<uint16_t*>(to));
    case DType::kF16:
      return table.f32_to_f16(from, n, static_cast<uint16_t*>(to));
    default:
      return Quantize(nullptr, type, from, 1, n, nullptr, to);
  }
}

bool StoredNonFinite(DType type, std::span<const std::byte> data) {
  const std::byte* p = data.data();
  const size_t n = data.size();
  // No early exit: a loop without one is vectorized, and weights are almost always finite.
  bool found = false;
  switch (type) {
    case DType::kF32:
      for (size_t i = 0; i + 4 <= n; i += 4) {
        uint32_t bits;
        std::memcpy(&bits, p + i, 4);
        found |= (bits & 0x7F800000u) == 0x7F800000u;
      }
      return found;
    case DType::kF16:
      for (size_t i = 0; i + 2 <= n; i += 2) found |= HalfNonFinite(p + i);
      return found;
    case DType::kBF16:
      for (size_t i = 0; i + 2 <= n; i += 2) found |= (Load16(p + i) & 0x7F80) == 0x7F80;
      return found;
    default:
      break;
  }
  const auto block = static_cast<size_t>(BlockBytes(type));
  const ScalesAt at = HalvesOf(type);
  for (size_t i = 0; i + block <= n; i += block) {
    found |= HalfNonFinite(p + i + at.first);
    if (at.second >= 0) found |= HalfNonFinite(p + i + at.second);
  }
  return found;
}

}  // namespace weir::kernels
