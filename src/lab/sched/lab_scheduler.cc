#include "lab/sched/lab_scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "base/check.h"
#include "lab/sched/explain.h"
#include "lab/sched/foresee.h"

namespace weir::sched {

using wire::LeasePhase;
using wire::StopCause;

namespace {

constexpr int kForeseeSteps = 200;
constexpr int64_t kForeseeRows = 200'000;  // rows x steps that a forecast may look at

// "job-9" before "job-10": the order in which the lab gave them.
struct ById {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  }
};

std::string_view NodeOf(std::string_view slot_id) { return slot_id.substr(0, slot_id.rfind('/')); }

int32_t Small(int64_t n) { return static_cast<int32_t>(std::clamp<int64_t>(n, 0, 1'000'000'000)); }

// Numbers for the rows of one kind: kept while the row lives, rising in the order of ids.
class Numbers {
 public:
  int32_t Of(const std::string& id) const {
    const auto it = of_.find(id);
    return it == of_.end() ? -1 : it->second;
  }
  int32_t Give(const std::string& id) {
    const auto [it, is_new] = of_.try_emplace(id, next_);
    if (is_new) {
      ++next_;
      names_.push_back(id);
    }
    return it->second;
  }
  const std::string& Name(int32_t number) const { return names_[number]; }
  bool Knows(int32_t number) const { return number >= 0 && number < std::ssize(names_); }
  // Calls gone(number) for those that are not in `live`, and forgets them.
  template <class Gone>
  void Keep(const std::set<int32_t>& live, Gone gone) {
    for (auto it = of_.begin(); it != of_.end();) {
      if (live.contains(it->second)) {
        ++it;
        continue;
      }
      gone(it->second);
      it = of_.erase(it);
    }
  }
  bool Sparse() const { return names_.size() > 100'000 + 4 * of_.size(); }

 private:
  std::map<std::string, int32_t, ById> of_;
  std::vector<std::string> names_;
  int32_t next_ = 0;
};

template <class T>
std::vector<const T*> InOrder(const std::vector<T>& all, const std::string& (*id)(const T&)) {
  std::vector<const T*> out;
  for (const T& one : all) out.push_back(&one);
  std::stable_sort(out.begin(), out.end(),
                   [&](const T* a, const T* b) { return ById()(id(*a), id(*b)); });
  return out;
}

std::vector<const JobState*> JobsInOrder(const Snapshot& s) {
  return InOrder<JobState>(s.jobs,
                           [](const JobState& j) -> const std::string& { return j.job.id; });
}

}  // namespace

std::string_view SiteOfSlot(std::string_view slot_id) {
  const size_t slash = slot_id.find('/');
  return slash == std::string_view::npos ? std::string_view() : slot_id.substr(0, slash);
}

struct LabScheduler::Names {
  // The frame: what a world is started from.
  std::vector<std::string> sites, types, node_ids;
  std::vector<std::tuple<std::string, std::string, std::string>> slots;      // id, type, topology
  std::vector<std::tuple<std::string, wire::TeamClass, std::string>> teams;  // name, class, parent
  std::unordered_map<std::string, SlotId> slot_of;
  std::vector<SlotId> slot_at;  // in order of the snapshot
  std::map<SlotId, std::string> slot_name;
  std::map<std::string, std::vector<NodeId>> nodes_named;
  std::vector<wire::Team> told_teams;
  Numbers jobs, leases, loans, users;
  std::map<JobId, std::string> lease_of_job;
};

LabScheduler::LabScheduler() = default;
LabScheduler::~LabScheduler() = default;

// ---- snapshot -> rows ----

bool LabScheduler::SameFrame(const Snapshot& s) const {
  const Names& n = *names_;
  return s.slots.size() == n.slots.size() && s.teams.size() == n.teams.size() &&
         std::equal(s.slots.begin(), s.slots.end(), n.slots.begin(),
                    [](const SlotState& a, const auto& b) {
                      return a.id == std::get<0>(b) && a.type == std::get<1>(b) &&
                             a.topology == std::get<2>(b);
                    }) &&
         std::equal(s.teams.begin(), s.teams.end(), n.teams.begin(),
                    [](const wire::Team& a, const auto& b) {
                      return a.name == std::get<0>(b) && a.team_class == std::get<1>(b) &&
                             a.parent == std::get<2>(b);
                    });
}

void LabScheduler::Start(const Snapshot& s, const Policy& policy) {
  world_ = std::make_unique<World>(policy);
  names_ = std::make_unique<Names>();
  Names& n = *names_;
  std::set<std::string> sites, types;
  std::map<std::string, std::set<std::string>> places[3];  // below each site: spines, leaves, racks
  const auto parts = [](const SlotState& slot) {
    std::array<std::string, 3> path;
    std::string_view left = slot.topology;
    for (std::string& part : path) {
      const size_t slash = left.find('/');
      part = std::string(left.substr(0, slash));
      left = slash == std::string_view::npos ? std::string_view() : left.substr(slash + 1);
    }
    return path;
  };
  for (const SlotState& slot : s.slots) {
    sites.insert(std::string(SiteOfSlot(slot.id)));
    types.insert(slot.type);
  }
  if (types.empty()) types.insert("");
  n.sites.assign(sites.begin(), sites.end());
  n.types.assign(types.begin(), types.end());
  const auto number = [](const std::vector<std::string>& all, std::string_view name) {
    return static_cast<int32_t>(std::lower_bound(all.begin(), all.end(), name) - all.begin());
  };
  std::map<std::string, int32_t> spines, leaves, racks;
  for (const SlotState& slot : s.slots) {  // numbered in order of their paths
    const auto [spine, leaf, rack] = parts(slot);
    spines.emplace(spine, 0);
    leaves.emplace(spine + "/" + leaf, 0);
    racks.emplace(spine + "/" + leaf + "/" + rack, 0);
  }
  for (auto* of : {&spines, &leaves, &racks}) {
    int32_t next = 0;
    for (auto& [path, index] : *of) index = next++;
  }
  // A host with more slots than a node can have is several nodes in one rack.
  std::string host;
  int32_t on_node = 0;
  std::map<NodeId, Node> nodes;
  for (const SlotState& slot : s.slots) {
    const std::string here(NodeOf(slot.id));
    if (n.node_ids.empty() || here != host || on_node == kNodeSlots) {
      n.node_ids.push_back(here);
      n.nodes_named[here].push_back(static_cast<NodeId>(n.node_ids.size()) - 1);
      host = here;
      on_node = 0;
    }
    const NodeId id = static_cast<NodeId>(n.node_ids.size()) - 1;
    Node& node = nodes[id];
    const auto [spine, leaf, rack] = parts(slot);
    node.site = number(n.sites, SiteOfSlot(slot.id));
    node.type = number(n.types, slot.type);
    node.spine = spines[spine];
    node.leaf = leaves[spine + "/" + leaf];
    node.rack = racks[spine + "/" + leaf + "/" + rack];
    const SlotId slot_number = id * kNodeSlots + on_node++;
    node.slots = on_node;
    n.slot_of.emplace(slot.id, slot_number);
    n.slot_name.emplace(slot_number, slot.id);
    n.slot_at.push_back(slot_number);
    n.slots.emplace_back(slot.id, slot.type, slot.topology);
  }
  for (const wire::Team& team : s.teams)
    n.teams.emplace_back(team.name, team.team_class, team.parent);
  n.told_teams = s.teams;
  world_->SetTeams(s.teams, n.types);
  for (const auto& [id, node] : nodes) world_->SetNode(id, node);
  world_->SetNames([names = names_.get()](JobId id) { return names->jobs.Name(id); },
                   [names = names_.get()](LoanId id) {
                     return names->loans.Knows(id) ? names->loans.Name(id) : "a new loan";
                   });
}

void LabScheduler::Sync(const Snapshot& s, const Policy& policy) {
  if (world_ == nullptr || s.now < world_->now() || !SameFrame(s) || names_->jobs.Sparse() ||
      names_->leases.Sparse()) {
    Start(s, policy);
  }
  if (!(policy == world_->policy())) world_->SetPolicy(policy);
  SyncTeams(s);
  world_->Advance(s.now);
  SyncSlots(s);
  world_->SetDraining(s.draining);
  world_->SetServices(s.services);
  for (const JobState* job : JobsInOrder(s)) names_->jobs.Give(job->job.id);  // loans name jobs
  SyncLoans(s);
  SyncJobs(s);
  SyncReplicas(s);
}

void LabScheduler::SyncTeams(const Snapshot& s) {
  const auto quota = [](const wire::Team& t) {
    return std::tie(t.guarantee_slots, t.weight, t.lend_limit_slots, t.borrow_limit_slots,
                    t.quotas);
  };
  const bool same =
      std::equal(s.teams.begin(), s.teams.end(), names_->told_teams.begin(),
                 [&](const wire::Team& a, const wire::Team& b) { return quota(a) == quota(b); });
  if (!same) {
    names_->told_teams = s.teams;
    world_->SetTeams(s.teams, names_->types);
  }
  for (TeamId i = 0; i < std::ssize(s.teams); ++i) {
    world_->SetCredit(i, s.teams[i].credit_slot_s);
    const auto use = s.past_use.find(s.teams[i].name);
    world_->SetPastUse(i, use == s.past_use.end() ? 0 : use->second);
  }
}

void LabScheduler::SyncSlots(const Snapshot& s) {
  Node node;
  NodeId id = -1;
  const auto flush = [&] {
    if (id >= 0) world_->SetNode(id, node);
  };
  for (size_t i = 0; i < s.slots.size(); ++i) {
    const SlotId slot = names_->slot_at[i];
    if (NodeOfSlot(slot) != id) {
      flush();
      id = NodeOfSlot(slot);
      node = world_->fleet().node(id);
      node.usable = 0;
      node.leaves = {};
    }
    node.usable |= uint64_t{s.slots[i].usable} << (slot % kNodeSlots);
    const Time leaves = s.slots[i].leaves;
    if (leaves.is_set() && (!node.leaves.is_set() || leaves < node.leaves)) node.leaves = leaves;
    if (s.slots[i].free_since.is_set()) {
      world_->SetFreed({{id, uint64_t{1} << (slot % kNodeSlots)}}, s.slots[i].free_since);
    }
  }
  flush();
  world_->Advance(s.now);
}

Places LabScheduler::PlacesOf(const std::vector<std::string>& slots) const {
  std::vector<SlotId> numbers;
  for (const std::string& slot : slots) {
    if (const auto it = names_->slot_of.find(slot); it != names_->slot_of.end()) {
      numbers.push_back(it->second);
    }
  }
  return sched::PlacesOf(std::move(numbers));
}

std::vector<std::string> LabScheduler::SlotsOf(const Places& places) const {
  std::vector<std::string> out;
  for (const SlotId slot : SlotIds(places)) out.push_back(names_->slot_name.at(slot));
  std::sort(out.begin(), out.end());
  return out;
}

Shape LabScheduler::ShapeOf(const wire::JobSpec& spec) const {
  Shape shape;
  const auto mask = [](const std::vector<std::string>& all, const std::vector<std::string>& some) {
    uint64_t bits = 0;
    for (const std::string& name : some) {
      const auto it = std::lower_bound(all.begin(), all.end(), name);
      if (it != all.end() && *it == name && it - all.begin() < 63) {
        bits |= uint64_t{1} << (it - all.begin());
      }
    }
    // None of those that would do is in the lab: bit 63 stands for what is not there.
    return some.empty() || bits != 0 ? bits : uint64_t{1} << 63;
  };
  shape.types = mask(names_->types, spec.types);
  shape.sites = mask(names_->sites, spec.sites);
  for (const std::string& name : spec.avoid) {
    const auto it = names_->nodes_named.find(name);
    if (it == names_->nodes_named.end()) continue;
    shape.avoid.insert(shape.avoid.end(), it->second.begin(), it->second.end());
  }
  std::sort(shape.avoid.begin(), shape.avoid.end());
  for (const Level level : {Level::kNode, Level::kRack, Level::kLeaf, Level::kSpine}) {
    if (spec.widest == NameOf(level)) shape.widest = level;
  }
  shape.whole_nodes = spec.whole_nodes;
  return shape;
}

Job LabScheduler::RowOf(const JobState& state, const wire::Lease* lease) {
  const wire::Job& j = state.job;
  Job row;
  row.team = world_->TeamOf(j.spec.team);
  row.user = names_->users.Give(j.submitted_by);
  row.min_slots = Small(j.spec.min_slots);
  row.max_slots = Small(std::max(j.spec.max_slots, j.spec.min_slots));
  row.priority = static_cast<int32_t>(std::clamp<int64_t>(j.spec.priority, -1'000'000, 1'000'000));
  row.shape = world_->ShapeNumber(ShapeOf(j.spec));
  row.checkpointable = j.spec.checkpointable;
  row.exponent = state.exponent;
  row.limit = j.spec.time_limit;
  row.expected = state.expected;
  row.error = state.error;
  row.restart_cost = state.restart_cost;
  row.submitted = j.submitted;
  row.deadline = j.spec.deadline;
  row.not_before = j.not_before;
  row.steps_lost = 0;
  if (j.progress) {
    const int64_t saved = j.spec.checkpointable && j.checkpoint ? j.checkpoint->step : 0;
    row.steps_lost = std::max<int64_t>(j.progress->step - saved, 0);
  }
  if (lease == nullptr) {
    row.phase = j.phase == wire::JobPhase::kQueued ? RunPhase::kWaiting : RunPhase::kPaused;
    row.hold = state.hold;
    row.cause = state.last_cause;
    if (row.cause == StopCause::kResize || row.cause == StopCause::kPause) {
      row.places = PlacesOf(state.last_slots);
    }
    return row;
  }
  row.places = PlacesOf(lease->slots);
  row.placed = lease->opened;
  const Time started = state.run_started.is_set() ? state.run_started : lease->active;
  row.saved = j.spec.checkpointable ? std::max(started, state.last_checkpoint) : started;
  if (j.progress && j.progress->eta_s && *j.progress->eta_s >= 0) {
    const Time said = j.progress->at.is_set() ? j.progress->at : now_;
    row.ends = said + Duration::FromSeconds(std::min(*j.progress->eta_s, 1e9));
  }
  if (lease->phase == LeasePhase::kStopping) {
    row.phase = RunPhase::kStopping;
    row.cause = lease->stop_cause;
    if (row.cause == StopCause::kResize) {
      for (const SlotId slot : SlotIds(row.places)) row.keeps += !world_->fleet().Lent(slot);
    }
    return row;
  }
  row.phase = RunPhase::kRunning;
  if (lease->phase == LeasePhase::kActive) row.started = started;
  return row;
}

void LabScheduler::SyncJobs(const Snapshot& s) {
  std::unordered_map<std::string_view, const wire::Lease*> lease_of;
  for (const wire::Lease& lease : s.leases) {
    if (lease.holder_kind == wire::HolderKind::kJob) lease_of[lease.holder] = &lease;
  }
  names_->lease_of_job.clear();
  std::set<int32_t> live;
  for (const JobState* state : JobsInOrder(s)) {
    const JobId id = names_->jobs.Give(state->job.id);
    live.insert(id);
    const auto held = lease_of.find(state->job.id);
    const wire::Lease* lease = held == lease_of.end() ? nullptr : held->second;
    if (lease != nullptr) {
      names_->lease_of_job[id] = lease->id;
      lease_of.erase(held);
    }
    Job row = RowOf(*state, lease);
    if (!world_->HasJob(id) || !(world_->job(id) == row)) world_->SetJob(id, std::move(row));
  }
  // Runs of jobs that the lab no longer has still hold their slots.
  for (const auto& [holder, lease] : lease_of) {
    const JobId id = names_->jobs.Give(std::string(holder));
    live.insert(id);
    names_->lease_of_job[id] = lease->id;
    Job row;
    row.phase = lease->phase == LeasePhase::kStopping ? RunPhase::kStopping : RunPhase::kRunning;
    row.places = PlacesOf(lease->slots);
    row.cause = lease->stop_cause;
    if (row.cause == StopCause::kResize) row.cause = StopCause::kPause;  // nothing runs on
    if (!world_->HasJob(id) || !(world_->job(id) == row)) world_->SetJob(id, std::move(row));
  }
  names_->jobs.Keep(live, [this](JobId id) { world_->SetJob(id, {}); });
}

void LabScheduler::SyncReplicas(const Snapshot& s) {
  std::unordered_map<std::string_view, const wire::Lease*> live;
  std::unordered_map<std::string_view, ServiceId> service_of;
  for (const wire::Lease& lease : s.leases) {
    if (lease.phase != LeasePhase::kStopping) live.emplace(lease.id, &lease);
  }
  for (ServiceId i = 0; i < std::ssize(s.services); ++i) {
    service_of.emplace(s.services[i].service.id, i);
  }
  std::set<int32_t> seen;
  for (const wire::Lease* lease : InOrder<wire::Lease>(
           s.leases, [](const wire::Lease& l) -> const std::string& { return l.id; })) {
    if (lease->holder_kind != wire::HolderKind::kReplica) continue;
    const ReplicaId id = names_->leases.Give(lease->id);
    seen.insert(id);
    const auto service = service_of.find(lease->holder);
    Replica row;
    row.service = service == service_of.end() ? -1 : service->second;
    row.loan = lease->loan.empty() ? -1 : names_->loans.Of(lease->loan);
    row.team = world_->TeamOf(lease->team);
    row.places = PlacesOf(lease->slots);
    row.ready = lease->ready;
    row.stopping = lease->phase == LeasePhase::kStopping;
    row.opened = lease->opened;
    if (!row.stopping && !lease->replaces.empty() && live.contains(lease->replaces)) {
      row.replaces = names_->leases.Give(lease->replaces);
    }
    const auto old = world_->replicas().find(id);
    if (old == world_->replicas().end() || !(old->second == row)) world_->SetReplica(id, row);
  }
  names_->leases.Keep(seen, [this](ReplicaId id) { world_->SetReplica(id, std::nullopt); });
}

void LabScheduler::SyncLoans(const Snapshot& s) {
  std::unordered_map<std::string_view, ServiceId> service_of;
  for (ServiceId i = 0; i < std::ssize(s.services); ++i) {
    service_of.emplace(s.services[i].service.spec.name, i);
  }
  std::set<int32_t> seen;
  for (const wire::Loan* loan : InOrder<wire::Loan>(
           s.loans, [](const wire::Loan& l) -> const std::string& { return l.id; })) {
    const LoanId id = names_->loans.Give(loan->id);
    seen.insert(id);
    Loan row;
    const auto service = service_of.find(loan->service);
    row.service = service == service_of.end() ? -1 : service->second;
    row.open = loan->phase == wire::LoanPhase::kOpen;
    row.opened = loan->opened;
    row.due = loan->due;
    row.recall_why = loan->recall_why;
    for (const wire::LoanPart& part : loan->parts) {
      LoanShare share{.team = world_->TeamOf(part.team)};
      if (!part.job.empty()) share.job = names_->jobs.Of(part.job);
      share.places = PlacesOf(part.slots);
      row.shares.push_back(std::move(share));
    }
    const auto old = world_->loans().find(id);
    if (old == world_->loans().end() || !(old->second == row)) world_->SetLoan(id, row);
  }
  names_->loans.Keep(seen, [this](LoanId id) { world_->SetLoan(id, std::nullopt); });
}

// ---- moves -> actions ----

Action LabScheduler::ActionOf(const Move& move, std::map<LoanId, std::string>* new_loans) const {
  const auto loan_name = [&](LoanId id) {
    const auto it = new_loans->find(id);
    return it != new_loans->end() ? it->second : names_->loans.Name(id);
  };
  Action a{.kind = move.kind};
  a.cause = move.cause;
  a.shed_above_tier = move.shed_above_tier;
  a.version = move.version;
  a.reason = ReasonOf(*world_, move);
  a.slots = SlotsOf(move.places);
  if (move.job >= 0) a.job = names_->jobs.Name(move.job);
  if (move.service >= 0) a.service = world_->services()[move.service].service.spec.name;
  switch (move.kind) {
    case ActionKind::kStopJob:
      a.lease = names_->lease_of_job.at(move.job);
      break;
    case ActionKind::kStopReplica:
      a.lease = names_->leases.Name(move.replica);
      if (move.loan >= 0) a.loan = loan_name(move.loan);
      break;
    case ActionKind::kOpenLoan: {
      a.loan = (*new_loans)[move.loan] = fmt::format("new-{}", new_loans->size());
      const Loan& loan = world_->loans().at(move.loan);
      a.due = loan.due;
      for (const LoanShare& share : loan.shares) {
        wire::LoanPart part;
        if (share.team >= 0) part.team = world_->teams()[share.team].name;
        if (share.job >= 0) part.job = names_->jobs.Name(share.job);
        part.slots = SlotsOf(share.places);
        part.how = share.how == StopCause::kResize  ? "shrink"
                   : share.how == StopCause::kPause ? "pause"
                                                    : "idle";
        part.work_lost_slot_s = share.lost_slot_s;
        part.steps_lost = share.lost_steps;
        a.parts.push_back(std::move(part));
      }
      break;
    }
    case ActionKind::kStartReplica:
    case ActionKind::kRecallLoan:
      if (move.loan >= 0) a.loan = loan_name(move.loan);
      break;
    default:
      break;
  }
  return a;
}

Decision LabScheduler::Decide(const Snapshot& s, const Policy& policy) {
  now_ = s.now;
  Sync(s, policy);
  Decision decision;
  const std::vector<Move> moves = sched::Decide(*world_, allocator_, s.now);
  std::map<LoanId, std::string> new_loans;
  for (const Move& move : moves) decision.actions.push_back(ActionOf(move, &new_loans));
  // The lab gives leases and loans their ids: they come back with the next snapshot.
  for (const Move& move : moves) {
    if (move.kind == ActionKind::kStartReplica) world_->SetReplica(move.replica, std::nullopt);
  }
  for (const Move& move : moves) {
    if (move.kind == ActionKind::kOpenLoan) world_->SetLoan(move.loan, std::nullopt);
  }
  return decision;
}

std::vector<TeamShare> LabScheduler::Shares() const {
  std::vector<TeamShare> out;
  if (world_ == nullptr) return out;
  Turn turn(world_.get());
  for (const wire::Team& team : world_->teams()) out.push_back({.team = team.name});
  for (AccountId a = 0; a < std::ssize(world_->accounts()); ++a) {
    const Account& account = world_->accounts()[a];
    TeamShare& share = out[account.team];
    share.entitled += turn.entitled(a);
    share.guarantee += account.guarantee;
    share.held += account.running;
    share.lent += account.lent;
    if (account.research)
      share.borrowed += std::max<int64_t>(account.running - account.guarantee, 0);
  }
  for (const auto& [id, loan] : world_->loans()) {
    if (loan.service < 0) continue;
    TeamId team = world_->TeamOf(world_->services()[loan.service].service.spec.team);
    for (size_t hops = 0; team >= 0 && hops <= out.size(); ++hops) {
      for (const LoanShare& share : loan.shares) out[team].borrowed += SlotsIn(share.places);
      team = world_->TeamOf(world_->teams()[team].parent);
    }
  }
  return out;
}

// ---- for people ----

int LabScheduler::ForeseeSteps() const {
  const int64_t rows = world_->jobs() + world_->fleet().nodes() + 1;
  return static_cast<int>(std::clamp<int64_t>(kForeseeRows / rows, 5, kForeseeSteps));
}

std::optional<Explanation> LabScheduler::Explain(const std::string& subject, bool foresee) {
  if (world_ == nullptr) return std::nullopt;
  if (const JobId id = names_->jobs.Of(subject); id >= 0 && world_->HasJob(id)) {
    Explanation e = ExplainJob(*world_, allocator_.notes(), id);
    const RunPhase phase = world_->job(id).phase;
    if (foresee && (phase == RunPhase::kWaiting || phase == RunPhase::kPaused)) {
      WeirAllocator ahead;
      const auto soon = Foresee(*world_, ahead, ForeseeSteps(), false, id);
      const auto late = Foresee(*world_, ahead, ForeseeSteps(), true, id);
      if (const auto it = soon.find(id); it != soon.end()) {
        e.expected_wait = it->second - world_->now();
        if (const auto at = late.find(id); at != late.end()) {
          e.latest_wait = std::max(at->second - world_->now(), *e.expected_wait);
        }
      } else {
        e.expected_wait = std::nullopt;
      }
    }
    return e;
  }
  for (ServiceId i = 0; i < std::ssize(world_->services()); ++i) {
    if (world_->services()[i].service.id == subject) {
      return ExplainService(*world_, allocator_.notes(), i);
    }
  }
  if (const LoanId id = names_->loans.Of(subject); id >= 0 && world_->loans().contains(id)) {
    return ExplainLoan(*world_, id, subject);
  }
  return std::nullopt;
}

std::vector<Explanation> LabScheduler::ExplainAll() {
  std::vector<Explanation> out;
  for (JobId id = 0; id < world_->jobs(); ++id) {
    if (world_->HasJob(id)) out.push_back(ExplainJob(*world_, allocator_.notes(), id));
  }
  for (ServiceId i = 0; i < std::ssize(world_->services()); ++i) {
    if (auto e = ExplainService(*world_, allocator_.notes(), i)) out.push_back(*std::move(e));
  }
  for (const auto& [id, loan] : world_->loans()) {
    out.push_back(ExplainLoan(*world_, id, names_->loans.Name(id)));
  }
  std::sort(out.begin(), out.end(),
            [](const Explanation& a, const Explanation& b) { return a.subject < b.subject; });
  return out;
}

std::map<std::string, Time> LabScheduler::ExpectedStarts() {
  std::map<std::string, Time> out;
  if (world_ == nullptr) return out;
  WeirAllocator ahead;
  for (const auto& [id, at] : Foresee(*world_, ahead, ForeseeSteps())) {
    const RunPhase phase = world_->HasJob(id) ? world_->job(id).phase : RunPhase::kNone;
    if (phase == RunPhase::kWaiting || phase == RunPhase::kPaused) {
      out.emplace(names_->jobs.Name(id), at);
    }
  }
  return out;
}

DryRun LabScheduler::Try(const JobState& state) {
  DryRun out;
  CHECK(world_ != nullptr);
  Names before = *names_;
  const JobId id = names_->jobs.Give(state.job.id);
  WeirAllocator allocator;
  World without = *world_, with = *world_;
  with.SetJob(id, RowOf(state, nullptr));
  World ahead = with;
  std::set<JobId> stopped;
  for (const Move& move : sched::Decide(without, allocator, without.now())) {
    if (move.kind == ActionKind::kStopJob) stopped.insert(move.job);
  }
  for (const Move& move : sched::Decide(with, allocator, with.now())) {
    if (move.kind == ActionKind::kStartJob && move.job == id) {
      out.starts_now = true;
      out.slots = SlotsOf(move.places);
      out.spread = move.start.spread;
    }
    if (move.kind == ActionKind::kStopJob && !stopped.contains(move.job)) {
      out.touches.push_back(fmt::format("{} {}", names_->jobs.Name(move.job), move.reason.text));
    }
  }
  out.explanation = ExplainJob(with, allocator.notes(), id);
  if (!out.starts_now) {
    WeirAllocator later;
    const auto starts = Foresee(std::move(ahead), later, ForeseeSteps(), false, id);
    if (const auto it = starts.find(id); it != starts.end()) {
      out.expected_wait = it->second - world_->now();
    }
  }
  *names_ = std::move(before);
  return out;
}

}  // namespace weir::sched
