#include "engine/template/tool_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace weir::templates {

enum class ToolCallParser::State : uint8_t {
  kContent,    // text for the client, until a call begins
  kHead,       // a call, up to its arguments
  kArguments,  // given out as they come
  kTail,       // the rest of the call's object
  kAfter       // what stands between a call and the next
};

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kHermesBegin = "<tool_call>", kHermesEnd = "</tool_call>";
constexpr std::string_view kMistralBegin = "[TOOL_CALLS]", kMistralArguments = "[ARGS]";
constexpr std::string_view kMistralId = "[CALL_ID]";
constexpr std::string_view kPythonTag = "<|python_tag|>";
constexpr size_t kMaxName = 256;

bool IsJsonSpace(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
size_t SkipSpace(std::string_view text, size_t i) {
  while (i < text.size() && IsJsonSpace(text[i])) ++i;
  return i;
}
// How much of the end of `text` may be the beginning of `marker`.
size_t PartialAtEnd(std::string_view text, std::string_view marker) {
  for (size_t n = std::min(text.size(), marker.size() - 1); n > 0; --n) {
    if (text.ends_with(marker.substr(0, n))) return n;
  }
  return 0;
}
enum class Starts : uint8_t { kNo, kYes, kMaybe };
Starts StartsWith(std::string_view text, std::string_view marker) {
  if (text.starts_with(marker)) return Starts::kYes;
  return marker.starts_with(text) ? Starts::kMaybe : Starts::kNo;
}

constexpr size_t kMore = std::string_view::npos;  // the text ends too early to say
constexpr size_t kWrong = std::string_view::npos - 1;

// The end of the JSON string that begins at `i`.
size_t StringEnd(std::string_view text, size_t i) {
  if (i >= text.size()) return kMore;
  if (text[i] != '"') return kWrong;
  for (++i; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return kMore;
}
std::string StringValue(std::string_view quoted) {
  const Json value = Json::parse(quoted, nullptr, /*allow_exceptions=*/false);
  return value.is_string() ? value.get<std::string>() : "";
}
// The end of any JSON value that begins at `i`, by its brackets and quotes.
size_t ValueEnd(std::string_view text, size_t i) {
  if (i >= text.size()) return kMore;
  if (text[i] == '"') return StringEnd(text, i);
  int depth = 0;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      i = StringEnd(text, i);
      if (i == kMore) return kMore;
      --i;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return i;  // behind a number or a word
      if (--depth == 0) return i + 1;
    } else if (depth == 0 && (c == ',' || IsJsonSpace(c))) {
      return i;
    }
  }
  return kMore;
}

// A call's object as far as it can be read: its name, and where its arguments
// begin.
struct CallHead {
  enum { kNeedsMore, kNoCall, kArguments, kWhole } found = kNeedsMore;
  std::string name, id;
  size_t arguments = 0;      // where they begin
  size_t arguments_end = 0;  // kWhole: the name came behind them
  size_t end = 0;            // kWhole: of the object
};
CallHead ReadHead(std::string_view text, size_t i) {
  CallHead head;
  const auto no_call = [&] {
    head.found = CallHead::kNoCall;
    return head;
  };
  i = SkipSpace(text, i);
  if (i >= text.size()) return head;
  if (text[i] != '{') return no_call();
  for (++i;;) {
    i = SkipSpace(text, i);
    if (i >= text.size()) return head;
    if (text[i] == '}') {
      if (head.name.empty()) return no_call();
      head.found = CallHead::kWhole;
      head.end = i + 1;
      return head;
    }
    const size_t key_end = StringEnd(text, i);
    if (key_end == kMore) return head;
    if (key_end == kWrong) return no_call();
    const std::string key = StringValue(text.substr(i, key_end - i));
    i = SkipSpace(text, key_end);
    if (i >= text.size()) return head;
    if (text[i] != ':') return no_call();
    i = SkipSpace(text, i + 1);
    if (i >= text.size()) return head;
    if (key == "arguments" || key == "parameters") {
      head.arguments = i;
      if (!head.name.empty()) {
        head.found = CallHead::kArguments;
        return head;
      }
    }
    const size_t end = ValueEnd(text, i);
    if (end == kMore) return head;
    if (end == kWrong) return no_call();
    if (key == "arguments" || key == "parameters") head.arguments_end = end;
    if (key == "name" || key == "id") {
      if (text[i] != '"') return no_call();
      (key == "name" ? head.name : head.id) = StringValue(text.substr(i, end - i));
    }
    i = SkipSpace(text, end);
    if (i >= text.size()) return head;
    if (text[i] == ',') {
      ++i;
    } else if (text[i] != '}') {
      return no_call();
    }
  }
}

// Arguments that were written as a JSON string, or not at all, as the JSON that
// they mean.
std::string PlainArguments(std::string_view value) {
  if (!value.empty() && value[0] == '"') return StringValue(value);
  if (value.empty() || value == "null") return "{}";
  return std::string(value);
}

}  // namespace

std::string_view NameOf(ToolFormat format) {
  constexpr std::string_view kNames[] = {"plain", "hermes", "llama3", "mistral"};
  return kNames[static_cast<size_t>(format)];
}

ToolFormat DetectToolFormat(std::string_view chat_template) {
  const auto has = [&](std::string_view what) {
    return chat_template.find(what) != std::string_view::npos;
  };
  if (has(kHermesBegin)) return ToolFormat::kHermes;
  if (has(kMistralBegin)) return ToolFormat::kMistral;
  if (has(kPythonTag) || (has("<|start_header_id|>") && has("parameters")))
    return ToolFormat::kLlama3;
  return ToolFormat::kPlain;
}

std::vector<std::string> ToolMarkers(ToolFormat format) {
  const auto texts = [](std::initializer_list<std::string_view> list) {
    return std::vector<std::string>(list.begin(), list.end());
  };
  switch (format) {
    case ToolFormat::kHermes:
      return texts({kHermesBegin, kHermesEnd});
    case ToolFormat::kLlama3:
      return texts({kPythonTag});
    case ToolFormat::kMistral:
      return texts({kMistralBegin, kMistralArguments, kMistralId});
    case ToolFormat::kPlain:
      break;
  }
  return {};
}

ToolCallParser::ToolCallParser(ToolFormat format, std::vector<std::string> tools, uint64_t id_seed)
    : format_(format), tools_(std::move(tools)), id_seed_(id_seed), state_(State::kContent) {}

ToolDelta ToolCallParser::Push(std::string_view text) {
  ToolDelta out;
  held_ += text;
  while (Step(out, false)) {
  }
  if (held_.size() > kMaxHeldBytes) GiveUp(out, held_.size());
  return out;
}

ToolDelta ToolCallParser::Finish() {
  ToolDelta out;
  while (Step(out, true)) {
  }
  switch (state_) {
    case State::kContent:
    case State::kHead:
      GiveUp(out, held_.size());
      break;
    case State::kArguments:
      cut_ = true;
      break;
    default:
      break;
  }
  held_.clear();
  return out;
}

bool ToolCallParser::Step(ToolDelta& out, bool final) {
  switch (state_) {
    case State::kContent:
      return Content(out, final);
    case State::kHead:
      return Head(out);
    case State::kArguments:
      return Arguments(out);
    case State::kTail:
      return Tail();
    case State::kAfter:
      return After();
  }
  return false;
}

void ToolCallParser::GiveUp(ToolDelta& out, size_t bytes) {
  out.content.append(held_, 0, bytes);
  held_.erase(0, bytes);
  started_ = true;
  in_list_ = false;
  state_ = State::kContent;
}

bool ToolCallParser::Content(ToolDelta& out, bool final) {
  if (held_.empty()) return false;
  const bool marked = format_ == ToolFormat::kHermes || format_ == ToolFormat::kMistral;
  if (marked && calls_ < kMaxToolCalls) {
    const std::string_view marker = format_ == ToolFormat::kHermes ? kHermesBegin : kMistralBegin;
    const size_t at = held_.find(marker);
    // White space before a call is not the client's; it waits to see what
    // comes.
    size_t end = at != std::string::npos ? at : held_.size() - PartialAtEnd(held_, marker);
    while (end > 0 && IsJsonSpace(held_[end - 1])) --end;
    if (at == std::string::npos && final) end = held_.size();
    out.content.append(held_, 0, end);
    if (at == std::string::npos) {
      held_.erase(0, end);
      return false;
    }
    held_.erase(0, at);
    head_ = marker.size();
    in_list_ = false;
    state_ = State::kHead;
    return true;
  }
  if (!started_ && !marked) {
    size_t i = SkipSpace(held_, 0);
    if (i == held_.size()) return false;
    if (format_ == ToolFormat::kLlama3) {
      const Starts tag = StartsWith(std::string_view(held_).substr(i), kPythonTag);
      if (tag == Starts::kMaybe) return false;
      if (tag == Starts::kYes) i = SkipSpace(held_, i + kPythonTag.size());
      if (i == held_.size()) return false;
    }
    if (held_[i] == '{') {
      head_ = i;
      state_ = State::kHead;
      return true;
    }
    started_ = true;
  }
  out.content += held_;
  held_.clear();
  return false;
}

void ToolCallParser::Begin(ToolDelta& out, const std::string& name, std::string id) {
  if (id.empty()) {
    // Mistral's templates take ids of nine letters and digits; every client
    // takes these too.
    uint64_t x = id_seed_ + static_cast<uint64_t>(calls_) * 0x9E3779B97F4A7C15u;
    const size_t length = format_ == ToolFormat::kMistral ? 9 : 24;
    if (format_ != ToolFormat::kMistral) id = "call_";
    for (size_t i = 0; i < length; ++i) {
      x ^= x >> 30, x *= 0xBF58476D1CE4E5B9u, x ^= x >> 27, x *= 0x94D049BB133111EBu, x ^= x >> 31;
      id += "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[x % 62];
      x += i + 1;
    }
  }
  out.calls.push_back({.index = calls_++, .id = std::move(id), .name = name});
}

bool ToolCallParser::Head(ToolDelta& out) {
  const std::string_view text = held_;
  size_t i = head_;
  if (format_ == ToolFormat::kMistral && !in_list_) {
    i = SkipSpace(text, i);
    if (i == text.size()) return false;
    if (text[i] == '[') {
      const Starts marker = std::max(StartsWith(text.substr(i), kMistralArguments),
                                     StartsWith(text.substr(i), kMistralId));
      if (marker == Starts::kMaybe && text.size() > i + 1) return false;
      in_list_ = true;
      head_ = i = i + 1;
    } else if (text[i] != '{') {  // name[ARGS]{...}, name[CALL_ID]id[ARGS]{...}
                                  // or name{...}
      const size_t brace = text.find('{', i);
      if (brace == std::string_view::npos) {
        if (text.size() - i > kMaxName) GiveUp(out, head_);
        return state_ == State::kContent;
      }
      std::string_view name = text.substr(i, brace - i), id;
      if (const size_t at = name.find(kMistralArguments); at != name.npos)
        name = name.substr(0, at);
      if (const size_t at = name.find(kMistralId); at != name.npos) {
        id = name.substr(at + kMistralId.size());
        name = name.substr(0, at);
      }
      while (!name.empty() && IsJsonSpace(name.back())) name.remove_suffix(1);
      Begin(out, std::string(name), std::string(id));
      held_.erase(0, brace);
      wrapped_ = false;
      brackets_ = {};
      state_ = State::kArguments;
      return true;
    }
  }
  if (in_list_) {  // an empty list calls nothing
    i = SkipSpace(text, i);
    if (i < text.size() && text[i] == ']') {
      held_.erase(0, i + 1);
      in_list_ = false;
      state_ = State::kContent;
      return true;
    }
  }
  const CallHead head = ReadHead(text, i);
  const auto known = [&] {
    const bool marked = format_ == ToolFormat::kHermes || format_ == ToolFormat::kMistral;
    return marked || tools_.empty() ||
           std::find(tools_.begin(), tools_.end(), head.name) != tools_.end();
  };
  switch (head.found) {
    case CallHead::kNeedsMore:
      return false;
    case CallHead::kNoCall:
      GiveUp(out, std::max<size_t>(1, head_));
      return true;
    case CallHead::kArguments: {
      if (!known()) return GiveUp(out, std::max<size_t>(1, head_)), true;
      const char first = text[head.arguments];
      if (first != '{' && first != '[') {  // a string or nothing: whole or not at all
        const size_t end = ValueEnd(text, head.arguments);
        if (end == kMore) return false;
        Begin(out, head.name, head.id);
        out.calls.back().arguments =
            PlainArguments(text.substr(head.arguments, end - head.arguments));
        held_.erase(0, end);
        brackets_ = {};
        state_ = State::kTail;
        return true;
      }
      Begin(out, head.name, head.id);
      held_.erase(0, head.arguments);
      wrapped_ = true;
      brackets_ = {};
      state_ = State::kArguments;
      return true;
    }
    case CallHead::kWhole: {
      // Without arguments it is a call only where a marker says so.
      const bool marked = format_ == ToolFormat::kHermes || format_ == ToolFormat::kMistral;
      if (!known() || (head.arguments == 0 && !marked)) {
        return GiveUp(out, std::max<size_t>(1, head_)), true;
      }
      Begin(out, head.name, head.id);
      out.calls.back().arguments =
          head.arguments == 0
              ? "{}"
              : PlainArguments(text.substr(head.arguments, head.arguments_end - head.arguments));
      held_.erase(0, head.end);
      state_ = State::kAfter;
      return true;
    }
  }
  return false;
}

bool ToolCallParser::Brackets::Closes(char c) {
  if (escaped) {
    escaped = false;
  } else if (in_string) {
    escaped = c == '\\';
    in_string = c != '"';
  } else if (c == '"') {
    in_string = true;
  } else if (c == '{' || c == '[') {
    ++depth;
  } else if (c == '}' || c == ']') {
    --depth;
    return true;
  }
  return false;
}

bool ToolCallParser::Arguments(ToolDelta& out) {
  size_t i = 0;
  bool over = false;
  for (; i < held_.size() && !over; ++i) over = brackets_.Closes(held_[i]) && brackets_.depth == 0;
  if (i > 0) {
    const bool same = !out.calls.empty() && out.calls.back().index == calls_ - 1;
    if (!same) out.calls.push_back({.index = calls_ - 1});
    out.calls.back().arguments.append(held_, 0, i);
    held_.erase(0, i);
  }
  if (!over) return false;
  brackets_ = {};
  state_ = wrapped_ ? State::kTail : State::kAfter;
  return true;
}

bool ToolCallParser::Tail() {
  for (size_t i = 0; i < held_.size(); ++i) {
    if (!brackets_.Closes(held_[i]) || brackets_.depth >= 0) continue;
    brackets_ = {};
    held_.erase(0, i + 1);
    state_ = State::kAfter;
    return true;
  }
  held_.clear();
  return false;
}

bool ToolCallParser::After() {
  const size_t i = SkipSpace(held_, 0);
  if (i == held_.size()) return false;
  const std::string_view rest = std::string_view(held_).substr(i);
  started_ = true;
  switch (format_) {
    case ToolFormat::kHermes: {
      const Starts end = StartsWith(rest, kHermesEnd);
      if (end == Starts::kMaybe) return false;
      if (end == Starts::kYes) held_.erase(0, i + kHermesEnd.size());
      break;
    }
    case ToolFormat::kMistral:
      if (!in_list_) break;
      if (rest[0] == ',' && calls_ < kMaxToolCalls) {
        held_.erase(0, i + 1);
        head_ = 0;
        state_ = State::kHead;
        return true;
      }
      if (rest[0] == ']') held_.erase(0, i + 1);
      in_list_ = false;
      break;
    case ToolFormat::kLlama3:
    case ToolFormat::kPlain: {
      size_t next = i;
      if (rest[0] == ';' || rest[0] == ',') next = SkipSpace(held_, i + 1);
      if (next == held_.size()) return false;
      if (held_[next] == '{' && calls_ < kMaxToolCalls) {
        head_ = next;
        state_ = State::kHead;
        return true;
      }
      break;
    }
  }
  state_ = State::kContent;
  return true;
}

namespace {

// A text as a literal of the grammar's syntax.
std::string Literal(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + "\"";
}

}  // namespace

Result<std::string> ToolGrammar(ToolFormat format, const Json& tools, std::string_view name,
                                bool parallel) {
  const auto bad = [](std::string_view what) {
    return Error(Code::kInvalidArgument, fmt::format("tools: {}", what));
  };
  if (!tools.is_array() || tools.empty()) return bad("no tool to call");
  const std::string_view key = format == ToolFormat::kLlama3 ? "parameters" : "arguments";
  std::string calls, rules;
  int count = 0;
  for (const Json& tool : tools) {
    const Json* function =
        tool.is_object() && tool.contains("function") ? &tool["function"] : &tool;
    if (!function->is_object() || !function->contains("name") || !(*function)["name"].is_string()) {
      return bad("a tool without its function's name");
    }
    const auto& own = (*function)["name"].get_ref<const std::string&>();
    if (!name.empty() && own != name) continue;
    Json parameters = {{"type", "object"}, {"properties", Json::object()}};
    if (function->contains("parameters") && !(*function)["parameters"].is_null()) {
      parameters = (*function)["parameters"];
    }
    // A tool takes what it declares, also where its author did not say so.
    if (parameters.is_object() && parameters.contains("properties") &&
        !parameters.contains("additionalProperties")) {
      parameters["additionalProperties"] = false;
    }
    const std::string quoted = Json(own).dump(-1, ' ', false, Json::error_handler_t::replace);
    calls += fmt::format("{}call-{}", count > 0 ? " | " : "", count);
    rules += fmt::format("call-{} ::= {} %json {} \"}}\"\n", count,
                         Literal(fmt::format("{{\"name\": {}, \"{}\": ", quoted, key)),
                         parameters.dump(-1, ' ', false, Json::error_handler_t::replace));
    ++count;
  }
  if (count == 0) return bad(fmt::format("there is none named {:.80}", name));
  rules += "call ::= " + calls + "\n";
  std::string root;
  const auto more = [&](std::string_view between) {
    return parallel ? fmt::format(" ({} one){{0,{}}}", Literal(between), kMaxToolCalls - 1) : "";
  };
  switch (format) {
    case ToolFormat::kHermes:
      rules += "one ::= <tool_call> \"\\n\" call \"\\n\" </tool_call>\n";
      root = "one" + more("\n");
      break;
    case ToolFormat::kMistral:
      rules += "one ::= call\n";
      root = "<[[TOOL_CALLS]]> \"[\" one" + more(", ") + " \"]\"";
      break;
    case ToolFormat::kLlama3:
    case ToolFormat::kPlain:
      rules += "one ::= call\n";
      root = "one" + more("; ");
      break;
  }
  return "root ::= " + root + "\n" + rules;
}

}  // namespace weir::templates
