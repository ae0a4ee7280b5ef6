// What keeps the waiting from starting, how long that may last and what would change it; and what
// could end what runs.
#pragma once

#include <vector>

#include "lab/sched/plan.h"

namespace weir::sched {

// After the decision has been made in `plan`. One per job that has not ended, per service that has
// fewer replicas than it wants, per loan not returned; in order of subject. Of a waiting job, all
// blockers.
std::vector<Explanation> Explain(const Plan& plan);

}  // namespace weir::sched
