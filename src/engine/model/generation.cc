#include "engine/model/generation.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "engine/model/config_limits.h"

namespace weir::model {
namespace {

using Json = nlohmann::json;
constexpr size_t kMaxEos = 64;

Error Bad(std::string_view field, std::string_view what) {
  return Error(Code::kInvalidArgument, fmt::format("generation_config.json: {} {}", field, what));
}

Result<std::optional<float>> Number(const Json& json, const char* field, double max) {
  const auto it = json.find(field);
  if (it == json.end() || it->is_null()) return std::optional<float>();
  if (!it->is_number()) return Bad(field, "is not a number");
  const double value = it->get<double>();
  if (!(value >= 0) || value > max) return Bad(field, fmt::format("is not in 0 to {}", max));
  return std::optional<float>(static_cast<float>(value));
}

Result<int32_t> Token(const Json& json) {
  if (!json.is_number_integer()) return Bad("eos_token_id", "is not a token's number");
  const auto id = json.get<int64_t>();
  if (id < 0 || id > kMaxVocab) return Bad("eos_token_id", fmt::format("is {}", id));
  return static_cast<int32_t>(id);
}

}  // namespace

Result<GenerationDefaults> GenerationFromJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return Error(Code::kInvalidArgument, "generation_config.json is not a JSON object");
  }
  GenerationDefaults g;
  g.temperature = TRY(Number(json, "temperature", 100));
  g.top_p = TRY(Number(json, "top_p", 1));
  g.min_p = TRY(Number(json, "min_p", 1));
  g.repetition_penalty = TRY(Number(json, "repetition_penalty", 100));
  if (const auto top_k = TRY(Number(json, "top_k", kMaxVocab))) {
    g.top_k = static_cast<int>(*top_k);
  }
  if (const auto it = json.find("do_sample"); it != json.end() && *it == false)
    g.temperature = 0.0f;
  const auto eos = json.find("eos_token_id");
  if (eos == json.end() || eos->is_null()) return g;
  if (!eos->is_array()) {
    g.eos_ids.push_back(TRY(Token(*eos)));
    return g;
  }
  if (eos->size() > kMaxEos) return Bad("eos_token_id", fmt::format("has {} tokens", eos->size()));
  for (const Json& id : *eos) g.eos_ids.push_back(TRY(Token(id)));
  return g;
}

}  // namespace weir::model
