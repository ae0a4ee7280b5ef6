#include "gateway/load/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

namespace weir::gateway {

namespace {
constexpr std::pair<const char*, double> kShown[] = {
    {"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1.0}};

double Milliseconds(Duration d) { return static_cast<double>(d.us) / 1e3; }
}  // namespace

void LoadReport::Add(const LoadSample& s) {
  if (!s.ok) {
    ++failed_;
    ++errors_[s.error];
    return;
  }
  ++ok_;
  tokens_ += s.tokens;
  latency_.push_back(s.latency.us);
  if (s.streamed) ttft_.push_back(s.ttft.us);
  if (s.tpot.us > 0) tpot_.push_back(s.tpot.us);
  const auto meets = [](Duration slo, Duration measured) { return slo.us == 0 || measured <= slo; };
  if (meets(slo_.ttft, s.streamed ? s.ttft : s.latency) && meets(slo_.tpot, s.tpot) &&
      meets(slo_.latency, s.latency)) {
    ++good_;
  }
}

const std::vector<int64_t>& LoadReport::Samples(What what) const {
  switch (what) {
    case What::kTtft:
      return ttft_;
    case What::kTpot:
      return tpot_;
    case What::kLatency:
      return latency_;
    case What::kSendLate:
      return late_;
  }
  return latency_;
}

// Nearest rank: the smallest sample that at least a share q of them does not exceed.
Duration LoadReport::Quantile(What what, double q) const {
  std::vector<int64_t> sorted = Samples(what);
  if (sorted.empty()) return {};
  const auto rank =
      static_cast<size_t>(std::max(0.0, std::ceil(q * static_cast<double>(sorted.size())) - 1));
  const auto at = sorted.begin() + static_cast<ptrdiff_t>(std::min(rank, sorted.size() - 1));
  std::nth_element(sorted.begin(), at, sorted.end());
  return Duration::Micros(*at);
}

std::string LoadReport::Json() const {
  nlohmann::ordered_json j;
  const double s = std::max(1e-6, elapsed_.seconds());
  j["elapsed_s"] = elapsed_.seconds();
  j["sent"] = sent_;
  j["ok"] = ok_;
  j["failed"] = failed_;
  j["sent_per_s"] = static_cast<double>(sent_) / s;
  j["ok_per_s"] = static_cast<double>(ok_) / s;
  j["tokens"] = tokens_;
  j["tokens_per_s"] = static_cast<double>(tokens_) / s;
  j["goodput_per_s"] = static_cast<double>(good_) / s;
  j["goodput_share"] = sent_ == 0 ? 0.0 : static_cast<double>(good_) / static_cast<double>(sent_);
  const auto slo = [&](const char* name, Duration d) {
    if (d.us > 0) j["slo"][name] = Milliseconds(d);
  };
  j["slo"] = nlohmann::ordered_json::object();
  slo("ttft_ms", slo_.ttft);
  slo("tpot_ms", slo_.tpot);
  slo("latency_ms", slo_.latency);
  for (const auto& [name, what] :
       {std::pair{"ttft_ms", What::kTtft}, std::pair{"tpot_ms", What::kTpot},
        std::pair{"latency_ms", What::kLatency}, std::pair{"send_late_ms", What::kSendLate}}) {
    auto& out = j[name] = nlohmann::ordered_json::object();
    out["count"] = Count(what);
    for (const auto& [label, q] : kShown) out[label] = Milliseconds(Quantile(what, q));
  }
  j["errors"] = nlohmann::ordered_json::object();
  for (const auto& [kind, n] : errors_) j["errors"][kind] = n;
  return j.dump(2);
}

std::string LoadReport::Text() const {
  const double s = std::max(1e-6, elapsed_.seconds());
  std::string out = fmt::format("{} sent in {} ({:.1f}/s): {} ok, {} failed; {:.1f} tokens/s\n",
                                sent_, Human(elapsed_), static_cast<double>(sent_) / s, ok_,
                                failed_, static_cast<double>(tokens_) / s);
  fmt::format_to(std::back_inserter(out), "{:12}{:>10}{:>10}{:>10}{:>10}{:>10}\n", "", "p50", "p90",
                 "p95", "p99", "max");
  for (const auto& [name, what] : {std::pair{"TTFT", What::kTtft}, std::pair{"TPOT", What::kTpot},
                                   std::pair{"latency", What::kLatency}}) {
    if (Count(what) == 0) continue;
    fmt::format_to(std::back_inserter(out), "{:12}", name);
    for (const auto& [label, q] : kShown) {
      fmt::format_to(std::back_inserter(out), "{:>10}",
                     fmt::format("{:.1f} ms", Milliseconds(Quantile(what, q))));
    }
    out += '\n';
  }
  fmt::format_to(
      std::back_inserter(out), "goodput     {:.2f}/s, {:.1f}% of what was sent",
      static_cast<double>(good_) / s,
      sent_ == 0 ? 0.0 : 100.0 * static_cast<double>(good_) / static_cast<double>(sent_));
  if (slo_.ttft.us == 0 && slo_.tpot.us == 0 && slo_.latency.us == 0) {
    out += " (no SLO given: every answer counts)";
  }
  out += '\n';
  for (const auto& [kind, n] : errors_) {
    fmt::format_to(std::back_inserter(out), "error       {} x {}\n", n, kind);
  }
  return out;
}

}  // namespace weir::gateway
