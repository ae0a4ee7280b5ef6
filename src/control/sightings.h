// What the control loop has seen but does not journal: progress, probes, what it has asked of the
// drivers in this process. Losing it all (a crash) loses nothing but smoothness: runs are found by
// Poll, asked again by their id, and progress comes back with the next line.
//
// Threads   the control loop's lock.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/units.h"
#include "wire/lab.h"

namespace weir::control {

struct JobSight {
  std::optional<wire::Progress> progress;
  std::optional<wire::Checkpoint> checkpoint;  // newest told; the state has it once it is journaled
  int64_t first_step = -1;                     // of the current run; -1: none told yet
  Time first_step_at;
  Duration restart_cost;  // measured: from intent to first step; 0 = not yet
  double steps_per_s = 0;
  std::map<int64_t, double> speeds;  // steps/s that were measured, by slots; newest of each
  std::string lease;                 // the run that first_step is of
};

// n slots do n^exponent times what one does: the slope of the measured speeds in logarithms, within
// 0..1; 1 while fewer than two sizes were measured.
double SpeedUpExponent(const std::map<int64_t, double>& speeds);

struct LeaseSight {
  Duration seen_at;      // monotonic, when this process first saw the lease
  bool at_open = false;  // it was there when this process started
  bool started = false;  // Start succeeded, or Poll lists it
  wire::StopCause stop_sent = wire::StopCause::kNone;
  Time retry_at;        // of a Start that was put off by the site
  std::string refused;  // the driver will never take it: why
  int64_t port = 0;
  std::string host = "127.0.0.1";
  int64_t rss_bytes = 0;
  bool probing = false;
  Time probe_at;               // next
  int64_t probe_failures = 0;  // in a row
  std::string probe_detail;
  Time ready_since;
};

struct SiteSight {
  bool reachable = true;
  std::string why;
  Duration silent_from;  // monotonic; while it is not reachable
  Time unknown_since;    // the same, for people
};

struct Sightings {
  std::map<std::string, JobSight> jobs;
  std::map<std::string, LeaseSight> leases;
  std::map<std::string, SiteSight> sites;
  std::map<std::string, Duration> replica_startup;  // by service id: measured, newest
};

}  // namespace weir::control
