#include "control/sim/scenario/scenario.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace weir::sim {
namespace {

Trace JobsOf(std::string_view rows) {
  Trace trace;
  const std::string text = "job,submit_s,duration_s,slots,team,type\n" + std::string(rows);
  const Status read = ReadTrace(io::LineReader::OfBytes(text, "jobs.csv"), {}, &trace);
  EXPECT_TRUE(read) << read.error().ToString();
  return trace;
}

TEST(Fleet, ReadsTheExample) {
  const auto fleet = ParseFleet(R"(
name = "venus"
[[site]]
name = "a"
energy_usd_per_kwh = 0.2
[[site]]
name = "b"
[[nodes]]
site = "a"
count = 3
slots = 8
type = "V100"
nodes_per_leaf = 2
price_usd_per_slot_h = 2
[[nodes]]
site = "b"
count = 2
slots = 4
type = "A100"
spot = true
[[maintenance]]
site = "a"
nodes = ["a/n1"]
at = "3d"
for = "4h"
[team.research]
guarantee_slots = 8
[team.vision]
parent = "research"
[service.chat]
own_slots = "mean"
rate_per_replica = 5
startup = "90s"
[assume]
checkpoint_interval = "20m"
elastic_share = 0.5
[faults]
lost_message = 0.1
[policy]
loan_term = "30m"
)",
                                "f.toml");
  ASSERT_TRUE(fleet) << fleet.error().ToString();
  EXPECT_EQ(fleet->slots(), 32);
  ASSERT_EQ(fleet->nodes.size(), 5u);
  EXPECT_EQ(fleet->nodes[2].leaf, 1);
  EXPECT_EQ(fleet->nodes[4].name, "b/n1");
  EXPECT_EQ(fleet->maintenance[0].nodes, std::vector<int>{1});
  EXPECT_EQ(fleet->services[0].startup, Duration::Seconds(90));
  EXPECT_EQ(fleet->assume.checkpoint_interval, Duration::Minutes(20));
  EXPECT_EQ(fleet->policy.loan_term, Duration::Minutes(30));
}

struct FleetFile {
  const char* name;
  const char* text;
  const char* says;
};
class BadFleet : public testing::TestWithParam<FleetFile> {};
TEST_P(BadFleet, IsRefusedInOneSentence) {
  const auto fleet = ParseFleet(GetParam().text, "f.toml");
  ASSERT_FALSE(fleet);
  EXPECT_EQ(fleet.error().message().substr(0, std::string(GetParam().says).size()), GetParam().says)
      << fleet.error().ToString();
}
INSTANTIATE_TEST_SUITE_P(
    Files, BadFleet,
    testing::Values(
        FleetFile{"NotToml", "name = \n", "f.toml:1:8"},
        FleetFile{"NoNodes", "name = \"a\"\n", "f.toml: the fleet has no nodes"},
        FleetFile{"UnknownKey", "[[nodes]]\ncuont = 3\ncount = 1\n",
                  "f.toml:2: nodes[1].cuont is not a key; did you mean count?"},
        FleetFile{"WrongKind", "[[nodes]]\ncount = \"many\"\n",
                  "f.toml:2: nodes[1].count is not a whole number"},
        FleetFile{"Absurd", "[[nodes]]\ncount = 1\nslots = 1000\n",
                  "f.toml:3: nodes[1].slots is 1000, outside 1..64"},
        FleetFile{"Negative", "[[nodes]]\ncount = -4\n", "f.toml:2: nodes[1].count is -4, outside"},
        FleetFile{"BadDuration", "[[nodes]]\ncount = 1\n[assume]\nstart_base = 30\n",
                  "f.toml:4: assume.start_base is not a duration"},
        FleetFile{"TeamCycle",
                  "[[nodes]]\ncount = 1\n[team.a]\nparent = \"b\"\n[team.b]\nparent = \"a\"\n",
                  "f.toml: the teams a, b are each other's parents"},
        FleetFile{"UnknownParent", "[[nodes]]\ncount = 1\n[team.a]\nparent = \"c\"\n",
                  "f.toml: team a has the parent \"c\", which is no team"},
        FleetFile{"TooMuchPromised",
                  "[[nodes]]\ncount = 1\nslots = 8\n[team.a]\nguarantee_slots = 9\n",
                  "f.toml: the teams are guaranteed 9 slots, the fleet has 8"},
        FleetFile{"UnknownSite", "[[site]]\nname = \"x\"\n[[nodes]]\nsite = \"y\"\ncount = 1\n",
                  "f.toml:4: nodes[1].site \"y\" is no [[site]]; there are: x"},
        FleetFile{
            "UnknownNode",
            "[[nodes]]\ncount = 1\n[[outage]]\nat = \"1h\"\nfor = \"1h\"\nnodes = [\"a/n7\"]\n",
            "f.toml:6: outage[1].nodes has \"a/n7\", which is no node"},
        FleetFile{"UnknownPolicyOption", "[[nodes]]\ncount = 1\n[policy]\nloan_trem = \"3m\"\n",
                  "f.toml: policy option loan_trem is not known"}),
    [](const auto& param) { return param.param.name; });

TEST(Scenario, SettlesWhatTheTraceDoesNotSay) {
  FleetSpec fleet = PlainFleet(4, 8);
  const auto s = MakeScenario(fleet, JobsOf("a,0,100,4,x,\nb,10,5,1,,\nc,20,5,2,x,\n"), {});
  ASSERT_TRUE(s) << s.error().ToString();
  ASSERT_EQ(s->jobs.size(), 3u);
  EXPECT_EQ(s->teams[static_cast<size_t>(s->jobs[0].team)].name, "x");
  EXPECT_EQ(s->teams[static_cast<size_t>(s->jobs[1].team)].name, "research");
  EXPECT_TRUE(s->jobs[0].checkpointable);
  EXPECT_EQ(s->jobs[1].submit, kEpoch + Duration::Seconds(10));
}

TEST(Scenario, LeavesOutAndNamesJobsLargerThanTheFleet) {
  FleetSpec fleet = PlainFleet(2, 8);
  fleet.sites.push_back({.name = "b", .provider = ""});
  fleet.nodes[1].site = 1;  // two pools of 8: a gang of 9 fits neither
  const std::string rows = "a,0,100,9,,\nb,0,100,8,,\nc,0,1,1,,H100\n";
  const auto s = MakeScenario(fleet, JobsOf(rows), {});
  ASSERT_TRUE(s) << s.error().ToString();
  EXPECT_EQ(s->jobs.size(), 1u);
  ASSERT_EQ(s->notes.size(), 2u);
  EXPECT_EQ(s->notes[0],
            "1 job is larger than the fleet: a asks for 9 slots, the largest pool of one type on "
            "one site has 8; left out");
  const auto strict = MakeScenario(fleet, JobsOf(rows), {.strict = true});
  ASSERT_FALSE(strict);
  EXPECT_EQ(strict.error().code(), Code::kInvalidArgument);
}

TEST(Scenario, FaultsFollowFromTheSeedAlone) {
  FleetSpec fleet = PlainFleet(16, 8);
  fleet.faults.node_failures_per_1000_node_days = 100;
  fleet.faults.slow_per_1000_node_days = 50;
  fleet.faults.outages_per_site_year = 12;
  const auto make = [&](uint64_t seed) {
    const auto s = MakeScenario(fleet, JobsOf("a,0,100,4,x,\nb,864000,5,1,,\n"), {.seed = seed});
    std::string text;
    for (const NodeEvent& e : s->node_events)
      text += fmt::format("{} {} {}\n", e.at.us, e.node, static_cast<int>(e.kind));
    return text;
  };
  EXPECT_EQ(make(1), make(1));
  EXPECT_NE(make(1), make(2));
  EXPECT_GT(make(1).size(), 500u);
}

TEST(Scenario, NeedFollowsTheDemandBetweenItsRows) {
  FleetSpec fleet = PlainFleet(4, 8);
  ServiceSpec chat;
  chat.name = "chat";
  chat.rate_per_replica = 10;
  chat.slo_utilization = 0.5;
  fleet.services.push_back(chat);
  Trace trace;
  trace.demands = {{Duration::Seconds(0), "chat", 10, 0, 0},
                   {Duration::Seconds(600), "chat", 40, 0, 0},
                   {Duration::Seconds(1200), "chat", 0, 0, 0}};
  const auto s = MakeScenario(fleet, trace, {.repeat_demand = false});
  ASSERT_TRUE(s) << s.error().ToString();
  const SimService& service = s->services[0];
  EXPECT_EQ(service.NeedReplicas(Duration::Seconds(0)), 2);
  EXPECT_EQ(service.NeedReplicas(Duration::Seconds(300)), 5);
  EXPECT_EQ(service.NeedReplicas(Duration::Seconds(600)), 8);
  EXPECT_EQ(service.NeedReplicas(Duration::Seconds(1200)), 0);
  EXPECT_GT(service.own_slots, 0);
  EXPECT_LE(service.own_slots, 4);
  EXPECT_EQ(s->teams[static_cast<size_t>(service.team)].guarantee_slots, service.own_slots);
}

TEST(Scenario, RefusesAnEmptyWorldAndTeamsOfTwoClasses) {
  const auto none = MakeScenario(PlainFleet(1, 8), {}, {});
  ASSERT_FALSE(none);
  Trace trace = JobsOf("a,0,100,4,product,\n");
  trace.demands = {{Duration{}, "chat", 1, 0, 0}};
  const auto both = MakeScenario(PlainFleet(1, 8), trace, {});
  ASSERT_FALSE(both);
  EXPECT_NE(both.error().message().find("team product"), std::string::npos);
}

}  // namespace
}  // namespace weir::sim
