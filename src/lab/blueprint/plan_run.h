// One question from start to end: this work on this cluster, with everything that an answer has.
// What the command line shows and what the market asks offers through.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lab/blueprint/calibration.h"
#include "lab/blueprint/goodput.h"
#include "lab/blueprint/search.h"

namespace weir::blueprint {

struct TrainQuestion {
  ModelShape shape;
  Cluster cluster;
  TrainWork work;
  Keys keys;  // engine and release; empty: DefaultEngine
  Reliability reliability;
  Site site;
  double tokens = 0;  // 0: time and cost are not asked for
};

struct TrainAnswer {
  Candidate candidate;
  Estimate step_s;  // with its error bar
  Goodput goodput;
  RunCost cost;
};

// The engine whose rows speak of this accelerator: what is assumed when none is asked for.
std::string DefaultTrainEngine(const Accelerator& a);
std::string DefaultServeEngine(const Accelerator& a);

TrainAnswer Answer(const Calibration& c, const TrainQuestion& q, const Layout& layout);
// The best layouts with their answers; the search's own result in `search`.
std::vector<TrainAnswer> SearchAnswers(const Calibration& c, const TrainQuestion& q,
                                       const SearchSpace& space, SearchResult* search);

struct ServeQuestion {
  ModelShape shape;
  Accelerator accelerator;
  ServeWork work;
  Keys keys;
  Site site;
};
struct ServeAnswer {
  ServeCandidate candidate;
  Estimate ttft_s, tpot_s;
  double dollars_per_million_output_tokens = 0;
  double kilowatts = 0;
  double grams_co2_per_million_output_tokens = 0;
};
ServeAnswer Answer(const Calibration& c, const ServeQuestion& q, const ServeCandidate& candidate);

// What a provider would rent, as far as a design needs to know: the market's offers come in so.
struct OfferTerms {
  std::string name;
  Accelerator accelerator;
  int count = 0;                          // most that can be had
  double price_per_accelerator_hour = 0;  // US dollars
  std::string region;
  double grams_co2_per_kwh = 0;  // 0: not known
  int64_t first_day = 0;         // days since 1970
};

struct OfferAnswer {
  OfferTerms offer;
  int count = 0;  // used
  std::optional<TrainAnswer> train;
  std::string why_not;                 // empty if it can be done
  int64_t done_day = 0, late_day = 0;  // expected; at the slow end of the error bar
  bool in_time = true;                 // expected
  bool surely_in_time = true;          // also at the slow end
};

// Joint search: for every offer and every count of whole nodes up to it (halves of the offer), the
// best layout; then the cheapest that is done by `deadline` (0: none) first, then the rest by day.
std::vector<OfferAnswer> CompareOffers(const Calibration& c, const TrainQuestion& q,
                                       const std::vector<OfferTerms>& offers,
                                       const SearchSpace& space, int64_t deadline);

// Offers from CSV: either provider, accelerator, count, usd_per_accelerator_hour, region, from; or
// the column names of published catalogs (accelerator_count, on_demand_usd_per_accel_h). Rows
// without a price are left out; errors name the line.
Result<std::vector<OfferTerms>> ReadOffers(std::string_view text, std::string_view source,
                                           int64_t today);

}  // namespace weir::blueprint
