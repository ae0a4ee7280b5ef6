#include "control/observe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "control/curve.h"
#include "control/outcome.h"

namespace weir::control {

double SpeedUpExponent(const std::map<int64_t, double>& speeds) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const auto& [slots, steps_per_s] : speeds) {
    if (slots < 1 || !(steps_per_s > 0)) continue;
    const double lx = std::log(static_cast<double>(slots)), ly = std::log(steps_per_s);
    n += 1;
    x += lx;
    y += ly;
    xx += lx * lx;
    xy += lx * ly;
  }
  const double spread = n * xx - x * x;
  return n < 2 || spread <= 1e-9 ? 1 : std::clamp((n * xy - x * y) / spread, 0.0, 1.0);
}

namespace {

constexpr const char* kLoopback = "127.0.0.1";

using wire::HolderKind;
using wire::Json;
using wire::LeasePhase;
using wire::StopCause;

bool SameSlot(const wire::Slot& a, const wire::Slot& b) {
  return a.health == b.health && a.why == b.why && a.cores == b.cores &&
         a.core_share == b.core_share && a.site == b.site && a.node == b.node &&
         a.index == b.index && a.type == b.type && a.topology == b.topology && a.leaves == b.leaves;
}

std::optional<int64_t> CountIn(const Json& line, const char* name) {
  const std::optional<double> value = NumberIn(line, name);
  if (!value || *value < 0 || *value > 9e15) return std::nullopt;
  return static_cast<int64_t>(*value);
}
std::string String(const Json& line, const char* name) {
  const auto it = line.find(name);
  return it != line.end() && it->is_string() ? it->get<std::string>() : std::string();
}

class Observer {
 public:
  Observer(const State& state, Instant now, Sightings& sights)
      : state_(state), now_(now), sights_(sights) {}

  void Site(const SiteReport& report) {
    SiteSight& site = sights_.sites[report.site];
    const bool was_reachable = site.reachable;
    site.reachable = report.slots.has_value() && report.runs.has_value();
    if (!site.reachable) {
      site.why = (report.slots ? report.runs.error() : report.slots.error()).message();
      if (was_reachable) {
        site.silent_from = now_.monotonic;
        site.unknown_since = now_.lab;
      }
      if (report.lost_after.us > 0 && now_.monotonic - site.silent_from >= report.lost_after)
        DeclareLost(report);
      return;
    }
    site.why.clear();
    site.unknown_since = {};
    Slots(report.site, *report.slots);
    Runs(report.site, *report.runs);
  }

  void Probe(const ProbeResult& result) {
    const auto it = state_.leases.find(result.lease);
    if (it == state_.leases.end() || ended_.count(result.lease) != 0) return;
    const wire::Lease& lease = it->second;
    LeaseSight& sight = sights_.leases[lease.id];
    sight.probing = false;
    sight.probe_detail = result.detail;
    sight.probe_at = now_.lab + (lease.ready ? kProbeEvery : kProbeEveryStarting);
    if (lease.phase != LeasePhase::kActive) return;
    if (result.ok) {
      sight.probe_failures = 0;
      if (!lease.ready) Ready(lease, sight);
      return;
    }
    sight.probe_failures += 1;
    if (!lease.ready || sight.probe_failures < kProbeFailures) return;
    const std::string why = fmt::format("{} did not answer its health path {} times in a row: {}",
                                        lease.id, kProbeFailures, result.detail);
    Add({lease.id, lease.holder, lease.service}, why, ReplicaUnready{lease.id});
    StopUnhealthy(lease, why);
  }

  void Deadlines() {
    for (const auto& [id, lease] : state_.leases) {
      if (lease.holder_kind != HolderKind::kReplica || lease.phase != LeasePhase::kActive ||
          lease.ready || ended_.count(id) != 0 || readied_.count(id) != 0)
        continue;
      if (now_.lab - lease.active < kReadyWithin) continue;
      StopUnhealthy(lease, fmt::format("{} did not become ready within {}: {}", id,
                                       Human(kReadyWithin), sights_.leases[id].probe_detail));
    }
  }

  std::vector<Event> Take() { return std::move(events_); }

 private:
  void Add(std::vector<std::string> subjects, std::string text, EventBody body,
           std::map<std::string, double> numbers = {}) {
    events_.push_back({now_.lab, kLoopActor, std::move(subjects), std::move(text),
                       std::move(numbers), std::move(body)});
  }

  void Slots(const std::string& site, const std::vector<wire::Slot>& slots) {
    std::set<std::string> there;
    for (const wire::Slot& slot : slots) {
      there.insert(slot.id);
      const auto known = state_.slots.find(slot.id);
      if (known != state_.slots.end() && SameSlot(known->second, slot)) continue;
      Add({slot.id},
          fmt::format("slot {} is {}{}{}", slot.id, wire::NameOf(slot.health),
                      slot.why.empty() ? "" : ": ", slot.why),
          SlotSeen{slot});
    }
    for (const auto& [id, known] : state_.slots) {
      if (known.site != site || there.count(id) != 0 || known.health == wire::SlotHealth::kDown)
        continue;
      wire::Slot gone = known;
      gone.health = wire::SlotHealth::kDown;
      gone.why = "its site does not list it any more";
      Add({id}, fmt::format("slot {} is down: {}", id, gone.why), SlotSeen{gone});
    }
  }

  void DeclareLost(const SiteReport& report) {
    for (const auto& [id, lease] : state_.leases) {
      if (SiteOf(lease.slots.front()) != report.site) continue;
      RunObservation lost;
      lost.id = id;
      lost.phase = RunPhase::kLost;
      lost.reason = fmt::format("site {} has been silent for {}, so by its policy this is lost",
                                report.site, Human(report.lost_after));
      Ended(lease, lost, "");
    }
  }

  void Runs(const std::string& site, const std::vector<RunObservation>& runs) {
    std::map<std::string, const RunObservation*> by_id;
    for (const RunObservation& run : runs) by_id[run.id] = &run;
    for (const auto& [id, lease] : state_.leases) {
      if (SiteOf(lease.slots.front()) != site) continue;
      const auto run = by_id.find(id);
      if (run != by_id.end())
        Run(lease, *run->second);
      else
        Absent(lease);
    }
  }

  void Run(const wire::Lease& lease, const RunObservation& run) {
    LeaseSight& sight = sights_.leases[lease.id];
    sight.started = true;
    sight.rss_bytes = run.rss_bytes;
    if (run.port > 0) {
      sight.port = run.port;
      sight.host = run.host;
    }
    if (lease.holder_kind == HolderKind::kJob) Progress(lease, run);
    if (run.phase == RunPhase::kRefused) {
      Ended(lease, std::nullopt, run.reason);
    } else if (run.phase == RunPhase::kExited || run.phase == RunPhase::kLost) {
      Ended(lease, run, "");
    } else if (run.phase == RunPhase::kRunning && lease.phase == LeasePhase::kIntended) {
      Add({lease.id, lease.holder},
          fmt::format("{} runs on {} slots", lease.id, lease.slots.size()), LeaseActive{lease.id});
    }
  }

  void Absent(const wire::Lease& lease) {
    const LeaseSight& sight = sights_.leases[lease.id];
    if (!sight.refused.empty()) {
      Ended(lease, std::nullopt, sight.refused);
    } else if (lease.phase == LeasePhase::kStopping && !sight.started && !lease.active.is_set()) {
      Ended(lease, std::nullopt, "");
    } else if (lease.phase != LeasePhase::kIntended || sight.started) {
      RunObservation lost;
      lost.id = lease.id;
      lost.phase = RunPhase::kLost;
      lost.reason = "its site does not know it any more";
      Ended(lease, lost, "");
    }
  }

  void Progress(const wire::Lease& lease, const RunObservation& run) {
    if (run.new_progress.empty()) return;
    JobSight& sight = sights_.jobs[lease.holder];
    const bool had_step = sight.lease == lease.id && sight.first_step >= 0;
    NoteProgress(run.new_progress, now_.lab, lease.id, sight);
    if (sight.steps_per_s > 0 && now_.lab - sight.first_step_at >= Duration::Seconds(2))
      sight.speeds[static_cast<int64_t>(lease.slots.size())] = sight.steps_per_s;
    if (!had_step && sight.first_step >= 0 && lease.active.is_set())
      sight.restart_cost = now_.lab - lease.opened;
    NoteCheckpoint(lease.holder, sight);
  }

  void NoteCheckpoint(const std::string& job_id, const JobSight& sight) {
    const auto job = state_.jobs.find(job_id);
    if (job == state_.jobs.end() || !sight.checkpoint) return;
    const wire::Checkpoint& seen = *sight.checkpoint;
    const std::optional<wire::Checkpoint>& known = job->second.checkpoint;
    if (known &&
        (known->step > seen.step ||
         (known->step == seen.step && known->path == seen.path && known->sha256 == seen.sha256)))
      return;
    std::map<std::string, double> numbers{{"step", static_cast<double>(seen.step)}};
    if (seen.heldout_loss) numbers["heldout_loss"] = *seen.heldout_loss;
    Add({job_id, job->second.spec.name},
        seen.heldout_loss ? fmt::format("{} saved step {}, held-out loss {:.4f}",
                                        job->second.spec.name, seen.step, *seen.heldout_loss)
                          : fmt::format("{} saved step {}", job->second.spec.name, seen.step),
        CheckpointSaved{job_id, seen}, std::move(numbers));
  }

  void Ended(const wire::Lease& lease, const std::optional<RunObservation>& run,
             const std::string& refused) {
    ended_.insert(lease.id);
    const LeaseSight& sight = sights_.leases[lease.id];
    LeaseEnded ended;
    ended.lease = lease.id;
    ended.how = !refused.empty()                ? "refused: " + refused
                : !run                          ? "it never began"
                : run->phase == RunPhase::kLost ? "lost: " + run->reason
                : run->reason.empty()           ? fmt::format("exit {}", run->exit_code)
                                                : run->reason;
    if (run && run->phase == RunPhase::kExited) ended.exit_code = run->exit_code;
    // By the monotonic clock where this process saw the whole of it, else by the lab's.
    const double held_s = sight.at_open ? std::max(0.0, (now_.lab - lease.opened).seconds())
                                        : (now_.monotonic - sight.seen_at).seconds();
    ended.held_slot_s = held_s * static_cast<double>(lease.slots.size());
    const bool by_itself =
        lease.stop_cause == StopCause::kNone || lease.stop_cause == StopCause::kUnhealthy;
    if (lease.holder_kind == HolderKind::kReplica && by_itself) {
      const auto memo = state_.service_memos.find(lease.holder);
      const int64_t before = memo == state_.service_memos.end() ? 0 : memo->second.failures;
      const bool proven =
          sight.ready_since.is_set() && now_.lab - sight.ready_since >= kReplicaProven;
      ended.failures = proven ? 1 : before + 1;
      // The first is replaced at once: a crash is usually not the next one's fault.
      if (ended.failures > 1)
        ended.not_before = now_.lab + Backoff(ended.failures - 1, kReplicaLongestBackoff);
    }
    std::string text = fmt::format("{} of {} ended: {}", lease.id,
                                   lease.service.empty() ? lease.holder : lease.service, ended.how);
    if (ended.not_before.is_set())
      text += fmt::format("; {} failures in a row, the next replica starts in {}", ended.failures,
                          Human(ended.not_before - now_.lab));
    Add({lease.id, lease.holder}, std::move(text), ended, {{"held_slot_s", ended.held_slot_s}});
    if (lease.holder_kind == HolderKind::kJob) JobEnded(lease, run, refused);
  }

  void JobEnded(const wire::Lease& lease, const std::optional<RunObservation>& run,
                const std::string& refused) {
    wire::Job job = state_.jobs.at(lease.holder);
    JobSight& sight = sights_.jobs[job.id];
    if (sight.checkpoint && (!job.checkpoint || sight.checkpoint->step >= job.checkpoint->step))
      job.checkpoint = sight.checkpoint;  // journaled just above, in the same batch
    JobMoved moved = JobAfter(job, lease, run, sight, refused, now_.lab);
    for (const auto& [loan_id, loan] : state_.loans) {
      if (loan.phase == wire::LoanPhase::kReturned ||
          (moved.lost_steps == 0 && moved.lost_slot_s == 0))
        continue;
      for (const wire::LoanPart& part : loan.parts) {
        if (part.job != job.id || !Share(part.slots, lease.slots)) continue;
        Add({loan_id, job.id},
            fmt::format("{} does {} steps again because of {}", job.spec.name, moved.lost_steps,
                        loan_id),
            LoanLoss{loan_id, job.id, moved.lost_slot_s, moved.lost_steps},
            {{"steps_lost", static_cast<double>(moved.lost_steps)},
             {"work_lost_slot_s", moved.lost_slot_s}});
        break;
      }
    }
    const std::string text =
        fmt::format("{} is {}: {}", job.spec.name, wire::NameOf(moved.phase), moved.reason);
    Add({job.id, job.spec.name, lease.id}, text, std::move(moved),
        {{"failures", static_cast<double>(job.failures + (moved.failed_run ? 1 : 0))}});
  }

  static bool Share(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    return std::any_of(a.begin(), a.end(), [&](const std::string& slot) {
      return std::find(b.begin(), b.end(), slot) != b.end();
    });
  }

  void Ready(const wire::Lease& lease, LeaseSight& sight) {
    readied_.insert(lease.id);
    sight.ready_since = now_.lab;
    const Duration startup = now_.lab - lease.opened;
    sights_.replica_startup[lease.holder] = startup;
    Add({lease.id, lease.holder, lease.service},
        fmt::format("{} of {} is ready after {}", lease.id, lease.service, Human(startup)),
        ReplicaReady{lease.id, sight.port, sight.host == kLoopback ? "" : sight.host},
        {{"startup_s", startup.seconds()}});
  }

  void StopUnhealthy(const wire::Lease& lease, const std::string& why) {
    Add({lease.id, lease.holder, lease.service}, why,
        LeaseStopAsked{lease.id, StopCause::kUnhealthy});
  }

  const State& state_;
  const Instant now_;
  Sightings& sights_;
  std::vector<Event> events_;
  std::set<std::string> ended_, readied_;
};

}  // namespace

std::string SiteOf(const std::string& slot_id) { return slot_id.substr(0, slot_id.find('/')); }

void NoteProgress(const std::vector<Json>& lines, Time now, const std::string& lease,
                  JobSight& sight) {
  for (const Json& line : lines) {
    if (!line.is_object()) continue;
    const std::string type = String(line, "type");
    const std::optional<int64_t> step = CountIn(line, "step");
    if (!step) continue;
    if (type == "progress") {
      if (sight.lease != lease) {
        sight.lease = lease;
        sight.first_step = -1;
      }
      if (sight.first_step < 0 || *step < sight.first_step) {
        sight.first_step = *step;
        sight.first_step_at = now;
      } else if (now > sight.first_step_at && *step > sight.first_step) {
        sight.steps_per_s =
            static_cast<double>(*step - sight.first_step) / (now - sight.first_step_at).seconds();
      }
      wire::Progress progress;
      progress.step = *step;
      progress.steps = CountIn(line, "steps").value_or(0);
      progress.loss = NumberIn(line, "loss");
      progress.heldout_loss = NumberIn(line, "heldout_loss");
      if (!progress.heldout_loss && sight.progress)
        progress.heldout_loss = sight.progress->heldout_loss;
      progress.tokens_per_s = NumberIn(line, "tokens_per_s");
      progress.mfu = NumberIn(line, "mfu");
      progress.eta_s = NumberIn(line, "eta_s");
      progress.at = now;
      sight.progress = std::move(progress);
    } else if (type == "checkpoint") {
      const std::string path = String(line, "path");
      if (path.empty()) continue;
      sight.checkpoint = wire::Checkpoint{*step, path, String(line, "sha256"),
                                          NumberIn(line, "heldout_loss"), now};
    }
  }
}

std::vector<ProbeTarget> DueProbes(const State& state, Time now, Sightings& sights) {
  std::vector<ProbeTarget> due;
  for (const auto& [id, lease] : state.leases) {
    if (lease.holder_kind != HolderKind::kReplica || lease.phase != LeasePhase::kActive) continue;
    LeaseSight& sight = sights.leases[id];
    if (sight.port == 0) {
      sight.port = lease.port;
      if (!lease.host.empty()) sight.host = lease.host;
    }
    if (sight.probing || sight.port == 0 || now < sight.probe_at) continue;
    const auto service = state.services.find(lease.holder);
    if (service == state.services.end()) continue;
    sight.probing = true;
    due.push_back({id, sight.host, sight.port, service->second.spec.health_path, kProbeTimeout});
  }
  return due;
}

std::vector<Event> Observe(const State& state, const std::vector<SiteReport>& reports,
                           const std::vector<ProbeResult>& probes, Instant now, Sightings& sights) {
  Observer observer(state, now, sights);
  for (const SiteReport& report : reports) observer.Site(report);
  for (const ProbeResult& probe : probes) observer.Probe(probe);
  observer.Deadlines();
  return observer.Take();
}

}  // namespace weir::control
