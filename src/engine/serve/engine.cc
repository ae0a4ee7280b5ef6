#include "engine/serve/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <new>
#include <thread>

#include "base/logging.h"
#include "engine/kernels/thread_pool.h"
#include "engine/serve/batch.h"
#include "engine/serve/forward.h"
#include "engine/serve/kv_cache.h"
#include "engine/serve/output_text.h"

namespace weir::serve {
namespace {

constexpr int kMaxRetryAfterS = 60;

// One request from Submit to its end. Owned by the waiting queue, then by the engine's thread.
struct Sequence {
  Sequence(uint64_t number, GenerateRequest r, OnEvent callback, const model::Tokenizer& tokenizer,
           Duration now)
      : id(number),
        request(std::move(r)),
        on_event(std::move(callback)),
        tokens(request.prompt),
        sampler(request.sampling),
        text(tokenizer, request.stop),
        submitted(now) {}

  uint64_t id;
  GenerateRequest request;
  OnEvent on_event;
  std::vector<int32_t> tokens;  // prompt, then what was generated
  int64_t computed = 0;         // of tokens, in the KV cache
  std::vector<int32_t> blocks;
  Sampler sampler;
  OutputText text;
  Duration submitted, admitted, last_token;
  bool done = false;

  int64_t prompt() const { return static_cast<int64_t>(request.prompt.size()); }
  int64_t generated() const { return static_cast<int64_t>(tokens.size()) - prompt(); }
  int64_t blocks_needed() const { return KvCache::BlocksFor(prompt() + request.max_tokens); }
};
using SequencePtr = std::unique_ptr<Sequence>;

}  // namespace

struct Engine::Impl {
  Impl(std::shared_ptr<const model::Model> m, const EngineOptions& o, const io::Clock& c,
       int64_t blocks)
      : model(std::move(m)),
        options(o),
        clock(c),
        limits{o.max_batch, o.prefill_chunk, o.step_tokens},
        cache(model->config(), blocks) {}

  struct Delivery {
    Sequence* sequence;
    Event event;
  };

  void Run();
  void Step();
  StepPlan Plan();  // under mutex: cancels, plans, admits
  Event Generate(Sequence& sequence, std::span<const float> logits, Duration now);
  void FailAll();
  void Gauges();                                                                    // under mutex
  bool Idle() const { return waiting.empty() && stats.running == 0 && !stepping; }  // under mutex

  const std::shared_ptr<const model::Model> model;
  const EngineOptions options;
  const io::Clock& clock;
  const BatchLimits limits;

  // The engine's thread alone.
  KvCache cache;
  std::vector<SequencePtr> running;  // in order of admission
  std::vector<SequencePtr> gone;     // ended in this step; destroyed outside of the lock
  std::unique_ptr<kernels::ThreadPool> pool;
  std::unique_ptr<Forward> forward;
  std::vector<float> logits;  // [max_batch, vocab_size]
  std::vector<Piece> pieces;
  std::vector<Delivery> deliveries;
  std::vector<Duration> first_gaps, token_gaps;  // of this step

  mutable std::mutex mutex;  // guards all below
  std::condition_variable wake, idle;
  std::deque<SequencePtr> waiting;
  std::vector<uint64_t> cancels;  // of running sequences, or of finished ones
  bool stop = false, draining = false, fail_all = false;
  bool stepping = false;  // events of finished sequences may still be on their way
  uint64_t next_id = 1;
  double mean_seconds = 0;  // of a request, from its first token's step to its end; smoothed
  EngineStats stats;

  std::thread thread;
};

Result<std::unique_ptr<Engine>> Engine::Create(std::shared_ptr<const model::Model> model,
                                               const EngineOptions& given, const io::Clock& clock) {
  EngineOptions options = given;
  const model::ModelConfig& config = model->config();
  if (options.context == 0) options.context = config.max_seq;
  if (options.context < 1 || options.context > config.max_seq) {
    return Error(Code::kInvalidArgument,
                 fmt::format("a context of {} is asked for, the model has {}", options.context,
                             config.max_seq))
        .Hint("lower --context");
  }
  if (options.max_batch < 1 || options.max_batch > 1024 || options.threads < 1 ||
      options.threads > 1024 || options.max_queue < 0) {
    return Error(Code::kInvalidArgument, "max-batch and threads must be 1 to 1024");
  }
  options.step_tokens = std::max(options.step_tokens, options.max_batch);
  const int64_t per_token = KvCache::BytesPerToken(config);
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
  // More than a batch can ever use would only cost address space.
  blocks = std::min(blocks, one * options.max_batch);
  std::unique_ptr<Engine> engine;
  try {
    engine.reset(new Engine(std::make_unique<Impl>(std::move(model), options, clock, blocks)));
  } catch (const std::bad_alloc&) {
    return Error(Code::kResourceExhausted, fmt::format("not enough memory for a KV cache of {}",
                                                       HumanBytes(blocks * block_bytes)))
        .Hint("lower --kv-bytes, --max-batch or --context");
  }
  Impl& impl = *engine->impl_;
  impl.stats.kv_blocks = blocks;
  impl.stats.max_batch = options.max_batch;
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

Result<uint64_t> Engine::Submit(GenerateRequest request, OnEvent on_event) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (prompt == 0 || request.max_tokens < 1 || prompt + request.max_tokens > context()) {
    return Error(Code::kInvalidArgument,
                 fmt::format("a prompt of {} tokens and max_tokens {} do not fit a context of {}",
                             prompt, request.max_tokens, context()));
  }
  for (const int32_t id : request.prompt) {
    if (id < 0 || id >= impl_->model->config().vocab_size) {
      return Error(Code::kInvalidArgument,
                   fmt::format("the prompt has the token id {}, the model {}", id,
                               impl_->model->config().vocab_size));
    }
  }
  Impl& impl = *impl_;
  uint64_t id = 0;
  {
    const std::lock_guard lock(impl.mutex);
    if (impl.draining || impl.stop) {
      return Error(Code::kUnavailable, "this replica is shutting down").RetryAfter(1);
    }
    // While a place in the batch is free, a request only passes through the queue.
    const int64_t places = std::max<int64_t>(0, impl.options.max_batch - impl.stats.running);
    if (static_cast<int64_t>(impl.waiting.size()) >= impl.options.max_queue + places) {
      ++impl.stats.refused;
      const double rounds = static_cast<double>(impl.waiting.size()) / impl.options.max_batch + 1.0;
      const int seconds =
          std::clamp(static_cast<int>(rounds * impl.mean_seconds + 1), 1, kMaxRetryAfterS);
      return Error(Code::kResourceExhausted,
                   fmt::format("{} requests are running and {} waiting, the queue is full",
                               impl.stats.running, impl.waiting.size()))
          .RetryAfter(seconds);
    }
    id = impl.next_id++;
    impl.waiting.push_back(std::make_unique<Sequence>(id, std::move(request), std::move(on_event),
                                                      impl.model->tokenizer(),
                                                      impl.clock.Monotonic()));
    ++impl.stats.submitted;
    impl.stats.queued = static_cast<int64_t>(impl.waiting.size());
  }
  impl.wake.notify_one();
  return id;
}

void Engine::Cancel(uint64_t id) {
  Impl& impl = *impl_;
  SequencePtr gone;  // destroyed outside of the lock
  {
    const std::lock_guard lock(impl.mutex);
    const auto it = std::find_if(impl.waiting.begin(), impl.waiting.end(),
                                 [id](const SequencePtr& s) { return s->id == id; });
    if (it != impl.waiting.end()) {
      gone = std::move(*it);
      impl.waiting.erase(it);
      ++impl.stats.cancelled;
      impl.stats.queued = static_cast<int64_t>(impl.waiting.size());
      if (impl.Idle()) impl.idle.notify_all();
    } else if (id < impl.next_id) {
      impl.cancels.push_back(id);
    }
  }
  impl.wake.notify_one();
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

void Engine::Impl::Run() {
  pool = std::make_unique<kernels::ThreadPool>(options.threads, options.cores);
  forward =
      std::make_unique<Forward>(*model, cache, pool.get(), options.context, options.prefill_chunk);
  logits.resize(static_cast<size_t>(options.max_batch) *
                static_cast<size_t>(model->config().vocab_size));
  for (;;) {
    bool fail = false, last = false;
    {
      std::unique_lock lock(mutex);
      wake.wait(lock, [&] {
        return stop || fail_all || !running.empty() || !waiting.empty() || !cancels.empty();
      });
      last = stop;
      fail = stop || fail_all;
      if (fail) {
        for (SequencePtr& s : waiting) running.push_back(std::move(s));
        waiting.clear();
        fail_all = false;
      }
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
  stats.queued = static_cast<int64_t>(waiting.size());
  stats.running = static_cast<int64_t>(running.size());
  stats.kv_blocks_used = cache.total_blocks() - cache.free_blocks();
}

void Engine::Impl::FailAll() {
  for (const SequencePtr& s : running) {
    Event event;
    event.done = true;
    event.finish = Finish::kFailed;
    event.completion_tokens = s->generated();
    s->on_event(event);
    cache.Give(s->blocks);
  }
  const std::lock_guard lock(mutex);
  stats.failed += running.size();
  for (SequencePtr& s : running) gone.push_back(std::move(s));
  running.clear();
}

StepPlan Engine::Impl::Plan() {
  for (const uint64_t id : cancels) {
    const auto it = std::find_if(running.begin(), running.end(),
                                 [id](const SequencePtr& s) { return s->id == id; });
    if (it == running.end()) continue;
    cache.Give((*it)->blocks);
    gone.push_back(std::move(*it));
    running.erase(it);
    ++stats.cancelled;
  }
  cancels.clear();
  std::vector<RunningSequence> now;
  for (const SequencePtr& s : running) now.push_back({s->prompt(), s->computed});
  std::vector<WaitingSequence> next;
  for (const SequencePtr& s : waiting) {
    if (next.size() == static_cast<size_t>(options.max_batch)) break;
    next.push_back({s->blocks_needed(), s->prompt()});
  }
  StepPlan plan = PlanStep(limits, now, next, cache.free_blocks());
  const Duration at = clock.Monotonic();
  for (size_t i = 0; i < plan.admitted; ++i) {
    SequencePtr s = std::move(waiting.front());
    waiting.pop_front();
    s->blocks = cache.Take(s->blocks_needed());
    s->admitted = at;
    stats.queue_wait.Add(at - s->submitted);
    running.push_back(std::move(s));
  }
  Gauges();
  return plan;
}

void Engine::Impl::Step() {
  StepPlan plan;
  {
    const std::lock_guard lock(mutex);
    plan = Plan();
  }
  const auto vocabulary = static_cast<size_t>(model->config().vocab_size);
  pieces.clear();
  deliveries.clear();
  first_gaps.clear();
  token_gaps.clear();
  for (size_t w = 0; w < plan.work.size(); ++w) {
    Sequence& s = *running[plan.work[w].sequence];
    const int64_t n = plan.work[w].tokens;
    const bool last = s.computed + n == static_cast<int64_t>(s.tokens.size());
    pieces.push_back({.tokens = std::span(s.tokens).subspan(static_cast<size_t>(s.computed),
                                                            static_cast<size_t>(n)),
                      .begin = s.computed,
                      .blocks = s.blocks,
                      .logits = last ? &logits[w * vocabulary] : nullptr});
  }
  forward->Run(pieces);

  const Duration now = clock.Monotonic();
  uint64_t prompt_tokens = 0;
  for (size_t w = 0; w < plan.work.size(); ++w) {
    Sequence& s = *running[plan.work[w].sequence];
    if (s.computed < s.prompt()) prompt_tokens += static_cast<uint64_t>(plan.work[w].tokens);
    s.computed += plan.work[w].tokens;
    if (pieces[w].logits == nullptr) continue;
    deliveries.push_back({&s, Generate(s, {pieces[w].logits, vocabulary}, now)});
  }
  {
    // The books are right before anybody hears of it: who has an answer finds its place free.
    const std::lock_guard lock(mutex);
    ++stats.steps;
    stats.prompt_tokens += prompt_tokens;
    stats.generated_tokens += deliveries.size();
    for (const Duration gap : first_gaps) stats.ttft.Add(gap);
    for (const Duration gap : token_gaps) stats.tpot.Add(gap);
    for (SequencePtr& s : running) {
      if (!s->done) continue;
      ++stats.finished;
      const double seconds = (now - s->admitted).seconds();
      mean_seconds = stats.finished == 1 ? seconds : 0.9 * mean_seconds + 0.1 * seconds;
      cache.Give(s->blocks);
      gone.push_back(std::move(s));
    }
    std::erase(running, nullptr);
    Gauges();
  }
  for (const Delivery& delivery : deliveries) delivery.sequence->on_event(delivery.event);
}

Event Engine::Impl::Generate(Sequence& s, std::span<const float> all, Duration now) {
  // An embedding table may be taller than the vocabulary; its last rows stand for nothing.
  const auto logits_here = all.first(static_cast<size_t>(model->tokenizer().vocab_size()));
  const int32_t token = s.sampler.Sample(logits_here);
  if (s.generated() == 0) {
    first_gaps.push_back(now - s.submitted);
  } else {
    token_gaps.push_back(now - s.last_token);
  }
  s.last_token = now;
  s.tokens.push_back(token);

  Event event;
  const model::Tokenizer& tokenizer = model->tokenizer();
  const std::vector<int32_t>& stops = tokenizer.stop_tokens();
  const bool ends =
      !s.request.ignore_eos && std::find(stops.begin(), stops.end(), token) != stops.end();
  if (!ends) {
    event.text = s.text.Push(token);
    if (s.request.logprobs) {
      const auto readable = [&](int32_t id) {
        std::string bytes(tokenizer.BytesOf(id));
        return model::TakeUtf8(bytes, /*final=*/true);
      };
      const Logprobs found = LogprobsOf(logits_here, token, *s.request.logprobs);
      wire::TokenLogprob out{readable(token), found.chosen, {}};
      for (const auto& [id, logprob] : found.top) out.top.emplace_back(readable(id), logprob);
      event.logprobs.push_back(std::move(out));
    }
  }
  event.completion_tokens = s.generated();
  if (ends || s.text.stopped()) {
    event.done = true;
    event.finish = Finish::kStop;
  } else if (s.generated() >= s.request.max_tokens) {
    event.done = true;
    event.finish = Finish::kLength;
  }
  if (event.done) event.text += s.text.Finish();
  s.done = event.done;
  return event;
}

}  // namespace weir::serve
