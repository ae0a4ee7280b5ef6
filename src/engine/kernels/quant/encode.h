// Encoders of the block formats.
//
// Problem   a block stores a scale (some formats: a scale and a minimum) and small integers q;
//           choose them so that the block read back is near the block given. The nearest integer
//           for a given scale is easy; the best scale is not max/limit, since the integers round.
// Idea      minimise  sum_i w_i (x_i - value(q_i))^2.  For fixed integers the best scale (and
//           minimum) is a weighted least-squares fit in closed form; for a fixed scale the best
//           integers are by rounding. Try some scales around max/limit, alternate the two steps
//           for each, keep the best. Super-blocks: each sub-block finds its own scale, the scales
//           are rounded to their few bits against one f16 scale, then the integers are rounded
//           again for the scales as stored, and the f16 scale is fitted last.
// Weights   w_i = sqrt(mean of x^2 over the block + x_i^2), which leans towards large values: an
//           error there is an error of what the row mostly computes; times importance[i] where
//           given: the mean square of the activations that meet column i, from a calibration text.
//
// Q8_0 is plain rounding, d = max|x| / 127 (importance does not matter at that size).
// NaN or infinity in x, or an importance that is negative or not finite, is the caller's bug (CHECK
// at Quantize's entry).
// Speed     about 5 to 30 million elements a second and core, by type; threads share out rows.
#pragma once

#include <cstdint>

#include "engine/kernels/dtype.h"
#include "engine/kernels/thread_pool.h"

namespace weir::kernels {

// x[rows, cols] to `to` (RowBytes(type, cols) a row). importance: [cols], shared by all rows, or
// null. cols is a multiple of BlockElements(type). F32, F16 and BF16 are rounded to nearest.
void Quantize(ThreadPool* pool, DType type, const float* x, int64_t rows, int64_t cols,
              const float* importance, void* to);

}  // namespace weir::kernels
