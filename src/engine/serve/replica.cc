#include "engine/serve/replica.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/logging.h"
#include "engine/serve/metrics.h"
#include "engine/serve/replica_impl.h"
#include "io/secret.h"

namespace weir::serve {
namespace {

constexpr Duration kCloseGrace = Duration::Seconds(2);  // for answers to leave the sockets

io::HttpResponse Refusal(std::string_view /*target*/, int status, const Error& error) {
  wire::ApiError words = wire::TransportError(status, error.ToString());
  words.retry_after_s = error.retry_after_s();
  return ErrorResponse(words);
}

std::optional<int64_t> HeaderNumber(const io::HttpRequest& http, std::string_view name) {
  const std::optional<std::string_view> text = http.Header(name);
  int64_t number = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return number;
}

// What the makers of a model would have it sampled with; OpenAI's defaults where they do not say.
wire::Generation DefaultsOf(const model::GenerationDefaults& file) {
  wire::Generation out;
  if (file.temperature) out.temperature = *file.temperature;
  if (file.top_p && *file.top_p > 0) out.top_p = *file.top_p;
  if (file.min_p) out.min_p = *file.min_p;
  if (file.top_k) out.top_k = *file.top_k;
  if (file.repetition_penalty && *file.repetition_penalty > 0) {
    out.repetition_penalty = *file.repetition_penalty;
  }
  return out;
}

}  // namespace

void TakeUrgency(const io::HttpRequest& http, int64_t priority, GenerateRequest& out) {
  out.key = std::string(http.Header("Weir-Key").value_or(http.peer));
  // A client may stand back, never step forward: its tier is the gateway's to say.
  const int64_t tier = HeaderNumber(http, "Weir-Tier").value_or(1);
  const int64_t back =
      std::clamp<int64_t>(HeaderNumber(http, "Weir-Priority").value_or(priority), 0, kTiers);
  out.tier =
      static_cast<int>(std::clamp<int64_t>(std::clamp<int64_t>(tier, 1, kTiers) + back, 1, kTiers));
  if (const auto ms = HeaderNumber(http, "Weir-Deadline-Ms"); ms && *ms > 0) {
    out.deadline = Duration::Millis(std::min<int64_t>(*ms, int64_t{24} * 3600 * 1000));
  }
}

// ---- Several requests as one -----------------------------------------------------------------

Submission::Submission(Engine& engine, std::shared_ptr<HttpAnswer> answer,
                       std::vector<GenerateRequest> requests, size_t at_once)
    : engine_(engine),
      answer_(std::move(answer)),
      at_once_(at_once),
      requests_(std::move(requests)) {}

void Submission::Start(io::HttpExchange& exchange) {
  exchange.OnClosed([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->CancelAll();
  });
  size_t n = 0;
  {
    const std::lock_guard lock(mutex_);
    n = std::min(at_once_, requests_.size());
  }
  for (size_t i = 0; i < n; ++i) SubmitNext();
}

void Submission::SubmitNext() {
  GenerateRequest request;
  size_t part = 0;
  {
    const std::lock_guard lock(mutex_);
    if (cancelled_ || next_ == requests_.size()) return;
    part = next_++;
    request = std::move(requests_[part]);
  }
  const Result<uint64_t> id =
      engine_.Submit(std::move(request), [self = shared_from_this(), part](const Event& event) {
        self->answer_->Take(part, event);
        if (event.last) self->SubmitNext();
      });
  if (!id) {
    CancelAll();
    return answer_->Refuse(wire::FromError(id.error()));
  }
  bool gone = false;
  {
    const std::lock_guard lock(mutex_);
    ids_.push_back(*id);
    gone = cancelled_;
  }
  if (gone) engine_.Cancel(*id);
}

void Submission::CancelAll() {
  std::vector<uint64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    ids = ids_;
  }
  for (const uint64_t id : ids) engine_.Cancel(id);
}

// ---- The side thread ---------------------------------------------------------------------------

SideThread::SideThread() : thread_([this] { Run(); }) {}
SideThread::~SideThread() { Stop(); }

bool SideThread::Post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (stop_ || waiting_.size() >= kMostWaiting) return false;
  waiting_.push_back(std::move(work));
  wake_.notify_one();
  return true;
}

void SideThread::Stop() {
  std::deque<std::function<void()>> dropped;  // destroyed outside of the lock
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    dropped.swap(waiting_);
    wake_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

void SideThread::Run() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
      if (stop_) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    try {
      work();
    } catch (const std::exception& error) {  // the exchange is let go of: 500
      log::error("a request's form failed: {}", error.what());
    }
  }
}

// ---- The replica -----------------------------------------------------------------------------

Replica::Impl::Impl(std::shared_ptr<const model::Model> m, const ReplicaOptions& o,
                    const io::Clock& c, ChatFormat f)
    : model(std::move(m)),
      options(o),
      clock(c),
      format(std::move(f)),
      defaults(o.model_sampling ? DefaultsOf(model->files().generation()) : wire::Generation{}),
      constraints(model->tokenizer()),
      random(o.seed),
      started_s(c.Now().us / 1'000'000) {
  if (options.name.empty()) options.name = model->name();
}

Result<std::unique_ptr<Replica>> Replica::Create(std::shared_ptr<const model::Model> model,
                                                 const ReplicaOptions& options,
                                                 const io::Clock& clock) {
  ChatFormat format = TRY(ChatFormat::Create(model->tokenizer(), options.chat_template));
  auto impl = std::make_unique<Impl>(model, options, clock, std::move(format));
  impl->engine = TRY(Engine::Create(std::move(model), options.engine, clock));
  impl->Routes();
  impl->server = std::make_unique<io::HttpServer>(
      io::HttpServerOptions{.address = options.address, .port = options.port, .refusal = Refusal},
      impl->router.Handler());
  return std::unique_ptr<Replica>(new Replica(std::move(impl)));
}

Replica::Replica(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Replica::~Replica() {
  // The last events still find the server's loops; no handler finds the engine gone.
  impl_->side.Stop();
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

uint64_t Replica::Impl::NextRandom() {
  const std::lock_guard lock(mutex);
  return random.Next();
}

void Replica::Impl::Routes() {
  using io::HttpExchangePtr;
  using io::PathParams;
  for (const char* path : {"/healthz", "/readyz"}) {
    router.Add("GET", path, [this](const HttpExchangePtr& x, const PathParams&) {
      x->Answer(draining ? io::TextResponse(503, "draining\n") : io::TextResponse(200, "ok\n"));
    });
  }
  router.Add("GET", "/metrics", [this](const HttpExchangePtr& x, const PathParams&) {
    x->Answer(io::TextResponse(200, PrometheusText(engine->stats()),
                               "text/plain; version=0.0.4; charset=utf-8"));
  });
  router.Add("GET", "/v1/models", [this](const HttpExchangePtr& x, const PathParams&) {
    if (Admit(*x)) x->Answer(io::JsonResponse(200, wire::ModelListBody(Models())));
  });
  router.Add("GET", "/v1/models/{model...}", [this](const HttpExchangePtr& x, const PathParams& p) {
    if (!Admit(*x)) return;
    for (const wire::ModelInfo& info : Models()) {
      if (info.id == p["model"]) return x->Answer(io::JsonResponse(200, wire::ModelBody(info)));
    }
    x->Answer(ErrorResponse(wire::ModelNotFound(p["model"])));
  });
  const auto post = [this](const char* path, void (Impl::*handle)(const HttpExchangePtr&)) {
    router.Add("POST", path, [this, handle](const HttpExchangePtr& x, const PathParams&) {
      if (Admit(*x)) (this->*handle)(x);
    });
  };
  post("/v1/completions", &Impl::Complete);
  post("/v1/chat/completions", &Impl::Chat);
  post("/v1/responses", &Impl::Responses);
  post("/v1/embeddings", &Impl::Embed);
  post("/tokenize", &Impl::Tokenize);
  post("/detokenize", &Impl::Detokenize);
  router.SetRefusal(Refusal);
}

bool Replica::Impl::Admit(io::HttpExchange& exchange) {
  if (options.api_keys.empty()) return true;
  const std::optional<std::string_view> token = exchange.request().BearerToken();
  bool known = false;  // every key is compared, so that time does not tell which one is near
  for (const std::string& key : options.api_keys) {
    known |= token && io::EqualInConstantTime(*token, key);
  }
  if (known) return true;
  exchange.Answer(ErrorResponse(wire::FromError(
      Error(Code::kUnauthenticated, token ? "This API key is not known" : "An API key is needed")
          .Hint("send it as \"Authorization: Bearer KEY\""))));
  return false;
}

std::vector<wire::ModelInfo> Replica::Impl::Models() const {
  const auto info = [&](const std::string& id) {
    return wire::ModelInfo{.id = id, .created_s = started_s, .context_length = engine->context()};
  };
  std::vector<wire::ModelInfo> all = {info(options.name)};
  for (const std::string& alias : options.aliases) all.push_back(info(alias));
  for (const std::string& adapter : engine->adapters()) {
    all.push_back(info(adapter));
    all.back().parent = options.name;
  }
  return all;
}

std::optional<wire::ApiError> Replica::Impl::FindModel(const std::string& name,
                                                       std::string& adapter) const {
  const auto has = [&](const std::vector<std::string>& all) {
    return std::find(all.begin(), all.end(), name) != all.end();
  };
  if (name.empty() || name == options.name || has(options.aliases)) return std::nullopt;
  if (!has(engine->adapters())) return wire::ModelNotFound(name);
  adapter = name;
  return std::nullopt;
}

}  // namespace weir::serve
