// What must hold whatever happens: checked after every step of every simulation, and by tests.
#pragma once

#include <string>
#include <vector>

#include "lab/sched/decide.h"

namespace weir::sched {

// Empty when all hold; else one sentence per breach, with the ids and the numbers:
//   * no slot in two leases, except a replica and the one that it replaces
//   * a job's lease has min_slots..max_slots slots; a replica's slots_per_replica
//   * no slot on two loans; a slot on a loan is held by its service, or on its way there: by a job
//     lease that is stopping, or by nobody
//   * a replica on a loan stands on that loan's slots
//   * replicas without a loan hold no more slots than product is guaranteed, those stopping aside
//   * no team has lent more than its lend limit, nor the lab more than its own
//   * every loan is back by its due time and the service's grace
std::vector<std::string> Breaches(const Snapshot& snapshot, const Policy& policy);

// Of a decision in its snapshot: slots given are usable and free (or named by the loan), to one
// holder; gangs whole; nothing starts while draining; what is stopped was running; every action
// carries its reason; a new loan's parts are disjoint, free or being freed by a stop beside it, and
// within the limits.
std::vector<std::string> Breaches(const Snapshot& snapshot, const Decision& decision,
                                  const Policy& policy);

// Of a world at rest (Decide had nothing to do, nothing is stopping or in back-off): no research
// team with a job that would fit is below its guarantee less what it has lent; no service is below
// its floor while its team's guarantee has room.
std::vector<std::string> UnsettledGuarantees(const Snapshot& snapshot);

}  // namespace weir::sched
