#include "lab/sched/loans.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "lab/sched/reclaim.h"

namespace weir::sched {
namespace {

// A slot about to be lent, and from whom.
struct Lent {
  int slot = 0;
  int team = -1;
  int job = -1;  // -1: idle
  How how = How::kShrink;
};

// Research teams that hold their own jobs (not only groups of teams).
std::vector<int> Lenders(const Plan& plan) {
  std::vector<bool> group(plan.teams.size());
  for (const TeamPlan& t : plan.teams) {
    if (t.parent >= 0) group[t.parent] = true;
  }
  std::vector<int> out;
  for (int t = 0; t < static_cast<int>(plan.teams.size()); ++t) {
    if (plan.teams[t].research && !group[t]) out.push_back(t);
  }
  return out;
}

// Whose an idle slot is: of the team that leaves most of its share unused, for its size.
int OwnerOfIdle(const Plan& plan, const std::vector<int>& lenders) {
  int best = -1;
  double best_used = 0;
  for (int t : lenders) {
    if (plan.LendRoom(t) < 1) continue;
    const TeamPlan& team = plan.teams[t];
    const double size = static_cast<double>(std::max<int64_t>(team.guarantee, 0)) +
                        static_cast<double>(std::max<int64_t>(team.team->weight, 1));
    const double used = static_cast<double>(team.held()) / size;
    if (best < 0 || used < best_used) {
      best = t;
      best_used = used;
    }
  }
  return best;
}

std::vector<int> SitesByIdle(const Plan& plan) {
  std::vector<int> sites(plan.places.sites());
  std::iota(sites.begin(), sites.end(), 0);
  std::stable_sort(sites.begin(), sites.end(),
                   [&](int a, int b) { return plan.pool.FreeIn(a) > plan.pool.FreeIn(b); });
  return sites;
}

// Lends up to n slots of the site that are idle: counts them as lent, takes them from the pool.
std::vector<Lent> LendIdle(Plan* plan, int site, int64_t n, const std::vector<int>& lenders) {
  std::vector<Lent> lent;
  n = std::min(n, plan->pool.FreeIn(site));
  if (plan->policy.loan_limit_slots >= 0) {
    n = std::min(n, plan->policy.loan_limit_slots - plan->out_on_loan);
  }
  while (std::ssize(lent) < n) {
    const int team = OwnerOfIdle(*plan, lenders);
    if (team < 0 && !lenders.empty()) break;
    plan->AddLent(team, 1);
    ++plan->out_on_loan;
    lent.push_back({.team = team});
  }
  const std::vector<int> slots = plan->pool.Take(site, std::ssize(lent));
  for (size_t k = 0; k < slots.size(); ++k) lent[k].slot = slots[k];
  return lent;
}

int64_t Sum(const std::vector<Victim>& victims) {
  int64_t given = 0;
  for (const Victim& v : victims) given += v.give;
  return given;
}

// Up to n replicas from one site. The jobs are chosen and counted, not yet stopped.
std::vector<Lent> LendFrom(Plan* plan, int site, int64_t n, int64_t lasting, int64_t r,
                           const std::vector<int>& lenders, std::vector<Victim>* victims) {
  std::vector<Lent> lent = LendIdle(plan, site, n * r, lenders);
  Claimant claimant{.site = site};
  claimant.need = {.slots = n * r - std::ssize(lent), .unit = r, .offset = std::ssize(lent)};
  if (plan->policy.loan_limit_slots >= 0) {  // whole replicas within what the lab may lend
    const int64_t room = plan->policy.loan_limit_slots - plan->out_on_loan;
    const int64_t whole = (std::ssize(lent) + std::min(room, claimant.need.slots)) / r * r;
    claimant.need.slots = whole - std::ssize(lent);
  }
  const int64_t most = std::ssize(lent) + claimant.need.slots;  // a pause may free more
  claimant.caps = LendCaps(*plan);
  claimant.may_pause = false;
  *victims = FindVictims(*plan, claimant);
  if ((std::ssize(lent) + Sum(*victims)) / r < lasting) {
    claimant.may_pause = true;
    claimant.need.slots = std::min(claimant.need.slots, lasting * r - std::ssize(lent));
    *victims = FindVictims(*plan, claimant);
  }
  const int64_t whole = std::min(most, std::ssize(lent) + Sum(*victims)) / r * r;
  while (std::ssize(lent) > whole) {  // idle slots that make no whole replica go back
    plan->pool.Add(lent.back().slot);
    plan->AddLent(lent.back().team, -1);
    --plan->out_on_loan;
    lent.pop_back();
  }
  for (const Victim& v : *victims) {
    const JobPlan& job = plan->jobs[v.job];
    const int64_t take = std::min(v.give, whole - std::ssize(lent));
    for (int slot : GiveUp(plan->places, job.slots, take)) {
      lent.push_back({slot, job.team, v.job, v.how});
    }
    plan->AddLent(job.team, take);
    plan->out_on_loan += take;
    plan->coming[site] += v.give - take;
  }
  return lent;
}

std::vector<wire::LoanPart> PartsOf(const Plan& plan, const std::vector<Lent>& lent,
                                    std::vector<bool>* told) {
  std::map<std::pair<int, int>, wire::LoanPart> parts;  // by job (idle last), then team
  for (const Lent& l : lent) {
    wire::LoanPart& part = parts[{l.job < 0 ? INT32_MAX : l.job, l.team}];
    if (l.team >= 0) part.team = plan.teams[l.team].team->name;
    part.slots.push_back(plan.slot_id(l.slot));
    part.how = l.job < 0 ? "idle" : l.how == How::kShrink ? "shrink" : "pause";
    if (l.job < 0 || (*told)[l.job]) continue;
    (*told)[l.job] = true;  // its loss stands on one loan only
    part.work_lost_slot_s = plan.LostWork(plan.jobs[l.job]);
    part.steps_lost = plan.LostSteps(plan.jobs[l.job]);
  }
  std::vector<wire::LoanPart> out;
  for (auto& [key, part] : parts) {
    if (key.first != INT32_MAX) part.job = plan.jobs[key.first].id();
    std::sort(part.slots.begin(), part.slots.end());
    out.push_back(std::move(part));
  }
  return out;
}

}  // namespace

int64_t LoanReplicas(const Plan& plan, const ServicePlan& service, const LoanPlan& loan) {
  if (!loan.open) return 0;
  std::map<int, int64_t> in_site;
  for (int slot : loan.slots)
    in_site[plan.places.site_of(slot)] += plan.snapshot.slots[slot].usable;
  int64_t n = 0;
  for (const auto& [site, slots] : in_site) n += slots / service.per_replica();
  return n;
}

void StartOnLoans(Plan* plan, ServicePlan* service) {
  for (int index : service->loans) {
    const LoanPlan& loan = plan->loans[index];
    if (!loan.open) continue;
    std::map<int, std::vector<int>> free;  // by site
    for (int slot : loan.slots) {
      if (!plan->leased[slot] && plan->snapshot.slots[slot].usable) {
        free[plan->places.site_of(slot)].push_back(slot);
      }
    }
    const size_t r = static_cast<size_t>(service->per_replica());
    for (const auto& [site, slots] : free) {
      for (size_t at = 0; at + r <= slots.size(); at += r) {
        plan->StartReplica(service, {slots.begin() + at, slots.begin() + at + r}, loan.loan->id,
                           {fmt::format("slots of {} have come free", loan.loan->id),
                            {{"slots", static_cast<double>(r)}}});
      }
    }
    for (const wire::LoanPart& part : loan.loan->parts) {
      for (JobPlan& job : plan->jobs) {
        if (job.id() != part.job || job.stopping || job.lease == nullptr) continue;
        std::vector<int> in_the_way;
        std::set_intersection(job.slots.begin(), job.slots.end(), loan.slots.begin(),
                              loan.slots.end(), std::back_inserter(in_the_way));
        if (in_the_way.empty()) continue;
        const int64_t stays = std::ssize(job.slots) - std::ssize(in_the_way);
        plan->StopJob(&job, stays >= job.spec().min_slots ? How::kShrink : How::kPause,
                      std::ssize(in_the_way), in_the_way,
                      {fmt::format("{} has these slots", loan.loan->id), {}});
      }
    }
  }
}

int64_t OpenLoans(Plan* plan, ServicePlan* s, int64_t n, int64_t lasting, const Reason& reason) {
  for (int l : s->loans) {
    if (!plan->loans[l].open) return 0;
  }
  const int64_t r = s->per_replica();
  const std::vector<int> lenders = Lenders(*plan);
  const int64_t wanted = n;
  std::vector<bool> told(plan->jobs.size());
  for (int site : SitesByIdle(*plan)) {
    if (n <= 0) break;
    std::vector<Victim> victims;
    const std::vector<Lent> lent = LendFrom(plan, site, n, lasting, r, lenders, &victims);
    n -= std::ssize(lent) / r;
    lasting -= std::ssize(lent) / r;
    const size_t chunk = static_cast<size_t>(r * std::max<int64_t>(plan->policy.loan_replicas, 1));
    const int first = plan->new_loans + 1;
    for (size_t at = 0; at < lent.size(); at += chunk) {
      const std::vector<Lent> some(lent.begin() + at,
                                   lent.begin() + std::min(at + chunk, lent.size()));
      Action open{.kind = ActionKind::kOpenLoan, .service = s->name()};
      open.loan = fmt::format("new-{}", ++plan->new_loans);
      open.parts = PartsOf(*plan, some, &told);
      open.due = plan->now + plan->policy.loan_term;
      open.reason = reason;
      open.reason.numbers["slots"] = static_cast<double>(some.size());
      plan->actions.push_back(std::move(open));
    }
    for (const Victim& v : victims) {
      std::vector<int> slots;
      for (const Lent& l : lent) {
        if (l.job == v.job) slots.push_back(l.slot);
      }
      JobPlan* job = &plan->jobs[v.job];
      const double lost = plan->LostWork(*job);
      Reason why{
          fmt::format("{} {} of {} slots to service {}, at the price of {:.3g} slot-seconds: {}",
                      v.how == How::kShrink ? "lends" : "is paused and lends", slots.size(),
                      job->slots.size(), s->name(), lost, reason.text),
          reason.numbers};
      why.numbers["slots"] = static_cast<double>(slots.size());
      why.numbers["lost_slot_s"] = lost;
      plan->StopJob(job, v.how, v.give, slots, std::move(why));
    }
    for (size_t at = 0; at + r <= lent.size(); at += r) {
      std::vector<int> slots;
      for (size_t k = at; k < at + r; ++k) {
        if (lent[k].job < 0) slots.push_back(lent[k].slot);
      }
      if (std::ssize(slots) != r) continue;  // starts once its slots have come free
      plan->StartReplica(s, slots, fmt::format("new-{}", first + static_cast<int>(at / chunk)),
                         reason);
    }
  }
  return wanted - n;
}

}  // namespace weir::sched
