#include "engine/serve/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "base/logging.h"
#include "base/nearest.h"
#include "engine/serve/engine_impl.h"

namespace weir::serve {
namespace {

constexpr int kMaxRetryAfterS = 60;
constexpr int kMostThreads = 1024, kMostBatch = 1024, kMostSpeculativeRows = 256;

Status CheckOptions(EngineOptions& options, const model::ModelConfig& config) {
  if (options.context == 0) options.context = config.max_seq;
  if (options.context < 1 || options.context > config.max_seq) {
    return Error(Code::kInvalidArgument,
                 fmt::format("a context of {} is asked for, the model has {}", options.context,
                             config.max_seq))
        .Hint("lower --context");
  }
  if (options.max_batch < 1 || options.max_batch > kMostBatch || options.threads < 1 ||
      options.threads > kMostThreads || options.max_queue < 0) {
    return Error(Code::kInvalidArgument, "max-batch and threads must be 1 to 1024");
  }
  if (options.tpot_target.us <= 0) {
    return Error(Code::kInvalidArgument, "the TPOT target must be more than 0");
  }
  options.speculative_rows = std::clamp(options.speculative_rows, 0, kMostSpeculativeRows);
  options.step_tokens =
      std::max({options.step_tokens, options.max_batch, static_cast<int>(kChunk)});
  return {};
}

// 0 where some layer sees all.
int64_t WidestWindow(const model::ModelConfig& config) {
  for (int layer = 0; layer < config.layers; ++layer) {
    if (!config.IsSliding(layer)) return 0;
  }
  return config.sliding_window;
}

}  // namespace

std::vector<uint64_t> PrefixHashes(std::span<const int32_t> tokens, int root) {
  std::vector<uint64_t> hashes;
  uint64_t hash = 0x9E3779B97F4A7C15u + static_cast<uint64_t>(root);
  for (size_t i = 0; i < tokens.size(); ++i) {
    hash = (hash ^ static_cast<uint32_t>(tokens[i])) * 0xBF58476D1CE4E5B9u;
    hash ^= hash >> 31;
    if ((i + 1) % static_cast<size_t>(kKvBlockTokens) == 0) hashes.push_back(hash);
  }
  return hashes;
}

Engine::Impl::Impl(std::shared_ptr<const model::Model> m, const EngineOptions& o,
                   const io::Clock& c, int64_t blocks)
    : model(std::move(m)),
      options(o),
      clock(c),
      cache(model->config(), blocks, options.kv_type),
      tree(cache, 1 + static_cast<int>(o.adapters.size())),
      window(WidestWindow(model->config())) {
  stats.kv_blocks = blocks;
  stats.kv_bytes_per_token = KvCache::BytesPerToken(model->config(), options.kv_type);
  stats.max_batch = options.max_batch;
}

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<const model::Model> model,
                                               const EngineOptions& given, const io::Clock& clock) {
  EngineOptions options = given;
  const model::ModelConfig& config = model->config();
  TRY(CheckOptions(options, config));
  std::vector<std::shared_ptr<const LoraAdapter>> adapters;
  for (const AdapterSource& source : options.adapters) {
    for (size_t i = 0; i < adapters.size(); ++i) {
      if (options.adapters[i].name == source.name) {
        return Error(Code::kAlreadyExists,
                     fmt::format("two adapters have the name {}", source.name));
      }
    }
    adapters.push_back(TRY(LoraAdapter::Load(source.path, config)));
  }
  const int64_t per_token = KvCache::BytesPerToken(config, options.kv_type);
  const int64_t one = KvCache::BlocksFor(options.context);
  const int64_t block_bytes = per_token * kKvBlockTokens;
  int64_t blocks = one * options.max_batch;
  if (options.kv_bytes > 0) {
    blocks = options.kv_bytes / block_bytes;
  } else {
    blocks = std::max(one, std::min(blocks, kDefaultKvBytes / block_bytes));
  }
  if (blocks < one) {
    return Error(
               Code::kInvalidArgument,
               fmt::format("{} of KV cache hold {} tokens, one sequence may need {}",
                           HumanBytes(options.kv_bytes), blocks * kKvBlockTokens, options.context))
        .Hint(fmt::format("raise --kv-bytes to at least {} or lower --context", one * block_bytes));
  }
  std::unique_ptr<DraftModel> draft;
  if (options.draft != nullptr && options.speculative_rows > 0) {
    draft = TRY(DraftModel::Create(options.draft, *model,
                                   {.context = options.context,
                                    .max_sequences = options.max_batch,
                                    .longest = options.speculative_rows}));
  }
  std::unique_ptr<Engine> engine;
  try {
    engine.reset(new Engine(std::make_unique<Impl>(std::move(model), options, clock, blocks)));
  } catch (const std::bad_alloc&) {
    return Error(Code::kResourceExhausted, fmt::format("not enough memory for a KV cache of {}",
                                                       HumanBytes(blocks * block_bytes)))
        .Hint("lower --kv-bytes, --max-batch or --context");
  }
  Impl& impl = *engine->impl_;
  impl.adapters = std::move(adapters);
  impl.draft_model = std::move(draft);
  impl.thread = std::thread([&impl] { impl.Run(); });
  return engine;
}

Engine::Engine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Engine::~Engine() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_all();
  if (impl_->thread.joinable()) impl_->thread.join();
}

namespace {

Status CheckRequest(const GenerateRequest& request, int64_t context, int vocabulary) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const auto bad = [](std::string message) {
    return Error(Code::kInvalidArgument, std::move(message));
  };
  const bool embeds = request.embed != Pooling::kNone;
  const bool only_prompt = embeds || request.prompt_logprobs;
  if (prompt == 0 || request.max_tokens < (only_prompt ? 0 : 1) ||
      prompt + request.max_tokens > context) {
    return bad(fmt::format("a prompt of {} tokens and max_tokens {} do not fit a context of {}",
                           prompt, request.max_tokens, context));
  }
  if (embeds && (request.max_tokens != 0 || request.n != 1)) {
    return bad("an embedding has no tokens of its own: max_tokens must be 0 and n 1");
  }
  if (request.max_tokens == 0 && request.n != 1) {
    return bad("n must be 1 where max_tokens is 0");
  }
  if (request.n < 1 || request.n > kMaxChoices) {
    return bad(fmt::format("n is {}, expected 1 to {}", request.n, kMaxChoices));
  }
  if (request.tier < 1 || request.tier > kTiers) {
    return bad(fmt::format("the tier is {}, expected 1 to {}", request.tier, kTiers));
  }
  for (const int32_t id : request.prompt) {
    if (id < 0 || id >= vocabulary) {
      return bad(fmt::format("the prompt has the token id {}, the model {}", id, vocabulary));
    }
  }
  if (request.deadline && request.deadline->us <= 0) {
    return Error(Code::kDeadlineExceeded, "the request's deadline has passed already");
  }
  return {};
}

}  // namespace

Result<uint64_t> Engine::Submit(GenerateRequest ask, OnEvent on_event) {
  Impl& impl = *impl_;
  TRY(CheckRequest(ask, context(), impl.model->config().vocab_size));
  auto request = std::make_shared<Request>();
  if (!ask.adapter.empty()) {
    const auto it = std::find_if(impl.options.adapters.begin(), impl.options.adapters.end(),
                                 [&](const AdapterSource& a) { return a.name == ask.adapter; });
    if (it == impl.options.adapters.end()) {
      return Error(Code::kNotFound, fmt::format("there is no adapter {}", ask.adapter));
    }
    const auto index = it - impl.options.adapters.begin();
    request->root = static_cast<int>(index) + 1;
    request->adapter = impl.adapters[static_cast<size_t>(index)].get();
  }
  request->left = ask.n;
  request->ask = std::move(ask);
  request->on_event = std::move(on_event);
  request->submitted = impl.clock.Monotonic();
  if (request->ask.deadline) request->due = request->submitted + *request->ask.deadline;
  auto sequence = std::make_unique<Sequence>(request, 0, impl.model->tokenizer());
  if (impl.options.prefix_cache) {
    sequence->prefix = PrefixHashes(request->ask.prompt, request->root);
  }
  uint64_t id = 0;
  {
    const std::lock_guard lock(impl.mutex);
    if (impl.draining || impl.stop) {
      return Error(Code::kUnavailable, "this replica is shutting down").RetryAfter(1);
    }
    // While a place in the batch is free, a request only passes through the queue.
    const int64_t places = std::max<int64_t>(0, impl.options.max_batch - impl.stats.running);
    // Who was cancelled is out of the queue, though the engine's thread has not seen it yet.
    const int64_t queued = impl.stats.queued - static_cast<int64_t>(impl.cancels.size());
    if (queued >= impl.options.max_queue + places) {
      ++impl.stats.refused;
      const double rounds = static_cast<double>(impl.stats.queued) / impl.options.max_batch + 1.0;
      const int seconds =
          std::clamp(static_cast<int>(rounds * impl.mean_seconds + 1), 1, kMaxRetryAfterS);
      return Error(Code::kResourceExhausted,
                   fmt::format("{} requests are running and {} waiting, the queue is full",
                               impl.stats.running, impl.stats.queued))
          .RetryAfter(seconds);
    }
    id = impl.next_id++;
    request->id = id;
    sequence->order = id * kMaxChoices;
    impl.incoming.push_back(std::move(sequence));
    ++impl.stats.submitted;
    ++impl.stats.queued;
  }
  impl.wake.notify_one();
  return id;
}

void Engine::Cancel(uint64_t id) {
  {
    const std::lock_guard lock(impl_->mutex);
    if (id >= impl_->next_id) return;
    impl_->cancels.push_back(id);
  }
  impl_->wake.notify_one();
}

void Engine::StopAdmitting() {
  const std::lock_guard lock(impl_->mutex);
  impl_->draining = true;
}

bool Engine::Drain(Duration grace) {
  Impl& impl = *impl_;
  std::unique_lock lock(impl.mutex);
  impl.draining = true;
  const auto empty = [&] { return impl.Idle(); };
  if (impl.idle.wait_for(lock, std::chrono::microseconds(grace.us), empty)) return true;
  impl.fail_all = true;
  impl.wake.notify_all();
  impl.idle.wait(lock, empty);
  return false;
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->stats;
}

int64_t Engine::context() const { return impl_->options.context; }
const model::Model& Engine::model() const { return *impl_->model; }

std::vector<std::string> Engine::adapters() const {
  std::vector<std::string> names;
  for (const AdapterSource& source : impl_->options.adapters) names.push_back(source.name);
  return names;
}

void Engine::Impl::Run() {
  pool = std::make_unique<kernels::ThreadPool>(options.threads, options.cores);
  forward =
      std::make_unique<Forward>(*model, cache, pool.get(), options.context, options.step_tokens);
  if (draft_model) draft_model->Start(pool.get(), options.step_tokens);
  for (;;) {
    bool fail = false, last = false;
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] {
        return stop || fail_all || !running.empty() || !waiting.empty() || !incoming.empty() ||
               !cancels.empty();
      });
      last = stop;
      fail = stop || fail_all;
      fail_all = false;
      stepping = true;
    }
    try {
      if (!fail) Step();
    } catch (const std::exception& error) {
      log::error("a step of the engine failed: {}", error.what());
      fail = true;
    }
    if (fail) FailAll();
    gone.clear();
    const std::lock_guard lock(mutex);
    stepping = false;
    Gauges();
    if (Idle()) idle.notify_all();
    if (last) return;
  }
}

void Engine::Impl::Gauges() {
  stats.queued = static_cast<int64_t>(waiting.size() + incoming.size());
  stats.running = static_cast<int64_t>(running.size());
  stats.kv_blocks_cached = cache.cached_blocks();
  stats.kv_blocks_used = cache.total_blocks() - cache.free_blocks() - cache.cached_blocks();
}

// Everybody gets an answer. What the failed step had prepared is dropped: it may be half done.
void Engine::Impl::FailAll() {
  outcomes.clear();
  TakeIncoming();
  // Forks that the step lost on its way are answered by nobody else.
  for (const bool count : {false, true}) {
    for (std::vector<SequencePtr>* list : {&running, &waiting}) {
      for (const SequencePtr& s : *list) {
        if (s->ended) continue;
        int& left = s->request->left;
        left = count ? (s->request->forked ? left + 1 : s->request->ask.n) : 0;
      }
    }
  }
  for (std::vector<SequencePtr>* list : {&running, &waiting}) {
    for (const SequencePtr& s : *list) {
      if (!s->ended) End(*s, Finish::kFailed);
    }
  }
  Sweep();
  {
    const std::lock_guard lock(mutex);
    Collect();
  }
  Deliver();
}

}  // namespace weir::serve
