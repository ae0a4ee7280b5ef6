// State: what the lab is, as the fold of its journal. Apply() is the only way to change it.
//
// Deterministic: the same events in the same order give the same State, member by member; nothing
// here reads a clock, a file or a random number. Text() is the whole state as JSON: equality of
// states is equality of texts, and a snapshot is this text.
//
// The machines, and the event behind each arrow (an arrow not drawn is refused):
//
//   job      submitted --> queued --lease.intended--> running --job.done-------> done
//                           ^  |                       |  |  \--job.failed-----> failed
//              job.queued --/  \--job.cancelled        |  \-----job.cancelled--> cancelled
//                           |                          |
//            paused <-------+--job.paused / queued-----/      (after lease.ended, same batch)
//              \--lease.intended--> running,  \--job.cancelled--> cancelled
//
//     from \ event     lease.intended  job.queued  job.paused  job.done  job.failed  job.cancelled
//     queued           running         -           -           -         failed      cancelled
//     paused           running         queued      -           -         failed      cancelled
//     running, leased  -               -           -           -         -           -
//     running, ended   -               queued      paused      done      failed      cancelled
//     done/failed/cancelled: no event
//
//   lease    intended --lease.active--> active --lease.stop_asked--> stopping --lease.ended--> gone
//              any of the three may end; stop_asked may repeat with another cause (a cancel
//              overrides a pause). A lease that has ended leaves the state: the journal keeps it.
//              replica.ready / replica.unready: on active leases of replicas. Two leases share
//              slots only while one names the other in `replaces` (a rollout's exchange).
//
//   loan     open --loan.recalled--> recalled --loan.returned--> returned
//              loan.loss on open and recalled ones. loan.returned only when no lease is on it.
//
//   rollout  running --rollout.ended--> done | aborted
//              moved counts replica.ready of `to` in place of another lease; failures counts such
//              replicas that ended without ever being ready.
//
//   service  active --service.retiring--> retiring --service.retired--> gone
//
// What has ended is kept up to a bound (kEndedJobsKept, ...); the oldest leaves first.
//
// Time      record times, as the control loop's lab clock gave them (lab_clock.h).
// Threads   a value: no locks inside.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/events.h"
#include "wire/lab.h"

namespace weir::control {

inline constexpr size_t kEndedJobsKept = 300;
inline constexpr size_t kReturnedLoansKept = 100;
inline constexpr size_t kEndedRolloutsKept = 50;

// What a person said of a slot.
struct SlotMark {
  wire::SlotHealth health = wire::SlotHealth::kUp;
  std::string why;
  bool at_site = false;
};
template <class V>
void Fields(V& v, Owned<V, SlotMark>& m) {
  v("health", m.health);
  v("why", m.why);
  v("at_site", m.at_site, "the site's engine drains its node too");
}

// What the deciders need to remember of a job's newest run, ...
struct JobMemo {
  std::vector<std::string> last_slots;
  wire::StopCause last_cause = wire::StopCause::kNone;
};
template <class V>
void Fields(V& v, Owned<V, JobMemo>& m) {
  v("last_slots", m.last_slots, "of its newest ended lease");
  v("last_cause", m.last_cause, "why that was stopped");
}

// ... and of a service.
struct ServiceMemo {
  int64_t failures = 0;
  Time not_before;
  Time last_down;
  std::string own_version;
  Time version_since;
  std::map<std::string, int64_t> variant_failures;
};
template <class V>
void Fields(V& v, Owned<V, ServiceMemo>& m) {
  v("failures", m.failures, "replicas that failed in a row");
  v("not_before_us", m.not_before, "no new replica before: back-off");
  v("last_down_us", m.last_down, "when a replica was last asked to drain");
  v("own_version", m.own_version, "what it serves outside of surges");
  v("version_since_us", m.version_since, "when a surge, or its end, last changed the version");
  v("variant_failures", m.variant_failures, "replicas of a variant that failed in a row");
}

// Slot-seconds that were held, by site: what budgets count.
struct Spend {
  std::map<std::string, double> slot_s;
};
template <class V>
void Fields(V& v, Owned<V, Spend>& s) {
  v("slot_s", s.slot_s, "by site, ended leases only");
}

// Use that fades: half of it is forgotten in kUseHalfLife. What fair share remembers.
inline constexpr Duration kUseHalfLife = Duration::Seconds(86'400);
struct PastUse {
  double slot_s = 0;
  Time at;
};
template <class V>
void Fields(V& v, Owned<V, PastUse>& u) {
  v("slot_s", u.slot_s, "as of `at`");
  v("at_us", u.at);
}

struct Counters {
  int64_t job = 0;
  int64_t service = 0;
  int64_t lease = 0;
  int64_t loan = 0;
  int64_t rollout = 0;
};
template <class V>
void Fields(V& v, Owned<V, Counters>& c) {
  v("job", c.job, "newest number given");
  v("service", c.service);
  v("lease", c.lease);
  v("loan", c.loan);
  v("rollout", c.rollout);
}

struct State {
  std::string lab;
  Counters counters;
  std::map<std::string, wire::Team> teams;  // by name
  std::map<std::string, Time> credit_at;    // when a team's credit was last set
  std::map<std::string, wire::Slot> slots;  // by id, as drivers report them
  std::map<std::string, SlotMark> marks;    // by slot
  std::map<std::string, wire::Job> jobs;    // by id, as all below
  std::map<std::string, wire::Lease> leases;
  std::map<std::string, wire::Service> services;
  std::map<std::string, JobMemo> job_memos;          // by job id; of those that have not ended
  std::map<std::string, ServiceMemo> service_memos;  // by service id
  std::map<std::string, Time> free_since;            // by slot: end of its last lease
  std::map<std::string, wire::Loan> loans;
  std::map<std::string, wire::Rollout> rollouts;
  std::vector<wire::Dataset> datasets;              // oldest first
  std::vector<wire::ModelVersion> versions;         // oldest first
  std::map<std::string, wire::Pipeline> pipelines;  // by name
  std::map<std::string, wire::Key> keys;            // by name
  std::map<std::string, Spend> spend;               // by team
  std::map<std::string, Spend> user_spend;          // by "team/user"
  std::map<std::string, PastUse> past_use;          // by team
  std::map<std::string, wire::SiteSpec> sites;      // by name; those that were added
  market::Book book;                                // offers and contracts
  std::optional<wire::HeldPlan> plan;               // the newest
};
template <class V>
void Fields(V& v, Owned<V, State>& s) {
  v("lab", s.lab);
  v("counters", s.counters);
  v("teams", s.teams);
  v("credit_at_us", s.credit_at);
  v("slots", s.slots);
  v("marks", s.marks);
  v("jobs", s.jobs);
  v("leases", s.leases);
  v("services", s.services);
  v("job_memos", s.job_memos);
  v("service_memos", s.service_memos);
  v("free_since_us", s.free_since);
  v("loans", s.loans);
  v("rollouts", s.rollouts);
  v("datasets", s.datasets);
  v("versions", s.versions);
  v("pipelines", s.pipelines);
  v("keys", s.keys);
  v("spend", s.spend);
  v("user_spend", s.user_spend);
  v("past_use", s.past_use);
  v("sites", s.sites);
  v("book", s.book, "offers and contracts");
  v("plan", s.plan, "the newest plan of what to rent");
}

// Changes `state` by one event. On an error (an arrow that is not in the tables above, an unknown
// or taken id, a slot leased twice) the state is not to be used any more: apply to a copy.
Status Apply(State& state, const Event& event);

std::string Text(const State& state);
Result<State> StateFromText(const std::string& text);

// ---- small questions ----
bool HasEnded(const wire::Job& job);
// Slots that the team held on average over the memory of its past use, as of `now`.
double PastSlots(const State& state, const std::string& team, Time now);
// A slot with its driver's health and the person's mark brought together: the worse of the two.
wire::Slot EffectiveSlot(const State& state, const wire::Slot& slot);
// By id, or by the name of one that has not ended; the newest ended one of that name otherwise.
const wire::Job* FindJob(const State& state, const std::string& which);
// By id or name.
const wire::Service* FindService(const State& state, const std::string& which);
// What it serves outside of surges.
std::string OwnVersion(const State& state, const wire::Service& service);
// The versions that it may fall back on in a surge: those of its variants that exist and have not
// failed kVariantFailures times in a row.
std::vector<std::string> VariantsOf(const State& state, const wire::Service& service);
inline constexpr int64_t kVariantFailures = 3;
// NAME of an engine flag --adapter=NAME=FOLDER; empty for any other.
std::string AdapterName(const std::string& flag);
// What requests may call it besides its name: its own version, the model of that, its adapters.
std::vector<std::string> RequestNames(const State& state, const wire::Service& service);
// Version id, or the newest version of a model of that name.
const wire::ModelVersion* FindVersion(const State& state, const std::string& which);

}  // namespace weir::control

WEIR_MESSAGE(weir::control::SlotMark);
WEIR_MESSAGE(weir::control::JobMemo);
WEIR_MESSAGE(weir::control::ServiceMemo);
WEIR_MESSAGE(weir::control::Spend);
WEIR_MESSAGE(weir::control::PastUse);
WEIR_MESSAGE(weir::control::Counters);
WEIR_MESSAGE(weir::control::State);
