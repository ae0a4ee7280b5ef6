#include "lab/plan/recourse.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace weir::plan {

namespace {
constexpr double kTiny = 1e-9;
constexpr double kUnbounded = 1e30;
constexpr int kBlandAfter = 200;    // pivots by steepest price; then the rule that cannot cycle
constexpr int kMostPivots = 20000;  // beyond that the numbers are at fault
}  // namespace

std::vector<Group> GroupsOf(const Problem& p) {
  std::vector<int> parent(p.pools.size());
  std::iota(parent.begin(), parent.end(), 0);
  const auto find = [&](int i) {
    while (parent[static_cast<size_t>(i)] != i) i = parent[static_cast<size_t>(i)];
    return i;
  };
  for (const Demand& d : p.demands) {
    for (const Arc& a : d.runs_on) {
      const int x = find(d.runs_on[0].pool), y = find(a.pool);
      parent[static_cast<size_t>(std::max(x, y))] = std::min(x, y);
    }
  }
  std::vector<Group> out;
  std::vector<int> group_of(p.pools.size(), -1);
  for (size_t i = 0; i < p.pools.size(); ++i) {
    const auto root = static_cast<size_t>(find(static_cast<int>(i)));
    if (group_of[root] < 0) {
      group_of[root] = static_cast<int>(out.size());
      out.emplace_back();
    }
    out[static_cast<size_t>(group_of[root])].pools.push_back(static_cast<int>(i));
  }
  for (size_t d = 0; d < p.demands.size(); ++d) {
    if (p.demands[d].runs_on.empty()) {
      out.push_back({{}, {static_cast<int>(d)}});
      continue;
    }
    const auto root = static_cast<size_t>(find(p.demands[d].runs_on[0].pool));
    out[static_cast<size_t>(group_of[root])].demands.push_back(static_cast<int>(d));
  }
  return out;
}

Cells::Cells(const Problem& problem, const Group& group) : problem_(&problem), group_(&group) {
  demands_ = static_cast<int>(group.demands.size());
  pools_ = static_cast<int>(group.pools.size());
  rows_ = demands_ + 2 * pools_;
  std::vector<int> place(problem.pools.size(), -1);
  for (int p = 0; p < pools_; ++p)
    place[static_cast<size_t>(group.pools[static_cast<size_t>(p)])] = p;
  std::vector<std::vector<Arc>> entries;  // rows of each column
  const auto add = [&](Column c, std::vector<Arc> rows) {
    columns_.push_back(c);
    entries.push_back(std::move(rows));
  };
  for (int d = 0; d < demands_; ++d) {
    const Demand& demand =
        problem.demands[static_cast<size_t>(group.demands[static_cast<size_t>(d)])];
    for (const Arc& a : demand.runs_on) {
      const int p = place[static_cast<size_t>(a.pool)];
      add({Column::kFirm, d, p}, {{d, a.speed}, {demands_ + p, 1}});
      if (demand.interruptible && problem.pools[static_cast<size_t>(a.pool)].spot_limit > 0)
        add({Column::kSpotArc, d, p},
            {{d, a.speed * demand.spot_speed}, {demands_ + pools_ + p, 1}});
    }
    add({Column::kFloor, d, -1}, {{d, 1}});
    add({Column::kRest, d, -1}, {{d, 1}});
  }
  for (int p = 0; p < pools_; ++p) {
    add({Column::kOnDemand, -1, p}, {{demands_ + p, -1}});
    add({Column::kSpot, -1, p}, {{demands_ + pools_ + p, -1}});
  }
  for (int p = 0; p < 2 * pools_; ++p) add({Column::kSlack, -1, p}, {{demands_ + p, 1}});
  const size_t n = columns_.size();
  matrix_.assign(static_cast<size_t>(rows_) * n, 0.0);
  for (size_t j = 0; j < n; ++j)
    for (const Arc& e : entries[j]) matrix_[static_cast<size_t>(e.pool) * n + j] = e.speed;
  tab_ = matrix_;
  cost_.assign(n, 0);
  floor_cost_.assign(n, 0);
  high_.assign(n, 0);
  reduced_.assign(n, 0);
  value_.assign(n, 0);
  at_high_.assign(n, 0);
  basic_.assign(n, 0);
  rhs_.assign(static_cast<size_t>(rows_), 0);
  basis_.assign(static_cast<size_t>(rows_), 0);
  nonzero_.reserve(n);
}

// Nothing is served: missed floors stand at their bound, missed rest is basic, and so are slacks.
void Cells::Load(const Scenario& s, int month, std::span<const double> committed) {
  const auto t = static_cast<size_t>(month), months = static_cast<size_t>(problem_->months);
  std::copy(matrix_.begin(), matrix_.end(), tab_.begin());
  for (size_t j = 0; j < columns_.size(); ++j) {
    const Column& c = columns_[j];
    cost_[j] = floor_cost_[j] = 0;
    high_[j] = kUnbounded;
    at_high_[j] = basic_[j] = 0;
    switch (c.kind) {
      case Column::kFirm:
      case Column::kSpotArc:
        break;
      case Column::kFloor:
      case Column::kRest: {
        const auto d = static_cast<size_t>(group_->demands[static_cast<size_t>(c.demand)]);
        const double whole = std::max(0.0f, s.demand[d * months + t]);
        const double floor = std::clamp(double{s.floor[d * months + t]}, 0.0, whole);
        if (c.kind == Column::kFloor) {
          cost_[j] = problem_->floor_usd_h;
          floor_cost_[j] = 1;
          high_[j] = floor;
          at_high_[j] = 1;
        } else {
          cost_[j] = problem_->demands[d].value_usd_h;
          high_[j] = whole - floor;
          basic_[j] = 1;
          basis_[static_cast<size_t>(c.demand)] = static_cast<int>(j);
          rhs_[static_cast<size_t>(c.demand)] = whole - floor;
        }
        break;
      }
      case Column::kOnDemand:
      case Column::kSpot: {
        const auto p = static_cast<size_t>(group_->pools[static_cast<size_t>(c.pool)]);
        const bool spot = c.kind == Column::kSpot, open = month >= s.pool_opens[p];
        cost_[j] = (spot ? s.spot_usd_h : s.on_demand_usd_h)[p * months + t];
        high_[j] =
            open ? std::max(0.0f, (spot ? s.spot_limit : s.on_demand_limit)[p * months + t]) : 0.0;
        break;
      }
      case Column::kSlack: {
        const auto row = static_cast<size_t>(demands_ + c.pool);
        basic_[j] = 1;
        basis_[row] = static_cast<int>(j);
        rhs_[row] = c.pool < pools_ ? std::max(0.0, committed[static_cast<size_t>(c.pool)]) : 0.0;
        break;
      }
    }
  }
}

// Reduced costs of all columns for `cost` in the current basis: c_j - sum_i c_basis(i) tab_ij.
void Cells::Price(std::span<const double> cost) {
  const size_t n = columns_.size();
  std::copy(cost.begin(), cost.end(), reduced_.begin());
  for (size_t i = 0; i < static_cast<size_t>(rows_); ++i) {
    const double c = cost[static_cast<size_t>(basis_[i])];
    if (c == 0) continue;
    const double* row = &tab_[i * n];
    for (size_t j = 0; j < n; ++j) reduced_[j] -= c * row[j];
  }
}

// Primal simplex with bounds, from the basis and the reduced costs at hand.
void Cells::Simplex() {
  const size_t n = columns_.size();
  for (int pivot = 0;; ++pivot) {
    CHECK_MSG(pivot < kMostPivots, "a cell of {} rows and {} columns does not end", rows_, n);
    const bool bland = pivot >= kBlandAfter;
    int enter = -1;
    double best = kTiny;
    for (size_t j = 0; j < n; ++j) {
      if (basic_[j] || high_[j] <= 0) continue;
      const double gain = at_high_[j] ? reduced_[j] : -reduced_[j];
      if (gain > best) {
        enter = static_cast<int>(j);
        if (bland) break;
        best = gain;
      }
    }
    if (enter < 0) return;
    const auto e = static_cast<size_t>(enter);
    const double sign = at_high_[e] ? -1 : 1;  // the entering one rises or falls
    double step = high_[e];
    int leave = -1;
    bool to_high = false;
    for (int i = 0; i < rows_; ++i) {
      const auto r = static_cast<size_t>(i);
      const double a = sign * tab_[r * n + e];
      if (std::fabs(a) < 1e-11) continue;
      const double room = a > 0 ? rhs_[r] : high_[static_cast<size_t>(basis_[r])] - rhs_[r];
      const double limit = std::max(0.0, room) / std::fabs(a);
      if (limit < step - 1e-12 ||
          (limit <= step && leave >= 0 && basis_[r] < basis_[static_cast<size_t>(leave)])) {
        step = std::min(step, limit);
        leave = i;
        to_high = a < 0;
      }
    }
    for (int i = 0; i < rows_; ++i) {
      const auto r = static_cast<size_t>(i);
      rhs_[r] -= sign * step * tab_[r * n + e];
    }
    if (leave < 0) {  // it went from one of its bounds to the other
      at_high_[e] = !at_high_[e];
      continue;
    }
    const auto l = static_cast<size_t>(leave);
    const auto gone = static_cast<size_t>(basis_[l]);
    basic_[gone] = 0;
    at_high_[gone] = to_high;
    basic_[e] = 1;
    basis_[l] = enter;
    rhs_[l] = (sign > 0 ? 0 : high_[e]) + sign * step;
    double* pivot_row = &tab_[l * n];
    const double inverse = 1 / pivot_row[e];
    nonzero_.clear();
    for (size_t j = 0; j < n; ++j) {
      if (pivot_row[j] == 0) continue;
      pivot_row[j] *= inverse;
      if (std::fabs(pivot_row[j]) < 1e-13)
        pivot_row[j] = 0;
      else
        nonzero_.push_back(static_cast<int>(j));
    }
    const auto eliminate = [&](double* row) {
      const double f = row[e];
      if (f == 0) return;
      for (const int j : nonzero_) row[j] -= f * pivot_row[j];
      row[e] = 0;
    };
    for (int i = 0; i < rows_; ++i)
      if (i != leave) eliminate(&tab_[static_cast<size_t>(i) * n]);
    eliminate(reduced_.data());
  }
}

void Cells::Solve(const Scenario& s, int month, std::span<const double> committed,
                  CellAnswer* answer, std::span<double> worth, std::span<double> floor_worth,
                  bool detail) {
  Load(s, month, committed);
  Price(cost_);
  Simplex();
  for (size_t j = 0; j < columns_.size(); ++j) value_[j] = at_high_[j] ? high_[j] : 0;
  for (size_t i = 0; i < static_cast<size_t>(rows_); ++i)
    value_[static_cast<size_t>(basis_[i])] = std::max(0.0, rhs_[i]);
  answer->cost = answer->floor_missed = answer->on_demand_usd_h = answer->spot_usd_h = 0;
  if (detail) {
    answer->missed.assign(static_cast<size_t>(demands_), 0);
    answer->on_demand.assign(static_cast<size_t>(pools_), 0);
    answer->spot.assign(static_cast<size_t>(pools_), 0);
    answer->used.assign(static_cast<size_t>(pools_), 0);
  }
  for (size_t j = 0; j < columns_.size(); ++j) {
    const Column& c = columns_[j];
    if (c.kind == Column::kSlack) {
      // The price of a pool's row, by the reduced cost of its slack.
      // What is nothing but rounding is nothing: a solver would scale its matrix by it.
      if (c.pool < pools_)
        worth[static_cast<size_t>(c.pool)] = reduced_[j] > kTiny ? reduced_[j] : 0;
      continue;
    }
    const double v = value_[j];
    if (v <= 0) continue;
    answer->cost += cost_[j] * v;
    if (c.kind == Column::kFloor) answer->floor_missed += v;
    if (c.kind == Column::kOnDemand) answer->on_demand_usd_h += cost_[j] * v;
    if (c.kind == Column::kSpot) answer->spot_usd_h += cost_[j] * v;
    if (!detail) continue;
    if (c.kind == Column::kFloor || c.kind == Column::kRest)
      answer->missed[static_cast<size_t>(c.demand)] += v;
    if (c.kind == Column::kOnDemand) answer->on_demand[static_cast<size_t>(c.pool)] += v;
    if (c.kind == Column::kSpot) answer->spot[static_cast<size_t>(c.pool)] += v;
    if (c.kind == Column::kFirm) answer->used[static_cast<size_t>(c.pool)] += v;
  }
  if (floor_worth.empty()) return;
  std::fill(floor_worth.begin(), floor_worth.end(), 0.0);
  if (answer->floor_missed <= kTiny) return;
  // The same cell with nothing but missed floor to lose, from the basis at hand.
  Price(floor_cost_);
  Simplex();
  for (size_t j = 0; j < columns_.size(); ++j) {
    const Column& c = columns_[j];
    if (c.kind == Column::kSlack && c.pool < pools_)
      floor_worth[static_cast<size_t>(c.pool)] = reduced_[j] > kTiny ? reduced_[j] : 0;
  }
}

}  // namespace weir::plan
