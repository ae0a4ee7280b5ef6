// The open-loop load generator behind `weir load`: sends a plan of requests at their times,
// whatever comes back, and measures.
//
// Threads   RunLoad blocks and runs everything on the calling thread.
// Limits    at most `max_outstanding` requests at once; one that would be more is counted as the
// error
//           "not_sent" and not sent. A run that shows it measured this bound, not the server.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "gateway/load/plan.h"
#include "gateway/load/report.h"

namespace weir::gateway {

struct LoadProgress {
  Duration elapsed;
  size_t in_flight = 0;
  const LoadReport* report = nullptr;
};

struct LoadOptions {
  std::string url = "http://127.0.0.1:7575";  // /v1/... is added
  std::string key;
  std::string model;
  std::vector<PlannedRequest> plan;  // in order of time
  bool chat = false;
  bool stream = true;
  int prompt_tokens = 16;  // about: words of a fixed vocabulary
  int max_prompt_tokens = 100'000;
  int max_tokens = 32;
  int max_tokens_bound = 100'000;  // replayed lengths are cut to this
  uint64_t seed = 1;
  LoadSlo slo;
  Duration timeout = Duration::Seconds(120);  // per request, from its intended time
  size_t max_outstanding = 10'000;
  std::function<void(const LoadProgress&)> progress;  // about twice a second
  std::function<bool()> cancelled;  // true: send nothing more, wait for what is out, report
};

// Errors before the first request: the address cannot be reached, the key or the model is refused.
Result<LoadReport> RunLoad(const LoadOptions& options);

}  // namespace weir::gateway
