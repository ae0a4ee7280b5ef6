#include "control/sim/policies/line.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/sched/sizing.h"

namespace weir::sim {

using sched::JobId;
using sched::RunPhase;

void Line::Remove(JobId job) {
  const auto it = known_.find(job);
  if (it == known_.end()) return;
  const auto& [need, key] = it->second;
  keys_.erase(key);
  if (const auto queue = by_need_.find(need); queue != by_need_.end()) {
    queue->second.erase(key);
    if (queue->second.empty()) by_need_.erase(queue);
  }
  known_.erase(it);
}

void Line::Update(const std::vector<JobId>& changed, const sched::World& world) {
  for (const JobId id : changed) {
    Remove(id);
    if (!world.HasJob(id)) continue;
    const sched::Job& job = world.job(id);
    if (job.phase != RunPhase::kWaiting && job.phase != RunPhase::kPaused) continue;
    const Key key{-job.priority, order_ ? order_(world, id) : job.submitted.us, id};
    const Need need{job.shape, job.min_slots};
    keys_.insert(key);
    by_need_[need].insert(key);
    known_.emplace(id, std::pair(need, key));
  }
}

std::vector<Line::Key> Line::Heads() const {
  std::vector<Key> heads;
  heads.reserve(by_need_.size());
  for (const auto& [need, keys] : by_need_) heads.push_back(*keys.begin());
  std::sort(heads.begin(), heads.end());
  return heads;
}

void Running::Update(const std::vector<JobId>& changed, const sched::World& world) {
  for (const JobId id : changed) {
    if (const auto it = known_.find(id); it != known_.end()) {
      by_start_.erase({it->second.first, id});
      slots_ -= it->second.second;
      known_.erase(it);
    }
    if (!world.HasJob(id) || world.job(id).phase != RunPhase::kRunning) continue;
    const Time placed = world.job(id).placed;
    const int64_t slots = sched::SlotsIn(world.job(id).places);
    by_start_.insert({placed, id});
    slots_ += slots;
    known_.emplace(id, std::pair(placed, slots));
  }
}

Split SplitOf(const sched::World& world) {
  Split split;
  split.product_own = world.product_guarantee();
  split.research = world.fleet().usable() - split.product_own;
  split.free = world.fleet().free();
  for (const auto& [id, replica] : world.replicas())
    split.product_held += sched::SlotsIn(replica.places);
  return split;
}

int64_t SlotsComing(const sched::World& world) {
  int64_t slots = 0;
  for (const JobId id : world.stopping()) slots += sched::SlotsIn(world.job(id).places);
  return slots;
}

int64_t LeftForResearch(const sched::World& world, bool lends_products_own) {
  const Split split = SplitOf(world);
  if (lends_products_own) return split.free;
  return split.free - std::max<int64_t>(0, split.product_own - split.product_held);
}

std::vector<JobId> NewestFirst(const Running& running) {
  std::vector<JobId> out;
  for (auto it = running.by_start().rbegin(); it != running.by_start().rend(); ++it)
    out.push_back(it->second);
  return out;
}

namespace {

constexpr int kBackfillDepth = 1000;  // jobs looked at beyond the first that does not fit

// When `n` slots of one pool will be free for research, by everybody's limits, and how many more.
struct Shadow {
  Time at;
  int64_t extra = 0;
};
Shadow ShadowOf(const sched::Turn& turn, JobId head, int64_t n, int64_t left) {
  const sched::World& world = turn.world;
  const sched::Shape& shape = world.shape(world.job(head).shape);
  Shadow best;
  for (sched::PoolId pool = 0; pool < static_cast<sched::PoolId>(world.fleet().pools().size());
       ++pool) {
    if (!world.fleet().Suits(shape, pool)) continue;
    int64_t free = std::min(left, world.fleet().pools()[static_cast<size_t>(pool)].free);
    for (const sched::EndRow& end : world.ends()[static_cast<size_t>(pool)]) {
      if (best.at.is_set() && end.at >= best.at) break;
      free += end.slots;
      if (free < n) continue;
      best = {std::max(end.at, turn.now), free - n};
      break;
    }
  }
  return best;
}

}  // namespace

void StartInOrder(sched::Turn& turn, Line& line, Passing passing, int64_t left) {
  const auto start = [&](JobId job, int64_t n) {
    if (n > left || !StartAnywhere(turn, job, n)) return false;
    left -= n;
    line.Remove(job);
    return true;
  };
  if (passing == Passing::kBestEffort) {
    // Of each queue as many as fit, the queues by their first job.
    while (left > 0) {
      bool any = false;
      for (const Line::Key& key : line.Heads())
        any |= start(key.job, turn.world.job(key.job).min_slots);
      if (!any) return;
    }
    return;
  }
  while (!line.empty()) {
    const JobId job = line.all().begin()->job;
    if (!start(job, turn.world.job(job).min_slots)) break;
  }
  if (passing == Passing::kStrict || line.empty() || left <= 0) return;
  const JobId head = line.all().begin()->job;
  Shadow shadow = ShadowOf(turn, head, turn.world.job(head).min_slots, left);
  std::map<int64_t, Duration> failed;  // by size: the shortest limit that did not fit
  std::vector<JobId> candidates;
  for (auto it = std::next(line.all().begin());
       it != line.all().end() && std::ssize(candidates) < kBackfillDepth; ++it)
    candidates.push_back(it->job);
  for (const JobId job : candidates) {
    if (left <= 0) return;
    const int64_t n = turn.world.job(job).min_slots;
    if (n > left) continue;
    const Duration run = turn.world.LongestRun(turn.world.job(job), n);
    const auto known = failed.find(n);
    if (known != failed.end() && known->second <= run) continue;
    const bool over = shadow.at.is_set() && run.us > 0 && turn.now + run <= shadow.at;
    const bool beside = !shadow.at.is_set() || n <= shadow.extra;
    if ((over || beside) && start(job, n)) {
      if (!over) shadow.extra -= n;
      continue;
    }
    failed[n] = known == failed.end() ? run : std::min(known->second, run);
  }
}

bool StartAnywhere(sched::Turn& turn, JobId job, int64_t n) {
  const sched::PoolId pool = turn.BestPool(job, n);
  return pool >= 0 && turn.StartJob(job, n, pool, {});
}

int64_t ReplicasWanted(const sched::Turn& turn, sched::ServiceId id, int64_t held, int64_t ready) {
  const sched::ServiceState& service = turn.world.services()[id];
  const int64_t wanted = sched::WantedReplicas(service, ready, turn.policy);
  if (wanted >= held) return wanted;
  const Time calm = service.demand.below_since;
  if (!calm.is_set() || turn.now - calm < turn.policy.calm_after) return held;
  const int64_t least = service.service.spec.min_replicas;
  return std::clamp(sched::CalmReplicas(service, turn.policy), std::min(least, held), held);
}

int64_t ServeProduct(sched::Turn& turn, ProductTakes takes) {
  sched::World& world = turn.world;
  const size_t n = world.services().size();
  struct Count {
    int64_t held = 0, ready = 0, slots = 0;
    std::vector<sched::ReplicaId> ids;  // not stopping
  };
  std::vector<Count> counts(n);
  int64_t product = 0;
  for (const auto& [id, replica] : world.replicas()) {
    const int64_t slots = sched::SlotsIn(replica.places);
    product += slots;
    if (replica.stopping || replica.service < 0) continue;
    Count& c = counts[static_cast<size_t>(replica.service)];
    ++c.held;
    if (replica.ready) ++c.ready;
    c.ids.push_back(id);
  }
  int64_t room = INT64_MAX;
  if (takes == ProductTakes::kOwn) room = world.product_guarantee() - product;
  int64_t missing = 0;
  for (size_t i = 0; i < n; ++i) {
    Count& c = counts[i];
    const sched::ServiceId service = static_cast<sched::ServiceId>(i);
    const int64_t per = std::max<int64_t>(1, world.services()[i].service.spec.slots_per_replica);
    const int64_t wanted = ReplicasWanted(turn, service, c.held, c.ready);
    // The newest go first: those that came last are the least settled.
    for (int64_t k = c.held; k > wanted && !c.ids.empty(); --k) {
      turn.StopReplica(c.ids.back(), {"the service is calm", {}});
      c.ids.pop_back();
    }
    for (int64_t k = c.held; k < wanted; ++k) {
      if (room < per) break;
      sched::Places places;
      for (sched::PoolId pool = 0;
           places.empty() && pool < static_cast<sched::PoolId>(world.fleet().pools().size());
           ++pool)
        places = world.fleet().Find(pool, per, sched::Shape{});
      if (places.empty()) {
        missing += std::min(wanted - k, room / per) * per;
        room -= std::min(wanted - k, room / per) * per;
        break;
      }
      turn.StartReplica(service, places, -1, {"the service's demand asks for it", {}});
      if (room != INT64_MAX) room -= per;
    }
  }
  return takes == ProductTakes::kIdle ? 0 : std::max<int64_t>(0, missing - SlotsComing(world));
}

int64_t MakeRoom(sched::Turn& turn, int64_t need, const std::vector<JobId>& order,
                 RoomOptions options, const char* why) {
  struct Victim {
    JobId job;
    int64_t give;
    bool shrinks;
  };
  std::vector<Victim> chosen;
  int64_t coming = 0;
  for (const JobId id : order) {
    if (coming >= need) break;
    const sched::Job& job = turn.world.job(id);
    if (job.phase != RunPhase::kRunning) continue;
    const int64_t slots = sched::SlotsIn(job.places);
    const int64_t spare = options.shrink && job.checkpointable ? slots - job.min_slots : 0;
    const bool shrinks = spare > 0;
    const int64_t give = shrinks ? std::min(spare, need - coming) : slots;
    chosen.push_back({id, give, shrinks});
    coming += give;
  }
  for (size_t i = chosen.size(); options.spare && i-- > 0;) {
    if (coming - chosen[i].give < need) continue;
    coming -= chosen[i].give;
    chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
  }
  for (const Victim& v : chosen)
    turn.StopJob(v.job, v.shrinks ? sched::How::kShrink : sched::How::kPause, v.give, {},
                 {why, {}});
  return coming;
}

}  // namespace weir::sim
