// A simulated site: slots and runs on a virtual clock, with the faults of real ones.
//
// SimSite is the world and outlives crashes of the control loop; SimDriver is the loop's handle on
// it and dies with the loop. Programs are played, not run:
//   a job       takes start_delay to start, does `steps_per_slot_s` steps per slot and second,
//               saves every `checkpoint_steps`, ends with exit 0 after its steps; on SIGTERM it
//               saves (save_delay) and exits 75, or does not care and is killed after the grace
//   a replica   takes replica_delay to answer its health path, serves until it is stopped
// What a holder saved is kept by its checkpoint folder: the next run of the job resumes there.
//
// Faults are put in by hand (Crash, Hang, ...) or drawn per run from FaultRates.
//
// The site notes what no control plane may ever do, in violations(): start a run twice, run a job
// twice at once, give a slot to two runs (but for an exchange), start without a journaled intent.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "control/drivers/driver.h"
#include "io/clock.h"

namespace weir::control {

struct FaultRates {  // chances, per run unless said otherwise
  double crash = 0;  // exits 1 somewhere in its life
  double ignore_stop = 0;
  double hang = 0;           // replica: stops answering; job: stops making steps
  double lost = 0;           // its machine forgets it
  double start_refused = 0;  // per Start: the site is full for now
};

struct SimPace {
  Duration start_delay = Duration::Millis(2000);
  Duration replica_delay = Duration::Millis(1000);
  Duration save_delay = Duration::Millis(300);
  double steps_per_slot_s = 10;
  int64_t checkpoint_steps = 100;
  int64_t job_steps = 300;
  Duration life = Duration::Seconds(30);  // faults of a run strike within so long
};

class SimSite {
 public:
  SimSite(const io::VirtualClock& clock, uint64_t seed, std::string name, int slots, SimPace pace);

  FaultRates faults;
  bool reachable = true;

  // What happened up to the clock's now.
  void Advance();
  void SetSlotHealth(int index, wire::SlotHealth health);
  void StopFaults();  // from here on nothing breaks by itself; what hangs goes on hanging
  bool Answers(const std::string& run) const;  // its health path, now
  int64_t max_step(const std::string& holder) const;
  // Of the job's runs so far: the most steps that one of them had to do again.
  int64_t worst_repeat() const { return worst_repeat_; }
  const std::vector<std::string>& violations() const { return violations_; }
  size_t live_runs() const;
  int64_t starts() const { return starts_; }
  // Programs that crash soon after each start, whatever the faults.
  std::function<bool(const std::vector<std::string>& command)> dies;
  // Asked at each Start and Stop: does the journal know of it? Set by the simulation.
  std::function<bool(const std::string& run)> intended = [](const std::string&) { return true; };
  std::function<bool(const std::string& run)> stop_asked = [](const std::string&) { return true; };
  // True if one of the two runs replaces the other.
  std::function<bool(const std::string&, const std::string&)> exchange =
      [](const std::string&, const std::string&) { return false; };

 private:
  friend class SimDriver;
  enum class Fate { kNone, kCrash, kHang, kLost };
  struct Run {
    RunSpec spec;
    RunPhase phase = RunPhase::kStarting;
    Duration started, running_at, stop_at, last_step_at, fate_at;
    Time started_wall, ended_wall;
    Fate fate = Fate::kNone;
    bool ignores_stop = false, hung = false;
    int exit_code = 0;
    std::string reason;
    double steps = 0;  // of the job, this run's picture
    int64_t told_checkpoint = 0;
    int64_t port = 0;
    std::vector<wire::Json> lines;
  };
  Status Start(const RunSpec& spec);
  Status Stop(const std::string& id, Duration grace);
  std::vector<RunObservation> Poll();
  void Forget(const std::string& id);
  void AdvanceRun(Run& run);
  void Save(Run& run);
  void End(Run& run, int exit_code, std::string reason);
  void Violate(std::string what) { violations_.push_back(std::move(what)); }

  const io::VirtualClock& clock_;
  Random random_;
  SimPace pace_;
  wire::Site site_;
  std::vector<wire::Slot> slots_;
  std::map<std::string, Run> runs_;
  std::set<std::string> known_;              // every id ever started
  std::map<std::string, int64_t> saved_;     // by checkpoint folder: newest durable step
  std::map<std::string, int64_t> max_step_;  // by holder
  int64_t worst_repeat_ = 0;
  int64_t next_port_ = 20'000;
  int64_t starts_ = 0;
  std::vector<std::string> violations_;
};

// What a call to a driver meets: the process may die just before or just after it.
enum class Strike { kNone, kCrashBefore, kCrashAfter };

class SimDriver final : public Driver {
 public:
  // `strike` is asked before every call that changes something and before every Poll; once it has
  // crashed, `dead` stays true and nothing reaches the site any more.
  SimDriver(SimSite* site, std::function<Strike(std::string_view op)> strike,
            std::function<bool()> dead)
      : sim_(site), strike_(std::move(strike)), dead_(std::move(dead)) {}

  const wire::Site& site() const override { return sim_->site_; }
  Result<std::vector<wire::Slot>> Slots() override;
  Status Start(const RunSpec& run) override;
  Status Stop(const std::string& run_id, Duration grace) override;
  Result<std::vector<RunObservation>> Poll() override;
  Status Forget(const std::string& run_id) override;

 private:
  Status Call(std::string_view op, const std::function<Status()>& effect);
  SimSite* sim_;
  std::function<Strike(std::string_view)> strike_;
  std::function<bool()> dead_;
};

}  // namespace weir::control
