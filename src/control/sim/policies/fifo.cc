// First in, first out: the job that came first waits until it fits, and everybody waits behind it.
// Nothing is ever stopped. Product keeps its own and takes what is idle.
#include "control/sim/policies/line.h"
#include "control/sim/policies/policy.h"

namespace weir::sim {
namespace {

class Fifo final : public sched::Allocator {
 public:
  void Decide(sched::Turn& turn) override {
    line_.Update(turn.world.TakeChanged(), turn.world);
    ServeProduct(turn, ProductTakes::kIdle);
    StartInOrder(turn, line_, Passing::kStrict, LeftForResearch(turn.world, false));
  }

 private:
  Line line_;
};

}  // namespace

extern const PolicyEntry kFifo;
const PolicyEntry kFifo{
    .name = "fifo",
    .what = "first in, first out; nothing is stopped; product keeps its own and takes what is idle",
    .make = [] { return std::unique_ptr<sched::Allocator>(new Fifo); }};

}  // namespace weir::sim
