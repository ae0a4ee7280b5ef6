#include "io/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "base/check.h"
#include "io/clock.h"
#include "io/files.h"

namespace weir::io {
namespace {

constexpr int64_t kMaxProcFile = 4 << 20;

// What we need of /proc/PID/stat. Its second field is the program's name in parentheses, which may
// itself hold spaces and parentheses: the fields are counted from the last ')'.
struct Stat {
  char state = '?';
  pid_t parent = 0;
  uint64_t cpu_ticks = 0;
  uint64_t start_ticks = 0;
};

std::optional<Stat> ReadStat(pid_t pid) {
  const Result<std::string> text = ReadFile(fmt::format("/proc/{}/stat", pid), kMaxProcFile);
  if (!text) return std::nullopt;
  size_t at = text->rfind(')');
  if (at == std::string::npos) return std::nullopt;
  std::vector<std::string_view> fields;  // fields[0] is field 3 of proc(5)
  const std::string_view rest = std::string_view(*text).substr(at + 1);
  for (size_t begin = 0; begin < rest.size();) {
    const size_t end = std::min(rest.find_first_of(" \n", begin), rest.size());
    if (end > begin) fields.push_back(rest.substr(begin, end - begin));
    begin = end + 1;
  }
  if (fields.size() < 20) return std::nullopt;
  const auto number = [&](size_t field) {
    uint64_t value = 0;
    const std::string_view digits = fields[field - 3];
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
  };
  return Stat{fields[0][0], static_cast<pid_t>(number(4)), number(14) + number(15), number(22)};
}

bool Lives(const Stat& stat) { return stat.state != 'Z' && stat.state != 'X'; }

std::vector<pid_t> AllPids() {
  std::vector<pid_t> pids;
  DIR* dir = ::opendir("/proc");
  if (dir == nullptr) return pids;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view name = entry->d_name;
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec == std::errc() && parsed.ptr == name.data() + name.size()) pids.push_back(pid);
  }
  ::closedir(dir);
  std::sort(pids.begin(), pids.end());
  return pids;
}

std::vector<pid_t> PidsIn(std::string_view text) {
  std::vector<pid_t> pids;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    pid_t pid = 0;
    if (std::from_chars(text.data() + begin, text.data() + end, pid).ec == std::errc()) {
      pids.push_back(pid);
    }
    begin = end + 1;
  }
  return pids;
}

// The direct children of a process; nullopt where the kernel does not list them.
std::optional<std::vector<pid_t>> ChildrenOf(pid_t pid) {
  const std::string tasks = fmt::format("/proc/{}/task", pid);
  const Result<std::vector<DirEntry>> threads = ListDir(tasks);
  if (!threads) return std::vector<pid_t>{};  // gone: its children have another parent now
  std::vector<pid_t> children;
  for (const DirEntry& thread : *threads) {
    const auto text = ReadFile(tasks + "/" + thread.name + "/children", kMaxProcFile);
    if (!text && FileExists(tasks + "/" + thread.name)) return std::nullopt;
    if (!text) continue;
    for (const pid_t child : PidsIn(*text)) children.push_back(child);
  }
  return children;
}

enum class Step : int {
  kSession,
  kAffinity,
  kNice,
  kLimit,
  kCgroup,
  kFolder,
  kStreams,
  kExec,
};
struct ChildFailure {
  Step step;
  int error_number;
};

// Everything that the child needs, made before the fork: after it, no memory may be asked for.
struct Prepared {
  std::string program;
  std::vector<char*> argv;
  std::vector<std::string> env_text;
  std::vector<char*> env;
  cpu_set_t cores;
  std::string cgroup_procs;
  std::string oom_text;
};

void WriteSmall(const char* path, const char* text, size_t size, int* error_number) {
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  *error_number = 0;
  if (fd < 0 || ::write(fd, text, size) < 0) *error_number = errno;
  if (fd >= 0) ::close(fd);
}

[[noreturn]] void RunChild(const SpawnSpec& spec, const Prepared& ready, pid_t parent, int gate_fd,
                           int error_fd, int null_fd) {
  const auto fail = [&](Step step) {
    const ChildFailure failure{step, errno};
    (void)!::write(error_fd, &failure, sizeof failure);
    ::_exit(127);
  };
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (spec.die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // it died before the line above
  }
  if (spec.group == SpawnSpec::Group::kOwn && ::setpgid(0, 0) != 0) fail(Step::kSession);
  if (spec.group == SpawnSpec::Group::kSession && ::setsid() < 0) fail(Step::kSession);
  int error_number = 0;
  if (!ready.cgroup_procs.empty()) {
    WriteSmall(ready.cgroup_procs.c_str(), "0", 1, &error_number);
    errno = error_number;
    if (error_number != 0) fail(Step::kCgroup);
  }
  if (!spec.cores.empty() && ::sched_setaffinity(0, sizeof ready.cores, &ready.cores) != 0) {
    fail(Step::kAffinity);
  }
  if (spec.nice != 0) {
    errno = 0;
    if (::nice(spec.nice) == -1 && errno != 0) fail(Step::kNice);
  }
  if (!ready.oom_text.empty()) {  // advice: not being allowed to give it is no reason to stop
    WriteSmall("/proc/self/oom_score_adj", ready.oom_text.data(), ready.oom_text.size(),
               &error_number);
  }
  if (spec.max_address_space_bytes) {
    const auto bytes = static_cast<rlim_t>(*spec.max_address_space_bytes);
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) fail(Step::kLimit);
  }
  if (!spec.cwd.empty() && ::chdir(spec.cwd.c_str()) != 0) fail(Step::kFolder);
  if (::dup2(null_fd, 0) < 0 || ::dup2(spec.stdout_fd >= 0 ? spec.stdout_fd : null_fd, 1) < 0 ||
      ::dup2(spec.stderr_fd >= 0 ? spec.stderr_fd : null_fd, 2) < 0) {
    fail(Step::kStreams);
  }
  // Whatever else is open in this program is not for the command.
  ::syscall(SYS_close_range, 3u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */);
  if (gate_fd >= 0) {
    char byte = 0;
    ssize_t n = 0;
    do n = ::read(gate_fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1) ::_exit(127);  // the parent is gone, or thought better of it
  }
  ::execve(ready.program.c_str(), ready.argv.data(), ready.env.data());
  fail(Step::kExec);
  ::_exit(127);
}

Result<std::string> FindProgram(const SpawnSpec& spec) {
  const std::string& name = spec.argv[0];
  const auto runnable = [&](const std::string& path) {
    // A relative path is meant from the folder that the command starts in.
    const std::string from_here =
        path.front() == '/' || spec.cwd.empty() ? path : spec.cwd + "/" + path;
    return ::access(from_here.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) {
    if (runnable(name)) return name;
    return ErrnoError(errno, "cannot run", name);
  }
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const auto& [key, value] : spec.env) {
    if (key == "PATH") path = value;
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const std::string candidate = std::string(path.substr(begin, end - begin)) + "/" + name;
    if (end > begin && runnable(candidate)) return candidate;
    begin = end + 1;
  }
  return Error(Code::kNotFound, fmt::format("cannot run {}: not found in PATH={}", name, path))
      .Hint("install it, or give its whole path");
}

// Above the standard streams, so that setting those up in the child does not run over it.
int LiftFd(int fd) {
  if (fd < 0 || fd > 2) return fd;
  const int lifted = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  ::close(fd);
  return lifted;
}

Error FailureOf(const ChildFailure& failure, const SpawnSpec& spec) {
  const int e = failure.error_number;
  switch (failure.step) {
    case Step::kSession:
      return ErrnoError(e, "cannot make a process group for", spec.argv[0]);
    case Step::kAffinity:
      return ErrnoError(e, "cannot set the cores of", spec.argv[0]);
    case Step::kNice:
      return ErrnoError(e, "cannot set the priority of", spec.argv[0]);
    case Step::kLimit:
      return ErrnoError(e, "cannot limit the memory of", spec.argv[0]);
    case Step::kCgroup:
      return ErrnoError(e, "cannot enter", spec.cgroup);
    case Step::kFolder:
      return ErrnoError(e, "cannot start in the folder", spec.cwd);
    case Step::kStreams:
      return ErrnoError(e, "cannot connect the output of", spec.argv[0]);
    case Step::kExec:
      break;
  }
  return ErrnoError(e, "cannot run", spec.argv[0]);
}

}  // namespace

const std::string& BootId() {
  static const std::string id = [] {
    std::string text = ReadFile("/proc/sys/kernel/random/boot_id", 256).value_or("unknown");
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }();
  return id;
}

Result<ProcessId> IdentityOf(pid_t pid) {
  const std::optional<Stat> stat = ReadStat(pid);
  if (!stat) return Error(Code::kNotFound, fmt::format("no process {} is running", pid));
  return ProcessId{pid, stat->start_ticks, BootId()};
}

ProcessId OwnIdentity() { return *IdentityOf(::getpid()); }

bool IsAlive(const ProcessId& id) {
  if (id.pid <= 0 || id.boot_id != BootId()) return false;
  const std::optional<Stat> stat = ReadStat(id.pid);
  return stat && stat->start_ticks == id.start_ticks && Lives(*stat);
}

Status SignalProcess(const ProcessId& id, int signal) {
  const Error gone(Code::kNotFound, fmt::format("process {} is gone", id.pid));
  if (id.pid <= 0) return gone;
  const int fd = static_cast<int>(::syscall(SYS_pidfd_open, id.pid, 0u));
  if (fd < 0 && errno == ESRCH) return gone;
  if (fd < 0) return ErrnoError(errno, "cannot signal process", std::to_string(id.pid));
  // fd now names one process for ever; is it the right one?
  Status sent;
  if (!IsAlive(id)) {
    sent = gone;
  } else if (::syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0u) != 0) {
    sent =
        errno == ESRCH ? gone : ErrnoError(errno, "cannot signal process", std::to_string(id.pid));
  }
  ::close(fd);
  return sent;
}

Status SignalGroup(const ProcessId& id, int signal) {
  const Error gone(Code::kNotFound, fmt::format("process group {} is gone", id.pid));
  if (id.pid <= 1 || id.boot_id != BootId()) return gone;
  // A leader that has ended but not been waited for still keeps its number, and its group may live.
  const std::optional<Stat> stat = ReadStat(id.pid);
  if (!stat || stat->start_ticks != id.start_ticks) return gone;
  if (::kill(-id.pid, signal) == 0) return {};
  if (errno == ESRCH) return gone;
  return ErrnoError(errno, "cannot signal process group", std::to_string(id.pid));
}

Child::Child(ProcessId id, SpawnSpec spec, int gate_fd, int error_fd)
    : id_(std::move(id)), spec_(std::move(spec)), gate_fd_(gate_fd), error_fd_(error_fd) {}

Child::Child(Child&& other) noexcept
    : id_(std::move(other.id_)),
      spec_(std::move(other.spec_)),
      gate_fd_(std::exchange(other.gate_fd_, -1)),
      error_fd_(std::exchange(other.error_fd_, -1)) {}

Child::~Child() {
  if (gate_fd_ >= 0) {
    ::close(gate_fd_);
    (void)Wait(id_.pid);
  }
  if (error_fd_ >= 0) ::close(error_fd_);
}

Status Child::Release() {
  CHECK(error_fd_ >= 0);
  if (gate_fd_ >= 0) {
    (void)!::write(gate_fd_, "g", 1);
    ::close(std::exchange(gate_fd_, -1));
  }
  ChildFailure failure{};
  ssize_t n = 0;
  do n = ::read(error_fd_, &failure, sizeof failure);
  while (n < 0 && errno == EINTR);
  ::close(std::exchange(error_fd_, -1));
  if (n != sizeof failure) return {};  // exec closed the pipe: it runs
  (void)Wait(id_.pid);
  return FailureOf(failure, spec_);
}

Result<Child> Spawn(const SpawnSpec& spec) {
  if (spec.argv.empty() || spec.argv[0].empty()) {
    return Error(Code::kInvalidArgument, "a command is needed, and none was given");
  }
  Prepared ready;
  ready.program = TRY(FindProgram(spec));
  for (const std::string& arg : spec.argv) ready.argv.push_back(const_cast<char*>(arg.c_str()));
  ready.argv.push_back(nullptr);
  for (const auto& [name, value] : spec.env) ready.env_text.push_back(name + "=" + value);
  for (std::string& text : ready.env_text) ready.env.push_back(text.data());
  ready.env.push_back(nullptr);
  CPU_ZERO(&ready.cores);
  for (const int core : spec.cores) {
    if (core < 0 || core >= CPU_SETSIZE) {
      return Error(Code::kInvalidArgument, fmt::format("there is no core {}", core));
    }
    CPU_SET(static_cast<size_t>(core), &ready.cores);
  }
  if (!spec.cgroup.empty()) ready.cgroup_procs = spec.cgroup + "/cgroup.procs";
  if (spec.oom_score_adj) ready.oom_text = std::to_string(*spec.oom_score_adj);

  std::array<int, 2> error_pipe{-1, -1};
  std::array<int, 2> gate_pipe{-1, -1};
  const int null_fd = LiftFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const bool have_pipes = null_fd >= 0 && ::pipe2(error_pipe.data(), O_CLOEXEC) == 0 &&
                          (!spec.gated || ::pipe2(gate_pipe.data(), O_CLOEXEC) == 0);
  for (int* fd : {&error_pipe[0], &error_pipe[1], &gate_pipe[0], &gate_pipe[1]}) *fd = LiftFd(*fd);
  const auto close_all = [&](std::initializer_list<int> fds) {
    for (const int fd : fds) {
      if (fd >= 0) ::close(fd);
    }
  };
  const pid_t parent = ::getpid();
  const pid_t pid = have_pipes ? ::fork() : -1;
  const int fork_error = errno;
  if (pid == 0) {
    // The child's copy of the gate's other end would keep the gate open for ever.
    if (gate_pipe[1] >= 0) ::close(gate_pipe[1]);
    RunChild(spec, ready, parent, gate_pipe[0], error_pipe[1], null_fd);
  }
  close_all({null_fd, error_pipe[1], gate_pipe[0]});
  if (pid < 0) {
    close_all({error_pipe[0], gate_pipe[1]});
    return ErrnoError(fork_error, "cannot start", spec.argv[0]);
  }
  // Our own child, not waited for: its number cannot have gone to another.
  Child child(TRY(IdentityOf(pid)), spec, gate_pipe[1], error_pipe[0]);
  if (!spec.gated) TRY(child.Release());
  return child;
}

namespace {
ExitStatus StatusOf(int raw) {
  if (WIFSIGNALED(raw)) return {.signal = WTERMSIG(raw)};
  return {.code = WEXITSTATUS(raw)};
}
}  // namespace

Result<ExitStatus> Wait(pid_t pid) {
  int raw = 0;
  pid_t got = 0;
  do got = ::waitpid(pid, &raw, 0);
  while (got < 0 && errno == EINTR);
  if (got < 0) return ErrnoError(errno, "cannot wait for process", std::to_string(pid));
  return StatusOf(raw);
}

Result<std::optional<ExitStatus>> TryWait(pid_t pid) {
  int raw = 0;
  const pid_t got = ::waitpid(pid, &raw, WNOHANG);
  if (got < 0) return ErrnoError(errno, "cannot wait for process", std::to_string(pid));
  if (got == 0) return {std::nullopt};
  return {StatusOf(raw)};
}

bool WaitUntil(Duration timeout, const std::function<bool()>& done) {
  const RealClock clock;
  const Duration end = clock.Monotonic() + timeout;
  while (!done()) {
    if (clock.Monotonic() >= end) return done();
    const timespec pause{0, 2'000'000};
    ::nanosleep(&pause, nullptr);
  }
  return true;
}

Result<ProcessUsage> UsageOf(pid_t pid) {
  const std::optional<Stat> stat = ReadStat(pid);
  const auto status = ReadFile(fmt::format("/proc/{}/status", pid), kMaxProcFile);
  if (!stat || !status) return Error(Code::kNotFound, fmt::format("process {} is gone", pid));
  ProcessUsage usage;
  for (const std::string_view field : {"RssAnon:", "RssShmem:"}) {
    const size_t at = status->find(field);
    if (at == std::string::npos) continue;  // a kernel thread, or a zombie
    const size_t digits = status->find_first_of("0123456789", at);
    int64_t kib = 0;
    std::from_chars(status->data() + digits, status->data() + status->size(), kib);
    usage.rss_bytes += kib * 1024;
  }
  usage.cpu = {static_cast<int64_t>(stat->cpu_ticks) * 1'000'000 / ::sysconf(_SC_CLK_TCK)};
  return usage;
}

int64_t OpenFileCount() {
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int64_t n = 0;
  while (::readdir(folder) != nullptr) ++n;
  ::closedir(folder);
  return n - 3;  // ".", ".." and the listing's own
}

std::vector<pid_t> DescendantsOf(pid_t pid) {
  std::vector<pid_t> found;
  std::vector<pid_t> todo = {pid};
  bool listed = true;
  while (!todo.empty() && listed) {
    const pid_t next = todo.back();
    todo.pop_back();
    const auto children = ChildrenOf(next);
    listed = children.has_value();
    if (!listed) break;
    for (const pid_t child : *children) {
      const auto stat = ReadStat(child);
      if (stat && Lives(*stat)) found.push_back(child);
      todo.push_back(child);
    }
  }
  if (!listed) {  // a kernel without those lists: everybody says who its parent is
    found.clear();
    std::map<pid_t, pid_t> parent_of;
    for (const pid_t candidate : AllPids()) {
      const auto stat = ReadStat(candidate);
      if (stat && Lives(*stat)) parent_of[candidate] = stat->parent;
    }
    for (const auto& [candidate, its_parent] : parent_of) {
      pid_t above = its_parent;
      while (above != pid && parent_of.contains(above)) above = parent_of[above];
      if (above == pid) found.push_back(candidate);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<pid_t> ProcessesWithEnv(std::string_view name, std::string_view value) {
  const std::string wanted = fmt::format("{}={}", name, value) + '\0';
  std::vector<pid_t> found;
  for (const pid_t pid : AllPids()) {
    const auto env = ReadFile(fmt::format("/proc/{}/environ", pid), kMaxProcFile);
    if (!env) continue;  // gone, or not ours to look at
    for (size_t at = env->find(wanted); at != std::string::npos; at = env->find(wanted, at + 1)) {
      if (at == 0 || (*env)[at - 1] == '\0') {
        found.push_back(pid);
        break;
      }
    }
  }
  return found;
}

Result<std::string> OwnProgramPath() {
  std::array<char, 4096> path{};
  const ssize_t n = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (n < 0) return ErrnoError(errno, "cannot read", "/proc/self/exe");
  return std::string(path.data(), static_cast<size_t>(n));
}

}  // namespace weir::io
