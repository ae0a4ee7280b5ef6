#include "lab/sched/plan.h"

#include <algorithm>

#include "lab/sched/shares.h"

namespace weir::sched {

using wire::LeasePhase;
using wire::StopCause;

int64_t ServicePlan::own() const {
  int64_t n = 0;
  for (const ReplicaPlan& r : replicas) n += !r.stopping && !r.second && r.loan < 0;
  return n;
}

namespace {
std::vector<std::string_view> IdsOf(const std::vector<SlotState>& slots) {
  std::vector<std::string_view> ids;
  ids.reserve(slots.size());
  for (const SlotState& s : slots) ids.push_back(s.id);
  return ids;
}

}  // namespace

Plan::Plan(const Snapshot& s, const Policy& p)
    : snapshot(s), policy(p), now(s.now), places(IdsOf(s.slots)), pool(places) {
  leased.resize(s.slots.size());
  coming.resize(places.sites());
  claims_in_.resize(places.sites());
  claimed_in_.resize(places.sites());
  slot_index_.reserve(s.slots.size());
  for (int i = 0; i < static_cast<int>(s.slots.size()); ++i) {
    slot_index_.emplace(s.slots[i].id, i);
    if (!s.slots[i].usable) continue;
    ++usable;
    if (s.slots[i].lease.empty()) pool.Add(i);
  }
  ReadTeams();
  jobs.resize(s.jobs.size());
  for (size_t i = 0; i < s.jobs.size(); ++i) {
    jobs[i].state = &s.jobs[i];
    jobs[i].team = TeamOf(s.jobs[i].job.spec.team);
  }
  services.resize(s.services.size());
  for (size_t i = 0; i < s.services.size(); ++i) {
    services[i].state = &s.services[i];
    services[i].team = TeamOf(s.services[i].service.spec.team);
    by_tier.push_back(static_cast<int>(i));
  }
  std::stable_sort(by_tier.begin(), by_tier.end(),
                   [&](int a, int b) { return services[a].spec().tier < services[b].spec().tier; });
  ReadLoans();
  ReadLeases();
  for (int i = 0; i < static_cast<int>(loans.size()); ++i) {
    for (int k = 0; k < static_cast<int>(services.size()); ++k) {
      if (services[k].name() == loans[i].loan->service) loans[i].service = k;
    }
    if (loans[i].service >= 0) services[loans[i].service].loans.push_back(i);
  }
  for (ServicePlan& service : services) {
    std::stable_sort(service.loans.begin(), service.loans.end(),
                     [&](int a, int b) { return loans[a].loan->opened < loans[b].loan->opened; });
  }
  ReadClaims();
  FindEntitlements();
}

void Plan::ReadLeases() {
  const Snapshot& s = snapshot;
  std::unordered_map<std::string_view, int> job_index, service_index, loan_index;
  for (int i = 0; i < static_cast<int>(jobs.size()); ++i) job_index.emplace(jobs[i].id(), i);
  for (int i = 0; i < static_cast<int>(services.size()); ++i) {
    service_index.emplace(services[i].state->service.id, i);
  }
  for (int i = 0; i < static_cast<int>(loans.size()); ++i) {
    loan_index.emplace(loans[i].loan->id, i);
  }
  std::vector<bool> on_loan(s.slots.size());
  for (const LoanPlan& loan : loans) {
    for (int slot : loan.slots) on_loan[slot] = true;
  }
  std::unordered_map<std::string_view, const wire::Lease*> live;
  for (const wire::Lease& lease : s.leases) {
    if (lease.phase != LeasePhase::kStopping) live.emplace(lease.id, &lease);
  }
  std::vector<bool> taken_over(s.slots.size());  // by a replica that stays where another stops
  std::vector<std::vector<int>> slots_of(s.leases.size());
  for (size_t i = 0; i < s.leases.size(); ++i) {
    const wire::Lease& lease = s.leases[i];
    slots_of[i] = SlotsOf(lease.slots);
    const std::vector<int>& slots = slots_of[i];
    for (int slot : slots) {  // whatever the slot itself says
      pool.Remove(slot);
      leased[slot] = true;
    }
    if (lease.phase != LeasePhase::kStopping && !lease.replaces.empty()) {
      for (int slot : slots) taken_over[slot] = true;
    }
  }
  for (size_t i = 0; i < s.leases.size(); ++i) {
    const wire::Lease& lease = s.leases[i];
    std::vector<int>& slots = slots_of[i];
    if (slots.empty()) continue;
    const int site = places.site_of(slots.front());
    const bool stopping = lease.phase == LeasePhase::kStopping;
    int64_t not_lent = 0, frees = 0;
    for (int slot : slots) {
      not_lent += !on_loan[slot];
      frees += !on_loan[slot] && !taken_over[slot] && s.slots[slot].usable;
    }
    if (lease.holder_kind == wire::HolderKind::kJob) {
      const auto it = job_index.find(lease.holder);
      if (it == job_index.end()) {
        if (stopping) coming[site] += frees;
        continue;
      }
      JobPlan& job = jobs[it->second];
      const bool resizes = stopping && lease.stop_cause == StopCause::kResize;
      if (stopping) {
        coming[site] += resizes ? std::max<int64_t>(frees - job.spec().min_slots, 0) : frees;
      }
      if (!stopping || resizes) AddRunning(job.team, resizes ? not_lent : std::ssize(slots));
      job.lease = &lease;
      job.stopping = stopping;
      job.site = site;
      job.slots = std::move(slots);
      continue;
    }
    const auto it = service_index.find(lease.holder);
    const auto loan = loan_index.find(lease.loan);
    ReplicaPlan replica{.lease = &lease, .stopping = stopping};
    replica.loan = loan == loan_index.end() ? -1 : loan->second;
    replica.second = !stopping && !lease.replaces.empty() && live.contains(lease.replaces);
    if (replica.loan < 0) {
      if (stopping) {
        coming[site] += frees;
      } else if (!replica.second) {
        product_running += std::ssize(slots);
        AddRunning(TeamOf(lease.team), std::ssize(slots));
      }
    }
    replica.slots = std::move(slots);
    if (it == service_index.end()) {
      // Of a service that is gone: it cannot be needed.
      if (!stopping) {
        actions.push_back({.kind = ActionKind::kStopReplica,
                           .service = lease.service,
                           .lease = lease.id,
                           .cause = StopCause::kDrain,
                           .reason = {"its service is gone", {}}});
      }
      continue;
    }
    ServicePlan& service = services[it->second];
    service.ready += lease.ready && !stopping && !replica.second;
    service.replicas.push_back(std::move(replica));
  }
}

void Plan::ReadTeams() {
  const std::vector<wire::Team>& all = snapshot.teams;
  for (int i = 0; i < static_cast<int>(all.size()); ++i) team_index_.emplace(all[i].name, i);
  teams.resize(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    teams[i].team = &all[i];
    teams[i].research = all[i].team_class == wire::TeamClass::kResearch;
    teams[i].lend_limit = all[i].lend_limit_slots;
    const int parent = TeamOf(all[i].parent);
    // A parent of the other class does not share its slots with this team.
    if (parent >= 0 && all[parent].team_class == all[i].team_class) teams[i].parent = parent;
  }
  for (size_t i = 0; i < teams.size(); ++i) {  // a circle of parents is cut at its first member
    int at = teams[i].parent;
    for (size_t steps = 0; at >= 0 && steps <= teams.size(); ++steps) at = teams[at].parent;
    if (at >= 0) teams[i].parent = -1;
  }
  std::vector<int> depth(teams.size()), order;
  for (int i = 0; i < static_cast<int>(teams.size()); ++i) {
    for (int at = teams[i].parent; at >= 0; at = teams[at].parent) ++depth[i];
    order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return depth[a] > depth[b]; });
  std::vector<int64_t> below(teams.size());
  for (int i : order) {
    teams[i].guarantee = std::max(teams[i].team->guarantee_slots, below[i]);
    if (teams[i].parent >= 0) {
      below[teams[i].parent] += teams[i].guarantee;
    } else if (!teams[i].research) {
      product_guarantee += teams[i].guarantee;
    }
  }
}

void Plan::ReadLoans() {
  for (const wire::Loan& loan : snapshot.loans) {
    LoanPlan plan{.loan = &loan, .open = loan.phase == wire::LoanPhase::kOpen};
    for (const wire::LoanPart& part : loan.parts) {
      out_on_loan += std::ssize(part.slots);
      AddLent(TeamOf(part.team), std::ssize(part.slots));
      for (int slot : SlotsOf(part.slots)) {
        plan.slots.push_back(slot);
        pool.Remove(slot);
      }
    }
    std::sort(plan.slots.begin(), plan.slots.end());
    loans.push_back(std::move(plan));
  }
}

void Plan::ReadClaims() {
  for (int i = 0; i < static_cast<int>(jobs.size()); ++i) {
    JobPlan& job = jobs[i];
    const JobState& state = *job.state;
    const bool resized = state.last_cause == StopCause::kResize;
    if (job.lease != nullptr || job.team < 0 || state.job.not_before > now ||
        (!resized && state.last_cause != StopCause::kPause)) {
      continue;
    }
    std::vector<int> claim;
    for (int slot : SlotsOf(state.last_slots)) {
      if (pool.Has(slot)) claim.push_back(slot);
    }
    if (claim.empty() || std::ssize(claim) < (resized ? 1 : job.spec().min_slots)) continue;
    for (int slot : claim) pool.Remove(slot);
    job.site = places.site_of(claim.front());
    job.restarting = resized;
    if (resized) AddRunning(job.team, std::ssize(claim));
    claims_in_[job.site].push_back(i);
    claimed_in_[job.site] += std::ssize(claim);
    job.claim = std::move(claim);
  }
}

void Plan::FindEntitlements() {
  std::vector<ShareNode> nodes(teams.size());
  for (size_t i = 0; i < teams.size(); ++i) {
    nodes[i].parent = teams[i].parent;
    nodes[i].guarantee = static_cast<double>(teams[i].research ? teams[i].guarantee : 0);
    nodes[i].weight = static_cast<double>(std::max<int64_t>(teams[i].team->weight, 1));
    nodes[i].owed = OwedSlots(teams[i].team->credit_slot_s, policy.share_half_life_s);
  }
  for (const JobPlan& job : jobs) {
    if (job.team < 0 || job.spec().min_slots > usable) continue;
    if (job.lease == nullptr && job.state->job.not_before > now) continue;
    nodes[job.team].demand += static_cast<double>(job.spec().max_slots);
  }
  for (const LoanPlan& loan : loans) {  // what is lent is held, so it is demand as well
    for (const wire::LoanPart& part : loan.loan->parts) {
      const int team = TeamOf(part.team);
      if (team >= 0) nodes[team].demand += static_cast<double>(part.slots.size());
    }
  }
  const std::vector<double> entitled =
      Entitlements(nodes, static_cast<double>(usable - product_running));
  for (size_t i = 0; i < teams.size(); ++i) teams[i].entitled = entitled[i];
}

std::vector<int> Plan::SlotsOf(const std::vector<std::string>& ids) const {
  std::vector<int> out;
  out.reserve(ids.size());
  for (const std::string& id : ids) {
    if (const auto it = slot_index_.find(id); it != slot_index_.end()) out.push_back(it->second);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<std::string> Plan::SlotIds(const std::vector<int>& slots) const {
  std::vector<std::string> ids;
  for (int slot : slots) ids.push_back(slot_id(slot));
  return ids;
}

int Plan::TeamOf(std::string_view name) const {
  const auto it = team_index_.find(name);
  return it == team_index_.end() ? -1 : it->second;
}

bool Plan::Within(int team, int ancestor) const {
  for (; team >= 0; team = teams[team].parent) {
    if (team == ancestor) return true;
  }
  return false;
}

void Plan::AddRunning(int team, int64_t slots) {
  for (; team >= 0; team = teams[team].parent) teams[team].running += slots;
}

void Plan::AddLent(int team, int64_t slots) {
  for (; team >= 0; team = teams[team].parent) teams[team].lent += slots;
}

int64_t Plan::LendRoom(int team) const {
  int64_t room = usable;
  if (policy.loan_limit_slots >= 0) room = policy.loan_limit_slots - out_on_loan;
  for (; team >= 0; team = teams[team].parent) {
    if (teams[team].lend_limit >= 0)
      room = std::min(room, teams[team].lend_limit - teams[team].lent);
  }
  return std::max<int64_t>(room, 0);
}

int64_t Plan::Free(int site) const { return pool.FreeIn(site) + claimed_in_[site]; }

std::vector<int> Plan::TakeFree(int site, int64_t n, const std::vector<int>& preferred) {
  for (const bool all : {false, true}) {
    for (int i : claims_in_[site]) {
      JobPlan& job = jobs[i];
      const int64_t keep = all ? 0 : job.restarting ? job.spec().min_slots : std::ssize(job.claim);
      while (pool.FreeIn(site) < n && std::ssize(job.claim) > keep) {
        pool.Add(job.claim.back());
        job.claim.pop_back();
        --claimed_in_[site];
        if (job.restarting) AddRunning(job.team, -1);
      }
    }
  }
  return pool.Take(site, n, preferred);
}

void Plan::DropClaim(JobPlan* job) {
  if (job->claim.empty()) return;
  for (int slot : job->claim) pool.Add(slot);
  claimed_in_[job->site] -= std::ssize(job->claim);
  if (job->restarting) AddRunning(job->team, -std::ssize(job->claim));
  job->restarting = false;
  job->claim.clear();
}

bool Plan::Guaranteed(int team, int64_t slots) const {
  for (; team >= 0; team = teams[team].parent) {
    if (teams[team].held() + slots <= teams[team].guarantee) return true;
  }
  return false;
}

bool Plan::WithinShare(int team, int64_t slots) const {
  return team >= 0 &&
         static_cast<double>(teams[team].held() + slots) <= teams[team].entitled + 1e-6;
}

void Plan::StopJob(JobPlan* job, How how, int64_t give, const std::vector<int>& slots,
                   Reason reason) {
  Action action{.kind = ActionKind::kStopJob, .job = job->id(), .lease = job->lease->id};
  action.slots = SlotIds(slots);
  action.cause = how == How::kShrink ? StopCause::kResize : StopCause::kPause;
  action.reason = std::move(reason);
  actions.push_back(std::move(action));
  job->stopping = true;
  AddRunning(job->team, -(how == How::kShrink ? give : std::ssize(job->slots)));
}

void Plan::StopReplica(ServicePlan* service, ReplicaPlan* replica, Reason reason) {
  if (replica->stopping) return;
  actions.push_back({.kind = ActionKind::kStopReplica,
                     .service = service->name(),
                     .lease = replica->lease->id,
                     .cause = StopCause::kDrain,
                     .loan = replica->lease->loan,
                     .reason = reason});
  replica->stopping = true;
  // A rollout step in these slots stops with it: the slots come free only then.
  for (ReplicaPlan& other : service->replicas) {
    if (!other.stopping && (other.lease->replaces == replica->lease->id ||
                            replica->lease->replaces == other.lease->id)) {
      StopReplica(service, &other, reason);
    }
  }
  if (replica->second) return;
  if (replica->loan < 0 && !replica->slots.empty()) {
    product_running -= std::ssize(replica->slots);
    AddRunning(TeamOf(replica->lease->team), -std::ssize(replica->slots));
    coming[places.site_of(replica->slots.front())] += std::ssize(replica->slots);
  }
}

void Plan::StartReplica(ServicePlan* service, const std::vector<int>& slots,
                        const std::string& loan, Reason reason) {
  Action action{.kind = ActionKind::kStartReplica, .service = service->name()};
  action.slots = SlotIds(slots);
  action.loan = loan;
  action.version = service->state->service.version;
  action.reason = std::move(reason);
  actions.push_back(std::move(action));
  if (loan.empty()) {
    product_running += std::ssize(slots);
    AddRunning(service->team, std::ssize(slots));
  }
}

void Plan::Recall(LoanPlan* loan, Reason reason) {
  if (!loan->open) return;
  loan->open = false;
  Action action{.kind = ActionKind::kRecallLoan, .service = loan->loan->service};
  action.loan = loan->loan->id;
  action.reason = reason;
  actions.push_back(std::move(action));
}

bool Plan::MayBeStopped(const JobPlan& job) const {
  if (job.lease == nullptr || job.stopping || job.team < 0) return false;
  if (job.lease->phase != LeasePhase::kActive) return false;
  const Time started = job.state->run_started.is_set() ? job.state->run_started : job.lease->active;
  return now - started >= policy.min_run;
}

double Plan::LostWork(const JobPlan& job) const {
  const Time started = job.state->run_started.is_set() ? job.state->run_started : job.lease->active;
  const Time saved =
      job.spec().checkpointable ? std::max(started, job.state->last_checkpoint) : started;
  const double again_s = std::max((now - saved).seconds(), 0.0) + job.state->restart_cost.seconds();
  return again_s * static_cast<double>(job.slots.size());
}

int64_t Plan::LostSteps(const JobPlan& job) const {
  const wire::Job& j = job.state->job;
  if (!j.progress) return 0;
  const int64_t saved = j.spec.checkpointable && j.checkpoint ? j.checkpoint->step : 0;
  return std::max<int64_t>(j.progress->step - saved, 0);
}

}  // namespace weir::sched
