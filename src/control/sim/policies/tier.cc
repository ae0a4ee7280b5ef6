// Slurm as it is usually set up for this: product's jobs in a partition of a higher tier, research
// preempted by requeue (PreemptType=preempt/partition_prio, PreemptMode=REQUEUE), the youngest
// first (preempt_youngest_first), backfill within research. What is requeued goes back to its place
// in the line; it resumes from a checkpoint if it made one.
#include "control/sim/policies/line.h"
#include "control/sim/policies/policy.h"

namespace weir::sim {
namespace {

class Tier final : public sched::Allocator {
 public:
  void Decide(sched::Turn& turn) override {
    const std::vector<sched::JobId> changed = turn.world.TakeChanged();
    line_.Update(changed, turn.world);
    running_.Update(changed, turn.world);
    if (const int64_t need = ServeProduct(turn, ProductTakes::kAll); need > 0)
      MakeRoom(turn, need, NewestFirst(running_), {}, "a job of a higher tier needs its slots");
    StartInOrder(turn, line_, Passing::kEasy, LeftForResearch(turn.world, true));
  }

 private:
  Line line_;
  Running running_;
};

}  // namespace

extern const PolicyEntry kTier;
const PolicyEntry kTier{
    .name = "tier",
    .what = "as Slurm with a higher tier for product: research is requeued, the youngest first",
    .make = [] { return std::unique_ptr<sched::Allocator>(new Tier); },
    .requeues = true,
    .needs_limits = true};

}  // namespace weir::sim
