#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/check.h"

namespace weir::model {
namespace {

void Yarn(const ModelConfig& c, double theta, RopeFrequencies& out) {
  const RopeScaling& s = c.rope;
  const double d = c.rotary_dim();
  // The pair that turns `turns` times over the original positions.
  const auto pair_of = [&](double turns) {
    return d * std::log(s.original_seq / (turns * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = pair_of(s.beta_fast), high = pair_of(s.beta_slow);
  if (s.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, d - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < out.per_position.size(); ++i) {
    const double slow = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    double& f = out.per_position[i];
    f = f / s.factor * slow + f * (1 - slow);
  }
  out.magnitude = s.attention_factor > 0 ? s.attention_factor : 0.1 * std::log(s.factor) + 1.0;
}

void Llama3(const RopeScaling& s, RopeFrequencies& out) {
  for (double& f : out.per_position) {
    const double turns = s.original_seq * f / (2 * std::numbers::pi);
    const double fast = std::clamp(
        (turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor), 0.0, 1.0);
    f = (1 - fast) * f / s.factor + fast * f;
  }
}

void LongRope(const ModelConfig& c, int64_t context, RopeFrequencies& out) {
  const RopeScaling& s = c.rope;
  const std::vector<float>& factors = context > s.original_seq ? s.long_factors : s.short_factors;
  for (size_t i = 0; i < out.per_position.size(); ++i) {
    out.per_position[i] /= static_cast<double>(factors[i]);
  }
  const double ratio = static_cast<double>(c.max_seq) / s.original_seq;
  if (s.attention_factor > 0) {
    out.magnitude = s.attention_factor;
  } else if (ratio > 1) {
    out.magnitude = std::sqrt(1 + std::log(ratio) / std::log(s.original_seq));
  }
}

}  // namespace

RopeFrequencies RopeFrequenciesOf(const ModelConfig& c, Sight sight, int64_t context) {
  const RopeScaling& s = c.rope;
  const bool local = sight == Sight::kSliding && c.rope_theta_local > 0;
  const double d = c.rotary_dim();
  double theta = static_cast<double>(local ? c.rope_theta_local : c.rope_theta);
  if (!local && s.kind == RopeKind::kDynamic && context > s.original_seq) {
    const double stretch =
        s.factor * static_cast<double>(context) / s.original_seq - (s.factor - 1.0);
    theta *= std::pow(stretch, d / (d - 2));
  }
  RopeFrequencies out;
  for (int i = 0; i < c.rotary_dim() / 2; ++i)
    out.per_position.push_back(std::pow(theta, -2 * i / d));
  if (local) return out;
  switch (s.kind) {
    case RopeKind::kPlain:
    case RopeKind::kDynamic:
      break;
    case RopeKind::kLinear:
      for (double& f : out.per_position) f /= s.factor;
      break;
    case RopeKind::kYarn:
      Yarn(c, theta, out);
      break;
    case RopeKind::kLlama3:
      Llama3(s, out);
      break;
    case RopeKind::kLongRope:
      LongRope(c, context, out);
      break;
  }
  return out;
}

void PermuteRotaryRows(RotaryRows which, int64_t head_dim, int64_t row_bytes,
                       std::span<const std::byte> from, std::byte* to) {
  const int64_t rows = static_cast<int64_t>(from.size()) / row_bytes;
  CHECK(rows % head_dim == 0 && head_dim % 2 == 0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t first = row - row % head_dim, r = row % head_dim;
    const int64_t halves = (r % 2) * (head_dim / 2) + r / 2;  // where neighbour row r goes
    const int64_t a = first + halves, b = row;
    const bool to_neighbours = which == RotaryRows::kHalvesToNeighbours;
    std::memcpy(to + (to_neighbours ? b : a) * row_bytes,
                from.data() + (to_neighbours ? a : b) * row_bytes, static_cast<size_t>(row_bytes));
  }
}

}  // namespace weir::model
