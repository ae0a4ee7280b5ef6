#include "engine/model/dtype.h"

#include "base/check.h"

namespace weir::model {

void ToFloat(DType type, std::span<const std::byte> data, std::span<float> out) {
  const auto n = static_cast<int64_t>(out.size());
  CHECK(BytesOf(type, n) == static_cast<int64_t>(data.size()));
  kernels::ToF32(type, data.data(), n, out.data());
}

void FromFloat(std::span<const float> in, DType type, std::span<std::byte> data) {
  const auto n = static_cast<int64_t>(in.size());
  CHECK(BytesOf(type, n) == static_cast<int64_t>(data.size()));
  kernels::FromF32(in.data(), n, type, data.data());
}

}  // namespace weir::model
