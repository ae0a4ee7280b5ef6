// The whole two-stage program written out: every cell's rows and columns beside the first stage.
#include <cmath>

#include "lab/plan/first_stage.h"
#include "lab/plan/lp.h"
#include "lab/plan/planner.h"

namespace weir::plan {

Result<Solution> SolveExtensive(const Problem& given, const std::vector<Scenario>& futures,
                                bool whole, bool research_first) {
  Problem p = given;
  Finish(&p, futures);
  constexpr double kMillion = 1e6;
  LinearProgram lp;
  const std::vector<Block> blocks = BlocksOf(p);
  const auto T = static_cast<size_t>(p.months);
  const double weight = 1 - p.risk;
  std::vector<int> x, gate, whole_columns;
  for (const Block& b : blocks) {
    const Offer& o = p.offers[static_cast<size_t>(b.offer)];
    x.push_back(lp.AddColumn(0, o.max_lots, 0));
    gate.push_back(NeedsSwitch(o) ? lp.AddColumn(0, 1, 0) : -1);
    whole_columns.push_back(x.back());
    if (gate.back() < 0) continue;
    whole_columns.push_back(gate.back());
    const Entry most[] = {{x.back(), 1}, {gate.back(), -static_cast<double>(o.max_lots)}};
    const Entry least[] = {{x.back(), 1}, {gate.back(), -static_cast<double>(o.min_lots)}};
    lp.AddRow(-kInfinity, 0, most);
    lp.AddRow(0, kInfinity, least);
  }
  for (size_t o = 0; o < p.offers.size(); ++o) {
    std::vector<Entry> row;
    for (size_t b = 0; b < blocks.size(); ++b)
      if (blocks[b].offer == static_cast<int>(o)) row.push_back({x[b], 1});
    lp.AddRow(-kInfinity, p.offers[o].max_lots, row);
  }
  for (const LimitSpec& l : LimitsOf(p, blocks)) {
    std::vector<Entry> row;
    for (size_t b = 0; b < blocks.size(); ++b) row.push_back({x[b], l.per_lot[b]});
    lp.AddRow(-kInfinity, l.high - l.held, row);
  }
  const int eta = lp.AddColumn(-kInfinity, kInfinity, p.risk);
  std::vector<Entry> floor_row;
  std::vector<double> cost(static_cast<size_t>(lp.columns()), 0.0);
  double whole_floor = 0;
  for (size_t s = 0; s < futures.size(); ++s) {
    const Scenario& f = futures[s];
    // total = cost of this future, v >= total - eta
    const int total = lp.AddColumn(-kInfinity, kInfinity, weight * f.probability);
    const int v = lp.AddColumn(0, kInfinity, p.risk * f.probability / p.tail);
    const Entry beyond[] = {{v, 1}, {eta, 1}, {total, -1}};
    lp.AddRow(0, kInfinity, beyond);
    std::vector<Entry> sum = {{total, 1}};
    double held_cost = 0;
    for (size_t h = 0; h < p.holdings.size(); ++h)
      held_cost += HoldingCost(p, f, p.holdings[h], static_cast<int>(h)) / kMillion;
    for (size_t b = 0; b < blocks.size(); ++b) {
      sum.push_back({x[b], -LotCost(p, f, blocks[b]) / kMillion});
      if (gate[b] >= 0)
        sum.push_back(
            {gate[b], -p.offers[static_cast<size_t>(blocks[b].offer)].setup_usd / kMillion});
    }
    for (size_t t = 0; t < T; ++t) {
      const double money = p.hours[t] * p.discount[t] / kMillion;
      std::vector<std::vector<Entry>> firm(p.pools.size()), spot(p.pools.size());
      for (size_t k = 0; k < p.pools.size(); ++k) {
        const bool open = static_cast<int>(t) >= f.pool_opens[k];
        const int on_demand = lp.AddColumn(0, open ? f.on_demand_limit[k * T + t] : 0, 0);
        const int spots = lp.AddColumn(0, open ? f.spot_limit[k * T + t] : 0, 0);
        sum.push_back({on_demand, -money * f.on_demand_usd_h[k * T + t]});
        sum.push_back({spots, -money * f.spot_usd_h[k * T + t]});
        firm[k].push_back({on_demand, -1});
        spot[k].push_back({spots, -1});
        for (size_t b = 0; b < blocks.size(); ++b) {
          const Offer& o = p.offers[static_cast<size_t>(blocks[b].offer)];
          if (o.pool == static_cast<int>(k))
            firm[k].push_back({x[b], -o.lot * Availability(p, f, blocks[b], static_cast<int>(t))});
        }
      }
      for (size_t d = 0; d < p.demands.size(); ++d) {
        const Demand& demand = p.demands[d];
        const double want = f.demand[d * T + t], floor = std::min<double>(want, f.floor[d * T + t]);
        const int missed_floor = lp.AddColumn(0, floor, 0);
        const int missed = lp.AddColumn(0, want - floor, 0);
        sum.push_back({missed_floor, -money * p.floor_usd_h});
        sum.push_back({missed, -money * demand.value_usd_h});
        floor_row.push_back({missed_floor, f.probability * p.hours[t]});
        whole_floor += f.probability * floor * p.hours[t];
        std::vector<Entry> served = {{missed_floor, 1}, {missed, 1}};
        for (const Arc& a : demand.runs_on) {
          const auto k = static_cast<size_t>(a.pool);
          const int runs = lp.AddColumn(0, kInfinity, 0);
          served.push_back({runs, a.speed});
          firm[k].push_back({runs, 1});
          if (!demand.interruptible || p.pools[k].spot_limit <= 0) continue;
          const int on_spot = lp.AddColumn(0, kInfinity, 0);
          served.push_back({on_spot, a.speed * demand.spot_speed});
          spot[k].push_back({on_spot, 1});
        }
        lp.AddRow(want, want, served);
      }
      for (size_t k = 0; k < p.pools.size(); ++k) {
        double held = 0;
        for (size_t h = 0; h < p.holdings.size(); ++h)
          if (p.holdings[h].pool == static_cast<int>(k))
            held += p.holdings[h].accelerators *
                    Availability(p, f, p.holdings[h], static_cast<int>(h), static_cast<int>(t));
        lp.AddRow(-kInfinity, held, firm[k]);
        lp.AddRow(-kInfinity, 0, spot[k]);
      }
    }
    lp.AddRow(held_cost, kInfinity, sum);
  }
  const int floor_cap = lp.AddRow(-kInfinity, kInfinity, floor_row);
  const auto solve = [&]() -> Result<std::pair<double, std::vector<double>>> {
    if (whole) {
      MipSolution m = TRY(SolveMip(lp, whole_columns, {.relative_gap = 1e-7}));
      if (m.outcome != Outcome::kOptimal) return Error(Code::kFailedPrecondition, "no answer");
      return std::pair{m.objective, m.x};
    }
    LpSolution m = TRY(lp.Solve());
    if (m.outcome != Outcome::kOptimal)
      return Error(Code::kFailedPrecondition,
                   m.outcome == Outcome::kUnbounded ? "unbounded" : "infeasible");
    return std::pair{m.objective, m.x};
  };
  Solution out;
  if (research_first && whole_floor > 0) {
    for (int j = 0; j < lp.columns(); ++j) {
      cost.resize(static_cast<size_t>(lp.columns()));
      cost[static_cast<size_t>(j)] = lp.cost(j);
      lp.SetCost(j, 0);
    }
    for (const Entry& e : floor_row) lp.SetCost(e.index, e.value / kMillion);
    out.least_floor_missed = TRY(solve())
    .first* kMillion;
    for (int j = 0; j < lp.columns(); ++j) lp.SetCost(j, cost[static_cast<size_t>(j)]);
    lp.SetRow(floor_cap, -kInfinity, out.least_floor_missed * (1 + 1e-3) + 1e-6 * whole_floor);
  }
  const auto [objective, point] = TRY(solve());
  out.objective = out.bound = objective * kMillion;
  for (const int column : x) out.lots.push_back(point[static_cast<size_t>(column)]);
  for (const Entry& e : floor_row)
    out.floor_missed += e.value * point[static_cast<size_t>(e.index)];
  return out;
}

}  // namespace weir::plan
