// generation_config.json: how its makers would have a model sampled, and what ends its answers.
// Threads: a value. Errors: the field that is wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::model {

struct GenerationDefaults {
  std::optional<float> temperature;  // 0 where do_sample is false
  std::optional<float> top_p, min_p, repetition_penalty;
  std::optional<int> top_k;
  std::vector<int32_t> eos_ids;
};

Result<GenerationDefaults> GenerationFromJson(std::string_view json);

}  // namespace weir::model
