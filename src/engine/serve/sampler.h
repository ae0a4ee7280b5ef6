// From logits to a token.
//
//   logits -> + logit_bias -> repetition, then frequency and presence penalties -> grammar's mask
//          -> temperature -> softmax -> top_k -> top_p -> min_p -> one drawn
//
// The order is that of Hugging Face's transformers; docs/serving.md says where vLLM and llama.cpp
// differ. Ties at a cut go to the smaller id. temperature 0 takes the largest logit after bias,
// penalties and mask, the smallest id of equals.
//
// The draw is a race of exponential clocks: token i rings at E_i / w_i, with E_i made from (seed,
// number of this token, i) alone; the first to ring wins, token i with probability w_i / sum w.
// So a token depends on its own logits and seed, never on the batch, on how often a sequence was
// preempted, or on speculation; and a draft model that draws with the same seed agrees with the
// target as often as their distributions do (Daliri et al., "Coupling without Communication and
// Drafter-Invariant Speculative Decoding", 2024).
//
// Cost: a few passes over the vocabulary, no sort. DistributionPlainly is the definition, sorted
// and summed in double, the oracle of sampler_test.cc. Threads: Sample is const; one Scratch per
// thread. Accept from one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace weir::serve {

struct SamplingOptions {
  float temperature = 1.0f;         // 0: greedy
  float top_p = 1.0f;               // (0, 1]
  int top_k = 0;                    // 0: all
  float min_p = 0.0f;               // of the most likely token's probability
  float repetition_penalty = 1.0f;  // > 0; of tokens in the prompt and the answer so far
  float presence_penalty = 0.0f;    // of tokens in the answer so far
  float frequency_penalty = 0.0f;   // times their number there
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;

  bool penalizes() const {
    return repetition_penalty != 1 || presence_penalty != 0 || frequency_penalty != 0;
  }
};

// The seed of choice `index` of a request with several; choice 0 has the request's own.
uint64_t SeedOfChoice(uint64_t seed, int index);

// Bit t % 64 of word t / 64: token t may come. Empty: any may. Tokens beyond its words may not.
using TokenMask = std::span<const uint64_t>;

class Sampler {
 public:
  struct Scratch {
    std::vector<float> weights;
    std::vector<double> buckets;
  };

  // `prompt` counts for the repetition penalty alone.
  Sampler(SamplingOptions options, std::span<const int32_t> prompt);

  // The next token; -1 when the mask allows none. NaN counts as never.
  int32_t Sample(std::span<const float> logits, TokenMask allowed, Scratch& scratch) const;
  // `token` is the answer's next: it counts for penalties, and the next draw is the seed's next.
  void Accept(int32_t token);

  const SamplingOptions& options() const { return options_; }
  int64_t accepted() const { return accepted_; }

 private:
  struct Seen {
    int32_t answer = 0;  // times in the answer
  };
  void Adjust(std::span<float> logits, TokenMask allowed) const;

  SamplingOptions options_;
  std::unordered_map<int32_t, Seen> seen_;  // empty unless options_.penalizes()
  int64_t accepted_ = 0;
};

// The smallest id of the largest; -1 when every logit is NaN or minus infinity.
int32_t Greedy(std::span<const float> logits);

// What is left of the distribution after everything in `options`, by the plain definition: pairs of
// id and probability, likeliest first. `answer`: tokens so far.
std::vector<std::pair<int32_t, double>> DistributionPlainly(const SamplingOptions& options,
                                                            std::span<const float> logits,
                                                            TokenMask allowed,
                                                            std::span<const int32_t> prompt,
                                                            std::span<const int32_t> answer);

// The logarithm of a token's probability by the model itself (temperature 1, before bias, penalties
// and mask), and the `top` most likely tokens with theirs, likeliest first, smaller id first.
struct Logprobs {
  float chosen = 0;
  std::vector<std::pair<int32_t, float>> top;
};
Logprobs LogprobsOf(std::span<const float> logits, int32_t chosen, int top);

}  // namespace weir::serve
