// What no policy can beat, whatever it knows: the offline bound that stands beside every report.
//
// Unmet demand    need beyond the whole fleet, even if research had nothing.
// Completion      mean: the greater of two.
//   alone         every job starts at once, on its largest size: start and work.
//   fluid         jobs are water: any job may use every slot that product does not need, at its
//                 best efficiency, with no start to pay, and may be stopped and resumed for
//                 nothing. Shortest remaining work first then minimises the sum of completion times
//                 exactly (Schrage, 1968), and each real schedule is one of these. p50, p90, p99:
//                 alone only; percentiles of the fluid are not bounds.
// Lost to stops   0: an oracle may stop nothing.
// Cost            O(n log n) in jobs plus one step for every ten minutes.
#pragma once

#include "control/sim/replay/outcome.h"
#include "control/sim/scenario/scenario.h"

namespace weir::sim {

struct Bound {
  double unmet_slot_min = 0;
  double mean_completion_s = 0;
  double mean_alone_s = 0, mean_fluid_s = 0;
  Spread alone;
};
Bound BoundOf(const Scenario& scenario);

}  // namespace weir::sim
