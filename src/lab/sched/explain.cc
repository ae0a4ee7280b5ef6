#include "lab/sched/explain.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/sched/sizing.h"

namespace weir::sched {
namespace {

using Outcome = JobPlan::Outcome;

void Say(Explanation* e, std::string kind, std::string text, std::string remedy) {
  e->blockers.push_back({std::move(kind), std::move(text), std::move(remedy)});
}

// What the lab's sites look like to a job that waits, found once for all of them.
struct Sites {
  int64_t largest = 0;                  // usable slots of the biggest site
  int64_t not_usable = 0;               // cordoned or down
  int64_t product = 0;                  // held by product without a loan
  std::optional<Duration> next_return;  // until the first loan is due
  // Jobs that tell how long they still run, soonest first: (time left, slots).
  std::vector<std::pair<Duration, int64_t>> ends;
};

Sites Survey(const Plan& plan) {
  Sites sites;
  std::vector<int64_t> size(plan.places.sites());
  for (size_t i = 0; i < plan.snapshot.slots.size(); ++i) {
    const bool usable = plan.snapshot.slots[i].usable;
    size[plan.places.site_of(static_cast<int>(i))] += usable;
    sites.not_usable += !usable;
  }
  for (int64_t n : size) sites.largest = std::max(sites.largest, n);
  sites.product = plan.product_running;
  for (const LoanPlan& loan : plan.loans) {
    const Duration left = std::max(loan.loan->due - plan.now, Duration{});
    if (!sites.next_return || left < *sites.next_return) sites.next_return = left;
  }
  for (const JobPlan& job : plan.jobs) {
    const auto& progress = job.state->job.progress;
    if (job.lease == nullptr || !progress || !progress->eta_s) continue;
    sites.ends.emplace_back(Duration::FromSeconds(std::clamp(*progress->eta_s, 0.0, 1e9)),
                            std::ssize(job.slots));
  }
  std::sort(sites.ends.begin(), sites.ends.end());
  return sites;
}

// Until running jobs that tell their end will have freed `missing` slots.
std::optional<Duration> UntilFreed(const Sites& sites, int64_t missing) {
  for (const auto& [left, slots] : sites.ends) {
    missing -= slots;
    if (missing <= 0) return left;
  }
  return std::nullopt;
}

void ExplainWaiting(const Plan& plan, const JobPlan& job, const Sites& sites, Explanation* e) {
  const int64_t m = job.spec().min_slots;
  const wire::Job& j = job.state->job;
  if (plan.snapshot.draining) {
    Say(e, "draining", "the lab is shutting down and starts nothing", "start `weir up` again");
  }
  if (job.team < 0 || !plan.teams[job.team].research) {
    Say(e, "quota",
        fmt::format("team {} is {}", job.spec().team,
                    job.team < 0 ? "not known" : "a product team, which runs services, not jobs"),
        "submit it for a research team, see `weir team list`");
    return;
  }
  if (j.not_before > plan.now) {
    const Duration left = j.not_before - plan.now;
    Say(e, "backoff",
        fmt::format("after {} failed runs it is tried again in {}", j.failures, Human(left)),
        "wait, or cancel it and submit it corrected");
    e->expected_wait = left;
  }
  if (m > sites.largest) {
    Say(e, "gang",
        fmt::format("it needs {} slots at once, and the biggest site has {} that can be used", m,
                    sites.largest),
        sites.not_usable > 0
            ? fmt::format("bring back the {} slots that are cordoned or down, or lower its least "
                          "number of slots",
                          sites.not_usable)
            : "lower its least number of slots, or add nodes to a site");
  }
  if (job.outcome == Outcome::kSlotsComing) {
    const Duration grace = job.spec().grace;
    Say(e, "capacity",
        fmt::format("{} slots are being freed for it: others are saving and stopping", m),
        "none needed");
    e->expected_wait = grace;
    return;
  }
  if (job.outcome != Outcome::kBlocked) return;
  const TeamPlan& team = plan.teams[job.team];
  if (job.may_not_borrow) {
    Say(e, "quota",
        fmt::format(
            "{} slots are free, but team {} holds {} of a share of {:.1f} and running jobs of "
            "other teams below theirs are about to grow into them",
            job.saw_free, job.spec().team, team.held(), team.entitled),
        fmt::format("raise the weight or guarantee of team {}, or wait: after {} it may have them",
                    job.spec().team, Human(plan.policy.gang_hold_after)));
    return;
  }
  Say(e, m > 1 && job.saw_free > 0 ? "gang" : "capacity",
      fmt::format("it needs {} slots at once; {} are free on the best site", m, job.saw_free),
      job.collecting ? "none needed: free slots are kept for it as they come"
                     : "lower its least number of slots, or wait for running work to end");
  const int64_t missing = std::max<int64_t>(m - job.saw_free, 1);
  e->expected_wait = UntilFreed(sites, missing);
  if (plan.out_on_loan > 0) {
    Say(e, "lent",
        fmt::format("{} slots are out on loan to product, {} of them from team {}",
                    plan.out_on_loan, team.lent, job.spec().team),
        "recall a loan with `weir loan recall`, or lower lend_limit_slots");
    if (sites.next_return && missing <= plan.out_on_loan &&
        (!e->expected_wait || *sites.next_return < *e->expected_wait)) {
      e->expected_wait = sites.next_return;
    }
  }
  if (!plan.WithinShare(job.team, m) && !plan.Guaranteed(job.team, m)) {
    Say(e, "quota",
        fmt::format(
            "team {} holds {} slots, its share is {:.1f} and its guarantee {}: with {} more "
            "it would be beyond both, so nobody is stopped for it",
            job.spec().team, team.held(), team.entitled, team.guarantee, m),
        fmt::format("raise guarantee_slots or weight of team {}", job.spec().team));
  }
  if (sites.product > 0) {
    Say(e, "floor",
        fmt::format("product holds {} slots of the {} that it is guaranteed", sites.product,
                    plan.product_guarantee),
        "lower min_replicas of a service, or the product team's guarantee_slots");
  }
  if (sites.not_usable > 0) {
    Say(e, "health", fmt::format("{} slots are cordoned or down", sites.not_usable),
        "see `weir status`, and uncordon what is well again");
  }
}

void ExplainRunning(const Plan& plan, const JobPlan& job, Explanation* e) {
  if (job.stopping || job.team < 0) {
    e->could_take_away = job.stopping ? "it is stopping already" : "its team is not known";
    return;
  }
  const TeamPlan& team = plan.teams[job.team];
  const std::string loss = fmt::format("at the price of {:.3g} slot-seconds", plan.LostWork(job));
  if (!plan.MayBeStopped(job)) {
    e->could_take_away = fmt::format("nothing for its first {}", Human(plan.policy.min_run));
  } else if (!job.spec().checkpointable) {
    e->could_take_away = plan.policy.break_jobs
                             ? fmt::format(
                                   "a loan, a floor or a guarantee of another team, once no "
                                   "job that can be checkpointed is left to ask, {}",
                                   loss)
                             : "nothing: it cannot be checkpointed and break_jobs is off";
  } else if (std::ssize(job.slots) > job.spec().min_slots) {
    e->could_take_away = fmt::format(
        "{} of its {} slots: a loan ({} lent of {}), a product floor, or a job of its own team or "
        "of "
        "one below its share, {}",
        std::ssize(job.slots) - job.spec().min_slots, job.slots.size(), team.lent,
        team.lend_limit < 0 ? "no limit" : fmt::format("{}", team.lend_limit), loss);
  } else {
    e->could_take_away = fmt::format(
        "a pause for a loan ({} lent of {}), a product floor, or a team below its share, {}",
        team.lent, team.lend_limit < 0 ? "no limit" : fmt::format("{}", team.lend_limit), loss);
  }
}

void ExplainService(const Plan& plan, const ServicePlan& s, int64_t wanted, Explanation* e) {
  const Demand& d = s.state->demand;
  const TeamPlan* team = s.team < 0 ? nullptr : &plan.teams[s.team];
  if (plan.snapshot.draining) {
    Say(e, "draining", "the lab is shutting down and starts nothing", "start `weir up` again");
  }
  if (team == nullptr) {
    Say(e, "quota", fmt::format("team {} is not known", s.spec().team), "create the team");
    return;
  }
  int64_t starting = 0;
  for (const ReplicaPlan& r : s.replicas) starting += !r.stopping && !r.second && !r.lease->ready;
  if (starting > 0) {
    Say(e, "capacity", fmt::format("{} of {} replicas are starting", starting, wanted),
        "none needed");
    e->expected_wait = s.state->replica_startup;
  }
  if (s.state->start_not_before > plan.now) {
    const Duration left = s.state->start_not_before - plan.now;
    Say(e, "backoff",
        fmt::format("replicas did not become ready; the next one starts in {}", Human(left)),
        "see the log of its last replica with `weir service logs`");
    e->expected_wait = left;
  }
  if (s.short_of_floor > 0) {
    Say(e, "floor",
        fmt::format(
            "{} of its least {} replicas have no slots: team {} holds {} slots of the {} that "
            "it is guaranteed",
            s.short_of_floor, s.spec().min_replicas, s.spec().team, team->running, team->guarantee),
        fmt::format("raise guarantee_slots of team {}, or lower min_replicas", s.spec().team));
  }
  if (!s.surging && d.above_since.is_set()) {
    Say(e, "capacity",
        fmt::format("demand has been above what is ready for {}; after {} it is a surge",
                    Human(plan.now - d.above_since), Human(plan.policy.surge_after)),
        "none needed");
  }
  if (s.unmet > 0) {
    const int64_t most = s.spec().max_replicas;
    if (ReplicasFor(*s.state, s.ready, plan.policy) > most) {
      Say(e, "capacity",
          fmt::format("{:.3g} requests/s need more than its {} replicas at most",
                      Load(d, plan.policy), most),
          "raise max_replicas");
    }
    Say(e, "lend_limit",
        fmt::format(
            "{} replicas of {} slots find none: {} slots are out on loan{}, and no other job "
            "may give any within lend limits and minimum run times",
            s.unmet, s.per_replica(), plan.out_on_loan,
            plan.policy.loan_limit_slots < 0
                ? ""
                : fmt::format(" of at most {}", plan.policy.loan_limit_slots)),
        "raise lend_limit_slots or loan_limit_slots, or the product team's guarantee");
  }
  if (s.state->service.shed_above_tier > 0) {
    Say(e, "capacity",
        fmt::format("requests of tiers above {} are refused", s.state->service.shed_above_tier),
        "it ends by itself once the demand fits");
  }
}

void ExplainLoan(const Plan& plan, const LoanPlan& loan, Explanation* e) {
  const Duration left = std::max(loan.loan->due - plan.now, Duration{});
  if (!loan.open) {
    e->could_take_away = "it is on its way back: its replicas drain";
    if (loan.service >= 0) e->expected_wait = plan.services[loan.service].spec().grace;
    return;
  }
  int64_t waits = 0;  // slots in a lease that is not one of its replicas
  for (int slot : loan.slots) waits += plan.leased[slot];
  if (loan.service >= 0) {
    for (const ReplicaPlan& r : plan.services[loan.service].replicas) {
      if (r.lease->loan == loan.loan->id && !r.second) waits -= std::ssize(r.slots);
    }
  }
  if (waits > 0) {
    Say(e, "capacity",
        fmt::format("{} of its {} slots are still being freed", waits, loan.slots.size()),
        "none needed");
  }
  e->could_take_away =
      fmt::format("demand below the low mark for {}, its due time in {}, or `weir loan recall`",
                  Human(plan.policy.calm_after), Human(left));
}

}  // namespace

std::vector<Explanation> Explain(const Plan& plan) {
  std::vector<Explanation> out;
  const Sites sites = Survey(plan);
  for (const JobPlan& job : plan.jobs) {
    Explanation e{.subject = job.id()};
    if (job.lease != nullptr) {
      ExplainRunning(plan, job, &e);
    } else if (job.outcome != Outcome::kStarts) {
      ExplainWaiting(plan, job, sites, &e);
    }
    out.push_back(std::move(e));
  }
  for (const ServicePlan& s : plan.services) {
    const int64_t wanted = WantedReplicas(*s.state, s.ready, plan.policy);
    if (s.state->service.phase != wire::ServicePhase::kActive) continue;
    if (s.ready >= wanted && s.unmet == 0 && s.state->service.shed_above_tier == 0) continue;
    Explanation e{.subject = s.state->service.id};
    ExplainService(plan, s, wanted, &e);
    out.push_back(std::move(e));
  }
  for (const LoanPlan& loan : plan.loans) {
    Explanation e{.subject = loan.loan->id};
    ExplainLoan(plan, loan, &e);
    out.push_back(std::move(e));
  }
  std::sort(out.begin(), out.end(),
            [](const Explanation& a, const Explanation& b) { return a.subject < b.subject; });
  return out;
}

}  // namespace weir::sched
