#include "engine/serve/reference_forward.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace weir::serve {

using enum model::Architecture;
using model::RopeKind;

namespace {

size_t At(int64_t i) { return static_cast<size_t>(i); }

void AddTo(std::vector<double>& x, const std::vector<double>& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

void Softmax(std::vector<double>& x) {
  const double largest = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (double& v : x) sum += v = std::exp(v - largest);
  for (double& v : x) v /= sum;
}

double SoftCap(double x, float cap) {
  return cap > 0 ? static_cast<double>(cap) * std::tanh(x / static_cast<double>(cap)) : x;
}

bool IsGemma(model::Architecture family) { return family == kGemma2 || family == kGemma3; }

}  // namespace

Reference::Reference(const model::Model& model, int64_t context)
    : model_(model),
      c_(model.config()),
      family_(c_.architecture),
      gguf_(model.files().gguf() != nullptr),
      context_(context > 0 ? context : c_.max_seq) {}

std::string Reference::FileName(const std::string& hf) const {
  if (!gguf_) return hf;
  std::string name = hf;
  const auto replace = [&](const std::string& from, const std::string& to) {
    if (const size_t at = name.find(from); at != name.npos) name.replace(at, from.size(), to);
  };
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  replace("model.layers.", "blk.");
  replace("input_layernorm", "attn_norm");
  replace("self_attn.qkv_proj", "attn_qkv");
  replace("self_attn.q_proj", "attn_q");
  replace("self_attn.k_proj", "attn_k");
  replace("self_attn.v_proj", "attn_v");
  replace("self_attn.o_proj", "attn_output");
  replace("self_attn.q_norm", "attn_q_norm");
  replace("self_attn.k_norm", "attn_k_norm");
  replace("post_attention_layernorm", IsGemma(family_) ? "post_attention_norm" : "ffn_norm");
  replace("pre_feedforward_layernorm", "ffn_norm");
  replace("post_feedforward_layernorm", "post_ffw_norm");
  replace("block_sparse_moe.gate", "ffn_gate_inp");
  replace("mlp.gate.", "ffn_gate_inp.");
  replace("mlp.gate_up_proj", "ffn_up");
  replace("mlp.gate_proj", "ffn_gate");
  replace("mlp.up_proj", "ffn_up");
  replace("mlp.down_proj", "ffn_down");
  return name;
}

bool Reference::Has(const std::string& hf_name) const {
  const std::string name = FileName(hf_name);
  for (const model::TensorView& view : model_.tensors()) {
    if (view.name == name) return true;
  }
  return false;
}

const Reference::Tensor& Reference::Get(const std::string& hf_name) {
  Tensor& tensor = tensors_[hf_name];
  if (!tensor.values.empty()) return tensor;
  const auto fill = [&](const model::TensorView& view, std::span<const std::byte> data) {
    tensor.columns = view.shape.back();
    tensor.rows = static_cast<int64_t>(data.size()) / *model::BytesOf(view.type, tensor.columns);
    const std::vector<std::byte> aligned(data.begin(), data.end());
    tensor.values.resize(At(tensor.rows * tensor.columns));
    model::ToFloat(view.type, aligned, tensor.values);
  };
  // GGUF has the experts of a layer in one tensor: layers.L.*.experts.E.w1 is its E-th part.
  const size_t experts = hf_name.find("experts.");
  if (gguf_ && experts != hf_name.npos) {
    const int layer = std::stoi(hf_name.substr(std::string("model.layers.").size()));
    const auto expert = static_cast<size_t>(std::stoi(hf_name.substr(experts + 8)));
    const auto has = [&](const char* part) { return hf_name.find(part) != hf_name.npos; };
    const char* kind = has("w1") || has("gate_proj") ? "gate"
                       : has("w2") || has("down")    ? "down"
                                                     : "up";
    const std::string name = fmt::format("blk.{}.ffn_{}_exps.weight", layer, kind);
    for (const model::TensorView& view : model_.tensors()) {
      if (view.name != name) continue;
      const size_t bytes = view.data.size() / At(c_.experts);
      fill(view, view.data.subspan(expert * bytes, bytes));
    }
  } else {
    const std::string name = FileName(hf_name);
    for (const model::TensorView& view : model_.tensors()) {
      if (view.name == name) fill(view, view.data);
    }
  }
  CHECK_MSG(!tensor.values.empty(), "the file has no {}", hf_name);
  return tensor;
}

Reference::Vector Reference::Apply(const Tensor& w, const Vector& x, int64_t row,
                                   int64_t rows) const {
  if (rows < 0) rows = w.rows;
  Vector y(At(rows));
  for (int64_t o = 0; o < rows; ++o) {
    const float* weights = &w.values[At((row + o) * w.columns)];
    for (size_t i = 0; i < x.size(); ++i) y[At(o)] += static_cast<double>(weights[i]) * x[i];
  }
  return y;
}

Reference::Vector Reference::Project(const std::string& name, const Vector& x) {
  Vector y = Apply(Get(name + ".weight"), x);
  if (!Has(name + ".bias")) return y;
  const Tensor& bias = Get(name + ".bias");
  for (size_t i = 0; i < y.size(); ++i) y[i] += static_cast<double>(bias.values[i]);
  return y;
}

Reference::Vector Reference::Norm(const std::string& name, const Vector& x) {
  const Tensor& gain = Get(name);
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double scale =
      1.0 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(c_.norm_eps));
  const double more = IsGemma(family_) && !gguf_ ? 1.0 : 0.0;
  Vector y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    y[i] = (static_cast<double>(gain.values[i]) + more) * x[i] * scale;
  }
  return y;
}

void Reference::HeadNorms(const std::string& name, int heads, Vector& x) {
  for (int h = 0; h < heads; ++h) {
    const auto begin = x.begin() + h * c_.head_dim;
    const Vector normed = Norm(name, Vector(begin, begin + c_.head_dim));
    std::copy(normed.begin(), normed.end(), begin);
  }
}

bool Reference::Sliding(int layer) const {
  if (c_.sliding_window == 0) return false;
  switch (family_) {
    case kGemma2:
      return layer % 2 == 0;
    case kGemma3:
      return (layer + 1) % c_.global_every != 0;
    case kQwen2:
    case kQwen3:
    case kQwen3Moe:
      return layer >= c_.sliding_from;
    default:
      return true;
  }
}

void Reference::Turn(Vector& x, int heads, int64_t position, bool sliding) const {
  const model::RopeScaling& s = c_.rope;
  const bool local = family_ == kGemma3 && sliding;
  const int d = c_.rope_dim > 0 ? c_.rope_dim : c_.head_dim;
  const auto factor = static_cast<double>(s.factor), original = static_cast<double>(s.original_seq);
  double theta = static_cast<double>(local ? c_.rope_theta_local : c_.rope_theta);
  if (s.kind == RopeKind::kDynamic && context_ > s.original_seq) {
    theta *=
        std::pow(factor * static_cast<double>(context_) / original - (factor - 1), d / (d - 2.0));
  }
  double magnitude = 1;
  if (s.kind == RopeKind::kYarn) magnitude = 0.1 * std::log(factor) + 1;
  if (s.kind == RopeKind::kLongRope) {
    magnitude = std::sqrt(1 + std::log(c_.max_seq / original) / std::log(original));
  }
  if (s.attention_factor > 0) magnitude = static_cast<double>(s.attention_factor);
  const bool neighbours =
      gguf_ && (family_ == kLlama || family_ == kMistral || family_ == kMixtral);
  for (int i = 0; i < d / 2; ++i) {
    double f = std::pow(theta, -2.0 * i / d);
    if (!local) {
      const double wavelength = 2 * std::numbers::pi / f;
      if (s.kind == RopeKind::kLinear) f /= factor;
      if (s.kind == RopeKind::kLongRope) {
        f /= static_cast<double>(
            (context_ > s.original_seq ? s.long_factors : s.short_factors)[At(i)]);
      }
      if (s.kind == RopeKind::kLlama3) {
        const auto low = static_cast<double>(s.low_freq_factor);
        const auto high = static_cast<double>(s.high_freq_factor);
        if (wavelength > original / low) {
          f /= factor;
        } else if (wavelength > original / high) {
          const double smooth = (original / wavelength - low) / (high - low);
          f = (1 - smooth) * f / factor + smooth * f;
        }
      }
      if (s.kind == RopeKind::kYarn) {
        const auto dim_of = [&](float turns) {
          return d * std::log(original / (static_cast<double>(turns) * 2 * std::numbers::pi)) /
                 (2 * std::log(theta));
        };
        const double low = std::max(std::floor(dim_of(s.beta_fast)), 0.0);
        const double high = std::min(std::ceil(dim_of(s.beta_slow)), d - 1.0);
        const double ramp = std::min(1.0, std::max(0.0, (i - low) / std::max(high - low, 0.001)));
        f = f / factor * ramp + f * (1 - ramp);
      }
    }
    const double angle = static_cast<double>(position) * f;
    for (int h = 0; h < heads; ++h) {
      double& a = x[At(h * c_.head_dim + (neighbours ? 2 * i : i))];
      double& b = x[At(h * c_.head_dim + (neighbours ? 2 * i + 1 : i + d / 2))];
      const double turned = (a * std::cos(angle) - b * std::sin(angle)) * magnitude;
      b = (a * std::sin(angle) + b * std::cos(angle)) * magnitude;
      a = turned;
    }
  }
}

std::vector<Reference::Vector> Reference::AttentionOf(int layer, const std::vector<Vector>& x) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  const std::string self = prefix + "self_attn.";
  const size_t n = x.size();
  const bool sliding = Sliding(layer);
  std::vector<Vector> q(n), k(n), v(n), out(n);
  for (size_t t = 0; t < n; ++t) {
    if (family_ == kPhi3) {
      const Tensor& fused = Get(self + "qkv_proj.weight");
      q[t] = Apply(fused, x[t], 0, c_.q_dim());
      k[t] = Apply(fused, x[t], c_.q_dim(), c_.kv_dim());
      v[t] = Apply(fused, x[t], c_.q_dim() + c_.kv_dim(), c_.kv_dim());
    } else {
      q[t] = Project(self + "q_proj", x[t]);
      k[t] = Project(self + "k_proj", x[t]);
      v[t] = Project(self + "v_proj", x[t]);
    }
    if (family_ == kQwen3 || family_ == kQwen3Moe || family_ == kGemma3) {
      HeadNorms(self + "q_norm.weight", c_.heads, q[t]);
      HeadNorms(self + "k_norm.weight", c_.kv_heads, k[t]);
    }
    Turn(q[t], c_.heads, static_cast<int64_t>(t), sliding);
    Turn(k[t], c_.kv_heads, static_cast<int64_t>(t), sliding);
  }
  const double divisor = std::sqrt(
      static_cast<double>(c_.query_scalar > 0 ? c_.query_scalar : static_cast<float>(c_.head_dim)));
  for (size_t t = 0; t < n; ++t) {
    Vector heads(At(c_.q_dim()));
    const size_t window = sliding ? At(c_.sliding_window) : n;
    const size_t first = t + 1 > window ? t + 1 - window : 0;
    for (int h = 0; h < c_.heads; ++h) {
      const size_t qh = At(h * c_.head_dim), kh = At(h / (c_.heads / c_.kv_heads) * c_.head_dim);
      Vector scores;
      for (size_t s = first; s <= t; ++s) {
        double score = 0;
        for (size_t i = 0; i < At(c_.head_dim); ++i) score += q[t][qh + i] * k[s][kh + i];
        scores.push_back(SoftCap(score / divisor, c_.attention_softcap));
      }
      Softmax(scores);
      for (size_t s = first; s <= t; ++s) {
        for (size_t i = 0; i < At(c_.head_dim); ++i) {
          heads[qh + i] += scores[s - first] * v[s][kh + i];
        }
      }
    }
    out[t] = Project(self + "o_proj", heads);
    if (IsGemma(family_)) out[t] = Norm(prefix + "post_attention_layernorm.weight", out[t]);
  }
  return out;
}

Reference::Vector Reference::FeedForward(const Vector& gate, const Vector& up) const {
  Vector y(gate.size());
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = gate[i];
    const double act =
        IsGemma(family_)
            ? 0.5 * g *
                  (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (g + 0.044715 * g * g * g)))
            : g / (1 + std::exp(-g));
    y[i] = act * up[i];
  }
  return y;
}

Reference::Vector Reference::MlpOf(int layer, const Vector& x) {
  const std::string prefix = fmt::format("model.layers.{}.", layer);
  if (family_ == kPhi3) {
    const Tensor& fused = Get(prefix + "mlp.gate_up_proj.weight");
    return Project(prefix + "mlp.down_proj", FeedForward(Apply(fused, x, 0, c_.ffn_dim),
                                                         Apply(fused, x, c_.ffn_dim, c_.ffn_dim)));
  }
  if (family_ != kMixtral && family_ != kQwen3Moe) {
    return Project(prefix + "mlp.down_proj", FeedForward(Project(prefix + "mlp.gate_proj", x),
                                                         Project(prefix + "mlp.up_proj", x)));
  }
  const bool mixtral = family_ == kMixtral;
  const std::string block = prefix + (mixtral ? "block_sparse_moe." : "mlp.");
  Vector shares = Project(block + "gate", x);
  Softmax(shares);
  std::vector<size_t> order(shares.size());
  for (size_t e = 0; e < order.size(); ++e) order[e] = e;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return shares[a] > shares[b]; });
  order.resize(At(c_.experts_used));
  double sum = 0;
  for (const size_t e : order) sum += shares[e];
  if (!c_.normalize_experts) sum = 1;
  Vector y(x.size());
  for (const size_t e : order) {
    const std::string expert = fmt::format("{}experts.{}.", block, e);
    const Vector out = Project(expert + (mixtral ? "w2" : "down_proj"),
                               FeedForward(Project(expert + (mixtral ? "w1" : "gate_proj"), x),
                                           Project(expert + (mixtral ? "w3" : "up_proj"), x)));
    for (size_t i = 0; i < y.size(); ++i) y[i] += shares[e] / sum * out[i];
  }
  return y;
}

std::vector<float> Reference::Hidden(std::span<const int32_t> tokens) {
  std::vector<Vector> x;
  const Tensor& table = Get("model.embed_tokens.weight");
  for (const int32_t token : tokens) {
    const float* row = &table.values[At(token * table.columns)];
    x.emplace_back(row, row + table.columns);
    if (IsGemma(family_)) {
      for (double& v : x.back()) v *= std::sqrt(static_cast<double>(c_.dim));
    }
  }
  for (int layer = 0; layer < c_.layers; ++layer) {
    const std::string prefix = fmt::format("model.layers.{}.", layer);
    std::vector<Vector> normed;
    for (const Vector& row : x) normed.push_back(Norm(prefix + "input_layernorm.weight", row));
    const std::vector<Vector> attended = AttentionOf(layer, normed);
    for (size_t t = 0; t < x.size(); ++t) {
      AddTo(x[t], attended[t]);
      const char* before =
          IsGemma(family_) ? "pre_feedforward_layernorm.weight" : "post_attention_layernorm.weight";
      Vector out = MlpOf(layer, Norm(prefix + before, x[t]));
      if (IsGemma(family_)) out = Norm(prefix + "post_feedforward_layernorm.weight", out);
      AddTo(x[t], out);
    }
  }
  std::vector<float> hidden;
  for (const Vector& row : x) {
    for (const double v : Norm("model.norm.weight", row)) hidden.push_back(static_cast<float>(v));
  }
  return hidden;
}

std::vector<float> Reference::Logits(std::span<const int32_t> tokens) {
  const std::vector<float> hidden = Hidden(tokens);
  const Tensor& head = Get(c_.tied_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  std::vector<float> logits;
  for (size_t t = 0; t < tokens.size(); ++t) {
    const float* row = &hidden[t * At(c_.dim)];
    for (const double y : Apply(head, Vector(row, row + c_.dim))) {
      logits.push_back(static_cast<float>(SoftCap(y, c_.logit_softcap)));
    }
  }
  return logits;
}

}  // namespace weir::serve
