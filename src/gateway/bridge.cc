#include "gateway/bridge.h"

#include <algorithm>
#include <memory>

namespace weir::gateway {

namespace {

// While a replica is on its way a request may wait for it; without any it need not wait long.
constexpr Duration kMaxWait = Duration::Seconds(30);

double Milliseconds(const wire::DurationHistogram& h, double quantile) {
  return h.total == 0 ? 0 : static_cast<double>(h.Quantile(quantile).us) / 1e3;
}

}  // namespace

RoutingTable ToRoutingTable(const control::RouteTable& table) {
  RoutingTable out;
  for (const control::RouteService& s : table.services) {
    ServiceRoute route;
    route.name = s.name;
    for (const std::string& alias : {s.model, s.version}) {
      if (!alias.empty() && alias != s.name) route.aliases.push_back(alias);
    }
    // A service of a model speaks OpenAI's API; so may one of a command, and it can be asked either
    // way: /services/NAME/... is passed on whatever the API (see Edge).
    route.api = s.version.empty() ? ServiceApi::kHttp : ServiceApi::kOpenAi;
    route.queue_bound = static_cast<size_t>(std::max<int64_t>(s.max_queue, 0));
    route.max_wait =
        std::min(kMaxWait, Duration::FromSeconds(std::max(s.slo.queue_ms, 1.0) / 1e3 * 5));
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
  percentile_.clear();
  for (const control::RouteService& s : table.services)
    percentile_[s.name] = s.slo.percentile / 100;
  edge_.SetRoutes(std::make_shared<const RoutingTable>(ToRoutingTable(table)));
}

std::vector<control::ServiceTraffic> Bridge::Traffic() {
  const Duration now = clock_.Monotonic();
  std::vector<control::ServiceTraffic> out;
  for (const wire::ServiceTraffic& s : edge_.Traffic()) {
    const auto known = percentile_.find(s.service);
    if (known == percentile_.end()) {  // retired
      window_.erase(s.service);
      continue;
    }
    std::deque<Sample>& window = window_[s.service];
    window.push_back({now, s.ttft, s.tpot});
    while (window.size() > 1 && now - window[1].at >= kLatencyWindow) window.pop_front();

    control::ServiceTraffic t;
    t.service = s.service;
    t.arrivals = static_cast<int64_t>(s.arrivals);
    t.completions = static_cast<int64_t>(s.completed);
    t.refused = static_cast<int64_t>(s.refused());
    t.errors = static_cast<int64_t>(s.errors());
    t.tokens = static_cast<int64_t>(s.tokens_out);
    t.outstanding = s.outstanding;
    t.queued = s.queued;
    t.ttft_ms = Milliseconds(s.ttft.Since(window.front().ttft), known->second);
    t.tpot_ms = Milliseconds(s.tpot.Since(window.front().tpot), known->second);
    for (const wire::ReplicaTraffic& r : s.replicas) t.outstanding_at[r.id] = r.outstanding;
    out.push_back(std::move(t));
  }
  return out;
}

}  // namespace weir::gateway
