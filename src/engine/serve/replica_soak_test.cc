// Goal:   over HTTP too, under any mix of requests, clients that go away, bad input and slow
// readers,
//         every request is answered with what it asked for or refused with a reason, and in the end
//         nothing runs and no block is held.
// Method: clients ask at random from one seed, for a second or two or for SOAK_SECONDS. Some break
//         their connection in the middle of a stream, some read so slowly that the sockets fill.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/random.h"
#include "engine/serve/replica_test_util.h"

namespace weir::serve {
namespace {

using Json = nlohmann::json;

constexpr const char* kBad[] = {"",
                                "{",
                                "[1,2]",
                                R"({"prompt":7})",
                                R"({"prompt":"a","max_tokens":-1})",
                                R"({"prompt":"a","model":"nobody's"})",
                                R"({"prompt":[99999]})",
                                R"({"prompt":"a","guided_regex":"(("})",
                                R"({"prompt":"a","guided_json":{"type":"no such"}})"};

TEST(ReplicaSoak, EveryClientIsAnsweredOrToldWhyNot) {
  const char* text = std::getenv("SOAK_SECONDS");
  const double seconds = text != nullptr ? std::strtod(text, nullptr) : 2;
  const char* seed_text = std::getenv("SEED");
  const uint64_t seed = seed_text != nullptr ? std::strtoull(seed_text, nullptr, 0) : 71;
  fmt::print("SEED={} SOAK_SECONDS={}\n", seed, seconds);
  const auto model = RandomModel(72);
  const int64_t block = KvCache::BytesPerToken(model->config()) * kKvBlockTokens;
  const Server server(model, {.engine = {.max_batch = 6, .kv_bytes = 30 * block, .max_queue = 8}});
  const Duration end = clock_for_tests.Monotonic() + Duration::FromSeconds(seconds);
  std::atomic<uint64_t> whole = 0, streamed = 0, left = 0, refused = 0, full = 0, late = 0;
  const auto client = [&](uint64_t number) {
    Random random(seed * 1000 + number);
    while (clock_for_tests.Monotonic() < end) {
      if (random.Chance(0.1)) {
        const io::HttpResult r =
            server.Call("POST", "/v1/completions", kBad[random.Below(std::size(kBad))]);
        EXPECT_TRUE(r.status == 400 || r.status == 404) << r.status << r.body;
        EXPECT_FALSE(Json::parse(r.body)["error"]["message"].empty());
        ++refused;
        continue;
      }
      const auto tokens = static_cast<int>(random.Between(1, 60));
      Json body = {{"prompt", std::string(random.Between(1, 60), 'a')},
                   {"max_tokens", tokens},
                   {"ignore_eos", true},
                   {"seed", random.Below(1000)}};
      const bool form = random.Chance(0.1);
      if (form) body["guided_regex"] = "[a-z]{1,40}";
      const auto n = static_cast<int>(random.Chance(0.2) ? random.Between(2, 4) : 1);
      body["n"] = n;
      if (random.Chance(0.2)) body["logprobs"] = 2;
      io::FetchOptions ask{.method = "POST",
                           .url = fmt::format("http://127.0.0.1:{}/v1/completions", server.port)};
      if (random.Chance(0.1)) ask.headers.push_back({"Weir-Deadline-Ms", "30"});
      std::string got;
      bool went = false;
      const bool stream = random.Chance(0.5);
      if (stream) {
        body["stream"] = true;
        const int64_t bytes = random.Chance(0.4) ? random.Between(1, 2000) : INT64_MAX;
        const bool slow = random.Chance(0.2);
        ask.on_body = [&, bytes, slow](std::string_view more) {
          got += more;
          if (slow) std::this_thread::sleep_for(std::chrono::milliseconds(3));
          went = static_cast<int64_t>(got.size()) > bytes;
          return !went;
        };
      }
      ask.body = body.dump();
      const Result<io::HttpResult> r = io::Fetch(std::move(ask));
      if (went) {
        ++left;
        continue;
      }
      ASSERT_TRUE(r) << r.error().ToString();
      if (r->status == 429) {
        EXPECT_TRUE(r->head.Find("Retry-After"));
        ++full;
      } else if (r->status == 504) {
        ++late;
      } else if (stream) {
        ASSERT_EQ(r->status, 200) << got;
        if (got.find("\"error\"") != std::string::npos) {
          ++late;
          continue;
        }
        int ends = 0;
        for (const Json& event : Events(got)) {
          for (const Json& choice : event["choices"]) ends += choice["finish_reason"].is_string();
        }
        EXPECT_EQ(ends, n);
        ++streamed;
      } else {
        ASSERT_EQ(r->status, 200) << r->body;
        const Json answer = Json::parse(r->body);
        EXPECT_EQ(answer["choices"].size(), static_cast<size_t>(n));
        if (!form) {
          EXPECT_EQ(answer["usage"]["completion_tokens"], tokens * n);
        }
        ++whole;
      }
    }
  };
  std::vector<std::thread> clients;
  for (uint64_t i = 0; i < 8; ++i) clients.emplace_back(client, i);
  for (std::thread& thread : clients) thread.join();
  // Whoever left is noticed when the next piece of the answer is sent.
  const Duration patience = clock_for_tests.Monotonic() + Duration::Seconds(30);
  EngineStats stats = server.replica->engine().stats();
  while (stats.running + stats.queued > 0 && clock_for_tests.Monotonic() < patience) {
    std::this_thread::yield();
    stats = server.replica->engine().stats();
  }
  EXPECT_EQ(stats.running + stats.queued, 0);
  EXPECT_EQ(stats.kv_blocks_used, 0);
  EXPECT_EQ(stats.failed, 0u);
  EXPECT_EQ(stats.finished + stats.late + stats.cancelled, stats.submitted);
  EXPECT_GT(whole + streamed, 0u);
  fmt::print("{} whole, {} streamed, {} left, {} refused, {} found it full, {} late\n",
             whole.load(), streamed.load(), left.load(), refused.load(), full.load(), late.load());
}

}  // namespace
}  // namespace weir::serve
