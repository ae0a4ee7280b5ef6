#include "engine/model/dtype.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"

namespace weir::model {
namespace {

struct Info {
  std::string_view name;
  int elements;
  int bytes;
};
constexpr Info kInfo[] = {
    {"F32", 1, 4}, {"F16", 1, 2}, {"BF16", 1, 2}, {"Q8_0", 32, 34}, {"Q4_0", 32, 18}};
const Info& InfoOf(DType type) { return kInfo[static_cast<int>(type)]; }

template <class T>
T Load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

}  // namespace

std::string_view NameOf(DType type) { return InfoOf(type).name; }
int BlockElements(DType type) { return InfoOf(type).elements; }
int BlockBytes(DType type) { return InfoOf(type).bytes; }

std::optional<int64_t> BytesOf(DType type, int64_t elements) {
  const Info& info = InfoOf(type);
  if (elements < 0 || elements % info.elements != 0) return std::nullopt;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(elements / info.elements, info.bytes, &bytes)) return std::nullopt;
  return bytes;
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

void ToFloat(DType type, std::span<const std::byte> data, std::span<float> out) {
  CHECK(BytesOf(type, static_cast<int64_t>(out.size())) == static_cast<int64_t>(data.size()));
  const std::byte* p = data.data();
  switch (type) {
    case DType::kF32:
      if (!out.empty()) std::memcpy(out.data(), p, data.size());
      return;
    case DType::kF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = HalfToFloat(Load<uint16_t>(p + 2 * i));
      return;
    case DType::kBF16:
      for (size_t i = 0; i < out.size(); ++i) out[i] = BfloatToFloat(Load<uint16_t>(p + 2 * i));
      return;
    case DType::kQ8_0:
      for (size_t i = 0; i < out.size(); i += kQuantBlock, p += 34) {
        const float d = HalfToFloat(Load<uint16_t>(p));
        for (int j = 0; j < kQuantBlock; ++j) {
          out[i + j] = d * static_cast<float>(static_cast<int8_t>(p[2 + j]));
        }
      }
      return;
    case DType::kQ4_0:
      for (size_t i = 0; i < out.size(); i += kQuantBlock, p += 18) {
        const float d = HalfToFloat(Load<uint16_t>(p));
        for (int j = 0; j < kQuantBlock / 2; ++j) {
          const int packed = static_cast<int>(p[2 + j]);
          out[i + j] = d * static_cast<float>((packed & 15) - 8);
          out[i + j + 16] = d * static_cast<float>((packed >> 4) - 8);
        }
      }
      return;
  }
}

void FromFloat(std::span<const float> in, DType type, std::span<std::byte> data) {
  CHECK(BytesOf(type, static_cast<int64_t>(in.size())) == static_cast<int64_t>(data.size()));
  std::byte* p = data.data();
  const auto store16 = [&p](uint16_t bits) {
    std::memcpy(p, &bits, 2);
    p += 2;
  };
  switch (type) {
    case DType::kF32:
      if (!in.empty()) std::memcpy(p, in.data(), data.size());
      return;
    case DType::kF16:
      for (const float x : in) store16(FloatToHalf(x));
      return;
    case DType::kBF16:
      for (const float x : in) store16(FloatToBfloat(x));
      return;
    case DType::kQ8_0:
      for (size_t i = 0; i < in.size(); i += kQuantBlock) {
        float largest = 0;
        for (int j = 0; j < kQuantBlock; ++j) largest = std::max(largest, std::fabs(in[i + j]));
        const float d = largest / 127.0f;
        const float inverse = d > 0 ? 1.0f / d : 0.0f;
        store16(FloatToHalf(d));
        for (int j = 0; j < kQuantBlock; ++j) {
          *p++ = static_cast<std::byte>(
              static_cast<int8_t>(std::clamp(std::round(in[i + j] * inverse), -127.0f, 127.0f)));
        }
      }
      return;
    case DType::kQ4_0:
      CHECK_MSG(false, "writing Q4_0 is not offered");
  }
}

}  // namespace weir::model
