#include "control/intents.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "control/commands.h"
#include "control/held_slots.h"
#include "control/settle.h"

namespace weir::control {

using sched::ActionKind;
using wire::HolderKind;
using wire::LeasePhase;

void Learned::Note(const State& state) {
  std::vector<const wire::Job*> ended;
  for (const auto& [id, job] : state.jobs) {
    if (job.phase == wire::JobPhase::kDone && noted.count(id) == 0) ended.push_back(&job);
  }
  std::sort(ended.begin(), ended.end(), [](const wire::Job* a, const wire::Job* b) {
    return std::tie(a->ended, a->id) < std::tie(b->ended, b->id);
  });
  for (const wire::Job* job : ended) {
    noted.insert(job->id);
    if (job->slot_s <= 0) continue;
    const int64_t slots = std::max<int64_t>(job->spec.min_slots, 1);
    history.Note({job->submitted_by, job->spec.team, job->spec.name, slots},
                 Duration::FromSeconds(job->slot_s / static_cast<double>(slots)));
  }
  std::erase_if(noted, [&](const std::string& id) { return state.jobs.count(id) == 0; });
}

namespace {

// The sites of the job's regions, of those that it names if it does. A name that no site has stands
// for none.
std::vector<std::string> SitesIn(const State& state, const wire::JobSpec& spec) {
  std::vector<std::string> sites;
  for (const auto& [name, site] : state.sites) {
    const auto in = [](const std::vector<std::string>& all, const std::string& one) {
      return std::find(all.begin(), all.end(), one) != all.end();
    };
    if (in(spec.regions, site.region) && (spec.sites.empty() || in(spec.sites, name)))
      sites.push_back(name);
  }
  if (sites.empty()) sites.push_back("(none of the regions asked for)");
  return sites;
}

}  // namespace

sched::JobState SchedJob(const State& state, const Sightings& sights, const wire::Job& job,
                         const Guesses& guesses, const Learned& learned, const Budgets& budgets) {
  sched::JobState js;
  js.job = job;
  if (!job.spec.regions.empty()) js.job.spec.sites = SitesIn(state, job.spec);
  js.restart_cost = guesses.job_restart;
  if (const auto lease = state.leases.find(job.lease); lease != state.leases.end())
    js.run_started = lease->second.active.is_set() ? lease->second.active : lease->second.opened;
  js.last_checkpoint = js.run_started;
  if (job.checkpoint) js.last_checkpoint = std::max(js.last_checkpoint, job.checkpoint->at);
  if (const auto sight = sights.jobs.find(job.id); sight != sights.jobs.end()) {
    js.job.progress = sight->second.progress;
    if (sight->second.restart_cost.us > 0) js.restart_cost = sight->second.restart_cost;
    js.steps_per_s = sight->second.steps_per_s;
    js.exponent = static_cast<float>(SpeedUpExponent(sight->second.speeds));
  }
  if (const auto memo = state.job_memos.find(job.id); memo != state.job_memos.end()) {
    js.last_slots = memo->second.last_slots;
    js.last_cause = memo->second.last_cause;
  }
  const int64_t slots = std::max<int64_t>(job.spec.min_slots, 1);
  const sched::RunEstimate estimate =
      learned.history.Estimate({job.submitted_by, job.spec.team, job.spec.name, slots});
  if (estimate.expected.us > 0) {
    // What is left after earlier runs; one that has run for longer than expected has a tenth left.
    const Duration ran = Duration::FromSeconds(job.slot_s / static_cast<double>(slots));
    js.expected = std::max(estimate.expected - ran, estimate.expected / 10);
    js.error = estimate.error;
  }
  if (job.lease.empty() && !budgets.Over(job.spec.team, job.submitted_by).empty())
    js.hold = sched::Hold::kBudget;
  return js;
}

sched::Snapshot SchedSnapshot(const State& state, const Sightings& sights,
                              const std::map<std::string, DemandTracker>& demands, Time now,
                              bool draining, const sched::Policy& policy, const Guesses& guesses,
                              const Learned& learned) {
  const Budgets budgets(state, learned.prices, now);
  sched::Snapshot s;
  s.now = now;
  s.draining = draining;
  const Duration half_life = Duration::FromSeconds(policy.share_half_life_s);
  for (const auto& [name, team] : state.teams) {
    s.teams.push_back(team);
    s.teams.back().credit_slot_s = CreditNow(state, team, now, half_life);
    s.past_use[name] = PastSlots(state, name, now);
  }
  // In an exchange the slot is the old replica's until that has ended.
  std::map<std::string, std::string> holder_of;
  for (const auto& [id, lease] : state.leases) {
    s.leases.push_back(lease);
    for (const std::string& slot : lease.slots) {
      if (lease.replaces.empty() || state.leases.count(lease.replaces) == 0) holder_of[slot] = id;
    }
  }
  const std::map<std::string, HeldSlot> held = HeldSlots(state, now);
  for (const auto& [id, slot] : state.slots) {
    const auto site = sights.sites.find(slot.site);
    const auto added = state.sites.find(slot.site);
    const bool reachable = (site == sights.sites.end() || site->second.reachable) &&
                           (added == state.sites.end() || !added->second.draining);
    s.slots.push_back({id, reachable && EffectiveSlot(state, slot).health == wire::SlotHealth::kUp,
                       holder_of.count(id) != 0 ? holder_of[id] : "",
                       state.free_since.count(id) != 0 ? state.free_since.at(id) : Time{},
                       slot.type, slot.topology, slot.leaves});
    if (const auto it = held.find(id); it != held.end()) {
      // Beyond what contracts hold nothing starts; what runs there goes on until its node goes.
      if (!it->second.held) s.slots.back().usable = false;
      Time& leaves = s.slots.back().leaves;
      if (it->second.until.is_set() && (!leaves.is_set() || it->second.until < leaves))
        leaves = it->second.until;
    }
  }
  for (const auto& [id, job] : state.jobs) {
    if (HasEnded(job)) continue;
    s.jobs.push_back(SchedJob(state, sights, job, guesses, learned, budgets));
  }
  for (const auto& [id, service] : state.services) {
    sched::ServiceState ss;
    ss.service = service;
    ss.service.spec.variants = VariantsOf(state, service);
    ss.replica_startup = guesses.replica_startup;
    if (const auto it = sights.replica_startup.find(id); it != sights.replica_startup.end())
      ss.replica_startup = it->second;
    if (const auto it = demands.find(id); it != demands.end()) ss.demand = it->second.demand();
    if (const auto memo = state.service_memos.find(id); memo != state.service_memos.end()) {
      ss.start_not_before = memo->second.not_before;
      ss.last_down = memo->second.last_down;
      ss.own_version = memo->second.own_version;
      ss.version_since = memo->second.version_since;
    }
    s.services.push_back(std::move(ss));
  }
  for (const auto& [id, loan] : state.loans) {
    if (loan.phase != wire::LoanPhase::kReturned) s.loans.push_back(loan);
  }
  return s;
}

namespace {

// Collects events that the state accepts, one after the other.
class Proposals {
 public:
  Proposals(const State& state, Time now) : scratch_(state), now_(now) {}

  bool Add(std::vector<std::string> subjects, const sched::Reason& reason, EventBody body) {
    return Add(
        Event{now_, kLoopActor, std::move(subjects), reason.text, reason.numbers, std::move(body)});
  }
  bool Add(Event event) { return AddAll({std::move(event)}); }
  // All or none.
  bool AddAll(std::vector<Event> events) {
    State next = scratch_;
    for (const Event& event : events) {
      if (const Status applied = Apply(next, event); !applied) {
        out_.refused.push_back(TypeOf(event.body) + ": " + applied.error().message());
        return false;
      }
    }
    scratch_ = std::move(next);
    for (Event& event : events) out_.events.push_back(std::move(event));
    return true;
  }
  void Refuse(std::string why) { out_.refused.push_back(std::move(why)); }
  const State& state() const { return scratch_; }
  Time now() const { return now_; }
  Intents Take() { return std::move(out_); }

 private:
  State scratch_;
  Time now_;
  Intents out_;
};

std::string NextId(std::string_view prefix, int64_t counter) {
  return fmt::format("{}-{}", prefix, counter + 1);
}

void StartJob(Proposals& p, const sched::Action& action) {
  const auto job = p.state().jobs.find(action.job);
  if (job == p.state().jobs.end()) return p.Refuse("start of unknown job " + action.job);
  wire::Lease lease;
  lease.id = NextId("lease", p.state().counters.lease);
  lease.holder = job->second.id;
  lease.team = job->second.spec.team;
  lease.slots = action.slots;
  lease.opened = p.now();
  lease.why = action.reason.text;
  p.Add({lease.id, lease.holder, job->second.spec.name}, action.reason, LeaseIntended{lease});
}

void StartReplica(Proposals& p, const sched::Action& action, const std::string& loan) {
  const wire::Service* service = FindService(p.state(), action.service);
  if (service == nullptr) return p.Refuse("replica of unknown service " + action.service);
  wire::Lease lease;
  lease.id = NextId("lease", p.state().counters.lease);
  lease.holder_kind = HolderKind::kReplica;
  lease.holder = service->id;
  lease.team = service->spec.team;
  lease.slots = action.slots;
  lease.opened = p.now();
  lease.why = action.reason.text;
  lease.loan = loan;
  lease.service = service->spec.name;
  lease.version = action.version.empty() ? service->version : action.version;
  lease.revision = service->revision;
  std::vector<std::string> subjects{lease.id, service->id, service->spec.name};
  if (!loan.empty()) subjects.push_back(loan);
  p.Add(std::move(subjects), action.reason, LeaseIntended{lease});
}

void Stop(Proposals& p, const sched::Action& action) {
  const auto lease = p.state().leases.find(action.lease);
  // Ended or stopping already: what was wanted is under way.
  if (lease == p.state().leases.end() || lease->second.phase == LeasePhase::kStopping) return;
  std::vector<std::string> subjects{action.lease, lease->second.holder};
  if (!lease->second.service.empty()) subjects.push_back(lease->second.service);
  p.Add(std::move(subjects), action.reason, LeaseStopAsked{action.lease, action.cause});
}

// The real id of the loan; empty if the state refused it.
std::string OpenLoan(Proposals& p, const sched::Action& action) {
  const wire::Service* service = FindService(p.state(), action.service);
  if (service == nullptr) {
    p.Refuse("loan for unknown service " + action.service);
    return "";
  }
  wire::Loan loan;
  loan.id = NextId("loan", p.state().counters.loan);
  loan.service = service->spec.name;
  loan.team = service->spec.team;
  loan.parts = action.parts;
  for (wire::LoanPart& part : loan.parts) {  // the decision's estimates; loan.loss brings the truth
    part.work_lost_slot_s = 0;
    part.steps_lost = 0;
  }
  loan.why = action.reason.text;
  loan.opened = p.now();
  loan.due = action.due;
  std::vector<std::string> subjects{loan.id, service->id, service->spec.name};
  for (const wire::LoanPart& part : loan.parts) {
    if (!part.job.empty()) subjects.push_back(part.job);
  }
  return p.Add(std::move(subjects), action.reason, LoanOpened{loan}) ? loan.id : "";
}

}  // namespace

Intents FromDecision(const State& state, const sched::Decision& decision, Time now) {
  Proposals p(state, now);
  std::map<std::string, std::string> loan_ids;  // name within the decision -> id
  for (const sched::Action& action : decision.actions) {
    switch (action.kind) {
      case ActionKind::kStartJob:
        StartJob(p, action);
        break;
      case ActionKind::kStartReplica: {
        std::string loan = action.loan;
        if (!loan.empty() && state.loans.count(loan) == 0) loan = loan_ids[loan];
        if (!action.loan.empty() && loan.empty()) break;  // its loan was refused
        StartReplica(p, action, loan);
        break;
      }
      case ActionKind::kStopJob:
      case ActionKind::kStopReplica:
        Stop(p, action);
        break;
      case ActionKind::kOpenLoan:
        loan_ids[action.loan] = OpenLoan(p, action);
        break;
      case ActionKind::kRecallLoan: {
        const auto loan = p.state().loans.find(action.loan);
        if (loan == p.state().loans.end() || loan->second.phase != wire::LoanPhase::kOpen) break;
        p.Add({action.loan, loan->second.service}, action.reason,
              LoanRecalled{action.loan, action.reason.text});
        break;
      }
      case ActionKind::kSetShed: {
        const wire::Service* service = FindService(p.state(), action.service);
        if (service == nullptr || service->shed_above_tier == action.shed_above_tier) break;
        p.Add({service->id, service->spec.name}, action.reason,
              ServiceShed{service->id, action.shed_above_tier});
        break;
      }
      case ActionKind::kUseVersion: {
        const wire::Service* service = FindService(p.state(), action.service);
        if (service == nullptr || service->version == action.version) break;
        p.Add({service->id, service->spec.name, action.version}, action.reason,
              ServiceVersion{service->id, action.version});
        break;
      }
    }
  }
  return p.Take();
}

namespace {

std::string Text(const wire::Json& json, const char* name) {
  const auto it = json.find(name);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}
int64_t Integer(const wire::Json& json, const char* name) {
  const auto it = json.find(name);
  return it != json.end() && it->is_number_integer() ? it->get<int64_t>() : 0;
}

}  // namespace

learn::Snapshot LearnSnapshot(const State& state, LabFiles* files, Time now, bool draining) {
  learn::Snapshot s;
  s.now = now;
  s.draining = draining;
  std::set<std::string> trained;
  for (const auto& [name, pipeline] : state.pipelines) {
    s.pipelines.push_back(pipeline);
    if (pipeline.train) trained.insert(pipeline.train->name);
    const bool known =
        std::any_of(state.datasets.begin(), state.datasets.end(),
                    [&](const wire::Dataset& d) { return d.name == pipeline.dataset; });
    if (known || pipeline.paused || pipeline.dataset_path.empty() || files == nullptr) continue;
    const Result<wire::Json> manifest = files->Manifest(pipeline.dataset_path);
    if (!manifest || !manifest->is_object()) continue;
    const auto report = manifest->find("report");
    s.built.push_back({pipeline.dataset_path, Text(*manifest, "sha256"),
                       Integer(*manifest, "bytes"),
                       report == manifest->end() ? wire::Json::object() : *report});
  }
  for (const auto& [id, job] : state.jobs) {
    s.jobs.push_back(job);
    if (!job.checkpoint || trained.count(job.spec.name) == 0 || files == nullptr) continue;
    // Known as a version already: nothing to read.
    const bool known = std::any_of(
        state.versions.begin(), state.versions.end(),
        [&](const wire::ModelVersion& v) { return v.sha256 == job.checkpoint->sha256; });
    if (known) continue;
    const Result<wire::Json> manifest = files->Manifest(job.checkpoint->path);
    if (!manifest || !manifest->is_object()) continue;
    learn::CheckpointFacts facts;
    facts.job = id;
    facts.checkpoint = *job.checkpoint;
    facts.vocab_size = Integer(*manifest, "vocab_size");
    const auto lineage = manifest->find("lineage");
    const wire::Json& from =
        lineage != manifest->end() && lineage->is_object() ? *lineage : *manifest;
    facts.dataset_sha256 = Text(from, "dataset_sha256");
    facts.config_sha256 = Text(from, "config_sha256");
    facts.code_version = Text(from, "code_version");
    s.checkpoints.push_back(std::move(facts));
  }
  s.datasets = state.datasets;
  s.versions = state.versions;
  for (const auto& [id, service] : state.services) s.services.push_back(service);
  for (const auto& [id, lease] : state.leases) {
    if (lease.holder_kind == HolderKind::kReplica) s.replicas.push_back(lease);
  }
  for (const auto& [id, rollout] : state.rollouts) {
    if (rollout.phase == wire::RolloutPhase::kRunning) s.rollouts.push_back(rollout);
    if (rollout.phase == wire::RolloutPhase::kAborted) s.aborted.push_back(rollout);
  }
  return s;
}

Intents FromSteps(const State& state, const std::vector<learn::Step>& steps,
                  const std::string& data_dir, Time now) {
  using learn::StepKind;
  Proposals p(state, now);
  for (const learn::Step& step : steps) {
    const CommandContext c{p.state(), {kLoopActor}, now, data_dir};
    const auto add = [&](Events events) {
      if (!events) return p.Refuse(step.why + ": " + events.error().ToString());
      for (Event& event : *events) event.text = step.why;
      p.AddAll(*std::move(events));
    };
    switch (step.kind) {
      case StepKind::kSubmitJob:
        add(SubmitJob(c, step.job));
        break;
      case StepKind::kAddDataset:
        add(AddDataset(c, step.dataset));
        break;
      case StepKind::kAddVersion:
        add(AddModelVersion(c, step.version));
        break;
      case StepKind::kCreateService:
        add(CreateService(c, step.service));
        break;
      case StepKind::kStartRollout: {
        wire::Rollout rollout = step.rollout;
        rollout.id = NextId("rollout", p.state().counters.rollout);
        rollout.why = step.why;
        rollout.started = now;
        p.Add({now,
               kLoopActor,
               {rollout.id, rollout.service, rollout.to},
               step.why,
               {},
               RolloutStarted{rollout}});
        break;
      }
      case StepKind::kReplaceReplica: {
        const auto old = p.state().leases.find(step.lease);
        if (old == p.state().leases.end()) break;
        const auto memo = p.state().service_memos.find(old->second.holder);
        if (memo != p.state().service_memos.end() && now < memo->second.not_before) break;
        wire::Lease lease;
        lease.id = NextId("lease", p.state().counters.lease);
        lease.holder_kind = HolderKind::kReplica;
        lease.holder = old->second.holder;
        lease.team = old->second.team;
        lease.slots = old->second.slots;
        lease.opened = now;
        lease.why = step.why;
        lease.loan = old->second.loan;
        lease.service = old->second.service;
        lease.version = step.to_version;
        lease.revision = p.state().services.at(lease.holder).revision;
        lease.replaces = old->first;
        p.Add({now,
               kLoopActor,
               {lease.id, lease.holder, lease.service, step.rollout.id},
               step.why,
               {},
               LeaseIntended{lease}});
        break;
      }
      case StepKind::kFinishRollout:
        p.Add({now,
               kLoopActor,
               {step.rollout.id, step.rollout.service},
               step.why,
               {},
               RolloutEnded{step.rollout.id, step.rollout.phase}});
        break;
    }
  }
  return p.Take();
}

}  // namespace weir::control
