#include "wire/openai_responses.h"

#include <algorithm>

#include "wire/openai_chat_fields.h"
#include "wire/openai_fields.h"

namespace weir::wire {
namespace {

Json Message(std::string_view role, std::string content) {
  return {{"role", std::string(role)}, {"content", std::move(content)}};
}

// Calls that follow one another belong to one assistant's message, and to the text before them.
void AddCall(Json& messages, const Json& item) {
  const Json call = {
      {"id", item.value("call_id", "")},
      {"type", "function"},
      {"function",
       {{"name", item.value("name", "")}, {"arguments", item.value("arguments", "{}")}}}};
  if (messages.empty() || messages.back()["role"] != "assistant") {
    messages.push_back({{"role", "assistant"}, {"content", ""}});
  }
  messages.back()["tool_calls"].push_back(call);
}

bool HasStrings(const Json& item, std::initializer_list<const char*> keys) {
  return std::all_of(keys.begin(), keys.end(),
                     [&](const char* key) { return item.contains(key) && item[key].is_string(); });
}

void AddItem(Reader& reader, const std::string& where, const Json& item, Json& messages) {
  if (!item.is_object()) return reader.Bad(where, "must be an object");
  std::string type = "message";
  if (item.contains("type")) {
    if (!item["type"].is_string()) return reader.Bad(where + ".type", "must be a string");
    type = item["type"].get<std::string>();
  }
  if (type == "message") {
    const std::string role = HasStrings(item, {"role"}) ? item["role"].get<std::string>() : "";
    if (role != "user" && role != "assistant" && role != "system" && role != "developer") {
      return reader.Bad(where + ".role", "must be system, developer, user or assistant");
    }
    const auto content = item.find("content");
    const auto text =
        content == item.end()
            ? std::nullopt
            : TextOfContent(&*content, {"input_text", "output_text", "text", "refusal"});
    if (!text) return reader.Bad(where + ".content", "must be text, or a list of text parts");
    messages.push_back(Message(role, *text));
  } else if (type == "function_call") {
    if (!HasStrings(item, {"call_id", "name", "arguments"})) {
      return reader.Bad(where, "must have the strings \"call_id\", \"name\" and \"arguments\"");
    }
    AddCall(messages, item);
  } else if (type == "function_call_output") {
    const auto output = item.find("output");
    const auto text = output == item.end()
                          ? std::nullopt
                          : TextOfContent(&*output, {"input_text", "output_text", "text"});
    if (!HasStrings(item, {"call_id"}) || !text) {
      return reader.Bad(where, "must have a \"call_id\" and a text as \"output\"");
    }
    Json message = Message("tool", *text);
    message["tool_call_id"] = item["call_id"];
    messages.push_back(std::move(message));
  } else if (type != "reasoning") {  // what was thought earlier is not shown to the model again
    reader.Bad(where + ".type", fmt::format("is '{}': message, function_call, function_call_output "
                                            "and reasoning are offered",
                                            type));
  }
}

void ReadInput(Reader& reader, ChatRequest& out) {
  Json messages = Json::array();
  if (const std::string text = reader.String("instructions"); !text.empty()) {
    messages.push_back(Message("system", text));
  }
  const Json* input = reader.Get("input");
  if (input == nullptr) return reader.Bad("input", "is missing");
  if (input->is_string()) {
    messages.push_back(Message("user", input->get<std::string>()));
  } else if (input->is_array() && !input->empty() && input->size() <= kMaxMessages) {
    for (size_t i = 0; i < input->size() && reader.ok(); ++i) {
      AddItem(reader, fmt::format("input[{}]", i), (*input)[i], messages);
    }
  } else {
    return reader.Bad("input",
                      fmt::format("must be a string or a list of 1 to {} items", kMaxMessages));
  }
  if (messages.empty()) reader.Bad("input", "has nothing to answer");
  out.messages = std::make_shared<const Json>(std::move(messages));
}

void ReadFlatTools(Reader& reader, ChatRequest& out) {
  Json tools = Json::array();
  if (const Json* list = reader.Get("tools")) {
    if (!list->is_array() || list->size() > kMaxTools) {
      return reader.Bad("tools", fmt::format("must be a list of at most {} tools", kMaxTools));
    }
    for (size_t i = 0; i < list->size() && reader.ok(); ++i) {
      const Json& tool = (*list)[i];
      const std::string where = fmt::format("tools[{}]", i);
      if (!tool.is_object() || !tool.contains("type") || tool["type"] != "function") {
        return reader.Bad(where + ".type",
                          "must be 'function': this server has no tools of its "
                          "own");
      }
      AddTool(reader, where, tool, out, tools);
    }
  }
  out.tools = std::make_shared<const Json>(std::move(tools));
}

// 0.8f as 0.8.
Json Short(float value) { return Json::parse(fmt::format("{}", value)); }

// The members of every answer that say again what was asked, with the defaults filled in.
std::string Repeated(const Json& json, const ChatRequest& chat) {
  Json out = Json::object();
  const auto repeat = [&](const char* key, Json otherwise) {
    const auto it = json.find(key);
    out[key] = it == json.end() || it->is_null() ? std::move(otherwise) : *it;
  };
  repeat("instructions", Json());
  repeat("max_output_tokens", Json());
  repeat("metadata", Json::object());
  out["parallel_tool_calls"] = chat.parallel_tool_calls;
  out["previous_response_id"] = Json();
  repeat("reasoning", {{"effort", Json()}, {"summary", Json()}});
  out["store"] = false;
  repeat("temperature", Short(chat.temperature));
  repeat("text", {{"format", {{"type", "text"}}}});
  repeat("tool_choice", "auto");
  repeat("tools", Json::array());
  repeat("top_logprobs", 0);
  repeat("top_p", Short(chat.top_p));
  out["truncation"] = "disabled";
  repeat("user", Json());
  const std::string text = Dump(out);
  return text.substr(1, text.size() - 2);
}

void ReadWhatIsNotKept(Reader& reader) {
  reader.Unoffered("previous_response_id", Json(),
                   "answers are not kept here: send the whole conversation as 'input'");
  reader.Unoffered("conversation", Json(),
                   "answers are not kept here: send the whole conversation as 'input'");
  reader.Unoffered("background", false, "answers are not kept here: use 'stream'");
  reader.Unoffered("prompt", Json(), "prompts are not kept here: send 'instructions' and 'input'");
  reader.Unoffered("truncation", "disabled", "shorten 'input' to what the model's context holds");
  reader.Unoffered("max_tool_calls", Json(), "this server has no tools of its own");
}

}  // namespace

std::optional<ApiError> ParseResponsesRequest(std::string_view body, ResponsesRequest& out,
                                              const Generation& defaults) {
  out = {};
  static_cast<Generation&>(out.chat) = defaults;
  Json json;
  if (auto error = ParseObject(body, json)) return error;
  Reader reader(json);
  ChatRequest& chat = out.chat;
  ReadInput(reader, chat);
  // This endpoint has options of its own for streams, and no usage to ask for: it is always told.
  Json shared = json;
  shared.erase("stream_options");
  shared.erase("n");
  Reader generation(shared);
  ReadGeneration(generation, chat);
  reader.Take(generation);
  reader.Unoffered("n", 1, "send the request several times");
  if (const Json* text = reader.Get("text")) {
    if (!text->is_object()) {
      reader.Bad("text", "must be an object");
    } else {
      Reader nested(*text, "text.");
      ReadResponseFormat(nested, "format", /*flat=*/true, chat);
      reader.Take(nested);
    }
  }
  if (const auto n = reader.Integer("max_output_tokens", 1, kMaxMaxTokens)) {
    chat.max_tokens = static_cast<int>(*n);
  }
  const auto top = reader.Integer("top_logprobs", 0, kMaxLogprobs);
  const Json* include = reader.Get("include");
  const bool wanted = include != nullptr && include->is_array() &&
                      std::find(include->begin(), include->end(),
                                Json("message.output_text.logprobs")) != include->end();
  if (wanted || top.value_or(0) > 0) chat.logprobs = static_cast<int>(top.value_or(0));
  ReadFlatTools(reader, chat);
  ReadToolChoice(reader, /*flat=*/true, chat);
  chat.parallel_tool_calls = reader.Boolean("parallel_tool_calls", true);
  Json kwargs = Json::object();
  if (const Json* reasoning = reader.Get("reasoning")) {
    if (!reasoning->is_object()) {
      reader.Bad("reasoning", "must be an object");
    } else if (reasoning->contains("effort") && (*reasoning)["effort"].is_string()) {
      kwargs["reasoning_effort"] = (*reasoning)["effort"];
    }
  }
  chat.template_kwargs = std::make_shared<const Json>(std::move(kwargs));
  ReadWhatIsNotKept(reader);
  if (!reader.ok()) return reader.error();
  out.repeated = Repeated(json, chat);
  return std::nullopt;
}

}  // namespace weir::wire
