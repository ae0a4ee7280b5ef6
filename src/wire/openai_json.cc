#include "wire/openai_json.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace weir::wire {
namespace {

// The sentence, or empty.
std::string BeyondBounds(std::string_view text) {
  const JsonShape shape = MeasureJson(text, kMaxRequestDepth);
  if (shape.depth > kMaxRequestDepth)
    return fmt::format("The body nests deeper than {} levels", kMaxRequestDepth);
  if (shape.members > kMaxRequestMembers)
    return fmt::format("The body has an object with more than {} members", kMaxRequestMembers);
  return {};
}

}  // namespace

std::optional<ApiError> ParseObject(std::string_view body, Json& out) {
  if (std::string beyond = BeyondBounds(body); !beyond.empty()) {
    return ApiError{.message = std::move(beyond), .code = "invalid_json"};
  }
  out = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (out.is_discarded()) {
    return ApiError{.message = "The body is not valid JSON (in UTF-8)", .code = "invalid_json"};
  }
  if (!out.is_object()) {
    return ApiError{.message = "The body is not a JSON object", .code = "invalid_json"};
  }
  return std::nullopt;
}

void Quote(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
  });
  if (!plain) {
    out += Dump(Json(text));
    return;
  }
  out += '"';
  out += text;
  out += '"';
}

std::string Quoted(std::string_view text) {
  std::string out;
  Quote(out, text);
  return out;
}

std::string QuotedOrNull(std::string_view text) { return text.empty() ? "null" : Quoted(text); }

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string LogprobText(float value) {
  return std::isfinite(value) ? fmt::format("{}", value) : std::string("-9999.0");
}

std::string UsageJson(const Usage& usage) {
  return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},)"
                     R"("prompt_tokens_details":{{"cached_tokens":{}}},)"
                     R"("completion_tokens_details":{{"reasoning_tokens":{}}}}})",
                     usage.prompt_tokens, usage.completion_tokens,
                     usage.prompt_tokens + usage.completion_tokens, usage.cached_tokens,
                     usage.reasoning_tokens);
}

void AppendTokenLogprob(std::string& out, std::string_view token, float logprob) {
  out += "\"token\":";
  Quote(out, token);
  out += fmt::format(",\"logprob\":{},\"bytes\":[", LogprobText(logprob));
  for (size_t i = 0; i < token.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(static_cast<unsigned char>(token[i]));
  }
  out += ']';
}

std::string TokenLogprobList(const std::vector<TokenLogprob>& logprobs) {
  std::string out = "[";
  for (const TokenLogprob& token : logprobs) {
    out += &token == logprobs.data() ? "{" : ",{";
    AppendTokenLogprob(out, token.token, token.logprob);
    out += ",\"top_logprobs\":[";
    for (size_t i = 0; i < token.top.size(); ++i) {
      out += i == 0 ? "{" : ",{";
      AppendTokenLogprob(out, token.top[i].first, token.top[i].second);
      out += '}';
    }
    out += "]}";
  }
  return out + "]";
}

void Reader::Bad(std::string_view param, std::string_view what) {
  if (error_) return;
  const std::string name = Name(param);
  error_ = ApiError{.message = fmt::format("'{}' {}", name, what), .param = name};
}

const Json* Reader::Get(std::string_view param) const {
  const auto it = json_.find(param);
  return it == json_.end() || it->is_null() ? nullptr : &*it;
}

void Reader::Number(std::string_view param, double low, double high, float& out) {
  const Json* value = Get(param);
  if (value == nullptr) return;
  if (!value->is_number()) return Bad(param, "must be a number");
  const auto number = value->get<double>();
  if (!(number >= low && number <= high)) {
    return Bad(param, fmt::format("is {}, but must be {} to {}", number, low, high));
  }
  out = static_cast<float>(number);
}

std::optional<int64_t> Reader::Integer(std::string_view param, int64_t low, int64_t high) {
  const Json* value = Get(param);
  if (value == nullptr) return std::nullopt;
  const bool whole = value->is_number_integer() &&
                     !(value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX);
  const int64_t number = whole ? value->get<int64_t>() : 0;
  if (!whole || number < low || number > high) {
    Bad(param, fmt::format("must be an integer from {} to {}", low, high));
    return std::nullopt;
  }
  return number;
}

bool Reader::Boolean(std::string_view param, bool otherwise) {
  const Json* value = Get(param);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) Bad(param, "must be true or false");
  return value->is_boolean() && value->get<bool>();
}

std::string Reader::String(std::string_view param) {
  const Json* value = Get(param);
  if (value == nullptr) return {};
  if (!value->is_string()) Bad(param, "must be a string");
  return value->is_string() ? value->get<std::string>() : "";
}

std::string Reader::OneOf(std::string_view param, const std::vector<std::string_view>& allowed,
                          std::string_view otherwise) {
  if (Get(param) == nullptr) return std::string(otherwise);
  const std::string value = String(param);
  if (std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
    std::string list;
    for (const std::string_view a : allowed) list += (list.empty() ? "" : ", ") + std::string(a);
    Bad(param, fmt::format("must be one of {}", list));
  }
  return value;
}

void Reader::Unoffered(std::string_view param, const Json& neutral, std::string_view instead) {
  const Json* value = Get(param);
  if (value == nullptr || *value == neutral || (value->is_structured() && value->empty())) return;
  Bad(param, fmt::format("is not offered by this server: {}", instead));
}

std::optional<std::vector<int32_t>> TokenIds(const Json& list) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (const Json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) return std::nullopt;
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

std::optional<std::string> TextOfContent(const Json* content,
                                         const std::vector<std::string_view>& types) {
  if (content == nullptr || content->is_null()) return std::string();
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) return std::nullopt;
  std::string text;
  for (const Json& part : *content) {
    if (!part.is_object()) return std::nullopt;
    const auto type = part.find("type");
    if (type == part.end() || !type->is_string() ||
        std::find(types.begin(), types.end(), type->get_ref<const std::string&>()) == types.end()) {
      return std::nullopt;
    }
    const auto value = part.find(*type == "refusal" ? "refusal" : "text");
    if (value == part.end() || !value->is_string()) return std::nullopt;
    text += value->get_ref<const std::string&>();
  }
  return text;
}

}  // namespace weir::wire
