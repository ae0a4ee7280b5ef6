#include "gateway/bridge.h"

#include <algorithm>
#include <memory>

namespace weir::gateway {

namespace {
// A request waits in the queue for a few times what the SLO allows, then is refused: a client that
// has waited so long is better served by a clear answer.
constexpr double kWaitPerSlo = 5;
constexpr Duration kMaxWait = Duration::Seconds(30);
}  // namespace

RoutingTable ToRoutingTable(const control::RouteTable& table) {
  RoutingTable out;
  for (const control::RouteService& s : table.services) {
    ServiceRoute route;
    route.name = s.name;
    route.aliases = s.names;
    route.api = s.speaks_openai ? ServiceApi::kOpenAi : ServiceApi::kHttp;
    route.queue_bound = static_cast<size_t>(std::max<int64_t>(s.max_queue, 0));
    route.max_wait = std::min(
        kMaxWait, Duration::FromSeconds(std::max(s.slo.queue_ms, 1.0) / 1e3 * kWaitPerSlo));
    if (s.shed_above_tier > 0) route.shed_tier = static_cast<int>(s.shed_above_tier);
    for (const control::RouteReplica& r : s.replicas) {
      ReplicaRoute replica;
      replica.id = r.id;
      replica.host = r.host;
      replica.port = static_cast<uint16_t>(r.port);
      replica.state = r.draining || table.draining ? ReplicaRoute::State::kDraining
                                                   : ReplicaRoute::State::kReady;
      replica.max_concurrency = static_cast<int>(std::max<int64_t>(s.max_concurrency, 1));
      route.replicas.push_back(std::move(replica));
    }
    out.services.push_back(std::move(route));
  }
  return out;
}

void Bridge::Route(const control::RouteTable& table) {
  edge_.SetRoutes(std::make_shared<const RoutingTable>(ToRoutingTable(table)));
}

}  // namespace weir::gateway
