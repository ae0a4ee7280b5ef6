// The scratch of one Decide: the snapshot as numbers, what this decision has given and taken so
// far, and its actions. product.cc and research.cc take turns on it; nothing outlives the call.
//
// A slot is, for the plan, in one place at a time:
//   held      by a lease (also one that is stopping)
//   on loan   on a loan that is not returned, and free: waits for a replica of its service
//   claimed   free, but of the newest lease of a job that a stop interrupted: it comes first
//   pool      free for anybody
//   gone      given away by this decision, set aside for somebody, or not usable
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lab/sched/decide.h"
#include "lab/sched/placement.h"
#include "lab/sched/victims.h"

namespace weir::sched {

struct TeamPlan {
  const wire::Team* team = nullptr;
  int parent = -1;
  bool research = true;
  int64_t guarantee = 0;   // at least what the teams below it are guaranteed
  int64_t lend_limit = 0;  // -1 = none
  // Of the team and all teams below it:
  int64_t running = 0;  // slots of jobs (research), of replicas without a loan (product)
  int64_t lent = 0;     // slots out on loan
  double entitled = 0;  // research: see shares.h
  int64_t held() const { return running + lent; }
};

struct JobPlan {
  const JobState* state = nullptr;
  int team = -1;                       // -1: not known
  const wire::Lease* lease = nullptr;  // not ended
  std::vector<int> slots;              // of that lease
  int site = -1;                       // of that lease
  std::vector<int> claim;              // free slots of its newest lease, while it has none now
  bool stopping = false;               // its lease is, perhaps by this decision
  bool restarting = false;             // stopped by kResize: it runs again in what is left to it
  // What research.cc found when its turn came, for explain.cc.
  enum class Outcome { kNotTried, kStarts, kSlotsComing, kBlocked } outcome = Outcome::kNotTried;
  int64_t saw_free = 0;         // slots on the site with the most
  bool collecting = false;      // free slots are kept for it
  bool may_not_borrow = false;  // free slots are for growth of teams below their share
  const std::string& id() const { return state->job.id; }
  const wire::JobSpec& spec() const { return state->job.spec; }
};

struct ReplicaPlan {
  const wire::Lease* lease = nullptr;
  std::vector<int> slots;
  int loan = -1;  // index; -1 = none
  bool stopping = false;
  bool second = false;  // replaces one that still runs: not counted twice
};

struct LoanPlan {
  const wire::Loan* loan = nullptr;
  std::vector<int> slots;  // known ones, sorted
  bool open = false;       // not recalled, this decision included
  int service = -1;
};

struct ServicePlan {
  const ServiceState* state = nullptr;
  int team = -1;
  std::vector<ReplicaPlan> replicas;
  std::vector<int> loans;  // not returned, oldest first
  int64_t ready = 0;       // replicas that serve
  int64_t unmet = 0;       // replicas wanted that this decision found no way to
  int64_t short_of_floor = 0;
  bool surging = false, calm = false;
  const wire::ServiceSpec& spec() const { return state->service.spec; }
  const std::string& name() const { return state->service.spec.name; }
  int64_t per_replica() const { return std::max<int64_t>(spec().slots_per_replica, 1); }
  int64_t own() const;  // replicas without a loan, not stopping
};

class Plan {
 public:
  Plan(const Snapshot& snapshot, const Policy& policy);

  const Snapshot& snapshot;
  const Policy& policy;
  const Time now;
  Places places;
  SlotPool pool;
  std::vector<TeamPlan> teams;        // as in the snapshot
  std::vector<JobPlan> jobs;          // as in the snapshot
  std::vector<ServicePlan> services;  // as in the snapshot
  std::vector<LoanPlan> loans;        // as in the snapshot
  std::vector<int> by_tier;           // services: tier, then id
  std::vector<bool> leased;           // per slot: in a lease that has not ended
  std::vector<int64_t> coming;        // per site: slots that stops under way will free for anybody
  int64_t usable = 0;                 // slots
  int64_t product_guarantee = 0;      // of all product teams
  int64_t product_running = 0;        // slots of replicas without a loan, not stopping
  int64_t out_on_loan = 0;            // slots on loans not returned
  int new_loans = 0;                  // opened by this decision
  std::vector<Action> actions;

  const std::string& slot_id(int slot) const { return snapshot.slots[slot].id; }
  // Known ones, sorted.
  std::vector<int> SlotsOf(const std::vector<std::string>& ids) const;
  std::vector<std::string> SlotIds(const std::vector<int>& slots) const;
  int TeamOf(std::string_view name) const;
  bool Within(int team, int ancestor) const;  // team is it, or below it
  void AddRunning(int team, int64_t slots);   // up the tree
  void AddLent(int team, int64_t slots);
  int64_t LendRoom(int team) const;  // slots that it may still lend, by all limits above it too

  // Takes n free slots of a site: from the pool, then from claims beyond what their jobs need to
  // run, then from any claim. Free(site) says how many there are.
  int64_t Free(int site) const;
  std::vector<int> TakeFree(int site, int64_t n, const std::vector<int>& preferred = {});
  void DropClaim(JobPlan* job);  // its slots go to the pool
  // Its team and the teams above it stay within a guarantee with `slots` more.
  bool Guaranteed(int team, int64_t slots) const;
  bool WithinShare(int team, int64_t slots) const;

  // Actions; each also moves the slots and the counts.
  void StopJob(JobPlan* job, How how, int64_t give, const std::vector<int>& slots, Reason reason);
  void StopReplica(ServicePlan* service, ReplicaPlan* replica, Reason reason);
  void StartReplica(ServicePlan* service, const std::vector<int>& slots, const std::string& loan,
                    Reason reason);
  void Recall(LoanPlan* loan, Reason reason);

  // May be stopped for somebody else: it runs, has had its minimum run time, is not stopping.
  bool MayBeStopped(const JobPlan& job) const;
  double LostWork(const JobPlan& job) const;  // slot-seconds, if it is stopped now
  int64_t LostSteps(const JobPlan& job) const;

 private:
  std::unordered_map<std::string_view, int> team_index_, slot_index_;
  std::vector<std::vector<int>> claims_in_;  // per site: jobs with claims
  std::vector<int64_t> claimed_in_;          // per site: slots
  void ReadTeams();
  void ReadLoans();
  void ReadLeases();
  void ReadClaims();
  void FindEntitlements();
};

}  // namespace weir::sched
