#include "lab/sched/turn.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "lab/sched/shares.h"

namespace weir::sched {

using wire::StopCause;

namespace {

// By type: what each account is entitled to.
std::vector<double> EntitlementsOf(const World& world) {
  const auto& accounts = world.accounts();
  const size_t teams = world.teams().size(), types = world.types().size();
  std::vector<double> capacity(types), entitled;
  for (const Fleet::Pool& pool : world.fleet().pools()) {
    if (pool.type < static_cast<int32_t>(types)) {
      capacity[pool.type] += static_cast<double>(pool.slots);
    }
  }
  for (const Account& a : accounts) {
    if (!a.research && a.parent < 0) capacity[a.type] -= static_cast<double>(a.running);
  }
  std::vector<ShareNode> nodes(teams);
  for (size_t type = 0; type < types; ++type) {
    for (size_t i = 0; i < teams; ++i) {
      const Account& a = accounts[type * teams + i];
      ShareNode& n = nodes[i];
      n.parent = a.parent < 0 ? -1 : static_cast<int>(a.parent - type * teams);
      n.guarantee = static_cast<double>(a.research ? a.guarantee : 0);
      n.weight = a.weight;
      n.owed = OwedSlots(world.teams()[i].credit_slot_s, world.policy().share_half_life_s);
      n.demand = static_cast<double>(a.demand);
    }
    for (const auto& [id, loan] : world.loans()) {  // what is lent is held, so it is demand as well
      for (const LoanShare& share : loan.shares) {
        const PoolId pool = world.PoolOf(share.places);
        if (share.team >= 0 && pool >= 0 &&
            world.fleet().pools()[pool].type == static_cast<int32_t>(type)) {
          nodes[share.team].demand += static_cast<double>(SlotsIn(share.places));
        }
      }
    }
    const std::vector<double> of_type = Entitlements(nodes, capacity[type]);
    entitled.insert(entitled.end(), of_type.begin(), of_type.end());
  }
  return entitled;
}

}  // namespace

Reason ReasonOf(const World& world, const Move& move) {
  if (move.kind != ActionKind::kStartJob || !move.reason.text.empty()) return move.reason;
  const Job& job = world.job(move.job);
  const int64_t size = SlotsIn(move.places);
  const Move::Start& s = move.start;
  Reason out{fmt::format("{} on {} of {}..{} slots: team {} then holds {} of a share of {:.1f}, "
                         "guaranteed {}",
                         s.resumes ? "resumes" : "starts", size, job.min_slots, job.max_slots,
                         job.team < 0 ? "?" : world.teams()[job.team].name, s.held, s.entitled,
                         s.guarantee),
             {{"slots", static_cast<double>(size)},
              {"held", static_cast<double>(s.held)},
              {"entitled", s.entitled},
              {"guarantee", static_cast<double>(s.guarantee)}}};
  if (s.backfills) out.text += "; it is expected to be over before the slots kept for another come";
  if (s.spread.nodes > 1) {
    out.text += fmt::format(
        "; on {} nodes of one {}, {:.3g} GB/s a slot between them{}", s.spread.nodes,
        NameOf(s.spread.level), s.spread.gb_per_s,
        s.spread.lost > 0
            ? fmt::format(", {:.0f}% less than its size could have", 100 * s.spread.lost)
            : "");
    out.numbers["nodes"] = static_cast<double>(s.spread.nodes);
    out.numbers["bandwidth_lost"] = s.spread.lost;
  }
  return out;
}

Turn::Turn(World* w)
    : world(*w),
      policy(w->policy()),
      now(w->now()),
      entitled_(EntitlementsOf(*w)),
      extra_(w->accounts().size()) {}

Turn::~Turn() { world.fleet().Unreserve(aside_); }

// ---- looking ----

PoolId Turn::BestPool(JobId id, int64_t n) {
  const Job& job = world.job(id);
  const Shape& shape = world.shape(job.shape);
  const PoolId last = world.PoolOf(job.places);
  PoolId best = -1;
  std::tuple<bool, double, int64_t> best_key;
  for (PoolId pool = 0; pool < std::ssize(world.fleet().pools()); ++pool) {
    if (!world.fleet().Fits(pool, n, shape, NeededUntil(job, n))) continue;
    const Fleet::Pool& p = world.fleet().pools()[pool];
    const double speed = p.type < std::ssize(shape.speed) ? shape.speed[p.type] : 1;
    const std::tuple key(pool == last, speed, p.free + p.leaving_free);
    if (best >= 0 && key <= best_key) continue;
    best = pool;
    best_key = key;
  }
  return best;
}

Time Turn::NeededUntil(const Job& job, int64_t n) const {
  const Duration least = policy.leave_notice;
  if (job.checkpointable) return now + least;
  return now + std::max(least, world.LongestRun(job, n));
}

bool Turn::Guaranteed(AccountId account, int64_t n) const {
  for (; account >= 0; account = world.accounts()[account].parent) {
    if (held(account) + n <= world.accounts()[account].guarantee) return true;
  }
  return false;
}

bool Turn::WithinShare(AccountId account, int64_t n) const {
  return account >= 0 && static_cast<double>(held(account) + n) <= entitled_[account] + 1e-6;
}

bool Turn::MayBorrow(AccountId account, int64_t n) const {
  for (; account >= 0; account = world.accounts()[account].parent) {
    const Account& a = world.accounts()[account];
    if (a.borrow_limit >= 0 && held(account) + n > a.guarantee + a.borrow_limit) return false;
  }
  return true;
}

int64_t Turn::LendRoom(AccountId account) const {
  int64_t room = world.fleet().usable();
  if (policy.loan_limit_slots >= 0) room = policy.loan_limit_slots - world.out_on_loan();
  for (; account >= 0; account = world.accounts()[account].parent) {
    const Account& a = world.accounts()[account];
    if (a.lend_limit >= 0) room = std::min(room, a.lend_limit - a.lent);
  }
  return std::max<int64_t>(room, 0);
}

double Turn::UsedShare(AccountId account) const {
  const Account& a = world.accounts()[account];
  const double types = static_cast<double>(world.types().size());
  const double past = policy.share_memory * world.past_use(a.team) / types;
  return (static_cast<double>(held(account)) + past) / std::max(entitled_[account], 1e-3);
}

// ---- verbs ----

bool Turn::StartJob(JobId id, int64_t n, PoolId pool, Move::Start why) {
  const Job& old = world.job(id);
  Places places =
      world.fleet().Find(pool, n, world.shape(old.shape), old.places, NeededUntil(old, n));
  if (places.empty()) return false;
  const AccountId account = world.AccountIn(old.team, pool);
  why.resumes = old.phase == RunPhase::kPaused;
  why.spread = world.fleet().SpreadOf(places);
  Job job = old;
  job.phase = RunPhase::kRunning;
  job.places = places;
  job.placed = now;
  job.started = job.saved = job.ends = {};
  job.cause = StopCause::kNone;
  world.SetJob(id, std::move(job));
  why.held = held(account);
  why.guarantee = world.accounts()[account].guarantee;
  why.entitled = entitled_[account];
  moves.push_back(
      {.kind = ActionKind::kStartJob, .job = id, .places = std::move(places), .start = why});
  return true;
}

void Turn::StopJob(JobId id, How how, int64_t give, const Places& places, Reason reason) {
  Job job = world.job(id);
  CHECK_MSG(job.phase == RunPhase::kRunning, "job={} is not running", id);
  job.phase = RunPhase::kStopping;
  job.cause = how == How::kShrink ? StopCause::kResize : StopCause::kPause;
  job.keeps = how == How::kShrink ? static_cast<int32_t>(SlotsIn(job.places) - give) : 0;
  moves.push_back({.kind = ActionKind::kStopJob,
                   .job = id,
                   .places = places,
                   .cause = job.cause,
                   .reason = std::move(reason)});
  world.SetJob(id, std::move(job));
}

ReplicaId Turn::StartReplica(ServiceId service, const Places& places, LoanId loan, Reason reason) {
  const auto& all = world.replicas();
  const ReplicaId id = all.empty() ? 0 : all.rbegin()->first + 1;
  const ServiceState& state = world.services()[service];
  Replica row{.service = service, .loan = loan, .team = world.TeamOf(state.service.spec.team)};
  row.places = places;
  row.opened = now;
  world.SetReplica(id, std::move(row));
  moves.push_back({.kind = ActionKind::kStartReplica,
                   .service = service,
                   .replica = id,
                   .loan = loan,
                   .places = places,
                   .version = state.service.version,
                   .reason = std::move(reason)});
  return id;
}

void Turn::StopReplica(ReplicaId id, Reason reason) {
  const auto it = world.replicas().find(id);
  if (it == world.replicas().end() || it->second.stopping) return;
  Replica row = it->second;
  row.stopping = true;
  moves.push_back({.kind = ActionKind::kStopReplica,
                   .service = row.service,
                   .replica = id,
                   .loan = row.loan,
                   .cause = StopCause::kDrain,
                   .reason = reason});
  const ReplicaId replaced = row.replaces;
  row.replaces = -1;
  world.SetReplica(id, row);
  // A rollout step in these slots stops with it: the slots come free only then.
  std::vector<ReplicaId> others;
  if (replaced >= 0) others.push_back(replaced);
  for (auto by = world.replacing().lower_bound({id, -1});
       by != world.replacing().end() && by->first == id; ++by) {
    if (!world.replicas().at(by->second).stopping) others.push_back(by->second);
  }
  for (const ReplicaId other : others) StopReplica(other, reason);
}

LoanId Turn::OpenLoan(Loan loan, Reason reason) {
  const auto& all = world.loans();
  const LoanId id = all.empty() ? 0 : all.rbegin()->first + 1;
  loan.opened = now;
  moves.push_back({.kind = ActionKind::kOpenLoan,
                   .service = loan.service,
                   .loan = id,
                   .reason = std::move(reason)});
  world.SetLoan(id, std::move(loan));
  return id;
}

void Turn::RecallLoan(LoanId id, Reason reason) {
  Loan loan = world.loans().at(id);
  if (!loan.open) return;
  loan.open = false;
  loan.recall_why = reason.text;
  moves.push_back({.kind = ActionKind::kRecallLoan,
                   .service = loan.service,
                   .loan = id,
                   .reason = std::move(reason)});
  world.SetLoan(id, std::move(loan));
}

void Turn::SetShed(ServiceId service, int64_t above_tier, Reason reason) {
  world.service(service).service.shed_above_tier = above_tier;
  moves.push_back({.kind = ActionKind::kSetShed,
                   .service = service,
                   .shed_above_tier = above_tier,
                   .reason = std::move(reason)});
}

void Turn::UseVersion(ServiceId service, std::string version, Reason reason) {
  world.service(service).service.version = version;
  moves.push_back({.kind = ActionKind::kUseVersion,
                   .service = service,
                   .version = std::move(version),
                   .reason = std::move(reason)});
}

// ---- until the turn is over ----

void Turn::SetAside(const Places& places) {
  world.fleet().Reserve(places);
  aside_.insert(aside_.end(), places.begin(), places.end());
}

void Turn::GiveBack(const Places& places) { world.fleet().Unreserve(places); }

void Turn::Count(AccountId account, int64_t slots) {
  for (; account >= 0; account = world.accounts()[account].parent) extra_[account] += slots;
}

std::vector<Move> Decide(World& world, Allocator& allocator, Time now) {
  world.Advance(now);
  if (world.draining()) return {};
  Turn turn(&world);
  allocator.Decide(turn);
  return std::move(turn.moves);
}

}  // namespace weir::sched
