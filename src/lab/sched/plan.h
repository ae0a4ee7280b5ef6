// The scratch of one decision by Weir's own policy: the turn, and what product.cc, loans.cc and
// research.cc have found and promised so far. Nothing outlives the call but the notes, from which
// explain.cc tells people why.
//
// A slot is, for the plan, in one place at a time:
//   held      by a job or a replica (also one that is stopping)
//   on loan   on a loan that is not returned, and free: waits for a replica of its service
//   claimed   free, but of the newest run of a job that a stop interrupted: it comes first
//   free      for anybody
//   aside     kept by this decision for somebody who starts later
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lab/sched/turn.h"

namespace weir::sched {

// What a decision found about those that it did not serve.
struct JobNote {
  enum class Outcome { kSlotsComing, kBlocked } outcome = Outcome::kBlocked;
  int64_t saw_free = 0;         // slots of the pool with the most, when its turn came
  bool collecting = false;      // free slots are kept for it as they come
  bool may_not_borrow = false;  // free slots are for growth of teams below their share
  bool over_borrow_limit = false;
  JobId delays = -1;  // free slots are kept for that one, which this one would delay
  Time delays_until;
  Duration delays_for;  // how long it was taken to run; 0 = nothing is known
  Time reserved;        // the slots that it needs are kept for it from then on; 0 = not
  std::vector<JobId>
      waits_for;  // whose slots those are, first to end first; at most kWaitsForShown
  // Work that others would lose for it, at the least, and what its own waiting has cost so far:
  // nobody is stopped for it before that is as much. 0 = it did not come to that.
  double costs_slot_s = 0, paid_slot_s = 0;
  JobId loses_too_much = -1;  // ... or that one would lose more than lose_share of its run
};
inline constexpr size_t kWaitsForShown = 8;
struct ServiceNote {
  int64_t unmet = 0;  // replicas wanted that the decision found no way to
  int64_t short_of_floor = 0;
  bool surging = false;
  int64_t ready = 0;
  std::string refused;       // why no loan was opened, or not for all of it
  int64_t not_pressing = 0;  // replicas wanted for which no job is stopped yet
};
struct Notes {
  std::map<JobId, JobNote> jobs;
  std::map<ServiceId, ServiceNote> services;
};

struct Claim {
  JobId job = -1;
  PoolId pool = -1;
  Places places;
  bool restarting = false;  // stopped by kResize: it runs again in what is left to it
};

struct ServicePlan {
  ServiceId id = -1;
  const ServiceState* state = nullptr;
  TeamId team = -1;
  std::vector<ReplicaId> replicas;  // as the decision found them
  std::vector<LoanId> loans;        // not returned, oldest first
  bool surging = false, calm = false;
  ServiceNote* note = nullptr;
  const wire::ServiceSpec& spec() const { return state->service.spec; }
  const std::string& name() const { return state->service.spec.name; }
  int64_t per_replica() const { return std::max<int64_t>(spec().slots_per_replica, 1); }
};

class Plan {
 public:
  Plan(Turn* turn, Notes* notes);

  Turn& turn;
  World& world;
  const Policy& policy;
  const Time now;
  Notes& notes;
  std::vector<ServicePlan> services;  // as in the world
  std::vector<int> by_tier;           // services: tier, then id
  std::vector<int64_t> coming;        // per pool: slots that stops under way will free for anybody
  std::vector<Claim> claims;          // by job

  size_t pools() const { return world.fleet().pools().size(); }
  const Fleet::Pool& pool(PoolId p) const { return world.fleet().pools()[p]; }
  bool Suits(const ServicePlan& service, PoolId pool) const;
  // Replicas of the service without a loan, not stopping.
  int64_t Own(const ServicePlan& service) const;
  int64_t product_running() const { return world.product_running() + promised_; }
  void PromiseProduct(const ServicePlan& service, PoolId pool, int64_t slots);

  // n free slots of a pool: then from claims beyond what their jobs need to start, then from all
  // claims. Nothing is held by it.
  int64_t Free(PoolId pool) const;
  Places TakeFree(PoolId pool, int64_t n);
  void DropClaim(Claim* claim);

  void StopReplica(ReplicaId replica, const Reason& reason);
  int64_t LostSteps(JobId job) const { return world.job(job).steps_lost; }

 private:
  int64_t promised_ = 0;
  void ReadServices();
  void ReadComing();
  void ReadClaims();
};

// The two sides of a decision, in this order; see docs/policy.md.
void GiveBack(Plan* plan);       // product.cc: what is over
void ServeProduct(Plan* plan);   // product.cc: floors, then surges
void ServeResearch(Plan* plan);  // research.cc

}  // namespace weir::sched
