// Which running jobs give up slots, so that as little as possible is lost.
//
// A job gives in one of three ways:
//   shrink  an elastic job that can save runs on with fewer slots: any number up to can_shrink
//   pause   a job that can save stops: all of its slots
//   break   a job that cannot save stops: all of its slots, and all of its work
// The cost of a choice is compared in this order:
//   1. jobs broken
//   2. slot-seconds: the work lost; what a pause costs besides (the job stands still); and the
//      spread: a team's k-th slot given costs spread_slot_s * (burden + k) / share, so that it is
//      cheaper to ask the next team
// Here a shrink costs a restart of the whole gang, so a small job paused just after its checkpoint
// can be far cheaper than a big one shrunk: that is why pauses have a price and no rank of their
// own. Limits: the slots given by the jobs of a team and of all teams below it stay within its
// cap (a paused job counts whole, also where less is needed: its team loses it whole).
//
// Bounds first. A greedy choice that gives all that is needed is an upper bound U. Costs only add
// up, so a job that alone costs more than U is in no optimum and is left out; what is left is small
// even when the fleet is not. From below, a fractional choice without caps (the linear relaxation,
// solved by cost per slot) can only be cheaper: VictimChoice::bound. Where both meet nothing is
// searched.
//
// Method. best[t][y] = cheapest way for the subtree of team t to give exactly y slots; jobs are
// added one by one (a knapsack whose item may weigh 1..k at one price: the minimum over a sliding
// window), children are merged by (min,+) convolution, both cut off at the cap. Costs of the form
// f(y), here the spread, are added at their team, so this is exact. Time O(jobs * n + teams * n^2)
// with n = need + the largest job, in units of the greatest common divisor of all sizes where no
// job shrinks. Above kExactSlots such units the greedy choice stands, with its distance to the
// bound.
//
// Example: need 2. j1 is elastic with 4 slots (min 2) and 30 s of work since its checkpoint, j2 can
// save and holds 2 slots with 1 s since its checkpoint; a pause costs 120 s of a job's slots.
// Shrinking j1 loses 120 slot-s, pausing j2 loses 2 and costs 240 besides: j1 is chosen. With 90 s
// since its checkpoint j1 would lose 360, and j2 is.
#pragma once

#include <cstdint>
#include <vector>

namespace weir::sched {

enum class How { kShrink, kPause, kBreak };

struct VictimTeam {
  int parent = -1;    // index; -1 = at the top
  int64_t cap = 0;    // most slots that its subtree may give
  double burden = 0;  // slots that it has out on loan, and is owed for, already
  double share = 1;   // slots that it is entitled to; below 1 counts as 1
};

struct VictimJob {
  int team = 0;
  int64_t slots = 0;
  int64_t can_shrink = 0;  // slots that it can give and run on; 0 = it cannot
  bool can_pause = false;
  bool can_break = false;
  double lost_slot_s = 0;   // if it is stopped now, whichever way
  double pause_slot_s = 0;  // on top, if it is paused
};

struct Victim {
  int job = 0;
  int64_t give = 0;  // slots
  How how = How::kShrink;
  bool operator==(const Victim&) const = default;
};

int64_t SlotsGiven(const std::vector<Victim>& victims);

struct VictimCost {
  int64_t broken = 0;
  double slot_s = 0;
};
bool Less(const VictimCost& a, const VictimCost& b);

struct VictimNeed {
  int64_t slots = 0;   // wanted
  int64_t unit = 1;    // ... or as many whole units as there are, counting from `offset`:
  int64_t offset = 0;  // slots at hand, so that (offset + given) / unit replicas come of it
};

inline constexpr int64_t kExactSlots = 512;

// What was chosen, what it costs, and what no choice can cost less than.
struct VictimChoice {
  std::vector<Victim> victims;
  VictimCost cost;
  VictimCost bound;    // of the relaxation; at most `cost`
  bool exact = false;  // nothing is cheaper
};
VictimChoice ChooseVictimsBounded(const std::vector<VictimTeam>& teams,
                                  const std::vector<VictimJob>& jobs, const VictimNeed& need,
                                  double spread_slot_s);

// The cheapest choice that gives need.slots; if none does, the cheapest of those that give the most
// whole units; empty if not one more unit comes of it. In order of job. A paused or broken job
// gives all of its slots, so the sum may be above the need. Equal costs: the earlier jobs.
std::vector<Victim> ChooseVictims(const std::vector<VictimTeam>& teams,
                                  const std::vector<VictimJob>& jobs, const VictimNeed& need,
                                  double spread_slot_s);

// A cheap choice that gives need.slots if it finds one, at the cost of sorting: an upper bound.
std::vector<Victim> ChooseVictimsQuickly(const std::vector<VictimTeam>& teams,
                                         const std::vector<VictimJob>& jobs, const VictimNeed& need,
                                         double spread_slot_s);

// What a choice costs, and whether it keeps to the caps: by definition, as plain sums.
VictimCost CostOf(const std::vector<VictimTeam>& teams, const std::vector<VictimJob>& jobs,
                  const std::vector<Victim>& choice, double spread_slot_s);
bool Allowed(const std::vector<VictimTeam>& teams, const std::vector<VictimJob>& jobs,
             const std::vector<Victim>& choice);

// Every choice tried: the oracle of victims_test.cc. Time exponential in the jobs.
std::vector<Victim> ChooseVictimsByTryingAll(const std::vector<VictimTeam>& teams,
                                             const std::vector<VictimJob>& jobs,
                                             const VictimNeed& need, double spread_slot_s);

}  // namespace weir::sched
