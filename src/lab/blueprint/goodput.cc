#include "lab/blueprint/goodput.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "lab/blueprint/model_shape.h"
#include "lab/blueprint/suggest.h"

namespace weir::blueprint {

double YoungInterval(double stall_s, double mtbf_s) { return std::sqrt(2 * stall_s * mtbf_s); }

double DalyInterval(double stall_s, double mtbf_s) {
  if (stall_s >= 2 * mtbf_s) return mtbf_s;
  const double x = stall_s / (2 * mtbf_s);
  return std::sqrt(2 * stall_s * mtbf_s) * (1 + std::sqrt(x) / 3 + x / 9) - stall_s;
}

double UsefulShare(double interval_s, double stall_s, double restart_s, double mtbf_s) {
  if (!(interval_s > 0)) return 0;
  const double exponent = restart_s / mtbf_s;
  const double cycle = (interval_s + stall_s) / mtbf_s;
  if (exponent > 500 || cycle > 500) return 0;
  return interval_s / (mtbf_s * std::exp(exponent) * std::expm1(cycle));
}

double WaitingShare(double failures_per_s, double repair_s, int spares) {
  // The number in repair is Poisson with mean rate x repair time (Palm): the tail beyond `spares`.
  const double mean = failures_per_s * repair_s;
  if (mean <= 0) return 0;
  if (mean > 700) return spares >= mean ? 0 : 1;
  double term = std::exp(-mean), sum = term;
  for (int k = 1; k <= spares; ++k) {
    term *= mean / k;
    sum += term;
  }
  return std::clamp(1 - sum, 0.0, 1.0);
}

Goodput GoodputOfFullJob(const Cluster& cluster, const Reliability& r) {
  constexpr double kStateOfMemory = 0.6;
  constexpr double kBytesPerParameter = 14;  // as Reliability::checkpoint_bytes
  const double memory = cluster.accelerator.memory_bytes * cluster.count;
  return GoodputOf(cluster, memory * kStateOfMemory / kBytesPerParameter, r);
}

Goodput GoodputOf(const Cluster& cluster, double parameters, const Reliability& r) {
  Goodput g;
  const double nodes = std::ceil(static_cast<double>(cluster.count) / cluster.accelerator.node);
  const double rate = nodes * r.failures_per_1000_node_days / 1000 / 86400;
  const double storage =
      cluster.storage_bytes_per_s > 0 ? cluster.storage_bytes_per_s : nodes * 2e9;
  const double bytes = r.checkpoint_bytes > 0 ? r.checkpoint_bytes : 14 * parameters;
  g.stall_s = r.checkpoint_stall_s > 0 ? r.checkpoint_stall_s : bytes / storage;
  if (rate <= 0) {
    g.mtbf_s = INFINITY;
    g.interval_s = r.interval_s > 0 ? r.interval_s : 86400;
    g.young_s = INFINITY;
    g.useful = g.interval_s / (g.interval_s + g.stall_s);
    return g;
  }
  g.mtbf_s = 1 / rate;
  g.failures_per_day = rate * 86400;
  g.young_s = YoungInterval(g.stall_s, g.mtbf_s);
  g.interval_s = r.interval_s > 0 ? r.interval_s : std::max(1.0, DalyInterval(g.stall_s, g.mtbf_s));
  g.useful = UsefulShare(g.interval_s, g.stall_s, r.restart_s, g.mtbf_s);
  g.waiting = WaitingShare(rate, r.repair_h * 3600, r.spare_nodes);
  // Without spares a failed node is waited for by its replacement, which the restart time contains:
  // a rented cluster swaps it. Waiting is counted only where spares are kept and run out.
  if (r.spare_nodes == 0) g.waiting = 0;
  return g;
}

RunCost CostOf(const Cluster& cluster, const Goodput& goodput, const Reliability& r,
               const Site& site, double tokens, double tokens_per_s, double low_tokens_per_s,
               double high_tokens_per_s) {
  RunCost c;
  const double share = std::max(1e-9, goodput.share());
  const double paid = cluster.count + static_cast<double>(r.spare_nodes) * cluster.accelerator.node;
  const auto hours = [&](double rate) { return tokens / (std::max(1e-9, rate) * share) / 3600; };
  c.days = hours(tokens_per_s) / 24;
  c.low_days = hours(high_tokens_per_s) / 24;
  c.high_days = hours(low_tokens_per_s) / 24;
  c.accelerator_hours = c.days * 24 * paid;
  c.dollars = c.accelerator_hours * site.price_per_accelerator_hour;
  c.low_dollars = c.low_days * 24 * paid * site.price_per_accelerator_hour;
  c.high_dollars = c.high_days * 24 * paid * site.price_per_accelerator_hour;
  c.dollars_per_million_tokens = tokens > 0 ? c.dollars / tokens * 1e6 : 0;
  c.kilowatts = paid * cluster.accelerator.node_watts * site.power_share * site.pue / 1000;
  c.megawatt_hours = c.kilowatts * c.days * 24 / 1000;
  c.tonnes_co2 = c.megawatt_hours * site.grams_co2_per_kwh / 1000;
  return c;
}

Result<double> CarbonOf(std::string_view region) {
  struct Region {
    const char *name, *place;
    double grams;
  };
  // Source: Google Cloud, carbon-free energy by region, 2025 figures for 2024.
  static constexpr Region kRegions[] = {{"africa-south1", "Johannesburg", 641.42},
                                        {"asia-east1", "Taiwan", 427.95},
                                        {"asia-northeast1", "Tokyo", 449.23},
                                        {"asia-south1", "Mumbai", 598.45},
                                        {"asia-southeast1", "Singapore", 365.66},
                                        {"australia-southeast1", "Sydney", 468.34},
                                        {"europe-north1", "Finland", 29.84},
                                        {"europe-north2", "Stockholm", 19.39},
                                        {"europe-west1", "Belgium", 126.43},
                                        {"europe-west2", "London", 109.39},
                                        {"europe-west3", "Frankfurt", 275.81},
                                        {"europe-west4", "Eemshaven", 194.35},
                                        {"europe-west9", "Paris", 15.83},
                                        {"me-central2", "Dammam", 381.29},
                                        {"northamerica-northeast1", "Montreal", 11.36},
                                        {"us-central1", "Iowa", 431.95},
                                        {"us-east1", "South Carolina", 579.44},
                                        {"us-east4", "Northern Virginia", 343.48},
                                        {"us-east5", "Columbus", 343.48},
                                        {"us-south1", "Dallas", 299.13},
                                        {"us-west1", "Oregon", 97.85},
                                        {"us-west3", "Salt Lake City", 567.51},
                                        {"us-west4", "Las Vegas", 360}};
  std::vector<std::string> known;
  for (const Region& r : kRegions) {
    if (PlainName(r.name) == PlainName(region) || PlainName(r.place) == PlainName(region))
      return r.grams;
    known.push_back(r.name);
  }
  return Error(Code::kNotFound,
               fmt::format("the carbon intensity of region \"{}\" is not known", region))
      .Hint(Suggest(region, known, "docs/blueprint.md", "or give it: --carbon 250g/kWh"));
}

}  // namespace weir::blueprint
