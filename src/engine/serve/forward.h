// The model's forward pass over pieces of sequences, with their keys and values in the cache:
//
//   x = embed(tokens); per layer: x += o(attend(rope(q(n)), rope(k(n)), v(n))), n = norm(x);
//   x += down(swiglu(gate(n), up(n))), n = norm(x); logits = head(norm(x)).
//
// Prompt pieces run by themselves, in chunks; single tokens of several sequences, and drafts
// (pieces with logits for every token), run together, so that the weights are read once for all of
// them. A sequence's numbers therefore do not depend on who else is in the batch, as long as the
// kernels compute a row alike in any company. ReferenceLogits is the same pass as plain loops over
// the whole sequence: the oracle of the tests. Threads: one at a time (it owns scratch); uses the
// pool it was given.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/model/weights.h"
#include "engine/serve/kv_cache.h"
#include "engine/serve/lora.h"

namespace weir::serve {

struct Piece {
  std::span<const int32_t> tokens;  // ids in [0, vocab_size)
  int64_t begin = 0;                // position of the first; those before are in the cache
  std::span<const int32_t> blocks;  // of the sequence, covering begin + tokens.size() positions
  float* logits = nullptr;          // [logit_rows, vocab_size]; null: not wanted
  int64_t logit_rows = 1;           // of the last tokens, in order
  float* hidden = nullptr;          // [tokens.size(), dim], after the last norm; null: not wanted
  const LoraAdapter* adapter = nullptr;
};

class Forward {
 public:
  // `context`: positions that may occur. Model, cache and pool outlive this.
  Forward(const model::Model& model, KvCache& cache, kernels::ThreadPool* pool, int64_t context,
          int prefill_chunk);
  void Run(std::span<const Piece> pieces);

 private:
  struct Row {
    int32_t token;
    int32_t position;
    std::span<const int32_t> blocks;
    float* logits;
    float* hidden;
    const LoraAdapter* adapter;
  };
  void RunRows(std::span<const Row> rows);
  void MatMul(const float* x, int64_t rows, const kernels::Weights& w, float* y,
              kernels::Into into = kernels::Into::kOverwrite);
  // As MatMul, and what the rows' adapters add to it.
  void Project(const float* x, int64_t rows, const kernels::Weights& w, int layer, LoraSite site,
               float* y, kernels::Into into = kernels::Into::kOverwrite);
  Row RowOf(const Piece& piece, size_t token) const;
  void Attend(int layer, std::span<const Row> rows);

  const model::Model& model_;
  KvCache& cache_;
  kernels::ThreadPool* pool_;
  int prefill_chunk_;
  kernels::RopeTable rope_;
  std::vector<float> x_, normed_, q_, k_, v_, attended_, gate_, up_, logits_;
  std::vector<int32_t> tokens_, positions_;
  std::vector<const float*> block_pointers_;
  std::vector<kernels::CachedQuery> queries_;
  std::vector<Row> rows_;
  std::vector<LoraRows> adapted_;  // of the rows in work
  std::vector<float> lora_scratch_;
};

// Logits [tokens.size(), vocab_size] for a whole sequence from nothing, as plain loops in double.
std::vector<float> ReferenceLogits(const model::Model& model, std::span<const int32_t> tokens);

}  // namespace weir::serve
