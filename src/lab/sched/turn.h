// One decision under way, and what a policy is.
//
// A policy plugs in like this: a class derived from Allocator, in a file of its own, that looks at
// turn.world and calls the verbs of Turn; and one line in a table of AllocatorEntry (the simulator
// has one of all policies; Weir's own is kWeir). Each verb changes the world's rows at once, so the
// next look sees it, and notes the move with its reason. A policy keeps no state that does not
// follow from the world's rows (World::TakeChanged() tells what changed, for an order of its own),
// knows no time but turn.now, and breaks ties by id: equal worlds give equal moves.
//
//   class Fifo : public Allocator {
//     void Decide(Turn& turn) override {
//       // one queue of all teams, in order of submission; nobody passes the head
//       while (JobId job = FirstWaiting(turn.world); job >= 0) {   // World::queues()
//         const int64_t n = turn.world.job(job).min_slots;
//         const PoolId pool = turn.BestPool(job, n);
//         if (pool < 0 || !turn.StartJob(job, n, pool)) return;
//       }
//     }
//   };
//
//   caller                                            policy
//   world.SetJob/SetNode/... (what it learned)
//   moves = Decide(world, allocator, now)      -->    allocator.Decide(turn): turn.StartJob, ...
//   journals and carries out the moves
//   tells what became of them: a stopped job's row as kPaused or gone, a run that was seen
//   (started), a ready replica, a loan that is empty (SetLoan(id, nullopt)), a refused move (the
//   row as it was)
//
// Ids of replicas and loans that a decision makes are the smallest above all that are in the world.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lab/sched/victims.h"
#include "lab/sched/world.h"

namespace weir::sched {

// What is to be done. Of `kind` as ActionKind says, with numbers instead of names.
struct Move {
  ActionKind kind = ActionKind::kStartJob;
  JobId job = -1;
  ServiceId service = -1;
  ReplicaId replica = -1;
  LoanId loan = -1;
  Places places;  // started: its slots. Stopped: those that it is to give up, if that matters
  wire::StopCause cause = wire::StopCause::kNone;
  int64_t shed_above_tier = 0;
  std::string version;
  Reason reason;  // of a started job: empty; its sentence is made of `start`
  struct Start {
    int64_t held = 0, guarantee = 0;  // of its account, with it
    double entitled = 0;
    bool resumes = false, backfills = false;
    Spread spread;
  } start;
};

// "resumes on 8 of 8..16 slots: team vision then holds 24 of a share of 30.0, guaranteed 16; ..."
Reason ReasonOf(const World& world, const Move& move);

class Turn {
 public:
  // The world has been advanced to `now`.
  explicit Turn(World* world);
  ~Turn();  // what was set aside is free again
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  World& world;
  const Policy& policy;
  const Time now;
  std::vector<Move> moves;

  // ---- looking ----
  // The pool that the job may use and whose free slots hold n of it: where it ran last, else the
  // type on which it is fastest, else the pool with the most free slots. -1 if none.
  PoolId BestPool(JobId job, int64_t n);
  // Nodes that leave before this are no place for the job: when it is expected to have ended at the
  // latest; one that can save takes less.
  Time NeededUntil(const Job& job, int64_t n) const;
  // What an account is entitled to by shares.h: its guarantee, what it is owed, then by weight.
  double entitled(AccountId account) const { return entitled_[account]; }
  int64_t running(AccountId account) const {
    return world.accounts()[account].running + extra_[account];
  }
  int64_t held(AccountId account) const {
    return world.accounts()[account].held() + extra_[account];
  }
  // With n more: within the guarantee of the account or of one above it; within what it is entitled
  // to; within its borrow limit and those above it.
  bool Guaranteed(AccountId account, int64_t n) const;
  bool WithinShare(AccountId account, int64_t n) const;
  bool MayBorrow(AccountId account, int64_t n) const;
  // Slots that the account may still lend, by all limits above it too.
  int64_t LendRoom(AccountId account) const;
  // How much of its share it uses, with its past use; the lowest comes first.
  double UsedShare(AccountId account) const;

  // ---- verbs ----
  // n slots in the pool, all or nothing; false if they are not there.
  bool StartJob(JobId job, int64_t n, PoolId pool, Move::Start why = {});
  // `give`: slots that come free of it for others; a shrink starts again on the rest. `places`:
  // which slots, if that matters.
  void StopJob(JobId job, How how, int64_t give, const Places& places, Reason reason);
  ReplicaId StartReplica(ServiceId service, const Places& places, LoanId loan, Reason reason);
  // With it the one that replaces it or that it replaces.
  void StopReplica(ReplicaId replica, Reason reason);
  // Its slots are kept for the service from now on, whoever still holds them.
  LoanId OpenLoan(Loan loan, Reason reason);
  void RecallLoan(LoanId loan, Reason reason);
  void SetShed(ServiceId service, int64_t above_tier, Reason reason);
  void UseVersion(ServiceId service, std::string version, Reason reason);

  // ---- until the turn is over ----
  void SetAside(const Places& places);  // free slots are nobody's
  void GiveBack(const Places& places);
  // Slots that are not yet held count as held by the account and those above it.
  void Count(AccountId account, int64_t slots);

 private:
  std::vector<double> entitled_;
  std::vector<int64_t> extra_;  // by account
  Places aside_;
};

class Allocator {
 public:
  virtual ~Allocator() = default;
  virtual void Decide(Turn& turn) = 0;
};

struct AllocatorEntry {
  std::string_view name;
  std::string_view what;  // one sentence
  std::unique_ptr<Allocator> (*make)();
};
extern const AllocatorEntry kWeir;  // weir.cc

// Advances the world to `now` and asks the policy. While the lab drains, no moves.
std::vector<Move> Decide(World& world, Allocator& allocator, Time now);

}  // namespace weir::sched
