// A service's traffic as the gateway counted it: what the control loop decides on and /metrics
// prints. Everything but the gauges only grows; a reader that wants "the last two seconds" keeps
// the snapshot of two seconds ago and subtracts. Threads: plain values.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/units.h"

namespace weir::wire {

// Durations counted in buckets of an eighth of an octave: a quantile is off by at most 1/8, and by
// less after interpolation. From 1 us to about 2 hours; longer ones fall into the last bucket.
struct DurationHistogram {
  static constexpr int kPerOctave = 8;
  static constexpr int kBuckets = kPerOctave * 31;
  std::array<uint64_t, kBuckets> counts{};
  uint64_t total = 0;
  int64_t sum_us = 0;

  static constexpr int BucketOf(int64_t us) {
    if (us < kPerOctave) return us < 0 ? 0 : static_cast<int>(us);
    const int octave = std::bit_width(static_cast<uint64_t>(us)) - 4;  // 8..15 -> 0
    const int within = static_cast<int>(us >> octave) - kPerOctave;
    return std::min(kBuckets - 1, (octave + 1) * kPerOctave + within);
  }
  // The smallest duration of the bucket; BucketOf(LowerUs(b)) == b.
  static constexpr int64_t LowerUs(int bucket) {
    if (bucket < kPerOctave) return bucket;
    const int octave = bucket / kPerOctave - 1;
    return static_cast<int64_t>(kPerOctave + bucket % kPerOctave) << octave;
  }
  void Add(Duration d) {
    ++counts[static_cast<size_t>(BucketOf(d.us))];
    ++total;
    sum_us += d.us;
  }
  // The q-quantile (0..1), interpolated within its bucket; 0 when nothing was counted.
  Duration Quantile(double q) const {
    if (total == 0) return {};
    const double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(total);
    double before = 0;
    for (int b = 0; b < kBuckets; ++b) {
      const auto n = static_cast<double>(counts[static_cast<size_t>(b)]);
      if (n > 0 && before + n >= rank) {
        const auto low = static_cast<double>(LowerUs(b)),
                   high = static_cast<double>(LowerUs(b + 1));
        return Duration::Micros(std::llround(low + (high - low) * (rank - before) / n));
      }
      before += n;
    }
    return Duration::Micros(LowerUs(kBuckets));
  }
  Duration Mean() const {
    return total == 0 ? Duration{} : Duration::Micros(sum_us / static_cast<int64_t>(total));
  }
  // How many took at most `d`, to the bucket's precision.
  uint64_t AtMost(Duration d) const {
    uint64_t n = 0;
    for (int b = 0; b <= BucketOf(d.us); ++b) n += counts[static_cast<size_t>(b)];
    return n;
  }
  // What came after `earlier`, an older snapshot of the same histogram.
  DurationHistogram Since(const DurationHistogram& earlier) const {
    DurationHistogram out;
    for (size_t b = 0; b < counts.size(); ++b) out.counts[b] = counts[b] - earlier.counts[b];
    out.total = total - earlier.total;
    out.sum_us = sum_us - earlier.sum_us;
    return out;
  }
};

struct ReplicaTraffic {
  std::string id;
  int64_t outstanding = 0;  // gauge
  uint64_t started = 0, failed = 0;
  bool down = false;  // gauge: failed lately, left alone for a moment
};

struct ServiceTraffic {
  std::string service;
  Duration at;  // monotonic clock of the gateway's process, when this snapshot was taken

  int64_t outstanding = 0;  // gauges: at replicas,
  int64_t queued = 0;       // and waiting for one

  uint64_t arrivals = 0;           // requests for this service, refused ones included
  uint64_t completed = 0;          // answered in full by a replica, whatever the status below 500
  uint64_t tokens_out = 0;         // usage where it was told, otherwise stream events
  uint64_t refused_tier = 0;       // 429: shed by tier
  uint64_t refused_full = 0;       // 429: the queue was full
  uint64_t refused_wait = 0;       // 429 or 503: max_wait passed in the queue
  uint64_t client_aborts = 0;      // the client left before the end
  uint64_t client_errors = 0;      // a replica answered 4xx (contained in completed)
  uint64_t upstream_errors = 0;    // a replica answered 5xx
  uint64_t upstream_lost = 0;      // unreachable or closed, and nowhere else to go
  uint64_t upstream_broken = 0;    // died in the middle of an answer
  uint64_t upstream_timeouts = 0;  // hung
  uint64_t retries = 0;

  DurationHistogram queue_wait;  // from arrival to a replica, 0 included
  DurationHistogram ttft;        // streams: from arrival to the first body byte
  DurationHistogram tpot;        // streams: (last - first) / (events - 1), per request
  DurationHistogram latency;     // completed: from arrival to the last byte handed on
  std::vector<ReplicaTraffic> replicas;

  uint64_t refused() const { return refused_tier + refused_full + refused_wait; }
  uint64_t errors() const {
    return upstream_errors + upstream_lost + upstream_broken + upstream_timeouts;
  }
};

}  // namespace weir::wire
