#include "lab/blueprint/collectives.h"

#include <algorithm>
#include <cmath>

namespace weir::blueprint {

double AllReduceSeconds(const Accelerator& a, int ranks, double bytes, const Coefficients& c) {
  if (ranks <= 1) return 0;
  const double n = ranks;
  double bandwidth = a.link_bytes_per_s;
  if (!a.mesh_rings.empty()) {
    const double most = a.mesh_rings.back();
    const size_t at = std::min(a.mesh_rings.size() - 1, static_cast<size_t>(ranks - 2));
    bandwidth *= a.mesh_rings[at] / most;
  }
  double seconds = c[kReduceLatency] + c[kReduceHop] * (n - 1) +
                   2 * (n - 1) / n * (bytes + c[kReduceRamp]) / (bandwidth * c[kReduceLink]);
  if (ranks > a.domain) {
    // In two levels: each member of a domain exchanges its share with its peers elsewhere.
    const double domains = std::ceil(n / a.domain);
    seconds += c[kNicLatency] * (domains - 1) +
               2 * (domains - 1) / domains * bytes / a.domain / (a.nic_bytes_per_s * c[kNic]);
  }
  return seconds;
}

}  // namespace weir::blueprint
