// Any bytes as a safetensors file: refused, or views that lie within them.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "engine/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::model;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto file = SafetensorsFile::Parse(bytes, "fuzz");
  if (!file) return 0;
  for (const TensorView& tensor : file->tensors()) {
    CHECK(tensor.data.empty() || (tensor.data.data() >= bytes.data() &&
                                  tensor.data.data() + tensor.data.size() <= bytes.data() + size));
    CHECK(BytesOf(tensor.type, tensor.elements()) == static_cast<int64_t>(tensor.data.size()));
  }
  return 0;
}
