// A job's curves from its progress file: the points of its newest history, thinned. Pure.
//
// A run that resumes tells again the steps since its checkpoint; those of the earlier run that were
// thrown away are dropped, so the steps only grow.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wire/view.h"

namespace weir::control {

inline constexpr size_t kCurvePoints = 400;  // at most

// What a line of a progress or metrics file says under `name`, if that is a finite number.
std::optional<double> NumberIn(const wire::Json& line, const char* name);

wire::Curve CurveFrom(const std::string& job, const std::vector<wire::Json>& lines,
                      size_t most = kCurvePoints);

}  // namespace weir::control
