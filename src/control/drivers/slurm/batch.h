// The files that Slurm runs: one batch script for a run, one script for each rank. Plain sh:
// nothing of Weir has to be installed at a site.
//
//   DATA/sites/<site>/runs/<run id>/     the same folder here and at the site (SlurmSite::data_at)
//     run.json     what Start was asked for                      by the driver, once, first
//     run.sh       the batch script
//     rank.sh      what srun starts for each rank
//     hosts        the node of each rank, a line each
//     job          the id of the Slurm job, once it is known
//     end.json     how it ended: final                           by the driver, last
//     claim        the id of the job that runs it                by run.sh, made once and never
//                                                                changed; or 0, by the driver
//     address      "HOST PORT" of a replica                      by rank.sh
//     exit.<rank>  "CODE SECONDS": how a rank ended, and when    by rank.sh
//     done         srun's exit status                            by run.sh
//     slurm.out    what Slurm itself and these scripts say
//
// A run that was submitted twice (a crash, an answer that was lost) starts once: the job that makes
// `claim` runs, any other ends with 75 and touches nothing. The same holds for a job that the site
// puts back into its queue. A run that is withdrawn before it began is claimed by the driver, with
// 0: whatever job of it Slurm still holds, or will be handed, does nothing.
//
// Threads   pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/drivers/driver.h"

namespace weir::control::slurm {

struct Batch {
  std::string dir;  // as the site sees it
  std::string run_id;
  std::string holder;
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  std::string cwd;  // empty: a folder of the rank's own
  std::string log_path;
  std::string progress_path;
  std::string checkpoint_dir;
  std::vector<std::string> hosts;  // of the ranks
  std::string first_address;       // of hosts[0]
  int64_t cpus_per_task = 1;
  int64_t port = 0;  // replicas: where to look for a free one from; gangs: the rendezvous
  bool wants_port = false;
  Duration grace;
};

std::string RunScript(const Batch& batch);
std::string RankScript(const Batch& batch);
std::string HostsFile(const Batch& batch);

// Whether a shell can set it: [A-Za-z_][A-Za-z0-9_]*.
bool IsShellName(std::string_view name);

}  // namespace weir::control::slurm
