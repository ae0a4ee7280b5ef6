#include "engine/serve/engine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/random.h"
#include "engine/serve/engine_test_util.h"

namespace weir::serve {
namespace {

TEST(Engine, GreedyEqualsFullRecomputationTokenForToken) {
  const auto model = RandomModel(7);
  const auto engine = Make(model, {.step_tokens = 16});
  Random random(8);
  for (const size_t length : {1u, 2u, 8u, 9u, 31u}) {
    const std::vector<int32_t> prompt = RandomPrompt(random, length);
    const Outcome outcome = Start(*engine, Greedily(prompt, 12)).get();
    EXPECT_EQ(outcome.text, TextOf(*model, GreedyByRecomputation(*model, prompt, 12)));
    EXPECT_EQ(outcome.tokens, 12);
    EXPECT_EQ(outcome.finish, Finish::kLength);
  }
}

TEST(Engine, BatchingNeverChangesAGreedyAnswer) {
  const auto model = RandomModel(9);
  Random random(10);
  std::vector<std::vector<int32_t>> prompts;
  for (int i = 0; i < 24; ++i) prompts.push_back(RandomPrompt(random, 1 + random.Below(90)));
  std::vector<std::string> alone;
  {
    const auto engine = Make(model, {.max_batch = 1});
    for (const auto& prompt : prompts)
      alone.push_back(Start(*engine, Greedily(prompt, 60)).get().text);
  }
  const auto engine = Make(model, {.max_batch = 9});
  std::vector<FutureOutcome> together;
  for (const auto& prompt : prompts) together.push_back(Start(*engine, Greedily(prompt, 60)));
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(together[i].get().text, alone[i]) << i;
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.finished, 24u);
  EXPECT_EQ(stats.generated_tokens, 24u * 60u);
  EXPECT_LT(stats.steps, 24u * 60u) << "nothing was batched";
  EXPECT_EQ(stats.kv_blocks_used, 0);
  EXPECT_EQ(stats.ttft.total, 24u);
  EXPECT_EQ(stats.tpot.total, 24u * 59u);
}

TEST(Engine, ASeedDecidesASampledAnswerWhoeverElseIsServed) {
  const auto model = RandomModel(11);
  const auto engine = Make(model);
  GenerateRequest request = Greedily({5, 6, 7}, 40);
  request.sampling = {.temperature = 1.0f, .top_p = 0.95f, .top_k = 50, .seed = 1234};
  const std::string first = Start(*engine, request).get().text;
  auto noise = Start(*engine, Greedily({9, 9}, 100));
  EXPECT_EQ(Start(*engine, request).get().text, first);
  request.sampling.seed = 1235;
  EXPECT_NE(Start(*engine, request).get().text, first);
  noise.get();
}

TEST(Engine, TheStoryModelTellsItsGoldenStory) {
  const auto model = Stories();
  if (!model) GTEST_SKIP() << "no shared data";
  const auto engine = Make(model);
  // From the beginning-of-text token alone, and from the first words.
  const model::Tokenizer& tokenizer = model->tokenizer();
  const std::string golden =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
      "park. "
      "One day, she saw a big, red ball. She wanted to play with it, but it was too high.";
  const Outcome whole = Start(*engine, Greedily({*tokenizer.bos()}, 200)).get();
  EXPECT_EQ(whole.text.substr(whole.text.find('O'), golden.size()), golden);
  std::vector<int32_t> prompt = {*tokenizer.bos()};
  for (const int32_t id : tokenizer.Encode("Once upon a time")) prompt.push_back(id);
  const Outcome rest = Start(*engine, Greedily(prompt, 200)).get();
  EXPECT_EQ(rest.text.substr(0, golden.size() - 16), golden.substr(16));
  EXPECT_EQ(TextOf(*model, GreedyByRecomputation(*model, prompt, 40)),
            Start(*engine, Greedily(prompt, 40)).get().text);
}

TEST(Engine, StopStringsAndLogprobs) {
  const auto model = RandomModel(12);
  const auto engine = Make(model);
  GenerateRequest request = Greedily({5, 6, 7}, 30);
  request.logprobs = 3;
  const Outcome free = Start(*engine, request).get();
  ASSERT_EQ(free.logprobs.size(), 30u);
  for (const wire::TokenLogprob& token : free.logprobs) {
    ASSERT_EQ(token.top.size(), 3u);
    EXPECT_EQ(token.top[0].second, token.logprob) << "greedy takes the likeliest";
    EXPECT_GE(token.top[0].second, token.top[1].second);
  }
  ASSERT_GT(free.text.size(), 12u);
  request.stop = {free.text.substr(6, 3)};
  const Outcome cut = Start(*engine, request).get();
  EXPECT_EQ(cut.text, free.text.substr(0, free.text.find(request.stop[0])));
  EXPECT_EQ(cut.finish, Finish::kStop);
  EXPECT_LT(cut.tokens, 30);
}

TEST(Engine, CancelFreesThePlaceAndSendsNothingMore) {
  const auto model = RandomModel(13, model::DType::kF32, 100'000);
  const auto engine = Make(model, {.max_batch = 1, .context = 50'000});
  std::promise<void> started;
  std::atomic<int> events = 0;
  const Result<uint64_t> id = engine->Submit(Greedily({1}, 40'000), [&](const Event&) {
    if (++events == 3) started.set_value();
  });
  ASSERT_TRUE(id);
  started.get_future().wait();
  uint64_t waiting = 0;
  auto never = Start(*engine, Greedily({2}, 5), &waiting);
  auto next = Start(*engine, Greedily({3}, 5));
  engine->Cancel(waiting);  // before it was admitted
  engine->Cancel(*id);
  EXPECT_EQ(next.get().tokens, 5);  // the place is free
  const int seen = events;
  EXPECT_EQ(Start(*engine, Greedily({4}, 5)).get().tokens, 5);
  EXPECT_EQ(events, seen);
  engine->Cancel(12345);  // unknown: nothing happens
  EXPECT_EQ(engine->stats().cancelled, 2u);
  EXPECT_THROW(never.get(), std::future_error) << "an answer to what was cancelled";
}

TEST(Engine, AFullQueueIsRefusedWithATimeToComeBack) {
  const auto model = RandomModel(14, model::DType::kF32, 100'000);
  const auto engine = Make(model, {.max_batch = 1, .context = 50'000, .max_queue = 2});
  std::promise<void> started;
  std::atomic<bool> once = false;
  ASSERT_TRUE(engine->Submit(Greedily({1}, 49'000), [&](const Event&) {
    if (!once.exchange(true)) started.set_value();
  }));
  started.get_future().wait();
  std::vector<uint64_t> ids(2);
  auto a = Start(*engine, Greedily({2}, 5), &ids[0]);
  auto b = Start(*engine, Greedily({2}, 5), &ids[1]);
  const Result<uint64_t> refused = engine->Submit(Greedily({2}, 5), [](const Event&) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_GE(refused.error().retry_after_s().value_or(0), 1);
  EXPECT_EQ(engine->stats().refused, 1u);
  engine->Cancel(ids[0]);
  EXPECT_TRUE(engine->Submit(Greedily({2}, 5), [](const Event&) {}));
}

TEST(Engine, DrainFinishesWhatWasAcceptedAndRefusesTheRest) {
  const auto model = RandomModel(15);
  const auto engine = Make(model, {.max_batch = 2});
  std::vector<FutureOutcome> accepted;
  for (int i = 0; i < 6; ++i) accepted.push_back(Start(*engine, Greedily({1, 2}, 50)));
  EXPECT_TRUE(engine->Drain(Duration::Seconds(60)));
  for (auto& outcome : accepted) {
    ASSERT_EQ(outcome.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    EXPECT_EQ(outcome.get().tokens, 50);
  }
  EXPECT_EQ(engine->Submit(Greedily({1}, 5), [](const Event&) {}).error().code(),
            Code::kUnavailable);
}

TEST(Engine, ADrainWithoutPatienceFailsWhatIsLeft) {
  const auto model = RandomModel(16, model::DType::kF32, 100'000);
  const auto engine = Make(model, {.max_batch = 1, .context = 50'000});
  auto running = Start(*engine, Greedily({1}, 49'000));
  auto waiting = Start(*engine, Greedily({1}, 49'000));
  EXPECT_FALSE(engine->Drain({}));
  EXPECT_EQ(running.get().finish, Finish::kFailed);
  EXPECT_EQ(waiting.get().finish, Finish::kFailed);
  EXPECT_EQ(engine->stats().kv_blocks_used, 0);
}

TEST(Engine, RefusesOptionsAndRequestsThatDoNotFit) {
  const auto model = RandomModel(17);
  const auto error = [&](const EngineOptions& options) {
    const auto engine = Engine::Create(model, options, clock_for_tests);
    return engine ? std::string("accepted") : engine.error().ToString();
  };
  EXPECT_NE(error({.context = 257}).find("the model has 256"), std::string::npos);
  EXPECT_NE(error({.kv_bytes = 1000}).find("--kv-bytes"), std::string::npos);
  EXPECT_NE(error({.max_batch = 0}).find("max-batch"), std::string::npos);
  const auto engine = Make(model);
  const auto submit = [&](GenerateRequest request) {
    return engine->Submit(std::move(request), [](const Event&) {}).has_value();
  };
  EXPECT_FALSE(submit(Greedily({}, 5)));
  EXPECT_FALSE(submit(Greedily({300}, 5)));
  EXPECT_FALSE(submit(Greedily({1}, 256)));
  EXPECT_TRUE(submit(Greedily({1}, 255)));
}

TEST(Engine, PrintsItsSpeed) {
  const auto model = Stories();
  if (!model) GTEST_SKIP() << "no shared data";
  for (const int streams : {1, 8}) {
    const auto engine = Make(model);
    std::vector<FutureOutcome> answers;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < streams; ++i) {
      answers.push_back(Start(*engine, Greedily({*model->tokenizer().bos()}, 400)));
    }
    for (auto& answer : answers) answer.get();
    const double s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    fmt::print("stories260K, {} streams: {:.0f} tokens/s\n", streams, streams * 400 / s);
  }
}

}  // namespace
}  // namespace weir::serve
