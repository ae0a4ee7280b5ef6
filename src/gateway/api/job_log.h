// Where the output of a job's ranks lies, and reading it.
#pragma once

#include <string>

#include "io/rotated_log.h"
#include "wire/lab.h"

namespace weir::gateway {

using JobLog = io::RotatedLog;

// Every run of a job appends to the same files. See RunSpec::log_path in control/drivers/driver.h.
inline std::string JobLogPath(const wire::Job& job, int64_t rank) {
  const std::string path = job.folder + "/log";
  return rank == 0 ? path : path + "." + std::to_string(rank);
}

}  // namespace weir::gateway
