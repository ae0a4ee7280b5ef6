// One scenario under one policy, from the first event to the last job's end.
//
// Two pictures, never mixed. The truth is what sites do: runs that start, save, stall, finish, die.
// The belief is a sched::World, the same class that the running lab keeps, set row by row from what
// is told; the policy sees nothing else, except what `knows` grants an oracle. Decide is
// sched::Decide, as in the control loop; its moves are then carried out on the truth, which checks
// every one of them on its own account.
//
//            trace, demand, faults             (Scenario)
//                      |
//    events by time -> truth --told (late)--> sched::World -> sched::Decide -> moves --+
//                        ^                                                            |
//                        +------------------------ carried out (lost, sent again) ----+
//
// Time moves from event to event; an event costs O(log n) of what exists. A decision follows every
// instant at which something was told, at least every `tick`, and when a mark of the policy falls
// due (surge_after, calm_after, a loan's due time). The running lab decides every 200 ms; nothing
// that it could decide in between would differ, since nothing in between has changed.
//
// Equal times go by kind, then by number. No clock, no thread, no hash order: the same scenario and
// policy give the same Outcome, bit for bit.
//
// Invariants are checked as things happen, against the truth:
//   a slot is given to one holder; only usable slots; a gang whole and on one pool; a loan's slots
//   to nobody else; no team lends more than its limit; every loan returned by its due time and the
//   service's drain; a job ends once; a stop costs a job no more than one checkpoint interval; what
//   the belief holds equals the truth once all is told (every kAuditEvery events and at the end).
// The first breach ends the run; Outcome::violation has it with the seed and the last events.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/sim/policies/policy.h"
#include "control/sim/replay/outcome.h"
#include "control/sim/scenario/scenario.h"
#include "lab/sched/turn.h"

namespace weir::sim {

struct ReplayProgress {
  double simulated_days = 0;
  int64_t jobs_ended = 0;
};

struct ReplayOptions {
  Duration tick = Duration::Seconds(60);
  // Changes what a policy decided before it is carried out: tests plant bugs here.
  std::function<void(std::vector<sched::Move>*, uint64_t seed)> tamper;
  std::function<Duration()> stopwatch;                  // monotonic; null: decisions are not timed
  std::function<void(const ReplayProgress&)> progress;  // now and then
};

Outcome RunReplay(const Scenario& scenario, const PolicyEntry& policy,
                  const ReplayOptions& options = {});

}  // namespace weir::sim
