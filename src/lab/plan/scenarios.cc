#include "lab/plan/scenarios.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/random.h"

namespace weir::plan {

namespace {

constexpr double kMostGrowth = 100;  // times today's level: beyond that a belief is a typing error
constexpr int kMostSlip = 24;

uint64_t Mix(uint64_t seed, uint64_t stream, uint64_t what) {
  Random r(seed * 0x9E3779B97F4A7C15u ^ (stream + 1) * 0xC2B2AE3D27D4EB4Fu ^
           (what + 1) * 0x165667B19E3779F9u);
  return r.Next();
}

// Uniform draws of all factors, [factor][future], each factor stratified over the futures of a
// branch.
class Hypercube {
 public:
  Hypercube(uint64_t seed, uint64_t stream, std::vector<int> branch_sizes)
      : seed_(seed), stream_(stream), sizes_(std::move(branch_sizes)) {}
  std::vector<double> Next() {
    Random r(Mix(seed_, stream_, 1000 + factor_++));
    std::vector<double> out;
    for (const int n : sizes_) {
      std::vector<int> order(static_cast<size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[r.Below(i)]);
      for (const int k : order) out.push_back(std::clamp((k + r.Uniform()) / n, 1e-9, 1 - 1e-9));
    }
    return out;
  }

 private:
  uint64_t seed_, stream_, factor_ = 0;
  std::vector<int> sizes_;
};

double Normal(double u, double mean, double sd) {
  return sd > 0 ? mean + sd * NormalQuantile(u) : mean;
}

}  // namespace

double NormalQuantile(double u) {
  // Halving on erfc, then Newton: 1e-12 and no table of constants.
  double low = -9, high = 9;
  for (int i = 0; i < 12; ++i) {
    const double mid = 0.5 * (low + high);
    (0.5 * std::erfc(-mid * 0.70710678118654752) < u ? low : high) = mid;
  }
  double x = 0.5 * (low + high);
  for (int i = 0; i < 4; ++i) {
    const double density = 0.3989422804014327 * std::exp(-0.5 * x * x);
    if (density < 1e-300) break;
    x -= (0.5 * std::erfc(-x * 0.70710678118654752) - u) / density;
    x = std::clamp(x, low, high);
  }
  return x;
}

std::vector<Scenario> DrawScenarios(Beliefs* b, int count, uint64_t seed, uint64_t stream) {
  Problem& p = b->problem;
  const auto T = static_cast<size_t>(p.months);
  const auto S = static_cast<size_t>(count);
  // Branches get futures by their chance, at least one each while there are enough.
  std::vector<Branch> branches = b->branches;
  if (branches.empty()) branches.push_back({});
  std::vector<int> sizes;
  int given = 0;
  for (size_t k = 0; k < branches.size(); ++k) {
    int n = std::max(1, static_cast<int>(std::lround(branches[k].chance * count)));
    n = std::min(n, count - given);
    if (k + 1 == branches.size()) n = count - given;
    sizes.push_back(n);
    given += n;
  }
  std::vector<size_t> branch_of;
  std::vector<Scenario> out(S);
  double drawn = 0;
  for (size_t k = 0; k < branches.size(); ++k)
    if (sizes[k] > 0) drawn += branches[k].chance;
  for (size_t k = 0, s = 0; k < branches.size(); ++k)
    for (int i = 0; i < sizes[k]; ++i, ++s) {
      branch_of.push_back(k);
      out[s].probability = branches[k].chance / drawn / sizes[k];
    }
  Hypercube cube(seed, stream, sizes);
  p.factors.clear();
  const auto note = [&](const std::string& name, const std::vector<double>& value) {
    p.factors.push_back(name);
    for (size_t s = 0; s < S; ++s) out[s].factor.push_back(static_cast<float>(value[s]));
  };
  const auto draw = [&](double mean, double sd) {
    std::vector<double> v = cube.Next();
    for (double& e : v) e = Normal(e, mean, sd);
    return v;
  };
  if (b->branches.size() > 1) {
    for (size_t k = 0; k < branches.size(); ++k) {
      std::vector<double> is(S);
      for (size_t s = 0; s < S; ++s) is[s] = branch_of[s] == k ? 1 : 0;
      note("branch: " + branches[k].name, is);
    }
  }

  for (Scenario& s : out) {
    s.demand.assign(p.demands.size() * T, 0);
    s.floor.assign(p.demands.size() * T, 0);
    s.on_demand_usd_h.assign(p.pools.size() * T, 0);
    s.spot_usd_h.assign(p.pools.size() * T, 0);
    s.on_demand_limit.assign(p.pools.size() * T, 0);
    s.spot_limit.assign(p.pools.size() * T, 0);
    s.pool_opens.assign(p.pools.size(), 0);
    s.provider_fails.assign(p.providers.size(), static_cast<int16_t>(p.months));
    s.offer_slip.assign(p.offers.size(), 0);
    s.holding_slip.assign(p.holdings.size(), 0);
  }

  // Demand.
  struct RunDrawn {
    std::string name;
    std::vector<double> late, comes;
  };
  std::vector<RunDrawn> runs;
  std::vector<std::vector<RunDrawn>> runs_of(p.demands.size());
  for (size_t d = 0; d < p.demands.size(); ++d) {
    for (const RunBelief& r : b->demands[d].runs) {
      RunDrawn drawn_run{r.name, draw(0, r.start_sd), cube.Next()};
      for (double& c : drawn_run.comes) c = c < r.chance ? 1 : 0;
      if (r.chance < 1) note("run " + r.name + " comes", drawn_run.comes);
      if (r.start_sd > 0) note("run " + r.name + ": months late", drawn_run.late);
      runs_of[d].push_back(drawn_run);
      runs.push_back(std::move(drawn_run));
    }
  }
  for (size_t d = 0; d < p.demands.size(); ++d) {
    const DemandBelief& belief = b->demands[d];
    const std::string& name = p.demands[d].name;
    const double log_growth = std::log1p(belief.growth);
    const std::vector<double> growth = draw(log_growth, belief.growth_sd / (1 + belief.growth));
    if (belief.growth_sd > 0) {
      std::vector<double> yearly = growth;
      for (double& g : yearly) g = std::expm1(12 * g);
      note("growth a year of " + name, yearly);
    }
    struct LaunchDrawn {
      std::vector<double> comes, month, jump;
    };
    std::vector<LaunchDrawn> launches;
    for (const LaunchBelief& l : belief.launches) {
      LaunchDrawn x{cube.Next(), draw(l.month, l.month_sd), draw(l.jump, l.jump_sd)};
      std::vector<double> effect(S);
      for (size_t s = 0; s < S; ++s) {
        x.comes[s] = x.comes[s] < l.chance ? 1 : 0;
        for (const RunDrawn& r : runs) {
          if (r.name != l.after) continue;
          x.month[s] += r.late[s];
          x.comes[s] *= r.comes[s];
        }
        x.jump[s] = std::max(-0.9, x.jump[s]);
        effect[s] = x.comes[s] * x.jump[s];
      }
      note("jump of " + name + " at " + l.name, effect);
      if (l.month_sd > 0 || !l.after.empty()) note("month of " + l.name, x.month);
      launches.push_back(std::move(x));
    }
    const auto first_level = draw(0, belief.noise);
    for (size_t s = 0; s < S; ++s) {
      const Branch& branch = branches[branch_of[s]];
      Random noise(Mix(seed, stream, 1'000'000 + d * 10'007 + s * 104'729));
      double deviation = first_level[s];
      for (size_t t = 0; t < T; ++t) {
        const double month = static_cast<double>(t);
        double level =
            belief.level * std::exp(std::clamp(growth[s] * month, -20.0, std::log(kMostGrowth)));
        for (size_t l = 0; l < launches.size(); ++l) {
          const double since = month + 0.5 - launches[l].month[s];
          if (launches[l].comes[s] == 0 || since <= 0) continue;
          level *= 1 + launches[l].jump[s] * std::min(1.0, since / belief.launches[l].over_months);
        }
        if (t > 0)
          deviation = belief.persistence * deviation +
                      std::sqrt(1 - belief.persistence * belief.persistence) * belief.noise *
                          noise.Normal();
        level *= std::exp(deviation - 0.5 * belief.noise * belief.noise);
        for (size_t r = 0; r < belief.runs.size(); ++r) {
          if (runs_of[d][r].comes[s] == 0) continue;
          const double from = std::max(0.0, belief.runs[r].start + runs_of[d][r].late[s]);
          const double to = from + belief.runs[r].length;
          level += belief.runs[r].work *
                   std::clamp(std::min(month + 1, to) - std::max(month, from), 0.0, 1.0);
        }
        // What waits today is worked off in the first quarter.
        if (t < 3 && t < T) level += belief.backlog / static_cast<double>(std::min<size_t>(3, T));
        if (static_cast<int>(t) >= branch.from)
          level *= p.demands[d].cls == Class::kResearch ? branch.research : branch.product;
        out[s].demand[d * T + t] = static_cast<float>(level);
        out[s].floor[d * T + t] = static_cast<float>(std::min(level, belief.floor));
      }
    }
  }

  // New hardware.
  std::vector<std::vector<double>> arrives, falls;
  for (const GenerationBelief& g : b->generations) {
    arrives.push_back(draw(g.month, g.month_sd));
    falls.push_back(draw(g.fall, g.fall_sd));
    if (g.month_sd > 0) note(g.name + " arrives, month", arrives.back());
    if (g.fall_sd > 0) note("old prices fall with " + g.name + " by", falls.back());
    for (size_t s = 0; s < S; ++s)
      for (const int pool : g.pools)
        out[s].pool_opens[static_cast<size_t>(pool)] =
            static_cast<int16_t>(std::clamp(std::ceil(arrives.back()[s]), 0.0, 1000.0));
  }

  // Prices: one market, and each pool's own part of it.
  const std::vector<double> market = draw(0, 1), market_spot = draw(0, 1);
  note("price level of on-demand", market);
  bool any_spot = false;
  for (const Pool& pool : p.pools) any_spot = any_spot || pool.spot_limit > 0;
  if (any_spot) note("price level of spot", market_spot);
  const double together = std::sqrt(b->market_together), apart = std::sqrt(1 - b->market_together);
  for (size_t k = 0; k < p.pools.size(); ++k) {
    const Pool& pool = p.pools[k];
    const PoolBelief& belief = b->pools[k];
    const std::vector<double> own = draw(0, 1);
    for (size_t s = 0; s < S; ++s) {
      const Branch& branch = branches[branch_of[s]];
      Random steps(Mix(seed, stream, 2'000'000 + k * 10'007 + s * 104'729));
      Random shared(Mix(seed, stream, 3'000'000 + s * 104'729));
      const double pull = together * market[s] + apart * own[s];
      const double keep = 1 - belief.spot_return;
      const double spot_start = 0.5 * belief.spot_sd * (together * market_spot[s] + apart * own[s]);
      double wander = spot_start;
      for (size_t t = 0; t < T; ++t) {
        const double years = static_cast<double>(t) / 12;
        // On-demand lists drift along one way for the whole plan: the doubt grows with its root.
        double price =
            pool.on_demand_usd_h * std::exp(std::log1p(belief.price_drift) * years +
                                            belief.price_sd * std::sqrt(years) * pull -
                                            0.5 * belief.price_sd * belief.price_sd * years);
        double spot = pool.spot_usd_h * std::exp(std::log1p(belief.price_drift) * years + wander -
                                                 0.5 * belief.spot_sd * belief.spot_sd);
        double tight = std::exp(wander);
        for (size_t g = 0; g < b->generations.size(); ++g) {
          const auto& older = b->generations[g].older;
          if (std::find(older.begin(), older.end(), static_cast<int>(k)) == older.end()) continue;
          if (static_cast<double>(t) < arrives[g][s]) continue;
          const double left = std::clamp(1 - falls[g][s], 0.05, 2.0);
          price *= left;
          spot *= left;
        }
        if (static_cast<int>(t) >= branch.from) {
          price *= branch.price;
          spot *= branch.spot;
          tight *= branch.spot;
        }
        const size_t at = k * T + t;
        out[s].on_demand_usd_h[at] = static_cast<float>(price);
        out[s].spot_usd_h[at] = static_cast<float>(spot);
        out[s].on_demand_limit[at] = static_cast<float>(pool.on_demand_limit);
        // When spot is dear there is little of it.
        out[s].spot_limit[at] =
            static_cast<float>(pool.spot_limit * std::clamp(1 / std::max(tight, 1e-3), 0.1, 1.0));
        const double step = together * shared.Normal() + apart * steps.Normal();
        wander = keep * wander + std::sqrt(std::max(0.0, 1 - keep * keep)) * belief.spot_sd * step;
      }
    }
  }

  // Deliveries and providers.
  const std::vector<double> supply = draw(0, 1);
  for (size_t k = 0; k < p.providers.size(); ++k) {
    const ProviderBelief& belief = b->providers[k];
    const std::vector<double> own = draw(0, 1), dies = cube.Next();
    std::vector<double> late(S), fails(S);
    const double between = b->slip_together, within = b->slip_within;
    for (size_t s = 0; s < S; ++s) {
      const Branch& branch = branches[branch_of[s]];
      const double chance = std::min(0.99, belief.slip_chance * branch.slip);
      const double provider = std::sqrt(between) * supply[s] + std::sqrt(1 - between) * own[s];
      Random each(Mix(seed, stream, 4'000'000 + k * 10'007 + s * 104'729));
      const auto slip = [&]() -> int16_t {
        const double z = std::sqrt(within) * provider + std::sqrt(1 - within) * each.Normal();
        const double above = 0.5 * std::erfc(z * 0.70710678118654752);  // chance of worse
        if (above >= chance || chance <= 0) return 0;
        const double months = 1 + std::max(0.0, belief.slip_months - 1) * -std::log(above / chance);
        return static_cast<int16_t>(std::min<double>(kMostSlip, std::floor(months + 0.5)));
      };
      int deliveries = 0;
      for (size_t o = 0; o < p.offers.size(); ++o) {
        if (p.offers[o].provider_index != static_cast<int>(k)) continue;
        const int16_t months = slip();
        // What runs already and goes on does not have to be delivered.
        out[s].offer_slip[o] = p.offers[o].renews.empty() ? months : int16_t{0};
        late[s] += out[s].offer_slip[o];
        ++deliveries;
      }
      for (size_t h = 0; h < p.holdings.size(); ++h)
        if (p.holdings[h].provider_index == static_cast<int>(k)) out[s].holding_slip[h] = slip();
      if (deliveries > 0) late[s] /= deliveries;
      if (belief.fails_per_year > 0) {
        const double months = 12 * std::log(1 - dies[s]) / std::log(1 - belief.fails_per_year);
        out[s].provider_fails[k] =
            static_cast<int16_t>(std::min<double>(p.months, std::floor(months)));
        fails[s] = out[s].provider_fails[k] < p.months ? 1 : 0;
      }
    }
    if (belief.slip_chance > 0) note(p.providers[k] + " delivers late, months", late);
    if (belief.fails_per_year > 0) note(p.providers[k] + " fails", fails);
  }
  return out;
}

Scenario MeanOf(const Problem& p, std::span<const Scenario> scenarios) {
  Scenario m = scenarios[0];
  m.probability = 1;
  const auto mean = [&](std::vector<float> Scenario::*field) {
    std::vector<double> sum((m.*field).size(), 0.0);
    for (const Scenario& s : scenarios)
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += s.probability * (s.*field)[i];
    for (size_t i = 0; i < sum.size(); ++i) (m.*field)[i] = static_cast<float>(sum[i]);
  };
  const auto rounded = [&](std::vector<int16_t> Scenario::*field) {
    std::vector<double> sum((m.*field).size(), 0.0);
    for (const Scenario& s : scenarios)
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += s.probability * (s.*field)[i];
    for (size_t i = 0; i < sum.size(); ++i)
      (m.*field)[i] = static_cast<int16_t>(std::lround(sum[i]));
  };
  mean(&Scenario::demand);
  mean(&Scenario::floor);
  mean(&Scenario::on_demand_usd_h);
  mean(&Scenario::spot_usd_h);
  mean(&Scenario::on_demand_limit);
  mean(&Scenario::spot_limit);
  rounded(&Scenario::offer_slip);
  rounded(&Scenario::holding_slip);
  rounded(&Scenario::pool_opens);
  std::fill(m.provider_fails.begin(), m.provider_fails.end(), static_cast<int16_t>(p.months));
  return m;
}

}  // namespace weir::plan
