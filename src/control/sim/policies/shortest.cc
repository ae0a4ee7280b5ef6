// An oracle: it knows how long every job runs and what demand will come. The shortest work left
// goes first; product has its replicas ready when they are needed; of the running jobs those that
// lose least make room.
#include <algorithm>

#include "control/sim/policies/line.h"
#include "control/sim/policies/policy.h"

namespace weir::sim {
namespace {

int64_t ByWork(const sched::World& world, sched::JobId job) { return world.job(job).expected.us; }

class Shortest final : public sched::Allocator {
 public:
  void Decide(sched::Turn& turn) override {
    const std::vector<sched::JobId> changed = turn.world.TakeChanged();
    line_.Update(changed, turn.world);
    running_.Update(changed, turn.world);
    if (const int64_t need = ServeProduct(turn, ProductTakes::kAll); need > 0)
      MakeRoom(turn, need, Order(turn.world), {.spare = true},
               "product is about to need its slots");
    StartInOrder(turn, line_, Passing::kBestEffort, LeftForResearch(turn.world, true));
  }

 private:
  // Least work lost for each slot that comes free.
  std::vector<sched::JobId> Order(const sched::World& world) const {
    std::vector<std::pair<double, sched::JobId>> ids;
    for (const auto& [start, id] : running_.by_start()) {
      const double slots = static_cast<double>(sched::SlotsIn(world.job(id).places));
      ids.emplace_back(world.LostWork(id) / std::max(1.0, slots), id);
    }
    std::sort(ids.begin(), ids.end());
    std::vector<sched::JobId> order;
    for (const auto& [lost, id] : ids) order.push_back(id);
    return order;
  }

  Line line_{&ByWork};
  Running running_;
};

}  // namespace

extern const PolicyEntry kShortest;
const PolicyEntry kShortest{
    .name = "shortest",
    .what = "an oracle: shortest work first with all durations and all demand known",
    .make = [] { return std::unique_ptr<sched::Allocator>(new Shortest); },
    .online = false,
    .knows_durations = true,
    .knows_demand = true,
    .wants_checkpoints = true};

}  // namespace weir::sim
