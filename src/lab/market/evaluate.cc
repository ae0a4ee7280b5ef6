#include "lab/market/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace weir::market {

Result<Evaluation> Evaluate(const Offer& o, const Assumptions& a) {
  const Terms& t = o.terms;
  Evaluation e;
  e.offer = o.id;
  e.quantity = a.quantity > 0 ? a.quantity : t.quantity > 0 ? t.quantity : t.smallest();
  if (e.quantity < t.smallest() || (t.quantity > 0 && e.quantity > t.quantity) ||
      e.quantity % t.lot != 0)
    return Error(Code::kInvalidArgument,
                 fmt::format("{} accelerators cannot be had of {}: it offers {} {} in lots of {}",
                             e.quantity, o.id, t.smallest(),
                             t.quantity > 0 ? fmt::format("to {}", t.quantity) : "and more", t.lot))
        .Hint("choose another --quantity, leave it out for all of it, or name the offers");
  if (!(a.use > 0) || a.use > 1 || !(a.goodput > 0) || a.goodput > 1)
    return Error(Code::kInvalidArgument,
                 "the shares of use and goodput must be above 0 and at most 1");
  const int months = t.term_months > 0 ? t.term_months : std::max(1, a.months);
  e.start = StartIf(t, a.signed_on);
  e.end = AddMonths(e.start, months);
  e.commitment = Commitment(t, e.quantity, e.start);
  e.at_signing = Scaled(e.commitment, t.prepay_ppm, 1'000'000);

  const double take_or_pay = t.term_months > 0 ? static_cast<double>(t.take_or_pay_ppm) / 1e6 : 0;
  const double prepay = e.commitment.micro > 0 ? e.at_signing.units() / e.commitment.units() : 0.0;
  const auto worth = [&](double month) { return std::pow(1 + a.capital_rate, -month / 12); };
  double hours = 0, gross = 0, paid = 0;            // plain sums
  double pv_hours = 0, pv_paid = 0, pv_bridge = 0;  // with time
  const double lead = (e.start - a.signed_on) / 30.4375;
  pv_paid += e.at_signing.units();
  double late_left = a.days_late;
  for (int m = 0; m < months; ++m) {
    const double month_hours = 24.0 * (AddMonths(e.start, m + 1) - AddMonths(e.start, m));
    const double had = static_cast<double>(PromisedIn(t, e.quantity, m)) * month_hours;
    const double price = PriceIn(t, m).units();
    const double used = had * a.use;
    const double pay = std::max(used, had * take_or_pay) * price;
    const double covered = had * take_or_pay * price * prepay;
    const double w = worth(lead + m + 0.5);
    hours += used;
    gross += used * price;
    paid += pay;
    pv_hours += used * w;
    pv_paid += (pay - covered) * w;
    // Nothing is paid for what is not there; the work goes elsewhere meanwhile.
    const double late = std::min(late_left * 24, month_hours);
    late_left -= late / 24;
    const double late_hours = had * late / std::max(1.0, month_hours);
    if (late_hours > 0) {
      const double instead = a.bridge ? a.bridge->units() : 0;
      if (a.bridge)
        pv_bridge += late_hours * a.use * (instead - price) * w;
      else
        pv_bridge += late_hours * a.use * price * w;  // the hour is lost: worth what it costs
    }
  }
  if (hours <= 0 || pv_hours <= 0)
    return Error(
        Code::kInvalidArgument,
        fmt::format("{} accelerators of {} never reach a whole lot of its ramp", e.quantity, o.id));
  e.price = gross / hours;
  e.unused = paid / hours - e.price;
  e.timing = pv_paid / pv_hours - paid / hours;
  e.delivery = pv_bridge / pv_hours;
  e.energy = a.kilowatts * a.energy_price.units();
  const double before = e.price + e.unused + e.timing + e.delivery + e.energy;
  e.rate = before / a.goodput;
  e.failures = e.rate - before;
  e.useful_hours = hours * a.goodput;
  return e;
}

double ExpectedDaysLate(const Book& b, std::string_view provider, double prior_days, Date today) {
  constexpr double kPriorAccelerators = 100;
  for (const ProviderRecord& r : Providers(b, today)) {
    if (r.provider != provider) continue;
    return (static_cast<double>(r.delivery.late_accelerator_days) +
            prior_days * kPriorAccelerators) /
           (static_cast<double>(r.delivery.quantity) + kPriorAccelerators);
  }
  return prior_days;
}

double UsualDaysLate(const Book& b, const Offer& o, Date today) {
  constexpr double kPriorDays = 14;
  return o.terms.capacity == Capacity::kReserved
             ? ExpectedDaysLate(b, o.provider, kPriorDays, today)
             : 0;
}

const Offer* CheapestByTheHour(const Book& b, std::string_view accelerator, Date today) {
  const Offer* best = nullptr;
  Money least;
  for (const Offer& o : b.offers) {
    if (o.terms.accelerator != accelerator || o.terms.capacity != Capacity::kOnDemand ||
        StateOn(o, today) != OfferState::kOpen)
      continue;
    const auto price = InBookCurrency(b, o.terms.price, o.terms.currency);
    if (!price || (best != nullptr && *price >= least)) continue;
    best = &o;
    least = *price;
  }
  return best;
}

}  // namespace weir::market
