// A plan, or a rule that decides as it goes, in futures that nobody planned for: what it costs and
// what goes unserved, by kind, class and month.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "lab/plan/model.h"
#include "lab/plan/recourse.h"

namespace weir::plan {

struct Signed {
  Block block;
  double lots = 0;
};

struct Verdict {
  double mean = 0, cvar = 0, objective = 0;  // dollars; missed work and floor at their prices
  double committed = 0, on_demand = 0, spot = 0, lost = 0, floor_price = 0;  // parts of the mean
  double floor_missed = 0;                                                   // expected work-hours
  std::vector<double> cost;                                                  // by future
  std::array<std::vector<double>, 2> asked, missed;  // by class, by month: expected work
  double research_missed() const { return Share(0); }
  double product_missed() const { return Share(1); }
  double Share(size_t cls) const;
};

class Judge {
 public:
  // Keeps references to both; Finish() has been called.
  Judge(const Problem& problem, const std::vector<Scenario>& futures);
  Verdict Of(std::span<const Signed> plan) const;
  // The break-even rule, pool by pool: what on-demand (or missed work) would have been saved by the
  // cheapest offer of the pool within its term is added up lot by lot; where it reaches the offer's
  // price, a lot is signed. It knows the months so far and nothing else.
  Verdict OfBreakEven() const;

 private:
  Verdict Run(const std::function<void(size_t future, int month, std::vector<Signed>* plan,
                                       const std::vector<double>& short_of)>& decide,
              std::span<const Signed> start) const;
  const Problem& p_;
  const std::vector<Scenario>& futures_;
};

// What a pool at a time would commit to by the newsvendor's rule: every demand on the pool that is
// cheapest for it, to the level that its dearest alternative warrants, in the cheapest offers.
std::vector<Signed> NewsvendorPlan(const Problem& p, const std::vector<Scenario>& futures,
                                   const std::vector<Block>& blocks,
                                   const std::function<bool(std::span<const double>)>& feasible);

}  // namespace weir::plan
