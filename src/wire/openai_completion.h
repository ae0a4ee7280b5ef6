// POST /v1/completions: text or token ids in, text out, whole or as a stream of events.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/openai_request.h"

namespace weir::wire {

inline constexpr int kMaxPrompts = kMaxChoices;

struct Prompt {
  std::string text;             // or, where it is not empty:
  std::vector<int32_t> tokens;  // ids, taken as they are
};

struct CompletionRequest : Generation {
  std::vector<Prompt> prompts;     // at least one
  bool echo = false;               // the prompt before the answer; with logprobs, the prompt's too
  bool add_special_tokens = true;  // of text prompts: the model's beginning-of-text token
};
// max_tokens may be 0 with echo: the prompt's logprobs and nothing more.
// nullopt and a filled `out`, or what is wrong. `defaults`: what sampling fields have that are left
// out.
std::optional<ApiError> ParseCompletionRequest(std::string_view body, CompletionRequest& out,
                                               const Generation& defaults = {});

// What the answers to one request share.
struct AnswerHead {
  std::string id;  // "cmpl-...", "chatcmpl-..."
  int64_t created_s = 0;
  std::string model;
};

// Logprobs in the form of /v1/completions. `text_offset` counts characters of the text that the
// answer has so far, its echo included; the first token of an echo has neither logprob nor top.
struct CompletionLogprobs {
  std::span<const TokenLogprob> tokens;
  int64_t text_offset = 0;
  bool first_is_unknown = false;
};

struct CompletionChoice {
  int index = 0;
  std::string_view text;
  std::string_view finish_reason;  // "stop" or "length"; empty: null
  std::optional<CompletionLogprobs> logprobs;
};
std::string CompletionBody(const AnswerHead& head, std::span<const CompletionChoice> choices,
                           const Usage& usage);
// One event. `null_usage`: include_usage asks for "usage": null on every chunk but the last.
std::string CompletionEvent(const AnswerHead& head, const CompletionChoice& choice,
                            bool null_usage);
std::string CompletionUsageEvent(const AnswerHead& head, const Usage& usage);

int64_t CountCharacters(std::string_view utf8);

}  // namespace weir::wire
