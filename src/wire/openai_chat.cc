#include "wire/openai_chat.h"

#include <algorithm>

#include "wire/openai_chat_fields.h"
#include "wire/openai_fields.h"

namespace weir::wire {
namespace {

constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};
constexpr size_t kMaxToolName = 64;
using Choice = ToolChoice::Kind;

bool IsToolName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxToolName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '.';
         });
}

// "tool_calls" of an assistant's message.
void CheckToolCalls(Reader& reader, const std::string& where, const Json& calls) {
  if (!calls.is_array()) return reader.Bad(where, "must be a list");
  for (size_t i = 0; i < calls.size(); ++i) {
    const Json& call = calls[i];
    const Json* function = nullptr;
    if (call.is_object()) {
      const auto it = call.find("function");
      if (it != call.end() && it->is_object()) function = &*it;
    }
    const bool fits = function != nullptr && function->contains("name") &&
                      (*function)["name"].is_string() &&
                      (!function->contains("arguments") || (*function)["arguments"].is_string() ||
                       (*function)["arguments"].is_object() || (*function)["arguments"].is_null());
    if (!fits) {
      return reader.Bad(fmt::format("{}[{}]", where, i),
                        "must be {\"id\", \"type\": \"function\", \"function\": {\"name\", "
                        "\"arguments\"}}");
    }
  }
}

void ReadMessages(Reader& reader, ChatRequest& out) {
  const Json* messages = reader.Get("messages");
  if (messages == nullptr) return reader.Bad("messages", "is missing");
  if (!messages->is_array() || messages->empty()) {
    return reader.Bad("messages", "must be a list with at least one message");
  }
  if (messages->size() > kMaxMessages) {
    return reader.Bad("messages", fmt::format("has {} messages, at most {} are taken",
                                              messages->size(), kMaxMessages));
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    const Json& message = (*messages)[i];
    const std::string name = fmt::format("messages[{}]", i);
    if (!message.is_object()) return reader.Bad(name, "must be an object");
    const auto role = message.find("role");
    const bool known = role != message.end() && role->is_string() &&
                       std::find(std::begin(kRoles), std::end(kRoles),
                                 role->get_ref<const std::string&>()) != std::end(kRoles);
    if (!known) {
      return reader.Bad(name + ".role", "must be system, developer, user, assistant or tool");
    }
    const auto content = message.find("content");
    const bool empty = content == message.end() || content->is_null();
    if (!TextOfContent(empty ? nullptr : &*content, {"text", "refusal"})) {
      return reader.Bad(name + ".content", "must be text, or a list of text parts");
    }
    const auto calls = message.find("tool_calls");
    const bool calls_tools = calls != message.end() && !calls->is_null();
    if (calls_tools) CheckToolCalls(reader, name + ".tool_calls", *calls);
    if (empty && *role != "assistant") return reader.Bad(name + ".content", "is missing");
    if (!reader.ok()) return;
  }
  out.messages = std::make_shared<const Json>(*messages);
}

void ReadTools(Reader& reader, ChatRequest& out) {
  Json tools = Json::array();
  if (const Json* list = reader.Get("tools")) {
    if (!list->is_array() || list->size() > kMaxTools) {
      return reader.Bad("tools", fmt::format("must be a list of at most {} tools", kMaxTools));
    }
    for (size_t i = 0; i < list->size() && reader.ok(); ++i) {
      const Json& tool = (*list)[i];
      const std::string where = fmt::format("tools[{}]", i);
      if (!tool.is_object() || !tool.contains("type") || tool["type"] != "function" ||
          !tool.contains("function")) {
        return reader.Bad(where, "must be {\"type\": \"function\", \"function\": {...}}");
      }
      AddTool(reader, where + ".function", tool["function"], out, tools);
    }
  }
  out.tools = std::make_shared<const Json>(std::move(tools));
}

void ReadReasoning(Reader& reader, ChatRequest& out) {
  Json kwargs = Json::object();
  if (const Json* effort = reader.Get("reasoning_effort")) kwargs["reasoning_effort"] = *effort;
  if (const Json* given = reader.Get("chat_template_kwargs")) {
    if (!given->is_object()) return reader.Bad("chat_template_kwargs", "must be an object");
    for (const auto& [key, value] : given->items()) kwargs[key] = value;
  }
  out.template_kwargs = std::make_shared<const Json>(std::move(kwargs));
  const std::string format = reader.OneOf("reasoning_format", {"none", "auto", "deepseek"}, "");
  if (!format.empty()) out.split_reasoning = format != "none";
}

std::string HeadJson(const AnswerHead& head, std::string_view object) {
  return fmt::format(R"("id":{},"object":"{}","created":{},"model":{})", Quoted(head.id), object,
                     head.created_s, Quoted(head.model));
}

std::string LogprobsJson(const ChatChoice& choice) {
  if (!choice.logprobs) return "null";
  const std::vector<TokenLogprob> tokens(choice.logprobs->begin(), choice.logprobs->end());
  return fmt::format(R"({{"content":{},"refusal":null}})", TokenLogprobList(tokens));
}

void AppendToolCalls(std::string& out, std::span<const ToolCallPart> calls, bool delta) {
  out += "\"tool_calls\":[";
  for (const ToolCallPart& call : calls) {
    out += &call == calls.data() ? "{" : ",{";
    if (delta) out += fmt::format("\"index\":{},", call.index);
    const bool named = !delta || !call.id.empty();
    if (named) out += fmt::format(R"("id":{},"type":"function",)", Quoted(call.id));
    out += "\"function\":{";
    if (named) out += fmt::format("\"name\":{},", Quoted(call.name));
    out += fmt::format("\"arguments\":{}}}}}", Quoted(call.arguments));
  }
  out += ']';
}

}  // namespace

void AddTool(Reader& reader, const std::string& where, const Json& function, ChatRequest& out,
             Json& tools) {
  if (!function.is_object()) return reader.Bad(where, "must be an object");
  const auto name = function.find("name");
  if (name == function.end() || !name->is_string() ||
      !IsToolName(name->get_ref<const std::string&>())) {
    return reader.Bad(
        where + ".name",
        fmt::format("must be 1 to {} letters, digits, '_', '-' or '.'", kMaxToolName));
  }
  const auto& text = name->get_ref<const std::string&>();
  if (std::find(out.tool_names.begin(), out.tool_names.end(), text) != out.tool_names.end()) {
    return reader.Bad(where + ".name", fmt::format("is '{}', as another tool's", text));
  }
  const auto description = function.find("description");
  if (description != function.end() && !description->is_null() && !description->is_string()) {
    return reader.Bad(where + ".description", "must be a string");
  }
  const auto parameters = function.find("parameters");
  if (parameters != function.end() && !parameters->is_null() && !parameters->is_object()) {
    return reader.Bad(where + ".parameters", "must be a JSON schema: an object");
  }
  out.tool_names.push_back(text);
  Json clean = Json::object();
  clean["name"] = text;
  for (const char* key : {"description", "parameters", "strict"}) {
    const auto it = function.find(key);
    if (it != function.end() && !it->is_null()) clean[key] = *it;
  }
  tools.push_back({{"type", "function"}, {"function", std::move(clean)}});
}

void ReadToolChoice(Reader& reader, bool flat, ChatRequest& out) {
  const Json* choice = reader.Get("tool_choice");
  out.tool_choice.kind = out.tool_names.empty() ? Choice::kNone : Choice::kAuto;
  if (choice == nullptr) return;
  const auto bad = [&] {
    reader.Bad("tool_choice", flat ? "must be auto, none, required or {\"type\": \"function\", "
                                     "\"name\": ...}"
                                   : "must be auto, none, required or {\"type\": \"function\", "
                                     "\"function\": {\"name\": ...}}");
  };
  if (choice->is_string()) {
    const auto& word = choice->get_ref<const std::string&>();
    if (word == "none") {
      out.tool_choice.kind = Choice::kNone;
    } else if (word == "required") {
      out.tool_choice.kind = Choice::kRequired;
    } else if (word != "auto") {
      return bad();
    }
  } else {
    if (!choice->is_object() || !choice->contains("type") || (*choice)["type"] != "function") {
      return bad();
    }
    const Json* holder = choice;
    if (!flat) {
      const auto function = choice->find("function");
      if (function == choice->end() || !function->is_object()) return bad();
      holder = &*function;
    }
    const auto name = holder->find("name");
    if (name == holder->end() || !name->is_string()) return bad();
    out.tool_choice = {Choice::kNamed, name->get<std::string>()};
    if (std::find(out.tool_names.begin(), out.tool_names.end(), out.tool_choice.name) ==
        out.tool_names.end()) {
      return reader.Bad("tool_choice", fmt::format("names '{}', which is not among 'tools'",
                                                   out.tool_choice.name));
    }
  }
  const bool must = out.tool_choice.kind == Choice::kRequired;
  if (must && out.tool_names.empty())
    reader.Bad("tool_choice", "is required, but 'tools' is empty");
}

std::optional<ApiError> ParseChatRequest(std::string_view body, ChatRequest& out,
                                         const Generation& defaults) {
  out = {};
  static_cast<Generation&>(out) = defaults;
  Json json;
  if (auto error = ParseObject(body, json)) return error;
  Reader reader(json);
  ReadMessages(reader, out);
  ReadGeneration(reader, out);
  ReadResponseFormat(reader, "response_format", /*flat=*/false, out);
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    if (const auto n = reader.Integer(name, 1, kMaxMaxTokens)) {
      out.max_tokens = static_cast<int>(*n);
    }
  }
  const bool wanted = reader.Boolean("logprobs", false);
  const auto top = reader.Integer("top_logprobs", 0, kMaxLogprobs);
  if (top && *top > 0 && !wanted) reader.Bad("top_logprobs", "needs 'logprobs' to be true");
  if (wanted) out.logprobs = static_cast<int>(top.value_or(0));
  ReadTools(reader, out);
  ReadToolChoice(reader, /*flat=*/false, out);
  out.parallel_tool_calls = reader.Boolean("parallel_tool_calls", true);
  ReadReasoning(reader, out);
  out.continue_final_message = reader.Boolean("continue_final_message", false);
  out.add_generation_prompt = reader.Boolean("add_generation_prompt", !out.continue_final_message);
  if (out.continue_final_message && out.add_generation_prompt) {
    reader.Bad("continue_final_message", "and 'add_generation_prompt' exclude each other");
  }
  const bool must_call =
      out.tool_choice.kind == Choice::kRequired || out.tool_choice.kind == Choice::kNamed;
  if (must_call && out.format.kind != OutputFormat::Kind::kText) {
    reader.Bad("tool_choice",
               fmt::format("asks for a tool call and '{}' for another form", out.format.param));
  }
  reader.Unoffered("functions", Json::array(), "use 'tools'");
  reader.Unoffered("function_call", "none", "use 'tool_choice'");
  reader.Unoffered("modalities", Json::array({"text"}), "this model writes text");
  reader.Unoffered("audio", Json(), "this model writes text");
  reader.Unoffered("web_search_options", Json());
  reader.Unoffered("chat_template", Json(),
                   "the template is the server's: see `weir serve --chat-template`");
  return reader.error();
}

std::string ChatBody(const AnswerHead& head, std::span<const ChatChoice> choices,
                     const Usage& usage) {
  std::string list;
  for (const ChatChoice& choice : choices) {
    if (!list.empty()) list += ',';
    list += fmt::format(
        "{{\"index\":{},\"message\":{{\"role\":\"assistant\",\"content\":{}", choice.index,
        choice.content.empty() && !choice.tool_calls.empty() ? std::string("null")
                                                             : Quoted(choice.content));
    list += ",\"refusal\":null";
    if (!choice.reasoning.empty()) list += ",\"reasoning_content\":" + Quoted(choice.reasoning);
    if (!choice.tool_calls.empty()) {
      list += ',';
      AppendToolCalls(list, choice.tool_calls, /*delta=*/false);
    }
    list += fmt::format("}},\"logprobs\":{},\"finish_reason\":{}}}", LogprobsJson(choice),
                        QuotedOrNull(choice.finish_reason));
  }
  return fmt::format(R"({{{},"choices":[{}],"usage":{}}})", HeadJson(head, "chat.completion"), list,
                     UsageJson(usage));
}

std::string ChatEvent(const AnswerHead& head, const ChatChoice& choice, bool null_usage) {
  std::string delta;
  const auto add = [&](std::string_view key, std::string_view text) {
    if (!delta.empty()) delta += ',';
    delta += fmt::format("\"{}\":", key);
    Quote(delta, text);
  };
  if (choice.first) {
    delta += R"("role":"assistant")";
    if (choice.tool_calls.empty() && choice.reasoning.empty()) add("content", choice.content);
  } else if (!choice.content.empty()) {
    add("content", choice.content);
  }
  if (!choice.reasoning.empty()) add("reasoning_content", choice.reasoning);
  if (!choice.tool_calls.empty()) {
    if (!delta.empty()) delta += ',';
    AppendToolCalls(delta, choice.tool_calls, /*delta=*/true);
  }
  return fmt::format(
      "data: {{{},\"choices\":[{{\"index\":{},\"delta\":{{{}}},\"logprobs\":{},"
      "\"finish_reason\":{}}}]{}}}\n\n",
      HeadJson(head, "chat.completion.chunk"), choice.index, delta, LogprobsJson(choice),
      QuotedOrNull(choice.finish_reason), null_usage ? R"(,"usage":null)" : "");
}

std::string ChatUsageEvent(const AnswerHead& head, const Usage& usage) {
  return fmt::format("data: {{{},\"choices\":[],\"usage\":{}}}\n\n",
                     HeadJson(head, "chat.completion.chunk"), UsageJson(usage));
}

}  // namespace weir::wire
