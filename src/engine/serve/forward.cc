#include "engine/serve/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"

namespace weir::serve {
namespace {

// Single tokens that share one pass over the weights. More would take the kernels' other path for
// many rows, whose last bits differ.
constexpr size_t kDecodeRows = kernels::kFewRows;

// Multiply-adds below which one thread is done before a second has woken up: some 10 us.
constexpr int64_t kWorthSharing = 1 << 18;

}  // namespace

Forward::Forward(const model::Model& model, KvCache& cache, kernels::ThreadPool* pool,
                 int64_t context, int prefill_chunk)
    : model_(model), cache_(cache), pool_(pool), prefill_chunk_(prefill_chunk) {
  const model::ModelConfig& c = model.config();
  rope_ = kernels::MakeRopeTable(c.head_dim, context, c.rope_theta);
  const size_t rows = std::max(kDecodeRows, static_cast<size_t>(prefill_chunk));
  const auto size = [rows](int64_t width) { return rows * static_cast<size_t>(width); };
  x_.resize(size(c.dim));
  normed_.resize(size(c.dim));
  q_.resize(size(c.q_dim()));
  k_.resize(size(c.kv_dim()));
  v_.resize(size(c.kv_dim()));
  attended_.resize(size(c.q_dim()));
  gate_.resize(size(c.ffn_dim));
  up_.resize(size(c.ffn_dim));
  logits_.resize(kDecodeRows * static_cast<size_t>(c.vocab_size));
}

Forward::Row Forward::RowOf(const Piece& piece, size_t token) const {
  const size_t behind = piece.tokens.size() - 1 - token;
  const auto wanted = static_cast<size_t>(piece.logit_rows);
  return {.token = piece.tokens[token],
          .position = static_cast<int32_t>(piece.begin + static_cast<int64_t>(token)),
          .blocks = piece.blocks,
          .logits = piece.logits != nullptr && behind < wanted
                        ? piece.logits + (wanted - 1 - behind) *
                                             static_cast<size_t>(model_.config().vocab_size)
                        : nullptr,
          .hidden = piece.hidden == nullptr
                        ? nullptr
                        : piece.hidden + token * static_cast<size_t>(model_.config().dim),
          .adapter = piece.adapter};
}

void Forward::Run(std::span<const Piece> pieces) {
  const auto together = [](const Piece& piece) {
    return piece.tokens.size() == 1 ||
           (piece.logits != nullptr &&
            piece.logit_rows == static_cast<int64_t>(piece.tokens.size()));
  };
  for (const Piece& piece : pieces) {
    if (together(piece)) continue;
    for (size_t done = 0; done < piece.tokens.size();) {
      // Chunks begin at multiples of prefill_chunk_ of the sequence, whatever the piece is.
      const int64_t at = piece.begin + static_cast<int64_t>(done);
      const size_t n = std::min(piece.tokens.size() - done,
                                static_cast<size_t>(prefill_chunk_ - at % prefill_chunk_));
      rows_.clear();
      for (size_t i = done; i < done + n; ++i) rows_.push_back(RowOf(piece, i));
      RunRows(rows_);
      done += n;
    }
  }
  rows_.clear();
  for (const Piece& piece : pieces) {
    if (!together(piece)) continue;
    for (size_t i = 0; i < piece.tokens.size(); ++i) {
      rows_.push_back(RowOf(piece, i));
      if (rows_.size() == kDecodeRows) {
        RunRows(rows_);
        rows_.clear();
      }
    }
  }
  if (!rows_.empty()) RunRows(rows_);
}

void Forward::Project(const float* x, int64_t rows, const kernels::Weights& w, int layer,
                      LoraSite site, float* y, kernels::Into into) {
  MatMul(x, rows, w, y, into);
  if (!adapted_.empty()) AddLora(pool_, adapted_, layer, site, x, w.in, y, w.out, lora_scratch_);
}

void Forward::MatMul(const float* x, int64_t rows, const kernels::Weights& w, float* y,
                     kernels::Into into) {
  kernels::MatMul(rows * w.out * w.in >= kWorthSharing ? pool_ : nullptr, x, rows, w, y, into);
}

void Forward::RunRows(std::span<const Row> rows) {
  const model::ModelConfig& c = model_.config();
  const auto n = static_cast<int64_t>(rows.size());
  tokens_.clear();
  positions_.clear();
  for (const Row& row : rows) {
    CHECK_MSG(row.token >= 0 && row.token < c.vocab_size && row.position < rope_.positions,
              "token={} position={}", row.token, row.position);
    tokens_.push_back(row.token);
    positions_.push_back(row.position);
  }
  adapted_.clear();
  for (int64_t r = 0; r < n; ++r) {
    const LoraAdapter* adapter = rows[static_cast<size_t>(r)].adapter;
    if (adapter == nullptr) continue;
    if (!adapted_.empty() && adapted_.back().adapter == adapter &&
        adapted_.back().begin + adapted_.back().count == r) {
      ++adapted_.back().count;
    } else {
      adapted_.push_back({adapter, r, 1});
    }
  }
  // Row-wise steps are small beside the products: one thread, no waking of others.
  kernels::Embed(nullptr, model_.embedding(), tokens_.data(), n, x_.data());
  for (int l = 0; l < c.layers; ++l) {
    const model::Layer& layer = model_.layers()[static_cast<size_t>(l)];
    kernels::RmsNorm(nullptr, x_.data(), layer.input_norm, n, c.dim, c.norm_eps, normed_.data(),
                     nullptr);
    Project(normed_.data(), n, layer.q, l, LoraSite::kQ, q_.data());
    Project(normed_.data(), n, layer.k, l, LoraSite::kK, k_.data());
    Project(normed_.data(), n, layer.v, l, LoraSite::kV, v_.data());
    kernels::Rope(nullptr, rope_, positions_.data(), n, c.heads, c.q_dim(), q_.data());
    kernels::Rope(nullptr, rope_, positions_.data(), n, c.kv_heads, c.kv_dim(), k_.data());
    Attend(l, rows);
    Project(attended_.data(), n, layer.o, l, LoraSite::kO, x_.data(), kernels::Into::kAccumulate);
    kernels::RmsNorm(nullptr, x_.data(), layer.post_norm, n, c.dim, c.norm_eps, normed_.data(),
                     nullptr);
    Project(normed_.data(), n, layer.gate, l, LoraSite::kGate, gate_.data());
    Project(normed_.data(), n, layer.up, l, LoraSite::kUp, up_.data());
    kernels::SwiGlu(n * c.ffn_dim >= kWorthSharing / 16 ? pool_ : nullptr, gate_.data(), up_.data(),
                    n, c.ffn_dim, c.ffn_dim, gate_.data());
    Project(gate_.data(), n, layer.down, l, LoraSite::kDown, x_.data(), kernels::Into::kAccumulate);
  }
  // Only rows that somebody wants go through the head: the last of a prompt, all decodes.
  const auto row_bytes = static_cast<size_t>(c.dim) * sizeof(float);
  int64_t wanted = 0;
  std::vector<float*> outputs;
  const auto flush = [&] {
    if (wanted == 0) return;
    MatMul(normed_.data(), wanted, model_.head(), logits_.data());
    for (int64_t i = 0; i < wanted; ++i) {
      std::memcpy(outputs[static_cast<size_t>(i)], &logits_[i * c.vocab_size],
                  static_cast<size_t>(c.vocab_size) * sizeof(float));
    }
    outputs.clear();
    wanted = 0;
  };
  for (int64_t r = 0; r < n; ++r) {
    const Row& row = rows[static_cast<size_t>(r)];
    if (row.logits == nullptr && row.hidden == nullptr) continue;
    float* normed = &normed_[wanted * c.dim];
    kernels::RmsNorm(nullptr, &x_[r * c.dim], model_.final_norm(), 1, c.dim, c.norm_eps, normed,
                     nullptr);
    if (row.hidden != nullptr) std::memcpy(row.hidden, normed, row_bytes);
    if (row.logits == nullptr) continue;
    outputs.push_back(row.logits);
    if (++wanted == static_cast<int64_t>(kDecodeRows)) flush();
  }
  flush();
}

void Forward::Attend(int layer, std::span<const Row> rows) {
  const model::ModelConfig& c = model_.config();
  const auto row_bytes = static_cast<size_t>(c.kv_dim()) * sizeof(float);
  block_pointers_.clear();
  // Pointers are placed first and addressed afterwards: the vector may move while it grows.
  std::vector<size_t> first(rows.size());
  for (size_t r = 0; r < rows.size(); ++r) {
    const Row& row = rows[r];
    const int32_t block = row.blocks[static_cast<size_t>(row.position / kKvBlockTokens)];
    const int64_t offset = static_cast<int64_t>(row.position % kKvBlockTokens) * c.kv_dim();
    const int64_t source = static_cast<int64_t>(r) * c.kv_dim();
    std::memcpy(cache_.Keys(layer, block) + offset, &k_[source], row_bytes);
    std::memcpy(cache_.Values(layer, block) + offset, &v_[source], row_bytes);
    // Rows of one prompt share their sequence's pointers.
    if (r > 0 && rows[r - 1].blocks.data() == row.blocks.data()) {
      first[r] = first[r - 1];
      continue;
    }
    first[r] = block_pointers_.size();
    for (const int32_t b : row.blocks) block_pointers_.push_back(cache_.Keys(layer, b));
    for (const int32_t b : row.blocks) block_pointers_.push_back(cache_.Values(layer, b));
  }
  queries_.clear();
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto at = static_cast<int64_t>(r) * c.q_dim();
    const float* const* keys = block_pointers_.data() + first[r];
    queries_.push_back({.q = &q_[at],
                        .k_blocks = keys,
                        .v_blocks = keys + rows[r].blocks.size(),
                        .length = rows[r].position + 1,
                        .out = &attended_[at]});
  }
  int64_t attended = 0;
  for (const kernels::CachedQuery& query : queries_) attended += query.length;
  kernels::AttendCached(2 * attended * c.q_dim() >= kWorthSharing ? pool_ : nullptr,
                        {.heads = c.heads,
                         .kv_heads = c.kv_heads,
                         .head_dim = c.head_dim,
                         .block_tokens = kKvBlockTokens},
                        queries_);
}

namespace {

using Vector = std::vector<double>;

Vector Apply(const kernels::Weights& w, const Vector& x) {
  std::vector<float> row(static_cast<size_t>(w.in));
  Vector y(static_cast<size_t>(w.out));
  const int64_t row_bytes = kernels::RowBytes(w.type, w.in);
  for (int64_t o = 0; o < w.out; ++o) {
    kernels::ToF32(w.type, static_cast<const std::byte*>(w.data) + o * row_bytes, w.in, row.data());
    for (size_t i = 0; i < row.size(); ++i) y[static_cast<size_t>(o)] += row[i] * x[i];
  }
  return y;
}

Vector Norm(const Vector& x, const float* gain, double eps) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  Vector y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = gain[i] * x[i] * scale;
  return y;
}

void Turn(Vector& x, int heads, int head_dim, double position, double theta) {
  for (int h = 0; h < heads; ++h) {
    for (int i = 0; i < head_dim / 2; ++i) {
      const double angle = position * std::pow(theta, -2.0 * i / head_dim);
      double& a = x[static_cast<size_t>(h * head_dim + i)];
      double& b = x[static_cast<size_t>(h * head_dim + i + head_dim / 2)];
      const double turned_a = a * std::cos(angle) - b * std::sin(angle);
      b = a * std::sin(angle) + b * std::cos(angle);
      a = turned_a;
    }
  }
}

void AddTo(Vector& x, const Vector& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

}  // namespace

std::vector<float> ReferenceLogits(const model::Model& model, std::span<const int32_t> tokens) {
  const model::ModelConfig& c = model.config();
  const size_t n = tokens.size();
  std::vector<Vector> x(n);
  for (size_t t = 0; t < n; ++t) {
    std::vector<float> row(static_cast<size_t>(c.dim));
    const kernels::Weights& e = model.embedding();
    kernels::ToF32(
        e.type, static_cast<const std::byte*>(e.data) + tokens[t] * kernels::RowBytes(e.type, e.in),
        e.in, row.data());
    x[t].assign(row.begin(), row.end());
  }
  for (const model::Layer& layer : model.layers()) {
    std::vector<Vector> q(n), k(n), v(n);
    for (size_t t = 0; t < n; ++t) {
      const Vector normed = Norm(x[t], layer.input_norm, c.norm_eps);
      q[t] = Apply(layer.q, normed);
      k[t] = Apply(layer.k, normed);
      v[t] = Apply(layer.v, normed);
      Turn(q[t], c.heads, c.head_dim, static_cast<double>(t), c.rope_theta);
      Turn(k[t], c.kv_heads, c.head_dim, static_cast<double>(t), c.rope_theta);
    }
    for (size_t t = 0; t < n; ++t) {
      Vector out(static_cast<size_t>(c.q_dim()));
      for (int h = 0; h < c.heads; ++h) {
        const size_t qh = static_cast<size_t>(h * c.head_dim);
        const size_t kh = static_cast<size_t>(h / (c.heads / c.kv_heads) * c.head_dim);
        Vector scores(t + 1);
        double sum = 0;
        for (size_t s = 0; s <= t; ++s) {
          for (int i = 0; i < c.head_dim; ++i) scores[s] += q[t][qh + i] * k[s][kh + i];
        }
        const double largest = *std::max_element(scores.begin(), scores.end());
        for (double& score : scores) {
          score = std::exp((score - largest) / std::sqrt(static_cast<double>(c.head_dim)));
          sum += score;
        }
        for (size_t s = 0; s <= t; ++s) {
          for (int i = 0; i < c.head_dim; ++i) out[qh + i] += scores[s] / sum * v[s][kh + i];
        }
      }
      AddTo(x[t], Apply(layer.o, out));
    }
    for (size_t t = 0; t < n; ++t) {
      const Vector normed = Norm(x[t], layer.post_norm, c.norm_eps);
      Vector gate = Apply(layer.gate, normed);
      const Vector up = Apply(layer.up, normed);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1.0 + std::exp(-gate[i]));
      AddTo(x[t], Apply(layer.down, gate));
    }
  }
  std::vector<float> logits;
  for (size_t t = 0; t < n; ++t) {
    for (const double y : Apply(model.head(), Norm(x[t], model.final_norm(), c.norm_eps))) {
      logits.push_back(static_cast<float>(y));
    }
  }
  return logits;
}

}  // namespace weir::serve
