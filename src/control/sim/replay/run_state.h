// The truth of one replay: what runs where, and the queue of what happens next.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "control/sim/replay/ledger.h"
#include "control/sim/replay/progress.h"
#include "control/sim/replay/replay.h"
#include "control/sim/replay/slot_book.h"
#include "lab/sched/estimate.h"
#include "lab/sched/world.h"

namespace weir::sim {

// In the order in which equal times are taken: what ends comes before what begins.
enum class EventKind : uint8_t {
  kNode,
  kJobDone,
  kJobGone,  // a stopped run's processes are gone
  kReplicaGone,
  kJobTold,  // the belief learns late of a job's row
  kSubmit,
  kJobActive,  // a run is seen running
  kCheckpoint,
  kReplicaReady,
  kLoanDue,
  kTick,
  kWake,
};
const char* NameOf(EventKind kind);

struct Event {
  Time at;
  EventKind kind = EventKind::kTick;
  int32_t id = 0;
  uint32_t run = 0;  // of the job or replica: an event of an earlier run is void
  bool operator>(const Event& o) const {
    return at != o.at ? at > o.at : kind != o.kind ? kind > o.kind : id > o.id;
  }
};

enum class RunPhase : uint8_t { kNotYet, kWaiting, kLaunching, kRunning, kStopping, kEnded };

struct TrueJob {
  RunPhase phase = RunPhase::kNotYet;
  uint32_t run = 0;  // counts its runs and their changes of speed: voids older events
  sched::Places places;
  int64_t slots = 0;  // held
  double saved = 0;   // durable work, in seconds of work
  RunClock clock;     // while it runs
  Time placed, active, first_start, ended;
  bool stopped_before =
      false;  // its newest run was stopped or failed: its next start is paid again
  bool failed_before = false;
  wire::StopCause cause = wire::StopCause::kNone;  // of the stop under way, or the newest
  sched::Places claim;                             // what it held when stopped by kResize or kPause
  int32_t keeps = 0;
  int32_t preempted = 0, shrunk = 0, failed = 0;
  double lost_slot_s = 0;
};

struct TrueReplica {
  uint32_t run = 0;  // a number of its own: ids are used again
  int service = 0;
  int loan = -1;
  sched::Places places;
  int64_t slots = 0;
  bool ready = false, stopping = false;
  Time opened;
};

struct TrueLoan {
  int service = 0;
  Time opened, due, recalled;
  int64_t slots = 0;
  int replicas = 0;
  uint32_t run = 0;
  struct Share {
    int team = -1;
    int64_t slots = 0;
    double lost_slot_s = 0;
  };
  std::vector<Share> shares;
};

struct TrueNode {
  int down = 0;  // reasons why it is not usable
  bool evacuated = false;
  Time leaves;
  double factor = 1;
  Time down_at;  // while it is not usable
  double down_s = 0;
};

class Run {
 public:
  Run(const Scenario& scenario, const PolicyEntry& policy, const ReplayOptions& options);
  Outcome Go();

 private:
  // replay.cc: events
  void Take(const Event& event);
  void Push(Time at, EventKind kind, int32_t id, uint32_t run = 0) {
    queue_.push({at, kind, id, run});
  }
  void Submit(int job);
  void JobActive(int job);
  void JobDone(int job);
  void JobGone(int job);
  void NodeChanged(const NodeEvent& event);
  void LoseRuns(int node, bool polite);
  void Tick();
  void UpdateDemand(bool at_tick = false);
  void LearnDurations(int job);
  void Think();
  bool WorkIsLeft() const;

  // carry_out.cc: moves on the truth, and the rows of the belief
  void CarryOut(const sched::Move& move);
  void StartJob(const sched::Move& move);
  void StopJob(int job, wire::StopCause cause, int32_t keeps);
  void EndRun(int job);
  void StartReplica(const sched::Move& move);
  void RemoveReplica(int id);
  void OpenLoan(const sched::Move& move);
  void SettleLoans();
  void HoldSlots(const sched::Places& places, int sign);
  void Expect(int job, sched::Job* row) const;
  double SpeedOf(const sched::Places& places) const;
  double RateOf(int job) const;
  Time SavedOf(int job) const;
  void PushRunEvents(int job);
  void TellJob(int job, bool late = false);
  void TellNode(int node);
  void TellServices();
  Time Late(Time at);
  Time Launched(Time at);

  // audit.cc
  void Breach(std::string what);
  void Note(const Event& event);
  void Audit();
  void AuditLending();
  std::vector<int64_t> Staying() const;
  void AuditFloors(const std::vector<int64_t>& before);
  void SetLevels();

  // summary.cc
  void Sample();
  Outcome Summary();

  const Scenario& s_;
  const PolicyEntry& policy_;
  const ReplayOptions& options_;
  std::unique_ptr<sched::Allocator> allocator_;
  sched::World belief_;
  SlotBook book_;
  Ledger ledger_;
  Random random_;
  Time now_;

  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
  size_t next_submit_ = 0, next_node_event_ = 0;
  bool think_ = false;
  Time woken_at_;  // earliest wake that is queued
  std::vector<TrueJob> jobs_;
  std::set<int> on_slots_;  // jobs that hold slots
  std::map<int, TrueReplica> replicas_;
  std::map<int, TrueLoan> loans_;
  std::vector<TrueNode> nodes_;
  std::vector<sched::ServiceState> services_;  // as told
  std::vector<int64_t> ready_slots_, held_service_slots_, need_slots_;
  std::vector<int64_t> lent_by_team_;
  std::vector<double> credit_;
  std::vector<double> past_use_, trend_;
  std::vector<int64_t> team_running_, team_wanted_;  // slots held and wanted by jobs
  Time credit_at_, sampled_at_, moved_at_;
  sched::RunHistory history_;
  uint32_t next_run_ = 1;
  int64_t ended_ = 0, waiting_ = 0;
  int64_t product_slots_ = 0, research_slots_ = 0;
  int64_t own_slots_ = 0, total_slots_ = 0;
  std::vector<int> parent_;  // of teams; -1 = at the top

  // Sums for the outcome.
  Outcome out_;
  std::vector<double> unmet_slot_s_, below_s_, need_slot_s_, held_slot_s_;
  Time product_at_;
  std::vector<double> team_slot_s_, team_entitled_s_;
  double fragment_sum_ = 0;
  int64_t fragment_n_ = 0;
  std::vector<double> loan_lengths_, pay_backs_, decide_us_;
  int64_t since_audit_ = 0;
  std::string breach_;
  std::array<Event, 20> last_{};
  bool returned_ = false;  // a loan, in this decision
};

}  // namespace weir::sim
