// What the scheduler knows, as rows of small numbers, and what follows from them, kept up to date.
//
// Rows      nodes (fleet.h), teams, jobs, services, replicas, loans. The caller sets a row whenever
//           it learns something, a decision (turn.h) sets those that it moves. Both use the same
//           few functions, so what a decision has done is what the next one sees, and a caller that
//           knows better (an action was refused, a job ended meanwhile) sets the row right.
// Derived   free slots, queues of waiting jobs, running jobs by what stopping them costs, by their
//           expected end, demand and use of each account. All of it follows from the rows alone:
//           a World that was changed a million times equals one that was built from its rows
//           (world_test.cc), whatever the order.
// Cost      O(log jobs + log nodes) for a job's row, a few sets each. Teams, another policy and
// nodes
//           that come, go or move: everything is indexed anew at the next job, so set them
//           together.
// Ids       jobs, nodes, replicas and loans: small numbers that the caller gives and may use again.
//           Equal times break ties by them. Teams, services, users: indices into what was set.
// Accounts  quotas are per team and accelerator type: account = type * teams + team.
// Not here  strings, the clock (`now` is told), policy.
// Threads   one at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lab/sched/block_set.h"
#include "lab/sched/decide.h"
#include "lab/sched/fleet.h"

namespace weir::sched {

using JobId = int32_t;
using TeamId = int32_t;
using AccountId = int32_t;
using ServiceId = int32_t;
using ReplicaId = int32_t;
using LoanId = int32_t;

// Nodes that leave later than this from now are taken to stay.
inline constexpr Duration kLeaveHorizon = Duration::Seconds(8 * 86400);

enum class RunPhase : uint8_t {
  kNone,      // no such job
  kWaiting,   // has never run, or starts anew
  kPaused,    // has run and is to go on: before those of equal priority that wait
  kRunning,   // holds `places`, its start perhaps still under way
  kStopping,  // was asked to stop, still holds them
};

struct Job {
  TeamId team = -1;  // -1: not known, or a product team: it never starts
  int32_t user = -1;
  int32_t min_slots = 1, max_slots = 1;
  int32_t priority = 0;
  int32_t shape = 0;  // World::ShapeNumber
  bool checkpointable = false;
  float exponent = 1;  // measured: n slots do n^exponent times what one does
  Duration limit;      // of one run, kept by force; 0 = none
  Duration expected;   // of what is left of it on min_slots, learned; 0 = not known
  float error = 0;  // of it: the truth lies within expected / (1 + error) .. expected * (1 + error)
                    // in 9 of 10 cases
  Duration restart_cost;  // from its start to its first new step
  Time submitted;
  Time deadline;  // 0 = none

  RunPhase phase = RunPhase::kNone;
  Hold hold = Hold::kNone;
  Time not_before;  // kBackoff: until then
  // Running and stopping: what it holds. Waiting after a stop with kResize or kPause: what it held,
  // for which it comes first. Else empty.
  Places places;
  Time placed;             // when this run got its slots
  Time started;            // when it was seen running; 0 = not yet, so it is not to be stopped yet
  Time saved;              // newest checkpoint, or `started`
  Time ends;               // told by the job itself; 0 = not
  int64_t steps_lost = 0;  // steps since the checkpoint, for people
  wire::StopCause cause = wire::StopCause::kNone;  // stopping: why. Waiting: why it was stopped
  int32_t keeps = 0;  // stopping: slots that still count as its team's, since it runs on at once
  bool operator==(const Job&) const = default;
};

struct Replica {
  ServiceId service = -1;  // -1: its service is gone
  LoanId loan = -1;
  TeamId team = -1;
  Places places;
  bool ready = false;
  bool stopping = false;
  ReplicaId replaces = -1;  // takes over from that one in the same slots, which still runs: both
                            // count as one
  Time opened;
  bool operator==(const Replica&) const = default;
};

struct LoanShare {
  TeamId team = -1;
  JobId job = -1;  // -1: its slots were idle
  Places places;
  wire::StopCause how = wire::StopCause::kNone;  // kResize, kPause, kNone = idle
  double lost_slot_s = 0;
  int64_t lost_steps = 0;
  bool operator==(const LoanShare&) const = default;
};
struct Loan {
  ServiceId service = -1;
  bool open = true;  // not recalled
  std::vector<LoanShare> shares;
  Time opened, due;
  std::string recall_why;
  bool operator==(const Loan&) const = default;
};

// What a team has in one accelerator type. From wire::Team; see World::SetTeams.
struct Account {
  TeamId team = -1;
  int32_t type = 0;
  AccountId parent = -1;
  bool research = true;
  bool group = false;     // teams stand below it
  int64_t guarantee = 0;  // at least the sum of those below
  int64_t borrow_limit =
      -1;  // most that it and those below may hold beyond the guarantee; -1 = none
  int64_t lend_limit = -1;
  double weight = 1;
  // Of the account and all below it:
  int64_t running = 0;  // research: slots of jobs. product: of replicas without a loan
  int64_t lent = 0;     // out on loan
  // Of itself alone:
  int64_t demand = 0;  // most slots that its jobs could use
  int64_t held() const { return running + lent; }
};

struct WaitKey {
  int32_t less_priority = 0;  // -priority
  int8_t rank = 2;            // 0 its deadline nears, 1 paused, 2 queued
  Time submitted;
  JobId job = -1;
  auto operator<=>(const WaitKey&) const = default;
  bool operator<(const WaitKey& o) const {  // the same, quicker: queues are big
    if (less_priority != o.less_priority) return less_priority < o.less_priority;
    if (rank != o.rank) return rank < o.rank;
    return submitted.us != o.submitted.us ? submitted.us < o.submitted.us : job < o.job;
  }
};
// Waiting jobs of one team that need the same: if one finds no slots, none of them does.
struct Queue {
  TeamId team = -1;
  int32_t shape = 0;
  int32_t min_slots = 1;
  BlockSet<WaitKey> jobs;  // those that may start now: no hold, back-off over
};

// Running jobs that are alike as victims: one pool, account, size, and ways to give. By what
// stopping them loses, least first: (now - saved + restart_cost) x slots orders them for every now.
struct VictimClass {
  PoolId pool = -1;
  AccountId account = -1;
  int32_t slots = 0, can_shrink = 0;
  bool checkpointable = false;
  auto operator<=>(const VictimClass&) const = default;
};
struct LossKey {
  int64_t minus_saved_us = 0;  // restart_cost - saved: grows with the loss
  JobId job = -1;
  auto operator<=>(const LossKey&) const = default;
};
// A class and the cheapest of it, which is all that most searches for victims look at.
struct VictimHead {
  VictimClass kind;
  LossKey first;
  auto operator<=>(const VictimHead&) const = default;
};

// When a running job is expected to let go of its slots.
struct EndRow {
  Time at;
  JobId job = -1;
  int32_t slots = 0;
  bool firm = false;  // a limit or the job itself says so; else it was learned
  bool operator<(const EndRow& o) const { return at != o.at ? at < o.at : job < o.job; }
};

class World {
 public:
  explicit World(Policy policy = {});

  // ---- rows ----
  const Policy& policy() const { return policy_; }
  void SetPolicy(const Policy& policy);
  // Parents by name. Rows of jobs, replicas and loans name teams by their index in it: before teams
  // go or change places, take those rows away. `types`: names of accelerator types in use; scalar
  // quotas of a team are spread over the types in proportion to the fleet, unless
  // wire::Team::quotas names them.
  void SetTeams(std::vector<wire::Team> teams, std::vector<std::string> types = {""});
  // Credit and use decay on their own; setting them does not rebuild anything.
  void SetCredit(TeamId team, double credit_slot_s) { teams_[team].credit_slot_s = credit_slot_s; }
  void SetPastUse(TeamId team, double slots) {
    past_use_[team] = slots;
  }  // see Policy::share_memory
  void SetNode(NodeId id, const Node& node);
  int32_t ShapeNumber(const Shape& shape);
  void SetJob(JobId id, Job job);        // phase kNone removes it
  void SetStarted(JobId id, Time when);  // its run was seen; it has saved nothing yet
  void SetSaved(JobId id, Time when);    // a running job has a new checkpoint
  void SetServices(std::vector<ServiceState> services);  // few: whole each time
  ServiceState& service(ServiceId id) { return services_[id]; }
  void SetReplica(ReplicaId id, std::optional<Replica> replica);
  void SetLoan(LoanId id, std::optional<Loan> loan);
  void SetDraining(bool draining) { draining_ = draining; }
  // When the slots' last holder left them; an elastic job grows only into what has been free for a
  // while. What is not told has been free for long.
  void SetFreed(const Places& places, Time when);
  // For sentences; without them "job-7", "loan-2".
  void SetNames(std::function<std::string(JobId)> job, std::function<std::string(LoanId)> loan);
  // Time goes on: back-offs end, runs grow old enough to be stopped, deadlines near, nodes leave.
  void Advance(Time now);

  // ---- what there is ----
  Time now() const { return now_; }
  bool draining() const { return draining_; }
  const Fleet& fleet() const { return fleet_; }
  Fleet& fleet() { return fleet_; }  // for Turn: reservations
  const std::vector<wire::Team>& teams() const { return teams_; }
  const std::vector<std::string>& types() const { return types_; }
  TeamId TeamOf(std::string_view name) const;
  double past_use(TeamId team) const { return past_use_[team]; }
  const std::vector<Account>& accounts() const { return accounts_; }
  AccountId AccountOf(TeamId team, int32_t type) const {
    return team < 0 ? -1 : type * static_cast<AccountId>(teams_.size()) + team;
  }
  AccountId AccountIn(TeamId team, PoolId pool) const {
    return AccountOf(team, fleet_.pools()[pool].type);
  }
  const Job& job(JobId id) const { return jobs_[id]; }
  bool HasJob(JobId id) const {
    return id >= 0 && id < jobs() && jobs_[id].phase != RunPhase::kNone;
  }
  JobId jobs() const { return static_cast<JobId>(jobs_.size()); }  // ids are below this
  const std::vector<ServiceState>& services() const { return services_; }
  const std::map<ReplicaId, Replica>& replicas() const { return replicas_; }
  const std::map<LoanId, Loan>& loans() const { return loans_; }
  const Shape& shape(int32_t number) const { return shapes_[number]; }

  // ---- what follows ----
  const std::vector<Queue>& queues() const { return queues_; }  // empty ones stay
  const std::vector<int>& queues_of(TeamId team) const { return queues_of_[team]; }
  int64_t waiting() const { return waiting_; }  // in queues
  int64_t holding() const { return holding_; }  // jobs with slots
  const std::map<VictimClass, BlockSet<LossKey>>& stoppable() const { return stoppable_; }
  const BlockSet<VictimHead>& victim_heads() const { return victim_heads_; }  // one of each class
  // By pool: what runs, soonest end first; those of unknown end are not in it.
  const std::vector<BlockSet<EndRow>>& ends() const { return ends_; }
  const std::set<JobId>& stopping() const { return stopping_; }  // jobs
  const std::set<JobId>& claiming() const { return claiming_; }
  const std::set<JobId>& held_back() const { return held_back_; }  // with a hold or in back-off
  // By account: jobs that run below max_slots and can be restarted on more.
  const std::vector<BlockSet<JobId>>& growable() const { return growable_; }
  // (replica, one that takes over from it in the same slots)
  const std::set<std::pair<ReplicaId, ReplicaId>>& replacing() const { return replacing_; }
  int64_t product_guarantee() const { return product_guarantee_; }
  int64_t product_running() const { return product_running_; }
  int64_t out_on_loan() const { return out_on_loan_; }
  // Rows of jobs set since the last call, each once, in order; for policies with an order of their
  // own. Kept only once asked for.
  std::vector<JobId> TakeChanged();

  // ---- small questions ----
  PoolId PoolOf(const Places& places) const {
    return places.empty() ? -1 : fleet_.PoolOf(places.front().node);
  }
  bool Within(AccountId account, AccountId ancestor) const;
  bool MayBeStopped(JobId id) const;  // running for min_run, its start seen
  double LostWork(JobId id) const;    // slot-seconds, if it were stopped now
  double LostWork(const LossKey& key, int64_t slots) const {
    return std::max(Duration{now_.us + key.minus_saved_us}.seconds(), 0.0) *
           static_cast<double>(slots);
  }
  // When what runs is expected to end; nullopt = not known. A run that is late is expected to last
  // twice as long as was thought, and then twice that, up to its limit: the longer a run has
  // lasted, the longer it goes on (run times of labs have tails as heavy as that). Told ends are as
  // told.
  std::optional<Time> ExpectedEnd(JobId id) const;
  // Length of a run that started now on `slots`; the limit caps what is learned. 0 = not known.
  Duration ExpectedRun(const Job& job, int64_t slots) const;
  // Whether that end is told or a limit, not learned.
  static bool EndIsFirm(const Job& job) {
    return job.ends.is_set() || job.expected.us <= 0 ||
           (job.limit.us > 0 && job.limit <= job.expected);
  }
  // The same for promises to others: the limit if there is one, else expected * (1 + error).
  Duration LongestRun(const Job& job, int64_t slots) const;

  // Free slots of the pool that have been free for so long.
  int64_t RestedFree(PoolId pool, Duration least) const;
  std::string JobName(JobId id) const;
  std::string LoanName(LoanId id) const;

  // The derived part as text, to compare two worlds.
  std::string Digest() const;

 private:
  enum class TimerKind : uint8_t { kBackoff, kMature, kDeadline, kLeave };
  using Timer = std::tuple<Time, TimerKind, int32_t>;

  void Index(JobId id, bool add);
  void IndexVictim(JobId id, bool add);
  void IndexReplica(const Replica& replica, bool add);
  void IndexLoan(const Loan& loan, bool add);
  void AddUp(AccountId account, int64_t Account::*what, int64_t n);
  int QueueOf(const Job& job);
  WaitKey KeyOf(JobId id) const;
  bool Urgent(const Job& job) const;
  Time UrgentAt(const Job& job) const;  // its deadline less the longest run that is expected
  bool Mature(const Job& job) const;
  VictimClass ClassOf(const Job& job) const;
  static LossKey LossOf(JobId id, const Job& job) {
    return {job.restart_cost.us - job.saved.us, id};
  }
  std::optional<EndRow> EndOf(JobId id) const;
  AccountId DemandAccount(const Job& job) const;
  void Touch(JobId id);
  void MakeAccounts();
  void Settle();  // what follows from nodes and teams as a whole, before a row is indexed
  Node Effective(const Node& node) const;

  Policy policy_;
  Time now_;
  bool draining_ = false;
  Fleet fleet_;
  std::vector<Node> told_nodes_;  // as told; the fleet has them with `leaves` only while it is near
  int64_t generation_ = -1;       // of the fleet
  bool teams_changed_ = true;
  int64_t biggest_pool_ = 0;
  std::vector<wire::Team> teams_;
  std::vector<double> past_use_;  // slots on average over the share's half-life
  std::vector<std::string> types_;
  std::map<std::string, TeamId, std::less<>> team_of_;
  std::vector<Account> accounts_;
  std::deque<Job> jobs_;  // grows without moving what is there
  std::vector<ServiceState> services_;
  std::map<ReplicaId, Replica> replicas_;
  std::map<LoanId, Loan> loans_;
  std::map<Shape, int32_t> shape_numbers_;
  std::vector<Shape> shapes_;

  std::vector<Queue> queues_;
  std::map<std::tuple<TeamId, int32_t, int32_t>, int> queue_number_;
  std::vector<std::vector<int>> queues_of_;
  int64_t waiting_ = 0, holding_ = 0;
  std::map<VictimClass, BlockSet<LossKey>> stoppable_;
  BlockSet<VictimHead> victim_heads_;
  std::vector<BlockSet<EndRow>> ends_;
  std::vector<BlockSet<JobId>> growable_;
  std::set<JobId> stopping_, claiming_, held_back_;
  std::set<std::pair<ReplicaId, ReplicaId>> replacing_;
  BlockSet<Timer> timers_;
  int64_t product_guarantee_ = 0, product_running_ = 0, out_on_loan_ = 0;
  std::map<SlotId, Time> freed_;  // those that were freed not long ago
  std::function<std::string(JobId)> job_name_;
  std::function<std::string(LoanId)> loan_name_;
  bool keep_changed_ = false;
  std::set<JobId> changed_;
};

}  // namespace weir::sched
