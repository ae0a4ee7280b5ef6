// The control loop: observe, decide, record, act; one turn is Step().
//
//          +--> Observe  drivers, probes, traffic       -> events, journaled
//          |    Settle   what follows without policy    -> events, journaled
//   tick --+    Decide   sched::Decide, learn::Advance  -> intents, journaled
//          |    Act      drivers, for what is journaled (reconcile.h)
//          +--- Publish  the view and the routes
//
// Step() is all there is: on a machine a thread calls it every tick and whenever a change was asked
// for; the simulator calls the same on a virtual clock.
//
// Changes from outside (Change) are journaled by the caller's thread under the loop's lock and wake
// the loop; they return once durable.
//
// A store that cannot write (disk full, read-only): nothing is acknowledged and nothing new is
// started or stopped, since no intent can be recorded; what runs keeps running, polls and views go
// on, trouble() says what is wrong. The first write that succeeds ends it.
//
// Draining  nothing new starts; jobs are asked to save and exit, replicas to finish; drained() once
//           all leases have ended, or when the grace and kDrainSlack are over: what runs then is
//           adopted by the next start, as after a kill -9.
//
// Threads   Step and Run by one thread; everything else by any. One mutex guards the state.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/commands.h"
#include "control/demand.h"
#include "control/drivers/driver.h"
#include "control/intents.h"
#include "control/journal.h"
#include "control/lab_clock.h"
#include "control/observe.h"
#include "control/ports.h"
#include "control/reconcile.h"
#include "control/sightings.h"
#include "io/clock.h"
#include "lab/sched/decide.h"
#include "wire/traffic.h"
#include "wire/view.h"

namespace weir::sched {
class LabScheduler;
}

namespace weir::control {

// The forecast of when waiting jobs start is made anew so often.
inline constexpr Duration kForeseeEvery = Duration::Seconds(5);
inline constexpr Duration kDrainSlack = Duration::Seconds(5);

// How long turns took, in all since Open().
struct LoopTimes {
  wire::DurationHistogram turn;    // from its beginning to its published view
  wire::DurationHistogram decide;  // sched::Decide alone
};

struct LoopOptions {
  std::string lab = "lab";
  std::string version;
  RunEnv env;
  Duration tick = Duration::Millis(200);
  sched::Policy policy;
  Guesses guesses;
  int64_t snapshot_every = kSnapshotEvery;
  bool publish_views = true;
};

inline constexpr Duration kOpenSiteAgain = Duration::Seconds(10);

// Borrowed; must outlive the loop. Null ports are simply not asked.
struct LoopPorts {
  io::Store* store = nullptr;
  const io::Clock* clock = nullptr;
  std::vector<Driver*> drivers;
  TrafficSource* traffic = nullptr;
  RoutingSink* routing = nullptr;
  HealthProbe* probe = nullptr;
  LabFiles* files = nullptr;
  // The driver of a site that was added. Null: none can be.
  std::function<Result<std::unique_ptr<Driver>>(const wire::SiteSpec&)> open_site;
  // What such a site needs, looked at one by one. Blocks; called by any thread, without the lock.
  std::function<std::vector<wire::SiteCheck>(const wire::SiteSpec&)> check_site;
  // Instead of the loop's own scheduler: tests plant bugs here.
  std::function<sched::Decision(const sched::Snapshot&, const sched::Policy&)> decide;
};

class ControlLoop {
 public:
  ~ControlLoop();
  // Replays the journal and records lab.started. What it finds running is adopted by the first
  // Step.
  static Result<std::unique_ptr<ControlLoop>> Open(const LoopPorts& ports, LoopOptions options);

  void Step();

  // Step every tick, or when woken, until drained or RequestStop(). Blocks.
  void Run();
  void RequestStop();
  void BeginDrain(Duration grace);
  bool drained() const;

  // `make` turns the state into events; they are journaled whole or not at all. Returns the first
  // event's body for its ids, and the state after it through `read`.
  using Make = std::function<Events(const CommandContext&)>;
  Status Change(const Actor& actor, const Make& make,
                const std::function<void(const State&, const std::vector<Event>&)>& read);

  // Under the lock: copy out what is needed and return.
  void Read(const std::function<void(const State&)>& read) const;
  std::optional<sched::Explanation> ExplanationOf(const std::string& subject) const;
  // What the job would meet if it were submitted now. It has been checked.
  wire::DryRunView TryJob(const wire::Job& job);
  std::string trouble() const;
  LoopTimes times() const;
  Time Now() const;
  Result<JournalReport> VerifyNow();

  std::shared_ptr<const wire::LabView> View() const;
  std::shared_ptr<const wire::LabView> WaitForChange(int64_t view_number, Duration timeout) const;
  int64_t view_number() const;

  const LoopPorts& ports() const { return ports_; }
  const LoopOptions& options() const { return options_; }
  // Proposals of deciders that the state refused, newest last, at most 100: bugs to look into.
  std::vector<std::string> refused() const;

 private:
  ControlLoop(const LoopPorts& ports, LoopOptions options, Journal journal);
  // The parts of a turn; false: the journal does not take writes, no further intents now.
  bool Record(std::vector<Event> events);
  void NoteTrouble(const Error& error);
  void NoteTraffic();
  // Opens and closes drivers until they are those of the sites in the state.
  void SyncSites(Duration monotonic);
  void DecideAndRecord();
  void KeepVersions(std::vector<learn::Step>& steps);
  void Publish();
  std::vector<wire::QuotaView> Quotas() const;
  Duration ShutdownGraceLeft() const;
  void ForgetOldSights();

  const LoopPorts ports_;
  const LoopOptions options_;

  mutable std::mutex mutex_;  // guards everything down to the next mutex
  Journal journal_;
  LabClock clock_;
  Time now_;  // of the newest turn or change
  Time started_;
  Sightings sights_;
  struct AddedSite {
    std::string text;                // of its spec, without what does not concern the driver
    std::unique_ptr<Driver> driver;  // null: it could not be opened
    std::string trouble;
    Duration retry_at;  // monotonic
  };
  std::map<std::string, AddedSite> added_;        // by name
  std::map<std::string, DemandTracker> demands_;  // by service id
  std::unique_ptr<sched::LabScheduler> scheduler_;
  Learned learned_;
  std::map<std::string, Time> expected_starts_;             // of waiting jobs, by id
  Time foreseen_;                                           // when that was reckoned
  std::map<std::string, sched::Explanation> explanations_;  // of ports_.decide, by subject
  std::vector<std::string> refused_;
  std::string trouble_;
  LoopTimes times_;
  bool draining_ = false;
  Duration drain_grace_;
  Duration drain_began_;  // monotonic
  RouteTable routes_;
  bool routed_ = false;

  mutable std::mutex view_mutex_;  // guards the view
  mutable std::condition_variable view_changed_;
  std::shared_ptr<const wire::LabView> view_;
  int64_t view_number_ = 0;
  std::string view_mark_;  // what the newest view was made of, in short

  std::mutex wake_mutex_;  // guards the two below
  std::condition_variable wake_;
  bool woken_ = false;
  bool stop_ = false;
};

}  // namespace weir::control
