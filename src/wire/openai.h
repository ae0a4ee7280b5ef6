// What all of the OpenAI-compatible API shares: errors, usage, logprobs, the list of models. The
// endpoints have a file each:
//   openai_request.h      fields that every generating endpoint takes (sampling, stop, constraints)
//   openai_completion.h   /v1/completions
//   openai_chat.h         /v1/chat/completions
//   openai_responses.h    /v1/responses
//   openai_embeddings.h   /v1/embeddings
//   openai_tokens.h       /tokenize, /detokenize
//
// Requests are checked once, in full, where they are parsed: an ApiError names the parameter that
// is wrong and what was expected. Fields that nobody here knows are ignored; fields that are known
// and not offered are refused when they ask for something. docs/serving.md has the whole table.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weir::wire {

// {"error": {"message", "type", "param", "code"}} and the status it travels with.
struct ApiError {
  int status = 400;
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;                 // empty: null
  std::string code;                  // empty: null
  std::optional<int> retry_after_s;  // the Retry-After header, for 429 and 503
};
std::string ErrorBody(const ApiError& error);
ApiError FromError(const Error& error);  // message and hint; status, type and code by the table
ApiError ModelNotFound(std::string_view model);
ApiError ContextLengthExceeded(int64_t prompt_tokens, int64_t max_tokens, int64_t context);
// Of a request that never became one (malformed HTTP, too slow, too large) or found no route: the
// status says which, `detail` what. 404, 405, 408, 413, 431 have types and codes of their own.
ApiError TransportError(int status, std::string_view detail);

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;     // of the prompt: their keys and values were there already
  int64_t reasoning_tokens = 0;  // of the answer
};

struct TokenLogprob {
  std::string token;  // its bytes; written as UTF-8 with U+FFFD for what is none
  float logprob = 0;
  std::vector<std::pair<std::string, float>> top;
};

// Events of a stream, framed as "data: {...}\n\n".
std::string ErrorEvent(const ApiError& error);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

struct ModelInfo {
  std::string id;
  int64_t created_s = 0;
  std::string owned_by = "weir";
  std::optional<int64_t> context_length;  // extension: "max_model_len"
  std::string parent;                     // of an adapter: the model that it changes ("parent")
};
std::string ModelListBody(const std::vector<ModelInfo>& models);
std::string ModelBody(const ModelInfo& model);

// Only "model" and "stream", for routing without a full check. nullopt: not a JSON object.
struct RequestRoute {
  std::string model;
  bool stream = false;
};
std::optional<RequestRoute> PeekRoute(std::string_view body);

}  // namespace weir::wire
