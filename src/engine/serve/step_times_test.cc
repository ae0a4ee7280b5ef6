#include "engine/serve/step_times.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace weir::serve {
namespace {

TEST(StepTimes, FindsALineAndFollowsIt) {
  StepTimes times;
  EXPECT_EQ(times.RowsWithin(Duration::Millis(100)), 0);
  Random random(1);
  const auto add = [&](int n, double fixed, double per_row) {
    for (int i = 0; i < n; ++i) {
      const auto rows = static_cast<int64_t>(1 + random.Below(100));
      const double us =
          (fixed + per_row * static_cast<double>(rows)) * (0.95 + 0.1 * random.Uniform());
      times.Add(rows, Duration::Micros(static_cast<int64_t>(us)));
    }
  };
  add(100, 20'000, 1'000);
  EXPECT_NEAR(static_cast<double>(times.RowsWithin(Duration::Millis(100))), 80, 6);
  EXPECT_NEAR(times.Estimate(50).seconds(), 0.070, 0.005);
  add(100, 20'000, 4'000);  // texts became longer
  EXPECT_NEAR(static_cast<double>(times.RowsWithin(Duration::Millis(100))), 20, 4);
}

TEST(StepTimes, BelievesItsLineOnlyNearWhatItHasSeen) {
  StepTimes times;
  for (int i = 0; i < 60; ++i) times.Add(1 + i % 8, Duration::Millis(20));  // free, it seems
  EXPECT_EQ(times.RowsWithin(Duration::Seconds(10)), 64);
  times.Add(60, Duration::Millis(300));
  EXPECT_LE(times.RowsWithin(Duration::Seconds(10)), 120);
}

TEST(StepTimes, PromisesNothingForFreeWhenAllStepsWereAlike) {
  StepTimes times;
  for (int i = 0; i < 50; ++i) times.Add(8, Duration::Millis(40));
  EXPECT_NEAR(static_cast<double>(times.RowsWithin(Duration::Millis(120))), 24, 1);
  EXPECT_EQ(times.RowsWithin({}), 0);
}

}  // namespace
}  // namespace weir::serve
