// Events: what happens, and what follows from it in truth.
#include "control/sim/replay/replay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "control/sim/replay/run_state.h"
#include "lab/sched/sizing.h"

namespace weir::sim {

namespace {
constexpr Duration kSampleEvery = Duration::Seconds(600);
constexpr int64_t kAuditEvery = 4096;
constexpr Duration kGivenUp = Duration::Seconds(7 * 86'400);
constexpr Duration kSlack = Duration::Seconds(5);  // after a move, another look
}  // namespace

const char* NameOf(EventKind kind) {
  static const char* const names[] = {"node",          "job done", "job gone",   "replica gone",
                                      "job told",      "submit",   "job active", "checkpoint",
                                      "replica ready", "loan due", "tick",       "wake"};
  return names[static_cast<int>(kind)];
}

Run::Run(const Scenario& scenario, const PolicyEntry& policy, const ReplayOptions& options)
    : s_(scenario),
      policy_(policy),
      options_(options),
      allocator_(policy.make()),
      belief_(scenario.fleet.policy),
      book_(scenario.fleet),
      ledger_(scenario.start),
      random_(scenario.seed ^ 0x5eed),
      now_(scenario.start) {
  jobs_.resize(s_.jobs.size());
  nodes_.resize(s_.fleet.nodes.size());
  const size_t teams = s_.teams.size(), services = s_.services.size();
  lent_by_team_.resize(teams);
  credit_.resize(teams);
  past_use_.resize(teams);
  team_running_.resize(teams);
  team_wanted_.resize(teams);
  team_slot_s_.resize(teams);
  team_entitled_s_.resize(teams);
  trend_.resize(services);
  ready_slots_.resize(services);
  held_service_slots_.resize(services);
  need_slots_.resize(services);
  unmet_slot_s_.resize(services);
  below_s_.resize(services);
  need_slot_s_.resize(services);
  held_slot_s_.resize(services);
  credit_at_ = sampled_at_ = product_at_ = now_;

  total_slots_ = s_.fleet.slots();
  for (const wire::Team& team : s_.teams) {
    const auto parent = std::find_if(s_.teams.begin(), s_.teams.end(),
                                     [&](const wire::Team& t) { return t.name == team.parent; });
    parent_.push_back(parent == s_.teams.end() ? -1 : static_cast<int>(parent - s_.teams.begin()));
  }
  belief_.SetTeams(s_.teams, s_.types);
  for (size_t i = 0; i < nodes_.size(); ++i) TellNode(static_cast<int>(i));
  for (size_t i = 0; i < services; ++i) {
    const SimService& from = s_.services[i];
    sched::ServiceState state;
    state.service.id = fmt::format("svc-{}", i + 1);
    wire::ServiceSpec& spec = state.service.spec;
    spec.name = from.spec.name;
    spec.team = from.spec.team;
    spec.min_replicas = from.own_slots >= from.spec.slots_per_replica ? 1 : 0;
    spec.max_replicas = from.max_replicas;
    spec.slots_per_replica = from.spec.slots_per_replica;
    spec.grace = from.spec.drain;
    state.replica_startup = from.spec.startup;
    state.demand.service_rate_per_replica = from.spec.rate_per_replica;
    services_.push_back(std::move(state));
    own_slots_ += from.own_slots;
  }
  TellServices();
  Push(now_, EventKind::kTick, 0);
}

Outcome Run::Go() {
  const auto next_time = [&] {
    Time at = queue_.top().at;
    if (next_submit_ < s_.jobs.size()) at = std::min(at, s_.jobs[next_submit_].submit);
    if (next_node_event_ < s_.node_events.size())
      at = std::min(at, s_.node_events[next_node_event_].at);
    return at;
  };
  int64_t reported = 0;
  while (breach_.empty() && !queue_.empty()) {
    const Time at = next_time();
    if (at >= s_.stop) break;
    if (at > now_) {
      SetLevels();
      ledger_.Pass(at);
      now_ = at;
    }
    // All of one instant, then one decision.
    while (breach_.empty() && next_node_event_ < s_.node_events.size() &&
           s_.node_events[next_node_event_].at <= now_) {
      const NodeEvent& event = s_.node_events[next_node_event_++];
      Note({event.at, EventKind::kNode, event.node, static_cast<uint32_t>(event.kind)});
      NodeChanged(event);
    }
    while (breach_.empty() && !queue_.empty() && queue_.top().at <= now_ &&
           queue_.top().kind < EventKind::kSubmit) {
      const Event event = queue_.top();
      queue_.pop();
      Take(event);
    }
    while (next_submit_ < s_.jobs.size() && s_.jobs[next_submit_].submit <= now_) {
      Note({now_, EventKind::kSubmit, static_cast<int32_t>(next_submit_), 0});
      Submit(static_cast<int>(next_submit_++));
    }
    while (breach_.empty() && !queue_.empty() && queue_.top().at <= now_) {
      const Event event = queue_.top();
      queue_.pop();
      Take(event);
    }
    if (think_ && breach_.empty()) Think();
    if (since_audit_ >= kAuditEvery) Audit();
    if (options_.progress && ended_ >= reported + 2000) {
      reported = ended_;
      options_.progress({(now_ - s_.start).seconds() / 86'400, ended_});
    }
    if (!WorkIsLeft()) break;
  }
  if (breach_.empty()) Audit();
  return Summary();
}

bool Run::WorkIsLeft() const {
  if (now_ < s_.last_demand || next_submit_ < jobs_.size()) return true;
  // What waits while nothing runs, nothing moves and no fault is to come will wait for ever.
  if (on_slots_.empty() && next_node_event_ == s_.node_events.size() && now_ - moved_at_ > kGivenUp)
    return false;
  return ended_ < static_cast<int64_t>(jobs_.size());
}

void Run::Take(const Event& event) {
  const auto job_run = [&] { return jobs_[static_cast<size_t>(event.id)].run == event.run; };
  const auto replica = [&]() -> TrueReplica* {
    const auto it = replicas_.find(event.id);
    return it != replicas_.end() && it->second.run == event.run ? &it->second : nullptr;
  };
  switch (event.kind) {
    case EventKind::kJobDone:
      if (!job_run()) return;
      Note(event);
      return JobDone(event.id);
    case EventKind::kJobGone:
      if (!job_run()) return;
      Note(event);
      return JobGone(event.id);
    case EventKind::kJobActive:
      if (!job_run()) return;
      Note(event);
      return JobActive(event.id);
    case EventKind::kCheckpoint: {
      if (!job_run()) return;
      Note(event);
      const RunClock& clock = jobs_[static_cast<size_t>(event.id)].clock;
      const double at = (now_ - s_.start).seconds();
      belief_.SetSaved(event.id, SavedOf(event.id));
      const double next = clock.LastSave(at + 1e-6) + clock.Cycle();
      Push(std::max(now_ + Duration{1}, s_.start + Duration::FromSeconds(next + 2e-6)),
           EventKind::kCheckpoint, event.id, event.run);
      return;
    }
    case EventKind::kJobTold:
      Note(event);
      TellJob(event.id);
      think_ = true;
      return;
    case EventKind::kReplicaReady:
      if (TrueReplica* r = replica(); r != nullptr && !r->stopping) {
        Note(event);
        UpdateDemand();
        r->ready = true;
        ready_slots_[static_cast<size_t>(r->service)] += r->slots;
        sched::Replica row = belief_.replicas().at(event.id);
        row.ready = true;
        belief_.SetReplica(event.id, row);
        think_ = true;
      }
      return;
    case EventKind::kReplicaGone:
      if (replica() != nullptr) {
        Note(event);
        RemoveReplica(event.id);
        think_ = true;
      }
      return;
    case EventKind::kLoanDue:
      if (const auto it = loans_.find(event.id);
          it != loans_.end() && it->second.run == event.run) {
        Note(event);
        ++out_.loans.late;
        Breach(
            fmt::format("loan {} of service {} was due at {:.0f} s and is not returned at {:.0f} s",
                        event.id, s_.services[static_cast<size_t>(it->second.service)].spec.name,
                        (it->second.due - s_.start).seconds(), (now_ - s_.start).seconds()));
      }
      return;
    case EventKind::kTick:
      Note(event);
      Tick();
      return;
    case EventKind::kWake:
      Note(event);
      if (woken_at_ <= now_) woken_at_ = {};
      think_ = true;
      return;
    case EventKind::kNode:
    case EventKind::kSubmit:
      return;
  }
}

void Run::Submit(int id) {
  const SimJob& job = s_.jobs[static_cast<size_t>(id)];
  jobs_[static_cast<size_t>(id)].phase = RunPhase::kWaiting;
  ledger_.Add(kWaitingSlots, static_cast<double>(job.slots));
  ledger_.Add(kWaitingJobs, 1);
  team_wanted_[static_cast<size_t>(job.team)] += job.max_slots;
  ++waiting_;
  TellJob(id);
  think_ = true;
}

void Run::JobActive(int id) {
  TrueJob& job = jobs_[static_cast<size_t>(id)];
  const SimJob& spec = s_.jobs[static_cast<size_t>(id)];
  const bool first = !job.first_start.is_set();
  if (first) job.first_start = now_;
  job.active = now_;
  job.phase = RunPhase::kRunning;
  const Duration start = StartCost(s_.fleet.assume, job.slots);
  const double slots = static_cast<double>(job.slots);
  const double again_h = start.seconds() * slots / 3600;
  if (job.stopped_before) {
    (job.failed_before ? out_.lost_to_failures_slot_h : out_.lost_to_preemption_slot_h) += again_h;
    job.lost_slot_s += start.seconds() * slots;
  } else {
    out_.start_slot_h += again_h;
  }
  RunClock clock;
  clock.interval = spec.checkpointable ? spec.interval.seconds() : 0;
  clock.stall = SaveCost(s_.fleet.assume, job.slots).seconds();
  clock.rate = RateOf(id);
  clock.begin = (now_ + start - s_.start).seconds();
  clock.done = clock.saved = job.saved;
  clock.saved_at = clock.begin;
  job.clock = clock;
  PushRunEvents(id);
  TellJob(id);
}

void Run::PushRunEvents(int id) {
  TrueJob& job = jobs_[static_cast<size_t>(id)];
  const double finish = job.clock.FinishAt(s_.jobs[static_cast<size_t>(id)].work_s);
  Push(std::max(now_, s_.start + Duration::FromSeconds(finish)), EventKind::kJobDone, id, job.run);
  if (!policy_.wants_checkpoints || job.clock.interval <= 0) return;
  const double at = (now_ - s_.start).seconds();
  const double next =
      job.clock.begin + job.clock.Cycle() * (job.clock.Checkpoints(at) + 1) - job.clock.phase;
  if (next < finish)
    Push(s_.start + Duration::FromSeconds(next + 2e-6), EventKind::kCheckpoint, id, job.run);
}

void Run::JobDone(int id) {
  TrueJob& job = jobs_[static_cast<size_t>(id)];
  const SimJob& spec = s_.jobs[static_cast<size_t>(id)];
  if (job.phase == RunPhase::kEnded) return Breach(fmt::format("job {} ended twice", id));
  const double stalls = job.clock.Checkpoints((now_ - s_.start).seconds()) * job.clock.stall;
  out_.checkpoint_slot_h += stalls * static_cast<double>(job.slots) / 3600;
  out_.useful_slot_h += spec.work_s * static_cast<double>(spec.slots) / 3600;
  EndRun(id);
  job.phase = RunPhase::kEnded;
  job.ended = now_;
  team_wanted_[static_cast<size_t>(spec.team)] -= spec.max_slots;
  ++ended_;
  ++out_.done;
  LearnDurations(id);
  TellJob(id, true);
}

void Run::JobGone(int id) {
  TrueJob& job = jobs_[static_cast<size_t>(id)];
  EndRun(id);
  job.phase = RunPhase::kWaiting;
  ++waiting_;
  ledger_.Add(kWaitingSlots, static_cast<double>(s_.jobs[static_cast<size_t>(id)].slots));
  ledger_.Add(kWaitingJobs, 1);
  TellJob(id, true);
}

void Run::NodeChanged(const NodeEvent& event) {
  TrueNode& node = nodes_[static_cast<size_t>(event.node)];
  const auto set_usable = [&] {
    const bool usable = node.down == 0 && !node.evacuated;
    if (usable == book_.usable(event.node)) return;
    book_.SetUsable(event.node, usable);
    if (usable) {
      node.down_s += (now_ - node.down_at).seconds();
    } else {
      node.down_at = now_;
    }
  };
  switch (event.kind) {
    case NodeEventKind::kTold:
      node.leaves = event.until;
      break;
    case NodeEventKind::kDown:
      ++node.down;
      set_usable();
      LoseRuns(event.node, false);
      break;
    case NodeEventKind::kEvacuate:
      node.evacuated = true;
      set_usable();
      LoseRuns(event.node, true);
      break;
    case NodeEventKind::kUp:
      if (std::string_view(event.why) == "maintenance") {
        node.evacuated = false;
      } else {
        node.down = std::max(0, node.down - 1);
      }
      if (node.leaves <= now_) node.leaves = {};
      set_usable();
      break;
    case NodeEventKind::kSlow:
    case NodeEventKind::kNormal: {
      node.factor = event.factor;
      const double at = (now_ - s_.start).seconds();
      for (const int id : std::vector<int>(on_slots_.begin(), on_slots_.end())) {
        TrueJob& job = jobs_[static_cast<size_t>(id)];
        const bool on = std::any_of(job.places.begin(), job.places.end(),
                                    [&](const sched::Place& p) { return p.node == event.node; });
        if (!on || job.phase != RunPhase::kRunning) continue;
        job.clock = job.clock.At(at, RateOf(id));
        job.run = next_run_++;
        PushRunEvents(id);
      }
      return;
    }
  }
  TellNode(event.node);
  think_ = true;
}

// What runs on a node that is gone is lost; on one that is being evacuated it is asked to stop.
void Run::LoseRuns(int node, bool polite) {
  const auto on_node = [&](const sched::Places& places) {
    return std::any_of(places.begin(), places.end(),
                       [&](const sched::Place& p) { return p.node == node; });
  };
  std::vector<int> hit;
  for (const int id : on_slots_) {
    if (on_node(jobs_[static_cast<size_t>(id)].places)) hit.push_back(id);
  }
  for (const int id : hit) {
    TrueJob& job = jobs_[static_cast<size_t>(id)];
    if (polite && job.phase != RunPhase::kStopping) {
      job.failed_before = true;  // not the scheduler's doing
      StopJob(id, wire::StopCause::kShutdown, 0);
      job.failed_before = true;
      TellJob(id);
      continue;
    }
    if (job.phase != RunPhase::kStopping) {
      StopJob(id, wire::StopCause::kNone, 0);
      ++job.failed;
      ++out_.failures;
    }
    job.failed_before = true;
    job.claim.clear();
    JobGone(id);
  }
  std::vector<int> gone;
  for (const auto& [id, replica] : replicas_) {
    if (on_node(replica.places)) gone.push_back(id);
  }
  for (const int id : gone) RemoveReplica(id);
}

void Run::Tick() {
  UpdateDemand(true);
  if (now_ - sampled_at_ >= kSampleEvery) Sample();
  // Half of what a team is owed is paid back in a half-life; use fades likewise.
  const double days = (now_ - credit_at_).seconds();
  const double keep = std::exp2(-days / s_.fleet.policy.share_half_life_s);
  for (size_t t = 0; t < credit_.size(); ++t) {
    credit_[t] *= keep;
    past_use_[t] = past_use_[t] * keep + static_cast<double>(team_running_[t]) * (1 - keep);
    belief_.SetCredit(static_cast<int>(t), credit_[t]);
    belief_.SetPastUse(static_cast<int>(t), past_use_[t]);
  }
  credit_at_ = now_;
  think_ = true;
  if (WorkIsLeft()) Push(now_ + options_.tick, EventKind::kTick, 0);
}

// Closes the books on the demand until now, and looks at the next.
void Run::UpdateDemand(bool at_tick) {
  const double dt = (now_ - product_at_).seconds();
  const bool counts = product_at_ < s_.last_demand;
  double need = 0, served = 0;
  for (size_t i = 0; i < s_.services.size(); ++i) {
    const double wanted = static_cast<double>(need_slots_[i]);
    const double ready = static_cast<double>(ready_slots_[i]);
    if (counts) {
      need_slot_s_[i] += wanted * dt;
      unmet_slot_s_[i] += std::max(0.0, wanted - ready) * dt;
      if (wanted > ready) below_s_[i] += dt;
    }
    held_slot_s_[i] += static_cast<double>(held_service_slots_[i]) * dt;
    const SimService& service = s_.services[i];
    const Duration at = now_ - s_.start;
    // At ticks only, so that every policy is asked for exactly the same.
    if (at_tick) need_slots_[i] = service.NeedSlots(at);
    need += static_cast<double>(need_slots_[i]);
    served += std::min(static_cast<double>(need_slots_[i]), ready);
    sched::Demand& demand = services_[i].demand;
    const double before = demand.arrivals_per_s;
    demand.arrivals_per_s = service.demand.RateAt(at);
    const Duration ahead = service.spec.startup + options_.tick * 2;
    if (policy_.knows_demand) {
      demand.forecast_per_s = demand.arrivals_per_s;
      for (Duration t; t <= ahead; t = t + Duration::Seconds(10)) {
        demand.forecast_per_s = std::max(demand.forecast_per_s, service.demand.RateAt(at + t));
      }
    } else if (dt > 0) {
      // The trend of the last minutes goes on until a replica asked for now is ready.
      const double slope = (demand.arrivals_per_s - before) / dt;
      const double weight = 1 - std::exp2(-dt / 300);
      trend_[i] += weight * (slope - trend_[i]);
      demand.forecast_per_s = std::clamp(demand.arrivals_per_s + trend_[i] * ahead.seconds(), 0.0,
                                         1.5 * demand.arrivals_per_s);
    } else {
      demand.forecast_per_s = demand.arrivals_per_s;
    }
  }
  product_at_ = now_;
  ledger_.Set(kNeedSlots, need);
  ledger_.Set(kServedSlots, served);
}

void Run::Think() {
  think_ = false;
  UpdateDemand();
  for (size_t i = 0; i < services_.size(); ++i) {
    const int64_t per = s_.services[i].spec.slots_per_replica;
    sched::UpdateMarks(&services_[i], ready_slots_[i] / per, held_service_slots_[i] / per, now_,
                       belief_.policy());
  }
  TellServices();
  const Duration before = options_.stopwatch ? options_.stopwatch() : Duration{};
  std::vector<sched::Move> moves = sched::Decide(belief_, *allocator_, now_);
  if (options_.stopwatch)
    decide_us_.push_back(static_cast<double>((options_.stopwatch() - before).us));
  ++out_.decisions;
  out_.moves += static_cast<int64_t>(moves.size());
  if (!moves.empty()) moved_at_ = now_;
  const bool lends = policy_.loans && std::any_of(moves.begin(), moves.end(), [](const auto& move) {
                       return move.kind == sched::ActionKind::kOpenLoan;
                     });
  const std::vector<int64_t> staying = lends ? Staying() : std::vector<int64_t>{};
  if (options_.tamper) options_.tamper(&moves, s_.seed);
  for (const sched::Move& move : moves) {
    if (!breach_.empty()) return;
    CarryOut(move);
  }
  for (size_t i = 0; i < services_.size(); ++i) services_[i] = belief_.services()[i];
  SettleLoans();
  if (returned_) {  // what came back can be given at once
    returned_ = false;
    Push(now_ + Duration{1}, EventKind::kWake, 0);
  }
  AuditLending();
  if (lends) AuditFloors(staying);

  // When would the same picture be decided differently?
  const auto wake = [&](Time at) {
    if (at <= now_ || (woken_at_.is_set() && woken_at_ <= at)) return;
    woken_at_ = at;
    Push(at, EventKind::kWake, 0);
  };
  const sched::Policy& p = belief_.policy();
  if (!moves.empty() && !services_.empty()) wake(now_ + kSlack);
  for (const sched::ServiceState& service : services_) {
    if (service.demand.above_since.is_set()) wake(service.demand.above_since + p.surge_after);
    if (service.demand.below_since.is_set()) wake(service.demand.below_since + p.calm_after);
  }
  for (const auto& [id, loan] : loans_) {
    const Duration drain = s_.services[static_cast<size_t>(loan.service)].spec.drain;
    if (!loan.recalled.is_set()) wake(loan.due - drain - p.recall_margin);
  }
}

Outcome RunReplay(const Scenario& scenario, const PolicyEntry& policy,
                  const ReplayOptions& options) {
  return Run(scenario, policy, options).Go();
}

}  // namespace weir::sim
