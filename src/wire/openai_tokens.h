// POST /tokenize and /detokenize, as vLLM and llama.cpp have them.
//   /tokenize    {"prompt": TEXT} or {"messages": [...], "tools": [...]} (vLLM), {"content": TEXT}
//                (llama.cpp) -> {"count", "max_model_len", "tokens": [ids]}, with
//                "return_token_strs" or "with_pieces" also "token_strs"
//   /detokenize  {"tokens": [ids]} -> {"prompt": TEXT, "content": TEXT}: each client finds its own
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/openai_chat.h"

namespace weir::wire {

struct TokenizeRequest {
  std::string model;
  std::string text;
  std::optional<ChatRequest> chat;  // messages were given instead of text
  bool add_special = true;          // the beginning-of-text token; llama.cpp's default is false
  bool parse_special = true;        // text of control tokens becomes these tokens
  bool pieces = false;
};
std::optional<ApiError> ParseTokenizeRequest(std::string_view body, TokenizeRequest& out);
// `pieces`: the bytes of each token, or empty.
std::string TokenizeBody(const std::vector<int32_t>& tokens, const std::vector<std::string>& pieces,
                         int64_t max_model_len);

struct DetokenizeRequest {
  std::string model;
  std::vector<int32_t> tokens;
};
std::optional<ApiError> ParseDetokenizeRequest(std::string_view body, DetokenizeRequest& out);
std::string DetokenizeBody(std::string_view text);

}  // namespace weir::wire
