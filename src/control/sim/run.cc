#include "control/sim/run.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "io/files.h"

namespace weir::sim {

std::vector<Outcome> RunPolicies(const Scenario& scenario,
                                 const std::vector<const PolicyEntry*>& policies,
                                 const RunOptions& options) {
  std::vector<Outcome> outcomes(policies.size());
  std::atomic<size_t> next{0};
  std::mutex progress_mutex;
  const auto work = [&] {
    for (size_t i = next++; i < policies.size(); i = next++) {
      ReplayOptions replay;
      replay.tick = options.tick;
      replay.stopwatch = options.stopwatch;
      if (options.progress) {
        replay.progress = [&, i](const ReplayProgress& p) {
          const std::lock_guard<std::mutex> lock(progress_mutex);
          options.progress(*policies[i], p);
        };
      }
      outcomes[i] = RunReplay(scenario, *policies[i], replay);
    }
  };
  const size_t threads =
      std::clamp<size_t>(static_cast<size_t>(std::max(1, options.threads)), 1, policies.size());
  std::vector<std::thread> pool;
  for (size_t t = 1; t < threads; ++t) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
  return outcomes;
}

Status WriteReport(const Report& report, const std::string& folder) {
  TRY(io::MakeDirs(folder, 0755));
  TRY(io::WriteFileAtomically(folder + "/report.json", ReportJson(report), 0644));
  TRY(io::WriteFileAtomically(folder + "/report.html", ReportHtml(report), 0644));
  const bool timed = std::any_of(report.outcomes.begin(), report.outcomes.end(),
                                 [](const Outcome& o) { return o.decide_us.count > 0; });
  if (timed) TRY(io::WriteFileAtomically(folder + "/timing.json", TimingJson(report), 0644));
  return {};
}

}  // namespace weir::sim
