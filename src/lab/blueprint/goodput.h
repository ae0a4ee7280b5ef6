// What is left of the peak over weeks: failures, checkpoints, restarts, spares; and what that costs
// in time, money, energy and carbon.
//
// Failures are independent and exponential with a rate per node; the first of them stops the job. A
// checkpoint stalls training for `checkpoint_s`; between two lie `interval` seconds of work. With
// M the mean time between failures of the job, R the restart and d the stall, the share of time
// that is work kept is, exactly for this process (Daly 2006, eq. 20),
//
//     useful = interval / (M exp(R / M) (exp((interval + d) / M) - 1))
//
// and the best interval is sqrt(2 d M) to first order (Young 1974); Daly's higher-order form is
// what is used when no interval is asked for. When a node fails one of the spares takes its place;
// the job waits only while more nodes are in repair than there are spares (Poisson in the number in
// repair).
#pragma once

#include <string>

#include "base/result.h"
#include "lab/blueprint/hardware.h"

namespace weir::blueprint {

struct Reliability {
  // Per 1,000 node-days. The default is Meta's 419 unplanned interruptions in 54 days on 2,048
  // nodes of 8 H100 (Llama 3, 2024).
  double failures_per_1000_node_days = 3.79;
  double restart_s = 600;  // from failure to training again, with a spare at hand
  double repair_h = 24;    // until a failed node is a spare again
  int spare_nodes = 0;
  double checkpoint_bytes = 0;    // 0: 14 bytes a parameter (bf16 weights, fp32 master and moments)
  double checkpoint_stall_s = 0;  // above 0: what a checkpoint stalls, whatever its size
  double interval_s = 0;          // above 0: instead of the best one
};

struct Goodput {
  double mtbf_s = 0;      // of the whole job
  double stall_s = 0;     // of one checkpoint
  double interval_s = 0;  // of work between checkpoints
  double young_s = 0;     // the first-order optimum, to compare
  double useful = 1;      // share of the time, spares willing
  double waiting = 0;     // share of the time lost to too few spares
  double share() const { return useful * (1 - waiting); }
  double failures_per_day = 0;
};

double YoungInterval(double stall_s, double mtbf_s);
double DalyInterval(double stall_s, double mtbf_s);
double UsefulShare(double interval_s, double stall_s, double restart_s, double mtbf_s);
// The share of the time in which more than `spares` of `nodes` are in repair.
double WaitingShare(double failures_per_s, double repair_s, int spares);

Goodput GoodputOf(const Cluster& cluster, double parameters, const Reliability& r);
// Of one job over all of the cluster, where no model is named: its state fills 60% of the memory.
Goodput GoodputOfFullJob(const Cluster& cluster, const Reliability& r);

struct Site {
  double price_per_accelerator_hour = 0;  // US dollars; spares are paid too
  double pue = 1.2;                       // power of the site over power of the machines
  double grams_co2_per_kwh = 0;
  double power_share = 0.9;  // of the nodes' full power that training draws
};

struct RunCost {
  double days = 0, low_days = 0, high_days = 0;  // 80% interval of the step time
  double accelerator_hours = 0;                  // spares included
  double dollars = 0, low_dollars = 0, high_dollars = 0;
  double dollars_per_million_tokens = 0;
  double kilowatts = 0;  // at the meter of the site
  double megawatt_hours = 0;
  double tonnes_co2 = 0;
};

// `tokens` at `tokens_per_s` of the whole cluster while it works; low and high bound that rate.
RunCost CostOf(const Cluster& cluster, const Goodput& goodput, const Reliability& r,
               const Site& site, double tokens, double tokens_per_s, double low_tokens_per_s,
               double high_tokens_per_s);

// Grams of CO2 per kWh of a region of the grid (Google's 2025 figures by cloud region, and by the
// name of the place). kNotFound with the nearest names.
Result<double> CarbonOf(std::string_view region);

}  // namespace weir::blueprint
