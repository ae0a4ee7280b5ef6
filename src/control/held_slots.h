// Contracts as the allocator sees them: slots that come and go.
//
// A site to which a signed contract delivers has as many slots of that type as its contracts hold:
// those beyond take nothing new (not delivered yet, or ended), and those that a contract's end will
// take carry that day, as a node does that is to leave. Slots are taken in the order of node and
// index, so that whole nodes come and go: the last come last and go first. A site without a
// contract is the lab's own, and as its driver says.
#pragma once

#include <map>
#include <string>

#include "control/state.h"

namespace weir::control {

struct HeldSlot {
  bool held = true;
  Time until;  // 0 = as far as is known
};
// By slot id; only slots of sites with contracts.
std::map<std::string, HeldSlot> HeldSlots(const State& state, Time now);

}  // namespace weir::control
