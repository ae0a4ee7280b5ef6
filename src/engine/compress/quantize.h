// A model's files to one GGUF file, smaller.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "engine/compress/calibrate.h"
#include "engine/compress/recipe.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/model_files.h"

namespace weir::compress {

struct QuantizeOptions {
  const Recipe* recipe = nullptr;
  const Importance* importance = nullptr;                   // null: every column counts the same
  std::function<void(const model::TensorView&)> on_tensor;  // before each; may be empty
};

// kAlreadyExists: `out` is there. Quantizing what is quantized is allowed, and loses twice.
Status Quantize(const model::ModelFiles& files, const std::string& out,
                const QuantizeOptions& options, kernels::ThreadPool* pool);

}  // namespace weir::compress
