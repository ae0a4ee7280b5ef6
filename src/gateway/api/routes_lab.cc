// The lab itself: the whole view, live events, teams, slots, leases, loans, the journal.
#include <algorithm>

#include "gateway/api/find.h"
#include "gateway/api/streams.h"
#include "gateway/api/tables.h"
#include "gateway/api/typed.h"

namespace weir::gateway {

namespace {

using guard::Action;

// How many records one request may look through for those that it filters by.
constexpr int64_t kScanRecords = 50'000;
constexpr int64_t kScanPage = 1'000;

bool IsAbout(const wire::JournalRecord& record, const std::string& subject) {
  return subject.empty() || std::ranges::find(record.subjects, subject) != record.subjects.end();
}

// Records from `from` on that are about `subject`.
Result<wire::JournalPage> JournalFrom(Call& call, int64_t from, int64_t limit,
                                      const std::string& subject) {
  wire::JournalPage out;
  out.next = from;
  for (int64_t scanned = 0; scanned < kScanRecords;) {
    const int64_t ask = subject.empty() ? limit - static_cast<int64_t>(out.records.size())
                                        : std::min(kScanPage, kScanRecords - scanned);
    wire::JournalPage page = TRY(call.lab().Journal(out.next, ask));
    if (page.records.empty()) break;
    scanned += static_cast<int64_t>(page.records.size());
    for (wire::JournalRecord& record : page.records) {
      out.next = record.seq + 1;
      if (!IsAbout(record, subject)) continue;
      out.records.push_back(std::move(record));
      if (static_cast<int64_t>(out.records.size()) == limit) return out;
    }
  }
  return out;
}

// The newest `last` records about `subject`, oldest of them first.
Result<wire::JournalPage> JournalTail(Call& call, int64_t last, const std::string& subject) {
  const int64_t newest = call.View().journal_seq;
  wire::JournalPage out;
  std::vector<wire::JournalRecord> backwards;
  int64_t end = newest + 1;  // records below it are still to be looked at
  for (int64_t scanned = 0; end > 1 && scanned < kScanRecords;) {
    const int64_t page_size = subject.empty() ? last : kScanPage;
    const int64_t from = std::max<int64_t>(1, end - page_size);
    wire::JournalPage page = TRY(call.lab().Journal(from, end - from));
    scanned += end - from;
    for (size_t i = page.records.size(); i-- > 0;) {
      if (!IsAbout(page.records[i], subject)) continue;
      backwards.push_back(std::move(page.records[i]));
      if (static_cast<int64_t>(backwards.size()) == last) break;
    }
    if (static_cast<int64_t>(backwards.size()) == last) break;
    end = from;
  }
  std::ranges::reverse(backwards);
  out.records = std::move(backwards);
  out.next = newest + 1;
  return out;
}

Result<Reply> AnswerJournal(Call& call) {
  const auto from = call.query.Integer("from");
  const auto last = call.query.Integer("last");
  const std::string subject = call.query.Text("subject").value_or("");
  if (from && last) {
    return Error(Code::kInvalidArgument, "query parameters from and last exclude each other")
        .Hint("`from` reads forward, `last` gives the newest");
  }
  if (call.query.Flag("follow")) {
    const int64_t start = from ? *from
                               : (last ? std::max<int64_t>(1, call.View().journal_seq + 1 - *last)
                                       : call.View().journal_seq + 1);
    return Reply{.stream = FollowJournal(start, subject)};
  }
  const int64_t limit = call.query.Integer("limit").value_or(100);
  const wire::JournalPage page = from ? TRY(JournalFrom(call, *from, limit, subject))
                                      : TRY(JournalTail(call, last.value_or(limit), subject));
                                      return JsonReply(call, wire::ToJson(page));
}

Result<std::vector<wire::Slot>> SetHealth(Call& call, const std::vector<std::string>& slots,
                                          wire::SlotHealth health, const std::string& why) {
  std::vector<wire::Slot> changed;
  for (const std::string& slot : slots)
    changed.push_back(TRY(call.lab().SetSlotHealth(slot, health, why, call.actor())));
  return changed;
}

void AddTeams(std::vector<Route>& all) {
  all.push_back(Lists<wire::Team>(
      {.method = "GET",
       .path = "/api/v1/teams",
       .operation_id = "listTeams",
       .summary = "Every team",
       .action = Action::kSeeLab},
      "Team", [](Call& call) -> Result<std::vector<wire::Team>> { return call.View().teams; }));
  all.push_back(Gives<wire::Team>({.method = "GET",
                                   .path = "/api/v1/teams/{team}",
                                   .operation_id = "getTeam",
                                   .summary = "One team",
                                   .action = Action::kSeeLab},
                                  "Team", [](Call& call) -> Result<wire::Team> {
                                    return *TRY(FindTeam(call.View(), call.Path("team")));
                                  }));
  all.push_back(Takes<wire::Team, wire::Team>(
      {.method = "PUT",
       .path = "/api/v1/teams/{team}",
       .operation_id = "putTeam",
       .summary = "Create a team, or change it",
       .action = Action::kManageTeams,
       .example = {{"name", "nlp"}, {"class", "research"}, {"guarantee_slots", 2}}},
      "Team", "Team", [](Call& call, wire::Team team) -> Result<wire::Team> {
        if (team.name != call.Path("team")) {
          return Error(Code::kInvalidArgument,
                       fmt::format("name: \"{}\" differs from the path's {}", team.name,
                                   call.Path("team")))
              .Hint("a team keeps its name; make another one under the other name");
        }
        return call.lab().PutTeam(team, call.actor());
      }));
  Route remove{.method = "DELETE",
               .path = "/api/v1/teams/{team}",
               .operation_id = "removeTeam",
               .summary = "Remove a team that has no work",
               .action = Action::kManageTeams,
               .status = 204,
               .content_type = ""};
  remove.handle = [](Call& call) -> Result<Reply> {
    TRY(call.lab().RemoveTeam(call.Path("team"), call.actor()));
    return Reply{.status = 204, .content_type = ""};
  };
  all.push_back(std::move(remove));
}

void AddSlots(std::vector<Route>& all) {
  all.push_back(Lists<wire::Slot>(
      {.method = "GET",
       .path = "/api/v1/slots",
       .operation_id = "listSlots",
       .summary = "Every slot and its health",
       .action = Action::kSeeLab},
      "Slot", [](Call& call) -> Result<std::vector<wire::Slot>> { return call.View().slots; }));
  all.push_back(Gives<wire::Slot>({.method = "GET",
                                   .path = "/api/v1/slots/{slot}",
                                   .operation_id = "getSlot",
                                   .summary = "One slot",
                                   .action = Action::kSeeLab},
                                  "Slot", [](Call& call) -> Result<wire::Slot> {
                                    return *TRY(FindSlot(call.View(), call.Path("slot")));
                                  }));
  struct Verb {
    const char* verb;
    const char* summary;
    wire::SlotHealth health;
  };
  for (const auto& [verb, summary, health] :
       {Verb{"cordon", "Start nothing new there; what runs goes on", wire::SlotHealth::kCordoned},
        Verb{"uncordon", "Use it again", wire::SlotHealth::kUp}}) {
    all.push_back(Takes<wire::CordonRequest, wire::Slot>(
        {.method = "POST",
         .path = std::string("/api/v1/slots/{slot}/") + verb,
         .operation_id = std::string(verb) + "Slot",
         .summary = summary,
         .action = Action::kManageSlots,
         .example = {{"why", "fan replaced"}},
         .body_may_be_empty = true},
        "CordonRequest", "Slot",
        [health = health](Call& call, wire::CordonRequest request) -> Result<wire::Slot> {
          const wire::Slot slot = *TRY(FindSlot(call.View(), call.Path("slot")));
          return TRY(SetHealth(call, {slot.id}, health, request.why))
          .front();
        }));
    Route node = Takes<wire::CordonRequest, wire::Slot>(
        {.method = "POST",
         .path = std::string("/api/v1/nodes/{node}/") + verb,
         .operation_id = std::string(verb) + "Node",
         .summary = std::string(summary) + ": every slot of a node",
         .action = Action::kManageSlots,
         .example = {{"why", "reboot on Sunday"}},
         .body_may_be_empty = true},
        "CordonRequest", "SlotList", {});
    node.reply_schema = ListSchema<wire::Slot>();
    node.handle = [health = health](Call& call) -> Result<Reply> {
      const auto request = call.body.empty() ? wire::CordonRequest{}
                                             : TRY(wire::FromText<wire::CordonRequest>(call.body));
      const auto slots = TRY(SlotsOfNode(call.View(), call.Path("node")));
      const auto changed = TRY(SetHealth(call, slots, health, request.why));
      return JsonReply(call, ListJson(changed));
    };
    all.push_back(std::move(node));
  }
  Route drain = Takes<wire::CordonRequest, wire::Slot>(
      {.method = "POST",
       .path = "/api/v1/nodes/{node}/drain",
       .operation_id = "drainNode",
       .summary =
           "Cordon every slot of a node, and have its site's engine drain it; uncordon ends both",
       .action = Action::kManageSlots,
       .example = {{"why", "a fan is failing"}},
       .body_may_be_empty = true},
      "CordonRequest", "SlotList", {});
  drain.reply_schema = ListSchema<wire::Slot>();
  drain.handle = [](Call& call) -> Result<Reply> {
    const auto request = call.body.empty() ? wire::CordonRequest{}
                                           : TRY(wire::FromText<wire::CordonRequest>(call.body));
    const auto slots = TRY(call.lab().DrainNode(call.Path("node"), request.why, call.actor()));
    return JsonReply(call, ListJson(slots));
  };
  all.push_back(std::move(drain));
}

// What Weir knows of a site that was added, and whether it answers.
void AddSites(std::vector<Route>& all) {
  all.push_back(Lists<wire::SiteSpec>(
      {.method = "GET",
       .path = "/api/v1/sites",
       .operation_id = "listSites",
       .summary = "Every site that was added; the view of the lab says which of them answer",
       .action = Action::kSeeLab},
      "SiteSpec",
      [](Call& call) -> Result<std::vector<wire::SiteSpec>> { return call.lab().Sites(); }));
  all.push_back(Gives<wire::SiteSpec>(
      {.method = "GET",
       .path = "/api/v1/sites/{site}",
       .operation_id = "getSite",
       .summary = "One site that was added",
       .action = Action::kSeeLab},
      "SiteSpec", [](Call& call) -> Result<wire::SiteSpec> {
        for (wire::SiteSpec& site : call.lab().Sites()) {
          if (site.name == call.Path("site")) return std::move(site);
        }
        return Error(Code::kNotFound, fmt::format("site {} was not added", call.Path("site")))
            .Hint("see `weir site list`");
      }));
  all.push_back(Takes<wire::SiteSpec, wire::SiteSpec>(
      {.method = "PUT",
       .path = "/api/v1/sites/{site}",
       .operation_id = "putSite",
       .summary =
           "Add a site, or change one; it is looked at first, and refused with what is missing",
       .action = Action::kManageSlots,
       .example = {{"name", "north"},
                   {"provider", "acme"},
                   {"slurm",
                    {{"via", "ssh"}, {"address", "weir@login.north"}, {"cluster", "north"}}}}},
      "SiteSpec", "SiteSpec", [](Call& call, wire::SiteSpec site) -> Result<wire::SiteSpec> {
        if (site.name != call.Path("site"))
          return Error(Code::kInvalidArgument,
                       fmt::format("name: \"{}\" differs from the path's {}", site.name,
                                   call.Path("site")))
              .Hint("a site keeps its name");
        return call.lab().PutSite(site, call.actor());
      }));
  all.push_back(Lists<wire::SiteCheck>({.method = "GET",
                                        .path = "/api/v1/sites/{site}/check",
                                        .operation_id = "checkSite",
                                        .summary = "What a site needs, looked at now",
                                        .action = Action::kManageSlots},
                                       "SiteCheck",
                                       [](Call& call) -> Result<std::vector<wire::SiteCheck>> {
                                         return call.lab().CheckSite(call.Path("site"));
                                       }));
  all.push_back(Takes<wire::SiteDrain, wire::SiteSpec>(
      {.method = "POST",
       .path = "/api/v1/sites/{site}/drain",
       .operation_id = "drainSite",
       .summary = "Start nothing new there and move away what can be saved; or take it back",
       .action = Action::kManageSlots,
       .example = {{"draining", true}, {"why", "the contract ends on Friday"}},
       .body_may_be_empty = true},
      "SiteDrain", "SiteSpec", [](Call& call, wire::SiteDrain drain) -> Result<wire::SiteSpec> {
        return call.lab().DrainSite(call.Path("site"), drain.draining, drain.why, call.actor());
      }));
  Route remove{.method = "DELETE",
               .path = "/api/v1/sites/{site}",
               .operation_id = "removeSite",
               .summary = "Remove a site that holds no work",
               .action = Action::kManageSlots,
               .status = 204,
               .content_type = ""};
  remove.handle = [](Call& call) -> Result<Reply> {
    TRY(call.lab().RemoveSite(call.Path("site"), call.actor()));
    return Reply{.status = 204, .content_type = ""};
  };
  all.push_back(std::move(remove));
}

void AddLeasesAndLoans(std::vector<Route>& all) {
  all.push_back(Lists<wire::Lease>(
      {.method = "GET",
       .path = "/api/v1/leases",
       .operation_id = "listLeases",
       .summary = "Leases that have not ended",
       .action = Action::kSeeLab},
      "Lease", [](Call& call) -> Result<std::vector<wire::Lease>> { return call.View().leases; }));
  all.push_back(Gives<wire::Lease>({.method = "GET",
                                    .path = "/api/v1/leases/{lease}",
                                    .operation_id = "getLease",
                                    .summary = "One lease",
                                    .action = Action::kSeeLab},
                                   "Lease", [](Call& call) -> Result<wire::Lease> {
                                     return *TRY(FindLease(call.View(), call.Path("lease")));
                                   }));
  all.push_back(Lists<wire::Loan>(
      {.method = "GET",
       .path = "/api/v1/loans",
       .operation_id = "listLoans",
       .summary = "Loans that are not returned, then the newest that were",
       .action = Action::kSeeLab,
       .query = {{.name = "phase",
                  .doc = "only loans in this phase",
                  .one_of = {"open", "recalled", "returned"}}}},
      "Loan", [](Call& call) -> Result<std::vector<wire::Loan>> {
        std::vector<wire::Loan> loans = call.View().loans;
        if (const auto phase = call.query.Text("phase"))
          std::erase_if(loans, [&](const auto& l) { return wire::NameOf(l.phase) != *phase; });
        return loans;
      }));
  all.push_back(Gives<wire::Loan>({.method = "GET",
                                   .path = "/api/v1/loans/{loan}",
                                   .operation_id = "getLoan",
                                   .summary = "One loan: who lends what, why, until when, its cost",
                                   .action = Action::kSeeLab},
                                  "Loan", [](Call& call) -> Result<wire::Loan> {
                                    return *TRY(FindLoan(call.View(), call.Path("loan")));
                                  }));
  all.push_back(Gives<wire::Loan>(
      {.method = "POST",
       .path = "/api/v1/loans/{loan}/recall",
       .operation_id = "recallLoan",
       .summary = "Ask for a loan back now, before it is due",
       .action = Action::kRecallLoans},
      "Loan", [](Call& call) -> Result<wire::Loan> {
        const wire::Loan loan = *TRY(FindLoan(call.View(), call.Path("loan")));
        // Those who lend, and those who borrow, may end it.
        std::vector<std::string> owners = guard::Ancestry(call.View().teams, loan.team);
        for (const wire::LoanPart& part : loan.parts) {
          for (std::string& team : guard::Ancestry(call.View().teams, part.team))
            owners.push_back(std::move(team));
        }
        TRY(call.Allow({.teams = std::move(owners)}));
        return call.lab().RecallLoan(loan.id, call.actor());
      }));
  all.push_back(Gives<wire::WhyView>(
      {.method = "GET",
       .path = "/api/v1/loans/{loan}/why",
       .operation_id = "whyLoan",
       .summary = "What was decided about a loan, on which numbers, and what would change it",
       .action = Action::kSeeLab},
      "Why", [](Call& call) -> Result<wire::WhyView> {
        const wire::Loan loan = *TRY(FindLoan(call.View(), call.Path("loan")));
        return call.lab().Why("loan", loan.id);
      }));
}

}  // namespace

void AddLabRoutes(std::vector<Route>& all) {
  all.push_back(
      Gives<wire::LabView>({.method = "GET",
                            .path = "/api/v1/lab",
                            .operation_id = "getLab",
                            .summary = "The whole lab at one instant",
                            .action = Action::kSeeLab},
                           "Lab", [](Call& call) -> Result<wire::LabView> { return call.View(); }));
  Route events{.method = "GET",
               .path = "/api/v1/events",
               .operation_id = "watchLab",
               .summary =
                   "The whole lab now and after every change, as server-sent events named "
                   "`lab`, at most 4 a second",
               .action = Action::kSeeLab,
               .content_type = "text/event-stream"};
  events.handle = [](Call&) -> Result<Reply> { return Reply{.stream = FollowLab()}; };
  all.push_back(std::move(events));
  AddTeams(all);
  AddSlots(all);
  AddSites(all);
  AddLeasesAndLoans(all);

  Route journal{.method = "GET",
                .path = "/api/v1/journal",
                .operation_id = "readJournal",
                .summary =
                    "Records of the journal; with `follow`, new ones as server-sent events "
                    "named `record`",
                .action = Action::kSeeJournal,
                .query = {{.name = "from",
                           .type = QueryType::kInteger,
                           .doc = "number of the first record wanted; reads forward",
                           .low = 1},
                          {.name = "last",
                           .type = QueryType::kInteger,
                           .doc = "the newest so many records",
                           .low = 1,
                           .high = 1000},
                          {.name = "limit",
                           .type = QueryType::kInteger,
                           .doc = "most records in the answer; 100 if not said",
                           .low = 1,
                           .high = 1000},
                          {.name = "subject", .doc = "only records about this id or name"},
                          {.name = "follow",
                           .type = QueryType::kFlag,
                           .doc = "keep the answer open and send records as they are written"}},
                .reply_type = "JournalPage",
                .reply_schema = wire::SchemaOf<wire::JournalPage>()};
  journal.handle = AnswerJournal;
  all.push_back(std::move(journal));
}

}  // namespace weir::gateway
