#include "engine/model/config.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

namespace weir::model {
namespace {

using Json = nlohmann::json;

// Bounds on single fields. Products of any three of the first ones with 8 stay below 2^63.
constexpr int64_t kMaxVocab = 1 << 21;
constexpr int64_t kMaxWidth = 1 << 18;
constexpr int64_t kMaxLayers = 1 << 12;
constexpr int64_t kMaxSequence = 1 << 24;

Error BadField(std::string_view field, std::string_view what) {
  return Error(Code::kInvalidArgument, fmt::format("config.json: {} {}", field, what));
}

Result<std::optional<int64_t>> Integer(const Json& json, const char* field, int64_t max) {
  const auto it = json.find(field);
  if (it == json.end() || it->is_null()) return std::optional<int64_t>();
  if (!it->is_number_integer() || (it->is_number_unsigned() && it->get<uint64_t>() > INT64_MAX)) {
    return BadField(
        field, fmt::format("is {}, not an integer",
                           it->dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60)));
  }
  const int64_t value = it->get<int64_t>();
  if (value < 0 || value > max) {
    return BadField(field, fmt::format("is {}; this program takes 0 to {}", value, max));
  }
  return std::optional<int64_t>(value);
}

Result<int> Required(const Json& json, const char* field, int64_t max) {
  const std::optional<int64_t> value = TRY(Integer(json, field, max));
  if (!value) return BadField(field, "is missing");
  return static_cast<int>(*value);
}

Result<double> Number(const Json& json, const char* field, double otherwise) {
  const auto it = json.find(field);
  if (it == json.end() || it->is_null()) return otherwise;
  if (!it->is_number()) return BadField(field, "is not a number");
  return it->get<double>();
}

Result<bool> Boolean(const Json& json, const char* field, bool otherwise) {
  const auto it = json.find(field);
  if (it == json.end() || it->is_null()) return otherwise;
  if (!it->is_boolean()) return BadField(field, "is not true or false");
  return it->get<bool>();
}

// eos_token_id may be a list; the tokenizer knows the others by name.
Result<int> TokenId(const Json& json, const char* field) {
  const auto it = json.find(field);
  if (it != json.end() && it->is_array() && !it->empty()) {
    return TokenId(Json{{field, it->front()}}, field);
  }
  return static_cast<int>(TRY(Integer(json, field, kMaxVocab)).value_or(-1));
}

Status RefuseWhatIsNotOffered(const Json& json) {
  const auto type = json.find("model_type");
  if (type != json.end() && *type != "llama" && *type != "mistral") {
    return Error(
        Code::kUnimplemented,
        fmt::format("config.json: model_type is {}; this program runs llama",
                    type->dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60)));
  }
  for (const char* field : {"attention_bias", "mlp_bias"}) {
    if (TRY(Boolean(json, field, false))) {
      return Error(Code::kUnimplemented, fmt::format("config.json: {} is not offered", field));
    }
  }
  const auto act = json.find("hidden_act");
  if (act != json.end() && *act != "silu") {
    return Error(Code::kUnimplemented, "config.json: hidden_act is not silu, the only one offered");
  }
  const auto window = json.find("sliding_window");
  if (window != json.end() && !window->is_null()) {
    return Error(Code::kUnimplemented, "config.json: sliding_window is not offered");
  }
  for (const char* field : {"rope_scaling", "rope_parameters"}) {
    const auto rope = json.find(field);
    if (rope == json.end() || rope->is_null()) continue;
    if (!rope->is_object()) return BadField(field, "is not an object");
    for (const char* kind : {"rope_type", "type"}) {
      const auto it = rope->find(kind);
      if (it != rope->end() && *it != "default") {
        return Error(Code::kUnimplemented,
                     fmt::format("config.json: {} other than \"default\" is not offered", field));
      }
    }
  }
  return {};
}

}  // namespace

Status Validate(const ModelConfig& c) {
  const auto bad = [](std::string_view field, int64_t value, std::string_view need) -> Error {
    return Error(Code::kInvalidArgument,
                 fmt::format("model shape: {} is {}, but {}", field, value, need));
  };
  const struct {
    std::string_view name;
    int64_t value, max;
  } sizes[] = {{"vocab_size", c.vocab_size, kMaxVocab}, {"dim", c.dim, kMaxWidth},
               {"layers", c.layers, kMaxLayers},        {"heads", c.heads, kMaxWidth},
               {"kv_heads", c.kv_heads, kMaxWidth},     {"head_dim", c.head_dim, kMaxWidth},
               {"ffn_dim", c.ffn_dim, kMaxWidth},       {"max_seq", c.max_seq, kMaxSequence}};
  for (const auto& size : sizes) {
    if (size.value < 1 || size.value > size.max) {
      return bad(size.name, size.value, fmt::format("must be 1 to {}", size.max));
    }
  }
  if (c.heads % c.kv_heads != 0) {
    return bad("kv_heads", c.kv_heads, fmt::format("must divide heads, which is {}", c.heads));
  }
  if (c.head_dim % 2 != 0) return bad("head_dim", c.head_dim, "must be even");
  if (static_cast<int64_t>(c.heads) * c.head_dim > kMaxWidth) {
    return bad("heads x head_dim", static_cast<int64_t>(c.heads) * c.head_dim,
               fmt::format("must be at most {}", kMaxWidth));
  }
  if (!(c.rope_theta > 0) || !std::isfinite(c.rope_theta)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("model shape: rope_theta is {}, but must be positive", c.rope_theta));
  }
  if (!(c.norm_eps >= 0) || !(c.norm_eps < 1)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("model shape: norm_eps is {}, but must be in [0, 1)", c.norm_eps));
  }
  if (c.bos_id < -1 || c.bos_id >= c.vocab_size) return bad("bos_id", c.bos_id, "is no token");
  if (c.eos_id < -1 || c.eos_id >= c.vocab_size) return bad("eos_id", c.eos_id, "is no token");
  return {};
}

int64_t ParameterCount(const ModelConfig& config) {
  int64_t total = 0;
  for (const TensorSpec& tensor : TensorSpecs(config)) {
    int64_t elements = 1;
    for (const int64_t n : tensor.shape) elements *= n;
    total += elements;
  }
  return total;
}

Result<ModelConfig> ConfigFromHfJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Error(Code::kInvalidArgument, "config.json is not a JSON object");
  TRY(RefuseWhatIsNotOffered(json));
  ModelConfig c;
  c.vocab_size = TRY(Required(json, "vocab_size", kMaxVocab));
  c.dim = TRY(Required(json, "hidden_size", kMaxWidth));
  c.layers = TRY(Required(json, "num_hidden_layers", kMaxLayers));
  c.heads = TRY(Required(json, "num_attention_heads", kMaxWidth));
  c.ffn_dim = TRY(Required(json, "intermediate_size", kMaxWidth));
  c.kv_heads =
      static_cast<int>(TRY(Integer(json, "num_key_value_heads", kMaxWidth)).value_or(c.heads));
  c.head_dim = static_cast<int>(
      TRY(Integer(json, "head_dim", kMaxWidth)).value_or(c.heads > 0 ? c.dim / c.heads : 0));
  c.max_seq =
      static_cast<int>(TRY(Integer(json, "max_position_embeddings", kMaxSequence)).value_or(2048));
  double theta = TRY(Number(json, "rope_theta", 10000.0));
  if (const auto rope = json.find("rope_parameters"); rope != json.end() && rope->is_object()) {
    theta = TRY(Number(*rope, "rope_theta", theta));
  }
  c.rope_theta = static_cast<float>(theta);
  c.norm_eps = static_cast<float>(TRY(Number(json, "rms_norm_eps", 1e-6)));
  c.tied_embeddings = TRY(Boolean(json, "tie_word_embeddings", false));
  c.bos_id = TRY(TokenId(json, "bos_token_id"));
  c.eos_id = TRY(TokenId(json, "eos_token_id"));
  TRY(Validate(c));
  return c;
}

std::string ConfigToHfJson(const ModelConfig& c, std::string_view dtype) {
  // The shortest decimal that reads back as the same float, not the 17 digits of its double.
  const auto number = [](float x) { return Json::parse(fmt::format("{}", x)); };
  nlohmann::ordered_json json = {
      {"architectures", {"LlamaForCausalLM"}},
      {"model_type", "llama"},
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.dim},
      {"intermediate_size", c.ffn_dim},
      {"num_hidden_layers", c.layers},
      {"num_attention_heads", c.heads},
      {"num_key_value_heads", c.kv_heads},
      {"head_dim", c.head_dim},
      {"max_position_embeddings", c.max_seq},
      {"rope_theta", number(c.rope_theta)},
      {"rms_norm_eps", number(c.norm_eps)},
      {"hidden_act", "silu"},
      {"attention_bias", false},
      {"mlp_bias", false},
      {"tie_word_embeddings", c.tied_embeddings},
      {"torch_dtype", dtype},
  };
  if (c.bos_id >= 0) json["bos_token_id"] = c.bos_id;
  if (c.eos_id >= 0) json["eos_token_id"] = c.eos_id;
  return json.dump(2) + "\n";
}

std::vector<TensorSpec> TensorSpecs(const ModelConfig& c) {
  std::vector<TensorSpec> specs;
  specs.push_back({"model.embed_tokens.weight", {c.vocab_size, c.dim}});
  for (int layer = 0; layer < c.layers; ++layer) {
    const auto add = [&](std::string_view name, std::vector<int64_t> shape) {
      specs.push_back({fmt::format("model.layers.{}.{}.weight", layer, name), std::move(shape)});
    };
    add("input_layernorm", {c.dim});
    add("self_attn.q_proj", {c.q_dim(), c.dim});
    add("self_attn.k_proj", {c.kv_dim(), c.dim});
    add("self_attn.v_proj", {c.kv_dim(), c.dim});
    add("self_attn.o_proj", {c.dim, c.q_dim()});
    add("post_attention_layernorm", {c.dim});
    add("mlp.gate_proj", {c.ffn_dim, c.dim});
    add("mlp.up_proj", {c.ffn_dim, c.dim});
    add("mlp.down_proj", {c.dim, c.ffn_dim});
  }
  specs.push_back({"model.norm.weight", {c.dim}});
  if (!c.tied_embeddings) specs.push_back({"lm_head.weight", {c.vocab_size, c.dim}});
  return specs;
}

}  // namespace weir::model
