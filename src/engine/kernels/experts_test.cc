// Goal:   rows reach the experts with the largest probabilities and come back to where they were.
// Method: the definition as plain loops; a whole mixture computed by hand beside the gathered one.
#include "engine/kernels/experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "engine/kernels/packed.h"

namespace weir::kernels {
namespace {

TEST(Experts, TheLargestAreChosenWithTheirProbabilities) {
  const float logits[] = {0.0f, 2.0f, 1.0f, 2.0f, NAN, NAN, NAN, 5.0f};
  int32_t chosen[4];
  float weight[4];
  RouteTopK(logits, 1, 4, 2, Renormalize::kNo, chosen, weight);
  EXPECT_EQ(chosen[0], 1);  // of two equal ones the lower first
  EXPECT_EQ(chosen[1], 3);
  const double all = std::exp(0.0) + 2 * std::exp(2.0) + std::exp(1.0);
  EXPECT_NEAR(weight[0], std::exp(2.0) / all, 1e-6);
  RouteTopK(logits, 1, 4, 2, Renormalize::kYes, chosen, weight);
  EXPECT_NEAR(weight[0], 0.5, 1e-6);
  RouteTopK(logits + 4, 1, 4, 1, Renormalize::kYes, chosen, weight);
  EXPECT_EQ(chosen[0], 3) << "a NaN ranks last";
}

TEST(Experts, AMixtureEqualsEachRowsOwnSum) {
  Random random(20261122);
  ThreadPool pool(2);
  const int64_t rows = 13, experts = 5, k = 2, dim = 64, out = 48;
  std::vector<float> logits(rows * experts), x(rows * dim);
  for (float& f : logits) f = static_cast<float>(random.Normal());
  for (float& f : x) f = static_cast<float>(random.Normal());
  std::vector<PackedMatrix> w;
  for (int64_t e = 0; e < experts; ++e) {
    std::vector<float> values(static_cast<size_t>(out * dim));
    for (float& f : values) f = static_cast<float>(random.Normal());
    w.push_back(PackedMatrix::Pack(nullptr, {DType::kF32, values.data(), out, dim}));
  }
  std::vector<int32_t> chosen(rows * k);
  std::vector<float> weight(rows * k);
  RouteTopK(logits.data(), rows, experts, k, Renormalize::kYes, chosen.data(), weight.data());
  const ExpertPlan plan = PlanExperts(chosen.data(), rows, k, experts);
  EXPECT_EQ(plan.total(), rows * k);

  std::vector<float> y(static_cast<size_t>(plan.total() * out)), mixed(rows * out, 0.0f);
  std::vector<Input> inputs(experts);
  std::vector<Product> products;
  for (int64_t e = 0; e < experts; ++e) {
    const auto i = static_cast<size_t>(e);
    if (plan.count(e) == 0) continue;
    inputs[i].Prepare(&pool, x.data(), plan.count(e), dim, w[i].form(), 0, plan.rows(e));
    products.push_back({&w[i], &inputs[i], &y[static_cast<size_t>(plan.first[i] * out)]});
  }
  MatMul(&pool, products);
  CombineExperts(&pool, plan, weight.data(), y.data(), out, mixed.data());

  for (int64_t r = 0; r < rows; ++r) {
    std::vector<double> want(out, 0.0);
    for (int64_t j = 0; j < k; ++j) {
      const auto e = static_cast<size_t>(chosen[static_cast<size_t>(r * k + j)]);
      std::vector<float> row(dim);
      for (int64_t o = 0; o < out; ++o) {
        w[e].Row(o, row.data());
        double dot = 0;
        for (int64_t i = 0; i < dim; ++i) {
          dot += static_cast<double>(row[static_cast<size_t>(i)]) *
                 static_cast<double>(x[static_cast<size_t>(r * dim + i)]);
        }
        want[static_cast<size_t>(o)] +=
            static_cast<double>(weight[static_cast<size_t>(r * k + j)]) * dot;
      }
    }
    for (int64_t o = 0; o < out; ++o) {
      const auto at = static_cast<size_t>(r * out + o);
      EXPECT_NEAR(static_cast<double>(mixed[at]), want[static_cast<size_t>(o)], 5e-5);
    }
  }
}

TEST(Experts, NoRowsNoWork) {
  const ExpertPlan plan = PlanExperts(nullptr, 0, 2, 3);
  EXPECT_EQ(plan.total(), 0);
  EXPECT_EQ(plan.count(2), 0);
  CombineExperts(nullptr, plan, nullptr, nullptr, 4, nullptr);
}

}  // namespace
}  // namespace weir::kernels
