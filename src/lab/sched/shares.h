// What each team is entitled to: weighted max-min shares over the tree of teams.
//
// Capacity is handed down the tree. Among siblings (a team's own jobs count as one more child of
// it, of weight 1):
//   1. each gets its guarantee, as far as it has demand
//   2. each gets what it is owed for past loans: credit * ln 2 / half-life slots, as far as it has
//      demand; that is the rate at which PayBack() writes the credit off
//   3. what is left rises like water: x_i = given_i + weight_i * level, never above its demand
// Too little capacity for a step is divided in proportion to what that step would give.
//
// Example: 10 slots; a: guarantee 4, weight 1, demand 10; b: guarantee 0, weight 2, demand 10.
// After 1: a 4. Six are left, level 2: a 4 + 2 = 6, b 4.
#pragma once

#include <cstdint>
#include <vector>

#include "base/units.h"

namespace weir::sched {

struct ShareNode {
  int parent = -1;  // index; -1 = at the top
  double guarantee = 0;
  double weight = 1;
  double owed = 0;    // slots it gets in step 2
  double demand = 0;  // slots that its own work could use, its children's not counted
};

// One number per node: what its subtree is entitled to. Their sum at the top is
// min(capacity, total demand). A guarantee counts as at least the sum of those below it.
// `nodes` is a forest in any order. Cost O(n log n).
std::vector<double> Entitlements(const std::vector<ShareNode>& nodes, double capacity);

// Slots that a credit adds while it is being paid back.
double OwedSlots(double credit_slot_s, double half_life_s);
// The credit that is left after `passed`.
double PayBack(double credit_slot_s, Duration passed, double half_life_s);

}  // namespace weir::sched
