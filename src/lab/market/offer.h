// What a provider would rent, and the terms on which it does. The same Terms stand in an offer, in
// each quote of its history and in the contract that comes of it.
//
// Plain data; Validate() says in one sentence what makes it impossible. JSON is in messages.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/market/date.h"
#include "lab/market/money.h"

namespace weir::market {

enum class Capacity {
  kReserved,  // held for the whole term
  kOnDemand,  // by the hour, if there is any
  kSpot,      // by the hour, and can be taken away
};

// From month `month` of the term on (0 is the first) the price of an accelerator-hour is `price`.
struct PriceStep {
  int month = 0;
  Money price;
  bool operator==(const PriceStep&) const = default;
};

// By the start of month `month` of the term, `quantity` accelerators in all are delivered.
struct RampStep {
  int month = 0;
  int64_t quantity = 0;
  bool operator==(const RampStep&) const = default;
};

// Of a month in which availability was below `below_ppm`, `credit_ppm` of that month's price.
struct SlaTier {
  int64_t below_ppm = 0;
  int64_t credit_ppm = 0;
  bool operator==(const SlaTier&) const = default;
};
struct Sla {
  std::vector<SlaTier> tiers;   // highest availability first; empty: none is promised
  int claim_days = 0;           // after the month's end; 0: no limit, or credited without asking
  int64_t cap_ppm = 1'000'000;  // most that is credited of a month
  bool operator==(const Sla&) const = default;
};

// The lab may take `ratio_ppm` / 1e6 accelerators of another type for each of its own, from month
// `from_month` of the term on.
struct SwapOption {
  std::string accelerator;
  int from_month = 0;
  int64_t ratio_ppm = 1'000'000;
  Money price;  // of an hour of the other one
  bool operator==(const SwapOption&) const = default;
};

struct Terms {
  std::string accelerator;  // "h100-sxm": a name that the book knows
  std::string region;       // as the provider writes it; may be empty
  Capacity capacity = Capacity::kReserved;
  int64_t quantity = 0;  // accelerators, the most that can be had; 0: not stated (by the hour only)
  int64_t min_quantity = 0;  // the fewest; 0: one lot
  int64_t lot = 1;           // accelerators come in multiples of this (a node, a rack)
  std::string currency = std::string(kUsd);
  Money price;                   // of an accelerator-hour
  std::vector<PriceStep> steps;  // later prices, by month
  int term_months = 0;           // 0: no commitment (on demand, spot)
  Date start;                    // promised first day; not set: lead_days after signing
  int lead_days = 0;
  std::vector<RampStep> ramp;           // empty: all on the first day
  int64_t take_or_pay_ppm = 1'000'000;  // of the committed hours that are paid, used or not
  int64_t prepay_ppm = 0;               // of the whole commitment that is paid at signing, and
                                        // taken off the monthly bills in equal shares of each
  int notice_days = 0;                  // before the end, to stop it from renewing
  bool renews = false;                  // by itself, unless notice is given
  int renewal_months = 0;               // for how long; 0: the term again
  Money renewal_price;                  // 0: the last price
  int64_t early_exit_ppm = 1'000'000;   // of what is left that is owed on leaving early
  bool end_follows_delivery = false;    // late delivery moves the end as well
  std::vector<SwapOption> swaps;
  Sla sla;
  bool operator==(const Terms&) const = default;

  int64_t smallest() const { return min_quantity > 0 ? min_quantity : lot; }
};

// Everything wrong with the terms by themselves, the first found, with the field's name.
Status Validate(const Terms& t);

// The price of an accelerator-hour in month `month` of the term.
Money PriceIn(const Terms& t, int month);
// Of `signed_quantity`, how many are promised in month `month` of the term: the ramp in proportion,
// in whole lots, all of it from the last step on.
int64_t PromisedIn(const Terms& t, int64_t signed_quantity, int month);
// What is owed over the term for `quantity` starting on `start`, whatever is used: promised
// accelerators x hours of each month x price x take-or-pay. 0 without a term.
Money Commitment(const Terms& t, int64_t quantity, Date start);
// The first day when signed on `signed_on`.
Date StartIf(const Terms& t, Date signed_on);
// "price 2.5 -> 2.3, term 12 -> 24 months": what differs, for people. Empty if nothing does.
std::vector<std::string> Differences(const Terms& from, const Terms& to);

enum class OfferState { kOpen, kAccepted, kDeclined, kExpired, kWithdrawn };
std::string_view NameOf(OfferState s);
std::string_view NameOf(Capacity c);

// Terms as they stood from `on` until the next quote.
struct Quote {
  Date on;
  Terms terms;
  std::string note;
  bool operator==(const Quote&) const = default;
};

struct Offer {
  std::string id;  // "offer-3"
  std::string provider;
  std::string name;  // the provider's word for it: an instance type, a quote number
  Terms terms;       // as last quoted
  Date received;
  Date expires;                // not set: stands until withdrawn (list prices only)
  bool list_price = false;     // a public price list: needs no expiry
  std::vector<Quote> history;  // oldest first; the last is `terms`
  std::string source;          // file and row, or who wrote it in
  std::string note;
  OfferState decided = OfferState::kOpen;  // never kExpired: that follows from the day
  std::string contract;                    // that came of it
  std::string why;                         // it was declined
  bool operator==(const Offer&) const = default;
};

OfferState StateOn(const Offer& o, Date today);
Status Validate(const Offer& o);

}  // namespace weir::market
