// Processes: start one with everything set, know it again after a restart, signal, measure.
//
// Identity  a pid is reused; (boot id, pid, start time in clock ticks) is not. Whatever outlives
//           this process on disk stores a ProcessId and asks IsAlive before it signals.
// Threads   any. Spawn forks; between fork and exec the child makes system calls only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace weir::io {

struct ProcessId {
  pid_t pid = 0;
  uint64_t start_ticks = 0;  // field 22 of /proc/PID/stat
  std::string boot_id;       // /proc/sys/kernel/random/boot_id
  bool operator==(const ProcessId&) const = default;
};
// kNotFound if there is no such process.
Result<ProcessId> IdentityOf(pid_t pid);
ProcessId OwnIdentity();
const std::string& BootId();
// Whether exactly this process still runs. A zombie does not.
bool IsAlive(const ProcessId& id);
// Signals exactly this process (through a pidfd, so never a successor of its pid). kNotFound: gone.
Status SignalProcess(const ProcessId& id, int signal);
// Signals the process group that id leads; id itself may be a zombie. kNotFound: gone.
Status SignalGroup(const ProcessId& id, int signal);

struct SpawnSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of env if it has no '/'
  std::vector<std::pair<std::string, std::string>> env;  // the whole environment, nothing inherited
  std::string cwd;                                       // empty: ours
  int stdout_fd = -1;                                    // -1: /dev/null. Borrowed.
  int stderr_fd = -1;
  enum class Group { kOwn, kSession, kInherit } group = Group::kOwn;
  std::vector<int> cores;                          // affinity; empty: ours
  int nice = 0;                                    // added to ours
  std::optional<int64_t> max_address_space_bytes;  // RLIMIT_AS
  std::optional<int> oom_score_adj;
  bool die_with_parent = false;  // SIGKILL when the *thread* that spawned it ends
  std::string cgroup;            // folder whose cgroup.procs it enters before exec; empty: ours
  // The child waits before exec until Child::Release; if this process dies first, it exits unrun.
  bool gated = false;
};

// A started child. Not waiting for it leaves a zombie until we exit.
class Child {
 public:
  Child(Child&&) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();  // closes the gate unopened if it was not opened: the child then ends without exec
  const ProcessId& id() const { return id_; }
  // For a gated child: lets it exec. The error of exec itself ("no such file", "permission
  // denied") with argv[0] in it.
  Status Release();

 private:
  friend Result<Child> Spawn(const SpawnSpec& spec);
  Child(ProcessId id, SpawnSpec spec, int gate_fd, int error_fd);
  ProcessId id_;
  SpawnSpec spec_;  // for the words of an error
  int gate_fd_;
  int error_fd_;
};
// Ungated: returns after exec succeeded, or its error.
Result<Child> Spawn(const SpawnSpec& spec);

struct ExitStatus {
  int code = 0;    // meaningful if signal == 0
  int signal = 0;  // the signal that ended it
};
// Waits for our own child. TryWait: nullopt while it runs.
Result<ExitStatus> Wait(pid_t pid);
Result<std::optional<ExitStatus>> TryWait(pid_t pid);

// Wait for a condition that another process brings about: polls `done` every few milliseconds.
bool WaitUntil(Duration timeout, const std::function<bool()>& done);

struct ProcessUsage {
  int64_t rss_bytes = 0;  // anonymous and shared memory; file mappings are not counted
  Duration cpu;           // user and system
};
Result<ProcessUsage> UsageOf(pid_t pid);
int64_t OpenFileCount();  // of this process
// All living processes below pid (children, theirs, ...), not pid itself.
std::vector<pid_t> DescendantsOf(pid_t pid);
// Living processes whose initial environment holds exactly name=value.
std::vector<pid_t> ProcessesWithEnv(std::string_view name, std::string_view value);

// This program's own file, to start itself again.
Result<std::string> OwnProgramPath();

}  // namespace weir::io
