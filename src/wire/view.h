// What the API shows beyond the lab's own objects: the whole lab at one instant, the journal's
// records, and the answer to `weir why`. GET /api/v1/lab returns a LabView; the live stream
// (GET /api/v1/events) sends one whenever something changed, at most a few times a second.
#pragma once

#include "wire/lab.h"

namespace weir::wire {

// A service's traffic over the last seconds, as the gateway measured it.
struct TrafficView {
  double arrivals_per_s = 0;
  double completions_per_s = 0;
  double forecast_per_s = 0;
  int64_t outstanding = 0;
  int64_t queued = 0;
  double ttft_ms = 0;
  double tpot_ms = 0;
  double tokens_per_s = 0;
  double refused_per_s = 0;
  double errors_per_s = 0;
  double capacity_per_s = 0;
  bool slo_met = true;
};
template <class V>
void Fields(V& v, Owned<V, TrafficView>& t) {
  v("arrivals_per_s", t.arrivals_per_s, "requests arriving per second");
  v("completions_per_s", t.completions_per_s);
  v("forecast_per_s", t.forecast_per_s, "expected when a replica started now would be ready");
  v("outstanding", t.outstanding, "requests at replicas");
  v("queued", t.queued, "requests waiting at the gateway");
  v("ttft_ms", t.ttft_ms, "time to first token at the SLO's percentile; 0 = no sample");
  v("tpot_ms", t.tpot_ms, "time per output token at the SLO's percentile; 0 = no sample");
  v("tokens_per_s", t.tokens_per_s, "output tokens, or stream chunks where usage is not told");
  v("refused_per_s", t.refused_per_s, "answered 429 or 503");
  v("errors_per_s", t.errors_per_s, "answered 5xx or broken off");
  v("capacity_per_s", t.capacity_per_s, "what the ready replicas can serve");
  v("slo_met", t.slo_met);
}

// Requests by how long something took: count[i] of them at most border_ms[i], all in the last one
// (whose border is 0).
struct LatencyView {
  std::vector<double> border_ms;
  std::vector<int64_t> count;
};
template <class V>
void Fields(V& v, Owned<V, LatencyView>& l) {
  v("border_ms", l.border_ms);
  v("count", l.count, "at most that long, since the replicas began");
}

// The engines of a service's ready replicas, added up. Counters since each began.
struct EngineView {
  int64_t replicas = 0;
  int64_t running = 0, max_batch = 0, queued = 0;
  int64_t kv_blocks_used = 0, kv_blocks_cached = 0, kv_blocks_free = 0;
  int64_t prompt_tokens = 0, prefix_hit_tokens = 0, generated_tokens = 0;
  int64_t drafted_tokens = 0, accepted_tokens = 0;
  LatencyView ttft, tpot;
};
template <class V>
void Fields(V& v, Owned<V, EngineView>& e) {
  v("replicas", e.replicas, "that told");
  v("running", e.running, "sequences in the batch");
  v("max_batch", e.max_batch, "places in it");
  v("queued", e.queued, "requests that wait for a place");
  v("kv_blocks_used", e.kv_blocks_used);
  v("kv_blocks_cached", e.kv_blocks_cached, "kept for prompts that begin alike");
  v("kv_blocks_free", e.kv_blocks_free);
  v("prompt_tokens", e.prompt_tokens, "computed");
  v("prefix_hit_tokens", e.prefix_hit_tokens, "of prompts, found instead");
  v("generated_tokens", e.generated_tokens);
  v("drafted_tokens", e.drafted_tokens, "guessed ahead");
  v("accepted_tokens", e.accepted_tokens, "of them, right");
  v("ttft", e.ttft, "time to first token");
  v("tpot", e.tpot, "time per token after it");
}

struct ServiceView {
  Service service;
  std::string own_version;
  int64_t ready = 0;
  int64_t starting = 0;
  int64_t draining = 0;
  int64_t wanted = 0;
  TrafficView traffic;
};
template <class V>
void Fields(V& v, Owned<V, ServiceView>& s) {
  v("service", s.service);
  v("own_version", s.own_version, "what it serves outside of surges");
  v("ready", s.ready, "replicas that serve");
  v("starting", s.starting);
  v("draining", s.draining);
  v("wanted", s.wanted, "replicas that demand asks for");
  v("traffic", s.traffic);
}

// One team's place in the quota tree, over all accelerator types; with the teams below it.
struct QuotaView {
  std::string team;
  double entitled = 0;
  int64_t guarantee = 0;
  int64_t held = 0;
  int64_t lent = 0;
  int64_t borrowed = 0;
  int64_t waiting = 0;
  double used_slot_h = 0;
  double used_usd = 0;
  std::string note;
};
template <class V>
void Fields(V& v, Owned<V, QuotaView>& q) {
  v("team", q.team, "", kRequired);
  v("entitled", q.entitled, "slots that are its share now: guarantee, credit, then by weight");
  v("guarantee", q.guarantee, "at least the sum of those below it");
  v("held", q.held, "slots that its work holds; product: without those on loans");
  v("lent", q.lent, "slots of it that are out on loan");
  v("borrowed", q.borrowed,
    "research: slots held beyond its guarantee; product: slots that it has on loan");
  v("waiting", q.waiting, "jobs of its own that wait");
  v("used_slot_h", q.used_slot_h, "slot-hours used so far");
  v("used_usd", q.used_usd, "the same in US dollars");
  v("note", q.note, "a budget that is nearly or quite used up; empty = none");
}

// When a waiting job is expected to start.
struct StartView {
  std::string job;
  Time at;
};
template <class V>
void Fields(V& v, Owned<V, StartView>& s) {
  v("job", s.job, "", kRequired);
  v("at_us", s.at);
}

struct LabView {
  std::string lab;
  std::string version;
  Time now;
  Time started;
  int64_t journal_seq = 0;
  bool draining = false;
  std::string trouble;
  std::vector<Team> teams;
  std::vector<Site> sites;
  std::vector<Slot> slots;
  std::vector<Job> jobs;
  std::vector<Lease> leases;
  std::vector<ServiceView> services;
  std::vector<Loan> loans;
  std::vector<Dataset> datasets;
  std::vector<ModelVersion> models;
  std::vector<Rollout> rollouts;
  std::vector<Pipeline> pipelines;
  std::vector<QuotaView> quotas;
  std::vector<StartView> expected_starts;
};
template <class V>
void Fields(V& v, Owned<V, LabView>& l) {
  v("lab", l.lab, "name of the lab");
  v("version", l.version, "of Weir");
  v("now_us", l.now);
  v("started_us", l.started, "when this `weir up` began");
  v("journal_seq", l.journal_seq, "number of the newest journal record in it");
  v("draining", l.draining, "shutting down: nothing new is started");
  v("trouble", l.trouble, "what keeps Weir from working (a full disk, say); empty = nothing");
  v("teams", l.teams);
  v("sites", l.sites);
  v("slots", l.slots);
  v("jobs", l.jobs, "those that have not ended, then the newest 200 that have");
  v("leases", l.leases, "those that have not ended");
  v("services", l.services, "those that are not retired");
  v("loans", l.loans, "those not returned, then the newest 100 that were");
  v("datasets", l.datasets);
  v("models", l.models, "versions, oldest first");
  v("rollouts", l.rollouts, "newest 50");
  v("pipelines", l.pipelines);
  v("quotas", l.quotas, "the tree of teams: entitlement, use, lent, borrowed");
  v("expected_starts", l.expected_starts, "of waiting jobs, as far as it can be told");
}

// One journal record. `subject` and `text` are for people; `body` is what state is rebuilt from.
struct JournalRecord {
  int64_t seq = 0;
  Time at;
  std::string actor;
  std::string type;
  std::vector<std::string> subjects;
  std::string text;
  Json numbers = Json::object();
  Json body = Json::object();
};
template <class V>
void Fields(V& v, Owned<V, JournalRecord>& r) {
  v("seq", r.seq);
  v("at_us", r.at);
  v("actor", r.actor, "key name, or `weir` for the control loop");
  v("type", r.type, "such as job.submitted, lease.intended, loan.opened: see docs/formats.md");
  v("subjects", r.subjects, "ids and names that it is about");
  v("text", r.text, "what happened and why, in a sentence");
  v("numbers", r.numbers, "the numbers that a decision rested on, by name");
  v("body", r.body);
}

struct JournalPage {
  std::vector<JournalRecord> records;
  int64_t next = 0;
};
template <class V>
void Fields(V& v, Owned<V, JournalPage>& p) {
  v("records", p.records);
  v("next", p.next, "ask for this seq next");
}

struct BlockerView {
  std::string kind;
  std::string text;
  std::string remedy;
};
template <class V>
void Fields(V& v, Owned<V, BlockerView>& b) {
  v("kind", b.kind,
    "quota, capacity, gang, type, topology, reservation, order, budget, lent, health, backoff, "
    "floor, draining, ...");
  v("text", b.text);
  v("remedy", b.remedy, "what would change it");
}

struct WhyView {
  std::string kind;
  std::string id;
  std::string name;
  std::string now;
  std::vector<BlockerView> blockers;
  std::optional<double> expected_wait_s;
  std::string could_change;
  std::vector<JournalRecord> history;
  std::optional<double> latest_wait_s;
  std::vector<std::string> waits_for;
  std::string cheapest;
  std::string why_here;
};
template <class V>
void Fields(V& v, Owned<V, WhyView>& w) {
  v("kind", w.kind, "job, service or loan");
  v("id", w.id);
  v("name", w.name);
  v("now", w.now, "its state, in a sentence");
  v("blockers", w.blockers, "everything that it waits for");
  v("expected_wait_s", w.expected_wait_s, "until it starts, if that can be told");
  v("could_change", w.could_change, "what could take it away, or end it");
  v("history", w.history, "the journal's records about it, oldest first");
  v("latest_wait_s", w.latest_wait_s, "if what it waits for takes as long as may be expected");
  v("waits_for", w.waits_for, "jobs whose slots it is to have");
  v("cheapest", w.cheapest, "the cheapest change that would start it now");
  v("why_here", w.why_here, "of what runs: why on these slots");
}

// What a job would meet if it were submitted now: POST /api/v1/jobs/dry-run.
struct DryRunView {
  bool starts_now = false;
  std::vector<std::string> slots;
  std::string where;
  std::optional<double> expected_wait_s;
  std::vector<std::string> touches;
  std::vector<BlockerView> blockers;
  std::vector<std::string> waits_for;
  std::string cheapest;
};
template <class V>
void Fields(V& v, Owned<V, DryRunView>& d) {
  v("starts_now", d.starts_now);
  v("slots", d.slots, "that it would get, if it starts now");
  v("where", d.where, "how far apart those are, and what that costs in bandwidth");
  v("expected_wait_s", d.expected_wait_s, "until it starts, if that can be told");
  v("touches", d.touches, "jobs that would be stopped or shrunk for it, and why");
  v("blockers", d.blockers, "what keeps it from starting now");
  v("waits_for", d.waits_for, "jobs whose slots it would have");
  v("cheapest", d.cheapest, "the cheapest change that would start it now");
}

// Points of a job's curves, thinned to at most a few hundred.
struct CurvePoint {
  Time at;
  int64_t step = 0;
  double loss = 0;
  std::optional<double> heldout_loss;
  double tokens_per_s = 0;
  int64_t slots = 0;
};
template <class V>
void Fields(V& v, Owned<V, CurvePoint>& p) {
  v("at_us", p.at);
  v("step", p.step);
  v("loss", p.loss);
  v("heldout_loss", p.heldout_loss);
  v("tokens_per_s", p.tokens_per_s);
  v("slots", p.slots);
}

struct Curve {
  std::string job;
  std::vector<CurvePoint> points;
};
template <class V>
void Fields(V& v, Owned<V, Curve>& c) {
  v("job", c.job);
  v("points", c.points);
}

// RFC 9457, application/problem+json.
struct Problem {
  std::string type = "about:blank";
  std::string title;
  int64_t status = 0;
  std::string detail;
  std::string code;
  std::string hint;
};
template <class V>
void Fields(V& v, Owned<V, Problem>& p) {
  v("type", p.type);
  v("title", p.title);
  v("status", p.status);
  v("detail", p.detail, "what, where, what was expected");
  v("code", p.code, "such as not_found: see docs/formats.md");
  v("hint", p.hint, "the next step");
}

}  // namespace weir::wire

WEIR_MESSAGE(weir::wire::TrafficView);
WEIR_MESSAGE(weir::wire::LatencyView);
WEIR_MESSAGE(weir::wire::EngineView);
WEIR_MESSAGE(weir::wire::ServiceView);
WEIR_MESSAGE(weir::wire::QuotaView);
WEIR_MESSAGE(weir::wire::StartView);
WEIR_MESSAGE(weir::wire::LabView);
WEIR_MESSAGE(weir::wire::JournalRecord);
WEIR_MESSAGE(weir::wire::JournalPage);
WEIR_MESSAGE(weir::wire::BlockerView);
WEIR_MESSAGE(weir::wire::WhyView);
WEIR_MESSAGE(weir::wire::DryRunView);
WEIR_MESSAGE(weir::wire::CurvePoint);
WEIR_MESSAGE(weir::wire::Curve);
WEIR_MESSAGE(weir::wire::Problem);
