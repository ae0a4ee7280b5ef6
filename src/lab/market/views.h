// The market on one page, as REST gives it and the dashboard draws it: contracts on a time line,
// what is owed and due, offers side by side; who cost what; and the whole book, for commands that
// work on a running lab's as they do on a file. Pure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/market/book.h"
#include "lab/market/evaluate.h"
#include "lab/market/ledger.h"
#include "lab/market/messages.h"

namespace weir::market {

// ---- the market ----

struct PhaseSpan {  // one stretch of a contract's life, as known today
  std::string phase;
  Date from, to;
};
template <class V>
void Fields(V& v, Owned<V, PhaseSpan>& s) {
  v("phase", s.phase, "signed, ramping, active or in notice", kRequired);
  v("from", s.from, "", kRequired);
  v("to", s.to, "first day that is not in it", kRequired);
}
struct HeldFrom {
  Date on;
  int64_t quantity = 0;
};
template <class V>
void Fields(V& v, Owned<V, HeldFrom>& h) {
  v("on", h.on, "", kRequired);
  v("quantity", h.quantity, "accelerators from that day on", kRequired);
}
struct ContractLine {
  ContractView view;
  std::vector<PhaseSpan> spans;
  std::vector<HeldFrom> held;
  Money still_owed;
};
template <class V>
void Fields(V& v, Owned<V, ContractLine>& c) {
  v("view", c.view, "", kRequired);
  v("spans", c.spans, "its life in phases; a draft has none");
  v("held", c.held, "accelerators had, and expected");
  v("still_owed_micro", c.still_owed.micro,
    "from today to the end, used or not, in its own currency");
}
struct MonthOwed {
  int month = 0;  // since 1970-01
  int64_t accelerator_hours = 0;
  Money worth, at_least, if_used, prepaid;
};
template <class V>
void Fields(V& v, Owned<V, MonthOwed>& m) {
  v("month", m.month, "since 1970-01", kRequired);
  v("accelerator_hours", m.accelerator_hours);
  v("worth_micro", m.worth.micro, "of those hours at their prices");
  v("at_least_micro", m.at_least.micro, "cash that leaves though nothing is used");
  v("if_used_micro", m.if_used.micro, "cash that leaves if everything is");
  v("prepaid_micro", m.prepaid.micro, "of it, paid ahead");
}
template <class V>
void Fields(V& v, Owned<V, Due>& d) {
  v("on", d.on, "the day", kRequired);
  v("of", d.of, "id of an offer or a contract", kRequired);
  v("kind", d.kind, "notice by, delivery, ends, price step, offer expires, ...", kRequired);
  v("what", d.what, "a sentence");
}
struct OfferLine {
  OfferView view;
  int64_t quantity = 0;
  Date start, end;
  Money commitment, at_signing;
  double goodput = 1, days_late = 0;
  double price = 0, unused = 0, timing = 0, delivery = 0, failures = 0, rate = 0;
  std::string bridge, why_not;
  std::vector<std::string> differs;
};
template <class V>
void Fields(V& v, Owned<V, OfferLine>& o) {
  v("view", o.view, "", kRequired);
  v("quantity", o.quantity, "all that is offered; one lot where that is not stated");
  v("start", o.start, "if signed today");
  v("end", o.end);
  v("commitment_micro", o.commitment.micro, "owed in any case, in the offer's currency");
  v("at_signing_micro", o.at_signing.micro, "of it");
  v("goodput", o.goodput, "share of a used hour that is work kept, after failures");
  v("days_late", o.days_late, "expected of this provider");
  v("price", o.price, "parts of the rate, in the book's currency");
  v("unused", o.unused, "paid and not used");
  v("timing", o.timing, "prepayment, and prices that move");
  v("delivery", o.delivery, "bridging a late delivery");
  v("failures", o.failures);
  v("rate", o.rate, "of an accelerator-hour of useful work; 0: not known");
  v("bridge", o.bridge, "where the work goes meanwhile: an offer, or nowhere");
  v("why_not", o.why_not, "it has no rate");
  v("differs", o.differs, "terms that differ from those of the best offer of this accelerator");
}
struct ProviderLine {
  std::string provider;
  int64_t open_offers = 0, contracts = 0, delivered = 0, late = 0;
  double mean_days_late = 0;
};
template <class V>
void Fields(V& v, Owned<V, ProviderLine>& p) {
  v("provider", p.provider, "", kRequired);
  v("open_offers", p.open_offers);
  v("contracts", p.contracts);
  v("due", p.delivered, "accelerators due by today");
  v("late", p.late, "of them, late");
  v("mean_days_late", p.mean_days_late);
}
struct MarketView {
  Date today;
  std::string currency;
  std::vector<ContractLine> contracts;
  std::vector<MonthOwed> owed;
  std::vector<Due> due;
  std::vector<OfferLine> offers;
  int64_t offers_open = 0;
  std::vector<ProviderLine> providers;
  std::vector<std::string> notes;
};
template <class V>
void Fields(V& v, Owned<V, MarketView>& m) {
  v("today", m.today, "", kRequired);
  v("currency", m.currency, "of sums over several contracts", kRequired);
  v("contracts", m.contracts, "by their end; those that ended stay for a year");
  v("owed", m.owed, "from this month on");
  v("due", m.due, "in the next 180 days");
  v("offers", m.offers, "that are open, by accelerator, the best first");
  v("offers_open", m.offers_open, "in all; the list has the best of each accelerator");
  v("providers", m.providers);
  v("notes", m.notes, "what is left out, and why");
}

// The share of a used hour that is work kept; what hardware is, the caller knows.
using GoodputOf = std::function<double(std::string_view accelerator, int64_t count)>;
MarketView ViewOf(const Book& b, Date today, const GoodputOf& goodput);
inline constexpr int kDueDays = 180;
inline constexpr size_t kMostOffersOfAType = 12;

// ---- who cost what ----

template <class V>
void Fields(V& v, Owned<V, Entry>& e) {
  v("month", e.month, "since 1970-01", kRequired);
  v("contract", e.contract, "", kRequired);
  v("team", e.team);
  v("loan", e.loan, "that the use was of; empty = own or idle capacity");
  v("slot_seconds", e.slot_seconds);
  v("cost_micro", e.cost.micro);
}
template <class V>
void Fields(V& v, Owned<V, ContractMonth>& m) {
  v("month", m.month, "since 1970-01", kRequired);
  v("contract", m.contract, "", kRequired);
  v("had_seconds", m.had_seconds, "of accelerators");
  v("used_seconds", m.used_seconds);
  v("gross_micro", m.gross.micro, "hours had at their price");
  v("floor_micro", m.floor.micro, "owed though nothing is used");
  v("used_micro", m.used.micro, "paid by teams");
  v("owed_micro", m.owed.micro, "used + idle");
  v("idle_micro", m.idle.micro);
  v("due_micro", m.due.micro, "that an invoice should ask for");
}
template <class V>
void Fields(V& v, Owned<V, LoanCost>& l) {
  v("loan", l.loan, "", kRequired);
  v("lender", l.lender, "team; empty = idle capacity");
  v("cost_micro", l.cost.micro);
}
template <class V>
void Fields(V& v, Owned<V, Ledger>& l) {
  v("currency", l.currency, "of all amounts", kRequired);
  v("entries", l.entries, "by month, contract, team and loan");
  v("months", l.months, "by month and contract: entries and idle add up to what is owed");
  v("loans", l.loans, "what each loan cost, by who lent");
  v("uncovered_slot_seconds", l.uncovered_slot_seconds, "leases that no contract provided for");
}
struct LedgerView {
  Ledger ledger;
  int first_month = 0, last_month = 0;
  Time leases_since;
};
template <class V>
void Fields(V& v, Owned<V, LedgerView>& l) {
  v("ledger", l.ledger, "", kRequired);
  v("first_month", l.first_month, "since 1970-01");
  v("last_month", l.last_month, "counted; this one is to date");
  v("leases_since_us", l.leases_since,
    "leases that ended before are not counted; 0 = all are, since the lab began");
}
// The first month in which a contract was signed; this one if none is.
int FirstMonth(const Book& b, Date today);

// ---- the whole book, to be changed as one ----

struct BookView {
  Book book;
  std::string version;
  Date today;
};
template <class V>
void Fields(V& v, Owned<V, BookView>& b) {
  v("book", b.book, "", kRequired);
  v("version", b.version, "to be named by a change of it", kRequired);
  v("today", b.today, "the lab's day");
}
struct BookChange {
  std::string version;
  std::string what;
  std::vector<Offer> offers;
  std::vector<Contract> contracts;
  std::optional<std::vector<Rate>> rates;
  std::optional<std::vector<Budget>> budgets;
  std::optional<std::vector<std::string>> accelerators;
};
template <class V>
void Fields(V& v, Owned<V, BookChange>& c) {
  v("version", c.version,
    "of the book that it changes, another one is refused; empty = whatever it is now", kRequired);
  v("what", c.what, "in a few words, for the journal");
  v("offers", c.offers, "new or changed");
  v("contracts", c.contracts, "new or changed");
  v("rates", c.rates, "all of them, if any changed");
  v("budgets", c.budgets, "all of them, if any changed");
  v("accelerators", c.accelerators, "all names known here beside the blueprint's, if any changed");
}
// A number that no other state of the book is likely to have.
std::string VersionOf(const Book& b);
// What takes `from` to `to`, its version left open: offers and contracts are never taken out.
BookChange ChangeBetween(const Book& from, const Book& to);
// Puts the change into the book, or says what makes it impossible; ids of new things follow on.
Status Take(Book& b, const BookChange& change, const AcceleratorNames& known);

}  // namespace weir::market

WEIR_MESSAGE(weir::market::PhaseSpan);
WEIR_MESSAGE(weir::market::HeldFrom);
WEIR_MESSAGE(weir::market::ContractLine);
WEIR_MESSAGE(weir::market::MonthOwed);
WEIR_MESSAGE(weir::market::Due);
WEIR_MESSAGE(weir::market::OfferLine);
WEIR_MESSAGE(weir::market::ProviderLine);
WEIR_MESSAGE(weir::market::MarketView);
WEIR_MESSAGE(weir::market::Entry);
WEIR_MESSAGE(weir::market::ContractMonth);
WEIR_MESSAGE(weir::market::LoanCost);
WEIR_MESSAGE(weir::market::Ledger);
WEIR_MESSAGE(weir::market::LedgerView);
WEIR_MESSAGE(weir::market::BookView);
WEIR_MESSAGE(weir::market::BookChange);
