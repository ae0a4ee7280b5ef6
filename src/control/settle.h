// What follows from the state alone, without policy: consequences that nobody has to decide.
//
//   a recalled loan without leases           loan.returned, with its cost and the lenders' credit
//   an open loan whose service is gone       loan.recalled
//   a retiring service                       its replicas drain; without leases service.retired
//   an exchange whose new replica is ready   the old one is asked to stop (kReplace)
//   a site that drains                       its replicas drain, jobs that can be saved are paused:
//                                            both go on elsewhere
//   draining                                 everything is asked to stop (kShutdown)
//
// Pure. A step whose effect is in the state is not asked for again.
#pragma once

#include <vector>

#include "control/events.h"
#include "control/state.h"

namespace weir::control {

std::vector<Event> Settle(const State& state, Time now, bool draining, Duration credit_half_life);

// A team's credit at `now`: it halves with every half-life since it was set, as fair share forgets
// old use too.
double CreditNow(const State& state, const wire::Team& team, Time now, Duration half_life);

}  // namespace weir::control
