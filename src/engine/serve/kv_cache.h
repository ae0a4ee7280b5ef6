// The keys and values of every sequence, in blocks from one bounded pool.
//
// A block holds kKvBlockTokens consecutive positions of one sequence, for all layers. It is counted
// by how many hold it: sequences that share a prefix, and the prefix tree. Nobody writes into a row
// that another holder has read: shared blocks are full or are copied first (Copy).
//
//   free --Take--> held by 1 --Share--> held by n --Release--> ... --> free
//                     |  MarkCached: the prefix tree is one of the holders
//                     '-> held by the tree alone: "cached"; one eviction away from free
//
// Layout    block-major: block, layer, keys then values, each as kernels/attend.h has them. A
//           sequence that grows touches one run of memory, not one place for each layer.
// Memory    reserved at once, touched (so resident) only as far as blocks were ever taken; the one
//           freed last is taken first.
// Bytes     BytesPerToken. A 1.1B Llama shape (22 layers, 4 KV heads of 64): 45056 in F32, 22528 in
//           F16, 11968 in 8 bits.
// Threads   one at a time; rows of different blocks may be written in parallel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "engine/kernels/attend.h"
#include "engine/model/config.h"

namespace weir::serve {

inline constexpr int kKvBlockTokens = static_cast<int>(kernels::kKvBlockTokens);
using kernels::KvType;
std::string_view NameOf(KvType type);  // "f32", "f16", "bf16", "int8"
std::optional<KvType> KvTypeNamed(std::string_view name);

class KvCache {
 public:
  KvCache(const model::ModelConfig& config, int64_t blocks, KvType type = KvType::kF32);

  static int64_t BytesPerToken(const model::ModelConfig& config, KvType type = KvType::kF32);
  static int64_t BlocksFor(int64_t tokens) {
    return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
  }

  int64_t total_blocks() const { return blocks_; }
  int64_t free_blocks() const { return static_cast<int64_t>(free_.size()); }
  int64_t cached_blocks() const { return cached_; }  // held by the prefix tree alone

  // n <= free_blocks() (CHECK). Each is held once.
  std::vector<int32_t> Take(int64_t n);
  int32_t Take() { return Take(1)[0]; }
  void Share(int32_t block);    // held once more
  void Release(int32_t block);  // held once less; free when that was the last
  int Holders(int32_t block) const { return holders_[static_cast<size_t>(block)]; }

  // One of the holders is the prefix tree, from now on or no longer. Does not count as a holder by
  // itself: the tree calls Share and Release like everybody.
  void MarkCached(int32_t block, bool cached);
  bool Cached(int32_t block) const { return in_tree_[static_cast<size_t>(block)] != 0; }

  // All of a block, all layers. `to` has one holder.
  void Copy(int32_t from, int32_t to);

  const kernels::KvShape& shape() const { return shape_; }
  std::byte* Keys(int layer, int32_t block) { return At(2 * layer, block); }
  std::byte* Values(int layer, int32_t block) { return At(2 * layer + 1, block); }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::byte* At(int plane, int32_t block) {
    return data_.get() + (static_cast<int64_t>(block) * planes_ + plane) * plane_bytes_;
  }
  void CountCached(int32_t block, int by);

  kernels::KvShape shape_;
  int64_t blocks_;
  int64_t planes_;  // of a block: keys and values of each layer
  int64_t plane_bytes_;
  std::unique_ptr<std::byte, Free> data_;
  std::vector<int32_t> free_;  // a stack: the block given back last is warm
  std::vector<int32_t> holders_;
  std::vector<uint8_t> in_tree_;
  int64_t cached_ = 0;
};

}  // namespace weir::serve
