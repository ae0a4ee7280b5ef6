// Linear programs, and the same with whole-number columns: the little that the planner needs of a
// solver, so that Clp and Cbc stay behind one file each (lp_clp.cc, mip_cbc.cc).
//
//     minimise  sum_j cost_j x_j   with   column_low <= x <= column_high,  row_low <= A x <=
//     row_high
//
// A LinearProgram is kept between solves: rows and columns may be added, bounds and costs changed,
// and the next solve begins at the last basis. That is what makes a what-if cheap.
//
// Duals     row_dual_i is the change of the optimum per unit of the binding side of row i;
//           reduced_cost_j = cost_j - sum_i row_dual_i a_ij. At an optimum every reduced cost is
//           >= 0 at a lower bound, <= 0 at an upper one and 0 between; DualityGap() checks it.
// Errors    kInternal where the solver gives up on numbers. Infeasible and unbounded are answers.
// Threads   one program, one thread; different programs may run in parallel.
// Repeats   same calls, same answers: no time limit inside the simplex, no random start.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weir::plan {

inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum class Outcome { kOptimal, kInfeasible, kUnbounded };

struct Entry {
  int index = 0;  // of a column in a row, of a row in a column
  double value = 0;
};

struct LpSolution {
  Outcome outcome = Outcome::kInfeasible;
  double objective = 0;
  std::vector<double> x, reduced_cost;  // by column
  std::vector<double> row, row_dual;    // by row: A x, and its price
};

class LinearProgram {
 public:
  LinearProgram();
  ~LinearProgram();
  LinearProgram(LinearProgram&&) noexcept;
  LinearProgram& operator=(LinearProgram&&) noexcept;

  int columns() const { return static_cast<int>(cost_.size()); }
  int rows() const { return static_cast<int>(row_low_.size()); }

  // Returns its index. `entries` name existing rows.
  int AddColumn(double low, double high, double cost, std::span<const Entry> entries = {});
  // Returns its index. `entries` name existing columns, each at most once.
  int AddRow(double low, double high, std::span<const Entry> entries);
  void SetColumn(int column, double low, double high);
  void SetCost(int column, double cost);
  void SetRow(int row, double low, double high);
  // The last ones go; the others keep their indices.
  void KeepColumns(int columns);
  void KeepRows(int rows);
  // Those named go (ascending), the others move up.
  void RemoveRows(std::span<const int> rows);

  double cost(int column) const { return cost_[static_cast<size_t>(column)]; }
  double low(int column) const { return low_[static_cast<size_t>(column)]; }
  double high(int column) const { return high_[static_cast<size_t>(column)]; }
  double row_low(int row) const { return row_low_[static_cast<size_t>(row)]; }
  double row_high(int row) const { return row_high_[static_cast<size_t>(row)]; }
  // Row by row, as added; for checks and for the integer solver.
  const std::vector<std::vector<Entry>>& matrix() const { return matrix_; }

  // `retry` of a solve that failed on numbers: once more from no basis, then kInternal.
  Result<LpSolution> Solve();

 private:
  struct Solver;
  void Flush();
  std::vector<double> low_, high_, cost_, row_low_, row_high_;
  std::vector<std::vector<Entry>> matrix_;
  std::unique_ptr<Solver> solver_;
};

// The worst violation of optimality, relative to the size of the numbers: primal and dual
// feasibility, complementary slackness, and |primal - dual objective|. About 1e-7 at an optimum.
double DualityGap(const LinearProgram& lp, const LpSolution& s);

struct MipOptions {
  double relative_gap = 1e-4;
  int64_t max_nodes = 20'000;     // a bound that does not depend on the machine's speed
  double max_seconds = 60;        // and one for the impatient; reached, the answer is still bounded
  std::span<const double> start;  // a feasible point, or empty
};
struct MipSolution {
  Outcome outcome = Outcome::kInfeasible;  // kOptimal: `x` is feasible, within `bound`
  double objective = 0, bound = 0;         // bound <= optimum <= objective
  std::vector<double> x;
  bool stopped = false;  // by nodes or seconds, before the gap
};
// The columns named must be whole. By Cbc.
Result<MipSolution> SolveMip(const LinearProgram& lp, std::span<const int> whole,
                             const MipOptions& options);

}  // namespace weir::plan
