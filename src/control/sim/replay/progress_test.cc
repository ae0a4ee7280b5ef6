#include "control/sim/replay/progress.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace weir::sim {
namespace {

// The definition, second by second: work, stall, work, ...
struct Stepped {
  double work = 0, saved = 0, saved_at = 0;
};
Stepped StepThrough(double interval, double stall, double begin, double now,
                    const std::vector<std::pair<double, double>>& rates) {
  constexpr double kStep = 0.01;
  Stepped s;
  s.saved_at = begin;
  double since = 0;
  for (double t = begin; t < now - kStep / 2; t += kStep) {
    double rate = 1;
    for (const auto& [from, r] : rates) {
      if (t >= from - kStep / 2) rate = r;
    }
    if (interval <= 0 || since < interval - kStep / 2) s.work += rate * kStep;
    since += kStep;
    if (interval > 0 && since >= interval + stall - kStep / 2) {
      since = 0;
      s.saved = s.work;
      s.saved_at = t + kStep;
    }
  }
  return s;
}

TEST(RunClock, EqualsSteppingThroughItAlsoWhenTheRateChanges) {
  Random random(7);
  for (int round = 0; round < 60; ++round) {
    RunClock clock;
    clock.interval = random.Chance(0.2) ? 0 : static_cast<double>(random.Between(1, 20));
    clock.stall = static_cast<double>(random.Between(0, 4));
    clock.begin = clock.saved_at = static_cast<double>(random.Between(0, 50));
    const RunClock first = clock;
    std::vector<std::pair<double, double>> rates{{0, 1}};
    double now = clock.begin;
    for (int change = 0; change < 3; ++change) {
      now += static_cast<double>(random.Between(1, 30));
      const double rate = static_cast<double>(random.Between(1, 4)) / 2;
      clock = clock.At(now, rate);
      rates.emplace_back(now, rate);
    }
    now += static_cast<double>(random.Between(1, 60));
    const Stepped want = StepThrough(first.interval, first.stall, first.begin, now, rates);
    EXPECT_NEAR(clock.WorkAt(now), want.work, 0.1) << round;
    EXPECT_NEAR(clock.SavedAt(now), want.saved, 0.1) << round;
    EXPECT_NEAR(clock.LastSave(now), want.saved_at, 0.1) << round;
    EXPECT_LE(clock.SavedAt(now), clock.WorkAt(now) + 1e-9);
    // At the finish of the work that is done now, that work is done.
    if (clock.WorkAt(now) > clock.done + 0.5) {
      EXPECT_NEAR(clock.WorkAt(clock.FinishAt(clock.WorkAt(now))), clock.WorkAt(now), 1e-6);
    }
  }
}

}  // namespace
}  // namespace weir::sim
