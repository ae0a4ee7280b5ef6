#include "lab/sched/foresee.h"

#include <algorithm>

namespace weir::sched {
namespace {

// When what holds slots lets go of them.
std::optional<Time> LetsGo(const World& world, JobId id, bool late) {
  const Job& job = world.job(id);
  if (job.phase == RunPhase::kStopping) return world.now() + kStopTakes;
  std::optional<Time> end = world.ExpectedEnd(id);
  if (!end) return std::nullopt;
  if (late && !job.ends.is_set()) {
    const Time from = job.started.is_set() ? job.started : job.placed;
    end = std::max(*end, from + world.LongestRun(job, SlotsIn(job.places)));
  }
  if (*end <= world.now()) {  // its limit, or what it told, has passed already: as long again
    end = world.now() + std::max(world.now() - *end, Duration::Seconds(1));
  }
  return end;
}

}  // namespace

std::map<JobId, Time> Foresee(World world, Allocator& allocator, int steps, bool late,
                              JobId until) {
  std::map<JobId, Time> starts;
  std::set<std::pair<Time, JobId>> ends;
  const auto watch = [&](JobId id) {
    if (const auto at = LetsGo(world, id, late)) ends.emplace(*at, id);
  };
  for (JobId id = 0; id < world.jobs(); ++id) {
    const RunPhase phase = world.job(id).phase;
    if (phase == RunPhase::kRunning || phase == RunPhase::kStopping) watch(id);
  }
  Time now = world.now();
  for (int step = 0; step < steps; ++step) {
    for (const Move& move : Decide(world, allocator, now)) {
      if (move.kind == ActionKind::kStartJob) {
        starts.try_emplace(move.job, now);
        Job job = world.job(move.job);
        job.started = job.saved = now;
        world.SetJob(move.job, std::move(job));
        watch(move.job);
      } else if (move.kind == ActionKind::kStopJob) {
        std::erase_if(ends, [&](const auto& e) { return e.second == move.job; });
        watch(move.job);
      } else if (move.kind == ActionKind::kStopReplica) {
        world.SetReplica(move.replica, std::nullopt);
      }
    }
    if ((until >= 0 && starts.contains(until)) || world.waiting() + world.held_back().size() == 0) {
      break;
    }
    Time next;
    const auto at = [&next, now](Time t) {
      if (t > now && (!next.is_set() || t < next)) next = t;
    };
    if (!ends.empty()) at(ends.begin()->first);
    for (const auto& [id, loan] : world.loans()) {
      if (loan.due.is_set()) at(loan.due);
      if (!loan.open) at(now + kStopTakes);
    }
    for (const JobId id : world.held_back()) at(world.job(id).not_before);
    for (const Queue& queue : world.queues()) {  // what long waiting alone changes
      if (queue.jobs.empty()) continue;
      at(world.job(queue.jobs.begin()->job).submitted + world.policy().gang_hold_after);
    }
    if (!next.is_set()) break;
    now = next;
    world.Advance(now);
    while (!ends.empty() && ends.begin()->first <= now) {
      const JobId id = ends.begin()->second;
      ends.erase(ends.begin());
      Job job = world.job(id);
      if (job.phase == RunPhase::kRunning) {
        world.SetJob(id, {});
        continue;
      }
      job.phase = RunPhase::kPaused;
      world.SetJob(id, std::move(job));
    }
    std::vector<LoanId> back;
    for (const auto& [id, loan] : world.loans()) {
      const bool used = std::any_of(world.replicas().begin(), world.replicas().end(),
                                    [&](const auto& r) { return r.second.loan == id; });
      if (!loan.open && !used) back.push_back(id);
    }
    for (const LoanId id : back) world.SetLoan(id, std::nullopt);
  }
  return starts;
}

}  // namespace weir::sched
