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

}  // namespace weir::sched
