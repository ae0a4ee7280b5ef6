// LoRA adapters: small corrections of a model's matrices, loaded beside the base and mixed in one
// batch. For a matrix W of the base:
//     y = W x + scale * B (A x),   A [rank, in], B [out, rank]
// Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021. scale is alpha /
// rank, or alpha / sqrt(rank) where use_rslora is set (Kalajdzievski, 2023).
//
// From a folder of Hugging Face's PEFT: adapter_config.json and adapter_model.safetensors. What the
// engine would not compute is refused by name: DoRA, biases, modules_to_save, matrices that this
// model does not have, shapes that do not fit it.
//
// Threads: an adapter is immutable once loaded. AddLora writes only y.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/kernels/packed.h"
#include "engine/model/config.h"
#include "engine/model/safetensors.h"

namespace weir::serve {

enum class LoraSite : uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr int kLoraSites = 7;

class LoraAdapter {
 public:
  static Result<std::shared_ptr<const LoraAdapter>> Load(const std::string& folder,
                                                         const model::ModelConfig& config);

  struct Pair {
    kernels::PackedMatrix a, b;  // [rank, in], [out, rank]; empty: not adapted here
    float scale = 0;
  };
  const Pair& At(int layer, LoraSite site) const {
    return pairs_[static_cast<size_t>(layer * kLoraSites + static_cast<int>(site))];
  }
  int64_t bytes() const { return bytes_; }
  int max_rank() const { return max_rank_; }

 private:
  std::vector<Pair> pairs_;  // layer, site
  int64_t bytes_ = 0;
  int max_rank_ = 0;
};

// Rows begin..begin+count of a step belong to sequences with this adapter.
struct LoraRows {
  const LoraAdapter* adapter = nullptr;
  int64_t begin = 0, count = 0;
};

// Memory of AddLora, kept from call to call.
struct LoraScratch {
  kernels::Input input, middle;
  std::vector<float> t;  // [count, rank]
};

// y[r, out] += scale * B (A x[r, in]) for every row named; the other rows stay as they are. What a
// row gets does not depend on the others (packed.h).
void AddLora(kernels::ThreadPool* pool, std::span<const LoraRows> rows, int layer, LoraSite site,
             const float* x, int64_t in, float* y, int64_t out, LoraScratch& scratch);

}  // namespace weir::serve
