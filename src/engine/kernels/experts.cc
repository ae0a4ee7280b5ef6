#include "engine/kernels/experts.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/kernels/cpu/table.h"

namespace weir::kernels {

void RouteTopK(const float* logits, int64_t rows, int64_t experts, int64_t k, Renormalize how,
               int32_t* chosen, float* weight) {
  CHECK_MSG(k > 0 && k <= experts, "{} of {} experts", k, experts);
  std::vector<int32_t> order(static_cast<size_t>(experts));
  for (int64_t r = 0; r < rows; ++r, logits += experts, chosen += k, weight += k) {
    for (int64_t e = 0; e < experts; ++e) order[static_cast<size_t>(e)] = static_cast<int32_t>(e);
    // A NaN ranks last, so that the order stays one.
    const auto rank = [&](int32_t e) { return std::isnan(logits[e]) ? -INFINITY : logits[e]; };
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
      return rank(a) != rank(b) ? rank(a) > rank(b) : a < b;
    });
    const double largest = static_cast<double>(logits[order[0]]);
    double all = 0, top = 0;
    for (int64_t e = 0; e < experts; ++e) all += std::exp(static_cast<double>(logits[e]) - largest);
    for (int64_t j = 0; j < k; ++j) {
      top += std::exp(static_cast<double>(logits[order[static_cast<size_t>(j)]]) - largest);
    }
    const double sum = how == Renormalize::kYes ? top : all;
    for (int64_t j = 0; j < k; ++j) {
      const int32_t e = order[static_cast<size_t>(j)];
      chosen[j] = e;
      weight[j] = static_cast<float>(std::exp(static_cast<double>(logits[e]) - largest) / sum);
    }
  }
}

ExpertPlan PlanExperts(const int32_t* chosen, int64_t rows, int64_t k, int64_t experts) {
  ExpertPlan plan{experts, k, {}, {}, {}};
  const auto total = static_cast<size_t>(rows * k);
  plan.first.assign(static_cast<size_t>(experts) + 1, 0);
  plan.row.resize(total);
  plan.line.resize(total);
  for (size_t i = 0; i < total; ++i) {
    CHECK_MSG(chosen[i] >= 0 && chosen[i] < experts, "expert {} of {}", chosen[i], experts);
    ++plan.first[static_cast<size_t>(chosen[i]) + 1];
  }
  for (size_t e = 0; e < static_cast<size_t>(experts); ++e) plan.first[e + 1] += plan.first[e];
  std::vector<int32_t> next(plan.first.begin(), plan.first.end() - 1);
  for (size_t i = 0; i < total; ++i) {
    const int32_t line = next[static_cast<size_t>(chosen[i])]++;
    plan.row[static_cast<size_t>(line)] = static_cast<int32_t>(i / static_cast<size_t>(k));
    plan.line[i] = line;
  }
  return plan;
}

void CombineExperts(ThreadPool* pool, const ExpertPlan& plan, const float* weight, const float* y,
                    int64_t dim, float* out) {
  const cpu::Table& t = cpu::Active();
  const int64_t rows = plan.k == 0 ? 0 : plan.total() / plan.k;
  constexpr int64_t kWorthSharing = 1 << 16;
  ParallelFor(rows * plan.k * dim >= kWorthSharing ? pool : nullptr, rows, [&](int64_t r) {
    for (int64_t j = 0; j < plan.k; ++j) {
      const int64_t line = plan.line[static_cast<size_t>(r * plan.k + j)];
      t.axpy(weight[r * plan.k + j], y + line * dim, dim, out + r * dim);
    }
  });
}

}  // namespace weir::kernels
