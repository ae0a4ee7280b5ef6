#include "control/sim/from_journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "control/events.h"
#include "io/sqlite_store.h"

namespace weir::sim {

namespace {

using namespace control;  // NOLINT: the events, and nothing else, are what this file is about

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

class Past {
 public:
  void See(const Event& event) {
    if (!zero_.is_set()) zero_ = event.at;
    now_ = std::max(now_, event.at);
    std::visit(Overloaded{[&](const TeamPut& e) { teams_[e.team.name] = e.team; },
                          [&](const TeamRemoved& e) { teams_.erase(e.team); },
                          [&](const SlotSeen& e) { slots_[e.slot.id] = e.slot; },
                          [&](const JobSubmitted& e) { Submitted(event.at, e.job); },
                          [&](const JobMoved& e) { Moved(e); },
                          [&](const LeaseIntended& e) {
                            leases_[e.lease.id] = {e.lease, {}, false};
                          },
                          [&](const LeaseActive& e) { leases_[e.lease].active = event.at; },
                          [&](const LeaseEnded& e) { Ended(event.at, e.lease); },
                          [&](const ReplicaReady& e) { Ready(event.at, e.lease, true); },
                          [&](const ReplicaUnready& e) { Ready(event.at, e.lease, false); },
                          [&](const ServiceCreated& e) {
                            services_[e.service.spec.name] = e.service.spec;
                          },
                          [](const auto&) {}},
               event.body);
  }

  Result<JournalPast> Take() {
    if (slots_.empty() || (jobs_.empty() && ready_.empty())) {
      return Error(Code::kFailedPrecondition,
                   "the journal tells of no work yet, so there is nothing to replay")
          .Hint("run some jobs first, or give --jobs and --fleet");
    }
    JournalPast past;
    for (auto& [id, lease] : leases_) Count(now_, lease);
    int64_t running = 0;
    ReadReport report;
    report.file = report.format = "journal";
    for (auto& [id, job] : jobs_) {
      Job row = job.row;
      if (!job.ended) ++running;
      row.duration = Duration::FromSeconds(std::max(0.001, job.work_s));
      past.trace.jobs.push_back(std::move(row));
    }
    report.rows = static_cast<int64_t>(jobs_.size());
    if (running > 0) report.skipped["has not ended: what it did so far is its work"] = 0;
    std::stable_sort(past.trace.jobs.begin(), past.trace.jobs.end(),
                     [](const Job& a, const Job& b) { return a.submit < b.submit; });
    Fleet(&past.fleet);
    for (const auto& [name, changes] : ready_) Demands(name, changes, &past);
    return past;
  }

 private:
  struct Lease {
    wire::Lease lease;
    Time active;
    bool counted = false;
  };
  struct Known {
    Job row;
    double work_s = 0;
    bool ended = false;
  };

  Duration Since(Time at) const { return at - zero_; }

  void Submitted(Time at, const wire::Job& job) {
    Known& known = jobs_[job.id];
    Job& row = known.row;
    row.id = job.id;
    row.name = job.spec.name;
    row.team = job.spec.team;
    row.user = job.submitted_by;
    row.submit = Since(at);
    row.min_slots = std::max<int64_t>(1, job.spec.min_slots);
    row.slots = row.max_slots = std::max(row.min_slots, job.spec.max_slots);
    row.priority = job.spec.priority;
    row.limit = job.spec.time_limit;
    row.checkpointable = job.spec.checkpointable ? Ability::kYes : Ability::kNo;
    row.checkpoint_interval = job.spec.checkpoint_interval;
  }

  void Moved(const JobMoved& e) {
    const auto it = jobs_.find(e.job);
    if (it == jobs_.end()) return;
    Known& job = it->second;
    // What was lost had to be done again: it is no work of the job's own.
    if (e.lost_slot_s > 0)
      job.work_s = std::max(0.0, job.work_s - e.lost_slot_s / static_cast<double>(job.row.slots));
    if (e.phase == wire::JobPhase::kDone) job.ended = true;
    if (e.phase == wire::JobPhase::kFailed) {
      job.ended = true;
      job.row.end = JobEnd::kFailed;
    }
    if (e.phase == wire::JobPhase::kCancelled) {
      job.ended = true;
      job.row.end = JobEnd::kCancelled;
    }
  }

  void Ended(Time at, const std::string& id) {
    const auto it = leases_.find(id);
    if (it == leases_.end()) return;
    Ready(at, id, false);
    Count(at, it->second);
    leases_.erase(it);
  }

  // The lease's time as seconds of work at the job's full size.
  void Count(Time at, Lease& lease) {
    if (lease.counted || !lease.active.is_set()) return;
    lease.counted = true;
    const auto job = jobs_.find(lease.lease.holder);
    if (job == jobs_.end()) return;
    job->second.work_s += (at - lease.active).seconds() *
                          static_cast<double>(lease.lease.slots.size()) /
                          static_cast<double>(job->second.row.slots);
  }

  void Ready(Time at, const std::string& id, bool ready) {
    const auto it = leases_.find(id);
    if (it == leases_.end() || it->second.lease.holder_kind != wire::HolderKind::kReplica) return;
    if (it->second.lease.ready == ready) return;
    it->second.lease.ready = ready;
    ready_[it->second.lease.service].emplace_back(Since(at), ready ? 1 : -1);
  }

  void Fleet(FleetSpec* fleet) {
    fleet->name = "this lab";
    std::map<std::string, int> sites;
    std::map<std::string, int64_t> nodes;  // "site/node" -> slots
    std::map<std::string, int> site_of;
    for (const auto& [id, slot] : slots_) {
      const auto [site, added] = sites.try_emplace(slot.site, static_cast<int>(sites.size()));
      if (added) fleet->sites.push_back({.name = slot.site, .provider = ""});
      const std::string name = slot.site + "/" + slot.node;
      site_of[name] = site->second;
      ++nodes[name];
    }
    for (const auto& [name, slots] : nodes) {
      // A node of the simulator holds 64 slots; a bigger one is several beside each other.
      for (int64_t left = slots; left > 0; left -= 64) {
        NodeSpec node;
        node.name = name;
        node.site = site_of[name];
        node.type = "slot";
        node.slots = std::min<int64_t>(64, left);
        fleet->nodes.push_back(std::move(node));
      }
    }
    for (const auto& [name, team] : teams_) {
      fleet->teams.push_back(team);
      fleet->teams.back().credit_slot_s = 0;
    }
    Assume& assume = fleet->assume;
    assume.start_base = Duration::Seconds(2);
    assume.start_per_doubling = {};
    assume.save_base = Duration::Millis(300);
    assume.save_per_doubling = {};
    assume.stop_grace = Duration::Seconds(20);
    assume.stop_delay = Duration::Seconds(1);
    assume.launch_delay = Duration::Millis(200);
    assume.scaling_exponent = 1;
    for (const auto& [name, spec] : services_) {
      ServiceSpec service;
      service.name = name;
      service.team = spec.team;
      service.own_slots = spec.min_replicas * spec.slots_per_replica;
      service.slots_per_replica = spec.slots_per_replica;
      service.rate_per_replica = 1;
      service.slo_utilization = 1;
      service.startup = Duration::Seconds(2);
      service.drain = spec.grace;
      service.max_replicas = spec.max_replicas;
      if (ready_.count(name) != 0) fleet->services.push_back(std::move(service));
    }
  }

  // Steps: the count holds until the instant of the next one.
  void Demands(const std::string& name, const std::vector<std::pair<Duration, int>>& changes,
               JournalPast* past) {
    std::map<Duration, int> steps;
    for (const auto& [at, by] : changes) steps[at] += by;
    int64_t ready = 0;
    std::vector<Demand>& rows = past->trace.demands;
    rows.push_back({Duration{}, name, 0, 0, 0});  // jobs and demand count from the same zero
    Duration newest;
    for (const auto& [at, by] : steps) {
      const Duration before = at - Duration{1};
      if (before > newest) rows.push_back({before, name, static_cast<double>(ready), 0, 0});
      ready = std::max<int64_t>(0, ready + by);
      rows.push_back({at, name, static_cast<double>(ready), 0, 0});
      newest = at;
    }
    rows.push_back({Since(now_) + Duration{1}, name, static_cast<double>(ready), 0, 0});
  }

  Time zero_, now_;
  std::map<std::string, wire::Team> teams_;
  std::map<std::string, wire::Slot> slots_;
  std::map<std::string, Known> jobs_;
  std::map<std::string, Lease> leases_;
  std::map<std::string, wire::ServiceSpec> services_;
  std::map<std::string, std::vector<std::pair<Duration, int>>> ready_;
};

}  // namespace

Result<JournalPast> ReadJournalPast(io::Store& store) {
  Past past;
  std::optional<Error> wrong;
  TRY(store.Scan(1, [&](const io::Record& record) {
    Result<Event> event = FromRecord(record);
    if (!event) {
      wrong = event.error();
      return false;
    }
    past.See(*event);
    return true;
  }));
  if (wrong) return *std::move(wrong);
  return past.Take();
}

Result<JournalPast> ReadJournalPast(const std::string& data) {
  const std::unique_ptr<io::Store> store =
      TRY(io::OpenSqliteStore(data + "/weir.db", {.create = false, .read_only = true}));
  return ReadJournalPast(*store);
}

}  // namespace weir::sim
