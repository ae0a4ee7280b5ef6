// All-reduce inside one fast domain, as collective libraries time it.
//
//     t = latency + hop (n - 1) + 2 (n - 1) / n * (bytes + ramp) / (share * bandwidth(n))
//
// The bandwidth is the link's where a switch joins all members, and a ring's times the number of
// rings that the group's links form in a mesh. Source of the ring volume: Patarasuk and Yuan 2009.
#pragma once

#include "lab/blueprint/hardware.h"
#include "lab/blueprint/knobs.h"

namespace weir::blueprint {

// Seconds. ranks of 1 take none. Ranks beyond the fast domain go through the NICs.
double AllReduceSeconds(const Accelerator& accelerator, int ranks, double bytes,
                        const Coefficients& c);

}  // namespace weir::blueprint
