#include "lab/sched/plan.h"

#include <algorithm>
#include <bit>
#include <set>

namespace weir::sched {

using wire::StopCause;

Plan::Plan(Turn* t, Notes* n)
    : turn(*t), world(t->world), policy(t->policy), now(t->now), notes(*n), coming(pools()) {
  ReadServices();
  ReadComing();
  ReadClaims();
}

void Plan::ReadServices() {
  for (ServiceId id = 0; id < std::ssize(world.services()); ++id) {
    ServicePlan s{.id = id, .state = &world.services()[id]};
    s.team = world.TeamOf(s.spec().team);
    s.note = &notes.services[id];
    services.push_back(std::move(s));
    by_tier.push_back(id);
  }
  std::stable_sort(by_tier.begin(), by_tier.end(),
                   [&](int a, int b) { return services[a].spec().tier < services[b].spec().tier; });
  std::vector<ReplicaId> orphans;
  for (const auto& [id, r] : world.replicas()) {
    if (r.service < 0) {
      if (!r.stopping) orphans.push_back(id);
      continue;
    }
    ServicePlan& s = services[r.service];
    s.replicas.push_back(id);
    s.note->ready += r.ready && !r.stopping && r.replaces < 0;
  }
  for (const auto& [id, loan] : world.loans()) {
    if (loan.service >= 0) services[loan.service].loans.push_back(id);
  }
  for (ServicePlan& s : services) {
    std::stable_sort(s.loans.begin(), s.loans.end(), [&](LoanId a, LoanId b) {
      return world.loans().at(a).opened < world.loans().at(b).opened;
    });
  }
  for (const ReplicaId id : orphans) turn.StopReplica(id, {"its service is gone", {}});
}

void Plan::ReadComing() {
  const Fleet& fleet = world.fleet();
  const auto frees = [&](const Places& places, const std::set<SlotId>& taken_over) {
    int64_t n = 0;
    for (const SlotId slot : SlotIds(places)) {
      n += fleet.Usable(slot) && !fleet.Lent(slot) && !taken_over.contains(slot);
    }
    return n;
  };
  for (const JobId id : world.stopping()) {
    const Job& job = world.job(id);
    const PoolId p = world.PoolOf(job.places);
    if (p < 0) continue;
    const int64_t n = frees(job.places, {});
    coming[p] += job.cause == StopCause::kResize ? std::max<int64_t>(n - job.min_slots, 0) : n;
  }
  std::set<SlotId> taken_over;  // by a replica that stays where another stops
  bool any = false;
  for (const auto& [id, r] : world.replicas()) any = any || (r.stopping && r.loan < 0);
  if (!any) return;
  for (const auto& [id, r] : world.replicas()) {
    if (r.stopping) continue;
    for (const SlotId slot : SlotIds(r.places)) taken_over.insert(slot);
  }
  for (const auto& [id, r] : world.replicas()) {
    const PoolId p = world.PoolOf(r.places);
    if (r.stopping && r.loan < 0 && p >= 0) coming[p] += frees(r.places, taken_over);
  }
}

void Plan::ReadClaims() {
  for (const JobId id : world.claiming()) {
    const Job& job = world.job(id);
    if (job.team < 0 || job.hold != Hold::kNone || job.not_before > now) continue;
    const bool resized = job.cause == StopCause::kResize;
    if (!resized && job.cause != StopCause::kPause) continue;
    Claim claim{.job = id, .pool = world.PoolOf(job.places), .restarting = resized};
    if (claim.pool < 0) continue;
    for (const Place& p : job.places) {
      const uint64_t free = p.slots & world.fleet().FreeMask(p.node);
      if (free != 0 && world.fleet().PoolOf(p.node) == claim.pool) {
        claim.places.push_back({p.node, free});
      }
    }
    const int64_t n = SlotsIn(claim.places);
    if (n < (resized ? 1 : job.min_slots)) continue;
    turn.SetAside(claim.places);
    if (resized) turn.Count(world.AccountIn(job.team, claim.pool), n);
    claims.push_back(std::move(claim));
  }
}

bool Plan::Suits(const ServicePlan& s, PoolId p) const {
  const std::vector<std::string>& types = s.spec().types;
  if (types.empty()) return true;
  const int32_t type = pool(p).type;
  return type < std::ssize(world.types()) &&
         std::find(types.begin(), types.end(), world.types()[type]) != types.end();
}

int64_t Plan::Own(const ServicePlan& s) const {
  int64_t n = 0;
  for (const ReplicaId id : s.replicas) {
    const Replica& r = world.replicas().at(id);
    n += !r.stopping && r.replaces < 0 && r.loan < 0;
  }
  return n;
}

void Plan::PromiseProduct(const ServicePlan& s, PoolId p, int64_t slots) {
  promised_ += slots;
  if (s.team >= 0) turn.Count(world.AccountIn(s.team, p), slots);
}

int64_t Plan::Free(PoolId p) const {
  int64_t n = pool(p).free;
  for (const Claim& claim : claims) n += claim.pool == p ? SlotsIn(claim.places) : 0;
  return n;
}

Places Plan::TakeFree(PoolId p, int64_t n) {
  for (const bool all : {false, true}) {
    for (Claim& claim : claims) {
      if (claim.pool != p) continue;
      const Job& job = world.job(claim.job);
      int64_t have = SlotsIn(claim.places);
      const int64_t keep = all ? 0 : claim.restarting ? job.min_slots : have;
      while (pool(p).free < n && have > keep) {  // the highest slot goes first
        Place& last = claim.places.back();
        const Place one{last.node, uint64_t{1} << (63 - std::countl_zero(last.slots))};
        turn.GiveBack({one});
        last.slots ^= one.slots;
        if (last.slots == 0) claim.places.pop_back();
        --have;
        if (claim.restarting) turn.Count(world.AccountIn(job.team, p), -1);
      }
    }
  }
  return world.fleet().Find(p, n, {});
}

void Plan::DropClaim(Claim* claim) {
  if (claim->places.empty()) return;
  turn.GiveBack(claim->places);
  if (claim->restarting) {
    turn.Count(world.AccountIn(world.job(claim->job).team, claim->pool), -SlotsIn(claim->places));
  }
  claim->places.clear();
}

void Plan::StopReplica(ReplicaId id, const Reason& reason) {
  const int64_t before = world.product_running();
  const PoolId p = world.PoolOf(world.replicas().at(id).places);
  turn.StopReplica(id, reason);
  if (p >= 0) coming[p] += before - world.product_running();
}

}  // namespace weir::sched
