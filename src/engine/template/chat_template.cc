#include "engine/template/chat_template.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "engine/template/interpreter.h"

namespace weir::templates {

using Json = nlohmann::ordered_json;

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source) {
  return ChatTemplate(TRY(ParseTemplate(source)));
}

Result<std::string> ChatTemplate::Render(const Json& variables,
                                         const RenderOptions& options) const {
  if (!variables.is_object())
    return Error(Code::kInvalidArgument, "a template's variables are an object");
  const Value values = TRY(FromJson(variables));
  Interpreter interpreter(options);
  return interpreter.Run(*program_, values);
}

bool ChatTemplate::Mentions(std::string_view variable) const {
  return program_->names.find(variable) != program_->names.end();
}

Result<Json> PrepareMessages(const Json& messages) {
  if (!messages.is_array()) return Error(Code::kInvalidArgument, "messages is no list");
  Json out = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto bad = [&](std::string_view what) {
      return Error(Code::kInvalidArgument, fmt::format("messages[{}]: {}", i, what));
    };
    if (!messages[i].is_object()) return bad("no object");
    Json message = messages[i];
    Json& content = message["content"];
    if (content.is_array()) {
      std::string text;
      for (const Json& part : content) {
        const auto type = part.is_object() ? part.find("type") : part.end();
        if (!part.is_object() || type == part.end() || *type != "text" || !part.contains("text") ||
            !part["text"].is_string()) {
          return bad("content has a part that is no text");
        }
        text += part["text"].get_ref<const std::string&>();
      }
      content = std::move(text);
    } else if (!content.is_string() && !content.is_null()) {
      return bad("content is neither text nor a list of parts");
    }
    if (message.contains("tool_calls") && !message["tool_calls"].is_null()) {
      if (!message["tool_calls"].is_array()) return bad("tool_calls is no list");
      for (Json& call : message["tool_calls"]) {
        if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) {
          return bad("a tool call without its function");
        }
        Json& function = call["function"];
        if (!function.contains("name") || !function["name"].is_string()) {
          return bad("a tool call's function without its name");
        }
        Json& arguments = function["arguments"];
        if (arguments.is_null()) arguments = Json::object();
        if (!arguments.is_string()) continue;
        const auto& text = arguments.get_ref<const std::string&>();
        if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
          arguments = Json::object();
          continue;
        }
        if (MeasureJson(text, kMaxValueDepth).depth > static_cast<size_t>(kMaxValueDepth))
          return bad("a tool call's arguments are nested too deeply");
        Json parsed = Json::parse(text, nullptr, /*allow_exceptions=*/false);
        if (parsed.is_discarded()) return bad("a tool call's arguments are no JSON");
        arguments = std::move(parsed);
      }
    } else {
      message.erase("tool_calls");
    }
    out.push_back(std::move(message));
  }
  return out;
}

std::string_view DefaultTemplate() {
  return "{% for message in messages %}"
         "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
         "{% endfor %}"
         "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
}

}  // namespace weir::templates
