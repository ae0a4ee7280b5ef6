#include "control/lab_past.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/commands.h"
#include "control/journal.h"
#include "io/memory_store.h"

namespace weir::control {
namespace {

using market::Date;

constexpr int64_t kHourUs = 3'600'000'000;

struct Told {
  PastFold fold;
  Time start = Date::Of(2027, 3, 1).Start();
  void At(double hours, EventBody body) {
    fold.See(
        {{start.us + static_cast<int64_t>(hours * kHourUs)}, "test", {}, "", {}, std::move(body)});
  }
  LabPast After(double hours) const {
    return fold.At({start.us + static_cast<int64_t>(hours * kHourUs)});
  }
};

wire::Lease LeaseOf(const std::string& id, const std::string& team, std::vector<std::string> slots,
                    const std::string& loan = "") {
  wire::Lease lease;
  lease.id = id;
  lease.team = team;
  lease.slots = std::move(slots);
  lease.loan = loan;
  return lease;
}

TEST(PastFold, LeasesBecomeUsesBySiteAndTypeAndTheRunningOneEndsNow) {
  Told t;
  for (const auto& [id, type] : {std::pair("east/n1/0", "h100"), std::pair("east/n1/1", "h100"),
                                 std::pair("east/n2/0", "b200")})
    t.At(0, SlotSeen{{.id = id, .site = "east", .type = type}});
  t.At(1, LeaseIntended{LeaseOf("lease-1", "nlp", {"east/n1/0", "east/n1/1", "east/n2/0"})});
  wire::Loan loan{.id = "loan-1"};
  loan.parts = {{.team = "nlp", .job = "job-1", .slots = {"east/n1/0"}},
                {.team = "nlp", .job = "", .slots = {"east/n1/1"}}};
  t.At(2, LoanOpened{loan});
  t.At(3, LeaseEnded{.lease = "lease-1"});
  t.At(4, LeaseIntended{LeaseOf("lease-2", "chat", {"west/n1/0"}, "loan-1")});
  t.At(4, LeaseEnded{.lease = "lease-of-another-life"});
  const LabPast past = t.After(6);
  ASSERT_EQ(past.uses.size(), 3u);
  EXPECT_EQ(past.uses[0].accelerator, "b200");
  EXPECT_EQ(past.uses[0].slots, 1);
  EXPECT_EQ(past.uses[1].accelerator, "h100");
  EXPECT_EQ(past.uses[1].slots, 2);
  EXPECT_EQ((past.uses[1].to - past.uses[1].from).us, 2 * kHourUs);
  EXPECT_EQ(past.uses[2].site, "west") << "of a slot that nobody told of, from its id";
  EXPECT_EQ((past.uses[2].to - past.uses[2].from).us, 2 * kHourUs) << "it runs: to now";
  EXPECT_EQ(past.uses[2].loan, "loan-1");
  ASSERT_EQ(past.shares.size(), 1u);
  EXPECT_EQ(past.shares[0].lenders,
            (std::vector<std::pair<std::string, int64_t>>{{"nlp", 1}, {"", 1}}));
}

TEST(PastFold, DaysHoldWhatWasHeldOnAverageAndWhatWaitedAtTheirEnd) {
  Told t;
  wire::Team nlp{.name = "nlp"}, chat{.name = "chat", .team_class = wire::TeamClass::kProduct};
  t.At(0, TeamPut{nlp});
  t.At(0, TeamPut{chat});
  wire::Job job{.id = "job-1"};
  job.spec.team = "nlp";
  job.spec.min_slots = 4;
  t.At(6, JobSubmitted{job});
  t.At(12, LeaseIntended{LeaseOf("lease-1", "nlp", {"s/n/0", "s/n/1", "s/n/2", "s/n/3"})});
  t.At(12, LeaseIntended{LeaseOf("lease-2", "chat", {"s/n/4"})});
  t.At(36, JobMoved{.job = "job-1", .phase = wire::JobPhase::kRunning});
  t.At(60, LeaseEnded{.lease = "lease-1"});
  t.At(60, JobMoved{.job = "job-1", .phase = wire::JobPhase::kDone});
  const LabPast past = t.After(72);
  const auto research = *DemandOf(past, "research");
  ASSERT_EQ(research.size(), 3u);
  EXPECT_EQ(market::Text(research[0].on), "2027-03-01");
  EXPECT_DOUBLE_EQ(research[0].served, 2);
  EXPECT_DOUBLE_EQ(research[0].waiting, 4);
  EXPECT_DOUBLE_EQ(research[1].served, 4);
  EXPECT_DOUBLE_EQ(research[1].waiting, 0);
  EXPECT_DOUBLE_EQ(research[2].served, 2);
  const auto product = *DemandOf(past, "product");
  EXPECT_DOUBLE_EQ(product[0].served, 0.5);
  EXPECT_EQ(DemandOf(past, "chat")->at(1).served, 1);
  const auto wrong = DemandOf(past, "chatt");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().hint(), testing::HasSubstr("chat"));
}

TEST(PastFold, AClockThatJumpsFarIsNotBelieved) {
  Told t;
  t.At(0, LeaseIntended{LeaseOf("lease-1", "nlp", {"s/n/0"})});
  t.At(24.0 * 365'000, LeaseEnded{.lease = "lease-1"});
  EXPECT_LT(t.After(24).days.size(), 3u);
}

TEST(PutPlan, TheNewestPlanSurvivesARestartAndWhatCannotBeOneIsRefused) {
  io::MemoryDisk disk;
  io::MemoryStore store(&disk);
  wire::PlanDoc plan{.weir_plan = 1, .title = "a", .start = "2027-01", .months = 2};
  plan.ladders.push_back({"h100", {1, 2}, {2, 3}, {3, 4}, {{"q-1", {1, 1}}}});
  const Time now = Date::Of(2027, 1, 5).Start();
  {
    auto journal = Journal::Open(store);
    ASSERT_TRUE(journal);
    for (const char* title : {"a", "b"}) {
      plan.title = title;
      const Events events = PutPlan({journal->state(), {"ann"}, now, ""}, plan);
      ASSERT_TRUE(events) << events.error().ToString();
      ASSERT_TRUE(journal->Commit(*events));
    }
  }
  const auto again = Journal::Open(store);
  ASSERT_TRUE(again);
  ASSERT_TRUE(again->state().plan);
  EXPECT_EQ(again->state().plan->plan.title, "b");
  EXPECT_EQ(again->state().plan->put_by, "ann");
  EXPECT_EQ(again->state().plan->plan.ladders[0].steps[0].name, "q-1");

  const State state;
  const auto refused = [&](const std::function<void(wire::PlanDoc&)>& spoil) {
    wire::PlanDoc bad = plan;
    spoil(bad);
    const Events events = PutPlan({state, {"ann"}, now, ""}, bad);
    return events ? "" : events.error().message();
  };
  using testing::HasSubstr;
  EXPECT_THAT(refused([](auto& p) { p.weir_plan = 2; }), HasSubstr("weir_plan"));
  EXPECT_THAT(refused([](auto& p) { p.start = "soon"; }), HasSubstr("start"));
  EXPECT_THAT(refused([](auto& p) { p.months = 0; }), HasSubstr("months"));
  EXPECT_THAT(refused([](auto& p) { p.offers.push_back({}); }), HasSubstr("offers"));
  EXPECT_THAT(refused([](auto& p) { p.ladders[0].p50 = {1}; }), HasSubstr("ladders[0].p50"));
}

}  // namespace
}  // namespace weir::control
