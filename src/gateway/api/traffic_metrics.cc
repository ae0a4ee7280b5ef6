#include "gateway/api/traffic_metrics.h"

#include <array>

namespace weir::gateway {

namespace {

constexpr int kFirstPower = 10;  // 2^10 us = 1.024 ms
constexpr int kBounds = 18;      // to 2^27 us = 134 s

}  // namespace

void AddDurations(MetricsText& text, std::string_view name, std::string_view help,
                  const wire::DurationHistogram& durations, const MetricLabels& labels) {
  std::array<double, kBounds> bounds{};
  std::array<uint64_t, kBounds + 1> counts{};
  for (int b = 0; b < kBounds; ++b)
    bounds[static_cast<size_t>(b)] = static_cast<double>(int64_t{1} << (kFirstPower + b)) / 1e6;
  int at = 0;
  for (int bucket = 0; bucket < wire::DurationHistogram::kBuckets; ++bucket) {
    while (at < kBounds && wire::DurationHistogram::LowerUs(bucket) >= int64_t{1}
                                                                           << (kFirstPower + at))
      ++at;
    counts[static_cast<size_t>(at)] += durations.counts[static_cast<size_t>(bucket)];
  }
  text.Histogram(name, help, bounds, counts, static_cast<double>(durations.sum_us) / 1e6, labels);
}

void AddTrafficMetrics(MetricsText& text, const wire::ServiceTraffic& t) {
  const MetricLabels labels = {{"service", t.service}};
  const auto outcome = [&](const char* name, uint64_t n) {
    text.Counter("weir_requests_total",
                 "Requests by how they ended: answered, refused, given up by the client, or failed",
                 static_cast<double>(n), {{"service", t.service}, {"outcome", name}});
  };
  text.Counter("weir_request_arrivals_total", "Requests that arrived, refused ones included",
               static_cast<double>(t.arrivals), labels);
  outcome("completed", t.completed);
  outcome("refused_tier", t.refused_tier);
  outcome("refused_full", t.refused_full);
  outcome("refused_wait", t.refused_wait);
  outcome("client_abort", t.client_aborts);
  outcome("replica_error", t.upstream_errors);
  outcome("replica_lost", t.upstream_lost);
  outcome("replica_broken", t.upstream_broken);
  outcome("replica_timeout", t.upstream_timeouts);
  text.Counter("weir_request_retries_total", "Requests asked of a second replica",
               static_cast<double>(t.retries), labels);
  text.Counter("weir_output_tokens_total", "Output tokens that went to clients",
               static_cast<double>(t.tokens_out), labels);
  AddDurations(text, "weir_request_queue_seconds", "From arrival to a replica", t.queue_wait,
               labels);
  AddDurations(text, "weir_request_ttft_seconds", "Streams: from arrival to the first byte", t.ttft,
               labels);
  AddDurations(text, "weir_request_tpot_seconds", "Streams: mean time between events of a request",
               t.tpot, labels);
  AddDurations(text, "weir_request_seconds", "From arrival to the last byte handed on", t.latency,
               labels);
}

void AddLoopMetrics(MetricsText& text, const wire::DurationHistogram& turn,
                    const wire::DurationHistogram& decide) {
  AddDurations(text, "weir_loop_turn_seconds", "A turn of the control loop, all of it", turn);
  AddDurations(text, "weir_loop_decide_seconds", "Its decision alone", decide);
}

void AddProcessMetrics(MetricsText& text, const io::ProcessUsage& usage, int64_t open_files) {
  text.Gauge("process_resident_memory_bytes", "Memory of `weir up` itself, file mappings left out",
             static_cast<double>(usage.rss_bytes));
  text.Counter("process_cpu_seconds_total", "User and system time of `weir up` itself",
               usage.cpu.seconds());
  text.Gauge("process_open_fds", "Open file descriptors of `weir up`",
             static_cast<double>(open_files));
}

}  // namespace weir::gateway
