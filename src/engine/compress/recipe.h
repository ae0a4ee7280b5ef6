// Which type each matrix of a quantized model gets: the mixes that people know by name.
//
// A plain recipe has one type for all. The "_S", "_M" and "_L" ones give more bits to what suffers
// most from rounding: the head, the values (a few matrices that everything attended passes through)
// and the way down of the feed-forward, in the first and last eighth of the layers and in every
// third between. Measured in docs/quantize.md.
// Threads: constant data and pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/kernels/dtype.h"
#include "engine/model/architecture.h"

namespace weir::compress {

struct Recipe {
  std::string_view name;  // "Q4_K_M"
  uint32_t file_type;     // GGUF's general.file_type
  kernels::DType base;    // of what is not named below
  kernels::DType head;    // the head, or the embedding table that is also the head
  kernels::DType value;   // values and ways down in the layers that matter
  kernels::DType value_elsewhere;
  kernels::DType down;
  kernels::DType down_elsewhere;
  kernels::DType output;  // the attention's output
  std::string_view what;  // one line for people
};

std::span<const Recipe> Recipes();
Result<const Recipe*> RecipeNamed(std::string_view name);  // case does not matter

// Of the matrix at `place`. Where its columns are no whole blocks, the nearest type that fits:
// Q2_K, Q3_K and Q4_K give way to Q5_0, Q5_K to Q5_1, Q6_K to Q8_0, and all to F16 where not even
// 32 divide them. A router stays F32: it is tiny, and a wrong expert is no rounding error.
kernels::DType TypeFor(const Recipe& recipe, const model::ModelConfig& config,
                       const model::Place& place);

}  // namespace weir::compress
