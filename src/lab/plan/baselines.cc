#include "lab/plan/baselines.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "lab/plan/lp.h"

namespace weir::plan {

Level NewsvendorLevel(std::span<const double> demand, double premium) {
  CHECK(!demand.empty() && premium > 0);
  std::vector<double> sorted(demand.begin(), demand.end());
  std::sort(sorted.begin(), sorted.end());
  const double n = static_cast<double>(sorted.size());
  Level out;
  if (premium > 1) {
    // The first value whose share of demand at or below it reaches 1 - 1/premium.
    const double share = 1 - 1 / premium;
    const auto at = static_cast<size_t>(std::clamp(std::ceil(share * n - 1e-9) - 1, 0.0, n - 1));
    out.level = sorted[at];
  }
  for (const double d : sorted) {
    out.cost += (out.level + premium * std::max(0.0, d - out.level)) / n;
    out.on_demand_cost += premium * d / n;
  }
  return out;
}

Committed BreakEven(std::span<const int> demand, const Lease& lease) {
  CHECK(lease.term >= 1 && lease.alpha >= 0 && lease.alpha < 1);
  const int n = static_cast<int>(demand.size());
  Committed out;
  out.signed_units.assign(demand.size(), 0);
  std::vector<int> running(demand.size(), 0);  // real commitments
  std::vector<int> counted(demand.size(), 0);  // and those that past spending has paid for already
  const double enough = lease.fee / (1 - lease.alpha);
  for (int t = 0; t < n; ++t) {
    for (;;) {
      double spent = 0;  // of the last term, by the first unit that is not covered
      for (int i = std::max(0, t - lease.term + 1); i <= t; ++i)
        if (demand[static_cast<size_t>(i)] > counted[static_cast<size_t>(i)])
          spent += lease.on_demand;
      if (spent <= enough + 1e-12) break;
      ++out.signed_units[static_cast<size_t>(t)];
      out.cost += lease.fee;
      for (int i = std::max(0, t - lease.term + 1); i < std::min(n, t + lease.term); ++i) {
        ++counted[static_cast<size_t>(i)];
        if (i >= t) ++running[static_cast<size_t>(i)];
      }
    }
    const auto now = static_cast<size_t>(t);
    const int covered = std::min(demand[now], running[now]);
    out.cost += lease.on_demand * (demand[now] - covered) + lease.alpha * lease.on_demand * covered;
  }
  return out;
}

Result<double> OfflineOptimum(std::span<const int> demand, const Lease& lease) {
  LinearProgram lp;
  const int n = static_cast<int>(demand.size());
  double constant = 0;
  for (int t = 0; t < n; ++t) lp.AddColumn(0, kInfinity, lease.fee);
  for (int t = 0; t < n; ++t) {
    const double d = demand[static_cast<size_t>(t)];
    constant += lease.alpha * lease.on_demand * d;
    std::vector<Entry> row;
    for (int i = std::max(0, t - lease.term + 1); i <= t; ++i) row.push_back({i, 1});
    row.push_back({lp.AddColumn(0, d, (1 - lease.alpha) * lease.on_demand), 1});
    lp.AddRow(d, kInfinity, row);
  }
  return TRY(lp.Solve())
  .objective + constant;
}

}  // namespace weir::plan
