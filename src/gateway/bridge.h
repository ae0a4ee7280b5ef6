// Between the control loop and the edge: routes go down, traffic comes up. Both sides keep their
// own words (control/ports.h, edge/routing.h, wire/traffic.h); this is where one is turned into the
// other, and where percentiles over the last seconds are made from counters that only grow.
//
// Threads   Route and Traffic by the control loop's thread; Replace by any, once each way.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "control/ports.h"
#include "gateway/edge/edge.h"
#include "io/clock.h"

namespace weir::gateway {

// Latencies are taken over this much of the past: long enough for a percentile, short enough that
// a surge shows while it is one.
inline constexpr Duration kLatencyWindow = Duration::Seconds(5);

class Bridge final : public control::TrafficSource, public control::RoutingSink {
 public:
  // Borrows both.
  Bridge(Edge& edge, const io::Clock& clock) : edge_(edge), clock_(clock) {}

  void Route(const control::RouteTable& table) override;
  std::vector<control::ServiceTraffic> Traffic() override;

 private:
  struct Sample {
    Duration at;
    wire::DurationHistogram ttft, tpot;
  };
  Edge& edge_;
  const io::Clock& clock_;
  std::map<std::string, double> percentile_;          // by service name, 0..1
  std::map<std::string, std::deque<Sample>> window_;  // by service name, oldest first
};

// The edge's table for the loop's. A shed mark of 0 means that nothing is shed.
RoutingTable ToRoutingTable(const control::RouteTable& table);

}  // namespace weir::gateway
