#include "lab/blueprint/fit.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "base/check.h"

namespace weir::blueprint {

bool SolveCholesky(std::vector<double>& a, std::vector<double>& b) {
  const size_t n = b.size();
  for (size_t j = 0; j < n; ++j) {
    double* row_j = &a[j * n];
    double diagonal = row_j[j];
    for (size_t k = 0; k < j; ++k) diagonal -= row_j[k] * row_j[k];
    if (!(diagonal > 0)) return false;
    row_j[j] = std::sqrt(diagonal);
    for (size_t i = j + 1; i < n; ++i) {
      double* row_i = &a[i * n];
      double sum = row_i[j];
      for (size_t k = 0; k < j; ++k) sum -= row_i[k] * row_j[k];
      row_i[j] = sum / row_j[j];
    }
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return true;
}

namespace {

struct Variable {
  int knob;
  std::string key;  // "" for the base
  double prior, spread;
};

// Half of the pseudo-Huber loss: quadratic near 0, linear far out.
double Loss(double r) { return std::sqrt(1 + r * r) - 1; }
double Weight(double r) { return 0.5 / std::sqrt(1 + r * r); }

}  // namespace

FitResult Fit(const std::vector<FitItem>& items, const FitOptions& options, const KnobTree& start) {
  // The unknowns: a base value per knob, an offset per key that some row has and knob that varies
  // so.
  std::vector<int> knobs;
  for (const KnobInfo& k : KnobTable())
    if (options.in_scope == nullptr || options.in_scope(k.knob)) knobs.push_back(k.knob);
  std::vector<Variable> variables;
  std::vector<double> x;
  for (const int k : knobs) {
    const KnobInfo& info = KnobTable()[static_cast<size_t>(k)];
    variables.push_back({k, "", std::log(info.prior), info.spread});
    x.push_back(start.log_base[static_cast<size_t>(k)]);
  }
  std::map<std::string, std::map<int, int>> offset_of;  // key -> knob -> variable
  for (const FitItem& item : items)
    for (const std::string& key : item.keys.Names()) offset_of[key];
  for (auto& [key, slots] : offset_of) {
    for (const int k : knobs) {
      const KnobInfo& info = KnobTable()[static_cast<size_t>(k)];
      const double spread = key.starts_with("engine:")        ? info.engine
                            : key.starts_with("accelerator:") ? info.accelerator
                                                              : info.release;
      if (spread <= 0) continue;
      slots[k] = static_cast<int>(variables.size());
      variables.push_back({k, key, 0, spread});
      double value = 0;
      if (const auto it = start.offsets.find(key); it != start.offsets.end())
        if (const auto at = it->second.find(k); at != it->second.end()) value = at->second;
      x.push_back(value);
    }
  }
  const size_t n = variables.size();

  // For each row, the variables that each knob's log value is the sum of.
  struct Bound {
    std::vector<std::vector<int>> of_knob;  // by position in `knobs`
  };
  std::vector<Bound> bounds(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    bounds[i].of_knob.resize(knobs.size());
    for (size_t k = 0; k < knobs.size(); ++k) bounds[i].of_knob[k].push_back(static_cast<int>(k));
    for (const std::string& key : items[i].keys.Names()) {
      const auto& slots = offset_of[key];
      for (size_t k = 0; k < knobs.size(); ++k)
        if (const auto it = slots.find(knobs[k]); it != slots.end())
          bounds[i].of_knob[k].push_back(it->second);
    }
  }
  std::array<double, kKnobCount> fixed = start.log_base;
  const auto coefficients = [&](size_t item, const std::vector<double>& at) {
    Coefficients c;
    for (size_t k = 0; k < fixed.size(); ++k) c.value[k] = 0;
    for (size_t k = 0; k < fixed.size(); ++k) c.value[k] = fixed[k];
    for (size_t k = 0; k < knobs.size(); ++k) {
      double sum = 0;
      for (const int v : bounds[item].of_knob[k]) sum += at[static_cast<size_t>(v)];
      c.value[static_cast<size_t>(knobs[k])] = sum;
    }
    for (double& v : c.value) v = std::exp(v);
    return c;
  };
  const auto cost_of = [&](const std::vector<double>& at) {
    double cost = 0;
    double r[kMaxResiduals];
    for (size_t i = 0; i < items.size(); ++i) {
      const int count = items[i].residuals(coefficients(i, at), r);
      for (int q = 0; q < count; ++q) cost += Loss(r[q]);
    }
    for (size_t v = 0; v < n; ++v) {
      const double d = (at[v] - variables[v].prior) / variables[v].spread;
      cost += d * d / 2;
    }
    return cost;
  };

  constexpr double kStepSize = 1e-4;
  constexpr double kMaxMove = 0.7;  // log units a variable may move in one step
  FitResult out;
  double damping = 1e-2;
  out.cost = cost_of(x);
  for (out.iterations = 0; out.iterations < options.iterations; ++out.iterations) {
    std::vector<double> hessian(n * n, 0), gradient(n, 0);
    std::vector<double> slopes(knobs.size() * kMaxResiduals);
    double r[kMaxResiduals], shifted[kMaxResiduals];
    for (size_t i = 0; i < items.size(); ++i) {
      Coefficients c = coefficients(i, x);
      const int count = items[i].residuals(c, r);
      CHECK(count <= kMaxResiduals);
      for (size_t k = 0; k < knobs.size(); ++k) {
        double& value = c.value[static_cast<size_t>(knobs[k])];
        const double kept = value;
        value *= std::exp(kStepSize);
        items[i].residuals(c, shifted);
        value = kept;
        for (int q = 0; q < count; ++q)
          slopes[k * kMaxResiduals + static_cast<size_t>(q)] = (shifted[q] - r[q]) / kStepSize;
      }
      for (int q = 0; q < count; ++q) {
        const double w = 2 * Weight(r[q]);
        for (size_t k = 0; k < knobs.size(); ++k) {
          const double sk = slopes[k * kMaxResiduals + static_cast<size_t>(q)];
          if (sk == 0) continue;
          for (const int a : bounds[i].of_knob[k]) {
            gradient[static_cast<size_t>(a)] += w * r[q] * sk;
            for (size_t m = 0; m < knobs.size(); ++m) {
              const double sm = slopes[m * kMaxResiduals + static_cast<size_t>(q)];
              if (sm == 0) continue;
              for (const int b : bounds[i].of_knob[m])
                if (b <= a)
                  hessian[static_cast<size_t>(a) * n + static_cast<size_t>(b)] += w * sk * sm;
            }
          }
        }
      }
    }
    for (size_t v = 0; v < n; ++v) {
      const double s2 = variables[v].spread * variables[v].spread;
      hessian[v * n + v] += 1 / s2;
      gradient[v] += (x[v] - variables[v].prior) / s2;
    }
    bool better = false;
    double gain = 0;
    for (int attempt = 0; attempt < 10 && !better; ++attempt) {
      std::vector<double> a = hessian, step(n);
      for (size_t v = 0; v < n; ++v) {
        a[v * n + v] *= 1 + damping;
        step[v] = -gradient[v];
      }
      if (SolveCholesky(a, step)) {
        std::vector<double> next = x;
        for (size_t v = 0; v < n; ++v) next[v] += std::clamp(step[v], -kMaxMove, kMaxMove);
        const double cost = cost_of(next);
        if (cost < out.cost) {
          gain = out.cost - cost;
          out.cost = cost;
          x = std::move(next);
          better = true;
          damping = std::max(damping / 5, 1e-8);
          break;
        }
      }
      damping *= 5;
    }
    if (!better || gain < options.tolerance * out.cost) break;
  }

  out.tree = start;
  for (const auto& [key, slots] : offset_of)
    for (const auto& [knob, v] : slots) out.tree.offsets[key][knob] = x[static_cast<size_t>(v)];
  for (size_t k = 0; k < knobs.size(); ++k) out.tree.log_base[static_cast<size_t>(knobs[k])] = x[k];
  return out;
}

}  // namespace weir::blueprint
