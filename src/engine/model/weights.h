// A model, loaded: its shape, its tokenizer and its weights, ready for the kernels.
//
// From a folder (config.json, tokenizer.json, model.safetensors or the shards that
// model.safetensors.index.json names) or from one GGUF file of the llama architecture. Matrices
// stay in the mapped file where they can; what cannot is copied once: norms (to f32), the q and k
// projections of GGUF (whose rows pair neighbours for the rotary turn, ours pair halves), Q4_0
// (widened to Q8_0, exactly), and data that is not aligned.
//
// Refused, with the file and the tensor named: missing, unknown, repeated or wrongly shaped
// tensors, NaN or infinity in any weight, a tokenizer with more tokens than the model has. Threads:
// immutable once loaded. Memory: the mapping lives as long as the Model.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/kernels/kernels.h"
#include "engine/model/config.h"
#include "engine/model/safetensors.h"
#include "engine/model/tokenizer.h"

namespace weir::model {

struct Layer {
  const float* input_norm = nullptr;  // [dim]
  kernels::Weights q, k, v, o;
  const float* post_norm = nullptr;  // [dim]
  kernels::Weights gate, up, down;
};

class Model {
 public:
  // `path`: a folder or a .gguf file.
  static Result<std::shared_ptr<const Model>> Load(const std::string& path);

  const ModelConfig& config() const { return config_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const kernels::Weights& embedding() const { return embedding_; }  // [vocab_size, dim]
  const std::vector<Layer>& layers() const { return layers_; }
  const float* final_norm() const { return final_norm_; }  // [dim]
  const kernels::Weights& head() const { return head_; }   // [vocab_size, dim]

  // All of TensorSpecs(config), in that order, names and row order as there.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  int64_t weight_bytes() const;
  std::string_view format() const { return format_; }  // "safetensors" or "gguf"
  // The last part of the path, without ".gguf": the model's name unless somebody gives another.
  const std::string& name() const { return name_; }

 private:
  friend class ModelLoader;
  ModelConfig config_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<Layer> layers_;
  kernels::Weights embedding_, head_;
  const float* final_norm_ = nullptr;
  std::vector<TensorView> tensors_;
  std::string format_, name_;
  std::vector<std::shared_ptr<const void>> owners_;  // mapped files
  std::vector<std::unique_ptr<std::byte[]>> copies_;
};

kernels::DType KernelType(DType type);  // not of kQ4_0 (CHECK)

// The turn of q and k rows between the two rotary conventions, per head of head_dim rows: row
// j * head_dim/2 + i of the half convention is row 2i + j of the neighbour convention (j: 0 or 1).
enum class RotaryRows : uint8_t { kHalvesToNeighbours, kNeighboursToHalves };
void PermuteRotaryRows(RotaryRows which, int64_t head_dim, int64_t row_bytes,
                       std::span<const std::byte> from, std::byte* to);

// "model.layers.3.self_attn.q_proj.weight" to GGUF's "blk.3.attn_q.weight".
std::string GgufTensorName(std::string_view hf_name);

// Whether a stored tensor holds a NaN or an infinity.
bool HasNonFinite(const TensorView& tensor);

}  // namespace weir::model
