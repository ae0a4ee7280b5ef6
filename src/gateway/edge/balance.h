// Which replica gets the next request: the one with the least outstanding work for its size, among
// those that are ready, not down and not full. Equal ones take turns.
// Pure: a function of its arguments.
#pragma once

#include <cstdint>
#include <span>

namespace weir::gateway {

struct ReplicaLoad {
  int64_t outstanding = 0;
  int max_concurrency = 1;
  bool ready = true;  // false: draining
  bool down = false;  // failed a moment ago
};

inline constexpr int kNoReplica = -1;

// `turn`: grows with each decision, so that equal replicas are taken in rotation.
int PickReplica(std::span<const ReplicaLoad> replicas, uint64_t turn);

// After `failures` in a row a replica is left alone for this long, then tried again.
inline constexpr int64_t kFirstRestUs = 500'000;
inline constexpr int64_t kLongestRestUs = 8'000'000;
int64_t RestAfterFailuresUs(int failures);

}  // namespace weir::gateway
