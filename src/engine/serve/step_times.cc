#include "engine/serve/step_times.h"

#include <algorithm>

namespace weir::serve {
namespace {

constexpr double kKept = 0.95;  // of an older step's weight, with each new one
// Below this much spread (in rows, squared) a slope is noise: all is then taken to be per row.
constexpr double kLeastVariance = 4;

}  // namespace

void StepTimes::Add(int64_t rows, Duration took) {
  if (rows <= 0) return;
  const auto r = static_cast<double>(rows), us = static_cast<double>(took.us);
  largest_ = std::max(r, kKept * largest_);
  weight_ = kKept * weight_ + 1;
  rows_ = kKept * rows_ + r;
  rows_squared_ = kKept * rows_squared_ + r * r;
  us_ = kKept * us_ + us;
  rows_us_ = kKept * rows_us_ + r * us;
}

StepTimes::Line StepTimes::Fit() const {
  const double mean_rows = rows_ / weight_, mean_us = us_ / weight_;
  const double variance = rows_squared_ / weight_ - mean_rows * mean_rows;
  Line line;
  // Proportional to rows is the careful guess: it promises nothing for free.
  line.per_row = mean_us / mean_rows;
  if (variance > kLeastVariance) {
    const double slope = (rows_us_ / weight_ - mean_rows * mean_us) / variance;
    line.per_row = std::clamp(slope, 0.01 * line.per_row, line.per_row);
  }
  line.fixed = mean_us - line.per_row * mean_rows;
  return line;
}

int64_t StepTimes::RowsWithin(Duration target) const {
  if (!known()) return 0;
  const Line line = Fit();
  const double rows = (static_cast<double>(target.us) - line.fixed) / std::max(line.per_row, 1e-3);
  return static_cast<int64_t>(std::clamp(rows, 0.0, std::max(kTrusted, 2 * largest_)));
}

Duration StepTimes::Estimate(int64_t rows) const {
  if (!known()) return {};
  const Line line = Fit();
  return Duration::Micros(
      static_cast<int64_t>(line.fixed + line.per_row * static_cast<double>(rows)));
}

}  // namespace weir::serve
