// Any bytes as a schema, a regular expression or a grammar (by the first byte): refused, or a form
// that random tokens walk through with every mask true to Accept.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "engine/grammar/grammar.h"
#include "engine/model/bpe_trainer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  using namespace weir::grammar;
  static const auto vocabulary = [] {
    model::BpeTrainer trainer = *model::BpeTrainer::Create({.vocab_size = 300});
    trainer.Add(R"({"a": "b", "c": [1, true, null], "name": 2.5})");
    return Vocabulary::Create(*trainer.Train());
  }();
  if (size == 0 || size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Result<GrammarPtr> made = data[0] % 3 == 0   ? CompileJsonSchema(vocabulary, text)
                                  : data[0] % 3 == 1 ? CompileRegex(vocabulary, text)
                                                     : CompileEbnf(vocabulary, text);
  if (!made) return 0;
  Matcher matcher(*made);
  Random random(size);
  std::vector<uint32_t> bits(MaskWords(vocabulary->size()));
  for (int step = 0; step < 12 && !matcher.finished(); ++step) {
    matcher.Mask(bits);
    const auto from = static_cast<TokenId>(random.Below(static_cast<uint64_t>(vocabulary->size())));
    TokenId picked = -1;
    for (TokenId i = 0; i < vocabulary->size(); ++i) {
      const TokenId id = (from + i) % vocabulary->size();
      if ((bits[static_cast<size_t>(id) / 32] >> (id % 32) & 1) != 0) {
        picked = id;
        break;
      }
    }
    if (picked < 0) break;
    CHECK_MSG(matcher.Accept(picked), "token {} is allowed and not accepted", picked);
  }
  return 0;
}
