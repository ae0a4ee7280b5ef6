// TCP ports for processes that will listen themselves.
#pragma once

#include "base/result.h"

namespace weir::io {

// A port of 127.0.0.1 that nobody listens on now. Nothing keeps it free: whoever is told to use it
// must be ready to find it taken and be given another.
Result<int> FreePort();

}  // namespace weir::io
