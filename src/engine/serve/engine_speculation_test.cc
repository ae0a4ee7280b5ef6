// Drafts: the same answers, token for token and in distribution, in fewer steps.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "engine/serve/engine_test_util.h"
#include "engine/serve/lora_test_util.h"

namespace weir::serve {
namespace {

// Tokens that come round again and again, which is what prompt lookup lives on.
std::vector<int32_t> Repeating(Random& random, size_t period, size_t n) {
  const std::vector<int32_t> once = RandomPrompt(random, period);
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < n; ++i) tokens.push_back(once[i % period]);
  return tokens;
}

TEST(Speculation, ChangesNoAnswerGreedyOrSampled) {
  const auto model = RandomModel(51);
  const auto draft = RandomModel(51), wrong = RandomModel(52);
  const auto plain = Make(model, {.speculative_rows = 0});
  const auto lookup = Make(model);
  const auto same = Make(model, {.draft = draft}), other = Make(model, {.draft = wrong});
  Random random(53);
  for (int round = 0; round < 6; ++round) {
    for (const float temperature : {0.0f, 0.7f, 1.5f}) {
      GenerateRequest request = Greedily(Repeating(random, 1 + random.Below(12), 60), 120);
      request.sampling.temperature = temperature;
      request.sampling.seed = static_cast<uint64_t>(round);
      request.logprobs = 1;
      const Outcome expected = Start(*plain, request).get();
      for (Engine* engine : {lookup.get(), same.get(), other.get()}) {
        const Outcome got = Start(*engine, request).get();
        EXPECT_EQ(got.text, expected.text);
        EXPECT_EQ(got.tokens, expected.tokens);
        ASSERT_EQ(got.logprobs.size(), expected.logprobs.size());
        for (size_t i = 0; i < got.logprobs.size(); ++i) {
          EXPECT_EQ(got.logprobs[i].logprob, expected.logprobs[i].logprob);
        }
      }
    }
  }
  EXPECT_EQ(plain->stats().drafted_tokens, 0u);
  for (Engine* engine : {lookup.get(), same.get(), other.get()}) {
    const EngineStats stats = engine->stats();
    fmt::print("{} of {} drafts right, {} tokens in {} steps\n", stats.accepted_tokens,
               stats.drafted_tokens, stats.generated_tokens, stats.steps);
    EXPECT_GT(stats.drafted_tokens, 0u);
  }
  // A model that is its own draft is always right, at any temperature.
  EXPECT_GT(same->stats().accepted_tokens, same->stats().drafted_tokens * 8 / 10);
  EXPECT_LT(same->stats().steps, plain->stats().steps / 2);
}

// Goal:   with drafts, answers are distributed as the target alone draws them.
// Method: the model is held to 3 tokens a position, so that all 27 answers of 3 tokens have a
//         probability that the plain definition gives; chi-square over some thousand answers whose
//         drafts come from another model.
TEST(Speculation, LeavesTheDistributionAsItIs) {
  const auto model = RandomModel(54);
  // Drafts that are seldom right, and drafts that always are.
  const io::TempDir adapter = *io::TempDir::Create();
  WriteRandomAdapter(adapter.path(), model->config(), 1, 55);
  GenerateRequest request = Sampled({9, 8, 7, 6}, 3, 0);
  request.sampling.top_k = 3;
  std::map<std::vector<int32_t>, double> expected;
  const auto used = static_cast<size_t>(model->tokenizer().vocab_size());
  const std::function<void(std::vector<int32_t>, double)> grow = [&](std::vector<int32_t> answer,
                                                                     double probability) {
    if (answer.size() == 3) {
      expected[answer] = probability;
      return;
    }
    std::vector<int32_t> all = request.prompt;
    all.insert(all.end(), answer.begin(), answer.end());
    const std::vector<float> logits = ReferenceLogits(*model, all);
    const auto row = std::span(logits).subspan((all.size() - 1) * 300, used);
    for (const auto& [id, p] :
         DistributionPlainly(request.sampling, row, {}, request.prompt, answer)) {
      std::vector<int32_t> next = answer;
      next.push_back(id);
      grow(next, probability * p);
    }
  };
  grow({}, 1);
  ASSERT_EQ(expected.size(), 27u);
  for (const auto& draft : {MergedModel(*model, adapter.path()), model}) {
    const auto engine = Make(model, {.max_batch = 8, .draft = draft});
    std::map<std::vector<int32_t>, double> count;
    const int rounds = 50, n = 64;
    for (int round = 0; round < rounds; ++round) {
      request.n = n;
      request.sampling.seed = static_cast<uint64_t>(1000 + round);
      for (const Outcome& outcome : StartAll(*engine, request).get()) ++count[outcome.ids];
    }
    double chi_square = 0, total = 0;
    for (const auto& [answer, probability] : expected) {
      const double mean = probability * rounds * n;
      chi_square += (count[answer] - mean) * (count[answer] - mean) / mean;
      total += count[answer];
    }
    EXPECT_EQ(total, rounds * n) << "an answer of probability 0";
    const EngineStats stats = engine->stats();
    fmt::print("chi-square {:.1f} at 26 degrees of freedom; {} of {} drafts right\n", chi_square,
               stats.accepted_tokens, stats.drafted_tokens);
    EXPECT_LT(chi_square, 54.05) << "p < 0.001";
    EXPECT_GT(stats.accepted_tokens, 10u);
  }
}

TEST(Speculation, IsOffWhereTheBatchIsLarge) {
  const auto model = RandomModel(56);
  const auto engine = Make(model, {.max_batch = 16, .speculative_rows = 8});
  Random random(57);
  const std::vector<int32_t> prompt = Repeating(random, 4, 40);
  std::vector<std::future<std::vector<Outcome>>> answers;
  GenerateRequest request = Sampled(prompt, 50, 1);
  request.n = 16;
  (void)StartAll(*engine, request).get();
  EXPECT_LE(engine->stats().drafted_tokens, 64u) << "only while few were left";
  const uint64_t before = engine->stats().steps;
  (void)Start(*engine, Greedily(prompt, 100)).get();
  EXPECT_GT(engine->stats().drafted_tokens, 0u);
  EXPECT_LT(engine->stats().steps - before, 102u);
}

TEST(Speculation, ADraftModelOfAnotherVocabularyIsRefused) {
  const auto model = RandomModel(58);
  const auto stories = Stories();
  if (!stories) GTEST_SKIP() << "no shared data";
  const auto engine = Engine::Create(model, {.draft = stories}, clock_for_tests);
  ASSERT_FALSE(engine);
  EXPECT_NE(engine.error().ToString().find("same family"), std::string::npos);
}

}  // namespace
}  // namespace weir::serve
