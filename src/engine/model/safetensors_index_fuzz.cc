// Any bytes as model.safetensors.index.json: refused, or plain names of files.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "engine/model/generation.h"
#include "engine/model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto files = ParseSafetensorsIndex(text)) {
    CHECK(!files->empty());
    for (const std::string& name : *files) CHECK(name.find('/') == name.npos && name != "..");
  }
  (void)GenerationFromJson(text);
  return 0;
}
