// For the tests of the engine: submit, collect, compare.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "engine/serve/engine.h"
#include "engine/serve/serve_test_util.h"

namespace weir::serve {

inline io::RealClock clock_for_tests;

struct Outcome {
  std::string text;
  std::vector<int32_t> ids;
  std::vector<wire::TokenLogprob> logprobs, prompt_logprobs;
  std::vector<float> embedding;
  int64_t tokens = 0, cached = 0;
  Finish finish = Finish::kFailed;
};

// Submits and collects; the future is ready with the last event. One outcome for each choice.
inline std::future<std::vector<Outcome>> StartAll(Engine& engine, GenerateRequest request,
                                                  uint64_t* id = nullptr) {
  auto promise = std::make_shared<std::promise<std::vector<Outcome>>>();
  auto outcomes = std::make_shared<std::vector<Outcome>>(static_cast<size_t>(request.n));
  auto done = std::make_shared<int>(0);
  std::future<std::vector<Outcome>> future = promise->get_future();
  const int n = request.n;
  const Result<uint64_t> submitted =
      engine.Submit(std::move(request), [promise, outcomes, done, n](const Event& event) {
        Outcome& o = (*outcomes)[static_cast<size_t>(event.choice)];
        o.text += event.text;
        o.ids.insert(o.ids.end(), event.tokens.begin(), event.tokens.end());
        o.logprobs.insert(o.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
        if (!event.prompt_logprobs.empty()) o.prompt_logprobs = event.prompt_logprobs;
        if (!event.embedding.empty()) o.embedding = event.embedding;
        o.tokens = event.completion_tokens;
        o.cached = event.cached_tokens;
        o.finish = event.finish;
        *done += event.done ? 1 : 0;
        EXPECT_EQ(event.last, *done == n);
        if (event.last) promise->set_value(*outcomes);
      });
  EXPECT_TRUE(submitted) << submitted.error().ToString();
  if (id != nullptr && submitted) *id = *submitted;
  return future;
}

// The only choice of a request.
class FutureOutcome {
 public:
  explicit FutureOutcome(std::future<std::vector<Outcome>> all) : all_(std::move(all)) {}
  Outcome get() { return all_.get()[0]; }
  template <class Time>
  std::future_status wait_for(Time time) {
    return all_.wait_for(time);
  }

 private:
  std::future<std::vector<Outcome>> all_;
};
inline FutureOutcome Start(Engine& engine, GenerateRequest request, uint64_t* id = nullptr) {
  return FutureOutcome(StartAll(engine, std::move(request), id));
}

inline GenerateRequest Greedily(std::vector<int32_t> prompt, int max_tokens) {
  return {.prompt = std::move(prompt),
          .max_tokens = max_tokens,
          .sampling = {.temperature = 0},
          .ignore_eos = true};
}
inline GenerateRequest Sampled(std::vector<int32_t> prompt, int max_tokens, uint64_t seed) {
  GenerateRequest request = Greedily(std::move(prompt), max_tokens);
  request.sampling = {.temperature = 1.0f, .top_k = 40, .seed = seed};
  return request;
}

inline std::string TextOf(const model::Model& model, std::span<const int32_t> tokens) {
  std::string bytes = model.tokenizer().Decode(tokens);
  return model::TakeUtf8(bytes, true);
}

inline std::unique_ptr<Engine> Make(std::shared_ptr<const model::Model> model,
                                    EngineOptions options = {}) {
  options.threads = 2;
  options.kv_type = KvType::kF32;  // the oracles compute in double
  Result<std::unique_ptr<Engine>> engine =
      Engine::Create(std::move(model), options, clock_for_tests);
  EXPECT_TRUE(engine) << engine.error().ToString();
  return *std::move(engine);
}

inline std::vector<int32_t> RandomPrompt(Random& random, size_t n) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < n; ++i) tokens.push_back(static_cast<int32_t>(1 + random.Below(250)));
  return tokens;
}

// Nothing runs, waits or holds a block but the prefix tree.
inline void ExpectIdle(const Engine& engine) {
  const EngineStats stats = engine.stats();
  EXPECT_EQ(stats.queued, 0);
  EXPECT_EQ(stats.running, 0);
  EXPECT_EQ(stats.kv_blocks_used, 0);
}

}  // namespace weir::serve
