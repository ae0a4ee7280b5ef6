// The small parts: ordered blocks, shares, sizing, forecast, the table of options.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "base/random.h"
#include "lab/sched/block_set.h"
#include "lab/sched/forecast.h"
#include "lab/sched/policy.h"
#include "lab/sched/shares.h"
#include "lab/sched/sizing.h"

namespace weir::sched {
namespace {

TEST(BlockSet, IsAnOrderedSet) {
  Random random(5);
  for (const uint64_t numbers : {20, 400, 5000}) {  // within a block, a few, many
    BlockSet<int> blocks;
    std::set<int> model;
    for (int step = 0; step < 30'000; ++step) {
      const int n = static_cast<int>(random.Below(numbers));
      const bool grows = step / 5000 % 2 == 0;  // fills and empties in turns
      if (random.Chance(grows ? 0.7 : 0.3)) {
        ASSERT_EQ(blocks.insert(n), model.insert(n).second);
      } else {
        ASSERT_EQ(blocks.erase(n), model.erase(n) == 1);
      }
      ASSERT_EQ(blocks.size(), model.size());
      const auto low = model.lower_bound(n), high = model.upper_bound(n);
      ASSERT_EQ(blocks.lower_bound(n) == blocks.end(), low == model.end());
      ASSERT_EQ(blocks.upper_bound(n) == blocks.end(), high == model.end());
      if (low != model.end()) {
        ASSERT_EQ(*blocks.lower_bound(n), *low);
      }
      if (high != model.end()) {
        ASSERT_EQ(*blocks.upper_bound(n), *high);
      }
      ASSERT_EQ(blocks.contains(n), model.contains(n));
      if (step % 500 == 0) {
        ASSERT_TRUE(std::equal(blocks.begin(), blocks.end(), model.begin(), model.end()));
      }
    }
    const BlockSet<int> copy = blocks;
    blocks.clear();
    EXPECT_TRUE(blocks.empty());
    EXPECT_TRUE(blocks.begin() == blocks.end());
    EXPECT_TRUE(std::equal(copy.begin(), copy.end(), model.begin(), model.end()));
  }
}

TEST(Shares, GuaranteeFirstThenByWeight) {
  const auto x = Entitlements({{-1, 4, 1, 0, 10}, {-1, 0, 2, 0, 10}}, 10);
  EXPECT_DOUBLE_EQ(x[0], 6);
  EXPECT_DOUBLE_EQ(x[1], 4);
}
TEST(Shares, WhatATeamCannotUseGoesToTheOthers) {
  const auto x = Entitlements({{-1, 6, 1, 0, 1}, {-1, 0, 1, 0, 20}, {-1, 0, 1, 0, 2}}, 10);
  EXPECT_EQ(x, (std::vector<double>{1, 7, 2}));
}
TEST(Shares, ACreditIsPaidBackBeforeWeights) {
  const double owed = OwedSlots(3600, 3600);
  EXPECT_NEAR(owed, std::log(2), 1e-9);
  const auto x = Entitlements({{-1, 0, 1, 2, 10}, {-1, 0, 1, 0, 10}}, 10);
  EXPECT_EQ(x, (std::vector<double>{6, 4}));
  EXPECT_DOUBLE_EQ(PayBack(100, Duration::Seconds(3600), 3600), 50);
}
TEST(Shares, AParentsShareIsDividedAmongThoseBelowIt) {
  //   a (guarantee 6) -> a1, a2;  b
  const auto x =
      Entitlements({{-1, 6, 1, 0, 0}, {0, 0, 1, 0, 9}, {0, 0, 3, 0, 9}, {-1, 0, 1, 0, 9}}, 10);
  EXPECT_EQ(x, (std::vector<double>{8, 2, 6, 2}));
}
TEST(Shares, SumToWhatThereIsOrIsAskedForAndNeverExceedDemand) {
  Random random(3);
  for (int round = 0; round < 500; ++round) {
    std::vector<ShareNode> nodes;
    double demand = 0;
    for (int i = 0; i < random.Between(1, 9); ++i) {
      nodes.push_back({i > 0 && random.Chance(0.5) ? static_cast<int>(random.Below(i)) : -1,
                       static_cast<double>(random.Between(0, 5)),
                       static_cast<double>(random.Between(1, 4)), random.Uniform(),
                       static_cast<double>(random.Between(0, 9))});
      demand += nodes.back().demand;
    }
    const double capacity = static_cast<double>(random.Between(0, 30));
    const auto x = Entitlements(nodes, capacity);
    double top = 0;
    for (size_t i = 0; i < nodes.size(); ++i) top += nodes[i].parent < 0 ? x[i] : 0;
    EXPECT_NEAR(top, std::min(capacity, demand), 1e-9);
  }
}

ServiceState Service(double rate, double arrivals) {
  ServiceState s;
  s.service.spec = {.name = "s", .min_replicas = 1, .max_replicas = 10};
  s.demand.service_rate_per_replica = rate;
  s.demand.arrivals_per_s = arrivals;
  return s;
}
TEST(Sizing, ReplicasForALoad) {
  const Policy policy;
  struct {
    const char* name;
    double arrivals, forecast, queued;
    int64_t wanted, pressing;
  } const kRows[] = {
      {"no load: the floor", 0, 0, 0, 1, 1},
      {"seven at 70% of ten", 7, 0, 0, 1, 1},
      {"a little more: there is room until a replica has started", 7.01, 0, 0, 2, 1},
      {"a forecast counts, at full use for those who must make room", 1, 20, 0, 3, 2},
      {"at once those needed at full use", 25, 0, 0, 4, 3},
      {"a queue is served off", 7, 0, 35, 2, 2},
      {"not above max", 1000, 0, 0, 10, 10},
  };
  for (const auto& row : kRows) {
    ServiceState s = Service(10, row.arrivals);
    s.demand.forecast_per_s = row.forecast;
    s.demand.queued = row.queued;
    EXPECT_EQ(WantedReplicas(s, 1, policy), row.wanted) << row.name;
    s.replica_startup = Duration::Seconds(60);
    s.demand.above_since = Time{} + Duration::Seconds(1000);
    const Time at = s.demand.above_since + Duration::Seconds(30);
    EXPECT_EQ(PressingReplicas(s, 1, at, policy), row.pressing) << row.name;
    if (row.forecast > 0) continue;
    EXPECT_EQ(PressingReplicas(s, 1, at + Duration::Seconds(31), policy), row.wanted) << row.name;
  }
}
TEST(Sizing, AMissedSloOfBusyReplicasAsksForOneMore) {
  const Policy policy;
  ServiceState s = Service(10, 5);
  s.demand.ttft_ms = 5000;
  EXPECT_EQ(ReplicasFor(s, 2, policy), 1) << "idle replicas that are slow are not helped by more";
  s.demand.outstanding = 16;
  EXPECT_EQ(ReplicasFor(s, 2, policy), 3);
}
TEST(Sizing, NoLoadIsBetweenTwoSizes) {
  const Policy policy;
  for (double load = 0; load < 60; load += 0.05) {
    const ServiceState s = Service(10, load);
    const int64_t calm = CalmReplicas(s, policy);
    EXPECT_LE(WantedReplicas(s, calm, policy), calm) << load;
  }
}
TEST(Sizing, MarksKeepTheirTimeWhileTheyHold) {
  const Policy policy;
  ServiceState s = Service(10, 50);
  UpdateMarks(&s, 2, 2, Time{100}, policy);
  UpdateMarks(&s, 2, 2, Time{200}, policy);
  EXPECT_EQ(s.demand.above_since, Time{100});
  EXPECT_FALSE(s.demand.below_since.is_set());
  s.demand.arrivals_per_s = 1;
  UpdateMarks(&s, 2, 2, Time{300}, policy);
  EXPECT_FALSE(s.demand.above_since.is_set());
  EXPECT_EQ(s.demand.below_since, Time{300});
  s.demand.arrivals_per_s = 6.5;  // neither: too much for one at the low mark, no more than two
  UpdateMarks(&s, 2, 2, Time{400}, policy);
  EXPECT_FALSE(s.demand.below_since.is_set());
}

TEST(Forecast, FollowsARamp) {
  Forecast f;
  for (int t = 1; t <= 60; ++t) f.Observe(Time{t * 1'000'000}, 10.0 * t);
  EXPECT_NEAR(f.At(Time{60'000'000}), 600, 20);
  EXPECT_NEAR(f.At(Time{65'000'000}), 650, 30);
}
TEST(Forecast, AStepIsNotTheStartOfAnEndlessRamp) {
  Forecast f;
  for (int t = 1; t <= 30; ++t) f.Observe(Time{t * 1'000'000}, 2);
  for (int t = 31; t <= 33; ++t) f.Observe(Time{t * 1'000'000}, 20);
  EXPECT_LE(f.At(Time{43'000'000}), 30);
  for (int t = 34; t <= 60; ++t) f.Observe(Time{t * 1'000'000}, 20);
  EXPECT_NEAR(f.At(Time{70'000'000}), 20, 1);
}
TEST(Forecast, AGapStartsAnewAndOddSamplesAreIgnored) {
  Forecast f;
  EXPECT_EQ(f.At(Time{5}), 0);
  for (int t = 1; t <= 10; ++t) f.Observe(Time{t * 1'000'000}, 100.0 * t);
  f.Observe(Time{100'000'000}, 3);
  f.Observe(Time{100'000'000}, 900);
  f.Observe(Time{101'000'000}, NAN);
  EXPECT_DOUBLE_EQ(f.At(Time{110'000'000}), 3);
  f.Observe(Time{101'000'000}, 0);
  f.Observe(Time{102'000'000}, 0);
  EXPECT_GE(f.At(Time{190'000'000}), 0);
}

TEST(Season, KnowsTheMorningRampAfterADayAndTheWeekendAfterTwoWeeks) {
  Season season;
  const auto rate =
      [](int64_t minute) {  // busy from 9 to 18 on weekdays; 1970-01-01 was a Thursday
        const int64_t day = minute / 1440, hour = minute / 60 % 24;
        const bool weekend = (day + 3) % 7 >= 5;
        return !weekend && hour >= 9 && hour < 18 ? 40.0 : 10.0;
      };
  const auto run = [&](int64_t from_day, int64_t to_day, double growth) {
    for (int64_t m = from_day * 1440; m < to_day * 1440; ++m) {
      season.Observe(Time{m * 60'000'000}, growth * rate(m));
    }
  };
  const auto at = [](int64_t day, int64_t minute) {
    return Time{(day * 1440 + minute) * 60'000'000};
  };
  EXPECT_FALSE(season.At(at(0, 500), 10, at(0, 560)));
  run(0, 1, 1);
  EXPECT_NEAR(*season.At(at(1, 500), 10, at(1, 560)), 40, 2) << "9:20 as seen from 8:20";
  run(1, 15, 1);
  EXPECT_NEAR(*season.At(at(16, 500), 10, at(16, 560)), 10, 1) << "a Saturday";
  EXPECT_NEAR(*season.At(at(18, 500), 20, at(18, 560)), 80, 2) << "twice as much as it was";
  // A gap of three weeks: the bins are as they were, and the level is that of now.
  EXPECT_NEAR(*season.At(at(39, 500), 5, at(39, 560)), 20, 1);
  EXPECT_LE(*season.At(at(18, 500), 10, at(18, 560)), 40);
}

TEST(PolicyTable, EveryDefaultIsWithinItsRangeAndReadsBack) {
  std::map<std::string, std::string> all;
  for (const PolicyOption& o : PolicyOptions()) all[std::string(o.name)] = o.default_text;
  const auto policy = PolicyFrom(all);
  ASSERT_TRUE(policy) << policy.error().ToString();
  for (const PolicyOption& o : PolicyOptions()) {
    EXPECT_EQ(PolicyValue(*policy, o.name), o.default_text) << o.name;
    EXPECT_TRUE(o.what.ends_with(".")) << o.name;
  }
}
TEST(PolicyTable, EachBadValueIsNamedWithWhatIsAllowed) {
  struct {
    const char *name, *text, *says;
  } const kRows[] = {
      {"loan_terms", "1m", "loan_terms is not known"},
      {"loan_term", "ten", "is not a duration such as 90s"},
      {"loan_term", "1s", "is outside 10s..7d"},
      {"lowest_tier", "1.5", "is not a whole number"},
      {"target_utilization", "nan", "is not a number"},
      {"break_jobs", "yes", "is not true or false"},
      {"low_mark", "0.9", "is not below target_utilization"},
  };
  for (const auto& row : kRows) {
    const auto policy = PolicyFrom({{row.name, row.text}});
    ASSERT_FALSE(policy) << row.name;
    EXPECT_NE(policy.error().message().find(row.says), std::string::npos)
        << policy.error().message();
  }
  EXPECT_EQ(PolicyFrom({{"loan_term", "90s"}})->loan_term, Duration::Seconds(90));
}

TEST(PolicyTable, TheManualHasTheTable) {
  const char* source = std::getenv("WEIR_SOURCE");
  if (source == nullptr) GTEST_SKIP() << "WEIR_SOURCE is not set";
  std::ifstream file(std::string(source) + "/docs/policy.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(text.str().find(PolicyMarkdown()), std::string::npos)
      << "put this table into docs/policy.md:\n"
      << PolicyMarkdown();
}

}  // namespace
}  // namespace weir::sched
