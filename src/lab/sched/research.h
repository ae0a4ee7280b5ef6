// The research side of a decision: which waiting jobs start, at which size, where, and which
// running ones make room for them or grow.
//
//   restarts  jobs stopped by kResize keep what is left of their old slots
//   admit     by turns, the team furthest below its guarantee or share first, each with its best
//   job
//             (priority, paused before queued, age, id) at min_slots; a gang whole or not at all
//   make room where free slots do not do: elastic jobs of the same team, then of teams above their
//             share, are shrunk; a team within its share or its guarantee may have others paused
//   extras    what is left goes to those that start now, a slot at a time, by the same turns
//   growth    then to running elastic jobs, if the slots have been idle for a while and the restart
//             pays
#pragma once

#include "lab/sched/plan.h"

namespace weir::sched {

void ServeResearch(Plan* plan);

}  // namespace weir::sched
