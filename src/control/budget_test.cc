#include "control/budget.h"

#include <gtest/gtest.h>

namespace weir::control {
namespace {

State LabWithBudget() {
  State s;
  s.teams["all"] = {.name = "all", .budget_slot_h = 100};
  s.teams["nlp"] = {.name = "nlp", .parent = "all", .user_budget_usd = 20};
  s.spend["nlp"].slot_s["local"] = 50 * 3600;
  s.user_spend["nlp/ann"].slot_s["local"] = 9 * 3600;
  wire::Job job{.id = "job-1"};
  job.spec = {.name = "train", .team = "nlp", .checkpointable = true};
  job.submitted_by = "ann";
  job.lease = "lease-1";
  s.jobs["job-1"] = job;
  wire::Lease lease{.id = "lease-1", .holder = "job-1", .team = "nlp"};
  lease.slots = {"local/n/0", "local/n/1"};
  lease.phase = wire::LeasePhase::kActive;
  lease.opened = Time{1'000'000};
  s.leases["lease-1"] = lease;
  return s;
}
Time After(int64_t hours) { return Time{1'000'000} + Duration::Seconds(3600 * hours); }

TEST(Budgets, CountWhatEndedAndWhatRunsUpTheTree) {
  const State s = LabWithBudget();
  const Budgets b(s, {{"local", 2.0}}, After(5));
  EXPECT_DOUBLE_EQ(b.OfTeam("nlp").slot_h, 60);
  EXPECT_DOUBLE_EQ(b.OfTeam("all").slot_h, 60);
  EXPECT_DOUBLE_EQ(b.OfTeam("all").usd, 120);
  EXPECT_DOUBLE_EQ(b.OfUser("nlp", "ann").usd, 38);
  EXPECT_EQ(b.Over("nlp", "ann"), "ann in team nlp has used $38.00 of $20.00");
  EXPECT_EQ(b.Over("nlp", "bob"), "");
}

TEST(Budgets, WarnAtEightyPercentAndStopAtAll) {
  const State s = LabWithBudget();
  EXPECT_EQ(Budgets(s, {}, After(14)).Nearly("nlp", "bob"), "");
  EXPECT_EQ(Budgets(s, {}, After(15)).Nearly("nlp", "bob"),
            "team all has used 80.0 of 100.0 slot-hours");
  EXPECT_EQ(Budgets(s, {}, After(15)).Over("nlp", "bob"), "");
  const Budgets over(s, {}, After(25));
  EXPECT_EQ(over.Over("nlp", "bob"), "team all has used 100.0 of 100.0 slot-hours");
  const std::vector<Event> events = StopOverspent(s, over, After(25));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_NE(events[0].text.find("train is asked to save and stop: team all"), std::string::npos);
  State rigid = s;
  rigid.jobs["job-1"].spec.checkpointable = false;
  EXPECT_TRUE(StopOverspent(rigid, Budgets(rigid, {}, After(25)), After(25)).empty());
}

}  // namespace
}  // namespace weir::control
