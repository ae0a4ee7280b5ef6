// Budgets: what teams and users have used, in slot-hours and in money, against what they may.
//
//   used     what ended leases held (State::spend) and what the leases of now have held so far
//   80%      a warning, in the view and in `weir why`
//   100%     nothing new starts; jobs that can save are asked to; those that cannot run to their
//   end
// A team's budget counts the teams below it. A user's budget is of one user within one team. Money
// is slot-hours times the site's price of today.
//
// Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/events.h"
#include "control/state.h"

namespace weir::control {

inline constexpr double kBudgetWarning = 0.8;

using Prices = std::map<std::string, double>;  // by site: US dollars for a slot-hour

struct Used {
  double slot_h = 0;
  double usd = 0;
};

class Budgets {
 public:
  Budgets(const State& state, const Prices& prices, Time now);
  Used OfTeam(const std::string& team) const;  // with the teams below it
  Used OfUser(const std::string& team, const std::string& user) const;
  // The budget that is used up for a job of this user in this team, in a sentence; "" = none.
  std::string Over(const std::string& team, const std::string& user) const;
  // The same for one that is used to kBudgetWarning.
  std::string Nearly(const std::string& team, const std::string& user) const;

 private:
  std::string Beyond(const std::string& team, const std::string& user, double share) const;
  const State& state_;
  std::map<std::string, Used> teams_, users_;  // by team; by team/user
  bool any_ = false;                           // a budget is set at all
};

// Asks the jobs of those who are over a budget to save and stop.
std::vector<Event> StopOverspent(const State& state, const Budgets& budgets, Time now);

// "team/user", the key of State::user_spend.
std::string UserKey(const std::string& team, const std::string& user);

}  // namespace weir::control
