#include "lab/sched/explain.h"
namespace weir::sched {
std::vector<Explanation> Explain(const Plan&) { return {}; }
}  // namespace weir::sched
