#include "lab/sched/forecast.h"

#include <algorithm>
#include <cmath>

namespace weir::sched {
namespace {
constexpr double kLevelTau_s = 2;
constexpr double kTrendTau_s = 4;
constexpr double kTrendFade_s = 10;
constexpr double kGap_s = 10;
constexpr double kMostGrowth = 1.5;
}  // namespace

void Forecast::Observe(Time at, double rate) {
  if (!std::isfinite(rate) || (last_.is_set() && at <= last_)) return;
  rate = std::max(rate, 0.0);
  const double dt = (at - last_).seconds();
  if (!last_.is_set() || dt > kGap_s) {
    level_ = rate;
    trend_ = 0;
  } else {
    const double expected = level_ + trend_ * dt;
    const double level = expected + (1 - std::exp(-dt / kLevelTau_s)) * (rate - expected);
    trend_ += (1 - std::exp(-dt / kTrendTau_s)) * ((level - level_) / dt - trend_);
    level_ = std::max(level, 0.0);
  }
  newest_ = rate;
  last_ = at;
}

double Forecast::At(Time when) const {
  if (!last_.is_set()) return 0;
  const double h = std::max((when - last_).seconds(), 0.0);
  const double ahead = kTrendFade_s * (1 - std::exp(-h / kTrendFade_s));
  return std::clamp(level_ + trend_ * ahead, 0.0, kMostGrowth * std::max(level_, newest_));
}

}  // namespace weir::sched
