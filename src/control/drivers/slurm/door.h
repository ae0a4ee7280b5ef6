// A door to one cluster's controller: what the driver asks of Slurm, whatever carries the question.
// Three doors stand behind it: the command line on this host or over ssh (Shell), and slurmrestd.
//
// Threads   one caller at a time, and every call blocks; Interrupt() from any thread ends them.
// Errors    kUnavailable: the controller, its authentication or the way to it is away, and what was
//           asked may or may not have been done; kInvalidArgument: Slurm will never take this;
//           kResourceExhausted: a limit of the site that passes; kPermissionDenied; kDataLoss: an
//           answer that makes no sense.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "control/drivers/slurm/text.h"
#include "io/command.h"
#include "io/files.h"
#include "wire/site.h"

namespace weir::control::slurm {

// What rarely changes.
struct Facts {
  std::string cluster;  // empty: it cannot be asked (slurmrestd)
  std::string version;
  bool memory_is_shared_out = false;  // SelectTypeParameters has ..._Memory
  bool accounting = false;            // sacct answers
  Duration forgets_after;             // MinJobAge
  std::vector<std::string> partitions;
  std::string default_partition;
  std::optional<Duration> longest;                            // MaxTime of the site's partition
  std::vector<std::pair<std::string, std::string>> topology;  // by node
};

struct Look {
  std::vector<Job> jobs;    // of this user; ended ones as long as Slurm remembers them
  std::vector<Node> nodes;  // seen after the jobs: what is used counts every job above
  std::vector<Reservation> reservations;
  Time clock;  // the controller's host's
};

struct Submission {
  std::string name;     // of the Slurm job; found by it
  bool fresh = false;   // nobody tried before: it is not looked for
  std::string comment;  // for people
  std::string dir;      // the run's folder as the site sees it; holds run.sh and hosts
  int64_t ranks = 1;
  int64_t nodes = 1;
  int64_t cpus_per_task = 1;
  int64_t mem_per_cpu_mb = 0;      // 0: not said
  std::string gpus_per_task;       // "h100:1", "1", or empty
  std::vector<std::string> hosts;  // of the ranks, in order
  bool arbitrary = true;   // ranks to nodes as `hosts` says, else one node, the first of hosts
  std::string host;        // the first
  std::string extra_gres;  // of the one node
  Duration limit;          // 0: the partition's
  Duration grace;          // SIGTERM comes so long before the limit
};

enum class Nudge { kTerm, kCancel };  // SIGTERM to every step; the end

class Door {
 public:
  virtual ~Door() = default;
  virtual Result<Facts> Ask() = 0;
  virtual Result<Look> LookAround() = 0;
  // For each the id of its job: one of that name if there is one, else a new one.
  virtual Result<std::vector<Result<int64_t>>> Submit(const std::vector<Submission>& all) = 0;
  // Jobs that have ended are passed over.
  virtual Status Send(Nudge nudge, const std::vector<int64_t>& jobs) = 0;
  // What accounting knows of jobs that have left the controller's memory.
  virtual Result<std::vector<Job>> Remembered(const std::vector<int64_t>& jobs) = 0;
  virtual Status Drain(const std::string& node, const std::string& why) = 0;
  virtual Status Resume(const std::string& node) = 0;
  // One shell command at the site, for checks; kUnimplemented where there is no shell.
  virtual Result<io::CommandOutput> Shell(const std::string& script) = 0;
  virtual void Interrupt() = 0;
};

// Runs a script under sh where the site's commands are.
class Shell {
 public:
  virtual ~Shell() = default;
  virtual Result<io::CommandOutput> Run(const std::string& script) = 0;
  virtual void Interrupt() = 0;
};
// `env`: what the commands find (CommandEnvironment()).
std::unique_ptr<Shell> LocalShell(std::map<std::string, std::string> env);
// BatchMode: never asks; one connection for all calls.
std::unique_ptr<Shell> SshShell(std::string address, std::map<std::string, std::string> env);

std::unique_ptr<Door> CommandDoor(std::unique_ptr<Shell> shell, wire::SlurmSite site);
// slurmrestd at site.address, with the token of site.token_file.
Result<std::unique_ptr<Door>> OpenRestDoor(const wire::SlurmSite& site);
// What the site says to use.
Result<std::unique_ptr<Door>> OpenDoor(const wire::SlurmSite& site,
                                       const std::map<std::string, std::string>& env);

// Text as one word of a shell.
std::string Quoted(std::string_view text);
// The sentence of a failed command as an error of the table above.
Error ErrorOf(const std::string& what, std::string_view said);

}  // namespace weir::control::slurm
