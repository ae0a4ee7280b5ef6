// The gateway of a simulated lab: open-loop demand against the ready replicas as a fluid queue,
// health paths that answer when the simulated replica does, and the routes it was told.
//
// Requests arrive at `demand(t)` per second whatever becomes of them. Each routed, answering
// replica completes up to `rate` per second; what cannot be completed waits, up to the service's
// bound, and beyond it is refused. Time to first token is the wait plus 1/rate.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "control/ports.h"
#include "control/sim/sim_site.h"

namespace weir::control {

class SimGateway final : public TrafficSource, public RoutingSink, public HealthProbe {
 public:
  SimGateway(const io::VirtualClock& clock, SimSite* site, double rate_per_replica)
      : clock_(clock), site_(site), rate_(rate_per_replica) {}

  // Requests per second of a service at an instant since the start; none by default.
  std::function<double(const std::string& service, Duration at)> demand;
  // What a replica (by lease) serves per second, where they are not all alike.
  std::function<double(const std::string& lease)> rate;

  void Advance();  // up to the clock's now
  // A control loop died; a new one begins with an empty table and no probes under way.
  void ControlLoopGone() {
    table_ = {};
    probes_.clear();
  }

  std::vector<wire::ServiceTraffic> Traffic() override;
  void Route(const RouteTable& table) override { table_ = table; }
  void Start(const ProbeTarget& target) override;
  std::vector<ProbeResult> Take() override;

  const RouteTable& table() const { return table_; }
  double queued(const std::string& service) const;
  double wait_s(const std::string& service) const;  // of a request that arrives now

 private:
  struct Load {
    double arrivals = 0, completed = 0, refused = 0, queued = 0, wait_s = 0;
    double outstanding = 0;
    int64_t serving = 0;
    wire::DurationHistogram ttft;
  };
  struct Probe {
    ProbeTarget target;
    Duration answer_at;
    bool ok = false;
  };
  const io::VirtualClock& clock_;
  SimSite* site_;
  double rate_;
  Duration began_ = clock_.Monotonic();
  Duration at_ = clock_.Monotonic();
  RouteTable table_;
  std::map<std::string, Load> loads_;
  std::vector<Probe> probes_;
};

}  // namespace weir::control
