// Nonlinear least squares for the knobs: Levenberg-Marquardt on log values, robust (pseudo-Huber),
// with each knob's prior and each offset's spread as quadratic penalties. That penalty is the
// shrinkage: an offset with few rows, or rows that say little of it, stays near 0, which is to say
// near the family's value.
//
// The derivative by an offset is the derivative by its knob, so a row costs one evaluation per
// knob, however many keys there are. Deterministic: no random start, rows in their given order.
#pragma once

#include <functional>
#include <vector>

#include "lab/blueprint/knobs.h"

namespace weir::blueprint {

struct FitItem {
  Keys keys;
  // Writes the row's residuals: log(predicted / measured) / scale, times the root of its weight.
  // The same count each time, at most kMaxResiduals.
  std::function<int(const Coefficients&, double*)> residuals;
};
inline constexpr int kMaxResiduals = 8;

struct FitOptions {
  bool (*in_scope)(Knob) = nullptr;  // the knobs that may move; null: all
  int iterations = 40;
  double tolerance = 1e-5;  // relative gain at which it stops
};

struct FitResult {
  KnobTree tree;
  double cost = 0;
  int iterations = 0;
};

FitResult Fit(const std::vector<FitItem>& items, const FitOptions& options, const KnobTree& start);

// Solves A x = b for symmetric positive definite A (n x n, row-major; destroyed). False if A is
// not.
bool SolveCholesky(std::vector<double>& a, std::vector<double>& b);

}  // namespace weir::blueprint
