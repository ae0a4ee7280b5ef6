// The market's things as JSON: what a book file holds, the journal keeps and the API shows.
// Amounts are whole millionths of the document's currency (..._micro), shares are millionths
// (..._ppm), days are "2027-03-01" ("" = not set), months are counted from 1970-01.
#pragma once

#include "lab/market/book.h"
#include "wire/schema.h"

template <>
inline constexpr bool weir::wire::kIsMessage<weir::market::Date> = true;
namespace weir::wire::schema_internal {
template <>
Json WriteMessage<market::Date>(const market::Date& d);
template <>
Status ReadMessage<market::Date>(const Json& json, market::Date& d, const std::string& path);
template <>
Json DescribeMessage<market::Date>();
}  // namespace weir::wire::schema_internal

namespace weir::market {

using wire::kOptional;
using wire::kRequired;
using wire::Owned;

template <class V>
void Fields(V& v, Owned<V, PriceStep>& s) {
  v("month", s.month, "of the term, 1 is the second", kRequired);
  v("price_micro", s.price.micro, "of an accelerator-hour from then on", kRequired);
}
template <class V>
void Fields(V& v, Owned<V, RampStep>& s) {
  v("month", s.month, "of the term, 0 is the first", kRequired);
  v("quantity", s.quantity, "accelerators delivered in all by its start", kRequired);
}
template <class V>
void Fields(V& v, Owned<V, SlaTier>& t) {
  v("below_ppm", t.below_ppm, "availability of a month below this ...", kRequired);
  v("credit_ppm", t.credit_ppm, "... earns this share of its price", kRequired);
}
template <class V>
void Fields(V& v, Owned<V, Sla>& s) {
  v("tiers", s.tiers, "highest availability first");
  v("claim_days", s.claim_days, "after the month's end; 0 = no limit");
  v("cap_ppm", s.cap_ppm, "most that is credited of a month");
}
template <class V>
void Fields(V& v, Owned<V, SwapOption>& s) {
  v("accelerator", s.accelerator, "that can be had instead", kRequired);
  v("from_month", s.from_month, "of the term");
  v("ratio_ppm", s.ratio_ppm, "of it for each one given up, in millionths");
  v("price_micro", s.price.micro, "of an hour of it");
}
template <class V>
void Fields(V& v, Owned<V, Terms>& t) {
  v("accelerator", t.accelerator, "such as h100-sxm", kRequired);
  v("region", t.region, "as the provider writes it");
  v("capacity", t.capacity, "reserved, on-demand or spot");
  v("quantity", t.quantity, "accelerators, the most that can be had; 0 = not stated");
  v("min_quantity", t.min_quantity, "the fewest; 0 = one lot");
  v("lot", t.lot, "they come in multiples of this");
  v("currency", t.currency, "ISO 4217, of all amounts here");
  v("price_micro", t.price.micro, "of an accelerator-hour");
  v("price_steps", t.steps, "later prices");
  v("term_months", t.term_months, "0 = no commitment");
  v("start", t.start, "promised first day; \"\" = lead_days after signing");
  v("lead_days", t.lead_days);
  v("ramp", t.ramp, "empty = all on the first day");
  v("take_or_pay_ppm", t.take_or_pay_ppm, "share of the committed hours paid in any case");
  v("prepay_ppm", t.prepay_ppm, "share of the commitment paid at signing");
  v("notice_days", t.notice_days, "before the end, to stop it from renewing");
  v("renews", t.renews, "by itself, unless notice is given");
  v("renewal_months", t.renewal_months, "0 = the term again");
  v("renewal_price_micro", t.renewal_price.micro, "0 = the last price");
  v("early_exit_ppm", t.early_exit_ppm, "share of what is left that is owed on leaving early");
  v("end_follows_delivery", t.end_follows_delivery, "late delivery moves the end as well");
  v("swaps", t.swaps);
  v("sla", t.sla);
}
template <class V>
void Fields(V& v, Owned<V, Quote>& q) {
  v("on", q.on, "the day it came", kRequired);
  v("terms", q.terms, "", kRequired);
  v("note", q.note);
}
template <class V>
void Fields(V& v, Owned<V, Offer>& o) {
  v("id", o.id, "ours: offer-3");
  v("provider", o.provider, "who rents it out", kRequired);
  v("name", o.name, "the provider's word for it");
  v("terms", o.terms, "as last quoted", kRequired);
  v("received", o.received, "the day of the last quote", kRequired);
  v("expires", o.expires, "last day on which it stands; \"\" only for a list price");
  v("list_price", o.list_price, "of a public price list");
  v("history", o.history, "every quote, oldest first");
  v("source", o.source, "where it was read");
  v("note", o.note);
  v("decided", o.decided, "open, accepted, declined or withdrawn");
  v("contract", o.contract, "that came of it");
  v("why", o.why, "it was declined");
}
template <class V>
void Fields(V& v, Owned<V, Delivery>& d) {
  v("promised", d.promised, "", kRequired);
  v("quantity", d.quantity, "accelerators", kRequired);
  v("delivered", d.delivered, "\"\" = not yet");
}
template <class V>
void Fields(V& v, Owned<V, SlaMonth>& m) {
  v("month", m.month, "since 1970-01", kRequired);
  v("availability_ppm", m.availability_ppm, "", kRequired);
  v("claimed", m.claimed, "\"\" = not yet");
  v("credited_micro", m.credited.micro);
}
template <class V>
void Fields(V& v, Owned<V, ContractEvent>& e) {
  v("on", e.on, "", kRequired);
  v("what", e.what, "", kRequired);
}
template <class V>
void Fields(V& v, Owned<V, Contract>& c) {
  v("id", c.id, "contract-2", kRequired);
  v("provider", c.provider, "", kRequired);
  v("offer", c.offer, "that it came of");
  v("site", c.site, "of the lab where it is delivered; \"\" = the provider's name");
  v("terms", c.terms, "as signed", kRequired);
  v("quantity", c.quantity, "accelerators", kRequired);
  v("drafted", c.drafted);
  v("signed_on", c.signed_on, "\"\" = a draft");
  v("start", c.start, "promised first day", kRequired);
  v("deliveries", c.deliveries);
  v("notice_on", c.notice_on, "notice was given");
  v("leaves_on", c.leaves_on, "left before its end");
  v("exit_cost_micro", c.exit_cost.micro, "owed on that day; below zero: given back");
  v("renewals", c.renewals, "terms added by agreement");
  v("sla_months", c.sla_months);
  v("events", c.events, "its history");
}
template <class V>
void Fields(V& v, Owned<V, Budget>& b) {
  v("team", b.team, "", kRequired);
  v("first_month", b.first_month, "since 1970-01", kRequired);
  v("last_month", b.last_month, "counted", kRequired);
  v("amount_micro", b.amount.micro, "in the book's currency", kRequired);
}
template <class V>
void Fields(V& v, Owned<V, Rate>& r) {
  v("currency", r.currency, "", kRequired);
  v("worth_micro", r.worth.micro, "of one, in the book's currency", kRequired);
  v("on", r.on);
}
template <class V>
void Fields(V& v, Owned<V, Book>& b) {
  v("currency", b.currency, "that sums are shown in");
  v("offers", b.offers);
  v("contracts", b.contracts);
  v("rates", b.rates, "exchange rates");
  v("budgets", b.budgets, "of teams");
  v("accelerators", b.accelerators, "names known here beside those of `weir blueprint`");
  v("last_number", b.last_number, "of an id");
}

// ---- as the API shows them ----

struct OfferView {
  Offer offer;
  std::string state;
};
template <class V>
void Fields(V& v, Owned<V, OfferView>& o) {
  v("offer", o.offer, "", kRequired);
  v("state", o.state, "open, accepted, declined, expired or withdrawn, today", kRequired);
}
struct ContractView {
  Contract contract;
  std::string phase;
  int64_t delivered = 0;
  Date end, notice_by;
  Money price;
};
template <class V>
void Fields(V& v, Owned<V, ContractView>& c) {
  v("contract", c.contract, "", kRequired);
  v("phase", c.phase, "draft, signed, ramping, active, in notice or ended, today", kRequired);
  v("delivered", c.delivered, "accelerators had today");
  v("end", c.end, "first day on which nothing of it is had");
  v("notice_by", c.notice_by, "last day for notice; \"\" = none is needed");
  v("price_micro", c.price.micro, "of an accelerator-hour today");
}
template <class V>
void Fields(V& v, Owned<V, Obligation>& o) {
  v("month", o.month, "since 1970-01", kRequired);
  v("accelerator_hours", o.accelerator_hours);
  v("gross_micro", o.gross.micro, "those at the price of each day");
  v("floor_micro", o.floor.micro, "owed though nothing is used");
  v("prepaid_micro", o.prepaid.micro, "paid ahead in this month");
  v("from_prepaid_micro", o.from_prepaid.micro, "covered by what was paid ahead");
  v("exit_micro", o.exit.micro, "owed for leaving early");
}
struct AcceptRequest {
  int64_t quantity = 0;
  std::string site;
};
template <class V>
void Fields(V& v, Owned<V, AcceptRequest>& a) {
  v("quantity", a.quantity, "accelerators; 0 = all that is offered");
  v("site", a.site, "of the lab where it is delivered");
}
struct DeclineRequest {
  std::string why;
};
template <class V>
void Fields(V& v, Owned<V, DeclineRequest>& d) {
  v("why", d.why);
}
enum class Step { kSign, kDeliver, kNotice, kRenew, kLeave, kAvailability, kClaim };
struct StepRequest {
  Step step = Step::kSign;
  Date on;
  int64_t quantity = 0;
  int month = 0;
  int64_t availability_ppm = 0;
};
template <class V>
void Fields(V& v, Owned<V, StepRequest>& s) {
  v("step", s.step, "what happened", kRequired);
  v("on", s.on, "the day; \"\" = today");
  v("quantity", s.quantity, "deliver: accelerators that came");
  v("month", s.month, "availability, claim: since 1970-01");
  v("availability_ppm", s.availability_ppm, "availability: of that month");
}
OfferView Viewed(const Offer& o, Date today);
ContractView Viewed(const Contract& c, Date today);
// One step of a contract's life; says what it was.
Result<std::string> Take(Contract& c, const StepRequest& step, Date today);

// The book as a file. Reading checks every offer and contract and names the one that is wrong.
Result<Book> ReadBook(std::string_view text, std::string_view source);
std::string WriteBook(const Book& b);

}  // namespace weir::market

WEIR_ENUM(weir::market::Capacity, {weir::market::Capacity::kReserved, "reserved"},
          {weir::market::Capacity::kOnDemand, "on-demand"},
          {weir::market::Capacity::kSpot, "spot"});
WEIR_ENUM(weir::market::OfferState, {weir::market::OfferState::kOpen, "open"},
          {weir::market::OfferState::kAccepted, "accepted"},
          {weir::market::OfferState::kDeclined, "declined"},
          {weir::market::OfferState::kExpired, "expired"},
          {weir::market::OfferState::kWithdrawn, "withdrawn"});

WEIR_ENUM(weir::market::Step, {weir::market::Step::kSign, "sign"},
          {weir::market::Step::kDeliver, "deliver"}, {weir::market::Step::kNotice, "notice"},
          {weir::market::Step::kRenew, "renew"}, {weir::market::Step::kLeave, "leave"},
          {weir::market::Step::kAvailability, "availability"},
          {weir::market::Step::kClaim, "claim"});

WEIR_MESSAGE(weir::market::PriceStep);
WEIR_MESSAGE(weir::market::RampStep);
WEIR_MESSAGE(weir::market::SlaTier);
WEIR_MESSAGE(weir::market::Sla);
WEIR_MESSAGE(weir::market::SwapOption);
WEIR_MESSAGE(weir::market::Terms);
WEIR_MESSAGE(weir::market::Quote);
WEIR_MESSAGE(weir::market::Offer);
WEIR_MESSAGE(weir::market::Delivery);
WEIR_MESSAGE(weir::market::SlaMonth);
WEIR_MESSAGE(weir::market::ContractEvent);
WEIR_MESSAGE(weir::market::Contract);
WEIR_MESSAGE(weir::market::Budget);
WEIR_MESSAGE(weir::market::Rate);
WEIR_MESSAGE(weir::market::Book);
WEIR_MESSAGE(weir::market::OfferView);
WEIR_MESSAGE(weir::market::ContractView);
WEIR_MESSAGE(weir::market::Obligation);
WEIR_MESSAGE(weir::market::AcceptRequest);
WEIR_MESSAGE(weir::market::DeclineRequest);
WEIR_MESSAGE(weir::market::StepRequest);
