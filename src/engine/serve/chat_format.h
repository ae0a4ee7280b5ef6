// A chat as the text that the model saw chats as in its training: its own template, or, for models
// that bring none, a line for each message and the assistant's turn to speak:
//     system: You are brief.
//     user: Where is the dam?
//     assistant:
// where an answer ends as the model begins a user's line (stop()).
//
// Tools are shown by the template where it knows tools, otherwise by a system message of ours.
// Threads: immutable after Create; Render may run in parallel.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model/tokenizer.h"
#include "engine/template/chat_template.h"
#include "engine/template/tool_calls.h"
#include "wire/openai_chat.h"

namespace weir::serve {

inline constexpr std::string_view kThinkOpen = "<think>", kThinkClose = "</think>";

class ChatFormat {
 public:
  // `source`: the template; empty: none. The tokenizer outlives this. An error names the place in
  // the template.
  static Result<ChatFormat> Create(const model::Tokenizer& tokenizer, const std::string& source);

  // `now_s`: seconds since 1970, for templates that tell the date. Errors are the request's fault:
  // what the template itself refuses (a system message where it knows none).
  Result<std::string> Render(const wire::ChatRequest& request, int64_t now_s) const;
  // The rendered text as the model's ids: control tokens that the template wrote become themselves.
  std::vector<int32_t> Encode(const std::string& rendered) const;

  templates::ToolFormat tool_format() const { return tool_format_; }
  bool has_template() const { return template_.has_value(); }
  // Stop string to be added to a request's own; empty: none.
  std::string_view stop() const { return template_ ? "" : "\nuser:"; }
  // Models that think aloud before they answer, between the two marks above.
  bool thinks() const { return thinks_; }
  // Was the thinking begun by the prompt itself?
  static bool BeginsThinking(std::string_view rendered);
  // Control tokens that the answer's text must show, for tool calls and thinking to be seen.
  std::vector<int32_t> Shown(bool tools) const;

 private:
  explicit ChatFormat(const model::Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  std::string RenderPlainly(const wire::ChatRequest& request,
                            const nlohmann::ordered_json& messages) const;

  const model::Tokenizer* tokenizer_;
  std::optional<templates::ChatTemplate> template_;
  templates::ToolFormat tool_format_ = templates::ToolFormat::kPlain;
  bool knows_tools_ = false, thinks_ = false;
};

}  // namespace weir::serve
