// Mixture of experts: which experts a row goes to, rows gathered by expert, results brought back.
//
//     RouteTopK(logits, rows, experts, k, Renormalize::kYes, chosen, weight);
//     const ExpertPlan plan = PlanExperts(chosen, rows, k, experts);
//     for each expert e with rows: input[e].Prepare(pool, x, plan.count(e), dim, form, 0,
//                                                   plan.rows(e));
//     MatMul(pool, products of all experts)         // y of expert e from line plan.first[e] on
//     ... gate, up, down as usual, on plan.total() lines ...
//     CombineExperts(pool, plan, weight, y, dim, out);
//
// Numbers   a row's result does not depend on the other rows: its k experts are summed in
//           the order in which they were chosen.
// Errors    none; shapes that contradict each other abort (CHECK).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/kernels/thread_pool.h"

namespace weir::kernels {

// For each row of logits[rows, experts]: the softmax over all experts, of it the k largest (equal
// ones: the lower index first), in falling order; with kYes these k are scaled to sum to 1 (which
// is the softmax over the k largest logits).
enum class Renormalize : uint8_t { kNo, kYes };
void RouteTopK(const float* logits, int64_t rows, int64_t experts, int64_t k, Renormalize how,
               int32_t* chosen, float* weight);  // both [rows, k]

// The rows of a batch, expert by expert. Line i of the gathered matrices is row row[i].
struct ExpertPlan {
  int64_t experts = 0, k = 0;
  std::vector<int32_t> first;  // [experts + 1]: expert e has lines first[e] .. first[e+1]-1
  std::vector<int32_t> row;    // [rows * k]: the row of x that line i reads
  std::vector<int32_t> line;   // [rows * k]: the line of choice j of row r, at r * k + j
  int64_t total() const { return static_cast<int64_t>(row.size()); }
  int64_t count(int64_t e) const {
    return first[static_cast<size_t>(e) + 1] - first[static_cast<size_t>(e)];
  }
  const int32_t* rows(int64_t e) const { return row.data() + first[static_cast<size_t>(e)]; }
};
ExpertPlan PlanExperts(const int32_t* chosen, int64_t rows, int64_t k, int64_t experts);

// out[r,:] += sum_j weight[r,j] * y[plan.line[r*k+j],:]
void CombineExperts(ThreadPool* pool, const ExpertPlan& plan, const float* weight, const float* y,
                    int64_t dim, float* out);

}  // namespace weir::kernels
