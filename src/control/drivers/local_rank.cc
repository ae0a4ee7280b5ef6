#include "control/drivers/local_rank.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "base/logging.h"
#include "io/files.h"

namespace weir::control {
namespace {
// A shim that dies this often before it lets its command go has a reason that stays.
constexpr int kMaxLaunches = 3;
constexpr Duration kMeasureEvery = Duration::Seconds(1);
constexpr int kExitLost = 255;
constexpr int kExitNotStarted = 126;
}  // namespace

LocalRank::LocalRank(std::string dir, const std::vector<std::string>* shim_command,
                     const io::Clock* clock)
    : dir_(std::move(dir)), shim_command_(shim_command), clock_(clock) {
  stop_asked_ = io::FileExists(dir_ + "/stop");
}

Status LocalRank::Launch() {
  io::SpawnSpec spawn;
  spawn.argv = *shim_command_;
  spawn.argv.insert(spawn.argv.end(), {"--dir", dir_});
  spawn.env = {{"PATH", "/usr/bin:/bin"}};
  spawn.group = io::SpawnSpec::Group::kSession;  // Ctrl-C at weir up's terminal is not for it
  spawn.stderr_fd =
      ::open((dir_ + "/shim.log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const Result<io::Child> child = io::Spawn(spawn);
  if (spawn.stderr_fd >= 0) ::close(spawn.stderr_fd);
  if (!child) return child.error();
  ++launches_;
  shim_ = child->id();
  child_pid_ = child->id().pid;
  return {};
}

void LocalRank::Observe() {
  if (ended()) return;
  if (child_pid_ != 0) {
    const auto waited = io::TryWait(child_pid_);
    if (!waited || waited->has_value()) child_pid_ = 0;
  }
  if (ReadExit()) return;
  if (phase_ == Phase::kStarting) ReadState();
  if (!ShimGone()) {
    if (phase_ == Phase::kRunning) Measure();
    return;
  }
  // It may have finished between the two looks.
  if (ReadExit()) return;
  ReadState();
  if (phase_ == Phase::kRunning) {
    BuryLost();
    return;
  }
  // Nothing ran: see run_files.h.
  Status launched = Error(Code::kUnavailable,
                          "its shim ends before it starts anything; see " + dir_ + "/shim.log");
  if (!stop_asked_ && launches_ < kMaxLaunches) {
    launched = Launch();
    if (launched) return;
  }
  // Under the lock, so that a shim of an earlier driver, still on its way to it, cannot begin
  // after we have said that nothing ran.
  const Result<io::FileLock> lock = io::FileLock::Acquire(dir_ + "/lock");
  if (!lock || ReadExit()) return;
  ReadState();
  if (phase_ != Phase::kStarting) return;
  exit_.cause = EndCause::kCannotStart;
  exit_.exit_code = stop_asked_ ? 128 + SIGTERM : kExitNotStarted;
  exit_.reason = stop_asked_ ? "stopped before it started" : launched.error().message();
  exit_.started = exit_.ended = clock_->Now();
  // Written down, so that the next driver says the same.
  (void)io::WriteFileAtomically(dir_ + "/exit.json", wire::ToText(exit_));
  phase_ = Phase::kExited;
}

bool LocalRank::ReadExit() {
  const std::string path = dir_ + "/exit.json";
  if (!io::FileExists(path)) return false;
  Result<ShimExit> read = ReadRunFile<ShimExit>(path);
  if (!read) {
    // A power cut on a file system that keeps no order: the run is over, how is not known.
    log::warn("{}", read.error().ToString());
    exit_.exit_code = kExitLost;
    exit_.reason = "its exit status cannot be read";
    exit_.ended = clock_->Now();
    phase_ = Phase::kLost;
    return true;
  }
  exit_ = *std::move(read);
  rss_bytes_ = 0;
  cpu_s_ = exit_.cpu.seconds();
  phase_ = Phase::kExited;
  return true;
}

void LocalRank::ReadState() {
  const std::string path = dir_ + "/state.json";
  if (!io::FileExists(path)) return;
  Result<ShimState> read = ReadRunFile<ShimState>(path);
  if (!read) {
    log::warn("{}", read.error().ToString());
    state_.phase = ShimPhase::kRunning;  // it may have run: never start it again
    phase_ = Phase::kRunning;
    return;
  }
  state_ = *std::move(read);
  // A dead one's "starting" must not hide the shim that we started after it.
  if (!shim_ || io::IsAlive(state_.shim.id())) shim_ = state_.shim.id();
  if (state_.phase == ShimPhase::kRunning) phase_ = Phase::kRunning;
}

// A shim that was started by a driver before us and has not yet written its state is known by its
// lock alone; between its fork and its lock it is not known at all, and a second shim then loses
// the race for the lock, whichever of them that is.
bool LocalRank::ShimGone() {
  if (shim_ && io::IsAlive(*shim_)) return false;
  return !io::FileLock::IsLocked(dir_ + "/lock").value_or(false);
}

void LocalRank::BuryLost() {
  const std::vector<pid_t> left = io::ProcessesWithEnv("WEIR_RUN_DIR", dir_);
  for (const pid_t pid : left) {
    const Result<io::ProcessId> id = io::IdentityOf(pid);
    if (id && io::IsAlive(*id)) (void)io::SignalProcess(*id, SIGKILL);
  }
  if (!left.empty()) return;  // until they are gone, it holds its slots
  exit_.exit_code = kExitLost;
  exit_.reason = "lost: its supervisor was killed or the machine restarted";
  exit_.started = state_.started;
  exit_.ended = clock_->Now();
  phase_ = Phase::kLost;
}

void LocalRank::Measure() {
  const Duration now = clock_->Monotonic();
  if (measured_at_.us != 0 && now - measured_at_ < kMeasureEvery) return;
  measured_at_ = now;
  if (!shim_) return;
  int64_t rss_bytes = 0;
  double cpu_s = 0;
  for (const pid_t pid : io::DescendantsOf(shim_->pid)) {
    const Result<io::ProcessUsage> usage = io::UsageOf(pid);
    if (!usage) continue;
    rss_bytes += usage->rss_bytes;
    cpu_s += usage->cpu.seconds();
  }
  rss_bytes_ = rss_bytes;
  cpu_s_ = std::max(cpu_s_, cpu_s);
}

Status LocalRank::Stop(Duration grace) {
  stop_asked_ = true;
  if (ended() || (grace_ && *grace_ <= grace)) return {};
  TRY(io::WriteFileAtomically(dir_ + "/stop", wire::ToText(StopRequest{grace})));
  grace_ = grace;
  if (shim_) (void)io::SignalProcess(*shim_, SIGUSR1);  // to look at once
  return {};
}

}  // namespace weir::control
