// How long the planner thinks: a lab of 24 pools and 576 offers over 24 months, drawn from a seed.
//
//   plan_bench [--seed N] [--json]
//
// Bars (one core): 50 futures within 0.5 % in 10 s, with lots in 60 s; 500 futures in 60 s; a
// what-if in 1 s; 2,000 unseen futures valued in 5 s.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/random.h"
#include "lab/plan/planner.h"
#include "lab/plan/scenarios.h"

namespace {

using namespace weir;
using namespace weir::plan;

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Eight places with three generations of accelerators each; in every place research and product run
// on all three. Eight providers, each with offers of every term in every pool.
Beliefs Lab(uint64_t seed) {
  Random r(seed);
  Beliefs b;
  b.problem.start = 12 * 2027;
  b.problem.months = 24;
  b.problem.risk = 0.3;
  b.problem.tail = 0.1;
  b.problem.capital = 0.08;
  for (int k = 0; k < 8; ++k) {
    b.problem.providers.push_back(fmt::format("provider-{}", k));
    ProviderBelief p;
    p.slip_chance = 0.1 + 0.4 * r.Uniform();
    p.slip_months = 1 + 3 * r.Uniform();
    p.fails_per_year = 0.01 * r.Uniform();
    b.providers.push_back(p);
  }
  const double base_price[] = {2.2, 3.3, 5.6}, speed[] = {1, 1.45, 2.7};
  for (int place = 0; place < 8; ++place) {
    const double dear = 0.85 + 0.3 * r.Uniform();
    for (int g = 0; g < 3; ++g) {
      Pool p;
      p.name = fmt::format("gen{}-place{}", g, place);
      p.on_demand_usd_h = base_price[g] * dear * 1.6;
      p.on_demand_limit = 150 + 100 * r.Uniform();
      p.spot_usd_h = base_price[g] * dear * 0.6;
      p.spot_limit = 80;
      p.kw = 1.3;
      p.g_per_kwh = 300;
      b.problem.pools.push_back(p);
      PoolBelief belief;
      belief.price_drift = -0.1;
      b.pools.push_back(belief);
    }
    for (int c = 0; c < 2; ++c) {
      Demand d;
      DemandBelief belief;
      d.name = fmt::format("{}-{}", c == 0 ? "research" : "product", place);
      d.cls = c == 0 ? Class::kResearch : Class::kProduct;
      for (int g = 0; g < 3; ++g)
        d.runs_on.push_back(
            {3 * place + g, c == 0 ? speed[g] : speed[g] * (0.9 + 0.2 * r.Uniform())});
      d.value_usd_h = c == 0 ? 7 : 11;
      d.interruptible = c == 0;
      d.spot_speed = 0.85;
      belief.level = 600 + 900 * r.Uniform();
      belief.growth = 0.01 + 0.04 * r.Uniform();
      belief.growth_sd = 0.012;
      belief.noise = 0.1;
      if (c == 0) {
        belief.floor = 0.5 * belief.level;
        belief.runs.push_back({fmt::format("run-{}", place), 800, 4 + 12 * r.Uniform(), 2, 3, 0.8});
      } else {
        LaunchBelief l;
        l.name = "launch";
        l.month = 6 + 10 * r.Uniform();
        l.month_sd = 2;
        l.jump = 0.5;
        l.jump_sd = 0.3;
        l.chance = 0.7;
        belief.launches.push_back(l);
      }
      b.problem.demands.push_back(d);
      b.demands.push_back(belief);
    }
  }
  const int terms[] = {6, 12, 24, 36};
  for (int pool = 0; pool < 24; ++pool) {
    for (int k = 0; k < 24; ++k) {
      Offer o;
      o.pool = pool;
      o.provider_index = static_cast<int>(r.Below(8));
      o.provider = b.problem.providers[static_cast<size_t>(o.provider_index)];
      o.name = fmt::format("offer-{}-{}", pool, k);
      o.term_months = terms[k % 4];
      o.lot = 16 << r.Below(3);
      o.min_lots = r.Chance(0.3) ? 4 : 0;
      o.max_lots = 20;
      const double list = b.problem.pools[static_cast<size_t>(pool)].on_demand_usd_h / 1.6;
      o.price_usd_h = list * (1.05 - 0.1 * (k % 4)) * (0.9 + 0.2 * r.Uniform());
      o.lead_months = static_cast<int>(r.Below(5));
      o.ramp = r.Chance(0.5) ? std::vector<double>{1} : std::vector<double>{0.34, 0.67, 1};
      o.prepay = r.Chance(0.3) ? 0.2 : 0;
      o.first_start = o.last_start = o.lead_months + static_cast<int>(r.Below(12));
      b.problem.offers.push_back(o);
    }
  }
  b.problem.limits.provider_share = 0.35;
  b.problem.limits.budget_per_year_usd = 1.2e9;
  b.problem.limits.prepaid_usd = 1.5e8;
  return b;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t seed = 1;
  bool json = false, only50 = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
      seed = std::strtoull(argv[++i], nullptr, 10);
    if (std::strcmp(argv[i], "--json") == 0) json = true;
    if (std::strcmp(argv[i], "--quick") == 0) only50 = true;
  }
  Beliefs b = Lab(seed);
  const auto line = [&](const char* what, double seconds, double bar, double gap,
                        const std::string& more) {
    if (json)
      fmt::print(
          "{{\"what\": \"{}\", \"seconds\": {:.3f}, \"bar_s\": {}, \"gap\": {:.5f}, \"more\": "
          "\"{}\"}}\n",
          what, seconds, bar, gap, more);
    else
      fmt::print("{:<42} {:7.2f} s  (bar {:4.0f} s)  gap {:.3f} %  {}\n", what, seconds, bar,
                 100 * gap, more);
    std::fflush(stdout);
  };
  auto check = [](const auto& result) {
    if (result) return;
    fmt::print(stderr, "plan_bench: {}\n", result.error().ToString());
    std::exit(1);
  };
  {
    const auto futures = DrawScenarios(&b, 50, seed, 0);
    double t = Now();
    Planner planner(b.problem, futures);
    SolveOptions o;
    o.whole = false;
    o.relaxed_gap = 0.004;
    const auto relaxed = planner.Solve(o);
    check(relaxed);
    line("50 futures, parts of lots", Now() - t, 10, relaxed->gap(),
         fmt::format("${:.2f}M, {} rounds, {} blocks", relaxed->objective / 1e6, relaxed->rounds,
                     planner.blocks().size()));
    t = Now();
    Planner again(b.problem, futures);
    o = SolveOptions{};
    o.gap = 0.005;
    o.relaxed_gap = 0.002;
    const auto whole = again.Solve(o);
    check(whole);
    line("50 futures, whole lots", Now() - t, 60, whole->gap(),
         fmt::format("${:.2f}M, {} rounds{}", whole->objective / 1e6, whole->rounds,
                     whole->proven_by_cbc ? ", with Cbc" : ""));
    double worst = 0, worst_gap = 0;
    int tried = 0;
    for (size_t i = 0; i < again.blocks().size() && tried < 6; i += 1) {
      if (whole->lots[i] < 1) continue;
      const int offer = again.blocks()[i].offer;
      Offer changed = again.problem().offers[static_cast<size_t>(offer)];
      changed.price_usd_h *= tried % 2 ? 1.15 : 0.9;
      if (tried % 3 == 2)
        changed.lead_months = std::min(changed.lead_months + 2, changed.first_start);
      t = Now();
      const auto what_if = again.Try(offer, changed, 0.003);
      check(what_if);
      worst = std::max(worst, Now() - t);
      worst_gap = std::max(worst_gap, (what_if->objective - what_if->bound) / what_if->objective);
      ++tried;
    }
    line("what-if, worst of six, warm", worst, 1, worst_gap, "");
    const auto unseen = DrawScenarios(&b, 2000, seed, 99);
    t = Now();
    Planner judge(b.problem, unseen);
    const Valuation v = judge.Value(whole->lots);
    line("2,000 unseen futures valued", Now() - t, 5, 0,
         fmt::format("mean ${:.2f}M, CVaR ${:.2f}M", v.mean / 1e6, v.cvar / 1e6));
  }
  if (only50) return 0;
  const auto futures = DrawScenarios(&b, 500, seed, 0);
  const double t = Now();
  Planner planner(b.problem, futures);
  SolveOptions o;
  o.gap = 0.005;
  o.relaxed_gap = 0.003;
  const auto whole = planner.Solve(o);
  check(whole);
  line("500 futures, whole lots", Now() - t, 60, whole->gap(),
       fmt::format("${:.2f}M, {} rounds", whole->objective / 1e6, whole->rounds));
  return 0;
}
