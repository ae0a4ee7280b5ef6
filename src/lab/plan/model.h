// What the planner decides about, in numbers: pools, demands, offers, what is held already, limits,
// and the futures it must do well in. Text, units and dates are beliefs.h's business; chance is
// scenarios.h's. Everything here is a value type.
//
// Two stages. First, before the future is known: how many lots of each offer, from which month.
// Then, in each month of each future: who runs where, what is bought on demand or on the spot
// market, and what goes unserved.
//
//   accelerators   real ones, of a pool
//   work           accelerators of a demand's reference type: one accelerator of a pool does
//                  `speed` of it, so a newer generation is a pool with a larger speed
//   money          dollars, discounted to the first month at the plan's cost of capital
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace weir::plan {

// Months since January of year 0: 12 * year + month - 1.
using Month = int;

struct Pool {
  std::string name, accelerator, region;
  double on_demand_usd_h = 0, on_demand_limit = 0;  // accelerators; limit 0: not to be had
  double spot_usd_h = 0, spot_limit = 0;
  double kw = 0;         // of an accelerator with its share of the host
  double g_per_kwh = 0;  // of the grid there
};

enum class Class { kResearch, kProduct };
std::string_view NameOf(Class c);  // "research", "product"

struct Arc {
  int pool = 0;
  double speed = 1;  // work of one accelerator
};

struct Demand {
  std::string name;
  Class cls = Class::kResearch;
  std::vector<Arc> runs_on;
  double value_usd_h = 0;      // lost for each unit of work that is not served
  bool interruptible = false;  // may run on spot
  double spot_speed = 1;       // what of the speed is left there, after interruptions
};

struct Offer {
  std::string name, provider;
  int provider_index = 0, pool = 0;
  double lot = 1;  // accelerators; whole lots are signed
  int min_lots = 0, max_lots = 1;
  double price_usd_h = 0;  // of an accelerator, use or not, once delivered
  int term_months = 12;
  int lead_months = 0;          // from signature to delivery
  std::vector<double> ramp{1};  // share delivered by month since delivery; the last one stays
  double prepay = 0;            // share of the whole price paid at signature
  double escalator = 0;         // yearly change of the price from delivery on
  int first_start = 0, last_start = 0, start_step = 1;  // months of the plan
  int expires = 1 << 20;  // last month of the plan in which it can be signed
  double setup_usd = 0;   // once, if any lot is signed: integration, migration
  std::string renews;     // the contract that it goes on with
  std::string where;      // file and line, for errors
};

// A contract in force, or signed and not yet delivered. Not a decision: it is there.
struct Holding {
  std::string name, provider;
  int provider_index = 0, pool = 0;
  double accelerators = 0, price_usd_h = 0;
  int start = 0, end = 0;  // months of the plan, first to past the last; start < 0: delivered
  std::vector<double> ramp{1};
  double prepaid_usd = 0;  // paid already and not used up; taken off the payments evenly
  std::string where;
};

struct Limits {
  // Each is off where it is infinite (or, of shares, 1).
  double provider_share;       // of committed spend over the plan, by any one provider
  double budget_per_year_usd;  // committed payments in each twelve months of the plan
  double prepaid_usd;          // paid and not yet delivered, at any time
  double power_kw;             // of all that is committed, at any time
  double carbon_t_per_year;    // of all that is committed at full use
  double research_shortfall;   // of the research floor, expected; 0: must be met
  Limits();
};

// One future. Arrays are [thing * months + month].
struct Scenario {
  double probability = 0;
  std::vector<float> demand, floor;  // by demand: work; floor <= demand
  std::vector<float> on_demand_usd_h, spot_usd_h, on_demand_limit, spot_limit;  // by pool
  std::vector<int16_t> offer_slip;      // by offer: months late
  std::vector<int16_t> holding_slip;    // by holding
  std::vector<int16_t> provider_fails;  // by provider: month of the plan, or months: never
  std::vector<int16_t> pool_opens;      // by pool: no capacity there before
  std::vector<float> factor;            // by Problem::factors: what this future is made of
};

struct Problem {
  Month start = 0;
  int months = 0;
  std::vector<double> hours, discount;  // by month
  std::vector<std::string> providers;
  std::vector<Pool> pools;
  std::vector<Demand> demands;
  std::vector<Offer> offers;
  std::vector<Holding> holdings;
  Limits limits;
  double risk = 0;              // weight of CVaR against the mean, 0..1
  double tail = 0.1;            // CVaR is the mean of the worst `tail` of futures
  double capital = 0;           // yearly cost of money
  double after_horizon = 0.75;  // of what is owed past the last month, the part that use recovers
  double floor_usd_h = 0;       // price that stands for a missed floor; SetFloorPrice()
  std::vector<std::string> factors;
};

// One column of the first stage: an offer, signed so that its delivery is due in `start`.
struct Block {
  int offer = 0, start = 0;
};
std::vector<Block> BlocksOf(const Problem& p);

// Hours, discount and a price for missed floors that nothing else in `scenarios` reaches.
void Finish(Problem* p, const std::vector<Scenario>& scenarios);

// What one accelerator of the block gives in month t, 0..1, in this future.
double Availability(const Problem& p, const Scenario& s, const Block& b, int t);
double Availability(const Problem& p, const Scenario& s, const Holding& h, int index, int t);
// What one lot of the block costs in this future: prepayment, payments from delivery on, and the
// part of what is owed after the plan that use will not recover. Without setup.
double LotCost(const Problem& p, const Scenario& s, const Block& b);
double HoldingCost(const Problem& p, const Scenario& s, const Holding& h, int index);

// Payments month by month if all goes as promised, undiscounted; for budgets and shares.
std::vector<double> PromisedPayments(const Problem& p, const Block& b);  // of a lot
std::vector<double> PromisedPayments(const Problem& p, const Holding& h);
// Prepaid and not yet used up at the end of each month, of a lot, as promised.
std::vector<double> PromisedPrepaid(const Problem& p, const Block& b);
// Accelerators delivered by month as promised: of a lot.
std::vector<double> PromisedAccelerators(const Problem& p, const Block& b);
std::vector<double> PromisedAccelerators(const Problem& p, const Holding& h);

std::string MonthText(Month m);  // "2027-03"

}  // namespace weir::plan
