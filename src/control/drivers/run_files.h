// The files of a run folder, through which the `local` driver and its shims talk. Each is one JSON
// object, replaced by rename, so a reader sees a whole one or none.
//
//   DATA/runs/<run id>/
//     run.json             LocalRun: what Start was asked for. Written by the driver, once.
//     <rank>/
//       spec.json          ShimSpec. Written by the driver before it starts the shim.
//       lock               held by the shim as long as it lives (an open-file-description lock)
//       state.json         ShimState: starting (nothing ran yet), then running. By the shim.
//       stop               StopRequest. Written by the driver; may be replaced by a shorter one.
//       exit.json          ShimExit: final. By the shim, durable, the last thing it does.
//
//   files there                      shim alive                 shim gone
//   spec                             about to start             start another: nothing ran
//   spec, state starting             about to start             start another: nothing ran
//   spec, state running              runs                       lost
//   spec, state running, exit        about to end               exited
//
// A command is let go (exec) only after "running" is on disk, and dies with its shim: so "nothing
// ran" and "lost" are facts, not guesses.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/files.h"
#include "io/process.h"
#include "wire/schema.h"

namespace weir::control {

inline constexpr int64_t kMaxRunFileBytes = 4 << 20;
inline constexpr int kMaxLastLines = 20;

struct ShimSpec {
  std::string run_id;
  int64_t rank = 0;
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;
  std::string cwd;
  std::vector<int64_t> cores;
  int64_t nice = 0;
  std::string cgroup_root;
  double core_time = 0;
  int64_t memory_limit_bytes = 0;
  Duration time_limit = {};
  Duration grace = Duration::Seconds(20);
  std::string log_path;
  int64_t log_file_bytes = 8 << 20;
  int64_t log_files = 4;
};
template <class V>
void Fields(V& v, wire::Owned<V, ShimSpec>& s) {
  v("run_id", s.run_id, "", wire::kRequired);
  v("rank", s.rank);
  v("argv", s.argv, "", wire::kRequired);
  v("env", s.env, "the whole environment");
  v("cwd", s.cwd);
  v("cores", s.cores, "affinity; empty: all");
  v("nice", s.nice);
  v("cgroup_root", s.cgroup_root, "where to make a cgroup v2 for it; empty: none");
  v("core_time", s.core_time, "cores' worth of time, for cpu.max; 0: no limit");
  v("memory_limit_bytes", s.memory_limit_bytes, "0: none");
  v("time_limit_us", s.time_limit, "0: none");
  v("grace_us", s.grace, "for a stop that names no grace");
  v("log_path", s.log_path, "empty: output is thrown away");
  v("log_file_bytes", s.log_file_bytes, "a log file is put aside when it has this size");
  v("log_files", s.log_files, "files kept, the current one among them");
}

struct FileProcessId {
  int64_t pid = 0;
  int64_t start_ticks = 0;
  std::string boot_id;
  FileProcessId() = default;
  explicit FileProcessId(const io::ProcessId& id)
      : pid(id.pid), start_ticks(static_cast<int64_t>(id.start_ticks)), boot_id(id.boot_id) {}
  io::ProcessId id() const {
    return {static_cast<pid_t>(pid), static_cast<uint64_t>(start_ticks), boot_id};
  }
};
template <class V>
void Fields(V& v, wire::Owned<V, FileProcessId>& p) {
  v("pid", p.pid, "", wire::kRequired);
  v("start_ticks", p.start_ticks, "field 22 of /proc/PID/stat", wire::kRequired);
  v("boot_id", p.boot_id, "", wire::kRequired);
}

enum class ShimPhase { kStarting, kRunning };

struct ShimState {
  ShimPhase phase = ShimPhase::kStarting;
  FileProcessId shim;
  std::optional<FileProcessId> command;
  Time started;
  std::string memory_held_by;
};
template <class V>
void Fields(V& v, wire::Owned<V, ShimState>& s) {
  v("phase", s.phase, "", wire::kRequired);
  v("shim", s.shim, "", wire::kRequired);
  v("command", s.command);
  v("started_us", s.started);
  v("memory_held_by", s.memory_held_by, "what enforces the memory limit");
}

struct StopRequest {
  Duration grace = {};
};
template <class V>
void Fields(V& v, wire::Owned<V, StopRequest>& s) {
  v("grace_us", s.grace, "from when the shim sees this until SIGKILL", wire::kRequired);
}

enum class EndCause { kExit, kSignal, kMemoryLimit, kTimeLimit, kKilledAfterGrace, kCannotStart };

struct ShimExit {
  EndCause cause = EndCause::kExit;
  int64_t exit_code = 0;
  std::string reason;
  std::vector<std::string> last_lines;
  Time started;
  Time ended;
  int64_t max_rss_bytes = 0;
  Duration cpu = {};
  int64_t log_bytes_dropped = 0;
};
template <class V>
void Fields(V& v, wire::Owned<V, ShimExit>& e) {
  v("cause", e.cause, "", wire::kRequired);
  v("exit_code", e.exit_code,
    "of the command; 128 + n for signal n; 124 time limit, 137 memory limit, 126 and 127 not "
    "started",
    wire::kRequired);
  v("reason", e.reason, "for people", wire::kRequired);
  v("last_lines", e.last_lines, "at most 20");
  v("started_us", e.started);
  v("ended_us", e.ended);
  v("max_rss_bytes", e.max_rss_bytes);
  v("cpu_us", e.cpu, "of the command and all that it started and waited for");
  v("log_bytes_dropped", e.log_bytes_dropped, "output that the disk would not take");
}

// Reads one of the above. kNotFound: not there. Anything that is not exactly such an object is
// kDataLoss with the path: a run folder is ours alone to write.
template <class T>
Result<T> ReadRunFile(const std::string& path);

}  // namespace weir::control

WEIR_ENUM(weir::control::ShimPhase, {weir::control::ShimPhase::kStarting, "starting"},
          {weir::control::ShimPhase::kRunning, "running"});
WEIR_ENUM(weir::control::EndCause, {weir::control::EndCause::kExit, "exit"},
          {weir::control::EndCause::kSignal, "signal"},
          {weir::control::EndCause::kMemoryLimit, "memory_limit"},
          {weir::control::EndCause::kTimeLimit, "time_limit"},
          {weir::control::EndCause::kKilledAfterGrace, "killed_after_grace"},
          {weir::control::EndCause::kCannotStart, "cannot_start"});
WEIR_MESSAGE(weir::control::ShimSpec);
WEIR_MESSAGE(weir::control::FileProcessId);
WEIR_MESSAGE(weir::control::ShimState);
WEIR_MESSAGE(weir::control::StopRequest);
WEIR_MESSAGE(weir::control::ShimExit);

namespace weir::control {
template <class T>
Result<T> ReadRunFile(const std::string& path) {
  Result<T> read = wire::FromText<T>(TRY(io::ReadFile(path, kMaxRunFileBytes)));
  if (!read) return Error(Code::kDataLoss, path + ": " + read.error().message());
  return read;
}
}  // namespace weir::control
