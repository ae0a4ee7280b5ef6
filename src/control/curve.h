// A job's curves from its progress file: the points of its newest history, thinned. Pure.
//
// A run that resumes tells again the steps since its checkpoint; those of the earlier run that were
// thrown away are dropped, so the steps only grow.
#pragma once

#include <string>
#include <vector>

#include "wire/view.h"

namespace weir::control {

inline constexpr size_t kCurvePoints = 400;  // at most

wire::Curve CurveFrom(const std::string& job, const std::vector<wire::Json>& lines,
                      size_t most = kCurvePoints);

}  // namespace weir::control
