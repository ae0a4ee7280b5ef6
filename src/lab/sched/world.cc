#include "lab/sched/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace weir::sched {

using wire::StopCause;

namespace {

constexpr Duration kForever = Duration::Seconds(100LL * 365 * 86400);

// `whole` in proportion to `parts`, by largest remainder, ties to the earlier; a negative number
// (no limit) stays.
std::vector<int64_t> InProportion(int64_t whole, const std::vector<int64_t>& parts) {
  std::vector<int64_t> out(parts.size(), whole);
  int64_t sum = 0;
  for (const int64_t p : parts) sum += p;
  if (whole < 0 || parts.size() == 1) return out;
  if (sum == 0) {
    std::fill(out.begin() + 1, out.end(), 0);
    return out;
  }
  std::vector<std::pair<int64_t, size_t>> rest;  // (-remainder, index)
  int64_t given = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const __int128 share = static_cast<__int128>(whole) * parts[i];
    out[i] = static_cast<int64_t>(share / sum);
    given += out[i];
    rest.emplace_back(-static_cast<int64_t>(share % sum), i);
  }
  std::sort(rest.begin(), rest.end());
  for (size_t k = 0; given < whole; ++k, ++given) ++out[rest[k % rest.size()].second];
  return out;
}

}  // namespace

World::World(Policy policy) : policy_(policy) {
  SetTeams({});
  ShapeNumber({});
}

// ---- rows ----

void World::SetPolicy(const Policy& policy) {
  Settle();
  teams_changed_ = teams_changed_ || policy.min_run != policy_.min_run ||
                   policy.short_first != policy_.short_first;
  policy_ = policy;
}

void World::SetTeams(std::vector<wire::Team> teams, std::vector<std::string> types) {
  teams_ = std::move(teams);
  types_ = std::move(types);
  CHECK(!types_.empty());
  past_use_.resize(teams_.size());
  team_of_.clear();
  for (TeamId i = 0; i < static_cast<TeamId>(teams_.size()); ++i)
    team_of_.emplace(teams_[i].name, i);
  teams_changed_ = true;
}

TeamId World::TeamOf(std::string_view name) const {
  const auto it = team_of_.find(name);
  return it == team_of_.end() ? -1 : it->second;
}

int32_t World::ShapeNumber(const Shape& shape) {
  const auto [it, is_new] = shape_numbers_.try_emplace(shape, static_cast<int32_t>(shapes_.size()));
  if (is_new) shapes_.push_back(shape);
  return it->second;
}

// A node that leaves in a far future is one that stays: only what is near is looked at closely.
Node World::Effective(const Node& node) const {
  Node out = node;
  if (node.leaves.is_set() && node.leaves - kLeaveHorizon > now_) out.leaves = {};
  return out;
}

void World::SetNode(NodeId id, const Node& node) {
  if (id >= static_cast<NodeId>(told_nodes_.size())) told_nodes_.resize(id + 1);
  const Node& old = told_nodes_[id];
  if (old.leaves.is_set()) timers_.erase({old.leaves - kLeaveHorizon, TimerKind::kLeave, id});
  told_nodes_[id] = node;
  if (node.leaves.is_set() && node.leaves - kLeaveHorizon > now_) {
    timers_.insert({node.leaves - kLeaveHorizon, TimerKind::kLeave, id});
  }
  fleet_.SetNode(id, Effective(node));
}

void World::Touch(JobId id) {
  if (keep_changed_) changed_.insert(id);
}

std::vector<JobId> World::TakeChanged() {
  std::vector<JobId> out;
  if (keep_changed_) {
    out.assign(changed_.begin(), changed_.end());
  } else {
    for (JobId id = 0; id < jobs(); ++id) {
      if (HasJob(id)) out.push_back(id);
    }
  }
  keep_changed_ = true;
  changed_.clear();
  return out;
}

void World::SetJob(JobId id, Job job) {
  CHECK_MSG(id >= 0, "job={}", id);
  Settle();
  if (id >= jobs()) jobs_.resize(id + 1);
  Job& row = jobs_[id];
  const auto holds = [](const Job& j) {
    return j.phase == RunPhase::kRunning || j.phase == RunPhase::kStopping;
  };
  Index(id, false);
  const bool same_places = holds(row) && holds(job) && row.places == job.places;
  if (holds(row) && !same_places) fleet_.Release(row.places);
  if (holds(job) && !same_places) fleet_.Hold(job.places);
  row = std::move(job);
  if (row.phase == RunPhase::kNone) row = Job{};
  Index(id, true);
  Touch(id);
}

void World::SetStarted(JobId id, Time when) {
  Settle();
  Job& row = jobs_[id];
  CHECK_MSG(row.phase == RunPhase::kRunning, "job={} does not run", id);
  IndexVictim(id, false);
  row.started = row.saved = when;
  IndexVictim(id, true);
  Touch(id);
}

void World::SetSaved(JobId id, Time when) {
  Settle();
  Job& row = jobs_[id];
  CHECK_MSG(row.phase == RunPhase::kRunning, "job={} does not run", id);
  IndexVictim(id, false);
  row.saved = when;
  IndexVictim(id, true);
  Touch(id);
}

void World::SetServices(std::vector<ServiceState> services) { services_ = std::move(services); }

void World::SetReplica(ReplicaId id, std::optional<Replica> replica) {
  Settle();
  if (const auto old = replicas_.find(id); old != replicas_.end()) {
    IndexReplica(old->second, false);
    replacing_.erase({old->second.replaces, id});
    fleet_.Release(old->second.places);
    replicas_.erase(old);
  }
  if (!replica) return;
  fleet_.Hold(replica->places);
  IndexReplica(*replica, true);
  if (replica->replaces >= 0) replacing_.emplace(replica->replaces, id);
  replicas_.emplace(id, *std::move(replica));
}

void World::SetLoan(LoanId id, std::optional<Loan> loan) {
  Settle();
  if (const auto old = loans_.find(id); old != loans_.end()) {
    IndexLoan(old->second, false);
    for (const LoanShare& share : old->second.shares) fleet_.Unlend(share.places);
    loans_.erase(old);
  }
  if (!loan) return;
  for (const LoanShare& share : loan->shares) fleet_.Lend(share.places);
  IndexLoan(*loan, true);
  loans_.emplace(id, *std::move(loan));
}

void World::SetFreed(const Places& places, Time when) {
  for (const SlotId slot : SlotIds(places)) {
    if (now_ - when < policy_.grow_after) {
      freed_[slot] = when;
    } else {
      freed_.erase(slot);
    }
  }
}

void World::SetNames(std::function<std::string(JobId)> job,
                     std::function<std::string(LoanId)> loan) {
  job_name_ = std::move(job);
  loan_name_ = std::move(loan);
}

void World::Advance(Time now) {
  CHECK_MSG(now >= now_, "now={} before={}", now.us, now_.us);
  Settle();
  std::set<JobId> due;
  std::vector<JobId> mature;
  std::vector<NodeId> leave;
  for (auto it = timers_.begin(); it != timers_.end() && std::get<Time>(*it) <= now; ++it) {
    const int32_t id = std::get<int32_t>(*it);
    switch (std::get<TimerKind>(*it)) {
      case TimerKind::kLeave:
        leave.push_back(id);
        break;
      case TimerKind::kMature:
        mature.push_back(id);
        break;
      case TimerKind::kBackoff:
      case TimerKind::kDeadline:
        due.insert(id);
        break;
    }
  }
  for (const JobId id : due) Index(id, false);
  for (const JobId id : mature) IndexVictim(id, false);
  now_ = now;
  std::erase_if(freed_, [&](const auto& f) { return now_ - f.second >= policy_.grow_after; });
  for (const JobId id : due) Index(id, true);
  for (const JobId id : mature) IndexVictim(id, true);
  for (const JobId id : due) Touch(id);
  for (const JobId id : mature) Touch(id);
  std::vector<EndRow> late;
  for (auto& ends : ends_) {  // those that are late now, to where they are expected instead
    late.clear();
    for (auto it = ends.begin(); it != ends.end() && it->at <= now_; ++it) late.push_back(*it);
    for (const EndRow& row : late) {
      const EndRow later = *EndOf(row.job);
      if (later.at == row.at) continue;
      ends.erase(row);
      ends.insert(later);
    }
  }
  for (const NodeId id : leave) {
    timers_.erase({told_nodes_[id].leaves - kLeaveHorizon, TimerKind::kLeave, id});
    fleet_.SetNode(id, Effective(told_nodes_[id]));
  }
  Settle();
}

// ---- what follows ----

void World::Settle() {
  fleet_.Settle();
  if (fleet_.generation() == generation_ && !teams_changed_) return;
  generation_ = fleet_.generation();
  teams_changed_ = false;
  MakeAccounts();
  biggest_pool_ = 0;
  for (const Fleet::Pool& pool : fleet_.pools()) {
    biggest_pool_ = std::max(biggest_pool_, pool.slots + pool.not_usable);
  }
  queues_.clear();
  queue_number_.clear();
  queues_of_.assign(teams_.size(), {});
  waiting_ = holding_ = product_running_ = out_on_loan_ = 0;
  stoppable_.clear();
  victim_heads_.clear();
  ends_.assign(fleet_.pools().size(), {});
  growable_.assign(accounts_.size(), {});
  stopping_.clear();
  claiming_.clear();
  held_back_.clear();
  const BlockSet<Timer> timers = std::exchange(timers_, {});
  for (const Timer& timer : timers) {
    if (std::get<TimerKind>(timer) == TimerKind::kLeave) timers_.insert(timer);
  }
  for (JobId id = 0; id < jobs(); ++id) Index(id, true);
  for (const auto& [id, replica] : replicas_) IndexReplica(replica, true);
  for (const auto& [id, loan] : loans_) IndexLoan(loan, true);
}

void World::MakeAccounts() {
  const int n = static_cast<int>(teams_.size()), kinds = static_cast<int>(types_.size());
  std::vector<int64_t> fleet(kinds);
  for (const Fleet::Pool& pool : fleet_.pools()) {
    if (pool.type < kinds) fleet[pool.type] += pool.slots + pool.not_usable;
  }
  std::vector<TeamId> parent(n, -1);
  std::vector<bool> group(n);
  for (TeamId i = 0; i < n; ++i) {
    const TeamId p = TeamOf(teams_[i].parent);
    // A parent of the other class does not share its slots with this team.
    if (p >= 0 && teams_[p].team_class == teams_[i].team_class) parent[i] = p;
  }
  for (TeamId i = 0; i < n; ++i) {  // a circle of parents is cut at its first member
    TeamId at = parent[i];
    for (int steps = 0; at >= 0 && steps <= n; ++steps) at = parent[at];
    if (at >= 0) parent[i] = -1;
  }
  for (TeamId i = 0; i < n; ++i) {
    if (parent[i] >= 0) group[parent[i]] = true;
  }
  accounts_.assign(static_cast<size_t>(n) * kinds, {});
  for (TeamId i = 0; i < n; ++i) {
    const wire::Team& team = teams_[i];
    const std::vector<int64_t> guarantee = InProportion(team.guarantee_slots, fleet);
    const std::vector<int64_t> lend = InProportion(team.lend_limit_slots, fleet);
    const std::vector<int64_t> borrow = InProportion(team.borrow_limit_slots, fleet);
    for (int k = 0; k < kinds; ++k) {
      Account& a = accounts_[AccountOf(i, k)];
      a.team = i;
      a.type = k;
      a.parent = AccountOf(parent[i], k);
      a.research = team.team_class == wire::TeamClass::kResearch;
      a.group = group[i];
      a.guarantee = guarantee[k];
      a.lend_limit = lend[k];
      a.borrow_limit = borrow[k];
      a.weight = static_cast<double>(std::max<int64_t>(team.weight, 1));
      for (const wire::TypeQuota& quota : team.quotas) {
        if (quota.type != types_[k]) continue;
        a.guarantee = quota.guarantee_slots;
        a.lend_limit = quota.lend_limit_slots;
        a.borrow_limit = quota.borrow_limit_slots;
        if (quota.weight > 0) a.weight = static_cast<double>(quota.weight);
      }
    }
  }
  // A guarantee counts as at least the sum of those below it.
  std::vector<int> depth(n);
  std::vector<TeamId> order(n);
  for (TeamId i = 0; i < n; ++i) {
    order[i] = i;
    for (TeamId at = parent[i]; at >= 0; at = parent[at]) ++depth[i];
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return depth[a] > depth[b]; });
  std::vector<int64_t> below(accounts_.size());
  product_guarantee_ = 0;
  for (const TeamId i : order) {
    for (int k = 0; k < kinds; ++k) {
      Account& a = accounts_[AccountOf(i, k)];
      a.guarantee = std::max(a.guarantee, below[AccountOf(i, k)]);
      if (a.parent >= 0) {
        below[a.parent] += a.guarantee;
      } else if (!a.research) {
        product_guarantee_ += a.guarantee;
      }
    }
  }
}

void World::AddUp(AccountId account, int64_t Account::*what, int64_t n) {
  for (; account >= 0; account = accounts_[account].parent) accounts_[account].*what += n;
}

int World::QueueOf(const Job& job) {
  const auto [it, is_new] = queue_number_.try_emplace({job.team, job.shape, job.min_slots},
                                                      static_cast<int>(queues_.size()));
  if (is_new) {
    queues_.push_back({job.team, job.shape, job.min_slots, {}});
    queues_of_[job.team].push_back(it->second);
  }
  return it->second;
}

bool World::Urgent(const Job& job) const { return job.deadline.is_set() && now_ >= UrgentAt(job); }

Time World::UrgentAt(const Job& job) const { return job.deadline - LongestRun(job, job.min_slots); }

WaitKey World::KeyOf(JobId id) const {
  const Job& job = jobs_[id];
  WaitKey key{.less_priority = -job.priority, .job = id};
  key.rank = Urgent(job) ? 0 : job.phase == RunPhase::kPaused ? 1 : 2;
  // A job that is expected to run for long lets later but shorter ones pass, for so long and no
  // longer: nobody starves.
  key.submitted = job.submitted + Duration::FromSeconds(policy_.short_first *
                                                        ExpectedRun(job, job.min_slots).seconds());
  return key;
}

bool World::Mature(const Job& job) const {
  return job.started.is_set() && now_ - job.started >= policy_.min_run;
}

VictimClass World::ClassOf(const Job& job) const {
  VictimClass c;
  c.pool = PoolOf(job.places);
  c.account = AccountIn(job.team, c.pool);
  c.slots = static_cast<int32_t>(SlotsIn(job.places));
  c.can_shrink = job.checkpointable ? std::max(c.slots - job.min_slots, 0) : 0;
  c.checkpointable = job.checkpointable;
  return c;
}

AccountId World::DemandAccount(const Job& job) const {
  if (job.phase == RunPhase::kRunning || job.phase == RunPhase::kStopping) {
    const PoolId pool = PoolOf(job.places);
    if (pool >= 0) return AccountIn(job.team, pool);
  }
  const Shape& shape = shapes_[job.shape];
  int32_t best = -1;
  double speed = 0;
  for (int32_t type = 0; type < static_cast<int32_t>(types_.size()); ++type) {
    if (shape.types != 0 && (type >= 64 || (shape.types >> type & 1) == 0)) continue;
    const double s = type < std::ssize(shape.speed) ? shape.speed[type] : 1;
    if (best >= 0 && s <= speed) continue;
    best = type;
    speed = s;
  }
  return best < 0 ? -1 : AccountOf(job.team, best);
}

void World::Index(JobId id, bool add) {
  const Job& job = jobs_[id];
  if (job.phase == RunPhase::kNone) return;
  const int64_t sign = add ? 1 : -1;
  const auto put = [add](auto& set, auto&& value) {
    if (add) {
      set.insert(value);
    } else {
      set.erase(value);
    }
  };
  const auto timer = [&](Time at, TimerKind kind) {
    if (at > now_) put(timers_, Timer{at, kind, id});
  };
  const bool holds = job.phase == RunPhase::kRunning || job.phase == RunPhase::kStopping;
  const bool research = job.team >= 0 && teams_[job.team].team_class == wire::TeamClass::kResearch;
  const bool backoff = !holds && job.not_before > now_;
  if (job.team >= 0 && job.min_slots <= biggest_pool_ && !backoff && job.hold == Hold::kNone) {
    if (const AccountId a = DemandAccount(job); a >= 0) accounts_[a].demand += sign * job.max_slots;
  }
  if (!holds) {
    timer(job.not_before, TimerKind::kBackoff);
    if (!job.places.empty()) put(claiming_, id);
    if (backoff || job.hold != Hold::kNone || !research) {
      put(held_back_, id);
      return;
    }
    if (job.deadline.is_set()) timer(UrgentAt(job), TimerKind::kDeadline);
    put(queues_[QueueOf(job)].jobs, KeyOf(id));
    waiting_ += sign;
    return;
  }
  holding_ += sign;
  const PoolId pool = PoolOf(job.places);
  const int64_t slots = SlotsIn(job.places);
  if (job.phase == RunPhase::kStopping) {
    put(stopping_, id);
    if (job.team >= 0 && pool >= 0 && job.keeps > 0) {
      AddUp(AccountIn(job.team, pool), &Account::running, sign * job.keeps);
    }
    return;
  }
  if (pool < 0) return;  // its nodes are gone; what becomes of it will be told
  if (job.team >= 0) AddUp(AccountIn(job.team, pool), &Account::running, sign * slots);
  if (const auto end = EndOf(id)) put(ends_[pool], *end);
  if (job.team < 0) return;
  if (job.checkpointable && slots < job.max_slots) put(growable_[AccountIn(job.team, pool)], id);
  IndexVictim(id, add);
}

// Of a job that runs: among those that may be stopped, or the time from which on it is.
void World::IndexVictim(JobId id, bool add) {
  const Job& job = jobs_[id];
  if (!job.started.is_set() || job.team < 0 || PoolOf(job.places) < 0) return;
  if (!Mature(job)) {
    const Timer timer{job.started + policy_.min_run, TimerKind::kMature, id};
    if (add) {
      timers_.insert(timer);
    } else {
      timers_.erase(timer);
    }
    return;
  }
  const VictimClass c = ClassOf(job);
  const LossKey key = LossOf(id, job);
  const auto at = stoppable_.try_emplace(c).first;
  BlockSet<LossKey>& alike = at->second;
  const auto head = [&] { return alike.empty() ? LossKey{} : *alike.begin(); };
  const LossKey before = head();
  if (add) {
    alike.insert(key);
  } else {
    alike.erase(key);
  }
  if (const LossKey after = head(); after != before) {
    if (before.job >= 0) victim_heads_.erase({c, before});
    if (after.job >= 0) victim_heads_.insert({c, after});
  }
  if (alike.empty()) stoppable_.erase(at);
}

void World::IndexReplica(const Replica& replica, bool add) {
  if (replica.stopping || replica.replaces >= 0 || replica.loan >= 0) return;
  const int64_t slots = (add ? 1 : -1) * SlotsIn(replica.places);
  product_running_ += slots;
  const PoolId pool = PoolOf(replica.places);
  if (replica.team >= 0 && pool >= 0) {
    AddUp(AccountIn(replica.team, pool), &Account::running, slots);
  }
}

void World::IndexLoan(const Loan& loan, bool add) {
  for (const LoanShare& share : loan.shares) {
    const int64_t slots = (add ? 1 : -1) * SlotsIn(share.places);
    out_on_loan_ += slots;
    const PoolId pool = PoolOf(share.places);
    if (share.team >= 0 && pool >= 0) AddUp(AccountIn(share.team, pool), &Account::lent, slots);
  }
}

// ---- small questions ----

bool World::Within(AccountId account, AccountId ancestor) const {
  for (; account >= 0; account = accounts_[account].parent) {
    if (account == ancestor) return true;
  }
  return false;
}

bool World::MayBeStopped(JobId id) const {
  const Job& job = jobs_[id];
  return job.phase == RunPhase::kRunning && job.team >= 0 && Mature(job);
}

double World::LostWork(JobId id) const {
  const Job& job = jobs_[id];
  return LostWork(LossOf(id, job), SlotsIn(job.places));
}

namespace {
Duration OnSlots(const Job& job, Duration on_min, int64_t slots) {
  if (slots <= job.min_slots || job.min_slots <= 0) return on_min;
  const double times = std::pow(static_cast<double>(slots) / job.min_slots, job.exponent);
  return Duration::FromSeconds(on_min.seconds() / times);
}
}  // namespace

Duration World::ExpectedRun(const Job& job, int64_t slots) const {
  Duration run = OnSlots(job, job.expected, slots);
  if (job.limit.us > 0 && (run.us == 0 || job.limit < run)) run = job.limit;
  return std::min(run, kForever);
}

Duration World::LongestRun(const Job& job, int64_t slots) const {
  if (job.limit.us > 0) return std::min(job.limit, kForever);
  const Duration run = OnSlots(job, job.expected, slots);
  return std::min(Duration::FromSeconds(run.seconds() * (1 + job.error)), kForever);
}

std::optional<Time> World::ExpectedEnd(JobId id) const {
  const Job& job = jobs_[id];
  if (job.ends.is_set()) return job.ends;
  Duration run = ExpectedRun(job, SlotsIn(job.places));
  if (run.us <= 0) return std::nullopt;
  const Time from = job.placed.is_set() ? job.placed : job.started;
  const Duration most = job.limit.us > 0 ? std::min(job.limit, kForever) : kForever;
  while (from + run <= now_ && run < most) run = std::min(run * 2, most);
  return from + run;
}

std::optional<EndRow> World::EndOf(JobId id) const {
  const std::optional<Time> end = ExpectedEnd(id);
  if (!end) return std::nullopt;
  const Job& job = jobs_[id];
  return EndRow{*end, id, static_cast<int32_t>(SlotsIn(job.places)), EndIsFirm(job)};
}

int64_t World::RestedFree(PoolId pool, Duration least) const {
  int64_t n = fleet_.pools()[pool].free;
  for (const auto& [slot, when] : freed_) {
    const NodeId node = NodeOfSlot(slot);
    n -= fleet_.Has(node) && fleet_.PoolOf(node) == pool && fleet_.Free(slot) &&
         !fleet_.node(node).leaves.is_set() && now_ - when < least;
  }
  return n;
}

std::string World::JobName(JobId id) const {
  return job_name_ ? job_name_(id) : fmt::format("job-{}", id);
}
std::string World::LoanName(LoanId id) const {
  return loan_name_ ? loan_name_(id) : fmt::format("loan-{}", id);
}

std::string World::Digest() const {
  std::string out;
  const auto add = [&out](auto&&... parts) {
    ((out += fmt::format("{} ", parts)), ...);
    out += '\n';
  };
  add("fleet", fleet_.free(), fleet_.usable(), fleet_.not_usable());
  for (const Fleet::Pool& p : fleet_.pools()) {
    add("pool", p.site, p.type, p.slots, p.free, p.leaving_free, p.not_usable);
  }
  for (NodeId id = 0; id < fleet_.nodes(); ++id) {
    if (fleet_.Has(id)) add("free", id, fleet_.FreeMask(id));
  }
  for (const Account& a : accounts_) {
    add("account", a.team, a.type, a.parent, a.guarantee, a.running, a.lent, a.demand);
  }
  std::map<std::tuple<TeamId, Shape, int32_t>, const Queue*>
      by_need;  // numbers of shapes may differ
  for (const Queue& q : queues_) by_need[{q.team, shapes_[q.shape], q.min_slots}] = &q;
  for (const auto& [need, q] : by_need) {
    for (const WaitKey& k : q->jobs) {
      add("waits", q->team, q->min_slots, k.less_priority, int{k.rank}, k.submitted.us, k.job);
    }
  }
  for (const auto& [c, jobs] : stoppable_) {
    for (const LossKey& k : jobs) {
      add("stoppable", c.pool, c.account, c.slots, c.can_shrink, k.minus_saved_us, k.job);
    }
  }
  for (size_t pool = 0; pool < ends_.size(); ++pool) {
    for (const EndRow& e : ends_[pool]) add("ends", pool, e.at.us, e.job, e.slots, e.firm);
  }
  for (const JobId id : stopping_) add("stopping", id);
  for (const JobId id : claiming_) add("claims", id);
  for (const JobId id : held_back_) add("held back", id);
  for (const auto& jobs : growable_) {
    for (const JobId id : jobs) add("growable", id);
  }
  for (const VictimHead& h : victim_heads_) {
    add("head", h.kind.pool, h.kind.account, h.kind.slots, h.kind.can_shrink, h.first.job);
  }
  for (const auto& [replaced, by] : replacing_) add("replaces", replaced, by);
  for (const auto& [at, kind, id] : timers_) add("timer", at.us, static_cast<int>(kind), id);
  add("sums", waiting_, holding_, product_guarantee_, product_running_, out_on_loan_);
  return out;
}

}  // namespace weir::sched
