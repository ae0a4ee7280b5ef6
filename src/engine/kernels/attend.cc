// Attention over KV blocks, a tile of queries at a time.
//
// Problem   prefill of n tokens reads each key n times if queries come one by one; scores held
//           whole ([queries, length]) leave the caches for long sequences.
// Idea      (Dao et al., "FlashAttention", 2022.) All query heads of some consecutive queries that
//           share a key/value head form a tile of up to kTileRows rows. Stretch by stretch of 128
//           positions: scores [rows, 128], each row's maximum so far; where it rises, the row's sum
//           and output so far are scaled down; then output += exp(score - maximum) · values.
// Order     stretches begin at multiples of 128 positions and a row's stretch is one vector
//           softmax over just its own positions, so a row's result does not depend on its tile.
//           Positions of the tile that a row does not see have weight 0 in it, which adds nothing.
// Threads   an index is a tile of one key/value head of one sequence, the longest first; where
// there
//           are fewer than threads, of some of the query heads that share it.
#include "engine/kernels/attend.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "engine/kernels/cpu/active.h"

namespace weir::kernels {
namespace {

static_assert(kKvBlockTokens == cpu::kKvTokens);
constexpr int64_t kStretch = 128;  // positions between two looks at the maximum
constexpr int64_t kTileRows = 72;  // query heads of a tile: outputs of 72 x 128 floats stay near L1
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

int64_t RoundUp(int64_t a, int64_t b) { return (a + b - 1) / b * b; }

int64_t ElementBytes(KvType type) {
  return type == KvType::kF32 ? 4 : type == KvType::kInt8 ? 1 : 2;
}
int64_t ValueWidth(const KvShape& s) { return RoundUp(s.head_dim, cpu::kValueAlign); }
// Of keys and of values, one head of a block. Both as wide as values are, so that a block of either
// has the same bytes.
int64_t HeadBytes(const KvShape& s) {
  return ValueWidth(s) * kKvBlockTokens * ElementBytes(s.type);
}
// Behind the heads: f32 [kv_heads][kKvBlockTokens], of kInt8.
int64_t ScalesAt(const KvShape& s) { return s.kv_heads * HeadBytes(s); }

void CheckShape(const KvShape& s) {
  CHECK_MSG(s.kv_heads > 0 && s.head_dim > 0 && s.head_dim <= kMaxHeadDim,
            "kv_heads={} head_dim={}", s.kv_heads, s.head_dim);
}

// ---- One position in and out -------------------------------------------------------------------

// head[n] at `to`, `step` elements apart.
void Put(KvType type, const float* head, int64_t n, int64_t step, std::byte* to, float* scale) {
  switch (type) {
    case KvType::kF32: {
      auto* out = reinterpret_cast<float*>(to);
      for (int64_t i = 0; i < n; ++i) out[i * step] = head[i];
      return;
    }
    case KvType::kF16:
    case KvType::kBF16: {
      uint16_t narrow[kMaxHeadDim];
      const cpu::Table& t = cpu::Active();
      (type == KvType::kF16 ? t.f32_to_f16 : t.f32_to_bf16)(head, n, narrow);
      auto* out = reinterpret_cast<uint16_t*>(to);
      for (int64_t i = 0; i < n; ++i) out[i * step] = narrow[i];
      return;
    }
    case KvType::kInt8: {
      float largest = 0;
      for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(head[i]));
      const float inverse = largest > 0x1p-100f ? 127.0f / largest : 0.0f;
      *scale = inverse > 0 ? largest / 127.0f : 0.0f;
      auto* out = reinterpret_cast<int8_t*>(to);
      for (int64_t i = 0; i < n; ++i) {
        out[i * step] = static_cast<int8_t>(std::lrintf(head[i] * inverse));
      }
      return;
    }
  }
}
void Get(KvType type, const std::byte* from, int64_t n, int64_t step, const float* scale,
         float* head) {
  for (int64_t i = 0; i < n; ++i) {
    switch (type) {
      case KvType::kF32:
        head[i] = reinterpret_cast<const float*>(from)[i * step];
        break;
      case KvType::kF16:
        head[i] = HalfToFloat(reinterpret_cast<const uint16_t*>(from)[i * step]);
        break;
      case KvType::kBF16:
        head[i] = BfloatToFloat(reinterpret_cast<const uint16_t*>(from)[i * step]);
        break;
      case KvType::kInt8:
        head[i] = static_cast<float>(reinterpret_cast<const int8_t*>(from)[i * step]) * *scale;
        break;
    }
  }
}

// body(first element of a head's row, step between its elements, its scale)
template <class Byte, class Body>
void EachHead(const KvShape& s, bool keys, int64_t slot, Byte* block, const Body& body) {
  CheckShape(s);
  CHECK_MSG(slot >= 0 && slot < kKvBlockTokens, "slot={}", slot);
  using Float = std::conditional_t<std::is_const_v<Byte>, const float, float>;
  const int64_t size = ElementBytes(s.type);
  for (int64_t h = 0; h < s.kv_heads; ++h) {
    Byte* head = block + h * HeadBytes(s) + slot * size * (keys ? 1 : ValueWidth(s));
    auto* scale = reinterpret_cast<Float*>(block + ScalesAt(s)) + h * kKvBlockTokens + slot;
    body(h, head, keys ? kKvBlockTokens : 1, scale);
  }
}

void Store(const KvShape& s, bool keys, const float* x, int64_t slot, std::byte* block) {
  EachHead(s, keys, slot, block, [&](int64_t h, std::byte* head, int64_t step, float* scale) {
    Put(s.type, x + h * s.head_dim, s.head_dim, step, head, scale);
  });
}
void LoadRow(const KvShape& s, bool keys, const std::byte* block, int64_t slot, float* x) {
  EachHead(s, keys, slot, block,
           [&](int64_t h, const std::byte* head, int64_t step, const float* scale) {
             Get(s.type, head, s.head_dim, step, scale, x + h * s.head_dim);
           });
}

// ---- A tile ------------------------------------------------------------------------------------

// Keys or values of one head of one block as f32: where they lie, or widened into `scratch`.
const float* Keys(const KvShape& s, const std::byte* block, int64_t head, float* scratch) {
  const cpu::AttendTable& t = cpu::ActiveAttend();
  const std::byte* from = block + head * HeadBytes(s);
  const float* scale = reinterpret_cast<const float*>(block + ScalesAt(s)) + head * kKvBlockTokens;
  if (s.type == KvType::kF32) return reinterpret_cast<const float*>(from);
  const auto widen = s.type == KvType::kF16    ? t.keys_f16
                     : s.type == KvType::kBF16 ? t.keys_bf16
                                               : t.keys_int8;
  widen(from, scale, s.head_dim, scratch);
  return scratch;
}
const float* Values(const KvShape& s, const std::byte* block, int64_t head, int64_t n,
                    float* scratch) {
  const cpu::AttendTable& t = cpu::ActiveAttend();
  const std::byte* from = block + head * HeadBytes(s);
  const float* scale = reinterpret_cast<const float*>(block + ScalesAt(s)) + head * kKvBlockTokens;
  if (s.type == KvType::kF32) return reinterpret_cast<const float*>(from);
  const auto widen = s.type == KvType::kF16    ? t.values_f16
                     : s.type == KvType::kBF16 ? t.values_bf16
                                               : t.values_int8;
  widen(from, scale, n, ValueWidth(s), scratch);
  return scratch;
}

struct Tile {
  const AttendQuery* query;
  int64_t head;          // of keys and values
  int64_t first, count;  // queries
  int64_t from, heads;   // of the query heads that share it
};

void RunTile(const AttendHow& how, const Tile& tile) {
  const cpu::Table& t = cpu::Active();
  const cpu::AttendTable& a = cpu::ActiveAttend();
  const KvShape& s = how.kv;
  const AttendQuery& query = *tile.query;
  const int64_t group = tile.heads;
  const int64_t first_head = tile.head * (how.heads / s.kv_heads) + tile.from;
  const int64_t rows = tile.count * group;
  const int64_t dim = s.head_dim, width = ValueWidth(s);
  const auto floats = [](cpu::Bytes slot, int64_t n) {
    return reinterpret_cast<float*>(cpu::ScratchBytes(slot, n * 4));
  };
  float* const q = floats(cpu::Bytes::kAttendQueries, rows * dim);
  float* const out = floats(cpu::Bytes::kAttendOut, rows * width);
  float* const scores = floats(cpu::Bytes::kAttendScores, rows * (kStretch + 2));
  float* const largest = scores + rows * kStretch;
  float* const sums = largest + rows;
  float* const wide = floats(cpu::Bytes::kAttendKeys, width * kKvBlockTokens);
  const float scale = how.scale != 0 ? how.scale : 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  // Row i * group + j: query i, the j-th of the tile's heads.
  for (int64_t i = 0; i < tile.count; ++i) {
    const float* from = query.q + (tile.first + i) * how.q_stride + first_head * dim;
    float* to = q + i * group * dim;
    std::memcpy(to, from, static_cast<size_t>(group * dim) * sizeof(float));
    t.scale(to, group * dim, scale);
  }
  std::memset(out, 0, static_cast<size_t>(rows * width) * sizeof(float));
  std::fill_n(largest, rows, kMinusInfinity);
  std::fill_n(sums, rows, 0.0f);

  const int64_t first = query.position + tile.first;
  const int64_t last = first + tile.count - 1;
  const auto seen_from = [&](int64_t position) {
    return how.window > 0 ? std::max<int64_t>(0, position - how.window + 1) : 0;
  };
  for (int64_t at = seen_from(first) / kStretch * kStretch; at <= last; at += kStretch) {
    const int64_t end = std::min(at + kStretch, last + 1);
    // Blocks before every row's window may not exist.
    const int64_t begin = std::max(at, seen_from(first) / kKvBlockTokens * kKvBlockTokens);
    for (int64_t p = begin; p < end; p += kKvBlockTokens) {
      const float* keys = Keys(s, query.keys[p / kKvBlockTokens], tile.head, wide);
      a.scores(q, dim, rows, dim, keys, scores + (p - at), kStretch);
    }
    for (int64_t r = 0; r < rows; ++r) {
      float* row = scores + r * kStretch;
      const int64_t position = first + r / group;
      const int64_t low = std::max(seen_from(position), at);
      const int64_t high = std::min(position + 1, end);
      if (low >= high) {
        std::fill(row + (begin - at), row + (end - at), 0.0f);
        continue;
      }
      float* mine = row + (low - at);
      const int64_t n = high - low;
      if (how.softcap > 0) t.soft_cap(mine, n, how.softcap);
      const float top = std::max(largest[r], t.max(mine, n));
      if (top == kMinusInfinity) {  // every score is -infinity: nothing to weigh yet
        std::fill(row + (begin - at), row + (end - at), 0.0f);
        continue;
      }
      const float sum = t.exp_sub(mine, n, 1.0f, top);
      std::fill(row + (begin - at), mine, 0.0f);
      std::fill(mine + n, row + (end - at), 0.0f);
      if (top > largest[r]) {
        const float keep = std::exp(largest[r] - top);
        sums[r] *= keep;
        t.scale(out + r * width, width, keep);
        largest[r] = top;
      }
      sums[r] += sum;
    }
    for (int64_t p = begin; p < end; p += kKvBlockTokens) {
      const int64_t n = std::min(kKvBlockTokens, end - p);
      const float* values = Values(s, query.values[p / kKvBlockTokens], tile.head, n, wide);
      a.mix(scores + (p - at), kStretch, rows, n, values, width, out);
    }
  }
  for (int64_t i = 0; i < tile.count; ++i) {
    float* to = query.out + (tile.first + i) * how.out_stride + first_head * dim;
    for (int64_t j = 0; j < group; ++j) {
      const int64_t r = i * group + j;
      t.scale(out + r * width, dim, 1.0f / sums[r]);
      std::memcpy(to + j * dim, out + r * width, static_cast<size_t>(dim) * sizeof(float));
    }
  }
}

}  // namespace

int64_t KvBlockBytes(const KvShape& s) {
  CheckShape(s);
  return RoundUp(ScalesAt(s) + (s.type == KvType::kInt8 ? s.kv_heads * kKvBlockTokens * 4 : 0), 64);
}
int64_t KvBytesPerToken(const KvShape& s) { return 2 * KvBlockBytes(s) / kKvBlockTokens; }

void StoreKeys(const KvShape& s, const float* k, int64_t slot, std::byte* block) {
  Store(s, true, k, slot, block);
}
void StoreValues(const KvShape& s, const float* v, int64_t slot, std::byte* block) {
  Store(s, false, v, slot, block);
}
void LoadKeys(const KvShape& s, const std::byte* block, int64_t slot, float* k) {
  LoadRow(s, true, block, slot, k);
}
void LoadValues(const KvShape& s, const std::byte* block, int64_t slot, float* v) {
  LoadRow(s, false, block, slot, v);
}

void Attend(ThreadPool* pool, const AttendHow& how, std::span<const AttendQuery> queries) {
  CheckShape(how.kv);
  const int64_t row = how.heads * how.kv.head_dim;
  CHECK_MSG(how.heads > 0 && how.heads % how.kv.kv_heads == 0 && how.q_stride >= row &&
                how.out_stride >= row,
            "heads={} of {} kv heads, strides {} {}", how.heads, how.kv.kv_heads, how.q_stride,
            how.out_stride);
  const int64_t group = how.heads / how.kv.kv_heads;
  // As many queries as fill a tile, in full steps of the kernels' rows.
  const int64_t tile_queries = std::max<int64_t>(1, kTileRows / group);
  int64_t whole = 0;  // tiles with all heads of a group
  for (const AttendQuery& query : queries) {
    whole += (query.count + tile_queries - 1) / tile_queries * how.kv.kv_heads;
  }
  // Where that is too few for the threads (one sequence decodes on many cores), heads go apart:
  // they widen the same keys again, from a cache that they share.
  const int64_t threads = pool == nullptr ? 1 : pool->size();
  const int64_t parts = std::clamp<int64_t>(threads / std::max<int64_t>(1, whole), 1, group);
  std::vector<Tile> tiles;
  int64_t work = 0;
  for (const AttendQuery& query : queries) {
    CHECK_MSG(query.count >= 0 && query.position >= 0, "count={} position={}", query.count,
              query.position);
    const int64_t seen = query.position + query.count;
    work += query.count * (how.window > 0 ? std::min(seen, how.window) : seen);
    // From the last, longest ones on.
    for (int64_t i = (query.count + tile_queries - 1) / tile_queries; i-- > 0;) {
      const int64_t first = i * tile_queries;
      const int64_t count = std::min(tile_queries, query.count - first);
      for (int64_t h = 0; h < how.kv.kv_heads; ++h) {
        for (int64_t p = 0; p < parts; ++p) {
          const int64_t from = group * p / parts;
          tiles.push_back({&query, h, first, count, from, group * (p + 1) / parts - from});
        }
      }
    }
  }
  constexpr int64_t kWorthSharing = 1 << 16;  // multiply-adds: some 5 microseconds
  if (2 * work * row < kWorthSharing) pool = nullptr;
  ParallelFor(pool, static_cast<int64_t>(tiles.size()),
              [&](int64_t i) { RunTile(how, tiles[static_cast<size_t>(i)]); });
}

}  // namespace weir::kernels
