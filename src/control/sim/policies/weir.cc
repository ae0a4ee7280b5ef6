// Weir's own: the allocator that the running lab asks, in the same object code.
#include "control/sim/policies/policy.h"

namespace weir::sim {

extern const PolicyEntry kWeirPolicy;
const PolicyEntry kWeirPolicy{.name = "weir",
                              .what = "Weir: loans with due times, least work lost, fair shares",
                              .make = [] { return sched::kWeir.make(); },
                              .learns = true,
                              .wants_checkpoints = true,
                              .loans = true,
                              .elastic = true};

}  // namespace weir::sim
