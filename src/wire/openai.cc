#include "wire/openai.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace weir::wire {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxMaxTokens = 1 << 24;
constexpr size_t kMaxStopBytes = 1024;
constexpr std::string_view kRoles[] = {"system", "developer", "user", "assistant", "tool"};

// ---- Writing. Chunks are written by the thousand, so by hand. -------------------------------

void Quote(std::string& out, std::string_view text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char c) {
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
  });
  if (!plain) {
    out += Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
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

// JSON has no infinities; a probability of zero is written as OpenAI does.
std::string Logprob(float value) {
  return std::isfinite(value) ? fmt::format("{}", value) : std::string("-9999.0");
}

std::string ByteList(std::string_view text) {
  std::string out = "[";
  for (const char c : text) {
    if (out.size() > 1) out += ',';
    out += std::to_string(static_cast<unsigned char>(c));
  }
  return out + "]";
}

void ChatLogprob(std::string& out, std::string_view token, float logprob) {
  out += fmt::format(R"("token":{},"logprob":{},"bytes":{})", Quoted(token), Logprob(logprob),
                     ByteList(token));
}

std::string LogprobsJson(Api api, const std::vector<TokenLogprob>* logprobs) {
  if (logprobs == nullptr) return "null";
  std::string out;
  if (api == Api::kChat) {
    out = R"({"content":[)";
    for (const TokenLogprob& token : *logprobs) {
      out += &token == logprobs->data() ? "{" : ",{";
      ChatLogprob(out, token.token, token.logprob);
      out += R"(,"top_logprobs":[)";
      for (size_t i = 0; i < token.top.size(); ++i) {
        out += i == 0 ? "{" : ",{";
        ChatLogprob(out, token.top[i].first, token.top[i].second);
        out += '}';
      }
      out += "]}";
    }
    return out + "]}";
  }
  std::string tokens, values, tops, offsets;
  size_t offset = 0;  // in the text that these tokens make together
  for (const TokenLogprob& token : *logprobs) {
    const char* comma = &token == logprobs->data() ? "" : ",";
    tokens += comma + Quoted(token.token);
    values += comma + Logprob(token.logprob);
    offsets += comma + std::to_string(offset);
    offset += token.token.size();
    std::string top;
    for (const auto& [text, logprob] : token.top) {
      top += fmt::format("{}{}:{}", top.empty() ? "" : ",", Quoted(text), Logprob(logprob));
    }
    tops += fmt::format("{}{{{}}}", comma, top);
  }
  return fmt::format(
      R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})", tokens,
      values, tops, offsets);
}

std::string UsageJson(const Usage& usage) {
  return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}})",
                     usage.prompt_tokens, usage.completion_tokens,
                     usage.prompt_tokens + usage.completion_tokens);
}

std::string HeadJson(const AnswerHead& head, std::string_view object) {
  return fmt::format(R"("id":{},"object":"{}","created":{},"model":{})", Quoted(head.id), object,
                     head.created_s, Quoted(head.model));
}

std::string_view ChunkObject(Api api) {
  return api == Api::kChat ? "chat.completion.chunk" : "text_completion";
}

// ---- Reading --------------------------------------------------------------------------------

// Takes fields out of a request; the first thing that is wrong is kept.
class Reader {
 public:
  explicit Reader(const Json& json) : json_(json) {}
  const std::optional<ApiError>& error() const { return error_; }

  void Bad(std::string_view param, std::string_view what) {
    if (error_) return;
    error_ = ApiError{.message = fmt::format("'{}' {}", param, what), .param = std::string(param)};
  }
  // nullptr: absent or null.
  const Json* Get(std::string_view param) const {
    const auto it = json_.find(param);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  void Number(std::string_view param, double low, double high, float& out) {
    const Json* value = Get(param);
    if (value == nullptr) return;
    if (!value->is_number()) return Bad(param, "must be a number");
    const auto number = value->get<double>();
    if (!(number >= low && number <= high)) {
      return Bad(param, fmt::format("is {}, but must be {} to {}", number, low, high));
    }
    out = static_cast<float>(number);
  }
  std::optional<int64_t> Integer(std::string_view param, int64_t low, int64_t high) {
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
  bool Boolean(std::string_view param, bool otherwise) {
    const Json* value = Get(param);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) Bad(param, "must be true or false");
    return value->is_boolean() && value->get<bool>();
  }
  std::string String(std::string_view param) {
    const Json* value = Get(param);
    if (value == nullptr) return {};
    if (!value->is_string()) Bad(param, "must be a string");
    return value->is_string() ? value->get<std::string>() : "";
  }
  // Known to OpenAI's clients, not offered here: fine when it asks for nothing.
  void Unoffered(std::string_view param, const Json& neutral) {
    const Json* value = Get(param);
    if (value == nullptr || *value == neutral || (value->is_structured() && value->empty())) return;
    Bad(param, "is not offered by this server: leave it out");
  }

 private:
  const Json& json_;
  std::optional<ApiError> error_;
};

std::optional<std::vector<int32_t>> TokenIds(const Json& json) {
  std::vector<int32_t> ids;
  for (const Json& id : json) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) return std::nullopt;
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

void ReadPrompt(Reader& reader, CompletionRequest& out) {
  const Json* prompt = reader.Get("prompt");
  if (prompt == nullptr) return reader.Bad("prompt", "is missing");
  if (prompt->is_array() && prompt->size() == 1 && !prompt->front().is_number()) {
    prompt = &prompt->front();
  } else if (prompt->is_array() && prompt->size() > 1 && !prompt->front().is_number()) {
    return reader.Bad("prompt", "holds several prompts: send one request for each");
  }
  if (prompt->is_string()) {
    out.prompt = prompt->get<std::string>();
    return;
  }
  std::optional<std::vector<int32_t>> ids;
  if (prompt->is_array() && !prompt->empty()) ids = TokenIds(*prompt);
  if (!ids) return reader.Bad("prompt", "must be a string or a list of token ids");
  out.prompt_tokens = *std::move(ids);
}

// A string, or a list of {"type": "text", "text": ...}.
std::optional<std::string> ContentOf(const Json& message) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) return std::string();
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) return std::nullopt;
  std::string text;
  for (const Json& part : *content) {
    if (!part.is_object()) return std::nullopt;
    const auto type = part.find("type");
    const auto value = part.find("text");
    if (type == part.end() || *type != "text" || value == part.end() || !value->is_string()) {
      return std::nullopt;
    }
    text += value->get_ref<const std::string&>();
  }
  return text;
}

void ReadMessages(Reader& reader, CompletionRequest& out) {
  const Json* messages = reader.Get("messages");
  if (messages == nullptr) return reader.Bad("messages", "is missing");
  if (!messages->is_array() || messages->empty()) {
    return reader.Bad("messages", "must be a list with at least one message");
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
    std::optional<std::string> content = ContentOf(message);
    if (!content) return reader.Bad(name + ".content", "must be text, or a list of text parts");
    out.messages.push_back({role->get<std::string>(), *std::move(content)});
  }
}

void ReadStop(Reader& reader, CompletionRequest& out) {
  const Json* stop = reader.Get("stop");
  if (stop == nullptr) return;
  const Json list = stop->is_array() ? *stop : Json::array({*stop});
  if (list.size() > kMaxStops) {
    return reader.Bad("stop",
                      fmt::format("has {} strings, at most {} are taken", list.size(), kMaxStops));
  }
  for (const Json& item : list) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty() ||
        item.get_ref<const std::string&>().size() > kMaxStopBytes) {
      return reader.Bad("stop", fmt::format("must hold strings of 1 to {} bytes", kMaxStopBytes));
    }
    out.stop.push_back(item.get<std::string>());
  }
}

void ReadLogprobs(Reader& reader, CompletionRequest& out) {
  if (out.api == Api::kCompletion) {
    if (const auto n = reader.Integer("logprobs", 0, kMaxLogprobs)) {
      out.logprobs = static_cast<int>(*n);
    }
    return;
  }
  const bool wanted = reader.Boolean("logprobs", false);
  const auto top = reader.Integer("top_logprobs", 0, kMaxLogprobs);
  if (top && !wanted) reader.Bad("top_logprobs", "needs 'logprobs' to be true");
  if (wanted) out.logprobs = static_cast<int>(top.value_or(0));
}

}  // namespace

std::string ErrorBody(const ApiError& error) {
  return fmt::format(R"({{"error":{{"message":{},"type":{},"param":{},"code":{}}}}})",
                     Quoted(error.message), Quoted(error.type), QuotedOrNull(error.param),
                     QuotedOrNull(error.code));
}

ApiError FromError(const Error& error) {
  const CodeInfo& info = InfoOf(error.code());
  ApiError out{
      .status = info.http_status, .message = error.ToString(), .code = std::string(info.name)};
  out.retry_after_s = error.retry_after_s();
  switch (error.code()) {
    case Code::kUnauthenticated:
      out.type = "authentication_error";
      out.code = "invalid_api_key";
      break;
    case Code::kPermissionDenied:
      out.type = "permission_error";
      break;
    case Code::kResourceExhausted:
      out.type = "rate_limit_error";
      out.code = "rate_limit_exceeded";
      break;
    default:
      if (info.http_status >= 500) out.type = "server_error";
  }
  return out;
}

ApiError ModelNotFound(std::string_view model) {
  return {.status = 404,
          .message = fmt::format(
              "The model '{}' does not exist; GET /v1/models lists those that do", model),
          .param = "model",
          .code = "model_not_found"};
}

ApiError ContextLengthExceeded(int64_t prompt_tokens, int64_t max_tokens, int64_t context) {
  std::string message =
      prompt_tokens >= context
          ? fmt::format("This model's context is {} tokens; the prompt has {}", context,
                        prompt_tokens)
          : fmt::format("This model's context is {} tokens; the prompt has {} and max_tokens is {}",
                        context, prompt_tokens, max_tokens);
  return {.status = 400,
          .message = std::move(message),
          .param = "prompt",
          .code = "context_length_exceeded"};
}

std::optional<ApiError> ParseCompletionRequest(Api api, std::string_view body,
                                               CompletionRequest& out) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {
    return ApiError{.message = "The body is not valid JSON (in UTF-8)", .code = "invalid_json"};
  }
  if (!json.is_object()) return ApiError{.message = "The body is not a JSON object"};
  Reader reader(json);
  out = {};
  out.api = api;
  out.model = reader.String("model");
  api == Api::kChat ? ReadMessages(reader, out) : ReadPrompt(reader, out);
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    if (const auto n = reader.Integer(name, 1, kMaxMaxTokens))
      out.max_tokens = static_cast<int>(*n);
  }
  reader.Number("temperature", 0, 2, out.temperature);
  reader.Number("top_p", 0, 1, out.top_p);
  if (out.top_p <= 0) reader.Bad("top_p", "must be above 0");
  if (const auto k = reader.Integer("top_k", -1, INT32_MAX)) {
    out.top_k = std::max(0, static_cast<int>(*k));  // -1: all, as vLLM's clients send it
  }
  if (const auto seed = reader.Integer("seed", INT64_MIN, INT64_MAX)) {
    out.seed = static_cast<uint64_t>(*seed);
  }
  ReadStop(reader, out);
  ReadLogprobs(reader, out);
  if (api == Api::kCompletion) out.echo = reader.Boolean("echo", false);
  out.ignore_eos = reader.Boolean("ignore_eos", false);
  out.stream = reader.Boolean("stream", false);
  if (const Json* options = reader.Get("stream_options")) {
    if (!options->is_object()) {
      reader.Bad("stream_options", "must be an object");
    } else if (!out.stream) {
      reader.Bad("stream_options", "is only for 'stream': true");
    } else {
      out.include_usage = Reader(*options).Boolean("include_usage", false);
    }
  }
  reader.Unoffered("n", 1);
  reader.Unoffered("best_of", 1);
  reader.Unoffered("presence_penalty", 0);
  reader.Unoffered("frequency_penalty", 0);
  reader.Unoffered("logit_bias", Json::object());
  if (api == Api::kCompletion) {
    reader.Unoffered("suffix", "");
  } else {
    reader.Unoffered("tools", Json::array());
    reader.Unoffered("functions", Json::array());
    reader.Unoffered("response_format", Json{{"type", "text"}});
  }
  return reader.error();
}

std::optional<RequestRoute> PeekRoute(std::string_view body) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  RequestRoute route;
  if (const auto it = json.find("model"); it != json.end() && it->is_string()) {
    route.model = it->get<std::string>();
  }
  if (const auto it = json.find("stream"); it != json.end() && it->is_boolean()) {
    route.stream = it->get<bool>();
  }
  return route;
}

std::string CompletionBody(const AnswerHead& head, std::string_view text,
                           std::string_view finish_reason, const Usage& usage,
                           const std::vector<TokenLogprob>* logprobs) {
  const bool chat = head.api == Api::kChat;
  const std::string content =
      chat ? fmt::format(R"("message":{{"role":"assistant","content":{},"refusal":null}})",
                         Quoted(text))
           : fmt::format(R"("text":{})", Quoted(text));
  return fmt::format(
      R"({{{},"choices":[{{"index":0,{},"logprobs":{},"finish_reason":{}}}],"usage":{}}})",
      HeadJson(head, chat ? "chat.completion" : "text_completion"), content,
      LogprobsJson(head.api, logprobs), QuotedOrNull(finish_reason), UsageJson(usage));
}

std::string ChunkEvent(const AnswerHead& head, const Chunk& chunk) {
  std::string content;
  if (head.api == Api::kChat) {
    content = R"("delta":{)";
    if (chunk.first) content += R"("role":"assistant","content":)";
    if (!chunk.first && !chunk.text.empty()) content += R"("content":)";
    if (chunk.first || !chunk.text.empty()) Quote(content, chunk.text);
    content += '}';
  } else {
    content = R"("text":)";
    Quote(content, chunk.text);
  }
  return fmt::format(
      "data: {{{},\"choices\":[{{\"index\":0,{},\"logprobs\":{},\"finish_reason\":{}}}]{}}}\n\n",
      HeadJson(head, ChunkObject(head.api)), content, LogprobsJson(head.api, chunk.logprobs),
      QuotedOrNull(chunk.finish_reason), chunk.null_usage ? R"(,"usage":null)" : "");
}

std::string UsageEvent(const AnswerHead& head, const Usage& usage) {
  return fmt::format("data: {{{},\"choices\":[],\"usage\":{}}}\n\n",
                     HeadJson(head, ChunkObject(head.api)), UsageJson(usage));
}

std::string ErrorEvent(const ApiError& error) {
  return fmt::format("data: {}\n\n", ErrorBody(error));
}

std::string ModelBody(const ModelInfo& model) {
  std::string context;
  if (model.context_length) context = fmt::format(R"(,"max_model_len":{})", *model.context_length);
  return fmt::format(R"({{"id":{},"object":"model","created":{},"owned_by":{}{}}})",
                     Quoted(model.id), model.created_s, Quoted(model.owned_by), context);
}

std::string ModelListBody(const std::vector<ModelInfo>& models) {
  std::string list;
  for (const ModelInfo& model : models) {
    if (!list.empty()) list += ',';
    list += ModelBody(model);
  }
  return fmt::format(R"({{"object":"list","data":[{}]}})", list);
}

}  // namespace weir::wire
