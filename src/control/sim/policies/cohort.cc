// Kueue with one cohort: each team is a cluster queue whose nominal quota is its guarantee, product
// ranks higher. Whoever is below its quota reclaims what others borrowed (reclaimWithinCohort:
// Any); product, being of higher priority, also preempts while it borrows itself
// (borrowWithinCohort: LowerPriority). Candidates: of lower priority first, then the most recently
// admitted; those that are not needed in the end are taken off the list again. Queues are best
// effort: whoever fits starts, nobody has a reservation.
#include "control/sim/policies/line.h"
#include "control/sim/policies/policy.h"

namespace weir::sim {
namespace {

class Cohort final : public sched::Allocator {
 public:
  void Decide(sched::Turn& turn) override {
    const std::vector<sched::JobId> changed = turn.world.TakeChanged();
    line_.Update(changed, turn.world);
    running_.Update(changed, turn.world);
    const int64_t need = ServeProduct(turn, ProductTakes::kAll);
    if (need > 0)
      MakeRoom(turn, need, NewestFirst(running_), {.spare = true},
               "product preempts in the cohort");
    const int64_t left = LeftForResearch(turn.world, true);
    if (need == 0 && left == 0) Reclaim(turn);
    StartInOrder(turn, line_, Passing::kBestEffort, left);
  }

 private:
  // The first waiting job of a team below its quota, from teams above theirs.
  void Reclaim(sched::Turn& turn) {
    const sched::World& world = turn.world;
    if (!world.stopping().empty()) return;
    for (const Line::Key& key : line_.Heads()) {
      const sched::Job& job = world.job(key.job);
      if (job.team < 0) continue;
      const auto held = [&](sched::TeamId team) {
        int64_t slots = 0, guarantee = 0;
        for (size_t type = 0; type < world.types().size(); ++type) {
          const sched::Account& a = world.accounts()[static_cast<size_t>(
              world.AccountOf(team, static_cast<int32_t>(type)))];
          slots += a.held();
          guarantee += a.guarantee;
        }
        return std::pair(slots, guarantee);
      };
      const auto [own, quota] = held(job.team);
      if (own + job.min_slots > quota) continue;
      std::vector<sched::JobId> candidates;
      for (const sched::JobId id : NewestFirst(running_)) {
        const auto [theirs, guaranteed] = held(world.job(id).team);
        if (world.job(id).team != job.team && theirs > guaranteed) candidates.push_back(id);
      }
      if (candidates.empty()) continue;
      MakeRoom(turn, job.min_slots - world.fleet().free(), candidates, {.spare = true},
               "its team has borrowed what another is guaranteed");
      return;
    }
  }

  Line line_;
  Running running_;
};

}  // namespace

extern const PolicyEntry kCohort;
const PolicyEntry kCohort{
    .name = "cohort",
    .what = "as Kueue with one cohort: product reclaims and preempts, the last admitted first",
    .make = [] { return std::unique_ptr<sched::Allocator>(new Cohort); },
    .requeues = true};

}  // namespace weir::sim
