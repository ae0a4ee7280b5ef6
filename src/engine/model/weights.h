// A model, loaded: its shape, its tokenizer and its weights, packed for this CPU's products.
//
// Matrices are packed once, tensor by tensor, and the pages of the file that were read for it given
// back at once, so that loading needs no more memory than the weights have. An embedding table that
// is not also the head stays in the mapped file: only the rows of tokens that occur are ever read.
// What a layer lacks (biases, norms of other families) is empty; the forward pass goes by that.
//
// Refused: what model_files.h refuses, and NaN or infinity in any weight. Threads: immutable once
// loaded. Memory: mappings live as long as the Model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/kernels/packed.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/model_files.h"

namespace weir::model {

struct Mlp {
  kernels::PackedMatrix gate, up, down;
};

struct Layer {
  bool sliding = false;           // sees config.sliding_window positions only
  std::vector<float> input_norm;  // [dim]; of what goes into the attention
  std::vector<float> ffn_norm;    // [dim]; of what goes into the feed-forward
  std::vector<float> post_attention_norm, post_ffn_norm;  // [dim]; of what comes out, or empty
  std::vector<float> q_norm, k_norm;                      // [head_dim], or empty
  std::vector<float> q_bias, k_bias, v_bias, o_bias;      // or empty
  kernels::PackedMatrix q, k, v, o;
  Mlp mlp;  // empty where there are experts
  kernels::PackedMatrix router;
  std::vector<Mlp> experts;
};

class Model {
 public:
  // `path`: a folder or a .gguf file. `pool` may be null: the calling thread alone.
  static Result<std::shared_ptr<const Model>> Load(const std::string& path,
                                                   kernels::ThreadPool* pool = nullptr);
  static Result<std::shared_ptr<const Model>> Load(std::shared_ptr<const ModelFiles> files,
                                                   kernels::ThreadPool* pool = nullptr);

  const ModelFiles& files() const { return *files_; }
  const ModelConfig& config() const { return files_->config(); }
  const Tokenizer& tokenizer() const { return files_->tokenizer(); }
  const std::string& name() const { return files_->name(); }
  const std::vector<TensorView>& tensors() const { return files_->tensors(); }
  int64_t weight_bytes() const { return files_->weight_bytes(); }

  const std::vector<Layer>& layers() const { return layers_; }
  const std::vector<float>& final_norm() const { return final_norm_; }  // [dim]
  const kernels::PackedMatrix& head() const { return head_; }           // [vocab_size, dim]
  // y[r,:] = row token[r] of the embedding table, not yet scaled. Ids in [0, vocab_size).
  void Embed(const int32_t* token, int64_t rows, float* y) const;

 private:
  friend class ModelPacker;
  std::shared_ptr<const ModelFiles> files_;
  std::vector<Layer> layers_;
  kernels::PackedMatrix head_;
  std::vector<float> final_norm_;
  kernels::Weights embedding_;  // data null: the head's rows
  std::vector<std::byte> embedding_copy_;
};

}  // namespace weir::model
