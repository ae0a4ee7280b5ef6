// Who must give up slots for whom: the limits under which victims.h chooses.
#pragma once

#include <cstdint>
#include <vector>

#include "lab/sched/plan.h"
#include "lab/sched/victims.h"

namespace weir::sched {

struct Claimant {
  int site = 0;
  VictimNeed need;
  std::vector<int64_t> caps;  // per team: most slots that it may be made to give
  bool may_pause = true;      // else elastic jobs may only be shrunk
  bool may_break = true;      // where the policy allows it at all
  // A research job that asks: of its own team only jobs of no higher priority are shrunk, none
  // paused. -1 = product asks.
  int team = -1;
  int64_t priority = 0;
};

// Per team, what a loan may take: its lend limit less what is out, and what keeps it at its
// guarantee less its lend limit.
std::vector<int64_t> LendCaps(const Plan& plan);
// Per team, what it holds beyond what it is entitled to now; teams above `team` have no cap of
// their own, since slots only change hands below them. -1 = product asks.
std::vector<int64_t> CapsAboveShare(const Plan& plan, int team);
// The same beyond its guarantee.
std::vector<int64_t> CapsAboveGuarantee(const Plan& plan, int team);
// A team with anything beyond its guarantee may lose a gang that straddles it; others nothing.
std::vector<int64_t> CapsForStraddlers(const Plan& plan, int team);

// The cheapest victims among the plan's jobs (Victim::job indexes Plan::jobs); empty: none would
// do.
std::vector<Victim> FindVictims(const Plan& plan, const Claimant& claimant);

}  // namespace weir::sched
