#include "lab/sched/research.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <queue>
#include <tuple>

#include "lab/sched/reclaim.h"

namespace weir::sched {
namespace {

// Searches for victims cost up to a millisecond each; what is over this waits for the next
// decision.
constexpr int kMostSearches = 32;

struct Start {
  int job = 0;
  int site = 0;
  int64_t size = 0;
};

class Research {
 public:
  explicit Research(Plan* plan)
      : plan_(*plan), left_(plan->places.sites()), site_size_(plan->places.sites()) {
    for (int s = 0; s < plan_.places.slots(); ++s) {
      site_size_[plan_.places.site_of(s)] += plan_.snapshot.slots[s].usable;
    }
  }

  void Run() {
    const std::vector<int> restarts = DropClaims();
    for (int site = 0; site < plan_.places.sites(); ++site) left_[site] = plan_.pool.FreeIn(site);
    collected_.resize(left_.size());
    for (int job : restarts) KeepRestart(job);
    FindGrowthAhead();
    AdmitByTurns();
    GiveExtras();
    const std::vector<int64_t> idle = left_;
    Emit();
    Grow(idle);
  }

 private:
  using Outcome = JobPlan::Outcome;
  enum Mode { kSurplus, kShare, kGuarantee, kStraddle, kModes };

  Plan& plan_;
  std::vector<int64_t> left_;       // per site: free slots not spoken for
  std::vector<int64_t> site_size_;  // usable slots
  std::vector<bool> collected_;     // per site: a job that waited long collects them
  std::vector<Start> starts_;
  std::vector<int64_t> claim_size_;
  std::vector<std::vector<int64_t>>
      growth_;  // per team, per site: slots its running jobs could use
  std::map<std::tuple<int, int, int>, int64_t> failed_;  // (team, mode, site): need not found
  int searches_ = 0;

  // Slots are counted first and placed last, so claims go back into the pool, as numbers kept.
  std::vector<int> DropClaims() {
    std::vector<int> restarts;
    claim_size_.resize(plan_.jobs.size());
    for (int i = 0; i < static_cast<int>(plan_.jobs.size()); ++i) {
      JobPlan& job = plan_.jobs[i];
      if (job.restarting && !job.claim.empty()) {
        claim_size_[i] = std::min(std::ssize(job.claim), job.spec().max_slots);
        restarts.push_back(i);
      }
      plan_.DropClaim(&job);
    }
    // Those that can run on what is left to them before those that need more.
    std::stable_partition(restarts.begin(), restarts.end(),
                          [&](int i) { return claim_size_[i] >= plan_.jobs[i].spec().min_slots; });
    return restarts;
  }

  void KeepRestart(int i) {
    JobPlan& job = plan_.jobs[i];
    const int64_t size = std::max(claim_size_[i], job.spec().min_slots);
    if (left_[job.site] < size) return;  // it waits with the others
    Admit(i, job.site, size);
  }

  void Admit(int i, int site, int64_t size) {
    JobPlan& job = plan_.jobs[i];
    job.outcome = Outcome::kStarts;
    left_[site] -= size;
    plan_.AddRunning(job.team, size);
    starts_.push_back({i, site, size});
  }

  bool Waits(const JobPlan& job) const {
    return job.lease == nullptr && job.team >= 0 && plan_.teams[job.team].research &&
           job.outcome == Outcome::kNotTried && job.state->job.not_before <= plan_.now &&
           (job.state->job.phase == wire::JobPhase::kQueued ||
            job.state->job.phase == wire::JobPhase::kPaused ||
            job.state->job.phase == wire::JobPhase::kRunning);
  }

  // Growth of running jobs that comes within their team's share is not for others to borrow.
  void FindGrowthAhead() {
    growth_.assign(plan_.teams.size(), std::vector<int64_t>(left_.size()));
    for (const JobPlan& job : plan_.jobs) {
      if (job.lease == nullptr || job.stopping || job.team < 0) continue;
      const int64_t more = std::min(job.spec().max_slots - std::ssize(job.slots), left_[job.site]);
      if (more > 0 && Pays(job, more)) growth_[job.team][job.site] += more;
    }
  }

  int64_t GrowthAhead(int team, int site) const {
    int64_t sum = 0;
    for (int t = 0; t < static_cast<int>(plan_.teams.size()); ++t) {
      if (t == team || growth_[t][site] == 0) continue;
      const double room = plan_.teams[t].entitled - static_cast<double>(plan_.teams[t].held());
      sum += std::min(growth_[t][site], static_cast<int64_t>(std::max(room + 1e-6, 0.0)));
    }
    return sum;
  }

  double UsedShare(int team) const {
    return static_cast<double>(plan_.teams[team].held()) /
           std::max(plan_.teams[team].entitled, 1e-3);
  }

  void AdmitByTurns() {
    std::vector<std::vector<int>> queue(plan_.teams.size());
    for (int i = 0; i < static_cast<int>(plan_.jobs.size()); ++i) {
      if (Waits(plan_.jobs[i])) queue[plan_.jobs[i].team].push_back(i);
    }
    using Turn = std::tuple<bool, double, int>;  // beyond its guarantee, used share, team
    std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
    const auto enter = [&](int team, size_t at) {
      if (at >= queue[team].size()) return;
      const int64_t min_slots = plan_.jobs[queue[team][at]].spec().min_slots;
      turns.emplace(!plan_.Guaranteed(team, min_slots), UsedShare(team), team);
    };
    std::vector<size_t> next(plan_.teams.size());
    for (int team = 0; team < static_cast<int>(queue.size()); ++team) {
      std::sort(queue[team].begin(), queue[team].end(), [&](int a, int b) { return Before(a, b); });
      enter(team, 0);
    }
    while (!turns.empty()) {
      const int team = std::get<int>(turns.top());
      turns.pop();
      Try(queue[team][next[team]++]);
      enter(team, next[team]);
    }
  }

  bool Before(int a, int b) const {
    const wire::Job& x = plan_.jobs[a].state->job;
    const wire::Job& y = plan_.jobs[b].state->job;
    const bool x_queued = x.phase == wire::JobPhase::kQueued;
    const bool y_queued = y.phase == wire::JobPhase::kQueued;
    return std::tuple(-x.spec.priority, x_queued, x.submitted, a) <
           std::tuple(-y.spec.priority, y_queued, y.submitted, b);
  }

  bool WaitedLong(const JobPlan& job) const {
    return plan_.now - job.state->job.submitted >= plan_.policy.gang_hold_after;
  }

  void Try(int i) {
    JobPlan& job = plan_.jobs[i];
    const int64_t m = job.spec().min_slots;
    const bool borrows = !plan_.WithinShare(job.team, m) && !plan_.Guaranteed(job.team, m);
    int best = -1;
    for (int site = 0; site < static_cast<int>(left_.size()); ++site) {
      job.saw_free = std::max(job.saw_free, left_[site]);
      if (left_[site] < m) continue;
      if (borrows && !WaitedLong(job) && left_[site] - GrowthAhead(job.team, site) < m) {
        job.may_not_borrow = true;
        continue;
      }
      if (best < 0 || Fits(job, site) > Fits(job, best)) best = site;
    }
    if (best >= 0) return Admit(i, best, m);
    job.outcome = Outcome::kBlocked;
    if (job.may_not_borrow) return;
    for (int site : SitesByHope()) {
      if (MakeRoom(i, site)) return;
    }
    if (!WaitedLong(job)) return;
    for (int site : SitesByHope()) {  // one gang at a time collects a site's free slots
      if (collected_[site] || site_size_[site] < m) continue;
      collected_[site] = job.collecting = true;
      left_[site] -= std::min(left_[site], m);
      return;
    }
  }

  // Where it ran last, if it may; else where most is free.
  std::tuple<bool, int64_t> Fits(const JobPlan& job, int site) const {
    const auto& last = job.state->last_slots;
    return {!last.empty() && SiteOf(last.front()) == plan_.places.site_name(site), left_[site]};
  }

  std::vector<int> SitesByHope() const {
    std::vector<int> sites;
    for (int site = 0; site < static_cast<int>(left_.size()); ++site) sites.push_back(site);
    std::stable_sort(sites.begin(), sites.end(), [&](int a, int b) {
      return left_[a] + plan_.coming[a] > left_[b] + plan_.coming[b];
    });
    return sites;
  }

  // Slots on the site for a job that does not fit: those coming, those that restarts can do
  // without, those of victims. True if it will fit: then it, or what it waits for, is set aside.
  bool MakeRoom(int i, int site) {
    JobPlan& job = plan_.jobs[i];
    const int64_t m = job.spec().min_slots;
    int64_t missing = m - left_[site] - plan_.coming[site];
    if (missing > 0) missing -= TakeFromRestarts(job, site, missing);
    if (left_[site] >= m) {
      Admit(i, site, m);
      return true;
    }
    if (missing > 0) {
      const std::vector<Victim> victims = Search(job, site, missing);
      if (victims.empty()) return false;
      for (const Victim& v : victims) {
        JobPlan* victim = &plan_.jobs[v.job];
        const double lost = plan_.LostWork(*victim);
        plan_.StopJob(
            victim, v.how, v.give, {},
            {fmt::format("gives {} of {} slots to {} of team {}, which waits for {} and is "
                         "within its share of {:.1f}",
                         v.give, victim->slots.size(), job.id(), job.spec().team, m,
                         plan_.teams[job.team].entitled),
             {{"slots", static_cast<double>(v.give)},
              {"lost_slot_s", lost},
              {"entitled", plan_.teams[job.team].entitled}}});
        plan_.coming[site] += v.give;
      }
    }
    const int64_t now = std::min(left_[site], m);
    left_[site] -= now;
    plan_.coming[site] -= m - now;
    plan_.AddRunning(job.team, m);
    job.outcome = Outcome::kSlotsComing;
    return true;
  }

  // A restart costs the same at any size, so those of them that may be shrunk give first. All or
  // nothing: less than the need is of no use here.
  int64_t TakeFromRestarts(const JobPlan& job, int site, int64_t missing) {
    std::vector<int64_t> caps = CapsAboveShare(plan_, job.team);
    std::vector<std::pair<Start*, int64_t>> takes;
    int64_t found = 0;
    for (Start& start : starts_) {
      const JobPlan& other = plan_.jobs[start.job];
      if (start.site != site || claim_size_[start.job] == 0) continue;
      if (other.team == job.team && other.spec().priority > job.spec().priority) continue;
      int64_t take = std::min(missing - found, start.size - other.spec().min_slots);
      for (int t = other.team; t >= 0; t = plan_.teams[t].parent) take = std::min(take, caps[t]);
      if (take <= 0) continue;
      for (int t = other.team; t >= 0; t = plan_.teams[t].parent) caps[t] -= take;
      takes.emplace_back(&start, take);
      found += take;
    }
    if (found < missing) return 0;
    for (auto& [start, take] : takes) {
      start->size -= take;
      left_[site] += take;
      plan_.AddRunning(plan_.jobs[start->job].team, -take);
    }
    return found;
  }

  std::vector<Victim> Search(const JobPlan& job, int site, int64_t missing) {
    const int64_t m = job.spec().min_slots;
    const std::array<bool, kModes> may = {true, plan_.WithinShare(job.team, m),
                                          plan_.Guaranteed(job.team, m),
                                          plan_.Guaranteed(job.team, m)};
    for (int mode = 0; mode < kModes; ++mode) {
      if (!may[mode] || searches_ >= kMostSearches) continue;
      const auto failed = failed_.find({job.team, mode, site});
      if (failed != failed_.end() && missing >= failed->second) continue;
      Claimant claimant{.site = site, .team = job.team, .priority = job.spec().priority};
      claimant.need = {.slots = missing, .unit = missing};
      claimant.may_pause = mode != kSurplus;
      claimant.may_break = mode >= kGuarantee;
      claimant.caps = mode == kStraddle ? CapsForStraddlers(plan_, job.team)
                      : mode == kGuarantee || (mode == kSurplus && WaitedLong(job))
                          ? CapsAboveGuarantee(plan_, job.team)
                          : CapsAboveShare(plan_, job.team);
      ++searches_;
      std::vector<Victim> victims = FindVictims(plan_, claimant);
      if (!victims.empty()) return victims;
      failed_[{job.team, mode, site}] = missing;
    }
    return {};
  }

  void GiveExtras() {
    using Turn = std::tuple<double, int64_t, size_t>;  // used share, size, start
    std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
    const auto enter = [&](size_t k) {
      const JobPlan& job = plan_.jobs[starts_[k].job];
      if (starts_[k].size < job.spec().max_slots) {
        turns.emplace(UsedShare(job.team), starts_[k].size, k);
      }
    };
    for (size_t k = 0; k < starts_.size(); ++k) enter(k);
    while (!turns.empty()) {
      const size_t k = std::get<size_t>(turns.top());
      turns.pop();
      Start& start = starts_[k];
      if (left_[start.site] <= 0) continue;
      --left_[start.site];
      ++start.size;
      plan_.AddRunning(plan_.jobs[start.job].team, 1);
      enter(k);
    }
  }

  void Emit() {
    // Those with old slots first, so that nobody else is placed there.
    std::stable_sort(starts_.begin(), starts_.end(), [&](const Start& a, const Start& b) {
      return claim_size_[a.job] > 0 && claim_size_[b.job] == 0;
    });
    for (const Start& start : starts_) {
      const JobPlan& job = plan_.jobs[start.job];
      const std::vector<int> last = plan_.SlotsOf(job.state->last_slots);
      const TeamPlan& team = plan_.teams[job.team];
      Action action{.kind = ActionKind::kStartJob, .job = job.id()};
      action.slots = plan_.SlotIds(plan_.pool.Take(start.site, start.size, last));
      action.reason = {
          fmt::format("{} on {} of {}..{} slots: team {} then holds {} of a share of {:.1f}, "
                      "guaranteed {}",
                      job.state->job.phase == wire::JobPhase::kPaused ? "resumes" : "starts",
                      start.size, job.spec().min_slots, job.spec().max_slots, job.spec().team,
                      team.held(), team.entitled, team.guarantee),
          {{"slots", static_cast<double>(start.size)},
           {"held", static_cast<double>(team.held())},
           {"entitled", team.entitled},
           {"guarantee", static_cast<double>(team.guarantee)}}};
      plan_.actions.push_back(std::move(action));
    }
  }

  // Worth a restart: what the extra slots do within the payback time, and before the job's end,
  // is more than what the restart costs.
  bool Pays(const JobPlan& job, int64_t more) const {
    if (!job.spec().checkpointable || more <= 0) return false;
    const double now = static_cast<double>(job.slots.size());
    const double then = now + static_cast<double>(more);
    const double cost_s = job.state->restart_cost.seconds();
    if (now * cost_s > static_cast<double>(more) * plan_.policy.grow_payback.seconds())
      return false;
    const auto& progress = job.state->job.progress;
    return !progress || !progress->eta_s || *progress->eta_s * (1 - now / then) > cost_s;
  }

  void Grow(const std::vector<int64_t>& idle) {
    for (const ServicePlan& s : plan_.services) {
      if (s.state->service.phase != wire::ServicePhase::kActive) continue;
      if (s.state->demand.above_since.is_set() || s.short_of_floor > 0) return;
    }
    std::vector<int64_t> rested(left_.size());  // idle for long enough, per site
    for (int s = 0; s < plan_.places.slots(); ++s) {
      rested[plan_.places.site_of(s)] +=
          plan_.pool.Has(s) &&
          plan_.now - plan_.snapshot.slots[s].free_since >= plan_.policy.grow_after;
    }
    for (size_t site = 0; site < left_.size(); ++site) {
      rested[site] = std::min(rested[site], idle[site]);
    }
    std::vector<std::tuple<double, int64_t, int>> order;
    for (int i = 0; i < static_cast<int>(plan_.jobs.size()); ++i) {
      const JobPlan& job = plan_.jobs[i];
      if (job.lease == nullptr || job.team < 0) continue;
      if (job.stopping) {  // on its way to another size already, which may be this one
        if (job.lease->stop_cause == wire::StopCause::kResize) {
          rested[job.site] -= std::max<int64_t>(job.spec().max_slots - std::ssize(job.slots), 0);
        }
      } else if (plan_.MayBeStopped(job)) {
        order.emplace_back(UsedShare(job.team), std::ssize(job.slots), i);
      }
    }
    std::sort(order.begin(), order.end());
    for (const auto& [used, size, i] : order) {
      JobPlan* job = &plan_.jobs[i];
      const int64_t more = std::min(job->spec().max_slots - size, rested[job->site]);
      if (more <= 0 || !Pays(*job, more)) continue;
      rested[job->site] -= more;
      plan_.StopJob(job, How::kShrink, 0, {},
                    {fmt::format("{} slots have been idle for {}: it restarts on {} instead of {}",
                                 more, Human(plan_.policy.grow_after), size + more, size),
                     {{"slots", static_cast<double>(size)},
                      {"more", static_cast<double>(more)},
                      {"restart_cost_s", job->state->restart_cost.seconds()}}});
    }
  }
};

}  // namespace

void ServeResearch(Plan* plan) { Research(plan).Run(); }

}  // namespace weir::sched
