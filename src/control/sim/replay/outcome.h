// What came of one scenario under one policy: the numbers that reports are made of.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/units.h"

namespace weir::sim {

// Of a list of seconds. Percentiles by nearest rank.
struct Spread {
  int64_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;
};
Spread SpreadOf(std::vector<double> values);

struct JobOutcome {
  int job = 0;              // index into Scenario::jobs
  double delay_s = 0;       // submit to first start
  double completion_s = 0;  // submit to end
  bool ended = false;
  int preempted = 0, shrunk = 0, failed = 0;
  double lost_slot_s = 0;
};

struct GroupOutcome {
  std::string name;
  Spread delay, completion;
  double slot_h = 0;
};

struct ServiceOutcome {
  std::string name;
  double need_slot_min = 0;   // for its SLO
  double unmet_slot_min = 0;  // of that, not served
  double below_slo_min = 0;
  double held_slot_h = 0;
  int64_t own_slots = 0;
};

struct LoanOutcome {
  int64_t opened = 0, late = 0;
  double slot_h = 0;
  Spread length_s;    // opened to returned
  Spread pay_back_s;  // recalled to returned
};

struct TeamShare {
  std::string name;
  double slot_h = 0;           // held by its jobs
  double entitled_slot_h = 0;  // by guarantee and weight, of what it asked for, over time
};

// Averages over bins of equal width.
struct Series {
  double bin_s = 600;
  int bins = 0;
  struct Channel {
    std::string name;
    std::vector<double> values;
  };
  std::vector<Channel> channels;
};

struct Outcome {
  std::string policy, what;
  bool online = true;
  double simulated_s = 0;
  int64_t jobs = 0, done = 0, never_started = 0;
  Spread delay, completion;
  std::vector<GroupOutcome> by_size, by_team;
  std::vector<double> delay_quantiles, completion_quantiles;  // 0 %, 1 %, ..., 100 %

  // Slot-hours.
  double useful_slot_h = 0;
  double lost_to_preemption_slot_h = 0;  // work done again and starts paid again
  double lost_to_failures_slot_h = 0;
  double checkpoint_slot_h = 0;  // stalls
  double start_slot_h = 0;       // first starts
  double research_slot_h = 0, product_slot_h = 0, idle_slot_h = 0, down_slot_h = 0;
  double borrowed_slot_h = 0;  // product beyond its own
  double lent_to_research_slot_h = 0;
  int64_t preemptions = 0, shrinks = 0, failures = 0, jobs_hit = 0;
  double worst_repeat_s = 0;  // most work that one stop cost a job, in seconds

  std::vector<ServiceOutcome> services;
  double need_slot_min = 0, unmet_slot_min = 0, below_slo_min = 0;
  LoanOutcome loans;

  double utilization = 0;    // held of usable
  double fragmentation = 0;  // of free slots, those on nodes in part used, while somebody waits
  double jain = 1;           // of slot-hours over entitled slot-hours, over research teams
  std::vector<TeamShare> shares;

  double cost_usd = 0, research_usd = 0, product_usd = 0, idle_usd = 0, lost_usd = 0;
  double energy_kwh = 0, energy_usd = 0, carbon_kg = 0;

  int64_t events = 0, decisions = 0, moves = 0;
  uint64_t fingerprint = 0;  // of every event and move
  Series series;
  std::vector<JobOutcome> job_outcomes;

  // Not part of the report: wall time differs from run to run.
  Spread decide_us;
  std::string violation;  // empty: the invariants held; else the sentence and the last events
};

}  // namespace weir::sim
