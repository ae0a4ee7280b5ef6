#include "engine/train/model.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "engine/model/architecture.h"

namespace weir::train {
namespace {

constexpr int64_t kHeadRows = 512;  // logits of 512 tokens at 50304 words: 100 MB

int64_t Sz(int v) { return v; }

}  // namespace

std::vector<Slice> SlicesOf(const model::ModelConfig& config) {
  std::vector<Slice> slices;
  int64_t offset = 0;
  for (model::TensorSpec& spec : model::TensorSpecs(config)) {
    int64_t size = 1;
    for (const int64_t d : spec.shape) size *= d;
    slices.push_back({std::move(spec.name), std::move(spec.shape), offset, size});
    offset += size;
  }
  return slices;
}

double FlopsPerToken(const model::ModelConfig& c, int64_t seq) {
  const double layer = static_cast<double>(c.dim) * (2.0 * c.q_dim() + 2.0 * c.kv_dim()) +
                       3.0 * static_cast<double>(c.dim) * c.ffn_dim;
  const double head = static_cast<double>(c.dim) * c.vocab_size;
  return 6.0 * (layer * c.layers + head) +
         6.0 * c.layers * static_cast<double>(seq) * static_cast<double>(c.q_dim());
}

Model::Model(const model::ModelConfig& config, int64_t max_rows, int64_t max_seq, Storage storage,
             kernels::ThreadPool* pool)
    : config_(config),
      storage_(storage),
      pool_(pool),
      max_rows_(max_rows),
      max_seq_(max_seq),
      slices_(SlicesOf(config)) {
  const int64_t total = slices_.back().offset + slices_.back().size;
  parameters_ = Buffer(total);
  gradients_ = Buffer(total);
  if (storage_ == Storage::kBf16) stored_ = BufferOf<uint16_t>(total);

  const auto at = [&](const std::string& name) {
    const auto found = std::find_if(slices_.begin(), slices_.end(),
                                    [&](const Slice& s) { return s.name == name; });
    CHECK_MSG(found != slices_.end(), "no tensor {}", name);
    return found->offset;
  };
  const int64_t dim = config_.dim, q = config_.q_dim(), kv = config_.kv_dim(),
                ffn = config_.ffn_dim;
  embedding_ = at("model.embed_tokens.weight");
  final_norm_ = at("model.norm.weight");
  head_ = config_.tied_embeddings ? embedding_ : at("lm_head.weight");
  for (int l = 0; l < config_.layers; ++l) {
    const std::string prefix = fmt::format("model.layers.{}.", l);
    Layer layer{};
    layer.norm1 = at(prefix + "input_layernorm.weight");
    layer.qkv = at(prefix + "self_attn.q_proj.weight");
    CHECK(at(prefix + "self_attn.k_proj.weight") == layer.qkv + q * dim);
    CHECK(at(prefix + "self_attn.v_proj.weight") == layer.qkv + (q + kv) * dim);
    layer.o = at(prefix + "self_attn.o_proj.weight");
    layer.norm2 = at(prefix + "post_attention_layernorm.weight");
    layer.gate_up = at(prefix + "mlp.gate_proj.weight");
    CHECK(at(prefix + "mlp.up_proj.weight") == layer.gate_up + ffn * dim);
    layer.down = at(prefix + "mlp.down_proj.weight");
    layer.gain1 = 2 * l * dim;
    layer.gain2 = (2 * l + 1) * dim;
    layers_.push_back(layer);
  }
  final_gain_ = 2 * Sz(config_.layers) * dim;
  gains_.resize(static_cast<size_t>(final_gain_ + dim));
  rope_ =
      kernels::MakeRopeTable(config_.head_dim, max_seq_, static_cast<double>(config_.rope_theta));

  const int64_t rows = max_rows_;
  for (int l = 0; l < config_.layers; ++l) {
    kept_.push_back({Buffer(rows * dim), Buffer(rows), Buffer(rows * (q + 2 * kv)),
                     Buffer(rows * q), Buffer(rows * config_.heads), Buffer(rows * dim),
                     Buffer(rows), Buffer(rows * 2 * ffn)});
  }
  x_ = Buffer(rows * dim);
  normed_ = Buffer(rows * dim);
  final_inv_ = Buffer(rows);
  act_ = Buffer(rows * ffn);
  wide_ = Buffer(rows * ffn);
  logits_ = Buffer(std::min(rows, kHeadRows) * config_.vocab_size);
  loss_ = Buffer(rows);
  dx_ = Buffer(rows * dim);
  dnormed_ = Buffer(rows * dim);
  dqkv_ = Buffer(rows * (q + 2 * kv));
  dattention_ = Buffer(rows * q);
  inputs_.resize(static_cast<size_t>(rows));
  targets_.resize(static_cast<size_t>(rows));
  positions_.resize(static_cast<size_t>(rows));
}

void Model::Initialize(uint64_t seed) {
  const double spread_all = std::sqrt(2.0 / (5.0 * config_.dim));
  const double residual = spread_all / std::sqrt(2.0 * config_.layers);
  for (size_t i = 0; i < slices_.size(); ++i) {
    const Slice& slice = slices_[i];
    float* to = parameters_.data() + slice.offset;
    if (slice.shape.size() == 1) {
      std::fill_n(to, slice.size, 1.0f);
      continue;
    }
    const bool writes =
        slice.name.ends_with("o_proj.weight") || slice.name.ends_with("down_proj.weight");
    const double spread = writes ? residual : spread_all;
    const int64_t row = slice.shape[1];
    // A generator for each row: rows can be filled in any order, by any number of threads.
    kernels::ParallelFor(pool_, slice.shape[0], [&](int64_t r) {
      Random random(seed * 0x9E3779B97F4A7C15u + (static_cast<uint64_t>(i) << 32) +
                    static_cast<uint64_t>(r));
      for (int64_t c = 0; c < row; ++c) {
        to[r * row + c] = static_cast<float>(random.Normal() * spread);
      }
    });
  }
  RefreshStored();
  RefreshGains();
}

void Model::RefreshStored() {
  if (storage_ == Storage::kF32) return;
  kernels::FromF32(parameters_.data(), parameters_.size(), kernels::DType::kBF16, stored_.data());
}

void Model::RefreshGains() {
  const auto copy = [&](int64_t offset, int64_t gain) {
    float* to = gains_.data() + gain;
    if (storage_ == Storage::kBf16) {
      kernels::ToF32(kernels::DType::kBF16, stored_.data() + offset, config_.dim, to);
    } else {
      std::copy_n(parameters_.data() + offset, config_.dim, to);
    }
  };
  for (const Layer& layer : layers_) {
    copy(layer.norm1, layer.gain1);
    copy(layer.norm2, layer.gain2);
  }
  copy(final_norm_, final_gain_);
}

void Model::ZeroGradients() {
  constexpr int64_t kRange = 1 << 18;
  const int64_t n = gradients_.size();
  kernels::ParallelFor(pool_, (n + kRange - 1) / kRange, [&](int64_t i) {
    std::fill_n(gradients_.data() + i * kRange, std::min(kRange, n - i * kRange), 0.0f);
  });
}

kernels::Weights Model::WeightsAt(int64_t offset, int64_t out, int64_t in) const {
  if (storage_ == Storage::kBf16) {
    return {kernels::DType::kBF16, stored_.data() + offset, out, in};
  }
  return {kernels::DType::kF32, parameters_.data() + offset, out, in};
}

kernels::AttentionShape Model::AttentionOf(int64_t batch, int64_t seq) const {
  const int64_t q = config_.q_dim(), stride = q + 2 * Sz(config_.kv_dim());
  return {batch, seq, config_.heads, config_.kv_heads, config_.head_dim, stride, stride, stride, q};
}

void Model::AddWeightGradient(const float* dy, const float* x, int64_t rows, int64_t out,
                              int64_t in, int64_t offset) {
  kernels::Sgemm(pool_, {.form = kernels::Form::kTN,
                         .into = kernels::Into::kAccumulate,
                         .m = out,
                         .n = in,
                         .k = rows,
                         .a = dy,
                         .lda = out,
                         .b = x,
                         .ldb = in,
                         .c = gradients_.data() + offset,
                         .ldc = in});
}

void Model::Forward(std::span<const int32_t> tokens, int64_t batch, int64_t seq, int64_t pad) {
  const int64_t rows = batch * seq;
  CHECK_MSG(batch > 0 && seq > 0 && rows <= max_rows_ && seq <= max_seq_ &&
                static_cast<int64_t>(tokens.size()) == batch * (seq + pad),
            "batch={} seq={} of at most {} rows and {} positions, {} tokens", batch, seq, max_rows_,
            max_seq_, tokens.size());
  const int64_t dim = config_.dim, q = config_.q_dim(), kv = config_.kv_dim(),
                ffn = config_.ffn_dim;
  const int64_t qkv = q + 2 * kv;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t s = 0; s < seq; ++s) {
      const size_t r = static_cast<size_t>(b * seq + s);
      inputs_[r] = tokens[static_cast<size_t>(b * (seq + pad) + s)];
      targets_[r] = pad > 0 ? tokens[static_cast<size_t>(b * (seq + pad) + s + 1)] : -1;
      positions_[r] = static_cast<int32_t>(s);
    }
  }
  kernels::Embed(pool_, WeightsAt(embedding_, config_.vocab_size, dim), inputs_.data(), rows,
                 x_.data());
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    Kept& kept = kept_[l];
    std::copy_n(x_.data(), rows * dim, kept.x.data());
    kernels::RmsNorm(pool_, x_.data(), gains_.data() + layer.gain1, rows, dim, config_.norm_eps,
                     normed_.data(), kept.inv1.data());
    kernels::MatMul(pool_, normed_.data(), rows, WeightsAt(layer.qkv, qkv, dim), kept.qkv.data());
    // q and k heads stand side by side: one turn for both.
    kernels::Rope(pool_, rope_, positions_.data(), rows, config_.heads + config_.kv_heads, qkv,
                  kept.qkv.data());
    kernels::Attention(pool_, AttentionOf(batch, seq), kept.qkv.data(), kept.qkv.data() + q,
                       kept.qkv.data() + q + kv, kept.attention.data(), kept.lse.data());
    kernels::MatMul(pool_, kept.attention.data(), rows, WeightsAt(layer.o, dim, q), x_.data(),
                    kernels::Into::kAccumulate);
    std::copy_n(x_.data(), rows * dim, kept.mid.data());
    kernels::RmsNorm(pool_, x_.data(), gains_.data() + layer.gain2, rows, dim, config_.norm_eps,
                     normed_.data(), kept.inv2.data());
    kernels::MatMul(pool_, normed_.data(), rows, WeightsAt(layer.gate_up, 2 * ffn, dim),
                    kept.gate_up.data());
    kernels::SwiGlu(pool_, kept.gate_up.data(), kept.gate_up.data() + ffn, rows, ffn, 2 * ffn,
                    act_.data());
    kernels::MatMul(pool_, act_.data(), rows, WeightsAt(layer.down, dim, ffn), x_.data(),
                    kernels::Into::kAccumulate);
  }
}

double Model::Head(int64_t rows, Pass pass, float scale) {
  const int64_t dim = config_.dim, vocab = config_.vocab_size;
  const kernels::Weights head = WeightsAt(head_, vocab, dim);
  kernels::RmsNorm(pool_, x_.data(), gains_.data() + final_gain_, rows, dim, config_.norm_eps,
                   normed_.data(), final_inv_.data());
  for (int64_t first = 0; first < rows; first += kHeadRows) {
    const int64_t count = std::min(kHeadRows, rows - first);
    const float* h = normed_.data() + first * dim;
    kernels::MatMul(pool_, h, count, head, logits_.data());
    kernels::CrossEntropy(pool_, logits_.data(), targets_.data() + first, count, vocab, scale,
                          pass == Pass::kTrain ? kernels::Gradient::kYes : kernels::Gradient::kNo,
                          loss_.data() + first);
    if (pass == Pass::kTrain) {
      kernels::MatMulBack(pool_, logits_.data(), count, head, dnormed_.data() + first * dim);
      AddWeightGradient(logits_.data(), h, count, vocab, dim, head_);
    }
  }
  if (pass == Pass::kTrain) {
    std::fill_n(dx_.data(), rows * dim, 0.0f);
    kernels::RmsNormBackward(pool_, dnormed_.data(), x_.data(), gains_.data() + final_gain_,
                             final_inv_.data(), rows, dim, dx_.data(),
                             gradients_.data() + final_norm_);
  }
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) sum += static_cast<double>(loss_.data()[r]);
  return sum;
}

void Model::Backward(int64_t batch, int64_t seq) {
  const int64_t rows = batch * seq;
  const int64_t dim = config_.dim, q = config_.q_dim(), kv = config_.kv_dim(),
                ffn = config_.ffn_dim;
  const int64_t qkv = q + 2 * kv;
  float* const grad = gradients_.data();
  for (size_t l = layers_.size(); l-- > 0;) {
    const Layer& layer = layers_[l];
    Kept& kept = kept_[l];
    // What the forward did not keep: the second norm's output and silu(g) * u.
    float* const gate = kept.gate_up.data();
    kernels::SwiGlu(pool_, gate, gate + ffn, rows, ffn, 2 * ffn, act_.data());
    kernels::RmsNorm(pool_, kept.mid.data(), gains_.data() + layer.gain2, rows, dim,
                     config_.norm_eps, normed_.data(), nullptr);
    AddWeightGradient(dx_.data(), act_.data(), rows, dim, ffn, layer.down);
    kernels::MatMulBack(pool_, dx_.data(), rows, WeightsAt(layer.down, dim, ffn), wide_.data());
    kernels::SwiGluBackward(pool_, wide_.data(), gate, gate + ffn, rows, ffn, 2 * ffn, gate,
                            gate + ffn);
    AddWeightGradient(gate, normed_.data(), rows, 2 * ffn, dim, layer.gate_up);
    kernels::MatMulBack(pool_, gate, rows, WeightsAt(layer.gate_up, 2 * ffn, dim), dnormed_.data());
    kernels::RmsNormBackward(pool_, dnormed_.data(), kept.mid.data(), gains_.data() + layer.gain2,
                             kept.inv2.data(), rows, dim, dx_.data(), grad + layer.norm2);

    AddWeightGradient(dx_.data(), kept.attention.data(), rows, dim, q, layer.o);
    kernels::MatMulBack(pool_, dx_.data(), rows, WeightsAt(layer.o, dim, q), dattention_.data());
    kernels::AttentionBackward(pool_, AttentionOf(batch, seq), kept.qkv.data(), kept.qkv.data() + q,
                               kept.qkv.data() + q + kv, kept.attention.data(), kept.lse.data(),
                               dattention_.data(), dqkv_.data(), dqkv_.data() + q,
                               dqkv_.data() + q + kv);
    kernels::Rope(pool_, rope_, positions_.data(), rows, config_.heads + config_.kv_heads, qkv,
                  dqkv_.data(), kernels::Turn::kBackward);
    kernels::RmsNorm(pool_, kept.x.data(), gains_.data() + layer.gain1, rows, dim, config_.norm_eps,
                     normed_.data(), nullptr);
    AddWeightGradient(dqkv_.data(), normed_.data(), rows, qkv, dim, layer.qkv);
    kernels::MatMulBack(pool_, dqkv_.data(), rows, WeightsAt(layer.qkv, qkv, dim), dnormed_.data());
    kernels::RmsNormBackward(pool_, dnormed_.data(), kept.x.data(), gains_.data() + layer.gain1,
                             kept.inv1.data(), rows, dim, dx_.data(), grad + layer.norm1);
  }
  kernels::EmbedBackward(pool_, dx_.data(), inputs_.data(), rows, dim, grad + embedding_);
}

double Model::ForwardBackward(std::span<const int32_t> tokens, int64_t batch, int64_t seq,
                              float scale) {
  Forward(tokens, batch, seq, 1);
  const double loss = Head(batch * seq, Pass::kTrain, scale);
  Backward(batch, seq);
  return loss;
}

double Model::Loss(std::span<const int32_t> tokens, int64_t batch, int64_t seq) {
  Forward(tokens, batch, seq, 1);
  return Head(batch * seq, Pass::kLossOnly, 1.0f);
}

std::vector<float> Model::Logits(std::span<const int32_t> tokens) {
  const int64_t rows = static_cast<int64_t>(tokens.size());
  Forward(tokens, 1, rows, 0);
  kernels::RmsNorm(pool_, x_.data(), gains_.data() + final_gain_, rows, config_.dim,
                   config_.norm_eps, normed_.data(), nullptr);
  std::vector<float> logits(static_cast<size_t>(rows * config_.vocab_size));
  kernels::MatMul(pool_, normed_.data(), rows, WeightsAt(head_, config_.vocab_size, config_.dim),
                  logits.data());
  return logits;
}

}  // namespace weir::train
