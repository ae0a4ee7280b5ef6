#include "lab/blueprint/goodput.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "lab/blueprint/plan_run.h"
#include "lab/blueprint/spec.h"

namespace weir::blueprint {
namespace {

TEST(Goodput, YoungAndDalyByHand) {
  EXPECT_DOUBLE_EQ(YoungInterval(60, 7200), std::sqrt(2 * 60 * 7200));  // 929.5 s
  const double x = 60.0 / 14400;
  EXPECT_NEAR(DalyInterval(60, 7200),
              std::sqrt(2.0 * 60 * 7200) * (1 + std::sqrt(x) / 3 + x / 9) - 60, 1e-9);
  EXPECT_EQ(DalyInterval(100, 40), 40);  // a stall longer than two failures: as often as they come
}

TEST(Goodput, DalysIntervalIsTheBestOfTheExactForm) {
  for (const double stall : {5.0, 60.0, 600.0}) {
    for (const double mtbf : {1800.0, 11135.0, 86400.0}) {
      const double chosen = UsefulShare(DalyInterval(stall, mtbf), stall, 600, mtbf);
      double best = 0;
      for (double t = 1; t < 5 * mtbf; t *= 1.01)
        best = std::max(best, UsefulShare(t, stall, 600, mtbf));
      EXPECT_GT(chosen, best * 0.999) << stall << " " << mtbf;
    }
  }
}

// The process itself, played out: work, checkpoint, a failure at any instant (also in a checkpoint
// and in a restart), everything since the last checkpoint lost.
TEST(Goodput, TheFormulaIsTheMeanOfTheProcess) {
  Random random(7);
  const double interval = 900, stall = 60, restart = 300, mtbf = 3000;
  double clock = 0, kept = 0;
  while (kept < 4e7) {
    double left = interval + stall;  // until this checkpoint is durable
    while (true) {
      const double failure = random.Exponential(mtbf);
      if (failure >= left) {
        clock += left;
        break;
      }
      clock += failure;
      double back = restart;
      while (true) {
        const double again = random.Exponential(mtbf);
        if (again >= back) break;
        clock += again;
      }
      clock += back;
      left = interval + stall;
    }
    kept += interval;
  }
  EXPECT_NEAR(kept / clock, UsefulShare(interval, stall, restart, mtbf), 0.005);
}

TEST(Goodput, RatesOfTheLlama3RunAndOfMetasClusters) {
  Cluster c;
  c.accelerator = FindAccelerator("h100").value();
  c.count = 16384;
  const Goodput g = GoodputOf(c, 405e9, {});
  EXPECT_NEAR(g.mtbf_s / 3600, 3.093, 0.01);  // 54 days, 419 interruptions
  Reliability rsc;
  rsc.failures_per_1000_node_days = 6.5;
  EXPECT_NEAR(GoodputOf(c, 405e9, rsc).mtbf_s / 3600, 1.803, 0.005);
  EXPECT_GT(g.share(), 0.5);
  EXPECT_LT(g.share(), 1);
}

TEST(Goodput, MoreFailuresSlowerStorageAndFewerSparesAreNeverBetter) {
  Cluster c;
  c.accelerator = FindAccelerator("h100").value();
  c.count = 4096;
  double before = 1;
  for (double rate = 0; rate < 50; rate += 2) {
    Reliability r;
    r.failures_per_1000_node_days = rate;
    const double share = GoodputOf(c, 100e9, r).share();
    EXPECT_LE(share, before + 1e-12);
    before = share;
  }
  double waiting = 1.1;
  for (int spares = 1; spares < 20; ++spares) {
    Reliability r;
    r.spare_nodes = spares;
    const double w = GoodputOf(c, 100e9, r).waiting;
    EXPECT_LE(w, waiting);
    waiting = w;
  }
  EXPECT_LT(waiting, 1e-6);
}

TEST(RunCost, SumsByHand) {
  Cluster c;
  c.accelerator = FindAccelerator("h100").value();
  c.count = 8;
  Goodput g;  // all of it
  Site site{2.0, 1.5, 100, 1.0};
  const RunCost r =
      CostOf(c, g, {}, site, 86400e6, 1e6, 0.5e6, 2e6);  // a day at a million a second
  EXPECT_DOUBLE_EQ(r.days, 1);
  EXPECT_DOUBLE_EQ(r.low_days, 0.5);
  EXPECT_DOUBLE_EQ(r.high_days, 2);
  EXPECT_DOUBLE_EQ(r.dollars, 8 * 24 * 2.0);
  EXPECT_NEAR(r.kilowatts, 8 * 1.275 * 1.5, 1e-9);
  EXPECT_NEAR(r.megawatt_hours, 15.3 * 24 / 1000, 1e-9);
  EXPECT_NEAR(r.tonnes_co2, r.megawatt_hours * 0.1, 1e-12);
  EXPECT_NEAR(r.dollars_per_million_tokens, 384.0 / 86400, 1e-12);
  EXPECT_EQ(CarbonOf("us-east4").value(), 343.48);
  EXPECT_EQ(CarbonOf("Paris").value(), 15.83);
  EXPECT_FALSE(CarbonOf("atlantis"));
}

TEST(Offers, TheCheapestInTimeComesFirstAndTheImpossibleLast) {
  const auto offers = ReadOffers(
      "provider,accelerator,count,usd_per_accelerator_hour,region,from\n"
      "tiny,l4,1,0.1,,2026-12-01\n"
      "dear,H100-80GB,64,9,us-east4,2026-12-01\n"
      "fair,H100-80GB,64,3,us-east4,2026-12-01\n"
      "late,H100-80GB,64,1,us-east4,2030-01-01\n"
      "none,H100-80GB,64,,us-east4,2026-12-01\n",
      "o.csv", 0);
  ASSERT_TRUE(offers) << offers.error().ToString();
  ASSERT_EQ(offers->size(), 4u);
  TrainQuestion q;
  q.shape = FindModel("llama3-8b").value();
  q.work = {8192, 128, true, false};
  q.tokens = 100e9;
  SearchSpace space;
  space.max_micro_batch = 2;
  const auto answers =
      CompareOffers(Calibration(), q, *offers, space, ParseDay("2027-06-01", "by").value());
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_EQ(answers[0].offer.name, "fair");
  EXPECT_TRUE(answers[0].in_time);
  EXPECT_EQ(answers[1].offer.name, "dear");
  EXPECT_EQ(answers[2].offer.name, "late");
  EXPECT_FALSE(answers[2].in_time);
  EXPECT_EQ(answers[3].offer.name, "tiny");
  EXPECT_FALSE(answers[3].train.has_value());
  EXPECT_NE(answers[3].why_not.find("memory"), std::string::npos);
}

TEST(Offers, BadRowsAreAnsweredWithTheirLine) {
  const auto bad = [](const char* rows) {
    return ReadOffers(
               std::string("provider,accelerator,count,usd_per_accelerator_hour,region,from\n") +
                   rows,
               "o.csv", 0)
        .error()
        .ToString();
  };
  EXPECT_NE(bad("a,h1000,8,2,,\n").find("line 2"), std::string::npos);
  EXPECT_NE(bad("a,h100,8,-2,,\n").find("below zero"), std::string::npos);
  EXPECT_NE(bad("a,h100,8.5,2,,\n").find("whole"), std::string::npos);
  EXPECT_NE(bad("a,h100,8,2,,2027-02-30\n").find("no date"), std::string::npos);
  EXPECT_NE(bad("a,h100,8,cheap,,\n").find("not a number"), std::string::npos);
  EXPECT_FALSE(ReadOffers("provider,count\na,1\n", "o.csv", 0));
}

}  // namespace
}  // namespace weir::blueprint
