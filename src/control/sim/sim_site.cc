#include "control/sim/sim_site.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::control {

namespace {
bool Live(RunPhase phase) { return phase != RunPhase::kExited && phase != RunPhase::kLost; }
}  // namespace

SimSite::SimSite(const io::VirtualClock& clock, uint64_t seed, std::string name, int slots,
                 SimPace pace)
    : clock_(clock), random_(seed), pace_(pace) {
  site_.name = std::move(name);
  site_.driver = "sim";
  site_.isolation = "simulated";
  for (int i = 0; i < slots; ++i) {
    wire::Slot slot;
    slot.id = fmt::format("{}/node/{}", site_.name, i);
    slot.site = site_.name;
    slot.node = "node";
    slot.index = i;
    slots_.push_back(std::move(slot));
  }
}

void SimSite::SetSlotHealth(int index, wire::SlotHealth health) {
  wire::Slot& slot = slots_.at(static_cast<size_t>(index));
  slot.health = health;
  slot.why = health == wire::SlotHealth::kUp ? "" : "simulated";
}

void SimSite::StopFaults() {
  faults = {};
  reachable = true;
  for (wire::Slot& slot : slots_) {
    slot.health = wire::SlotHealth::kUp;
    slot.why.clear();
  }
  for (auto& [id, run] : runs_) run.fate = Fate::kNone;
}

bool SimSite::Answers(const std::string& id) const {
  const auto run = runs_.find(id);
  return run != runs_.end() && !run->second.hung && Live(run->second.phase) &&
         run->second.phase != RunPhase::kStarting &&
         clock_.Monotonic() >= run->second.running_at + pace_.replica_delay;
}

int64_t SimSite::max_step(const std::string& holder) const {
  const auto it = max_step_.find(holder);
  return it == max_step_.end() ? 0 : it->second;
}

size_t SimSite::live_runs() const {
  return static_cast<size_t>(std::count_if(
      runs_.begin(), runs_.end(), [](const auto& entry) { return Live(entry.second.phase); }));
}

Status SimSite::Start(const RunSpec& spec) {
  if (!reachable) return Error(Code::kUnavailable, "the site cannot be reached");
  if (!intended(spec.id)) Violate(spec.id + " was started before its intent was journaled");
  if (runs_.count(spec.id) != 0) return {};
  if (random_.Chance(faults.start_refused))
    return Error(Code::kResourceExhausted, "the site is full for now");
  if (!known_.insert(spec.id).second) Violate(spec.id + " was started twice");
  for (const auto& [id, run] : runs_) {
    if (!Live(run.phase)) continue;
    if (spec.gang && run.spec.holder == spec.holder)
      Violate(fmt::format("{} runs as {} and as {}", spec.holder, id, spec.id));
    for (const wire::Slot& mine : spec.slots) {
      for (const wire::Slot& theirs : run.spec.slots) {
        if (mine.id == theirs.id && !exchange(spec.id, id))
          Violate(fmt::format("slot {} is used by {} and {}", mine.id, id, spec.id));
      }
    }
  }
  ++starts_;
  Run run;
  run.spec = spec;
  run.started = clock_.Monotonic();
  run.started_wall = clock_.Now();
  run.running_at = run.started + (spec.gang ? pace_.start_delay : Duration::Millis(100));
  run.last_step_at = run.running_at;
  run.port = spec.wants_port ? next_port_++ : 0;
  run.ignores_stop = random_.Chance(faults.ignore_stop);
  if (random_.Chance(faults.crash))
    run.fate = Fate::kCrash;
  else if (random_.Chance(faults.hang))
    run.fate = Fate::kHang;
  else if (random_.Chance(faults.lost))
    run.fate = Fate::kLost;
  run.fate_at = run.started + Duration::Micros(static_cast<int64_t>(
                                  random_.Uniform() * static_cast<double>(pace_.life.us)));
  if (dies && dies(spec.command)) {
    run.fate = Fate::kCrash;
    run.fate_at = run.started + Duration::Millis(300);
  }
  if (spec.gang) {
    run.steps = static_cast<double>(saved_[spec.checkpoint_dir]);
    run.told_checkpoint = saved_[spec.checkpoint_dir];
    worst_repeat_ = std::max(worst_repeat_, max_step_[spec.holder] - run.told_checkpoint);
  }
  runs_.emplace(spec.id, std::move(run));
  return {};
}

Status SimSite::Stop(const std::string& id, Duration grace) {
  if (!reachable) return Error(Code::kUnavailable, "the site cannot be reached");
  if (!stop_asked(id)) Violate(id + " was stopped before that was journaled");
  const auto it = runs_.find(id);
  if (it == runs_.end() || !Live(it->second.phase)) return {};
  Run& run = it->second;
  const Duration now = clock_.Monotonic();
  const Duration takes = run.ignores_stop || run.hung ? grace : std::min(grace, pace_.save_delay);
  run.stop_at = run.phase == RunPhase::kStopping ? std::min(run.stop_at, now + takes) : now + takes;
  run.phase = RunPhase::kStopping;
  return {};
}

void SimSite::Forget(const std::string& id) {
  const auto it = runs_.find(id);
  if (it == runs_.end()) return;
  if (Live(it->second.phase)) Violate(id + " was forgotten while it runs");
  runs_.erase(it);
}

void SimSite::Save(Run& run) {
  const int64_t step = static_cast<int64_t>(run.steps);
  if (step <= run.told_checkpoint) return;
  saved_[run.spec.checkpoint_dir] = step;
  run.told_checkpoint = step;
  run.lines.push_back({{"type", "checkpoint"},
                       {"step", step},
                       {"path", fmt::format("{}/step-{}", run.spec.checkpoint_dir, step)},
                       {"sha256", fmt::format("{:064x}", step)},
                       {"heldout_loss", 5.0 / (1.0 + static_cast<double>(step) / 100)}});
}

void SimSite::End(Run& run, int exit_code, std::string reason) {
  run.phase = RunPhase::kExited;
  run.exit_code = exit_code;
  run.reason = std::move(reason);
  run.ended_wall = clock_.Now();
}

void SimSite::AdvanceRun(Run& run) {
  const Duration now = clock_.Monotonic();
  if (!Live(run.phase)) return;
  if (run.fate != Fate::kNone && now >= run.fate_at && run.phase != RunPhase::kStopping) {
    const Fate fate = run.fate;
    run.fate = Fate::kNone;
    if (fate == Fate::kCrash) return End(run, 1, "exit 1");
    if (fate == Fate::kHang) run.hung = true;
    if (fate == Fate::kLost) {
      run.phase = RunPhase::kLost;
      run.reason = "its machine rebooted";
      return;
    }
  }
  if (run.phase == RunPhase::kStarting && now >= run.running_at) run.phase = RunPhase::kRunning;
  const bool working =
      run.phase == RunPhase::kRunning || (run.phase == RunPhase::kStopping && run.ignores_stop);
  if (run.spec.gang && working && !run.hung && now > run.last_step_at) {
    const double before = run.steps;
    run.steps += (now - run.last_step_at).seconds() * pace_.steps_per_slot_s *
                 static_cast<double>(run.spec.slots.size());
    run.last_step_at = now;
    // A save at each interval passed, each at its own step.
    const double target = std::min(run.steps, static_cast<double>(pace_.job_steps));
    for (int64_t at =
             (static_cast<int64_t>(before) / pace_.checkpoint_steps + 1) * pace_.checkpoint_steps;
         static_cast<double>(at) <= target; at += pace_.checkpoint_steps) {
      run.steps = static_cast<double>(at);
      Save(run);
    }
    run.steps = target;
    const int64_t step = static_cast<int64_t>(run.steps);
    int64_t& most = max_step_[run.spec.holder];
    most = std::max(most, step);
    run.lines.push_back({{"type", "progress"},
                         {"step", step},
                         {"steps", pace_.job_steps},
                         {"loss", 5.0 / (1.0 + run.steps / 100)}});
    if (step >= pace_.job_steps) {
      Save(run);
      return End(run, 0, "exit 0");
    }
  }
  if (run.phase == RunPhase::kStopping && now >= run.stop_at) {
    if (run.ignores_stop || run.hung) return End(run, 137, "killed after its grace");
    if (run.spec.gang) {
      Save(run);
      return End(run, 75, "exit 75");
    }
    End(run, 0, "exit 0");
  }
}

void SimSite::Advance() {
  for (auto& [id, run] : runs_) AdvanceRun(run);
}

std::vector<RunObservation> SimSite::Poll() {
  std::vector<RunObservation> all;
  for (auto& [id, run] : runs_) {
    RunObservation o;
    o.id = id;
    o.phase = run.phase;
    o.started = run.started_wall;
    o.ended = run.ended_wall;
    o.exit_code = run.exit_code;
    o.reason = run.reason;
    o.port = run.phase == RunPhase::kStarting ? 0 : run.port;
    o.new_progress = std::move(run.lines);
    run.lines.clear();
    if (run.exit_code == 1) o.last_lines = {"simulated crash"};
    all.push_back(std::move(o));
  }
  return all;
}

// ---- the loop's handle ----

Status SimDriver::Call(std::string_view op, const std::function<Status()>& effect) {
  const Error gone(Code::kUnavailable, "the process has crashed");
  if (dead_()) return gone;
  const Strike strike = strike_(op);
  if (strike == Strike::kCrashBefore) return gone;
  Status status = effect();
  if (strike == Strike::kCrashAfter) return gone;
  return status;
}

Result<std::vector<wire::Slot>> SimDriver::Slots() {
  if (dead_() || !sim_->reachable) return Error(Code::kUnavailable, "the site cannot be reached");
  return sim_->slots_;
}

Status SimDriver::Start(const RunSpec& run) {
  return Call("start", [&] { return sim_->Start(run); });
}

Status SimDriver::Stop(const std::string& run_id, Duration grace) {
  return Call("stop", [&] { return sim_->Stop(run_id, grace); });
}

Result<std::vector<RunObservation>> SimDriver::Poll() {
  std::vector<RunObservation> all;
  TRY(Call("poll", [&]() -> Status {
    if (!sim_->reachable) return Error(Code::kUnavailable, "the site cannot be reached");
    all = sim_->Poll();
    return {};
  }));
  return all;
}

Status SimDriver::Forget(const std::string& run_id) {
  return Call("forget", [&]() -> Status {
    if (!sim_->reachable) return Error(Code::kUnavailable, "the site cannot be reached");
    sim_->Forget(run_id);
    return {};
  });
}

}  // namespace weir::control
