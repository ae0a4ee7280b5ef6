#include "lab/sched/reclaim.h"

#include <algorithm>
#include <cmath>

#include "lab/sched/shares.h"

namespace weir::sched {
namespace {

template <class Level>
std::vector<int64_t> CapsAbove(const Plan& plan, int team, Level level) {
  std::vector<int64_t> caps;
  for (int t = 0; t < static_cast<int>(plan.teams.size()); ++t) {
    if (team >= 0 && plan.Within(team, t)) {
      caps.push_back(plan.usable);
      continue;
    }
    const double above = static_cast<double>(plan.teams[t].held()) - level(plan.teams[t]);
    caps.push_back(std::clamp<int64_t>(static_cast<int64_t>(std::floor(above + 1e-6)), 0,
                                       std::max<int64_t>(plan.teams[t].running, 0)));
  }
  return caps;
}

}  // namespace

std::vector<int64_t> LendCaps(const Plan& plan) {
  std::vector<int64_t> caps;
  for (const TeamPlan& t : plan.teams) {
    if (t.lend_limit < 0) {
      caps.push_back(plan.usable);
      continue;
    }
    const int64_t keep = std::max<int64_t>(t.guarantee - t.lend_limit, 0);
    caps.push_back(std::max<int64_t>(std::min(t.lend_limit - t.lent, t.running - keep), 0));
  }
  return caps;
}

std::vector<int64_t> CapsAboveShare(const Plan& plan, int team) {
  return CapsAbove(plan, team, [](const TeamPlan& t) { return t.entitled; });
}

std::vector<int64_t> CapsAboveGuarantee(const Plan& plan, int team) {
  return CapsAbove(plan, team, [](const TeamPlan& t) { return static_cast<double>(t.guarantee); });
}

std::vector<int64_t> CapsForStraddlers(const Plan& plan, int team) {
  std::vector<int64_t> caps = CapsAboveGuarantee(plan, team);
  for (size_t t = 0; t < caps.size(); ++t) {
    if (caps[t] > 0) caps[t] = plan.usable;
  }
  return caps;
}

std::vector<Victim> FindVictims(const Plan& plan, const Claimant& c) {
  std::vector<VictimJob> jobs;
  std::vector<int> index;
  int64_t most = 0;
  for (int i = 0; i < static_cast<int>(plan.jobs.size()); ++i) {
    const JobPlan& job = plan.jobs[i];
    if (job.site != c.site || !plan.MayBeStopped(job)) continue;
    const bool same_team = c.team >= 0 && job.team == c.team;
    if (same_team && job.spec().priority > c.priority) continue;
    const int64_t slots = std::ssize(job.slots);
    const bool saves = job.spec().checkpointable;
    VictimJob v{.team = job.team, .slots = slots, .lost_slot_s = plan.LostWork(job)};
    if (saves) v.can_shrink = std::max<int64_t>(slots - job.spec().min_slots, 0);
    v.can_pause = saves && c.may_pause && !same_team;
    v.can_break = !saves && c.may_pause && c.may_break && plan.policy.break_jobs && !same_team;
    const int64_t gives = v.can_pause || v.can_break ? slots : v.can_shrink;
    if (gives == 0 || c.caps[job.team] <= 0) continue;
    most += gives;
    jobs.push_back(v);
    index.push_back(i);
  }
  if (jobs.empty() || (c.need.offset + most) / c.need.unit <= c.need.offset / c.need.unit)
    return {};
  std::vector<VictimTeam> teams;
  for (size_t t = 0; t < plan.teams.size(); ++t) {
    const TeamPlan& team = plan.teams[t];
    const double owed = OwedSlots(team.team->credit_slot_s, plan.policy.share_half_life_s);
    teams.push_back({team.parent, c.caps[t], static_cast<double>(team.lent) + owed, team.entitled});
  }
  std::vector<Victim> victims = ChooseVictims(teams, jobs, c.need, plan.policy.spread_slot_s);
  for (Victim& v : victims) v.job = index[v.job];
  return victims;
}

}  // namespace weir::sched
