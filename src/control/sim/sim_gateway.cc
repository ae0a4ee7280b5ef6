#include "control/sim/sim_gateway.h"

#include <algorithm>

namespace weir::control {

void SimGateway::Advance() {
  const Duration now = clock_.Monotonic();
  const double dt_s = (now - at_).seconds();
  if (dt_s <= 0) return;
  for (const RouteService& service : table_.services) {
    Load& load = loads_[service.name];
    const double per_s = demand ? demand(service.name, now - began_) : 0;
    load.serving = 0;
    double capacity = 0;
    for (const RouteReplica& replica : service.replicas) {
      if (replica.draining || !site_->Answers(replica.id)) continue;
      ++load.serving;
      capacity += rate ? rate(replica.id) : rate_;
    }
    const double arrived = per_s * dt_s;
    load.arrivals += arrived;
    load.queued += arrived;
    const double done = std::min(load.queued, capacity * dt_s);
    load.queued -= done;
    load.completed += done;
    const double bound = static_cast<double>(service.max_queue);
    if (load.queued > bound) {
      load.refused += load.queued - bound;
      load.queued = bound;
    }
    // What is at the replicas, by Little's law; everything that waits fills their places first.
    const double places = static_cast<double>(load.serving * service.max_concurrency);
    load.outstanding = load.queued >= 1 ? places : std::min(places, done / dt_s / rate_);
    load.wait_s = capacity > 0 ? load.queued / capacity : (load.queued > 0 ? 60.0 : 0.0);
    if (done >= 0.5) load.ttft.Add(Duration::FromSeconds(load.wait_s + 1 / rate_));
  }
  at_ = now;
}

std::vector<wire::ServiceTraffic> SimGateway::Traffic() {
  std::vector<wire::ServiceTraffic> all;
  for (const RouteService& service : table_.services) {
    const Load& load = loads_[service.name];
    wire::ServiceTraffic traffic;
    traffic.service = service.name;
    traffic.at = clock_.Monotonic();
    traffic.arrivals = static_cast<uint64_t>(load.arrivals);
    traffic.completed = static_cast<uint64_t>(load.completed);
    traffic.refused_full = static_cast<uint64_t>(load.refused);
    traffic.queued = static_cast<int64_t>(load.queued);
    traffic.outstanding = static_cast<int64_t>(load.outstanding);
    traffic.ttft = load.ttft;
    all.push_back(std::move(traffic));
  }
  return all;
}

void SimGateway::Start(const ProbeTarget& target) {
  const bool ok = site_->Answers(target.lease);
  const Duration takes = ok ? Duration::Millis(5) : target.timeout;
  probes_.push_back({target, clock_.Monotonic() + takes, ok});
}

std::vector<ProbeResult> SimGateway::Take() {
  std::vector<ProbeResult> results;
  std::erase_if(probes_, [&](const Probe& probe) {
    if (clock_.Monotonic() < probe.answer_at) return false;
    results.push_back({probe.target.lease, probe.ok, probe.ok ? "" : "no answer"});
    return true;
  });
  return results;
}

double SimGateway::queued(const std::string& service) const {
  const auto it = loads_.find(service);
  return it == loads_.end() ? 0 : it->second.queued;
}

double SimGateway::wait_s(const std::string& service) const {
  const auto it = loads_.find(service);
  return it == loads_.end() ? 0 : it->second.wait_s;
}

}  // namespace weir::control
