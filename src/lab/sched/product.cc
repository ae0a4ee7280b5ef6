#include "lab/sched/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "lab/sched/loans.h"
#include "lab/sched/reclaim.h"
#include "lab/sched/sizing.h"

namespace weir::sched {
namespace {

bool Lasted(Time since, Time now, Duration least) { return since.is_set() && now - since >= least; }

void StopReplicasOn(Plan* plan, const ServicePlan& service, LoanId loan, const Reason& reason) {
  for (const ReplicaId id : service.replicas) {
    const Replica& r = plan->world.replicas().at(id);
    if (r.loan == loan && !r.stopping) plan->StopReplica(id, reason);
  }
}

void RecallAndDrain(Plan* plan, LoanId loan, const Reason& reason) {
  const ServiceId service = plan->world.loans().at(loan).service;
  plan->turn.RecallLoan(loan, reason);
  if (service >= 0) StopReplicasOn(plan, plan->services[service], loan, reason);
}

// The newest replica without a loan; one that is not yet ready, or not in a rollout, first. -1 if
// there is none.
ReplicaId LeastNeeded(const Plan& plan, const ServicePlan& service) {
  ReplicaId best = -1;
  std::tuple<bool, Time, ReplicaId> best_key;
  for (const ReplicaId id : service.replicas) {
    const Replica& r = plan.world.replicas().at(id);
    if (r.stopping || r.replaces >= 0 || r.loan >= 0) continue;
    const std::tuple key(!r.ready, r.opened, id);
    if (best >= 0 && key <= best_key) continue;
    best = id;
    best_key = key;
  }
  return best;
}

bool ServesVariant(const ServicePlan& s) {
  const auto& variants = s.spec().variants;
  return std::find(variants.begin(), variants.end(), s.state->service.version) != variants.end();
}

// So many replicas of its own version would still be calm: going back is not the next surge.
bool OwnVersionServes(const ServicePlan& s, int64_t replicas, const Policy& policy) {
  const Demand& d = s.state->demand;
  const double rate =
      d.own_rate_per_replica > 0 ? d.own_rate_per_replica : RatePerReplica(d, policy);
  return Load(d, policy) <=
         rate * policy.low_mark * static_cast<double>(std::max<int64_t>(replicas, 1));
}

void ComeDown(Plan* plan, ServicePlan* s) {
  const int64_t target = CalmReplicas(*s->state, plan->policy);
  int64_t held = plan->Own(*s);
  for (const LoanId l : s->loans) held += LoanReplicas(*plan, *s, plan->world.loans().at(l));
  const Demand& d = s->state->demand;
  const Duration calm = plan->now - d.below_since;
  Reason reason{fmt::format("demand of {:.3g} requests/s has needed no more than {} of {} replicas "
                            "for {}",
                            Load(d, plan->policy), target, held, Human(calm)),
                {{"load_per_s", Load(d, plan->policy)},
                 {"replicas", static_cast<double>(held)},
                 {"needed", static_cast<double>(target)},
                 {"calm_s", calm.seconds()}}};
  // A loan is kept for demand only: a floor beyond what is guaranteed is no reason for one.
  ServiceState without_floor = *s->state;
  without_floor.service.spec.min_replicas = 0;
  const int64_t demanded = CalmReplicas(without_floor, plan->policy);
  for (size_t k = s->loans.size(); k-- > 0;) {
    const Loan& loan = plan->world.loans().at(s->loans[k]);
    const int64_t on_it = LoanReplicas(*plan, *s, loan);
    if (!loan.open || held - on_it < demanded) continue;
    held -= on_it;
    RecallAndDrain(plan, s->loans[k], reason);
  }
  const bool rested = plan->now - s->state->last_down >= plan->policy.replica_cooldown;
  // Its floor stays on slots of its own: given up beside a loan it would be started again at once.
  while (rested && held > target && plan->Own(*s) > s->spec().min_replicas) {
    plan->StopReplica(LeastNeeded(*plan, *s), reason);
    --held;
  }
  if (ServesVariant(*s) && target <= s->spec().min_replicas && held <= s->spec().min_replicas &&
      OwnVersionServes(*s, held, plan->policy)) {
    const std::string& own = s->state->own_version;
    plan->turn.UseVersion(s->id, own.empty() ? s->spec().model : own, reason);
  }
}

Reason DemandReason(const Plan& plan, const ServicePlan& s, int64_t wanted, std::string what) {
  const Demand& d = s.state->demand;
  const double rate = RatePerReplica(d, plan.policy);
  return {fmt::format("{}: {:.3g} requests/s ({:.3g} forecast, {:.0f} queued) need {} replicas at "
                      "{:.3g} requests/s each and {:.0f}% use; {} ready",
                      what, d.arrivals_per_s, d.forecast_per_s, d.queued, wanted, rate,
                      100 * plan.policy.target_utilization, s.note->ready),
          {{"arrivals_per_s", d.arrivals_per_s},
           {"forecast_per_s", d.forecast_per_s},
           {"queued", d.queued},
           {"rate_per_replica", rate},
           {"ready", static_cast<double>(s.note->ready)},
           {"wanted", static_cast<double>(wanted)}}};
}

// How many more replicas the team's own guarantee allows in the pools that suit it (own), or
// product's as a whole.
int64_t GuaranteeRoom(const Plan& plan, const ServicePlan& s, bool own) {
  if (s.team < 0) return 0;
  int64_t slots = plan.world.product_guarantee() - plan.product_running();
  if (own) {
    slots = 0;
    std::set<int32_t> types;
    for (PoolId p = 0; p < static_cast<PoolId>(plan.pools()); ++p) {
      if (!plan.Suits(s, p) || !types.insert(plan.pool(p).type).second) continue;
      int64_t room = plan.world.fleet().usable();
      for (AccountId a = plan.world.AccountIn(s.team, p); a >= 0;
           a = plan.world.accounts()[a].parent) {
        room = std::min(room, plan.world.accounts()[a].guarantee - plan.turn.running(a));
      }
      slots += std::max<int64_t>(room, 0);
    }
  }
  return std::max<int64_t>(slots, 0) / s.per_replica();
}

bool BeyondGuarantee(const Plan& plan, const ServicePlan& s) {
  const size_t types = plan.world.types().size();
  for (size_t type = 0; s.team >= 0 && type < types; ++type) {
    const AccountId a = plan.world.AccountOf(s.team, static_cast<int32_t>(type));
    if (plan.turn.running(a) > plan.world.accounts()[a].guarantee) return true;
  }
  return false;
}

// Product teams beyond their guarantee gave nothing up yet: their replicas go for `slots` of a team
// that is owed them. Least important service first.
void TakeBackFromBorrowers(Plan* plan, int64_t slots, const Reason& reason) {
  for (size_t k = plan->by_tier.size(); k-- > 0 && slots > 0;) {
    const ServicePlan& s = plan->services[plan->by_tier[k]];
    while (slots > 0 && BeyondGuarantee(*plan, s)) {
      const ReplicaId r = LeastNeeded(*plan, s);
      if (r < 0) break;
      slots -= SlotsIn(plan->world.replicas().at(r).places);
      plan->StopReplica(r, reason);
    }
  }
}

std::vector<PoolId> PoolsByFree(const Plan& plan, const ServicePlan& s) {
  std::vector<PoolId> pools;
  for (PoolId p = 0; p < static_cast<PoolId>(plan.pools()); ++p) {
    if (plan.Suits(s, p)) pools.push_back(p);
  }
  std::stable_sort(pools.begin(), pools.end(), [&](PoolId a, PoolId b) {
    return plan.Free(a) + plan.coming[a] > plan.Free(b) + plan.coming[b];
  });
  return pools;
}

// Up to n replicas on capacity that is product's: free slots at once, else what is coming, else,
// for the first `pressing` of them, what research has borrowed is called back. Returns how many it
// found slots for.
int64_t UseOwn(Plan* plan, ServicePlan* s, int64_t n, int64_t pressing, const Reason& reason) {
  const int64_t r = s->per_replica();
  const int64_t wanted = n;
  const auto set_aside = [&](PoolId pool, int64_t slots) {  // for a replica of a later decision
    const int64_t now = std::min(plan->Free(pool), slots);
    if (now > 0) plan->turn.SetAside(plan->TakeFree(pool, now));
    plan->coming[pool] -= slots - now;
    plan->PromiseProduct(*s, pool, slots);
  };
  for (const PoolId pool : PoolsByFree(*plan, *s)) {
    for (; n > 0 && plan->Free(pool) >= r; --n) {
      plan->turn.StartReplica(s->id, plan->TakeFree(pool, r), -1, reason);
    }
  }
  for (const PoolId pool : PoolsByFree(*plan, *s)) {
    for (; n > 0 && plan->Free(pool) + plan->coming[pool] >= r; --n) set_aside(pool, r);
  }
  for (const PoolId pool : PoolsByFree(*plan, *s)) {
    const int64_t stop_for = std::min(n, pressing - (wanted - n));
    if (stop_for <= 0) break;
    Claimant claimant{.pool = pool};
    claimant.need.unit = r;
    claimant.need.offset = plan->Free(pool) + plan->coming[pool];
    claimant.need.slots = stop_for * r - claimant.need.offset;
    claimant.may_break = false;
    claimant.caps = CapsAboveShare(*plan, -1);
    std::vector<Victim> victims = FindVictims(*plan, claimant);
    if (victims.empty()) {
      claimant.may_break = true;
      claimant.caps = CapsForStraddlers(*plan, -1);
      victims = FindVictims(*plan, claimant);
    }
    int64_t given = 0;
    for (const Victim& v : victims) {
      Reason why = reason;
      why.text =
          fmt::format("gives {} slots back to service {}: {}", v.give, s->name(), reason.text);
      why.numbers["slots"] = static_cast<double>(v.give);
      why.numbers["lost_slot_s"] = plan->world.LostWork(v.job);
      plan->turn.StopJob(v.job, v.how, v.give, {}, std::move(why));
      given += v.give;
    }
    plan->coming[pool] += given;
    for (; n > 0 && plan->Free(pool) + plan->coming[pool] >= r; --n) set_aside(pool, r);
  }
  return wanted - n;
}

int64_t UseGuarantee(Plan* plan, ServicePlan* s, int64_t n, int64_t pressing,
                     const Reason& reason) {
  const int64_t own = std::min(n, GuaranteeRoom(*plan, *s, true));
  if (own <= 0) return 0;
  const int64_t short_by =
      own * s->per_replica() + plan->product_running() - plan->world.product_guarantee();
  if (short_by > 0) TakeBackFromBorrowers(plan, short_by, reason);
  return UseOwn(plan, s, std::min(own, GuaranteeRoom(*plan, *s, false)), pressing, reason);
}

// The next cheaper version is tried before a loan; true while one is given time to help.
bool TryVariant(Plan* plan, ServicePlan* s, const Reason& reason) {
  const auto& variants = s->spec().variants;
  const auto at = std::find(variants.begin(), variants.end(), s->state->service.version);
  const bool is_variant = at != variants.end();
  if (is_variant && plan->now - s->state->version_since < plan->policy.cheaper_wait) return true;
  const auto next = is_variant ? at + 1 : variants.begin();
  if (next == variants.end() || !s->state->service.rollout.empty()) return false;
  Reason why = reason;
  why.text = fmt::format("version {} instead of a loan: {}", *next, reason.text);
  plan->turn.UseVersion(s->id, *next, std::move(why));
  return true;
}

void SetShed(Plan* plan, ServicePlan* s) {
  const Demand& d = s->state->demand;
  const ServiceNote& note = *s->note;
  const int64_t current = s->state->service.shed_above_tier;
  const double serves = static_cast<double>(note.ready) * RatePerReplica(d, plan->policy);
  const auto set = [&](int64_t tier, std::string text) {
    plan->turn.SetShed(s->id, tier,
                       {std::move(text),
                        {{"arrivals_per_s", d.arrivals_per_s},
                         {"serves_per_s", serves},
                         {"queued", d.queued},
                         {"unmet_replicas", static_cast<double>(note.unmet)}}});
  };
  if (current > 0 && !d.above_since.is_set()) {
    set(0, fmt::format("{:.3g} requests/s fit into {} replicas again", Load(d, plan->policy),
                       note.ready));
    return;
  }
  const bool overloaded = d.arrivals_per_s > serves ||
                          2 * d.queued > static_cast<double>(s->spec().max_queue) ||
                          d.ttft_ms > s->spec().slo.ttft_ms;
  if (!s->surging || note.unmet <= 0 || !overloaded) return;
  const Duration unmet = plan->now - d.above_since - plan->policy.surge_after;
  const int64_t steps = unmet.us / std::max<int64_t>(plan->policy.shed_after.us, 1);
  const int64_t tier = std::max<int64_t>(plan->policy.lowest_tier - steps, 1);
  if (steps < 1 || (current > 0 && current <= tier)) return;
  set(tier, fmt::format("{:.3g} requests/s arrive, {} ready replicas serve {:.3g}, and {} more "
                        "replicas find no slots: requests of tiers above {} are refused",
                        d.arrivals_per_s, note.ready, serves, note.unmet, tier));
}

// What a surge still needs after its team's guarantee: product's idle slots, a cheaper version,
// loans.
void ServeSurge(Plan* plan, ServicePlan* s, int64_t need, int64_t pressing) {
  const int64_t ready = s->note->ready;
  const int64_t wanted = WantedReplicas(*s->state, ready, plan->policy);
  ServiceState lasting = *s->state;  // what is needed once the queue is served off
  lasting.demand.queued = 0;
  const int64_t queue_only = wanted - WantedReplicas(lasting, ready, plan->policy);
  // All the replicas that it may have run, and it is not enough: the rest is unmet as well.
  const int64_t beyond = ReplicasFor(lasting, ready, plan->policy) -
                         std::max(s->spec().min_replicas, s->spec().max_replicas);
  const Reason reason = DemandReason(*plan, *s, wanted, "a surge");
  if (need > 0) {
    const int64_t found =
        UseOwn(plan, s, std::min(need, GuaranteeRoom(*plan, *s, false)), pressing, reason);
    need -= found;
    pressing -= found;
  }
  if ((need > 0 || beyond > 0) && TryVariant(plan, s, reason)) return;
  if (need > 0) {
    const int64_t lent = OpenLoans(plan, s, need, std::min(need, pressing),
                                   std::min(need - queue_only, pressing), reason);
    need -= lent;
    pressing -= lent;
  }
  s->note->not_pressing = std::max<int64_t>(need - std::max<int64_t>(pressing, 0), 0);
  s->note->unmet =
      std::max<int64_t>(std::min(need, pressing) - queue_only, 0) + std::max<int64_t>(beyond, 0);
}

}  // namespace

void GiveBack(Plan* plan) {
  std::vector<LoanId> loans;
  for (const auto& [id, loan] : plan->world.loans()) loans.push_back(id);
  for (const LoanId id : loans) {
    const Loan loan = plan->world.loans().at(id);
    if (loan.service < 0) {
      plan->turn.RecallLoan(id, {"its service is gone", {}});
      continue;
    }
    const ServicePlan& s = plan->services[loan.service];
    if (!loan.open) {
      StopReplicasOn(plan, s, id, {"its loan was recalled: " + loan.recall_why, {}});
      continue;
    }
    const Duration notice = s.spec().grace + plan->policy.recall_margin;
    if (loan.due.is_set() && plan->now >= loan.due - notice) {
      const double left_s = (loan.due - plan->now).seconds();
      RecallAndDrain(plan, id,
                     {fmt::format("due in {:.0f} s, of which replicas may take {} to drain", left_s,
                                  Human(s.spec().grace)),
                      {{"due_in_s", left_s}, {"grace_s", s.spec().grace.seconds()}}});
    }
  }
  for (const int i : plan->by_tier) {
    ServicePlan* s = &plan->services[i];
    if (s->state->service.phase != wire::ServicePhase::kActive) {
      const Reason reason{"the service is being retired", {}};
      for (const LoanId l : s->loans) RecallAndDrain(plan, l, reason);
      for (const ReplicaId r : s->replicas) {
        if (!plan->world.replicas().at(r).stopping) plan->StopReplica(r, reason);
      }
      continue;
    }
    const Demand& d = s->state->demand;
    s->surging = Lasted(d.above_since, plan->now, plan->policy.surge_after);
    s->note->surging = s->surging;
    s->calm = !d.above_since.is_set() && Lasted(d.below_since, plan->now, plan->policy.calm_after);
    if (s->calm) ComeDown(plan, s);
    const std::string& own = s->state->own_version;
    if (!own.empty() && s->state->service.version != own && !ServesVariant(*s) &&
        s->state->service.rollout.empty()) {
      plan->turn.UseVersion(
          s->id, own,
          {fmt::format("version {} is no variant of it any more, or does not become ready",
                       s->state->service.version),
           {}});
    }
  }
  const int64_t beyond = plan->product_running() - plan->world.product_guarantee();
  if (beyond > 0) {
    TakeBackFromBorrowers(plan, beyond,
                          {fmt::format("product holds {} slots without a loan and is guaranteed {}",
                                       plan->product_running(), plan->world.product_guarantee()),
                           {{"held", static_cast<double>(plan->product_running())},
                            {"guarantee", static_cast<double>(plan->world.product_guarantee())}}});
  }
}

void ServeProduct(Plan* plan) {
  const auto starts = [&](const ServicePlan& s) {
    return s.state->service.phase == wire::ServicePhase::kActive &&
           s.state->start_not_before <= plan->now;
  };
  std::vector<int64_t> floor(plan->services.size());  // replicas set aside or started for it
  for (const int i : plan->by_tier) {
    ServicePlan* s = &plan->services[i];
    if (!starts(*s)) continue;
    StartOnLoans(plan, s);
    const int64_t own = plan->Own(*s);
    const int64_t need = s->spec().min_replicas - own;
    if (need <= 0) continue;
    Reason reason{fmt::format("its floor: {} of at least {} replicas", own, s->spec().min_replicas),
                  {{"replicas", static_cast<double>(own)},
                   {"min_replicas", static_cast<double>(s->spec().min_replicas)}}};
    floor[i] = UseGuarantee(plan, s, need, need, reason);
    s->note->short_of_floor = need - floor[i];
  }
  // What is guaranteed goes to every service before any borrows or is lent something.
  std::vector<int64_t> need(plan->services.size()), pressing(plan->services.size());
  for (const int i : plan->by_tier) {
    ServicePlan* s = &plan->services[i];
    if (!starts(*s) || !s->surging) continue;
    int64_t held = plan->Own(*s) + floor[i];
    for (const LoanId l : s->loans) held += LoanReplicas(*plan, *s, plan->world.loans().at(l));
    const int64_t wanted = WantedReplicas(*s->state, s->note->ready, plan->policy);
    need[i] = std::max<int64_t>(wanted - held, 0);
    pressing[i] = std::min(
        need[i], PressingReplicas(*s->state, s->note->ready, plan->now, plan->policy) - held);
    const int64_t found =
        UseGuarantee(plan, s, need[i], pressing[i], DemandReason(*plan, *s, wanted, "a surge"));
    need[i] -= found;
    pressing[i] -= found;
  }
  for (const int i : plan->by_tier) {
    ServicePlan* s = &plan->services[i];
    if (s->state->service.phase != wire::ServicePhase::kActive) continue;
    if (s->surging) ServeSurge(plan, s, need[i], pressing[i]);
    SetShed(plan, s);
  }
}

}  // namespace weir::sched
