// The `slurm` driver: a run is one Slurm job, named for the lab and the run, on exactly the nodes
// and accelerators of its slots.
//
// What is asked of a controller goes through a Door (door.h) by one worker, so no call of the loop
// ever waits for Slurm; Start and Stop note what is wanted and Poll tells what the newest look at
// the cluster showed. What the run itself writes is in its folder (batch.h), which this machine and
// the site's nodes share.
//
//   to submit --(sbatch said an id, or a job of that name was found)--> submitted --> ended
//      |  an answer was lost: it may or may not be there. It is looked for by name before it is
//      |  submitted again, and of two jobs of one run only the first does anything (`claim`)
//      \--(Slurm will never take it)--> ended as refused
//
// Looking   one look for all jobs and all nodes: every SlurmSite::poll_every, sooner while
//           something is under way, later when the controller is slow: looks take at most
//           SlurmSite::load_share of the time, changes (in batches) at most kChangesShare. That a
//           run began, and that all its ranks ended with 0 or 75, is read from its folder between
//           the looks and costs the controller nothing.
// Unknown   without an answer for SiteSpec::unknown_after, Slots and Poll say kUnavailable: what
//           runs there is unknown, not gone.
// Restart   a new driver over the same folder finds every run: by its files, and by its name in
//           Slurm's queue. A job of this lab that no folder knows is listed too, so that the loop
//           stops it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "control/drivers/driver.h"
#include "control/drivers/slurm/door.h"
#include "io/clock.h"
#include "wire/site.h"

namespace weir::control::slurm {

inline constexpr size_t kSubmitBatch = 40;
inline constexpr Duration kSoon = Duration::Millis(400);
inline constexpr double kChangesShare = 0.8;
inline constexpr Duration kFilesEvery = Duration::Millis(100);
inline constexpr int64_t kFilesRest = 19;  // files are read a twentieth of the time at most
// A job whose run has ended is left to end by itself for so long.
inline constexpr Duration kSettles = Duration::Seconds(60);
inline constexpr Duration kFactsEvery = Duration::Minutes(5);
inline constexpr Duration kLongestBackoff = Duration::Seconds(30);
// A file that a node has written shows here at the latest after this (a network file system's
// cache).
inline constexpr Duration kFilesSettle = Duration::Seconds(5);

struct Options {
  wire::SiteSpec site;
  std::string data_dir;     // the lab's
  std::string lab_tag;      // tells this lab's jobs from another's: letters, digits, '-'
  std::string weir_binary;  // as commands name it; replaced by SlurmSite::weir_at
};

class SlurmDriver : public Driver {
 public:
  // Does what is due, once: changes, then a look. Blocks as long as the Door does. Called by the
  // worker; by tests in its place.
  virtual void Turn() = 0;
};

enum class Worker { kThread, kNone };

// Borrows clock. Adopts what is in data_dir/sites/<name>/runs.
Result<std::unique_ptr<SlurmDriver>> CreateSlurmDriver(Options options, std::unique_ptr<Door> door,
                                                       const io::Clock* clock, Worker worker);

}  // namespace weir::control::slurm
