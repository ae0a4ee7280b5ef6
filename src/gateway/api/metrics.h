// The Prometheus text format (version 0.0.4), and the lab's own numbers in it.
//
//   text.Gauge("weir_slots", "Slots by state", 3, {{"state", "idle"}});
//
// Samples of one family may be added from several places and in any order: they come out together
// under one # HELP and # TYPE. Names and meanings are in docs/metrics.md, which a test compares
// with what comes out. Threads   a value. Errors: none; a family used with two types is a bug
// (CHECK).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/units.h"
#include "wire/view.h"

namespace weir::gateway {

using MetricLabels = std::vector<std::pair<std::string, std::string>>;

class MetricsText {
 public:
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";
  void Gauge(std::string_view name, std::string_view help, double value,
             const MetricLabels& labels = {});
  void Counter(std::string_view name, std::string_view help, double value,
               const MetricLabels& labels = {});
  // bounds ascending, without +Inf; counts: per bucket (not cumulative), one more than bounds.
  void Histogram(std::string_view name, std::string_view help, std::span<const double> bounds,
                 std::span<const uint64_t> counts, double sum, const MetricLabels& labels = {});
  std::string Take() &&;

 private:
  struct Family {
    std::string type, help, samples;
  };
  Family& In(std::string_view name, std::string_view help, std::string_view type);
  std::vector<std::string> order_;
  std::map<std::string, Family, std::less<>> families_;
};

// What a view tells: slots, leases, jobs, loans, services' traffic, versions, the journal.
void AddLabMetrics(MetricsText& text, const wire::LabView& view);

}  // namespace weir::gateway
