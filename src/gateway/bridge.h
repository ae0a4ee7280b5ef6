// Between the control loop and the edge: routes go down, traffic comes up. Each side keeps its own
// words (control/ports.h, edge/routing.h); this is where one is turned into the other.
//
// Threads   by the control loop's thread.
#pragma once

#include <vector>

#include "control/ports.h"
#include "gateway/edge/edge.h"

namespace weir::gateway {

class Bridge final : public control::TrafficSource, public control::RoutingSink {
 public:
  explicit Bridge(Edge& edge) : edge_(edge) {}  // borrows it

  void Route(const control::RouteTable& table) override;
  std::vector<wire::ServiceTraffic> Traffic() override { return edge_.Traffic(); }

 private:
  Edge& edge_;
};

// The edge's table for the loop's. A shed mark of 0 means that nothing is shed.
RoutingTable ToRoutingTable(const control::RouteTable& table);

}  // namespace weir::gateway
