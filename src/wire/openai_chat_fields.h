// What /v1/chat/completions and /v1/responses check alike: private to wire/openai_*.cc.
#pragma once

#include <string>
#include <string_view>

#include "wire/openai_chat.h"
#include "wire/openai_json.h"

namespace weir::wire {

// Adds one tool, given what stands under "function": {"name", "description", "parameters",
// "strict"}. `where`: its name in messages ("tools[2].function").
void AddTool(Reader& reader, const std::string& where, const Json& function, ChatRequest& out,
             Json& tools);
// "auto", "none", "required", or an object; `flat`: {"type": "function", "name": ...}.
void ReadToolChoice(Reader& reader, bool flat, ChatRequest& out);

}  // namespace weir::wire
