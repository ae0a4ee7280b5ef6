#include "engine/serve/sampler.h"

#include <algorithm>
#include <cmath>

namespace weir::serve {
namespace {

using Candidate = std::pair<float, int32_t>;  // logit, then probability

bool Likelier(const Candidate& a, const Candidate& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

}  // namespace

int32_t Greedy(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

int32_t Sampler::Sample(std::span<const float> logits) {
  if (options_.temperature <= 0) return Greedy(logits);
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    candidates_.emplace_back(logits[i], static_cast<int32_t>(i));
  }
  const auto k = static_cast<size_t>(options_.top_k);
  if (k > 0 && k < candidates_.size()) {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<ptrdiff_t>(k - 1),
                     candidates_.end(), Likelier);
    candidates_.resize(k);
  }
  const float largest = std::max_element(candidates_.begin(), candidates_.end())->first;
  double total = 0;
  for (auto& [value, id] : candidates_) {
    value = std::exp((value - largest) / options_.temperature);
    total += value;
  }
  if (options_.top_p < 1) {
    std::sort(candidates_.begin(), candidates_.end(), Likelier);
    double kept = 0;
    size_t n = 0;
    while (n < candidates_.size() && kept < options_.top_p * total) kept += candidates_[n++].first;
    candidates_.resize(std::max<size_t>(n, 1));
    total = kept;
  }
  double at = random_.Uniform() * total;
  for (const auto& [value, id] : candidates_) {
    at -= value;
    if (at < 0) return id;
  }
  return candidates_.back().second;  // rounding left a crumb
}

Logprobs LogprobsOf(std::span<const float> logits, int32_t chosen, int top) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - largest);
  const double log_sum = largest + std::log(sum);
  Logprobs out;
  out.chosen = static_cast<float>(logits[static_cast<size_t>(chosen)] - log_sum);
  if (top <= 0) return out;
  std::vector<Candidate> all;
  for (size_t i = 0; i < logits.size(); ++i) all.emplace_back(logits[i], static_cast<int32_t>(i));
  const size_t n = std::min(static_cast<size_t>(top), all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(n), all.end(), Likelier);
  for (size_t i = 0; i < n; ++i) {
    out.top.emplace_back(all[i].second, static_cast<float>(all[i].first - log_sum));
  }
  return out;
}

}  // namespace weir::serve
