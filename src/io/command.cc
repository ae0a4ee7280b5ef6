#include "io/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "io/clock.h"
#include "io/files.h"
#include "io/process.h"

namespace weir::io {
namespace {

constexpr int kPollMs = 20;
// For the end of a command whose output is all there, and for output that its children still hold.
constexpr Duration kLastWords = Duration::Seconds(2);

struct Pipe {
  int read = -1, write = -1;
  ~Pipe() {
    CloseWrite();
    if (read >= 0) close(read);
  }
  Status Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError(errno, "cannot make", "a pipe");
    read = ends[0];
    write = ends[1];
    fcntl(read, F_SETFL, O_NONBLOCK);
    return {};
  }
  void CloseWrite() {
    if (write >= 0) close(write);
    write = -1;
  }
  // Takes what is there; true at the end of the stream.
  bool Drain(std::string& into, size_t most) {
    char buffer[16 << 10];
    while (true) {
      const ssize_t n = ::read(read, buffer, sizeof buffer);
      if (n > 0) {
        // One byte over the bound is kept, so that the caller sees that there was more.
        into.append(buffer,
                    std::min(static_cast<size_t>(n), most + 1 - std::min(most + 1, into.size())));
        continue;
      }
      if (n == 0) return true;
      if (errno == EINTR) continue;
      return errno != EAGAIN && errno != EWOULDBLOCK;
    }
  }
};

}  // namespace

Result<CommandOutput> RunCommand(const CommandSpec& spec, const Interruption* interruption) {
  Pipe out, err;
  TRY(out.Open());
  TRY(err.Open());
  SpawnSpec spawn;
  spawn.argv = spec.argv;
  spawn.env = spec.env;
  spawn.stdout_fd = out.write;
  spawn.stderr_fd = err.write;
  const Child child = TRY(Spawn(spawn));
  out.CloseWrite();
  err.CloseWrite();

  const RealClock clock;
  const Duration began = clock.Monotonic();
  const pid_t pid = child.id().pid;
  std::optional<ExitStatus> exit;
  std::optional<Error> failure;
  Duration ended = {};
  CommandOutput output;
  bool out_done = false, err_done = false;
  while (!exit || !out_done || !err_done) {
    pollfd fds[2] = {{out_done ? -1 : out.read, POLLIN, 0}, {err_done ? -1 : err.read, POLLIN, 0}};
    poll(fds, 2, out_done && err_done ? 1 : kPollMs);
    if (!out_done) out_done = out.Drain(output.out, spec.max_output_bytes);
    if (!err_done) err_done = err.Drain(output.err, spec.max_output_bytes);
    if (!exit) {
      exit = TRY(TryWait(pid));
      if (exit) ended = clock.Monotonic();
    }
    if (exit && clock.Monotonic() - ended > kLastWords) break;
    if (failure || exit) continue;
    if (interruption != nullptr && interruption->thrown())
      failure = Error(Code::kCancelled, spec.argv[0] + " was interrupted");
    else if (clock.Monotonic() - began > spec.limit)
      failure = Error(Code::kDeadlineExceeded,
                      fmt::format("{} did not answer within {}", spec.argv[0], Human(spec.limit)));
    if (failure) (void)SignalGroup(child.id(), SIGKILL);
  }
  if (failure) return *std::move(failure);
  if (output.out.size() > spec.max_output_bytes || output.err.size() > spec.max_output_bytes)
    return Error(Code::kTooLarge,
                 fmt::format("{} said more than {}", spec.argv[0],
                             HumanBytes(static_cast<int64_t>(spec.max_output_bytes))));
  output.exit_code = exit->signal != 0 ? 128 + exit->signal : exit->code;
  return output;
}

}  // namespace weir::io
