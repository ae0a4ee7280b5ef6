// A small, obvious lab for tests: one second a step, every action carried out as asked. Jobs do
// slots x seconds of work, replicas serve, leases take a while to stop, loans return once empty.
// It knows nothing of policy; what it checks after each step is invariants.h.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lab/sched/decide.h"
#include "lab/sched/invariants.h"
#include "lab/sched/sizing.h"

namespace weir::sched {

struct TestWorld {
  Policy policy;
  Snapshot s;
  std::map<std::string, double> work;   // job id: slot-seconds left
  std::map<std::string, double> rate;   // service name: requests/s of one replica
  std::map<std::string, double> queue;  // service name: requests waiting
  double foreseen = 0;                  // a forecast is so many requests/s above what arrives
  std::function<double(const std::string&, double)> load = [](const std::string&, double) {
    return 0.0;
  };  // (service name, seconds since the start) -> requests/s
  std::function<int()> stop_takes_s = [] { return 2; };
  int startup_s = 3;
  int next = 0, next_job = 0, next_service = 0;
  std::map<std::string, Time> ends_at;   // stopping leases
  std::map<std::string, Time> ready_at;  // starting replicas
  Decision last;
  int64_t actions = 0, stops = 0, loans_opened = 0, loans_returned = 0, worst_late_s = 0;
  std::vector<std::string> log;

  TestWorld() { s.now = Time{1'000'000'000'000}; }
  double seconds() const { return (s.now - Time{1'000'000'000'000}).seconds(); }

  static std::string Pad(int n) {
    return std::string(n < 10 ? "00" : n < 100 ? "0" : "") + std::to_string(n);
  }
  void AddSlots(int n, const std::string& node = "local/n0") {
    for (int i = 0; i < n; ++i) s.slots.push_back({.id = node + "/" + Pad(i)});
    std::sort(s.slots.begin(), s.slots.end(),
              [](const SlotState& a, const SlotState& b) { return a.id < b.id; });
  }
  wire::Team& AddTeam(const std::string& name, bool research, int64_t guarantee,
                      const std::string& parent = "") {
    s.teams.push_back(
        {.name = name,
         .team_class = research ? wire::TeamClass::kResearch : wire::TeamClass::kProduct,
         .parent = parent,
         .guarantee_slots = guarantee});
    return s.teams.back();
  }
  JobState& AddJob(const std::string& team, int64_t min_slots, int64_t max_slots, double slot_s,
                   bool checkpointable = true) {
    JobState j;
    j.job.id = "job-" + Pad(++next_job);
    j.job.spec = {.name = j.job.id,
                  .team = team,
                  .min_slots = min_slots,
                  .max_slots = max_slots,
                  .checkpointable = checkpointable};
    j.job.submitted = s.now;
    j.restart_cost = Duration::Seconds(2);
    work[j.job.id] = slot_s;
    s.jobs.push_back(j);
    return s.jobs.back();
  }
  ServiceState& AddService(const std::string& name, const std::string& team, int64_t min_replicas,
                           int64_t max_replicas, double replica_rate, int64_t slots = 1) {
    ServiceState v;
    v.service.id = "svc-" + Pad(++next_service);
    v.service.spec = {.name = name,
                      .team = team,
                      .model = "m",
                      .min_replicas = min_replicas,
                      .max_replicas = max_replicas,
                      .slots_per_replica = slots};
    v.service.spec.grace = Duration::Seconds(5);
    v.service.version = "m";
    v.replica_startup = Duration::Seconds(startup_s);
    rate[name] = replica_rate;
    s.services.push_back(v);
    return s.services.back();
  }

  JobState* Job(const std::string& id) {
    for (JobState& j : s.jobs)
      if (j.job.id == id) return &j;
    return nullptr;
  }
  wire::Lease* Lease(const std::string& id) {
    for (wire::Lease& l : s.leases)
      if (l.id == id) return &l;
    return nullptr;
  }
  ServiceState* Service(const std::string& name) {
    for (ServiceState& v : s.services)
      if (v.service.spec.name == name) return &v;
    return nullptr;
  }
  SlotState* Slot(const std::string& id) {
    for (SlotState& v : s.slots)
      if (v.id == id) return &v;
    return nullptr;
  }
  int64_t SlotsOf(const std::string& holder_or_service) const {
    int64_t n = 0;
    for (const wire::Lease& l : s.leases) {
      if (l.holder == holder_or_service || l.service == holder_or_service) n += std::ssize(l.slots);
    }
    return n;
  }
  int64_t Ready(const std::string& service) const {
    int64_t n = 0;
    for (const wire::Lease& l : s.leases) {
      n += l.service == service && l.ready && l.phase == wire::LeasePhase::kActive;
    }
    return n;
  }
  int64_t LentSlots() const {
    int64_t n = 0;
    for (const wire::Loan& l : s.loans)
      for (const auto& p : l.parts) n += std::ssize(p.slots);
    return n;
  }

  void EndLease(const std::string& id) {
    const wire::Lease lease = *Lease(id);
    for (const std::string& slot : lease.slots) {
      Slot(slot)->lease.clear();
      Slot(slot)->free_since = s.now;
    }
    if (JobState* j = Job(lease.holder)) {
      j->last_slots = lease.slots;
      j->last_cause = lease.stop_cause;
      j->job.lease.clear();
      j->job.phase = wire::JobPhase::kPaused;
      if (!j->job.spec.checkpointable) j->job.phase = wire::JobPhase::kQueued;
    }
    std::erase_if(s.leases, [&](const wire::Lease& l) { return l.id == id; });
    ends_at.erase(id);
    ready_at.erase(id);
  }

  void Apply(const Decision& d) {
    std::map<std::string, std::string> real;  // "new-1" -> loan id
    for (const Action& a : d.actions) {
      ++actions;
      log.push_back(std::to_string(seconds()) + " " + Text(a));
      switch (a.kind) {
        case ActionKind::kStartJob:
        case ActionKind::kStartReplica: {
          wire::Lease l;
          l.id = "lease-" + std::to_string(100000 + ++next);
          const bool is_job = a.kind == ActionKind::kStartJob;
          l.holder_kind = is_job ? wire::HolderKind::kJob : wire::HolderKind::kReplica;
          l.slots = a.slots;
          l.phase = wire::LeasePhase::kActive;
          l.opened = l.active = s.now;
          if (is_job) {
            JobState* j = Job(a.job);
            l.holder = a.job;
            l.team = j->job.spec.team;
            j->job.lease = l.id;
            j->job.phase = wire::JobPhase::kRunning;
            j->run_started = j->last_checkpoint = s.now;
            j->last_cause = wire::StopCause::kNone;
            j->last_slots.clear();
          } else {
            ServiceState* v = Service(a.service);
            l.holder = v->service.id;
            l.service = a.service;
            l.team = v->service.spec.team;
            l.loan = real.contains(a.loan) ? real[a.loan] : a.loan;
            ready_at[l.id] = s.now + Duration::Seconds(startup_s);
          }
          for (const std::string& slot : a.slots) Slot(slot)->lease = l.id;
          s.leases.push_back(l);
          break;
        }
        case ActionKind::kStopJob:
        case ActionKind::kStopReplica: {
          ++stops;
          wire::Lease* l = Lease(a.lease);
          l->phase = wire::LeasePhase::kStopping;
          l->stop_cause = a.cause;
          l->stop_asked = s.now;
          ends_at[l->id] = s.now + Duration::Seconds(stop_takes_s());
          if (a.kind == ActionKind::kStopReplica) Service(a.service)->last_down = s.now;
          break;
        }
        case ActionKind::kOpenLoan: {
          wire::Loan loan;
          loan.id = "loan-" + std::to_string(100000 + ++next);
          loan.service = a.service;
          loan.team = Service(a.service)->service.spec.team;
          loan.parts = a.parts;
          loan.opened = s.now;
          loan.due = a.due;
          real[a.loan] = loan.id;
          s.loans.push_back(loan);
          ++loans_opened;
          break;
        }
        case ActionKind::kRecallLoan:
          for (wire::Loan& l : s.loans) {
            if (l.id == a.loan) {
              l.phase = wire::LoanPhase::kRecalled;
              l.recalled = s.now;
            }
          }
          break;
        case ActionKind::kSetShed:
          Service(a.service)->service.shed_above_tier = a.shed_above_tier;
          break;
        case ActionKind::kUseVersion:
          Service(a.service)->service.version = a.version;
          Service(a.service)->version_since = s.now;
          break;
      }
    }
    ReturnLoans();
    std::sort(s.leases.begin(), s.leases.end(),
              [](const wire::Lease& a, const wire::Lease& b) { return a.id < b.id; });
  }

  void ReturnLoans() {
    std::erase_if(s.loans, [&](const wire::Loan& loan) {
      if (loan.phase != wire::LoanPhase::kRecalled) return false;
      for (const wire::Lease& l : s.leases)
        if (l.loan == loan.id) return false;
      ++loans_returned;
      worst_late_s = std::max(worst_late_s, (s.now - loan.due).us / 1'000'000);
      log.push_back(std::to_string(seconds()) + " returned " + loan.id);
      return true;
    });
  }

  void Advance() {
    s.now = s.now + Duration::Seconds(1);
    std::vector<std::string> over;
    for (const auto& [id, at] : ends_at)
      if (at <= s.now) over.push_back(id);
    for (wire::Lease& l : s.leases) {
      if (ready_at.contains(l.id) && ready_at[l.id] <= s.now) l.ready = true;
      if (l.holder_kind == wire::HolderKind::kJob && l.phase == wire::LeasePhase::kActive) {
        work[l.holder] -= static_cast<double>(l.slots.size());
        if (static_cast<int64_t>(seconds()) % 30 == 0) Job(l.holder)->last_checkpoint = s.now;
      }
    }
    for (const std::string& id : over) EndLease(id);
    std::erase_if(s.jobs, [&](const JobState& j) {
      if (work[j.job.id] > 0) return false;
      if (const wire::Lease* l = Lease(j.job.lease)) {
        const std::string lease = l->id;
        EndLease(lease);
      }
      return true;
    });
    ReturnLoans();
    Measure();
  }

  void Measure() {
    for (ServiceState& v : s.services) {
      const std::string& name = v.service.spec.name;
      const double arrivals = load(name, seconds());
      const int64_t ready = Ready(name);
      double& waiting = queue[name];
      waiting = std::clamp(waiting + arrivals - static_cast<double>(ready) * rate[name], 0.0,
                           static_cast<double>(v.service.spec.max_queue));
      v.demand.arrivals_per_s = arrivals;
      v.demand.forecast_per_s = arrivals + foreseen;
      v.demand.queued = waiting;
      v.demand.service_rate_per_replica = rate[name];
      int64_t held = 0;
      for (const wire::Lease& l : s.leases) {
        held += l.service == name && l.phase != wire::LeasePhase::kStopping;
      }
      UpdateMarks(&v, ready, held, s.now, policy);
    }
  }

  // One second. Fails the test, with the last actions, when an invariant does not hold.
  void Step() {
    last = Decide(s, policy);
    std::vector<std::string> breaches = Breaches(s, last, policy);
    Apply(last);
    const std::vector<std::string> after = Breaches(s, policy);
    breaches.insert(breaches.end(), after.begin(), after.end());
    ASSERT_TRUE(breaches.empty()) << breaches.front() << "\n" << LastLog();
    Advance();
  }
  void Run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFatalFailure(); ++i) Step();
  }
  std::string LastLog(size_t n = 30) const {
    std::string out;
    for (size_t i = log.size() > n ? log.size() - n : 0; i < log.size(); ++i) out += log[i] + "\n";
    return out;
  }
  static std::string Text(const Action& a) {
    static const char* kNames[] = {"start job", "stop job",    "start replica", "stop replica",
                                   "open loan", "recall loan", "shed",          "use version"};
    std::string t = kNames[static_cast<int>(a.kind)];
    t += " " + a.job + a.service + " " + a.lease + " " + a.loan + a.version + " [";
    for (const auto& slot : a.slots) t += slot.substr(slot.size() - 3) + " ";
    t += "]";
    if (a.cause == wire::StopCause::kPause) t += " pause";
    if (a.cause == wire::StopCause::kResize) t += " resize";
    for (const auto& p : a.parts) {
      t += " {" + p.team + " " + p.job + " " + p.how;
      for (const auto& slot : p.slots) t += " " + slot.substr(slot.size() - 3);
      t += "}";
    }
    if (a.kind == ActionKind::kSetShed) t += " above " + std::to_string(a.shed_above_tier);
    return t + " | " + a.reason.text;
  }
};

}  // namespace weir::sched
