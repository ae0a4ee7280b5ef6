// Small random problems for tests: every feature, few enough columns to be solved the slow way.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "lab/plan/scenarios.h"

namespace weir::plan {

struct SmallLab {
  Problem problem;
  std::vector<Scenario> futures;
};

inline SmallLab RandomLab(uint64_t seed, int months, int futures, bool limits) {
  Random r(seed);
  Beliefs b;
  b.problem.start = 12 * 2027;
  b.problem.months = months;
  b.problem.risk = r.Chance(0.3) ? 0.0 : 0.5 * r.Uniform();
  b.problem.tail = 0.1 + 0.3 * r.Uniform();
  b.problem.capital = 0.1;
  for (int k = 0; k < 2; ++k) {
    b.problem.providers.push_back("provider-" + std::to_string(k));
    ProviderBelief p;
    p.slip_chance = 0.4;
    p.fails_per_year = 0.05;
    b.providers.push_back(p);
  }
  for (int k = 0; k < 3; ++k) {
    Pool p;
    p.name = "pool-" + std::to_string(k);
    p.on_demand_usd_h = 3 + 2 * r.Uniform();
    p.on_demand_limit = r.Chance(0.3) ? 0 : 60 * r.Uniform();
    p.spot_usd_h = 1.5;
    p.spot_limit = r.Chance(0.5) ? 20 : 0;
    p.kw = 1;
    p.g_per_kwh = 300;
    b.problem.pools.push_back(p);
    b.pools.emplace_back();
  }
  for (int d = 0; d < 3; ++d) {
    Demand demand;
    DemandBelief belief;
    demand.name = "demand-" + std::to_string(d);
    demand.cls = d < 2 ? Class::kResearch : Class::kProduct;
    demand.value_usd_h = 4 + 6 * r.Uniform();
    demand.interruptible = r.Chance(0.5);
    demand.spot_speed = 0.8;
    // The third pool is alone with the third demand, or shared.
    if (d < 2)
      demand.runs_on = {{0, 1}, {1, 1 + r.Uniform()}};
    else
      demand.runs_on =
          r.Chance(0.5) ? std::vector<Arc>{{2, 1}} : std::vector<Arc>{{1, 0.7}, {2, 1.5}};
    belief.level = 40 + 60 * r.Uniform();
    belief.growth = 0.02;
    belief.growth_sd = 0.02;
    belief.noise = 0.15;
    if (d == 0) belief.floor = 0.6 * belief.level;
    b.problem.demands.push_back(demand);
    b.demands.push_back(belief);
  }
  for (int k = 0; k < 4; ++k) {
    Offer o;
    o.name = "offer-" + std::to_string(k);
    o.provider_index = k % 2;
    o.provider = b.problem.providers[static_cast<size_t>(k % 2)];
    o.pool = k % 3;
    o.lot = 16;
    o.max_lots = 3;
    o.min_lots = r.Chance(0.4) ? 2 : 0;
    o.setup_usd = r.Chance(0.3) ? 20'000 : 0;
    o.price_usd_h = 1.5 + 2 * r.Uniform();
    o.term_months = 2 + static_cast<int>(r.Below(6));
    o.lead_months = static_cast<int>(r.Below(2));
    o.prepay = r.Chance(0.4) ? 0.3 : 0;
    o.ramp = r.Chance(0.5) ? std::vector<double>{0.5, 1} : std::vector<double>{1};
    o.first_start = o.last_start = o.lead_months + static_cast<int>(r.Below(2));
    b.problem.offers.push_back(o);
  }
  if (r.Chance(0.5)) {
    Holding h;
    h.name = "held";
    h.provider = b.problem.providers[0];
    h.accelerators = 20;
    h.price_usd_h = 2;
    h.start = -3;
    h.end = 2;
    b.problem.holdings.push_back(h);
  }
  if (limits) {
    b.problem.limits.provider_share = 0.7;
    b.problem.limits.prepaid_usd = 60'000;
    b.problem.limits.power_kw = 90;
    b.problem.limits.budget_per_year_usd = 1.2e6;
    b.problem.limits.carbon_t_per_year = 400;
  }
  SmallLab out;
  out.futures = DrawScenarios(&b, futures, seed, 0);
  out.problem = b.problem;
  return out;
}

}  // namespace weir::plan
