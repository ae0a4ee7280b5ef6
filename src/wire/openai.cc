#include "wire/openai.h"

#include "wire/openai_json.h"

namespace weir::wire {

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

ApiError TransportError(int status, std::string_view detail) {
  ApiError out{.status = status, .message = std::string(detail)};
  switch (status) {
    case 400:
      out.code = "malformed_request";
      break;
    case 404:
      out.code = "not_found";
      break;
    case 405:
      out.code = "method_not_allowed";
      break;
    case 408:
      out.code = "request_timeout";
      break;
    case 413:
      out.code = "request_too_large";
      break;
    case 431:
      out.code = "headers_too_large";
      break;
    default:
      out.code = status == 503 ? "unavailable" : "";
      if (status >= 500) out.type = "server_error";
  }
  return out;
}

std::string ErrorEvent(const ApiError& error) {
  return fmt::format("data: {}\n\n", ErrorBody(error));
}

std::string ModelBody(const ModelInfo& model) {
  std::string more;
  if (model.context_length) more = fmt::format(R"(,"max_model_len":{})", *model.context_length);
  if (!model.parent.empty()) more += fmt::format(R"(,"parent":{})", Quoted(model.parent));
  return fmt::format(R"({{"id":{},"object":"model","created":{},"owned_by":{}{}}})",
                     Quoted(model.id), model.created_s, Quoted(model.owned_by), more);
}

std::string ModelListBody(const std::vector<ModelInfo>& models) {
  std::string list;
  for (const ModelInfo& model : models) {
    if (!list.empty()) list += ',';
    list += ModelBody(model);
  }
  return fmt::format(R"({{"object":"list","data":[{}]}})", list);
}

std::optional<RequestRoute> PeekRoute(std::string_view body) {
  Json json;
  if (ParseObject(body, json)) return std::nullopt;
  RequestRoute route;
  if (const auto it = json.find("model"); it != json.end() && it->is_string()) {
    route.model = it->get<std::string>();
  }
  if (const auto it = json.find("stream"); it != json.end() && it->is_boolean()) {
    route.stream = it->get<bool>();
  }
  return route;
}

}  // namespace weir::wire
