// What is simulated, settled before anything runs: jobs with the fleet's rules applied, demand as
// curves, and every fault with its time. Policies share one scenario, so they meet the same world.
//
// Where a trace does not say whether a job can save or change its size, the rules of [assume]
// decide, from a hash of the job's id: the same job has the same abilities under every policy,
// fleet and seed. Faults are drawn from the seed alone, never from what a policy does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "control/sim/scenario/fleet.h"
#include "control/sim/traces/trace.h"

namespace weir::sim {

// Simulated time 0 as an instant, so that the scheduler's "0 = never" keeps its meaning.
inline constexpr Time kEpoch{946'684'800'000'000};  // 2000-01-01T00:00:00Z
inline constexpr double kMaxHorizonDays = 3650;

struct SimJob {
  int trace = 0;  // index into Scenario::trace.jobs
  int team = 0;
  int user = -1;
  int type = -1;  // accelerator that it must have; -1 = any
  int64_t slots = 1, min_slots = 1, max_slots = 1;
  int64_t priority = 0;
  bool checkpointable = false;
  Duration interval;
  Time submit;
  double work_s = 0;
  Duration limit;  // as asked; 0 = none
};

// Requests/s of one service over time.
struct DemandCurve {
  std::vector<Duration> at;
  std::vector<double> rate;
  Duration period;  // 0: nothing after the last row; else it repeats
  // Linear between rows that are at most an hour apart, constant after others.
  double RateAt(Duration when) const;
};

struct SimService {
  ServiceSpec spec;
  int team = 0;
  int64_t own_slots = 0;
  int64_t max_replicas = 0;
  DemandCurve demand;
  double mean_need_slots = 0, peak_need_slots = 0;
  int64_t NeedReplicas(Duration when) const;  // fewest for the SLO
  int64_t NeedSlots(Duration when) const { return NeedReplicas(when) * spec.slots_per_replica; }
};

enum class NodeEventKind {
  kTold,      // it will go at `until`
  kDown,      // what runs there is gone
  kUp,        // ... and it is back, unless another reason keeps it
  kEvacuate,  // maintenance begins: what runs is asked to stop
  kSlow,      // speed times `factor`
  kNormal,
};
struct NodeEvent {
  Time at;
  int node = 0;
  NodeEventKind kind = NodeEventKind::kDown;
  Time until;
  double factor = 1;
  const char* why = "";
};

struct Scenario {
  FleetSpec fleet;
  Trace trace;
  std::vector<std::string> types;  // accelerator types of the fleet
  std::vector<wire::Team> teams;   // research and product, parents named
  std::vector<std::string> users;
  std::vector<SimJob> jobs;  // by submit
  std::vector<SimService> services;
  std::vector<NodeEvent> node_events;  // by time, then node
  std::vector<std::string> notes;      // what was left out, and why
  uint64_t seed = 1;
  Time start, stop;  // stop: when the simulation ends at the latest
  Time last_demand;  // product's metrics count until then; 0 = no product
};

struct ScenarioOptions {
  uint64_t seed = 1;
  Duration from;    // jobs submitted before are left out ...
  Duration length;  // ... and after from + length (0 = to the end); demand begins at its own 0
  bool repeat_demand = true;
  bool strict = false;  // a job larger than the fleet is an error instead of a note
};

// kInvalidArgument: no jobs and no demand, an unknown team's class, a job larger than the fleet
// with strict, services without demand.
Result<Scenario> MakeScenario(FleetSpec fleet, Trace trace, const ScenarioOptions& options);

// Start, checkpoint: base + per_doubling x log2(slots).
Duration StartCost(const Assume& assume, int64_t slots);
Duration SaveCost(const Assume& assume, int64_t slots);
// A number in [0, 1) that depends on the text and the salt alone.
double HashShare(std::string_view text, uint64_t salt);

}  // namespace weir::sim
