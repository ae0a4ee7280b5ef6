#include "lab/sched/loans.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <numeric>
#include <set>

#include "lab/sched/reclaim.h"

namespace weir::sched {

using wire::StopCause;

namespace {

// A slot about to be lent, and from whom.
struct Lent {
  SlotId slot = 0;
  TeamId team = -1;
  JobId job = -1;  // -1: idle
  How how = How::kShrink;
};

// Idle slots that have been promised but are on no loan yet, by account, up the tree.
struct Promised {
  std::vector<int64_t> by_account;
  int64_t all = 0;
  explicit Promised(const World& world) : by_account(world.accounts().size()) {}
  void Add(const World& world, AccountId account, int64_t n) {
    all += n;
    for (; account >= 0; account = world.accounts()[account].parent) by_account[account] += n;
  }
};

int64_t LendRoom(const Plan& plan, AccountId account, const Promised& promised) {
  int64_t room = plan.world.fleet().usable();
  if (plan.policy.loan_limit_slots >= 0) {
    room = plan.policy.loan_limit_slots - plan.world.out_on_loan() - promised.all;
  }
  for (; account >= 0; account = plan.world.accounts()[account].parent) {
    const Account& a = plan.world.accounts()[account];
    if (a.lend_limit >= 0) {
      room = std::min(room, a.lend_limit - a.lent - promised.by_account[account]);
    }
  }
  return std::max<int64_t>(room, 0);
}

// Research accounts of the type that hold their own jobs (not only groups of teams).
std::vector<AccountId> Lenders(const World& world, int32_t type) {
  std::vector<AccountId> out;
  for (AccountId a = 0; a < std::ssize(world.accounts()); ++a) {
    const Account& account = world.accounts()[a];
    if (account.type == type && account.research && !account.group) out.push_back(a);
  }
  return out;
}

// Whose an idle slot is: of the team that leaves most of its share unused, for its size.
AccountId OwnerOfIdle(const Plan& plan, const std::vector<AccountId>& lenders,
                      const Promised& promised) {
  AccountId best = -1;
  double best_used = 0;
  for (const AccountId id : lenders) {
    if (LendRoom(plan, id, promised) < 1) continue;
    const Account& a = plan.world.accounts()[id];
    const double size = static_cast<double>(std::max<int64_t>(a.guarantee, 0)) + a.weight;
    const double used = static_cast<double>(plan.turn.held(id) + promised.by_account[id]) / size;
    if (best < 0 || used < best_used) {
      best = id;
      best_used = used;
    }
  }
  return best;
}

std::vector<PoolId> PoolsByIdle(const Plan& plan, const ServicePlan& s) {
  std::vector<PoolId> out;
  for (PoolId p = 0; p < static_cast<PoolId>(plan.pools()); ++p) {
    if (plan.Suits(s, p)) out.push_back(p);
  }
  std::stable_sort(out.begin(), out.end(),
                   [&](PoolId a, PoolId b) { return plan.pool(a).free > plan.pool(b).free; });
  return out;
}

// Up to n idle slots of the pool, each the slot of a team that may lend it.
std::vector<Lent> LendIdle(Plan* plan, PoolId pool, int64_t n, Promised* promised) {
  std::vector<Lent> lent;
  n = std::min(n, plan->pool(pool).free);
  if (plan->policy.loan_limit_slots >= 0) {
    n = std::min(n, plan->policy.loan_limit_slots - plan->world.out_on_loan() - promised->all);
  }
  const std::vector<AccountId> lenders = Lenders(plan->world, plan->pool(pool).type);
  while (std::ssize(lent) < n) {
    const AccountId owner = OwnerOfIdle(*plan, lenders, *promised);
    if (owner < 0 && !lenders.empty()) break;
    promised->Add(plan->world, owner, 1);
    lent.push_back({.team = owner < 0 ? -1 : plan->world.accounts()[owner].team});
  }
  const std::vector<SlotId> slots = SlotIds(plan->world.fleet().Find(pool, std::ssize(lent), {}));
  for (size_t k = 0; k < lent.size(); ++k) lent[k].slot = slots[k];
  return lent;
}

// Up to n replicas from one pool. The jobs are chosen, not yet stopped.
std::vector<Lent> LendFrom(Plan* plan, PoolId pool, int64_t n, int64_t pressing, int64_t lasting,
                           int64_t r, std::vector<Victim>* victims) {
  Promised promised(plan->world);
  std::vector<Lent> lent = LendIdle(plan, pool, n * r, &promised);
  n = pressing;
  Claimant claimant{.pool = pool};
  claimant.need = {.slots = n * r - std::ssize(lent), .unit = r, .offset = std::ssize(lent)};
  if (plan->policy.loan_limit_slots >= 0) {  // whole replicas within what the lab may lend
    const int64_t room = plan->policy.loan_limit_slots - plan->world.out_on_loan() - promised.all;
    const int64_t whole = (std::ssize(lent) + std::min(room, claimant.need.slots)) / r * r;
    claimant.need.slots = whole - std::ssize(lent);
  }
  // A pause may free more.
  const int64_t most = std::ssize(lent) + std::max<int64_t>(claimant.need.slots, 0);
  claimant.caps = LendCaps(*plan, promised.by_account);
  claimant.lent = promised.by_account;
  claimant.may_pause = lasting >= n;
  *victims = FindVictims(*plan, claimant);
  if (!claimant.may_pause && (std::ssize(lent) + SlotsGiven(*victims)) / r < lasting) {
    claimant.may_pause = true;
    claimant.need.slots = std::min(claimant.need.slots, lasting * r - std::ssize(lent));
    *victims = FindVictims(*plan, claimant);
  }
  const int64_t whole = std::min(most, std::ssize(lent) + SlotsGiven(*victims)) / r * r;
  if (std::ssize(lent) > whole) lent.resize(whole);  // idle slots that make no whole replica
  for (const Victim& v : *victims) {
    const Job& job = plan->world.job(v.job);
    const int64_t take = std::min(v.give, whole - std::ssize(lent));
    for (const SlotId slot : SlotIds(Fleet::GiveUp(job.places, take))) {
      lent.push_back({slot, job.team, v.job, v.how});
    }
    plan->coming[pool] += v.give - take;
  }
  return lent;
}

std::vector<LoanShare> SharesOf(const Plan& plan, const std::vector<Lent>& lent,
                                std::set<JobId>* told) {
  std::map<std::pair<JobId, TeamId>, std::vector<SlotId>> slots;  // by job (idle last), then team
  std::map<JobId, How> how;
  for (const Lent& l : lent) {
    slots[{l.job < 0 ? INT32_MAX : l.job, l.team}].push_back(l.slot);
    if (l.job >= 0) how[l.job] = l.how;
  }
  std::vector<LoanShare> out;
  for (auto& [key, ids] : slots) {
    LoanShare share{.team = key.second, .places = PlacesOf(std::move(ids))};
    if (key.first != INT32_MAX) {
      share.job = key.first;
      share.how = how[key.first] == How::kShrink ? StopCause::kResize : StopCause::kPause;
      if (told->insert(key.first).second) {  // its loss stands on one loan only
        share.lost_slot_s = plan.world.LostWork(key.first);
        share.lost_steps = plan.LostSteps(key.first);
      }
    }
    out.push_back(std::move(share));
  }
  return out;
}

// `only_queue`: of them, those that only the queue of now asks for.
std::string WhyRefused(const Plan& plan, int64_t refused, int64_t only_queue, int64_t r) {
  return fmt::format(
      "{} replicas of {} slots are refused a loan: {} slots are out on loan{}, and no other job "
      "may give any within lend limits and minimum run times{}",
      refused, r, plan.world.out_on_loan(),
      plan.policy.loan_limit_slots < 0
          ? ""
          : fmt::format(" of at most {}", plan.policy.loan_limit_slots),
      only_queue <= 0 ? ""
                      : fmt::format("; for {} of them, which only serve off a queue, jobs are "
                                    "shrunk but none is paused: it is not worth that",
                                    only_queue));
}

}  // namespace

int64_t LoanReplicas(const Plan& plan, const ServicePlan& service, const Loan& loan) {
  if (!loan.open) return 0;
  std::map<PoolId, int64_t> in_pool;
  for (const LoanShare& share : loan.shares) {
    for (const SlotId slot : SlotIds(share.places)) {
      in_pool[plan.world.fleet().PoolOf(NodeOfSlot(slot))] += plan.world.fleet().Usable(slot);
    }
  }
  int64_t n = 0;
  for (const auto& [pool, slots] : in_pool) n += slots / service.per_replica();
  return n;
}

void StartOnLoans(Plan* plan, ServicePlan* service) {
  const Fleet& fleet = plan->world.fleet();
  for (const LoanId id : service->loans) {
    const Loan loan = plan->world.loans().at(id);
    if (!loan.open) continue;
    std::map<PoolId, std::vector<SlotId>> free;
    std::set<SlotId> all;
    for (const LoanShare& share : loan.shares) {
      for (const SlotId slot : SlotIds(share.places)) all.insert(slot);
    }
    for (const SlotId slot : all) {
      if (!fleet.Held(slot) && fleet.Usable(slot)) {
        free[fleet.PoolOf(NodeOfSlot(slot))].push_back(slot);
      }
    }
    const size_t r = static_cast<size_t>(service->per_replica());
    for (const auto& [pool, slots] : free) {
      for (size_t at = 0; at + r <= slots.size(); at += r) {
        plan->turn.StartReplica(
            service->id, PlacesOf({slots.begin() + at, slots.begin() + at + r}), id,
            {fmt::format("slots of {} have come free", plan->world.LoanName(id)),
             {{"slots", static_cast<double>(r)}}});
      }
    }
    for (const LoanShare& share : loan.shares) {
      if (share.job < 0 || !plan->world.HasJob(share.job)) continue;
      const Job& job = plan->world.job(share.job);
      if (job.phase != RunPhase::kRunning) continue;
      std::vector<SlotId> in_the_way;
      for (const SlotId slot : SlotIds(job.places)) {
        if (all.contains(slot)) in_the_way.push_back(slot);
      }
      if (in_the_way.empty()) continue;
      const int64_t give = std::ssize(in_the_way);
      const bool shrinks = job.checkpointable && SlotsIn(job.places) - give >= job.min_slots;
      plan->turn.StopJob(share.job, shrinks ? How::kShrink : How::kPause, give,
                         PlacesOf(std::move(in_the_way)),
                         {fmt::format("{} has these slots", plan->world.LoanName(id)), {}});
    }
  }
}

int64_t OpenLoans(Plan* plan, ServicePlan* s, int64_t n, int64_t pressing, int64_t lasting,
                  const Reason& reason) {
  for (const LoanId l : s->loans) {
    if (plan->world.loans().at(l).open) continue;
    s->note->refused =
        fmt::format("{} is on its way back to research first", plan->world.LoanName(l));
    return 0;
  }
  const int64_t r = s->per_replica();
  const int64_t wanted = n;
  std::set<JobId> told;
  for (const PoolId pool : PoolsByIdle(*plan, *s)) {
    if (n <= 0) break;
    std::vector<Victim> victims;
    const std::vector<Lent> lent = LendFrom(plan, pool, n, pressing, lasting, r, &victims);
    n -= std::ssize(lent) / r;
    pressing -= std::ssize(lent) / r;
    lasting -= std::ssize(lent) / r;
    const size_t chunk = static_cast<size_t>(r * std::max<int64_t>(plan->policy.loan_replicas, 1));
    std::vector<LoanId> opened;
    for (size_t at = 0; at < lent.size(); at += chunk) {
      const std::vector<Lent> some(lent.begin() + at,
                                   lent.begin() + std::min(at + chunk, lent.size()));
      Loan loan{.service = s->id, .shares = SharesOf(*plan, some, &told)};
      loan.due = plan->now + plan->policy.loan_term;
      Reason why = reason;
      why.numbers["slots"] = static_cast<double>(some.size());
      opened.push_back(plan->turn.OpenLoan(std::move(loan), std::move(why)));
    }
    for (const Victim& v : victims) {
      std::vector<SlotId> slots;
      for (const Lent& l : lent) {
        if (l.job == v.job) slots.push_back(l.slot);
      }
      const double lost = plan->world.LostWork(v.job);
      Reason why{
          fmt::format("{} {} of {} slots to service {}, at the price of {:.3g} slot-seconds: {}",
                      v.how == How::kShrink ? "lends" : "is paused and lends", slots.size(),
                      SlotsIn(plan->world.job(v.job).places), s->name(), lost, reason.text),
          reason.numbers};
      why.numbers["slots"] = static_cast<double>(slots.size());
      why.numbers["lost_slot_s"] = lost;
      plan->turn.StopJob(v.job, v.how, v.give, PlacesOf(std::move(slots)), std::move(why));
    }
    for (size_t at = 0; at + r <= lent.size(); at += r) {
      std::vector<SlotId> slots;
      for (size_t k = at; k < at + r; ++k) {
        if (lent[k].job < 0) slots.push_back(lent[k].slot);
      }
      if (std::ssize(slots) != r) continue;  // starts once its slots have come free
      plan->turn.StartReplica(s->id, PlacesOf(std::move(slots)), opened[at / chunk], reason);
    }
  }
  if (pressing > 0) {
    const int64_t only_queue = pressing - std::max<int64_t>(lasting, 0);
    s->note->refused = WhyRefused(*plan, pressing, only_queue, r);
  }
  return wanted - n;
}

}  // namespace weir::sched
