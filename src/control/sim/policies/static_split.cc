// Two clusters that never help each other: product has what it owns, research has the rest, first
// in, first out with backfill.
#include "control/sim/policies/line.h"
#include "control/sim/policies/policy.h"

namespace weir::sim {
namespace {

class StaticSplit final : public sched::Allocator {
 public:
  void Decide(sched::Turn& turn) override {
    line_.Update(turn.world.TakeChanged(), turn.world);
    ServeProduct(turn, ProductTakes::kOwn);
    StartInOrder(turn, line_, Passing::kEasy, LeftForResearch(turn.world, false));
  }

 private:
  Line line_;
};

}  // namespace

extern const PolicyEntry kStaticSplit;
const PolicyEntry kStaticSplit{
    .name = "static",
    .what = "product has what it owns, research the rest (with EASY backfill); nothing is lent",
    .make = [] { return std::unique_ptr<sched::Allocator>(new StaticSplit); },
    .needs_limits = true};

}  // namespace weir::sim
