// Element types of stored weights: the kernels' (kernels/dtype.h), under the names of this folder.
#pragma once

#include <cstddef>
#include <span>

#include "engine/kernels/dtype.h"

namespace weir::model {

using kernels::BfloatToFloat;
using kernels::BlockBytes;
using kernels::BlockElements;
using kernels::BytesOf;
using kernels::DType;
using kernels::FloatToBfloat;
using kernels::FloatToHalf;
using kernels::HalfToFloat;
using kernels::NameOf;

// out.size() elements out of data, and back; data.size() == BytesOf(type, elements) (CHECK).
void ToFloat(DType type, std::span<const std::byte> data, std::span<float> out);
void FromFloat(std::span<const float> in, DType type, std::span<std::byte> data);

}  // namespace weir::model
