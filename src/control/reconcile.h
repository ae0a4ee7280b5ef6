// Carries out what is journaled: asks the drivers until the world is as the state says.
//
//   lease intended, not known to be started   Driver::Start with the lease's id
//   lease stopping, not yet asked this way    Driver::Stop (a draining replica first finishes what
//                                             it serves, within its grace)
//   a run that belongs to no lease            ended: Forget; else Stop, and Forget later
//
// Nothing is done that the journal does not say, so this may run again after any crash: Start and
// Stop are idempotent by id. A site that is full or away is asked again after kSiteRetry; one that
// will never take the run is noted, and observe.h ends the lease.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "control/drivers/driver.h"
#include "control/sightings.h"
#include "control/state.h"

namespace weir::control {

inline constexpr Duration kSiteRetry = Duration::Seconds(1);
// Between telling the gateway to send a replica nothing new and asking it to stop.
inline constexpr Duration kRouteSettles = Duration::Millis(500);
inline constexpr Duration kOrphanGrace = Duration::Seconds(10);
inline constexpr Duration kUnhealthyGrace = Duration::Seconds(3);

struct RunEnv {
  std::string data_dir;
  std::string weir_binary;  // serves replicas that have no command of their own
};

RunSpec SpecOfRun(const State& state, const wire::Lease& lease, const RunEnv& env);

// Nodes of a site that a person drained at the site's engine too, and why.
std::map<std::string, std::string> DrainedNodes(const State& state, const std::string& site);

struct Reconcile {
  const State& state;
  const RunEnv& env;
  Sightings& sights;
  Time now;
  // Requests that a replica (by lease) still serves.
  std::function<int64_t(const wire::Lease&)> outstanding;
  Duration shutdown_grace;  // caps every grace while draining; 0: not draining

  // `runs`: what the site's Poll listed in this turn.
  void Act(Driver& driver, const std::vector<RunObservation>& runs);

 private:
  void Start(Driver& driver, const wire::Lease& lease, LeaseSight& sight);
  void Stop(Driver& driver, const wire::Lease& lease, LeaseSight& sight);
};

}  // namespace weir::control
