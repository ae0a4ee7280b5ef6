// When what waits is expected to start: the same policy, asked again and again on a copy of the
// world in which running jobs end when they are expected to.
//
// What it assumes   nobody submits anything; demand stays as it is; a run whose end is not known
//                   goes on; one that is late ends after as long again as it is late by; what is
//                   stopping has stopped after kStopTakes; loans come back when they are due.
// Cost              at most `steps` decisions on the copy, each at the next time that something
// ends.
#pragma once

#include <map>
#include <optional>

#include "lab/sched/turn.h"

namespace weir::sched {

inline constexpr Duration kStopTakes = Duration::Seconds(10);

// By job: when it starts. Those that do not start within the steps are absent.
// `late`: runs end when they end at the latest (World::LongestRun) instead of when expected.
std::map<JobId, Time> Foresee(World world, Allocator& allocator, int steps, bool late = false,
                              JobId until = -1);

}  // namespace weir::sched
