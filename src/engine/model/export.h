// A model's files written as one GGUF file that other programs read: any architecture of the table,
// the tokenizer and the chat template inside, matrices in any type.
//
// From a GGUF file, its metadata is copied as it is but for the type; from a folder it is made.
// Tensor by tensor: memory for the largest of them, not for the model.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/dtype.h"
#include "engine/model/model_files.h"

namespace weir::model {

struct ExportPlan {
  // The type of the matrix at a place (norms and biases are F32). Those that share a tensor get the
  // type of the first. Rows must be whole blocks of it.
  std::function<DType(const Place&)> type;
  // [columns] weights of the columns for rounding, or null: all the same. May be empty.
  std::function<const float*(const Place&)> importance;
  uint32_t file_type = 0;  // general.file_type, as FileTypeOf or a recipe's
  std::function<void(const TensorView&)> on_tensor;  // before each; may be empty
};

// A value beyond the range of its type is refused by name.
Status ExportGguf(const ModelFiles& files, const std::string& path, const ExportPlan& plan,
                  kernels::ThreadPool* pool = nullptr);

// All matrices as `type` (nullopt: as they are); those whose rows are not whole blocks of it as
// F16.
Status ExportGguf(const ModelFiles& files, const std::string& path, std::optional<DType> type = {},
                  kernels::ThreadPool* pool = nullptr);

// What GGUF calls a file that has most of its matrices in this type.
uint32_t FileTypeOf(DType type);

}  // namespace weir::model
