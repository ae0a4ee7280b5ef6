// How long a step takes, learnt from steps: t(rows) = fixed + per_row * rows, by least squares in
// which a step counts for less the older it is. What the prompt budget of a step is made from.
//
// Limits    The truth is no line: few rows wait for memory, many for arithmetic, and a row deep in
// a
//           long text attends to more. Old steps are forgotten within some 30, so the line is the
//           one that touches the truth where the engine is working now; and it is believed only up
//           to twice the rows of the largest step of late.
// Threads   a value.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace weir::serve {

class StepTimes {
 public:
  void Add(int64_t rows, Duration took);
  // Rows that a step may have to take at most `target`; 0 before anything was measured.
  int64_t RowsWithin(Duration target) const;
  Duration Estimate(int64_t rows) const;  // zero before anything was measured
  bool known() const { return weight_ > 0; }

 private:
  struct Line {
    double fixed = 0, per_row = 0;  // microseconds
  };
  Line Fit() const;
  static constexpr double kTrusted = 64;  // rows that any step may have
  double largest_ = 0;                    // rows of a step, of late
  double weight_ = 0, rows_ = 0, rows_squared_ = 0, us_ = 0, rows_us_ = 0;  // decayed sums
};

}  // namespace weir::serve
