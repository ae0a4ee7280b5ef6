#include "engine/serve/kv_cache.h"

#include "base/check.h"

namespace weir::serve {

KvCache::KvCache(const model::ModelConfig& config, int64_t blocks)
    : blocks_(blocks),
      block_floats_(static_cast<int64_t>(kKvBlockTokens) * config.kv_dim()),
      data_(std::make_unique_for_overwrite<float[]>(
          static_cast<size_t>(2 * config.layers * blocks * block_floats_))) {
  for (int64_t i = blocks; i-- > 0;) free_.push_back(static_cast<int32_t>(i));
}

int64_t KvCache::BytesPerToken(const model::ModelConfig& config) {
  return static_cast<int64_t>(2 * sizeof(float)) * config.layers * config.kv_dim();
}

std::vector<int32_t> KvCache::Take(int64_t n) {
  CHECK_MSG(n <= free_blocks(), "asked {}, free {}", n, free_blocks());
  std::vector<int32_t> blocks(free_.end() - n, free_.end());
  free_.resize(free_.size() - static_cast<size_t>(n));
  return blocks;
}

void KvCache::Give(const std::vector<int32_t>& blocks) {
  free_.insert(free_.end(), blocks.begin(), blocks.end());
  CHECK(free_blocks() <= blocks_);
}

}  // namespace weir::serve
