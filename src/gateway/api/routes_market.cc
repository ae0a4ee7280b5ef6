// Offers and contracts.
#include "gateway/api/tables.h"
#include "gateway/api/typed.h"
#include "lab/market/messages.h"

namespace weir::gateway {

using control::MarketNote;
using control::MarketState;
using guard::Action;
using market::AcceptRequest;
using market::Book;
using market::Contract;
using market::ContractView;
using market::Date;
using market::DeclineRequest;
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
}

}  // namespace weir::gateway
