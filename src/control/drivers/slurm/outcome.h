// How a run at a Slurm site ended: what its ranks wrote against what Slurm says.
//
//   its ranks say                      Slurm says               the run
//   every one 0 or 75                  anything                 exited with 75 if any says so, else
//   0 one another code                   COMPLETED, FAILED, ...   exited with the first such code
//   not all                            OUT_OF_MEMORY            exited 137, "memory limit"
//   not all                            TIMEOUT, DEADLINE        exited 124
//   not all                            NODE_FAIL, BOOT_FAIL     lost
//   not all                            PREEMPTED                lost: the site's users took the
//   node not all, it never began            CANCELLED, we asked      exited 75: nothing was lost
//   not all, killed after its grace    CANCELLED, we asked      exited 137
//   not all                            CANCELLED, not by us     exited 143: counts as a failure
//   nothing                            COMPLETED, FAILED        as Slurm's exit code
//   nothing                            nothing: forgotten       lost
//
// A code of ranks that Slurm killed (137, 143) says less than Slurm's own state, which then
// decides.
//
// Threads   pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/drivers/driver.h"

namespace weir::control::slurm {

struct RankExit {
  int64_t code = 0;
  int64_t at_s = 0;  // by the node's clock
};

struct Ending {
  std::string state;   // empty: Slurm does not know the job any more
  std::string reason;  // Slurm's
  int64_t exit = 0;    // Slurm's, as wait() gives it
  std::vector<std::optional<RankExit>> ranks;
  bool began = false;   // run.sh claimed the run
  bool asked = false;   // Weir wanted it stopped
  bool killed = false;  // and cancelled it after the grace
  std::string cause;    // of Weir's own stop: "time limit 2 min", "not started within 5 min: ..."
  Duration time_limit;
  int64_t memory_limit_bytes = 0;
};

// phase, exit_code and reason; `rank` is the one that decided, or -1.
struct Verdict {
  RunPhase phase = RunPhase::kExited;
  int exit_code = 0;
  std::string reason;
  int rank = -1;
};
Verdict VerdictOf(const Ending& ending);

}  // namespace weir::control::slurm
