#include "lab/learn/learn.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace weir::learn {

namespace {

constexpr int64_t kMaxRolloutFailures = 3;
constexpr int64_t kExchangedShare = 4;  // one of so many replicas, when a surge changes the version

template <class T, class Match>
const T* Find(const std::vector<T>& all, Match match) {
  const auto it = std::find_if(all.begin(), all.end(), match);
  return it == all.end() ? nullptr : &*it;
}

const wire::Service* ServiceNamed(const Snapshot& s, const std::string& name) {
  return Find(s.services, [&](const wire::Service& x) { return x.spec.name == name; });
}

const wire::ModelVersion* VersionOfId(const Snapshot& s, const std::string& id) {
  return Find(s.versions, [&](const wire::ModelVersion& x) { return x.id == id; });
}

const wire::ModelVersion* NewestVersion(const Snapshot& s, const std::string& model) {
  const wire::ModelVersion* newest = nullptr;
  for (const wire::ModelVersion& v : s.versions) {
    if (v.model == model && (!newest || v.number > newest->number)) newest = &v;
  }
  return newest;
}

// The newest job of that name; a pipeline submits one and leaves the rest to retries.
const wire::Job* JobNamed(const Snapshot& s, const std::string& name) {
  const wire::Job* found = nullptr;
  for (const wire::Job& job : s.jobs) {
    if (job.spec.name == name && (!found || job.submitted >= found->submitted)) found = &job;
  }
  return found;
}

// Dataset, then training job. Each is asked for only while its effect is not in the snapshot.
void AdvanceToTraining(const Snapshot& s, const wire::Pipeline& p, std::vector<Step>& steps) {
  const wire::Dataset* dataset =
      Find(s.datasets, [&](const wire::Dataset& d) { return d.name == p.dataset; });
  if (!p.dataset.empty() && !dataset) {
    const DatasetFacts* built =
        Find(s.built, [&](const DatasetFacts& d) { return d.path == p.dataset_path; });
    if (built) {
      Step step{.kind = StepKind::kAddDataset, .pipeline = p.name};
      step.dataset.name = p.dataset;
      step.dataset.sha256 = built->sha256;
      step.dataset.path = built->path;
      step.dataset.bytes = built->bytes;
      step.dataset.report = built->report;
      step.why = fmt::format("pipeline {}: {} holds a complete dataset of {}", p.name, built->path,
                             HumanBytes(built->bytes));
      steps.push_back(std::move(step));
    } else if (p.build && !JobNamed(s, p.build->name)) {
      steps.push_back(
          {.kind = StepKind::kSubmitJob,
           .pipeline = p.name,
           .job = *p.build,
           .why = fmt::format("pipeline {}: dataset {} is not built yet", p.name, p.dataset)});
    }
    return;
  }
  if (p.train && !JobNamed(s, p.train->name)) {
    steps.push_back({.kind = StepKind::kSubmitJob,
                     .pipeline = p.name,
                     .job = *p.train,
                     .why = dataset
                                ? fmt::format("pipeline {}: dataset {} ({}) is ready", p.name,
                                              dataset->name, dataset->id)
                                : fmt::format("pipeline {}: training needs no dataset", p.name)});
  }
}

// A checkpoint that passes becomes a version: the first that does, and then each that is better
// than the newest version by the margin.
void AdvanceVersions(const Snapshot& s, const wire::Pipeline& p, std::vector<Step>& steps) {
  if (!p.train) return;
  const wire::Job* job = JobNamed(s, p.train->name);
  if (!job) return;
  const CheckpointFacts* facts =
      Find(s.checkpoints, [&](const CheckpointFacts& c) { return c.job == job->id; });
  if (!facts) return;
  const wire::ModelVersion* newest = NewestVersion(s, p.model);
  const bool known = Find(s.versions, [&](const wire::ModelVersion& v) {
    return v.model == p.model && v.sha256 == facts->checkpoint.sha256;
  });
  if (known) return;
  const GateResult gate = Gate(p, *facts);
  if (!gate.passes) return;
  const double loss = *facts->checkpoint.heldout_loss;
  std::string why = gate.why;
  if (newest) {
    if (!newest->heldout_loss || !(loss <= *newest->heldout_loss - p.improve_by)) return;
    why +=
        fmt::format("; {:.3f} better than {} ({:.3f}), margin {:.3f}", *newest->heldout_loss - loss,
                    newest->id, *newest->heldout_loss, p.improve_by);
  }
  Step step{.kind = StepKind::kAddVersion, .pipeline = p.name, .why = why};
  step.version.model = p.model;
  step.version.path = facts->checkpoint.path;
  step.version.sha256 = facts->checkpoint.sha256;
  step.version.parent = newest ? newest->id : "";
  step.version.job = job->id;
  step.version.step = facts->checkpoint.step;
  step.version.dataset_sha256 = facts->dataset_sha256;
  step.version.config_sha256 = facts->config_sha256;
  step.version.code_version = facts->code_version;
  step.version.heldout_loss = facts->checkpoint.heldout_loss;
  step.version.vocab_size = facts->vocab_size;
  step.version.gate = why;
  steps.push_back(std::move(step));
}

void AdvanceService(const Snapshot& s, const wire::Pipeline& p, std::vector<Step>& steps) {
  if (!p.service || ServiceNamed(s, p.service->name)) return;
  const wire::ModelVersion* newest = NewestVersion(s, p.model);
  if (!newest) return;
  Step step{.kind = StepKind::kCreateService, .pipeline = p.name, .service = *p.service};
  step.service.model = p.model;
  step.why =
      fmt::format("pipeline {}: {} is the first version that passed the gate", p.name, newest->id);
  steps.push_back(std::move(step));
}

// A service that follows its model gets the newest version, one rollout at a time. A version whose
// rollout was aborted is not tried again; a newer one is.
void StartRollouts(const Snapshot& s, std::vector<Step>& steps) {
  for (const wire::Service& service : s.services) {
    if (!service.spec.follow || service.phase != wire::ServicePhase::kActive ||
        !service.rollout.empty() || service.version.empty()) {
      continue;
    }
    const wire::ModelVersion* newest = NewestVersion(s, service.spec.model);
    const wire::ModelVersion* current = VersionOfId(s, service.version);
    if (!newest || !current || newest->model != current->model ||
        newest->number <= current->number) {
      continue;
    }
    const bool aborted = Find(s.aborted, [&](const wire::Rollout& r) {
      return r.service == service.spec.name && r.to == newest->id;
    });
    if (aborted) continue;
    Step step{.kind = StepKind::kStartRollout};
    step.rollout.service = service.spec.name;
    step.rollout.from = current->id;
    step.rollout.to = newest->id;
    step.why = fmt::format("{} follows {}: {} is newer than {}", service.spec.name, newest->model,
                           newest->id, current->id);
    step.rollout.why = step.why;
    steps.push_back(std::move(step));
  }
}

// The lease stands in for another that has not ended, or has yet to become ready.
bool InExchange(const Snapshot& s, const wire::Lease& lease) {
  if (lease.replaces.empty()) return false;
  const auto is_old = [&](const wire::Lease& old) {
    return old.id == lease.replaces && old.phase != wire::LeasePhase::kEnded;
  };
  return !lease.ready || Find(s.replicas, is_old) != nullptr;
}

// Replicas follow the version that the allocator chose for their service, and the flags and
// variables that people gave it.
void FollowVersion(const Snapshot& s, const wire::Service& service, std::vector<Step>& steps) {
  if (!service.rollout.empty() || service.phase != wire::ServicePhase::kActive) return;
  int64_t replicas = 0, exchanged = 0;
  std::vector<const wire::Lease*> others;
  std::set<std::string> taken;  // leases that another stands in for
  for (const wire::Lease& lease : s.replicas) {
    if (lease.service != service.spec.name || lease.phase == wire::LeasePhase::kEnded) continue;
    if (InExchange(s, lease)) {
      ++exchanged;
      taken.insert(lease.replaces);
    } else {
      ++replicas;
      const bool follows = lease.version == service.version && lease.revision == service.revision;
      if (!follows && lease.ready && lease.phase == wire::LeasePhase::kActive)
        others.push_back(&lease);
    }
  }
  for (const wire::Lease* lease : others) {
    if (exchanged >= std::max<int64_t>(1, replicas / kExchangedShare)) return;
    if (taken.count(lease->id) != 0) continue;
    ++exchanged;
    Step step{.kind = StepKind::kReplaceReplica};
    step.lease = lease->id;
    step.to_version = service.version;
    step.why = lease->version == service.version
                   ? fmt::format("{} was changed: a replica as it is now takes the place of {}",
                                 service.spec.name, lease->id)
                   : fmt::format("{} of {} takes the place of {}: {}", service.version,
                                 service.spec.name, lease->version, service.reason);
    steps.push_back(std::move(step));
  }
}

// One step of a running rollout: never more than one replica of a service in exchange.
void AdvanceRollout(const Snapshot& s, const wire::Rollout& rollout, std::vector<Step>& steps) {
  const wire::Service* service = ServiceNamed(s, rollout.service);
  const bool back = rollout.failures >= kMaxRolloutFailures;
  const std::string& target = back ? rollout.from : rollout.to;
  const auto finish = [&](wire::RolloutPhase phase, std::string why) {
    Step step{.kind = StepKind::kFinishRollout, .rollout = rollout, .why = std::move(why)};
    step.rollout.phase = phase;
    steps.push_back(std::move(step));
  };
  if (!service || service->phase != wire::ServicePhase::kActive) {
    finish(wire::RolloutPhase::kAborted,
           fmt::format("service {} is being retired", rollout.service));
    return;
  }
  const wire::Lease* next = nullptr;
  for (const wire::Lease& lease : s.replicas) {
    if (lease.service != rollout.service || lease.phase == wire::LeasePhase::kEnded) continue;
    if (InExchange(s, lease)) return;
    const bool settled = lease.phase == wire::LeasePhase::kActive && lease.ready;
    if (lease.version != target && settled && !next) next = &lease;
    if (lease.version != target && !settled && lease.phase != wire::LeasePhase::kStopping) {
      return;  // it is still coming up with another version: wait until it can be exchanged
    }
  }
  if (!next) {
    if (back) {
      finish(wire::RolloutPhase::kAborted,
             fmt::format("{} new replicas of {} did not become ready; all serve {} again",
                         rollout.failures, rollout.to, rollout.from));
    } else {
      finish(wire::RolloutPhase::kDone, fmt::format("every replica serves {}", rollout.to));
    }
    return;
  }
  Step step{.kind = StepKind::kReplaceReplica, .rollout = rollout};
  step.lease = next->id;
  step.to_version = target;
  step.why = fmt::format("rollout {}: {} of {} takes the place of {}", rollout.id, target,
                         rollout.service, next->version);
  steps.push_back(std::move(step));
}

}  // namespace

GateResult Gate(const wire::Pipeline& pipeline, const CheckpointFacts& facts) {
  if (!facts.checkpoint.heldout_loss || !std::isfinite(*facts.checkpoint.heldout_loss)) {
    return {false, "held-out loss is not known"};
  }
  if (facts.vocab_size < 2) return {false, "vocabulary size is not known"};
  const double uniform = std::log(static_cast<double>(facts.vocab_size));
  const double bar = pipeline.gate_share_of_uniform * uniform;
  const double loss = *facts.checkpoint.heldout_loss;
  return {loss < bar, fmt::format("held-out loss {:.3f} {} the bar {:.3f} = {:.2f} x ln({})", loss,
                                  loss < bar ? "is below" : "is not below", bar,
                                  pipeline.gate_share_of_uniform, facts.vocab_size)};
}

std::vector<Step> Advance(const Snapshot& s) {
  std::vector<Step> steps;
  if (s.draining) return steps;
  for (const wire::Pipeline& p : s.pipelines) {
    if (p.paused) continue;
    AdvanceToTraining(s, p, steps);
    AdvanceVersions(s, p, steps);
    AdvanceService(s, p, steps);
  }
  StartRollouts(s, steps);
  for (const wire::Rollout& rollout : s.rollouts) AdvanceRollout(s, rollout, steps);
  for (const wire::Service& service : s.services) FollowVersion(s, service, steps);
  return steps;
}

}  // namespace weir::learn
