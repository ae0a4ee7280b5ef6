// One rank of a run of the local driver: its folder, its shim, what is known of it.
//
// Threads   one (the driver's).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/drivers/run_files.h"
#include "io/clock.h"

namespace weir::control {

class LocalRank {
 public:
  enum class Phase { kStarting, kRunning, kExited, kLost };  // the last two are final

  LocalRank(std::string dir, const std::vector<std::string>* shim_command, const io::Clock* clock);

  // Starts a shim unless one is at it. Errors: the shim's program cannot be run.
  Status Launch();
  // Looks at the folder and the shim; starts another shim where one died before anything ran.
  void Observe();
  // Asks for a stop; again with a shorter grace shortens it.
  Status Stop(Duration grace);

  Phase phase() const { return phase_; }
  bool ended() const { return phase_ == Phase::kExited || phase_ == Phase::kLost; }
  bool stop_asked() const { return stop_asked_; }
  // Valid once running.
  const ShimState& state() const { return state_; }
  // Valid once exited; for a lost one, what could be found out.
  const ShimExit& exit() const { return exit_; }
  int64_t rss_bytes() const { return rss_bytes_; }
  double cpu_s() const { return cpu_s_; }

 private:
  bool ReadExit();
  void ReadState();
  bool ShimGone();
  void BuryLost();
  void Measure();

  std::string dir_;
  const std::vector<std::string>* shim_command_;
  const io::Clock* clock_;
  Phase phase_ = Phase::kStarting;
  std::optional<io::ProcessId> shim_;  // once known: ours from Launch, or from state.json
  pid_t child_pid_ = 0;                // of a shim that we started and have not yet waited for
  int launches_ = 0;
  bool stop_asked_ = false;
  std::optional<Duration> grace_;  // the shortest asked for
  ShimState state_;
  ShimExit exit_;
  int64_t rss_bytes_ = 0;
  double cpu_s_ = 0;
  Duration measured_at_;
};

}  // namespace weir::control
