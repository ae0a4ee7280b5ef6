// Where requests go: an immutable table that the control plane replaces as a whole. The edge reads
// a snapshot per request and never writes it. Threads: values; share a table as shared_ptr<const
// RoutingTable>.
#pragma once

#include <climits>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace weir::gateway {

struct ReplicaRoute {
  std::string id;  // names the process: a restarted replica has another
  std::string host;
  uint16_t port = 0;
  enum class State { kReady, kDraining } state = State::kReady;  // draining: nothing new
  int max_concurrency = 64;  // requests at once; beyond it they wait in the service's queue
};

// What a service speaks.
enum class ServiceApi {
  kOpenAi,  // chosen by "model" in the body of POST /v1/...
  kHttp,    // any HTTP: /services/NAME/... is passed on as /...
};

struct ServiceRoute {
  std::string name;
  std::vector<std::string> aliases;  // other model names that lead here
  ServiceApi api = ServiceApi::kOpenAi;
  std::vector<ReplicaRoute> replicas;
  size_t queue_bound = 256;  // waiting requests; beyond it 429
  Duration max_wait =
      Duration::Seconds(30);  // in the queue; beyond it 429, or 503 without replicas
  int shed_tier = INT_MAX;    // requests of a tier above this number are refused
  // How long a replica may be silent before it counts as hung: until the first byte of a stream,
  // between two pieces of one, and until a whole answer begins.
  Duration first_byte_timeout = Duration::Seconds(60);
  Duration idle_timeout = Duration::Seconds(60);
  Duration answer_timeout = Duration::Minutes(10);
  int64_t created_s = 0;  // shown by /v1/models
};

struct RoutingTable {
  std::vector<ServiceRoute> services;

  // By name, then by alias; null if there is none.
  const ServiceRoute* Find(std::string_view name) const {
    for (const ServiceRoute& s : services) {
      if (s.name == name) return &s;
    }
    for (const ServiceRoute& s : services) {
      for (const std::string& alias : s.aliases) {
        if (alias == name) return &s;
      }
    }
    return nullptr;
  }
};

}  // namespace weir::gateway
