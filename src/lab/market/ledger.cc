#include "lab/market/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/csv.h"
#include "lab/market/import.h"
#include "wire/schema.h"

namespace weir::market {

namespace {
__extension__ using Wide = __int128;
constexpr int64_t kSecond = 1'000'000;

struct Pool {
  std::string site, accelerator;
  std::vector<const Contract*> contracts;  // in the order in which use fills them
  std::vector<const Use*> uses;            // by start
};

std::string SiteOf(const Contract& c) { return c.site.empty() ? c.provider : c.site; }

bool Fits(const Pool& p, const Use& u) {
  return (u.site.empty() || u.site == p.site) && IsOfType(p.accelerator, u.accelerator);
}

// Sums of one contract's month while the sweep runs: money times time, not yet divided.
struct Running {
  Wide used = 0;     // micro x microseconds
  Wide used_us = 0;  // slot x microseconds
  std::map<std::pair<std::string, std::string>, std::pair<Wide, Wide>> by_team_loan;  // cost, time
};
using Key = std::pair<int, std::string>;  // month, contract

int64_t Narrow(Wide w) {
  return static_cast<int64_t>(std::min<Wide>(w, std::numeric_limits<int64_t>::max()));
}
constexpr Wide kHourUs = Wide{3600} * kSecond;

// What changes within [from, to): leases, deliveries, prices, months.
void Sweep(const Pool& pool, Time from, Time to, Date today, std::map<Key, Running>& out,
           Wide& uncovered_us) {
  std::vector<Time> cuts = {from, to};
  const auto cut = [&](Time t) {
    if (t > from && t < to) cuts.push_back(t);
  };
  for (const Use* u : pool.uses) cut(u->from), cut(u->to);
  for (const Contract* c : pool.contracts) {
    for (const Delivery& d : c->deliveries) cut(ExpectedOn(d, today).Start());
    cut(EndOn(*c, today).Start());
    // Price steps begin on days of the month that a late delivery may have moved: any day may.
    if (!c->terms.steps.empty() || c->terms.renewal_price.micro > 0)
      for (Date d = Date::Of(from); d.Start() < to; d = d + 1)
        if (PriceOn(*c, d, today) != PriceOn(*c, d - 1, today)) cut(d.Start());
  }
  for (int m = MonthOf(Date::Of(from)); StartOfMonth(m).Start() < to; ++m)
    cut(StartOfMonth(m).Start());
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());

  std::vector<const Use*> open;
  size_t next = 0;
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    const Time a = cuts[i], z = cuts[i + 1];
    std::erase_if(open, [&](const Use* u) { return u->to <= a; });
    while (next < pool.uses.size() && pool.uses[next]->from <= a) {
      if (pool.uses[next]->to > a) open.push_back(pool.uses[next]);
      ++next;
    }
    if (open.empty()) continue;
    int64_t wanted = 0;
    for (const Use* u : open) wanted += u->slots;
    const Date day = Date::Of(a);
    const Wide us = (z - a).us;
    int64_t left = wanted;
    for (const Contract* c : pool.contracts) {
      const int64_t taken = std::min(left, QuantityOn(*c, day, today));
      if (taken <= 0) continue;
      left -= taken;
      const Money price = PriceOn(*c, day, today);
      Running& r = out[{MonthOf(day), c->id}];
      r.used += Wide{price.micro} * taken * us;
      r.used_us += Wide{taken} * us;
      for (const Use* u : open) {
        // The lease's part of what the pool took of this contract.
        auto& [cost, time] = r.by_team_loan[{u->team, u->loan}];
        const Wide part = Wide{taken} * us * u->slots / wanted;
        time += part;
        cost += part * price.micro;
      }
    }
    uncovered_us += Wide{left} * us;
  }
}

}  // namespace

Money Ledger::idle() const {
  Money sum;
  for (const ContractMonth& m : months) sum += m.idle;
  return sum;
}
Money Ledger::owed() const {
  Money sum;
  for (const ContractMonth& m : months) sum += m.owed;
  return sum;
}

Result<Ledger> MakeLedger(const Book& b, const std::vector<Use>& uses,
                          const std::vector<LoanShare>& shares, int first_month, int last_month,
                          Date today) {
  if (last_month < first_month || last_month - first_month > 240)
    return Error(Code::kInvalidArgument, fmt::format("the months {} to {} are no period",
                                                     MonthText(first_month), MonthText(last_month)))
        .Hint("name the first month and then the last, as 2027-01 2027-03");
  if (uses.size() > kMaxUses)
    return Error(Code::kTooLarge, fmt::format("more than {} leases", kMaxUses));
  const Time from = StartOfMonth(first_month).Start();
  const Time to = std::min(StartOfMonth(last_month + 1).Start(), (today + 1).Start());

  std::map<std::pair<std::string, std::string>, Pool> pools;
  for (const Contract& c : b.contracts) {
    if (!c.signed_on.is_set()) continue;
    Pool& p = pools[{SiteOf(c), c.terms.accelerator}];
    p.site = SiteOf(c);
    p.accelerator = c.terms.accelerator;
    p.contracts.push_back(&c);
  }
  Ledger out;
  out.currency = b.currency;
  Wide uncovered_us = 0;
  for (const Use& u : uses) {
    if (u.to <= from || u.from >= to) continue;
    Pool* home = nullptr;
    for (auto& [key, p] : pools)
      if (home == nullptr && Fits(p, u)) home = &p;
    if (home != nullptr)
      home->uses.push_back(&u);
    else
      uncovered_us += Wide{u.slots} * (std::min(u.to, to) - std::max(u.from, from)).us;
  }
  std::map<Key, Running> running;
  for (auto& [key, p] : pools) {
    std::stable_sort(p.contracts.begin(), p.contracts.end(),
                     [](const Contract* x, const Contract* y) {
                       const auto floor = [](const Contract* c) {
                         return c->terms.term_months > 0 ? c->terms.take_or_pay_ppm : 0;
                       };
                       if (floor(x) != floor(y)) return floor(x) > floor(y);
                       return x->terms.price < y->terms.price;
                     });
    std::stable_sort(p.uses.begin(), p.uses.end(),
                     [](const Use* x, const Use* y) { return x->from < y->from; });
    if (from < to) Sweep(p, from, to, today, running, uncovered_us);
  }
  out.uncovered_slot_seconds = Narrow(uncovered_us / kSecond);

  std::map<std::string, std::map<std::string, Money>> loan_cost;
  for (const Contract& c : b.contracts) {
    for (const Obligation& o : Obligations(c, today)) {
      if (o.month < first_month || o.month > last_month) continue;
      const auto amount = [&](Money m) { return InBookCurrency(b, m, c.terms.currency); };
      ContractMonth m;
      m.month = o.month;
      m.contract = c.id;
      m.had_seconds = o.accelerator_hours * 3600;
      const auto it = running.find({o.month, c.id});
      Money used;
      std::vector<int64_t> weights;
      if (it != running.end()) {
        used.micro = Narrow((it->second.used + kHourUs / 2) / kHourUs);
        m.used_seconds = Narrow(it->second.used_us / kSecond);
        for (const auto& [who, sums] : it->second.by_team_loan)
          weights.push_back(Narrow(sums.first / kHourUs));
      }
      if (o.month > MonthOf(today)) continue;
      Money gross = o.gross, floor = o.floor;
      if (o.month == MonthOf(today)) {  // not over: to date
        gross = {};
        m.had_seconds = 0;
        for (Date d = StartOfMonth(o.month); d <= today; d = d + 1) {
          const int64_t hours = 24 * QuantityOn(c, d, today);
          m.had_seconds += hours * 3600;
          gross += Scaled(PriceOn(c, d, today), hours);
        }
        floor = c.terms.term_months > 0 ? Scaled(gross, c.terms.take_or_pay_ppm, kWhole) : Money{};
      }
      m.gross = TRY(amount(gross));
      m.floor = TRY(amount(floor));
      m.used = TRY(amount(used));
      m.owed = std::max(m.floor, m.used);
      m.idle = m.owed - m.used;
      Money credits;
      for (const SlaMonth& s : c.sla_months)
        if (s.claimed.is_set() && MonthOf(s.claimed) == o.month) credits += s.credited;
      m.due = m.owed + TRY(amount(o.prepaid + o.exit - o.from_prepaid - credits));
      if (m.gross.micro == 0 && m.due.micro == 0 && m.used.micro == 0) continue;
      if (it != running.end()) {
        const std::vector<Money> parts = Shared(m.used, weights);
        size_t i = 0;
        for (const auto& [who, sums] : it->second.by_team_loan) {
          Entry e{o.month, c.id, who.first, who.second, Narrow(sums.second / kSecond), parts[i++]};
          if (!e.loan.empty()) loan_cost[e.loan][""] += e.cost;
          out.entries.push_back(std::move(e));
        }
      }
      out.months.push_back(std::move(m));
    }
  }
  const auto by_month = [](const auto& x, const auto& y) {
    return std::tie(x.month, x.contract) < std::tie(y.month, y.contract);
  };
  std::stable_sort(out.months.begin(), out.months.end(), by_month);
  std::stable_sort(out.entries.begin(), out.entries.end(), by_month);
  // A loan's cost by who lent, in proportion to their slots.
  for (const auto& [loan, whole] : loan_cost) {
    std::vector<std::pair<std::string, int64_t>> lenders = {{"", 1}};
    for (const LoanShare& s : shares)
      if (s.loan == loan && !s.lenders.empty()) lenders = s.lenders;
    std::vector<int64_t> weights;
    for (const auto& [team, slots] : lenders) weights.push_back(slots);
    const std::vector<Money> parts = Shared(whole.at(""), weights);
    for (size_t i = 0; i < parts.size(); ++i)
      out.loans.push_back({loan, lenders[i].first, parts[i]});
  }
  return out;
}

Result<UseTable> ReadUses(std::string_view text, std::string_view source,
                          const AcceleratorNames& accelerators) {
  const auto parsed = CsvTable::Parse(text);
  if (!parsed) return Error(parsed.error()).In(source);
  const CsvTable& t = *parsed;
  for (const char* column : {"lease", "team", "slots", "from", "to"})
    if (!t.Has(column))
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: column \"{}\" is missing", source, column))
          .Hint(
              "leases have lease, team, slots, from, to; and accelerator, site, holder, loan, "
              "lenders where there are any");
  UseTable out;
  for (size_t i = 0; i < t.size(); ++i) {
    const std::string where = fmt::format("{} line {}", source, t.Line(i));
    const auto field = [&](std::string_view name) { return fmt::format("{}: {}", where, name); };
    Use u;
    u.lease = t.Cell(i, "lease");
    u.team = t.Cell(i, "team");
    u.holder = t.Cell(i, "holder");
    u.site = t.Cell(i, "site");
    u.loan = t.Cell(i, "loan");
    if (const std::string& a = t.Cell(i, "accelerator"); !a.empty()) {
      auto name = accelerators(a);
      if (!name) return std::move(name).error().In(where);
      u.accelerator = *name;
    }
    if (u.lease.empty() || u.team.empty())
      return Error(Code::kInvalidArgument, fmt::format("{}: lease and team need a value", where));
    u.slots = TRY(ParseCount(t.Cell(i, "slots"), field("slots"), 1, 10'000'000));
    u.from = TRY(ParseInstant(t.Cell(i, "from"), field("from")));
    u.to = TRY(ParseInstant(t.Cell(i, "to"), field("to")));
    if (u.to <= u.from)
      return Error(Code::kInvalidArgument, fmt::format("{}: the lease ends {} before it starts {}",
                                                       where, t.Cell(i, "to"), t.Cell(i, "from")))
          .Hint("are the two instants swapped?");
    if (const std::string& lenders = t.Cell(i, "lenders"); !lenders.empty()) {
      LoanShare share{u.loan, {}};
      std::string_view rest = lenders;
      while (!rest.empty()) {
        const size_t end = std::min(rest.find(';'), rest.size());
        const std::string_view part = rest.substr(0, end);
        const size_t colon = part.rfind(':');
        if (colon == part.npos || u.loan.empty())
          return Error(Code::kInvalidArgument,
                       fmt::format("{}: lenders \"{}\" cannot be read", where, lenders))
              .Hint("write team:slots;team:slots, and name the loan");
        share.lenders.emplace_back(
            part.substr(0, colon),
            TRY(ParseCount(part.substr(colon + 1), field("lenders"), 1, 10'000'000)));
        rest.remove_prefix(std::min(end + 1, rest.size()));
      }
      out.shares.push_back(std::move(share));
    }
    out.uses.push_back(std::move(u));
  }
  return out;
}

FocusTable ToFocus(const Book& b, const Ledger& ledger, std::string_view lab) {
  std::vector<std::string> columns;
  for (const FocusColumn& c : FocusColumns())
    if (c.level == FocusColumn::Level::kMandatory || c.name.starts_with("CommitmentDiscount") ||
        c.name.starts_with("Consumed") || c.name == "ContractedUnitPrice" ||
        c.name == "ListUnitPrice" || c.name == "PricingCategory" || c.name == "ChargeFrequency" ||
        c.name == "RegionId" || c.name == "ResourceId" || c.name == "SkuId" || c.name == "Tags")
      columns.emplace_back(c.name);
  FocusTable out(std::move(columns));
  for (const ContractMonth& m : ledger.months) {
    const Contract* c = b.FindContract(m.contract);
    if (c == nullptr) continue;
    const bool committed = c->terms.term_months > 0;
    const auto row = [&](std::map<std::string, std::string, std::less<>> cells) {
      const std::string from = InstantText(StartOfMonth(m.month).Start());
      const std::string to = InstantText(StartOfMonth(m.month + 1).Start());
      cells.merge(
          std::map<std::string, std::string, std::less<>>{{"BillingAccountId", std::string(lab)},
                                                          {"BillingAccountName", std::string(lab)},
                                                          {"BillingCurrency", ledger.currency},
                                                          {"BillingPeriodStart", from},
                                                          {"BillingPeriodEnd", to},
                                                          {"ChargePeriodStart", from},
                                                          {"ChargePeriodEnd", to},
                                                          {"InvoiceIssuerName", c->provider},
                                                          {"ProviderName", c->provider},
                                                          {"PublisherName", c->provider},
                                                          {"ServiceCategory", "Compute"},
                                                          {"ServiceName", "Accelerators"},
                                                          {"RegionId", c->terms.region},
                                                          {"SkuId", c->terms.accelerator}});
      if (committed) {
        cells["CommitmentDiscountId"] = c->id;
        cells["CommitmentDiscountName"] = c->id;
        cells["CommitmentDiscountCategory"] = "Spend";
        cells["CommitmentDiscountType"] = "Contract";
        cells["CommitmentDiscountUnit"] = ledger.currency;
      }
      out.Add(cells);
    };
    const auto purchase = [&](Money billed, std::string_view frequency, std::string_view what) {
      row({{"ChargeCategory", "Purchase"},
           {"ChargeFrequency", std::string(frequency)},
           {"ChargeDescription", fmt::format("{} of {}", what, c->id)},
           {"PricingCategory", "Standard"},
           {"ResourceId", c->id},
           {"BilledCost", AmountText(billed, 2)},
           {"ContractedCost", AmountText(billed, 2)},
           {"ListCost", AmountText(billed, 2)},
           {"EffectiveCost", "0.00"},
           {"CommitmentDiscountQuantity", AmountText(billed, 2)}});
    };
    if (committed) {
      // What a prepayment covers was billed when it was paid; an invoice asks for the rest.
      Money prepaid;
      for (const Obligation& o : Obligations(*c, c->signed_on))
        if (o.month == m.month)
          prepaid = InBookCurrency(b, o.prepaid, c->terms.currency).value_or(Money{});
      if (prepaid.micro != 0) purchase(prepaid, "One-Time", "Prepayment");
      if ((m.due - prepaid).micro != 0) purchase(m.due - prepaid, "Recurring", "Month");
    }
    const auto usage = [&](Money cost, int64_t seconds, std::string_view team,
                           std::string_view loan, bool used) {
      std::map<std::string, std::string, std::less<>> cells = {
          {"ChargeCategory", "Usage"},
          {"ChargeFrequency", "Usage-Based"},
          {"ChargeDescription", used ? fmt::format("Use of {} by {}", c->id, team)
                                     : fmt::format("Idle share of {}", c->id)},
          {"PricingCategory", committed ? "Committed" : "Standard"},
          {"ResourceId", c->id},
          {"BilledCost", committed ? "0.00" : AmountText(cost, 2)},
          {"ContractedCost", AmountText(cost, 2)},
          {"ListCost", AmountText(cost, 2)},
          {"EffectiveCost", AmountText(cost, 2)}};
      if (committed) {
        cells["CommitmentDiscountQuantity"] = AmountText(cost, 2);
        cells["CommitmentDiscountStatus"] = used ? "Used" : "Unused";
      }
      if (used) {
        cells["ConsumedQuantity"] = AmountText(Scaled({seconds * 1'000'000}, 1, 3600));
        cells["ConsumedUnit"] = "Hour";
        wire::Json tags = {{"team", team}};
        if (!loan.empty()) tags["loan"] = loan;
        cells["Tags"] = tags.dump(-1, ' ', false, wire::Json::error_handler_t::replace);
      }
      row(std::move(cells));
    };
    for (const Entry& e : ledger.entries)
      if (e.month == m.month && e.contract == m.contract)
        usage(e.cost, e.slot_seconds, e.team, e.loan, true);
    if (committed && m.idle.micro != 0) usage(m.idle, 0, "", "", false);
  }
  return out;
}

Result<std::vector<Difference>> Reconcile(const Book& b, const Ledger& ledger,
                                          const FocusTable& invoice) {
  struct Billed {
    Money sum;
    int rows = 0, line = 0;
    Money hours;  // in millionths, of the rows that say so
    bool has_hours = false;
    std::optional<Money> unit_price;
    int price_line = 0;
  };
  std::map<std::pair<int, std::string>, Billed> billed;
  std::vector<Difference> out;
  std::map<std::string, int> seen;  // whole rows, to find those that stand twice
  const auto contract_of = [&](size_t row) -> std::string {
    for (const char* column :
         {"CommitmentDiscountId", "ResourceId", "SubAccountId", "CommitmentDiscountName"}) {
      const auto cell = invoice.Cell(row, column);
      if (!cell) continue;
      for (const Contract& c : b.contracts) {
        if (c.id == *cell) return c.id;
        const Offer* o = b.FindOffer(c.offer);
        if (o != nullptr && !o->name.empty() && o->name == *cell) return c.id;
      }
    }
    return "";
  };
  const int first = ledger.months.empty() ? 0 : ledger.months.front().month;
  const int last = ledger.months.empty() ? -1 : ledger.months.back().month;
  for (size_t row = 0; row < invoice.size(); ++row) {
    const auto amount = TRY(invoice.Amount(row, "BilledCost"));
    if (!amount)
      return Error(Code::kInvalidArgument,
                   fmt::format("line {}: BilledCost has no value", invoice.Line(row)))
          .Hint("`weir spend check FILE` lists all that is wrong with the invoice");
    if (const auto currency = invoice.Cell(row, "BillingCurrency");
        currency && *currency != ledger.currency && amount->micro != 0)
      return Error(Code::kFailedPrecondition,
                   fmt::format("line {}: the invoice is in {}, the book in {}", invoice.Line(row),
                               *currency, ledger.currency))
          .Hint("reconcile with a book in the invoice's currency");
    const auto period = TRY(invoice.Instant(row, "BillingPeriodStart"));
    if (!period)
      return Error(Code::kInvalidArgument,
                   fmt::format("line {}: BillingPeriodStart has no value", invoice.Line(row)))
          .Hint("`weir spend check FILE` lists all that is wrong with the invoice");
    const int month = MonthOf(Date::Of(*period));
    std::string whole;
    for (const std::string& c : invoice.columns())
      whole += std::string(invoice.Cell(row, c).value_or("")) + '\x1f';
    const std::string contract = contract_of(row);
    if (amount->micro != 0) {
      int& line = seen[whole];
      if (line != 0)
        out.push_back({"twice",
                       contract,
                       month,
                       {},
                       *amount,
                       fmt::format("line {} is the same as line {}", invoice.Line(row), line),
                       invoice.Line(row)});
      else
        line = invoice.Line(row);
    }
    if (contract.empty()) {
      if (amount->micro != 0)
        out.push_back(
            {"not known",
             std::string(invoice.Cell(row, "ResourceId")
                             .value_or(invoice.Cell(row, "ChargeDescription").value_or(""))),
             month,
             {},
             *amount,
             fmt::format("line {} names no contract of the book", invoice.Line(row)),
             invoice.Line(row)});
      continue;
    }
    Billed& x = billed[{month, contract}];
    x.sum += *amount;
    ++x.rows;
    x.line = x.rows == 1 ? invoice.Line(row) : 0;
    if (const auto price = TRY(invoice.Amount(row, "ContractedUnitPrice"))) {
      x.unit_price = *price;
      x.price_line = invoice.Line(row);
      if (const auto q = TRY(invoice.Amount(row, "PricingQuantity"))) {
        x.hours += *q;
        x.has_hours = true;
      }
    }
  }
  std::map<std::pair<int, std::string>, const ContractMonth*> expected;
  for (const ContractMonth& m : ledger.months) expected[{m.month, m.contract}] = &m;
  for (const auto& [key, m] : expected) {
    const auto it = billed.find(key);
    const Contract& c = *b.FindContract(m->contract);
    if (it == billed.end()) {
      if (m->due.micro != 0)
        out.push_back({"not invoiced",
                       m->contract,
                       m->month,
                       m->due,
                       {},
                       "the ledger has a charge, the invoice none",
                       0});
      continue;
    }
    const Billed& x = it->second;
    // To the cent: invoices round each line.
    const Money gap = x.sum - m->due;
    if (std::abs(gap.micro) < 5'000 * std::max(1, x.rows)) continue;
    Difference d{"amount", m->contract, m->month, m->due, x.sum, "", x.line};
    const int64_t had = m->had_seconds / 3600;
    if (x.unit_price && had > 0) {
      const Money ours = Scaled(m->gross, 1, had);
      const Money hours{had * 1'000'000};
      if (std::abs((*x.unit_price - ours).micro) > 50) {
        d.kind = "price";
        d.what = fmt::format("{} an hour is billed, {} agreed for {}", HumanPrice(*x.unit_price),
                             HumanPrice(ours), MonthText(m->month));
        d.line = x.price_line;
      } else if (x.has_hours && std::abs((x.hours - hours).micro) > kWhole) {
        d.kind = "quantity";
        d.what = fmt::format("{} accelerator-hours are billed, {} were delivered",
                             AmountText(x.hours), had);
      }
    }
    if (d.what.empty())
      d.what =
          fmt::format("{} {} than {} of {}", Human(Money{std::abs(gap.micro)}, ledger.currency),
                      gap.micro > 0 ? "more" : "less", Human(m->due, ledger.currency), c.id);
    out.push_back(std::move(d));
  }
  for (const auto& [key, x] : billed) {
    if (expected.contains(key) || x.sum.micro == 0) continue;
    const bool outside = key.first < first || key.first > last;
    out.push_back(
        {outside ? "other month" : "amount",
         key.second,
         key.first,
         {},
         x.sum,
         outside ? "the ledger was made for other months" : "nothing is owed for this month",
         x.line});
  }
  std::stable_sort(out.begin(), out.end(), [](const Difference& x, const Difference& y) {
    return std::tie(x.month, x.contract) < std::tie(y.month, y.contract);
  });
  return out;
}

std::vector<BurnDown> BurnDowns(const Book& b, const Ledger& ledger, Date today) {
  std::vector<BurnDown> out;
  for (const Contract& c : b.contracts) {
    if (!c.signed_on.is_set() || c.terms.term_months == 0) continue;
    BurnDown d;
    d.contract = c.id;
    Money to_come;
    for (const Obligation& o : Obligations(c, today)) {
      const Money floor = InBookCurrency(b, o.floor, c.terms.currency).value_or(o.floor);
      d.committed += floor;
      if (o.month < MonthOf(today))
        ++d.months_past;
      else
        ++d.months_left, to_come += floor;
    }
    for (const ContractMonth& m : ledger.months) {
      if (m.contract != c.id) continue;
      d.used += m.used;
      if (m.month >= MonthOf(today)) continue;
      d.wasted += m.idle;
      if (m.had_seconds > 0)
        d.use_share = static_cast<double>(m.used_seconds) / static_cast<double>(m.had_seconds);
    }
    // What is used of a month's hours pays for that part of the floor, and no more than all of it.
    const double covered =
        c.terms.take_or_pay_ppm > 0
            ? std::min(1.0, d.use_share * 1e6 / static_cast<double>(c.terms.take_or_pay_ppm))
            : 1.0;
    d.true_up = d.wasted + Scaled(to_come, kWhole - static_cast<int64_t>(covered * 1e6), kWhole);
    out.push_back(std::move(d));
  }
  return out;
}

std::vector<BudgetState> BudgetStates(const Book& b, const Ledger& ledger, Date today) {
  std::vector<BudgetState> out;
  for (const Budget& budget : b.budgets) {
    BudgetState s{budget, {}, {}, 0};
    for (const Entry& e : ledger.entries)
      if (e.team == budget.team && e.month >= budget.first_month && e.month <= budget.last_month)
        s.spent += e.cost;
    const Date from = StartOfMonth(budget.first_month), to = StartOfMonth(budget.last_month + 1);
    const int past = std::clamp(today + 1 - from, 0, to - from);
    s.forecast = past > 0 ? Scaled(s.spent, to - from, past) : Money{};
    if (past > 0 && s.spent.micro > 0 && s.forecast > budget.amount) {
      const Money days = Scaled({past}, budget.amount.micro, s.spent.micro);
      s.month_over = MonthOf(from + static_cast<int>(std::min<int64_t>(days.micro, to - from - 1)));
    }
    out.push_back(s);
  }
  return out;
}

}  // namespace weir::market
