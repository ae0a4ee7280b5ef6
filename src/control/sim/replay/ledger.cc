#include "control/sim/replay/ledger.h"

#include <algorithm>
#include <cmath>

namespace weir::sim {

const char* NameOf(Level level) {
  static const char* const names[kLevels] = {
      "research", "product",      "borrowed",         "idle",  "down",     "need", "served",
      "waiting",  "waiting_jobs", "lent_to_research", "watts", "usd_per_h"};
  return names[level];
}

void Ledger::Pass(Time now) {
  if (now <= now_) return;
  double from = (now_ - start_).seconds();
  const double to = (now - start_).seconds();
  for (int i = 0; i < kLevels; ++i) total_[i] += level_[i] * (to - from);
  while (to > bin_s_ * kMaxBins) {
    const size_t n = bins_.size();
    for (size_t b = 0; b < n; b += 2) {
      Row& merged = bins_[b / 2];
      const Row left = bins_[b], right = b + 1 < n ? bins_[b + 1] : Row{};
      for (int i = 0; i < kLevels; ++i) merged[i] = left[i] + right[i];
    }
    bins_.resize((n + 1) / 2);
    bin_s_ *= 2;
  }
  while (from < to) {
    const size_t bin = static_cast<size_t>(from / bin_s_);
    const double stop = std::min(to, static_cast<double>(bin + 1) * bin_s_);
    if (bins_.size() <= bin) bins_.resize(bin + 1);
    for (int i = 0; i < kLevels; ++i) bins_[bin][i] += level_[i] * (stop - from);
    if (stop <= from) break;
    from = stop;
  }
  now_ = now;
}

Series Ledger::Take(const std::vector<Level>& levels) const {
  Series series;
  series.bin_s = bin_s_;
  series.bins = static_cast<int>(bins_.size());
  const double end = (now_ - start_).seconds();
  for (const Level level : levels) {
    Series::Channel channel{NameOf(level), {}};
    for (size_t b = 0; b < bins_.size(); ++b) {
      const double width = std::min(bin_s_, end - static_cast<double>(b) * bin_s_);
      channel.values.push_back(width > 0 ? bins_[b][level] / width : 0);
    }
    series.channels.push_back(std::move(channel));
  }
  return series;
}

Spread SpreadOf(std::vector<double> values) {
  Spread out;
  out.count = static_cast<int64_t>(values.size());
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  double sum = 0;
  for (const double v : values) sum += v;
  const double n = static_cast<double>(values.size());
  const auto rank = [&](double q) {
    const size_t at = static_cast<size_t>(std::max(0.0, std::ceil(q * n) - 1));
    return values[std::min(at, values.size() - 1)];
  };
  out.mean = sum / n;
  out.p50 = rank(0.5);
  out.p90 = rank(0.9);
  out.p99 = rank(0.99);
  out.max = values.back();
  return out;
}

}  // namespace weir::sim
