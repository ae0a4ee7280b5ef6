// FLEET.toml: what a simulation runs on, and every assumption that it makes, in one file.
//
//   name = "venus"
//
//   [[site]]                      # where nodes stand
//   name = "a"
//   provider = "acme"             # for the cost table
//   energy_usd_per_kwh = 0.10
//   pue = 1.2
//   carbon_g_per_kwh = 300
//
//   [[nodes]]                     # `count` nodes alike, or one for each row of a trace of nodes
//   site = "a"
//   count = 32                    # or: from = "nodes.csv.gz"
//   slots = 8
//   type = "V100"
//   nodes_per_leaf = 4            # switches; 0 = one
//   leaves_per_spine = 8
//   speed = 1.0                   # of a job, against the speed that durations are given at
//   price_usd_per_slot_h = 2.10
//   spot = false                  # may be reclaimed: after mean_up, for mean_gone, told `notice`
//   before power_w_per_slot = 300        # busy idle_w_per_slot = 60 contract_end = "90d" # after
//   the start; "" = none
//
//   [[maintenance]]               # known a day before; nothing new is placed that would run into
//   it site = "a"                    # and, if only some: nodes = ["a/n3", "a/n4"] at = "3d" for =
//   "4h"
//
//   [[outage]]                    # the provider is gone, untold
//   site = "a"
//   at = "5d"
//   for = "30m"
//
//   [team.research]               # names not given: a team for every name in the trace, class
//   class = "research"            # research, weight 1, no guarantee
//   guarantee_slots = 128
//   weight = 1
//   lend_limit_slots = -1
//   parent = ""
//
//   [service.chat]                # the demand trace names it too
//   team = "product"
//   own_slots = "mean"            # slots, or "mean": the mean of what its demand needs
//   rate_per_replica = 20         # requests/s of one replica that is fully used
//   slots_per_replica = 1
//   slo_utilization = 0.8         # above this use of its replicas the SLO does not hold
//   startup = "60s"
//   drain = "20s"
//   max_replicas = 0              # 0 = as many as fit
//
//   [assume]                      # where a trace does not say (fleet.h has the rules)
//   [faults]                      # all off unless given; drawn from --seed
//
// Every key may be left out but those without which nothing can be: nodes. An unknown key, a value
// of the wrong kind or out of range, a quota tree with a cycle or whose guarantees exceed the fleet
// is an error that names file, line, key and what is allowed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "control/sim/traces/trace.h"
#include "lab/sched/decide.h"

namespace weir::sim {

struct SiteSpec {
  std::string name;
  std::string provider;
  double energy_usd_per_kwh = 0.1;
  double pue = 1.2;
  double carbon_g_per_kwh = 350;
};

struct NodeSpec {
  std::string name;  // site/nK
  int site = 0;
  std::string type;
  int64_t slots = 8;
  int leaf = 0, spine = 0;  // numbers within the site
  double speed = 1;
  double price_usd_per_slot_h = 0;
  double power_w_per_slot = 300;
  double idle_w_per_slot = 60;
  bool spot = false;
  std::string spot_zone;  // of the spot trace; empty: drawn from mean_up and mean_gone
  Duration contract_end;  // 0 = none
};

struct ServiceSpec {
  std::string name;
  std::string team = "product";
  int64_t own_slots = -1;  // -1: the mean of its need
  double rate_per_replica = 20;
  int64_t slots_per_replica = 1;
  double slo_utilization = 0.8;
  Duration startup = Duration::Seconds(60);
  Duration drain = Duration::Seconds(20);
  int64_t max_replicas = 0;
};

struct Window {
  int site = -1;
  std::vector<int> nodes;  // empty: all of the site
  Duration at, length;
};

// What is assumed of jobs where the trace is silent, the same for every policy.
struct Assume {
  // Start of a gang until its first step: base + per_doubling x log2(slots). The same after each
  // stop.
  Duration start_base = Duration::Seconds(30);
  Duration start_per_doubling = Duration::Seconds(15);
  // A checkpoint stalls the job: base + per_doubling x log2(slots).
  Duration save_base = Duration::Seconds(5);
  Duration save_per_doubling = Duration::Seconds(2);
  Duration checkpoint_interval = Duration::Minutes(30);
  // Jobs of at least so many slots can be checkpointed; of smaller ones this share, drawn by a hash
  // of the job's id, so that every policy and every seed meets the same jobs.
  int64_t checkpointable_from = 2;
  double checkpointable_share = 0.5;
  // Of the jobs that can be checkpointed and have 4 slots or more, this share runs at any size from
  // slots x elastic_min to slots x elastic_max.
  double elastic_share = 0.2;
  double elastic_min = 0.5;
  double elastic_max = 1;
  double scaling_exponent = 0.9;  // n slots do n^this times the work of one
  // A job that is asked to stop and can save does so, if that takes no longer than this.
  Duration stop_grace = {};
  Duration stop_delay = Duration::Seconds(5);             // until killed processes are gone
  Duration launch_delay = Duration::Seconds(2);           // until a started run is seen
  Duration default_limit = Duration::Seconds(48 * 3600);  // for policies that need one
  // A job that spans more nodes than it need runs this much slower.
  double spread_loss = 0;
};

// Rates of what goes wrong; 0 = never.
struct Faults {
  double node_failures_per_1000_node_days = 0;
  Duration repair = Duration::Seconds(4 * 3600);  // mean
  double slow_per_1000_node_days = 0;
  double slow_speed = 0.6;
  Duration slow_for = Duration::Seconds(2 * 3600);  // mean
  double outages_per_site_year = 0;
  Duration outage_for = Duration::Seconds(2 * 3600);  // mean
  Duration spot_mean_up = Duration::Seconds(8 * 3600);
  Duration spot_mean_gone = Duration::Seconds(2 * 3600);
  Duration spot_notice = Duration::Seconds(120);
  double lost_message = 0;  // chance that a start is lost and sent again
  Duration resend = Duration::Seconds(30);
  Duration late_message = {};  // mean delay of what sites tell
};

struct FleetSpec {
  std::string name = "fleet";
  std::vector<SiteSpec> sites;
  std::vector<NodeSpec> nodes;
  std::vector<Window> maintenance;
  std::vector<Window> outages;
  std::vector<wire::Team> teams;  // as given
  std::vector<ServiceSpec> services;
  Assume assume;
  Faults faults;
  sched::Policy policy;  // from [policy]
  int64_t slots() const;
};

// `text` is TOML; `file` names it in messages; paths in it are relative to `folder`.
Result<FleetSpec> ParseFleet(std::string_view text, const std::string& file,
                             const std::string& folder = ".");
Result<FleetSpec> ReadFleet(const std::string& path);

// `count` nodes of 8 alike on one site: for tests and benchmarks.
FleetSpec PlainFleet(int64_t nodes, int64_t slots_per_node, std::string type = "gpu");

// The keys of [assume] and [faults] with their defaults, as Markdown for docs/sim.md.
std::string FleetKeysMarkdown();

}  // namespace weir::sim
