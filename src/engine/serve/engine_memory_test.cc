// Shared, copied, evicted and preempted blocks: whatever happens to the memory, answers stay.
#include <gtest/gtest.h>

#include "engine/serve/engine_test_util.h"

namespace weir::serve {
namespace {

std::vector<int32_t> Joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(EngineMemory, ACachedPrefixChangesNothingButTheWork) {
  const auto model = RandomModel(21);
  const auto cached = Make(model), fresh = Make(model, {.prefix_cache = false});
  Random random(22);
  const std::vector<int32_t> system = RandomPrompt(random, 75);
  for (int i = 0; i < 12; ++i) {
    // The same beginning, a few of its tokens more or less, then something else.
    std::vector<int32_t> prompt(system.begin(),
                                system.end() - static_cast<ptrdiff_t>(random.Below(40)));
    prompt = Joined(prompt, RandomPrompt(random, random.Below(50)));
    const Outcome a = Start(*cached, Sampled(prompt, 20, 5)).get();
    EXPECT_EQ(a.text, Start(*fresh, Sampled(prompt, 20, 5)).get().text);
    if (i > 0) {
      EXPECT_GE(a.cached, 32);
    }
    EXPECT_LT(a.cached, static_cast<int64_t>(prompt.size()));
  }
  EXPECT_GT(cached->stats().prefix_hit_tokens, 11u * 32u);
  EXPECT_EQ(fresh->stats().prefix_hit_tokens, 0u);
  EXPECT_EQ(fresh->stats().kv_blocks_cached, 0);
}

TEST(EngineMemory, ANextTurnFindsTheWholeConversation) {
  const auto model = RandomModel(23);
  const auto engine = Make(model);
  GenerateRequest request = Greedily({5, 6, 7, 8}, 40);
  request.logprobs = 0;
  (void)Start(*engine, request).get();
  const std::vector<int32_t> answer = GreedyByRecomputation(*model, request.prompt, 40);
  const std::vector<int32_t> next = Joined(Joined(request.prompt, answer), {9, 10, 11});
  const Outcome second = Start(*engine, Greedily(next, 10)).get();
  EXPECT_EQ(second.cached, 4 + 39) << "all but the last token, which was never computed";
  EXPECT_EQ(second.text, TextOf(*model, GreedyByRecomputation(*model, next, 10)));
}

TEST(EngineMemory, RequestsThatComeTogetherComputeTheirPrefixOnce) {
  const auto model = RandomModel(24);
  const auto engine = Make(model, {.max_batch = 8});
  Random random(25);
  const std::vector<int32_t> system = RandomPrompt(random, 160);
  std::vector<std::vector<int32_t>> prompts;
  std::vector<FutureOutcome> answers;
  for (int i = 0; i < 8; ++i) {
    prompts.push_back(Joined(system, {100 + i, 3}));
    answers.push_back(Start(*engine, Greedily(prompts.back(), 5)));
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    EXPECT_EQ(answers[i].get().text, TextOf(*model, GreedyByRecomputation(*model, prompts[i], 5)));
  }
  EXPECT_LE(engine->stats().prompt_tokens, 160u + 8u * 2u + 8u * 4u);
}

// Goal:   with too few blocks for all, sequences are computed again and nobody notices.
TEST(EngineMemory, PreemptionIsNeverSeenByTheClient) {
  const auto model = RandomModel(26);
  const int64_t block = KvCache::BytesPerToken(model->config(), KvType::kF32) * kKvBlockTokens;
  Random random(27);
  std::vector<GenerateRequest> requests;
  for (uint64_t i = 0; i < 12; ++i) {
    requests.push_back(Sampled(RandomPrompt(random, 1 + random.Below(60)), 150, i));
    requests.back().n = i % 4 == 3 ? 3 : 1;
    requests.back().tier = 1 + static_cast<int>(i % 3);
  }
  for (const bool cache : {true, false}) {
    std::vector<std::vector<Outcome>> roomy;
    {
      const auto engine = Make(model);
      for (const auto& request : requests) roomy.push_back(StartAll(*engine, request).get());
      EXPECT_EQ(engine->stats().preemptions, 0u);
    }
    const auto tight =
        Make(model, {.max_batch = 16, .kv_bytes = 12 * block, .prefix_cache = cache});
    std::vector<std::future<std::vector<Outcome>>> answers;
    for (const auto& request : requests) answers.push_back(StartAll(*tight, request));
    for (size_t i = 0; i < answers.size(); ++i) {
      const std::vector<Outcome> got = answers[i].get();
      for (size_t c = 0; c < got.size(); ++c) {
        EXPECT_EQ(got[c].text, roomy[i][c].text) << "request " << i << " choice " << c;
        EXPECT_EQ(got[c].tokens, 150);
      }
    }
    EXPECT_GT(tight->stats().preemptions, 0u);
    EXPECT_GT(tight->stats().recomputed_tokens, 0u);
    EXPECT_TRUE(tight->Drain(Duration::Seconds(60)));
    ExpectIdle(*tight);
  }
}

// A model all of whose layers see 7 positions needs two blocks of a sequence, however long it is.
TEST(EngineMemory, BlocksBehindEveryLayersWindowGoToOthers) {
  const io::TempDir dir = *io::TempDir::Create();
  const model::ModelConfig config = model::TinyConfig(model::Architecture::kMistral);
  ASSERT_TRUE(model::WriteRandomModel(dir.path(), config, 40));
  const auto model = *model::Model::Load(dir.path());
  const int64_t block = KvCache::BytesPerToken(config, KvType::kF32) * kKvBlockTokens;
  for (const bool prefix_cache : {true, false}) {
    SCOPED_TRACE(prefix_cache);
    const auto roomy = Make(model);
    // Whole, the first two sequences would need 16 blocks and the three forks of each prompt more.
    const auto tight =
        Make(model, {.max_batch = 4, .kv_bytes = 14 * block, .prefix_cache = prefix_cache});
    Random random(41);
    const auto ask = [&](Engine& engine, const std::vector<GenerateRequest>& requests) {
      std::vector<std::future<std::vector<Outcome>>> futures;
      for (const GenerateRequest& request : requests) futures.push_back(StartAll(engine, request));
      std::vector<std::string> texts;
      for (auto& future : futures) {
        for (const Outcome& o : future.get()) texts.push_back(o.text);
      }
      return texts;
    };
    const std::vector<GenerateRequest> two = {Sampled(RandomPrompt(random, 10), 240, 1),
                                              Sampled(RandomPrompt(random, 10), 240, 2)};
    EXPECT_EQ(ask(*tight, two), ask(*roomy, two));
    EXPECT_EQ(tight->stats().preemptions, 0u);
    // Long prompts, a common beginning, answers that fork while older blocks are gone.
    const std::vector<int32_t> system = RandomPrompt(random, 70);
    std::vector<GenerateRequest> many;
    for (uint64_t i = 0; i < 6; ++i) {
      many.push_back(Sampled(Joined(system, RandomPrompt(random, 20 * i + 1)), 30, i));
      many.back().n = 1 + static_cast<int>(i % 3);
    }
    EXPECT_EQ(ask(*tight, many), ask(*roomy, many));
    EXPECT_TRUE(tight->Drain(Duration::Seconds(60)));
    ExpectIdle(*tight);
  }
}

TEST(EngineMemory, AnswersOfOnePromptEqualThoseAskedForSingly) {
  const auto model = RandomModel(28);
  Random random(29);
  for (const size_t length : {1u, 31u, 32u, 33u, 100u}) {
    const auto engine = Make(model, {.max_batch = 6});
    GenerateRequest request = Sampled(RandomPrompt(random, length), 30, 77);
    request.n = 9;  // more than there are places
    const std::vector<Outcome> together = StartAll(*engine, request).get();
    EXPECT_LE(engine->stats().prompt_tokens, length + 9);
    GenerateRequest single = request;
    single.n = 1;
    for (int choice = 0; choice < 9; ++choice) {
      single.sampling.seed = SeedOfChoice(77, choice);
      EXPECT_EQ(Start(*engine, single).get().text, together[static_cast<size_t>(choice)].text);
    }
    EXPECT_NE(together[0].text, together[1].text);
    EXPECT_TRUE(engine->Drain(Duration::Seconds(60)));
    ExpectIdle(*engine);
  }
}

TEST(EngineMemory, AKeyWithManyRequestsDoesNotKeepAnotherOut) {
  const auto model = RandomModel(30);
  const auto engine = Make(model, {.max_batch = 4});
  std::atomic<int> finished = 0, finished_before = -1;
  std::vector<std::future<std::vector<Outcome>>> crowd;
  std::mutex mutex;
  std::condition_variable all;
  const auto submit = [&](const std::string& key, bool is_single) {
    GenerateRequest request = Greedily({1, 2, 3}, 100);
    request.key = key;
    ASSERT_TRUE(engine->Submit(request, [&, is_single](const Event& event) {
      if (!event.last) return;
      const std::lock_guard lock(mutex);
      if (is_single) finished_before = finished.load();
      ++finished;
      all.notify_all();
    }));
  };
  for (int i = 0; i < 40; ++i) submit("crowd", false);
  submit("single", true);
  std::unique_lock lock(mutex);
  all.wait(lock, [&] { return finished == 41; });
  EXPECT_LE(finished_before, 12) << "it waited for the crowd";
}

}  // namespace
}  // namespace weir::serve
