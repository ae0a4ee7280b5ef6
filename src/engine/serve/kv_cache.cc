#include "engine/serve/kv_cache.h"

#include <cstring>
#include <new>

#include "base/check.h"

namespace weir::serve {

namespace {

constexpr size_t kAlignment = 64;  // as kernels/attend.h wants it; planes are multiples of it

kernels::KvShape ShapeOf(const model::ModelConfig& config, KvType type) {
  return {type, config.kv_heads, config.head_dim};
}

}  // namespace

std::string_view NameOf(KvType type) {
  switch (type) {
    case KvType::kF32:
      return "f32";
    case KvType::kF16:
      return "f16";
    case KvType::kBF16:
      return "bf16";
    case KvType::kInt8:
      return "int8";
  }
  CHECK(false);
}

std::optional<KvType> KvTypeNamed(std::string_view name) {
  for (const KvType type : {KvType::kF32, KvType::kF16, KvType::kBF16, KvType::kInt8}) {
    if (NameOf(type) == name) return type;
  }
  return std::nullopt;
}

KvCache::KvCache(const model::ModelConfig& config, int64_t blocks, KvType type)
    : shape_(ShapeOf(config, type)),
      blocks_(blocks),
      planes_(int64_t{2} * config.layers),
      plane_bytes_(kernels::KvBlockBytes(shape_)),
      data_(static_cast<std::byte*>(
          std::aligned_alloc(kAlignment, static_cast<size_t>(blocks * planes_ * plane_bytes_)))),
      holders_(static_cast<size_t>(blocks)),
      in_tree_(static_cast<size_t>(blocks)) {
  if (data_ == nullptr) throw std::bad_alloc();
  free_.reserve(static_cast<size_t>(blocks));
  for (int64_t i = blocks; i-- > 0;) free_.push_back(static_cast<int32_t>(i));
}

int64_t KvCache::BytesPerToken(const model::ModelConfig& config, KvType type) {
  return config.layers * kernels::KvBytesPerToken(ShapeOf(config, type));
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
  std::memcpy(At(0, to), At(0, from), static_cast<size_t>(planes_ * plane_bytes_));
}

}  // namespace weir::serve
