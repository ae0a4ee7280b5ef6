// A lab's own past as a trace: `weir sim --from-journal`.
//
// Jobs      submitted when they were, with team, name, size, priority and checkpoint interval;
// their
//           work is what their leases did, less what was lost by stops. A job that has not ended
//           counts with what it has done so far.
// Demand    the journal keeps no traffic. A service is taken to have needed the replicas that were
//           ready at each instant; what was refused or waited cannot be known.
// Fleet     the slots seen, by site and node; the teams as last put. Starts, stops and checkpoints
//           cost what they cost on one machine (a few seconds), unless a fleet file is given.
// The store is opened read-only, beside a running `weir up` or after it.
#pragma once

#include <string>

#include "base/result.h"
#include "control/sim/scenario/fleet.h"
#include "control/sim/traces/trace.h"
#include "io/store.h"

namespace weir::sim {

struct JournalPast {
  Trace trace;
  FleetSpec fleet;
};

// `data`: the lab's data folder. kNotFound: no store there. kFailedPrecondition: the journal tells
// of neither jobs nor services, or of no slots.
Result<JournalPast> ReadJournalPast(const std::string& data);
Result<JournalPast> ReadJournalPast(io::Store& store);

}  // namespace weir::sim
