// From what was served to what was asked for, and from there to a trend.
//
// A table has one row per interval (hours, days or months; a `month` or `time` column), and in
// work:
//     served    what ran, mean of the interval
//     waiting   what stood in the queue at its end (optional)
//     refused   what was sent away, mean of the interval (optional)
// Demand is not what was served. Work is conserved: what came in the month is what ran, what was
// sent away, and what the queue grew by:
//     demand = served + refused + (waiting at the end - waiting at the beginning) / months
// and what still waits at the end of the table is a backlog that the first months must clear.
// The trend is a line through the logarithms of the monthly means; its slope's standard error is
// the doubt about growth, and what is left is noise with a memory of one month.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/plan/model.h"

namespace weir::plan {

struct History {
  std::vector<Month> month;            // rising, without gaps
  std::vector<double> demand, served;  // monthly means
  double backlog = 0;                  // work-months waiting at the end
};
// `column` names the served column if it is not `served`.
Result<History> ReadHistory(std::string_view csv, std::string_view source, std::string_view column);

struct Fit {
  double level = 0, growth = 0, growth_sd = 0, noise = 0, persistence = 0, backlog = 0;
  double unserved = 0;  // of the last month
};
// The level is that of `at`. Needs three months or more.
Result<Fit> FitHistory(const History& h, Month at);

}  // namespace weir::plan
