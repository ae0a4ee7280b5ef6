// What keeps the waiting from starting, whom they wait for, what would change it; and what could
// end what runs. After a decision, from the world as it left it and the notes that it made.
#pragma once

#include <optional>
#include <string>

#include "lab/sched/plan.h"

namespace weir::sched {

// Of a waiting job all blockers, not the first, and the cheapest change that would start it now:
// the first that would do of: a smaller size, another accelerator type, a wider spread, a higher
// limit or budget, slots brought back into use, a loan recalled, a higher guarantee.
Explanation ExplainJob(World& world, const Notes& notes, JobId job);
// nullopt: it has what it wants.
std::optional<Explanation> ExplainService(const World& world, const Notes& notes,
                                          ServiceId service);
Explanation ExplainLoan(const World& world, LoanId loan, const std::string& name);

}  // namespace weir::sched
