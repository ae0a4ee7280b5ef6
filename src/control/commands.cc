#include "control/commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"

namespace weir::control {
namespace {

using wire::JobPhase;
using wire::LeasePhase;

template <class... Args>
Error Invalid(fmt::format_string<Args...> text, Args&&... args) {
  return Error(Code::kInvalidArgument, fmt::format(text, std::forward<Args>(args)...));
}

std::vector<Event> One(const CommandContext& c, std::vector<std::string> subjects, std::string text,
                       EventBody body) {
  std::vector<Event> events;
  events.push_back(
      {c.now, c.actor.name, std::move(subjects), std::move(text), {}, std::move(body)});
  return events;
}

Status AtLeast(const char* field, int64_t value, int64_t least) {
  if (value < least) return Invalid("{}: {} is too small; at least {}", field, value, least);
  return {};
}

Status CheckCommand(const char* field, const std::vector<std::string>& command) {
  if (!command.empty() && command[0].empty()) return Invalid("{}[0]: it is empty", field);
  size_t bytes = 0;
  for (size_t i = 0; i < command.size(); ++i) {
    bytes += command[i].size() + 1;
    if (command[i].find('\0') != std::string::npos)
      return Invalid("{}[{}]: holds a zero byte", field, i);
  }
  if (bytes > kMaxCommandBytes)
    return Invalid("{}: {} bytes; at most {}", field, bytes, kMaxCommandBytes);
  return {};
}

Status CheckEnv(const std::map<std::string, std::string>& env) {
  for (const auto& [name, value] : env) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
        value.find('\0') != std::string::npos)
      return Invalid("env.{}: a variable's name is not empty and has no '='; no zero bytes", name);
    if (name.rfind("WEIR_", 0) == 0)
      return Error(Code::kInvalidArgument,
                   fmt::format("env.{}: names that begin with WEIR_ are Weir's own", name))
          .Hint("see docs/formats.md for what Weir sets");
  }
  return {};
}

int64_t UsableSlots(const State& state) {
  return std::count_if(state.slots.begin(), state.slots.end(), [&](const auto& entry) {
    return EffectiveSlot(state, entry.second).health != wire::SlotHealth::kDown;
  });
}

Result<const wire::Team*> TeamNamed(const State& state, const std::string& name) {
  const auto it = state.teams.find(name);
  if (it == state.teams.end())
    return Error(Code::kInvalidArgument, fmt::format("team: \"{}\" is not known", name))
        .Hint("see `weir team list`, or make it with `weir team put`");
  return &it->second;
}

Status CheckJobSpec(const State& state, const wire::JobSpec& spec) {
  TRY(CheckName("name", spec.name));
  TRY(TeamNamed(state, spec.team));
  if (spec.command.empty())
    return Error(Code::kInvalidArgument, "command: empty")
        .Hint("give the program after `--`: weir job submit ... -- python3 train.py");
  TRY(CheckCommand("command", spec.command));
  TRY(CheckEnv(spec.env));
  TRY(AtLeast("min_slots", spec.min_slots, 1));
  if (spec.max_slots < spec.min_slots)
    return Invalid("max_slots: {} is less than min_slots, {}", spec.max_slots, spec.min_slots);
  const int64_t there = static_cast<int64_t>(state.slots.size());
  if (spec.min_slots > there)
    return Error(Code::kInvalidArgument,
                 fmt::format("min_slots: {} slots asked for; the lab has {} ({} of them up)",
                             spec.min_slots, there, UsableSlots(state)))
        .Hint("ask for fewer, or start `weir up` with more --slots");
  TRY(AtLeast("time_limit_us", spec.time_limit.us, 0));
  TRY(AtLeast("memory_limit_bytes", spec.memory_limit_bytes, 0));
  TRY(AtLeast("max_retries", spec.max_retries, 0));
  TRY(AtLeast("grace_us", spec.grace.us, 0));
  TRY(AtLeast("checkpoint_interval_us", spec.checkpoint_interval.us, 0));
  return {};
}

constexpr int64_t kMostSlots = 100'000'000;

// Numbers that nobody means, types that no slot has, guarantees beyond what there is of a type.
Status CheckQuotas(const State& state, const wire::Team& team) {
  const auto absurd = [](const char* field, int64_t n) -> Status {
    if (n <= kMostSlots) return {};
    return Invalid("{}: {} is more than any lab has ({} at most)", field, n, kMostSlots);
  };
  TRY(absurd("guarantee_slots", team.guarantee_slots));
  TRY(absurd("weight", team.weight));
  TRY(absurd("lend_limit_slots", team.lend_limit_slots));
  TRY(absurd("borrow_limit_slots", team.borrow_limit_slots));
  std::map<std::string, int64_t> there;
  for (const auto& [id, slot] : state.slots) ++there[slot.type];
  std::set<std::string> seen;
  for (size_t i = 0; i < team.quotas.size(); ++i) {
    const wire::TypeQuota& quota = team.quotas[i];
    const std::string field = fmt::format("quotas[{}]", i);
    if (!seen.insert(quota.type).second)
      return Invalid("{}.type: \"{}\" has a quota already", field, quota.type);
    if (!there.empty() && there.count(quota.type) == 0)
      return Error(Code::kInvalidArgument,
                   fmt::format("{}.type: no slot of the lab is of type \"{}\"", field, quota.type))
          .Hint("`weir slot list --json` shows the types");
    TRY(AtLeast((field + ".guarantee_slots").c_str(), quota.guarantee_slots, 0));
    TRY(AtLeast((field + ".weight").c_str(), quota.weight, 0));
    TRY(AtLeast((field + ".borrow_limit_slots").c_str(), quota.borrow_limit_slots, -1));
    TRY(AtLeast((field + ".lend_limit_slots").c_str(), quota.lend_limit_slots, -1));
    int64_t guaranteed = quota.guarantee_slots;
    for (const auto& [name, other] : state.teams) {
      if (name == team.name || other.parent != team.parent) continue;
      for (const wire::TypeQuota& q : other.quotas)
        guaranteed += q.type == quota.type ? q.guarantee_slots : 0;
    }
    if (!there.empty() && guaranteed > there[quota.type])
      return Error(Code::kInvalidArgument,
                   fmt::format("{}.guarantee_slots: with this one {} slots of type {} are "
                               "guaranteed; the lab has {}",
                               field, guaranteed, quota.type, there[quota.type]))
          .Hint("lower another team's guarantee of that type first");
  }
  for (const auto& [field, value] :
       {std::pair("budget_slot_h", team.budget_slot_h), std::pair("budget_usd", team.budget_usd),
        std::pair("user_budget_slot_h", team.user_budget_slot_h),
        std::pair("user_budget_usd", team.user_budget_usd)}) {
    if (!(value >= 0) && value != -1)
      return Invalid("{}: {} is neither -1 (no limit) nor a number from 0 on", field, value);
  }
  return {};
}

Status CheckPlacement(const State& state, const wire::JobSpec& spec, Time now) {
  std::set<std::string> types, sites, nodes;
  for (const auto& [id, slot] : state.slots) {
    types.insert(slot.type);
    sites.insert(slot.site);
    nodes.insert(slot.site + "/" + slot.node);
  }
  const auto known = [](const char* field, const std::vector<std::string>& names,
                        const std::set<std::string>& all) -> Status {
    for (size_t i = 0; i < names.size(); ++i) {
      if (all.empty() || all.count(names[i]) != 0) continue;
      return Error(Code::kInvalidArgument,
                   fmt::format("{}[{}]: the lab has none called \"{}\"", field, i, names[i]))
          .Hint(fmt::format("it has {}", fmt::join(all, ", ")));
    }
    return {};
  };
  TRY(known("types", spec.types, types));
  TRY(known("sites", spec.sites, sites));
  TRY(known("avoid", spec.avoid, nodes));
  static const std::set<std::string> kLevels = {"", "node", "rack", "leaf", "spine", "site"};
  if (kLevels.count(spec.widest) == 0)
    return Invalid("widest: \"{}\" is not one of node, rack, leaf, spine, site", spec.widest);
  int64_t fit = 0;
  for (const auto& [id, slot] : state.slots) {
    const auto in = [](const auto& some, const std::string& one) {
      return some.empty() || std::find(some.begin(), some.end(), one) != some.end();
    };
    fit += in(spec.types, slot.type) && in(spec.sites, slot.site);
  }
  if (!state.slots.empty() && spec.min_slots > fit)
    return Error(Code::kInvalidArgument,
                 fmt::format("min_slots: {} slots asked for; the lab has {} of the sites and types "
                             "that will do",
                             spec.min_slots, fit))
        .Hint("ask for fewer, or for other types or sites too");
  if (spec.deadline.is_set() && spec.deadline <= now)
    return Invalid("deadline_us: {} is over already", Human(spec.deadline));
  return {};
}

Status CheckVariants(const State& state, const wire::ServiceSpec& spec) {
  if (spec.variants.size() > kMaxVariants)
    return Invalid("variants: {} of them; at most {}", spec.variants.size(), kMaxVariants);
  if (!spec.variants.empty() && spec.model.empty())
    return Error(Code::kInvalidArgument, "variants: of which model? A command is given")
        .Hint("leave the variants out, or name the model and leave out the command");
  std::set<std::string> seen;
  if (const wire::ModelVersion* own = FindVersion(state, spec.model)) seen.insert(own->id);
  for (size_t i = 0; i < spec.variants.size(); ++i) {
    const wire::ModelVersion* version = FindVersion(state, spec.variants[i]);
    if (version == nullptr)
      return Error(Code::kInvalidArgument,
                   fmt::format("variants[{}]: no model or version is called \"{}\"", i,
                               spec.variants[i]))
          .Hint("make it with `weir model quantize`, register it with `weir model add`");
    if (!seen.insert(version->id).second)
      return Invalid("variants[{}]: {} is the service's own version, or named before", i,
                     version->id);
  }
  return {};
}

// Flags that are passed on to `weir serve`. What the lab itself says there is not theirs to change.
Status CheckEngineFlags(const wire::ServiceSpec& spec) {
  if (spec.engine.size() > kMaxEngineFlags)
    return Invalid("engine: {} flags; at most {}", spec.engine.size(), kMaxEngineFlags);
  if (!spec.engine.empty() && !spec.command.empty())
    return Error(Code::kInvalidArgument,
                 "engine: these are flags of `weir serve`, and a command is given")
        .Hint("put the flags into the command");
  static const std::set<std::string, std::less<>> kOurs = {
      "--listen", "--name", "--alias", "--api-key-env", "--api-key-file", "--help"};
  for (size_t i = 0; i < spec.engine.size(); ++i) {
    const std::string& flag = spec.engine[i];
    const std::string name = flag.substr(0, flag.find('='));
    if (name.size() < 3 || name.rfind("--", 0) != 0)
      return Error(Code::kInvalidArgument,
                   fmt::format("engine[{}]: \"{}\" is not a flag such as --ctx=8192", i, flag))
          .Hint("see `weir serve --help`; a value stands behind a '='");
    if (kOurs.count(name) != 0)
      return Error(Code::kInvalidArgument,
                   fmt::format("engine[{}]: {} is the lab's to say", i, name))
          .Hint("leave it out");
  }
  return CheckCommand("engine", spec.engine);
}

Status CheckServiceSpec(const State& state, const wire::ServiceSpec& spec) {
  TRY(CheckName("name", spec.name));
  const wire::Team* team = TRY(TeamNamed(state, spec.team));
  if (team->team_class != wire::TeamClass::kProduct)
    return Error(Code::kInvalidArgument,
                 fmt::format("team: {} is a research team; services belong to product teams",
                             spec.team))
        .Hint("see `weir team list` for teams of class product");
  if (spec.model.empty() == spec.command.empty())
    return spec.model.empty()
               ? Error(Code::kInvalidArgument, "model: neither a model nor a command is given")
                     .Hint("name a model (see `weir model list`) or give a program after `--`")
               : Error(Code::kInvalidArgument, "model: a model and a command exclude each other");
  if (!spec.model.empty() && FindVersion(state, spec.model) == nullptr)
    return Error(Code::kInvalidArgument,
                 fmt::format("model: no model or version is called \"{}\"", spec.model))
        .Hint("see `weir model list`; a pipeline's service is made once a version has passed");
  TRY(CheckVariants(state, spec));
  TRY(CheckCommand("command", spec.command));
  TRY(CheckEngineFlags(spec));
  TRY(CheckEnv(spec.env));
  TRY(AtLeast("min_replicas", spec.min_replicas, 0));
  TRY(AtLeast("max_replicas", spec.max_replicas, 1));
  if (spec.max_replicas < spec.min_replicas)
    return Invalid("max_replicas: {} is less than min_replicas, {}", spec.max_replicas,
                   spec.min_replicas);
  TRY(AtLeast("slots_per_replica", spec.slots_per_replica, 1));
  const int64_t there = static_cast<int64_t>(state.slots.size());
  // Divided, so that hostile numbers do not overflow.
  if (spec.slots_per_replica > there || spec.min_replicas > there / spec.slots_per_replica)
    return Error(
               Code::kInvalidArgument,
               fmt::format("min_replicas: {} replicas of {} slots asked for; the lab has {} slots",
                           spec.min_replicas, spec.slots_per_replica, there))
        .Hint("ask for fewer, or start `weir up` with more --slots");
  if (spec.health_path.empty() || spec.health_path[0] != '/' ||
      spec.health_path.find_first_of(" \r\n") != std::string::npos)
    return Invalid("health_path: \"{}\" is not a path such as /healthz", spec.health_path);
  TRY(AtLeast("tier", spec.tier, 1));
  TRY(AtLeast("max_queue", spec.max_queue, 0));
  TRY(AtLeast("max_concurrency", spec.max_concurrency, 1));
  TRY(AtLeast("memory_limit_bytes", spec.memory_limit_bytes, 0));
  TRY(AtLeast("grace_us", spec.grace.us, 0));
  if (!(spec.slo.ttft_ms > 0) || !(spec.slo.tpot_ms > 0) || !(spec.slo.queue_ms >= 0))
    return Invalid("slo: times are milliseconds above 0");
  if (!(spec.slo.percentile >= 50 && spec.slo.percentile <= 99.9))
    return Invalid("slo.percentile: {} is not within 50..99.9", spec.slo.percentile);
  return {};
}

}  // namespace

Error NoSuch(std::string_view kind, const std::string& which) {
  return Error(Code::kNotFound, fmt::format("no {} is called \"{}\"", kind, which))
      .Hint(fmt::format("see `weir {} list`", kind));
}

Status CheckName(const std::string& field, const std::string& name) {
  if (IsName(name)) return {};
  return Error(Code::kInvalidArgument,
               fmt::format("{}: \"{}\" is not a name", field, name.substr(0, 80)))
      .Hint("1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or a digit");
}

Events PutTeam(const CommandContext& c, const wire::Team& team) {
  TRY(CheckName("name", team.name));
  TRY(AtLeast("guarantee_slots", team.guarantee_slots, 0));
  TRY(AtLeast("weight", team.weight, 1));
  TRY(AtLeast("lend_limit_slots", team.lend_limit_slots, -1));
  TRY(AtLeast("borrow_limit_slots", team.borrow_limit_slots, -1));
  TRY(CheckQuotas(c.state, team));
  std::string above = team.parent;
  for (size_t hops = 0; !above.empty(); ++hops) {
    const auto parent = c.state.teams.find(above);
    if (parent == c.state.teams.end())
      return Error(Code::kInvalidArgument, fmt::format("parent: \"{}\" is not known", above))
          .Hint("see `weir team list`");
    if (above == team.name || hops > c.state.teams.size())
      return Invalid("parent: {} would stand above itself", team.name);
    above = parent->second.parent;
  }
  int64_t guaranteed = team.guarantee_slots;
  for (const auto& [name, other] : c.state.teams) {
    if (name != team.name && other.parent.empty()) guaranteed += other.guarantee_slots;
  }
  const int64_t there = static_cast<int64_t>(c.state.slots.size());
  if (team.parent.empty() && there > 0 && guaranteed > there)
    return Error(Code::kInvalidArgument,
                 fmt::format("guarantee_slots: with this one {} slots are guaranteed; the lab has "
                             "{}",
                             guaranteed, there))
        .Hint("lower another team's guarantee first");
  if (const auto above_it = c.state.teams.find(team.parent); above_it != c.state.teams.end()) {
    int64_t below = team.guarantee_slots;
    for (const auto& [name, other] : c.state.teams) {
      if (name != team.name && other.parent == team.parent) below += other.guarantee_slots;
    }
    if (there > 0 && below > there)
      return Error(Code::kInvalidArgument,
                   fmt::format("guarantee_slots: the teams below {} are then guaranteed {} slots; "
                               "the lab has {}",
                               team.parent, below, there))
          .Hint("lower another team's guarantee first");
  }
  const auto old = c.state.teams.find(team.name);
  if (old != c.state.teams.end() && old->second.team_class != team.team_class)
    return Error(Code::kFailedPrecondition,
                 fmt::format("class: {} is a {} team and stays one", team.name,
                             wire::NameOf(old->second.team_class)))
        .Hint("make another team");
  return One(c, {team.name},
             fmt::format("team {} is put: {}, {} guaranteed slots, weight {}", team.name,
                         wire::NameOf(team.team_class), team.guarantee_slots, team.weight),
             TeamPut{team});
}

Events RemoveTeam(const CommandContext& c, const std::string& which) {
  if (c.state.teams.count(which) == 0) return NoSuch("team", which);
  const auto used = [&](std::string by) {
    return Error(Code::kFailedPrecondition, fmt::format("team {} is still needed by {}", which, by))
        .Hint("end or move that first");
  };
  for (const auto& [name, team] : c.state.teams) {
    if (team.parent == which) return used("team " + name);
  }
  for (const auto& [id, job] : c.state.jobs) {
    if (!HasEnded(job) && job.spec.team == which) return used("job " + job.spec.name);
  }
  for (const auto& [id, service] : c.state.services) {
    if (service.spec.team == which) return used("service " + service.spec.name);
  }
  for (const auto& [id, loan] : c.state.loans) {
    if (loan.phase == wire::LoanPhase::kReturned) continue;
    if (loan.team == which) return used(id);
    for (const wire::LoanPart& part : loan.parts) {
      if (part.team == which) return used(id);
    }
  }
  return One(c, {which}, fmt::format("team {} is removed", which), TeamRemoved{which});
}

Events SubmitJob(const CommandContext& c, const wire::JobSpec& spec) {
  TRY(CheckJobSpec(c.state, spec));
  TRY(CheckPlacement(c.state, spec, c.now));
  size_t waiting = 0;
  for (const auto& [id, job] : c.state.jobs) {
    if (HasEnded(job)) continue;
    ++waiting;
    if (job.spec.name == spec.name)
      return Error(Code::kAlreadyExists, fmt::format("name: job {} is called \"{}\" and is {}", id,
                                                     spec.name, wire::NameOf(job.phase)))
          .Hint(fmt::format("choose another name, or `weir job cancel {}` first", spec.name));
  }
  if (waiting >= kMaxWaitingJobs)
    return Error(Code::kResourceExhausted,
                 fmt::format("{} jobs have not ended; that is the most a lab takes", waiting))
        .Hint("submit again when some have ended")
        .RetryAfter(60);
  wire::Job job;
  job.id = fmt::format("job-{}", c.state.counters.job + 1);
  job.spec = spec;
  job.reason = "submitted";
  job.submitted_by = c.actor.name;
  job.submitted = c.now;
  job.folder = fmt::format("{}/jobs/{}", c.data_dir, job.id);
  return One(c, {job.id, spec.name, spec.team},
             fmt::format("{} submits {} for {}, {} to {} slots", c.actor.name, spec.name, spec.team,
                         spec.min_slots, spec.max_slots),
             JobSubmitted{job});
}

Events CancelJob(const CommandContext& c, const std::string& which) {
  const wire::Job* job = FindJob(c.state, which);
  if (job == nullptr) return NoSuch("job", which);
  if (HasEnded(*job))
    return Error(Code::kFailedPrecondition, fmt::format("job {} has ended: it is {}",
                                                        job->spec.name, wire::NameOf(job->phase)))
        .Hint("there is nothing to cancel");
  if (job->lease.empty()) {
    JobMoved moved;
    moved.job = job->id;
    moved.phase = JobPhase::kCancelled;
    moved.reason = fmt::format("cancelled by {} before it ran (again)", c.actor.name);
    return One(c, {job->id, job->spec.name},
               fmt::format("{} is cancelled by {}", job->spec.name, c.actor.name),
               std::move(moved));
  }
  if (c.state.leases.at(job->lease).stop_cause == wire::StopCause::kCancel)
    return std::vector<Event>{};
  return One(c, {job->lease, job->id, job->spec.name},
             fmt::format("{} cancels {}: its run is asked to stop", c.actor.name, job->spec.name),
             LeaseStopAsked{job->lease, wire::StopCause::kCancel});
}

Events CreateService(const CommandContext& c, const wire::ServiceSpec& spec) {
  TRY(CheckServiceSpec(c.state, spec));
  if (const wire::Service* taken = FindService(c.state, spec.name); taken != nullptr)
    return Error(Code::kAlreadyExists,
                 fmt::format("name: service {} is called \"{}\"", taken->id, spec.name))
        .Hint("choose another name, or change that one with `weir service update`");
  if (c.state.services.size() >= kMaxServices)
    return Error(Code::kResourceExhausted,
                 fmt::format("{} services; that is the most a lab takes", kMaxServices))
        .Hint("retire one first");
  wire::Service service;
  service.id = fmt::format("svc-{}", c.state.counters.service + 1);
  service.spec = spec;
  service.created_by = c.actor.name;
  service.created = c.now;
  if (!spec.model.empty()) service.version = FindVersion(c.state, spec.model)->id;
  service.reason = fmt::format("created by {}", c.actor.name);
  return One(c, {service.id, spec.name, spec.team},
             fmt::format("{} creates service {} for {}, {} to {} replicas", c.actor.name, spec.name,
                         spec.team, spec.min_replicas, spec.max_replicas),
             ServiceCreated{service});
}

Events UpdateService(const CommandContext& c, const wire::ServiceSpec& spec) {
  const wire::Service* service = FindService(c.state, spec.name);
  if (service == nullptr) return NoSuch("service", spec.name);
  if (service->phase != wire::ServicePhase::kActive)
    return Error(Code::kFailedPrecondition,
                 fmt::format("service {} is {}", spec.name, wire::NameOf(service->phase)))
        .Hint("create it again once it is gone");
  if (spec.team != service->spec.team)
    return Error(Code::kInvalidArgument,
                 fmt::format("team: service {} belongs to {} and stays there", spec.name,
                             service->spec.team))
        .Hint("retire it and create it for the other team");
  TRY(CheckServiceSpec(c.state, spec));
  std::vector<Event> events = One(c, {service->id, spec.name},
                                  fmt::format("{} changes service {}", c.actor.name, spec.name),
                                  ServiceUpdated{service->id, spec});
  if (spec.model.empty()) return events;
  const wire::ModelVersion* version = FindVersion(c.state, spec.model);
  const bool new_model = spec.model != service->spec.model;
  const std::string own = OwnVersion(c.state, *service);
  if (!new_model || version->id == own) return events;
  if (!service->rollout.empty())
    return Error(Code::kFailedPrecondition,
                 fmt::format("model: {} of service {} is under way", service->rollout, spec.name))
        .Hint("wait until it has ended, see `weir service show`");
  if (service->version.empty()) {
    events.push_back({c.now,
                      c.actor.name,
                      {service->id, spec.name, version->id},
                      fmt::format("new replicas of {} serve {}", spec.name, version->id),
                      {},
                      ServiceVersion{service->id, version->id, true}});
    return events;
  }
  wire::Rollout rollout;
  rollout.id = fmt::format("rollout-{}", c.state.counters.rollout + 1);
  rollout.service = spec.name;
  rollout.from = own;
  rollout.to = version->id;
  rollout.why =
      fmt::format("{} changed the model of {} to {}", c.actor.name, spec.name, spec.model);
  rollout.started = c.now;
  events.push_back({c.now,
                    c.actor.name,
                    {rollout.id, service->id, spec.name, version->id},
                    rollout.why,
                    {},
                    RolloutStarted{rollout}});
  return events;
}

Events RetireService(const CommandContext& c, const std::string& which) {
  const wire::Service* service = FindService(c.state, which);
  if (service == nullptr) return NoSuch("service", which);
  if (service->phase != wire::ServicePhase::kActive) return std::vector<Event>{};
  return One(c, {service->id, service->spec.name},
             fmt::format("{} retires service {}", c.actor.name, service->spec.name),
             ServiceRetiring{service->id});
}

Events RecallLoan(const CommandContext& c, const std::string& which) {
  const auto loan = c.state.loans.find(which);
  if (loan == c.state.loans.end()) return NoSuch("loan", which);
  if (loan->second.phase == wire::LoanPhase::kRecalled) return std::vector<Event>{};
  if (loan->second.phase == wire::LoanPhase::kReturned)
    return Error(Code::kFailedPrecondition, fmt::format("{} has been returned", which))
        .Hint("there is nothing to recall");
  const std::string why = fmt::format("{} asked for it", c.actor.name);
  return One(c, {which, loan->second.service}, fmt::format("{} is recalled: {}", which, why),
             LoanRecalled{which, why});
}

Events AddDataset(const CommandContext& c, const wire::Dataset& dataset) {
  TRY(CheckName("name", dataset.name));
  if (dataset.sha256.size() < 12 ||
      dataset.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
    return Invalid("sha256: \"{}\" is not a hash in lower-case hex", dataset.sha256.substr(0, 80));
  wire::Dataset added = dataset;
  added.id = "ds-" + dataset.sha256.substr(0, 12);
  for (const wire::Dataset& known : c.state.datasets) {
    if (known.name != dataset.name && known.id != added.id) continue;
    return Error(Code::kAlreadyExists,
                 fmt::format("dataset {} is called \"{}\" and has sha256 {}", known.id, known.name,
                             known.sha256.substr(0, 12)))
        .Hint("datasets never change: choose another name for other content");
  }
  added.created = c.now;
  added.created_by = c.actor.name;
  return One(
      c, {added.id, added.name},
      fmt::format("dataset {} ({}, {}) is added", added.name, added.id, HumanBytes(added.bytes)),
      DatasetAdded{added});
}

Events AddModelVersion(const CommandContext& c, const wire::ModelVersion& version) {
  TRY(CheckName("model", version.model));
  if (version.path.empty()) return Invalid("path: the folder that holds the version is missing");
  if (!version.parent.empty() && FindVersion(c.state, version.parent) == nullptr)
    return Error(Code::kInvalidArgument,
                 fmt::format("parent: no model or version is called \"{}\"", version.parent))
        .Hint("see `weir model list`");
  wire::ModelVersion added = version;
  added.number = 1;
  for (const wire::ModelVersion& known : c.state.versions) {
    if (known.model != version.model) continue;
    added.number = std::max(added.number, known.number + 1);
    if (!version.sha256.empty() && known.sha256 == version.sha256)
      return Error(Code::kAlreadyExists, fmt::format("{} holds the same bytes (sha256 {})",
                                                     known.id, known.sha256.substr(0, 12)))
          .Hint("use that version");
  }
  added.id = fmt::format("{}@{}", added.model, added.number);
  added.created = c.now;
  std::string text = fmt::format("{} is registered", added.id);
  if (!added.gate.empty()) text += ": " + added.gate;
  std::vector<std::string> subjects{added.id, added.model};
  if (!added.job.empty()) subjects.push_back(added.job);
  return One(c, std::move(subjects), std::move(text), ModelRegistered{added});
}

Events PutPipeline(const CommandContext& c, const wire::Pipeline& pipeline) {
  TRY(CheckName("name", pipeline.name));
  const auto in = [](const char* where, Status status) -> Status {
    if (!status) return std::move(status).error().In(where);
    return {};
  };
  if (pipeline.build) TRY(in("build", CheckJobSpec(c.state, *pipeline.build)));
  if (pipeline.train) {
    TRY(in("train", CheckJobSpec(c.state, *pipeline.train)));
    TRY(CheckName("model", pipeline.model));
  }
  if (pipeline.service) {
    TRY(in("service", CheckName("name", pipeline.service->name)));
    const wire::Team* team = TRY(TeamNamed(c.state, pipeline.service->team));
    if (team->team_class != wire::TeamClass::kProduct)
      return Invalid("service.team: {} is a research team; services belong to product teams",
                     team->name);
  }
  if (!(pipeline.gate_share_of_uniform > 0 && pipeline.gate_share_of_uniform <= 1))
    return Invalid("gate_share_of_uniform: {} is not within 0..1", pipeline.gate_share_of_uniform);
  if (!(pipeline.improve_by >= 0))
    return Invalid("improve_by: {} is negative", pipeline.improve_by);
  return One(c, {pipeline.name}, fmt::format("{} puts pipeline {}", c.actor.name, pipeline.name),
             PipelinePut{pipeline});
}

// Things of the market in one record: a catalog of many thousand offers is several, made durable
// together.
constexpr size_t kMostOfARecord = 2'000;

Events ChangeMarket(const CommandContext& c, const MarketChange& change) {
  const market::Book& before = c.state.book;
  market::Book after = before;
  const MarketNote note = TRY(change(after, market::Date::Of(c.now)));
  MarketPut put;
  const auto changed = [](const auto& old, const auto& now, auto& out) {
    for (size_t i = 0; i < now.size(); ++i)
      if (i >= old.size() || !(old[i] == now[i])) out.push_back(now[i]);
  };
  changed(before.offers, after.offers, put.offers);
  changed(before.contracts, after.contracts, put.contracts);
  if (before.rates != after.rates) put.rates = after.rates;
  if (before.budgets != after.budgets) put.budgets = after.budgets;
  if (before.accelerators != after.accelerators) put.accelerators = after.accelerators;
  if (put.offers.empty() && put.contracts.empty() && !put.rates && !put.budgets &&
      !put.accelerators)
    return std::vector<Event>{};
  put.last_number = after.last_number;
  std::vector<Event> events;
  const std::string text = fmt::format("{}: {}", c.actor.name, note.text);
  // The last record holds what is left, and the contracts; those before it offers alone.
  while (put.offers.size() > kMostOfARecord) {
    MarketPut part;
    part.last_number = put.last_number;
    const auto end = put.offers.begin() + static_cast<ptrdiff_t>(kMostOfARecord);
    part.offers.assign(std::make_move_iterator(put.offers.begin()), std::make_move_iterator(end));
    put.offers.erase(put.offers.begin(), end);
    const std::string first = part.offers.front().id;
    events.push_back({c.now, c.actor.name, {first}, text + " (a part)", {}, std::move(part)});
  }
  std::vector<std::string> subjects;
  constexpr size_t kMostSubjects = 100;
  for (const market::Contract& x : put.contracts) subjects.push_back(x.id);
  for (const market::Offer& x : put.offers)
    if (subjects.size() < kMostSubjects) subjects.push_back(x.id);
  events.push_back({c.now, c.actor.name, std::move(subjects), text, {}, std::move(put)});
  return events;
}

namespace {

// What the types cannot say of a plan: that it is of this form, and that its parts agree.
Status CheckPlan(const wire::PlanDoc& p) {
  constexpr int64_t kMostMonths = 120;
  constexpr size_t kMostThings = 20'000, kMostText = 4'000;
  const auto hint = [](Error e) {
    return std::move(e).Hint("send the plan.json that `weir plan --out` writes, as it is");
  };
  if (p.weir_plan != 1) return hint(Invalid("weir_plan: {} is not 1", p.weir_plan));
  if (!market::ParseMonth(p.start, "start"))
    return hint(Invalid("start: \"{}\" is no month such as 2027-03", p.start));
  if (p.months < 1 || p.months > kMostMonths)
    return hint(Invalid("months: {} is not 1 to {}", p.months, kMostMonths));
  if (p.offers.size() + p.commitments.size() > kMostThings)
    return hint(Invalid("offers: more than {} with the commitments", kMostThings));
  for (const wire::PlanOffer& o : p.offers)
    if (o.offer.empty() || o.decision.empty())
      return hint(Invalid("offers: one has no name or no decision"));
  const auto months = [&](const std::vector<double>& by_month, const std::string& where) -> Status {
    if (by_month.size() == static_cast<size_t>(p.months)) return {};
    return hint(Invalid("{}: {} months, and the plan has {}", where, by_month.size(), p.months));
  };
  for (size_t i = 0; i < p.ladders.size(); ++i) {
    const std::string at = fmt::format("ladders[{}]", i);
    TRY(months(p.ladders[i].p10, at + ".p10"));
    TRY(months(p.ladders[i].p50, at + ".p50"));
    TRY(months(p.ladders[i].p90, at + ".p90"));
    for (const wire::PlanStep& step : p.ladders[i].steps) TRY(months(step.work, at + ".steps"));
  }
  for (const std::string& note : p.notes)
    if (note.size() > kMostText) return hint(Invalid("notes: one has {} letters", note.size()));
  return {};
}

}  // namespace

Events PutPlan(const CommandContext& c, const wire::PlanDoc& plan) {
  TRY(CheckPlan(plan));
  int64_t sign = 0;
  for (const wire::PlanOffer& o : plan.offers) sign += o.accelerators > 0;
  return One(c, {"plan"},
             fmt::format("{} puts a plan of {} months from {}: {} of {} offers to sign",
                         c.actor.name, plan.months, plan.start, sign, plan.offers.size()),
             PlanPut{plan});
}

Events SetSlotHealth(const CommandContext& c, const std::string& slot, wire::SlotHealth health,
                     const std::string& why) {
  if (c.state.slots.count(slot) == 0) return NoSuch("slot", slot);
  return One(c, {slot},
             fmt::format("{} marks slot {} as {}{}{}", c.actor.name, slot, wire::NameOf(health),
                         why.empty() ? "" : ": ", why),
             SlotMarked{slot, health, why});
}

Events DrainNode(const CommandContext& c, const std::string& node, const std::string& why) {
  std::vector<Event> events;
  std::set<std::string> nodes;
  for (const auto& [id, slot] : c.state.slots) {
    const std::string full = slot.site + "/" + slot.node;
    if (slot.node != node && full != node) continue;
    nodes.insert(full);
    events.push_back(
        {c.now,
         c.actor.name,
         {id},
         fmt::format("{} drains node {}{}{}", c.actor.name, full, why.empty() ? "" : ": ", why),
         {},
         SlotMarked{id, wire::SlotHealth::kCordoned, why, true}});
  }
  if (nodes.size() > 1)
    return Error(Code::kInvalidArgument,
                 fmt::format("the name {} is ambiguous: it is {}", node, fmt::join(nodes, " and ")))
        .Hint("say which as site/node");
  if (events.empty())
    return Error(Code::kNotFound, fmt::format("node {} is not known", node))
        .Hint("see `weir slot list`");
  return events;
}

namespace {

Status CheckSite(const wire::SiteSpec& site) {
  TRY(CheckName("name", site.name));
  if (site.driver != "slurm")
    return Error(
        Code::kInvalidArgument,
        fmt::format("driver: \"{}\" is not one; sites that are added have slurm", site.driver));
  for (const auto& [field, value] : {std::pair("price_usd_per_slot_h", site.price_usd_per_slot_h),
                                     std::pair("power_w_per_slot", site.power_w_per_slot)}) {
    if (!(value >= 0 && value < 1e9)) return Invalid("{}: {} is not from 0 on", field, value);
  }
  TRY(AtLeast("quota_slots", site.quota_slots, 0));
  TRY(AtLeast("unknown_after_us", site.unknown_after.us, 1'000'000));
  TRY(AtLeast("lost_after_us", site.lost_after.us, 0));
  if (site.lost_after.us > 0 && site.lost_after < site.unknown_after)
    return Invalid("lost_after_us: it is shorter than unknown_after_us, {}",
                   Human(site.unknown_after));
  const wire::SlurmSite& s = site.slurm;
  if (s.cluster.empty())
    return Invalid("slurm.cluster: empty; `sacctmgr show cluster` or scontrol says it");
  if (s.via != wire::SlurmVia::kHere && s.address.empty())
    return Invalid("slurm.address: empty; {} needs to know where", wire::NameOf(s.via));
  if (!s.address.empty() && s.address.front() == '-')
    return Invalid("slurm.address: \"{}\" looks like an option", s.address);
  if (s.gres.empty() && s.cpus_per_slot < 1)
    return Error(Code::kInvalidArgument,
                 "slurm.cpus_per_slot: a site without accelerators needs it")
        .Hint("say how many CPUs make one slot: --cpus-per-slot 8");
  TRY(AtLeast("slurm.cpus_per_slot", s.cpus_per_slot, 0));
  if (!s.data_at.empty() && s.data_at.front() != '/')
    return Invalid("slurm.data_at: \"{}\" is not absolute", s.data_at);
  if (s.first_port < 1024 || s.first_port > 55'000)
    return Invalid("slurm.first_port: {} is not from 1024 to 55000", s.first_port);
  TRY(AtLeast("slurm.poll_every_us", s.poll_every.us, 100'000));
  TRY(AtLeast("slurm.start_within_us", s.start_within.us, 1'000'000));
  if (!(s.load_share > 0 && s.load_share <= 1))
    return Invalid("slurm.load_share: {} is not above 0 and at most 1", s.load_share);
  for (const auto& [field, value] :
       {std::pair("slurm.cluster", &s.cluster), std::pair("slurm.partition", &s.partition),
        std::pair("slurm.account", &s.account), std::pair("slurm.qos", &s.qos),
        std::pair("slurm.reservation", &s.reservation), std::pair("slurm.gres", &s.gres),
        std::pair("slurm.address", &s.address), std::pair("slurm.conf", &s.conf)}) {
    if (value->find_first_of(std::string_view(" \t\n\0", 4)) != std::string::npos)
      return Invalid("{}: \"{}\" has a blank in it", field, *value);
  }
  return {};
}

}  // namespace

Events PutSite(const CommandContext& c, const wire::SiteSpec& site) {
  TRY(CheckSite(site));
  const auto known = c.state.sites.find(site.name);
  if (known == c.state.sites.end()) {
    for (const auto& [id, slot] : c.state.slots) {
      if (slot.site == site.name)
        return Error(Code::kAlreadyExists,
                     fmt::format("name: {} is this machine's own site", site.name))
            .Hint("choose another name");
    }
  } else if (known->second.slurm.cluster != site.slurm.cluster ||
             known->second.slurm.data_at != site.slurm.data_at) {
    return Error(
               Code::kFailedPrecondition,
               fmt::format("site {} is cluster {} with its data at \"{}\"; that cannot be changed",
                           site.name, known->second.slurm.cluster, known->second.slurm.data_at))
        .Hint("add it under another name, and drain and remove this one");
  }
  return One(
      c, {site.name},
      fmt::format("{} {} site {}: {} cluster {}{}{}", c.actor.name,
                  known == c.state.sites.end() ? "adds" : "changes", site.name, site.driver,
                  site.slurm.cluster, site.provider.empty() ? "" : ", rented from ", site.provider),
      SitePut{site});
}

Events DrainSite(const CommandContext& c, const std::string& which, bool draining,
                 const std::string& why) {
  const auto known = c.state.sites.find(which);
  if (known == c.state.sites.end()) return NoSuch("site", which);
  wire::SiteSpec site = known->second;
  site.draining = draining;
  site.why = draining ? why : "";
  return One(c, {which},
             fmt::format("{} {} site {}{}{}", c.actor.name, draining ? "drains" : "takes back",
                         which, site.why.empty() ? "" : ": ", site.why),
             SitePut{site});
}

Events RemoveSite(const CommandContext& c, const std::string& which) {
  if (c.state.sites.count(which) == 0) return NoSuch("site", which);
  int64_t leases = 0;
  for (const auto& [id, lease] : c.state.leases)
    leases += lease.slots.front().rfind(which + "/", 0) == 0;
  if (leases > 0)
    return Error(Code::kFailedPrecondition,
                 fmt::format("site {} has {} leases that have not ended", which, leases))
        .Hint(fmt::format("weir site drain {} first; jobs that cannot be saved run to their end or "
                          "are cancelled",
                          which));
  return One(c, {which}, fmt::format("{} removes site {}", c.actor.name, which),
             SiteRemoved{which});
}

Events CreateKey(const CommandContext& c, const wire::Key& key) {
  TRY(CheckName("name", key.name));
  if (c.state.keys.count(key.name) != 0)
    return Error(Code::kAlreadyExists, fmt::format("name: a key is called \"{}\"", key.name))
        .Hint("choose another name; names of revoked keys are not used again");
  if (key.role == wire::Role::kMember) TRY(TeamNamed(c.state, key.team));
  if (key.expires.is_set() && key.expires <= c.now)
    return Invalid("expires_us: {} is in the past", Human(key.expires));
  TRY(AtLeast("tier", key.tier, 1));
  if (key.hash.empty()) return Invalid("hash: missing");
  wire::Key created = key;
  created.created = c.now;
  created.revoked = false;
  return One(c, {key.name},
             fmt::format("{} creates key {} ({})", c.actor.name, key.name, wire::NameOf(key.role)),
             KeyCreated{created});
}

Events RevokeKey(const CommandContext& c, const std::string& name) {
  const auto key = c.state.keys.find(name);
  if (key == c.state.keys.end()) return NoSuch("key", name);
  if (key->second.revoked) return std::vector<Event>{};
  return One(c, {name}, fmt::format("{} revokes key {}", c.actor.name, name), KeyRevoked{name});
}

}  // namespace weir::control
