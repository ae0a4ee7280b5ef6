// The shim: a small process between `weir up` and one command, so that weir up can be killed at any
// instant without losing the command, its output or its exit status, or starting it twice.
//
//   starting --(state.json durable, command let go)--> running --(command gone)--> ending --> gone
//                                                        |  stop, SIGTERM, time limit:
//                                                        |  SIGTERM to the group, grace, SIGKILL
//                                                        |  memory limit: SIGKILL at once
//
// It claims its folder (see run_files.h): a second shim for the same folder does nothing. It leads
// a session of its own, reaps whatever the command leaves behind, and kills it when the command
// itself has ended. If the shim is killed, the kernel kills the command (what the command had
// started is found and killed by the driver).
//
// Memory    a limit is memory.max where a cgroup was made; otherwise the sum of anonymous and
//           shared memory of the command and its descendants is sampled every 100 ms (25 ms near
//           the limit): a fast allocator can pass the limit for that long.
// Errors    the command's are in exit.json; the shim's own are its exit status and a line on
//           stderr: 0 done (by this or an earlier shim), 1 not its turn (claimed, or ran before),
//           2 the folder cannot be used.
#pragma once

#include <string>

namespace weir::control {

// The whole life of a shim. Blocks and redirects signals of this process, so only for a process
// that does nothing else; one thread.
int RunShim(const std::string& dir);

}  // namespace weir::control
