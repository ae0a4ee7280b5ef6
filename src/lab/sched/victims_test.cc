#include "lab/sched/victims.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "base/random.h"

namespace weir::sched {
namespace {

VictimJob Elastic(int team, int64_t slots, int64_t can_shrink, double lost) {
  return {.team = team,
          .slots = slots,
          .can_shrink = can_shrink,
          .can_pause = true,
          .lost_slot_s = lost};
}
VictimJob Rigid(int team, int64_t slots, double lost) {
  return {.team = team, .slots = slots, .can_pause = true, .lost_slot_s = lost};
}
VictimJob Unsaved(int team, int64_t slots, double lost) {
  return {.team = team, .slots = slots, .can_break = true, .lost_slot_s = lost};
}

const std::vector<VictimTeam> kOneTeam = {{.cap = 100, .share = 8}};

// A pause has its price, and no more than that: once a big gang was restarted, with all that it had
// done since its checkpoint, to spare one slot's job that had just saved.
TEST(Victims, ShrinksBeforePausingUnlessThatLosesFarMore) {
  VictimJob small = Rigid(0, 2, 2);
  small.pause_slot_s = 240;
  EXPECT_EQ(ChooseVictims(kOneTeam, {Elastic(0, 4, 2, 120), small}, {.slots = 2}, 5),
            (std::vector<Victim>{{0, 2, How::kShrink}}));
  EXPECT_EQ(ChooseVictims(kOneTeam, {Elastic(0, 4, 2, 360), small}, {.slots = 2}, 5),
            (std::vector<Victim>{{1, 2, How::kPause}}));
}

TEST(Victims, PausesTheJobWithLeastWorkLost) {
  const auto v = ChooseVictims(kOneTeam, {Rigid(0, 2, 90), Rigid(0, 2, 4)}, {.slots = 2}, 5);
  EXPECT_EQ(v, (std::vector<Victim>{{1, 2, How::kPause}}));
}

TEST(Victims, BreaksAJobOnlyWhenNothingElseIsLeft) {
  const std::vector<VictimJob> jobs = {Unsaved(0, 2, 0.1), Rigid(0, 2, 1000)};
  EXPECT_EQ(ChooseVictims(kOneTeam, jobs, {.slots = 2}, 5),
            (std::vector<Victim>{{1, 2, How::kPause}}));
  EXPECT_EQ(ChooseVictims(kOneTeam, jobs, {.slots = 4}, 5),
            (std::vector<Victim>{{0, 2, How::kBreak}, {1, 2, How::kPause}}));
}

TEST(Victims, StopsOneJobRatherThanTwo) {
  const std::vector<VictimJob> jobs = {Elastic(0, 4, 3, 10), Elastic(0, 4, 3, 11),
                                       Elastic(0, 9, 6, 15)};
  EXPECT_EQ(ChooseVictims(kOneTeam, jobs, {.slots = 6}, 0),
            (std::vector<Victim>{{2, 6, How::kShrink}}));
}

TEST(Victims, KeepsToTheCapOfATeamAndOfTheTeamAbove) {
  const std::vector<VictimTeam> teams = {
      {.cap = 3}, {.parent = 0, .cap = 2}, {.parent = 0, .cap = 2}};
  const std::vector<VictimJob> jobs = {Elastic(1, 8, 7, 1), Elastic(2, 8, 7, 50)};
  for (const int64_t need : {3, 5}) {  // of five, the team above both lends three
    const auto v = ChooseVictims(teams, jobs, {.slots = need}, 0);
    ASSERT_EQ(v.size(), 2u);
    EXPECT_TRUE(Allowed(teams, jobs, v));
    EXPECT_EQ(v[0].give + v[1].give, 3);
  }
}

TEST(Victims, APauseCountsWholeAgainstTheCap) {
  EXPECT_TRUE(ChooseVictims({{.cap = 2}}, {Rigid(0, 4, 1)}, {.slots = 2}, 0).empty());
}

TEST(Victims, SpreadsOverTeamsByTheirShare) {
  const std::vector<VictimTeam> teams = {{.cap = 9, .burden = 3, .share = 4},
                                         {.cap = 9, .share = 4}};
  const std::vector<VictimJob> jobs = {Elastic(0, 4, 2, 10), Elastic(1, 4, 2, 11)};
  EXPECT_EQ(ChooseVictims(teams, jobs, {.slots = 2}, 5).front().job, 1);
  EXPECT_EQ(ChooseVictims(teams, jobs, {.slots = 2}, 0).front().job, 0);
}

TEST(Victims, GivesWholeUnitsOrNothing) {
  // Replicas of two slots, one slot at hand: three more make two replicas, only one is to be had.
  const std::vector<VictimJob> jobs = {{.slots = 4, .can_shrink = 1, .lost_slot_s = 7}};
  const auto v = ChooseVictims(kOneTeam, jobs, {.slots = 3, .unit = 2, .offset = 1}, 0);
  EXPECT_EQ(v, (std::vector<Victim>{{0, 1, How::kShrink}}));
  EXPECT_TRUE(ChooseVictims(kOneTeam, jobs, {.slots = 2, .unit = 2}, 0).empty());
}

// The choice costs what the best of all choices costs. Whole numbers as costs, so sums are exact.
TEST(Victims, CostsWhatTheBestOfAllChoicesCosts) {
  const char* env = std::getenv("SEED");
  const uint64_t seed = env != nullptr ? std::strtoull(env, nullptr, 0) : 20260;
  std::cout << "SEED=" << seed << "\n";
  Random random(seed);
  int chosen = 0;
  for (int round = 0; round < 3000; ++round) {
    std::vector<VictimTeam> teams;
    const int64_t n_teams = random.Between(1, 4);
    for (int t = 0; t < n_teams; ++t) {
      teams.push_back(
          {.parent = t > 0 && random.Chance(0.5) ? static_cast<int>(random.Below(t)) : -1,
           .cap = random.Between(0, 10),
           .burden = static_cast<double>(random.Between(0, 4)),
           .share = static_cast<double>(1 << random.Below(3))});
    }
    std::vector<VictimJob> jobs;
    const int64_t n_jobs = random.Between(0, 6);
    for (int j = 0; j < n_jobs; ++j) {
      VictimJob job{.team = static_cast<int>(random.Below(n_teams)), .slots = random.Between(1, 5)};
      job.can_pause = random.Chance(0.7);
      job.can_break = !job.can_pause;
      job.can_shrink = job.can_pause && random.Chance(0.6) ? random.Between(0, job.slots - 1) : 0;
      job.lost_slot_s = static_cast<double>(random.Between(0, 40));
      job.pause_slot_s = static_cast<double>(random.Between(0, 2) * 10 * job.slots);
      jobs.push_back(job);
    }
    VictimNeed need{.unit = random.Between(1, 3)};
    need.offset = random.Between(0, need.unit - 1);
    need.slots = random.Between(1, 4) * need.unit - need.offset;
    const double spread = static_cast<double>(random.Between(0, 2) * 4);
    const VictimChoice choice = ChooseVictimsBounded(teams, jobs, need, spread);
    const auto& fast = choice.victims;
    ASSERT_TRUE(choice.exact || fast.empty());
    int64_t gives = 0;
    for (const Victim& v : fast) gives += v.give;
    if (gives >= need.slots) {
      ASSERT_FALSE(Less(choice.cost, choice.bound)) << "a bound above what was found";
    }
    const auto slow = ChooseVictimsByTryingAll(teams, jobs, need, spread);
    const std::string instance = fmt::format("round {} need {} unit {} offset {}", round,
                                             need.slots, need.unit, need.offset);
    ASSERT_EQ(fast.empty(), slow.empty()) << instance;
    ASSERT_TRUE(Allowed(teams, jobs, fast)) << instance;
    int64_t given_fast = 0, given_slow = 0;
    for (const Victim& v : fast) given_fast += v.give;
    for (const Victim& v : slow) given_slow += v.give;
    const auto units = [&](int64_t given) {
      return std::min(need.offset + given, need.offset + need.slots) / need.unit;
    };
    ASSERT_EQ(units(given_fast), units(given_slow)) << instance;
    const VictimCost a = CostOf(teams, jobs, fast, spread), b = CostOf(teams, jobs, slow, spread);
    ASSERT_EQ(a.broken, b.broken) << instance;
    ASSERT_NEAR(a.slot_s, b.slot_s, 1e-9) << instance;
    chosen += !fast.empty();
  }
  EXPECT_GT(chosen, 1000);
}

TEST(Victims, GangsOfWholeNodesAreChosenExactlyInFleetsOfThousands) {
  Random random(11);
  std::vector<VictimJob> jobs;
  for (int j = 0; j < 4000; ++j) {
    jobs.push_back(Rigid(0, 8 << random.Below(4), static_cast<double>(random.Between(100, 90000))));
    jobs.back().pause_slot_s = 120.0 * static_cast<double>(jobs.back().slots);
  }
  const std::vector<VictimTeam> teams = {{.cap = 1'000'000, .share = 30000}};
  for (const int64_t need : {64, 1024, 4096}) {
    const VictimChoice choice = ChooseVictimsBounded(teams, jobs, {.slots = need}, 0);
    EXPECT_TRUE(choice.exact) << need;
    EXPECT_LE(choice.bound.slot_s, choice.cost.slot_s);
  }
}

TEST(Victims, KeepsToTheCapsInBigChoicesToo) {
  Random random(7);
  std::vector<VictimTeam> teams;
  for (int t = 0; t < 20; ++t) teams.push_back({.cap = random.Between(0, 100), .share = 50});
  std::vector<VictimJob> jobs;
  for (int j = 0; j < 2000; ++j) {
    const int64_t slots = random.Between(1, 8);
    jobs.push_back(Elastic(static_cast<int>(random.Below(20)), slots, slots - 1,
                           static_cast<double>(random.Between(1, 500))));
  }
  for (const int64_t need : {16, 200, 512, 900}) {
    const auto start = std::chrono::steady_clock::now();
    const auto v = ChooseVictims(teams, jobs, {.slots = need}, 5);
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    std::cout << "2000 jobs, 20 teams, need " << need << ": " << ms << " ms, " << v.size()
              << " victims\n";
    EXPECT_TRUE(Allowed(teams, jobs, v));
    int64_t given = 0;
    for (const Victim& x : v) given += x.give;
    EXPECT_GE(given, std::min<int64_t>(need, 500));
  }
}

}  // namespace
}  // namespace weir::sched
