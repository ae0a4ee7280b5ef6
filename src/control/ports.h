// What the control loop needs from the world besides its drivers: traffic, health, files, and
// somewhere to send requests. The gateway and io/ implement these; so does the simulator.
//
// Threads   called by the control loop's thread only (LabFiles: by any); nothing may block for
//           more than a few milliseconds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "wire/lab.h"
#include "wire/traffic.h"

namespace weir::control {

// ---- traffic ----

// Counters as the gateway keeps them. One that is smaller than before is taken as a new gateway
// that began at zero.
class TrafficSource {
 public:
  virtual ~TrafficSource() = default;
  virtual std::vector<wire::ServiceTraffic> Traffic() = 0;
};

// ---- routing ----

struct RouteReplica {
  std::string id;  // lease
  std::string host;
  int64_t port = 0;
  bool draining = false;  // finish what it has, give it nothing new
};
struct RouteService {
  std::string id;
  std::string name;
  std::vector<std::string> names;  // what else requests may call it: its model, version, adapters
  bool speaks_openai = true;       // false: a program of its own
  int64_t tier = 1;
  int64_t shed_above_tier = 0;
  int64_t max_queue = 0;
  int64_t max_concurrency = 0;
  wire::Slo slo;
  int64_t starting = 0;                // replicas on their way: waiting may be worth it
  std::vector<RouteReplica> replicas;  // by id
};
struct RouteTable {
  int64_t number = 0;  // grows with each change
  bool draining = false;
  std::vector<RouteService> services;  // by id
};

class RoutingSink {
 public:
  virtual ~RoutingSink() = default;
  // Called only when something in the table has changed.
  virtual void Route(const RouteTable& table) = 0;
};

// ---- health ----

struct ProbeTarget {
  std::string lease;
  std::string host;
  int64_t port = 0;
  std::string path;
  Duration timeout;
};
struct ProbeResult {
  std::string lease;
  bool ok = false;
  std::string detail;  // "status 503", "no answer within 2 s"
};

// Asynchronous: Start begins one probe and returns, Take hands over what has come back since.
// Every started probe comes back once, at the latest a little after its timeout.
class HealthProbe {
 public:
  virtual ~HealthProbe() = default;
  virtual void Start(const ProbeTarget& target) = 0;
  virtual std::vector<ProbeResult> Take() = 0;
};

// ---- files that runs leave behind ----

class LabFiles {
 public:
  virtual ~LabFiles() = default;
  // The manifest.json of a checkpoint's or a dataset's folder. kNotFound: not there (yet).
  virtual Result<wire::Json> Manifest(const std::string& folder) = 0;
  // Progress and checkpoint lines of a job, oldest first; at most the last `max_bytes` of them.
  // A line that is not JSON is left out.
  virtual Result<std::vector<wire::Json>> ProgressLines(const std::string& path,
                                                        int64_t max_bytes) = 0;
  // Makes `to` hold what `folder` holds, for good: whoever wrote the folder may remove it later.
  // Whole or not at all; one that is there already is a success.
  virtual Status Keep(const std::string& folder, const std::string& to) = 0;
};

}  // namespace weir::control
