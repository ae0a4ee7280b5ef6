// What people write, what is drawn from it, and the rules that need no program.
#include "lab/plan/beliefs.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <set>

#include "lab/plan/baselines.h"
#include "lab/plan/history.h"
#include "lab/plan/judge.h"
#include "lab/plan/planner.h"
#include "lab/plan/scenarios.h"
#include "lab/plan/test_problems.h"

namespace weir::plan {
namespace {

const char* const kFile = R"([plan]
start = "2027-01"
months = 12
[[pool]]
name = "h100"
accelerator = "h100"
on_demand = "$3/h"
[[demand]]
name = "chat"
class = "product"
runs_on = { h100 = 1 }
level = 100
value = "$9/h"
[[offer]]
name = "a"
provider = "acme"
pool = "h100"
lot = 8
max_lots = 10
price = "$2/h"
term = "12 months"
lead = "2 months"
expires = "2027-03"
)";

Result<Beliefs> Read(const std::string& text) {
  Known known;
  known.accelerators = {{"h100", {"H100 SXM"}, 1.3}, {"b200", {}, 1.8}};
  return ReadBeliefs(
      text, "p.toml",
      [](const std::string& path) -> Result<std::string> { return Error(Code::kNotFound, path); },
      known);
}
std::string With(std::string_view from, std::string_view to) {
  std::string s = kFile;
  s.replace(s.find(from), from.size(), to);
  return s;
}

TEST(Beliefs, ReadsWhatTheManualSays) {
  const auto b = Read(kFile);
  ASSERT_TRUE(b) << b.error().ToString();
  EXPECT_EQ(b->problem.pools[0].kw, 1.3);
  ASSERT_EQ(b->problem.offers.size(), 1u);
  EXPECT_EQ(b->problem.offers[0].first_start, 2);
  EXPECT_EQ(b->problem.offers[0].expires, 2);
  EXPECT_EQ(MonthText(b->problem.start), "2027-01");
}

TEST(Beliefs, RefusesWithTheLineAndTheNextStep) {
  const struct {
    const char *from, *to, *says;
  } kRows[] = {
      {"$2/h", "2", "has no currency"},
      {"$2/h", "$2", "has no unit"},
      {"$2/h", "2 EUR/h", "another currency"},
      {"$2/h", "$-2/h", "negative"},
      {"$2/h", "-$2/h", "p.toml:14: price: \"-$2/h\" is negative"},
      {"12 months", "12", "has no unit"},
      {"12 months", "$12/h", "is money"},
      {"accelerator = \"h100\"", "accelerator = \"h10\"", "did you mean h100"},
      {"pool = \"h100\"", "pool = \"h1000\"", "did you mean `h100`"},
      {"expires = \"2027-03\"", "", "no `expires`"},
      {"expires = \"2027-03\"", "expires = \"2027-13\"", "is no month"},
      {"lead = \"2 months\"", "lead = \"2 months\"\nlast_start = \"2027-02\"",
       "dates out of order"},
      {"max_lots = 10", "max_lot = 10", "did you mean `max_lots`"},
      {"max_lots = 10", "max_lots = 10\nmin_lots = 11", "above max_lots"},
      {"level = 100", "", "neither `level` nor `history`"},
      {"level = 100", "level = 100\nfloor = 10", "a floor is of research"},
      {"product", "produce", "neither research nor product"},
      {"months = 12", "months = 0", "not 1 to"},
      {"[plan]", "[plan", "p.toml:1"},
  };
  for (const auto& row : kRows) {
    const auto b = Read(With(row.from, row.to));
    ASSERT_FALSE(b) << row.to;
    EXPECT_NE(b.error().ToString().find(row.says), std::string::npos) << b.error().ToString();
    EXPECT_NE(b.error().ToString().find("p.toml"), std::string::npos) << b.error().ToString();
  }
}

TEST(History, FindsTheTrendAndWhatWasNotServed) {
  std::string csv = "month,served,waiting,refused\n";
  double queue = 0;
  for (int t = 0; t < 12; ++t) {
    const double asked = 100 * std::pow(1.03, t), served = std::min(asked, 120.0);
    queue += asked - served;
    csv += "2026-" + std::string(t < 9 ? "0" : "") + std::to_string(t + 1) + "," +
           std::to_string(served) + "," + std::to_string(queue) + ",0\n";
  }
  const auto h = ReadHistory(csv, "h.csv", "");
  ASSERT_TRUE(h) << h.error().ToString();
  const auto fit = FitHistory(*h, 12 * 2027);
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->growth, 0.03, 1e-6);
  EXPECT_NEAR(fit->level, 100 * std::pow(1.03, 12), 0.01);
  EXPECT_NEAR(fit->backlog, queue, 1e-4);
  EXPECT_NEAR(fit->unserved, 100 * std::pow(1.03, 11) - 120, 1e-3);
  EXPECT_FALSE(ReadHistory("month,served\n2026-02,1\n2026-01,1\n", "h", "").has_value());
  EXPECT_FALSE(ReadHistory("month,served\n2026-01,1\n2026-03,1\n", "h", "").has_value());
}

TEST(Scenarios, RepeatAreFairAndTheNormalQuantileIsRight) {
  for (const double x : {-3.0, -1.0, 0.0, 0.5, 2.5})
    EXPECT_NEAR(NormalQuantile(0.5 * std::erfc(-x / std::sqrt(2.0))), x, 1e-9);
  auto b =
      Read(With("level = 100",
                "level = 100\ngrowth = \"2%/month\"\ngrowth_sd = \"1%/month\"\nnoise = \"20%\""));
  ASSERT_TRUE(b) << b.error().ToString();
  b->providers[0].slip_chance = 0.3;
  const auto one = DrawScenarios(&*b, 400, 3, 0), two = DrawScenarios(&*b, 400, 3, 0),
             other = DrawScenarios(&*b, 400, 3, 1);
  double mean = 0, sum = 0;
  int late = 0;
  for (size_t s = 0; s < one.size(); ++s) {
    EXPECT_EQ(one[s].demand, two[s].demand);
    sum += one[s].probability;
    mean += one[s].probability * one[s].demand[6];
    late += one[s].offer_slip[0] > 0;
  }
  EXPECT_NE(one[0].demand, other[0].demand);
  EXPECT_NEAR(sum, 1, 1e-9);
  EXPECT_NEAR(mean, 100 * std::pow(1.02, 6), 4);
  EXPECT_NEAR(late, 120, 30);
}

TEST(Newsvendor, IsTheBestOfAllLevels) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Random r(seed);
    std::vector<double> demand;
    for (int i = 0; i < 1 + static_cast<int>(r.Below(30)); ++i)
      demand.push_back(std::floor(20 * r.Uniform()));
    const double premium = 1.05 + 4 * r.Uniform();
    const Level found = NewsvendorLevel(demand, premium);
    double best = 1e300;
    for (int level = 0; level <= 20; ++level) {
      double cost = 0;
      for (const double d : demand)
        cost += (level + premium * std::max(0.0, d - level)) / static_cast<double>(demand.size());
      best = std::min(best, cost);
    }
    EXPECT_NEAR(found.cost, best, 1e-9) << "SEED=" << seed;
  }
}

// The same answer out of the stochastic program: each interval is a future of one month.
// Known answers: the summed hourly demand of a stated fortnight, its peak set to 100.
TEST(Newsvendor, FindsTheKnownLevelOfAPublicDemand) {
  const char* shared = std::getenv("WEIR_SHARED");
  const std::string path =
      std::string(shared ? shared : "") + "/planning/demand_shavedice_hourly_normalized.csv.gz";
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) GTEST_SKIP() << "WEIR_SHARED has no hourly demand";
  std::map<std::string, double> by_hour;
  char line[256];
  while (gzgets(file, line, sizeof line) != nullptr) {
    const std::string row = line;  // hour, region, type, use
    if (row < "2024-01-07" || row.substr(0, 10) > "2024-01-20" || row[0] != '2') continue;
    by_hour[row.substr(0, 13)] += std::stod(row.substr(row.rfind(',') + 1));
  }
  gzclose(file);
  ASSERT_EQ(by_hour.size(), 336u);
  double peak = 0;
  for (const auto& [hour, v] : by_hour) peak = std::max(peak, v);
  std::vector<double> demand;
  for (const auto& [hour, v] : by_hour) demand.push_back(100 * v / peak);
  const struct {
    double premium, level, saved_percent;
  } known[] = {{1.35, 66.096, 20.49}, {2.1, 77.454, 45.47}, {3, 85.222, 60.48}};
  for (const auto& k : known) {
    const Level found = NewsvendorLevel(demand, k.premium);
    // The published level is a quantile between two hours; the best one is at one of them, and the
    // cost around it is nearly flat.
    double beyond = 0;
    for (const double v : demand) beyond += std::max(0.0, v - k.level);
    const double published = k.level + k.premium * beyond / static_cast<double>(demand.size());
    EXPECT_LE(found.cost, published + 1e-9) << "premium " << k.premium;
    EXPECT_NEAR(found.cost, published, 0.01) << "premium " << k.premium;
    EXPECT_NEAR(found.level, k.level, 0.003 * k.level) << "premium " << k.premium;
    EXPECT_NEAR(100 * found.saved(), k.saved_percent, 0.006) << "premium " << k.premium;
  }
  EXPECT_NEAR(NewsvendorLevel(demand, 2.1).cost, 87.512, 0.0006);
}

TEST(Newsvendor, IsWhatTheProgramFinds) {
  Random r(4);
  Problem p;
  p.start = 12 * 2027;
  p.months = 1;
  p.after_horizon = 1;
  p.providers = {"x"};
  p.pools.resize(1);
  p.demands.resize(1);
  p.demands[0].cls = Class::kProduct;
  p.demands[0].runs_on = {{0, 1}};
  p.demands[0].value_usd_h = 100;
  p.offers.resize(1);
  p.offers[0].price_usd_h = 1;
  p.offers[0].term_months = 1;
  p.offers[0].max_lots = 1000;
  std::vector<Scenario> futures(101);
  std::vector<double> demand;
  for (Scenario& s : futures) {
    s.probability = 1.0 / 101;
    s.demand = {static_cast<float>(r.Below(1000))};
    s.floor = {0};
    s.on_demand_usd_h = {2.1f};
    s.on_demand_limit = {1e6f};
    s.spot_usd_h = {0};
    s.spot_limit = {0};
    s.offer_slip = {0};
    s.provider_fails = {1};
    s.pool_opens = {0};
    demand.push_back(s.demand[0]);
  }
  Planner planner(p, futures);
  SolveOptions o;
  o.gap = o.relaxed_gap = 1e-7;
  const auto s = planner.Solve(o);
  ASSERT_TRUE(s) << s.error().ToString();
  const Level level = NewsvendorLevel(demand, 2.1f);
  EXPECT_NEAR(s->mean / planner.problem().hours[0], level.cost, 1e-4 * level.cost);
  EXPECT_EQ(s->lots[0], level.level);
}

// The rule never pays more than (2 - alpha) times what full knowledge would, whatever comes.
TEST(BreakEven, KeepsItsGuarantee) {
  double worst = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Random r(seed);
    Lease lease;
    lease.term = 2 + static_cast<int>(r.Below(12));
    lease.alpha = r.Chance(0.3) ? 0 : 0.8 * r.Uniform();
    lease.on_demand = 0.05 + 0.5 * r.Uniform();
    std::vector<int> demand;
    int level = static_cast<int>(r.Below(5));
    for (int t = 0; t < 10 + static_cast<int>(r.Below(40)); ++t) {
      if (r.Chance(0.3)) level = static_cast<int>(r.Below(6));
      demand.push_back(level);
    }
    const auto best = OfflineOptimum(demand, lease);
    ASSERT_TRUE(best);
    const double cost = BreakEven(demand, lease).cost;
    EXPECT_GE(cost, *best - 1e-9) << "SEED=" << seed;
    EXPECT_LE(cost, (2 - lease.alpha) * *best + 1e-9) << "SEED=" << seed;
    if (*best > 0) worst = std::max(worst, cost / *best);
  }
  EXPECT_GT(worst, 1.3);  // the instances are hard enough to show something
}

TEST(Judge, AgreesWithThePlanner) {
  for (uint64_t seed = 1; seed < 8; ++seed) {
    const SmallLab lab = RandomLab(seed, 5, 6, false);
    Planner planner(lab.problem, lab.futures);
    const auto s = planner.Solve({});
    ASSERT_TRUE(s);
    std::vector<Signed> plan;
    for (size_t b = 0; b < s->lots.size(); ++b)
      if (s->lots[b] > 0) plan.push_back({planner.blocks()[b], s->lots[b]});
    const Verdict v = Judge(planner.problem(), lab.futures).Of(plan);
    EXPECT_NEAR(v.mean, s->mean, 1e-4 * s->mean) << "SEED=" << seed;
    EXPECT_NEAR(v.cvar, s->cvar, 1e-4 * s->cvar) << "SEED=" << seed;
    EXPECT_NEAR(v.committed + v.on_demand + v.spot + v.lost + v.floor_price, v.mean, 1e-6 * v.mean);
  }
}

}  // namespace
}  // namespace weir::plan
