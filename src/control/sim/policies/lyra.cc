// Lyra's loaning (EuroSys'23), which lends the other way round: what inference does not use of its
// own is lent to training, and taken back when traffic rises. Product never has more than its own.
// Taking back scales elastic jobs in first, then stops as few jobs as it can: the largest that are
// no larger than what is missing, then the smallest that is larger. (Lyra counts jobs by server;
// with slots that are taken one by one, fewest jobs is the same aim.) Elastic jobs start at their
// least size and grow into what is idle. The line is best effort, shortest expected first where
// jobs ask for a limit.
#include <algorithm>

#include "control/sim/policies/line.h"
#include "control/sim/policies/policy.h"

namespace weir::sim {
namespace {

int64_t ByLimit(const sched::World& world, sched::JobId job) {
  const sched::Job& row = world.job(job);
  return row.limit.us > 0 ? row.limit.us : INT64_MAX / 2 + row.submitted.us / 4;
}

class Lyra final : public sched::Allocator {
 public:
  void Decide(sched::Turn& turn) override {
    const std::vector<sched::JobId> changed = turn.world.TakeChanged();
    line_.Update(changed, turn.world);
    running_.Update(changed, turn.world);
    if (const int64_t need = ServeProduct(turn, ProductTakes::kOwn); need > 0)
      MakeRoom(turn, need, Order(turn.world, need), {.shrink = true, .spare = true},
               "inference takes back what it lent");
    StartInOrder(turn, line_, Passing::kBestEffort, LeftForResearch(turn.world, true));
  }

 private:
  std::vector<sched::JobId> Order(const sched::World& world, int64_t need) const {
    std::vector<sched::JobId> ids = NewestFirst(running_);
    const auto key = [&](sched::JobId id) {
      const sched::Job& job = world.job(id);
      const int64_t slots = sched::SlotsIn(job.places);
      const bool elastic = job.checkpointable && slots > job.min_slots;
      return std::tuple(elastic              ? 0
                        : job.checkpointable ? 1
                                             : 2,
                        slots > need, slots > need ? slots : -slots);
    };
    std::stable_sort(ids.begin(), ids.end(),
                     [&](sched::JobId a, sched::JobId b) { return key(a) < key(b); });
    return ids;
  }

  Line line_{&ByLimit};
  Running running_;
};

}  // namespace

extern const PolicyEntry kLyra;
const PolicyEntry kLyra{
    .name = "lyra",
    .what = "as Lyra: product's idle slots are lent to research and taken back, elastic jobs first",
    .make = [] { return std::unique_ptr<sched::Allocator>(new Lyra); },
    .elastic = true};

}  // namespace weir::sim
