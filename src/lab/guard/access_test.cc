#include "lab/guard/access.h"

#include <gtest/gtest.h>

#include <map>

namespace weir::guard {
namespace {

// The table again, written the other way round: one row per role, the actions it has. Whoever
// changes a permission has to say so twice.
const std::map<Who, std::map<Action, Grant>>& Expected() {
  using enum Action;
  static const std::map<Who, std::map<Action, Grant>> kExpected = {
      {Who::kVisitor, {{kSeeMetrics, Grant::kAny}}},
      {Who::kClient, {{kInfer, Grant::kOwn}}},
      {Who::kMember,
       {{kSeeLab, Grant::kAny},
        {kSeeJournal, Grant::kAny},
        {kSeeMetrics, Grant::kAny},
        {kSeeLogs, Grant::kOwn},
        {kSeeSecrets, Grant::kOwn},
        {kInfer, Grant::kAny},
        {kRunJobs, Grant::kOwn},
        {kRunServices, Grant::kOwn},
        {kRecallLoans, Grant::kOwn},
        {kAddData, Grant::kAny}}},
  };
  return kExpected;
}

Grant ExpectedGrant(Who who, Action action) {
  if (who == Who::kAdmin) return Grant::kAny;
  const auto& row = Expected().at(who);
  const auto it = row.find(action);
  return it == row.end() ? Grant::kNever : it->second;
}

TEST(Access, TheTableListsEveryActionInOrder) {
  int index = 0;
  for (const Permission& p : Permissions()) EXPECT_EQ(static_cast<int>(p.action), index++);
  EXPECT_EQ(index, static_cast<int>(Action::kManageKeys) + 1);
}

TEST(Access, EveryRoleActionAndOwnerIsDecidedAsWrittenHere) {
  // Resources: mine, of a team below mine, of another team; my service, another service; nobody's.
  const Resource mine{.teams = {"nlp", "research"}, .service = "chat"};
  const Resource below{.teams = {"speech", "nlp", "research"}, .service = ""};
  const Resource above{.teams = {"research"}, .service = ""};
  const Resource others{.teams = {"vision", "research"}, .service = "search"};
  const Resource nobodys{};
  int cells = 0;
  for (const Who who : kEveryWho) {
    for (const Permission& p : Permissions()) {
      Principal one{.name = "k", .who = who};
      if (who == Who::kMember) one.team = "nlp";
      if (who == Who::kClient) one.service = "chat";
      const Grant grant = ExpectedGrant(who, p.action);
      SCOPED_TRACE(std::string(NameOf(who)) + " " + p.name);
      EXPECT_EQ(Authorize(one, p.action, mine).has_value(), grant != Grant::kNever);
      EXPECT_EQ(Authorize(one, p.action, below).has_value(),
                grant == Grant::kAny || (grant == Grant::kOwn && who == Who::kMember));
      for (const Resource* r : {&above, &others, &nobodys})
        EXPECT_EQ(Authorize(one, p.action, *r).has_value(), grant == Grant::kAny);
      EXPECT_EQ(AuthorizeAtAll(one, p.action).has_value(), grant != Grant::kNever);
      const Status refused = Authorize(one, p.action, others);
      if (!refused) {
        EXPECT_EQ(refused.error().code(),
                  who == Who::kVisitor ? Code::kUnauthenticated : Code::kPermissionDenied);
        EXPECT_FALSE(refused.error().hint().empty());
      }
      ++cells;
    }
  }
  EXPECT_EQ(cells, 4 * static_cast<int>(Permissions().size()));
}

TEST(Access, AMemberWithoutATeamOwnsNothing) {
  const Principal nobody{.name = "k", .who = Who::kMember};
  EXPECT_FALSE(Authorize(nobody, Action::kRunJobs, {.teams = {""}}));
}

TEST(Access, AClientOfAnyServiceMayAskEvery) {
  const Principal any{.name = "k", .who = Who::kClient};
  EXPECT_TRUE(Authorize(any, Action::kInfer, {.service = "whatever"}));
}

TEST(Access, AncestryClimbsTheTreeAndStopsAtACycle) {
  std::vector<wire::Team> teams(4);
  teams[0].name = "research";
  teams[1].name = "nlp";
  teams[1].parent = "research";
  teams[2].name = "a";
  teams[2].parent = "b";
  teams[3].name = "b";
  teams[3].parent = "a";
  EXPECT_EQ(Ancestry(teams, "nlp"), (std::vector<std::string>{"nlp", "research"}));
  EXPECT_EQ(Ancestry(teams, "a"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Ancestry(teams, "unknown"), (std::vector<std::string>{"unknown"}));
  EXPECT_TRUE(Ancestry(teams, "").empty());
}

}  // namespace
}  // namespace weir::guard
