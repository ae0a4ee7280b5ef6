// What can happen in a lab, as the journal keeps it: one struct per type of event.
//
// An event says who did what to what and why, in a sentence with the numbers behind it, and holds
// in its body everything that the state needs: applying the events in order gives the state (see
// state.h), so a body never refers to anything outside the journal.
//
// Stored as io::Entry: time, actor and type are columns; the entry's body is the JSON object
//   {"subjects":["job-1"],"text":"...","numbers":{"free":2},"body":{...the struct below...}}
// A type or field is only ever added. docs/formats.md lists them.
//
// Threads   values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "io/store.h"
#include "lab/market/messages.h"
#include "wire/lab.h"
#include "wire/plan.h"
#include "wire/site.h"
#include "wire/view.h"

namespace weir::control {

using wire::kRequired;
using wire::Owned;

// ---- the lab itself ----

struct LabStarted {
  static constexpr const char* kType = "lab.started";
  std::string lab;
  std::string version;
};
template <class V>
void Fields(V& v, Owned<V, LabStarted>& e) {
  v("lab", e.lab, "name of the lab");
  v("version", e.version, "of Weir");
}

struct LabStopping {
  static constexpr const char* kType = "lab.stopping";
  Duration grace;
};
template <class V>
void Fields(V& v, Owned<V, LabStopping>& e) {
  v("grace_us", e.grace, "what runs has so long to save");
}

// ---- teams, slots, keys ----

struct TeamPut {
  static constexpr const char* kType = "team.put";
  wire::Team team;
};
template <class V>
void Fields(V& v, Owned<V, TeamPut>& e) {
  v("team", e.team, "as it is now; its credit is kept", kRequired);
}

struct TeamRemoved {
  static constexpr const char* kType = "team.removed";
  std::string team;
};
template <class V>
void Fields(V& v, Owned<V, TeamRemoved>& e) {
  v("team", e.team, "", kRequired);
}

// A slot as its driver reports it, when it is new or has changed.
struct SlotSeen {
  static constexpr const char* kType = "slot.seen";
  wire::Slot slot;
};
template <class V>
void Fields(V& v, Owned<V, SlotSeen>& e) {
  v("slot", e.slot, "", kRequired);
}

// A slot as a person wants it: up takes the mark away.
struct SlotMarked {
  static constexpr const char* kType = "slot.marked";
  std::string slot;
  wire::SlotHealth health = wire::SlotHealth::kUp;
  std::string why;
  bool at_site = false;
};
template <class V>
void Fields(V& v, Owned<V, SlotMarked>& e) {
  v("slot", e.slot, "", kRequired);
  v("health", e.health);
  v("why", e.why);
  v("at_site", e.at_site, "the site's engine is to drain its node too");
}

// A site is added, or changed (a drain is such a change).
struct SitePut {
  static constexpr const char* kType = "site.put";
  wire::SiteSpec site;
};
template <class V>
void Fields(V& v, Owned<V, SitePut>& e) {
  v("site", e.site, "as it is now", kRequired);
}

struct SiteRemoved {
  static constexpr const char* kType = "site.removed";
  std::string site;
};
template <class V>
void Fields(V& v, Owned<V, SiteRemoved>& e) {
  v("site", e.site, "it has no lease; its slots go with it", kRequired);
}

struct KeyCreated {
  static constexpr const char* kType = "key.created";
  wire::Key key;
};
template <class V>
void Fields(V& v, Owned<V, KeyCreated>& e) {
  v("key", e.key, "with the hash of its secret", kRequired);
}

struct KeyRevoked {
  static constexpr const char* kType = "key.revoked";
  std::string key;
};
template <class V>
void Fields(V& v, Owned<V, KeyRevoked>& e) {
  v("key", e.key, "", kRequired);
}

// ---- jobs ----

struct JobSubmitted {
  static constexpr const char* kType = "job.submitted";
  wire::Job job;
};
template <class V>
void Fields(V& v, Owned<V, JobSubmitted>& e) {
  v("job", e.job, "queued", kRequired);
}

// A job that holds no lease (any more) goes to another phase. Its type is "job." and the phase:
// job.queued, job.paused, job.done, job.failed, job.cancelled. (It runs by lease.intended.)
struct JobMoved {
  static constexpr const char* kType = "job.moved";
  std::string job;
  wire::JobPhase phase = wire::JobPhase::kQueued;
  std::string reason;
  std::vector<std::string> last_lines;
  std::optional<int64_t> exit_code;
  Time not_before;
  bool failed_run = false;
  double lost_slot_s = 0;
  int64_t lost_steps = 0;
};
template <class V>
void Fields(V& v, Owned<V, JobMoved>& e) {
  v("job", e.job, "", kRequired);
  v("phase", e.phase, "", kRequired);
  v("reason", e.reason);
  v("last_lines", e.last_lines, "end of the output, of a failed run");
  v("exit_code", e.exit_code, "of the run that ended");
  v("not_before_us", e.not_before, "back-off");
  v("failed_run", e.failed_run, "the run counts as a failure");
  v("lost_slot_s", e.lost_slot_s, "work that has to be done again");
  v("lost_steps", e.lost_steps);
}

struct CheckpointSaved {
  static constexpr const char* kType = "checkpoint.saved";
  std::string job;
  wire::Checkpoint checkpoint;
};
template <class V>
void Fields(V& v, Owned<V, CheckpointSaved>& e) {
  v("job", e.job, "", kRequired);
  v("checkpoint", e.checkpoint, "", kRequired);
}

// ---- leases ----

struct LeaseIntended {
  static constexpr const char* kType = "lease.intended";
  wire::Lease lease;
};
template <class V>
void Fields(V& v, Owned<V, LeaseIntended>& e) {
  v("lease", e.lease, "the intent: its run may be started from now on", kRequired);
}

struct LeaseActive {
  static constexpr const char* kType = "lease.active";
  std::string lease;
};
template <class V>
void Fields(V& v, Owned<V, LeaseActive>& e) {
  v("lease", e.lease, "its run was seen running", kRequired);
}

struct LeaseStopAsked {
  static constexpr const char* kType = "lease.stop_asked";
  std::string lease;
  wire::StopCause cause = wire::StopCause::kNone;
};
template <class V>
void Fields(V& v, Owned<V, LeaseStopAsked>& e) {
  v("lease", e.lease, "the intent: its run may be stopped from now on", kRequired);
  v("cause", e.cause, "", kRequired);
}

struct LeaseEnded {
  static constexpr const char* kType = "lease.ended";
  std::string lease;
  std::string how;
  std::optional<int64_t> exit_code;
  double held_slot_s = 0;
  int64_t failures = 0;
  Time not_before;
};
template <class V>
void Fields(V& v, Owned<V, LeaseEnded>& e) {
  v("lease", e.lease, "its run is gone for good", kRequired);
  v("how", e.how, "exit 0, signal 9, lost, never started, ...");
  v("exit_code", e.exit_code);
  v("held_slot_s", e.held_slot_s, "slots x seconds that it was held");
  v("failures", e.failures,
    "replicas that ended by themselves or unhealthy: how many in a row, this one included");
  v("not_before_us", e.not_before, "replicas: the service starts no new one before");
}

struct ReplicaReady {
  static constexpr const char* kType = "replica.ready";
  std::string lease;
  int64_t port = 0;
  std::string host;
};
template <class V>
void Fields(V& v, Owned<V, ReplicaReady>& e) {
  v("lease", e.lease, "its health path answers", kRequired);
  v("port", e.port);
  v("host", e.host, "empty: this machine's loopback");
}

struct ReplicaUnready {
  static constexpr const char* kType = "replica.unready";
  std::string lease;
};
template <class V>
void Fields(V& v, Owned<V, ReplicaUnready>& e) {
  v("lease", e.lease, "its health path stopped answering", kRequired);
}

// ---- loans ----

struct LoanOpened {
  static constexpr const char* kType = "loan.opened";
  wire::Loan loan;
};
template <class V>
void Fields(V& v, Owned<V, LoanOpened>& e) {
  v("loan", e.loan, "", kRequired);
}

// What one lender lost by stopping: known when its run has ended.
struct LoanLoss {
  static constexpr const char* kType = "loan.loss";
  std::string loan;
  std::string job;
  double work_lost_slot_s = 0;
  int64_t steps_lost = 0;
};
template <class V>
void Fields(V& v, Owned<V, LoanLoss>& e) {
  v("loan", e.loan, "", kRequired);
  v("job", e.job, "", kRequired);
  v("work_lost_slot_s", e.work_lost_slot_s);
  v("steps_lost", e.steps_lost);
}

struct LoanRecalled {
  static constexpr const char* kType = "loan.recalled";
  std::string loan;
  std::string why;
};
template <class V>
void Fields(V& v, Owned<V, LoanRecalled>& e) {
  v("loan", e.loan, "", kRequired);
  v("why", e.why);
}

struct LoanReturned {
  static constexpr const char* kType = "loan.returned";
  std::string loan;
  double cost_slot_s = 0;
  int64_t cost_steps = 0;
  std::map<std::string, double> credit_slot_s;
};
template <class V>
void Fields(V& v, Owned<V, LoanReturned>& e) {
  v("loan", e.loan, "none of its leases is left", kRequired);
  v("cost_slot_s", e.cost_slot_s);
  v("cost_steps", e.cost_steps);
  v("credit_slot_s", e.credit_slot_s, "credit of each lending team from now on");
}

// ---- services ----

struct ServiceCreated {
  static constexpr const char* kType = "service.created";
  wire::Service service;
};
template <class V>
void Fields(V& v, Owned<V, ServiceCreated>& e) {
  v("service", e.service, "", kRequired);
}

struct ServiceUpdated {
  static constexpr const char* kType = "service.updated";
  std::string service;
  wire::ServiceSpec spec;
};
template <class V>
void Fields(V& v, Owned<V, ServiceUpdated>& e) {
  v("service", e.service, "id", kRequired);
  v("spec", e.spec, "", kRequired);
}

struct ServiceRetiring {
  static constexpr const char* kType = "service.retiring";
  std::string service;
};
template <class V>
void Fields(V& v, Owned<V, ServiceRetiring>& e) {
  v("service", e.service, "id", kRequired);
}

struct ServiceRetired {
  static constexpr const char* kType = "service.retired";
  std::string service;
};
template <class V>
void Fields(V& v, Owned<V, ServiceRetired>& e) {
  v("service", e.service, "id; none of its leases is left", kRequired);
}

struct ServiceShed {
  static constexpr const char* kType = "service.shed";
  std::string service;
  int64_t shed_above_tier = 0;
};
template <class V>
void Fields(V& v, Owned<V, ServiceShed>& e) {
  v("service", e.service, "id", kRequired);
  v("shed_above_tier", e.shed_above_tier, "tiers above are refused; 0 = none");
}

struct ServiceVersion {
  static constexpr const char* kType = "service.version";
  std::string service;
  std::string version;
  bool own = false;
};
template <class V>
void Fields(V& v, Owned<V, ServiceVersion>& e) {
  v("service", e.service, "id", kRequired);
  v("version", e.version, "that new replicas serve");
  v("own", e.own, "outside of surges too");
}

// ---- data and models ----

struct DatasetAdded {
  static constexpr const char* kType = "dataset.added";
  wire::Dataset dataset;
};
template <class V>
void Fields(V& v, Owned<V, DatasetAdded>& e) {
  v("dataset", e.dataset, "", kRequired);
}

struct ModelRegistered {
  static constexpr const char* kType = "model.registered";
  wire::ModelVersion version;
};
template <class V>
void Fields(V& v, Owned<V, ModelRegistered>& e) {
  v("version", e.version, "", kRequired);
}

struct PipelinePut {
  static constexpr const char* kType = "pipeline.put";
  wire::Pipeline pipeline;
};
template <class V>
void Fields(V& v, Owned<V, PipelinePut>& e) {
  v("pipeline", e.pipeline, "", kRequired);
}

struct RolloutStarted {
  static constexpr const char* kType = "rollout.started";
  wire::Rollout rollout;
};
template <class V>
void Fields(V& v, Owned<V, RolloutStarted>& e) {
  v("rollout", e.rollout, "", kRequired);
}

struct RolloutEnded {
  static constexpr const char* kType = "rollout.ended";
  std::string rollout;
  wire::RolloutPhase phase = wire::RolloutPhase::kDone;
};
template <class V>
void Fields(V& v, Owned<V, RolloutEnded>& e) {
  v("rollout", e.rollout, "", kRequired);
  v("phase", e.phase, "done or aborted", kRequired);
}

// ---- the market ----

// Offers, contracts and what goes with them, as they are now: those that a change touched.
struct MarketPut {
  static constexpr const char* kType = "market.put";
  std::vector<market::Offer> offers;
  std::vector<market::Contract> contracts;
  int64_t last_number = 0;
  std::optional<std::vector<market::Rate>> rates;
  std::optional<std::vector<market::Budget>> budgets;
  std::optional<std::vector<std::string>> accelerators;
};
template <class V>
void Fields(V& v, Owned<V, MarketPut>& e) {
  v("offers", e.offers, "new or changed");
  v("contracts", e.contracts, "new or changed");
  v("last_number", e.last_number, "newest number given to an offer or a contract");
  v("rates", e.rates, "all of them, if any changed");
  v("budgets", e.budgets, "all of them, if any changed");
  v("accelerators", e.accelerators, "names known beside the blueprint's, if any changed");
}

// The newest plan of what to rent; the one before is kept by the journal alone.
struct PlanPut {
  static constexpr const char* kType = "plan.put";
  wire::PlanDoc plan;
};
template <class V>
void Fields(V& v, Owned<V, PlanPut>& e) {
  v("plan", e.plan, "", kRequired);
}

using EventBody =
    std::variant<LabStarted, LabStopping, TeamPut, TeamRemoved, SlotSeen, SlotMarked, KeyCreated,
                 KeyRevoked, JobSubmitted, JobMoved, CheckpointSaved, LeaseIntended, LeaseActive,
                 LeaseStopAsked, LeaseEnded, ReplicaReady, ReplicaUnready, LoanOpened, LoanLoss,
                 LoanRecalled, LoanReturned, ServiceCreated, ServiceUpdated, ServiceRetiring,
                 ServiceRetired, ServiceShed, ServiceVersion, DatasetAdded, ModelRegistered,
                 PipelinePut, RolloutStarted, RolloutEnded, SitePut, SiteRemoved, MarketPut,
                 PlanPut>;

inline constexpr const char* kLoopActor = "weir";  // the control loop itself

struct Event {
  Time at;
  std::string actor = kLoopActor;
  std::vector<std::string> subjects;  // ids and names that it is about, the main one first
  std::string text;                   // what happened and why, for people
  std::map<std::string, double> numbers;
  EventBody body;
};

// "lease.intended"; of a JobMoved "job.paused" and so on.
std::string TypeOf(const EventBody& body);

io::Entry ToEntry(const Event& event);
// kDataLoss: not what ToEntry makes; a type that this version does not know is kUnimplemented with
// the hint to use the newer program.
Result<Event> FromRecord(const io::Record& record);
// For the API: the same record, with the body left as JSON.
Result<wire::JournalRecord> ToWire(const io::Record& record);

}  // namespace weir::control

WEIR_MESSAGE(weir::control::LabStarted);
WEIR_MESSAGE(weir::control::LabStopping);
WEIR_MESSAGE(weir::control::TeamPut);
WEIR_MESSAGE(weir::control::TeamRemoved);
WEIR_MESSAGE(weir::control::SlotSeen);
WEIR_MESSAGE(weir::control::SlotMarked);
WEIR_MESSAGE(weir::control::SitePut);
WEIR_MESSAGE(weir::control::SiteRemoved);
WEIR_MESSAGE(weir::control::KeyCreated);
WEIR_MESSAGE(weir::control::KeyRevoked);
WEIR_MESSAGE(weir::control::JobSubmitted);
WEIR_MESSAGE(weir::control::JobMoved);
WEIR_MESSAGE(weir::control::CheckpointSaved);
WEIR_MESSAGE(weir::control::LeaseIntended);
WEIR_MESSAGE(weir::control::LeaseActive);
WEIR_MESSAGE(weir::control::LeaseStopAsked);
WEIR_MESSAGE(weir::control::LeaseEnded);
WEIR_MESSAGE(weir::control::ReplicaReady);
WEIR_MESSAGE(weir::control::ReplicaUnready);
WEIR_MESSAGE(weir::control::LoanOpened);
WEIR_MESSAGE(weir::control::LoanLoss);
WEIR_MESSAGE(weir::control::LoanRecalled);
WEIR_MESSAGE(weir::control::LoanReturned);
WEIR_MESSAGE(weir::control::ServiceCreated);
WEIR_MESSAGE(weir::control::ServiceUpdated);
WEIR_MESSAGE(weir::control::ServiceRetiring);
WEIR_MESSAGE(weir::control::ServiceRetired);
WEIR_MESSAGE(weir::control::ServiceShed);
WEIR_MESSAGE(weir::control::ServiceVersion);
WEIR_MESSAGE(weir::control::DatasetAdded);
WEIR_MESSAGE(weir::control::ModelRegistered);
WEIR_MESSAGE(weir::control::PipelinePut);
WEIR_MESSAGE(weir::control::RolloutStarted);
WEIR_MESSAGE(weir::control::RolloutEnded);
WEIR_MESSAGE(weir::control::MarketPut);
WEIR_MESSAGE(weir::control::PlanPut);
