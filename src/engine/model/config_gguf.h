// The shape of a model in GGUF's metadata. Keys are "ARCHITECTURE.name": llama.block_count.
//
// What GGUF keeps in tensors of its own (rope_freqs.weight, rope_factors_short.weight and _long) is
// read here too. Where its readers know something by heart (Gemma's scale and window pattern), so
// does this one.
// Errors: the key that is missing, absurd or not offered.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "engine/model/config.h"
#include "engine/model/gguf.h"

namespace weir::model {

Result<ModelConfig> ConfigFromGguf(const GgufFile& file);

// The keys of a config, general.architecture among them, and the tensors of rope factors, whose
// data the writer keeps. kUnimplemented where GGUF has no words for it.
Status ConfigToGguf(const ModelConfig& config, GgufWriter& writer);

// Whether ConfigFromGguf reads this tensor itself.
bool IsConfigTensor(std::string_view name);

}  // namespace weir::model
