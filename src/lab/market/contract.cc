#include "lab/market/contract.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::market {

namespace {
// Terms that a contract may add by renewing itself before this stops counting: far beyond
// kLastYear.
constexpr int kMaxRenewals = 1300;

// Days by which the first term is moved because the last delivery was, or will be, late.
int Shift(const Contract& c, Date today) {
  if (!c.terms.end_follows_delivery || c.deliveries.empty()) return 0;
  Date promised = kNoDate, came = kNoDate;
  for (const Delivery& d : c.deliveries) {
    promised = std::max(promised, d.promised);
    came = std::max(came, ExpectedOn(d, today));
  }
  return std::max(0, came - promised);
}

int RenewalMonths(const Terms& t) {
  return t.renewal_months > 0 ? t.renewal_months : t.term_months;
}

// The end of the term that `today` or the notice falls into, and the last day to stop it.
struct TermEnd {
  Date end;
  Date notice_by;
};
TermEnd FindEnd(const Contract& c, Date today) {
  const Terms& t = c.terms;
  if (t.term_months == 0)  // by the hour: until somebody ends it
    return {c.notice_on.is_set() ? c.notice_on + t.notice_days : Date::Of(kLastYear, 12, 31),
            kNoDate};
  const int shift = Shift(c, today);
  const auto end_after = [&](int renewals) {
    return AddMonths(c.start, t.term_months + renewals * RenewalMonths(t)) + shift;
  };
  int renewals = c.renewals;
  if (!t.renews) return {end_after(renewals), kNoDate};
  const Date latest = c.notice_on.is_set() ? c.notice_on : today;
  while (renewals < kMaxRenewals && latest > end_after(renewals) - t.notice_days &&
         end_after(renewals).year() < kLastYear)
    ++renewals;
  return {end_after(renewals), end_after(renewals) - t.notice_days};
}
}  // namespace

std::string_view NameOf(ContractPhase p) {
  switch (p) {
    case ContractPhase::kDraft:
      return "draft";
    case ContractPhase::kSigned:
      return "signed";
    case ContractPhase::kRamping:
      return "ramping";
    case ContractPhase::kActive:
      return "active";
    case ContractPhase::kInNotice:
      return "in notice";
    case ContractPhase::kEnded:
      return "ended";
  }
  return "?";
}

Date EndOn(const Contract& c, Date today) {
  const Date end = FindEnd(c, today).end;
  return c.leaves_on.is_set() ? std::min(end, c.leaves_on) : end;
}

Date NoticeBy(const Contract& c, Date today) {
  if (c.notice_on.is_set() || c.leaves_on.is_set()) return kNoDate;
  return FindEnd(c, today).notice_by;
}

ContractPhase PhaseOn(const Contract& c, Date today) {
  if (!c.signed_on.is_set() || today < c.signed_on) return ContractPhase::kDraft;
  if (today >= EndOn(c, today)) return ContractPhase::kEnded;
  if ((c.notice_on.is_set() && today >= c.notice_on) || c.leaves_on.is_set())
    return ContractPhase::kInNotice;
  const int64_t had = QuantityOn(c, today, today);
  if (had == 0) return ContractPhase::kSigned;
  return had < c.quantity ? ContractPhase::kRamping : ContractPhase::kActive;
}

Date ExpectedOn(const Delivery& d, Date today) {
  return d.delivered.is_set() ? d.delivered : std::max(d.promised, today + 1);
}

int64_t QuantityOn(const Contract& c, Date day, Date today) {
  if (!c.signed_on.is_set() || day >= EndOn(c, today)) return 0;
  int64_t sum = 0;
  for (const Delivery& d : c.deliveries)
    if (ExpectedOn(d, today) <= day) sum += d.quantity;
  return sum;
}

int64_t PromisedOn(const Contract& c, Date day) {
  int64_t sum = 0;
  for (const Delivery& d : c.deliveries)
    if (d.promised <= day) sum += d.quantity;
  return sum;
}

Money PriceOn(const Contract& c, Date day, Date today) {
  const Terms& t = c.terms;
  const Date start = c.start + Shift(c, today);
  if (t.term_months > 0 && day >= AddMonths(c.start, t.term_months) + Shift(c, today))
    return t.renewal_price.micro > 0 ? t.renewal_price : PriceIn(t, t.term_months - 1);
  int month = MonthOf(day) - MonthOf(start);
  while (month > 0 && AddMonths(start, month) > day) --month;
  return PriceIn(t, std::max(0, month));
}

std::vector<Obligation> Obligations(const Contract& c, Date today) {
  std::vector<Obligation> out;
  if (!c.signed_on.is_set()) return out;
  const Date open_end = AddMonths(std::max(today, c.start), 12);  // by the hour: a year ahead
  const Date end = c.terms.term_months == 0 ? std::min(EndOn(c, today), open_end) : EndOn(c, today);
  const int first = MonthOf(c.signed_on), last = std::max(first, MonthOf(end - 1));
  // Within a month the quantity and the price change on few days: sums run over whole stretches.
  std::vector<Date> changes = {end};
  for (const Delivery& d : c.deliveries) changes.push_back(ExpectedOn(d, today));
  const Date start = c.start + Shift(c, today);
  for (const PriceStep& s : c.terms.steps) changes.push_back(AddMonths(start, s.month));
  changes.push_back(AddMonths(c.start, c.terms.term_months) + Shift(c, today));
  for (int m = first; m <= last + 1; ++m) changes.push_back(StartOfMonth(m));
  std::sort(changes.begin(), changes.end());
  for (int m = first; m <= last; ++m) out.push_back({.month = m});
  for (size_t i = 0; i + 1 < changes.size(); ++i) {
    const Date from = changes[i], to = std::min(changes[i + 1], end);
    const int month = MonthOf(from) - first;
    if (from >= to || month < 0 || month >= static_cast<int>(out.size())) continue;
    Obligation& o = out[static_cast<size_t>(month)];
    const int64_t hours = QuantityOn(c, from, today) * 24 * (to - from);
    o.accelerator_hours += hours;
    o.gross += Scaled(PriceOn(c, from, today), hours);
  }
  std::vector<int64_t> floors;
  Money floor_sum;
  for (Obligation& o : out) {
    if (c.terms.term_months > 0) o.floor = Scaled(o.gross, c.terms.take_or_pay_ppm, kWhole);
    floors.push_back(o.floor.micro);
    floor_sum += o.floor;
  }
  const Money prepaid =
      Scaled(Commitment(c.terms, c.quantity, c.start), c.terms.prepay_ppm, kWhole);
  out.front().prepaid = prepaid;
  if (c.leaves_on.is_set()) {
    // The prepayment goes on to cover what it would have covered; what it leaves is the exit's.
    Contract whole = c;
    whole.leaves_on = kNoDate;
    const std::vector<Obligation> uncut = Obligations(whole, today);
    for (size_t i = 0; i < out.size() && i < uncut.size(); ++i)
      if (uncut[i].floor.micro > 0)
        out[i].from_prepaid =
            Scaled(uncut[i].from_prepaid, out[i].floor.micro, uncut[i].floor.micro);
  } else if (floor_sum.micro > 0) {
    const std::vector<Money> covered = Shared(std::min(prepaid, floor_sum), floors);
    for (size_t i = 0; i < out.size(); ++i) out[i].from_prepaid = covered[i];
  }
  if (c.leaves_on.is_set() && c.exit_cost.micro != 0) {
    const int month = std::clamp(MonthOf(c.leaves_on) - first, 0, static_cast<int>(out.size()) - 1);
    out[static_cast<size_t>(month)].exit = c.exit_cost;
  }
  return out;
}

namespace {
struct Sums {
  Money floor, prepaid, covered;
};
Sums SumsOf(Contract c, Date leaves_on, Date today) {
  c.leaves_on = leaves_on;
  c.exit_cost = {};
  Sums s;
  for (const Obligation& o : Obligations(c, today)) {
    s.floor += o.floor;
    s.prepaid += o.prepaid;
    s.covered += o.from_prepaid;
  }
  return s;
}
}  // namespace

Money PrepaidLeft(const Contract& c, Date day, Date today) {
  const Sums cut = SumsOf(c, day, today);
  return cut.prepaid - cut.covered;
}
Money FloorFrom(const Contract& c, Date day, Date today) {
  return SumsOf(c, kNoDate, today).floor - SumsOf(c, day, today).floor;
}

Money CreditOf(const Contract& c, int month, int64_t availability_ppm, Date today) {
  int64_t share = 0;
  for (const SlaTier& tier : c.terms.sla.tiers)
    if (availability_ppm < tier.below_ppm) share = tier.credit_ppm;
  share = std::min(share, c.terms.sla.cap_ppm);
  for (const Obligation& o : Obligations(c, today))
    if (o.month == month) return Scaled(o.gross, share, kWhole);
  return {};
}

Date ClaimBy(const Contract& c, int month) {
  if (c.terms.sla.claim_days == 0) return kNoDate;
  return StartOfMonth(month + 1) - 1 + c.terms.sla.claim_days;
}

DeliveryRecord RecordOf(const Contract& c, Date today) {
  DeliveryRecord r;
  if (!c.signed_on.is_set()) return r;
  for (const Delivery& d : c.deliveries) {
    if (d.promised > today && !d.delivered.is_set()) continue;
    const Date came = d.delivered.is_set() ? d.delivered : today;
    const int late = std::max(0, came - d.promised);
    r.quantity += d.quantity;
    if (late > 0) r.late_quantity += d.quantity;
    r.late_accelerator_days += late * d.quantity;
  }
  return r;
}

Status Validate(const Contract& c) {
  TRY(Validate(c.terms));
  if (c.quantity < 1 || c.quantity > c.terms.quantity)
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: a quantity of {} is not between 1 and the {} offered", c.id,
                             c.quantity, c.terms.quantity))
        .Hint("see `weir offer list` for what can be had");
  if (!c.start.is_set())
    return Error(Code::kInvalidArgument, fmt::format("{}: the start is missing", c.id))
        .Hint("write the first day as 2027-03-01");
  if (c.renewals < 0 || c.renewals > kMaxRenewals || c.exit_cost > kMaxAmount ||
      c.exit_cost < -kMaxAmount)
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: its renewals or its exit cost are out of range", c.id))
        .Hint("see docs/market.md for the fields of a contract");
  const int first = MonthOf(Date::Of(kFirstYear, 1, 1)), last = MonthOf(Date::Of(kLastYear, 12, 1));
  for (const SlaMonth& m : c.sla_months)
    if (m.month < first || m.month > last || m.availability_ppm < 0 || m.availability_ppm > kWhole)
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: a month's availability is out of range", c.id))
          .Hint("months are counted from 1970-01, availability in millionths");
  int64_t sum = 0;
  for (const Delivery& d : c.deliveries) {
    if (d.quantity < 1 || d.quantity > c.quantity || !d.promised.is_set())
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: a delivery needs a quantity and a promised day", c.id))
          .Hint("see docs/market.md for the fields of a contract");
    sum += d.quantity;
  }
  if (c.signed_on.is_set() && sum != c.quantity)
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: deliveries of {} do not make up the quantity {}", c.id, sum,
                             c.quantity))
        .Hint("every accelerator of a signed contract has a promised day");
  return {};
}

}  // namespace weir::market
