#include "wire/openai_tokens.h"

#include "wire/openai_json.h"

namespace weir::wire {

std::optional<ApiError> ParseTokenizeRequest(std::string_view body, TokenizeRequest& out) {
  out = {};
  Json json;
  if (auto error = ParseObject(body, json)) return error;
  Reader reader(json);
  out.model = reader.String("model");
  const bool llama = reader.Get("content") != nullptr;
  out.pieces = reader.Boolean("return_token_strs", false) || reader.Boolean("with_pieces", false);
  out.add_special =
      reader.Boolean("add_special_tokens", reader.Boolean("add_special", /*otherwise=*/!llama));
  out.parse_special = reader.Boolean("parse_special", true);
  if (reader.Get("messages") != nullptr) {
    out.chat.emplace();
    if (auto error = ParseChatRequest(body, *out.chat)) return error;
  } else if (reader.Get("prompt") == nullptr && !llama) {
    reader.Bad("prompt", "is missing; give 'prompt', 'content' or 'messages'");
  } else {
    out.text = reader.String(llama ? "content" : "prompt");
  }
  return reader.error();
}

std::string TokenizeBody(const std::vector<int32_t>& tokens, const std::vector<std::string>& pieces,
                         int64_t max_model_len) {
  std::string strings;
  for (const std::string& piece : pieces) {
    strings += strings.empty() ? "" : ",";
    Quote(strings, piece);
  }
  return fmt::format(R"({{"count":{},"max_model_len":{},"tokens":[{}]{}}})", tokens.size(),
                     max_model_len, fmt::join(tokens, ","),
                     pieces.empty() ? "" : ",\"token_strs\":[" + strings + "]");
}

std::optional<ApiError> ParseDetokenizeRequest(std::string_view body, DetokenizeRequest& out) {
  out = {};
  Json json;
  if (auto error = ParseObject(body, json)) return error;
  Reader reader(json);
  out.model = reader.String("model");
  const Json* tokens = reader.Get("tokens");
  std::optional<std::vector<int32_t>> ids;
  if (tokens != nullptr && tokens->is_array()) ids = TokenIds(*tokens);
  if (!ids) {
    reader.Bad("tokens", tokens == nullptr ? "is missing" : "must be a list of token ids");
  } else {
    out.tokens = *std::move(ids);
  }
  return reader.error();
}

std::string DetokenizeBody(std::string_view text) {
  const std::string quoted = Quoted(text);
  return fmt::format(R"({{"prompt":{0},"content":{0}}})", quoted);
}

}  // namespace weir::wire
