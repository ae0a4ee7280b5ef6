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

namespace {

constexpr int64_t kBin_us = 15 * 60'000'000LL;
constexpr double kNewWeek = 0.3;  // the last two weeks weigh half: 1 - 0.7^2
constexpr double kNewDay = 0.1;   // a week of days
constexpr double kMostSeason = 4;

}  // namespace

void Season::Observe(Time at, double rate) {
  if (!std::isfinite(rate)) return;
  const int64_t bin = at.us / kBin_us;
  if (bin < bin_) return;
  if (bin != bin_) {
    if (samples_ > 0) {
      const double mean = sum_ / static_cast<double>(samples_);
      const auto note = [mean](Bin& b, double weight) {
        b.mean += std::max(weight, 1.0 / (b.seen + 1)) * (mean - b.mean);
        b.seen = std::min(b.seen + 1, 1'000'000);
      };
      note(week_[bin_ % kBins], kNewWeek);
      note(day_[bin_ % 96], kNewDay);
    }
    bin_ = bin;
    sum_ = 0;
    samples_ = 0;
  }
  sum_ += std::max(rate, 0.0);
  ++samples_;
}

// Bins stand for their middle; between two middles the mean rises or falls evenly.
std::optional<double> Season::Usual(Time when) const {
  const auto of = [&](int64_t bin) -> std::optional<double> {
    const Bin& week = week_[bin % kBins];
    if (week.seen >= 2) return week.mean;
    const Bin& day = day_[bin % 96];
    return day.seen > 0 ? std::optional(day.mean) : std::nullopt;
  };
  const int64_t shifted = when.us - kBin_us / 2;
  const int64_t bin = shifted / kBin_us;
  const std::optional<double> a = of(bin), b = of(bin + 1);
  if (!a || !b) return a ? a : b;
  const double part = static_cast<double>(shifted % kBin_us) / static_cast<double>(kBin_us);
  return *a + part * (*b - *a);
}

std::optional<double> Season::At(Time now, double rate_now, Time when) const {
  const std::optional<double> usual_now = Usual(now), usual_then = Usual(when);
  if (!usual_now || !usual_then || *usual_now <= 0) return std::nullopt;
  const double ratio = std::clamp(*usual_then / *usual_now, 1 / kMostSeason, kMostSeason);
  return std::max(rate_now, 0.0) * ratio;
}

}  // namespace weir::sched
