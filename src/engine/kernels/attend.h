// Attention over a KV cache held in blocks, for serving: one query a sequence (decoding) and many
// (prefill) alike.
//
// For query t at position p of a sequence, head h reading key/value head h' = h / (heads/kv_heads):
//     score(s) = scale * q[t,h] · k[s,h'],  then softcap * tanh(score / softcap) where softcap > 0
//     out[t,h] = sum_s softmax_s(score) v[s,h']   over s with p - window < s <= p (window 0: all)
//
// Blocks    a KV block holds kKvBlockTokens consecutive positions of one sequence and one layer:
//           one memory area for keys, one for values, KvBlockBytes each, 64-byte aligned, opaque
//           (keys lie turned, so that one vector holds one dimension of 16 positions). Copying the
//           bytes of a block copies the block. Positions past the last stored may hold anything.
// Types     kF32, kF16, kBF16: as they say. kInt8: symmetric int8 with one f32 scale for each
//           position and head: head_dim + 4 bytes.
// Numbers   scores, softmax and sums in f32; keys are taken in stretches of 128 positions counted
//           from 0, with a running maximum (Milakov & Gimelshein, 2018).
// Promise   out of a query depends on that query and the cache alone: not on the other queries of
//           the call nor on the threads. Decoding equals prefill bit for bit.
// Cost      each stretch of keys and values is widened once for a tile of queries and all heads
//           that share it, so prefill is bound by arithmetic, decoding by reading the cache.
// Errors    none; shapes that contradict each other abort (CHECK).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/kernels/thread_pool.h"

namespace weir::kernels {

inline constexpr int64_t kKvBlockTokens = 32;
inline constexpr int64_t kMaxHeadDim = 256;

enum class KvType : uint8_t { kF32, kF16, kBF16, kInt8 };

struct KvShape {
  KvType type = KvType::kF16;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;  // even, at most kMaxHeadDim
};
// Of the keys of a block, and of its values: a multiple of 64.
int64_t KvBlockBytes(const KvShape& shape);
// Of one position: keys and values together, one layer.
int64_t KvBytesPerToken(const KvShape& shape);

// Puts the keys (values) of one position, [kv_heads * head_dim], at `slot` in [0, kKvBlockTokens).
void StoreKeys(const KvShape& shape, const float* k, int64_t slot, std::byte* block);
void StoreValues(const KvShape& shape, const float* v, int64_t slot, std::byte* block);
// Back again, as read by Attend: for tests and tools.
void LoadKeys(const KvShape& shape, const std::byte* block, int64_t slot, float* k);
void LoadValues(const KvShape& shape, const std::byte* block, int64_t slot, float* v);

// `count` queries of one sequence at positions position .. position + count - 1, whose keys and
// values (their own included) are stored. Block b of keys and values holds positions from 32 b on;
// blocks that lie wholly before every query's window are not read and may be null.
struct AttendQuery {
  const float* q = nullptr;  // row t at q + t * q_stride: [heads * head_dim]
  float* out = nullptr;      // row t at out + t * out_stride: [heads * head_dim]
  int64_t count = 1;
  int64_t position = 0;
  const std::byte* const* keys = nullptr;
  const std::byte* const* values = nullptr;
};
struct AttendHow {
  KvShape kv;
  int64_t heads = 0;  // a multiple of kv.kv_heads
  int64_t q_stride = 0, out_stride = 0;
  float scale = 0;     // 0: 1 / sqrt(head_dim)
  float softcap = 0;   // 0: none
  int64_t window = 0;  // 0: none; 1: a query sees itself alone
};
void Attend(ThreadPool* pool, const AttendHow& how, std::span<const AttendQuery> queries);

}  // namespace weir::kernels
