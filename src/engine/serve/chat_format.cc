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
    return Error(Code::kUnimplemented, "chat templates are not offered yet");
  }
  format.thinks_ =
      source.find(kThinkClose) != std::string::npos || tokenizer.Find(kThinkClose).has_value();
  return format;
}

Result<std::string> ChatFormat::Render(const wire::ChatRequest& request, int64_t /*now_s*/) const {
  Json messages = *request.messages;
  for (Json& message : messages) {
    if (message["role"] == "developer") message["role"] = "system";  // templates know no other word
    const auto content = message.find("content");
    if (content == message.end() || !content->is_array()) continue;
    std::string text;
    for (const Json& part : *content) text += part.value("text", "");
    *content = text;
  }
  return RenderPlainly(request, messages);
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
  std::vector<int32_t> ids;
  if (tokenizer_->add_bos() && tokenizer_->bos()) ids.push_back(*tokenizer_->bos());
  const std::vector<int32_t> text = tokenizer_->Encode(rendered);
  ids.insert(ids.end(), text.begin(), text.end());
  return ids;
}

bool ChatFormat::BeginsThinking(std::string_view rendered) {
  return Trimmed(rendered).ends_with(kThinkOpen);
}

std::vector<int32_t> ChatFormat::Shown(bool /*tools*/) const {
  std::vector<std::string> marks;
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
