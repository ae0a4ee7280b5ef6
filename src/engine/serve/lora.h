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
// Cost      two small products beside each of the base's: A shares the base's region of threads,
// all
//           B of one input come in a second one. So an adapter costs its bytes and its arithmetic,
//           and four waits for the slowest thread in a layer.
// Threads   an adapter is immutable once loaded.
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

// A product of the base and the site that adapters correct it at.
struct LoraProduct {
  LoraSite site;
  kernels::Product base;
};

// Memory of MatMulAdapted, kept from call to call.
struct LoraScratch {
  std::vector<kernels::Input> inputs, middles;  // of runs; of runs and sites
  std::vector<float> t;                         // each [count, rank]
  std::vector<kernels::Product> narrow, wide;   // the base's and by A; by B
};

// The products of x[r, in] with the base, all of it, and for every row named also
// y[r, out] += scale * B (A x[r, in]); the other rows get the base alone. What a row gets does not
// depend on the others (packed.h).
void MatMulAdapted(kernels::ThreadPool* pool, std::span<const LoraProduct> products,
                   std::span<const LoraRows> rows, int layer, const float* x, int64_t in,
                   LoraScratch& scratch);

}  // namespace weir::serve
