#include "engine/model/config_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/model/architecture.h"
#include "engine/model/config_limits.h"
#include "engine/model/rope.h"

namespace weir::model {
namespace {

constexpr std::string_view kRopeFreqs = "rope_freqs.weight";
constexpr std::string_view kShortFactors = "rope_factors_short.weight";
constexpr std::string_view kLongFactors = "rope_factors_long.weight";

// The two sizes whose queries are scaled by dim / heads instead of head_dim; the files do not say.
constexpr int kGemma2Layers27b = 46, kGemma3Layers27b = 62;

class Keys {
 public:
  Keys(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  std::string Named(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  Error NotOffered(std::string_view key, std::string_view what) const {
    return Error(Code::kUnimplemented, fmt::format("{} {}", Named(key), what));
  }

  Result<std::optional<int>> Integer(std::string_view key, int64_t max) const {
    return IntegerAt(Named(key), max);
  }
  Result<std::optional<int>> IntegerAt(const std::string& key, int64_t max) const {
    const std::optional<int64_t> value = TRY(file_.Int(key));
    if (!value) return std::optional<int>();
    if (*value < 0 || *value > max) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{} is {}; this program takes 0 to {}", key, *value, max));
    }
    return std::optional<int>(static_cast<int>(*value));
  }
  Result<int> Required(std::string_view key, int64_t max) const {
    const std::optional<int> value = TRY(Integer(key, max));
    if (!value) return Error(Code::kInvalidArgument, fmt::format("{} is missing", Named(key)));
    return *value;
  }
  Result<float> Number(std::string_view key, float otherwise) const {
    const std::optional<double> value = TRY(file_.Number(Named(key)));
    return value ? static_cast<float>(*value) : otherwise;
  }
  Result<std::optional<double>> MaybeNumber(std::string_view key) const {
    return file_.Number(Named(key));
  }
  Result<std::string> Text(std::string_view key) const {
    const auto value = TRY(file_.String(Named(key)));
    return std::string(value.value_or(""));
  }

 private:
  const GgufFile& file_;
  std::string_view prefix_;
};

Result<std::vector<float>> Factors(const GgufFile& file, std::string_view name, size_t pairs) {
  const TensorView* view = file.Find(name);
  if (view == nullptr) return std::vector<float>();
  if (view->type != DType::kF32 ||
      view->shape != std::vector<int64_t>{static_cast<int64_t>(pairs)}) {
    return Error(Code::kInvalidArgument,
                 fmt::format("tensor {} is not {} numbers in F32", name, pairs));
  }
  std::vector<float> factors(pairs);
  std::memcpy(factors.data(), view->data.data(), view->data.size());
  return factors;
}

Status ReadRope(const GgufFile& file, const Keys& keys, const ArchitectureRow& row,
                ModelConfig& c) {
  c.rope_theta = TRY(keys.Number("rope.freq_base", row.defaults.rope_theta));
  if (row.defaults.rope_theta_local > 0) {
    c.rope_theta_local = TRY(keys.Number("rope.freq_base_swa", row.defaults.rope_theta_local));
  }
  const int turned = TRY(keys.Integer("rope.dimension_count", kMaxWidth))
  .value_or(c.head_dim);
  if (turned != c.head_dim) {
    if (row.gguf_neighbours || turned < 2) {
      return keys.NotOffered("rope.dimension_count",
                             fmt::format("is {}, the head has {}", turned, c.head_dim));
    }
    c.rope_dim = turned;
  }
  RopeScaling& s = c.rope;
  const auto pairs = static_cast<size_t>(turned) / 2;
  s.original_seq = TRY(keys.Integer("rope.scaling.original_context_length", kMaxSequence))
  .value_or(c.max_seq);
  const std::optional<double> attention = TRY(keys.MaybeNumber("rope.scaling.attn_factor"));
  const std::string kind = TRY(keys.Text("rope.scaling.type"));
  s.factor = TRY(keys.Number("rope.scaling.factor", 0.0f));
  if (s.factor == 0.0f) s.factor = TRY(keys.Number("rope.scale_linear", 1.0f));
  std::vector<float> freqs = TRY(Factors(file, kRopeFreqs, pairs));
  s.short_factors = TRY(Factors(file, kShortFactors, pairs));
  s.long_factors = TRY(Factors(file, kLongFactors, pairs));
  if (!freqs.empty() && s.long_factors.empty()) {
    // Llama 3's, worked out by who wrote the file: the same divisors at any length.
    s.kind = RopeKind::kLongRope;
    s.short_factors = s.long_factors = std::move(freqs);
    s.attention_factor = 1.0f;
    s.factor = 1.0f;
  } else if (!s.long_factors.empty()) {
    s.kind = RopeKind::kLongRope;
    s.factor = 1.0f;
    if (attention) s.attention_factor = static_cast<float>(*attention);
  } else if (kind == "yarn") {
    s.kind = RopeKind::kYarn;
    s.beta_fast = TRY(keys.Number("rope.scaling.yarn_beta_fast", 32.0f));
    s.beta_slow = TRY(keys.Number("rope.scaling.yarn_beta_slow", 1.0f));
    if (attention && s.factor >= 1) {
      s.attention_factor =
          static_cast<float>(*attention * (0.1 * std::log(static_cast<double>(s.factor)) + 1.0));
    }
    const double reached = static_cast<double>(s.factor) * s.original_seq;
    if (reached <= static_cast<double>(kMaxSequence)) {
      c.max_seq = std::max(c.max_seq, static_cast<int>(reached));
    }
  } else if (kind == "linear" || (kind.empty() && s.factor != 1.0f)) {
    s.kind = RopeKind::kLinear;
  } else if (!kind.empty() && kind != "none") {
    return keys.NotOffered("rope.scaling.type",
                           fmt::format("is \"{}\"; none, linear and yarn are offered, and longrope "
                                       "with tensors of factors",
                                       kind.substr(0, 40)));
  }
  if (s.kind == RopeKind::kPlain) s = RopeScaling();
  if (s.kind == RopeKind::kLinear) s.original_seq = 0;
  return {};
}

Status ReadFamily(const GgufFile& file, const Keys& keys, const ArchitectureRow& row,
                  ModelConfig& c) {
  const int window = TRY(keys.Integer("attention.sliding_window", kMaxSequence))
  .value_or(row.defaults.sliding_window);
  switch (row.sliding) {
    case Sliding::kNever:
      break;
    case Sliding::kAll:
      c.sliding_window = window;
      break;
    case Sliding::kFromLayer: {
      const auto from = TRY(keys.Integer("attention.sliding_window_first_layer", kMaxLayers));
      if (from && window > 0) {
        c.sliding_window = window;
        c.sliding_from = *from;
      }
      break;
    }
    case Sliding::kPeriodic:
      c.sliding_window = window;
      c.global_every = TRY(keys.Integer("attention.sliding_window_pattern", kMaxLayers))
      .value_or(row.global_every);
      break;
  }
  c.qkv_bias = file.Find("blk.0.attn_q.bias") != nullptr;
  c.output_bias = file.Find("blk.0.attn_output.bias") != nullptr;
  if (row.defaults.query_pre_attn_scalar > 0) {
    const float scale = TRY(keys.Number("attention.scale", 0.0f));
    const int layers27b = row.id == Architecture::kGemma2 ? kGemma2Layers27b : kGemma3Layers27b;
    if (scale > 0) {
      c.query_scalar = std::round(1e3f / (scale * scale)) / 1e3f;
    } else if (c.layers == layers27b) {
      c.query_scalar = static_cast<float>(c.dim / c.heads);
    }
    if (c.query_scalar == static_cast<float>(c.head_dim)) c.query_scalar = 0;
    c.attention_softcap =
        TRY(keys.Number("attn_logit_softcapping", row.defaults.attention_softcap));
    c.logit_softcap = TRY(keys.Number("final_logit_softcapping", row.defaults.logit_softcap));
  }
  if (!row.experts) return {};
  c.experts = TRY(keys.Required("expert_count", kMaxExperts));
  c.experts_used = TRY(keys.Required("expert_used_count", kMaxExperts));
  c.expert_ffn_dim = TRY(keys.Integer("expert_feed_forward_length", kMaxWidth))
  .value_or(c.ffn_dim);
  c.normalize_experts = TRY(file.Bool(keys.Named("expert_weights_norm")))
  .value_or(true);
  if (TRY(keys.Integer("expert_gating_func", 1000)).value_or(1) != 1) {
    return keys.NotOffered("expert_gating_func", "other than 1, softmax, is not offered");
  }
  return {};
}

Result<const ArchitectureRow*> ArchitectureOf(const GgufFile& file) {
  const std::string name(TRY(file.String("general.architecture")).value_or(""));
  const bool experts = TRY(file.Int(name + ".expert_count"))
  .value_or(0) > 0;
  const ArchitectureRow* row = RowByGguf(name, experts);
  if (row == nullptr) {
    std::string known;
    for (const ArchitectureRow& r : Architectures()) {
      if (known.find(r.gguf) == known.npos)
        known += fmt::format("{}{}", known.empty() ? "" : ", ", r.gguf);
    }
    return Error(Code::kUnimplemented,
                 fmt::format("general.architecture is \"{}\"{}; this program runs {}",
                             name.substr(0, 40), experts ? " with experts" : "", known));
  }
  // What GGUF calls llama has no window; with one it is what Hugging Face calls mistral.
  if (row->id == Architecture::kLlama &&
      TRY(file.Int("llama.attention.sliding_window")).value_or(0) > 0) {
    row = &RowOf(Architecture::kMistral);
  }
  return row;
}

}  // namespace

bool IsConfigTensor(std::string_view name) {
  return name == kRopeFreqs || name == kShortFactors || name == kLongFactors;
}

Result<ModelConfig> ConfigFromGguf(const GgufFile& file) {
  const ArchitectureRow& row = *TRY(ArchitectureOf(file));
  const Keys keys(file, row.gguf);
  ModelConfig c;
  c.architecture = row.id;
  if (TRY(keys.IntegerAt("split.count", 100000)).value_or(0) > 1) {
    return Error(Code::kUnimplemented, "split.count: a model in several GGUF files is not offered")
        .Hint("join the files with llama-gguf-split --merge");
  }
  const TensorView* embedding = file.Find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return Error(Code::kDataLoss, "tensor token_embd.weight is missing or no matrix")
        .Hint("a file with a vocabulary alone cannot be served");
  }
  if (embedding->shape[0] > kMaxVocab) {
    return Error(Code::kInvalidArgument,
                 fmt::format("tensor token_embd.weight has {} rows", embedding->shape[0]));
  }
  c.vocab_size = static_cast<int>(embedding->shape[0]);
  c.dim = TRY(keys.Required("embedding_length", kMaxWidth));
  c.layers = TRY(keys.Required("block_count", kMaxLayers));
  c.heads = TRY(keys.Required("attention.head_count", kMaxWidth));
  c.kv_heads = TRY(keys.Integer("attention.head_count_kv", kMaxWidth))
  .value_or(c.heads);
  const int usual_head = c.heads > 0 ? c.dim / c.heads : 0;
  c.head_dim = TRY(keys.Integer("attention.key_length", kMaxWidth))
  .value_or(usual_head);
  const int value_dim = TRY(keys.Integer("attention.value_length", kMaxWidth))
  .value_or(c.head_dim);
  if (value_dim != c.head_dim) {
    return keys.NotOffered("attention.value_length",
                           fmt::format("is {}, keys have {}", value_dim, c.head_dim));
  }
  c.ffn_dim = row.experts ? TRY(keys.Integer("feed_forward_length", kMaxWidth))
  .value_or(0) : TRY(keys.Required("feed_forward_length", kMaxWidth));
  c.max_seq = TRY(keys.Required("context_length", kMaxSequence));
  c.norm_eps = TRY(keys.Number("attention.layer_norm_rms_epsilon", 1e-5f));
  c.tied_embeddings = file.Find("output.weight") == nullptr;
  const auto token = [&](const std::string& key) -> Result<int> {
    const int64_t id = TRY(file.Int(key))
    .value_or(-1);
    return id >= 0 && id < c.vocab_size ? static_cast<int>(id) : -1;
  };
  c.bos_id = TRY(token("tokenizer.ggml.bos_token_id"));
  c.eos_id = TRY(token("tokenizer.ggml.eos_token_id"));
  if (c.heads > 0) TRY(ReadFamily(file, keys, row, c));
  TRY(ReadRope(file, keys, row, c));
  TRY(Validate(c));
  return c;
}

Status ConfigToGguf(const ModelConfig& c, GgufWriter& writer) {
  const ArchitectureRow& row = RowOf(c.architecture);
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", row.gguf, name); };
  const auto u32 = [&](std::string_view name, int value) {
    writer.U32(key(name), static_cast<uint32_t>(value));
  };
  writer.String("general.architecture", row.gguf);
  u32("vocab_size", c.vocab_size);
  u32("context_length", c.max_seq);
  u32("embedding_length", c.dim);
  u32("block_count", c.layers);
  u32("feed_forward_length", row.experts && c.ffn_dim == 0 ? c.expert_ffn_dim : c.ffn_dim);
  u32("attention.head_count", c.heads);
  u32("attention.head_count_kv", c.kv_heads);
  u32("attention.key_length", c.head_dim);
  u32("attention.value_length", c.head_dim);
  u32("rope.dimension_count", c.rotary_dim());
  writer.F32(key("rope.freq_base"), c.rope_theta);
  writer.F32(key("attention.layer_norm_rms_epsilon"), c.norm_eps);
  if (c.rope_theta_local > 0) writer.F32(key("rope.freq_base_swa"), c.rope_theta_local);
  if (c.sliding_window > 0) u32("attention.sliding_window", c.sliding_window);
  if (row.sliding == Sliding::kFromLayer && c.sliding_window > 0) {
    u32("attention.sliding_window_first_layer", c.sliding_from);
  }
  if (c.global_every != row.global_every) {
    u32("attention.sliding_window_pattern", c.global_every);
  }
  if (c.query_scalar > 0) writer.F32(key("attention.scale"), c.query_scale());
  if (row.defaults.attention_softcap > 0 || c.attention_softcap > 0) {
    writer.F32(key("attn_logit_softcapping"), c.attention_softcap);
  }
  if (row.defaults.logit_softcap > 0 || c.logit_softcap > 0) {
    writer.F32(key("final_logit_softcapping"), c.logit_softcap);
  }
  if (row.experts) {
    u32("expert_count", c.experts);
    u32("expert_used_count", c.experts_used);
    u32("expert_feed_forward_length", c.expert_ffn_dim);
    writer.Bool(key("expert_weights_norm"), c.normalize_experts);
  }

  const RopeScaling& s = c.rope;
  const auto tensor = [&](std::string_view name, const std::vector<float>& factors) {
    writer.OwnedTensor(std::string(name), factors);
  };
  switch (s.kind) {
    case RopeKind::kPlain:
      break;
    case RopeKind::kLinear:
      writer.String(key("rope.scaling.type"), "linear");
      writer.F32(key("rope.scaling.factor"), s.factor);
      break;
    case RopeKind::kYarn:
      writer.String(key("rope.scaling.type"), "yarn");
      writer.F32(key("rope.scaling.factor"), s.factor);
      u32("rope.scaling.original_context_length", s.original_seq);
      writer.F32(key("rope.scaling.yarn_beta_fast"), s.beta_fast);
      writer.F32(key("rope.scaling.yarn_beta_slow"), s.beta_slow);
      if (s.attention_factor > 0) {
        writer.F32(key("rope.scaling.attn_factor"),
                   static_cast<float>(static_cast<double>(s.attention_factor) /
                                      (0.1 * std::log(static_cast<double>(s.factor)) + 1.0)));
      }
      if (!s.truncate) {
        return Error(Code::kUnimplemented, "rope truncate=false cannot be written to GGUF");
      }
      break;
    case RopeKind::kLlama3: {
      // As divisors of the plain frequencies, which is how its readers know them.
      ModelConfig plain = c;
      plain.rope = RopeScaling();
      const auto base = RopeFrequenciesOf(plain, Sight::kGlobal, c.max_seq).per_position;
      const auto scaled = RopeFrequenciesOf(c, Sight::kGlobal, c.max_seq).per_position;
      std::vector<float> factors;
      for (size_t i = 0; i < base.size(); ++i) {
        factors.push_back(static_cast<float>(base[i] / scaled[i]));
      }
      tensor(kRopeFreqs, factors);
      break;
    }
    case RopeKind::kLongRope:
      if (s.short_factors == s.long_factors && s.attention_factor == 1.0f) {
        tensor(kRopeFreqs, s.long_factors);
        break;
      }
      writer.String(key("rope.scaling.type"), "longrope");
      u32("rope.scaling.original_context_length", s.original_seq);
      writer.F32(key("rope.scaling.attn_factor"),
                 static_cast<float>(RopeFrequenciesOf(c, Sight::kGlobal, c.max_seq).magnitude));
      tensor(kShortFactors, s.short_factors);
      tensor(kLongFactors, s.long_factors);
      break;
    case RopeKind::kDynamic:
      return Error(Code::kUnimplemented, "the dynamic rope cannot be written to GGUF")
          .Hint("remove rope_scaling from config.json, and raise rope_theta for longer texts");
  }
  return {};
}

}  // namespace weir::model
