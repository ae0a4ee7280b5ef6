// Regular expressions as rules. Look-ahead, word edges and anchors inside the expression are
// refused: what they forbid is not a matter of what comes next.
#pragma once

#include <string_view>

#include "base/result.h"
#include "engine/grammar/rules.h"

namespace weir::grammar {

enum class Anchoring : uint8_t {
  kWhole,   // the whole text matches; ^ and $ at the ends say nothing more
  kSearch,  // some part of the text matches, as JSON Schema's "pattern"
};

Result<NodeId> RegexNodeOf(Rules& rules, std::string_view pattern, Anchoring anchoring,
                           Spelling spelling);

}  // namespace weir::grammar
