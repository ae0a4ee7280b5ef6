// The rows of the first stage that do not depend on the future: limits, lots, options. Shared by
// the L-shaped master and by the whole program that checks it.
#pragma once

#include <string>
#include <vector>

#include "lab/plan/model.h"

namespace weir::plan {

struct LimitSpec {
  std::string what;   // with its number and date, for people
  std::string group;  // "budget", "provider share of Acme", ...
  // per_lot * lots + held <= high, all three divided by `scale`: the largest of per_lot is one.
  std::vector<double> per_lot;  // by block
  double held = 0, high = 0, scale = 1;
  int month = -1;  // for rows of a month or year
};

std::vector<LimitSpec> LimitsOf(const Problem& p, const std::vector<Block>& blocks);
// What a block that is not among them would use of row `i` of LimitsOf(): computed the same way.
std::vector<double> LimitUse(const Problem& p, const std::vector<LimitSpec>& limits,
                             const Block& b);

// A block with a least quantity, or whose signature costs something, is all or nothing.
bool NeedsSwitch(const Offer& o);

}  // namespace weir::plan
