// The shapes of the OpenAI HTTP API that Weir speaks: completions, chat completions, model list,
// errors; whole and as server-sent events. Used by the replica (engine/serve) and by the gateway.
//
// Requests are checked here, once, in full: an ApiError names the parameter that is wrong and what
// was expected. Fields that Weir does not know are ignored, as OpenAI's servers do; fields that it
// knows and does not offer (n > 1, tools, ...) are refused when they ask for something.
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

enum class Api : uint8_t { kCompletion, kChat };

struct ChatMessage {
  std::string role;
  std::string content;  // parts of type "text" are joined
};

struct CompletionRequest {
  Api api = Api::kCompletion;
  std::string model;                   // may be empty: the server's only model
  std::string prompt;                  // completions, text
  std::vector<int32_t> prompt_tokens;  // completions, token ids; then `prompt` is empty
  std::vector<ChatMessage> messages;   // chat
  std::optional<int> max_tokens;       // also max_completion_tokens
  float temperature = 1.0f;            // 0..2; 0 is greedy
  float top_p = 1.0f;                  // (0, 1]
  int top_k = 0;                       // 0: all (an extension that vLLM and llama.cpp share)
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;  // at most 4
  std::optional<int> logprobs;    // number of alternatives per token, 0..20; absent: none
  bool echo = false;              // completions: repeat the prompt
  bool ignore_eos = false;        // extension, for load tests
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
};

inline constexpr int kMaxStops = 4;
inline constexpr int kMaxLogprobs = 20;

// nullopt and a filled `out`, or what is wrong.
std::optional<ApiError> ParseCompletionRequest(Api api, std::string_view body,
                                               CompletionRequest& out);
// Only "model" and "stream", for routing without a full check. nullopt: not a JSON object.
struct RequestRoute {
  std::string model;
  bool stream = false;
};
std::optional<RequestRoute> PeekRoute(std::string_view body);

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
};

struct TokenLogprob {
  std::string token;  // repaired to valid UTF-8
  float logprob = 0;
  std::vector<std::pair<std::string, float>> top;
};

// What every answer of one request shares.
struct AnswerHead {
  Api api = Api::kCompletion;
  std::string id;  // "cmpl-..." or "chatcmpl-..."
  int64_t created_s = 0;
  std::string model;
};

// The whole answer. finish_reason: "stop" or "length".
std::string CompletionBody(const AnswerHead& head, std::string_view text,
                           std::string_view finish_reason, const Usage& usage,
                           const std::vector<TokenLogprob>* logprobs = nullptr);

// One event of a stream, already framed as "data: {...}\n\n".
struct Chunk {
  std::string_view text;
  bool first = false;              // chat: the delta carries the role
  std::string_view finish_reason;  // empty: null
  const std::vector<TokenLogprob>* logprobs = nullptr;
  bool null_usage = false;  // include_usage asks for "usage": null on every chunk
};
std::string ChunkEvent(const AnswerHead& head, const Chunk& chunk);
std::string UsageEvent(const AnswerHead& head, const Usage& usage);
std::string ErrorEvent(const ApiError& error);
inline constexpr std::string_view kDoneEvent = "data: [DONE]\n\n";

struct ModelInfo {
  std::string id;
  int64_t created_s = 0;
  std::string owned_by = "weir";
  std::optional<int64_t> context_length;  // extension: "max_model_len"
};
std::string ModelListBody(const std::vector<ModelInfo>& models);
std::string ModelBody(const ModelInfo& model);

}  // namespace weir::wire
