// Observations as events: what the drivers and probes say, against what the state believes.
//
// Level-triggered: every event here follows from the difference between two pictures, so a tick
// whose events could not be journaled simply finds them again.
//
//   state says            driver says                     event
//   slot X                other health, or gone           slot.seen
//   lease intended        running                         lease.active
//   lease, any phase      exited                          lease.ended (+ job.*, loan.loss)
//   lease active          nothing, or lost                lease.ended as lost
//   lease stopping        nothing                         lease.ended: it never began
//   lease intended        nothing                         -  (reconcile.h starts it)
//   job                   newer checkpoint line           checkpoint.saved
//   replica not ready     health path answers             replica.ready
//   replica ready         kProbeFailures misses           replica.unready, lease.stop_asked
//   replica not ready     for kReadyWithin                lease.stop_asked (unhealthy)
//   lease, any phase      unreachable for lost_after      lease.ended as lost, by the site's policy
// Before that a site that cannot be reached says nothing, and nothing follows from it.
#pragma once

#include <string>
#include <vector>

#include "control/drivers/driver.h"
#include "control/events.h"
#include "control/ports.h"
#include "control/sightings.h"
#include "control/state.h"

namespace weir::control {

inline constexpr int64_t kProbeFailures = 3;
inline constexpr Duration kProbeEvery = Duration::Seconds(1);
inline constexpr Duration kProbeEveryStarting = Duration::Millis(200);
inline constexpr Duration kProbeTimeout = Duration::Seconds(2);
inline constexpr Duration kReadyWithin = Duration::Minutes(2);

struct SiteReport {
  std::string site;
  // Silent for so long, its work is declared lost; 0 = never. Counted from when this process first
  // missed it: a restart grants the time anew.
  Duration lost_after = {};
  Result<std::vector<wire::Slot>> slots = std::vector<wire::Slot>{};
  Result<std::vector<RunObservation>> runs = std::vector<RunObservation>{};
};

// Two instants, as everywhere in the loop: the lab's, and the monotonic one for lengths.
struct Instant {
  Time lab;
  Duration monotonic;
};

// Notes progress, ports and reachability in `sights`; returns what is to be journaled.
std::vector<Event> Observe(const State& state, const std::vector<SiteReport>& reports,
                           const std::vector<ProbeResult>& probes, Instant now, Sightings& sights);

// The probes that are due; marks them as under way.
std::vector<ProbeTarget> DueProbes(const State& state, Time now, Sightings& sights);

// Lines of a progress file into a sight. Lines that make no sense are passed over.
void NoteProgress(const std::vector<wire::Json>& lines, Time now, const std::string& lease,
                  JobSight& sight);

// The site part of a slot's id "site/node/index".
std::string SiteOf(const std::string& slot_id);

}  // namespace weir::control
