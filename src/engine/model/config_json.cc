// config.json of Hugging Face's tools.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/model/architecture.h"
#include "engine/model/config.h"
#include "engine/model/config_limits.h"

namespace weir::model {
namespace {

using Json = nlohmann::json;

std::string Quoted(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60);
}

// Fields of one object; `where` is "" or what is put before a field's name in errors:
// "rope_scaling.".
class Fields {
 public:
  explicit Fields(const Json& json, std::string where = "")
      : json_(json), where_(std::move(where)) {}

  Error Bad(std::string_view field, std::string_view what) const {
    return Error(Code::kInvalidArgument, fmt::format("config.json: {}{} {}", where_, field, what));
  }
  Error NotOffered(std::string_view field, std::string_view what) const {
    return Error(Code::kUnimplemented, fmt::format("config.json: {}{} {}", where_, field, what));
  }

  const Json* Find(const char* field) const {  // null counts as absent
    const auto it = json_.find(field);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  std::optional<std::string> Text(const char* field) const {
    const Json* it = Find(field);
    if (it == nullptr || !it->is_string()) return std::nullopt;
    return it->get<std::string>();
  }

  Result<std::optional<int64_t>> Integer(const char* field, int64_t max) const {
    const Json* it = Find(field);
    if (it == nullptr) return std::optional<int64_t>();
    if (!it->is_number_integer() || (it->is_number_unsigned() && it->get<uint64_t>() > INT64_MAX)) {
      return Bad(field, fmt::format("is {}, not an integer", Quoted(*it)));
    }
    const int64_t value = it->get<int64_t>();
    if (value < 0 || value > max) {
      return Bad(field, fmt::format("is {}; this program takes 0 to {}", value, max));
    }
    return std::optional<int64_t>(value);
  }
  // `otherwise` 0: the field must be there.
  Result<int> Int(const char* field, int64_t max, int64_t otherwise = 0) const {
    const std::optional<int64_t> value = TRY(Integer(field, max));
    if (!value && otherwise == 0) return Bad(field, "is missing");
    return static_cast<int>(value.value_or(otherwise));
  }
  Result<float> Number(const char* field, float otherwise) const {
    const Json* it = Find(field);
    if (it == nullptr) return otherwise;
    if (!it->is_number()) return Bad(field, fmt::format("is {}, not a number", Quoted(*it)));
    return static_cast<float>(it->get<double>());
  }
  Result<bool> Boolean(const char* field, bool otherwise) const {
    const Json* it = Find(field);
    if (it == nullptr) return otherwise;
    if (!it->is_boolean()) return Bad(field, fmt::format("is {}, not true or false", Quoted(*it)));
    return it->get<bool>();
  }
  Result<std::vector<float>> Numbers(const char* field) const {
    const Json* it = Find(field);
    if (it == nullptr || !it->is_array() || it->size() > static_cast<size_t>(kMaxWidth)) {
      return Bad(field, "is not a list of numbers");
    }
    std::vector<float> values;
    for (const Json& item : *it) {
      if (!item.is_number()) return Bad(field, "is not a list of numbers");
      values.push_back(static_cast<float>(item.get<double>()));
    }
    return values;
  }
  // A token id, or the first of a list: the tokenizer and generation_config.json know the others.
  Result<int> TokenId(const char* field) const {
    const Json* it = Find(field);
    if (it != nullptr && it->is_array() && !it->empty()) {
      const Json first = {{field, it->front()}};
      return static_cast<int>(TRY(Fields(first).Integer(field, kMaxVocab)).value_or(-1));
    }
    return static_cast<int>(TRY(Integer(field, kMaxVocab)).value_or(-1));
  }

 private:
  const Json& json_;
  std::string where_;
};

Result<const ArchitectureRow*> ArchitectureOf(const Fields& fields) {
  const Json* type = fields.Find("model_type");
  const Json* classes = fields.Find("architectures");
  if (type == nullptr && classes == nullptr) return &RowOf(Architecture::kLlama);
  if (type != nullptr && type->is_string()) {
    std::string name = type->get<std::string>();
    if (name == "gemma3") name = "gemma3_text";
    const ArchitectureRow* row = RowByHfType(name);
    if (row != nullptr) return row;
  } else if (classes != nullptr && classes->is_array() && !classes->empty()) {
    for (const ArchitectureRow& row : Architectures()) {
      if (classes->front() == std::string(row.hf_class)) return &row;
    }
  }
  return fields.NotOffered(
      type != nullptr ? "model_type" : "architectures",
      fmt::format("is {}; this program runs {}", Quoted(type != nullptr ? *type : *classes),
                  KnownArchitectures()));
}

Status RefuseWhatIsNotOffered(const Fields& fields, const ArchitectureRow& row) {
  if (TRY(fields.Boolean("mlp_bias", false)))
    return fields.NotOffered("mlp_bias", "is not offered");
  if (fields.Find("quantization_config") != nullptr) {
    return Error(Code::kUnimplemented, "config.json: quantization_config is not offered")
        .Hint("take the model's unquantized folder, and `weir model quantize` it");
  }
  if (row.bias == Bias::kNever && TRY(fields.Boolean("attention_bias", false))) {
    return fields.NotOffered("attention_bias", fmt::format("is not offered for {}", row.name));
  }
  const bool gelu = row.activation == Activation::kGeluTanh;
  const Json* activation = fields.Find("hidden_activation");
  if (activation == nullptr) activation = fields.Find("hidden_act");
  // Gemma's files say "gelu" in hidden_act and mean its tanh form.
  if (activation != nullptr && *activation != (gelu ? "gelu_pytorch_tanh" : "silu") &&
      !(gelu && *activation == "gelu")) {
    return fields.NotOffered("hidden_act",
                             fmt::format("is {}; {} has {}", Quoted(*activation), row.name,
                                         gelu ? "gelu_pytorch_tanh" : "silu"));
  }
  if (row.experts) {
    if (TRY(fields.Integer("decoder_sparse_step", kMaxLayers)).value_or(1) != 1) {
      return fields.NotOffered("decoder_sparse_step", "other than 1 is not offered");
    }
    const Json* dense = fields.Find("mlp_only_layers");
    if (dense != nullptr && !dense->empty()) {
      return fields.NotOffered("mlp_only_layers", "is not offered");
    }
  }
  return {};
}

Status ReadSliding(const Fields& fields, const ArchitectureRow& row, ModelConfig& c) {
  const int64_t window = TRY(fields.Integer("sliding_window", kMaxSequence))
  .value_or(row.sliding == Sliding::kPeriodic ? row.defaults.sliding_window : 0);
  switch (row.sliding) {
    case Sliding::kNever:
      if (window > 0) return fields.NotOffered("sliding_window", "is not offered for llama");
      break;
    case Sliding::kAll:
      c.sliding_window = static_cast<int>(window);
      break;
    case Sliding::kFromLayer:
      if (!TRY(fields.Boolean("use_sliding_window", false)) || window == 0) break;
      c.sliding_window = static_cast<int>(window);
      c.sliding_from =
          static_cast<int>(TRY(fields.Integer("max_window_layers", kMaxLayers)).value_or(28));
      break;
    case Sliding::kPeriodic:
      c.sliding_window = static_cast<int>(window);
      c.global_every = static_cast<int>(
          TRY(fields.Integer("sliding_window_pattern", kMaxLayers)).value_or(row.global_every));
      break;
  }
  const Json* types = fields.Find("layer_types");
  if (types == nullptr) return {};
  if (!types->is_array() || types->size() != static_cast<size_t>(c.layers)) {
    return fields.Bad("layer_types", fmt::format("is not a list of {} names", c.layers));
  }
  for (int layer = 0; layer < c.layers; ++layer) {
    const Json& type = (*types)[static_cast<size_t>(layer)];
    if (type != (c.IsSliding(layer) ? "sliding_attention" : "full_attention")) {
      return fields.NotOffered(
          "layer_types",
          fmt::format("has {} in place {}, where {} has another", Quoted(type), layer, row.name));
    }
  }
  return {};
}

Status ReadRopeScaling(const Json& json, const std::string& name, const Fields& top,
                       ModelConfig& c) {
  if (!json.is_object()) return top.Bad(name, "is not an object");
  const Fields fields(json, name + ".");
  c.rope_theta = TRY(fields.Number("rope_theta", c.rope_theta));
  const Json* kind = fields.Find("rope_type");
  if (kind == nullptr) kind = fields.Find("type");
  if (kind == nullptr || *kind == "default") return {};
  RopeScaling& s = c.rope;
  const std::optional<int64_t> outer =
      TRY(top.Integer("original_max_position_embeddings", kMaxSequence));
  const std::optional<int64_t> inner =
      TRY(fields.Integer("original_max_position_embeddings", kMaxSequence));
  s.original_seq = static_cast<int>(inner.value_or(outer.value_or(c.max_seq)));
  if (*kind == "longrope" || *kind == "su") {
    s.kind = RopeKind::kLongRope;
    s.short_factors = TRY(fields.Numbers("short_factor"));
    s.long_factors = TRY(fields.Numbers("long_factor"));
    s.attention_factor = TRY(fields.Number("attention_factor", 0.0f));
    return {};
  }
  if (fields.Find("factor") == nullptr) return fields.Bad("factor", "is missing");
  s.factor = TRY(fields.Number("factor", 1.0f));
  // Where files state the positions trained and mean those that the factor reaches.
  const auto extend = [&] {
    const double reached = static_cast<double>(s.factor) * s.original_seq;
    if (!(reached <= static_cast<double>(kMaxSequence))) return;  // refused by Validate
    c.max_seq = std::max(c.max_seq, static_cast<int>(reached));
  };
  if (*kind == "linear") {
    s.kind = RopeKind::kLinear;
    s.original_seq = 0;
  } else if (*kind == "dynamic") {
    s.kind = RopeKind::kDynamic;
    s.original_seq = c.max_seq;
    extend();
  } else if (*kind == "llama3") {
    s.kind = RopeKind::kLlama3;
    s.low_freq_factor = TRY(fields.Number("low_freq_factor", 1.0f));
    s.high_freq_factor = TRY(fields.Number("high_freq_factor", 4.0f));
  } else if (*kind == "yarn") {
    for (const char* field : {"mscale", "mscale_all_dim"}) {
      if (fields.Find(field) != nullptr) return fields.NotOffered(field, "is not offered");
    }
    s.kind = RopeKind::kYarn;
    s.beta_fast = TRY(fields.Number("beta_fast", 32.0f));
    s.beta_slow = TRY(fields.Number("beta_slow", 1.0f));
    s.attention_factor = TRY(fields.Number("attention_factor", 0.0f));
    s.truncate = TRY(fields.Boolean("truncate", true));
    extend();
  } else {
    return fields.NotOffered(
        "rope_type",
        fmt::format("is {}; default, linear, dynamic, yarn, llama3 and longrope are offered",
                    Quoted(*kind)));
  }
  return {};
}

Status ReadRope(const Fields& fields, const ArchitectureRow& row, ModelConfig& c) {
  c.rope_theta = TRY(fields.Number("rope_theta", row.defaults.rope_theta));
  if (row.defaults.rope_theta_local > 0) {
    c.rope_theta_local = TRY(fields.Number("rope_local_base_freq", row.defaults.rope_theta_local));
  }
  const float share = TRY(fields.Number("partial_rotary_factor", 1.0f));
  if (!(share > 0) || share > 1) return fields.Bad("partial_rotary_factor", "is not in (0, 1]");
  if (share < 1) {
    c.rope_dim = static_cast<int>(static_cast<float>(c.head_dim) * share);
    if (c.rope_dim < 2) return fields.Bad("partial_rotary_factor", "leaves nothing to turn");
    if (c.rope_dim == c.head_dim) c.rope_dim = 0;
  }
  for (const char* name : {"rope_parameters", "rope_scaling"}) {
    const Json* rope = fields.Find(name);
    if (rope == nullptr) continue;
    if (!rope->is_object()) return fields.Bad(name, "is not an object");
    const auto global = rope->find("full_attention"), local = rope->find("sliding_attention");
    if (global == rope->end()) {
      TRY(ReadRopeScaling(*rope, name, fields, c));
      break;
    }
    TRY(ReadRopeScaling(*global, fmt::format("{}.full_attention", name), fields, c));
    if (local != rope->end() && local->is_object() && row.defaults.rope_theta_local > 0) {
      c.rope_theta_local = TRY(Fields(*local, fmt::format("{}.sliding_attention.", name))
                                   .Number("rope_theta", c.rope_theta_local));
    }
    break;
  }
  return {};
}

Result<ModelConfig> Read(const Json& json) {
  const Fields fields(json);
  const ArchitectureRow& row = *TRY(ArchitectureOf(fields));
  const ArchitectureRow::Defaults& d = row.defaults;
  TRY(RefuseWhatIsNotOffered(fields, row));
  ModelConfig c;
  c.architecture = row.id;
  c.vocab_size = TRY(fields.Int("vocab_size", kMaxVocab, d.vocab_size));
  c.dim = TRY(fields.Int("hidden_size", kMaxWidth));
  c.layers = TRY(fields.Int("num_hidden_layers", kMaxLayers));
  c.heads = TRY(fields.Int("num_attention_heads", kMaxWidth, d.heads));
  c.kv_heads = static_cast<int>(TRY(fields.Integer("num_key_value_heads", kMaxWidth))
                                    .value_or(d.kv_heads > 0 ? d.kv_heads : c.heads));
  const int usual_head = c.heads > 0 ? c.dim / c.heads : 0;
  c.head_dim = static_cast<int>(TRY(fields.Integer("head_dim", kMaxWidth))
                                    .value_or(d.head_dim > 0 ? d.head_dim : usual_head));
  if (row.experts) {
    const bool own = fields.Find("moe_intermediate_size") != nullptr;
    c.ffn_dim = static_cast<int>(TRY(fields.Integer("intermediate_size", kMaxWidth)).value_or(0));
    c.expert_ffn_dim = own ? TRY(fields.Int("moe_intermediate_size", kMaxWidth)) : c.ffn_dim;
    const char* count = fields.Find("num_experts") != nullptr ? "num_experts" : "num_local_experts";
    c.experts = TRY(fields.Int(count, kMaxExperts));
    c.experts_used = TRY(fields.Int("num_experts_per_tok", kMaxExperts));
    // Mixtral's always sum to 1; its files do not say so.
    c.normalize_experts = TRY(fields.Boolean("norm_topk_prob", row.id == Architecture::kMixtral));
  } else {
    c.ffn_dim = TRY(fields.Int("intermediate_size", kMaxWidth));
  }
  c.max_seq = TRY(fields.Int("max_position_embeddings", kMaxSequence, d.max_seq));
  c.norm_eps = TRY(fields.Number("rms_norm_eps", d.norm_eps));
  c.tied_embeddings = TRY(fields.Boolean("tie_word_embeddings", d.tied));
  c.bos_id = TRY(fields.TokenId("bos_token_id"));
  c.eos_id = TRY(fields.TokenId("eos_token_id"));
  c.qkv_bias = row.bias == Bias::kQkv;
  if (row.bias == Bias::kByConfig) {
    c.qkv_bias = c.output_bias = TRY(fields.Boolean("attention_bias", false));
  }
  if (d.query_pre_attn_scalar > 0) {
    const float scalar =
        TRY(fields.Number("query_pre_attn_scalar", static_cast<float>(d.query_pre_attn_scalar)));
    if (!(scalar > 0)) return fields.Bad("query_pre_attn_scalar", "is not positive");
    c.query_scalar = scalar == static_cast<float>(c.head_dim) ? 0.0f : scalar;
  }
  if (row.id == Architecture::kGemma2 || row.id == Architecture::kGemma3) {
    const auto cap = [&](const char* field, float otherwise) -> Result<float> {
      return json.contains(field) && json[field].is_null() ? 0.0f
                                                           : TRY(fields.Number(field, otherwise));
    };
    c.attention_softcap = TRY(cap("attn_logit_softcapping", d.attention_softcap));
    c.logit_softcap = TRY(cap("final_logit_softcapping", d.logit_softcap));
  }
  TRY(ReadRope(fields, row, c));
  TRY(ReadSliding(fields, row, c));
  TRY(Validate(c));
  return c;
}

}  // namespace

Result<ModelConfig> ConfigFromHfJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Error(Code::kInvalidArgument, "config.json is not a JSON object");
  // A model that also sees images keeps its language model's shape in an object of its own.
  const auto nested = json.find("text_config");
  if (nested == json.end() || !nested->is_object()) return Read(json);
  Json merged = *nested;
  for (const char* field : {"bos_token_id", "eos_token_id", "tie_word_embeddings"}) {
    if (!merged.contains(field) && json.contains(field)) merged[field] = json[field];
  }
  return Read(merged);
}

namespace {

// The shortest decimal that reads back as the same float, not the 17 digits of its double.
Json ShortNumber(float x) { return Json::parse(fmt::format("{}", x)); }
Json ShortNumbers(const std::vector<float>& values) {
  Json list = Json::array();
  for (const float x : values) list.push_back(ShortNumber(x));
  return list;
}

nlohmann::ordered_json RopeJson(const RopeScaling& s) {
  nlohmann::ordered_json json;
  const auto attention = [&] {
    if (s.attention_factor > 0) json["attention_factor"] = ShortNumber(s.attention_factor);
  };
  if (s.kind != RopeKind::kLongRope) json["factor"] = ShortNumber(s.factor);
  if (s.kind != RopeKind::kLinear) json["original_max_position_embeddings"] = s.original_seq;
  switch (s.kind) {
    case RopeKind::kPlain:
      break;
    case RopeKind::kLinear:
      json["rope_type"] = "linear";
      break;
    case RopeKind::kDynamic:
      json["rope_type"] = "dynamic";
      break;
    case RopeKind::kYarn:
      json["rope_type"] = "yarn";
      json["beta_fast"] = ShortNumber(s.beta_fast);
      json["beta_slow"] = ShortNumber(s.beta_slow);
      json["truncate"] = s.truncate;
      attention();
      break;
    case RopeKind::kLlama3:
      json["rope_type"] = "llama3";
      json["low_freq_factor"] = ShortNumber(s.low_freq_factor);
      json["high_freq_factor"] = ShortNumber(s.high_freq_factor);
      break;
    case RopeKind::kLongRope:
      json["rope_type"] = "longrope";
      json["short_factor"] = ShortNumbers(s.short_factors);
      json["long_factor"] = ShortNumbers(s.long_factors);
      attention();
      break;
  }
  return json;
}

void WriteFamily(const ModelConfig& c, const ArchitectureRow& row, nlohmann::ordered_json& json) {
  const Architecture id = c.architecture;
  switch (row.sliding) {
    case Sliding::kNever:
      break;
    case Sliding::kAll:
      json["sliding_window"] = c.sliding_window > 0 ? Json(c.sliding_window) : Json();
      break;
    case Sliding::kFromLayer:
      json["use_sliding_window"] = c.sliding_window > 0;
      if (c.sliding_window > 0) {
        json["sliding_window"] = c.sliding_window;
        json["max_window_layers"] = c.sliding_from;
      }
      break;
    case Sliding::kPeriodic:
      json["sliding_window"] = c.sliding_window;
      json["sliding_window_pattern"] = c.global_every;
      break;
  }
  if (row.bias == Bias::kByConfig) json["attention_bias"] = c.qkv_bias;
  if (c.rope_theta_local > 0) json["rope_local_base_freq"] = ShortNumber(c.rope_theta_local);
  if (c.rope_dim > 0) {
    const auto head = static_cast<float>(c.head_dim);
    float share = static_cast<float>(c.rope_dim) / head;
    // Readers round down.
    if (static_cast<int>(head * share) != c.rope_dim) {
      share = (static_cast<float>(c.rope_dim) + 0.5f) / head;
    }
    json["partial_rotary_factor"] = ShortNumber(share);
  }
  if (row.defaults.query_pre_attn_scalar > 0) {
    json["query_pre_attn_scalar"] =
        c.query_scalar > 0 ? ShortNumber(c.query_scalar) : Json(c.head_dim);
  }
  if (id == Architecture::kGemma2 || id == Architecture::kGemma3) {
    const auto cap = [](float x) { return x > 0 ? ShortNumber(x) : Json(); };
    json["attn_logit_softcapping"] = cap(c.attention_softcap);
    json["final_logit_softcapping"] = cap(c.logit_softcap);
  }
  if (row.experts) {
    const bool mixtral = id == Architecture::kMixtral;
    json[mixtral ? "num_local_experts" : "num_experts"] = c.experts;
    json["num_experts_per_tok"] = c.experts_used;
    json["norm_topk_prob"] = c.normalize_experts;
    if (!mixtral || c.expert_ffn_dim != c.ffn_dim) {
      json["moe_intermediate_size"] = c.expert_ffn_dim;
    }
  }
}

}  // namespace

std::string ConfigToHfJson(const ModelConfig& c, std::string_view dtype) {
  const ArchitectureRow& row = RowOf(c.architecture);
  const bool gelu = row.activation == Activation::kGeluTanh;
  nlohmann::ordered_json json = {
      {"architectures", {row.hf_class}},
      {"model_type", row.name},
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.dim},
      {"intermediate_size", c.ffn_dim},
      {"num_hidden_layers", c.layers},
      {"num_attention_heads", c.heads},
      {"num_key_value_heads", c.kv_heads},
      {"head_dim", c.head_dim},
      // The dynamic rope counts from what stands here.
      {"max_position_embeddings",
       c.rope.kind == RopeKind::kDynamic ? c.rope.original_seq : c.max_seq},
      {"rope_theta", ShortNumber(c.rope_theta)},
      {"rms_norm_eps", ShortNumber(c.norm_eps)},
      {gelu ? "hidden_activation" : "hidden_act", gelu ? "gelu_pytorch_tanh" : "silu"},
      {"tie_word_embeddings", c.tied_embeddings},
      {"torch_dtype", dtype},
  };
  if (c.architecture == Architecture::kLlama) json["mlp_bias"] = false;
  WriteFamily(c, row, json);
  if (c.rope.kind != RopeKind::kPlain) json["rope_scaling"] = RopeJson(c.rope);
  if (c.bos_id >= 0) json["bos_token_id"] = c.bos_id;
  if (c.eos_id >= 0) json["eos_token_id"] = c.eos_id;
  return json.dump(2) + "\n";
}

}  // namespace weir::model
