#include "app/plan_lab.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/csv.h"
#include "control/lab_past.h"
#include "lab/blueprint/suggest.h"
#include "lab/market/views.h"

namespace weir::app {

namespace {

using market::Contract;
using market::Date;
using market::Money;
using market::Terms;

std::string CanonicalName(const std::string& accelerator) {
  return blueprint::AcceleratorNamed(accelerator, {}).value_or(accelerator);
}
std::string Usd(double amount) { return fmt::format("${:.6f}", amount); }

// The planner's months are counted from the year 0, the market's from 1970.
constexpr int kMonthsBefore1970 = 12 * 1970;

Result<market::BookView> UsdBook(const Client& client) {
  auto view = TRY(client.GetAs<market::BookView>("/api/v1/book"));
  if (view.book.currency != market::kUsd)
    return Error(
               Code::kFailedPrecondition,
               fmt::format("the lab's book is in {}; a plan is in US dollars", view.book.currency))
        .Hint("give contracts and offers as tables in US dollars");
  return view;
}

// What the planner does not know of such terms.
std::string Unknown(const Terms& t) {
  std::string out;
  const auto say = [&](const std::string& what) { out += (out.empty() ? "" : ", ") + what; };
  if (t.take_or_pay_ppm < market::kWhole)
    say(fmt::format("take-or-pay of {:.0f}% is read as 100%",
                    static_cast<double>(t.take_or_pay_ppm) / 1e4));
  if (!t.swaps.empty()) say("swap options are not used");
  if (!t.sla.tiers.empty()) say("SLA credits are not counted");
  if (t.early_exit_ppm < market::kWhole) say("leaving early is not considered");
  return out;
}

}  // namespace

Status LabTables::ReadPlanFile() {
  if (!pools_.empty()) return {};
  const plan::Node root = TRY(plan::ReadToml(plan_file_, source_));
  for (const plan::Node& n : root.children)
    if (n.kind == "pool")
      pools_.push_back({n.TextOr("name", ""), CanonicalName(n.TextOr("accelerator", "")),
                        n.TextOr("region", "")});
  if (const plan::Node* first = root.Child("plan")) {
    const plan::Month start =
        TRY(plan::ParseMonth(TRY(first->Text("start")), first->where + ": start"));
    start_ = start - kMonthsBefore1970;
  }
  return {};
}

std::string LabTables::PoolOf(const std::string& id, const std::string& accelerator,
                              const std::string& region) {
  const Pool* found = nullptr;
  int of_type = 0;
  for (const Pool& p : pools_) {
    if (p.accelerator != accelerator) continue;
    ++of_type;
    if (p.region == region) return p.name;
    found = &p;
  }
  if (of_type == 1) return found->name;
  notes_.push_back(
      of_type == 0 ? fmt::format("{} is left out: no pool of the plan is of {}", id, accelerator)
                   : fmt::format("{} is left out: {} pools are of {} and none is in region \"{}\"",
                                 id, of_type, accelerator, region));
  return "";
}

Result<std::string> LabTables::Read(const std::string& path) {
  TRY(ReadPlanFile());
  const Client client = TRY(Client::Open(flags_));
  const std::string what = path.substr(4);
  if (what == "contracts") return Contracts(client);
  if (what == "offers") return Offers(client);
  return Demand(client, what);
}

Result<std::string> LabTables::Demand(const Client& client, const std::string& of) {
  const auto days = client.ListOf<control::DemandDay>("/api/v1/demand?of=" + Segment(of));
  if (!days) return Error(days.error()).In("lab:" + of);
  if (days->empty())
    return Error(Code::kFailedPrecondition,
                 fmt::format("lab:{}: the lab's journal tells of no work yet", of))
        .Hint("give `level` and `growth` instead of `history`");
  std::string out = "time,served,waiting\n";
  for (const control::DemandDay& d : *days)
    out += fmt::format("{},{:.6f},{:.6f}\n", market::Text(d.on), d.served, d.waiting);
  return out;
}

Result<std::string> LabTables::Contracts(const Client& client) {
  const market::BookView view = TRY(UsdBook(client));
  const Date today = view.today;
  std::string out = "name,provider,pool,accelerators,price,start,end,prepaid\n";
  for (const Contract& c : view.book.contracts) {
    const market::ContractPhase phase = market::PhaseOn(c, today);
    if (phase == market::ContractPhase::kDraft || phase == market::ContractPhase::kEnded) continue;
    if (c.terms.term_months == 0) {
      notes_.push_back(c.id + " is by the hour: it is no commitment, and left out");
      continue;
    }
    const int end = market::MonthOf(market::EndOn(c, today));
    if (end <= start_) {
      notes_.push_back(c.id + " ends before the plan begins: left out");
      continue;
    }
    const std::string pool = PoolOf(c.id, c.terms.accelerator, c.terms.region);
    if (pool.empty()) continue;
    const std::string unknown = Unknown(c.terms);
    if (!unknown.empty()) notes_.push_back(c.id + ": " + unknown);
    // A price that steps becomes what it is on average from here on.
    const int first = std::max(start_, market::MonthOf(c.start));
    Money sum;
    for (int m = first; m < end; ++m) sum += market::PriceOn(c, market::StartOfMonth(m), today);
    const Money mean = market::Scaled(sum, 1, std::max(1, end - first));
    const Money price = TRY(market::InBookCurrency(view.book, mean, c.terms.currency));
    const Money prepaid = TRY(market::InBookCurrency(
        view.book, market::PrepaidLeft(c, std::max(today, market::StartOfMonth(start_)), today),
        c.terms.currency));
    // Each delivery is a part of its own: it comes, or came, on a day of its own.
    for (size_t i = 0; i < c.deliveries.size(); ++i) {
      const market::Delivery& d = c.deliveries[i];
      const int start = market::MonthOf(market::ExpectedOn(d, today));
      if (start >= end || d.quantity <= 0) continue;
      const double share = static_cast<double>(d.quantity) / static_cast<double>(c.quantity);
      out += fmt::format("{},{},{},{},{}/h,{},{},{}\n",
                         c.deliveries.size() == 1 ? c.id : fmt::format("{}/{}", c.id, i + 1),
                         CsvCell(c.provider), CsvCell(pool), d.quantity, Usd(price.units()),
                         market::MonthText(start), market::MonthText(end),
                         Usd(prepaid.units() * share));
    }
  }
  return out;
}

Result<std::string> LabTables::Offers(const Client& client) {
  const market::BookView view = TRY(UsdBook(client));
  const Date today = view.today;
  std::string out =
      "name,provider,pool,lot,min_lots,max_lots,price,term,lead,ramp,prepay,first_start,"
      "last_start,expires\n";
  int by_the_hour = 0;
  for (const market::Offer& o : view.book.offers) {
    const Terms& t = o.terms;
    if (market::StateOn(o, today) != market::OfferState::kOpen) continue;
    if (t.term_months == 0) {
      ++by_the_hour;
      continue;
    }
    const std::string pool = PoolOf(o.id, t.accelerator, t.region);
    if (pool.empty()) continue;
    const std::string unknown = Unknown(t);
    if (!unknown.empty()) notes_.push_back(o.id + ": " + unknown);
    Money sum;
    for (int m = 0; m < t.term_months; ++m) sum += market::PriceIn(t, m);
    const Money price =
        TRY(market::InBookCurrency(view.book, market::Scaled(sum, 1, t.term_months), t.currency));
    const int64_t lots = std::max<int64_t>(1, t.quantity / t.lot);
    // A day that was promised, as long as it lies ahead; else so long after signing.
    const bool dated = t.start.is_set() && market::MonthOf(t.start) >= start_;
    const std::string start = dated ? market::MonthText(market::MonthOf(t.start)) : "";
    out += fmt::format(
        "{},{},{},{},{},{},{}/h,{} months,{},{},{:.4f}%,{},{},{}\n", o.id, CsvCell(o.provider),
        CsvCell(pool), t.lot, (t.smallest() + t.lot - 1) / t.lot, lots, Usd(price.units()),
        t.term_months, dated ? "" : fmt::format("{} days", t.lead_days),
        t.ramp.empty() ? "" : fmt::format("{} months", t.ramp.back().month + 1),
        static_cast<double>(t.prepay_ppm) / 1e4, start, start,
        o.expires.is_set() ? market::MonthText(market::MonthOf(o.expires)) : "never");
  }
  if (by_the_hour > 0)
    notes_.push_back(
        fmt::format("{} offers of the lab are by the hour: they are the pools' on-demand and spot "
                    "prices, which "
                    "the plan file states",
                    by_the_hour));
  return out;
}

}  // namespace weir::app
