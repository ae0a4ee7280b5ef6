// Which columns of a matrix matter: the mean square of what meets each of them when the model reads
// a text. An error in a weight costs about its square times that (the output's error is the
// weight's error times the input), so the rounding may be coarser where inputs are small.
// Source: the diagonal of the Hessian in Frantar et al., "GPTQ", 2022, section 3.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "base/result.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/weights.h"

namespace weir::compress {

class Importance {
 public:
  // [columns] of the matrix at `place`; null where it was never used (an expert that no token went
  // to), or for the head and the embedding, whose input is not collected.
  const float* Of(const model::Place& place) const;
  int64_t tokens() const { return tokens_; }

 private:
  friend class Collector;
  std::map<model::Place, std::vector<float>> columns_;
  int64_t tokens_ = 0;
};

struct CalibrateOptions {
  int64_t context = 512;                                         // tokens read together
  int64_t max_tokens = 65536;                                    // the text is cut there
  std::function<void(int64_t done, int64_t total)> on_progress;  // may be empty
};

// kInvalidArgument: fewer tokens than one context.
Result<Importance> Calibrate(const model::Model& model, std::span<const int32_t> tokens,
                             const CalibrateOptions& options, kernels::ThreadPool* pool);

}  // namespace weir::compress
