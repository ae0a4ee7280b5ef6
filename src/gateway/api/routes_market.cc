// Offers, contracts, the book that holds them, who cost what, and the newest plan.
#include <fmt/format.h>

#include <algorithm>

#include "gateway/api/tables.h"
#include "gateway/api/typed.h"
#include "lab/blueprint/goodput.h"
#include "lab/blueprint/hardware.h"
#include "lab/blueprint/suggest.h"
#include "lab/market/messages.h"
#include "lab/market/views.h"

namespace weir::gateway {

using control::MarketNote;
using control::MarketState;
using guard::Action;
using market::AcceptRequest;
using market::Book;
using market::BookChange;
using market::BookView;
using market::Contract;
using market::ContractView;
using market::Date;
using market::DeclineRequest;
using market::LedgerView;
using market::MarketView;
using market::Obligation;
using market::Offer;
using market::OfferView;
using market::Put;
using market::StepRequest;

namespace {

Result<OfferView> OfferOf(const MarketState& m, const std::string& id) {
  return market::Viewed(m.book.offers[TRY(market::OfferAt(m.book, id))], m.today);
}
Result<ContractView> ContractOf(const MarketState& m, const std::string& id) {
  return market::Viewed(m.book.contracts[TRY(market::ContractAt(m.book, id))], m.today);
}

market::AcceleratorNames NamesOf(const Book& book) {
  return [known = book.accelerators](std::string_view name) {
    return blueprint::AcceleratorNamed(name, known);
  };
}

double GoodputOfOffer(std::string_view name, int64_t count) {
  const auto accelerator = blueprint::FindAccelerator(name);
  if (!accelerator) return 1;
  blueprint::Cluster cluster;
  cluster.accelerator = *accelerator;
  cluster.count = static_cast<int>(std::min<int64_t>(count, 1'000'000));
  return blueprint::GoodputOfFullJob(cluster, {}).share();
}

Result<int> MonthParam(Call& call, const std::string& name, int otherwise) {
  const auto text = call.query.Text(name);
  return text ? market::ParseMonth(*text, name) : Result<int>(otherwise);
}

Result<LedgerView> LedgerOf(Call& call) {
  const MarketState m = call.lab().Market();
  const int last = TRY(MonthParam(call, "to", market::MonthOf(m.today)));
  const int first =
      TRY(MonthParam(call, "from", std::min(last, market::FirstMonth(m.book, m.today))));
  const control::LabPast past = TRY(call.lab().Past());
  LedgerView out;
  out.first_month = first;
  out.last_month = last;
  out.leases_since = past.leases_since;
  out.ledger = TRY(market::MakeLedger(m.book, past.uses, past.shares, first, last, m.today));
  return out;
}

constexpr size_t kMostBookBytes = 64 << 20, kMostPlanBytes = 8 << 20;

}  // namespace

void AddMarketRoutes(std::vector<Route>& all) {
  all.push_back(Lists<OfferView>({.method = "GET",
                                  .path = "/api/v1/offers",
                                  .operation_id = "listOffers",
                                  .summary = "What providers would rent, with every quote",
                                  .action = Action::kSeeLab},
                                 "OfferView", [](Call& call) -> Result<std::vector<OfferView>> {
                                   const MarketState m = call.lab().Market();
                                   std::vector<OfferView> out;
                                   for (const Offer& o : m.book.offers)
                                     out.push_back(market::Viewed(o, m.today));
                                   return out;
                                 }));
  all.push_back(Takes<Offer, OfferView>(
      {.method = "POST",
       .path = "/api/v1/offers",
       .operation_id = "addOffer",
       .summary = "Write an offer in, or a new quote of one of the same provider, name, "
                  "accelerator, region and capacity",
       .action = Action::kManageTeams,
       .example = {{"provider", "northern"},
                   {"name", "q-17"},
                   {"received", "2025-12-01"},
                   {"expires", "2026-02-01"},
                   {"terms",
                    {{"accelerator", "h100-sxm"},
                     {"quantity", 512},
                     {"lot", 8},
                     {"price_micro", 2100000},
                     {"term_months", 24}}}},
       .status = 201},
      "Offer", "OfferView", [](Call& call, Offer offer) -> Result<OfferView> {
        std::string id;
        const MarketState m = TRY(call.lab().ChangeMarket(
            [&](Book& book, Date today) -> Result<MarketNote> {
              offer.terms.accelerator = TRY(NamesOf(book)(offer.terms.accelerator));
              const Put put = TRY(market::PutOffer(book, offer, today));
              id = put.id;
              return MarketNote{id + (put.is_new ? " is new" : " is quoted anew")};
            },
            call.actor()));
        return OfferOf(m, id);
      }));
  all.push_back(Gives<OfferView>({.method = "GET",
                                  .path = "/api/v1/offers/{offer}",
                                  .operation_id = "getOffer",
                                  .summary = "One offer",
                                  .action = Action::kSeeLab},
                                 "OfferView", [](Call& call) -> Result<OfferView> {
                                   return OfferOf(call.lab().Market(), call.Path("offer"));
                                 }));
  all.push_back(Takes<AcceptRequest, ContractView>(
      {.method = "POST",
       .path = "/api/v1/offers/{offer}/accept",
       .operation_id = "acceptOffer",
       .summary = "Draft a contract from an offer",
       .action = Action::kManageTeams,
       .example = {{"quantity", 256}, {"site", "east"}},
       .status = 201},
      "AcceptRequest", "ContractView", [](Call& call, AcceptRequest r) -> Result<ContractView> {
        std::string id;
        const std::string offer = call.Path("offer");
        const MarketState m = TRY(call.lab().ChangeMarket(
            [&](Book& book, Date today) -> Result<MarketNote> {
              const size_t at = TRY(market::OfferAt(book, offer));
              const int64_t all_of_it = book.offers[at].terms.quantity;
              id = TRY(market::Accept(book, offer, r.quantity > 0 ? r.quantity : all_of_it, r.site,
                                      today));
              return MarketNote{offer + " is accepted: " + id};
            },
            call.actor()));
        return ContractOf(m, id);
      }));
  all.push_back(Takes<DeclineRequest, OfferView>(
      {.method = "POST",
       .path = "/api/v1/offers/{offer}/decline",
       .operation_id = "declineOffer",
       .summary = "Turn an offer down",
       .action = Action::kManageTeams,
       .example = {{"why", "too late"}}},
      "DeclineRequest", "OfferView", [](Call& call, DeclineRequest r) -> Result<OfferView> {
        const std::string offer = call.Path("offer");
        const MarketState m = TRY(call.lab().ChangeMarket(
            [&](Book& book, Date today) -> Result<MarketNote> {
              TRY(market::Decline(book, offer, r.why, today));
              return MarketNote{offer + " is declined"};
            },
            call.actor()));
        return OfferOf(m, offer);
      }));
  all.push_back(Lists<ContractView>({.method = "GET",
                                     .path = "/api/v1/contracts",
                                     .operation_id = "listContracts",
                                     .summary = "Contracts, ended ones too",
                                     .action = Action::kSeeLab},
                                    "ContractView",
                                    [](Call& call) -> Result<std::vector<ContractView>> {
                                      const MarketState m = call.lab().Market();
                                      std::vector<ContractView> out;
                                      for (const Contract& c : m.book.contracts)
                                        out.push_back(market::Viewed(c, m.today));
                                      return out;
                                    }));
  all.push_back(Gives<ContractView>({.method = "GET",
                                     .path = "/api/v1/contracts/{contract}",
                                     .operation_id = "getContract",
                                     .summary = "One contract",
                                     .action = Action::kSeeLab},
                                    "ContractView", [](Call& call) -> Result<ContractView> {
                                      return ContractOf(call.lab().Market(), call.Path("contract"));
                                    }));
  all.push_back(Lists<Obligation>(
      {.method = "GET",
       .path = "/api/v1/contracts/{contract}/obligations",
       .operation_id = "listObligations",
       .summary = "What a contract owes, month by month, in its own currency",
       .action = Action::kSeeLab},
      "Obligation", [](Call& call) -> Result<std::vector<Obligation>> {
        const MarketState m = call.lab().Market();
        return market::Obligations(
            m.book.contracts[TRY(market::ContractAt(m.book, call.Path("contract")))], m.today);
      }));
  all.push_back(Takes<StepRequest, ContractView>(
      {.method = "POST",
       .path = "/api/v1/contracts/{contract}/steps",
       .operation_id = "stepContract",
       .summary = "What happened to a contract: signed, delivered, notice given, renewed, left, a "
                  "month's availability, a claim",
       .action = Action::kManageTeams,
       .example = {{"step", "deliver"}, {"quantity", 128}, {"on", "2026-01-01"}}},
      "StepRequest", "ContractView", [](Call& call, StepRequest r) -> Result<ContractView> {
        const std::string id = call.Path("contract");
        const MarketState m = TRY(call.lab().ChangeMarket(
            [&](Book& book, Date today) -> Result<MarketNote> {
              return MarketNote {
                TRY(market::Take(book.contracts[TRY(market::ContractAt(book, id))], r, today))
              };
            },
            call.actor()));
        return ContractOf(m, id);
      }));
  all.push_back(Gives<MarketView>({.method = "GET",
                                   .path = "/api/v1/market",
                                   .operation_id = "getMarket",
                                   .summary = "The market on one page: contracts in their phases, "
                                              "what is owed and due, open offers compared",
                                   .action = Action::kSeeLab},
                                  "MarketView", [](Call& call) -> Result<MarketView> {
                                    const MarketState m = call.lab().Market();
                                    return market::ViewOf(m.book, m.today, GoodputOfOffer);
                                  }));
  all.push_back(Gives<LedgerView>(
      {.method = "GET",
       .path = "/api/v1/spend",
       .operation_id = "getSpend",
       .summary = "Who cost what: the journal's leases at the prices of the contracts that they "
                  "ran on, what was idle, and each loan by who lent",
       .action = Action::kSeeLab,
       .query = {{"from", QueryType::kText,
                  "first month, as 2027-01; without it that of the first contract"},
                 {"to", QueryType::kText, "last month, counted; without it this one, to date"}}},
      "LedgerView", LedgerOf));
  all.push_back(Lists<control::DemandDay>(
      {.method = "GET",
       .path = "/api/v1/demand",
       .operation_id = "listDemand",
       .summary = "What was held and waited for, day by day, as the journal tells it",
       .action = Action::kSeeLab,
       .query = {{"of", QueryType::kText,
                  "research or product, or a team; without it all research"}}},
      "DemandDay", [](Call& call) -> Result<std::vector<control::DemandDay>> {
        return control::DemandOf(TRY(call.lab().Past()),
                                 call.query.Text("of").value_or("research"));
      }));
  all.push_back(Gives<BookView>({.method = "GET",
                                 .path = "/api/v1/book",
                                 .operation_id = "getBook",
                                 .summary = "The whole book of the market, with its version",
                                 .action = Action::kSeeLab},
                                "BookView", [](Call& call) -> Result<BookView> {
                                  MarketState m = call.lab().Market();
                                  std::string version = market::VersionOf(m.book);
                                  return BookView{std::move(m.book), std::move(version), m.today};
                                }));
  all.push_back(Takes<BookChange, BookView>(
      {.method = "PUT",
       .path = "/api/v1/book",
       .operation_id = "changeBook",
       .summary = "Change the book in one piece: offers, contracts, rates, budgets; refused when "
                  "somebody else changed it since it was read",
       .action = Action::kManageTeams,
       .example = {{"version", ""},
                   {"what", "a budget for nlp"},
                   {"budgets", wire::Json::array({{{"team", "nlp"},
                                                   {"first_month", 672},
                                                   {"last_month", 683},
                                                   {"amount_micro", 250000000000}}})}},
       .max_body_bytes = kMostBookBytes},
      "BookChange", "BookView", [](Call& call, BookChange change) -> Result<BookView> {
        const MarketState m = TRY(call.lab().ChangeMarket(
            [&](Book& book, Date) -> Result<MarketNote> {
              // A change that names no version is of whatever is there.
              if (change.version.empty()) change.version = market::VersionOf(book);
              TRY(market::Take(book, change, NamesOf(book)));
              return MarketNote{change.what.empty() ? "the book is changed" : change.what};
            },
            call.actor()));
        return BookView{m.book, market::VersionOf(m.book), m.today};
      }));
  all.push_back(
      Gives<wire::HeldPlan>({.method = "GET",
                             .path = "/api/v1/plan",
                             .operation_id = "getPlan",
                             .summary = "The newest plan of what to rent",
                             .action = Action::kSeeLab},
                            "HeldPlan", [](Call& call) -> Result<wire::HeldPlan> {
                              auto plan = call.lab().Plan();
                              if (!plan)
                                return Error(Code::kNotFound, "the lab holds no plan yet")
                                    .Hint("make one and send it: weir plan FILE.toml --to-lab");
                              return *std::move(plan);
                            }));
  all.push_back(Takes<wire::PlanDoc, wire::HeldPlan>(
      {.method = "PUT",
       .path = "/api/v1/plan",
       .operation_id = "putPlan",
       .summary = "Hold a plan of what to rent, as `weir plan` writes it; the one before stays in "
                  "the journal",
       .action = Action::kManageTeams,
       .example = {{"weir_plan", 1},
                   {"start", "2026-01"},
                   {"months", 24},
                   {"offers",
                    wire::Json::array(
                        {{{"offer", "q-17"}, {"decision", "sign"}, {"accelerators", 256}}})}},
       .max_body_bytes = kMostPlanBytes},
      "PlanDoc", "HeldPlan", [](Call& call, wire::PlanDoc plan) -> Result<wire::HeldPlan> {
        return call.lab().PutPlan(plan, call.actor());
      }));
}

}  // namespace weir::gateway
