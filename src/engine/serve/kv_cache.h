// The keys and values of every running sequence, in blocks from one bounded pool.
//
// A block holds kKvBlockTokens consecutive positions of one sequence, for all layers. A sequence
// gets all the blocks that it may ever need when it is admitted (prompt and max_tokens), so that it
// can always run to its end: nothing is ever evicted half-way.
// Memory: reserved at once, touched (so resident) only as far as sequences have grown.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/model/config.h"

namespace weir::serve {

inline constexpr int kKvBlockTokens = 32;

class KvCache {
 public:
  KvCache(const model::ModelConfig& config, int64_t blocks);

  static int64_t BytesPerToken(const model::ModelConfig& config);
  static int64_t BlocksFor(int64_t tokens) {
    return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  }

  int64_t total_blocks() const { return blocks_; }
  int64_t free_blocks() const { return static_cast<int64_t>(free_.size()); }
  // n <= free_blocks() (CHECK).
  std::vector<int32_t> Take(int64_t n);
  void Give(const std::vector<int32_t>& blocks);

  float* Keys(int layer, int32_t block) { return At(2 * layer, block); }  // [tokens, kv_dim]
  float* Values(int layer, int32_t block) { return At(2 * layer + 1, block); }

 private:
  float* At(int plane, int32_t block) {
    return data_.get() + (static_cast<int64_t>(plane) * blocks_ + block) * block_floats_;
  }
  int64_t blocks_;
  int64_t block_floats_;
  std::unique_ptr<float[]> data_;
  std::vector<int32_t> free_;  // a stack: the block given back last is warm
};

}  // namespace weir::serve
