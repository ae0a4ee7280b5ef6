// How fast a service answers, over the last seconds; and from it, when to come back.
// Pure: time comes in. Threads: the owner locks.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "base/units.h"

namespace weir::gateway {

// Events per second over the last kWindow seconds, from counts per second.
class RateMeter {
 public:
  static constexpr int64_t kWindow = 8;
  void Add(Duration now) {
    Advance(now);
    ++counts_[Index(second_)];
  }
  double PerSecond(Duration now) {
    Advance(now);
    if (first_us_ < 0) return 0;
    uint64_t n = 0;
    for (const uint32_t c : counts_) n += c;
    // From the start of the oldest second that is still counted, or the first event if later.
    const int64_t from = std::max(first_us_, (second_ - kWindow + 1) * 1'000'000);
    return static_cast<double>(n) / std::max(1.0, static_cast<double>(now.us - from) / 1e6);
  }

 private:
  static size_t Index(int64_t second) { return static_cast<size_t>(second % kWindow); }
  void Advance(Duration now) {
    if (first_us_ < 0) {
      first_us_ = now.us;
      second_ = now.us / 1'000'000;
    }
    for (int64_t n = 0; second_ < now.us / 1'000'000 && n < kWindow; ++n) {
      counts_[Index(++second_)] = 0;
    }
    second_ = std::max(second_, now.us / 1'000'000);
  }
  std::array<uint32_t, kWindow> counts_{};
  int64_t first_us_ = -1;
  int64_t second_ = 0;
};

inline constexpr int kLongestRetryAfterS = 60;

// Seconds until those who wait now have been served: the moment a new request would get a turn.
inline int RetryAfterSeconds(size_t waiting, double served_per_second) {
  if (served_per_second <= 0) return waiting == 0 ? 1 : 5;
  const double s = std::ceil(static_cast<double>(waiting) / served_per_second);
  return static_cast<int>(std::clamp(s, 1.0, static_cast<double>(kLongestRetryAfterS)));
}

}  // namespace weir::gateway
