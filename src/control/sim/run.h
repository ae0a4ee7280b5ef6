// A simulation from its inputs to its report: what `weir sim` and bench/viral_day call.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/sim/policies/policy.h"
#include "control/sim/replay/replay.h"
#include "control/sim/report/report.h"
#include "control/sim/scenario/scenario.h"

namespace weir::sim {

struct RunOptions {
  int threads = 1;  // policies run side by side; outcomes do not depend on how many
  Duration tick = Duration::Seconds(60);
  std::function<Duration()> stopwatch;  // monotonic; null: decisions are not timed
  // Called from any of the threads, one at a time.
  std::function<void(const PolicyEntry&, const ReplayProgress&)> progress;
};

// One outcome for each policy, in that order.
std::vector<Outcome> RunPolicies(const Scenario& scenario,
                                 const std::vector<const PolicyEntry*>& policies,
                                 const RunOptions& options);

// report.json and report.html, and timing.json if decisions were timed, in `folder`, which is made.
Status WriteReport(const Report& report, const std::string& folder);

}  // namespace weir::sim
