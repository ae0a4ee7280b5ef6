// A model folder with random weights and a byte-level tokenizer trained on a sentence or two: what
// tests and benchmarks serve when no trained model is at hand.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "engine/model/config.h"
#include "engine/model/dtype.h"

namespace weir::model {

// config.json, tokenizer.json and model.safetensors in `folder`, which exists. The tokenizer has at
// most config.vocab_size tokens (at least 257). Equal seeds give equal files. `type` is one that
// safetensors has.
Status WriteRandomModel(const std::string& folder, const ModelConfig& config, uint64_t seed,
                        DType type = DType::kF32);

// A small model of an architecture in which everything that distinguishes it occurs: layers that
// slide and layers that do not, a window shorter than any test's text, fewer key heads than heads,
// a head that is not dim / heads. `width`: dim, a multiple of 32.
ModelConfig TinyConfig(Architecture architecture, int width = 64);

}  // namespace weir::model
