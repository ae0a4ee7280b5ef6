#include "lab/sched/decide.h"

#include "lab/sched/explain.h"
#include "lab/sched/plan.h"
#include "lab/sched/product.h"
#include "lab/sched/research.h"

namespace weir::sched {

Decision Decide(const Snapshot& snapshot, const Policy& policy) {
  Plan plan(snapshot, policy);
  if (snapshot.draining) {
    plan.actions.clear();
  } else {
    GiveBack(&plan);
    ServeProduct(&plan);
    ServeResearch(&plan);
  }
  Decision decision;
  decision.explanations = Explain(plan);
  decision.actions = std::move(plan.actions);
  return decision;
}

}  // namespace weir::sched
