#include "lab/blueprint/fabric.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace weir::blueprint {

namespace {

int CeilDiv(int64_t a, int64_t b) { return static_cast<int>((a + b - 1) / b); }

// The smallest count of upper switches with at least `least` that shares `links` of each lower
// switch evenly. With more upper switches than links each lower switch reaches `links` of them.
int EvenCount(int least, int links) {
  if (least <= 0) return 0;
  if (least >= links) return CeilDiv(least, links) * links;
  for (int n = least; n <= links; ++n)
    if (links % n == 0) return n;
  return links;
}

Error TooLarge(const FabricRequest& r, int tiers, int64_t most) {
  return Error(Code::kInvalidArgument,
               fmt::format("{} nodes do not fit in {} tier{} of {}-port switches: at most {} do",
                           r.nodes, tiers, tiers == 1 ? "" : "s", r.radix, most))
      .Hint(tiers < 3
                ? "ask for more tiers, a larger radix, or more oversubscription"
                : "take a larger radix, split the ports (breakout), or build several fabrics");
}

}  // namespace

Result<Fabric> DesignFabric(const FabricRequest& r) {
  const auto bad = [](std::string what) { return Error(Code::kInvalidArgument, std::move(what)); };
  if (r.nodes < 1 || r.nodes > 1'000'000)
    return bad(fmt::format("nodes is {}; 1 to 1,000,000 are possible", r.nodes));
  if (r.nics < 1 || r.nics > 64)
    return bad(fmt::format("nics is {}; 1 to 64 per node are possible", r.nics));
  if (r.radix < 4 || r.radix > 4096 || r.radix % 2 != 0)
    return bad(fmt::format("radix is {}; an even number from 4 to 4096 is needed", r.radix));
  if (r.breakout < 1 || r.breakout > 8)
    return bad(fmt::format("breakout is {}; 1 to 8 are possible", r.breakout));
  if (!(r.oversubscription >= 1 && r.oversubscription <= 64))
    return bad(
        fmt::format("oversubscription is {}; 1 (none) to 64 are possible", r.oversubscription));
  if (r.tiers < 0 || r.tiers > 3)
    return bad(fmt::format("tiers is {}; 1, 2 or 3 are possible", r.tiers));
  if (!(r.gbit_per_s > 0)) return bad("the speed of a port must be above zero");

  Fabric f;
  f.request = r;
  const int64_t endpoints = int64_t{r.nodes} * r.nics;
  f.node_cables = endpoints;
  // Down ports of a leaf so that down / up is the oversubscription.
  const int down = std::clamp(
      static_cast<int>(std::floor(r.radix * r.oversubscription / (1 + r.oversubscription) + 1e-9)),
      1, r.radix - 1);
  const double port = r.gbit_per_s * 1e9 / 8;

  if (r.tiers == 1 || (r.tiers == 0 && endpoints <= r.radix)) {
    // One switch for all, or one per rail: rails then meet only inside the nodes.
    f.tiers = 1;
    const bool one = endpoints <= r.radix;
    if (!one && r.nodes > r.radix) return TooLarge(r, 1, r.radix);
    f.leaves = one ? 1 : r.nics;
    f.leaves_per_rail = 1;
    f.nodes_per_leaf = r.nodes;
    f.free_node_ports = one ? (r.radix - static_cast<int>(endpoints)) / r.nics : r.radix - r.nodes;
    f.optics = 2 * f.cables();
    f.bisection_bytes_per_s = static_cast<double>(endpoints) / 2 * port;
    return f;
  }

  f.leaves_per_rail = CeilDiv(r.nodes, down);
  f.leaves = f.leaves_per_rail * r.nics;
  f.nodes_per_leaf = CeilDiv(r.nodes, f.leaves_per_rail);
  f.uplinks_per_leaf =
      std::max(1, static_cast<int>(std::ceil(f.nodes_per_leaf / r.oversubscription - 1e-9)));
  // A leaf that is part full keeps its full set of uplinks only if it needs them; an odd number is
  // rounded up so that spines can share it.
  if (f.leaves_per_rail > 1 || f.nodes_per_leaf == down)
    f.uplinks_per_leaf += f.uplinks_per_leaf % 2;
  f.uplinks_per_leaf = std::min(f.uplinks_per_leaf, r.radix - f.nodes_per_leaf);
  const int64_t uplinks = int64_t{f.leaves} * f.uplinks_per_leaf;
  const int64_t most_leaves = int64_t{r.radix} * r.breakout;
  const bool two = f.leaves <= most_leaves;
  if (r.tiers == 2 && !two) return TooLarge(r, 2, most_leaves / r.nics * down);
  f.spine_cables = uplinks;
  f.free_node_ports = f.leaves_per_rail * down - r.nodes;
  f.bisection_bytes_per_s = static_cast<double>(uplinks) / 2 * port;
  if (two && r.tiers != 3) {
    f.tiers = 2;
    f.spines = EvenCount(CeilDiv(uplinks, r.radix), f.uplinks_per_leaf * r.breakout);
  } else {
    f.tiers = 3;
    // Spines give half of their ports to leaves and half to cores.
    f.spines = EvenCount(CeilDiv(uplinks, r.radix / 2), f.uplinks_per_leaf);
    f.core_cables = uplinks;
    f.cores = CeilDiv(f.core_cables, r.radix);
    const int64_t most_spines = int64_t{r.radix} * r.breakout * (r.radix / 2);
    if (f.spines > most_spines)
      return TooLarge(r, 3, int64_t{r.radix} * r.radix / 4 * down / r.nics);
    // A core reaches every pod: pods of radix/2 leaves, as many as a core has ports.
    const int64_t pods = CeilDiv(f.leaves, r.radix / 2);
    if (pods > int64_t{r.radix} * r.breakout)
      return TooLarge(r, 3, int64_t{r.radix} * r.breakout * (r.radix / 2) / r.nics * down);
  }
  f.optics = 2 * f.cables();
  return f;
}

}  // namespace weir::blueprint
