#include "engine/serve/chat_format.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace weir::serve {
namespace {

using Json = nlohmann::ordered_json;

std::string TextOf(const Json& message) {
  const auto content = message.find("content");
  return content != message.end() && content->is_string() ? content->get<std::string>() : "";
}

// What a model that knows no tools is told about them: the form is that of ToolFormat::kPlain.
std::string ToolsInWords(const Json& tools) {
  std::string text =
      "You may call functions. To call one, answer with nothing but a JSON object "
      "{\"name\": NAME, \"arguments\": {...}}. The functions, each with the JSON Schema of its "
      "arguments:\n";
  for (const Json& tool : tools) text += tool["function"].dump() + "\n";
  return text;
}

void ShowTools(const Json& tools, Json& messages) {
  const std::string words = ToolsInWords(tools);
  if (!messages.empty() && messages.front()["role"] == "system") {
    messages.front()["content"] = words + "\n" + TextOf(messages.front());
  } else {
    messages.insert(messages.begin(), Json{{"role", "system"}, {"content", words}});
  }
}

std::string_view Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

}  // namespace

Result<ChatFormat> ChatFormat::Create(const model::Tokenizer& tokenizer,
                                      const std::string& source) {
  ChatFormat format(tokenizer);
  if (!source.empty()) {
    format.template_ = TRY(templates::ChatTemplate::Parse(source));
    format.knows_tools_ = format.template_->Mentions("tools");
    if (format.knows_tools_) format.tool_format_ = templates::DetectToolFormat(source);
  }
  format.thinks_ =
      source.find(kThinkClose) != std::string::npos || tokenizer.Find(kThinkClose).has_value();
  return format;
}

Result<std::string> ChatFormat::Render(const wire::ChatRequest& request, int64_t now_s) const {
  Json messages = TRY(templates::PrepareMessages(*request.messages));
  for (Json& message : messages) {
    if (message["role"] == "developer") message["role"] = "system";  // templates know no other word
  }
  const bool tools = request.tool_choice.kind != wire::ToolChoice::Kind::kNone;
  if (tools && !knows_tools_) ShowTools(*request.tools, messages);
  if (!template_) return RenderPlainly(request, messages);

  Json variables = *request.template_kwargs;
  variables["messages"] = messages;
  variables["tools"] = tools && knows_tools_ ? *request.tools : Json();
  variables["documents"] = Json();
  variables["add_generation_prompt"] = request.add_generation_prompt;
  const auto text_of = [&](const std::optional<int32_t>& id) {
    return id ? std::string(tokenizer_->BytesOf(*id)) : std::string();
  };
  variables["bos_token"] = text_of(tokenizer_->bos());
  variables["eos_token"] = text_of(tokenizer_->eos());
  std::string text = TRY(template_->Render(variables, {.now_s = now_s, .limits = {}}));
  if (!request.continue_final_message) return text;
  // The answer goes on where the last message ends, so what the template closes it with goes.
  const std::string last = TextOf(messages.back());
  const std::string_view content = Trimmed(last);
  const size_t at = text.rfind(content);
  if (content.empty() || at == std::string::npos) {
    return Error(Code::kInvalidArgument,
                 "continue_final_message: the last message has no text, or the template changes it")
        .Hint("give the beginning of the answer as the content of the last message");
  }
  return text.substr(0, at + content.size());
}

std::string ChatFormat::RenderPlainly(const wire::ChatRequest& request,
                                      const Json& messages) const {
  std::string text;
  for (const Json& message : messages) {
    text += message["role"].get<std::string>() + ": " + TextOf(message);
    if (const auto calls = message.find("tool_calls"); calls != message.end()) {
      for (const Json& call : *calls) text += call["function"].dump();
    }
    text += "\n";
  }
  if (request.continue_final_message) {
    text.pop_back();
  } else if (request.add_generation_prompt) {
    text += "assistant:";
  }
  return text;
}

std::vector<int32_t> ChatFormat::Encode(const std::string& rendered) const {
  if (template_) return tokenizer_->Encode(rendered, model::ParseSpecial::kYes);
  std::vector<int32_t> ids;
  if (tokenizer_->add_bos() && tokenizer_->bos()) ids.push_back(*tokenizer_->bos());
  const std::vector<int32_t> text = tokenizer_->Encode(rendered);
  ids.insert(ids.end(), text.begin(), text.end());
  return ids;
}

bool ChatFormat::BeginsThinking(std::string_view rendered) {
  return Trimmed(rendered).ends_with(kThinkOpen);
}

std::vector<int32_t> ChatFormat::Shown(bool tools) const {
  std::vector<std::string> marks;
  if (tools) marks = templates::ToolMarkers(tool_format_);
  if (thinks_) {
    marks.emplace_back(kThinkOpen);
    marks.emplace_back(kThinkClose);
  }
  std::vector<int32_t> ids;
  for (const std::string& mark : marks) {
    const auto id = tokenizer_->Find(mark);
    if (id && tokenizer_->IsSpecial(*id)) ids.push_back(*id);
  }
  return ids;
}

}  // namespace weir::serve
