// What a request may ask for besides text: deadlines, prompt logprobs, embeddings, constraints,
// adapters.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/serve/engine_test_util.h"
#include "engine/serve/lora_test_util.h"

namespace weir::serve {
namespace {

TEST(EngineRequests, ADeadlineCutsWithWhatThereIs) {
  const auto model = RandomModel(31, model::DType::kF32, 100'000);
  const auto engine = Make(model, {.max_batch = 1, .context = 50'000});
  GenerateRequest request = Greedily({1}, 45'000);
  request.deadline = Duration::Millis(300);
  const auto begin = clock_for_tests.Monotonic();
  auto running = Start(*engine, request);
  auto waiting = StartAll(*engine, [&] {
    GenerateRequest r = request;
    r.n = 3;
    return r;
  }());
  const Outcome cut = running.get();
  EXPECT_EQ(cut.finish, Finish::kDeadline);
  EXPECT_GT(cut.tokens, 0);
  EXPECT_LT(cut.tokens, 45'000);
  for (const Outcome& o : waiting.get()) EXPECT_EQ(o.finish, Finish::kDeadline);
  EXPECT_LT((clock_for_tests.Monotonic() - begin).seconds(), 30);
  EXPECT_EQ(engine->stats().late, 2u);
  request.deadline = Duration{};
  EXPECT_EQ(engine->Submit(request, [](const Event&) {}).error().code(), Code::kDeadlineExceeded);
}

TEST(EngineRequests, PromptLogprobsEqualThePlainLoops) {
  const auto model = RandomModel(32);
  const auto engine = Make(model);
  Random random(33);
  for (const int max_tokens : {0, 3}) {
    for (int round = 0; round < 2; ++round) {  // the second time the prefix is in the cache
      GenerateRequest request = Greedily(RandomPrompt(random, 1), max_tokens);
      request.prompt = RandomPrompt(random, round == 0 ? 70 : 33);
      request.logprobs = 2;
      request.prompt_logprobs = true;
      const Outcome outcome = Start(*engine, request).get();
      ASSERT_EQ(outcome.prompt_logprobs.size(), request.prompt.size() - 1);
      EXPECT_EQ(outcome.tokens, max_tokens);
      EXPECT_EQ(outcome.finish, Finish::kLength);
      const std::vector<float> logits = ReferenceLogits(*model, request.prompt);
      const auto used = static_cast<size_t>(model->tokenizer().vocab_size());
      for (size_t i = 0; i + 1 < request.prompt.size(); ++i) {
        const auto row = std::span(logits).subspan(i * 300, used);
        EXPECT_NEAR(outcome.prompt_logprobs[i].logprob,
                    LogprobsOf(row, request.prompt[i + 1], 0).chosen, 1e-3);
        EXPECT_EQ(outcome.prompt_logprobs[i].top.size(), 2u);
      }
    }
  }
}

TEST(EngineRequests, AnEmbeddingIsThePooledHiddenStateOfLengthOne) {
  const auto model = RandomModel(34);
  const auto engine = Make(model);
  kernels::ThreadPool pool(1);
  Random random(35);
  for (const size_t length : {1u, 40u, 200u}) {
    const std::vector<int32_t> prompt = RandomPrompt(random, length);
    KvCache cache(model->config(), 8);
    Forward forward(*model, cache, &pool, 256, 64);
    std::vector<float> hidden(length * 64);
    const std::vector<int32_t> blocks = cache.Take(8);
    forward.Run({{Piece{.tokens = prompt, .blocks = blocks, .hidden = hidden.data()}}});
    for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
      std::vector<double> expected(64);
      for (size_t r = pooling == Pooling::kMean ? 0 : length - 1; r < length; ++r) {
        for (size_t i = 0; i < 64; ++i) expected[i] += hidden[r * 64 + i];
      }
      double squares = 0;
      for (const double x : expected) squares += x * x;
      GenerateRequest request{.prompt = prompt, .max_tokens = 0, .embed = pooling};
      const Outcome outcome = Start(*engine, request).get();
      ASSERT_EQ(outcome.embedding.size(), 64u);
      for (size_t i = 0; i < 64; ++i) {
        EXPECT_NEAR(outcome.embedding[i], expected[i] / std::sqrt(squares), 1e-4);
      }
      EXPECT_EQ(outcome.finish, Finish::kStop);
    }
  }
  EXPECT_FALSE(engine->Submit({.prompt = {1}, .max_tokens = 1, .embed = Pooling::kMean},
                              [](const Event&) {}));
}

// Even tokens only; after `length` of them the text must end.
class EvenTokens : public Constraint {
 public:
  EvenTokens(int length, int32_t stop) : length_(length), stop_(stop) {}
  std::unique_ptr<Follower> Follow() const override {
    class F : public Follower {
     public:
      F(int left, int32_t stop) : left_(left), stop_(stop) {}
      void Allowed(std::span<uint64_t> words) override {
        std::fill(words.begin(), words.end(), left_ > 0 ? 0x5555555555555555u : 0u);
        const uint64_t bit = uint64_t{1} << (stop_ % 64);
        uint64_t& word = words[static_cast<size_t>(stop_ / 64)];
        word = left_ > 0 ? word & ~bit : word | bit;
      }
      void Accept(int32_t token) override {
        EXPECT_EQ(token % 2, 0);
        --left_;
      }

     private:
      int left_;
      int32_t stop_;
    };
    return std::make_unique<F>(length_, stop_);
  }

 private:
  int length_;
  int32_t stop_;
};

TEST(EngineRequests, AConstraintHoldsForEveryChoiceAndDraft) {
  const auto model = RandomModel(36);
  const auto engine = Make(model);
  const std::vector<int32_t>& stops = model->tokenizer().stop_tokens();
  ASSERT_FALSE(stops.empty());
  GenerateRequest request = Sampled({2, 4, 2, 4, 2, 4, 2}, 60, 3);
  request.ignore_eos = false;
  request.constraint = std::make_shared<EvenTokens>(25, stops[0]);
  request.n = 3;
  for (const Outcome& outcome : StartAll(*engine, request).get()) {
    EXPECT_EQ(outcome.finish, Finish::kStop);
    EXPECT_EQ(outcome.tokens, 26) << "and the one that ends it";
  }
}

TEST(EngineRequests, StopTokensEndUnseen) {
  const auto model = RandomModel(37);
  const auto engine = Make(model);
  const std::vector<int32_t> free = GreedyByRecomputation(*model, {5, 6, 7}, 10);
  GenerateRequest request = Greedily({5, 6, 7}, 10);
  request.stop_tokens = {free[4]};
  const Outcome outcome = Start(*engine, request).get();
  EXPECT_EQ(outcome.finish, Finish::kStop);
  const auto at = std::find(free.begin(), free.end(), free[4]) - free.begin();
  EXPECT_EQ(outcome.tokens, at + 1);
  EXPECT_EQ(outcome.text, TextOf(*model, std::span(free).first(static_cast<size_t>(at))));
}

// Goal:   a request with an adapter is answered as by the model with the adapter merged into it,
//         beside requests for the base and for another adapter in the same batch.
TEST(EngineRequests, AdaptersMixInOneBatchAndEqualMergedModels) {
  const auto base = RandomModel(38);
  const io::TempDir one = *io::TempDir::Create(), two = *io::TempDir::Create();
  WriteRandomAdapter(one.path(), base->config(), 4, 1);
  WriteRandomAdapter(two.path(), base->config(), 16, 2);
  const auto engine = Make(base, {.adapters = {{"one", one.path()}, {"two", two.path()}}});
  EXPECT_EQ(engine->adapters(), (std::vector<std::string>{"one", "two"}));
  const std::vector<std::pair<std::string, std::shared_ptr<const model::Model>>> models = {
      {"", base}, {"one", MergedModel(*base, one.path())}, {"two", MergedModel(*base, two.path())}};
  Random random(39);
  for (int round = 0; round < 3; ++round) {
    const std::vector<int32_t> prompt = RandomPrompt(random, 20 + random.Below(60));
    std::vector<FutureOutcome> answers;
    for (const auto& [name, model] : models) {
      GenerateRequest request = Greedily(prompt, 12);
      request.adapter = name;
      answers.push_back(Start(*engine, request));
    }
    for (size_t i = 0; i < models.size(); ++i) {
      const model::Model& merged = *models[i].second;
      EXPECT_EQ(answers[i].get().text, TextOf(merged, GreedyByRecomputation(merged, prompt, 12)))
          << models[i].first;
    }
  }
  EXPECT_EQ(engine->stats().prefix_hit_tokens, 0u) << "a prefix of another adapter was used";
  GenerateRequest unknown = Greedily({1}, 1);
  unknown.adapter = "three";
  EXPECT_EQ(engine->Submit(unknown, [](const Event&) {}).error().code(), Code::kNotFound);
}

TEST(EngineRequests, RefusesWhatCannotBeAnswered) {
  const auto model = RandomModel(40);
  const auto engine = Make(model);
  const auto refused = [&](auto change) {
    GenerateRequest request = Greedily({1, 2}, 5);
    change(request);
    return !engine->Submit(std::move(request), [](const Event&) {});
  };
  EXPECT_FALSE(refused([](GenerateRequest&) {}));
  EXPECT_TRUE(refused([](GenerateRequest& r) { r.n = 0; }));
  EXPECT_TRUE(refused([](GenerateRequest& r) { r.n = kMaxChoices + 1; }));
  EXPECT_TRUE(refused([](GenerateRequest& r) { r.tier = 0; }));
  EXPECT_TRUE(refused([](GenerateRequest& r) { r.tier = kTiers + 1; }));
  EXPECT_TRUE(refused([](GenerateRequest& r) { r.max_tokens = 0; }));
  EXPECT_TRUE(refused([](GenerateRequest& r) { r.prompt = {-1}; }));
}

}  // namespace
}  // namespace weir::serve
