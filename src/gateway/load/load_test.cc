#include "gateway/load/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "io/http_server.h"

namespace weir::gateway {
namespace {

using testing::HasSubstr;

TEST(LoadPlan, ShapesAndRatesAreRead) {
  const LoadShape s = *ParseLoadShape("surge:10x@20s+60s");
  const Duration total = Duration::Seconds(120);
  EXPECT_EQ(s.FactorAt(Duration::Seconds(19), total), 1);
  EXPECT_EQ(s.FactorAt(Duration::Seconds(20), total), 10);
  EXPECT_EQ(s.FactorAt(Duration::Seconds(80), total), 1);
  const LoadShape r = *ParseLoadShape("ramp:0x..2x");
  EXPECT_EQ(r.FactorAt(Duration::Seconds(60), total), 1);
  EXPECT_EQ(*ParseRate("20/s"), 20);
  EXPECT_EQ(*ParseRate("90/m"), 1.5);
  for (const char* bad : {"", "surge", "surge:10@2s+3s", "surge:10x@2s", "ramp:1x", "wave:1x"}) {
    EXPECT_FALSE(ParseLoadShape(bad)) << bad;
  }
  for (const char* bad : {"", "0/s", "-1", "x/s", "20/d"}) EXPECT_FALSE(ParseRate(bad)) << bad;
}

TEST(LoadPlan, TheCountFollowsTheIntegralOfTheRate) {
  SyntheticPlan p{.rate_per_s = 50, .total = Duration::Seconds(100), .spacing = Spacing::kEven};
  EXPECT_NEAR(static_cast<double>(MakePlan(p)->size()), 5000, 1);
  p.shape = *ParseLoadShape("surge:10x@20s+10s");
  EXPECT_NEAR(static_cast<double>(MakePlan(p)->size()), 50 * 90 + 500 * 10, 2);
  p.spacing = Spacing::kPoisson;
  const auto plan = *MakePlan(p);
  EXPECT_NEAR(static_cast<double>(plan.size()), 9500, 4 * std::sqrt(9500.0));
  size_t inside = 0;
  for (size_t i = 0; i < plan.size(); ++i) {
    inside += plan[i].at >= Duration::Seconds(20) && plan[i].at < Duration::Seconds(30);
    if (i > 0) {
      ASSERT_LE(plan[i - 1].at, plan[i].at);
    }
  }
  EXPECT_NEAR(static_cast<double>(inside), 5000, 4 * std::sqrt(5000.0));
  const auto again = *MakePlan(p);
  ASSERT_EQ(again.size(), plan.size());
  EXPECT_EQ(again.back().at, plan.back().at) << "the same seed gives the same plan";
  EXPECT_FALSE(MakePlan(SyntheticPlan{.rate_per_s = 1e9}));
}

TEST(LoadPlan, TracesAreKnownByTheirHeader) {
  auto p = *MakePlan(ReplayPlan{
      .csv = "arrival_s,input_tokens,output_tokens\n0.0,374,44\r\n4.0,396,109\n", .speedup = 2});
  ASSERT_EQ(p.size(), 2u);
  EXPECT_EQ(p[1].at, Duration::Seconds(2));
  EXPECT_EQ(p[1].prompt_tokens, 396);
  EXPECT_EQ(p[1].max_tokens, 109);
  p = *MakePlan(
      ReplayPlan{.csv = "arrival_ms,input_tokens,output_tokens,prefix_blocks\n500,1,2,3\n"});
  EXPECT_EQ(p[0].at, Duration::Millis(500));
  p = *MakePlan(ReplayPlan{.csv = "client,t_s,rate_rps\n0,600,10\n1,600,20\n0,1200,30\n"});
  EXPECT_NEAR(static_cast<double>(p.size()), 600 * 60, 4 * std::sqrt(36000.0));
  for (const char* bad : {"", "a,b\n1,2\n", "arrival_s\nx\n", "arrival_s\n-1\n", "arrival_s\n",
                          "t_s,rate_rps\n0,nan\n"}) {
    const auto r = MakePlan(ReplayPlan{.csv = bad});
    ASSERT_FALSE(r) << bad;
    EXPECT_THAT(r.error().hint(), HasSubstr("arrival_s"));
  }
}

TEST(LoadPlan, RealTracesAreRead) {
  const char* shared = std::getenv("WEIR_SHARED");
  const std::string base = std::string(shared ? shared : "") + "/traces/";
  if (!ReadMaybeGzip(base + "azure_llm_2023/conv.csv.gz")) GTEST_SKIP() << "no traces at hand";
  const auto plan = [&](const std::string& name, double sample) {
    return *MakePlan(ReplayPlan{.csv = *ReadMaybeGzip(base + name), .sample = sample});
  };
  EXPECT_EQ(plan("azure_llm_2023/conv.csv.gz", 1).size(), 19366u);
  EXPECT_EQ(plan("mooncake_conversation/requests.csv.gz", 1).size(), 12031u);
  const auto small = plan("servegen/m-small_total.csv.gz", 1e-4);
  EXPECT_NEAR(static_cast<double>(small.size()), 1174e-4 * 1209600, 0.05 * 1174e-4 * 1209600);
  EXPECT_GT(small[0].prompt_tokens, 0);
}

TEST(LoadReport, QuantilesGoodputAndErrors) {
  LoadReport r({.ttft = Duration::Millis(50)});
  for (int i = 1; i <= 100; ++i) {
    r.Sent({});
    LoadSample s{.ok = true, .streamed = true};
    s.ttft = Duration::Millis(i);
    s.latency = Duration::Millis(2 * i);
    s.tokens = 3;
    r.Add(s);
  }
  r.Sent({});
  r.Add({.error = "http_429"});
  r.Finish(Duration::Seconds(10));
  EXPECT_EQ(r.Quantile(LoadReport::What::kTtft, 0.5), Duration::Millis(50));
  EXPECT_EQ(r.Quantile(LoadReport::What::kTtft, 0.99), Duration::Millis(99));
  EXPECT_EQ(r.Quantile(LoadReport::What::kLatency, 1), Duration::Millis(200));
  EXPECT_EQ(r.good(), 50u);
  const auto j = nlohmann::json::parse(r.Json());
  EXPECT_EQ(j["goodput_per_s"], 5.0);
  EXPECT_EQ(j["errors"]["http_429"], 1);
  EXPECT_EQ(j["tokens_per_s"], 30.0);
  EXPECT_THAT(r.Text(), HasSubstr("error       1 x http_429"));
}

// A server that answers every request with three events, and stalls as told.
struct Target {
  std::atomic<int> asked{0};
  std::function<void(io::HttpExchangePtr)> how;
  io::HttpServer server{{}, [this](io::HttpExchangePtr x) {
                          if (x->request().target == "/v1/models") {
                            return x->Answer(io::JsonResponse(200, R"({"data":[{"id":"story"}]})"));
                          }
                          if (x->request().method == "GET") {
                            return x->Answer(io::JsonResponse(404, "{}"));
                          }
                          ++asked;
                          how(std::move(x));
                        }};
  uint16_t port = *server.Start();
  static void Stream(const io::HttpExchangePtr& x) {
    x->Begin(200, {{"Content-Type", "text/event-stream"}});
    for (int i = 0; i < 3; ++i) x->Write("data: {}\n\n");
    x->Write("data: [DONE]\n\n");
    x->End();
  }
  LoadOptions Options() {
    LoadOptions o;
    o.url = "http://127.0.0.1:" + std::to_string(port) + "/v1";
    o.model = "story";
    return o;
  }
};

TEST(Load, SendsThePlanAndMeasures) {
  Target t;
  t.how = &Target::Stream;
  LoadOptions o = t.Options();
  for (int i = 0; i < 50; ++i) o.plan.push_back({Duration::Millis(4 * i)});
  const LoadReport r = *RunLoad(o);
  EXPECT_EQ(r.sent(), 50u);
  EXPECT_EQ(r.ok(), 50u);
  EXPECT_EQ(r.tokens(), 150u);
  EXPECT_EQ(t.asked, 50);
  EXPECT_EQ(r.Count(LoadReport::What::kTtft), 50u);
}

// The reason for an open loop: while the server stalls, the requests that a closed loop would not
// have sent count with the whole time that they would have waited.
TEST(Load, AStallIsFeltByEveryRequestMeantForIt) {
  Target t;
  t.how = [&](io::HttpExchangePtr x) {
    // The first one blocks the server's only loop: nothing is read meanwhile.
    if (t.asked == 1) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    Target::Stream(x);
  };
  LoadOptions o = t.Options();
  for (int i = 0; i < 30; ++i) o.plan.push_back({Duration::Millis(10 * i)});
  const LoadReport r = *RunLoad(o);
  EXPECT_EQ(r.ok(), 30u);
  EXPECT_GT(r.Quantile(LoadReport::What::kLatency, 0.5), Duration::Millis(100));
}

TEST(Load, ErrorsAreCountedByKind) {
  Target t;
  t.how = [&](io::HttpExchangePtr x) {
    switch (t.asked % 4) {
      case 0:
        return x->Answer(io::JsonResponse(429, "{}"));
      case 1: {
        x->Begin(200, {{"Content-Type", "text/event-stream"}});
        x->Write("data: {\"error\":{}}\n\n");
        return x->End();
      }
      case 2:
        x->Begin(200, {{"Content-Type", "text/event-stream"}});
        x->Write("data: {}\n\n");
        return x->Abort();
      default:
        return Target::Stream(x);
    }
  };
  LoadOptions o = t.Options();
  o.plan.resize(8);
  const LoadReport r = *RunLoad(o);
  EXPECT_EQ(r.ok(), 2u);
  EXPECT_EQ(r.errors().at("http_429"), 2u);
  EXPECT_EQ(r.errors().at("error_event"), 2u);
  EXPECT_EQ(r.errors().at("broken"), 2u);
}

TEST(Load, WhatWouldFailEveryRequestIsSaidBefore) {
  Target t;
  LoadOptions o = t.Options();
  o.plan.resize(1);
  o.model = "nope";
  const auto model = RunLoad(o);
  EXPECT_THAT(model.error().ToString(), HasSubstr("serves no model \"nope\" (it serves story)"));
  o.url = "http://127.0.0.1:1";
  EXPECT_THAT(RunLoad(o).error().ToString(), HasSubstr("cannot reach http://127.0.0.1:1"));
  o.url = "gopher://x";
  EXPECT_EQ(RunLoad(o).error().code(), Code::kInvalidArgument);
}

TEST(Load, StopsWhenAskedAndReportsWhatItHas) {
  Target t;
  t.how = &Target::Stream;
  LoadOptions o = t.Options();
  o.plan = {{Duration{}}, {Duration::Minutes(60)}};
  o.cancelled = [&] { return t.asked > 0; };
  const LoadReport r = *RunLoad(o);
  EXPECT_EQ(r.sent(), 1u);
}

}  // namespace
}  // namespace weir::gateway
