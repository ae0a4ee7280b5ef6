#include "control/views.h"

#include <algorithm>
#include <tuple>

#include "control/held_slots.h"
#include "lab/sched/sizing.h"

namespace weir::control {

using wire::HolderKind;
using wire::LeasePhase;

namespace {

constexpr size_t kEndedJobsShown = 200;
constexpr size_t kRolloutsShown = 50;

// Newest first among the ended, at most `keep`.
template <class T, class Ended>
void AppendEnded(std::vector<const T*> ended, size_t keep, std::vector<T>& out, Ended at) {
  std::stable_sort(ended.begin(), ended.end(),
                   [&](const T* a, const T* b) { return at(*a) > at(*b); });
  if (ended.size() > keep) ended.resize(keep);
  for (const T* one : ended) out.push_back(*one);
}

}  // namespace

wire::LabView ViewOf(const ViewContext& c) {
  wire::LabView view;
  view.lab = c.state.lab;
  view.version = c.version;
  view.now = c.now;
  view.started = c.started;
  view.journal_seq = c.journal_seq;
  view.draining = c.draining;
  view.trouble = c.trouble;
  for (const auto& [name, team] : c.state.teams) view.teams.push_back(team);
  for (wire::Site site : c.sites) {
    if (const auto seen = c.sights.sites.find(site.name); seen != c.sights.sites.end()) {
      site.reachable = seen->second.reachable;
      site.why = seen->second.why;
      site.unknown_since = seen->second.unknown_since;
    }
    if (const auto spec = c.state.sites.find(site.name); spec != c.state.sites.end()) {
      site.provider = spec->second.provider;
      site.region = spec->second.region;
      site.draining = spec->second.draining;
      if (site.reachable) site.why = spec->second.why;
    }
    view.sites.push_back(std::move(site));
  }
  const auto held = HeldSlots(c.state, view.now);
  for (const auto& [id, slot] : c.state.slots) {
    wire::Slot& shown = view.slots.emplace_back(EffectiveSlot(c.state, slot));
    const auto it = held.find(id);
    if (it == held.end()) continue;
    if (!it->second.held && shown.health == wire::SlotHealth::kUp) {
      shown.health = wire::SlotHealth::kCordoned;
      shown.why = "no contract of its site holds it";
    }
    const Time until = it->second.until;
    if (until.is_set() && (!shown.leaves.is_set() || until < shown.leaves)) shown.leaves = until;
  }

  std::vector<const wire::Job*> ended_jobs;
  for (const auto& [id, job] : c.state.jobs) {
    if (HasEnded(job))
      ended_jobs.push_back(&job);
    else
      view.jobs.push_back(job);
  }
  std::stable_sort(view.jobs.begin(), view.jobs.end(), [](const wire::Job& a, const wire::Job& b) {
    return a.submitted < b.submitted;
  });
  AppendEnded(std::move(ended_jobs), kEndedJobsShown, view.jobs,
              [](const wire::Job& job) { return job.ended; });
  for (wire::Job& job : view.jobs) {
    if (const auto sight = c.sights.jobs.find(job.id); sight != c.sights.jobs.end())
      job.progress = sight->second.progress;
  }

  for (const auto& [id, lease] : c.state.leases) view.leases.push_back(lease);
  for (const auto& [id, service] : c.state.services) {
    wire::ServiceView sv;
    sv.service = service;
    sv.own_version = OwnVersion(c.state, service);
    for (const auto& [lease_id, lease] : c.state.leases) {
      if (lease.holder != id) continue;
      if (lease.phase == LeasePhase::kStopping)
        ++sv.draining;
      else if (lease.ready)
        ++sv.ready;
      else
        ++sv.starting;
    }
    sv.wanted = service.spec.min_replicas;
    if (const auto demand = c.demands.find(id); demand != c.demands.end()) {
      sv.traffic = demand->second.view();
      sv.wanted = sched::WantedReplicas({service, demand->second.demand()}, sv.ready, c.policy);
    }
    view.services.push_back(std::move(sv));
  }

  std::vector<const wire::Loan*> returned;
  for (const auto& [id, loan] : c.state.loans) {
    if (loan.phase == wire::LoanPhase::kReturned)
      returned.push_back(&loan);
    else
      view.loans.push_back(loan);
  }
  AppendEnded(std::move(returned), kReturnedLoansKept, view.loans,
              [](const wire::Loan& loan) { return loan.returned; });
  view.datasets = c.state.datasets;
  view.models = c.state.versions;
  std::vector<const wire::Rollout*> rollouts;
  for (const auto& [id, rollout] : c.state.rollouts) rollouts.push_back(&rollout);
  AppendEnded(std::move(rollouts), kRolloutsShown, view.rollouts,
              [](const wire::Rollout& rollout) { return rollout.started; });
  for (const auto& [name, pipeline] : c.state.pipelines) view.pipelines.push_back(pipeline);
  return view;
}

RouteTable RoutesOf(const State& state, bool draining) {
  RouteTable table;
  table.draining = draining;
  for (const auto& [id, service] : state.services) {
    RouteService route;
    route.id = id;
    route.name = service.spec.name;
    route.names = RequestNames(state, service);
    route.speaks_openai = !service.version.empty();
    route.tier = service.spec.tier;
    route.shed_above_tier = service.shed_above_tier;
    route.max_queue = service.spec.max_queue;
    route.max_concurrency = service.spec.max_concurrency;
    route.slo = service.spec.slo;
    for (const auto& [lease_id, lease] : state.leases) {
      if (lease.holder != id || lease.holder_kind != HolderKind::kReplica) continue;
      if (lease.ready && lease.port > 0)
        route.replicas.push_back({lease_id, lease.host.empty() ? "127.0.0.1" : lease.host,
                                  lease.port, lease.phase != LeasePhase::kActive});
      else if (lease.phase != LeasePhase::kStopping)
        ++route.starting;
    }
    table.services.push_back(std::move(route));
  }
  return table;
}

bool SameRoutes(const RouteTable& a, const RouteTable& b) {
  const auto same_replica = [](const RouteReplica& x, const RouteReplica& y) {
    return std::tie(x.id, x.host, x.port, x.draining) == std::tie(y.id, y.host, y.port, y.draining);
  };
  const auto same_service = [&](const RouteService& x, const RouteService& y) {
    return std::tie(x.id, x.name, x.names, x.speaks_openai, x.tier, x.shed_above_tier, x.max_queue,
                    x.max_concurrency, x.slo.ttft_ms, x.slo.tpot_ms, x.slo.queue_ms,
                    x.slo.percentile, x.starting) ==
               std::tie(y.id, y.name, y.names, y.speaks_openai, y.tier, y.shed_above_tier,
                        y.max_queue, y.max_concurrency, y.slo.ttft_ms, y.slo.tpot_ms,
                        y.slo.queue_ms, y.slo.percentile, y.starting) &&
           std::equal(x.replicas.begin(), x.replicas.end(), y.replicas.begin(), y.replicas.end(),
                      same_replica);
  };
  return a.draining == b.draining && std::equal(a.services.begin(), a.services.end(),
                                                b.services.begin(), b.services.end(), same_service);
}

}  // namespace weir::control
