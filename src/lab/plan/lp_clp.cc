// LinearProgram by Clp, the simplex of COIN-OR. Changes are collected and handed over in one piece
// before the next solve: Clp copies its matrix whenever it grows.
#include <algorithm>
#include <cmath>
#include <coin/ClpSimplex.hpp>
#include <coin/CoinError.hpp>

#include "lab/plan/lp.h"

namespace weir::plan {

namespace {
constexpr double kMostGap = 1e-4;  // of an answer that is believed
double Bound(double v) {
  return v == kInfinity ? COIN_DBL_MAX : v == -kInfinity ? -COIN_DBL_MAX : v;
}
}  // namespace

struct LinearProgram::Solver {
  Solver() {
    clp.setLogLevel(0);
    clp.setOptimizationDirection(1);
  }
  ClpSimplex clp;
  int columns = 0, rows = 0;  // of ours that Clp has
  // Entries of columns that Clp has not seen, in rows that it has: (row, column, value).
  bool fresh = true;
};

LinearProgram::LinearProgram() : solver_(std::make_unique<Solver>()) {}
LinearProgram::~LinearProgram() = default;
LinearProgram::LinearProgram(LinearProgram&&) noexcept = default;
LinearProgram& LinearProgram::operator=(LinearProgram&&) noexcept = default;

int LinearProgram::AddColumn(double low, double high, double cost, std::span<const Entry> entries) {
  const int column = columns();
  low_.push_back(low);
  high_.push_back(high);
  cost_.push_back(cost);
  for (const Entry& e : entries) {
    CHECK(e.index >= 0 && e.index < rows());
    matrix_[static_cast<size_t>(e.index)].push_back({column, e.value});
  }
  return column;
}

int LinearProgram::AddRow(double low, double high, std::span<const Entry> entries) {
  for (const Entry& e : entries) CHECK(e.index >= 0 && e.index < columns());
  row_low_.push_back(low);
  row_high_.push_back(high);
  matrix_.emplace_back(entries.begin(), entries.end());
  return rows() - 1;
}

void LinearProgram::SetColumn(int column, double low, double high) {
  low_[static_cast<size_t>(column)] = low;
  high_[static_cast<size_t>(column)] = high;
  if (column < solver_->columns) solver_->clp.setColumnBounds(column, Bound(low), Bound(high));
}
void LinearProgram::SetCost(int column, double cost) {
  cost_[static_cast<size_t>(column)] = cost;
  if (column < solver_->columns) solver_->clp.setObjectiveCoefficient(column, cost);
}
void LinearProgram::SetRow(int row, double low, double high) {
  row_low_[static_cast<size_t>(row)] = low;
  row_high_[static_cast<size_t>(row)] = high;
  if (row < solver_->rows) solver_->clp.setRowBounds(row, Bound(low), Bound(high));
}

void LinearProgram::KeepColumns(int kept) {
  CHECK(kept >= 0 && kept <= columns());
  if (kept == columns()) return;
  low_.resize(static_cast<size_t>(kept));
  high_.resize(static_cast<size_t>(kept));
  cost_.resize(static_cast<size_t>(kept));
  for (auto& row : matrix_) std::erase_if(row, [&](const Entry& e) { return e.index >= kept; });
  if (solver_->columns > kept) {
    std::vector<int> gone;
    for (int j = kept; j < solver_->columns; ++j) gone.push_back(j);
    solver_->clp.deleteColumns(static_cast<int>(gone.size()), gone.data());
    solver_->columns = kept;
  }
}

void LinearProgram::KeepRows(int kept) {
  std::vector<int> gone;
  for (int i = kept; i < rows(); ++i) gone.push_back(i);
  RemoveRows(gone);
}

void LinearProgram::RemoveRows(std::span<const int> gone) {
  if (gone.empty()) return;
  std::vector<int> known;
  size_t next = 0, to = 0;
  for (size_t i = 0; i < matrix_.size(); ++i) {
    if (next < gone.size() && gone[next] == static_cast<int>(i)) {
      if (static_cast<int>(i) < solver_->rows) known.push_back(static_cast<int>(i));
      ++next;
      continue;
    }
    if (to != i) {
      matrix_[to] = std::move(matrix_[i]);
      row_low_[to] = row_low_[i];
      row_high_[to] = row_high_[i];
    }
    ++to;
  }
  CHECK(next == gone.size());
  matrix_.resize(to);
  row_low_.resize(to);
  row_high_.resize(to);
  if (!known.empty()) {
    solver_->clp.deleteRows(static_cast<int>(known.size()), known.data());
    solver_->rows -= static_cast<int>(known.size());
  }
}

// Columns first, with what they have in rows that Clp knows; then the new rows whole.
void LinearProgram::Flush() {
  ClpSimplex& clp = solver_->clp;
  if (solver_->columns < columns()) {
    const int first = solver_->columns, count = columns() - first;
    std::vector<std::vector<Entry>> by_column(static_cast<size_t>(count));
    for (int i = 0; i < solver_->rows; ++i) {
      const auto& row = matrix_[static_cast<size_t>(i)];
      // What is added to a row later stands at its end.
      for (auto e = row.rbegin(); e != row.rend() && e->index >= first; ++e)
        by_column[static_cast<size_t>(e->index - first)].push_back({i, e->value});
    }
    std::vector<CoinBigIndex> starts{0};
    std::vector<int> index;
    std::vector<double> value, low, high;
    for (int j = 0; j < count; ++j) {
      for (const Entry& e : by_column[static_cast<size_t>(j)]) {
        index.push_back(e.index);
        value.push_back(e.value);
      }
      starts.push_back(static_cast<CoinBigIndex>(index.size()));
      low.push_back(Bound(low_[static_cast<size_t>(first + j)]));
      high.push_back(Bound(high_[static_cast<size_t>(first + j)]));
    }
    clp.addColumns(count, low.data(), high.data(), cost_.data() + first, starts.data(),
                   index.data(), value.data());
    solver_->columns = columns();
  }
  if (solver_->rows < rows()) {
    const int first = solver_->rows, count = rows() - first;
    std::vector<CoinBigIndex> starts{0};
    std::vector<int> index;
    std::vector<double> value, low, high;
    for (int i = first; i < rows(); ++i) {
      for (const Entry& e : matrix_[static_cast<size_t>(i)]) {
        index.push_back(e.index);
        value.push_back(e.value);
      }
      starts.push_back(static_cast<CoinBigIndex>(index.size()));
      low.push_back(Bound(row_low_[static_cast<size_t>(i)]));
      high.push_back(Bound(row_high_[static_cast<size_t>(i)]));
    }
    clp.addRows(count, low.data(), high.data(), starts.data(), index.data(), value.data());
    solver_->rows = rows();
  }
}

Result<LpSolution> LinearProgram::Solve() {
  try {
    Flush();
    ClpSimplex& clp = solver_->clp;
    LpSolution s;
    // The dual simplex goes on from the last basis. Where it finds no answer, the primal one has
    // the last word: with free columns and flat costs the dual has been seen to give up wrongly.
    clp.dual();
    if (clp.status() != 0) clp.primal();
    if (clp.status() > 2) {
      clp.allSlackBasis(true);
      clp.primal();
    }
    switch (clp.status()) {
      case 0:
        s.outcome = Outcome::kOptimal;
        break;
      case 1:
        s.outcome = Outcome::kInfeasible;
        break;
      case 2:
        s.outcome = Outcome::kUnbounded;
        break;
      default:
        return Error(Code::kInternal,
                     fmt::format("the simplex stopped with status {} on {} rows and {} columns",
                                 clp.status(), rows(), columns()))
            .Hint("please report it with the plan's files");
    }
    if (s.outcome != Outcome::kOptimal) return s;
    const auto n = static_cast<size_t>(columns()), m = static_cast<size_t>(rows());
    const auto read = [&] {
      s.objective = clp.objectiveValue();
      s.x.assign(clp.primalColumnSolution(), clp.primalColumnSolution() + n);
      s.reduced_cost.assign(clp.dualColumnSolution(), clp.dualColumnSolution() + n);
      s.row.assign(clp.primalRowSolution(), clp.primalRowSolution() + m);
      s.row_dual.assign(clp.dualRowSolution(), clp.dualRowSolution() + m);
    };
    read();
    // Nothing is believed that its duals do not prove. A matrix whose scaling went wrong is solved
    // as it stands.
    if (DualityGap(*this, s) > kMostGap) {
      clp.scaling(0);
      clp.allSlackBasis(true);
      clp.primal();
      const bool solved = clp.status() == 0;
      clp.scaling(3);
      read();
      if (!solved || DualityGap(*this, s) > kMostGap)
        return Error(Code::kInternal,
                     fmt::format(
                         "the simplex gave an answer that its duals do not prove (gap {:.1e})",
                         DualityGap(*this, s)))
            .Hint("please report it with the plan's files");
    }
    return s;
  } catch (const CoinError& e) {
    return Error(Code::kInternal, fmt::format("the simplex failed: {}", e.message()));
  }
}

double DualityGap(const LinearProgram& lp, const LpSolution& s) {
  double worst = 0, dual_objective = 0, size = 1;
  std::vector<double> reduced(s.x.size());
  for (int j = 0; j < lp.columns(); ++j) reduced[static_cast<size_t>(j)] = lp.cost(j);
  for (int i = 0; i < lp.rows(); ++i) {
    const double y = s.row_dual[static_cast<size_t>(i)];
    double ax = 0, scale = 1;
    for (const Entry& e : lp.matrix()[static_cast<size_t>(i)]) {
      const double term = e.value * s.x[static_cast<size_t>(e.index)];
      ax += term;
      scale = std::max(scale, std::fabs(term));
      reduced[static_cast<size_t>(e.index)] -= y * e.value;
    }
    worst = std::max({worst, (lp.row_low(i) - ax) / scale, (ax - lp.row_high(i)) / scale});
    const double side = y > 0 ? lp.row_low(i) : lp.row_high(i);
    if (std::fabs(y) < 1e-9) continue;
    if (std::isinf(side)) return kInfinity;  // a price on a side that is not there
    dual_objective += y * side;
    worst = std::max(worst, std::fabs(ax - side) * std::fabs(y) / (1 + std::fabs(s.objective)));
  }
  for (int j = 0; j < lp.columns(); ++j) {
    const double x = s.x[static_cast<size_t>(j)], d = reduced[static_cast<size_t>(j)];
    const double scale = std::max(1.0, std::fabs(x));
    worst = std::max({worst, (lp.low(j) - x) / scale, (x - lp.high(j)) / scale});
    size = std::max(size, std::fabs(lp.cost(j)));
    const double side = d > 0 ? lp.low(j) : lp.high(j);
    if (std::fabs(d) < 1e-9 * size) continue;
    if (std::isinf(side)) {
      worst = std::max(worst, std::fabs(d) / size);
      continue;
    }
    dual_objective += d * side;
    worst = std::max(worst, std::fabs(x - side) * std::fabs(d) / (1 + std::fabs(s.objective)));
  }
  return std::max(worst, std::fabs(dual_objective - s.objective) / (1 + std::fabs(s.objective)));
}

}  // namespace weir::plan
