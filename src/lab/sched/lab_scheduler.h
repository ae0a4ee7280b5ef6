// The scheduler of a running lab: snapshots of messages in, actions with names out; in between one
// World, kept from cycle to cycle.
//
// Each snapshot is compared with the rows that the world has, and what differs is set. The rows
// follow from the snapshot alone, so a LabScheduler that has seen a thousand snapshots decides as a
// new one that sees only the last (random_test.cc compares them after every step). When nodes,
// teams or types come or go it starts a new world.
//
// Cost      comparing is O(lab), with small constants; deciding follows what changed.
// Threads   one at a time.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lab/sched/decide.h"
#include "lab/sched/weir.h"

namespace weir::sched {

// What a job that is not yet submitted would meet.
struct DryRun {
  bool starts_now = false;
  std::vector<std::string> slots;         // if it starts now
  std::optional<Duration> expected_wait;  // else, if that can be told
  Spread spread;
  std::vector<std::string> touches;  // sentences: whom its start would stop or shrink
  Explanation explanation;           // what keeps it from starting now
};

// One team in the tree of quotas, over all accelerator types, with the teams below it.
struct TeamShare {
  std::string team;
  double entitled = 0;
  int64_t guarantee = 0, held = 0, lent = 0;
  // Research: what it holds beyond its guarantee. Product: what it has on loan.
  int64_t borrowed = 0;
};

// The site of the slot "site/node/3".
std::string_view SiteOfSlot(std::string_view slot_id);

class LabScheduler {
 public:
  LabScheduler();
  ~LabScheduler();

  // Decision::explanations stays empty: ask for those that are wanted.
  Decision Decide(const Snapshot& snapshot, const Policy& policy);

  // Of the newest decision; nullopt: no such job, service or loan, or nothing to say. `foresee`:
  // also when a waiting job is expected to start, which costs some dozen decisions.
  std::optional<Explanation> Explain(const std::string& subject, bool foresee);
  std::vector<Explanation> ExplainAll();
  // Waiting jobs and when they are expected to start.
  std::map<std::string, Time> ExpectedStarts();
  // `job` needs a spec and an id that nobody has.
  DryRun Try(const JobState& job);

  const World& world() const { return *world_; }
  std::vector<TeamShare> Shares() const;  // in order of the snapshot's teams

 private:
  struct Names;
  void Start(const Snapshot& snapshot, const Policy& policy);
  bool SameFrame(const Snapshot& snapshot) const;
  void Sync(const Snapshot& snapshot, const Policy& policy);
  void SyncSlots(const Snapshot& snapshot);
  void SyncTeams(const Snapshot& snapshot);
  void SyncJobs(const Snapshot& snapshot);
  void SyncReplicas(const Snapshot& snapshot);
  void SyncLoans(const Snapshot& snapshot);
  Job RowOf(const JobState& state, const wire::Lease* lease);
  Shape ShapeOf(const wire::JobSpec& spec) const;
  Places PlacesOf(const std::vector<std::string>& slots) const;
  std::vector<std::string> SlotsOf(const Places& places) const;
  int ForeseeSteps() const;  // as many as cost little in a lab of this size
  Action ActionOf(const Move& move, std::map<LoanId, std::string>* new_loans) const;

  std::unique_ptr<World> world_;
  std::unique_ptr<Names> names_;
  WeirAllocator allocator_;
  Time now_;
};

}  // namespace weir::sched
