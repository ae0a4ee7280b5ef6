#include "gateway/edge/balance.h"

#include <algorithm>

namespace weir::gateway {

int PickReplica(std::span<const ReplicaLoad> replicas, uint64_t turn) {
  int best = kNoReplica;
  for (size_t k = 0; k < replicas.size(); ++k) {
    const size_t i = (k + turn) % replicas.size();
    const ReplicaLoad& r = replicas[i];
    if (!r.ready || r.down || r.outstanding >= r.max_concurrency) continue;
    if (best == kNoReplica) {
      best = static_cast<int>(i);
      continue;
    }
    // outstanding / max_concurrency compared without division.
    const ReplicaLoad& b = replicas[static_cast<size_t>(best)];
    if (r.outstanding * b.max_concurrency < b.outstanding * r.max_concurrency) {
      best = static_cast<int>(i);
    }
  }
  return best;
}

int64_t RestAfterFailuresUs(int failures) {
  if (failures <= 0) return 0;
  return std::min(kLongestRestUs, kFirstRestUs << std::min(failures - 1, 10));
}

}  // namespace weir::gateway
