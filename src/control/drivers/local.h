// The `local` driver: runs as processes on this machine, each rank under a shim (shim.h), known by
// its folder (run_files.h). Nothing lives only in memory: a new driver over the same folder adopts
// every run, so `weir up` may be killed at any instant.
//
// What a command finds in its environment: a few variables of weir's own (see CommandEnvironment),
// the run's env, and
//   WEIR_RUN_ID WEIR_HOLDER        who it is: "lease-40", "job-12"
//   WEIR_RANK WEIR_WORLD_SIZE      0 and 1 for a replica
//   WEIR_RENDEZVOUS                host:port, free on this machine, for the ranks to meet at
//   WEIR_CHECKPOINT_DIR            jobs
//   WEIR_PROGRESS_FILE             jobs, rank 0: append one JSON object a line
//   WEIR_PORT                      replicas: listen here, on 127.0.0.1
//   WEIR_THREADS                   compute threads that fit its slots
//   WEIR_GRACE_S                   seconds between SIGTERM and SIGKILL when a limit is reached
//   WEIR_RUN_DIR                   its own folder, gone after the run
// and for programs that know other names: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE,
// MASTER_ADDR, MASTER_PORT (PyTorch), OMP_NUM_THREADS, PYTHONUNBUFFERED; the last two give way to
// the run's env.
//
// A gang ends as one: when a rank ends other than with 0, the others are stopped with the run's
// grace. A run whose shim died without a word is lost; what its command left behind is killed
// before that is said, so a lost run holds no slot. (Only a process that left its group and
// cleared its environment after its shim was killed can escape that.)
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/drivers/driver.h"
#include "io/clock.h"
#include "io/cores.h"
#include "io/files.h"

namespace weir::control {

struct LocalOptions {
  std::string runs_dir;                    // DATA/runs; created if absent
  std::vector<std::string> shim_command;   // {"/usr/bin/weir", "shim"}; "--dir DIR" is appended
  std::map<std::string, std::string> env;  // what every command starts from
  std::string site = "local";
  std::string node;  // this machine's name
  double power_w_per_slot = 0;
  double price_usd_per_slot_h = 0;
  int job_nice = 5;  // where cores are shared, replicas come first
  int64_t log_file_bytes = 8 << 20;
  int64_t log_files = 4;
};

// The variables of weir's own environment that commands get: PATH, HOME, USER, LOGNAME, SHELL,
// LANG, LC_ALL, LC_CTYPE, TZ, TMPDIR, LD_LIBRARY_PATH. Nothing else: no secrets by accident.
std::map<std::string, std::string> CommandEnvironment(const io::EnvLookup& env);

// Borrows clock. Adopts what is in runs_dir.
Result<std::unique_ptr<Driver>> CreateLocalDriver(LocalOptions options, io::SlotShares shares,
                                                  const io::Clock* clock);

}  // namespace weir::control
