// Between the state and the deciders: the snapshots that sched::Decide and learn::Advance are asked
// with, and their answers as events, which are the intents that reconcile.h then carries out.
//
// Deciders propose, the state disposes: each event is first applied to a copy. One that the state
// refuses (a slot leased in the meantime, a lease already stopping) is dropped with the actions
// that rest on it, and counted: that is a bug of a decider, never a broken journal.
//
// Pure, but for the sightings that it reads.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "control/budget.h"
#include "control/demand.h"
#include "control/events.h"
#include "control/ports.h"
#include "control/sightings.h"
#include "control/state.h"
#include "lab/learn/learn.h"
#include "lab/sched/decide.h"
#include "lab/sched/estimate.h"

namespace weir::control {

struct Guesses {  // until measured
  Duration job_restart = Duration::Seconds(3);
  Duration replica_startup = Duration::Seconds(2);
};

// What the lab knows beyond its state: how long jobs like these ran, what a slot costs.
struct Learned {
  sched::RunHistory history;
  std::set<std::string> noted;  // ended jobs that are in it
  Prices prices;
  // Takes in the jobs of the state that are done, in the order in which they ended.
  void Note(const State& state);
};

sched::Snapshot SchedSnapshot(const State& state, const Sightings& sights,
                              const std::map<std::string, DemandTracker>& demands, Time now,
                              bool draining, const sched::Policy& policy, const Guesses& guesses,
                              const Learned& learned = {});
// The row of one job in it, also of one that is not submitted yet.
sched::JobState SchedJob(const State& state, const Sightings& sights, const wire::Job& job,
                         const Guesses& guesses, const Learned& learned, const Budgets& budgets);

struct Intents {
  std::vector<Event> events;
  std::vector<std::string> refused;  // sentences: what was proposed and why not
};

Intents FromDecision(const State& state, const sched::Decision& decision, Time now);

// Fills in what the files say. `files` may be null.
learn::Snapshot LearnSnapshot(const State& state, LabFiles* files, Time now, bool draining);

Intents FromSteps(const State& state, const std::vector<learn::Step>& steps,
                  const std::string& data_dir, Time now);

}  // namespace weir::control
