// What the lab learns of how long jobs run: the same RunHistory that the running lab keeps, told of
// each run that ended by itself.
#include <algorithm>

#include "control/sim/replay/run_state.h"

namespace weir::sim {

namespace {
sched::RunFacts FactsOf(const Scenario& s, const SimJob& job) {
  const Job& row = s.trace.jobs[static_cast<size_t>(job.trace)];
  return {row.user, s.teams[static_cast<size_t>(job.team)].name, row.name, job.slots};
}
}  // namespace

void Run::LearnDurations(int id) {
  if (!policy_.learns) return;
  const SimJob& job = s_.jobs[static_cast<size_t>(id)];
  history_.Note(FactsOf(s_, job), Duration::FromSeconds(job.work_s));
}

void Run::Expect(int id, sched::Job* row) const {
  const SimJob& job = s_.jobs[static_cast<size_t>(id)];
  const sched::RunEstimate estimate = history_.Estimate(FactsOf(s_, job));
  if (estimate.expected.us <= 0) return;
  const Duration done = Duration::FromSeconds(jobs_[static_cast<size_t>(id)].saved);
  row->expected = std::max(estimate.expected - done, estimate.expected / 10);
  row->error = estimate.error;
}

}  // namespace weir::sim
