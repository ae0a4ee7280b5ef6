#include "wire/openai_json.h"
#include "wire/openai_responses.h"

namespace weir::wire {
namespace {

// Events and parts of an item by its kind.
struct Words {
  std::string_view prefix, part, delta;
};
constexpr Words kWords[] = {{"rs", "reasoning_text", "response.reasoning_text"},
                            {"msg", "output_text", "response.output_text"},
                            {"fc", "", "response.function_call_arguments"}};

// Logprobs without the brackets around the list.
std::string Inside(const std::string& list) { return list.substr(1, list.size() - 2); }

}  // namespace

ResponseAnswer::ResponseAnswer(uint64_t number, int64_t created_s, std::string model,
                               const ResponsesRequest& request)
    : id_(fmt::format("resp_{:016x}", number)),
      model_(std::move(model)),
      repeated_(request.repeated),
      number_(number),
      created_s_(created_s) {}

void ResponseAnswer::Event(std::string& events, std::string_view name, std::string_view members) {
  events += fmt::format("event: {0}\ndata: {{\"type\":\"{0}\",\"sequence_number\":{1}{2}{3}}}\n\n",
                        name, sequence_++, members.empty() ? "" : ",", members);
}

std::string ResponseAnswer::Place(bool with_content) const {
  return fmt::format("\"item_id\":{},\"output_index\":{}{}", Quoted(items_.back().id),
                     items_.size() - 1, with_content ? ",\"content_index\":0" : "");
}

std::string ResponseAnswer::PartJson(const Item& item) {
  if (item.kind == Kind::kReasoning) {
    return fmt::format(R"({{"type":"reasoning_text","text":{}}})", Quoted(item.text));
  }
  return fmt::format(R"({{"type":"output_text","text":{},"annotations":[],"logprobs":[{}]}})",
                     Quoted(item.text), item.logprobs);
}

std::string ResponseAnswer::ItemJson(const Item& item) const {
  const bool cut = item.done && (&item == &items_.back()) && incomplete_ != "null";
  const std::string_view status = !item.done ? "in_progress" : cut ? "incomplete" : "completed";
  const std::string id = Quoted(item.id);
  switch (item.kind) {
    case Kind::kReasoning:
      return fmt::format(R"({{"type":"reasoning","id":{},"summary":[],"content":[{}],)"
                         R"("status":"{}"}})",
                         id, item.text.empty() ? "" : PartJson(item), status);
    case Kind::kMessage:
      return fmt::format(R"({{"type":"message","id":{},"status":"{}","role":"assistant",)"
                         R"("content":[{}]}})",
                         id, status, item.done ? PartJson(item) : "");
    case Kind::kCall:
      break;
  }
  return fmt::format(
      R"({{"type":"function_call","id":{},"call_id":{},"name":{},"arguments":{},"status":"{}"}})",
      id, Quoted(item.call_id), Quoted(item.name), Quoted(item.text), status);
}

std::string ResponseAnswer::Body() const {
  std::string output;
  for (const Item& item : items_) {
    if (!output.empty()) output += ',';
    output += ItemJson(item);
  }
  return fmt::format(R"({{"id":{},"object":"response","created_at":{},"status":"{}","error":{},)"
                     R"("incomplete_details":{},"model":{},"output":[{}],{},"usage":{}}})",
                     Quoted(id_), created_s_, status_, error_, incomplete_, Quoted(model_), output,
                     repeated_, usage_);
}

std::string ResponseAnswer::Begin() {
  std::string events;
  Event(events, "response.created", "\"response\":" + Body());
  Event(events, "response.in_progress", "\"response\":" + Body());
  return events;
}

ResponseAnswer::Item& ResponseAnswer::Open(Kind kind, std::string& events) {
  const bool same = !items_.empty() && !items_.back().done && items_.back().kind == kind;
  if (same && kind != Kind::kCall) return items_.back();
  Close(events);
  const Words& words = kWords[static_cast<size_t>(kind)];
  Item item;
  item.kind = kind;
  item.id = fmt::format("{}_{:016x}{:04x}", words.prefix, number_, items_.size());
  items_.push_back(std::move(item));
  return items_.back();
}

void ResponseAnswer::Close(std::string& events) {
  if (items_.empty() || items_.back().done) return;
  Item& item = items_.back();
  item.done = true;
  open_call_ = -1;
  const Words& words = kWords[static_cast<size_t>(item.kind)];
  if (item.kind == Kind::kCall) {
    Event(events, std::string(words.delta) + ".done",
          fmt::format("{},\"name\":{},\"arguments\":{}", Place(false), Quoted(item.name),
                      Quoted(item.text)));
  } else {
    const std::string logprobs =
        item.kind == Kind::kMessage ? fmt::format(",\"logprobs\":[{}]", item.logprobs) : "";
    Event(events, std::string(words.delta) + ".done",
          fmt::format("{},\"text\":{}{}", Place(true), Quoted(item.text), logprobs));
    Event(events, "response.content_part.done",
          fmt::format("{},\"part\":{}", Place(true), PartJson(item)));
  }
  Event(events, "response.output_item.done",
        fmt::format("\"output_index\":{},\"item\":{}", items_.size() - 1, ItemJson(item)));
}

std::string ResponseAnswer::Reasoning(std::string_view text) {
  std::string events;
  if (text.empty()) return events;
  const size_t before = items_.size();
  Item& item = Open(Kind::kReasoning, events);
  if (items_.size() > before) {
    Event(events, "response.output_item.added",
          fmt::format("\"output_index\":{},\"item\":{}", before, ItemJson(item)));
    Event(events, "response.content_part.added",
          fmt::format("{},\"part\":{}", Place(true), PartJson(item)));
  }
  item.text += text;
  Event(events, "response.reasoning_text.delta",
        fmt::format("{},\"delta\":{}", Place(true), Quoted(text)));
  return events;
}

std::string ResponseAnswer::Text(std::string_view text, std::span<const TokenLogprob> logprobs) {
  std::string events;
  if (text.empty() && logprobs.empty()) return events;
  const size_t before = items_.size();
  Item& item = Open(Kind::kMessage, events);
  if (items_.size() > before) {
    Event(events, "response.output_item.added",
          fmt::format("\"output_index\":{},\"item\":{}", before, ItemJson(item)));
    Event(events, "response.content_part.added",
          fmt::format("{},\"part\":{}", Place(true), PartJson(item)));
  }
  item.text += text;
  std::string list;
  if (!logprobs.empty()) {
    list = Inside(TokenLogprobList({logprobs.begin(), logprobs.end()}));
    item.logprobs += (item.logprobs.empty() ? "" : ",") + list;
  }
  Event(events, "response.output_text.delta",
        fmt::format("{},\"delta\":{},\"logprobs\":[{}]", Place(true), Quoted(text), list));
  return events;
}

std::string ResponseAnswer::ToolCall(const ToolCallPart& part) {
  std::string events;
  if (part.index != open_call_) {
    Item& item = Open(Kind::kCall, events);
    item.call_id = part.id;
    item.name = part.name;
    open_call_ = part.index;
    Event(events, "response.output_item.added",
          fmt::format("\"output_index\":{},\"item\":{}", items_.size() - 1, ItemJson(item)));
  }
  if (part.arguments.empty()) return events;
  items_.back().text += part.arguments;
  Event(events, "response.function_call_arguments.delta",
        fmt::format("{},\"delta\":{}", Place(false), Quoted(part.arguments)));
  return events;
}

std::string ResponseAnswer::Finish(bool incomplete, const Usage& usage, const ApiError* error) {
  std::string events;
  if (incomplete || error != nullptr) incomplete_ = R"({"reason":"max_output_tokens"})";
  // An answer without a word is still a message.
  if (items_.empty() && error == nullptr) {
    Item& item = Open(Kind::kMessage, events);
    Event(events, "response.output_item.added",
          fmt::format("\"output_index\":0,\"item\":{}", ItemJson(item)));
    Event(events, "response.content_part.added",
          fmt::format("{},\"part\":{}", Place(true), PartJson(item)));
  }
  Close(events);
  usage_ = fmt::format(
      R"({{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{}}},"output_tokens":{},)"
      R"("output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}})",
      usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, usage.reasoning_tokens,
      usage.prompt_tokens + usage.completion_tokens);
  status_ = error != nullptr ? "failed" : incomplete ? "incomplete" : "completed";
  if (error != nullptr) {
    incomplete_ = "null";
    error_ = fmt::format(R"({{"code":{},"message":{}}})",
                         Quoted(error->code.empty() ? "server_error" : error->code),
                         Quoted(error->message));
  }
  Event(events, "response." + status_, "\"response\":" + Body());
  return events;
}

}  // namespace weir::wire
