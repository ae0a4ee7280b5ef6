// The model's forward pass over pieces of sequences, with their keys and values in the cache:
//
//   x = embed(tokens); per layer:  x += o(attend(rope(q(n)), rope(k(n)), v(n))),  n = norm(x)
//                                  x += down(act(gate(n)) * up(n)),               n = norm(x)
//   logits = head(norm(x))
//
// and what families add to that, where a layer has it: biases, a norm of each head of q and k,
// norms of what goes back into x, experts that a router picks for each row, windows, soft caps. The
// layer says it by holding the tensor, the config by a number; no family is known here by name.
//
// Batch     all pieces run together, prompt chunks and single tokens alike: the weights are read
//           once for up to `max_rows` rows, and again for each further max_rows.
// Promise   a row's numbers do not depend on who else is in the batch, nor on how its sequence was
//           cut into pieces: equal bit for bit, as the kernels promise it (packed.h, attend.h).
// Memory    scratch for max_rows rows, kept between runs.
// Threads   one caller at a time; uses the pool it was given.
// Errors    none; ids and positions out of range are the caller's bug (CHECK).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "engine/kernels/attend.h"
#include "engine/kernels/experts.h"
#include "engine/kernels/kernels.h"
#include "engine/model/rope.h"
#include "engine/model/weights.h"
#include "engine/serve/kv_cache.h"
#include "engine/serve/lora.h"

namespace weir::serve {

struct Piece {
  std::span<const int32_t> tokens;  // ids in [0, vocab_size); at least one
  int64_t begin = 0;                // position of the first; those before are in the cache
  // Of the sequence, covering begin + tokens.size() positions; -1 where no layer's window reaches.
  std::span<const int32_t> blocks;
  float* logits = nullptr;  // [logit_rows, vocab_size] of the last tokens; null: not wanted
  int64_t logit_rows = 1;   // at most tokens.size()
  float* hidden = nullptr;  // [tokens.size(), dim], after the last norm; null: not wanted
  const LoraAdapter* adapter = nullptr;  // corrects the matrices for this piece; null: none
};

// Sees what goes into a layer's matrices: for calibration, not for serving.
class InputObserver {
 public:
  virtual ~InputObserver() = default;
  // x[rows, width] is multiplied with the matrix at `place`; q stands for k and v too, gate for up.
  virtual void See(const model::Place& place, const float* x, int64_t rows, int64_t width) = 0;
};

class Forward {
 public:
  // `context`: positions that may occur, at most the config's max_seq. Model, cache and pool (which
  // may be null) outlive this.
  Forward(const model::Model& model, KvCache& cache, kernels::ThreadPool* pool, int64_t context,
          int max_rows);
  void Run(std::span<const Piece> pieces);
  void Observe(InputObserver* observer) { observer_ = observer; }  // null: nobody

 private:
  // A stretch of one piece that goes into one pass.
  struct Stretch {
    const Piece* piece;
    int64_t from, count;  // of the piece's tokens
    int64_t row;          // where it begins in the batch
  };
  struct Frequencies {
    model::RopeFrequencies of;
    kernels::RopeTurns turns;  // of this pass's rows
  };

  void Pass(std::span<const Stretch> stretches, int64_t rows);
  void Attention(int layer, std::span<const Stretch> stretches, int64_t rows);
  void Attend(int layer, std::span<const Stretch> stretches);
  void FeedForward(int layer, int64_t rows);
  void Experts(int layer, int64_t rows, float* out);
  void Activate(int64_t rows, int64_t width);  // gate_ = act(gate_) * up_
  // x_ += w · from + bias, by way of a norm where there is one.
  void Back(int layer, LoraSite site, const float* from, const kernels::PackedMatrix& w,
            const std::vector<float>& bias, const std::vector<float>& norm, int64_t rows);
  // The products of x, with what adapters add to them.
  void Multiply(kernels::ThreadPool* pool, int layer, const float* x,
                std::initializer_list<LoraProduct> products);
  void Outputs(std::span<const Stretch> stretches, int64_t rows);
  void See(model::Slot slot, int layer, int expert, const float* x, int64_t rows, int64_t width);
  void Expect(int64_t rows, std::initializer_list<const kernels::PackedMatrix*> next);
  kernels::ThreadPool* PoolFor(int64_t multiply_adds) const;

  const model::Model& model_;
  const model::ModelConfig& config_;
  KvCache& cache_;
  kernels::ThreadPool* pool_;
  InputObserver* observer_ = nullptr;
  int64_t context_;
  int64_t max_rows_;
  bool gelu_;
  float embedding_scale_;  // 1: none
  Frequencies global_, sliding_;
  std::vector<float> x_, normed_, q_, k_, v_, attended_, gate_, up_, lines_, back_, logits_;
  std::vector<float> router_, chosen_weight_;
  std::vector<int32_t> tokens_, positions_, row_blocks_;  // of this pass's rows
  std::vector<int32_t> chosen_;
  kernels::Input input_;
  std::vector<kernels::Input> expert_inputs_;
  std::vector<kernels::Product> products_;
  std::vector<const std::byte*> block_pointers_;
  std::vector<kernels::AttendQuery> queries_;
  std::vector<Stretch> stretches_;
  std::vector<LoraRows> adapted_;  // of this pass's rows
  LoraScratch lora_scratch_;
};

}  // namespace weir::serve
