#include "control/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace weir::control {
namespace {

using wire::HolderKind;
using wire::JobPhase;
using wire::LeasePhase;
using wire::LoanPhase;
using wire::NameOf;
using wire::RolloutPhase;
using wire::ServicePhase;
using wire::StopCause;

template <class... Args>
Error Refused(fmt::format_string<Args...> text, Args&&... args) {
  return Error(Code::kFailedPrecondition, fmt::format(text, std::forward<Args>(args)...));
}

template <class T>
Result<T*> Get(std::map<std::string, T>& map, const std::string& id, std::string_view kind) {
  const auto it = map.find(id);
  if (it == map.end()) return Refused("{} {} is not in the state", kind, id);
  return &it->second;
}

// The number of an id "job-12" must be the next one: ids are never used twice.
Status Count(int64_t& counter, std::string_view prefix, const std::string& id) {
  if (id != fmt::format("{}-{}", prefix, counter + 1))
    return Refused("id {} where {}-{} was next", id, prefix, counter + 1);
  ++counter;
  return {};
}

// Drops those that have ended beyond `keep`, oldest first.
template <class T, class Ended>
void Prune(std::map<std::string, T>& map, size_t keep, const Ended& ended) {
  std::vector<std::pair<Time, std::string>> gone;
  for (const auto& [id, value] : map) {
    if (const Time at = ended(value); at.is_set()) gone.emplace_back(at, id);
  }
  if (gone.size() <= keep) return;
  std::sort(gone.begin(), gone.end());
  for (size_t i = 0; i < gone.size() - keep; ++i) map.erase(gone[i].second);
}

class Applier {
 public:
  Applier(State& state, const Event& event) : s_(state), event_(event) {}

  Status operator()(const LabStarted& e) {
    s_.lab = e.lab;
    return {};
  }
  Status operator()(const LabStopping&) { return {}; }

  Status operator()(const TeamPut& e) {
    const auto [it, is_new] = s_.teams.try_emplace(e.team.name, e.team);
    if (!is_new) {
      const double credit = it->second.credit_slot_s;
      it->second = e.team;
      it->second.credit_slot_s = credit;
    }
    return {};
  }
  Status operator()(const TeamRemoved& e) {
    if (s_.teams.erase(e.team) == 0) return Refused("team {} is not in the state", e.team);
    s_.credit_at.erase(e.team);
    return {};
  }

  Status operator()(const SlotSeen& e) {
    s_.slots[e.slot.id] = e.slot;
    return {};
  }
  Status operator()(const SlotMarked& e) {
    TRY(Get(s_.slots, e.slot, "slot"));
    if (e.health == wire::SlotHealth::kUp)
      s_.marks.erase(e.slot);
    else
      s_.marks[e.slot] = {e.health, e.why, e.at_site};
    return {};
  }
  Status operator()(const SitePut& e) {
    s_.sites[e.site.name] = e.site;
    return {};
  }
  Status operator()(const SiteRemoved& e) {
    for (const auto& [id, lease] : s_.leases) {
      for (const std::string& slot : lease.slots) {
        if (slot.rfind(e.site + "/", 0) == 0)
          return Refused("site {} goes while {} holds {}", e.site, id, slot);
      }
    }
    if (s_.sites.erase(e.site) == 0) return Refused("site {} is not in the state", e.site);
    std::erase_if(s_.slots, [&](const auto& entry) { return entry.second.site == e.site; });
    const auto of_site = [&](const auto& entry) { return entry.first.rfind(e.site + "/", 0) == 0; };
    std::erase_if(s_.marks, of_site);
    std::erase_if(s_.free_since, of_site);
    return {};
  }

  Status operator()(const KeyCreated& e) {
    if (!s_.keys.emplace(e.key.name, e.key).second) return Refused("key {} exists", e.key.name);
    return {};
  }
  Status operator()(const KeyRevoked& e) {
    (TRY(Get(s_.keys, e.key, "key")))->revoked = true;
    return {};
  }

  // ---- jobs ----

  Status operator()(const JobSubmitted& e) {
    TRY(Count(s_.counters.job, "job", e.job.id));
    if (e.job.phase != JobPhase::kQueued || !e.job.lease.empty())
      return Refused("job {} submitted as {}", e.job.id, NameOf(e.job.phase));
    s_.jobs.emplace(e.job.id, e.job);
    return {};
  }

  Status operator()(const JobMoved& e) {
    wire::Job& job = *TRY(Get(s_.jobs, e.job, "job"));
    const bool waiting = job.phase == JobPhase::kQueued || job.phase == JobPhase::kPaused;
    const bool between = job.phase == JobPhase::kRunning && job.lease.empty();
    const bool ends = e.phase == JobPhase::kFailed || e.phase == JobPhase::kCancelled;
    const bool allowed =
        between
            ? e.phase != JobPhase::kRunning
            : waiting && (ends || (job.phase == JobPhase::kPaused && e.phase == JobPhase::kQueued));
    if (!allowed) {
      return Refused("job {} cannot go from {}{} to {}", e.job, NameOf(job.phase),
                     job.lease.empty() ? "" : " (leased)", NameOf(e.phase));
    }
    job.phase = e.phase;
    job.reason = e.reason;
    if (between) {
      job.last_lines = e.last_lines;
      job.exit_code = e.exit_code;
      job.failures += e.failed_run ? 1 : 0;
      job.lost_slot_s += e.lost_slot_s;
      job.lost_steps += e.lost_steps;
    }
    job.not_before = e.not_before;
    if (HasEnded(job)) {
      job.ended = event_.at;
      s_.job_memos.erase(job.id);
      // What a pipeline made stays: learn::Advance looks there for what it has done already.
      Prune(s_.jobs, kEndedJobsKept,
            [&](const wire::Job& j) { return HasEnded(j) && !OfPipeline(j) ? j.ended : Time{}; });
    }
    return {};
  }

  Status operator()(const CheckpointSaved& e) {
    (TRY(Get(s_.jobs, e.job, "job")))->checkpoint = e.checkpoint;
    return {};
  }

  // ---- leases ----

  Status operator()(const LeaseIntended& e) {
    const wire::Lease& lease = e.lease;
    TRY(Count(s_.counters.lease, "lease", lease.id));
    if (lease.phase != LeasePhase::kIntended || lease.slots.empty())
      return Refused("lease {} intended as {} on {} slots", lease.id, NameOf(lease.phase),
                     lease.slots.size());
    if (!lease.replaces.empty()) {
      const wire::Lease& old = *TRY(Get(s_.leases, lease.replaces, "replaced lease"));
      if (old.slots != lease.slots || old.service != lease.service ||
          s_.leases.count(old.replaces) != 0)
        return Refused("lease {} cannot replace {}", lease.id, old.id);
      for (const auto& [id, other] : s_.leases) {
        if (other.replaces == old.id)
          return Refused("lease {} is being replaced by {} already", old.id, id);
      }
    } else {
      for (const auto& [id, other] : s_.leases) {
        for (const std::string& slot : lease.slots) {
          if (std::find(other.slots.begin(), other.slots.end(), slot) != other.slots.end())
            return Refused("slot {} of lease {} is held by {}", slot, lease.id, id);
        }
      }
    }
    for (size_t i = 0; i < lease.slots.size(); ++i) {
      TRY(Get(s_.slots, lease.slots[i], "slot"));
      if (std::count(lease.slots.begin(), lease.slots.end(), lease.slots[i]) != 1)
        return Refused("lease {} names slot {} twice", lease.id, lease.slots[i]);
    }
    if (!lease.loan.empty()) {
      if ((TRY(Get(s_.loans, lease.loan, "loan")))->phase == LoanPhase::kReturned)
        return Refused("lease {} on the returned loan {}", lease.id, lease.loan);
    }
    if (lease.holder_kind == HolderKind::kJob) {
      wire::Job& job = *TRY(Get(s_.jobs, lease.holder, "job"));
      if (job.phase != JobPhase::kQueued && job.phase != JobPhase::kPaused)
        return Refused("job {} is {}: it cannot start", job.id, NameOf(job.phase));
      const int64_t n = static_cast<int64_t>(lease.slots.size());
      if (n < job.spec.min_slots || n > job.spec.max_slots)
        return Refused("job {} takes {} to {} slots, not {}", job.id, job.spec.min_slots,
                       job.spec.max_slots, n);
      job.phase = JobPhase::kRunning;
      job.lease = lease.id;
      job.slots = n;
      job.attempts += 1;
      job.reason = event_.text;
      job.not_before = {};
      if (!job.started.is_set()) job.started = event_.at;
    } else {
      const wire::Service& service = *TRY(Get(s_.services, lease.holder, "service"));
      if (service.phase != ServicePhase::kActive)
        return Refused("service {} is {}: no new replica", service.id, NameOf(service.phase));
    }
    s_.leases.emplace(lease.id, lease);
    return {};
  }

  Status operator()(const LeaseActive& e) {
    wire::Lease& lease = *TRY(Get(s_.leases, e.lease, "lease"));
    if (lease.phase != LeasePhase::kIntended)
      return Refused("lease {} is {}: it cannot become active", lease.id, NameOf(lease.phase));
    lease.phase = LeasePhase::kActive;
    lease.active = event_.at;
    return {};
  }

  Status operator()(const LeaseStopAsked& e) {
    wire::Lease& lease = *TRY(Get(s_.leases, e.lease, "lease"));
    if (e.cause == StopCause::kNone || e.cause == lease.stop_cause)
      return Refused("lease {} asked to stop ({}) again", lease.id, NameOf(e.cause));
    lease.phase = LeasePhase::kStopping;
    lease.stop_cause = e.cause;
    if (!lease.stop_asked.is_set()) lease.stop_asked = event_.at;
    if (e.cause == StopCause::kDrain) s_.service_memos[lease.holder].last_down = event_.at;
    return {};
  }

  void NoteSpend(const wire::Lease& lease) {
    if (lease.slots.empty()) return;
    const double slot_s =
        (event_.at - lease.opened).seconds() * static_cast<double>(lease.slots.size());
    const std::string site = lease.slots.front().substr(0, lease.slots.front().find('/'));
    s_.spend[lease.team].slot_s[site] += slot_s;
    if (const auto job = s_.jobs.find(lease.holder); job != s_.jobs.end())
      s_.user_spend[lease.team + "/" + job->second.submitted_by].slot_s[site] += slot_s;
    PastUse& use = s_.past_use[lease.team];
    use.slot_s =
        slot_s + use.slot_s * std::exp2(-(event_.at - use.at).seconds() / kUseHalfLife.seconds());
    use.at = event_.at;
  }

  Status operator()(const LeaseEnded& e) {
    const wire::Lease lease = *TRY(Get(s_.leases, e.lease, "lease"));
    s_.leases.erase(e.lease);
    for (const std::string& slot : lease.slots) s_.free_since[slot] = event_.at;
    NoteSpend(lease);
    if (lease.holder_kind == HolderKind::kJob) {
      s_.job_memos[lease.holder] = {lease.slots, lease.stop_cause};
      wire::Job& job = *TRY(Get(s_.jobs, lease.holder, "job"));
      if (job.lease != lease.id)
        return Refused("job {} holds {}, not {}", job.id, job.lease, lease.id);
      job.lease.clear();
      job.slots = 0;
      job.slot_s += e.held_slot_s;
      return {};
    }
    const wire::Service& service = *TRY(Get(s_.services, lease.holder, "service"));
    ServiceMemo& memo = s_.service_memos[service.id];
    if (e.failures > 0) {
      memo.failures = e.failures;
      memo.not_before = e.not_before;
    }
    if (e.failures > 0 && !service.spec.variants.empty() && service.rollout.empty() &&
        lease.version != memo.own_version)
      memo.variant_failures[lease.version] += 1;
    if (!lease.replaces.empty() && !lease.ready && lease.stop_cause != StopCause::kShutdown) {
      if (const auto it = s_.rollouts.find(service.rollout); it != s_.rollouts.end()) {
        if (it->second.to == lease.version) it->second.failures += 1;
      }
    }
    return {};
  }

  Status operator()(const ReplicaReady& e) {
    wire::Lease& lease = *TRY(ActiveReplica(e.lease));
    lease.ready = true;
    lease.port = e.port;
    lease.host = e.host;
    if (!lease.loan.empty()) {
      Time& first = s_.loans[lease.loan].first_ready;
      if (!first.is_set()) first = event_.at;
    }
    const wire::Service& service = s_.services[lease.holder];
    s_.service_memos[lease.holder].variant_failures.erase(lease.version);
    if (const auto it = s_.rollouts.find(service.rollout);
        it != s_.rollouts.end() && !lease.replaces.empty() && lease.version == it->second.to)
      it->second.moved += 1;
    return {};
  }
  Status operator()(const ReplicaUnready& e) {
    (TRY(ActiveReplica(e.lease)))->ready = false;
    return {};
  }

  // ---- loans ----

  Status operator()(const LoanOpened& e) {
    TRY(Count(s_.counters.loan, "loan", e.loan.id));
    if (e.loan.phase != LoanPhase::kOpen || e.loan.due <= e.loan.opened)
      return Refused("loan {} opened as {}, due {}", e.loan.id, NameOf(e.loan.phase),
                     Human(e.loan.due));
    s_.loans.emplace(e.loan.id, e.loan);
    return {};
  }
  Status operator()(const LoanLoss& e) {
    wire::Loan& loan = *TRY(Get(s_.loans, e.loan, "loan"));
    if (loan.phase == LoanPhase::kReturned) return Refused("loan {} is returned", loan.id);
    for (wire::LoanPart& part : loan.parts) {
      if (part.job != e.job) continue;
      part.work_lost_slot_s += e.work_lost_slot_s;
      part.steps_lost += e.steps_lost;
      return {};
    }
    return Refused("loan {} has no part of {}", loan.id, e.job);
  }
  Status operator()(const LoanRecalled& e) {
    wire::Loan& loan = *TRY(Get(s_.loans, e.loan, "loan"));
    if (loan.phase != LoanPhase::kOpen)
      return Refused("loan {} is {}: it cannot be recalled", loan.id, NameOf(loan.phase));
    loan.phase = LoanPhase::kRecalled;
    loan.recalled = event_.at;
    loan.recall_why = e.why;
    return {};
  }
  Status operator()(const LoanReturned& e) {
    wire::Loan& loan = *TRY(Get(s_.loans, e.loan, "loan"));
    if (loan.phase != LoanPhase::kRecalled)
      return Refused("loan {} is {}: it cannot be returned", loan.id, NameOf(loan.phase));
    for (const auto& [id, lease] : s_.leases) {
      if (lease.loan == loan.id) return Refused("loan {} returned while {} is on it", e.loan, id);
    }
    loan.phase = LoanPhase::kReturned;
    loan.returned = event_.at;
    loan.cost_slot_s = e.cost_slot_s;
    loan.cost_steps = e.cost_steps;
    for (const auto& [team, credit] : e.credit_slot_s) {
      if (const auto it = s_.teams.find(team); it != s_.teams.end()) {
        it->second.credit_slot_s = credit;
        s_.credit_at[team] = event_.at;
      }
    }
    Prune(s_.loans, kReturnedLoansKept, [](const wire::Loan& l) { return l.returned; });
    return {};
  }

  // ---- services ----

  Status operator()(const ServiceCreated& e) {
    TRY(Count(s_.counters.service, "svc", e.service.id));
    s_.services.emplace(e.service.id, e.service);
    s_.service_memos[e.service.id].own_version = e.service.version;
    return {};
  }
  Status operator()(const ServiceUpdated& e) {
    wire::Service& service = *TRY(Get(s_.services, e.service, "service"));
    if (service.spec.name != e.spec.name || service.spec.team != e.spec.team)
      return Refused("service {} cannot change its name or team", service.id);
    const wire::ServiceSpec& old = service.spec;
    if (old.engine != e.spec.engine || old.env != e.spec.env || old.command != e.spec.command ||
        old.memory_limit_bytes != e.spec.memory_limit_bytes)
      ++service.revision;
    service.spec = e.spec;
    s_.service_memos[service.id].variant_failures.clear();
    return {};
  }
  Status operator()(const ServiceRetiring& e) {
    wire::Service& service = *TRY(Get(s_.services, e.service, "service"));
    if (service.phase != ServicePhase::kActive)
      return Refused("service {} is {} already", service.id, NameOf(service.phase));
    service.phase = ServicePhase::kRetiring;
    service.reason = event_.text;
    return {};
  }
  Status operator()(const ServiceRetired& e) {
    TRY(Get(s_.services, e.service, "service"));
    for (const auto& [id, lease] : s_.leases) {
      if (lease.holder == e.service) return Refused("service {} still holds {}", e.service, id);
    }
    s_.services.erase(e.service);
    s_.service_memos.erase(e.service);
    return {};
  }
  Status operator()(const ServiceShed& e) {
    wire::Service& service = *TRY(Get(s_.services, e.service, "service"));
    service.shed_above_tier = e.shed_above_tier;
    service.reason = event_.text;
    return {};
  }
  Status operator()(const ServiceVersion& e) {
    wire::Service& service = *TRY(Get(s_.services, e.service, "service"));
    service.version = e.version;
    ServiceMemo& memo = s_.service_memos[service.id];
    memo.version_since = event_.at;
    if (e.own) memo.own_version = e.version;
    service.reason = event_.text;
    return {};
  }

  // ---- data and models ----

  Status operator()(const DatasetAdded& e) {
    s_.datasets.push_back(e.dataset);
    return {};
  }
  Status operator()(const ModelRegistered& e) {
    for (const wire::ModelVersion& v : s_.versions) {
      if (v.id == e.version.id) return Refused("model version {} exists", v.id);
    }
    s_.versions.push_back(e.version);
    return {};
  }
  Status operator()(const MarketPut& e) {
    const auto put = [](auto& all, const auto& changed) {
      for (const auto& x : changed) {
        const auto same =
            std::find_if(all.begin(), all.end(), [&](const auto& y) { return y.id == x.id; });
        if (same == all.end())
          all.push_back(x);
        else
          *same = x;
      }
    };
    put(s_.book.offers, e.offers);
    put(s_.book.contracts, e.contracts);
    s_.book.last_number = std::max(s_.book.last_number, e.last_number);
    if (e.rates) s_.book.rates = *e.rates;
    if (e.budgets) s_.book.budgets = *e.budgets;
    if (e.accelerators) s_.book.accelerators = *e.accelerators;
    return {};
  }
  Status operator()(const PlanPut& e) {
    s_.plan = wire::HeldPlan{e.plan, event_.actor, event_.at};
    return {};
  }
  Status operator()(const PipelinePut& e) {
    s_.pipelines[e.pipeline.name] = e.pipeline;
    return {};
  }
  Status operator()(const RolloutStarted& e) {
    TRY(Count(s_.counters.rollout, "rollout", e.rollout.id));
    for (auto& [id, service] : s_.services) {
      if (service.spec.name != e.rollout.service) continue;
      if (!service.rollout.empty())
        return Refused("service {} is in {} already", id, service.rollout);
      service.rollout = e.rollout.id;
      service.reason = event_.text;
      s_.rollouts.emplace(e.rollout.id, e.rollout);
      return {};
    }
    return Refused("service {} of {} is not in the state", e.rollout.service, e.rollout.id);
  }
  Status operator()(const RolloutEnded& e) {
    wire::Rollout& rollout = *TRY(Get(s_.rollouts, e.rollout, "rollout"));
    if (rollout.phase != RolloutPhase::kRunning || e.phase == RolloutPhase::kRunning)
      return Refused("rollout {} is {}: it cannot end as {}", rollout.id, NameOf(rollout.phase),
                     NameOf(e.phase));
    rollout.phase = e.phase;
    rollout.ended = event_.at;
    for (auto& [id, service] : s_.services) {
      if (service.rollout != rollout.id) continue;
      service.rollout.clear();
      service.version = e.phase == RolloutPhase::kDone ? rollout.to : rollout.from;
      s_.service_memos[id].own_version = service.version;
      service.reason = event_.text;
    }
    Prune(s_.rollouts, kEndedRolloutsKept, [](const wire::Rollout& r) { return r.ended; });
    return {};
  }

 private:
  bool OfPipeline(const wire::Job& job) const {
    for (const auto& [name, pipeline] : s_.pipelines) {
      if (pipeline.build && pipeline.build->name == job.spec.name) return true;
      if (pipeline.train && pipeline.train->name == job.spec.name) return true;
    }
    return false;
  }

  Result<wire::Lease*> ActiveReplica(const std::string& id) {
    wire::Lease* lease = TRY(Get(s_.leases, id, "lease"));
    if (lease->holder_kind != HolderKind::kReplica || lease->phase == LeasePhase::kIntended)
      return Refused("lease {} is not a running replica", id);
    return lease;
  }

  State& s_;
  const Event& event_;
};

}  // namespace

Status Apply(State& state, const Event& event) {
  return std::visit(Applier(state, event), event.body);
}

std::string Text(const State& state) { return wire::ToText(state); }

Result<State> StateFromText(const std::string& text) { return wire::FromText<State>(text); }

double PastSlots(const State& state, const std::string& team, Time now) {
  const auto it = state.past_use.find(team);
  if (it == state.past_use.end()) return 0;
  const double half_life_s = kUseHalfLife.seconds();
  const double left = it->second.slot_s * std::exp2(-(now - it->second.at).seconds() / half_life_s);
  return left * std::numbers::ln2 / half_life_s;
}

bool HasEnded(const wire::Job& job) {
  return job.phase == JobPhase::kDone || job.phase == JobPhase::kFailed ||
         job.phase == JobPhase::kCancelled;
}

wire::Slot EffectiveSlot(const State& state, const wire::Slot& slot) {
  wire::Slot out = slot;
  const auto mark = state.marks.find(slot.id);
  if (mark != state.marks.end() && mark->second.health > out.health) {
    out.health = mark->second.health;
    out.why = mark->second.why;
  }
  return out;
}

const wire::Job* FindJob(const State& state, const std::string& which) {
  if (const auto it = state.jobs.find(which); it != state.jobs.end()) return &it->second;
  const wire::Job* found = nullptr;
  for (const auto& [id, job] : state.jobs) {
    if (job.spec.name != which) continue;
    if (!HasEnded(job)) return &job;
    if (found == nullptr || found->ended < job.ended) found = &job;
  }
  return found;
}

const wire::Service* FindService(const State& state, const std::string& which) {
  if (const auto it = state.services.find(which); it != state.services.end()) return &it->second;
  for (const auto& [id, service] : state.services) {
    if (service.spec.name == which) return &service;
  }
  return nullptr;
}

std::string OwnVersion(const State& state, const wire::Service& service) {
  const auto memo = state.service_memos.find(service.id);
  return memo == state.service_memos.end() || memo->second.own_version.empty()
             ? service.version
             : memo->second.own_version;
}

std::vector<std::string> VariantsOf(const State& state, const wire::Service& service) {
  const std::string own = OwnVersion(state, service);
  const auto memo = state.service_memos.find(service.id);
  std::vector<std::string> out;
  for (const std::string& name : service.spec.variants) {
    const wire::ModelVersion* version = FindVersion(state, name);
    if (version == nullptr || version->id == own) continue;
    if (memo != state.service_memos.end()) {
      const auto failures = memo->second.variant_failures.find(version->id);
      if (failures != memo->second.variant_failures.end() && failures->second >= kVariantFailures)
        continue;
    }
    if (std::find(out.begin(), out.end(), version->id) == out.end()) out.push_back(version->id);
  }
  return out;
}

std::string AdapterName(const std::string& flag) {
  constexpr std::string_view kAdapter = "--adapter=";
  if (!flag.starts_with(kAdapter)) return "";
  return flag.substr(kAdapter.size(), flag.find('=', kAdapter.size()) - kAdapter.size());
}

std::vector<std::string> RequestNames(const State& state, const wire::Service& service) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (!name.empty() && name != service.spec.name &&
        std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  };
  if (const wire::ModelVersion* own = FindVersion(state, OwnVersion(state, service))) {
    add(own->model);
    add(own->id);
  }
  for (const std::string& flag : service.spec.engine) add(AdapterName(flag));
  return names;
}

const wire::ModelVersion* FindVersion(const State& state, const std::string& which) {
  const wire::ModelVersion* newest = nullptr;
  for (const wire::ModelVersion& version : state.versions) {
    if (version.id == which) return &version;
    if (version.model == which) newest = &version;
  }
  return newest;
}

}  // namespace weir::control
