#include "lab/sched/decide.h"

#include "lab/sched/lab_scheduler.h"

namespace weir::sched {

Decision Decide(const Snapshot& snapshot, const Policy& policy) {
  LabScheduler scheduler;
  Decision decision = scheduler.Decide(snapshot, policy);
  decision.explanations = scheduler.ExplainAll();
  return decision;
}

}  // namespace weir::sched
