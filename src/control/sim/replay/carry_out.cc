// Moves on the truth, and what the belief is told of it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "control/sim/replay/run_state.h"

namespace weir::sim {

using sched::ActionKind;
using wire::StopCause;

namespace {
double Log2(int64_t n) { return std::log2(static_cast<double>(std::max<int64_t>(1, n))); }
std::string JobName(const Scenario& s, int id) {
  return fmt::format("job {}",
                     s.trace.jobs[static_cast<size_t>(s.jobs[static_cast<size_t>(id)].trace)].id);
}
}  // namespace

// ---- messages ----

Time Run::Late(Time at) {
  const Duration mean = s_.fleet.faults.late_message;
  return mean.us > 0 ? at + Duration::FromSeconds(random_.Exponential(mean.seconds())) : at;
}

Time Run::Launched(Time at) {
  const Faults& faults = s_.fleet.faults;
  at = at + s_.fleet.assume.launch_delay;
  while (faults.lost_message > 0 && random_.Chance(faults.lost_message)) at = at + faults.resend;
  return at;
}

void Run::TellNode(int id) {
  const NodeSpec& spec = s_.fleet.nodes[static_cast<size_t>(id)];
  const TrueNode& truth = nodes_[static_cast<size_t>(id)];
  sched::Node row;
  row.site = spec.site;
  row.type = static_cast<int32_t>(std::find(s_.types.begin(), s_.types.end(), spec.type) -
                                  s_.types.begin());
  row.spine = spec.spine;
  row.leaf = spec.leaf;
  row.rack = spec.leaf;
  row.slots = static_cast<int32_t>(spec.slots);
  const uint64_t all = spec.slots >= 64 ? ~uint64_t{0} : (uint64_t{1} << spec.slots) - 1;
  row.usable = truth.down == 0 && !truth.evacuated ? all : 0;
  row.leaves = truth.leaves > now_ ? truth.leaves : Time{};
  belief_.SetNode(id, row);
}

void Run::TellServices() { belief_.SetServices(services_); }

void Run::TellJob(int id, bool late) {
  if (late) {
    if (const Time at = Late(now_); at > now_) {
      Push(at, EventKind::kJobTold, id);
      return;
    }
    think_ = true;
  }
  const TrueJob& job = jobs_[static_cast<size_t>(id)];
  const SimJob& spec = s_.jobs[static_cast<size_t>(id)];
  sched::Job row;
  if (job.phase == RunPhase::kEnded || job.phase == RunPhase::kNotYet) {
    belief_.SetJob(id, row);
    return;
  }
  row.team = spec.team;
  row.user = spec.user;
  row.min_slots = static_cast<int32_t>(policy_.elastic ? spec.min_slots : spec.slots);
  row.max_slots = static_cast<int32_t>(policy_.elastic ? spec.max_slots : spec.slots);
  row.priority = static_cast<int32_t>(spec.priority);
  sched::Shape shape;
  if (spec.type >= 0 && spec.type < 64) shape.types = uint64_t{1} << spec.type;
  row.shape = belief_.ShapeNumber(shape);
  row.checkpointable = spec.checkpointable;
  row.exponent = static_cast<float>(s_.fleet.assume.scaling_exponent);
  row.limit = spec.limit;
  if (policy_.needs_limits && row.limit.us == 0) row.limit = s_.fleet.assume.default_limit;
  row.restart_cost = StartCost(s_.fleet.assume, job.slots > 0 ? job.slots : spec.min_slots);
  row.submitted = spec.submit;
  if (policy_.knows_durations) {
    const double rate =
        std::pow(static_cast<double>(row.min_slots) / static_cast<double>(spec.slots),
                 s_.fleet.assume.scaling_exponent);
    row.expected = StartCost(s_.fleet.assume, row.min_slots) +
                   Duration::FromSeconds(std::max(0.001, spec.work_s - job.saved) / rate);
  } else if (policy_.learns) {
    Expect(id, &row);
  }
  row.cause = job.cause;
  switch (job.phase) {
    case RunPhase::kWaiting:
      row.phase = job.stopped_before && !policy_.requeues ? sched::RunPhase::kPaused
                                                          : sched::RunPhase::kWaiting;
      if (!policy_.requeues) row.places = job.claim;
      break;
    case RunPhase::kStopping:
      row.phase = sched::RunPhase::kStopping;
      row.places = job.places;
      row.keeps = job.keeps;
      break;
    case RunPhase::kLaunching:
    case RunPhase::kRunning:
      row.phase = sched::RunPhase::kRunning;
      row.places = job.places;
      row.cause = StopCause::kNone;
      break;
    case RunPhase::kNotYet:
    case RunPhase::kEnded:
      break;
  }
  if (row.phase == sched::RunPhase::kRunning || row.phase == sched::RunPhase::kStopping) {
    row.placed = job.placed;
    row.started = job.active;
    row.saved = job.active;
    if (job.phase == RunPhase::kRunning && spec.checkpointable) row.saved = SavedOf(id);
  }
  belief_.SetJob(id, std::move(row));
}

// The newest checkpoint of a run, or its start.
Time Run::SavedOf(int id) const {
  const TrueJob& job = jobs_[static_cast<size_t>(id)];
  const double at = (now_ - s_.start).seconds();
  const Time saved = s_.start + Duration::FromSeconds(job.clock.LastSave(at));
  return std::min(std::max(job.active, saved), now_);
}

// ---- moves ----

void Run::CarryOut(const sched::Move& move) {
  Note({now_, EventKind::kWake, move.job >= 0 ? move.job : move.replica,
        1000 + static_cast<uint32_t>(move.kind)});
  switch (move.kind) {
    case ActionKind::kStartJob:
      return StartJob(move);
    case ActionKind::kStopJob: {
      const TrueJob& job = jobs_[static_cast<size_t>(move.job)];
      // Ended or being stopped already, which the belief has not heard of: what was wanted is done.
      if (job.phase != RunPhase::kRunning && job.phase != RunPhase::kLaunching)
        return TellJob(move.job);
      StopJob(move.job, move.cause, belief_.job(move.job).keeps);
      return TellJob(move.job);
    }
    case ActionKind::kStartReplica:
      return StartReplica(move);
    case ActionKind::kStopReplica: {
      const auto it = replicas_.find(move.replica);
      if (it == replicas_.end() || it->second.stopping) return;
      UpdateDemand();
      TrueReplica& replica = it->second;
      replica.stopping = true;
      if (replica.ready) ready_slots_[static_cast<size_t>(replica.service)] -= replica.slots;
      belief_.service(replica.service).last_down = now_;
      Push(now_ + s_.services[static_cast<size_t>(replica.service)].spec.drain,
           EventKind::kReplicaGone, move.replica, replica.run);
      return;
    }
    case ActionKind::kOpenLoan:
      return OpenLoan(move);
    case ActionKind::kRecallLoan:
      if (const auto it = loans_.find(move.loan); it != loans_.end()) it->second.recalled = now_;
      return;
    case ActionKind::kSetShed:
    case ActionKind::kUseVersion:
      return;  // the demand of a trace comes whatever is done with it
  }
}

void Run::StartJob(const sched::Move& move) {
  const SimJob& spec = s_.jobs[static_cast<size_t>(move.job)];
  TrueJob& job = jobs_[static_cast<size_t>(move.job)];
  const std::string who = JobName(s_, move.job);
  const int64_t slots = sched::SlotsIn(move.places);
  if (job.phase == RunPhase::kEnded || job.phase == RunPhase::kNotYet)
    return Breach(
        fmt::format("{} was started, but it {}", who,
                    job.phase == RunPhase::kEnded ? "has ended" : "is not submitted yet"));
  if (job.phase != RunPhase::kWaiting)
    return Breach(fmt::format("{} was started while it holds slots", who));
  if (slots < spec.min_slots || slots > spec.max_slots)
    return Breach(fmt::format("{} was started on {} slots; its gang is {}..{}", who, slots,
                              spec.min_slots, spec.max_slots));
  if (std::string wrong = book_.Take(move.places, -1, who); !wrong.empty())
    return Breach(std::move(wrong));
  job.phase = RunPhase::kLaunching;
  job.run = next_run_++;
  job.places = move.places;
  job.slots = slots;
  job.placed = now_;
  job.active = {};
  job.claim.clear();
  job.cause = StopCause::kNone;
  on_slots_.insert(move.job);
  --waiting_;
  ledger_.Add(kWaitingSlots, -static_cast<double>(spec.slots));
  ledger_.Add(kWaitingJobs, -1);
  team_running_[static_cast<size_t>(spec.team)] += slots;
  research_slots_ += slots;
  HoldSlots(move.places, +1);
  Push(Launched(now_), EventKind::kJobActive, move.job, job.run);
}

// The run stops now; its slots come free by kJobGone.
void Run::StopJob(int id, StopCause cause, int32_t keeps) {
  TrueJob& job = jobs_[static_cast<size_t>(id)];
  const SimJob& spec = s_.jobs[static_cast<size_t>(id)];
  const double at = (now_ - s_.start).seconds();
  const bool failure = cause == StopCause::kNone || cause == StopCause::kShutdown;
  Duration until_gone = s_.fleet.assume.stop_delay;
  double lost_run_s = 0;
  if (job.phase == RunPhase::kRunning) {
    const Duration save = SaveCost(s_.fleet.assume, job.slots);
    const double work = job.clock.WorkAt(at);
    double saved = job.clock.SavedAt(at);
    out_.checkpoint_slot_h +=
        job.clock.Checkpoints(at) * job.clock.stall * static_cast<double>(job.slots) / 3600;
    const Duration grace = s_.fleet.assume.stop_grace;
    if (cause != StopCause::kNone && spec.checkpointable && grace.us > 0 && save <= grace) {
      saved = work;
      until_gone = save;
    }
    lost_run_s = std::max(0.0, work - saved) / job.clock.rate;
    if (spec.checkpointable) {
      const double since = at - std::max(job.clock.LastSave(at), job.clock.begin);
      out_.worst_repeat_s = std::max(out_.worst_repeat_s, since);
      if (since > job.clock.Cycle() + 1)
        Breach(fmt::format("{} lost {:.0f} s of work, its checkpoints are {:.0f} s apart",
                           JobName(s_, id), since, job.clock.interval));
      job.saved = saved;
    } else {
      job.saved = 0;
    }
  }
  const double lost_slot_s = lost_run_s * static_cast<double>(job.slots);
  job.lost_slot_s += lost_slot_s;
  (failure ? out_.lost_to_failures_slot_h : out_.lost_to_preemption_slot_h) += lost_slot_s / 3600;
  // What it had been starting up for is paid again too, at the next start.
  if (!failure) {
    if (cause == StopCause::kResize) {
      ++job.shrunk;
      ++out_.shrinks;
    } else {
      ++job.preempted;
      ++out_.preemptions;
    }
    job.failed_before = false;
  } else {
    job.failed_before = true;
  }
  job.stopped_before = true;
  job.cause = cause;
  job.keeps = keeps;
  job.claim =
      cause == StopCause::kResize || cause == StopCause::kPause ? job.places : sched::Places{};
  job.phase = RunPhase::kStopping;
  job.run = next_run_++;
  Push(now_ + until_gone, EventKind::kJobGone, id, job.run);
}

// Its slots are free.
void Run::EndRun(int id) {
  TrueJob& job = jobs_[static_cast<size_t>(id)];
  const SimJob& spec = s_.jobs[static_cast<size_t>(id)];
  if (std::string wrong = book_.Give(job.places, JobName(s_, id)); !wrong.empty())
    Breach(std::move(wrong));
  const double held = (now_ - job.placed).seconds();
  team_slot_s_[static_cast<size_t>(spec.team)] += held * static_cast<double>(job.slots);
  team_running_[static_cast<size_t>(spec.team)] -= job.slots;
  research_slots_ -= job.slots;
  for (const sched::Place& place : job.places) {
    out_.research_usd += s_.fleet.nodes[static_cast<size_t>(place.node)].price_usd_per_slot_h *
                         static_cast<double>(std::popcount(place.slots)) * held / 3600;
  }
  HoldSlots(job.places, -1);
  belief_.SetFreed(job.places, now_);
  on_slots_.erase(id);
  job.places.clear();
  job.slots = 0;
  job.run = next_run_++;
}

void Run::StartReplica(const sched::Move& move) {
  const SimService& service = s_.services[static_cast<size_t>(move.service)];
  const std::string who = fmt::format("a replica of {}", service.spec.name);
  const int64_t slots = sched::SlotsIn(move.places);
  if (slots != service.spec.slots_per_replica)
    return Breach(fmt::format("{} was started on {} slots; it needs {}", who, slots,
                              service.spec.slots_per_replica));
  if (replicas_.count(move.replica) != 0)
    return Breach(fmt::format("{} has the number {}, which is taken", who, move.replica));
  if (move.loan >= 0) {
    const auto loan = loans_.find(move.loan);
    if (loan == loans_.end() || loan->second.service != move.service)
      return Breach(fmt::format("{} stands on loan {}, which is not its own", who, move.loan));
    ++loan->second.replicas;
  }
  if (std::string wrong = book_.Take(move.places, move.loan, who); !wrong.empty())
    return Breach(std::move(wrong));
  TrueReplica replica;
  replica.run = next_run_++;
  replica.service = move.service;
  replica.loan = move.loan;
  replica.places = move.places;
  replica.slots = slots;
  replica.opened = now_;
  product_slots_ += slots;
  held_service_slots_[static_cast<size_t>(move.service)] += slots;
  HoldSlots(move.places, +1);
  Push(Launched(now_) + service.spec.startup, EventKind::kReplicaReady, move.replica, replica.run);
  replicas_[move.replica] = std::move(replica);
}

void Run::RemoveReplica(int id) {
  UpdateDemand();
  const TrueReplica& replica = replicas_.at(id);
  const size_t service = static_cast<size_t>(replica.service);
  if (std::string wrong = book_.Give(replica.places, "a replica"); !wrong.empty())
    Breach(std::move(wrong));
  if (replica.ready && !replica.stopping) ready_slots_[service] -= replica.slots;
  held_service_slots_[service] -= replica.slots;
  product_slots_ -= replica.slots;
  const double held = (now_ - replica.opened).seconds();
  for (const sched::Place& place : replica.places) {
    out_.product_usd += s_.fleet.nodes[static_cast<size_t>(place.node)].price_usd_per_slot_h *
                        static_cast<double>(std::popcount(place.slots)) * held / 3600;
  }
  HoldSlots(replica.places, -1);
  belief_.SetFreed(replica.places, now_);
  if (const auto loan = loans_.find(replica.loan); loan != loans_.end()) --loan->second.replicas;
  replicas_.erase(id);
  belief_.SetReplica(id, std::nullopt);
}

void Run::OpenLoan(const sched::Move& move) {
  const auto row = belief_.loans().find(move.loan);
  if (row == belief_.loans().end())
    return Breach(fmt::format("loan {} was opened and has no row", move.loan));
  TrueLoan loan;
  loan.service = row->second.service;
  loan.opened = now_;
  loan.due = row->second.due;
  loan.run = next_run_++;
  for (const sched::LoanShare& share : row->second.shares) {
    if (std::string wrong = book_.Lend(move.loan, share.places); !wrong.empty())
      return Breach(std::move(wrong));
    const int64_t slots = sched::SlotsIn(share.places);
    loan.slots += slots;
    loan.shares.push_back({share.team, slots, share.lost_slot_s});
    if (share.team >= 0) lent_by_team_[static_cast<size_t>(share.team)] += slots;
  }
  ++out_.loans.opened;
  if (policy_.loans) {
    const Duration drain = s_.services[static_cast<size_t>(loan.service)].spec.drain;
    Push(loan.due + drain + Duration::Seconds(1), EventKind::kLoanDue, move.loan, loan.run);
  }
  loans_[move.loan] = std::move(loan);
}

// A loan that was recalled, or that no replica ever came to use by its due time, is returned once
// no replica stands on it. What it cost is credited to those who lent.
void Run::SettleLoans() {
  for (auto it = loans_.begin(); it != loans_.end();) {
    TrueLoan& loan = it->second;
    if (!loan.recalled.is_set() || loan.replicas > 0) {
      ++it;
      continue;
    }
    const double length = (now_ - loan.opened).seconds();
    for (const TrueLoan::Share& share : loan.shares) {
      if (share.team < 0) continue;
      const size_t team = static_cast<size_t>(share.team);
      lent_by_team_[team] -= share.slots;
      credit_[team] += static_cast<double>(share.slots) * length + share.lost_slot_s;
      belief_.SetCredit(share.team, credit_[team]);
    }
    out_.loans.slot_h += static_cast<double>(loan.slots) * length / 3600;
    loan_lengths_.push_back(length);
    pay_backs_.push_back((now_ - loan.recalled).seconds());
    book_.Unlend(it->first);
    belief_.SetLoan(it->first, std::nullopt);
    it = loans_.erase(it);
    returned_ = true;
  }
}

// ---- speeds, holds ----

double Run::SpeedOf(const sched::Places& places) const {
  double speed = 1e9;
  int64_t slots = 0, biggest = 1;
  for (const sched::Place& place : places) {
    const size_t node = static_cast<size_t>(place.node);
    speed = std::min(speed, s_.fleet.nodes[node].speed * nodes_[node].factor);
    slots += std::popcount(place.slots);
    biggest = std::max(biggest, s_.fleet.nodes[node].slots);
  }
  const int64_t least = (slots + biggest - 1) / biggest;
  if (static_cast<int64_t>(places.size()) > least) speed *= 1 - s_.fleet.assume.spread_loss;
  return speed;
}

double Run::RateOf(int id) const {
  const TrueJob& job = jobs_[static_cast<size_t>(id)];
  const SimJob& spec = s_.jobs[static_cast<size_t>(id)];
  const double scale =
      job.slots == spec.slots
          ? 1
          : std::exp2(s_.fleet.assume.scaling_exponent * (Log2(job.slots) - Log2(spec.slots)));
  return scale * SpeedOf(job.places);
}

void Run::HoldSlots(const sched::Places& places, int sign) {
  double watts = 0;
  for (const sched::Place& place : places) {
    const NodeSpec& node = s_.fleet.nodes[static_cast<size_t>(place.node)];
    watts += (node.power_w_per_slot - node.idle_w_per_slot) *
             static_cast<double>(std::popcount(place.slots));
  }
  ledger_.Add(kBusyWatts, sign * watts);
}

}  // namespace weir::sim
