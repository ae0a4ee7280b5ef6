// The book: everything that the lab knows of its market, and the few things that can be done with
// it. Plain data and pure functions: the day is passed in, nothing is read or written here. A file
// (`--book`) holds it as JSON (messages.h); the running lab holds it in its journal.
//
// Each change returns the sentence that goes into the history, or says why it cannot be.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/market/contract.h"
#include "lab/market/offer.h"

namespace weir::market {

// A team's money for a period of whole months.
struct Budget {
  std::string team;
  int first_month = 0, last_month = 0;  // since 1970-01, both counted
  Money amount;
  bool operator==(const Budget&) const = default;
};

// One unit of `currency` in millionths of the book's own currency.
struct Rate {
  std::string currency;
  Money worth;
  Date on;
  bool operator==(const Rate&) const = default;
};

struct Book {
  std::string currency = std::string(kUsd);  // that sums are shown in
  std::vector<Offer> offers;                 // by number
  std::vector<Contract> contracts;           // by number
  std::vector<Rate> rates;
  std::vector<Budget> budgets;
  std::vector<std::string> accelerators;  // known here though not by the blueprint
  int64_t last_number = 0;
  bool operator==(const Book&) const = default;

  const Offer* FindOffer(std::string_view id) const;
  const Contract* FindContract(std::string_view id) const;
};
inline constexpr size_t kMaxOffers = 100'000, kMaxContracts = 10'000;

// kNotFound with the nearest ids, or what `list` would show.
Result<size_t> OfferAt(const Book& b, std::string_view id);
Result<size_t> ContractAt(const Book& b, std::string_view id);

// Into the book's currency; kFailedPrecondition without a rate.
Result<Money> InBookCurrency(const Book& b, Money m, std::string_view currency);

// Turns what people write into the canonical name of an accelerator: "H100-80GB" -> "h100-sxm".
// kNotFound with the nearest names. The market knows no hardware: its caller does.
using AcceleratorNames = std::function<Result<std::string>(std::string_view)>;

// Puts a new offer in, or, when one of the same provider and name is open for the same accelerator,
// region and capacity, adds its terms to that one's history. Returns the id; `changed` tells what
// differs from the last quote ("" = a new offer; nothing at all differs: "unchanged").
struct Put {
  std::string id;
  bool is_new = false;
  std::vector<std::string> changed;
};
Result<Put> PutOffer(Book& b, Offer offer, Date today);

// Accepting drafts a contract of `quantity`; signing it is a second step, by a person.
Result<std::string> Accept(Book& b, std::string_view offer_id, int64_t quantity,
                           std::string_view site, Date today);
Status Decline(Book& b, std::string_view offer_id, std::string_view why, Date today);

Status Sign(Contract& c, Date signed_on, Date today);
// `quantity` of what is outstanding came on the day; the oldest promises are met first.
Status Deliver(Contract& c, int64_t quantity, Date on, Date today);
Status GiveNotice(Contract& c, Date on, Date today);
// One more term by agreement, at the renewal terms.
Status Renew(Contract& c, Date today);
// Uses swap option `to` for all of the contract from `on`: ends this one then without exit cost and
// drafts the one that follows it. Returns the new contract's id.
Result<std::string> Swap(Book& b, std::string_view contract_id, std::string_view to, Date on,
                         Date today);
// Leaves before the end: what is owed for it is the exit share of the remaining commitment.
Status Leave(Contract& c, Date on, Date today);
Status NoteAvailability(Contract& c, int month, int64_t availability_ppm, Date today);
Status ClaimCredit(Contract& c, int month, Date on, Date today);

// How each provider delivered so far, over all its contracts.
struct ProviderRecord {
  std::string provider;
  int open_offers = 0, contracts = 0;
  DeliveryRecord delivery;
};
std::vector<ProviderRecord> Providers(const Book& b, Date today);

// Accelerators that the signed contracts of one site hold on a day, as known on `today`; and the
// next day, if there is one, on which fewer are held.
struct Supply {
  int64_t now = 0;
  std::vector<std::pair<Date, int64_t>> later;  // day, and how many from then on; falling only
};
// Whether a slot of `type` can be one of the contract's `accelerator`: "h100" is h100-sxm too, ""
// is any.
bool IsOfType(std::string_view accelerator, std::string_view type);
// nullopt: no signed contract, past or present, delivers that type to that site; what stands there
// is the lab's own. `type` is the site's word.
std::optional<Supply> SupplyOf(const Book& b, std::string_view site, std::string_view type,
                               Date today);

// What is due soon, of offers and contracts, in order of the day.
struct Due {
  Date on;
  std::string of;    // id
  std::string kind;  // "offer expires", "notice by", "delivery", "ends", "price step", ...
  std::string what;  // a sentence
};
std::vector<Due> DueBetween(const Book& b, Date from, Date to, Date today);

// The same as iCalendar (RFC 5545): one all-day event each, with a reminder two weeks ahead of
// those that lapse. `stamp` is written into each event.
std::string ICalendar(const std::vector<Due>& due, Time stamp);

}  // namespace weir::market
