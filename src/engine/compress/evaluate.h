// How well a model predicts a text, and how far two models are apart on it.
//
// The text is cut into stretches of `context` tokens, each read from nothing (after the token that
// begins a text, where the model wants one). Only the second half of each is scored, so that every
// scored token has at least context / 2 tokens before it; perplexities of other programs that count
// so compare with these.
//   perplexity  exp(mean of -ln p(token)); its error is the standard error of that mean, carried
//               through exp
//   KL          sum over tokens p_a ln(p_a / p_b), nats, of the distributions at one position; a is
//               the model taken as right
//   agreement   positions where both hold the same token for the likeliest
// Threads: one caller; uses the pool it was given.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/weights.h"
#include "io/clock.h"

namespace weir::compress {

struct EvaluateOptions {
  int64_t context = 512;
  int64_t max_tokens = 1 << 30;                                  // the text is cut there
  std::function<void(int64_t done, int64_t total)> on_progress;  // may be empty
};

struct Fit {
  int64_t scored = 0;  // tokens
  double mean_nll = 0;
  double perplexity = 0, perplexity_error = 0;
  double read_tokens_per_s = 0;  // of the text, many at a time
};

struct Distance {
  double mean = 0, p99 = 0, max = 0;  // of KL
  double agreement = 0;               // 0 to 1
};

struct Comparison {
  Fit a, b;
  Distance kl;
  double perplexity_ratio = 0;        // b over a
  double perplexity_ratio_error = 0;  // from the differences token by token
};

// kInvalidArgument: the text is shorter than one stretch.
Result<Fit> Perplexity(const model::Model& model, std::string_view text,
                       const EvaluateOptions& options, kernels::ThreadPool* pool,
                       const io::Clock& clock);

// kInvalidArgument also where the two do not have the same tokens.
Result<Comparison> Compare(const model::Model& a, const model::Model& b, std::string_view text,
                           const EvaluateOptions& options, kernels::ThreadPool* pool,
                           const io::Clock& clock);

// Greedy tokens a second of one stream, after `prompt` tokens of text: the median of `rounds`.
double DecodeSpeed(const model::Model& model, std::span<const int32_t> prompt, int tokens,
                   int rounds, kernels::ThreadPool* pool, const io::Clock& clock);

// The distance of two rows of logits, in nats, and the negative log-likelihood of one token: the
// arithmetic of the above, for tests.
double KlDivergence(std::span<const float> logits_a, std::span<const float> logits_b);
double NegativeLogLikelihood(std::span<const float> logits, int32_t token);

}  // namespace weir::compress
