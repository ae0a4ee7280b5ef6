// One command, run to its end with its output kept: for programs that are asked a question.
//
// Threads   any; blocks. Interrupt() from another thread ends the call that runs, and every later
//           one, at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace weir::io {

struct CommandSpec {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of env if it has no '/'
  std::vector<std::pair<std::string, std::string>> env;  // the whole environment
  Duration limit = Duration::Seconds(30);                // then it and its children are killed
  size_t max_output_bytes = 64 << 20;                    // of each of the two streams
};

struct CommandOutput {
  int exit_code = 0;  // 128 + n for signal n
  std::string out;
  std::string err;
};

// A switch that several calls may share: once thrown, they end.
class Interruption {
 public:
  void Throw() { thrown_.store(true); }
  bool thrown() const { return thrown_.load(); }

 private:
  std::atomic<bool> thrown_{false};
};

// Errors: kNotFound and kPermissionDenied of the program itself, kDeadlineExceeded, kCancelled
// (interrupted), kTooLarge. Any exit status is a value. A command whose children keep its output
// open is over when it has ended itself.
Result<CommandOutput> RunCommand(const CommandSpec& spec, const Interruption* interruption);

}  // namespace weir::io
