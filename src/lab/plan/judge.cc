#include "lab/plan/judge.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lab/plan/baselines.h"

namespace weir::plan {

double Verdict::Share(size_t cls) const {
  double sum = 0, of = 0;
  for (size_t t = 0; t < asked[cls].size(); ++t) {
    sum += missed[cls][t];
    of += asked[cls][t];
  }
  return of > 0 ? sum / of : 0;
}

Judge::Judge(const Problem& problem, const std::vector<Scenario>& futures)
    : p_(problem), futures_(futures) {}

Verdict Judge::Run(const std::function<void(size_t, int, std::vector<Signed>*,
                                            const std::vector<double>&)>& decide,
                   std::span<const Signed> start) const {
  Verdict v;
  const auto T = static_cast<size_t>(p_.months);
  for (auto& m : v.asked) m.assign(T, 0);
  for (auto& m : v.missed) m.assign(T, 0);
  const std::vector<Group> groups = GroupsOf(p_);
  std::vector<Cells> cells;
  for (const Group& g : groups) cells.emplace_back(p_, g);
  std::vector<double> committed(p_.pools.size()), in_group(p_.pools.size()), worth(p_.pools.size());
  std::vector<double> short_of(p_.pools.size());
  CellAnswer answer;
  for (size_t s = 0; s < futures_.size(); ++s) {
    const Scenario& f = futures_[s];
    std::vector<Signed> plan(start.begin(), start.end());
    std::fill(short_of.begin(), short_of.end(), 0.0);
    double cost = 0, floor_hours = 0;
    for (size_t t = 0; t < T; ++t) {
      const int month = static_cast<int>(t);
      if (decide) decide(s, month, &plan, short_of);
      std::fill(committed.begin(), committed.end(), 0.0);
      for (size_t h = 0; h < p_.holdings.size(); ++h)
        committed[static_cast<size_t>(p_.holdings[h].pool)] +=
            p_.holdings[h].accelerators *
            Availability(p_, f, p_.holdings[h], static_cast<int>(h), month);
      for (const Signed& x : plan) {
        const Offer& o = p_.offers[static_cast<size_t>(x.block.offer)];
        committed[static_cast<size_t>(o.pool)] +=
            x.lots * o.lot * Availability(p_, f, x.block, month);
      }
      const double hours = p_.hours[t], money = hours * p_.discount[t] * f.probability;
      for (size_t g = 0; g < groups.size(); ++g) {
        const std::vector<int>& pools = groups[g].pools;
        for (size_t i = 0; i < pools.size(); ++i)
          in_group[i] = committed[static_cast<size_t>(pools[i])];
        cells[g].Solve(f, month, {in_group.data(), pools.size()}, &answer,
                       {worth.data(), pools.size()}, {}, true);
        cost += answer.cost * hours * p_.discount[t];
        v.on_demand += answer.on_demand_usd_h * money;
        v.spot += answer.spot_usd_h * money;
        v.floor_price += answer.floor_missed * p_.floor_usd_h * money;
        v.lost += (answer.cost - answer.on_demand_usd_h - answer.spot_usd_h -
                   answer.floor_missed * p_.floor_usd_h) *
                  money;
        floor_hours += answer.floor_missed * hours;
        double missed = 0;
        for (size_t i = 0; i < groups[g].demands.size(); ++i) {
          const auto d = static_cast<size_t>(groups[g].demands[i]);
          const size_t cls = p_.demands[d].cls == Class::kResearch ? 0 : 1;
          v.asked[cls][t] += f.probability * f.demand[d * T + t];
          v.missed[cls][t] += f.probability * answer.missed[i];
          missed += answer.missed[i];
        }
        if (!decide) continue;
        for (size_t i = 0; i < pools.size(); ++i)
          short_of[static_cast<size_t>(pools[i])] =
              answer.on_demand[i] +
              (pools.empty() ? 0 : missed / static_cast<double>(pools.size()));
      }
    }
    double payments = 0;
    for (size_t h = 0; h < p_.holdings.size(); ++h)
      payments += HoldingCost(p_, f, p_.holdings[h], static_cast<int>(h));
    std::vector<char> set_up(p_.offers.size(), 0);
    for (const Signed& x : plan) {
      const auto o = static_cast<size_t>(x.block.offer);
      payments += x.lots * LotCost(p_, f, x.block);
      if (x.lots > 0 && !set_up[o]) payments += p_.offers[o].setup_usd;
      set_up[o] = 1;
    }
    v.committed += f.probability * payments;
    v.floor_missed += f.probability * floor_hours;
    v.cost.push_back(cost + payments);
  }
  std::vector<size_t> order(v.cost.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return v.cost[a] != v.cost[b] ? v.cost[a] > v.cost[b] : a < b;
  });
  double left = p_.tail;
  for (const size_t s : order) {
    v.mean += futures_[s].probability * v.cost[s];
    const double take = std::min(left, futures_[s].probability);
    v.cvar += take * v.cost[s] / p_.tail;
    left -= take;
  }
  v.objective = (1 - p_.risk) * v.mean + p_.risk * v.cvar;
  return v;
}

Verdict Judge::Of(std::span<const Signed> plan) const { return Run(nullptr, plan); }

Verdict Judge::OfBreakEven() const {
  // The cheapest offer of each pool by price; what it costs to hold a lot for its term.
  struct Choice {
    int offer = -1;
    double lot_hour = 0;
  };
  std::vector<Choice> choice(p_.pools.size());
  for (size_t o = 0; o < p_.offers.size(); ++o) {
    Choice& c = choice[static_cast<size_t>(p_.offers[o].pool)];
    if (p_.offers[o].expires < 0 || p_.offers[o].max_lots < 1) continue;
    if (c.offer < 0 ||
        p_.offers[o].price_usd_h < p_.offers[static_cast<size_t>(c.offer)].price_usd_h)
      c.offer = static_cast<int>(o);
  }
  // spent[pool][lot] by month: on-demand spending of that lot of shortage.
  std::vector<std::vector<std::vector<double>>> spent;
  size_t current = futures_.size();
  const auto decide = [&](size_t s, int month, std::vector<Signed>* plan,
                          const std::vector<double>& short_of) {
    if (s != current) {
      current = s;
      spent.assign(p_.pools.size(), {});
    }
    if (month == 0) return;
    for (size_t k = 0; k < p_.pools.size(); ++k) {
      if (choice[k].offer < 0) continue;
      const Offer& o = p_.offers[static_cast<size_t>(choice[k].offer)];
      if (month > o.expires) continue;
      const auto t = static_cast<size_t>(month - 1), T = static_cast<size_t>(p_.months);
      const double rate = futures_[s].on_demand_usd_h[k * T + t] * p_.hours[t];
      const auto lots = std::min<size_t>(static_cast<size_t>(o.max_lots),
                                         static_cast<size_t>(short_of[k] / o.lot));
      auto& levels = spent[k];
      if (levels.size() < lots) levels.resize(lots, std::vector<double>(T, 0.0));
      for (size_t l = 0; l < lots; ++l) levels[l][t] += rate * o.lot;
      const double price = o.price_usd_h * o.lot * 730 * o.term_months;
      double signed_lots = 0, sign = 0;
      for (const Signed& x : *plan)
        if (x.block.offer == choice[k].offer) signed_lots += x.lots;
      for (size_t l = 0; l < lots; ++l) {
        double sum = 0;
        for (int i = std::max(0, month - o.term_months); i < month; ++i)
          sum += levels[l][static_cast<size_t>(i)];
        if (sum < price || signed_lots + sign >= o.max_lots) continue;
        sign += 1;
        std::fill(levels[l].begin(), levels[l].end(), 0.0);
      }
      const int start = month + o.lead_months;
      if (sign >= std::max(1, o.min_lots) && start < p_.months)
        plan->push_back({{choice[k].offer, start}, sign});
    }
  };
  return Run(decide, {});
}

std::vector<Signed> NewsvendorPlan(const Problem& p, const std::vector<Scenario>& futures,
                                   const std::vector<Block>& blocks,
                                   const std::function<bool(std::span<const double>)>& feasible) {
  const auto T = static_cast<size_t>(p.months);
  // The cheapest pool of each demand, by committed price of a unit of work.
  std::vector<double> cheapest(p.pools.size(), 1e30);
  for (const Block& b : blocks) {
    const Offer& o = p.offers[static_cast<size_t>(b.offer)];
    double& c = cheapest[static_cast<size_t>(o.pool)];
    c = std::min(c, o.price_usd_h);
  }
  std::vector<double> lots(blocks.size(), 0.0);
  for (size_t k = 0; k < p.pools.size(); ++k) {
    if (cheapest[k] >= 1e30) continue;
    std::vector<double> level(T, 0.0), held(T, 0.0);
    for (size_t t = 0; t < T; ++t) {
      std::vector<double> want;
      double other = 0;  // what a missing accelerator costs: on-demand or lost value, the lesser
      for (const Scenario& f : futures) {
        double sum = 0;
        for (size_t d = 0; d < p.demands.size(); ++d) {
          const Demand& demand = p.demands[d];
          const Arc* best = nullptr;
          for (const Arc& a : demand.runs_on)
            if (best == nullptr || cheapest[static_cast<size_t>(a.pool)] / a.speed <
                                       cheapest[static_cast<size_t>(best->pool)] / best->speed)
              best = &a;
          if (best == nullptr || best->pool != static_cast<int>(k)) continue;
          sum += f.demand[d * T + t] / best->speed;
          other = std::max(other, demand.value_usd_h * best->speed);
        }
        want.push_back(sum);
        if (f.on_demand_limit[k * T + t] > 0)
          other = std::min(other, double{f.on_demand_usd_h[k * T + t]});
      }
      if (other > cheapest[k]) level[t] = NewsvendorLevel(want, other / cheapest[k]).level;
    }
    for (const Holding& h : p.holdings) {
      if (h.pool != static_cast<int>(k)) continue;
      const auto gives = PromisedAccelerators(p, h);
      for (size_t t = 0; t < T; ++t) held[t] += gives[t];
    }
    std::vector<size_t> order;
    for (size_t b = 0; b < blocks.size(); ++b)
      if (p.offers[static_cast<size_t>(blocks[b].offer)].pool == static_cast<int>(k))
        order.push_back(b);
    std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) {
      return p.offers[static_cast<size_t>(blocks[x].offer)].price_usd_h <
             p.offers[static_cast<size_t>(blocks[y].offer)].price_usd_h;
    });
    for (const size_t b : order) {
      const Offer& o = p.offers[static_cast<size_t>(blocks[b].offer)];
      const auto gives = PromisedAccelerators(p, blocks[b]);
      for (int n = 0; n < o.max_lots;) {
        // All the lots that a signature must have, then one by one, while most of it is used.
        const double step = n == 0 ? std::max(1, o.min_lots) : 1;
        double used = 0, given = 0;
        for (size_t t = 0; t < T; ++t) {
          given += step * gives[t];
          used += std::clamp(level[t] - held[t], 0.0, step * gives[t]);
        }
        if (given <= 0 || used < 0.75 * given) break;
        lots[b] += step;
        if (!feasible(lots)) {
          lots[b] -= step;
          break;
        }
        for (size_t t = 0; t < T; ++t) held[t] += step * gives[t];
        n += static_cast<int>(step);
      }
    }
  }
  std::vector<Signed> out;
  for (size_t b = 0; b < blocks.size(); ++b)
    if (lots[b] > 0) out.push_back({blocks[b], lots[b]});
  return out;
}

}  // namespace weir::plan
