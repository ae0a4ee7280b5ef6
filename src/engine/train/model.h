// A Llama for training: parameters, gradients, and the hand-written forward and backward.
//
// Parameters are one flat array in the order of model::TensorSpecs, so that the optimizer, the
// all-reduce and a checkpoint see ranges, and q/k/v (and gate/up), which lie side by side, are one
// matrix product each.
//
// A layer, for rows x of the residual stream:
//     n = RmsNorm(x);  q,k,v = n Wqkv^T;  q,k = Rope(q,k);  x += Attention(q,k,v) Wo^T
//     n = RmsNorm(x);  g,u = n Wgu^T;                       x += (silu(g) * u) Wdown^T
// and at the end logits = RmsNorm(x) E^T, the cross-entropy of the next token.
//
// Memory    the forward keeps, for each token and layer, x twice, q/k/v, the attention's output and
//           g/u; norms and silu are computed again on the way back. Logits exist for kHeadRows rows
//           at a time: their gradient goes back through the head at once.
// Numbers   all arithmetic is f32. With Storage::kBf16 the weights that products read are bf16
//           copies, rounded after each step from the f32 ones that the optimizer keeps.
// Threads   one caller at a time; results do not depend on the pool's size.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/model/config.h"
#include "engine/train/buffer.h"

namespace weir::train {

enum class Storage : uint8_t { kF32, kBf16 };

// Where one tensor lies in the flat arrays.
struct Slice {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0, size = 0;
};
std::vector<Slice> SlicesOf(const model::ModelConfig& config);

class Model {
 public:
  // `config` is valid (model::Validate). At most max_rows = batch * seq tokens at once, and at most
  // max_seq positions.
  Model(const model::ModelConfig& config, int64_t max_rows, int64_t max_seq, Storage storage,
        kernels::ThreadPool* pool);

  const model::ModelConfig& config() const { return config_; }
  const std::vector<Slice>& slices() const { return slices_; }
  int64_t parameter_count() const { return parameters_.size(); }
  std::span<float> parameters() { return parameters_.span(); }
  std::span<float> gradients() { return gradients_.span(); }
  // The bf16 copies in the same order; null with Storage::kF32.
  uint16_t* stored() { return storage_ == Storage::kBf16 ? stored_.data() : nullptr; }
  Storage storage() const { return storage_; }

  // Normal weights of spread sqrt(2 / (5 dim)) (Nguyen & Salazar, "Transformers without Tears",
  // 2019, section 2.2: 0.056 at 128 wide, 0.023 at 768), those that write to the residual stream
  // smaller by sqrt(2 layers) (Radford et al., "Language Models are Unsupervised Multitask
  // Learners", 2019, section 2.3); gains 1. The same seed gives the same weights on every machine.
  void Initialize(uint64_t seed);
  // Call after parameters() were written by anyone but an optimizer that fills stored() itself.
  void RefreshStored();
  // Call after each step, and after RefreshStored: gains are read in f32, rounded as stored.
  void RefreshGains();

  void ZeroGradients();
  // Sequences of seq + 1 tokens, one after another: each predicts its tokens 1..seq. Adds to the
  // gradients scale * d(sum of losses); returns the sum of losses.
  double ForwardBackward(std::span<const int32_t> tokens, int64_t batch, int64_t seq, float scale);
  // The sum of losses alone.
  double Loss(std::span<const int32_t> tokens, int64_t batch, int64_t seq);
  // Logits [tokens, vocab] of one sequence: for tests and samples.
  std::vector<float> Logits(std::span<const int32_t> tokens);

 private:
  struct Layer {  // offsets into the flat arrays
    int64_t norm1, qkv, o, norm2, gate_up, down;
    int64_t gain1, gain2;  // into gains_
  };
  struct Kept {  // of one layer's forward, for its backward
    Buffer x, inv1, qkv, attention, lse, mid, inv2, gate_up;
  };
  enum class Pass : uint8_t { kLossOnly, kTrain };

  kernels::Weights WeightsAt(int64_t offset, int64_t out, int64_t in) const;
  kernels::AttentionShape AttentionOf(int64_t batch, int64_t seq) const;
  // Leaves the residual stream in x_. The inputs are the first seq of each seq + pad tokens.
  void Forward(std::span<const int32_t> tokens, int64_t batch, int64_t seq, int64_t pad);
  double Head(int64_t rows, Pass pass, float scale);  // with kTrain: leaves its gradient in dx_
  void Backward(int64_t batch, int64_t seq);
  void AddWeightGradient(const float* dy, const float* x, int64_t rows, int64_t out, int64_t in,
                         int64_t offset);

  model::ModelConfig config_;
  Storage storage_;
  kernels::ThreadPool* pool_;
  int64_t max_rows_, max_seq_;
  std::vector<Slice> slices_;
  std::vector<Layer> layers_;
  int64_t embedding_ = 0, final_norm_ = 0, head_ = 0, final_gain_ = 0;
  Buffer parameters_, gradients_;
  BufferOf<uint16_t> stored_;
  std::vector<float> gains_;
  kernels::RopeTable rope_;

  std::vector<int32_t> inputs_, targets_, positions_;
  std::vector<Kept> kept_;
  Buffer x_, normed_, final_inv_, wide_, act_, logits_, loss_;
  Buffer dx_, dnormed_, dqkv_, dattention_;
};

// Floating-point operations that the model needs for one training token in sequences of `seq`:
// 6 for each parameter that takes part in a product (2 forward, 4 backward; an untied embedding
// table is looked up, not multiplied), and for causal attention 6 * layers * seq * q_dim
// (2 products forward, 4 backward, 2 * q_dim each for every pair, and half of the pairs).
// Source of the counting: Chowdhery et al., "PaLM", 2022, appendix B; causality counted once.
double FlopsPerToken(const model::ModelConfig& config, int64_t seq);

}  // namespace weir::train
