// From traffic counters to sched::Demand: rates over a short window, a look ahead, and the measured
// rate of a replica. The marks above_since and below_since are set by sched::UpdateMarks.
//
// Rates      differences of counters over the last kRateWindow.
// Forecast   sched::Forecast, for as long ahead as a replica needs to start; or what the week so
// far
//            says of that time of day (sched::Season), if that is more: too many replicas cost idle
//            slots for minutes, too few cost users their answers.
// Rate of a replica  completions per ready replica while all of them are busy (requests wait, or
//            every place is taken), over at least kBusyLeast and kBusyCompletions, smoothed. Before
//            that has ever been seen the capacity is not known: a service that answers c per
//            replica without being busy is taken to be able to answer at least twice that. Each
//            version has a rate of its own, measured while all replicas serve it; one that has none
//            yet is taken to be as fast as the version that served before it.
//
// Threads   the control loop's. Time is the lab's; nothing here is journaled.
#pragma once

#include <deque>
#include <map>
#include <string>

#include "control/ports.h"
#include "lab/sched/decide.h"
#include "lab/sched/forecast.h"
#include "wire/view.h"

namespace weir::control {

inline constexpr Duration kRateWindow = Duration::Seconds(2);
inline constexpr Duration kBusyLeast = Duration::Millis(600);
inline constexpr double kBusyCompletions = 4;
inline constexpr size_t kVersionsKept = 16;

// The replicas of one service.
struct ServiceReplicas {
  int64_t ready = 0;    // serve now
  int64_t held = 0;     // and those starting
  std::string serving;  // the version that all ready ones serve; empty = there are several
  std::string own;      // what the service serves outside of surges
};

class DemandTracker {
 public:
  // One service's newest counters.
  void Note(const wire::ServiceTraffic& traffic, const wire::Service& service,
            const ServiceReplicas& replicas, Time now, Duration look_ahead,
            const sched::Policy& policy);
  const sched::Demand& demand() const { return demand_; }
  const wire::TrafficView& view() const { return view_; }
  // At one replica (by lease); 0 if not known.
  int64_t OutstandingAt(const std::string& lease) const;

 private:
  struct Sample {
    Time at;
    wire::ServiceTraffic traffic;
    int64_t ready = 0;
    bool busy = false;
    std::string serving;
  };
  struct VersionRate {
    double busy = 0;     // measured while busy; 0 = never
    double seen = 0;     // best seen without being busy
    double guessed = 0;  // from the time that requests took while it was not busy
    // 0 = not known, or no better than what is taken for granted.
    double Best(const sched::Policy& policy) const;
  };
  void Rates(const wire::ServiceSpec& spec, Duration look_ahead);
  void RateOfAReplica(int64_t ready, const std::string& serving);
  double RateOf(const std::string& version, const sched::Policy& policy) const;

  std::deque<Sample> window_;
  sched::Forecast forecast_;
  sched::Season season_;
  std::map<std::string, VersionRate> rates_;  // by version, at most kVersionsKept
  sched::Demand demand_;
  wire::TrafficView view_;
};

}  // namespace weir::control
