// The edge's counts, the loop's turns and the process itself in /metrics. Names and meanings are in
// docs/metrics.md.
//
// Histograms come with the counts' own bucket edges, powers of two of a microsecond from 1 ms to
// 134 s, so that every bucket is exact and quantiles over any window can be computed from two
// scrapes.
//
// Threads   pure functions.
#pragma once

#include <string_view>

#include "gateway/api/metrics.h"
#include "io/process.h"
#include "wire/traffic.h"

namespace weir::gateway {

void AddDurations(MetricsText& text, std::string_view name, std::string_view help,
                  const wire::DurationHistogram& durations, const MetricLabels& labels = {});

void AddTrafficMetrics(MetricsText& text, const wire::ServiceTraffic& traffic);

// `decide` is a part of `turn`.
void AddLoopMetrics(MetricsText& text, const wire::DurationHistogram& turn,
                    const wire::DurationHistogram& decide);

// Under the names that every exporter uses: process_resident_memory_bytes, ...
void AddProcessMetrics(MetricsText& text, const io::ProcessUsage& usage, int64_t open_files);

}  // namespace weir::gateway
