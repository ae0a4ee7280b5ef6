// Rules of Decide, one test each, most of them in a small world that carries its actions out
// (test_world.h) and checks the invariants after every second.
#include "lab/sched/decide.h"

#include <gtest/gtest.h>

#include <chrono>
#include <iostream>

#include "lab/sched/test_world.h"

namespace weir::sched {
namespace {

// The lab of `weir up` on a small machine: four slots, one elastic trainer, one service.
TestWorld SmallLab() {
  TestWorld w;
  w.AddSlots(4);
  w.AddTeam("research", true, 3);
  w.AddTeam("product", false, 1);
  w.AddJob("research", 1, 4, 1e9);
  w.AddService("chat", "product", 1, 4, 10);
  return w;
}
auto Surge(double from, double to, double high = 20.0) {
  return [=](const std::string&, double t) { return t >= from && t < to ? high : 2.0; };
}
int64_t Count(const Decision& d, ActionKind kind) {
  return std::count_if(d.actions.begin(), d.actions.end(),
                       [&](const Action& a) { return a.kind == kind; });
}
const Explanation* About(const Decision& d, const std::string& subject) {
  for (const Explanation& e : d.explanations) {
    if (e.subject == subject) return &e;
  }
  return nullptr;
}
bool Blocks(const Decision& d, const std::string& subject, const std::string& kind) {
  const Explanation* e = About(d, subject);
  if (e == nullptr) return false;
  return std::any_of(e->blockers.begin(), e->blockers.end(),
                     [&](const Blocker& b) { return b.kind == kind && !b.remedy.empty(); });
}

TEST(Decide, LendsInASurgeByShrinkingAndTakesItBack) {
  TestWorld w = SmallLab();
  w.load = Surge(60, 120);
  w.Run(60);
  EXPECT_EQ(w.SlotsOf("job-001"), 3);
  EXPECT_EQ(w.Ready("chat"), 1);
  w.Run(5);
  EXPECT_EQ(w.s.loans.size(), 1u) << w.LastLog();
  EXPECT_EQ(w.s.loans[0].parts[0].how, "shrink");
  EXPECT_GT(w.s.loans[0].parts[0].work_lost_slot_s, 0);
  w.Run(10);
  EXPECT_EQ(w.Ready("chat"), 3) << w.LastLog();
  EXPECT_EQ(w.SlotsOf("job-001"), 1);
  w.Run(75);
  EXPECT_TRUE(w.s.loans.empty()) << w.LastLog();
  w.Run(20);
  EXPECT_EQ(w.SlotsOf("job-001"), 3) << w.LastLog();
}

TEST(Decide, ResearchBorrowsTheIdleFloorAndGivesItBack) {
  TestWorld w = SmallLab();
  const ServiceState chat = w.s.services[0];
  w.s.services.clear();
  w.Run(30);
  EXPECT_EQ(w.SlotsOf("job-001"), 4);
  w.s.services.push_back(chat);
  w.Run(15);
  EXPECT_EQ(w.Ready("chat"), 1) << w.LastLog();
  EXPECT_EQ(w.SlotsOf("job-001"), 3) << "what stays of its old slots comes first for it";
  EXPECT_EQ(w.loans_opened, 0) << "its own floor is not a loan";
}

TEST(Decide, AConstantDemandComesToRest) {
  for (const double load : {0.0, 2.0, 6.5, 7.5, 13.0, 20.0, 100.0}) {
    TestWorld w = SmallLab();
    w.load = [=](const std::string&, double) { return load; };
    w.Run(120);
    const int64_t before = w.actions;
    w.Run(120);
    EXPECT_EQ(w.actions, before) << "load " << load << "\n" << w.LastLog();
  }
}

// A surge that fell to where a loan of two was still needed for one stopped the floor's replica
// beside it, and started it again, every few seconds.
TEST(Decide, ADemandThatFallsHalfWayComesToRest) {
  for (const double after : {3.0, 5.0, 6.5, 7.5, 9.0, 11.0, 13.0}) {
    TestWorld w = SmallLab();
    w.load = [=](const std::string&, double t) { return t < 10 ? 2.0 : t < 60 ? 30.0 : after; };
    w.Run(160);
    const int64_t before = w.actions;
    w.Run(100);
    EXPECT_EQ(w.actions, before) << "load " << after << "\n" << w.LastLog();
  }
}

TEST(Decide, IdleSlotsAreLentBeforeAnyJobIsAsked) {
  TestWorld w = SmallLab();
  w.s.jobs.clear();
  w.AddJob("research", 1, 1, 1e9);
  w.load = Surge(20, 60);
  w.Run(30);
  ASSERT_EQ(w.s.loans.size(), 1u) << w.LastLog();
  EXPECT_EQ(w.s.loans[0].parts[0].how, "idle");
  EXPECT_EQ(w.s.loans[0].parts[0].team, "research");
  EXPECT_EQ(w.stops, 0);
  EXPECT_EQ(w.Ready("chat"), 3);
}

// A job was stopped for every wiggle of a forecast, though the replicas had room for what came.
TEST(Decide, AForecastStopsNobodyWhileThereIsRoom) {
  for (const double foreseen : {7.0, 18.0}) {
    TestWorld w = SmallLab();
    w.foreseen = foreseen;
    w.load = [](const std::string&, double) { return 2.0; };
    w.Run(40);
    EXPECT_EQ(w.s.loans.size(), foreseen > 10 ? 1u : 0u)
        << "one replica serves ten a second, at seven another is wanted\n"
        << w.LastLog();
    EXPECT_TRUE(Blocks(w.last, w.s.services[0].service.id, "cost")) << "one more is not worth it";
  }
}

TEST(Decide, KeepsToTheLendLimitAndShedsTheRestInTheOpen) {
  TestWorld w = SmallLab();
  w.s.teams[0].lend_limit_slots = 1;
  w.load = Surge(30, 90, 60);
  w.Run(60);
  EXPECT_EQ(w.LentSlots(), 1);
  EXPECT_EQ(w.Ready("chat"), 2);
  EXPECT_EQ(w.s.services[0].service.shed_above_tier, 1) << w.LastLog();
  EXPECT_TRUE(Blocks(w.last, w.s.services[0].service.id, "lend_limit"));
  w.Run(60);
  EXPECT_EQ(w.s.services[0].service.shed_above_tier, 0) << w.LastLog();
}

TEST(Decide, ALoanIsBackByItsDueTimeThoughTheSurgeGoesOn) {
  TestWorld w = SmallLab();
  w.policy.loan_term = Duration::Seconds(40);
  w.load = Surge(30, 1e9);
  w.Run(300);
  EXPECT_GE(w.loans_returned, 3);
  EXPECT_LE(w.worst_late_s, 0) << w.LastLog();
}

TEST(Decide, ALoanRecalledByAPersonDrains) {
  TestWorld w = SmallLab();
  w.load = Surge(30, 1e9);
  w.Run(45);
  ASSERT_EQ(w.s.loans.size(), 1u);
  w.s.loans[0].phase = wire::LoanPhase::kRecalled;
  w.last = Decide(w.s, w.policy);
  EXPECT_EQ(Count(w.last, ActionKind::kStopReplica), 2);
  EXPECT_EQ(Count(w.last, ActionKind::kOpenLoan), 0) << "research has it back first";
}

TEST(Decide, ServicesAreServedByTier) {
  TestWorld w;
  w.AddSlots(4);
  w.AddTeam("research", true, 2).lend_limit_slots = 1;
  w.AddTeam("product", false, 2);
  w.AddJob("research", 1, 2, 1e9);
  w.AddService("batch", "product", 1, 4, 10).service.spec.tier = 3;
  w.AddService("chat", "product", 1, 4, 10).service.spec.tier = 1;
  w.load = Surge(30, 1e9, 13);
  w.Run(60);
  EXPECT_EQ(w.Ready("chat"), 2) << w.LastLog();
  EXPECT_EQ(w.Ready("batch"), 1);
}

TEST(Decide, ABorrowingProductTeamGivesBackWhatAnotherIsGuaranteed) {
  TestWorld w;
  w.AddSlots(4);
  w.AddTeam("a", false, 2);
  w.AddTeam("b", false, 2);
  w.AddService("sa", "a", 1, 4, 10);
  w.AddService("sb", "b", 1, 4, 10);
  w.load = [](const std::string& s, double t) { return s == "sa" ? 20.0 : t > 40 ? 13.0 : 2.0; };
  w.Run(40);
  EXPECT_EQ(w.Ready("sa"), 3);
  w.Run(20);
  EXPECT_EQ(w.Ready("sb"), 2) << w.LastLog();
  EXPECT_EQ(w.Ready("sa"), 2);
}

TEST(Decide, ACheaperVersionComesBeforeALoanAndGoesAfterIt) {
  TestWorld w = SmallLab();
  w.s.services[0].service.spec.variants = {"m-small"};
  w.load = Surge(30, 60);
  w.Run(35);
  EXPECT_EQ(w.s.services[0].service.version, "m-small");
  EXPECT_TRUE(w.s.loans.empty());
  w.Run(15);
  EXPECT_EQ(w.s.loans.size(), 1u);
  w.Run(60);
  EXPECT_EQ(w.s.services[0].service.version, "m") << w.LastLog();
}

TEST(Decide, GangsStartWholeOrNotAtAllAndThePatientOneIsNotStarved) {
  TestWorld w;
  w.AddSlots(4);
  w.AddTeam("research", true, 4);
  for (int i = 0; i < 4; ++i) w.AddJob("research", 1, 1, 20 + 10 * i, false);
  w.Run(1);
  w.AddJob("research", 4, 4, 40);  // job-005
  for (int i = 0; i < 300 && w.Job("job-005") != nullptr; ++i) {
    w.AddJob("research", 1, 1, 15, false);  // more small ones than fit, for ever
    w.Run(1);
  }
  EXPECT_EQ(w.Job("job-005"), nullptr) << w.LastLog();
}

TEST(Decide, AGangBeyondTheLabIsExplained) {
  TestWorld w = SmallLab();
  w.AddJob("research", 9, 9, 10);
  w.Run(30);
  EXPECT_TRUE(Blocks(w.last, "job-002", "gang"));
  EXPECT_EQ(w.SlotsOf("job-001"), 3);
}

TEST(Decide, AWaitingJobOfTheSameTeamShrinksTheElasticOne) {
  TestWorld w = SmallLab();
  w.Run(30);
  w.policy.lose_share = 1;
  w.AddJob("research", 1, 1, 40);
  w.Run(6);
  EXPECT_EQ(w.SlotsOf("job-002"), 0) << "its waiting has not cost as much as the stop would";
  w.Run(34);
  EXPECT_EQ(w.SlotsOf("job-002"), 1) << w.LastLog();
  EXPECT_EQ(w.SlotsOf("job-001"), 2);
  w.Run(80);
  EXPECT_EQ(w.SlotsOf("job-001"), 3) << "it grows back" << w.LastLog();
}

TEST(Decide, PriorityIsKeptWithinATeam) {
  TestWorld w = SmallLab();
  w.s.jobs[0].job.spec.priority = 5;
  w.Run(30);
  w.AddJob("research", 1, 1, 10);
  w.Run(20);
  EXPECT_EQ(w.SlotsOf("job-001"), 3) << "a job of lower priority does not shrink it";
  EXPECT_TRUE(Blocks(w.last, "job-002", "capacity"));
}

TEST(Decide, AGuaranteeIsCalledBackFromWhoBorrowedIt) {
  TestWorld w;
  w.AddSlots(8);
  w.AddTeam("a", true, 4);
  w.AddTeam("b", true, 4);
  for (int i = 0; i < 4; ++i) w.AddJob("a", 2, 2, 1e9);
  w.Run(30);
  EXPECT_EQ(w.SlotsOf("job-004"), 2);
  w.AddJob("b", 4, 4, 1e9);
  w.Run(10);
  EXPECT_EQ(w.SlotsOf("job-005"), 4) << w.LastLog();
  EXPECT_TRUE(UnsettledGuarantees(w.s).empty());
}

TEST(Decide, TeamsShareByWeight) {
  TestWorld w;
  w.AddSlots(12);
  w.AddTeam("a", true, 0).weight = 2;
  w.AddTeam("b", true, 0);
  for (int i = 0; i < 20; ++i) w.AddJob(i % 2 == 0 ? "a" : "b", 1, 1, 1e9);
  w.Run(5);
  int64_t a = 0;
  for (const wire::Lease& l : w.s.leases) a += l.team == "a";
  EXPECT_EQ(a, 8);
}

TEST(Decide, SpreadsALoanOverTeams) {
  TestWorld w;
  w.AddSlots(9);
  w.AddTeam("a", true, 4);
  w.AddTeam("b", true, 4);
  w.AddTeam("product", false, 1);
  for (const char* team : {"a", "a", "b", "b"}) w.AddJob(team, 1, 2, 1e9);
  w.AddService("chat", "product", 1, 3, 10);
  w.load = Surge(31, 1e9);
  w.Run(45);
  ASSERT_EQ(w.s.loans.size(), 1u);
  ASSERT_EQ(w.s.loans[0].parts.size(), 2u);
  EXPECT_NE(w.s.loans[0].parts[0].team, w.s.loans[0].parts[1].team);
}

TEST(Decide, ABigNeedOpensSeveralLoans) {
  TestWorld w;
  w.AddSlots(12);
  w.AddTeam("research", true, 10);
  w.AddTeam("product", false, 2);
  w.AddService("chat", "product", 1, 10, 10);
  w.load = Surge(10, 60, 65);
  w.Run(20);
  EXPECT_EQ(w.s.loans.size(), 2u) << w.LastLog();
  EXPECT_EQ(w.Ready("chat"), 10);
}

TEST(Decide, ReplicasOfSeveralSlotsStayOnOneSite) {
  TestWorld w;
  w.AddSlots(3, "east/n0");
  w.AddSlots(3, "west/n0");
  w.AddTeam("research", true, 4);
  w.AddTeam("product", false, 2);
  w.AddJob("research", 1, 6, 1e9);
  w.AddService("chat", "product", 1, 3, 10, 2);
  w.load = Surge(30, 1e9);
  w.Run(60);
  EXPECT_EQ(w.Ready("chat"), 2) << "two sites of three slots hold no third pair" << w.LastLog();
}

TEST(Decide, MinimumRunTimeProtectsAJob) {
  TestWorld w = SmallLab();
  w.policy.min_run = Duration::Seconds(50);
  w.load = Surge(10, 1e9);
  w.Run(49);
  EXPECT_EQ(w.stops, 0) << w.LastLog();
  w.Run(10);
  EXPECT_EQ(w.loans_opened, 1);
}

TEST(Decide, AJobWithoutCheckpointsIsBrokenLastAndNotAtAllIfThePolicySaysSo) {
  TestWorld w = SmallLab();
  w.s.jobs.clear();
  w.AddJob("research", 2, 2, 1e9, false);  // job-002
  w.AddJob("research", 1, 1, 1e9);         // job-003
  w.load = Surge(30, 1e9, 13);
  w.Run(50);
  EXPECT_EQ(w.SlotsOf("job-002"), 2) << w.LastLog();
  EXPECT_EQ(w.SlotsOf("job-003"), 0);
  w.policy.break_jobs = false;
  w.load = Surge(50, 1e9, 60);
  w.Run(50);
  EXPECT_EQ(w.SlotsOf("job-002"), 2) << w.LastLog();
}

TEST(Decide, NothingStartsWhileDrainingOrInBackOff) {
  TestWorld w = SmallLab();
  w.s.draining = true;
  w.Run(5);
  EXPECT_EQ(w.actions, 0);
  EXPECT_TRUE(Blocks(w.last, "job-001", "draining"));
  w.s.draining = false;
  w.s.jobs[0].job.not_before = w.s.now + Duration::Seconds(10);
  w.s.services[0].start_not_before = w.s.now + Duration::Seconds(10);
  w.Run(9);
  EXPECT_EQ(w.actions, 0);
  EXPECT_TRUE(Blocks(w.last, "job-001", "backoff"));
  w.Run(3);
  EXPECT_EQ(w.actions, 2);
}

TEST(Decide, ARetiredServiceGivesAllBack) {
  TestWorld w = SmallLab();
  w.load = Surge(20, 1e9);
  w.Run(60);
  w.s.services[0].service.phase = wire::ServicePhase::kRetiring;
  w.Run(40);
  EXPECT_TRUE(w.s.loans.empty());
  EXPECT_EQ(w.SlotsOf("job-001"), 4) << w.LastLog();
}

TEST(Decide, ARolloutPairCountsOnceAndStopsTogether) {
  TestWorld w = SmallLab();
  w.load = Surge(20, 60);
  w.Run(50);
  wire::Lease pair = *std::find_if(w.s.leases.begin(), w.s.leases.end(), [](const wire::Lease& l) {
    return l.service == "chat" && !l.loan.empty();
  });
  pair.replaces = pair.id;
  pair.id += "x";
  pair.ready = false;
  w.s.leases.push_back(pair);
  std::sort(w.s.leases.begin(), w.s.leases.end(),
            [](const wire::Lease& a, const wire::Lease& b) { return a.id < b.id; });
  EXPECT_TRUE(Breaches(w.s, w.policy).empty());
  EXPECT_TRUE(Decide(w.s, w.policy).actions.empty());
  w.s.loans[0].phase = wire::LoanPhase::kRecalled;
  EXPECT_EQ(Count(Decide(w.s, w.policy), ActionKind::kStopReplica), 3);
}

TEST(Decide, EveryWaitingJobSaysWhatWouldHelp) {
  TestWorld w = SmallLab();
  w.load = Surge(20, 1e9, 60);
  w.Run(40);
  w.AddJob("research", 2, 2, 10);
  w.AddJob("nobody", 1, 1, 10);
  w.Run(5);
  EXPECT_TRUE(Blocks(w.last, "job-002", "lent")) << w.LastLog();
  EXPECT_TRUE(Blocks(w.last, "job-003", "quota"));
  const Explanation* loan = About(w.last, w.s.loans[0].id);
  ASSERT_NE(loan, nullptr);
  EXPECT_NE(loan->could_take_away.find("due"), std::string::npos);
}

TEST(Decide, TenThousandSlotsAndTwoThousandJobsTakeMilliseconds) {
  TestWorld w;
  for (int n = 0; n < 1250; ++n) w.AddSlots(8, "big/n" + std::to_string(10000 + n));
  for (int t = 0; t < 20; ++t) w.AddTeam("r" + std::to_string(t), true, 300);
  w.AddTeam("product", false, 1000);
  for (int j = 0; j < 2000; ++j) {
    w.AddJob("r" + std::to_string(j % 20), 1 + j % 8, 4 + j % 12, 1e9);
  }
  for (int v = 0; v < 20; ++v) w.AddService("s" + std::to_string(v), "product", 20, 200, 10);
  const auto timed = [&](const char* what) {
    const auto start = std::chrono::steady_clock::now();
    w.last = Decide(w.s, w.policy);
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    std::cout << what << ": " << ms << " ms, " << w.last.actions.size() << " actions\n";
    EXPECT_LT(ms, 2000);  // generous: sanitizers, a busy machine
  };
  timed("empty lab, everything starts");
  w.Apply(w.last);
  for (wire::Lease& l : w.s.leases) l.ready = true;
  for (ServiceState& v : w.s.services) v.demand.arrivals_per_s = 250;
  w.s.now = w.s.now + Duration::Seconds(60);
  timed("a full lab at rest");
  for (ServiceState& v : w.s.services) {
    v.demand.arrivals_per_s = 500;
    v.demand.above_since = w.s.now - Duration::Seconds(5);
  }
  timed("twenty surges at once");
}

}  // namespace
}  // namespace weir::sched
