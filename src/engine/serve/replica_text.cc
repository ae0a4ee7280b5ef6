// The endpoints that generate: from a checked request to the engine's, and back through an
// HttpAnswer.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/serve/replica_impl.h"
#include "wire/openai_responses.h"

namespace weir::serve {
namespace {

constexpr int64_t kDefaultCompletionTokens = 16;  // OpenAI's default for /v1/completions

bool CallsTools(const wire::ChatRequest& request) {
  using Choice = wire::ToolChoice::Kind;
  return request.tool_choice.kind == Choice::kRequired ||
         request.tool_choice.kind == Choice::kNamed;
}

wire::ApiError BadParam(std::string_view param, std::string_view what) {
  return {.message = fmt::format("'{}' {}", param, what), .param = std::string(param)};
}

}  // namespace

std::optional<wire::ApiError> Replica::Impl::Constrain(const wire::OutputFormat& form, bool thinks,
                                                       GenerateRequest& out) {
  Result<std::shared_ptr<const Constraint>> made = constraints.For(form, thinks);
  if (!made) return BadParam(form.param, "cannot be followed: " + made.error().ToString());
  out.constraint = *std::move(made);
  return std::nullopt;
}

std::optional<wire::ApiError> Replica::Impl::Fill(const wire::Generation& request,
                                                  const io::HttpRequest& http,
                                                  int64_t default_max_tokens,
                                                  std::string_view prompt_param,
                                                  GenerateRequest& out) {
  const auto prompt = static_cast<int64_t>(out.prompt.size());
  const int64_t room = engine->context() - prompt;
  const int64_t wanted = request.max_tokens.value_or(0);
  if (room < (request.max_tokens ? wanted : 1)) {
    wire::ApiError error = wire::ContextLengthExceeded(prompt, wanted, engine->context());
    error.param = prompt_param;
    return error;
  }
  out.max_tokens =
      static_cast<int>(request.max_tokens ? wanted : std::min(default_max_tokens, room));
  out.n = request.n;
  const int vocabulary = model->tokenizer().vocab_size();
  for (const auto& [id, bias] : request.logit_bias) {
    if (id >= vocabulary) {
      return BadParam("logit_bias",
                      fmt::format("names the token {}; this model has {} tokens", id, vocabulary));
    }
  }
  out.sampling = {.temperature = request.temperature,
                  .top_p = request.top_p,
                  .top_k = request.top_k,
                  .min_p = request.min_p,
                  .repetition_penalty = request.repetition_penalty,
                  .presence_penalty = request.presence_penalty,
                  .frequency_penalty = request.frequency_penalty,
                  .logit_bias = request.logit_bias,
                  .seed = request.seed ? *request.seed : NextRandom()};
  out.stop = request.stop;
  out.stop_tokens = request.stop_token_ids;
  out.ignore_eos = request.ignore_eos;
  out.logprobs = request.logprobs;
  TakeUrgency(http, request.priority, out);
  return FindModel(request.model, out.adapter);
}

void Replica::Impl::Ask(const io::HttpExchangePtr& exchange, std::shared_ptr<HttpAnswer> answer,
                        std::vector<GenerateRequest> requests, size_t at_once) {
  std::make_shared<Submission>(*engine, std::move(answer), std::move(requests), at_once)
      ->Start(*exchange);
}

// ---- /v1/completions -------------------------------------------------------------------------

void Replica::Impl::Continue(const io::HttpExchangePtr& exchange, bool compiles,
                             std::function<void()> rest) {
  if (!compiles) return rest();
  if (side.Post([exchange, rest = std::move(rest)] {
        if (!exchange->closed()) rest();
      })) {
    return;
  }
  exchange->Answer(ErrorResponse(wire::FromError(
      Error(Code::kResourceExhausted, "too many new forms (schemas, patterns, grammars) at once")
          .RetryAfter(1))));
}

void Replica::Impl::Complete(const io::HttpExchangePtr& exchange) {
  const auto request = std::make_shared<wire::CompletionRequest>();
  if (auto error = wire::ParseCompletionRequest(exchange->request().body, *request, defaults)) {
    return exchange->Answer(ErrorResponse(*error));
  }
  Continue(exchange, !constraints.Has(request->format),
           [this, exchange, request] { CompletePrepared(exchange, *request); });
}

void Replica::Impl::CompletePrepared(const io::HttpExchangePtr& exchange,
                                     const wire::CompletionRequest& request) {
  std::vector<CompletionPart> parts;
  std::vector<GenerateRequest> requests;
  for (const wire::Prompt& prompt : request.prompts) {
    GenerateRequest generate;
    bool began = false;
    auto error = TokensOf(prompt, "prompt", request.add_special_tokens, generate.prompt, &began);
    if (!error) {
      error = Fill(request, exchange->request(), kDefaultCompletionTokens, "prompt", generate);
    }
    if (!error) error = Constrain(request.format, /*thinks=*/false, generate);
    if (error) return exchange->Answer(ErrorResponse(*error));
    CompletionPart part{.prompt_tokens = static_cast<int64_t>(generate.prompt.size())};
    if (request.echo) {
      part.echo = prompt.tokens.empty() ? prompt.text : TextOf(prompt.tokens);
      generate.prompt_logprobs = request.logprobs.has_value();
      if (!began) part.first_token = model->tokenizer().BytesOf(generate.prompt.front());
    }
    parts.push_back(std::move(part));
    requests.push_back(std::move(generate));
  }
  wire::AnswerHead head{.id = fmt::format("cmpl-{:016x}", NextRandom()),
                        .created_s = NowSeconds(),
                        .model = request.model.empty() ? options.name : request.model};
  const size_t all = requests.size();
  Ask(exchange,
      std::make_shared<CompletionAnswer>(exchange, std::move(head), request, std::move(parts)),
      std::move(requests), all);
}

// ---- Chat ------------------------------------------------------------------------------------

std::optional<wire::ApiError> Replica::Impl::PrepareChat(const wire::ChatRequest& request,
                                                         const io::HttpRequest& http,
                                                         std::string_view param,
                                                         Conversation& out) {
  const Result<std::string> rendered = format.Render(request, NowSeconds());
  if (!rendered)
    return BadParam(param, "do not fit this model's chat template: " + rendered.error().ToString());
  GenerateRequest& generate = out.generate;
  generate.prompt = format.Encode(*rendered);
  if (generate.prompt.empty()) return BadParam(param, "give an empty prompt");
  if (auto error = Fill(request, http, INT64_MAX, param, generate)) return error;
  if (!format.stop().empty()) generate.stop.emplace_back(format.stop());

  using Choice = wire::ToolChoice::Kind;
  const bool tools = request.tool_choice.kind != Choice::kNone;
  const bool thinks = format.thinks() && ChatFormat::BeginsThinking(*rendered);
  out.output = {
      .split_thinking = format.thinks() && request.split_reasoning.value_or(options.split_thinking),
      .thinking = thinks,
      .tools = tools,
      .format = format.tool_format(),
      .tool_names = request.tool_names,
      .id_seed = NextRandom()};
  generate.show_tokens = format.Shown(tools);
  wire::OutputFormat form = request.format;
  if (CallsTools(request)) {
    Result<std::string> grammar =
        templates::ToolGrammar(format.tool_format(), *request.tools, request.tool_choice.name,
                               request.parallel_tool_calls);
    if (!grammar) return BadParam("tools", "cannot be followed: " + grammar.error().ToString());
    form = {wire::OutputFormat::Kind::kGrammar, *std::move(grammar), "tools", false};
  }
  return Constrain(form, thinks, generate);
}

void Replica::Impl::Chat(const io::HttpExchangePtr& exchange) {
  const auto request = std::make_shared<wire::ChatRequest>();
  if (auto error = wire::ParseChatRequest(exchange->request().body, *request, defaults)) {
    return exchange->Answer(ErrorResponse(*error));
  }
  Continue(exchange, CallsTools(*request) || !constraints.Has(request->format),
           [this, exchange, request] { ChatPrepared(exchange, *request); });
}

void Replica::Impl::ChatPrepared(const io::HttpExchangePtr& exchange,
                                 const wire::ChatRequest& request) {
  Conversation conversation;
  if (auto error = PrepareChat(request, exchange->request(), "messages", conversation)) {
    return exchange->Answer(ErrorResponse(*error));
  }
  wire::AnswerHead head{.id = fmt::format("chatcmpl-{:016x}", NextRandom()),
                        .created_s = NowSeconds(),
                        .model = request.model.empty() ? options.name : request.model};
  const auto prompt_tokens = static_cast<int64_t>(conversation.generate.prompt.size());
  auto answer = std::make_shared<ChatAnswer>(exchange, std::move(head), request,
                                             conversation.output, prompt_tokens);
  std::vector<GenerateRequest> requests;
  requests.push_back(std::move(conversation.generate));
  Ask(exchange, std::move(answer), std::move(requests), 1);
}

void Replica::Impl::Responses(const io::HttpExchangePtr& exchange) {
  const auto request = std::make_shared<wire::ResponsesRequest>();
  if (auto error = wire::ParseResponsesRequest(exchange->request().body, *request, defaults)) {
    return exchange->Answer(ErrorResponse(*error));
  }
  Continue(exchange, CallsTools(request->chat) || !constraints.Has(request->chat.format),
           [this, exchange, request] { ResponsesPrepared(exchange, *request); });
}

void Replica::Impl::ResponsesPrepared(const io::HttpExchangePtr& exchange,
                                      const wire::ResponsesRequest& request) {
  Conversation conversation;
  if (auto error = PrepareChat(request.chat, exchange->request(), "input", conversation)) {
    return exchange->Answer(ErrorResponse(*error));
  }
  wire::ResponseAnswer told(NextRandom(), NowSeconds(),
                            request.chat.model.empty() ? options.name : request.chat.model,
                            request);
  const auto prompt_tokens = static_cast<int64_t>(conversation.generate.prompt.size());
  auto answer = std::make_shared<ResponsesAnswer>(exchange, std::move(told), request.chat,
                                                  conversation.output, prompt_tokens);
  std::vector<GenerateRequest> requests;
  requests.push_back(std::move(conversation.generate));
  Ask(exchange, std::move(answer), std::move(requests), 1);
}

}  // namespace weir::serve
