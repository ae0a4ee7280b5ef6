#include "control/budget.h"

#include <fmt/format.h>

#include "control/observe.h"

namespace weir::control {

std::string UserKey(const std::string& team, const std::string& user) { return team + "/" + user; }

Budgets::Budgets(const State& state, const Prices& prices, Time now) : state_(state) {
  for (const auto& [name, team] : state.teams) {
    any_ = any_ || team.budget_slot_h >= 0 || team.budget_usd >= 0 ||
           team.user_budget_slot_h >= 0 || team.user_budget_usd >= 0;
  }
  const auto add = [&](Used& used, const std::string& site, double slot_s) {
    used.slot_h += slot_s / 3600;
    if (const auto price = prices.find(site); price != prices.end()) {
      used.usd += slot_s / 3600 * price->second;
    }
  };
  for (const auto& [team, spend] : state.spend) {
    for (const auto& [site, slot_s] : spend.slot_s) add(teams_[team], site, slot_s);
  }
  for (const auto& [user, spend] : state.user_spend) {
    for (const auto& [site, slot_s] : spend.slot_s) add(users_[user], site, slot_s);
  }
  for (const auto& [id, lease] : state.leases) {
    if (lease.slots.empty()) continue;
    const double slot_s = (now - lease.opened).seconds() * static_cast<double>(lease.slots.size());
    const std::string site = SiteOf(lease.slots.front());
    add(teams_[lease.team], site, slot_s);
    if (const auto job = state.jobs.find(lease.holder); job != state.jobs.end()) {
      add(users_[UserKey(lease.team, job->second.submitted_by)], site, slot_s);
    }
  }
}

Used Budgets::OfTeam(const std::string& team) const {
  Used sum;
  for (const auto& [name, used] : teams_) {
    std::string at = name;
    for (size_t hops = 0; !at.empty() && hops <= state_.teams.size(); ++hops) {
      if (at == team) {
        sum.slot_h += used.slot_h;
        sum.usd += used.usd;
        break;
      }
      const auto it = state_.teams.find(at);
      at = it == state_.teams.end() ? "" : it->second.parent;
    }
  }
  return sum;
}

Used Budgets::OfUser(const std::string& team, const std::string& user) const {
  const auto it = users_.find(UserKey(team, user));
  return it == users_.end() ? Used{} : it->second;
}

std::string Budgets::Over(const std::string& team, const std::string& user) const {
  return Beyond(team, user, 1);
}
std::string Budgets::Nearly(const std::string& team, const std::string& user) const {
  return Beyond(team, user, kBudgetWarning);
}

std::string Budgets::Beyond(const std::string& team, const std::string& user, double share) const {
  if (!any_) return "";
  const auto over = [&](const std::string& who, const Used& used, double slot_h, double usd) {
    if (slot_h >= 0 && used.slot_h >= share * slot_h) {
      return fmt::format("{} has used {:.1f} of {:.1f} slot-hours", who, used.slot_h, slot_h);
    }
    if (usd >= 0 && used.usd >= share * usd) {
      return fmt::format("{} has used ${:.2f} of ${:.2f}", who, used.usd, usd);
    }
    return std::string();
  };
  std::string at = team;
  for (size_t hops = 0; !at.empty() && hops <= state_.teams.size(); ++hops) {
    const auto it = state_.teams.find(at);
    if (it == state_.teams.end()) break;
    const wire::Team& t = it->second;
    if (t.budget_slot_h >= 0 || t.budget_usd >= 0) {
      std::string why = over("team " + at, OfTeam(at), t.budget_slot_h, t.budget_usd);
      if (!why.empty()) return why;
    }
    at = t.parent;
  }
  if (user.empty()) return "";
  const auto own = state_.teams.find(team);
  if (own == state_.teams.end()) return "";
  return over(fmt::format("{} in team {}", user, team), OfUser(team, user),
              own->second.user_budget_slot_h, own->second.user_budget_usd);
}

std::vector<Event> StopOverspent(const State& state, const Budgets& budgets, Time now) {
  std::vector<Event> events;
  for (const auto& [id, job] : state.jobs) {
    if (job.lease.empty() || !job.spec.checkpointable) continue;
    const auto lease = state.leases.find(job.lease);
    if (lease == state.leases.end() || lease->second.phase != wire::LeasePhase::kActive) continue;
    const std::string why = budgets.Over(job.spec.team, job.submitted_by);
    if (why.empty()) continue;
    events.push_back({now,
                      kLoopActor,
                      {lease->first, id, job.spec.name},
                      fmt::format("{} is asked to save and stop: {}", job.spec.name, why),
                      {},
                      LeaseStopAsked{lease->first, wire::StopCause::kPause}});
  }
  return events;
}

}  // namespace weir::control
