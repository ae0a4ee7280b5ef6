#include "wire/traffic.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"

namespace weir::wire {
namespace {

TEST(DurationHistogram, BucketsTileTheLine) {
  using H = DurationHistogram;
  for (int b = 0; b < H::kBuckets; ++b) {
    EXPECT_EQ(H::BucketOf(H::LowerUs(b)), b);
    EXPECT_LT(H::LowerUs(b), H::LowerUs(b + 1));
    if (b > 0) {
      EXPECT_EQ(H::BucketOf(H::LowerUs(b) - 1), b - 1);
    }
  }
  EXPECT_EQ(H::BucketOf(-5), 0);
  EXPECT_EQ(H::BucketOf(INT64_MAX / 2), H::kBuckets - 1);
  EXPECT_GT(H::LowerUs(H::kBuckets), Duration::Minutes(60).us);
}

TEST(DurationHistogram, QuantilesAreWithinAnEighthOfTheSortedSample) {
  Random random(7);
  DurationHistogram h;
  std::vector<int64_t> sample;
  for (int i = 0; i < 20000; ++i) {
    sample.push_back(static_cast<int64_t>(random.Exponential(30'000)) + 1);
    h.Add(Duration::Micros(sample.back()));
  }
  std::sort(sample.begin(), sample.end());
  for (const double q : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const auto exact =
        static_cast<double>(sample[static_cast<size_t>(q * static_cast<double>(sample.size()))]);
    EXPECT_NEAR(static_cast<double>(h.Quantile(q).us), exact, exact / 8 + 2) << q;
  }
}

TEST(DurationHistogram, SinceIsWhatCameAfter) {
  DurationHistogram h;
  h.Add(Duration::Millis(1));
  const DurationHistogram before = h;
  h.Add(Duration::Millis(50));
  const DurationHistogram late = h.Since(before);
  EXPECT_EQ(late.total, 1u);
  EXPECT_EQ(late.Mean(), Duration::Millis(50));
  EXPECT_EQ(h.AtMost(Duration::Millis(2)), 1u);
  EXPECT_EQ(DurationHistogram().Quantile(0.5), Duration{});
}

}  // namespace
}  // namespace weir::wire
