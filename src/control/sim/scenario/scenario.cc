#include "control/sim/scenario/scenario.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/random.h"

namespace weir::sim {

double HashShare(std::string_view text, uint64_t salt) {
  uint64_t h = 1469598103934665603u ^ salt;  // FNV-1a, then one draw to mix it
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return Random(h).Uniform();
}

Duration StartCost(const Assume& assume, int64_t slots) {
  const double doublings = std::log2(static_cast<double>(std::max<int64_t>(1, slots)));
  return assume.start_base + Duration::FromSeconds(assume.start_per_doubling.seconds() * doublings);
}
Duration SaveCost(const Assume& assume, int64_t slots) {
  const double doublings = std::log2(static_cast<double>(std::max<int64_t>(1, slots)));
  return assume.save_base + Duration::FromSeconds(assume.save_per_doubling.seconds() * doublings);
}

double DemandCurve::RateAt(Duration when) const {
  if (at.empty()) return 0;
  if (period.us > 0 && when > at.front())
    when = at.front() + Duration{(when - at.front()).us % period.us};
  if (when < at.front()) return 0;
  const auto after = std::upper_bound(at.begin(), at.end(), when);
  const size_t i = static_cast<size_t>(after - at.begin()) - 1;
  if (i + 1 == at.size()) {
    // The last row lasts as long as the one before it.
    const Duration length = at.size() > 1 ? at[i] - at[i - 1] : Duration::Seconds(3600);
    return period.us > 0 || when - at[i] < length ? rate[i] : 0;
  }
  const Duration gap = at[i + 1] - at[i];
  if (gap > Duration::Seconds(3600)) return rate[i];
  const double part = static_cast<double>((when - at[i]).us) / static_cast<double>(gap.us);
  return rate[i] + part * (rate[i + 1] - rate[i]);
}

int64_t SimService::NeedReplicas(Duration when) const {
  const double rps = demand.RateAt(when);
  if (rps <= 0) return 0;
  return static_cast<int64_t>(
      std::ceil(rps / (spec.rate_per_replica * spec.slo_utilization) - 1e-9));
}

namespace {

constexpr uint64_t kSaltSave = 1, kSaltElastic = 2, kSaltFaults = 3;

class Maker {
 public:
  Maker(FleetSpec fleet, Trace trace, const ScenarioOptions& options) : options_(options) {
    out_.fleet = std::move(fleet);
    out_.trace = std::move(trace);
    out_.seed = options.seed;
    out_.start = kEpoch;
  }

  Result<Scenario> Make() {
    for (const NodeSpec& node : out_.fleet.nodes) TypeNumber(node.type, true);
    for (const ReadReport& report : out_.trace.reports) {
      for (std::string& note : report.Notes()) out_.notes.push_back(std::move(note));
    }
    out_.teams = out_.fleet.teams;
    TRY(Jobs());
    TRY(Services());
    if (out_.jobs.empty() && out_.services.empty()) {
      return Error(Code::kInvalidArgument, "there are neither jobs nor demand to simulate")
          .Hint("give --jobs, --demand or both; --from and --days may have cut all rows away");
    }
    TRY(ProductTeams());
    out_.stop = kEpoch + Duration::FromSeconds(kMaxHorizonDays * 86'400);
    FaultTimes();
    return std::move(out_);
  }

 private:
  int TypeNumber(const std::string& type, bool add) {
    const auto it = std::find(out_.types.begin(), out_.types.end(), type);
    if (it != out_.types.end()) return static_cast<int>(it - out_.types.begin());
    if (!add) return -1;
    out_.types.push_back(type);
    return static_cast<int>(out_.types.size()) - 1;
  }

  Result<int> TeamNumber(const std::string& name, wire::TeamClass team_class) {
    for (size_t i = 0; i < out_.teams.size(); ++i) {
      if (out_.teams[i].name != name) continue;
      if (out_.teams[i].team_class != team_class) {
        return Error(Code::kInvalidArgument,
                     fmt::format("team {} is of class {}, but has {}", name,
                                 team_class == wire::TeamClass::kProduct ? "research" : "product",
                                 team_class == wire::TeamClass::kProduct ? "a service" : "jobs"))
            .Hint("set its class in the fleet file, or give the work to another team");
      }
      return static_cast<int>(i);
    }
    wire::Team team;
    team.name = name;
    team.team_class = team_class;
    out_.teams.push_back(std::move(team));
    return static_cast<int>(out_.teams.size()) - 1;
  }

  // Most slots that one gang can have: those of one site and type.
  int64_t LargestGang(int type) const {
    std::map<std::pair<int, int>, int64_t> pools;
    for (const NodeSpec& node : out_.fleet.nodes) {
      const int t = static_cast<int>(std::find(out_.types.begin(), out_.types.end(), node.type) -
                                     out_.types.begin());
      if (type < 0 || t == type) pools[{node.site, t}] += node.slots;
    }
    int64_t most = 0;
    for (const auto& [key, slots] : pools) most = std::max(most, slots);
    return most;
  }

  Status Jobs() {
    const Assume& assume = out_.fleet.assume;
    std::map<int, int64_t> largest;
    std::map<std::string, int> users, teams;
    int64_t too_large = 0, unknown_type = 0;
    std::string example, type_example;
    const Duration end =
        options_.length.us > 0 ? options_.from + options_.length : Duration{INT64_MAX};
    // sacct counts from 1970: the first job is at 0.
    const Duration zero =
        out_.trace.jobs.empty() || out_.trace.jobs.front().submit < Duration::Seconds(86'400 * 3650)
            ? Duration{}
            : out_.trace.jobs.front().submit;
    for (size_t i = 0; i < out_.trace.jobs.size(); ++i) {
      const Job& row = out_.trace.jobs[i];
      const Duration submit = row.submit - zero;
      if (submit < options_.from || submit >= end) continue;
      SimJob job;
      job.trace = static_cast<int>(i);
      job.slots = row.slots;
      job.min_slots = row.min_slots > 0 ? row.min_slots : row.slots;
      job.max_slots = row.max_slots > 0 ? row.max_slots : row.slots;
      if (!row.type.empty()) {
        job.type = TypeNumber(row.type, false);
        if (job.type < 0) {
          if (unknown_type++ == 0) type_example = fmt::format("{} asks for {}", row.id, row.type);
          continue;
        }
      }
      const auto room = largest.try_emplace(job.type, 0).first;
      if (room->second == 0) room->second = LargestGang(job.type);
      if (job.min_slots > room->second) {
        if (too_large++ == 0) {
          example = fmt::format(
              "{} asks for {} slots, the largest pool of one type on one site has "
              "{}",
              row.id, job.min_slots, room->second);
        }
        continue;
      }
      const std::string& team = row.team.empty() ? kDefaultTeam : row.team;
      const auto known = teams.find(team);
      job.team = known != teams.end()
                     ? known->second
                     : (teams[team] = TRY(TeamNumber(team, wire::TeamClass::kResearch)));
      if (!row.user.empty()) {
        const auto [user, added] = users.try_emplace(row.user, static_cast<int>(users.size()));
        if (added) out_.users.push_back(row.user);
        job.user = user->second;
      }
      job.priority = row.priority;
      job.submit = kEpoch + (submit - options_.from);
      job.work_s = std::max(0.001, row.duration.seconds());
      job.limit = row.limit;
      job.checkpointable = row.checkpointable == Ability::kUnknown
                               ? row.slots >= assume.checkpointable_from ||
                                     HashShare(row.id, kSaltSave) < assume.checkpointable_share
                               : row.checkpointable == Ability::kYes;
      job.interval = !job.checkpointable                               ? Duration{}
                     : row.checkpoint_interval >= Duration::Seconds(1) ? row.checkpoint_interval
                                                                       : assume.checkpoint_interval;
      if (row.min_slots == 0 && row.max_slots == 0 && job.checkpointable && row.slots >= 4 &&
          HashShare(row.id, kSaltElastic) < assume.elastic_share) {
        const double n = static_cast<double>(row.slots);
        job.min_slots = std::max<int64_t>(1, std::llround(std::ceil(n * assume.elastic_min)));
        job.max_slots =
            std::max<int64_t>(row.slots, std::llround(std::floor(n * assume.elastic_max)));
      }
      out_.jobs.push_back(job);
    }
    if (too_large > 0) {
      const std::string text = fmt::format("{} job{} larger than the fleet: {}", too_large,
                                           too_large == 1 ? " is" : "s are", example);
      if (options_.strict) {
        return Error(Code::kInvalidArgument, text)
            .Hint("add nodes to the fleet, or leave --strict away to run without them");
      }
      out_.notes.push_back(text + "; left out");
    }
    if (unknown_type > 0) {
      const std::string text =
          fmt::format("{} job{} for an accelerator that the fleet lacks: {}", unknown_type,
                      unknown_type == 1 ? " asks" : "s ask", type_example);
      if (options_.strict) {
        return Error(Code::kInvalidArgument, text)
            .Hint("add nodes of that type, or leave --strict away to run without them");
      }
      out_.notes.push_back(text + "; left out");
    }
    return {};
  }

  Status Services() {
    const std::vector<Demand>& rows = out_.trace.demands;
    std::set<std::string> used;
    std::vector<ServiceSpec> specs = out_.fleet.services;
    for (const Demand& row : rows) {
      const bool known = std::any_of(specs.begin(), specs.end(),
                                     [&](const ServiceSpec& s) { return s.name == row.service; });
      if (known) continue;
      ServiceSpec spec;
      spec.name = row.service;
      if (used.insert(row.service).second) {
        out_.notes.push_back(fmt::format(
            "service {} is not in the fleet file: defaults are used ({} requests/s a replica)",
            row.service, spec.rate_per_replica));
      }
      specs.push_back(std::move(spec));
    }
    const int64_t slots = out_.fleet.slots();
    for (ServiceSpec& spec : specs) {
      SimService service;
      for (const Demand& row : rows) {
        if (row.service != spec.name) continue;
        service.demand.at.push_back(row.at);
        service.demand.rate.push_back(row.requests_per_s);
      }
      DemandCurve& curve = service.demand;
      if (curve.at.empty()) {
        if (!rows.empty() || !out_.fleet.services.empty())
          out_.notes.push_back(fmt::format("service {} has no demand: left out", spec.name));
        continue;
      }
      const Duration zero = curve.at.front();
      for (Duration& at : curve.at) at = at - zero;
      const Duration last =
          curve.at.size() > 1 ? curve.at.back() - curve.at[curve.at.size() - 2] : kMinute * 60;
      const Duration whole = curve.at.back() + last;
      if (options_.repeat_demand) curve.period = whole;
      out_.last_demand = std::max(out_.last_demand, kEpoch + whole);
      service.spec = spec;
      double sum = 0;
      int64_t n = 0;
      for (Duration at; at < whole; at = at + kMinute, ++n) {
        const double need = static_cast<double>(service.NeedSlots(at));
        sum += need;
        service.peak_need_slots = std::max(service.peak_need_slots, need);
        if (n > 50'000'000) break;
      }
      service.mean_need_slots = n > 0 ? sum / static_cast<double>(n) : 0;
      const int64_t per = spec.slots_per_replica;
      service.own_slots = spec.own_slots >= 0
                              ? spec.own_slots
                              : (std::llround(service.mean_need_slots) + per - 1) / per * per;
      service.max_replicas =
          spec.max_replicas > 0 ? spec.max_replicas : std::max<int64_t>(1, slots / per);
      service.team = TRY(TeamNumber(spec.team, wire::TeamClass::kProduct));
      out_.services.push_back(std::move(service));
    }
    // Demand that repeats counts for as long as jobs come.
    if (options_.repeat_demand && out_.last_demand.is_set() && !out_.jobs.empty())
      out_.last_demand = std::max(out_.last_demand, out_.jobs.back().submit);
    return {};
  }

  // A product team whose guarantee the file does not give is guaranteed what its services own.
  Status ProductTeams() {
    int64_t guaranteed = 0;
    for (size_t t = 0; t < out_.teams.size(); ++t) {
      wire::Team& team = out_.teams[t];
      if (team.team_class == wire::TeamClass::kProduct && team.guarantee_slots == 0) {
        for (const SimService& service : out_.services) {
          if (service.team == static_cast<int>(t)) team.guarantee_slots += service.own_slots;
        }
      }
      if (team.parent.empty()) guaranteed += team.guarantee_slots;
    }
    if (guaranteed > out_.fleet.slots()) {
      return Error(Code::kInvalidArgument,
                   fmt::format("the teams are guaranteed {} slots, product's own among them; the "
                               "fleet has {}",
                               guaranteed, out_.fleet.slots()))
          .Hint("lower guarantee_slots or own_slots, raise rate_per_replica, or add nodes");
    }
    return {};
  }

  // ---- faults ----

  void Down(int node, Time at, Duration length, const char* why) {
    Push({at, node, NodeEventKind::kDown, {}, 1, why});
    Push({at + length, node, NodeEventKind::kUp, {}, 1, why});
  }
  void Push(NodeEvent event) {
    if (event.at < out_.stop) out_.node_events.push_back(event);
  }
  Duration Draw(Random& random, Duration mean) {
    return Duration::FromSeconds(1 + random.Exponential(mean.seconds()));
  }

  void FaultTimes() {
    const FleetSpec& fleet = out_.fleet;
    const Faults& faults = fleet.faults;
    constexpr double kDay = 86'400;
    // Random faults are drawn for as long as there are jobs, and as long again.
    Time until = std::max(out_.last_demand, out_.jobs.empty() ? kEpoch : out_.jobs.back().submit);
    until = std::min(out_.stop, kEpoch + (until - kEpoch) * 2 + Duration::FromSeconds(30 * kDay));
    for (size_t i = 0; i < fleet.nodes.size(); ++i) {
      const int node = static_cast<int>(i);
      const NodeSpec& spec = fleet.nodes[i];
      Random random(options_.seed * 1'000'003 + i * 7919 + kSaltFaults);
      if (const double rate = faults.node_failures_per_1000_node_days; rate > 0) {
        for (Time at = kEpoch;;) {
          at = at + Duration::FromSeconds(random.Exponential(1000 * kDay / rate));
          if (at >= until) break;
          const Duration repair = Draw(random, faults.repair);
          Down(node, at, repair, "failed");
          at = at + repair;
        }
      }
      if (const double rate = faults.slow_per_1000_node_days; rate > 0) {
        for (Time at = kEpoch;;) {
          at = at + Duration::FromSeconds(random.Exponential(1000 * kDay / rate));
          if (at >= until) break;
          const Duration length = Draw(random, faults.slow_for);
          Push({at, node, NodeEventKind::kSlow, {}, faults.slow_speed, "slow"});
          Push({at + length, node, NodeEventKind::kNormal, {}, 1, "slow"});
          at = at + length;
        }
      }
      if (spec.spot) Spot(node, spec, until, random);
      if (spec.contract_end.us > 0) {
        const Time end = kEpoch + spec.contract_end;
        Push({kEpoch, node, NodeEventKind::kTold, end, 1, "contract"});
        Push({end, node, NodeEventKind::kEvacuate, {}, 1, "contract"});
      }
    }
    for (size_t s = 0; s < fleet.sites.size(); ++s) {
      if (faults.outages_per_site_year <= 0) break;
      Random random(options_.seed * 2'000'003 + s * 104'729 + kSaltFaults);
      for (Time at = kEpoch;;) {
        at = at +
             Duration::FromSeconds(random.Exponential(365 * kDay / faults.outages_per_site_year));
        if (at >= until) break;
        const Duration length = Draw(random, faults.outage_for);
        for (const int node : NodesOf({static_cast<int>(s), {}, {}, {}}))
          Down(node, at, length, "outage");
        at = at + length;
      }
    }
    for (const Window& window : fleet.outages) {
      for (const int node : NodesOf(window))
        Down(node, kEpoch + window.at, window.length, "outage");
    }
    constexpr Duration kTold = Duration::Seconds(86'400);
    for (const Window& window : fleet.maintenance) {
      const Time begin = kEpoch + window.at;
      for (const int node : NodesOf(window)) {
        Push(
            {std::max(kEpoch, begin - kTold), node, NodeEventKind::kTold, begin, 1, "maintenance"});
        Push({begin, node, NodeEventKind::kEvacuate, {}, 1, "maintenance"});
        Push({begin + window.length, node, NodeEventKind::kUp, {}, 1, "maintenance"});
      }
    }
    std::stable_sort(out_.node_events.begin(), out_.node_events.end(),
                     [](const NodeEvent& a, const NodeEvent& b) {
                       return a.at != b.at ? a.at < b.at : a.node < b.node;
                     });
  }

  // From the spot trace's runs where the node names a zone of it, else drawn.
  void Spot(int node, const NodeSpec& spec, Time until, Random& random) {
    const Faults& faults = out_.fleet.faults;
    const auto reclaim = [&](Time at, Duration gone) {
      Push({std::max(kEpoch, at - faults.spot_notice), node, NodeEventKind::kTold, at, 1, "spot"});
      Down(node, at, gone, "spot");
    };
    bool found = false;
    for (const SpotRun& run : out_.trace.spot) {
      if (run.zone != spec.spot_zone) continue;
      found = true;
      if (run.available == 0) reclaim(kEpoch + run.at, run.length);
    }
    if (found) return;
    if (!spec.spot_zone.empty() && node == FirstOfZone(spec.spot_zone)) {
      out_.notes.push_back(fmt::format(
          "spot zone {} is in no trace that was given: its reclaims are drawn", spec.spot_zone));
    }
    for (Time at = kEpoch;;) {
      at = at + Draw(random, faults.spot_mean_up);
      if (at >= until) break;
      const Duration gone = Draw(random, faults.spot_mean_gone);
      reclaim(at, gone);
      at = at + gone;
    }
  }
  int FirstOfZone(const std::string& zone) const {
    for (size_t i = 0; i < out_.fleet.nodes.size(); ++i) {
      if (out_.fleet.nodes[i].spot_zone == zone) return static_cast<int>(i);
    }
    return -1;
  }
  std::vector<int> NodesOf(const Window& window) const {
    if (!window.nodes.empty()) return window.nodes;
    std::vector<int> all;
    for (size_t i = 0; i < out_.fleet.nodes.size(); ++i) {
      if (out_.fleet.nodes[i].site == window.site) all.push_back(static_cast<int>(i));
    }
    return all;
  }

  static constexpr Duration kMinute = Duration::Seconds(60);
  inline static const std::string kDefaultTeam = "research";
  const ScenarioOptions& options_;
  Scenario out_;
};

}  // namespace

Result<Scenario> MakeScenario(FleetSpec fleet, Trace trace, const ScenarioOptions& options) {
  return Maker(std::move(fleet), std::move(trace), options).Make();
}

}  // namespace weir::sim
