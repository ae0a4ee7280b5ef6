// A loaded model written as one GGUF file that other programs read: llama architecture, the q and k
// projections with rows in neighbour order, the tokenizer inside.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "engine/model/dtype.h"
#include "engine/model/weights.h"

namespace weir::model {

// Matrices as `type` (F32, F16, BF16 or Q8_0; nullopt: as they are), norms always F32. A matrix
// whose rows are not whole blocks of 32 stays F16 where Q8_0 is asked for. A value beyond F16's
// range is refused by name.
Status ExportGguf(const Model& model, const std::string& path, std::optional<DType> type = {});

}  // namespace weir::model
