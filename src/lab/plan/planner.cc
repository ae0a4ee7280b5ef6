#include "lab/plan/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "lab/plan/first_stage.h"
#include "lab/plan/lp.h"
#include "lab/plan/recourse.h"

namespace weir::plan {

namespace {

constexpr double kMillion = 1e6;       // the master counts in millions: numbers near one
constexpr double kHoursOfMonth = 730;  // and missed floor in work-months
constexpr double kInside = 0.5;        // how far from the best point the next question is asked
constexpr int kIdleRounds = 15;        // a cut that binds nothing for so long goes
constexpr double kCutTolerance = 1e-7;
constexpr double kNoAccount = 1e-8;  // of the largest entry of a cut

// What one round of questions found: the slope and height of every cell.
struct Point {
  std::vector<float> worth, floor_worth;  // [(s * T + t) * P + p]; millions a month
  std::vector<double> theta, phi;         // [t * G + g]: height at nothing signed
  std::vector<double> w;                  // [s * G + g]
};

struct RowInfo {
  enum Kind { kLimit, kOffer, kSwitch, kFloorCap, kTheta, kPhi, kW, kTail } kind = kLimit;
  int point = 0, a = 0, g = 0;  // a: month, future, offer or limit
  int idle = 0;
};

struct BlockData {
  Block block;
  std::vector<float> gives;  // [s * T + t]: accelerators of one lot
  std::vector<double> cost;  // [s]: of one lot, millions
  double mean_cost = 0;
  std::vector<double> limit_use;
  int column = -1, gate = -1;  // gate: the all-or-nothing column
};

}  // namespace

struct Planner::State {
  Problem p;
  std::vector<Scenario> futures;
  std::vector<Group> groups;
  std::vector<int> group_of_pool;
  std::vector<Cells> cells;  // one per group
  std::vector<LimitSpec> limits;
  std::vector<Block> blocks;    // public: without those of a what-if
  std::vector<BlockData> data;  // all, those of a what-if last
  size_t S = 0, T = 0, P = 0, G = 0;

  LinearProgram master;
  std::vector<RowInfo> rows;
  std::vector<Point> points;
  int theta0 = 0, phi0 = 0, eta = 0, v0 = 0, w0 = 0, floor_row = -1;
  std::vector<char> has_tail_row;
  std::vector<float> held;        // [(s * T + t) * P + p]
  std::vector<double> held_cost;  // [s], millions
  double held_mean = 0;
  bool minimise_floor = false;
  double floor_cap = kInfinity;  // work-months
  double whole_floor = 0;        // expected floor in all, work-months

  std::vector<double> best_x;  // by data
  std::optional<Valuation> best;
  double lower = -kInfinity, relaxed_lower = -kInfinity;
  std::vector<double> relaxed_x;
  std::vector<double> row_dual;  // of the last relaxation, for ReducedCost
  int rounds = 0;

  double weight_mean() const { return 1 - p.risk; }

  BlockData Describe(const Problem& problem, const Block& b) const;
  void AddBlockColumns(BlockData* d, const Offer& o);
  double Coefficient(const RowInfo& row, const BlockData& d) const;
  Valuation Evaluate(std::span<const double> x, Point* point);
  int AddCuts(Point point, const Valuation& v, const LpSolution& at);
  void Purge(const LpSolution& s);
  void SetObjective();
  Result<bool> Converge(double gap, int max_rounds, const std::function<bool()>& out_of_time);
  Result<std::optional<std::vector<double>>> Dive();
  bool WithinFloor(const Valuation& v) const {
    return v.expected_floor_missed / kHoursOfMonth <=
           floor_cap * (1 + 1e-6) + 1e-6 * std::max(1.0, whole_floor);
  }
  Result<bool> FloorReachable(double cap);
  Error Explain();
};

// --- the parts of the master -----------------------------------------------------------------

BlockData Planner::State::Describe(const Problem& problem, const Block& b) const {
  BlockData d;
  d.block = b;
  d.gives.resize(S * T);
  d.cost.resize(S);
  const Offer& o = problem.offers[static_cast<size_t>(b.offer)];
  for (size_t s = 0; s < S; ++s) {
    for (size_t t = 0; t < T; ++t)
      d.gives[s * T + t] =
          static_cast<float>(o.lot * Availability(problem, futures[s], b, static_cast<int>(t)));
    d.cost[s] = LotCost(problem, futures[s], b) / kMillion;
    d.mean_cost += futures[s].probability * d.cost[s];
  }
  d.limit_use = LimitUse(problem, limits, b);
  return d;
}

double Planner::State::Coefficient(const RowInfo& row, const BlockData& d) const {
  const auto a = static_cast<size_t>(row.a);
  switch (row.kind) {
    case RowInfo::kLimit:
      return d.limit_use[a];
    case RowInfo::kOffer:
      return row.a == d.block.offer ? 1 : 0;
    case RowInfo::kTail:
      return -d.cost[a];
    case RowInfo::kTheta:
    case RowInfo::kPhi:
    case RowInfo::kW:
      break;
    default:
      return 0;
  }
  const auto pool = static_cast<size_t>(p.offers[static_cast<size_t>(d.block.offer)].pool);
  if (group_of_pool[pool] != row.g) return 0;
  const Point& point = points[static_cast<size_t>(row.point)];
  const std::vector<float>& worth = row.kind == RowInfo::kPhi ? point.floor_worth : point.worth;
  if (worth.empty()) return 0;
  double sum = 0;
  if (row.kind == RowInfo::kW) {
    for (size_t t = 0; t < T; ++t)
      sum += double{worth[(a * T + t) * P + pool]} * d.gives[a * T + t];
  } else {
    for (size_t s = 0; s < S; ++s)
      sum += futures[s].probability * worth[(s * T + a) * P + pool] * d.gives[s * T + a];
  }
  return sum;
}

// Columns of a block in all rows that are there.
void Planner::State::AddBlockColumns(BlockData* d, const Offer& o) {
  std::vector<Entry> entries;
  for (size_t i = 0; i < rows.size(); ++i)
    if (const double c = Coefficient(rows[i], *d); c != 0)
      entries.push_back({static_cast<int>(i), c});
  const double scale = minimise_floor ? 0 : weight_mean();
  d->column = master.AddColumn(0, o.max_lots, scale * d->mean_cost, entries);
  if (!NeedsSwitch(o)) return;
  entries.clear();
  const double setup = o.setup_usd / kMillion;
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i].kind == RowInfo::kTail && setup > 0)
      entries.push_back({static_cast<int>(i), -setup});
  d->gate = master.AddColumn(0, 1, scale * setup, entries);
  const Entry most[] = {{d->column, 1}, {d->gate, -static_cast<double>(o.max_lots)}};
  master.AddRow(-kInfinity, 0, most);
  rows.push_back({RowInfo::kSwitch, 0, d->block.offer, 0, 0});
  const Entry least[] = {{d->column, 1}, {d->gate, -static_cast<double>(o.min_lots)}};
  master.AddRow(0, kInfinity, least);
  rows.push_back({RowInfo::kSwitch, 0, d->block.offer, 0, 0});
}

void Planner::State::SetObjective() {
  const double cost = minimise_floor ? 0 : 1;
  for (size_t i = 0; i < T * G; ++i) {
    master.SetCost(theta0 + static_cast<int>(i), cost * weight_mean());
    master.SetCost(phi0 + static_cast<int>(i), minimise_floor ? 1 : 0);
  }
  master.SetCost(eta, cost * p.risk);
  for (size_t s = 0; s < S; ++s)
    master.SetCost(v0 + static_cast<int>(s), cost * p.risk * futures[s].probability / p.tail);
  for (const BlockData& d : data) {
    master.SetCost(d.column, cost * weight_mean() * d.mean_cost);
    if (d.gate >= 0)
      master.SetCost(d.gate, cost * weight_mean() *
                                 p.offers[static_cast<size_t>(d.block.offer)].setup_usd / kMillion);
  }
  lower = -kInfinity;
}

Planner::Planner(Problem problem, std::vector<Scenario> scenarios) : s_(std::make_unique<State>()) {
  State& s = *s_;
  s.p = std::move(problem);
  s.futures = std::move(scenarios);
  CHECK(!s.futures.empty() && s.p.months > 0);
  Finish(&s.p, s.futures);
  s.groups = GroupsOf(s.p);
  s.group_of_pool.assign(s.p.pools.size(), 0);
  for (size_t g = 0; g < s.groups.size(); ++g)
    for (const int pool : s.groups[g].pools)
      s.group_of_pool[static_cast<size_t>(pool)] = static_cast<int>(g);
  for (const Group& g : s.groups) s.cells.emplace_back(s.p, g);
  s.S = s.futures.size();
  s.T = static_cast<size_t>(s.p.months);
  s.P = s.p.pools.size();
  s.G = s.groups.size();
  s.blocks = BlocksOf(s.p);
  s.limits = LimitsOf(s.p, s.blocks);

  s.held.assign(s.S * s.T * s.P, 0);
  for (size_t f = 0; f < s.S; ++f) {
    double cost = 0;
    for (size_t h = 0; h < s.p.holdings.size(); ++h) {
      const Holding& holding = s.p.holdings[h];
      cost += HoldingCost(s.p, s.futures[f], holding, static_cast<int>(h)) / kMillion;
      for (size_t t = 0; t < s.T; ++t)
        s.held[(f * s.T + t) * s.P + static_cast<size_t>(holding.pool)] += static_cast<float>(
            holding.accelerators *
            Availability(s.p, s.futures[f], holding, static_cast<int>(h), static_cast<int>(t)));
    }
    s.held_cost.push_back(cost);
    s.held_mean += s.futures[f].probability * cost;
    for (size_t d = 0; d < s.p.demands.size(); ++d)
      for (size_t t = 0; t < s.T; ++t)
        s.whole_floor += s.futures[f].probability * s.futures[f].floor[d * s.T + t] * s.p.hours[t] /
                         kHoursOfMonth;
  }

  LinearProgram& m = s.master;
  s.theta0 = 0;
  for (size_t i = 0; i < s.T * s.G; ++i) m.AddColumn(0, kInfinity, 0);
  s.phi0 = m.columns();
  for (size_t i = 0; i < s.T * s.G; ++i) m.AddColumn(0, kInfinity, 0);
  s.eta = m.AddColumn(0, kInfinity, 0);
  s.v0 = m.columns();
  for (size_t i = 0; i < s.S; ++i) m.AddColumn(0, kInfinity, 0);
  s.w0 = m.columns();
  for (size_t i = 0; i < s.S * s.G; ++i) m.AddColumn(0, kInfinity, 0);
  s.has_tail_row.assign(s.S, 0);
  for (size_t i = 0; i < s.limits.size(); ++i) {
    m.AddRow(-kInfinity, s.limits[i].high - s.limits[i].held, {});
    s.rows.push_back({RowInfo::kLimit, 0, static_cast<int>(i), 0, 0});
  }
  for (size_t o = 0; o < s.p.offers.size(); ++o) {
    m.AddRow(-kInfinity, s.p.offers[o].max_lots, {});
    s.rows.push_back({RowInfo::kOffer, 0, static_cast<int>(o), 0, 0});
  }
  std::vector<Entry> all;
  for (size_t i = 0; i < s.T * s.G; ++i) all.push_back({s.phi0 + static_cast<int>(i), 1});
  s.floor_row = m.AddRow(-kInfinity, kInfinity, all);
  s.rows.push_back({RowInfo::kFloorCap, 0, 0, 0, 0});
  for (const Block& b : s.blocks) {
    s.data.push_back(s.Describe(s.p, b));
    s.AddBlockColumns(&s.data.back(), s.p.offers[static_cast<size_t>(b.offer)]);
  }
  s.SetObjective();
}

Planner::~Planner() = default;
const Problem& Planner::problem() const { return s_->p; }
const std::vector<Scenario>& Planner::scenarios() const { return s_->futures; }
const std::vector<Block>& Planner::blocks() const { return s_->blocks; }
double Planner::relaxed_bound() const { return s_->relaxed_lower; }

// --- one round -------------------------------------------------------------------------------

namespace {

void FillRisk(const Problem& p, const std::vector<Scenario>& futures, Valuation* v) {
  std::vector<size_t> order(v->cost.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return v->cost[a] != v->cost[b] ? v->cost[a] > v->cost[b] : a < b;
  });
  double left = p.tail, sum = 0;
  v->mean = v->expected_floor_missed = 0;
  for (size_t s = 0; s < v->cost.size(); ++s) {
    v->mean += futures[s].probability * v->cost[s];
    v->expected_floor_missed += futures[s].probability * v->floor_missed[s];
  }
  for (const size_t s : order) {
    const double take = std::min(left, futures[s].probability);
    if (take <= 0) break;
    sum += take * v->cost[s];
    left -= take;
    v->eta = v->cost[s];
  }
  v->cvar = sum / (p.tail - std::max(0.0, left));
  v->objective = (1 - p.risk) * v->mean + p.risk * v->cvar;
}

}  // namespace

Valuation Planner::State::Evaluate(std::span<const double> x, Point* point) {
  Valuation v;
  v.cost.assign(S, 0);
  v.floor_missed.assign(S, 0);
  if (point != nullptr) {
    point->worth.assign(S * T * P, 0);
    point->theta.assign(T * G, 0);
    point->phi.assign(T * G, 0);
    point->w.assign(S * G, 0);
  }
  std::vector<double> signed_now(P), committed(P);
  std::vector<double> in_group(P), worth(P), floor_worth(P);
  CellAnswer answer;
  for (size_t s = 0; s < S; ++s) {
    double cost = held_cost[s];
    for (size_t b = 0; b < data.size(); ++b) {
      if (x[b] <= 0) continue;
      cost += x[b] * data[b].cost[s];
      const double setup = p.offers[static_cast<size_t>(data[b].block.offer)].setup_usd;
      if (setup > 0) {
        // A fraction of a deal pays that fraction: what the relaxation counts.
        const double most = p.offers[static_cast<size_t>(data[b].block.offer)].max_lots;
        const bool is_whole = std::fabs(x[b] - std::round(x[b])) < 1e-9;
        cost += setup / kMillion * (is_whole ? 1 : std::min(1.0, x[b] / most));
      }
    }
    for (size_t t = 0; t < T; ++t) {
      std::fill(signed_now.begin(), signed_now.end(), 0.0);
      for (size_t b = 0; b < data.size(); ++b)
        if (x[b] > 0)
          signed_now[static_cast<size_t>(
              p.offers[static_cast<size_t>(data[b].block.offer)].pool)] +=
              x[b] * data[b].gives[s * T + t];
      const double hours = p.hours[t], money = hours * p.discount[t] / kMillion;
      for (size_t g = 0; g < G; ++g) {
        const std::vector<int>& pools = groups[g].pools;
        for (size_t i = 0; i < pools.size(); ++i) {
          const auto pool = static_cast<size_t>(pools[i]);
          in_group[i] = signed_now[pool] + held[(s * T + t) * P + pool];
        }
        cells[g].Solve(futures[s], static_cast<int>(t), {in_group.data(), pools.size()}, &answer,
                       {worth.data(), pools.size()},
                       point != nullptr ? std::span<double>(floor_worth.data(), pools.size())
                                        : std::span<double>(),
                       false);
        cost += answer.cost * money;
        v.floor_missed[s] += answer.floor_missed * hours;
        if (point == nullptr) continue;
        double height = answer.cost * money, missed = answer.floor_missed * hours / kHoursOfMonth;
        for (size_t i = 0; i < pools.size(); ++i) {
          const auto pool = static_cast<size_t>(pools[i]);
          const size_t at = (s * T + t) * P + pool;
          point->worth[at] = static_cast<float>(worth[i] * money);
          height += double{point->worth[at]} * signed_now[pool];
          if (floor_worth[i] > 0) {
            if (point->floor_worth.empty()) point->floor_worth.assign(S * T * P, 0);
            point->floor_worth[at] = static_cast<float>(floor_worth[i] * hours / kHoursOfMonth);
            missed += double{point->floor_worth[at]} * signed_now[pool];
          }
        }
        point->theta[t * G + g] += futures[s].probability * height;
        point->phi[t * G + g] += futures[s].probability * missed;
        point->w[s * G + g] += height;
      }
    }
    v.cost[s] = cost * kMillion;
  }
  FillRisk(p, futures, &v);
  return v;
}

// Tangents at `point` that the master's answer `at` violates. Returns how many.
int Planner::State::AddCuts(Point point, const Valuation& v, const LpSolution& at) {
  std::vector<char> tail(S, 0);
  if (p.risk > 0 && !minimise_floor) {
    std::vector<size_t> order(S);
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return v.cost[a] != v.cost[b] ? v.cost[a] > v.cost[b] : a < b;
    });
    double mass = 0;
    for (const size_t s : order) {
      if (mass >= 1.5 * p.tail) break;  // those just outside come in soon
      tail[s] = 1;
      mass += futures[s].probability;
    }
  }
  const int index = static_cast<int>(points.size());
  const bool floors = !point.floor_worth.empty();
  std::vector<std::vector<Entry>> theta(T * G), phi(T * G), w(S * G);
  std::vector<double> by_month(T), floor_by_month(T), by_future(S);
  for (const BlockData& d : data) {
    const auto pool = static_cast<size_t>(p.offers[static_cast<size_t>(d.block.offer)].pool);
    const auto g = static_cast<size_t>(group_of_pool[pool]);
    std::fill(by_month.begin(), by_month.end(), 0.0);
    std::fill(floor_by_month.begin(), floor_by_month.end(), 0.0);
    for (size_t s = 0; s < S; ++s) {
      const double probability = futures[s].probability;
      double sum = 0;
      for (size_t t = 0; t < T; ++t) {
        const double gives = d.gives[s * T + t];
        if (gives == 0) continue;
        const double saved = gives * point.worth[(s * T + t) * P + pool];
        by_month[t] += probability * saved;
        sum += saved;
        if (floors)
          floor_by_month[t] += probability * gives * point.floor_worth[(s * T + t) * P + pool];
      }
      if (tail[s] && sum != 0) w[s * G + g].push_back({d.column, sum});
    }
    for (size_t t = 0; t < T; ++t) {
      if (by_month[t] != 0) theta[t * G + g].push_back({d.column, by_month[t]});
      if (floor_by_month[t] != 0) phi[t * G + g].push_back({d.column, floor_by_month[t]});
    }
  }
  int added = 0;
  const auto cut = [&](RowInfo::Kind kind, size_t a, size_t g, int column, double height,
                       std::vector<Entry>* entries) {
    double lhs = at.x.empty() ? 0 : at.x[static_cast<size_t>(column)];
    if (!at.x.empty())
      for (const Entry& e : *entries)
        if (static_cast<size_t>(e.index) < at.x.size())
          lhs += e.value * at.x[static_cast<size_t>(e.index)];
    if (height - lhs <= kCutTolerance * std::max(1.0, std::fabs(height))) return;
    // Entries of no account only spoil the solver's scaling; without them the cut must lie as low.
    double largest = 1;
    for (const Entry& e : *entries) largest = std::max(largest, e.value);
    std::erase_if(*entries, [&](const Entry& e) {
      if (e.value >= kNoAccount * largest) return false;
      height -= e.value * master.high(e.index);
      return true;
    });
    entries->push_back({column, 1});
    master.AddRow(height, kInfinity, *entries);
    rows.push_back({kind, index, static_cast<int>(a), static_cast<int>(g), 0});
    ++added;
  };
  for (size_t t = 0; t < T; ++t) {
    for (size_t g = 0; g < G; ++g) {
      const size_t i = t * G + g;
      if (!minimise_floor)
        cut(RowInfo::kTheta, t, g, theta0 + static_cast<int>(i), point.theta[i], &theta[i]);
      if (point.phi[i] > 0 && (minimise_floor || std::isfinite(floor_cap)))
        cut(RowInfo::kPhi, t, g, phi0 + static_cast<int>(i), point.phi[i], &phi[i]);
    }
  }
  for (size_t s = 0; s < S; ++s) {
    if (!tail[s]) continue;
    if (!has_tail_row[s]) {
      std::vector<Entry> entries = {{v0 + static_cast<int>(s), 1}, {eta, 1}};
      for (size_t g = 0; g < G; ++g) entries.push_back({w0 + static_cast<int>(s * G + g), -1});
      for (const BlockData& d : data) {
        if (d.cost[s] != 0) entries.push_back({d.column, -d.cost[s]});
        const double setup = p.offers[static_cast<size_t>(d.block.offer)].setup_usd / kMillion;
        if (d.gate >= 0 && setup > 0) entries.push_back({d.gate, -setup});
      }
      master.AddRow(held_cost[s], kInfinity, entries);
      rows.push_back({RowInfo::kTail, 0, static_cast<int>(s), 0, 0});
      has_tail_row[s] = 1;
      ++added;
    }
    for (size_t g = 0; g < G; ++g) {
      const size_t i = s * G + g;
      cut(RowInfo::kW, s, g, w0 + static_cast<int>(i), point.w[i], &w[i]);
    }
  }
  if (added > 0) points.push_back(std::move(point));
  return added;
}

// Cuts that have bound nothing for long go; a point without cuts gives its memory back.
void Planner::State::Purge(const LpSolution& s) {
  std::vector<int> gone;
  std::vector<char> in_use(points.size(), 0);
  for (size_t i = 0; i < rows.size(); ++i) {
    RowInfo& row = rows[i];
    if (row.kind < RowInfo::kTheta || row.kind == RowInfo::kTail) continue;
    if (i < s.row_dual.size() && std::fabs(s.row_dual[i]) > 1e-12)
      row.idle = 0;
    else if (i < s.row_dual.size())
      ++row.idle;
    if (row.idle > kIdleRounds)
      gone.push_back(static_cast<int>(i));
    else
      in_use[static_cast<size_t>(row.point)] = 1;
  }
  if (gone.size() < rows.size() / 10 || gone.size() < 100) return;
  master.RemoveRows(gone);
  size_t next = 0, to = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (next < gone.size() && gone[next] == static_cast<int>(i)) {
      ++next;
      continue;
    }
    rows[to++] = rows[i];
  }
  rows.resize(to);
  for (size_t k = 0; k < points.size(); ++k)
    if (!in_use[k]) points[k] = Point{};
}

// Rounds until the relaxation is known within `gap`. False: no point meets the limits.
Result<bool> Planner::State::Converge(double gap, int max_rounds,
                                      const std::function<bool()>& out_of_time) {
  const auto measure = [&](const Valuation& v) {
    return minimise_floor ? v.expected_floor_missed / kHoursOfMonth : v.objective / kMillion;
  };
  const double constant = minimise_floor ? 0 : weight_mean() * held_mean;
  for (int round = 0; round < max_rounds; ++round) {
    LpSolution m = TRY(master.Solve());
    if (m.outcome == Outcome::kInfeasible) return false;
    CHECK(m.outcome == Outcome::kOptimal);
    lower = std::max(lower, m.objective + constant);
    row_dual = m.row_dual;
    if (best) {
      const double have = measure(*best);
      const double slack = minimise_floor ? 1e-6 * std::max(1.0, whole_floor) : 0;
      if (have - lower <= gap * std::fabs(have) + slack) return true;
    }
    if (out_of_time && best && out_of_time()) return true;
    std::vector<double> x(data.size());
    const auto ask = [&](double inside) -> int {
      for (size_t b = 0; b < data.size(); ++b) {
        const double here =
            std::clamp(m.x[static_cast<size_t>(data[b].column)], 0.0, master.high(data[b].column));
        x[b] = best ? inside * here + (1 - inside) * best_x[b] : here;
        if (x[b] < 1e-9) x[b] = 0;
      }
      Point point;
      Valuation v = Evaluate(x, &point);
      ++rounds;
      const int added = AddCuts(std::move(point), v, m);
      if (WithinFloor(v) && (!best || measure(v) < measure(*best))) {
        best = std::move(v);
        best_x = x;
      }
      return added;
    };
    int added = ask(best ? kInside : 1);
    // Nothing cut off: the master's own answer is the next question.
    if (added == 0) added = ask(1);
    if (added == 0) return true;  // the master is exact there
    Purge(m);
  }
  return true;
}

// --- whole lots ------------------------------------------------------------------------------

// Rounds the master's answer a few blocks at a time, nearest first, re-solving in between so that
// the others make up for it. nullopt: it ran into a corner.
Result<std::optional<std::vector<double>>> Planner::State::Dive() {
  struct Saved {
    int column;
    double low, high;
  };
  std::vector<Saved> saved;
  const auto fix = [&](int column, double value) {
    saved.push_back({column, master.low(column), master.high(column)});
    master.SetColumn(column, value, value);
  };
  const auto undo = [&](size_t to) {
    while (saved.size() > to) {
      master.SetColumn(saved.back().column, saved.back().low, saved.back().high);
      saved.pop_back();
    }
  };
  struct Choice {
    double distance, value;
    size_t block;
    bool operator<(const Choice& o) const {
      return distance != o.distance ? distance < o.distance : block < o.block;
    }
  };
  std::optional<std::vector<double>> out;
  LpSolution m = TRY(master.Solve());
  while (m.outcome == Outcome::kOptimal) {
    std::vector<Choice> open;
    for (size_t b = 0; b < data.size(); ++b) {
      const BlockData& d = data[b];
      const double x = m.x[static_cast<size_t>(d.column)];
      const Offer& o = p.offers[static_cast<size_t>(d.block.offer)];
      double value = std::round(x);
      if (d.gate >= 0 && master.high(d.gate) > master.low(d.gate) && x > 1e-6) {
        // All or nothing: at least the least, if more than half of it is wanted.
        const double least = std::max(1, o.min_lots);
        value = x < 0.5 * least ? 0 : std::max(least, std::round(x));
        open.push_back({std::fabs(x - value), value, b});
        continue;
      }
      if (std::fabs(x - value) > 1e-6) open.push_back({std::fabs(x - value), value, b});
    }
    if (open.empty()) {
      out.emplace(data.size());
      for (size_t b = 0; b < data.size(); ++b)
        (*out)[b] = std::round(m.x[static_cast<size_t>(data[b].column)]);
      break;
    }
    std::sort(open.begin(), open.end());
    const auto take = [&](const Choice& c, double value) {
      fix(data[c.block].column, value);
      if (data[c.block].gate >= 0) fix(data[c.block].gate, value > 0 ? 1 : 0);
    };
    const size_t mark = saved.size();
    size_t batch = std::max<size_t>(1, open.size() / 6);
    for (;;) {
      for (size_t i = 0; i < batch; ++i) take(open[i], open[i].value);
      m = TRY(master.Solve());
      if (m.outcome == Outcome::kOptimal) break;
      undo(mark);
      if (batch > 1) {
        batch = 1;
        continue;
      }
      // The other way round, and if that is no way either, this dive is over.
      const double x_down = open[0].value > 0 ? open[0].value - 1 : 1;
      const BlockData& d = data[open[0].block];
      take(open[0],
           d.gate >= 0 ? 0 : std::clamp(x_down, master.low(d.column), master.high(d.column)));
      m = TRY(master.Solve());
      break;
    }
  }
  undo(0);
  return out;
}

Result<Solution> Planner::Solve(const SolveOptions& options) {
  State& s = *s_;
  s.rounds = 0;
  s.best_x.assign(s.data.size(), 0);
  s.best.reset();
  Solution out;
  const auto forget_best = [&] {
    s.best.reset();
    s.best_x.assign(s.data.size(), 0);
  };

  // Research first: the least shortfall of its floor that any plan within the limits can reach.
  const double allowed = s.p.limits.research_shortfall;
  s.floor_cap = kInfinity;
  s.master.SetRow(s.floor_row, -kInfinity, kInfinity);
  if ((options.research_first || std::isfinite(allowed)) && s.whole_floor > 0) {
    s.minimise_floor = true;
    s.SetObjective();
    const bool possible = TRY(s.Converge(0.1 * options.relaxed_gap, options.max_rounds, nullptr));
    if (!possible) return s.Explain();
    const double least = s.best ? s.best->expected_floor_missed / kHoursOfMonth : 0;
    out.least_floor_missed = least * kHoursOfMonth;
    if (std::isfinite(allowed) &&
        least > allowed * s.whole_floor * (1 + 1e-3) + 1e-6 * s.whole_floor) {
      return s.Explain();
    }
    const double cap = options.research_first ? least : allowed * s.whole_floor;
    s.floor_cap = cap * (1 + 1e-3) + 1e-6 * s.whole_floor;
    s.minimise_floor = false;
    s.SetObjective();
    s.master.SetRow(s.floor_row, -kInfinity, s.floor_cap);
  } else {
    s.minimise_floor = false;
    s.SetObjective();
  }
  if (s.best && !s.WithinFloor(*s.best)) forget_best();
  if (!TRY(s.Converge(options.relaxed_gap, options.max_rounds, options.out_of_time)))
    return s.Explain();
  if (!s.best)
    return Error(Code::kInternal, "the relaxation found no point within the floor's shortfall");
  s.relaxed_lower = s.lower;
  s.relaxed_x = s.best_x;
  const LpSolution last = TRY(s.master.Solve());
  s.row_dual = last.row_dual;
  for (const BlockData& d : s.data)
    out.reduced.push_back(last.reduced_cost[static_cast<size_t>(d.column)] * kMillion);
  out.relaxed_bound = s.relaxed_lower * kMillion;

  Valuation chosen = *s.best;
  std::vector<double> x = s.best_x;
  double bound = s.lower;
  if (options.whole) {
    std::optional<Valuation> whole;
    std::vector<double> whole_x;
    const auto offer_point = [&](const std::vector<double>& candidate) {
      Point point;
      Valuation v = s.Evaluate(candidate, &point);
      ++s.rounds;
      s.AddCuts(std::move(point), v, LpSolution{});
      if (s.WithinFloor(v) && (!whole || v.objective < whole->objective)) {
        whole = std::move(v);
        whole_x = candidate;
      }
    };
    const auto gap = [&] {
      return whole ? (whole->objective / kMillion - bound) / std::fabs(whole->objective / kMillion)
                   : kInfinity;
    };
    for (int dive = 0; dive < 4 && gap() > options.gap; ++dive) {
      if (dive > 0 && whole && options.out_of_time && options.out_of_time()) break;
      const auto found = TRY(s.Dive());
      if (!found) break;
      offer_point(*found);
    }
    std::vector<int> columns;
    for (const BlockData& d : s.data) {
      columns.push_back(d.column);
      if (d.gate >= 0) columns.push_back(d.gate);
    }
    // One answer of Cbc to the master as it stands; false: whole lots cannot meet it.
    const auto ask_cbc = [&](std::vector<double>* lots, double* at_least) -> Result<bool> {
      MipOptions mip;
      mip.relative_gap = 0.3 * options.gap;
      mip.max_seconds = 30;
      const MipSolution answer = TRY(SolveMip(s.master, columns, mip));
      if (answer.outcome == Outcome::kInfeasible) return false;
      *at_least = answer.bound;
      lots->clear();
      for (const BlockData& d : s.data) lots->push_back(answer.x[static_cast<size_t>(d.column)]);
      return true;
    };
    const auto prove = [&]() -> Status {
      for (int call = 0; call < 60 && (gap() > options.gap || (options.prove && call == 0));
           ++call) {
        if (whole && options.out_of_time && options.out_of_time()) break;
        std::vector<double> lots;
        double at_least = 0;
        const Result<bool> possible = ask_cbc(&lots, &at_least);
        if (!possible) {
          if (whole && possible.error().code() == Code::kDeadlineExceeded) break;
          return possible.error();
        }
        if (!*possible) break;
        out.proven_by_cbc = true;
        bound = std::max(bound, at_least + s.weight_mean() * s.held_mean);
        const size_t before = s.rows.size();
        offer_point(lots);
        if (s.rows.size() == before) break;
      }
      return {};
    };
    TRY(prove());
    if (!whole && std::isfinite(s.floor_cap)) {
      // Parts of lots can meet the floor to the last hour, whole ones cannot: the least that whole
      // lots can reach, and then the cost again.
      s.minimise_floor = true;
      s.SetObjective();
      s.master.SetRow(s.floor_row, -kInfinity, kInfinity);
      double least = kInfinity, at_least = 0;
      std::vector<double> lots;
      for (int call = 0; call < 60; ++call) {
        if (!TRY(ask_cbc(&lots, &at_least))) break;
        Point point;
        const Valuation v = s.Evaluate(lots, &point);
        ++s.rounds;
        least = std::min(least, v.expected_floor_missed / kHoursOfMonth);
        if (least - at_least <= 1e-4 * least + 1e-7 * s.whole_floor) break;
        if (s.AddCuts(std::move(point), v, LpSolution{}) == 0) break;
      }
      s.minimise_floor = false;
      s.SetObjective();
      if (std::isfinite(least)) {
        if (std::isfinite(allowed) &&
            least > allowed * s.whole_floor * (1 + 1e-3) + 1e-6 * s.whole_floor)
          return Error(
                     Code::kFailedPrecondition,
                     "no plan of whole lots meets the research floor within the limits, though one "
                     "with parts of lots would")
              .Hint("ask for smaller lots or least quantities, or widen the tightest limit");
        s.floor_cap = std::max(s.floor_cap, least * (1 + 1e-3) + 1e-6 * s.whole_floor);
        out.least_floor_missed = least * kHoursOfMonth;
        s.master.SetRow(s.floor_row, -kInfinity, s.floor_cap);
        TRY(s.Converge(options.relaxed_gap, options.max_rounds, options.out_of_time));
        bound = s.lower;
        s.relaxed_lower = s.lower;
        s.relaxed_x = s.best_x;
        out.relaxed_bound = s.lower * kMillion;
        offer_point(lots);
        for (int dive = 0; dive < 2 && gap() > options.gap; ++dive) {
          const auto found = TRY(s.Dive());
          if (!found) break;
          offer_point(*found);
        }
        TRY(prove());
      }
    }
    if (!whole)
      return Error(Code::kFailedPrecondition, "no plan of whole lots was found within the limits")
          .Hint("ask for smaller lots or least quantities, or widen the tightest limit");
    chosen = *whole;
    x = whole_x;
  }
  out.lots.assign(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(s.blocks.size()));
  out.objective = chosen.objective;
  out.bound = std::min(bound * kMillion, chosen.objective);
  out.mean = chosen.mean;
  out.cvar = chosen.cvar;
  out.eta = chosen.eta;
  out.floor_missed = chosen.expected_floor_missed;
  out.rounds = s.rounds;
  return out;
}

// --- what if ---------------------------------------------------------------------------------

Result<Planner::WhatIf> Planner::Try(int offer, const std::optional<Offer>& change, double gap,
                                     double least_lots) {
  State& s = *s_;
  const int columns = s.master.columns();
  const size_t known = s.data.size();
  const int rounds = s.rounds;
  const Offer before = s.p.offers[static_cast<size_t>(offer)];
  for (const BlockData& d : s.data)
    if (d.block.offer == offer) s.master.SetColumn(d.column, 0, 0);
  std::vector<double> start = s.relaxed_x;
  start.resize(known);
  double had = 0;
  for (size_t b = 0; b < known; ++b)
    if (s.data[b].block.offer == offer) {
      had += start[b];
      start[b] = 0;
    }
  int offer_row = -1;
  for (size_t i = 0; i < s.rows.size(); ++i)
    if (s.rows[i].kind == RowInfo::kOffer && s.rows[i].a == offer) offer_row = static_cast<int>(i);
  if (change) {
    s.p.offers[static_cast<size_t>(offer)] = *change;
    Problem one = s.p;
    for (size_t i = 0; i < one.offers.size(); ++i)
      if (static_cast<int>(i) != offer) one.offers[i].last_start = -1;  // only its blocks
    for (const Block& b : BlocksOf(one)) {
      s.data.push_back(s.Describe(s.p, b));
      s.AddBlockColumns(&s.data.back(), *change);
      start.push_back(0);
    }
    if (s.data.size() > known)
      start[known] = std::clamp<double>(std::max(had, least_lots), 0, change->max_lots);
    s.master.SetRow(offer_row, least_lots > 0 ? least_lots : -kInfinity, change->max_lots);
  }
  s.lower = -kInfinity;
  s.best.reset();
  s.best_x = start;
  Point point;
  Valuation v = s.Evaluate(start, &point);
  s.AddCuts(std::move(point), v, LpSolution{});
  bool feasible = s.WithinFloor(v);
  for (size_t i = 0; i < s.limits.size() && feasible; ++i) {
    double use = s.limits[i].held;
    for (size_t b = 0; b < s.data.size(); ++b) use += start[b] * s.data[b].limit_use[i];
    feasible = use <= s.limits[i].high + 1e-6 * std::max(1.0, std::fabs(s.limits[i].high));
  }
  if (feasible) s.best = v;
  const Result<bool> found = s.Converge(gap, 60, nullptr);
  WhatIf out;
  if (found && *found) {
    out.bound = s.lower * kMillion;
    out.objective = s.best ? s.best->objective : kInfinity;
    for (size_t b = 0; b < s.data.size(); ++b)
      if (s.data[b].block.offer == offer && b < s.best_x.size()) out.lots += s.best_x[b];
  } else {
    out.bound = out.objective = kInfinity;
  }
  out.rounds = s.rounds - rounds;
  // Back to what was, but for the cuts.
  std::vector<int> gates;
  for (size_t i = 0; i < s.rows.size(); ++i) {
    if (s.rows[i].kind != RowInfo::kSwitch) continue;
    for (const Entry& e : s.master.matrix()[i])
      if (e.index >= columns) {
        gates.push_back(static_cast<int>(i));
        break;
      }
  }
  s.master.RemoveRows(gates);
  for (size_t i = gates.size(); i-- > 0;) s.rows.erase(s.rows.begin() + gates[i]);
  s.master.KeepColumns(columns);
  s.data.resize(known);
  s.p.offers[static_cast<size_t>(offer)] = before;
  for (const BlockData& d : s.data)
    if (d.block.offer == offer) s.master.SetColumn(d.column, 0, before.max_lots);
  for (size_t i = 0; i < s.rows.size(); ++i)
    if (s.rows[i].kind == RowInfo::kOffer && s.rows[i].a == offer)
      s.master.SetRow(static_cast<int>(i), -kInfinity, before.max_lots);
  s.best_x = s.relaxed_x;
  s.best.reset();
  if (!found) return found.error();
  return out;
}

double Planner::ReducedCost(int offer, const Offer& terms) const {
  const State& s = *s_;
  Problem one = s.p;
  for (Offer& o : one.offers) o.last_start = o.first_start - 1;  // only its blocks
  one.offers[static_cast<size_t>(offer)] = terms;
  double least = kInfinity;
  for (const Block& b : BlocksOf(one)) {
    const BlockData d = s.Describe(one, b);
    double reduced = s.weight_mean() * d.mean_cost;
    for (size_t i = 0; i < s.rows.size() && i < s.row_dual.size(); ++i)
      if (s.row_dual[i] != 0 && s.rows[i].kind != RowInfo::kOffer)
        reduced -= s.row_dual[i] * s.Coefficient(s.rows[i], d);
    least = std::min(least, reduced * kMillion);
  }
  return least;
}

Valuation Planner::Value(std::span<const double> lots) const {
  CHECK(lots.size() == s_->blocks.size());
  return s_->Evaluate(lots, nullptr);
}

bool Planner::Feasible(std::span<const double> lots) const {
  const State& s = *s_;
  std::vector<double> by_offer(s.p.offers.size(), 0);
  for (size_t b = 0; b < s.blocks.size(); ++b) {
    const Offer& o = s.p.offers[static_cast<size_t>(s.blocks[b].offer)];
    if (std::fabs(lots[b] - std::round(lots[b])) > 1e-6 || lots[b] < -1e-9) return false;
    if (lots[b] > 0.5 && lots[b] < o.min_lots - 1e-6) return false;
    by_offer[static_cast<size_t>(s.blocks[b].offer)] += lots[b];
  }
  for (size_t o = 0; o < by_offer.size(); ++o)
    if (by_offer[o] > s.p.offers[o].max_lots + 1e-6) return false;
  for (const LimitSpec& l : s.limits) {
    double use = l.held;
    for (size_t b = 0; b < s.blocks.size(); ++b) use += lots[b] * l.per_lot[b];
    if (use > l.high + 1e-6 * std::max(1.0, std::fabs(l.high))) return false;
  }
  return true;
}

std::vector<LimitRow> Planner::limits() const {
  std::vector<LimitRow> out;
  const State& s = *s_;
  for (size_t i = 0; i < s.rows.size(); ++i) {
    if (s.rows[i].kind != RowInfo::kLimit) continue;
    const LimitSpec& l = s.limits[static_cast<size_t>(s.rows[i].a)];
    const double dual = i < s.row_dual.size() ? s.row_dual[i] : 0;
    const double one_percent = 0.01 * (l.high != 0 ? std::fabs(l.high) : 0);
    out.push_back({l.what, l.group, -dual * one_percent * kMillion});
  }
  return out;
}

// --- no answer -------------------------------------------------------------------------------

// Can the floor's expected shortfall be held to `cap` within the limits that are on?
Result<bool> Planner::State::FloorReachable(double cap) {
  best.reset();
  best_x.assign(data.size(), 0);
  lower = -kInfinity;
  for (int round = 0; round < 200; ++round) {
    LpSolution m = TRY(master.Solve());
    if (m.outcome == Outcome::kInfeasible) return false;
    if (m.objective > cap * (1 + 1e-3) + 1e-6 * std::max(1.0, whole_floor)) return false;
    std::vector<double> x(data.size());
    for (size_t b = 0; b < data.size(); ++b)
      x[b] = std::max(0.0, m.x[static_cast<size_t>(data[b].column)]);
    Point point;
    const Valuation v = Evaluate(x, &point);
    if (v.expected_floor_missed / kHoursOfMonth <=
        cap * (1 + 1e-3) + 1e-6 * std::max(1.0, whole_floor))
      return true;
    if (AddCuts(std::move(point), v, m) == 0) return true;
  }
  return true;
}

// An irreducible set of limits that cannot hold together, by deletion: each is left out in turn,
// and stays out if there still is no answer without it.
Error Planner::State::Explain() {
  minimise_floor = true;
  SetObjective();
  master.SetRow(floor_row, -kInfinity, kInfinity);
  bool floor_asked = std::isfinite(p.limits.research_shortfall);
  const double cap = floor_asked ? p.limits.research_shortfall * whole_floor : kInfinity;
  std::vector<std::string> conflict;
  std::string hint = "widen one of them";
  // Limits first, one group at a time, then row by row within what is left.
  std::vector<std::vector<int>> parts;
  std::vector<std::string> names;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].kind != RowInfo::kLimit) continue;
    const std::string& group = limits[static_cast<size_t>(rows[i].a)].group;
    if (names.empty() || std::find(names.begin(), names.end(), group) == names.end()) {
      names.push_back(group);
      parts.emplace_back();
    }
    const auto at = std::find(names.begin(), names.end(), group) - names.begin();
    parts[static_cast<size_t>(at)].push_back(static_cast<int>(i));
  }
  const auto loosen = [&](int row) { master.SetRow(row, -kInfinity, kInfinity); };
  const auto restore = [&](int row) {
    const LimitSpec& l = limits[static_cast<size_t>(rows[static_cast<size_t>(row)].a)];
    master.SetRow(row, -kInfinity, l.high - l.held);
  };
  const auto reachable = [&]() -> bool {
    const Result<bool> r = FloorReachable(cap);
    return r && *r;
  };
  if (floor_asked) {
    // Is the floor needed for the conflict?
    LpSolution m;
    if (auto r = master.Solve(); r && r->outcome == Outcome::kInfeasible) floor_asked = false;
  }
  const double needed = floor_asked ? cap : kInfinity;
  const auto conflicts = [&]() -> bool {
    if (std::isfinite(needed)) return !reachable();
    auto r = master.Solve();
    return r && r->outcome == Outcome::kInfeasible;
  };
  for (const auto& part : parts) {
    for (const int row : part) loosen(row);
    if (conflicts()) continue;
    for (const int row : part) restore(row);
    for (const int row : part) {
      loosen(row);
      if (conflicts()) continue;
      restore(row);
      conflict.push_back(limits[static_cast<size_t>(rows[static_cast<size_t>(row)].a)].what);
    }
  }
  if (floor_asked) {
    conflict.insert(conflict.begin(),
                    fmt::format("the research floor: at most {:.3g}% of it missed",
                                100 * p.limits.research_shortfall));
    hint = conflict.size() > 1
               ? "widen one of them, or lower the floor"
               : "no offer, on-demand or spot capacity can reach it, whatever is signed: add "
                 "offers with a shorter lead time, or lower the floor";
  }
  if (!p.holdings.empty() && !floor_asked)
    hint = "the contracts in force use them up already: widen one, or end a contract";
  std::string sentence;
  for (const std::string& c : conflict) sentence += (sentence.empty() ? "" : "; ") + c;
  return Error(Code::kFailedPrecondition,
               fmt::format("no plan meets all limits. {} cannot hold together{}: {}",
                           conflict.size() == 1 ? "One" : fmt::format("These {}", conflict.size()),
                           conflict.size() == 1 ? " with what is offered" : "", sentence))
      .Hint(std::move(hint));
}

}  // namespace weir::plan
