// Error bars: which band a question gets, and the measured row that lies nearest to it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lab/blueprint/calibration.h"

namespace weir::blueprint {

namespace {

const Band* BandFor(const Calibration& c, std::string_view quantity, const std::string& engine,
                    std::string_view which) {
  for (const std::string& name :
       {fmt::format("{}|{}|{}", quantity, engine, which), fmt::format("{}||{}", quantity, which),
        fmt::format("{}||known", quantity)}) {
    if (const auto it = c.bands.find(name); it != c.bands.end()) return &it->second;
  }
  return nullptr;
}

constexpr double kFar = 2.0;  // doublings beyond all rows of the engine before it counts as outside

}  // namespace

Estimate WithError(const Calibration& c, const Row& q, std::string_view quantity, double value) {
  Estimate e;
  e.value = value;
  static constexpr std::array<std::string_view, 6> kWhat = {
      "accelerators", "model size", "sparsity", "sequence length", "batch", "precision"};
  const std::array<double, 6> place = PlaceOf(q);
  std::array<double, 6> low, high;
  low.fill(1e9);
  high.fill(-1e9);
  const KnownRow* best = nullptr;
  double best_distance = 1e9;
  bool engine_seen = false, accelerator_seen = false;
  std::vector<std::string> names = {PlainName(q.model), PlainName(q.shape.name)};
  for (const std::string& alias : q.shape.aliases) names.push_back(PlainName(alias));
  const auto same_model = [&](const KnownRow& r) {
    return std::find(names.begin(), names.end(), r.plain_model) != names.end();
  };
  for (const KnownRow& r : c.rows) {
    if (r.quantity != quantity) continue;
    const bool engine = r.engine == q.keys.engine;
    const bool accelerator = r.accelerator == q.accelerator.name;
    engine_seen |= engine;
    if (engine) accelerator_seen |= accelerator;
    const bool model_here = same_model(r);
    if (engine && model_here) e.known_model = true;
    double distance = (engine ? 0 : 6) + (accelerator ? 0 : 3) + (model_here ? 0 : 2);
    for (size_t i = 0; i < place.size(); ++i) {
      distance += std::abs(place[i] - r.place[i]);
      if (engine) {
        low[i] = std::min(low[i], r.place[i]);
        high[i] = std::max(high[i], r.place[i]);
      }
    }
    if (distance < best_distance) {
      best_distance = distance;
      best = &r;
    }
  }
  // An all-reduce has no model; its rows are known by accelerator.
  if (q.kind == RowKind::kAllReduce) e.known_model = accelerator_seen;
  std::string why;
  const auto because = [&](std::string_view what) {
    why += (why.empty() ? "" : ", ") + std::string(what);
  };
  if (!engine_seen)
    because("an engine without rows");
  else if (!accelerator_seen)
    because("an accelerator without rows");
  if (engine_seen) {
    for (size_t i = 0; i < place.size(); ++i)
      if (place[i] < low[i] - kFar || place[i] > high[i] + kFar) because(kWhat[i]);
  }
  e.why = why;
  e.extrapolates = !why.empty();
  double from = -0.3, to = 0.3;
  if (const Band* band =
          BandFor(c, quantity, q.keys.engine, e.known_model && !e.extrapolates ? "known" : "new")) {
    from = band->low;
    to = band->high;
  }
  const double widen = e.extrapolates ? 2 : 1;
  e.low = value * std::exp(widen * from);
  e.high = value * std::exp(widen * to);
  if (best != nullptr) {
    // A release may be written with its engine before it.
    const std::string program = best->release.starts_with(best->engine) ? best->release
                                : best->release.empty()                 ? best->engine
                                                        : best->engine + " " + best->release;
    e.nearest = fmt::format("{} on {}, {}, {}: {} {:.4g} s measured, fit {:+.1f}%", best->model,
                            best->accelerator, program, best->config, best->quantity,
                            best->measured, 100 * (best->fitted / best->measured - 1));
  }
  return e;
}

}  // namespace weir::blueprint
