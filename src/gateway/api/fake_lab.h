// A lab in memory for tests of what stands in front of one: it keeps what it is told, checks names
// and little else, writes a journal line for each change, and runs nothing.
// Threads: any (one mutex).
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "control/lab.h"

namespace weir::gateway {

class FakeLab : public control::Lab {
 public:
  explicit FakeLab(Time now = {1'767'225'600'000'000}) {
    view_.lab = "fake";
    view_.version = "0";
    view_.now = now;
    view_.started = now;
    Publish();
  }

  // For a test to set the scene, or to let something happen.
  void Change(const std::function<void(wire::LabView&)>& change) {
    const std::lock_guard lock(mutex_);
    change(view_);
    Publish();
  }
  // Every change from now on fails with this.
  void Break(Error error) {
    const std::lock_guard lock(mutex_);
    broken_ = std::move(error);
  }

  Result<wire::Team> PutTeam(const wire::Team& team, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    TRY(IsName("name", team.name));
    std::erase_if(view_.teams, [&](const auto& t) { return t.name == team.name; });
    view_.teams.push_back(team);
    Record(actor, "team.put", {team.name}, wire::ToJson(team));
    return team;
  }
  Status RemoveTeam(const std::string& which, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    TRY(Need(std::erase_if(view_.teams, [&](const auto& t) { return t.name == which; }) > 0,
             which));
    Record(actor, "team.removed", {which});
    return {};
  }
  Result<wire::DryRunView> TryJob(const wire::JobSpec& spec, const control::Actor&) override {
    const std::lock_guard lock(mutex_);
    TRY(IsName("name", spec.name));
    TRY(Need(Has(view_.teams, spec.team, &wire::Team::name), "team " + spec.team));
    wire::DryRunView run{.expected_wait_s = 60, .touches = {"job-1 gives 1 of 4 slots"}};
    run.blockers.push_back({"capacity", "every slot is leased", "wait, or lower min_slots"});
    return run;
  }
  Result<wire::Job> SubmitJob(const wire::JobSpec& spec, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    TRY(IsName("name", spec.name));
    if (spec.command.empty()) return Error(Code::kInvalidArgument, "command: it is empty");
    TRY(Need(Has(view_.teams, spec.team, &wire::Team::name), "team " + spec.team));
    for (const wire::Job& job : view_.jobs) {
      if (job.spec.name == spec.name && job.phase == wire::JobPhase::kQueued) {
        return Error(Code::kAlreadyExists, "the name " + spec.name + " is taken")
            .Hint("choose another");
      }
    }
    wire::Job job{.id = "job-" + std::to_string(view_.journal_seq + 100), .spec = spec};
    job.submitted_by = actor.name;
    view_.jobs.push_back(job);
    Record(actor, "job.submitted", {job.id, spec.name}, {{"spec", wire::ToJson(spec)}});
    return job;
  }
  Result<wire::Job> CancelJob(const std::string& which, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    for (wire::Job& job : view_.jobs) {
      if (job.id != which) continue;
      if (job.phase == wire::JobPhase::kCancelled)
        return Error(Code::kFailedPrecondition, which + " has ended already");
      job.phase = wire::JobPhase::kCancelled;
      Record(actor, "job.cancelled", {job.id, job.spec.name});
      return job;
    }
    return Unknown(which);
  }
  Result<wire::Service> CreateService(const wire::ServiceSpec& spec,
                                      const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    TRY(IsName("name", spec.name));
    for (const wire::ServiceView& s : view_.services) {
      if (s.service.spec.name == spec.name)
        return Error(Code::kAlreadyExists, "the name " + spec.name + " is taken");
    }
    wire::ServiceView view;
    view.service.id = "svc-" + std::to_string(view_.journal_seq + 100);
    view.service.spec = spec;
    view.service.created_by = actor.name;
    view_.services.push_back(view);
    Record(actor, "service.created", {view.service.id, spec.name});
    return view.service;
  }
  Result<wire::Service> UpdateService(const wire::ServiceSpec& spec,
                                      const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    if (spec.min_replicas > spec.max_replicas)
      return Error(Code::kInvalidArgument, "min_replicas: more than max_replicas");
    for (wire::ServiceView& s : view_.services) {
      if (s.service.spec.name != spec.name) continue;
      s.service.spec = spec;
      Record(actor, "service.updated", {s.service.id, spec.name});
      return s.service;
    }
    return Unknown(spec.name);
  }
  Result<wire::Service> RetireService(const std::string& which,
                                      const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    for (wire::ServiceView& s : view_.services) {
      if (s.service.id != which) continue;
      s.service.phase = wire::ServicePhase::kRetiring;
      Record(actor, "service.retiring", {which, s.service.spec.name});
      return s.service;
    }
    return Unknown(which);
  }
  Result<wire::Loan> RecallLoan(const std::string& which, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    for (wire::Loan& loan : view_.loans) {
      if (loan.id != which) continue;
      loan.phase = wire::LoanPhase::kRecalled;
      Record(actor, "loan.recalled", {which});
      return loan;
    }
    return Unknown(which);
  }
  Result<wire::Dataset> AddDataset(const wire::Dataset& dataset,
                                   const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    if (Has(view_.datasets, dataset.id, &wire::Dataset::id))
      return Error(Code::kAlreadyExists, dataset.id + " is registered");
    view_.datasets.push_back(dataset);
    Record(actor, "dataset.added", {dataset.id, dataset.name});
    return dataset;
  }
  Result<wire::ModelVersion> AddModelVersion(const wire::ModelVersion& version,
                                             const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    wire::ModelVersion added = version;
    added.number = 1 + std::ranges::count(view_.models, version.model, &wire::ModelVersion::model);
    added.id = added.model + "@" + std::to_string(added.number);
    view_.models.push_back(added);
    Record(actor, "model.added", {added.id});
    return added;
  }
  Result<wire::Pipeline> PutPipeline(const wire::Pipeline& pipeline,
                                     const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    std::erase_if(view_.pipelines, [&](const auto& p) { return p.name == pipeline.name; });
    view_.pipelines.push_back(pipeline);
    Record(actor, "pipeline.put", {pipeline.name});
    return pipeline;
  }
  Result<std::vector<wire::Slot>> DrainNode(const std::string& node, const std::string& why,
                                            const control::Actor& actor) override {
    std::vector<wire::Slot> slots;
    for (const wire::Slot& slot : View()->slots) {
      if (slot.node == node)
        slots.push_back(TRY(SetSlotHealth(slot.id, wire::SlotHealth::kCordoned, why, actor)));
    }
    return slots;
  }
  Result<wire::SiteSpec> PutSite(const wire::SiteSpec& site, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    Record(actor, "site.put", {site.name});
    sites_[site.name] = site;
    return site;
  }
  Result<wire::SiteSpec> DrainSite(const std::string& which, bool draining, const std::string& why,
                                   const control::Actor&) override {
    const std::lock_guard lock(mutex_);
    const auto it = sites_.find(which);
    if (it == sites_.end()) return Error(Code::kNotFound, "no such site");
    it->second.draining = draining;
    it->second.why = why;
    return it->second;
  }
  Status RemoveSite(const std::string& which, const control::Actor&) override {
    const std::lock_guard lock(mutex_);
    if (sites_.erase(which) == 0) return Error(Code::kNotFound, "no such site");
    return {};
  }
  std::vector<wire::SiteSpec> Sites() const override {
    const std::lock_guard lock(mutex_);
    std::vector<wire::SiteSpec> all;
    for (const auto& [name, site] : sites_) all.push_back(site);
    return all;
  }
  Result<std::vector<wire::SiteCheck>> CheckSite(const std::string& which) const override {
    if (sites_.count(which) == 0) return Error(Code::kNotFound, "no such site");
    return std::vector<wire::SiteCheck>{{"controller", true, true, "answers", ""}};
  }
  Result<control::MarketState> ChangeMarket(const control::MarketChange& change,
                                            const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    market::Book after = book_;
    TRY(change(after, market::Date::Of(view_.now)));
    book_ = std::move(after);
    Record(actor, "market.put", {});
    return control::MarketState{book_, market::Date::Of(view_.now)};
  }
  control::MarketState Market() const override {
    const std::lock_guard lock(mutex_);
    return {book_, market::Date::Of(view_.now)};
  }
  Result<wire::HeldPlan> PutPlan(const wire::PlanDoc& plan, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    plan_ = wire::HeldPlan{plan, actor.name, view_.now};
    Record(actor, "plan.put", {"plan"});
    return *plan_;
  }
  std::optional<wire::HeldPlan> Plan() const override {
    const std::lock_guard lock(mutex_);
    return plan_;
  }
  void SetPast(control::LabPast past) { past_ = std::move(past); }
  Result<control::LabPast> Past() const override { return past_; }
  Result<wire::Slot> SetSlotHealth(const std::string& slot, wire::SlotHealth health,
                                   const std::string& why, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    for (wire::Slot& s : view_.slots) {
      if (s.id != slot) continue;
      s.health = health;
      s.why = why;
      Record(actor, "slot.health", {slot});
      return s;
    }
    return Unknown(slot);
  }
  Result<wire::Key> CreateKey(const wire::Key& key, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    if (Has(keys_, key.name, &wire::Key::name))
      return Error(Code::kAlreadyExists, "the name " + key.name + " is taken");
    keys_.push_back(key);
    Record(actor, "key.created", {key.name});
    return key;
  }
  Status RevokeKey(const std::string& name, const control::Actor& actor) override {
    const std::lock_guard lock(mutex_);
    TRY(MayWrite());
    for (wire::Key& key : keys_) {
      if (key.name != name) continue;
      key.revoked = true;
      Record(actor, "key.revoked", {name});
      return {};
    }
    return Unknown(name);
  }

  std::shared_ptr<const wire::LabView> View() const override {
    const std::lock_guard lock(mutex_);
    return published_;
  }
  std::shared_ptr<const wire::LabView> WaitForChange(int64_t view_number,
                                                     Duration timeout) const override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::microseconds(timeout.us),
                      [&] { return number_ > view_number; });
    return published_;
  }
  int64_t view_number() const override {
    const std::lock_guard lock(mutex_);
    return number_;
  }
  std::vector<wire::Key> Keys() const override {
    const std::lock_guard lock(mutex_);
    return keys_;
  }
  Result<wire::JournalPage> Journal(int64_t from_seq, int64_t limit) const override {
    const std::lock_guard lock(mutex_);
    wire::JournalPage page;
    page.next = from_seq;
    for (const wire::JournalRecord& record : journal_) {
      if (record.seq < from_seq || static_cast<int64_t>(page.records.size()) >= limit) continue;
      page.records.push_back(record);
      page.next = record.seq + 1;
    }
    return page;
  }
  Result<wire::WhyView> Why(const std::string& kind, const std::string& which) const override {
    const std::lock_guard lock(mutex_);
    wire::WhyView why{.kind = kind, .id = which, .name = which, .now = "it waits"};
    why.blockers.push_back({"capacity", "every slot is leased", "wait, or lower min_slots"});
    for (const wire::JournalRecord& record : journal_) {
      if (std::ranges::find(record.subjects, which) != record.subjects.end())
        why.history.push_back(record);
    }
    return why;
  }
  Result<wire::Curve> CurveOf(const std::string& job) const override {
    return wire::Curve{.job = job, .points = {{.step = 1, .loss = 5.5, .heldout_loss = 5.25}}};
  }

 private:
  template <class T>
  static bool Has(const std::vector<T>& all, const std::string& name, std::string T::*member) {
    return std::ranges::find(all, name, member) != all.end();
  }
  static Error Unknown(const std::string& which) {
    return Error(Code::kNotFound, which + " is not known");
  }
  static Status Need(bool is_there, const std::string& what) {
    if (!is_there) return Unknown(what);
    return {};
  }
  static Status IsName(const std::string& path, const std::string& name) {
    if (name.empty() || name.find(' ') != name.npos)
      return Error(Code::kInvalidArgument, path + ": not a name");
    return {};
  }
  Status MayWrite() const {
    if (broken_) return *broken_;
    return {};
  }
  void Record(const control::Actor& actor, std::string type, std::vector<std::string> subjects,
              wire::Json body = wire::Json::object()) {
    wire::JournalRecord record{.seq = ++view_.journal_seq,
                               .at = view_.now,
                               .actor = actor.name,
                               .type = std::move(type),
                               .subjects = std::move(subjects)};
    record.text = record.type + " by " + actor.name;
    record.body = std::move(body);
    journal_.push_back(std::move(record));
    Publish();
  }
  void Publish() {
    view_.now = view_.now + Duration::Millis(1);
    published_ = std::make_shared<const wire::LabView>(view_);
    ++number_;
    changed_.notify_all();
  }

  mutable std::mutex mutex_;  // guards everything below
  std::map<std::string, wire::SiteSpec> sites_ = {{"north", {.name = "north"}}};
  mutable std::condition_variable changed_;
  market::Book book_;
  std::optional<wire::HeldPlan> plan_;
  control::LabPast past_;
  wire::LabView view_;
  std::shared_ptr<const wire::LabView> published_;
  int64_t number_ = 0;
  std::vector<wire::JournalRecord> journal_;
  std::vector<wire::Key> keys_;
  std::optional<Error> broken_;
};

// A small lab with one of everything, for tests that show it.
inline void FurnishFakeLab(FakeLab& lab, const std::string& job_folder) {
  lab.Change([&](wire::LabView& v) {
    wire::Team research{.name = "research", .guarantee_slots = 2};
    wire::Team nlp{.name = "nlp", .parent = "research"};
    wire::Team product{.name = "product", .team_class = wire::TeamClass::kProduct};
    product.guarantee_slots = 1;
    v.teams = {research, nlp, product};
    v.sites = {{.name = "local", .driver = "local", .isolation = "affinity and nice"}};
    for (int i = 0; i < 4; ++i) {
      const std::string index = std::to_string(i);
      v.slots.push_back({.id = "local/n1/" + index, .site = "local", .node = "n1", .index = i});
    }
    const Time t = v.now - Duration::Minutes(3);
    wire::Job train{.id = "job-1"};
    train.spec = {.name = "train",
                  .team = "nlp",
                  .command = {"python3", "train.py"},
                  .env = {{"TOKEN", "hunter2"}},
                  .min_slots = 1,
                  .max_slots = 2,
                  .checkpointable = true};
    train.phase = wire::JobPhase::kRunning;
    train.reason = "runs on 2 slots";
    train.lease = "lease-1";
    train.slots = 2;
    train.submitted = train.started = t;
    train.submitted_by = "admin";
    train.attempts = 1;
    train.folder = job_folder;
    train.progress = wire::Progress{.step = 120, .steps = 400, .loss = 3.25, .tokens_per_s = 12500};
    train.checkpoint = wire::Checkpoint{.step = 100, .path = "/c/100"};
    wire::Job old1{.id = "job-2"};
    old1.spec = {.name = "twice", .team = "nlp", .command = {"false"}};
    old1.phase = wire::JobPhase::kFailed;
    old1.reason = "exit 1";
    old1.exit_code = 1;
    old1.submitted = t;
    old1.ended = t + Duration::Seconds(4);
    old1.last_lines = {"no such file"};
    wire::Job old2 = old1;
    old2.id = "job-3";
    v.jobs = {train, old1, old2};
    wire::ServiceView chat;
    chat.service.id = "svc-1";
    chat.service.spec.name = "chat";
    chat.service.spec.team = "product";
    chat.service.spec.model = "tiny";
    chat.service.spec.max_replicas = 3;
    chat.service.spec.env = {{"PASSWORD", "hunter2"}};
    chat.service.version = "tiny@1";
    chat.ready = 1;
    chat.wanted = 2;
    chat.traffic.arrivals_per_s = 12.5;
    chat.traffic.ttft_ms = 180;
    chat.traffic.tpot_ms = 21;
    v.services = {chat};
    v.leases = {{.id = "lease-1",
                 .holder = "job-1",
                 .team = "nlp",
                 .slots = {"local/n1/0", "local/n1/1"},
                 .phase = wire::LeasePhase::kActive,
                 .opened = t},
                {.id = "lease-2",
                 .holder_kind = wire::HolderKind::kReplica,
                 .holder = "svc-1",
                 .team = "product",
                 .slots = {"local/n1/2"},
                 .phase = wire::LeasePhase::kActive,
                 .opened = t,
                 .loan = "loan-1",
                 .service = "chat",
                 .version = "tiny@1",
                 .ready = true,
                 .port = 4000}};
    v.loans = {
        {.id = "loan-1",
         .service = "chat",
         .team = "product",
         .parts = {{.team = "nlp", .job = "job-1", .slots = {"local/n1/2"}, .how = "shrink"}},
         .why = "12.5 requests/s expected, 8 can be served",
         .opened = t,
         .due = v.now + Duration::Minutes(7),
         .cost_slot_s = 180}};
    v.datasets = {{.id = "ds-1", .name = "docs", .sha256 = "ab", .path = "/d", .bytes = 1 << 20}};
    v.datasets[0].report = wire::Json::object();
    v.models = {{.id = "tiny@1", .model = "tiny", .number = 1, .path = "/m", .heldout_loss = 3.5}};
    v.rollouts = {{.id = "rollout-1",
                   .service = "chat",
                   .from = "",
                   .to = "tiny@1",
                   .phase = wire::RolloutPhase::kDone}};
    v.pipelines = {{.name = "story", .dataset = "docs", .model = "tiny"}};
  });
}

}  // namespace weir::gateway
