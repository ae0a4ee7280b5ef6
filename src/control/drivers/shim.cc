#include "control/drivers/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "base/logging.h"
#include "control/drivers/run_files.h"
#include "control/drivers/run_log.h"
#include "io/cgroup.h"
#include "io/clock.h"
#include "io/files.h"

namespace weir::control {
namespace {

// A stop file comes with a signal; the tick is for the signal that was lost in a race.
constexpr Duration kTick = Duration::Millis(500);
constexpr Duration kMemoryTick = Duration::Millis(100);
constexpr Duration kMemoryTickNearLimit = Duration::Millis(25);
constexpr int kPipeBytes = 64 << 10;
constexpr int kMaxReadsPerTurn = 16;  // a flood of output must not keep a stop waiting
constexpr int kExitTimeLimit = 124;   // as timeout(1) says it
constexpr int kExitMemoryLimit = 128 + SIGKILL;
// exit.json is worth waiting for: a full disk may be freed.
constexpr int kExitWriteTries = 120;
constexpr Duration kExitWritePause = Duration::Seconds(1);

class Shim {
 public:
  Shim(std::string dir, ShimSpec spec)
      : dir_(std::move(dir)),
        spec_(std::move(spec)),
        log_(spec_.log_path, {spec_.log_file_bytes, spec_.log_files}) {}

  int Run() {
    TakeSignals();
    const Status started = Start();
    if (!started) {
      EndWithoutStart(started.error());
    } else {
      while (!command_ended_) Turn();
      KillStragglers();
      Drain();
      Describe();
    }
    exit_.started = started_;
    exit_.ended = clock_.Now();
    exit_.last_lines = log_.last_lines().Get();
    exit_.log_bytes_dropped = log_.dropped_bytes();
    const int status = WriteExit();
    RemoveCgroup();
    return status;
  }

 private:
  // ---- start ----

  void TakeSignals() {
    sigset_t taken;
    sigemptyset(&taken);
    for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&taken, signal);
    CHECK(::sigprocmask(SIG_BLOCK, &taken, nullptr) == 0);
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGXFSZ, SIG_IGN);
    signal_fd_ = ::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    CHECK(signal_fd_ >= 0);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_NAME, "weir-shim");
  }

  Status WriteState() { return io::WriteFileDurably(dir_ + "/state.json", wire::ToText(state_)); }

  Status Start() {
    state_.shim = FileProcessId(io::OwnIdentity());
    TRY(WriteState());
    std::string cgroup;
    if (!spec_.cgroup_root.empty()) {
      auto made = io::MakeCgroup(spec_.cgroup_root, fmt::format("{}-{}", spec_.run_id, spec_.rank),
                                 {spec_.core_time, spec_.memory_limit_bytes});
      if (made) cgroup_ = *made;
    }
    watch_memory_ = spec_.memory_limit_bytes > 0 && cgroup_.empty();
    state_.memory_held_by = spec_.memory_limit_bytes == 0 ? "nothing"
                            : cgroup_.empty()             ? "watching its memory"
                                                          : "cgroup v2 memory.max";
    std::array<int, 2> pipe{};
    if (::pipe2(pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
      return io::ErrnoError(errno, "cannot make a pipe for", dir_);
    }
    pipe_fd_ = pipe[0];
    // The writing end is the command's own: blocking, as it expects.
    ::fcntl(pipe[1], F_SETFL, 0);
    io::SpawnSpec spawn;
    spawn.argv = spec_.argv;
    spawn.env.assign(spec_.env.begin(), spec_.env.end());
    spawn.cwd = spec_.cwd;
    spawn.stdout_fd = pipe[1];
    spawn.stderr_fd = pipe[1];
    spawn.cores.assign(spec_.cores.begin(), spec_.cores.end());
    spawn.nice = static_cast<int>(spec_.nice);
    spawn.oom_score_adj = 500;  // when memory runs out, the command goes before the control plane
    spawn.die_with_parent = true;
    spawn.cgroup = cgroup_;
    spawn.gated = true;
    Result<io::Child> child = io::Spawn(spawn);
    ::close(pipe[1]);
    if (!child) return std::move(child).error();
    command_ = child->id();
    started_ = clock_.Now();
    started_at_ = clock_.Monotonic();
    state_.phase = ShimPhase::kRunning;
    state_.command = FileProcessId(command_);
    state_.started = started_;
    TRY(WriteState());
    return child->Release();
  }

  void EndWithoutStart(const Error& error) {
    exit_.cause = EndCause::kCannotStart;
    exit_.exit_code = error.code() == Code::kNotFound ? 127 : 126;
    exit_.reason = error.message();
    started_ = clock_.Now();
    log_.Write("weir: " + error.ToString() + "\n");
  }

  // ---- run ----

  void Turn() {
    std::array<pollfd, 2> fds = {pollfd{signal_fd_, POLLIN, 0}, pollfd{pipe_fd_, POLLIN, 0}};
    const Duration now = clock_.Monotonic();
    Duration wait = watch_memory_ ? memory_tick_ : kTick;
    if (kill_at_) wait = std::min(wait, *kill_at_ - now);
    if (spec_.time_limit.us > 0 && !timed_out_) {
      wait = std::min(wait, started_at_ + spec_.time_limit - now);
    }
    const auto wait_ms = static_cast<int>(std::clamp<int64_t>(wait.us / 1000 + 1, 0, 60'000));
    ::poll(fds.data(), pipe_fd_ >= 0 ? 2 : 1, wait_ms);
    if (pipe_fd_ >= 0 && fds[1].revents != 0) Pump(kMaxReadsPerTurn);
    signalfd_siginfo signal{};
    while (::read(signal_fd_, &signal, sizeof signal) == sizeof signal) {
      if (signal.ssi_signo == SIGTERM || signal.ssi_signo == SIGINT) terminated_ = true;
    }
    ReadStopFile();
    CheckLimits();
    if (kill_at_ && clock_.Monotonic() >= *kill_at_ && !killed_) {
      killed_ = true;
      exit_.cause = timed_out_ ? EndCause::kTimeLimit : EndCause::kKilledAfterGrace;
      KillAll();
    }
    Reap();
  }

  void Pump(int reads) {
    std::array<char, kPipeBytes> buffer;
    for (; reads != 0; --reads) {
      const ssize_t n = ::read(pipe_fd_, buffer.data(), buffer.size());
      if (n > 0) {
        log_.Write({buffer.data(), static_cast<size_t>(n)});
        continue;
      }
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      ::close(std::exchange(pipe_fd_, -1));  // every writer has closed it
      return;
    }
  }

  void ReadStopFile() {
    std::optional<Duration> grace;
    if (terminated_ && !stop_sent_) grace = spec_.grace;
    Result<std::string> text = io::ReadFile(dir_ + "/stop", kMaxRunFileBytes);
    if (text && *text != stop_text_) {
      stop_text_ = *text;
      const Result<StopRequest> request = wire::FromText<StopRequest>(*text);
      // One that cannot be read still says stop.
      grace = request ? request->grace : spec_.grace;
    }
    if (grace) Stop(*grace);
  }

  void Stop(Duration grace) {
    const Duration deadline = clock_.Monotonic() + std::max(grace, Duration{});
    kill_at_ = kill_at_ ? std::min(*kill_at_, deadline) : deadline;
    if (std::exchange(stop_sent_, true)) return;
    (void)io::SignalGroup(command_, SIGTERM);
    (void)io::SignalGroup(command_, SIGCONT);  // a stopped process cannot act on SIGTERM
  }

  void CheckLimits() {
    const Duration now = clock_.Monotonic();
    if (spec_.time_limit.us > 0 && !timed_out_ && now >= started_at_ + spec_.time_limit) {
      timed_out_ = true;
      Stop(spec_.grace);
    }
    if (!watch_memory_ || killed_ || now < sample_at_) return;
    int64_t bytes = 0;
    for (const pid_t pid : io::DescendantsOf(::getpid())) {
      const Result<io::ProcessUsage> usage = io::UsageOf(pid);
      if (usage) bytes += usage->rss_bytes;
    }
    exit_.max_rss_bytes = std::max(exit_.max_rss_bytes, bytes);
    memory_tick_ = bytes > spec_.memory_limit_bytes / 10 * 6 ? kMemoryTickNearLimit : kMemoryTick;
    sample_at_ = now + memory_tick_;
    if (bytes <= spec_.memory_limit_bytes) return;
    killed_ = true;
    exit_.cause = EndCause::kMemoryLimit;
    KillAll();
  }

  void KillAll() {
    (void)io::SignalGroup(command_, SIGKILL);
    for (const pid_t pid : io::DescendantsOf(::getpid())) ::kill(pid, SIGKILL);
  }

  // Adopted orphans are reaped as they end. The command itself is looked at first and reaped only
  // after its group has been killed: until then nobody else can have its number.
  void Reap() {
    for (;;) {
      siginfo_t info{};
      if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
      if (info.si_pid == command_.pid) {
        (void)io::SignalGroup(command_, SIGKILL);  // the rest of it
        command_ended_ = true;
      }
      int status = 0;
      rusage usage{};
      if (::wait4(info.si_pid, &status, 0, &usage) != info.si_pid) return;
      Account(usage);
      if (info.si_pid == command_.pid) {
        command_status_ = status;
        return;
      }
    }
  }

  void Account(const rusage& usage) {
    // ru_maxrss counts file mappings too, which nobody is charged for; it is what there is when
    // memory was not watched.
    if (!watch_memory_) {
      exit_.max_rss_bytes = std::max(exit_.max_rss_bytes, int64_t{usage.ru_maxrss} * 1024);
    }
    const auto micros = [](const timeval& t) { return int64_t{t.tv_sec} * 1'000'000 + t.tv_usec; };
    exit_.cpu = exit_.cpu + Duration{micros(usage.ru_utime) + micros(usage.ru_stime)};
  }

  // ---- end ----

  // Everything below us goes, however it tried to get away; killing a parent gives us its children.
  void KillStragglers() {
    for (;;) {
      KillAllDescendants();
      int status = 0;
      rusage usage{};
      const pid_t pid = ::wait4(-1, &status, 0, &usage);
      if (pid > 0) {
        Account(usage);
      } else if (errno != EINTR) {
        return;  // ECHILD: nobody is left
      }
    }
  }
  void KillAllDescendants() {
    for (const pid_t pid : io::DescendantsOf(::getpid())) ::kill(pid, SIGKILL);
  }

  // What the command had written before it ended. Nobody writes any more, so this ends.
  void Drain() {
    if (pipe_fd_ >= 0) Pump(-1);
  }

  void Describe() {
    const bool signalled = WIFSIGNALED(command_status_);
    exit_.exit_code = signalled ? 128 + WTERMSIG(command_status_) : WEXITSTATUS(command_status_);
    if (!cgroup_.empty() && signalled && WTERMSIG(command_status_) == SIGKILL &&
        exit_.cause == EndCause::kExit && io::OomKillsIn(cgroup_) > 0) {
      exit_.cause = EndCause::kMemoryLimit;
    }
    if (exit_.cause == EndCause::kExit && timed_out_) exit_.cause = EndCause::kTimeLimit;
    if (exit_.cause == EndCause::kExit && signalled) exit_.cause = EndCause::kSignal;
    switch (exit_.cause) {
      case EndCause::kMemoryLimit:
        exit_.exit_code = kExitMemoryLimit;
        exit_.reason = fmt::format("memory limit {}", HumanBytes(spec_.memory_limit_bytes));
        break;
      case EndCause::kTimeLimit:
        exit_.exit_code = kExitTimeLimit;
        exit_.reason = fmt::format("time limit {}", Human(spec_.time_limit));
        break;
      case EndCause::kKilledAfterGrace:
        exit_.reason = "killed after grace";
        break;
      case EndCause::kSignal:
        exit_.reason = fmt::format("signal {}", WTERMSIG(command_status_));
        break;
      default:
        exit_.reason = fmt::format("exit {}", exit_.exit_code);
    }
  }

  int WriteExit() {
    for (int left = kExitWriteTries; left > 0; --left) {
      const Status written = io::WriteFileDurably(dir_ + "/exit.json", wire::ToText(exit_));
      if (written) return 0;
      if (left == kExitWriteTries) log::error("{}", written.error().ToString());
      if (!io::FileExists(dir_)) return 2;  // the run was forgotten: nobody wants to know
      ::poll(nullptr, 0, static_cast<int>(kExitWritePause.millis()));
    }
    return 2;
  }

  void RemoveCgroup() {
    if (cgroup_.empty()) return;
    (void)io::WaitUntil(Duration::Seconds(1),
                        [&] { return io::RemoveCgroup(cgroup_).has_value(); });
  }

  const std::string dir_;
  const ShimSpec spec_;
  const io::RealClock clock_;
  RunLog log_;
  ShimState state_;
  ShimExit exit_;
  std::string cgroup_;  // empty: none
  int signal_fd_ = -1;
  int pipe_fd_ = -1;
  io::ProcessId command_;
  Time started_;
  Duration started_at_;
  Duration sample_at_;
  Duration memory_tick_ = kMemoryTick;
  bool watch_memory_ = false;
  bool terminated_ = false;  // the shim itself was told to go
  bool timed_out_ = false;
  bool stop_sent_ = false;
  bool killed_ = false;
  std::string stop_text_;            // of the newest stop file acted on
  std::optional<Duration> kill_at_;  // on the monotonic clock
  bool command_ended_ = false;
  int command_status_ = 0;  // as wait(2) gives it
};

}  // namespace

int RunShim(const std::string& dir) {
  const Result<io::FileLock> lock = io::FileLock::Acquire(dir + "/lock");
  if (!lock && lock.error().code() == Code::kFailedPrecondition) return 1;
  if (!lock) {
    log::error("{}", lock.error().ToString());
    return 2;
  }
  if (io::FileExists(dir + "/exit.json")) return 0;
  const Result<ShimState> state = ReadRunFile<ShimState>(dir + "/state.json");
  // "starting": the shim before us died before it let the command go. Anything else, even a file
  // that cannot be read, may have run.
  const bool untouched = !state && state.error().code() == Code::kNotFound;
  if (!untouched && !(state && state->phase == ShimPhase::kStarting)) return 1;
  Result<ShimSpec> spec = ReadRunFile<ShimSpec>(dir + "/spec.json");
  if (!spec) {
    log::error("{}", spec.error().ToString());
    return 2;
  }
  return Shim(dir, *std::move(spec)).Run();
}

}  // namespace weir::control
