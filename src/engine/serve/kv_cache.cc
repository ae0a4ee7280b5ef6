#include "engine/serve/kv_cache.h"

#include <cstring>

#include "base/check.h"

namespace weir::serve {

KvCache::KvCache(const model::ModelConfig& config, int64_t blocks)
    : blocks_(blocks),
      planes_(int64_t{2} * config.layers),
      plane_floats_(static_cast<int64_t>(kKvBlockTokens) * config.kv_dim()),
      data_(std::make_unique_for_overwrite<float[]>(
          static_cast<size_t>(blocks * planes_ * plane_floats_))),
      holders_(static_cast<size_t>(blocks)),
      in_tree_(static_cast<size_t>(blocks)) {
  free_.reserve(static_cast<size_t>(blocks));
  for (int64_t i = blocks; i-- > 0;) free_.push_back(static_cast<int32_t>(i));
}

int64_t KvCache::BytesPerToken(const model::ModelConfig& config) {
  return static_cast<int64_t>(2 * sizeof(float)) * config.layers * config.kv_dim();
}

std::vector<int32_t> KvCache::Take(int64_t n) {
  CHECK_MSG(n <= free_blocks(), "asked {}, free {}", n, free_blocks());
  std::vector<int32_t> blocks(free_.end() - n, free_.end());
  free_.resize(free_.size() - static_cast<size_t>(n));
  for (const int32_t block : blocks) holders_[static_cast<size_t>(block)] = 1;
  return blocks;
}

void KvCache::CountCached(int32_t block, int by) {
  if (Cached(block) && Holders(block) == 1) cached_ += by;
}

void KvCache::Share(int32_t block) {
  CHECK_MSG(Holders(block) > 0, "block {} is free", block);
  CountCached(block, -1);
  ++holders_[static_cast<size_t>(block)];
}

void KvCache::Release(int32_t block) {
  CHECK_MSG(Holders(block) > 0, "block {} is given back twice", block);
  CountCached(block, -1);
  if (--holders_[static_cast<size_t>(block)] == 0) {
    CHECK_MSG(!Cached(block), "block {} left the pool while in the prefix tree", block);
    free_.push_back(block);
  }
  CountCached(block, 1);
}

void KvCache::MarkCached(int32_t block, bool cached) {
  CHECK(Holders(block) > 0 && Cached(block) != cached);
  CountCached(block, -1);
  in_tree_[static_cast<size_t>(block)] = cached ? 1 : 0;
  CountCached(block, 1);
}

void KvCache::Copy(int32_t from, int32_t to) {
  CHECK(Holders(from) > 0 && Holders(to) == 1);
  std::memcpy(At(0, to), At(0, from), static_cast<size_t>(planes_ * plane_floats_) * sizeof(float));
}

}  // namespace weir::serve
