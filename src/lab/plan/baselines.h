// What one would do without a stochastic program, and with what guarantees.
//
// Newsvendor   one level for a demand that varies: commit up to the demand that is exceeded in
//              committed / on-demand of the time (Arrow, Harris & Marschak, 1951).
// Break-even   rent on demand until what was spent so within one term would have paid for a
//              commitment, then commit. Knows nothing of the future, and never pays more than
//              (2 - alpha) times what knowing all of it would cost, where alpha is the committed
//              price of use over the on-demand one (Wang, Li & Liang, 2013).
#pragma once

#include <span>
#include <vector>

#include "base/result.h"

namespace weir::plan {

struct Level {
  double level = 0, cost = 0;  // of an interval, in committed prices
  double on_demand_cost = 0;   // the same without commitment
  double saved() const { return on_demand_cost > 0 ? 1 - cost / on_demand_cost : 0; }
};
// `premium`: on-demand over committed price, above 1. `demand` is not empty.
Level NewsvendorLevel(std::span<const double> demand, double premium);

struct Lease {
  double fee = 1;          // of one unit for `term` intervals
  double on_demand = 0.1;  // of one unit for an interval
  double alpha = 0;        // committed price of use, of `on_demand`
  int term = 12;           // intervals
};
struct Committed {
  double cost = 0;
  std::vector<int> signed_units;  // by interval
};
Committed BreakEven(std::span<const int> demand, const Lease& lease);
// The least that any plan made with full knowledge costs: a linear program whose matrix has
// consecutive ones, so its answer is whole.
Result<double> OfflineOptimum(std::span<const int> demand, const Lease& lease);

}  // namespace weir::plan
