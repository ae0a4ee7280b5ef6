// Causal attention with grouped queries.
//
// Forward, for a block of kBlock queries of one head: S = Q K^T over the keys up to the block's
// end, softmax over each row's own past, O = P V. Backward: S and P again from the kept row sums
// (lse), dP = dO V^T, dS = P * (dP - rowsum(dO * O)), then dQ = dS K, dK += dS^T Q, dV += P^T dO;
// Source of the rearrangement: Dao et al., "FlashAttention", 2022, section 3.
// The rows of a block are held whole ([kBlock, seq] floats), which a CPU's L2 has room for, so the
// softmax needs no running rescale.
//
// Threads   forward: each (sequence, head, block) alone. Backward: each (sequence, key/value head),
//           whose blocks and query heads follow in order, so dK and dV are sums in a fixed order.
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/kernels/cpu/table.h"
#include "engine/kernels/kernels.h"

namespace weir::kernels {
namespace {

constexpr int64_t kBlock = 64;

enum Slot { kScores = 2, kScoreGrads = 3 };

void CheckShape(const AttentionShape& s) {
  CHECK_MSG(s.heads > 0 && s.kv_heads > 0 && s.heads % s.kv_heads == 0, "heads={} kv_heads={}",
            s.heads, s.kv_heads);
  CHECK_MSG(s.q_stride >= s.heads * s.head_dim && s.out_stride >= s.heads * s.head_dim &&
                s.k_stride >= s.kv_heads * s.head_dim && s.v_stride >= s.kv_heads * s.head_dim,
            "head_dim={} strides {} {} {} {}", s.head_dim, s.q_stride, s.k_stride, s.v_stride,
            s.out_stride);
}

// scores[rows, keys] = q k^T for the queries from t0 on; keys = t0 + rows.
void Scores(const AttentionShape& s, const float* q, const float* k, int64_t rows, int64_t keys,
            float* scores) {
  Sgemm(nullptr, {.form = Form::kNT,
                  .m = rows,
                  .n = keys,
                  .k = s.head_dim,
                  .a = q,
                  .lda = s.q_stride,
                  .b = k,
                  .ldb = s.k_stride,
                  .c = scores,
                  .ldc = keys});
}

}  // namespace

void Attention(ThreadPool* pool, const AttentionShape& s, const float* q, const float* k,
               const float* v, float* out, float* lse) {
  CheckShape(s);
  const cpu::Table& t = cpu::Active();
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  const int64_t blocks = (s.seq + kBlock - 1) / kBlock;
  const int64_t tasks = s.batch * s.heads * blocks;
  ParallelFor(pool, tasks, [&](int64_t task) {
    const int64_t block = blocks - 1 - task / (s.batch * s.heads);  // the longest rows first
    const int64_t head = task % s.heads;
    const int64_t b = task / s.heads % s.batch;
    const int64_t t0 = block * kBlock;
    const int64_t rows = std::min(kBlock, s.seq - t0);
    const int64_t keys = t0 + rows;
    const int64_t kv = head / (s.heads / s.kv_heads);
    const float* kh = k + b * s.seq * s.k_stride + kv * s.head_dim;
    const float* vh = v + b * s.seq * s.v_stride + kv * s.head_dim;
    float* p = cpu::Scratch(kScores, rows * keys);
    Scores(s, q + (b * s.seq + t0) * s.q_stride + head * s.head_dim, kh, rows, keys, p);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = p + r * keys;
      const int64_t past = t0 + r + 1;
      const float minus = scale * t.max(row, past);
      const float sum = t.exp_sub(row, past, scale, minus);
      t.scale(row, past, 1.0f / sum);
      std::fill(row + past, row + keys, 0.0f);
      lse[(b * s.heads + head) * s.seq + t0 + r] = minus + std::log(sum);
    }
    Sgemm(nullptr, {.form = Form::kNN,
                    .m = rows,
                    .n = s.head_dim,
                    .k = keys,
                    .a = p,
                    .lda = keys,
                    .b = vh,
                    .ldb = s.v_stride,
                    .c = out + (b * s.seq + t0) * s.out_stride + head * s.head_dim,
                    .ldc = s.out_stride});
  });
}

void AttentionBackward(ThreadPool* pool, const AttentionShape& s, const float* q, const float* k,
                       const float* v, const float* out, const float* lse, const float* dout,
                       float* dq, float* dk, float* dv) {
  CheckShape(s);
  const cpu::Table& t = cpu::Active();
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));
  const int64_t group = s.heads / s.kv_heads;
  const int64_t blocks = (s.seq + kBlock - 1) / kBlock;
  ParallelFor(pool, s.batch * s.kv_heads, [&](int64_t task) {
    const int64_t kv = task % s.kv_heads;
    const int64_t b = task / s.kv_heads;
    const float* kh = k + b * s.seq * s.k_stride + kv * s.head_dim;
    const float* vh = v + b * s.seq * s.v_stride + kv * s.head_dim;
    float* dkh = dk + b * s.seq * s.k_stride + kv * s.head_dim;
    float* dvh = dv + b * s.seq * s.v_stride + kv * s.head_dim;
    for (int64_t r = 0; r < s.seq; ++r) {
      std::fill_n(dkh + r * s.k_stride, s.head_dim, 0.0f);
      std::fill_n(dvh + r * s.v_stride, s.head_dim, 0.0f);
    }
    for (int64_t head = kv * group; head < (kv + 1) * group; ++head) {
      for (int64_t block = 0; block < blocks; ++block) {
        const int64_t t0 = block * kBlock;
        const int64_t rows = std::min(kBlock, s.seq - t0);
        const int64_t keys = t0 + rows;
        const float* qh = q + (b * s.seq + t0) * s.q_stride + head * s.head_dim;
        const float* oh = out + (b * s.seq + t0) * s.out_stride + head * s.head_dim;
        const float* doh = dout + (b * s.seq + t0) * s.out_stride + head * s.head_dim;
        float* p = cpu::Scratch(kScores, rows * keys);
        float* ds = cpu::Scratch(kScoreGrads, rows * keys);
        Scores(s, qh, kh, rows, keys, p);
        Sgemm(nullptr, {.form = Form::kNT,
                        .m = rows,
                        .n = keys,
                        .k = s.head_dim,
                        .a = doh,
                        .lda = s.out_stride,
                        .b = vh,
                        .ldb = s.v_stride,
                        .c = ds,
                        .ldc = keys});
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t past = t0 + r + 1;
          float* p_row = p + r * keys;
          float* ds_row = ds + r * keys;
          (void)t.exp_sub(p_row, past, scale, lse[(b * s.heads + head) * s.seq + t0 + r]);
          std::fill(p_row + past, p_row + keys, 0.0f);
          float dot = 0;
          t.dot_f32(oh + r * s.out_stride, doh + r * s.out_stride, 0, 1, s.head_dim, &dot, 1,
                    false);
          // ds = p * (dp - dot) * scale, written over dp.
          t.softmax_back(ds_row, p_row, past, dot, scale);
          std::fill(ds_row + past, ds_row + keys, 0.0f);
        }
        Sgemm(nullptr, {.form = Form::kTN,
                        .into = Into::kAccumulate,
                        .m = keys,
                        .n = s.head_dim,
                        .k = rows,
                        .a = p,
                        .lda = keys,
                        .b = doh,
                        .ldb = s.out_stride,
                        .c = dvh,
                        .ldc = s.v_stride});
        Sgemm(nullptr, {.form = Form::kTN,
                        .into = Into::kAccumulate,
                        .m = keys,
                        .n = s.head_dim,
                        .k = rows,
                        .a = ds,
                        .lda = keys,
                        .b = qh,
                        .ldb = s.q_stride,
                        .c = dkh,
                        .ldc = s.k_stride});
        Sgemm(nullptr, {.form = Form::kNN,
                        .m = rows,
                        .n = s.head_dim,
                        .k = keys,
                        .a = ds,
                        .lda = keys,
                        .b = kh,
                        .ldb = s.k_stride,
                        .c = dq + (b * s.seq + t0) * s.q_stride + head * s.head_dim,
                        .ldc = s.q_stride});
      }
    }
  });
}

}  // namespace weir::kernels
