// From logits to a token.
//
// temperature 0: the token with the largest logit, the smallest id of equals. Otherwise softmax of
// logits / temperature, cut to the top_k most likely, then to the smallest set of them that holds
// top_p of what is left, and one drawn from that. Equal seeds and logits draw equal tokens.
// Threads: one sequence, one sampler, one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"

namespace weir::serve {

struct SamplingOptions {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int top_k = 0;  // 0: all
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options), random_(options.seed) {}
  int32_t Sample(std::span<const float> logits);

 private:
  SamplingOptions options_;
  Random random_;
  std::vector<std::pair<float, int32_t>> candidates_;
};

int32_t Greedy(std::span<const float> logits);

// The logarithm of the chosen token's probability at temperature 1, and the `top` most likely.
struct Logprobs {
  float chosen = 0;
  std::vector<std::pair<int32_t, float>> top;
};
Logprobs LogprobsOf(std::span<const float> logits, int32_t chosen, int top);

}  // namespace weir::serve
