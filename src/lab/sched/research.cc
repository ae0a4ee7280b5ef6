// The research side of a decision: which waiting jobs start, at which size, where, and which
// running ones make room for them or grow.
//
//   restarts  jobs stopped by kResize keep what is left of their old slots
//   admit     by turns, the team furthest below its guarantee or share first, each with the first
//   of
//             its queues (WaitKey: priority, deadline near, paused before queued, age) at
//             min_slots; a gang whole or not at all
//   make room where free slots do not do: elastic jobs of the same team, then of teams above their
//             share, are shrunk; a team within its share or its guarantee may have others paused
//   reserve   the first that finds no room gets the slots of its pool that are expected to be free
//             soonest: from then on only those start there who are over by then or need none of
//             them
//   extras    what is left goes to those that start now, a slot at a time, by the same turns, while
//             the job gains enough by it
//   growth    then to running elastic jobs, if the slots have been idle for a while and the restart
//             pays
//
// Cost. Jobs that need the same (Queue) are asked once: if the first finds no slots none of the
// others does. So a decision looks at as many jobs as start, at one more for each queue, and at
// most at kBackfillDepth of a queue while a reservation stands.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <queue>
#include <tuple>

#include "lab/sched/plan.h"
#include "lab/sched/reclaim.h"

namespace weir::sched {
namespace {

// Searches for victims cost up to a millisecond each; what is over this waits for the next
// decision.
constexpr int kMostSearches = 32;
// Jobs of one queue, and of all, that are tried behind one that may not start before a reservation.
constexpr int kBackfillDepth = 64;
constexpr int kMostBackfills = 4096;
// The price of a slot where no job may be asked for one.
constexpr double kNobody = 1e300;
// Ends of running jobs that are looked through for a reservation.
constexpr int kEndsWalked = 4096;

struct Start {
  JobId job = -1;
  PoolId pool = -1;
  int64_t size = 0;
  int64_t claim = 0;  // slots of its old ones that were free
  bool backfills = false;
};

// One pool's slots are kept for one job from `at` on.
struct Reservation {
  JobId job = -1;
  Time at;
  int64_t spare = 0;        // free slots that are not needed for it even then
  bool guaranteed = false;  // it is within its guarantee: then it keeps them against all others
  bool firm = false;        // made of limits and told ends, not of learned times
};

class Research {
 public:
  explicit Research(Plan* plan)
      : plan_(*plan), turn_(plan->turn), world_(plan->world), left_(plan->pools()) {}

  void Run() {
    const std::vector<Start> restarts = DropClaims();
    int64_t all = 0;
    for (PoolId p = 0; p < Pools(); ++p) all += left_[p] = plan_.pool(p).free;
    collected_.resize(left_.size());
    reserved_.resize(left_.size());
    for (const Start& restart : restarts) KeepRestart(restart);
    growth_.resize(left_.size());
    if (all > 0) FindGrowthAhead();
    AdmitByTurns();
    GiveExtras();
    const std::vector<int64_t> idle = left_;
    Emit();
    if (all > 0) Grow(idle);
  }

 private:
  using Outcome = JobNote::Outcome;
  enum Mode { kSurplus, kShare, kGuarantee, kStraddle, kModes };
  enum class Tried { kStarts, kNoSlots, kMustNotDelay };

  Plan& plan_;
  Turn& turn_;
  World& world_;
  std::vector<int64_t> left_;    // per pool: free slots not spoken for
  std::vector<bool> collected_;  // per pool: a job that waited long collects them
  std::vector<std::optional<Reservation>> reserved_;  // per pool
  std::vector<Start> starts_;
  // Per pool: slots that running jobs of a team below its share could use.
  std::vector<std::vector<std::pair<TeamId, int64_t>>> growth_;
  std::map<std::tuple<TeamId, int, PoolId>, int64_t> failed_;  // (team, mode, pool): need not found
  std::map<PoolId, double> cheapest_;
  std::map<PoolId, int64_t> unknown_;  // sizes for which no end can be told, the smallest
  int searches_ = 0, backfills_ = 0;

  PoolId Pools() const { return static_cast<PoolId>(left_.size()); }

  // Slots are counted first and placed last, so claims are free again, as numbers kept.
  std::vector<Start> DropClaims() {
    std::vector<Start> restarts;
    for (Claim& claim : plan_.claims) {
      const Job& job = world_.job(claim.job);
      if (claim.restarting && !claim.places.empty()) {
        restarts.push_back({claim.job, claim.pool, job.min_slots,
                            std::min<int64_t>(SlotsIn(claim.places), job.max_slots)});
      }
      plan_.DropClaim(&claim);
    }
    // Those that can run on what is left to them before those that need more.
    std::stable_partition(restarts.begin(), restarts.end(),
                          [&](const Start& s) { return s.claim >= world_.job(s.job).min_slots; });
    return restarts;
  }

  void KeepRestart(const Start& restart) {
    const Job& job = world_.job(restart.job);
    const int64_t size = std::max<int64_t>(restart.claim, job.min_slots);
    if (left_[restart.pool] < size) return;  // it waits with the others
    const Shape& shape = world_.shape(job.shape);
    if (Special(shape)) return;  // placed in its turn, its old slots first
    starting_.insert(restart.job);
    Admit(restart.job, restart.pool, size, restart.claim);
  }

  // What only the nodes themselves can say, not their number of free slots.
  static bool Special(const Shape& shape) {
    return !shape.avoid.empty() || shape.whole_nodes || shape.widest != Level::kSite;
  }

  void Admit(JobId id, PoolId pool, int64_t size, int64_t claim = 0, bool backfills = false) {
    left_[pool] -= size;
    turn_.Count(world_.AccountIn(world_.job(id).team, pool), size);
    starts_.push_back({id, pool, size, claim, backfills});
  }

  // At once, where it must be seen whether the nodes will do.
  bool StartNow(JobId id, PoolId pool, int64_t size, bool backfills) {
    const int64_t before = plan_.pool(pool).free;
    if (!turn_.StartJob(id, size, pool, {.backfills = backfills})) return false;
    left_[pool] -= before - plan_.pool(pool).free;
    return true;
  }

  // Growth of running jobs that comes within their team's share is not for others to borrow.
  // Counted up to that share and to what is free: more changes nothing, and to look at every job
  // that could grow would cost by what exists.
  void FindGrowthAhead() {
    for (AccountId a = 0; a < std::ssize(world_.growable()); ++a) {
      const double below = turn_.entitled(a) - static_cast<double>(turn_.held(a)) + 1e-6;
      if (below < 1) continue;
      std::vector<int64_t> sums(growth_.size()), most(growth_.size());
      for (size_t p = 0; p < most.size(); ++p) {
        most[p] = std::min(left_[p], static_cast<int64_t>(std::min(below, 1e15)));
      }
      for (const JobId id : world_.growable()[a]) {
        const Job& job = world_.job(id);
        const PoolId pool = world_.PoolOf(job.places);
        if (sums[pool] >= most[pool]) {
          if (growth_.size() == 1) break;
          continue;
        }
        const int64_t more = std::min(job.max_slots - SlotsIn(job.places), left_[pool]);
        if (more > 0 && Pays(id, more)) sums[pool] = std::min(sums[pool] + more, most[pool]);
      }
      for (size_t p = 0; p < sums.size(); ++p) {
        if (sums[p] > 0) growth_[p].emplace_back(world_.accounts()[a].team, sums[p]);
      }
    }
  }

  int64_t GrowthAhead(TeamId team, PoolId pool) const {
    int64_t sum = 0;
    for (const auto& [other, more] : growth_[pool]) {
      if (other == team) continue;
      const AccountId a = world_.AccountIn(other, pool);
      const double room = turn_.entitled(a) - static_cast<double>(turn_.held(a));
      sum += std::min(more, static_cast<int64_t>(std::max(room + 1e-6, 0.0)));
    }
    return sum;
  }

  // One team's queues, each with the job that is next in it.
  struct Line {
    struct Cursor {
      const Queue* queue = nullptr;
      WaitKey at;
      int tried = 0;
    };
    std::vector<Cursor> open;
  };

  // Of the type that its first job would use first.
  AccountId AccountFor(const Job& job) const {
    const Shape& shape = world_.shape(job.shape);
    AccountId best = -1;
    std::tuple<double, int64_t> best_key;
    for (PoolId p = 0; p < Pools(); ++p) {
      if (!world_.fleet().Suits(shape, p)) continue;
      const int32_t type = plan_.pool(p).type;
      const std::tuple key(type < std::ssize(shape.speed) ? shape.speed[type] : 1.0,
                           plan_.pool(p).slots);
      if (best >= 0 && key <= best_key) continue;
      best = world_.AccountOf(job.team, type);
      best_key = key;
    }
    return best;
  }

  void AdmitByTurns() {
    std::vector<Line> lines(world_.teams().size());
    using Turns = std::tuple<bool, double, TeamId>;  // beyond its guarantee, used share, team
    std::priority_queue<Turns, std::vector<Turns>, std::greater<>> turns;
    const auto first = [](Line& line) {
      return std::min_element(line.open.begin(), line.open.end(),
                              [](const auto& a, const auto& b) { return a.at < b.at; });
    };
    // To the first job of its queue from `it` on that does not start already. False: none is left.
    const auto stand = [&](Line::Cursor* cursor, BlockSet<WaitKey>::const_iterator it) {
      const BlockSet<WaitKey>& jobs = cursor->queue->jobs;
      while (it != jobs.end() && starting_.contains(it->job)) ++it;
      if (it == jobs.end()) return false;
      cursor->at = *it;
      return true;
    };
    const auto enter = [&](TeamId team) {
      Line& line = lines[team];
      if (line.open.empty()) return;
      const Job& job = world_.job(first(line)->at.job);
      const AccountId a = AccountFor(job);
      if (a < 0) {  // nothing of the kind that it wants is left in the lab
        turns.emplace(true, 1e300, team);
        return;
      }
      turns.emplace(!turn_.Guaranteed(a, job.min_slots), turn_.UsedShare(a), team);
    };
    for (TeamId team = 0; team < std::ssize(lines); ++team) {
      for (const int q : world_.queues_of(team)) {
        Line::Cursor cursor{.queue = &world_.queues()[q]};
        if (stand(&cursor, cursor.queue->jobs.begin())) lines[team].open.push_back(cursor);
      }
      enter(team);
    }
    while (!turns.empty()) {
      const TeamId team = std::get<TeamId>(turns.top());
      turns.pop();
      Line& line = lines[team];
      const auto cursor = first(line);
      const Tried tried = Try(cursor->at.job);
      const bool over = tried == Tried::kNoSlots ||
                        (tried == Tried::kMustNotDelay &&
                         (++cursor->tried >= kBackfillDepth || ++backfills_ >= kMostBackfills));
      if (over || !stand(&*cursor, cursor->queue->jobs.upper_bound(cursor->at))) {
        line.open.erase(cursor);
      }
      enter(team);
    }
  }

  bool WaitedLong(const Job& job) const {
    return plan_.now - job.submitted >= plan_.policy.gang_hold_after;
  }

  // Whether so many slots of the pool may be used now without delaying who has them reserved.
  bool Delays(PoolId pool, const Job& job, int64_t n) const {
    const auto& r = reserved_[pool];
    if (!r || n <= r->spare) return false;
    if (!r->guaranteed && turn_.Guaranteed(world_.AccountIn(job.team, pool), n)) return false;
    return Outlasts(*r, job, n);
  }

  // A firm promise holds against the longest that others may run. One made of learned times is
  // itself only what is expected, so others need only be expected to be over: to ask 9 of 10 of
  // them would keep slots idle for hours, for an hour that nobody knows.
  Duration RunFor(const Reservation& r, const Job& job, int64_t n) const {
    return r.firm ? world_.LongestRun(job, n) : world_.ExpectedRun(job, n);
  }
  bool Outlasts(const Reservation& r, const Job& job, int64_t n) const {
    const Duration run = RunFor(r, job, n);
    return run.us <= 0 || plan_.now + run + job.restart_cost > r.at;
  }

  // Of the slots that a reservation can do without. False: there is none.
  bool UseSpare(PoolId pool, const Job& job, int64_t n) {
    auto& r = reserved_[pool];
    if (!r) return false;
    if (Outlasts(*r, job, n)) r->spare -= n;
    return true;
  }

  Tried Try(JobId id) {
    const Job& job = world_.job(id);
    const Shape& shape = world_.shape(job.shape);
    const int64_t m = job.min_slots;
    const bool special = Special(shape);
    JobNote note;
    PoolId best = -1;
    bool must_not_delay = false;
    std::vector<PoolId> fit;
    for (PoolId p = 0; p < Pools(); ++p) {
      if (!world_.fleet().Suits(shape, p)) continue;
      note.saw_free = std::max(note.saw_free, left_[p]);
      const bool leaving = plan_.pool(p).leaving_free > 0;
      if (left_[p] < m && !leaving) continue;
      const AccountId a = world_.AccountIn(job.team, p);
      if (!turn_.MayBorrow(a, m)) {
        note.over_borrow_limit = true;
        continue;
      }
      const bool borrows = !turn_.WithinShare(a, m) && !turn_.Guaranteed(a, m);
      if (borrows && !WaitedLong(job) && left_[p] - GrowthAhead(job.team, p) < m) {
        note.may_not_borrow = true;
        continue;
      }
      if (Delays(p, job, m)) {
        must_not_delay = true;
        note.delays = reserved_[p]->job;
        note.delays_until = reserved_[p]->at;
        note.delays_for = RunFor(*reserved_[p], job, m);
        continue;
      }
      if (special || left_[p] < m) {
        fit.push_back(p);
        continue;
      }
      if (best < 0 || Better(job, p, best)) best = p;
    }
    if (best >= 0) {
      Admit(id, best, m, 0, UseSpare(best, job, m));
      return Tried::kStarts;
    }
    std::stable_sort(fit.begin(), fit.end(), [&](PoolId a, PoolId b) { return Better(job, a, b); });
    for (const PoolId p : fit) {
      if (left_[p] < m && plan_.pool(p).free >= m) continue;  // spoken for
      if (!StartNow(id, p, m, reserved_[p].has_value())) continue;
      UseSpare(p, job, m);
      return Tried::kStarts;
    }
    JobNote& kept = plan_.notes.jobs[id] = note;
    if (note.may_not_borrow || note.over_borrow_limit) return Tried::kNoSlots;
    if (!special) {
      for (const PoolId p : PoolsByHope(shape)) {
        if (MakeRoom(id, p, &kept)) return Tried::kNoSlots;
      }
    }
    if (must_not_delay) return Tried::kMustNotDelay;
    for (const PoolId p : PoolsByHope(shape)) {
      if (reserved_[p] || collected_[p] || plan_.pool(p).slots < m) continue;
      if (Reserve(id, p, &kept)) return Tried::kNoSlots;
      if (!WaitedLong(job)) continue;
      collected_[p] = kept.collecting = true;  // one gang at a time collects a pool's free slots
      left_[p] -= std::min(left_[p], m);
      return Tried::kNoSlots;
    }
    return Tried::kNoSlots;
  }

  // The soonest time at which the pool is expected to have enough free slots for the job. From then
  // on they are its: what would still run then starts only on slots that it does not need.
  bool Reserve(JobId id, PoolId pool, JobNote* note) {
    const int64_t m = world_.job(id).min_slots;
    const auto hopeless = unknown_.find(pool);
    if (hopeless != unknown_.end() && m >= hopeless->second) return false;
    int64_t free = left_[pool] + std::max<int64_t>(plan_.coming[pool], 0);
    // Those that start by this very decision end too, and are not among the running yet.
    std::vector<std::tuple<Time, JobId, int64_t>> starting;
    for (const Start& start : starts_) {
      const Duration run = world_.ExpectedRun(world_.job(start.job), start.size);
      if (start.pool == pool && run.us > 0) {
        starting.emplace_back(plan_.now + run, start.job, start.size);
      }
    }
    std::sort(starting.begin(), starting.end());
    auto next = starting.begin();
    auto running = world_.ends()[pool].begin();
    Time at = plan_.now;
    bool firm = true;
    for (int walked = 0; free < m && walked < kEndsWalked; ++walked) {
      const bool more = running != world_.ends()[pool].end();
      if (!more && next == starting.end()) break;
      Time end;
      JobId other = -1;
      if (next != starting.end() && (!more || std::get<Time>(*next) < running->at)) {
        int64_t slots = 0;
        std::tie(end, other, slots) = *next++;
        free += slots;
        firm = firm && World::EndIsFirm(world_.job(other));
      } else {
        end = running->at;
        other = running->job;
        free += running->slots;
        firm = firm && running->firm;
        ++running;
      }
      at = std::max(at, end);
      if (note->waits_for.size() < kWaitsForShown) note->waits_for.push_back(other);
    }
    if (free < m) {
      note->waits_for.clear();
      unknown_[pool] = m;
      return false;
    }
    const bool guaranteed = turn_.Guaranteed(world_.AccountIn(world_.job(id).team, pool), m);
    reserved_[pool] = Reservation{id, at, free - m, guaranteed, firm};
    note->reserved = at;
    return true;
  }

  // Where it ran last, if it may; else where it is fastest; else where most is free.
  bool Better(const Job& job, PoolId a, PoolId b) const {
    const Shape& shape = world_.shape(job.shape);
    const PoolId last = world_.PoolOf(job.places);
    const auto key = [&](PoolId p) {
      const int32_t type = plan_.pool(p).type;
      return std::tuple(p == last, type < std::ssize(shape.speed) ? shape.speed[type] : 1.0F,
                        left_[p]);
    };
    return key(a) > key(b);
  }

  std::vector<PoolId> PoolsByHope(const Shape& shape) const {
    std::vector<PoolId> pools;
    for (PoolId p = 0; p < Pools(); ++p) {
      if (world_.fleet().Suits(shape, p)) pools.push_back(p);
    }
    std::stable_sort(pools.begin(), pools.end(), [&](PoolId a, PoolId b) {
      return left_[a] + plan_.coming[a] > left_[b] + plan_.coming[b];
    });
    return pools;
  }

  // Slots of the pool for a job that does not fit: those coming, those that restarts can do
  // without, those of victims. True if it will fit: then it, or what it waits for, is set aside.
  bool MakeRoom(JobId id, PoolId pool, JobNote* note) {
    const Job& job = world_.job(id);
    const int64_t m = job.min_slots;
    if (left_[pool] >= m || Delays(pool, job, m)) return false;  // others need them first
    int64_t missing = m - left_[pool] - plan_.coming[pool];
    if (missing > 0) missing -= TakeFromRestarts(job, pool, missing);
    if (left_[pool] >= m) {
      plan_.notes.jobs.erase(id);
      starting_.insert(id);
      Admit(id, pool, m, 0, UseSpare(pool, job, m));
      return true;
    }
    const AccountId account = world_.AccountIn(job.team, pool);
    if (missing > 0) {
      const std::vector<Victim> victims = Search(job, pool, missing, note);
      if (victims.empty()) return false;
      for (const Victim& v : victims) {
        const double lost = world_.LostWork(v.job);
        turn_.StopJob(v.job, v.how, v.give, {},
                      {fmt::format("gives {} of {} slots to {} of team {}, which waits for {} and "
                                   "is within its share of {:.1f}",
                                   v.give, SlotsIn(world_.job(v.job).places), world_.JobName(id),
                                   world_.teams()[job.team].name, m, turn_.entitled(account)),
                       {{"slots", static_cast<double>(v.give)},
                        {"lost_slot_s", lost},
                        {"entitled", turn_.entitled(account)}}});
        plan_.coming[pool] += v.give;
      }
    }
    const int64_t now = std::min(left_[pool], m);
    left_[pool] -= now;
    plan_.coming[pool] -= m - now;
    UseSpare(pool, job, m);
    turn_.Count(account, m);
    plan_.notes.jobs[id].outcome = Outcome::kSlotsComing;
    return true;
  }

  // A restart costs the same at any size, so those of them that may be shrunk give first. All or
  // nothing: less than the need is of no use here.
  int64_t TakeFromRestarts(const Job& job, PoolId pool, int64_t missing) {
    if (std::none_of(starts_.begin(), starts_.end(),
                     [&](const Start& s) { return s.pool == pool && s.claim > 0; })) {
      return 0;
    }
    std::vector<int64_t> caps = CapsAboveShare(plan_, world_.AccountIn(job.team, pool));
    const auto chain = [&](TeamId team, auto&& visit) {
      for (AccountId a = world_.AccountIn(team, pool); a >= 0; a = world_.accounts()[a].parent) {
        visit(a);
      }
    };
    std::vector<std::pair<Start*, int64_t>> takes;
    int64_t found = 0;
    for (Start& start : starts_) {
      const Job& other = world_.job(start.job);
      if (start.pool != pool || start.claim == 0) continue;
      if (other.team == job.team && other.priority > job.priority) continue;
      int64_t take = std::min(missing - found, start.size - other.min_slots);
      chain(other.team, [&](AccountId a) { take = std::min(take, caps[a]); });
      if (take <= 0) continue;
      chain(other.team, [&](AccountId a) { caps[a] -= take; });
      takes.emplace_back(&start, take);
      found += take;
    }
    if (found < missing) return 0;
    for (auto& [start, take] : takes) {
      start->size -= take;
      left_[pool] += take;
      turn_.Count(world_.AccountIn(world_.job(start->job).team, pool), -take);
    }
    return found;
  }

  std::vector<Victim> Search(const Job& job, PoolId pool, int64_t missing, JobNote* note) {
    const int64_t m = job.min_slots;
    const AccountId account = world_.AccountIn(job.team, pool);
    const bool guaranteed = turn_.Guaranteed(account, m);
    const std::array<bool, kModes> may = {true, turn_.WithinShare(account, m), guaranteed,
                                          guaranteed};
    for (int mode = 0; mode < kModes; ++mode) {
      if (!may[mode] || searches_ >= kMostSearches) continue;
      const auto failed = failed_.find({job.team, mode, pool});
      if (failed != failed_.end() && missing >= failed->second) continue;
      if (!guaranteed) {
        const double least = CheapestSlot(pool) * static_cast<double>(missing);
        if (least > Paid(job)) {
          if (least < kNobody) NotePrice(job, least, note);
          continue;
        }
      }
      Claimant claimant{.pool = pool, .team = job.team, .priority = job.priority};
      claimant.need = {.slots = missing, .unit = missing};
      claimant.may_pause = mode != kSurplus;
      claimant.may_break = mode >= kGuarantee;
      claimant.caps = mode == kStraddle ? CapsForStraddlers(plan_, account)
                      : mode == kGuarantee || (mode == kSurplus && WaitedLong(job))
                          ? CapsAboveGuarantee(plan_, account)
                          : CapsAboveShare(plan_, account);
      ++searches_;
      std::vector<Victim> victims = FindVictims(plan_, claimant);
      if (!victims.empty() && (guaranteed || WorthIt(job, victims, note))) return victims;
      failed_[{job.team, mode, pool}] = missing;
    }
    return {};
  }

  // What is guaranteed is given back at once. Else somebody's work is lost only for a job whose
  // waiting has cost as much: its slots, times how long it has waited. Who pays the rent for as
  // long as it is below the price, then buys, never pays more than twice what knowing the future
  // would (the ski rental problem; Karlin et al., "Competitive snoopy caching", 1988). That bounds
  // one choice; lose_share bounds what all of them together take of a job.
  bool WorthIt(const Job& job, const std::vector<Victim>& victims, JobNote* note) const {
    double price = 0;
    for (const Victim& v : victims) {
      const Job& other = world_.job(v.job);
      const Duration again = plan_.now - other.saved + other.restart_cost;
      if (again.seconds() > plan_.policy.lose_share * (plan_.now - other.placed).seconds()) {
        note->loses_too_much = v.job;
        return false;
      }
      price += world_.LostWork(v.job);
      if (v.how == How::kPause) {
        price += plan_.policy.pause_price.seconds() *
                 static_cast<double>(SlotsIn(world_.job(v.job).places));
      }
    }
    if (price > Paid(job)) NotePrice(job, price, note);
    return price <= Paid(job);
  }
  void NotePrice(const Job& job, double price, JobNote* note) const {
    note->costs_slot_s = note->costs_slot_s > 0 ? std::min(note->costs_slot_s, price) : price;
    note->paid_slot_s = Paid(job);
  }
  double Paid(const Job& job) const {
    return (plan_.now - job.submitted).seconds() * static_cast<double>(job.min_slots);
  }
  // What one slot of the pool costs at the least, whoever gives it: most jobs need no search.
  double CheapestSlot(PoolId pool) {
    const auto [at, is_new] = cheapest_.try_emplace(pool, kNobody);
    if (!is_new) return at->second;
    const auto& all = world_.victim_heads();
    for (auto it = all.lower_bound({.kind = {.pool = pool}});
         it != all.end() && it->kind.pool == pool; ++it) {
      const VictimClass& kind = it->kind;
      const double lost = world_.LostWork(it->first, kind.slots);
      const double pause =
          kind.checkpointable ? plan_.policy.pause_price.seconds() * static_cast<double>(kind.slots)
                              : 0;
      at->second = std::min(at->second, (lost + pause) / static_cast<double>(kind.slots));
      if (kind.can_shrink > 0) {
        at->second = std::min(at->second, lost / static_cast<double>(kind.can_shrink));
      }
    }
    return at->second;
  }

  // Speed of n slots over that of one, from the measured curve.
  static double Speed(const Job& job, int64_t n) {
    return std::pow(static_cast<double>(n), job.exponent);
  }
  // What one slot more adds, as a share of what one slot does alone: below least_gain it is worth
  // more to somebody else, or idle.
  bool Gains(const Job& job, int64_t n) const {
    return Speed(job, n + 1) - Speed(job, n) >= plan_.policy.least_gain;
  }

  void GiveExtras() {
    // Used share, then who gains most from it, then the smaller.
    using Turns = std::tuple<double, double, int64_t, size_t>;
    std::priority_queue<Turns, std::vector<Turns>, std::greater<>> turns;
    const auto enter = [&](size_t k) {
      const Start& start = starts_[k];
      const Job& job = world_.job(start.job);
      if (start.size >= job.max_slots || !Gains(job, start.size)) return;
      if (!turn_.MayBorrow(world_.AccountIn(job.team, start.pool), 1)) return;
      const double gain = Speed(job, start.size + 1) - Speed(job, start.size);
      // Only curves that were measured tell one job from another; else the smaller comes first.
      turns.emplace(turn_.UsedShare(world_.AccountIn(job.team, start.pool)),
                    job.exponent == 1 ? -1.0 : -gain, start.size, k);
    };
    for (size_t k = 0; k < starts_.size(); ++k) enter(k);
    while (!turns.empty()) {
      const size_t k = std::get<size_t>(turns.top());
      turns.pop();
      Start& start = starts_[k];
      auto& reserved = reserved_[start.pool];
      if (left_[start.pool] <= 0 || (reserved && reserved->spare <= 0)) continue;
      if (reserved) --reserved->spare;
      --left_[start.pool];
      ++start.size;
      turn_.Count(world_.AccountIn(world_.job(start.job).team, start.pool), 1);
      enter(k);
    }
  }

  void Emit() {
    // Those with old slots first, so that nobody else is placed there.
    std::stable_sort(starts_.begin(), starts_.end(),
                     [](const Start& a, const Start& b) { return a.claim > 0 && b.claim == 0; });
    for (const Start& start : starts_) {
      const AccountId account = world_.AccountIn(world_.job(start.job).team, start.pool);
      turn_.Count(account, -start.size);  // from now on its row says so
      turn_.StartJob(start.job, start.size, start.pool, {.backfills = start.backfills});
    }
  }

  // Worth a restart: what the extra slots do within the payback time, and before the job's end,
  // is more than the restart and the work since the last checkpoint.
  bool Pays(JobId id, int64_t more) const {
    const Job& job = world_.job(id);
    if (!job.checkpointable || more <= 0) return false;
    const int64_t size = SlotsIn(job.places);
    const double now = Speed(job, size), then = Speed(job, size + more);
    const double cost_s = job.restart_cost.seconds() + (plan_.now - job.saved).seconds();
    if (now * cost_s > (then - now) * plan_.policy.grow_payback.seconds()) return false;
    const std::optional<Time> end = world_.ExpectedEnd(id);
    if (!end) return true;
    const double eta_s = std::max((*end - plan_.now).seconds(), 0.0);
    return eta_s * (1 - now / then) > cost_s;
  }

  void Grow(const std::vector<int64_t>& idle) {
    for (const ServicePlan& s : plan_.services) {
      if (s.state->service.phase != wire::ServicePhase::kActive) continue;
      if (s.state->demand.above_since.is_set() || s.note->short_of_floor > 0) return;
    }
    // Idle for long enough, per pool.
    std::vector<int64_t> rested(left_.size());
    for (PoolId p = 0; p < Pools(); ++p) {
      if (reserved_[p]) continue;
      rested[p] = std::min(idle[p], world_.RestedFree(p, plan_.policy.grow_after));
    }
    for (const JobId id : world_.stopping()) {  // on its way to another size already
      const Job& job = world_.job(id);
      const PoolId p = world_.PoolOf(job.places);
      if (job.cause != wire::StopCause::kResize || p < 0) continue;
      rested[p] -= std::max<int64_t>(job.max_slots - SlotsIn(job.places), 0);
    }
    if (std::none_of(rested.begin(), rested.end(), [](int64_t n) { return n > 0; })) return;
    std::vector<std::tuple<double, int64_t, JobId>> order;
    for (AccountId a = 0; a < std::ssize(world_.growable()); ++a) {
      for (const JobId id : world_.growable()[a]) {
        if (!world_.MayBeStopped(id)) continue;
        const Job& job = world_.job(id);
        if (rested[world_.PoolOf(job.places)] <= 0) continue;
        order.emplace_back(turn_.UsedShare(a), SlotsIn(job.places), id);
      }
    }
    std::sort(order.begin(), order.end());
    for (const auto& [used, size, id] : order) {
      const Job& job = world_.job(id);
      const PoolId pool = world_.PoolOf(job.places);
      int64_t more = std::min(job.max_slots - size, rested[pool]);
      while (more > 0 && !Gains(job, size + more - 1)) --more;
      const AccountId account = world_.AccountIn(job.team, pool);
      while (more > 0 && !turn_.MayBorrow(account, more)) --more;
      if (more <= 0 || !Pays(id, more)) continue;
      rested[pool] -= more;
      turn_.StopJob(id, How::kShrink, 0, {},
                    {fmt::format("{} slots have been idle for {}: it restarts on {} instead of {}",
                                 more, Human(plan_.policy.grow_after), size + more, size),
                     {{"slots", static_cast<double>(size)},
                      {"more", static_cast<double>(more)},
                      {"restart_cost_s", job.restart_cost.seconds()},
                      {"lost_slot_s", world_.LostWork(id)}}});
    }
  }

  std::set<JobId> starting_;
};

}  // namespace

void ServeResearch(Plan* plan) { Research(plan).Run(); }

}  // namespace weir::sched
