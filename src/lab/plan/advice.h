// A question, answered: what to sign, to renew, to let lapse and to renegotiate; what each offer is
// worth to us; what the plan bets on and what breaks it; and how it does against simpler ways of
// planning, in futures that the planner has not seen.
//
// Walk-away price   of an offer in the plan: the price at which the plan without it is as good
//                   (a re-solve without it). Of one that is not: the price at which its first lot
//                   would enter (its reduced cost at the relaxation's duals).
// Flip              the smallest single change of terms, tried in a fixed order, after which the
//                   decision about the offer is another one. By duals, then by a re-solve.
// Gap               of the sample: what more futures could still teach. Two plans from fresh
// futures
//                   each, and how much better they are on their own futures than ours is (A2RP:
//                   Bayraksan & Morton, 2006); one-sided, 95%.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "lab/plan/beliefs.h"
#include "lab/plan/judge.h"
#include "lab/plan/planner.h"

namespace weir::plan {

struct PlanOptions {
  SolveOptions solve;
  int unseen = 1000;       // futures that judge
  int replications = 2;    // for the gap of the sample; 0: not asked
  int most_resolves = 60;  // offers that get a re-solve
  bool stress = true;
};

struct OfferAdvice {
  int offer = 0;
  std::string action;  // sign, sign later, renew, renew later, decline, let lapse, renegotiate
  std::vector<Signed> lots;
  int sign_by = -1;  // month of the plan; -1: nothing to sign
  double accelerators = 0;
  double ask_usd_h = 0, walk_away_usd_h = 0;
  bool indispensable = false;  // without it the research floor, or a limit, cannot be held
  double worth_usd = 0;        // what the plan loses without it
  double quantity = 0;  // accelerators: signed, or what would be at just under the walk-away price
  std::string flip;     // the change that turns the decision
};

struct Stress {
  std::string what;
  double mean = 0, research_missed = 0, product_missed = 0;
  double regret = 0;  // against a plan that had known
};
struct FactorAdvice {
  std::string name;
  double mean = 0, in_tail = 0;  // over all futures; over the worst
  double explains = 0;           // share of the variance of cost that goes with it
  double per_sd_usd = 0;         // change of cost for one standard deviation more
};
struct Rival {
  std::string name, what;
  Verdict verdict;
};

struct PlanAnswer {
  Problem problem;
  Solution solution;
  std::vector<Block> blocks;
  std::vector<OfferAdvice> offers;   // decided ones first
  std::vector<std::string> lapsing;  // contracts that end and are not renewed
  Verdict seen;                      // in the futures that were planned for
  std::vector<Rival> rivals;         // unseen futures; the plan itself first
  std::vector<LimitRow> binding;     // limits with a price
  std::vector<FactorAdvice> factors;
  std::vector<Stress> stresses;
  int futures = 0, unseen = 0;
  double gap_low_usd = 0, gap_high_usd = 0;  // of the sample, 95%; high < low: not asked
  bool gap_asked = false;
  std::vector<std::string> notes;
  // For the pictures: by class and month, quantiles of demand in accelerators of each pool group.
  struct Ladder {
    std::string title;
    std::vector<int> pools;
    std::vector<double> p10, p50, p90;                               // work asked for
    std::vector<std::pair<std::string, std::vector<double>>> steps;  // work committed, by contract
  };
  std::vector<Ladder> ladders;
  std::vector<std::pair<std::string, double>> spend_by_provider;  // committed, promised
};

Result<PlanAnswer> MakePlan(Beliefs beliefs, const PlanOptions& options);

}  // namespace weir::plan
