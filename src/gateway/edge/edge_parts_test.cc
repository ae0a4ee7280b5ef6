// The edge's pure parts: balance, queue, retry, rate, meter.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

#include "base/random.h"
#include "gateway/edge/balance.h"
#include "gateway/edge/fair_queue.h"
#include "gateway/edge/rate.h"
#include "gateway/edge/retry.h"
#include "gateway/edge/routing.h"
#include "gateway/edge/stream_meter.h"

namespace weir::gateway {
namespace {

using testing::ElementsAre;

TEST(Balance, TakesTheLeastLoadedForItsSize) {
  EXPECT_EQ(PickReplica(std::vector<ReplicaLoad>{{5, 10}, {3, 10}, {4, 10}}, 0), 1);
  EXPECT_EQ(PickReplica(std::vector<ReplicaLoad>{{5, 100}, {3, 10}}, 0), 0);
}

TEST(Balance, EqualReplicasTakeTurns) {
  const std::vector<ReplicaLoad> three(3, {0, 4});
  std::vector<int> picked;
  for (uint64_t turn = 0; turn < 6; ++turn) picked.push_back(PickReplica(three, turn));
  EXPECT_THAT(picked, ElementsAre(0, 1, 2, 0, 1, 2));
}

TEST(Balance, LeavesOutDrainingDownAndFull) {
  std::vector<ReplicaLoad> r(3, {0, 1});
  r[0].ready = false;
  r[1].down = true;
  r[2].outstanding = 1;
  for (uint64_t turn = 0; turn < 4; ++turn) EXPECT_EQ(PickReplica(r, turn), kNoReplica);
  EXPECT_EQ(PickReplica({}, 3), kNoReplica);
}

TEST(Balance, RestGrowsAndIsBounded) {
  EXPECT_EQ(RestAfterFailuresUs(0), 0);
  EXPECT_EQ(RestAfterFailuresUs(1), kFirstRestUs);
  EXPECT_EQ(RestAfterFailuresUs(2), 2 * kFirstRestUs);
  EXPECT_EQ(RestAfterFailuresUs(1000), kLongestRestUs);
}

TEST(FairQueue, OneLoudClientDelaysAnotherByOne) {
  FairQueue<int> q;
  for (int i = 0; i < 100; ++i) q.Push("loud", i, Duration::Seconds(9));
  q.Push("quiet", 1000, Duration::Seconds(9));
  EXPECT_EQ(q.Pop(), 0);
  EXPECT_EQ(q.Pop(), 1000);
  EXPECT_EQ(q.Pop(), 1);
}

// Goal: against the obvious twin (a vector of lines, searched), under random pushes, pops, removals
// and expiries.
TEST(FairQueue, BehavesLikeItsObviousTwin) {
  struct Entry {
    uint64_t ticket;
    int64_t deadline;
    int value;
  };
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    FairQueue<int> q;
    std::vector<std::pair<std::string, std::deque<Entry>>> lines;  // in order of turns
    const auto size = [&] {
      size_t n = 0;
      for (const auto& l : lines) n += l.second.size();
      return n;
    };
    const auto drop_empty = [&] { std::erase_if(lines, [](auto& l) { return l.second.empty(); }); };
    int next = 0;
    for (int step = 0; step < 2000; ++step) {
      const uint64_t what = random.Below(10);
      if (what < 5) {
        const std::string who(1, static_cast<char>('a' + random.Below(4)));
        const int64_t deadline = step + static_cast<int64_t>(random.Below(60));
        const uint64_t ticket = q.Push(who, next, {deadline});
        auto line =
            std::find_if(lines.begin(), lines.end(), [&](const auto& l) { return l.first == who; });
        if (line == lines.end()) line = lines.insert(lines.end(), {who, {}});
        line->second.push_back({ticket, deadline, next++});
      } else if (what < 8) {
        const auto got = q.Pop();
        ASSERT_EQ(got.has_value(), !lines.empty());
        if (!got) continue;
        ASSERT_EQ(*got, lines[0].second.front().value);
        lines[0].second.pop_front();
        std::rotate(lines.begin(), lines.begin() + 1, lines.end());
        drop_empty();
      } else if (what == 8) {
        if (lines.empty()) continue;
        auto& line = lines[random.Below(lines.size())].second;
        const size_t k = random.Below(line.size());
        ASSERT_EQ(q.Remove(line[k].ticket), line[k].value);
        ASSERT_EQ(q.Remove(line[k].ticket), std::nullopt);
        line.erase(line.begin() + static_cast<ptrdiff_t>(k));
        drop_empty();
      } else {
        std::vector<int> expected, got = q.Expire({step});
        for (auto& l : lines) {
          std::erase_if(l.second, [&](const Entry& e) {
            if (e.deadline <= step) expected.push_back(e.value);
            return e.deadline <= step;
          });
        }
        drop_empty();
        std::sort(got.begin(), got.end());
        std::sort(expected.begin(), expected.end());
        ASSERT_EQ(got, expected);
      }
      ASSERT_EQ(q.size(), size());
    }
  }
}

TEST(Retry, OnlyWhatWasNotStarted) {
  using P = io::HttpProgress;
  EXPECT_TRUE(MayRetry(P::kNotConnected, Code::kUnavailable, false, 1, false));
  EXPECT_FALSE(MayRetry(P::kNotConnected, Code::kUnavailable, false, kMaxAttempts, false));
  EXPECT_TRUE(MayRetry(P::kNoResponse, Code::kUnavailable, true, 1, false));
  EXPECT_FALSE(MayRetry(P::kNoResponse, Code::kUnavailable, true, 2, true));
  EXPECT_FALSE(MayRetry(P::kNoResponse, Code::kUnavailable, false, 1, false));
  EXPECT_FALSE(MayRetry(P::kNoResponse, Code::kDeadlineExceeded, true, 1, false));
  EXPECT_FALSE(MayRetry(P::kResponse, Code::kUnavailable, true, 1, false));
  EXPECT_TRUE(MayRetryStatus(503, 1));
  EXPECT_FALSE(MayRetryStatus(500, 1));
}

TEST(Rate, CountsTheLastSeconds) {
  RateMeter m;
  EXPECT_EQ(m.PerSecond(Duration::Seconds(5)), 0);
  for (int ms = 0; ms < 4000; ms += 10) m.Add(Duration::Seconds(10) + Duration::Millis(ms));
  EXPECT_NEAR(m.PerSecond(Duration::Seconds(14)), 57, 1);  // 400 in the last 7 s
  for (int ms = 0; ms < 30000; ms += 10) m.Add(Duration::Seconds(20) + Duration::Millis(ms));
  EXPECT_NEAR(m.PerSecond(Duration::Seconds(50)), 100, 2);
  EXPECT_EQ(m.PerSecond(Duration::Seconds(100)), 0) << "what is long past does not count";
}

TEST(Rate, RetryAfterIsTheTimeUntilATurn) {
  EXPECT_EQ(RetryAfterSeconds(100, 10), 10);
  EXPECT_EQ(RetryAfterSeconds(1, 1000), 1);
  EXPECT_EQ(RetryAfterSeconds(100000, 1), kLongestRetryAfterS);
  EXPECT_EQ(RetryAfterSeconds(10, 0), 5) << "nothing served yet: a guess, not never";
}

TEST(StreamMeter, CountsEventsHoweverTheyAreCut) {
  const std::string stream =
      ": comment\n\ndata: {\"a\":1}\n\ndata: {\"b\":2}\r\n\r\nevent: x\ndata: 3\n\ndata: "
      "[DONE]\n\n";
  for (size_t step = 1; step <= stream.size(); ++step) {
    StreamMeter m(true);
    for (size_t at = 0; at < stream.size(); at += step) {
      m.Feed(std::string_view(stream).substr(at, step),
             Duration::Millis(1 + static_cast<int64_t>(at)));
    }
    EXPECT_EQ(m.events(), 4u) << step;
    EXPECT_EQ(m.Tokens(), 3u) << step;
    EXPECT_TRUE(m.at_boundary()) << step;
    EXPECT_EQ(m.first_at(), Duration::Millis(1));
  }
  StreamMeter cut(true);
  cut.Feed("data: {\"a\"", {});
  EXPECT_FALSE(cut.at_boundary());
}

TEST(StreamMeter, BelievesUsageOverItsOwnCount) {
  StreamMeter m(false);
  m.Feed(std::string(5000, 'x'), {});
  m.Feed(R"("usage":{"prompt_tokens":5,"completion_tokens": 17,"total_tokens":22}})", {});
  EXPECT_EQ(m.UsageTokens(), 17);
  EXPECT_EQ(m.Tokens(), 17u);
}

TEST(Routing, NamesComeBeforeAliases) {
  RoutingTable t;
  t.services.resize(2);
  t.services[0].name = "a";
  t.services[0].aliases = {"b", "c"};
  t.services[1].name = "b";
  EXPECT_EQ(t.Find("b"), &t.services[1]);
  EXPECT_EQ(t.Find("c"), &t.services[0]);
  EXPECT_EQ(t.Find("d"), nullptr);
}

}  // namespace
}  // namespace weir::gateway
