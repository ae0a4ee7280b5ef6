#include "control/reconcile.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/logging.h"
#include "control/observe.h"

namespace weir::control {

using wire::HolderKind;
using wire::LeasePhase;
using wire::StopCause;

RunSpec SpecOfRun(const State& state, const wire::Lease& lease, const RunEnv& env) {
  RunSpec run;
  run.id = lease.id;
  run.holder = lease.holder;
  for (const std::string& id : lease.slots) {
    if (const auto slot = state.slots.find(id); slot != state.slots.end())
      run.slots.push_back(slot->second);
  }
  if (lease.holder_kind == HolderKind::kJob) {
    const wire::Job& job = state.jobs.at(lease.holder);
    run.command = job.spec.command;
    run.env = job.spec.env;
    run.env["WEIR_JOB"] = job.id;
    run.cwd = job.spec.cwd.empty() ? job.folder : job.spec.cwd;
    run.checkpoint_dir = job.folder + "/checkpoints";
    run.progress_path = job.folder + "/progress.jsonl";
    run.log_path = job.folder + "/log";
    run.memory_limit_bytes = job.spec.memory_limit_bytes;
    run.time_limit = job.spec.time_limit;
    run.grace = job.spec.grace;
  } else {
    const wire::Service& service = state.services.at(lease.holder);
    run.gang = false;
    run.wants_port = true;
    run.command = service.spec.command;
    const wire::ModelVersion* version = FindVersion(state, lease.version);
    const std::string model_path = version == nullptr ? "" : version->path;
    if (run.command.empty()) {
      run.command = {env.weir_binary, "serve", model_path, "--name", service.spec.name};
      // The gateway passes on what requests call the model. A replica of a rollout is asked by the
      // names of the old version now, and by those of its own once that is over.
      std::vector<std::string> names = RequestNames(state, service);
      if (version != nullptr) names.insert(names.end(), {version->model, version->id});
      std::set<std::string> known{service.spec.name};
      for (const std::string& flag : service.spec.engine) {
        run.command.push_back(flag);
        known.insert(AdapterName(flag));
      }
      for (const std::string& name : names) {
        if (known.insert(name).second) run.command.insert(run.command.end(), {"--alias", name});
      }
    }
    run.env = service.spec.env;
    run.env["WEIR_SERVICE"] = service.spec.name;
    run.env["WEIR_MODEL"] = model_path;
    run.log_path = fmt::format("{}/services/{}/{}.log", env.data_dir, service.id, lease.id);
    run.memory_limit_bytes = service.spec.memory_limit_bytes;
    run.grace = service.spec.grace;
  }
  run.env["WEIR_GRACE_S"] = fmt::format("{}", std::max<int64_t>(1, run.grace.us / 1'000'000));
  return run;
}

std::map<std::string, std::string> DrainedNodes(const State& state, const std::string& site) {
  std::map<std::string, std::string> nodes;
  for (const auto& [id, mark] : state.marks) {
    const auto slot = state.slots.find(id);
    if (mark.at_site && slot != state.slots.end() && slot->second.site == site)
      nodes[slot->second.node] = mark.why;
  }
  return nodes;
}

void Reconcile::Act(Driver& driver, const std::vector<RunObservation>& runs) {
  for (const auto& [id, lease] : state.leases) {
    if (SiteOf(lease.slots.front()) != driver.site().name) continue;
    LeaseSight& sight = sights.leases[id];
    if (lease.phase == LeasePhase::kIntended && !sight.started)
      Start(driver, lease, sight);
    else if (lease.phase == LeasePhase::kStopping && sight.started)
      Stop(driver, lease, sight);
  }
  for (const RunObservation& run : runs) {
    if (state.leases.count(run.id) != 0) continue;
    const bool over = run.phase == RunPhase::kExited || run.phase == RunPhase::kLost ||
                      run.phase == RunPhase::kRefused;
    const Status done = over ? driver.Forget(run.id) : driver.Stop(run.id, kOrphanGrace);
    if (!done) log::warn("run {} belongs to no lease: {}", run.id, done.error().ToString());
  }
}

void Reconcile::Start(Driver& driver, const wire::Lease& lease, LeaseSight& sight) {
  if (now < sight.retry_at || !sight.refused.empty()) return;
  const Status started = driver.Start(SpecOfRun(state, lease, env));
  if (started) {
    sight.started = true;
    return;
  }
  const Error& error = started.error();
  if (error.code() == Code::kUnavailable || error.code() == Code::kResourceExhausted) {
    sight.retry_at = now + kSiteRetry;
    log::warn("{} has to wait: {}", lease.id, error.ToString());
  } else {
    sight.refused = error.ToString();
  }
}

void Reconcile::Stop(Driver& driver, const wire::Lease& lease, LeaseSight& sight) {
  if (sight.stop_sent == lease.stop_cause) return;
  Duration grace = Duration::Seconds(20);
  if (lease.holder_kind == HolderKind::kJob) {
    grace = state.jobs.at(lease.holder).spec.grace;
  } else {
    const wire::ServiceSpec& spec = state.services.at(lease.holder).spec;
    grace = spec.grace;
    const bool drains = lease.stop_cause == StopCause::kDrain ||
                        lease.stop_cause == StopCause::kReplace ||
                        lease.stop_cause == StopCause::kShutdown;
    const Duration waited = now - lease.stop_asked;
    const Duration limit = shutdown_grace.us > 0 ? std::min(grace, shutdown_grace / 2) : grace;
    if (drains && lease.ready && waited < limit &&
        (waited < kRouteSettles || outstanding(lease) > 0))
      return;
    if (lease.stop_cause == StopCause::kUnhealthy) grace = std::min(grace, kUnhealthyGrace);
  }
  if (shutdown_grace.us > 0) grace = std::min(grace, shutdown_grace);
  if (const Status stopped = driver.Stop(lease.id, grace); !stopped) {
    log::warn("{} is not stopped yet: {}", lease.id, stopped.error().ToString());
    return;
  }
  sight.stop_sent = lease.stop_cause;
}

}  // namespace weir::control
