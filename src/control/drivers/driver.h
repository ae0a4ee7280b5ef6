// Driver: the one door to a site. The control loop says what should run; the site's engine carries
// it out. `local` runs processes on this machine, `slurm` submits jobs to a cluster, the simulator
// pretends.
//
// A run is one attempt of a gang or of a replica; its id is the lease's id. Everything here is
// idempotent by that id: Start of a run that exists is a success and starts nothing, Stop of one
// that has ended is a success. So after a crash between intent and act the loop simply asks again.
//
// Errors    kUnavailable: the site cannot be reached and what runs there is unknown (not gone);
//           kResourceExhausted: it is full for now; kInvalidArgument: it will never take this run.
// Threads   called by the control loop's thread only; no call may block for more than a few
//           milliseconds (long work goes on behind it and shows in Poll).
// Time      instants are wall-clock; a driver takes its clock at construction.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "wire/lab.h"

namespace weir::control {

struct RunSpec {
  std::string id;                          // the lease's id
  std::string holder;                      // "job-12" or "svc-3": for people who look at processes
  std::vector<std::string> command;        // without a shell
  std::map<std::string, std::string> env;  // beside what the driver sets; see docs/formats.md
  std::string cwd;                         // empty: the run's own folder
  std::vector<wire::Slot> slots;           // one rank each if `gang`, else all for one process
  bool gang = true;
  bool wants_port = false;                 // replicas: sets WEIR_PORT and reports it
  std::string checkpoint_dir;              // jobs: shared by all runs of the job; created if absent
  std::string progress_path;               // jobs: rank 0's WEIR_PROGRESS_FILE, kept across runs
  std::string log_path;                    // rank r > 0 writes to log_path + "." + r
  int64_t memory_limit_bytes = 0;          // of one rank; 0 = none
  Duration time_limit = {};                // of the run; 0 = none
  Duration grace = Duration::Seconds(20);  // used when Weir's own limits stop the run
};

enum class RunPhase {
  kStarting,
  kRunning,   // every rank's process is there
  kStopping,  // asked to stop, not all ranks gone
  kExited,    // all ranks gone; exit_code and reason are final
  kLost,      // it was there and is gone without a trace (its machine died, say); final
  kRefused,   // it never began and the site will never take it: reason says why; final
};

struct RunObservation {
  std::string id;
  RunPhase phase = RunPhase::kStarting;
  Time started;
  Time ended;
  // Of a gang: that of the first rank that ended other than 0 or 75, else 75 if any, else 0.
  // A signal counts as 128 + its number.
  int exit_code = 0;
  // "exit 3", "signal 9", "memory limit 512 MiB", "time limit 2 h", "killed after grace", ...
  std::string reason;
  std::vector<std::string> last_lines;  // of the rank that decides, at most 20
  int64_t port = 0;                     // replicas, once known
  std::string host = "127.0.0.1";       // where that port is, as the gateway reaches it
  std::vector<wire::Json>
      new_progress;  // progress lines since the last Poll, oldest first, bounded
  int64_t rss_bytes = 0;
  double cpu_s = 0;
};

class Driver {
 public:
  virtual ~Driver() = default;
  virtual const wire::Site& site() const = 0;
  // The slots that are there now. A slot keeps its id for life.
  virtual Result<std::vector<wire::Slot>> Slots() = 0;
  virtual Status Start(const RunSpec& run) = 0;
  // SIGTERM to every rank, SIGKILL after the grace. Asking again with a shorter grace shortens it.
  virtual Status Stop(const std::string& run_id, Duration grace) = 0;
  // Every run that was started and not forgotten, in order of id.
  virtual Result<std::vector<RunObservation>> Poll() = 0;
  // The run's end has been journaled: its folder may go (logs stay with the job).
  virtual Status Forget(const std::string& run_id) = 0;
  // The nodes that the site's own engine is to keep free of new work, of ours and of others, and
  // why. Those that were named before and are no more are given back. Engines without such a thing
  // take no notice.
  virtual void DrainNodes(const std::map<std::string, std::string>& why_by_node) {
    (void)why_by_node;
  }
};

}  // namespace weir::control
