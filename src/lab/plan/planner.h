// The two-stage stochastic program, solved by the L-shaped method.
//
// Problem   minimise (1 - risk) E[cost] + risk CVaR[cost] over whole lots of every block, within
// the
//           limits, where the least expected shortfall of the research floor comes before any cost.
//           cost of a future = payments for what is signed and held + sum over its cells
//           (recourse.h).
// Idea      The second stage falls apart into cells, and a cell's cost is a convex function of what
// is
//           committed to its few pools, with slope -worth. So the first stage is kept as a small
//           linear program (the master) in which functions stand for the cells, each bounded from
//           below by the tangents (cuts) found so far:
//               theta[month, group]    expected cost of these cells over all futures
//               w[future, group]       cost of the group in one future, for those in the tail
//               phi[month, group]      expected floor missed
//           Cuts are split this finely because a month of a group meets few offers: a dozen rounds
//           of tangents then fit a function that a single cut a round would not fit in hundreds.
//           CVaR stands in the master as (Rockafellar & Uryasev, 2000)
//               eta + 1/tail sum_s probability_s v_s,   v_s >= cost_s - eta,   v_s >= 0
//           Each round asks at a point between the master's answer and the best one known (in-out
//           separation: Ben-Ameur & Neto, 2007), which keeps early rounds from swinging.
// Bounds    The master never exceeds the optimum; a point evaluated never falls below it. The gap
// is
//           the distance of the two and is proven, whatever the number of rounds.
// Whole     A dive rounds the relaxation a few lots at a time and re-solves; that mostly is within
// lots      the gap. If not, or if proof is asked for, Cbc solves the master and the loop goes on.
// What-if   Cuts speak of capacity, not of offers, so they stay true when an offer changes or a new
//           one comes: only columns are added, and the answer is a few rounds away.
// Source    Van Slyke & Wets, 1969 (L-shaped); Birge & Louveaux, 1988 (multicut).
// Repeats   same input, same answer: bounds are counts of rounds and nodes. (`out_of_time`, if
//           given, may end the proof early; the bound that is reported is valid still.)
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "lab/plan/model.h"

namespace weir::plan {

struct SolveOptions {
  double gap = 0.002;          // of the whole answer: stop here
  double relaxed_gap = 0.001;  // of the relaxation, before lots are rounded
  bool whole = true;           // false: lots may be fractions
  bool prove = false;          // call on Cbc even where rounding is within `gap`
  bool research_first = true;  // false: missed floor is only priced (Problem::floor_usd_h)
  int max_rounds = 300;
  std::function<bool()> out_of_time;  // asked between rounds
};

struct Solution {
  std::vector<double> lots;     // by block
  std::vector<double> reduced;  // by block: dollars that the objective rises by, for one more lot
                                // (of the relaxation; < 0: it wants more than it can have)
  double objective = 0, bound = 0;  // bound <= optimum <= objective; dollars
  double relaxed_bound = 0;         // of the relaxation
  double mean = 0, cvar = 0, eta = 0;
  double floor_missed = 0;        // expected, in work-hours
  double least_floor_missed = 0;  // the least that any plan can reach
  int rounds = 0;
  bool proven_by_cbc = false;
  double gap() const { return objective > 0 ? (objective - bound) / objective : 0; }
};

// One limit that the first stage is held to, in the user's words.
struct LimitRow {
  std::string what;   // "budget of the year from 2027-01: at most $12.0M"
  std::string group;  // rows of one group are one limit to a person
  double price = 0;   // dollars that one more percent of it would save
};

// How one point does in every future.
struct Valuation {
  std::vector<double> cost;          // by future, floor price included
  std::vector<double> floor_missed;  // by future, work-hours
  double mean = 0, cvar = 0, eta = 0, objective = 0, expected_floor_missed = 0;
};

class Planner {
 public:
  // Copies both. `scenarios` have probabilities that add up to one. Finish() is called here.
  Planner(Problem problem, std::vector<Scenario> scenarios);
  ~Planner();

  const Problem& problem() const;
  const std::vector<Scenario>& scenarios() const;
  const std::vector<Block>& blocks() const;

  // kFailedPrecondition: no plan meets all limits; the sentence names an irreducible set of those
  // that conflict: take any one away and there is a plan.
  Result<Solution> Solve(const SolveOptions& options);

  // After Solve(). The relaxation again, with one offer as in `change` (same index, any terms), or
  // gone if nullopt. Nothing of it stays but the cuts.
  struct WhatIf {
    double bound = 0, objective = 0;  // of the relaxation
    double lots = 0;                  // of that offer, all starts
    int rounds = 0;
  };
  Result<WhatIf> Try(int offer, const std::optional<Offer>& change, double gap = 0.0005,
                     double least_lots = 0);
  // What the relaxation was worth, for comparing with Try().
  double relaxed_bound() const;

  // Slow, obvious: every cell of every future.
  Valuation Value(std::span<const double> lots) const;
  // What one more lot would change, in dollars (< 0: it saves), if the offer's terms were `terms`,
  // at the duals of the last relaxation; of its starts the best. Cheap: no solve.
  double ReducedCost(int offer, const Offer& terms) const;
  // Within all limits and lot rules?
  bool Feasible(std::span<const double> lots) const;
  std::vector<LimitRow> limits() const;

 private:
  struct State;
  std::unique_ptr<State> s_;
};

// The whole program as one matrix, every cell written out: the oracle of planner_test.cc, for small
// problems. Same objective; research first as a second solve.
Result<Solution> SolveExtensive(const Problem& problem, const std::vector<Scenario>& scenarios,
                                bool whole, bool research_first);

}  // namespace weir::plan
