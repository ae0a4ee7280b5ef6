// Who must give up slots for whom: the limits under which victims.h chooses.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/sched/plan.h"
#include "lab/sched/victims.h"

namespace weir::sched {

struct Claimant {
  PoolId pool = 0;
  VictimNeed need;
  std::vector<int64_t> caps;  // per account: most slots that it may be made to give
  std::vector<int64_t> lent;  // per account: idle slots about to be lent; empty = none
  bool may_pause = true;      // else elastic jobs may only be shrunk
  bool may_break = true;      // where the policy allows it at all
  // A research job that asks: of its own team only jobs of no higher priority are shrunk, none
  // paused. -1 = product asks.
  TeamId team = -1;
  int64_t priority = 0;
};

// Per account, what a loan may take: its lend limit less what is out (`more` on top: idle slots
// about to be lent), and what keeps it at its guarantee less its lend limit.
std::vector<int64_t> LendCaps(const Plan& plan, const std::vector<int64_t>& more);
// Per account, what it holds beyond what it is entitled to now; accounts above `account` have no
// cap of their own, since slots only change hands below them. -1 = product asks.
std::vector<int64_t> CapsAboveShare(const Plan& plan, AccountId account);
// The same beyond its guarantee.
std::vector<int64_t> CapsAboveGuarantee(const Plan& plan, AccountId account);
// An account with anything beyond its guarantee may lose a gang that straddles it; others nothing.
std::vector<int64_t> CapsForStraddlers(const Plan& plan, AccountId account);

// The cheapest victims among the jobs of the pool that may be stopped (Victim::job is a JobId);
// empty: none would do. Looks only at the cheapest of each World::stoppable() class that an optimum
// can hold, so its cost does not grow with the jobs that run.
std::vector<Victim> FindVictims(const Plan& plan, const Claimant& claimant);

}  // namespace weir::sched
