// What somebody believes about the next two years, read from a TOML file and the tables it names:
// the certain part becomes a Problem, the uncertain part stays here for scenarios.h to draw from.
// docs/plan.md has the file; examples/plan/ has whole ones.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/plan/model.h"
#include "lab/plan/text.h"

namespace weir::plan {

struct RunBelief {  // a planned training run: work for some months, if it comes
  std::string name;
  double work = 0;
  double start = 0, start_sd = 0, length = 1;  // months of the plan
  double chance = 1;
};
struct LaunchBelief {       // a model that lifts demand when it comes out
  std::string name, after;  // `after`: a run whose delay it shares
  double month = 0, month_sd = 0;
  double jump = 0, jump_sd = 0;  // 0.6: 60% more
  double chance = 1;
  double over_months = 1;  // until the jump is there in full
};
struct DemandBelief {
  double level = 0, growth = 0, growth_sd = 0;  // work today; a month
  double noise = 0, persistence = 0.6;          // sd of the logarithm; month to month
  double floor = 0;                             // work
  double backlog = 0;                           // waiting today, work-months
  std::vector<RunBelief> runs;
  std::vector<LaunchBelief> launches;
};
struct PoolBelief {
  double price_drift = 0, price_sd = 0;  // of on-demand, a year, of the logarithm
  double spot_sd = 0.35;                 // of the logarithm, in the long run
  double spot_return = 0.3;              // of a deviation gone after a month
};
struct ProviderBelief {
  double slip_chance = 0, slip_months = 2;  // of a delivery; how late then, mean
  double fails_per_year = 0;
};
struct GenerationBelief {  // new hardware: when it is there, and what it does to the old prices
  std::string name;
  std::vector<int> pools, older;
  double month = 0, month_sd = 0;
  double fall = 0, fall_sd = 0;  // of the prices of `older`
};
struct Branch {  // a turn that the world may take: one of them is drawn for each future
  std::string name;
  double chance = 1;
  int from = 0;                                           // month of the plan
  double research = 1, product = 1, price = 1, spot = 1;  // factors from then on
  double slip = 1;                                        // factor on the chance of a slip
};

struct Beliefs {
  Problem problem;  // hours, discount and floor price are not set: Finish()
  std::vector<DemandBelief> demands;
  std::vector<PoolBelief> pools;
  std::vector<ProviderBelief> providers;
  std::vector<GenerationBelief> generations;
  std::vector<Branch> branches;
  double slip_together = 0.3;    // correlation of slips between providers
  double slip_within = 0.7;      // between deliveries of one provider
  double market_together = 0.7;  // of prices between pools
  int scenarios = 50;
  uint64_t seed = 1;
  bool research_first = true;
  std::vector<std::string> notes;  // what was assumed or left out
};

// What the program knows besides: names of accelerators and their power, carbon of regions.
struct Known {
  struct Accelerator {
    std::string name;
    std::vector<std::string> aliases;
    double kw = 0;
  };
  std::vector<Accelerator> accelerators;  // empty: any name will do
  std::function<std::optional<double>(const std::string& region)> grams_per_kwh;
};

using ReadText = std::function<Result<std::string>(const std::string& path)>;

// `read` gets the paths as the file has them.
Result<Beliefs> ReadBeliefs(std::string_view toml, std::string_view source, const ReadText& read,
                            const Known& known);

// One offer's fields, from a TOML table or a CSV row.
Result<Offer> ReadOffer(const Node& n, const Problem& p);
// Index of a provider by name; a new one is added to problem and beliefs.
int ProviderNamed(Beliefs* b, const std::string& name);

}  // namespace weir::plan
