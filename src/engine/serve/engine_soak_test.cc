// Goal:   under any mix of requests, cancels, bad input and slow readers, every accepted request is
//         answered exactly once or was cancelled, nothing is leaked, nothing gets stuck.
// Method: several threads submit at random from one seed, for a second or for SOAK_SECONDS; readers
//         take events from queues of their own, some far more slowly than they come. In the end
//         everything drains, and the books must add up.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <thread>

#include "engine/serve/engine_test_util.h"
#include "engine/serve/lora_test_util.h"

namespace weir::serve {
namespace {

struct Reader {
  std::mutex mutex;
  std::deque<Event> events;
  int dones = 0, lasts = 0, n = 0;
  int64_t tokens = 0;
  std::atomic<bool> cancelled = false;
  std::atomic<bool> after_last = false;
};

TEST(EngineSoak, EveryRequestIsAnsweredAndNothingIsLost) {
  const char* text = std::getenv("SOAK_SECONDS");
  const double seconds = text != nullptr ? std::strtod(text, nullptr) : 1.5;
  const char* seed_text = std::getenv("SEED");
  const uint64_t seed = seed_text != nullptr ? std::strtoull(seed_text, nullptr, 0) : 61;
  fmt::print("SEED={} SOAK_SECONDS={}\n", seed, seconds);
  const auto model = RandomModel(62);
  const io::TempDir adapter = *io::TempDir::Create();
  WriteRandomAdapter(adapter.path(), model->config(), 4, 1);
  const int64_t block = KvCache::BytesPerToken(model->config(), KvType::kF32) * kKvBlockTokens;
  const auto engine = Make(model, {.max_batch = 12,
                                   .kv_bytes = 40 * block,
                                   .max_queue = 40,
                                   .draft = RandomModel(63),
                                   .adapters = {{"a", adapter.path()}}});
  const Duration end = clock_for_tests.Monotonic() + Duration::FromSeconds(seconds);
  std::atomic<uint64_t> accepted = 0, answered = 0, cancelled = 0, refused = 0, wrong = 0;
  const auto client = [&](uint64_t number) {
    Random random(seed * 1000 + number);
    const std::vector<int32_t> system = RandomPrompt(random, 70);
    std::vector<std::pair<uint64_t, std::shared_ptr<Reader>>> open;
    const auto read = [&](size_t most) {
      for (auto& [id, reader] : open) {
        const std::lock_guard lock(reader->mutex);
        for (size_t i = 0; i < most && !reader->events.empty(); ++i) {
          const Event& event = reader->events.front();
          if (reader->lasts > 0) ++wrong;  // nothing follows the last
          reader->dones += event.done ? 1 : 0;
          reader->lasts += event.last ? 1 : 0;
          if (event.last && reader->dones != reader->n) ++wrong;
          reader->events.pop_front();
        }
      }
      std::erase_if(open, [&](const auto& entry) {
        const std::lock_guard lock(entry.second->mutex);
        if (entry.second->lasts > 0 && !entry.second->cancelled) ++answered;
        return entry.second->lasts > 0 || entry.second->cancelled;
      });
    };
    while (clock_for_tests.Monotonic() < end) {
      GenerateRequest request = Sampled({}, static_cast<int>(1 + random.Below(60)), random.Next());
      if (random.Chance(0.5)) request.prompt = system;
      const std::vector<int32_t> more = RandomPrompt(random, random.Below(120));
      request.prompt.insert(request.prompt.end(), more.begin(), more.end());
      if (request.prompt.empty()) request.prompt = {1};
      if (random.Chance(0.2)) request.n = static_cast<int>(1 + random.Below(5));
      if (random.Chance(0.2)) request.adapter = "a";
      if (random.Chance(0.3)) request.deadline = Duration::Millis(random.Between(1, 300));
      if (random.Chance(0.2)) request.logprobs = 2;
      if (random.Chance(0.1)) request.stop = {"a", "the"};
      request.key = fmt::format("key {}", random.Below(3));
      request.tier = static_cast<int>(1 + random.Below(3));
      if (request.n == 1 && random.Chance(0.1)) {
        request.max_tokens = 0;
        request.embed = Pooling::kMean;
      } else if (request.n == 1 && random.Chance(0.1)) {
        request.logprobs = 1;
        request.prompt_logprobs = true;
      }
      if (random.Chance(0.05)) request.prompt.push_back(100'000);  // bad
      if (random.Chance(0.05)) request.max_tokens = 100'000;       // bad
      if (random.Chance(0.02)) request.adapter = "nobody's";       // bad
      auto reader = std::make_shared<Reader>();
      reader->n = request.n;
      const Result<uint64_t> id = engine->Submit(request, [reader](const Event& event) {
        const std::lock_guard lock(reader->mutex);
        reader->events.push_back(event);
      });
      if (!id) {
        ++refused;
      } else {
        ++accepted;
        open.emplace_back(*id, reader);
        if (random.Chance(0.2)) {
          const size_t i = random.Below(open.size());
          engine->Cancel(open[i].first);
          open[i].second->cancelled = true;
          ++cancelled;
        }
      }
      // Every second client reads one event of each request at a time.
      do {
        read(number % 2 == 0 ? 1000 : 1);
        std::this_thread::yield();
      } while (open.size() > 14 && clock_for_tests.Monotonic() < end);
    }
    while (!open.empty()) {
      read(1000);
      std::this_thread::yield();
    }
  };
  std::vector<std::thread> clients;
  for (uint64_t i = 0; i < 4; ++i) clients.emplace_back(client, i);
  for (std::thread& thread : clients) thread.join();
  EXPECT_TRUE(engine->Drain(Duration::Seconds(60)));
  ExpectIdle(*engine);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(accepted, answered + cancelled);
  const EngineStats stats = engine->stats();
  EXPECT_EQ(stats.submitted, accepted);
  EXPECT_EQ(stats.finished + stats.late + stats.cancelled + stats.failed, accepted);
  EXPECT_EQ(stats.failed, 0u);
  fmt::print(
      "{} answered, {} cancelled, {} refused; {} late, {} preemptions, {} of {} drafts right, {} "
      "prefix tokens, {} steps\n",
      answered.load(), cancelled.load(), refused.load(), stats.late, stats.preemptions,
      stats.accepted_tokens, stats.drafted_tokens, stats.prefix_hit_tokens, stats.steps);
}

}  // namespace
}  // namespace weir::serve
