#include "engine/serve/sampler.h"

#include <gtest/gtest.h>

#include <cmath>

namespace weir::serve {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 3.0f, -INFINITY};

TEST(Sampler, GreedyTakesTheSmallestIdOfTheLargest) {
  EXPECT_EQ(Greedy(kLogits), 1);
  EXPECT_EQ(Sampler({.temperature = 0}).Sample(kLogits), 1);
}

TEST(Sampler, FrequenciesFollowTheSoftmaxCutToTopKAndTopP) {
  struct Case {
    SamplingOptions options;
    std::vector<double> expected;  // unnormalized
  };
  const auto e = [](double x) { return std::exp(x); };
  const Case cases[] = {
      {{.temperature = 1}, {e(1), e(3), e(2), e(3), 0}},
      {{.temperature = 2}, {e(0.5), e(1.5), e(1), e(1.5), 0}},
      {{.temperature = 1, .top_k = 2}, {0, e(3), 0, e(3), 0}},
      {{.temperature = 1, .top_k = 1}, {0, 1, 0, 0, 0}},
      // Probabilities 0.05, 0.40, 0.15, 0.40: 0.85 takes both threes and the two.
      {{.temperature = 1, .top_p = 0.85f}, {0, e(3), e(2), e(3), 0}},
      {{.temperature = 1, .top_p = 0.001f}, {0, 1, 0, 0, 0}},
  };
  constexpr int kDraws = 40000;
  for (const Case& c : cases) {
    SamplingOptions options = c.options;
    options.seed = 11;
    Sampler sampler(options);
    std::vector<int> counts(kLogits.size());
    for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(sampler.Sample(kLogits))];
    double total = 0;
    for (const double x : c.expected) total += x;
    for (size_t i = 0; i < counts.size(); ++i) {
      const double p = c.expected[i] / total;
      // Five standard deviations; none at all where the probability is zero.
      EXPECT_NEAR(counts[i], p * kDraws, 5 * std::sqrt(p * (1 - p) * kDraws)) << "token " << i;
    }
  }
}

TEST(Sampler, EqualSeedsDrawEqualTokens) {
  Sampler a({.temperature = 1, .seed = 5}), b({.temperature = 1, .seed = 5});
  for (int i = 0; i < 100; ++i) ASSERT_EQ(a.Sample(kLogits), b.Sample(kLogits));
}

TEST(Sampler, WeightsThatOverflowStillGiveAToken) {
  const std::vector<float> logits = {NAN, INFINITY, NAN};
  for (const float temperature : {0.0f, 1.0f}) {
    const int32_t token = Sampler({.temperature = temperature}).Sample(logits);
    EXPECT_TRUE(token >= 0 && token < 3);
  }
}

TEST(Logprobs, AreTheLogOfTheSoftmax) {
  const Logprobs found = LogprobsOf(kLogits, 2, 2);
  const double sum = std::exp(1) + 2 * std::exp(3) + std::exp(2);
  EXPECT_NEAR(found.chosen, 2 - std::log(sum), 1e-6);
  ASSERT_EQ(found.top.size(), 2u);
  EXPECT_EQ(found.top[0].first, 1);
  EXPECT_EQ(found.top[1].first, 3);
  EXPECT_NEAR(found.top[0].second, 3 - std::log(sum), 1e-6);
}

}  // namespace
}  // namespace weir::serve
