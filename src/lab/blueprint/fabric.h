// The network between nodes: a rail-optimised fat tree of one, two or three tiers, and its bill of
// material.
//
// Each node has one NIC per rail. The k-th NICs of the nodes meet at the leaves of rail k, so that
// traffic between equal positions of two nodes of a group crosses one switch. Above the leaves,
// spines join all rails; above those, cores join pods of spines.
//
// Counts: a leaf serves radix/2 nodes of its rail at oversubscription 1 and has as many uplinks.
// Two tiers reach as far as every leaf can have a link to every spine: radix x breakout leaves
// (breakout: into how many a port can be split). The number of spines is the smallest that has the
// ports and divides a leaf's uplinks evenly, so that all spines are alike: this is why 4,608 GPUs
// at radix 144 need 36 spines where the ports of 32 would do. Sources: Leiserson 1985, Al-Fares et
// al. 2008; checked against the published reference designs (fabric_test.cc, `weir blueprint
// check`).
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace weir::blueprint {

struct FabricRequest {
  int nodes = 64;
  int nics = 8;                 // per node, one a rail
  int radix = 64;               // ports of a switch
  int breakout = 1;             // each port can be split into this many slower ones
  double oversubscription = 1;  // of the leaves: nodes' bandwidth over uplinks'
  int tiers = 0;                // 0: the fewest that join every NIC with every other
  double gbit_per_s = 400;      // of a port
};

struct Fabric {
  FabricRequest request;
  int tiers = 1;
  int leaves = 0, spines = 0, cores = 0;
  int leaves_per_rail = 0;
  int nodes_per_leaf = 0;  // of the fullest
  int uplinks_per_leaf = 0;
  int64_t node_cables = 0, spine_cables = 0, core_cables = 0;
  int64_t optics = 0;  // transceivers: two for each cable
  int64_t switches() const { return int64_t{leaves} + spines + cores; }
  int64_t cables() const { return node_cables + spine_cables + core_cables; }
  // One direction, across the middle of the tree.
  double bisection_bytes_per_s = 0;
  int free_node_ports = 0;  // nodes that could join without another switch
};

// kInvalidArgument with what binds: too many nodes for the radix and tiers, a radix of no use.
Result<Fabric> DesignFabric(const FabricRequest& request);

// The drawing, one self-contained SVG: tiers as rows, links bundled with their counts. At most
// kMaxDrawn switches of a tier are drawn; the rest is counted.
inline constexpr int kMaxDrawn = 16;
std::string DrawFabric(const Fabric& fabric);

}  // namespace weir::blueprint
