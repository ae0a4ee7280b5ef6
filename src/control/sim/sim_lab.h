// A whole lab on a virtual clock: the control loop that runs in production, over a simulated site,
// gateway and disk, with a process that can die at any step of its I/O.
//
// Every store call and every driver call counts as one I/O step. Before each, `strike` says whether
// the process dies just before it, just after it (done, but nobody told), or whether the disk fails
// it. A dead process leaves its disk and its site behind; the next Tick boots a new one on them.
//
// After every tick the invariants are checked; the first breach is kept in failure(), with the
// last journal records, and the simulation stands still from there on:
//   * each durable record follows from those before it; a live loop's state is their fold
//   * the site saw nothing that may never happen (SimSite::violations)
//   * sched::Breaches: slots, gangs, guarantees, lend limits; due times too, except for kHealing
//     after the process, the disk or the site was away: nobody could have acted
//   * what was acknowledged is in the journal; an accepted job ends at most once
//   * deciders propose nothing that the state refuses
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/local_lab.h"
#include "control/loop.h"
#include "control/sim/sim_gateway.h"
#include "control/sim/sim_site.h"
#include "io/memory_store.h"

namespace weir::control {

inline constexpr Duration kHealing = Duration::Seconds(10);

struct SimLabOptions {
  uint64_t seed = 1;
  int slots = 4;
  SimPace pace;
  double rate_per_replica = 10;
  sched::Policy policy;
  int64_t snapshot_every = 40;  // small, so that restarts meet snapshots
  // Decides for the loop; tests plant bugs here.
  std::function<sched::Decision(const sched::Snapshot&, const sched::Policy&)> decide;
};

class SimLab {
 public:
  explicit SimLab(SimLabOptions options);
  ~SimLab();

  // What happens to the I/O step of that number and name ("append", "start", ...).
  std::function<io::Fault(int64_t step, std::string_view op)> strike;

  // Time passes, the world moves, the loop takes a turn (after a boot, if it is down).
  void Tick(Duration dt);
  // Ticks until `done` or for at most `within`; whether it was done.
  bool RunUntil(const std::function<bool()>& done, Duration within,
                Duration tick = Duration::Millis(200));
  void KillProcess();

  // The lab's door, or null while it is down. Results of Submit go through here so that
  // acknowledgements are remembered.
  Lab* lab() { return lab_ ? &*lab_ : nullptr; }
  Result<wire::Job> Submit(const wire::JobSpec& spec);
  void BeginDrain(Duration grace);
  bool drained() const { return loop_ && loop_->drained(); }

  const State& state() const { return durable_; }  // fold of the durable journal
  const std::string& failure() const { return failure_; }
  std::string LastRecords(size_t n) const;
  // Whole-journal checks of the end: Verify, replay, every ending counted.
  void CheckAtEnd();
  uint64_t Fingerprint() const;
  int64_t io_steps() const { return io_steps_; }
  int64_t boots() const { return boots_; }

  io::VirtualClock clock;
  SimSite site;
  SimGateway gateway;
  io::MemoryDisk disk;

 private:
  io::Fault Strike(std::string_view op);
  void Boot();
  void Follow();  // applies new durable records to durable_
  void Check();
  void Fail(std::string what);

  SimLabOptions options_;
  bool dead_ = true;
  std::unique_ptr<io::MemoryStore> store_;
  std::unique_ptr<SimDriver> driver_;
  std::unique_ptr<ControlLoop> loop_;
  std::optional<LocalLab> lab_;
  State durable_;
  size_t durable_seq_ = 0;
  std::set<std::string> acknowledged_;  // job ids
  std::map<std::string, int> endings_;
  std::string failure_;
  int64_t io_steps_ = 0;
  int64_t boots_ = 0;
  Duration hurt_at_;  // when something was last away
};

}  // namespace weir::control
