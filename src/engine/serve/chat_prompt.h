// Chat messages as one text, for models that bring no template of their own: a line for each
// message, then the assistant's turn to speak.
//     system: You are brief.
//     user: Where is the dam?
//     assistant:
// An answer ends where the model begins a user's line: ChatStop() is added to the stop strings.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace weir::serve {

inline std::string ChatPrompt(const nlohmann::ordered_json& messages) {
  std::string text;
  for (const auto& message : messages) {
    text += message["role"].get<std::string>() + ": ";
    const auto content = message.find("content");
    if (content != message.end() && content->is_string()) text += content->get<std::string>();
    if (content != message.end() && content->is_array()) {
      for (const auto& part : *content) text += part.value("text", "");
    }
    text += "\n";
  }
  return text + "assistant:";
}
inline constexpr std::string_view ChatStop() { return "\nuser:"; }

}  // namespace weir::serve
