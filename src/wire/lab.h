// The lab's objects, as the journal keeps them, the API shows them and programs read them.
// One struct, one JSON shape (see schema.h); fields are documented where they are declared, and the
// OpenAPI document takes its descriptions from here.
//
// Ids: `name` is what people choose and is unique among living objects of its kind; `id` is ours,
// never used twice: "job-12", "svc-3", "lease-40", "loan-5", made from the journal's counter.
// Times are wall-clock microseconds since 1970 (0 = never); intervals are microseconds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wire/schema.h"

namespace weir::wire {

// ---- teams ----

enum class TeamClass { kResearch, kProduct };

// A team's quota in one accelerator type, in place of its part of the team's own numbers.
struct TypeQuota {
  std::string type;
  int64_t guarantee_slots = 0;
  int64_t weight = 0;
  int64_t borrow_limit_slots = -1;
  int64_t lend_limit_slots = -1;
  bool operator==(const TypeQuota&) const = default;
};
template <class V>
void Fields(V& v, Owned<V, TypeQuota>& q) {
  v("type", q.type, "accelerator type, as its slots name it", kRequired);
  v("guarantee_slots", q.guarantee_slots);
  v("weight", q.weight, "0 = the team's");
  v("borrow_limit_slots", q.borrow_limit_slots, "-1 = none");
  v("lend_limit_slots", q.lend_limit_slots, "-1 = none");
}

struct Team {
  std::string name;
  TeamClass team_class = TeamClass::kResearch;
  std::string parent;
  int64_t guarantee_slots = 0;
  int64_t weight = 1;
  int64_t lend_limit_slots = -1;
  int64_t borrow_limit_slots = -1;
  std::vector<TypeQuota> quotas;
  double budget_slot_h = -1;
  double budget_usd = -1;
  double user_budget_slot_h = -1;
  double user_budget_usd = -1;
  double credit_slot_s = 0;
};
template <class V>
void Fields(V& v, Owned<V, Team>& t) {
  v("name", t.name, "unique; letters, digits, '-', '_', '.'", kRequired);
  v("class", t.team_class, "research or product", kRequired);
  v("parent", t.parent, "the team above in the tree; empty at the top");
  v("guarantee_slots", t.guarantee_slots,
    "slots it gets whenever it has work: a product team's floor");
  v("weight", t.weight, "its share of what nobody is guaranteed, against its siblings");
  v("lend_limit_slots", t.lend_limit_slots, "most slots out on loan at one time; -1 = all it has");
  v("borrow_limit_slots", t.borrow_limit_slots,
    "most slots that it and the teams below it may hold beyond the guarantee; -1 = no limit");
  v("quotas", t.quotas,
    "by accelerator type; types that are not named get their part of the numbers above, in "
    "proportion to the fleet");
  v("budget_slot_h", t.budget_slot_h,
    "slot-hours that it and the teams below it may use: a warning at 80%, nothing new starts at "
    "100%; -1 = no limit");
  v("budget_usd", t.budget_usd, "the same in US dollars, by the price of each site");
  v("user_budget_slot_h", t.user_budget_slot_h, "the same for each of its users");
  v("user_budget_usd", t.user_budget_usd, "the same for each of its users, in US dollars");
  v("credit_slot_s", t.credit_slot_s, "slot-seconds owed to it for what its loans cost");
}

// ---- sites, nodes, slots ----

enum class SlotHealth { kUp, kCordoned, kDown };

struct Slot {
  std::string id;
  std::string site;
  std::string node;
  int64_t index = 0;
  SlotHealth health = SlotHealth::kUp;
  std::string why;
  std::vector<int64_t> cores;
  double core_share = 1;
  std::string type;
  std::string topology;
  Time leaves;
};
template <class V>
void Fields(V& v, Owned<V, Slot>& s) {
  v("id", s.id, "site/node/index", kRequired);
  v("site", s.site);
  v("node", s.node);
  v("index", s.index, "0, 1, ... on its node");
  v("health", s.health, "up, cordoned (takes nothing new) or down");
  v("why", s.why, "reason for a health other than up");
  v("cores", s.cores, "processor numbers that it may run on");
  v("core_share", s.core_share, "how much of a core (or of its cores together) it may use");
  v("type", s.type, "accelerator type, such as h100; empty = the lab has one kind");
  v("topology", s.topology, "where its node stands below its site: spine/leaf/rack, from the top");
  v("leaves_us", s.leaves,
    "the node goes away then (contract end, maintenance, spot notice); 0 = it stays");
}

struct Site {
  std::string name;
  std::string driver;
  bool reachable = true;
  std::string isolation;
  double power_w_per_slot = 0;
  double price_usd_per_slot_h = 0;
  std::string provider;
  std::string region;
  bool draining = false;
  std::string why;
  Time unknown_since;
};
template <class V>
void Fields(V& v, Owned<V, Site>& s) {
  v("name", s.name, "", kRequired);
  v("driver", s.driver, "local");
  v("reachable", s.reachable, "false: what runs there is unknown, not gone");
  v("isolation", s.isolation, "how slots are kept apart, and why not better");
  v("power_w_per_slot", s.power_w_per_slot, "stated draw of a busy slot, in watts");
  v("price_usd_per_slot_h", s.price_usd_per_slot_h, "US dollars for a slot-hour");
  v("provider", s.provider, "the company that rents it out");
  v("region", s.region);
  v("draining", s.draining, "takes nothing new");
  v("why", s.why, "why it is not reachable, or drains");
  v("unknown_since_us", s.unknown_since, "since when it is not reachable; 0 = it is");
}

// ---- jobs ----

enum class JobPhase { kQueued, kRunning, kPaused, kDone, kFailed, kCancelled };

struct JobSpec {
  std::string name;
  std::string team;
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  std::string cwd;
  int64_t min_slots = 1;
  int64_t max_slots = 1;
  bool checkpointable = false;
  Duration checkpoint_interval = Duration::Seconds(60);
  int64_t priority = 0;
  Duration time_limit = {};
  int64_t memory_limit_bytes = 0;
  int64_t max_retries = 2;
  Duration grace = Duration::Seconds(20);
  std::vector<std::string> types;
  std::vector<std::string> sites;
  std::vector<std::string> regions;
  std::vector<std::string> avoid;
  std::string widest;
  bool whole_nodes = false;
  Time deadline;
};
template <class V>
void Fields(V& v, Owned<V, JobSpec>& s) {
  v("name", s.name, "unique among jobs that have not ended", kRequired);
  v("team", s.team, "who pays", kRequired);
  v("command", s.command, "program and arguments, run without a shell", kRequired);
  v("env", s.env, "added to the environment of every rank");
  v("cwd", s.cwd, "working directory; empty: the job's own folder");
  v("min_slots", s.min_slots, "fewest ranks it can run with");
  v("max_slots", s.max_slots, "most ranks it can use");
  v("checkpointable", s.checkpointable, "it saves on SIGTERM and exits 75 to be resumed");
  v("checkpoint_interval_us", s.checkpoint_interval,
    "how much work it may lose at most when killed");
  v("priority", s.priority, "higher first within its team");
  v("time_limit_us", s.time_limit, "of one run, wall clock; 0 = none");
  v("memory_limit_bytes", s.memory_limit_bytes, "of one rank; 0 = none");
  v("max_retries", s.max_retries, "runs after failed ones, with back-off");
  v("grace_us", s.grace, "between SIGTERM and SIGKILL");
  v("types", s.types, "accelerator types that will do; empty = any");
  v("sites", s.sites, "sites that will do; empty = any");
  v("regions", s.regions, "regions whose sites will do; empty = any");
  v("avoid", s.avoid, "nodes that will not do, as site/node");
  v("widest", s.widest,
    "no further apart than within one node, rack, leaf or spine; empty = within one site");
  v("whole_nodes", s.whole_nodes, "nobody else on its nodes: sizes are whole numbers of nodes");
  v("deadline_us", s.deadline,
    "it is to have ended by then: as that nears it goes before its team's others of equal "
    "priority; 0 = none");
}

// What a rank 0 told through its progress file, newest values.
struct Progress {
  int64_t step = 0;
  int64_t steps = 0;
  std::optional<double> loss;
  std::optional<double> heldout_loss;
  std::optional<double> tokens_per_s;
  std::optional<double> mfu;
  std::optional<double> eta_s;
  Time at;
};
template <class V>
void Fields(V& v, Owned<V, Progress>& p) {
  v("step", p.step);
  v("steps", p.steps, "planned in all; 0 = not known");
  v("loss", p.loss, "training loss, nats per token");
  v("heldout_loss", p.heldout_loss, "newest held-out loss, nats per token");
  v("tokens_per_s", p.tokens_per_s);
  v("mfu", p.mfu, "achieved FLOP/s over this machine's measured peak, 0..1");
  v("eta_s", p.eta_s, "seconds to the end at this pace");
  v("at_us", p.at);
}

struct Checkpoint {
  int64_t step = 0;
  std::string path;
  std::string sha256;
  std::optional<double> heldout_loss;
  Time at;
};
template <class V>
void Fields(V& v, Owned<V, Checkpoint>& c) {
  v("step", c.step, "", kRequired);
  v("path", c.path, "folder that holds it", kRequired);
  v("sha256", c.sha256, "of its manifest");
  v("heldout_loss", c.heldout_loss, "nats per token");
  v("at_us", c.at);
}

struct Job {
  std::string id;
  JobSpec spec;
  JobPhase phase = JobPhase::kQueued;
  std::string reason;
  std::vector<std::string> last_lines;
  std::string submitted_by;
  Time submitted;
  Time started;
  Time ended;
  Time not_before;
  int64_t attempts = 0;
  int64_t failures = 0;
  std::string lease;
  int64_t slots = 0;
  double slot_s = 0;
  double lost_slot_s = 0;
  int64_t lost_steps = 0;
  std::optional<int64_t> exit_code;
  std::optional<Progress> progress;
  std::optional<Checkpoint> checkpoint;
  std::string folder;
};
template <class V>
void Fields(V& v, Owned<V, Job>& j) {
  v("id", j.id, "", kRequired);
  v("spec", j.spec, "", kRequired);
  v("phase", j.phase, "queued, running, paused, done, failed or cancelled");
  v("reason", j.reason, "why it is in this phase, in a sentence");
  v("last_lines", j.last_lines, "the end of its output, once it has failed");
  v("submitted_by", j.submitted_by, "name of the key that submitted it");
  v("submitted_us", j.submitted);
  v("started_us", j.started, "first start");
  v("ended_us", j.ended);
  v("not_before_us", j.not_before, "back-off after a failure ends then");
  v("attempts", j.attempts, "runs so far");
  v("failures", j.failures, "runs that failed");
  v("lease", j.lease, "the lease it holds now; empty = none");
  v("slots", j.slots, "slots it holds now");
  v("slot_s", j.slot_s, "slot-seconds used so far, ended leases only");
  v("lost_slot_s", j.lost_slot_s, "slot-seconds of work thrown away by stops");
  v("lost_steps", j.lost_steps, "steps run again because of stops");
  v("exit_code", j.exit_code, "of the newest run");
  v("progress", j.progress);
  v("checkpoint", j.checkpoint, "newest durable one");
  v("folder", j.folder, "its files: checkpoints/, logs");
}

// ---- leases ----

// intended -> active -> stopping -> ended. An intended lease is in the journal, its process perhaps
// not yet there; whatever stops Weir in between, the driver is asked again with the same id.
enum class LeasePhase { kIntended, kActive, kStopping, kEnded };
enum class HolderKind { kJob, kReplica };
// Why a lease is being stopped; decides what becomes of its holder.
enum class StopCause {
  kNone,
  kResize,     // run again at another size, at once
  kPause,      // its slots are lent or reclaimed: run again when there is room
  kCancel,     // the owner asked
  kDrain,      // replica: finish what is running, then stop
  kReplace,    // replica: a newer one in the same slots is ready
  kUnhealthy,  // replica: its health path stopped answering
  kShutdown,   // `weir up` is draining: run again at the next start
};

struct Lease {
  std::string id;
  HolderKind holder_kind = HolderKind::kJob;
  std::string holder;
  std::string team;
  std::vector<std::string> slots;
  LeasePhase phase = LeasePhase::kIntended;
  Time opened;
  Time active;
  Time stop_asked;
  Time ended;
  StopCause stop_cause = StopCause::kNone;
  std::string why;
  std::string loan;
  // replicas only
  std::string service;
  std::string version;
  int64_t revision = 0;
  bool ready = false;
  int64_t port = 0;
  std::string host;
  std::string replaces;
};
template <class V>
void Fields(V& v, Owned<V, Lease>& l) {
  v("id", l.id, "also names the run at the driver", kRequired);
  v("holder_kind", l.holder_kind, "job or replica");
  v("holder", l.holder, "job id, or the service's id for a replica");
  v("team", l.team);
  v("slots", l.slots, "ids of the slots held; none is in two leases that have not ended");
  v("phase", l.phase, "intended, active, stopping or ended");
  v("opened_us", l.opened);
  v("active_us", l.active, "when its process was first seen running");
  v("stop_asked_us", l.stop_asked);
  v("ended_us", l.ended);
  v("stop_cause", l.stop_cause);
  v("why", l.why, "the decision that opened it");
  v("loan", l.loan, "the loan that it uses; empty = own or idle capacity");
  v("service", l.service, "replicas: name of the service");
  v("version", l.version, "replicas: model version that it serves");
  v("revision", l.revision, "replicas: of the service's spec that it was started with");
  v("ready", l.ready, "replicas: its health path answers");
  v("port", l.port, "replicas: where it listens");
  v("host", l.host, "replicas: on which address; empty: this machine's loopback");
  v("replaces", l.replaces,
    "replicas: lease in the same slots that it takes over from (a rollout step)");
}

// ---- services ----

enum class ServicePhase { kActive, kRetiring, kRetired };

struct Slo {
  double ttft_ms = 1000;
  double tpot_ms = 200;
  double queue_ms = 2000;
  double percentile = 95;
};
template <class V>
void Fields(V& v, Owned<V, Slo>& s) {
  v("ttft_ms", s.ttft_ms, "time to first token at the percentile");
  v("tpot_ms", s.tpot_ms, "time per output token after the first, at the percentile");
  v("queue_ms", s.queue_ms, "longest wait in the gateway's queue");
  v("percentile", s.percentile, "50..99.9");
}

struct ServiceSpec {
  std::string name;
  std::string team;
  std::string model;
  std::vector<std::string> command;
  std::map<std::string, std::string> env;
  int64_t min_replicas = 1;
  int64_t max_replicas = 1;
  int64_t slots_per_replica = 1;
  std::string health_path = "/healthz";
  Slo slo;
  int64_t tier = 1;
  int64_t max_queue = 64;
  int64_t max_concurrency = 8;
  bool follow = false;
  int64_t memory_limit_bytes = 0;
  Duration grace = Duration::Seconds(20);
  std::vector<std::string> variants;
  std::vector<std::string> engine;
  std::vector<std::string> types;
};
template <class V>
void Fields(V& v, Owned<V, ServiceSpec>& s) {
  v("name", s.name, "unique among services not retired; clients ask for it as `model`", kRequired);
  v("team", s.team, "a product team", kRequired);
  v("model", s.model, "model name or version id; empty when a command is given");
  v("command", s.command, "any program that speaks HTTP on $WEIR_PORT; empty: weir serve");
  v("env", s.env, "added to the environment of every replica");
  v("min_replicas", s.min_replicas);
  v("max_replicas", s.max_replicas);
  v("slots_per_replica", s.slots_per_replica);
  v("health_path", s.health_path, "answers 200 when the replica is ready");
  v("slo", s.slo);
  v("tier", s.tier, "1 is the most important; the highest number is shed first");
  v("max_queue", s.max_queue, "requests that may wait at the gateway");
  v("max_concurrency", s.max_concurrency, "requests in flight at one replica");
  v("follow", s.follow, "roll out newer versions of the model as they pass the gate");
  v("memory_limit_bytes", s.memory_limit_bytes, "of one replica; 0 = none");
  v("grace_us", s.grace, "for a replica to finish what it is serving");
  v("variants", s.variants,
    "models or versions that may serve in a surge, such as the same model quantized; cheapest "
    "last");
  v("engine", s.engine, "flags of weir serve for every replica, such as --ctx=8192");
  v("types", s.types, "accelerator types that will do; empty = any");
}

struct Service {
  std::string id;
  ServiceSpec spec;
  ServicePhase phase = ServicePhase::kActive;
  std::string created_by;
  Time created;
  std::string version;
  int64_t revision = 0;
  std::string rollout;
  int64_t shed_above_tier = 0;
  std::string reason;
};
template <class V>
void Fields(V& v, Owned<V, Service>& s) {
  v("id", s.id, "", kRequired);
  v("spec", s.spec, "", kRequired);
  v("phase", s.phase, "active, retiring or retired");
  v("created_by", s.created_by);
  v("created_us", s.created);
  v("version", s.version, "model version that new replicas serve; in a surge perhaps a variant");
  v("revision", s.revision, "grows when engine, env, command or memory change: replicas follow");
  v("rollout", s.rollout, "the rollout under way; empty = none");
  v("shed_above_tier", s.shed_above_tier,
    "requests of a tier above this are refused with 429; 0 = none are");
  v("reason", s.reason, "newest decision about it, in a sentence");
}

// ---- loans ----

enum class LoanPhase { kOpen, kRecalled, kReturned };

struct LoanPart {
  std::string team;
  std::string job;
  std::vector<std::string> slots;
  double work_lost_slot_s = 0;
  int64_t steps_lost = 0;
  std::string how;
};
template <class V>
void Fields(V& v, Owned<V, LoanPart>& p) {
  v("team", p.team, "who lends");
  v("job", p.job, "whose slots; empty = they were idle");
  v("slots", p.slots);
  v("work_lost_slot_s", p.work_lost_slot_s, "work thrown away to free them");
  v("steps_lost", p.steps_lost, "training steps to run again");
  v("how", p.how, "idle, shrink or pause");
}

struct Loan {
  std::string id;
  std::string service;
  std::string team;
  std::vector<LoanPart> parts;
  LoanPhase phase = LoanPhase::kOpen;
  std::string why;
  Time opened;
  Time due;
  Time first_ready;
  Time recalled;
  std::string recall_why;
  Time returned;
  double cost_slot_s = 0;
  int64_t cost_steps = 0;
};
template <class V>
void Fields(V& v, Owned<V, Loan>& l) {
  v("id", l.id, "", kRequired);
  v("service", l.service, "name of the service that borrows");
  v("team", l.team, "the product team that borrows");
  v("parts", l.parts, "who lends what");
  v("phase", l.phase, "open, recalled (slots are coming back) or returned");
  v("why", l.why, "the numbers that opened it");
  v("opened_us", l.opened);
  v("due_us", l.due, "recalled by then, whatever the demand");
  v("first_ready_us", l.first_ready, "when the first replica on it served");
  v("recalled_us", l.recalled);
  v("recall_why", l.recall_why);
  v("returned_us", l.returned);
  v("cost_slot_s", l.cost_slot_s, "slots x time lent, plus work lost");
  v("cost_steps", l.cost_steps, "training steps that research did again because of it");
}

// ---- data and models ----

struct Dataset {
  std::string id;
  std::string name;
  std::string sha256;
  std::string path;
  int64_t bytes = 0;
  Json report;
  Time created;
  std::string created_by;
};
template <class V>
void Fields(V& v, Owned<V, Dataset>& d) {
  v("id", d.id, "ds- and the start of its sha256", kRequired);
  v("name", d.name, "", kRequired);
  v("sha256", d.sha256, "of its content");
  v("path", d.path, "folder that holds it");
  v("bytes", d.bytes);
  v("report", d.report, "what was taken and what was dropped, and why");
  v("created_us", d.created);
  v("created_by", d.created_by);
}

struct ModelVersion {
  std::string id;
  std::string model;
  int64_t number = 0;
  std::string path;
  std::string sha256;
  std::string parent;
  std::string job;
  int64_t step = 0;
  std::string dataset_sha256;
  std::string config_sha256;
  std::string code_version;
  std::optional<double> heldout_loss;
  int64_t vocab_size = 0;
  std::string gate;
  Time created;
};
template <class V>
void Fields(V& v, Owned<V, ModelVersion>& m) {
  v("id", m.id, "model@number", kRequired);
  v("model", m.model, "", kRequired);
  v("number", m.number, "1, 2, ... within its model");
  v("path", m.path, "folder that holds it");
  v("sha256", m.sha256, "of its manifest");
  v("parent", m.parent, "version it was trained on from; empty = the first");
  v("job", m.job, "that trained it");
  v("step", m.step);
  v("dataset_sha256", m.dataset_sha256);
  v("config_sha256", m.config_sha256);
  v("code_version", m.code_version);
  v("heldout_loss", m.heldout_loss, "nats per token");
  v("vocab_size", m.vocab_size);
  v("gate", m.gate, "why it passed: the measured value and the bar");
  v("created_us", m.created);
}

enum class RolloutPhase { kRunning, kDone, kAborted };

struct Rollout {
  std::string id;
  std::string service;
  std::string from;
  std::string to;
  RolloutPhase phase = RolloutPhase::kRunning;
  int64_t moved = 0;
  int64_t failures = 0;
  std::string why;
  Time started;
  Time ended;
};
template <class V>
void Fields(V& v, Owned<V, Rollout>& r) {
  v("id", r.id, "", kRequired);
  v("service", r.service);
  v("from", r.from, "model version");
  v("to", r.to, "model version");
  v("phase", r.phase, "running, done or aborted (all replicas back on `from`)");
  v("moved", r.moved, "replicas that serve `to`");
  v("failures", r.failures, "new replicas that did not become ready");
  v("why", r.why);
  v("started_us", r.started);
  v("ended_us", r.ended);
}

// ---- pipelines ----

// From text to a served model, kept going by lab/learn: build the dataset (a job), train (a job),
// register each checkpoint that passes the gate as a version, deploy the first as a service, roll
// out later ones. Steps that are done are found done; so a pipeline can be put again.
struct Pipeline {
  std::string name;
  std::string dataset;
  std::optional<JobSpec> build;
  std::string dataset_path;
  std::optional<JobSpec> train;
  std::string model;
  double gate_share_of_uniform = 0.5;
  double improve_by = 0.02;
  std::optional<ServiceSpec> service;
  bool paused = false;
};
template <class V>
void Fields(V& v, Owned<V, Pipeline>& p) {
  v("name", p.name, "", kRequired);
  v("dataset", p.dataset, "name that the dataset gets");
  v("build", p.build, "job that writes the dataset folder; absent: it is there already");
  v("dataset_path", p.dataset_path, "folder with manifest.json once it is built");
  v("train", p.train, "job that writes checkpoints; submitted once the dataset is registered");
  v("model", p.model, "name under which versions are registered");
  v("gate_share_of_uniform", p.gate_share_of_uniform,
    "a checkpoint passes when its held-out loss is below this share of ln(vocabulary)");
  v("improve_by", p.improve_by,
    "nats per token that a later one must be better by to be rolled out");
  v("service", p.service, "deployed with the first version that passes");
  v("paused", p.paused, "take no further step");
}

// ---- keys ----

enum class Role { kAdmin, kMember, kClient };

struct Key {
  std::string name;
  Role role = Role::kClient;
  std::string team;
  std::string service;
  int64_t tier = 1;
  std::string hash;
  Time created;
  Time expires;
  bool revoked = false;
};
template <class V>
void Fields(V& v, Owned<V, Key>& k) {
  v("name", k.name, "unique; shown wherever this key did something", kRequired);
  v("role", k.role, "admin, member (of a team) or client (of a service)", kRequired);
  v("team", k.team, "members: the team whose work it may change");
  v("service", k.service, "clients: the service it may call; empty = any");
  v("tier", k.tier, "clients: 1 is shed last");
  v("hash", k.hash, "of the secret; the secret itself is never kept");
  v("created_us", k.created);
  v("expires_us", k.expires, "0 = never");
  v("revoked", k.revoked);
}

}  // namespace weir::wire

WEIR_ENUM(weir::wire::TeamClass, {weir::wire::TeamClass::kResearch, "research"},
          {weir::wire::TeamClass::kProduct, "product"});
WEIR_ENUM(weir::wire::SlotHealth, {weir::wire::SlotHealth::kUp, "up"},
          {weir::wire::SlotHealth::kCordoned, "cordoned"}, {weir::wire::SlotHealth::kDown, "down"});
WEIR_ENUM(weir::wire::JobPhase, {weir::wire::JobPhase::kQueued, "queued"},
          {weir::wire::JobPhase::kRunning, "running"}, {weir::wire::JobPhase::kPaused, "paused"},
          {weir::wire::JobPhase::kDone, "done"}, {weir::wire::JobPhase::kFailed, "failed"},
          {weir::wire::JobPhase::kCancelled, "cancelled"});
WEIR_ENUM(weir::wire::LeasePhase, {weir::wire::LeasePhase::kIntended, "intended"},
          {weir::wire::LeasePhase::kActive, "active"},
          {weir::wire::LeasePhase::kStopping, "stopping"},
          {weir::wire::LeasePhase::kEnded, "ended"});
WEIR_ENUM(weir::wire::HolderKind, {weir::wire::HolderKind::kJob, "job"},
          {weir::wire::HolderKind::kReplica, "replica"});
WEIR_ENUM(weir::wire::StopCause, {weir::wire::StopCause::kNone, "none"},
          {weir::wire::StopCause::kResize, "resize"}, {weir::wire::StopCause::kPause, "pause"},
          {weir::wire::StopCause::kCancel, "cancel"}, {weir::wire::StopCause::kDrain, "drain"},
          {weir::wire::StopCause::kReplace, "replace"},
          {weir::wire::StopCause::kUnhealthy, "unhealthy"},
          {weir::wire::StopCause::kShutdown, "shutdown"});
WEIR_ENUM(weir::wire::ServicePhase, {weir::wire::ServicePhase::kActive, "active"},
          {weir::wire::ServicePhase::kRetiring, "retiring"},
          {weir::wire::ServicePhase::kRetired, "retired"});
WEIR_ENUM(weir::wire::LoanPhase, {weir::wire::LoanPhase::kOpen, "open"},
          {weir::wire::LoanPhase::kRecalled, "recalled"},
          {weir::wire::LoanPhase::kReturned, "returned"});
WEIR_ENUM(weir::wire::RolloutPhase, {weir::wire::RolloutPhase::kRunning, "running"},
          {weir::wire::RolloutPhase::kDone, "done"},
          {weir::wire::RolloutPhase::kAborted, "aborted"});
WEIR_ENUM(weir::wire::Role, {weir::wire::Role::kAdmin, "admin"},
          {weir::wire::Role::kMember, "member"}, {weir::wire::Role::kClient, "client"});

WEIR_MESSAGE(weir::wire::TypeQuota);
WEIR_MESSAGE(weir::wire::Team);
WEIR_MESSAGE(weir::wire::Slot);
WEIR_MESSAGE(weir::wire::Site);
WEIR_MESSAGE(weir::wire::JobSpec);
WEIR_MESSAGE(weir::wire::Progress);
WEIR_MESSAGE(weir::wire::Checkpoint);
WEIR_MESSAGE(weir::wire::Job);
WEIR_MESSAGE(weir::wire::Lease);
WEIR_MESSAGE(weir::wire::Slo);
WEIR_MESSAGE(weir::wire::ServiceSpec);
WEIR_MESSAGE(weir::wire::Service);
WEIR_MESSAGE(weir::wire::LoanPart);
WEIR_MESSAGE(weir::wire::Loan);
WEIR_MESSAGE(weir::wire::Dataset);
WEIR_MESSAGE(weir::wire::ModelVersion);
WEIR_MESSAGE(weir::wire::Rollout);
WEIR_MESSAGE(weir::wire::Pipeline);
WEIR_MESSAGE(weir::wire::Key);
