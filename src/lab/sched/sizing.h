// How many replicas a service's demand asks for.
//
//   load   = max(arrivals, forecast) + queued / drain_backlog           requests/s
//   wanted = ceil(load / (target_utilization * rate of one replica))    within min..max
//   calm   : load < low_mark * what the smaller size could serve
//
// Upwards at 0.7 and downwards at 0.6 of the smaller size, each only after it has lasted for a
// while: a constant load is never between two sizes, since load < 0.6 (n-1) rate implies wanted <=
// n-1.
#pragma once

#include "lab/sched/decide.h"

namespace weir::sched {

// Requests/s that one replica serves: as measured, else the policy's guess.
double RatePerReplica(const Demand& demand, const Policy& policy);

// Requests/s to be served, what waits in the queue included.
double Load(const Demand& demand, const Policy& policy);

// Replicas for the load, not limited to min..max. One more than `ready` when those are busy and
// miss the SLO all the same, so a wrong rate does not hide a surge.
int64_t ReplicasFor(const ServiceState& service, int64_t ready, const Policy& policy);

// The same within min_replicas..max_replicas.
int64_t WantedReplicas(const ServiceState& service, int64_t ready, const Policy& policy);

// Those of them for which a job may be stopped: what the load, forecast too, would need with every
// replica used to the full; and what the load of now needs, once it has for as long as a replica
// takes to start. The rest takes what is idle or comes free by itself, which within that time is as
// good, and there is room until then.
int64_t PressingReplicas(const ServiceState& service, int64_t ready, Time now,
                         const Policy& policy);

// Size to come down to once calm: the smallest that the load would not be above the low mark of.
int64_t CalmReplicas(const ServiceState& service, const Policy& policy);

// Sets above_since and below_since from the demand of now. `ready` replicas serve; `held` also
// counts those still starting. Called by whoever measures, each time it has measured.
void UpdateMarks(ServiceState* service, int64_t ready, int64_t held, Time now,
                 const Policy& policy);

}  // namespace weir::sched
