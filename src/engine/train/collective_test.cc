#include "engine/train/collective.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "base/random.h"
#include "engine/train/train_test_util.h"
#include "io/clock.h"

namespace weir::train {
namespace {

// body(rank, ring) on `world` threads, each a rank.
template <class Body>
void OnRing(int world, const Body& body) {
  const std::string rendezvous = FreeRendezvous();
  std::vector<std::thread> ranks;
  for (int r = 0; r < world; ++r) {
    ranks.emplace_back([&, r] {
      auto ring = ConnectRing({.rank = r, .world = world, .rendezvous = rendezvous, .run = "t"});
      ASSERT_TRUE(ring) << ring.error().ToString();
      body(r, **ring);
    });
  }
  for (std::thread& t : ranks) t.join();
}

TEST(Ring, SumsAndAllRanksHoldTheSameBits) {
  for (const int world : {2, 3, 5}) {
    for (const size_t n : {size_t{0}, size_t{1}, size_t{2}, size_t{7}, size_t{300'001}}) {
      std::vector<std::vector<float>> x(static_cast<size_t>(world));
      std::vector<double> want(n, 0.0);
      Random random(n + static_cast<size_t>(world));
      for (auto& one : x) {
        for (size_t i = 0; i < n; ++i) {
          one.push_back(static_cast<float>(random.Normal()));
          want[i] += static_cast<double>(one.back());
        }
      }
      OnRing(world, [&](int r, Collective& ring) {
        EXPECT_TRUE(ring.CheckPeers());
        ASSERT_TRUE(ring.Sum(std::span(x[static_cast<size_t>(r)])));
        double count = 1;
        ASSERT_TRUE(ring.Sum(std::span(&count, 1)));
        EXPECT_EQ(count, world);
        EXPECT_TRUE(ring.Barrier());
      });
      for (size_t i = 0; i < n; ++i) EXPECT_NEAR(static_cast<double>(x[0][i]), want[i], 1e-5);
      for (const auto& one : x) EXPECT_EQ(one, x[0]);
    }
  }
}

TEST(Ring, ALostPeerIsAnErrorAtOnceNotAHang) {
  const io::RealClock clock;
  OnRing(3, [&](int r, Collective& ring) {
    if (r == 1) return;  // dies
    const Duration start = clock.Monotonic();
    std::vector<float> x(1 << 20);
    Status status;
    while (status) {
      status = ring.Sum(std::span(x));
    }
    EXPECT_EQ(status.error().code(), Code::kUnavailable);
    EXPECT_NE(status.error().message().find("peer lost"), std::string::npos);
    EXPECT_LT((clock.Monotonic() - start).seconds(), 5);
  });
}

TEST(Ring, RanksOfAnotherRunAreTurnedAway) {
  const std::string rendezvous = FreeRendezvous();
  const auto connect = [&](int rank, const std::string& run) {
    return ConnectRing({.rank = rank,
                        .world = 2,
                        .rendezvous = rendezvous,
                        .run = run,
                        .connect_timeout = Duration::Seconds(20)});
  };
  std::thread stranger([&] { EXPECT_FALSE(connect(1, "old")); });
  std::thread leader([&] { EXPECT_TRUE(connect(0, "new")); });
  stranger.join();
  EXPECT_TRUE(connect(1, "new"));
  leader.join();
}

TEST(Ring, WaitsNoLongerThanToldAndStopsWhenAsked) {
  std::atomic<bool> stop{true};
  auto stopped =
      ConnectRing({.rank = 0, .world = 2, .rendezvous = FreeRendezvous(), .stop = &stop});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code(), Code::kCancelled);
  auto late = ConnectRing({.rank = 1,
                           .world = 2,
                           .rendezvous = FreeRendezvous(),
                           .connect_timeout = Duration::Millis(100)});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::kUnavailable);
  for (const char* bad : {"", "nowhere", "host:0", "host:99999", "host:1x"}) {
    auto refused = ConnectRing({.rank = 1, .world = 2, .rendezvous = bad});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Code::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(ConnectRing({.rank = 2, .world = 2, .rendezvous = "127.0.0.1:1"}));
}

}  // namespace
}  // namespace weir::train
