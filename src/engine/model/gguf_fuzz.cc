// Any bytes as a GGUF file: refused, or views that lie within them; and any that has a tokenizer
// gives one that encodes, or an error; any that has a shape gives one within its bounds, which is
// written and read back.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "engine/model/config_gguf.h"
#include "engine/model/gguf.h"
#include "engine/model/rope.h"
#include "engine/model/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::model;
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto file = GgufFile::Parse(bytes, "fuzz");
  if (!file) return 0;
  for (const TensorView& tensor : file->tensors()) {
    CHECK(tensor.data.empty() || (tensor.data.data() >= bytes.data() &&
                                  tensor.data.data() + tensor.data.size() <= bytes.data() + size));
    CHECK(BytesOf(tensor.type, tensor.elements()) == static_cast<int64_t>(tensor.data.size()));
  }
  const auto tokenizer = Tokenizer::FromGguf(*file);
  if (tokenizer) {
    for (const int32_t id : tokenizer->Encode("a b  \xC3\xA9\xFF", ParseSpecial::kYes)) {
      CHECK(id >= 0 && id < tokenizer->vocab_size());
    }
  }
  const auto config = ConfigFromGguf(*file);
  if (config) {
    CHECK(Validate(*config).has_value());
    GgufWriter writer;
    (void)ConfigToGguf(*config, writer);
    (void)RopeFrequenciesOf(*config, Sight::kGlobal, config->max_seq);
  }
  return 0;
}
