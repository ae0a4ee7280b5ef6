// When a load generator sends what: an open-loop plan, decided beforehand by shape, rate and seed,
// or read from a trace. The plan never waits for answers; that is the point of it.
//
//   rate
//    10x |        ┌────┐
//        |        │    │             surge:10x@20s+60s   ten times the rate from 20 s, for 60 s
//     1x |────────┘    └────
//
// Pure: the same options give the same plan. Times count from the start of the run.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/result.h"
#include "base/units.h"

namespace weir::gateway {

// How the rate moves over time, as a factor on --rate.
struct LoadShape {
  enum class Kind { kConstant, kRamp, kSurge } kind = Kind::kConstant;
  double from = 1, to = 1;  // ramp, over the whole run; surge: `to` is its factor
  Duration at, length;      // surge
  double FactorAt(Duration t, Duration total) const;
};
// "constant", "ramp:0.1x..3x", "surge:10x@20s+60s".
Result<LoadShape> ParseLoadShape(std::string_view text);
// "20/s", "90/m", "1000/h", "20": requests per second.
Result<double> ParseRate(std::string_view text);

struct PlannedRequest {
  Duration at;
  int prompt_tokens = 0;  // 0: the default of the run
  int max_tokens = 0;     // 0: the default of the run
};

enum class Spacing { kPoisson, kEven };

struct SyntheticPlan {
  double rate_per_s = 1;
  Duration total = Duration::Seconds(10);
  LoadShape shape;
  Spacing spacing = Spacing::kPoisson;
  uint64_t seed = 1;
};
inline constexpr size_t kMaxPlanned = 20'000'000;
// kTooLarge beyond kMaxPlanned requests.
Result<std::vector<PlannedRequest>> MakePlan(const SyntheticPlan& plan);

struct ReplayPlan {
  std::string csv;      // the text of the trace, with its header line
  double speedup = 1;   // arrivals this many times as fast
  double sample = 1;    // this share of the requests, chosen by the seed
  Duration total = {};  // stop after this much of the run; 0: all of it
  uint64_t seed = 1;
};
// Knows, by their header lines, traces of single requests (arrival_s or arrival_ms, with or without
// input_tokens and output_tokens: Azure LLM 2023, Mooncake) and of rates per window (t_s, rate_rps,
// with or without mean_in_tokens and mean_out_tokens: ServeGen totals; rows of several clients in
// one window are summed). Rates become Poisson arrivals.
Result<std::vector<PlannedRequest>> MakePlan(const ReplayPlan& plan);

// The bytes of a file, unpacked if it is gzip.
Result<std::string> ReadMaybeGzip(const std::string& path);

}  // namespace weir::gateway
