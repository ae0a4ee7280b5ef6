#include "lab/plan/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lab/plan/scenarios.h"

namespace weir::plan {

namespace {

constexpr uint64_t kUnseenStream = 1, kReplicaStream = 10, kStressStream = 20;
constexpr double kNear = 0.15;  // an ask so close above its walk-away price is worth a talk
constexpr double kTryGap = 2e-4;

std::vector<Signed> SignedOf(const std::vector<Block>& blocks, std::span<const double> lots) {
  std::vector<Signed> out;
  for (size_t b = 0; b < lots.size(); ++b)
    if (lots[b] > 1e-9) out.push_back({blocks[b], lots[b]});
  return out;
}

// Dollars that a lot of the block costs more for each dollar an hour, on average and discounted.
double HoursPaid(const Planner& planner, const Block& b) {
  Problem p = planner.problem();
  double sum = 0;
  Offer& o = p.offers[static_cast<size_t>(b.offer)];
  const double price = o.price_usd_h;
  for (const Scenario& s : planner.scenarios()) {
    o.price_usd_h = price;
    const double at = LotCost(p, s, b);
    o.price_usd_h = price + 1;
    sum += s.probability * (LotCost(p, s, b) - at);
  }
  return sum;
}

struct Change {
  std::string what;
  Offer terms;
};

// Single changes of terms, the mildest first, that would make the offer better (or worse).
std::vector<Change> Changes(const Offer& o, bool better, int months) {
  std::vector<Change> out;
  const auto add = [&](std::string what, auto edit) {
    Change c{std::move(what), o};
    edit(c.terms);
    out.push_back(std::move(c));
  };
  if (better) {
    if (o.prepay > 0) add("no prepayment", [](Offer& x) { x.prepay = 0; });
    if (o.ramp.size() > 1) add("delivered whole at once", [](Offer& x) { x.ramp = {1}; });
    if (o.escalator > 0) add("no price escalator", [](Offer& x) { x.escalator = 0; });
    for (int m = 1; m <= o.lead_months; ++m)
      add(fmt::format("{} month{} sooner", m, m > 1 ? "s" : ""), [m](Offer& x) {
        x.lead_months -= m;
        x.first_start = std::max(0, x.first_start - m);
        x.last_start = std::max(0, x.last_start - m);
      });
    for (const int term : {6, 12, 24})
      if (term < o.term_months)
        add(fmt::format("a term of {} months", term), [term](Offer& x) { x.term_months = term; });
    for (const int term : {12, 24, 36})
      if (term > o.term_months)
        add(fmt::format("a term of {} months", term), [term](Offer& x) { x.term_months = term; });
  } else {
    for (int m = 1; m <= 6; ++m)
      add(fmt::format("{} month{} later", m, m > 1 ? "s" : ""), [m, months](Offer& x) {
        x.first_start = std::min(months - 1, x.first_start + m);
        x.last_start = std::min(months - 1, x.last_start + m);
      });
    if (o.prepay < 0.3) add("30% prepaid", [](Offer& x) { x.prepay = 0.3; });
    for (const int term : {24, 36})
      if (term > o.term_months)
        add(fmt::format("a term of {} months", term), [term](Offer& x) { x.term_months = term; });
  }
  return out;
}

Status AdviseOffers(Planner* planner, const PlanOptions& options, PlanAnswer* a) {
  const Problem& p = planner->problem();
  const std::vector<Block>& blocks = planner->blocks();
  std::vector<double> lots(p.offers.size(), 0), reduced(p.offers.size(), 1e300);
  std::vector<int> best_block(p.offers.size(), -1);
  for (size_t b = 0; b < blocks.size(); ++b) {
    const auto o = static_cast<size_t>(blocks[b].offer);
    lots[o] += a->solution.lots[b];
    if (a->solution.reduced[b] < reduced[o] || best_block[o] < 0) {
      reduced[o] = a->solution.reduced[b];
      best_block[o] = static_cast<int>(b);
    }
  }
  const double base = planner->relaxed_bound();
  int resolves = 0;
  for (size_t o = 0; o < p.offers.size(); ++o) {
    const Offer offer = p.offers[o];
    OfferAdvice advice;
    advice.offer = static_cast<int>(o);
    advice.ask_usd_h = offer.price_usd_h;
    if (best_block[o] < 0) {
      advice.action = "out of reach";
      advice.flip = offer.expires < 0 ? "it has expired" : "its start is not within the plan";
      a->offers.push_back(std::move(advice));
      continue;
    }
    for (size_t b = 0; b < blocks.size(); ++b) {
      if (blocks[b].offer != static_cast<int>(o) || a->solution.lots[b] < 0.5) continue;
      advice.lots.push_back({blocks[b], a->solution.lots[b]});
      const int sign = std::max(0, std::min(blocks[b].start - offer.lead_months, offer.expires));
      if (advice.sign_by < 0 || sign < advice.sign_by) advice.sign_by = sign;
    }
    advice.accelerators = lots[o] * offer.lot;
    advice.quantity = advice.accelerators;
    const double hours = HoursPaid(*planner, blocks[static_cast<size_t>(best_block[o])]);
    const bool renewal = !offer.renews.empty();
    if (lots[o] > 0.5) {
      advice.action = advice.sign_by < 3 ? (renewal ? "renew" : "sign")
                                         : (renewal ? "renew later" : "sign later");
      double worth = 0;
      if (resolves < options.most_resolves) {
        ++resolves;
        const Planner::WhatIf without =
            TRY(planner->Try(static_cast<int>(o), std::nullopt, kTryGap));
        if (std::isinf(without.bound))
          advice.indispensable = true;
        else
          worth = std::max(0.0, 0.5 * (without.bound + without.objective) - base);
      } else {
        worth = std::max(0.0, -reduced[o] * lots[o]);
      }
      advice.worth_usd = worth;
      advice.walk_away_usd_h = offer.price_usd_h + (hours > 0 ? worth / (hours * lots[o]) : 0);
      for (const Change& c : Changes(offer, false, p.months)) {
        if (planner->ReducedCost(static_cast<int>(o), c.terms) <= 0 ||
            resolves >= options.most_resolves)
          continue;
        ++resolves;
        const Planner::WhatIf then = TRY(planner->Try(static_cast<int>(o), c.terms, kTryGap));
        if (then.lots > 0.5 * lots[o]) continue;
        advice.flip = c.what;
        break;
      }
      if (advice.flip.empty() && !advice.indispensable)
        advice.flip = fmt::format("a price above ${:.2f}/h", advice.walk_away_usd_h);
    } else {
      const double saving = reduced[o] < 1e299 ? reduced[o] : 0;
      advice.walk_away_usd_h =
          std::max(0.0, offer.price_usd_h - (hours > 0 ? std::max(0.0, saving) / hours : 0));
      const bool near = advice.walk_away_usd_h > (1 - kNear) * offer.price_usd_h;
      advice.action =
          renewal ? (near ? "renegotiate" : "let lapse") : (near ? "renegotiate" : "decline");
      if (near) {
        for (const Change& c : Changes(offer, true, p.months)) {
          if (planner->ReducedCost(static_cast<int>(o), c.terms) >= 0 ||
              resolves >= options.most_resolves)
            continue;
          ++resolves;
          const Planner::WhatIf then = TRY(planner->Try(static_cast<int>(o), c.terms, kTryGap));
          if (then.lots < 0.5) continue;
          advice.flip = c.what;
          break;
        }
        if (resolves < options.most_resolves) {
          ++resolves;
          Offer cheaper = offer;
          cheaper.price_usd_h = 0.98 * advice.walk_away_usd_h;
          advice.quantity = TRY(planner->Try(static_cast<int>(o), cheaper, kTryGap))
          .lots* offer.lot;
        }
      }
      if (advice.flip.empty())
        advice.flip = fmt::format("a price below ${:.2f}/h", advice.walk_away_usd_h);
    }
    a->offers.push_back(std::move(advice));
  }
  std::stable_sort(a->offers.begin(), a->offers.end(),
                   [](const OfferAdvice& x, const OfferAdvice& y) {
                     const auto rank = [](const OfferAdvice& v) {
                       return v.accelerators > 0           ? 0
                              : v.action == "renegotiate"  ? 1
                              : v.action == "out of reach" ? 3
                                                           : 2;
                     };
                     return rank(x) != rank(y) ? rank(x) < rank(y) : false;
                   });
  return {};
}

std::vector<FactorAdvice> Factors(const Problem& p, const std::vector<Scenario>& futures,
                                  const Verdict& v) {
  std::vector<FactorAdvice> out;
  std::vector<size_t> order(futures.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return v.cost[a] != v.cost[b] ? v.cost[a] > v.cost[b] : a < b;
  });
  for (size_t k = 0; k < p.factors.size(); ++k) {
    double mean = 0, cost = 0, tail = 0, mass = 0;
    for (size_t s = 0; s < futures.size(); ++s) {
      mean += futures[s].probability * futures[s].factor[k];
      cost += futures[s].probability * v.cost[s];
    }
    double var = 0, cost_var = 0, both = 0;
    for (size_t s = 0; s < futures.size(); ++s) {
      const double x = futures[s].factor[k] - mean, y = v.cost[s] - cost;
      var += futures[s].probability * x * x;
      cost_var += futures[s].probability * y * y;
      both += futures[s].probability * x * y;
    }
    for (const size_t s : order) {
      if (mass >= p.tail) break;
      tail += futures[s].probability * futures[s].factor[k];
      mass += futures[s].probability;
    }
    if (var <= 0 || cost_var <= 0) continue;
    out.push_back(
        {p.factors[k], mean, tail / mass, both * both / var / cost_var, both / std::sqrt(var)});
  }
  std::stable_sort(out.begin(), out.end(), [](const FactorAdvice& a, const FactorAdvice& b) {
    return a.explains > b.explains;
  });
  return out;
}

Result<std::vector<Stress>> Stresses(const Beliefs& beliefs, const std::vector<Signed>& plan,
                                     const std::string& main_provider) {
  struct Test {
    std::string what;
    std::function<void(Beliefs*)> edit;
    std::function<void(Problem&, std::vector<Scenario>*)> bend;
  };
  std::vector<Test> tests;
  bool launches = false, spot = false;
  for (const DemandBelief& d : beliefs.demands) launches = launches || !d.launches.empty();
  for (const Pool& pool : beliefs.problem.pools) spot = spot || pool.spot_limit > 0;
  const auto scale = [](Class cls, float by) {
    return [cls, by](Problem& p, std::vector<Scenario>* futures) {
      const auto T = static_cast<size_t>(p.months);
      for (Scenario& s : *futures)
        for (size_t d = 0; d < p.demands.size(); ++d)
          if (p.demands[d].cls == cls)
            for (size_t t = 0; t < T; ++t) {
              s.demand[d * T + t] *= by;
              s.floor[d * T + t] = std::min(s.floor[d * T + t], s.demand[d * T + t]);
            }
    };
  };
  tests.push_back({"as believed", nullptr, nullptr});
  tests.push_back({"product asks for 30% less", nullptr, scale(Class::kProduct, 0.7f)});
  tests.push_back({"product asks for 50% more", nullptr, scale(Class::kProduct, 1.5f)});
  tests.push_back({"research asks for 30% more", nullptr, scale(Class::kResearch, 1.3f)});
  if (launches)
    tests.push_back({"no model is launched",
                     [](Beliefs* b) {
                       for (DemandBelief& d : b->demands)
                         for (LaunchBelief& l : d.launches) l.chance = 0;
                     },
                     nullptr});
  tests.push_back(
      {"every delivery comes 3 months late", nullptr, [](Problem&, std::vector<Scenario>* futures) {
         for (Scenario& s : *futures)
           for (int16_t& m : s.offer_slip) m = static_cast<int16_t>(m + 3);
       }});
  if (!main_provider.empty())
    tests.push_back({main_provider + " fails halfway", nullptr,
                     [main_provider](Problem& p, std::vector<Scenario>* futures) {
                       for (Scenario& s : *futures)
                         for (size_t k = 0; k < p.providers.size(); ++k)
                           if (p.providers[k] == main_provider)
                             s.provider_fails[k] = static_cast<int16_t>(p.months / 2);
                     }});
  const auto prices = [](float by) {
    return [by](Problem&, std::vector<Scenario>* futures) {
      for (Scenario& s : *futures) {
        for (float& v : s.on_demand_usd_h) v *= by;
        for (float& v : s.spot_usd_h) v *= by;
      }
    };
  };
  tests.push_back({"on-demand and spot prices fall by 40%", nullptr, prices(0.6f)});
  tests.push_back({"on-demand and spot prices rise by 40%", nullptr, prices(1.4f)});
  tests.push_back({"nothing is to be had on demand or spot", nullptr,
                   [](Problem&, std::vector<Scenario>* futures) {
                     for (Scenario& s : *futures) {
                       std::fill(s.on_demand_limit.begin(), s.on_demand_limit.end(), 0.0f);
                       std::fill(s.spot_limit.begin(), s.spot_limit.end(), 0.0f);
                     }
                   }});
  if (!beliefs.generations.empty()) {
    tests.push_back({"the new hardware comes 6 months early",
                     [](Beliefs* b) {
                       for (GenerationBelief& g : b->generations)
                         g.month = std::max(0.0, g.month - 6);
                     },
                     nullptr});
    tests.push_back({"the new hardware comes 9 months late",
                     [](Beliefs* b) {
                       for (GenerationBelief& g : b->generations) g.month += 9;
                     },
                     nullptr});
  }
  std::vector<Stress> out;
  const int count = std::min(100, std::max(20, beliefs.scenarios));
  for (const Test& test : tests) {
    Beliefs b = beliefs;
    if (test.edit) test.edit(&b);
    std::vector<Scenario> futures = DrawScenarios(&b, count, b.seed, kStressStream);
    if (test.bend) test.bend(b.problem, &futures);
    b.problem.limits.research_shortfall = Limits().research_shortfall;
    Planner knowing(b.problem, futures);
    SolveOptions quick;
    quick.whole = false;
    quick.relaxed_gap = 0.002;
    quick.research_first = beliefs.research_first;
    const auto best = knowing.Solve(quick);
    Finish(&b.problem, futures);
    const Verdict v = Judge(b.problem, futures).Of(plan);
    Stress s{test.what, v.mean, v.research_missed(), v.product_missed(), 0};
    if (best) s.regret = std::max(0.0, v.objective - best->objective);
    out.push_back(std::move(s));
  }
  return out;
}

void Pictures(const Problem& p, const std::vector<Scenario>& futures,
              const std::vector<Signed>& plan, PlanAnswer* a) {
  const auto T = static_cast<size_t>(p.months);
  for (const Group& g : GroupsOf(p)) {
    if (g.demands.empty()) continue;
    PlanAnswer::Ladder l;
    l.pools = g.pools;
    for (const int d : g.demands)
      l.title += (l.title.empty() ? "" : " + ") + p.demands[static_cast<size_t>(d)].name;
    if (l.title.size() > 60) l.title = l.title.substr(0, 57) + "...";
    for (size_t t = 0; t < T; ++t) {
      std::vector<double> sum;
      for (const Scenario& s : futures) {
        double v = 0;
        for (const int d : g.demands) v += s.demand[static_cast<size_t>(d) * T + t];
        sum.push_back(v);
      }
      std::sort(sum.begin(), sum.end());
      const auto at = [&](double q) {
        return sum[static_cast<size_t>(q * static_cast<double>(sum.size() - 1))];
      };
      l.p10.push_back(at(0.1));
      l.p50.push_back(at(0.5));
      l.p90.push_back(at(0.9));
    }
    // Work of an accelerator: the mean speed of those who run there.
    std::vector<double> speed(p.pools.size(), 0);
    for (const int pool : g.pools) {
      int count = 0;
      for (const int d : g.demands)
        for (const Arc& arc : p.demands[static_cast<size_t>(d)].runs_on)
          if (arc.pool == pool) speed[static_cast<size_t>(pool)] += arc.speed, ++count;
      if (count > 0) speed[static_cast<size_t>(pool)] /= count;
    }
    const auto step = [&](const std::string& name, int pool, std::vector<double> gives,
                          double times) {
      if (std::find(g.pools.begin(), g.pools.end(), pool) == g.pools.end()) return;
      for (double& v : gives) v *= times * speed[static_cast<size_t>(pool)];
      for (auto& [known, sum] : l.steps) {
        if (known != name) continue;
        for (size_t t = 0; t < T; ++t) sum[t] += gives[t];
        return;
      }
      l.steps.emplace_back(name, std::move(gives));
    };
    for (const Holding& h : p.holdings)
      step(h.name + " (held)", h.pool, PromisedAccelerators(p, h), 1);
    for (const Signed& x : plan) {
      const Offer& o = p.offers[static_cast<size_t>(x.block.offer)];
      step(o.name, o.pool, PromisedAccelerators(p, x.block), x.lots);
    }
    a->ladders.push_back(std::move(l));
  }
  std::vector<double> spend(p.providers.size(), 0);
  for (const Holding& h : p.holdings)
    for (const double v : PromisedPayments(p, h)) spend[static_cast<size_t>(h.provider_index)] += v;
  for (const Signed& x : plan)
    for (const double v : PromisedPayments(p, x.block))
      spend[static_cast<size_t>(p.offers[static_cast<size_t>(x.block.offer)].provider_index)] +=
          x.lots * v;
  for (size_t k = 0; k < spend.size(); ++k)
    if (spend[k] > 0) a->spend_by_provider.emplace_back(p.providers[k], spend[k]);
}

// What the plan may still lose for having seen few futures: two fresh samples.
Status SampleGap(const Beliefs& beliefs, const PlanOptions& options, std::span<const double> lots,
                 double eta, PlanAnswer* a) {
  double sum = 0, var = 0;
  const int n = std::max(20, beliefs.scenarios);
  for (int k = 0; k < options.replications; ++k) {
    Beliefs b = beliefs;
    const std::vector<Scenario> futures =
        DrawScenarios(&b, n, b.seed, kReplicaStream + static_cast<uint64_t>(k));
    Planner planner(b.problem, futures);
    SolveOptions o = options.solve;
    o.whole = false;
    const Solution best = TRY(planner.Solve(o));
    const Valuation theirs = planner.Value(best.lots), ours = planner.Value(lots);
    const auto price = [&](double cost, double at) {
      return (1 - b.problem.risk) * cost +
             b.problem.risk * (at + std::max(0.0, cost - at) / b.problem.tail);
    };
    std::vector<double> d;
    double mean = 0;
    for (int s = 0; s < n; ++s) {
      const auto i = static_cast<size_t>(s);
      d.push_back(price(ours.cost[i], eta) - price(theirs.cost[i], theirs.eta));
      mean += d.back() / n;
    }
    for (const double x : d) var += (x - mean) * (x - mean) / (n - 1);
    sum += std::max(0.0, mean);
  }
  const double k = options.replications;
  a->gap_asked = true;
  a->gap_low_usd = 0;
  a->gap_high_usd = sum / k + 1.645 * std::sqrt(var / k / (k * n));
  return {};
}

}  // namespace

Result<PlanAnswer> MakePlan(Beliefs beliefs, const PlanOptions& options) {
  PlanAnswer a;
  a.notes = beliefs.notes;
  const std::vector<Scenario> futures = DrawScenarios(&beliefs, beliefs.scenarios, beliefs.seed, 0);
  SolveOptions solve = options.solve;
  solve.research_first = beliefs.research_first;
  Planner planner(beliefs.problem, futures);
  a.solution = TRY(planner.Solve(solve));
  a.problem = planner.problem();
  a.blocks = planner.blocks();
  a.futures = beliefs.scenarios;
  a.unseen = options.unseen;
  const std::vector<Signed> plan = SignedOf(a.blocks, a.solution.lots);
  TRY(AdviseOffers(&planner, options, &a));
  for (LimitRow& l : planner.limits())
    if (l.price > 1e-6 * a.solution.objective) a.binding.push_back(std::move(l));
  std::stable_sort(a.binding.begin(), a.binding.end(),
                   [](const LimitRow& x, const LimitRow& y) { return x.price > y.price; });
  for (const Holding& h : a.problem.holdings) {
    if (h.end >= a.problem.months) continue;
    bool renewed = false;
    for (const Signed& x : plan)
      renewed = renewed || a.problem.offers[static_cast<size_t>(x.block.offer)].renews == h.name;
    if (!renewed) a.lapsing.push_back(h.name);
  }

  a.seen = Judge(a.problem, futures).Of(plan);
  std::vector<Scenario> unseen =
      DrawScenarios(&beliefs, options.unseen, beliefs.seed, kUnseenStream);
  const Judge judge(a.problem, unseen);
  a.rivals.push_back({"plan", "this plan", judge.Of(plan)});
  {
    Problem mean_problem = beliefs.problem;
    mean_problem.risk = 0;
    Scenario mean = MeanOf(a.problem, futures);
    Planner one(mean_problem, {mean});
    SolveOptions o = solve;
    if (const auto s = one.Solve(o))
      a.rivals.push_back({"mean plan", "best for the average future, as if it were sure",
                          judge.Of(SignedOf(one.blocks(), s->lots))});
  }
  a.rivals.push_back(
      {"newsvendor", "each pool by itself: the level that its prices warrant",
       judge.Of(NewsvendorPlan(a.problem, futures, a.blocks, [&](std::span<const double> lots) {
         return planner.Feasible(lots);
       }))});
  a.rivals.push_back(
      {"break-even", "no plan: commit once renting has cost as much", judge.OfBreakEven()});
  a.rivals.push_back({"nothing", "sign nothing; on demand and spot only", judge.Of({})});
  a.factors = Factors(a.problem, unseen, a.rivals[0].verdict);
  Pictures(a.problem, unseen, plan, &a);
  if (options.stress) {
    std::string main;
    double most = 0;
    for (const auto& [name, spend] : a.spend_by_provider)
      if (spend > most) {
        most = spend;
        main = name;
      }
    a.stresses = TRY(Stresses(beliefs, plan, main));
  }
  if (options.replications > 0)
    TRY(SampleGap(beliefs, options, a.solution.lots, a.solution.eta, &a));
  return a;
}

}  // namespace weir::plan
