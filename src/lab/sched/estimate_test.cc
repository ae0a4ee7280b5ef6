#include "lab/sched/estimate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "base/random.h"

namespace weir::sched {
namespace {

TEST(Estimate, KnowsNothingBeforeThreeRunsAndThenTheMedianOfTheClosest) {
  RunHistory h;
  const RunFacts train{"ann", "vision", "train-7", 8}, eval{"ann", "vision", "eval-1", 8};
  EXPECT_EQ(h.Estimate(train).expected.us, 0);
  for (int i = 0; i < 3; ++i)
    h.Note({"ann", "vision", "train-" + std::to_string(i), 8}, Duration::Seconds(3600));
  for (int i = 0; i < 3; ++i) h.Note(eval, Duration::Seconds(60));
  EXPECT_NEAR(h.Estimate(train).expected.seconds(), 3600, 1);
  EXPECT_EQ(h.Estimate(train).from, "runs of like names by this user");
  EXPECT_NEAR(h.Estimate(eval).expected.seconds(), 60, 1);
  EXPECT_EQ(h.Estimate(eval).error, 0);
}

// All jobs of a trace without names and users counted as runs of one name by one user.
TEST(Estimate, WhatIsNotToldDoesNotMakeRunsAlike) {
  RunHistory h;
  const RunFacts small{"", "r", "", 1}, big{"", "r", "", 64};
  for (int i = 0; i < 20; ++i) {
    h.Note(small, Duration::Seconds(60));
    h.Note(big, Duration::Seconds(36'000));
  }
  EXPECT_NEAR(h.Estimate(small).expected.seconds(), 60, 1);
  EXPECT_NEAR(h.Estimate(big).expected.seconds(), 36'000, 100);
  EXPECT_EQ(h.Estimate(big).from, "runs of this size in this team");
}

TEST(Estimate, StemsLeaveOutWhatTellsRunsApart) {
  EXPECT_EQ(StemOf("train-resnet-0042"), "train-resnet-");
  EXPECT_EQ(StemOf("eval_3f9a1c7d"), "eval_");
  EXPECT_EQ(StemOf("7"), "");
  EXPECT_EQ(StemOf(""), "");
}

TEST(Estimate, ForgetsHowItUsedToBe) {
  RunHistory h;
  const RunFacts job{"bo", "nlp", "tok", 1};
  for (int i = 0; i < 50; ++i) h.Note(job, Duration::Seconds(100));
  for (int i = 0; i < 50; ++i) h.Note(job, Duration::Seconds(10'000));
  EXPECT_NEAR(h.Estimate(job).expected.seconds(), 10'000, 1000);
}

// The stated error holds: about 9 of 10 runs lie within it, for times spread as Laplace and as
// normal in their logarithm, for users with many kinds of jobs.
TEST(Estimate, NineOfTenRunsLieWithinTheStatedError) {
  for (const bool normal : {false, true}) {
    Random random(3);
    RunHistory h;
    int within = 0, judged = 0;
    for (int i = 0; i < 20'000; ++i) {
      const int user = static_cast<int>(random.Below(20)), kind = static_cast<int>(random.Below(4));
      const RunFacts job{"u" + std::to_string(user), "t" + std::to_string(user % 4),
                         "kind" + std::string(1, static_cast<char>('a' + kind)),
                         int64_t{1} << kind};
      const double noise = normal ? 0.8 * random.Normal()
                                  : 0.6 * random.Exponential(1) * (random.Chance(0.5) ? 1 : -1);
      const double took_s = 60 * std::exp(kind + 0.3 * user + noise);
      if (const RunEstimate e = h.Estimate(job); e.expected.us > 0) {
        const double x = took_s / e.expected.seconds();
        within += x <= 1 + e.error && x >= 1 / (1 + static_cast<double>(e.error));
        ++judged;
      }
      h.Note(job, Duration::FromSeconds(took_s));
    }
    const double share = static_cast<double>(within) / judged;
    std::cout << (normal ? "normal" : "Laplace") << ": " << share << " within, mean factor "
              << h.mean_factor() << "\n";
    EXPECT_GT(share, 0.85);
    EXPECT_LT(share, 0.97);
  }
}

}  // namespace
}  // namespace weir::sched
