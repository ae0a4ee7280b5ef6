// Rotary positions: how far pair i of a head turns at position p, in every variant that models use.
//
//   angle(p, i) = p * f[i];  a, b = a cos - b sin, a sin + b cos, both times `magnitude`
//   f[i] = theta^(-2i/d) for d = rotary_dim, then changed by the variant (r = `factor`):
//   linear    f / r                     positions squeezed (Chen et al., "Extending Context Window
//                                       of Large Language Models via Positional Interpolation",
//                                       2023)
//   dynamic   theta *= ((r * context / original) - (r - 1))^(d/(d-2)) where context > original: the
//             "NTK-aware" base. Decided by the context that is served, once: not as a text grows.
//   yarn      f / r for slow pairs, f for fast ones, a ramp between those that turn beta_slow and
//             beta_fast times in `original` positions; magnitude 0.1 ln r + 1 (Peng et al., 2023)
//   llama3    f / r for wavelengths above original / low_freq_factor, f below original /
//             high_freq_factor, mixed between
//   longrope  f / factors[i], the long ones where context > original; magnitude
//             sqrt(1 + ln(max_seq / original) / ln(original)) (Ding et al., 2024)
//
// Rows of q and k come in two orders. "Half": element i pairs with i + d/2; Hugging Face's files,
// and everything in this program. "Neighbour": 2i pairs with 2i + 1; GGUF files of llama.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/model/config.h"

namespace weir::model {

enum class Sight : uint8_t { kGlobal, kSliding };  // what a layer sees

struct RopeFrequencies {
  std::vector<double> per_position;  // [rotary_dim / 2], radians
  double magnitude = 1.0;
};
// `context`: positions that will be served; at most config.max_seq.
RopeFrequencies RopeFrequenciesOf(const ModelConfig& config, Sight sight, int64_t context);

// The turn of q and k rows between the two orders, per head of head_dim rows: row
// j * head_dim/2 + i of the half order is row 2i + j of the neighbour order (j: 0 or 1).
enum class RotaryRows : uint8_t { kHalvesToNeighbours, kNeighboursToHalves };
void PermuteRotaryRows(RotaryRows which, int64_t head_dim, int64_t row_bytes,
                       std::span<const std::byte> from, std::byte* to);

}  // namespace weir::model
