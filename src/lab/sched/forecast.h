// A short look ahead at a rate: level and trend (Holt's double exponential smoothing), for samples
// at irregular times.
//
//   a = 1 - exp(-dt / 2 s)           b = 1 - exp(-dt / 4 s)
//   level' = level + trend * dt + a * (sample - level - trend * dt)
//   trend' = trend + b * ((level' - level) / dt - trend)
//   forecast(h) = level + trend * d,  d = T (1 - exp(-h / T)), T = 10 s: the trend fades
//
// A forecast is never below 0 and never above 1.5 times what was seen last: a step looks like the
// start of an endless ramp, and capacity for the difference would be taken from research.
// A gap of more than 10 s starts anew from the next sample: what went on in it is not known.
// Source: Holt, "Forecasting seasonals and trends by exponentially weighted moving averages", 1957;
// Gardner and McKenzie, "Forecasting trends in time series", 1985 (the fading trend).
//
// A value type: no clock, no allocation; equal samples give equal forecasts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/units.h"

namespace weir::sched {

class Forecast {
 public:
  // Samples that are not later than the last one, or not finite, are ignored.
  void Observe(Time at, double rate);
  // At `when`, which lies at or after the last sample. 0 before the first.
  double At(Time when) const;

  double level() const { return level_; }
  double trend_per_s() const { return trend_; }

 private:
  Time last_;
  double level_ = 0;
  double trend_ = 0;  // per second
  double newest_ = 0;
};

// The season: what a service's week looks like, in bins of 15 minutes, and how today compares to
// it.
//
//   bin        mean rate of its 15 minutes, over the weeks seen (half of it from the newest two);
//              while a week has not been seen twice, the same 15 minutes of all days
//   forecast   rate now x bin(when) / bin(now), bins interpolated; the ratio carries level and
//   trend
//              from week to week; within 1/4 .. 4 of the rate now, since a season explains no more
// A gap leaves its bins as they were: the ratio is made of what is seen after it. A bin that was
// never seen, now or then, gives no forecast. Days and weeks are UTC; a clock change shows as an
// hour of misses in two weeks.
class Season {
 public:
  void Observe(Time at, double rate);
  // At `when`, if the rate is `rate_now` at `now`. nullopt: nothing is known of that time of day.
  std::optional<double> At(Time now, double rate_now, Time when) const;

  static constexpr int kBins = 7 * 96;

 private:
  struct Bin {
    double mean = 0;
    int32_t seen = 0;  // stretches of 15 minutes
  };
  std::array<Bin, kBins> week_;
  std::array<Bin, 96> day_;
  int64_t bin_ = -1;  // the stretch under way, numbered since 1970
  double sum_ = 0;
  int64_t samples_ = 0;
  std::optional<double> Usual(Time when) const;
};

}  // namespace weir::sched
