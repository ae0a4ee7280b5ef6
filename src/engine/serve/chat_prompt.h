// Chat messages as one text, for models that bring no template of their own: a line for each
// message, then the assistant's turn to speak.
//     system: You are brief.
//     user: Where is the dam?
//     assistant:
// An answer ends where the model begins a user's line: ChatStop() is added to the stop strings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wire/openai.h"

namespace weir::serve {

inline std::string ChatPrompt(const std::vector<wire::ChatMessage>& messages) {
  std::string text;
  for (const wire::ChatMessage& message : messages) {
    text += message.role + ": " + message.content + "\n";
  }
  return text + "assistant:";
}
inline constexpr std::string_view ChatStop() { return "\nuser:"; }

}  // namespace weir::serve
