#include "control/outcome.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::control {

using wire::JobPhase;
using wire::StopCause;

Duration Backoff(int64_t failures, Duration longest) {
  Duration wait = kFirstBackoff;
  for (int64_t i = 1; i < failures && wait < longest; ++i) wait = wait * 2;
  return std::min(wait, longest);
}

namespace {

// Steps and slot-seconds that the next run does again.
void CountLoss(JobMoved& moved, const wire::Job& job, const wire::Lease& lease,
               const JobSight& sight, Time now) {
  const double slots = static_cast<double>(lease.slots.size());
  const int64_t resume_step = job.checkpoint ? job.checkpoint->step : 0;
  if (sight.progress && sight.lease == lease.id) {
    moved.lost_steps = std::max<int64_t>(0, sight.progress->step - resume_step);
    if (sight.steps_per_s > 0) {
      moved.lost_slot_s = static_cast<double>(moved.lost_steps) / sight.steps_per_s * slots;
      return;
    }
    if (moved.lost_steps == 0) return;
  }
  Time since = lease.active.is_set() ? lease.active : now;
  if (job.checkpoint) since = std::max(since, job.checkpoint->at);
  moved.lost_slot_s = std::max(0.0, (now - since).seconds()) * slots;
}

std::string StopWord(StopCause cause) {
  switch (cause) {
    case StopCause::kResize:
      return "stopped to run at another size";
    case StopCause::kPause:
      return "paused: its slots are needed elsewhere";
    case StopCause::kShutdown:
      return "stopped because Weir is shutting down; it goes on at the next start";
    default:
      return "stopped";
  }
}

}  // namespace

JobMoved JobAfter(const wire::Job& job, const wire::Lease& lease,
                  const std::optional<RunObservation>& run, const JobSight& sight,
                  const std::string& refused, Time now) {
  JobMoved moved;
  moved.job = job.id;
  const bool lost = run && run->phase == RunPhase::kLost;
  const bool exited = run && run->phase == RunPhase::kExited;
  if (exited) moved.exit_code = run->exit_code;

  if (lease.stop_cause == StopCause::kCancel) {
    moved.phase = JobPhase::kCancelled;
    moved.reason = "cancelled by its owner";
    return moved;
  }
  if (!refused.empty()) {
    moved.phase = JobPhase::kFailed;
    moved.reason = "the site will not run it: " + refused;
    moved.failed_run = true;
    return moved;
  }
  if (exited && run->exit_code == 0) {
    moved.phase = JobPhase::kDone;
    moved.reason = "exit 0";
    return moved;
  }
  if (exited && run->reason.rfind("time limit", 0) == 0) {
    moved.phase = JobPhase::kFailed;
    moved.reason = run->reason + " reached";
    moved.last_lines = run->last_lines;
    moved.failed_run = true;
    return moved;
  }

  const bool asked = lease.stop_cause != StopCause::kNone;
  if (run) CountLoss(moved, job, lease, sight, now);
  if (!run || asked || lost || run->exit_code == kExitResume) {
    moved.phase = JobPhase::kPaused;
    if (!run) {
      moved.reason = asked ? StopWord(lease.stop_cause) + ", before it began" : "it never began";
    } else if (lost) {
      moved.reason = "its run was lost" + (run->reason.empty() ? "" : ": " + run->reason);
      if (!asked) moved.not_before = now + kLostBackoff;
    } else if (asked) {
      moved.reason = StopWord(lease.stop_cause);
      if (run->exit_code != kExitResume)
        moved.reason += fmt::format(" ({}, without saving)", run->reason);
    } else {
      moved.reason = "it asked to be resumed (exit 75)";
      const Time began = lease.active.is_set() ? lease.active : lease.opened;
      if (now - began < kShortRun) moved.not_before = now + Backoff(job.attempts);
    }
    // Never run to any effect: it waits as a new one would.
    if (!run && job.attempts <= 1) moved.phase = JobPhase::kQueued;
    return moved;
  }

  moved.failed_run = true;
  moved.last_lines = run->last_lines;
  const int64_t failures = job.failures + 1;
  if (failures > job.spec.max_retries) {
    moved.phase = JobPhase::kFailed;
    moved.reason = job.spec.max_retries == 0
                       ? fmt::format("{}; no retries were asked for", run->reason)
                       : fmt::format("{}, after {} retries", run->reason, job.spec.max_retries);
    return moved;
  }
  const Duration wait = Backoff(failures);
  moved.phase = JobPhase::kQueued;
  moved.not_before = now + wait;
  moved.reason = fmt::format("{}; retry {} of {} in {}", run->reason, failures,
                             job.spec.max_retries, Human(wait));
  return moved;
}

}  // namespace weir::control
