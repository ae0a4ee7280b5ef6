#include "engine/serve/replica.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "base/random.h"
#include "engine/serve/chat_prompt.h"
#include "engine/serve/metrics.h"
#include "io/http_router.h"
#include "io/http_server.h"
#include "io/secret.h"
#include "wire/openai_chat.h"
#include "wire/openai_completion.h"

namespace weir::serve {
namespace {

constexpr int kDefaultCompletionTokens = 16;            // OpenAI's default for /v1/completions
constexpr Duration kCloseGrace = Duration::Seconds(2);  // for answers to leave the sockets

io::HttpResponse ErrorResponse(const wire::ApiError& error) {
  io::HttpResponse response = io::JsonResponse(error.status, wire::ErrorBody(error));
  if (error.retry_after_s) {
    response.headers.push_back({"Retry-After", std::to_string(*error.retry_after_s)});
  }
  return response;
}

wire::ApiError Interrupted() {
  return {.status = 503,
          .message = "The replica stopped before this answer was complete; send the request again",
          .type = "server_error",
          .code = "unavailable",
          .retry_after_s = 1};
}

std::string_view NameOf(Finish finish) { return finish == Finish::kLength ? "length" : "stop"; }

// The answer to one request, fed by the engine's events.
class Answer {
 public:
  Answer(io::HttpExchangePtr exchange, bool chat, wire::AnswerHead head,
         const wire::Generation& request, int64_t prompt_tokens, std::string echo)
      : exchange_(std::move(exchange)),
        chat_(chat),
        head_(std::move(head)),
        stream_(request.stream),
        include_usage_(request.include_usage),
        wants_logprobs_(request.logprobs.has_value()),
        usage_{prompt_tokens, 0},
        text_(std::move(echo)) {}

  void Take(const Event& event) {
    usage_.completion_tokens = event.completion_tokens;
    stream_ ? Stream(event) : Collect(event);
  }

 private:
  void Collect(const Event& event) {
    text_ += event.text;
    logprobs_.insert(logprobs_.end(), event.logprobs.begin(), event.logprobs.end());
    if (!event.done) return;
    if (event.finish == Finish::kFailed) return exchange_->Answer(ErrorResponse(Interrupted()));
    exchange_->Answer(io::JsonResponse(200, Body(NameOf(event.finish))));
  }

  void Stream(const Event& event) {
    const bool failed = event.done && event.finish == Finish::kFailed;
    if (!begun_) {
      if (failed) return exchange_->Answer(ErrorResponse(Interrupted()));
      exchange_->Begin(200, {{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-cache"}});
      if (chat_) out_ += wire::ChatEvent(head_, {.first = true}, include_usage_);
      if (!text_.empty()) Write(text_, {}, nullptr);  // echo
      begun_ = true;
    }
    const bool logprobs = !event.logprobs.empty();
    if (!event.text.empty() || logprobs) {
      Write(event.text, {}, logprobs ? &event.logprobs : nullptr);
    }
    if (event.done && !failed) {
      Write({}, NameOf(event.finish), nullptr);
      if (include_usage_) {
        out_ +=
            chat_ ? wire::ChatUsageEvent(head_, usage_) : wire::CompletionUsageEvent(head_, usage_);
      }
      out_ += wire::kDoneEvent;
    }
    if (failed) out_ += wire::ErrorEvent(Interrupted());
    if (!out_.empty()) exchange_->Write(out_);
    out_.clear();
    if (event.done) exchange_->End();
  }

  std::string Body(std::string_view finish) const {
    if (chat_) {
      wire::ChatChoice choice{.content = text_, .finish_reason = finish};
      if (wants_logprobs_) choice.logprobs = logprobs_;
      return wire::ChatBody(head_, {&choice, 1}, usage_);
    }
    wire::CompletionChoice choice{.text = text_, .finish_reason = finish};
    if (wants_logprobs_) choice.logprobs = {.tokens = logprobs_};
    return wire::CompletionBody(head_, {&choice, 1}, usage_);
  }

  void Write(std::string_view text, std::string_view finish,
             const std::vector<wire::TokenLogprob>* logprobs) {
    if (chat_) {
      wire::ChatChoice choice{.content = text, .finish_reason = finish};
      if (logprobs != nullptr) choice.logprobs = *logprobs;
      out_ += wire::ChatEvent(head_, choice, include_usage_);
      return;
    }
    wire::CompletionChoice choice{.text = text, .finish_reason = finish};
    if (logprobs != nullptr) {
      choice.logprobs = {.tokens = *logprobs, .text_offset = offset_};
      for (const wire::TokenLogprob& t : *logprobs) offset_ += wire::CountCharacters(t.token);
    }
    out_ += wire::CompletionEvent(head_, choice, include_usage_);
  }

  const io::HttpExchangePtr exchange_;
  const bool chat_;
  const wire::AnswerHead head_;
  const bool stream_, include_usage_, wants_logprobs_;
  wire::Usage usage_;
  std::string text_;  // whole answers: all so far; streams: the echo
  std::vector<wire::TokenLogprob> logprobs_;
  int64_t offset_ = 0;
  bool begun_ = false;
  std::string out_;
};

// What the engine does not do yet.
std::optional<wire::ApiError> NotYet(const wire::Generation& request) {
  const auto refuse = [](const std::string& param) {
    return wire::ApiError{.message = fmt::format("'{}' is not offered by this server", param),
                          .param = param};
  };
  if (request.n > 1) return refuse("n");
  if (request.format.kind != wire::OutputFormat::Kind::kText) return refuse(request.format.param);
  if (!request.stop_token_ids.empty()) return refuse("stop_token_ids");
  return std::nullopt;
}

}  // namespace

struct Replica::Impl {
  Impl(std::shared_ptr<const model::Model> m, const ReplicaOptions& o, const io::Clock& c)
      : model(std::move(m)), options(o), clock(c), random(o.seed), started(c.Now()) {}

  void Routes();
  bool Admit(const io::HttpExchangePtr& exchange);
  void Complete(const io::HttpExchangePtr& exchange);
  void Chat(const io::HttpExchangePtr& exchange);
  void Start(const io::HttpExchangePtr& exchange, bool chat, const wire::Generation& request,
             const wire::Prompt& prompt, bool echo);
  std::optional<wire::ApiError> Prepare(bool chat, const wire::Generation& request,
                                        const wire::Prompt& prompt, GenerateRequest& out);
  wire::ModelInfo Info() const {
    return {.id = options.name,
            .created_s = started.us / 1'000'000,
            .context_length = engine->context()};
  }
  uint64_t NextRandom() {
    const std::lock_guard lock(mutex);
    return random.Next();
  }

  const std::shared_ptr<const model::Model> model;
  ReplicaOptions options;
  const io::Clock& clock;
  std::mutex mutex;  // guards random
  Random random;
  const Time started;
  std::atomic<bool> draining = false;
  std::unique_ptr<Engine> engine;
  io::HttpRouter router;
  std::unique_ptr<io::HttpServer> server;
};

Result<std::unique_ptr<Replica>> Replica::Create(std::shared_ptr<const model::Model> model,
                                                 const ReplicaOptions& options,
                                                 const io::Clock& clock) {
  auto impl = std::make_unique<Impl>(model, options, clock);
  if (impl->options.name.empty()) impl->options.name = model->name();
  impl->engine = TRY(Engine::Create(std::move(model), options.engine, clock));
  impl->Routes();
  impl->server = std::make_unique<io::HttpServer>(
      io::HttpServerOptions{.address = options.address, .port = options.port},
      impl->router.Handler());
  return std::unique_ptr<Replica>(new Replica(std::move(impl)));
}

Replica::Replica(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Replica::~Replica() {
  // The last events still find the server's loops; no handler finds the engine gone.
  impl_->engine->Drain({});
  impl_->server.reset();
}

Result<uint16_t> Replica::Start() { return impl_->server->Start(); }
Engine& Replica::engine() { return *impl_->engine; }
const std::string& Replica::name() const { return impl_->options.name; }

bool Replica::Drain(Duration grace) {
  impl_->draining = true;
  const bool finished = impl_->engine->Drain(grace);
  const bool sent = impl_->server->Stop(kCloseGrace);
  return finished && sent;
}

void Replica::Impl::Routes() {
  using io::HttpExchangePtr;
  using io::PathParams;
  router.Add("GET", "/healthz", [this](const HttpExchangePtr& x, const PathParams&) {
    x->Answer(draining ? io::TextResponse(503, "draining\n") : io::TextResponse(200, "ok\n"));
  });
  router.Add("GET", "/metrics", [this](const HttpExchangePtr& x, const PathParams&) {
    x->Answer(io::TextResponse(200, PrometheusText(engine->stats()),
                               "text/plain; version=0.0.4; charset=utf-8"));
  });
  router.Add("GET", "/v1/models", [this](const HttpExchangePtr& x, const PathParams&) {
    if (Admit(x)) x->Answer(io::JsonResponse(200, wire::ModelListBody({Info()})));
  });
  router.Add("GET", "/v1/models/{model}", [this](const HttpExchangePtr& x, const PathParams& p) {
    if (!Admit(x)) return;
    if (p["model"] != options.name) {
      return x->Answer(ErrorResponse(wire::ModelNotFound(p["model"])));
    }
    x->Answer(io::JsonResponse(200, wire::ModelBody(Info())));
  });
  router.Add("POST", "/v1/completions",
             [this](const HttpExchangePtr& x, const PathParams&) { Complete(x); });
  router.Add("POST", "/v1/chat/completions",
             [this](const HttpExchangePtr& x, const PathParams&) { Chat(x); });
  router.SetFallback([](const HttpExchangePtr& x) {
    x->Answer(ErrorResponse({.status = 404,
                             .message = fmt::format("No such path: {}", x->request().raw_path()),
                             .code = "not_found"}));
  });
}

// Whether the key is right; answers if not.
bool Replica::Impl::Admit(const io::HttpExchangePtr& exchange) {
  if (!options.api_key) return true;
  const std::optional<std::string_view> token = exchange->request().BearerToken();
  if (token && io::EqualInConstantTime(*token, *options.api_key)) return true;
  exchange->Answer(ErrorResponse(wire::FromError(
      Error(Code::kUnauthenticated, token ? "This API key is not known" : "An API key is needed")
          .Hint("send it as \"Authorization: Bearer KEY\""))));
  return false;
}

std::optional<wire::ApiError> Replica::Impl::Prepare(bool chat, const wire::Generation& request,
                                                     const wire::Prompt& prompt,
                                                     GenerateRequest& out) {
  const model::Tokenizer& tokenizer = model->tokenizer();
  for (const int32_t id : prompt.tokens) {
    if (id >= tokenizer.vocab_size()) {
      return wire::ApiError{.message = fmt::format("'prompt' holds the token id {}; this model "
                                                   "has {} tokens",
                                                   id, tokenizer.vocab_size()),
                            .param = "prompt"};
    }
  }
  out.prompt = prompt.tokens;
  if (out.prompt.empty()) {
    if (tokenizer.add_bos() && tokenizer.bos()) out.prompt.push_back(*tokenizer.bos());
    const std::vector<int32_t> ids = tokenizer.Encode(prompt.text);
    out.prompt.insert(out.prompt.end(), ids.begin(), ids.end());
  }
  if (out.prompt.empty()) {
    // Nothing to continue: begin a text, as the model saw texts begin in training.
    const std::optional<int32_t> start = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
    if (!start) {
      return wire::ApiError{.message =
                                "'prompt' is empty, and this model has no token that begins "
                                "a text",
                            .param = "prompt"};
    }
    out.prompt.push_back(*start);
  }
  const auto length = static_cast<int64_t>(out.prompt.size());
  const int64_t room = engine->context() - length;
  if (room < 1 || request.max_tokens.value_or(0) > room) {
    return wire::ContextLengthExceeded(length, request.max_tokens.value_or(0), engine->context());
  }
  const int64_t otherwise = chat ? room : std::min<int64_t>(kDefaultCompletionTokens, room);
  out.max_tokens = request.max_tokens.value_or(static_cast<int>(otherwise));
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
  if (chat) out.stop.emplace_back(ChatStop());
  out.ignore_eos = request.ignore_eos;
  out.logprobs = request.logprobs;
  return NotYet(request);
}

void Replica::Impl::Complete(const io::HttpExchangePtr& exchange) {
  if (!Admit(exchange)) return;
  wire::CompletionRequest request;
  if (auto error = wire::ParseCompletionRequest(exchange->request().body, request)) {
    return exchange->Answer(ErrorResponse(*error));
  }
  if (request.prompts.size() > 1 || (request.echo && request.max_tokens == 0)) {
    return exchange->Answer(
        ErrorResponse({.message = "'prompt' holds several prompts: send one request for each",
                       .param = "prompt"}));
  }
  Start(exchange, /*chat=*/false, request, request.prompts.front(), request.echo);
}

void Replica::Impl::Chat(const io::HttpExchangePtr& exchange) {
  if (!Admit(exchange)) return;
  wire::ChatRequest request;
  if (auto error = wire::ParseChatRequest(exchange->request().body, request)) {
    return exchange->Answer(ErrorResponse(*error));
  }
  if (request.tool_choice.kind != wire::ToolChoice::Kind::kNone) {
    return exchange->Answer(
        ErrorResponse({.message = "'tools' is not offered by this server", .param = "tools"}));
  }
  Start(exchange, /*chat=*/true, request, {ChatPrompt(*request.messages), {}}, /*echo=*/false);
}

void Replica::Impl::Start(const io::HttpExchangePtr& exchange, bool chat,
                          const wire::Generation& request, const wire::Prompt& prompt,
                          bool echo_prompt) {
  if (!request.model.empty() && request.model != options.name) {
    return exchange->Answer(ErrorResponse(wire::ModelNotFound(request.model)));
  }
  GenerateRequest generate;
  if (auto error = Prepare(chat, request, prompt, generate)) {
    return exchange->Answer(ErrorResponse(*error));
  }
  std::string echo;
  if (echo_prompt && prompt.tokens.empty()) echo = prompt.text;
  if (echo_prompt && !prompt.tokens.empty()) {
    std::string bytes = model->tokenizer().Decode(prompt.tokens);
    echo = model::TakeUtf8(bytes, /*final=*/true);
  }
  wire::AnswerHead head{.id = fmt::format("{}-{:016x}", chat ? "chatcmpl" : "cmpl", NextRandom()),
                        .created_s = clock.Now().us / 1'000'000,
                        .model = options.name};
  const auto prompt_tokens = static_cast<int64_t>(generate.prompt.size());
  auto answer = std::make_shared<Answer>(exchange, chat, std::move(head), request, prompt_tokens,
                                         std::move(echo));
  // From Submit on the exchange belongs to the engine's thread. This runs on the connection's loop,
  // as the callback does, so the id is there before the callback can be.
  auto id = std::make_shared<uint64_t>(0);
  exchange->OnClosed([this, id] {
    if (*id != 0) engine->Cancel(*id);
  });
  const Result<uint64_t> submitted =
      engine->Submit(std::move(generate), [answer](const Event& event) { answer->Take(event); });
  if (!submitted) return exchange->Answer(ErrorResponse(wire::FromError(submitted.error())));
  *id = *submitted;
  if (exchange->closed()) engine->Cancel(*id);
}

}  // namespace weir::serve
