#include "gateway/api/traffic_metrics.h"

#include <gtest/gtest.h>

#include <sstream>

namespace weir::gateway {
namespace {

// Every bucket holds exactly what lies below its bound: counted again from the durations
// themselves.
TEST(TrafficMetrics, BucketsAreExact) {
  wire::DurationHistogram histogram;
  std::vector<int64_t> all;
  for (int64_t us = 1; us < 400'000'000; us = us * 9 / 7 + 1) {
    for (const int64_t d : {us - 1, us, us + 1}) {
      histogram.Add(Duration::Micros(d));
      all.push_back(d);
    }
  }
  for (int power = 9; power < 29; ++power) {
    histogram.Add(Duration::Micros(int64_t{1} << power));
    all.push_back(int64_t{1} << power);
  }
  MetricsText text;
  AddDurations(text, "x_seconds", "x", histogram, {{"service", "s"}});
  std::istringstream lines(std::move(text).Take());
  int buckets = 0;
  for (std::string line; std::getline(lines, line);) {
    const size_t le = line.find("le=\"");
    if (le == line.npos) continue;
    ++buckets;
    const double bound =
        line.compare(le + 4, 4, "+Inf") == 0 ? 1e18 : std::stod(line.substr(le + 4));
    int64_t expected = 0;
    for (const int64_t d : all) expected += static_cast<double>(d) < bound * 1e6 - 0.5;
    EXPECT_EQ(std::stoll(line.substr(line.rfind(' ') + 1)), expected) << line;
  }
  EXPECT_EQ(buckets, 19);
}

TEST(TrafficMetrics, OutcomesSumToWhatCameAndIsNotUnderWay) {
  wire::ServiceTraffic t;
  t.service = "chat";
  t.arrivals = 12;
  t.completed = 5;
  t.refused_full = 3;
  t.client_aborts = 4;
  MetricsText text;
  AddTrafficMetrics(text, t);
  const std::string out = std::move(text).Take();
  EXPECT_NE(out.find("weir_request_arrivals_total{service=\"chat\"} 12\n"), out.npos);
  EXPECT_NE(out.find("weir_requests_total{service=\"chat\",outcome=\"completed\"} 5\n"), out.npos);
  EXPECT_NE(out.find("weir_requests_total{service=\"chat\",outcome=\"refused_full\"} 3\n"),
            out.npos);
  EXPECT_NE(out.find("# TYPE weir_request_ttft_seconds histogram\n"), out.npos);
}

}  // namespace
}  // namespace weir::gateway
