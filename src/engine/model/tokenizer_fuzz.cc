// Any bytes as tokenizer.json: refused, or a tokenizer whose decoding undoes its encoding of the
// same bytes, and which writes a file that reads back.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "engine/model/bpe_trainer.h"
#include "engine/model/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = Tokenizer::FromHfJson(text);
  if (parsed) {
    (void)parsed->Decode(parsed->Encode(text, ParseSpecial::kYes), ParseSpecial::kYes);
    CHECK(parsed->ToHfJson().has_value());
  }
  static const Tokenizer known = [] {
    BpeTrainer trainer = *BpeTrainer::Create({.vocab_size = 300});
    trainer.Add("a weir is a low dam, a weir is not a wall");
    return *trainer.Train();
  }();
  CHECK(known.Decode(known.Encode(text)) == text);
  return 0;
}
