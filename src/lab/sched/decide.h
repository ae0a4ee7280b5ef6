// decide(snapshot, policy) -> actions: who gets which slot, and why. What goes in and what comes
// out.
//
// Pure: no clock, no I/O, no threads, no memory between calls. Equal input gives equal output, bit
// for bit; ties break by id. The caller journals the actions, then carries them out; everything
// that Decide needs to remember (hysteresis, what was promised) comes back in the next snapshot.
//
// Decide() here starts anew each time: the obvious form, and the twin in tests. A lab that runs
// keeps a LabScheduler (lab_scheduler.h), which gives the same answers at the cost of what has
// changed; where a fleet is too big for snapshots of messages, one sets the rows of a World itself
// (world.h).
//
// The policy in words is in docs/policy.md; here is the order in which it is applied:
//   1. what is over: recall loans whose time or reason is up; stop what must stop
//   2. floors: product replicas up to min_replicas and up to the team's guarantee, reclaiming
//      with grace what others borrowed from it
//   3. surges: idle slots, then a cheaper version, then a loan (shrink before pause, least work
//      lost per freed slot first, never a job that cannot be checkpointed while another choice
//      exists, spread over teams by share, under every lend limit, outside minimum run times)
//   4. research: guarantees first, then by weighted share plus credit, gangs all or nothing,
//      paused jobs before new ones of the same rank; elastic jobs grow into what is idle
//   5. what is beyond all that degrades in the open: shed tiers
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"
#include "wire/lab.h"

namespace weir::sched {

// Measured demand of one service over the last seconds, and a look ahead.
struct Demand {
  double arrivals_per_s = 0;  // smoothed over about 2 s; those refused are counted too
  double forecast_per_s = 0;  // at the time a replica asked for now would be ready
  double service_rate_per_replica =
      0;                            // completions/s of one saturated replica; 0 = not measured yet
  double own_rate_per_replica = 0;  // the same of own_version, while a variant serves; 0 = as above
  double outstanding = 0;           // requests in flight at replicas
  double queued = 0;                // requests waiting at the gateway
  double ttft_ms = 0;               // at the SLO's percentile, over the last seconds; 0 = no sample
  double tpot_ms = 0;
  // Kept by UpdateMarks() in sizing.h.
  Time above_since;  // demand above what is ready, without a break since; 0 = it is not
  Time below_since;  // demand below the low mark, without a break since; 0 = it is not
};

struct SlotState {
  std::string id;
  bool usable = true;          // up and not cordoned
  std::string lease;           // holding lease (any phase but ended); empty = free
  Time free_since;             // end of its last lease; 0 = long ago
  std::string type, topology;  // as in wire::Slot
  Time leaves;
};

// Why a job may not start whatever is free.
enum class Hold : uint8_t { kNone, kBackoff, kBudget, kPerson };

struct JobState {
  wire::Job job;
  Time run_started;       // of the current lease
  Time last_checkpoint;   // or run_started when there is none yet
  Duration restart_cost;  // measured, or policy's guess: from start to first step
  double steps_per_s = 0;
  // Of what is left of it on min_slots, learned from the history of its like (estimate.h): 0 = not
  // known. In 9 of 10 cases the truth lies within expected / (1 + error) .. expected * (1 + error).
  Duration expected;
  float error = 0;
  float exponent = 1;  // measured: n slots do n^exponent times what one does
  Hold hold = Hold::kNone;
  // Of its newest ended lease. A job stopped by kResize comes first for these slots, one stopped by
  // kPause before any surge.
  std::vector<std::string> last_slots;
  wire::StopCause last_cause = wire::StopCause::kNone;
};

struct ServiceState {
  wire::Service service;
  Demand demand;
  Duration replica_startup;  // measured, or policy's guess: from start to ready
  Time start_not_before;     // back-off after a replica did not become ready; 0 = none
  Time last_down;            // when a replica was last asked to drain because of calm
  Time version_since;        // when the version that new replicas serve was last changed; 0 = never
  std::string own_version;   // what it serves outside of surges; empty = spec.model
};

struct Snapshot {
  Time now;
  std::vector<wire::Team> teams;
  std::vector<SlotState> slots;            // in order of id
  std::vector<JobState> jobs;              // not ended, in order of id
  std::vector<ServiceState> services;      // not retired, in order of id
  std::vector<wire::Lease> leases;         // not ended, in order of id
  std::vector<wire::Loan> loans;           // not returned, in order of id
  bool draining = false;                   // shutting down: start nothing
  std::map<std::string, double> past_use;  // by team: slots on average, fading with the half-life
};

// Every knob with its default. The table that makes flags and docs of it is in policy.h.
struct Policy {
  Duration loan_term = Duration::Minutes(10);  // due = opened + term; may be renewed by a new loan
  int64_t loan_limit_slots = -1;               // most slots out on loan in the lab; -1 = no limit
  Duration surge_after = Duration::Millis(1000);  // demand above capacity for so long is a surge
  Duration calm_after = Duration::Seconds(8);     // demand below the low mark for so long ends it
  double target_utilization = 0.7;                // of a replica's measured rate
  double low_mark = 0.6;                          // of what the smaller size could serve
  double default_rate_per_replica = 2.0;          // until measured
  Duration min_run = Duration::Seconds(10);       // after a start a job is left alone so long
  Duration grow_after = Duration::Seconds(5);     // idle for so long before an elastic job grows
  Duration replica_cooldown = Duration::Seconds(5);  // between two downward steps of one service
  double share_half_life_s = 3600;  // of what a team is owed: half of it is paid back in this time
  int64_t loan_replicas = 4;  // most replicas on one loan; more need several, returned one by one
  double spread_slot_s = 5;   // lost work that one more slot from a team that lent its share weighs
  bool operator==(const Policy&) const = default;
  bool break_jobs = true;  // a job without checkpoints may be stopped when nothing else is left
  Duration grow_payback = Duration::Minutes(10);  // growth must win back what it loses in so long
  double lose_share = 0.01;  // of the time it has run: most that a job loses for other research
  Duration pause_price = Duration::Minutes(2);  // a pause weighs as much work of the job's slots
  Duration gang_hold_after = Duration::Minutes(2);  // a job that waited so long collects free slots
  Duration drain_backlog = Duration::Seconds(5);    // a queue is to be served off in so long
  Duration cheaper_wait = Duration::Seconds(10);    // what a cheaper version gets before a loan
  Duration shed_after = Duration::Seconds(5);       // an unmet surge sheds a tier each so long
  int64_t lowest_tier = 3;                          // the tier that is shed first
  double short_first = 1;   // a job waits so many seconds for each that it is expected to run
  double share_memory = 1;  // what past use weighs in the order of teams
  double least_gain = 0.2;  // of one slot's work: what one slot more must add to an elastic job
  Duration leave_notice = Duration::Minutes(30);  // nothing starts on a node that leaves sooner
  Duration recall_margin = Duration::Seconds(1);  // recalled so long before due less the grace
};

enum class ActionKind {
  kStartJob,      // job on slots
  kStopJob,       // lease of a job, with cause kResize, kPause; `slots`: what it is to give up
  kStartReplica,  // service on slots, perhaps on a loan
  kStopReplica,   // lease of a replica, cause kDrain
  kOpenLoan,      // loan: parts filled in; its slots free up by the kStopJob actions beside it
  kRecallLoan,    // loan: its replicas drain; it is returned when all are gone
  kSetShed,       // service refuses tiers above `shed_above_tier` (0 = refuses none)
  kUseVersion,    // service: new replicas serve `version` (a cheaper one in a surge, and back: then
                  // it is own_version)
};

// Why, for people and programs: one sentence, and the numbers it rests on by name.
struct Reason {
  std::string text;
  std::map<std::string, double> numbers;
};

struct Action {
  ActionKind kind = ActionKind::kStartJob;
  std::string job;
  std::string service;
  std::string lease;
  std::vector<std::string> slots;
  wire::StopCause cause = wire::StopCause::kNone;
  // kOpenLoan: a name for it within this decision ("new-1"), which kStartReplica may use as `loan`;
  // the caller gives the real id. kRecallLoan, kStartReplica: the loan's id.
  std::string loan;
  std::vector<wire::LoanPart> parts;
  Time due;
  int64_t shed_above_tier = 0;
  std::string version;
  Reason reason;
};

// What keeps a waiting job or a wanted replica from starting: all blockers, not the first.
struct Blocker {
  // quota, capacity, gang, type, topology, reservation, order, budget, lent, health, backoff,
  // floor, draining, lend_limit, cost
  std::string kind;
  std::string text;    // a sentence with the numbers
  std::string remedy;  // what would change it
};

struct Explanation {
  std::string subject;  // job id, service id or loan id
  std::vector<Blocker> blockers;
  std::optional<Duration> expected_wait;
  std::optional<Duration> latest_wait;  // if what it waits for takes as long as may be expected
  std::vector<std::string> waits_for;   // jobs whose slots it is to have
  std::string cheapest;                 // the cheapest change that would start it now
  std::string could_take_away;          // for what runs: what could end it
  std::string why_here;                 // ... and why it runs where it does
};

struct Decision {
  std::vector<Action> actions;
  std::vector<Explanation>
      explanations;  // one per job, short service, loan not returned; by subject
};

Decision Decide(const Snapshot& snapshot, const Policy& policy);

}  // namespace weir::sched
