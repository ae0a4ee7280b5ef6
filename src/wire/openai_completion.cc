#include "wire/openai_completion.h"

#include <algorithm>

#include "wire/openai_fields.h"

namespace weir::wire {
namespace {

constexpr std::string_view kPromptForms =
    "must be a string, a list of strings, a list of token ids, or a list of such lists";

void ReadPrompts(Reader& reader, CompletionRequest& out) {
  const Json* prompt = reader.Get("prompt");
  if (prompt == nullptr) return reader.Bad("prompt", "is missing");
  const auto add = [&](const Json& one) {
    if (one.is_string()) {
      out.prompts.push_back({one.get<std::string>(), {}});
      return true;
    }
    std::optional<std::vector<int32_t>> ids;
    if (one.is_array() && !one.empty()) ids = TokenIds(one);
    if (ids) out.prompts.push_back({"", *std::move(ids)});
    return ids.has_value();
  };
  const bool many = prompt->is_array() && !prompt->empty() && !prompt->front().is_number();
  if (!many) {
    if (!add(*prompt)) reader.Bad("prompt", kPromptForms);
    return;
  }
  if (prompt->size() > kMaxPrompts) {
    return reader.Bad("prompt", fmt::format("holds {} prompts, at most {} are taken",
                                            prompt->size(), kMaxPrompts));
  }
  for (const Json& one : *prompt) {
    if (!add(one)) return reader.Bad("prompt", kPromptForms);
  }
}

std::string LogprobsJson(const std::optional<CompletionLogprobs>& logprobs) {
  if (!logprobs) return "null";
  std::string tokens, values, tops, offsets;
  int64_t offset = logprobs->text_offset;
  for (size_t i = 0; i < logprobs->tokens.size(); ++i) {
    const TokenLogprob& token = logprobs->tokens[i];
    const char* comma = i == 0 ? "" : ",";
    const bool unknown = i == 0 && logprobs->first_is_unknown;
    const std::string name = Quoted(token.token);
    tokens += comma + name;
    values += comma + (unknown ? "null" : LogprobText(token.logprob));
    offsets += comma + std::to_string(offset);
    offset += CountCharacters(token.token);
    if (unknown) {
      tops += comma + std::string("null");
      continue;
    }
    std::string top;
    std::vector<std::string> names;  // two tokens may be written alike: the likelier one stays
    for (const auto& [text, logprob] : token.top) {
      std::string quoted = Quoted(text);
      if (std::find(names.begin(), names.end(), quoted) != names.end()) continue;
      top += fmt::format("{}{}:{}", top.empty() ? "" : ",", quoted, LogprobText(logprob));
      names.push_back(std::move(quoted));
    }
    tops += fmt::format("{}{{{}}}", comma, top);
  }
  return fmt::format(
      R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})", tokens,
      values, tops, offsets);
}

std::string HeadJson(const AnswerHead& head) {
  return fmt::format(R"("id":{},"object":"text_completion","created":{},"model":{})",
                     Quoted(head.id), head.created_s, Quoted(head.model));
}

std::string ChoiceJson(const CompletionChoice& choice) {
  return fmt::format(R"({{"index":{},"text":{},"logprobs":{},"finish_reason":{}}})", choice.index,
                     Quoted(choice.text), LogprobsJson(choice.logprobs),
                     QuotedOrNull(choice.finish_reason));
}

}  // namespace

std::optional<ApiError> ParseCompletionRequest(std::string_view body, CompletionRequest& out,
                                               const Generation& defaults) {
  out = {};
  static_cast<Generation&>(out) = defaults;
  Json json;
  if (auto error = ParseObject(body, json)) return error;
  Reader reader(json);
  ReadPrompts(reader, out);
  ReadGeneration(reader, out);
  ReadResponseFormat(reader, "response_format", /*flat=*/false, out);
  out.echo = reader.Boolean("echo", false);
  out.add_special_tokens = reader.Boolean("add_special_tokens", true);
  if (const auto n = reader.Integer("max_tokens", out.echo ? 0 : 1, kMaxMaxTokens)) {
    out.max_tokens = static_cast<int>(*n);
  }
  if (const auto n = reader.Integer("logprobs", 0, kMaxLogprobs)) {
    out.logprobs = static_cast<int>(*n);
  }
  if (out.prompts.size() * static_cast<size_t>(out.n) > kMaxChoices) {
    reader.Bad("n", fmt::format("times the number of prompts is {}, at most {} answers are given",
                                out.prompts.size() * static_cast<size_t>(out.n), kMaxChoices));
  }
  reader.Unoffered("suffix", "",
                   "put the text on both sides into 'prompt' as the model expects it");
  reader.Unoffered("prompt_logprobs", Json(), "use 'echo' with 'logprobs'");
  return reader.error();
}

std::string CompletionBody(const AnswerHead& head, std::span<const CompletionChoice> choices,
                           const Usage& usage) {
  std::string list;
  for (const CompletionChoice& choice : choices) {
    if (!list.empty()) list += ',';
    list += ChoiceJson(choice);
  }
  return fmt::format(R"({{{},"choices":[{}],"usage":{}}})", HeadJson(head), list, UsageJson(usage));
}

std::string CompletionEvent(const AnswerHead& head, const CompletionChoice& choice,
                            bool null_usage) {
  return fmt::format("data: {{{},\"choices\":[{}]{}}}\n\n", HeadJson(head), ChoiceJson(choice),
                     null_usage ? R"(,"usage":null)" : "");
}

std::string CompletionUsageEvent(const AnswerHead& head, const Usage& usage) {
  return fmt::format("data: {{{},\"choices\":[],\"usage\":{}}}\n\n", HeadJson(head),
                     UsageJson(usage));
}

int64_t CountCharacters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

}  // namespace weir::wire
