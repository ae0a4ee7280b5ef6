// EASY backfill: first in, first out, but a job may pass the first one that does not fit if that
// does not start later for it. Nothing is ever stopped. Product keeps its own and takes what is
// idle.
#include "control/sim/policies/line.h"
#include "control/sim/policies/policy.h"

namespace weir::sim {
namespace {

class Easy final : public sched::Allocator {
 public:
  void Decide(sched::Turn& turn) override {
    line_.Update(turn.world.TakeChanged(), turn.world);
    ServeProduct(turn, ProductTakes::kIdle);
    StartInOrder(turn, line_, Passing::kEasy, LeftForResearch(turn.world, false));
  }

 private:
  Line line_;
};

}  // namespace

extern const PolicyEntry kEasy;
const PolicyEntry kEasy{.name = "easy",
                        .what = "EASY backfill by the limits that jobs ask for; nothing is stopped",
                        .make = [] { return std::unique_ptr<sched::Allocator>(new Easy); },
                        .needs_limits = true};

}  // namespace weir::sim
