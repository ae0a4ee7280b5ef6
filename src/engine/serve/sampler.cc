#include "engine/serve/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace weir::serve {
namespace {

constexpr size_t kLanes = 16;        // independent sums, so that the compiler may use vectors
constexpr float kSmallest = -87.0f;  // exp of less is not a normal float: weight 0
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// e^x for kSmallest <= x <= 0, within 2 units in the last place; e^0 is exactly 1. In this form,
// without a call or a branch, a loop over it becomes vector code.
inline float ExpOfNegative(float x) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.9875691500e-4f;  // minimax on [-ln2/2, ln2/2] (Cephes, expf)
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const auto scale = static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23;
  return p * std::bit_cast<float>(scale);
}

// Of numbers; NaN is passed over. Minus infinity when there are none.
float Largest(std::span<const float> x) {
  float lane[kLanes];
  std::fill_n(lane, kLanes, kMinusInfinity);
  size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
  }
  float largest = kMinusInfinity;
  for (; i < x.size(); ++i) largest = x[i] > largest ? x[i] : largest;
  for (const float l : lane) largest = l > largest ? l : largest;
  return largest;
}

// Is any of kLanes numbers above the bar?
bool AnyAbove(const float* x, float bar) {
  int above = 0;
  for (size_t j = 0; j < kLanes; ++j) above |= x[j] > bar ? 1 : 0;
  return above != 0;
}

double Sum(std::span<const float> x) {
  double lane[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lane[j] += static_cast<double>(x[i + j]);
  }
  double sum = 0;
  for (; i < x.size(); ++i) sum += static_cast<double>(x[i]);
  for (const double l : lane) sum += l;
  return sum;
}

// e^t for any t <= 0; NaN gives 0.
inline float Weight(float t) {
  const float clamped = t > kSmallest ? t : kSmallest;
  const float weight = ExpOfNegative(clamped);
  return t >= kSmallest ? weight : 0.0f;
}

// x becomes exp((x - largest) / temperature).
void Weigh(std::span<float> x, float largest, float temperature) {
  const float scale = 1.0f / temperature;
  for (float& value : x) value = Weight((value - largest) * scale);
}

// ---- Cuts ------------------------------------------------------------------------------------
// A positive float's bits are in the order of its value, so the value at which a cut falls is found
// digit by digit: three passes that each fill 1024 buckets, whatever the distribution looks like.

constexpr int kDigitBits = 10;
constexpr uint32_t kDigits = 1u << kDigitBits;
constexpr int kShifts[] = {20, 10, 0};  // weights are at most 1.0, whose bits are below 2^30

enum class Amount : uint8_t { kCount, kMass };

// What a thread needs while it looks for a cut.
struct CutScratch {
  std::vector<double> buckets;
  std::vector<uint32_t> ids;  // of the weights that have the cut's first digit
  std::vector<float> weights;
};

// The digit in whose bucket the sum from the top reaches `left`, which becomes what that bucket
// must still give; kDigits when all of them together do not reach it.
uint32_t DigitOfCut(std::span<const double> buckets, double& left) {
  for (uint32_t digit = kDigits; digit-- > 0;) {
    if (buckets[digit] <= 0) continue;
    if (buckets[digit] >= left) return digit;
    left -= buckets[digit];
  }
  return kDigits;
}

// Keeps the largest weights, smaller ids first, until their number or sum reaches `limit`; the
// others become 0.
void Keep(std::span<float> weights, Amount amount, double limit) {
  thread_local CutScratch scratch;
  const auto worth = [amount](float weight) {
    return amount == Amount::kCount ? 1.0 : static_cast<double>(weight);
  };
  double left = limit;
  // Neighbours often share a bucket: two sets, so that one addition need not wait for another.
  scratch.buckets.assign(2 * kDigits, 0.0);
  double* const even = scratch.buckets.data();
  double* const odd = even + kDigits;
  for (size_t i = 0; i + 1 < weights.size(); i += 2) {
    even[std::bit_cast<uint32_t>(weights[i]) >> kShifts[0]] += worth(weights[i]);
    odd[std::bit_cast<uint32_t>(weights[i + 1]) >> kShifts[0]] += worth(weights[i + 1]);
  }
  if (weights.size() % 2 != 0) {
    even[std::bit_cast<uint32_t>(weights.back()) >> kShifts[0]] += worth(weights.back());
  }
  even[0] = odd[0] = 0;  // zeros; no weight is as small as the others there
  for (uint32_t digit = 0; digit < kDigits; ++digit) even[digit] += odd[digit];
  const uint32_t first = DigitOfCut({even, kDigits}, left);
  if (first == kDigits) return;

  scratch.ids.clear();
  scratch.weights.clear();
  for (size_t i = 0; i < weights.size(); ++i) {
    if (std::bit_cast<uint32_t>(weights[i]) >> kShifts[0] != first) continue;
    scratch.ids.push_back(static_cast<uint32_t>(i));
    scratch.weights.push_back(weights[i]);
  }
  uint32_t cut = first << kShifts[0], known = (kDigits - 1) << kShifts[0];
  for (const int shift : {kShifts[1], kShifts[2]}) {
    scratch.buckets.assign(kDigits, 0.0);
    for (const float weight : scratch.weights) {
      const auto bits = std::bit_cast<uint32_t>(weight);
      if ((bits & known) != cut) continue;
      scratch.buckets[(bits >> shift) & (kDigits - 1)] += worth(weight);
    }
    double before = left;
    uint32_t digit = DigitOfCut(scratch.buckets, before);
    if (digit == kDigits) {
      // The same weights summed in another order missed by rounding: the smallest of them it is.
      digit = 0;
      while (scratch.buckets[digit] <= 0) ++digit;
      before = scratch.buckets[digit];
    }
    left = before;
    cut |= digit << shift;
    known |= (kDigits - 1) << shift;
  }
  const auto value = std::bit_cast<float>(cut);
  for (float& weight : weights) weight = weight > value ? weight : 0.0f;
  const double equals = amount == Amount::kCount ? left : left / static_cast<double>(value);
  double given = 0;
  for (size_t i = 0; i < scratch.ids.size() && given < equals; ++i) {
    if (scratch.weights[i] != value) continue;
    weights[scratch.ids[i]] = value;
    given += 1;
  }
}

// ---- The draw --------------------------------------------------------------------------------

constexpr uint64_t kGolden = 0x9E3779B97F4A7C15u;

// The output step of splitmix64 (Steele, Lea & Flood, 2014).
inline uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// The exponential race (see the header). -log(1 - u) >= u, so a token whose u alone is too late
// needs no logarithm, and almost none does.
int32_t Race(std::span<const float> weights, uint64_t key) {
  double first = std::numeric_limits<double>::infinity();
  int32_t winner = -1;
  for (size_t begin = 0; begin < weights.size(); begin += kLanes) {
    const size_t end = std::min(begin + kLanes, weights.size());
    if (end - begin == kLanes && !AnyAbove(&weights[begin], 0)) continue;  // all of them are cut
    for (size_t i = begin; i < end; ++i) {
      if (!(weights[i] > 0)) continue;
      const double u = static_cast<double>(Mix(key + kGolden * i) >> 11) * 0x1p-53;
      const auto weight = static_cast<double>(weights[i]);
      if (winner >= 0 && u >= first * weight) continue;
      const double rings = -std::log1p(-u) / weight;
      if (winner < 0 || rings < first) {
        first = rings;
        winner = static_cast<int32_t>(i);
      }
    }
  }
  return winner;
}

bool Allows(TokenMask allowed, size_t token) {
  return allowed.empty() ||
         (token / 64 < allowed.size() && (allowed[token / 64] >> (token % 64) & 1) != 0);
}

int32_t FirstAllowed(TokenMask allowed, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (Allows(allowed, i)) return static_cast<int32_t>(i);
  }
  return -1;
}

float Penalized(const SamplingOptions& o, float logit, int32_t in_answer) {
  logit = logit > 0 ? logit / o.repetition_penalty : logit * o.repetition_penalty;
  logit -= o.frequency_penalty * static_cast<float>(in_answer);
  return in_answer > 0 ? logit - o.presence_penalty : logit;
}

}  // namespace

uint64_t SeedOfChoice(uint64_t seed, int index) {
  return index == 0 ? seed : Mix(Mix(seed) + kGolden * static_cast<uint64_t>(index));
}

Sampler::Sampler(SamplingOptions options, std::span<const int32_t> prompt)
    : options_(std::move(options)) {
  if (options_.repetition_penalty == 1) return;
  for (const int32_t token : prompt) seen_.try_emplace(token);
}

void Sampler::Accept(int32_t token) {
  ++accepted_;
  if (options_.penalizes()) ++seen_[token].answer;
}

void Sampler::Adjust(std::span<float> logits, TokenMask allowed) const {
  const auto size = static_cast<int64_t>(logits.size());
  for (const auto& [token, bias] : options_.logit_bias) {
    if (token >= 0 && token < size) logits[static_cast<size_t>(token)] += bias;
  }
  for (const auto& [token, seen] : seen_) {
    if (token < 0 || token >= size) continue;
    float& logit = logits[static_cast<size_t>(token)];
    logit = Penalized(options_, logit, seen.answer);
  }
  if (allowed.empty()) return;
  for (size_t begin = 0; begin < logits.size(); begin += 64) {
    const uint64_t word = begin / 64 < allowed.size() ? allowed[begin / 64] : 0;
    if (word == ~uint64_t{0}) continue;
    const std::span<float> some =
        logits.subspan(begin, std::min<size_t>(64, logits.size() - begin));
    if (word == 0) {  // most of a form's words, where punctuation must come
      std::fill(some.begin(), some.end(), kMinusInfinity);
      continue;
    }
    for (size_t i = 0; i < some.size(); ++i) {
      if ((word >> i & 1) == 0) some[i] = kMinusInfinity;
    }
  }
}

int32_t Sampler::Sample(std::span<const float> logits, TokenMask allowed, Scratch& scratch) const {
  const bool plain = options_.logit_bias.empty() && seen_.empty() && allowed.empty();
  const bool greedy = options_.temperature <= 0;
  if (greedy && plain) {
    const int32_t token = Greedy(logits);
    return token >= 0 ? token : FirstAllowed(allowed, logits.size());
  }
  scratch.weights.assign(logits.begin(), logits.end());
  const std::span<float> weights(scratch.weights);
  if (!plain) Adjust(weights, allowed);
  if (greedy) {
    const int32_t token = Greedy(weights);
    return token >= 0 ? token : FirstAllowed(allowed, logits.size());
  }
  const float largest = Largest(weights);
  if (!std::isfinite(largest)) {
    // Weights that overflowed: the first infinity wins; all never: whatever may come.
    const int32_t token = largest > 0 ? Greedy(weights) : -1;
    return token >= 0 ? token : FirstAllowed(allowed, logits.size());
  }
  Weigh(weights, largest, options_.temperature);
  if (options_.top_k > 0 && static_cast<size_t>(options_.top_k) < weights.size()) {
    Keep(weights, Amount::kCount, options_.top_k);
  }
  if (options_.top_p < 1) {
    Keep(weights, Amount::kMass, static_cast<double>(options_.top_p) * Sum(weights));
  }
  if (options_.min_p > 0) {
    for (float& weight : weights) weight = weight >= options_.min_p ? weight : 0.0f;
  }
  return Race(weights, Mix(Mix(options_.seed) + kGolden * static_cast<uint64_t>(accepted_ + 1)));
}

int32_t Greedy(std::span<const float> logits) {
  const float largest = Largest(logits);
  if (largest == kMinusInfinity) return -1;
  return static_cast<int32_t>(std::find(logits.begin(), logits.end(), largest) - logits.begin());
}

std::vector<std::pair<int32_t, double>> DistributionPlainly(const SamplingOptions& options,
                                                            std::span<const float> logits,
                                                            TokenMask allowed,
                                                            std::span<const int32_t> prompt,
                                                            std::span<const int32_t> answer) {
  std::vector<std::pair<int32_t, double>> all;
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto id = static_cast<int32_t>(i);
    if (!Allows(allowed, i) || std::isnan(logits[i]) || logits[i] == kMinusInfinity) continue;
    float logit = logits[i];
    for (const auto& [token, bias] : options.logit_bias) logit += token == id ? bias : 0;
    const auto times = std::count(answer.begin(), answer.end(), id);
    if (times > 0 || std::count(prompt.begin(), prompt.end(), id) > 0) {
      logit = Penalized(options, logit, static_cast<int32_t>(times));
    }
    all.emplace_back(id, static_cast<double>(logit));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  if (all.empty()) return all;
  const double largest = all.front().second;
  const double temperature = std::max(1e-30, static_cast<double>(options.temperature));
  for (auto& [id, value] : all) value = std::exp((value - largest) / temperature);
  if (options.temperature <= 0) all.resize(1);
  if (options.top_k > 0 && static_cast<size_t>(options.top_k) < all.size()) {
    all.resize(static_cast<size_t>(options.top_k));
  }
  const auto total = [&] {
    double sum = 0;
    for (const auto& [id, value] : all) sum += value;
    return sum;
  };
  if (options.top_p < 1) {
    const double enough = static_cast<double>(options.top_p) * total();
    double sum = 0;
    size_t n = 0;
    while (n < all.size() && (n == 0 || sum < enough)) sum += all[n++].second;
    all.resize(n);
  }
  std::erase_if(
      all, [&](const auto& entry) { return entry.second < static_cast<double>(options.min_p); });
  const double sum = total();
  for (auto& [id, value] : all) value /= sum;
  return all;
}

Logprobs LogprobsOf(std::span<const float> logits, int32_t chosen, int top) {
  Logprobs out;
  const float largest = Largest(logits);
  double lane[kLanes] = {};
  size_t at = 0;
  for (; at + kLanes <= logits.size(); at += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      lane[j] += static_cast<double>(Weight(logits[at + j] - largest));
    }
  }
  double sum = 0;
  for (; at < logits.size(); ++at) sum += static_cast<double>(Weight(logits[at] - largest));
  for (const double l : lane) sum += l;
  const double log_sum = static_cast<double>(largest) + std::log(sum);
  const auto logprob = [&](float logit) {
    return static_cast<float>(static_cast<double>(logit) - log_sum);
  };
  out.chosen = logprob(logits[static_cast<size_t>(chosen)]);
  const size_t n = std::min(static_cast<size_t>(std::max(top, 0)), logits.size());
  if (n == 0) return out;
  // The best so far, in order; almost no token gets past the last of them.
  out.top.reserve(n + 1);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (out.top.size() == n && i % kLanes == 0) {
      // Whole groups without a candidate are passed over.
      const float bar = out.top.back().second;
      while (i + kLanes <= logits.size() && !AnyAbove(&logits[i], bar)) i += kLanes;
      if (i == logits.size()) break;
    }
    const float logit = logits[i];
    if (out.top.size() == n && !(logit > out.top.back().second)) continue;
    if (std::isnan(logit)) continue;
    const auto place = std::find_if(out.top.begin(), out.top.end(),
                                    [&](const auto& entry) { return entry.second < logit; });
    out.top.emplace(place, static_cast<int32_t>(i), logit);
    if (out.top.size() > n) out.top.pop_back();
  }
  for (auto& [id, logit] : out.top) logit = logprob(logit);
  return out;
}

}  // namespace weir::serve
