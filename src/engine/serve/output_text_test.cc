#include "engine/serve/output_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "engine/model/bpe_trainer.h"

namespace weir::serve {
namespace {

model::Tokenizer Letters() {
  model::BpeTrainerOptions options;
  options.vocab_size = 262;
  model::BpeTrainer trainer = *model::BpeTrainer::Create(options);
  trainer.Add("aab abab bbab aab aabb");
  return *trainer.Train();
}

TEST(OutputText, EndsBeforeTheFirstStopStringHoweverTheTokensFall) {
  const model::Tokenizer tokenizer = Letters();
  const uint64_t first = 99;
  for (uint64_t seed = first; seed < first + 500; ++seed) {
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    Random random(seed);
    std::string text;
    for (int i = 0; i < 40; ++i) text += "ab \xC3\xA9"[random.Below(5)];
    // Equally long stops, so that none can be found inside another's beginning.
    std::vector<std::string> stops;
    for (uint64_t i = random.Below(3); i > 0; --i) {
      std::string stop;
      for (int j = 0; j < 4; ++j) stop += "ab "[random.Below(3)];
      stops.push_back(stop);
    }
    std::string expected = text;
    expected = model::TakeUtf8(expected, true);
    size_t end = std::string::npos;
    for (const std::string& stop : stops) end = std::min(end, expected.find(stop));
    expected = expected.substr(0, end);

    OutputText output(tokenizer, stops);
    std::string got;
    for (const int32_t id : tokenizer.Encode(text)) {
      got += output.Push(id);
      ASSERT_TRUE(expected.starts_with(got)) << "sent what should have been held back";
    }
    got += output.Finish();
    ASSERT_EQ(got, expected);
    EXPECT_EQ(output.stopped(), end != std::string::npos);
  }
}

}  // namespace
}  // namespace weir::serve
