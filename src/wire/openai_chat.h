// POST /v1/chat/completions: messages and tools in, a message or tool calls out.
//
// Messages and tools are checked and kept as JSON in the order of the request: the model's own
// template renders them (engine/template), and a schema's order is the answer's.
// Threads: pure functions; the JSON is shared and immutable.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/openai_completion.h"
#include "wire/openai_request.h"

namespace weir::wire {

inline constexpr int kMaxTools = 128;
inline constexpr int kMaxMessages = 8192;

using JsonPtr = std::shared_ptr<const nlohmann::ordered_json>;

struct ToolChoice {
  enum class Kind : uint8_t { kAuto, kNone, kRequired, kNamed };
  Kind kind = Kind::kAuto;
  std::string name;  // kNamed
};

struct ChatRequest : Generation {
  JsonPtr messages;                     // a list with at least one, each with a known "role"
  JsonPtr tools;                        // a list, maybe empty: {"type": "function", "function": ..}
  std::vector<std::string> tool_names;  // of `tools`, unique
  ToolChoice tool_choice;               // kNone without tools
  bool parallel_tool_calls = true;
  JsonPtr template_kwargs;              // an object: chat_template_kwargs, and reasoning_effort
  bool add_generation_prompt = true;    // begin the assistant's turn
  bool continue_final_message = false;  // the last message is the beginning of the answer
  std::optional<bool> split_reasoning;  // reasoning_format; absent: the server's choice
};
std::optional<ApiError> ParseChatRequest(std::string_view body, ChatRequest& out,
                                         const Generation& defaults = {});

struct ToolCallPart {
  int index = 0;
  std::string id, name;   // whole answers, and the first delta of a call
  std::string arguments;  // JSON text, or the next part of it
};

// One choice of a whole answer, or its delta in a stream.
struct ChatChoice {
  int index = 0;
  std::string_view content;
  std::string_view reasoning;  // "reasoning_content"
  std::span<const ToolCallPart> tool_calls;
  std::string_view finish_reason;  // "stop", "length" or "tool_calls"; empty: null
  std::optional<std::span<const TokenLogprob>> logprobs;
  bool first = false;  // streams: the delta carries the role
};
std::string ChatBody(const AnswerHead& head, std::span<const ChatChoice> choices,
                     const Usage& usage);
std::string ChatEvent(const AnswerHead& head, const ChatChoice& choice, bool null_usage);
std::string ChatUsageEvent(const AnswerHead& head, const Usage& usage);

}  // namespace weir::wire
