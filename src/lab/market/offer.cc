#include "lab/market/offer.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir::market {

namespace {
constexpr int kMaxTermMonths = 240;
constexpr int64_t kMaxQuantity = 10'000'000;

Status ShareOk(int64_t ppm, std::string_view field) {
  if (ppm >= 0 && ppm <= kWhole) return {};
  return Wrong(
      fmt::format("{} is {:g}%, not between 0 and 100%", field, static_cast<double>(ppm) / 1e4),
      "write a share such as 80%");
}

std::string PercentText(int64_t ppm) { return AmountText({ppm * 100}, 0) + "%"; }
}  // namespace

std::string_view NameOf(OfferState s) {
  switch (s) {
    case OfferState::kOpen:
      return "open";
    case OfferState::kAccepted:
      return "accepted";
    case OfferState::kDeclined:
      return "declined";
    case OfferState::kExpired:
      return "expired";
    case OfferState::kWithdrawn:
      return "withdrawn";
  }
  return "?";
}
std::string_view NameOf(Capacity c) {
  switch (c) {
    case Capacity::kReserved:
      return "reserved";
    case Capacity::kOnDemand:
      return "on-demand";
    case Capacity::kSpot:
      return "spot";
  }
  return "?";
}

Status Validate(const Terms& t) {
  if (t.accelerator.empty()) return Wrong("no accelerator is named", "name one such as h100-sxm");
  const bool open_ended = t.quantity == 0 && t.capacity != Capacity::kReserved;
  if (!open_ended && (t.quantity < 1 || t.quantity > kMaxQuantity))
    return Wrong(fmt::format("a quantity of {} accelerators is not between 1 and {}", t.quantity,
                             kMaxQuantity),
                 "state how many accelerators can be had");
  if (t.lot < 1 || t.lot > (open_ended ? kMaxQuantity : t.quantity))
    return Wrong(fmt::format("a lot of {} is not between 1 and the quantity {}", t.lot, t.quantity),
                 "a lot is the number of accelerators that come together, such as 8 of a node");
  if (t.min_quantity < 0 || t.min_quantity > (open_ended ? kMaxQuantity : t.quantity))
    return Wrong(fmt::format("the least quantity {} is not between 0 and the quantity {}",
                             t.min_quantity, t.quantity),
                 "leave it out if one lot will do");
  if (!IsCurrency(t.currency))
    return Wrong(fmt::format("\"{}\" is no currency", t.currency), "write three letters: USD, EUR");
  if (t.price.micro < 0)
    return Wrong(fmt::format("the price {} is below zero", AmountText(t.price)),
                 "credits belong into the SLA or a price step, not into the price");
  if (t.price.micro > 1'000'000'000'000)
    return Wrong(fmt::format("a price of {} an hour is beyond a million", AmountText(t.price)),
                 "the price is that of one accelerator for one hour");
  if (t.term_months < 0 || t.term_months > kMaxTermMonths)
    return Wrong(
        fmt::format("a term of {} months is not between 0 and {}", t.term_months, kMaxTermMonths),
        "write the term in months; 0 is without commitment");
  if (t.capacity == Capacity::kReserved && t.term_months == 0)
    return Wrong("reserved capacity has no term",
                 "state the term in months, or offer it on demand");
  if (t.capacity != Capacity::kReserved && t.term_months > 0)
    return Wrong(
        fmt::format("{} capacity has a term of {} months", NameOf(t.capacity), t.term_months),
        "what is held for a term is reserved");
  if (t.lead_days < 0 || t.lead_days > 3660)
    return Wrong(fmt::format("a lead time of {} days is not between 0 and ten years", t.lead_days),
                 "write the days from signing to the first accelerator");
  TRY(ShareOk(t.take_or_pay_ppm, "take-or-pay"));
  TRY(ShareOk(t.prepay_ppm, "the prepayment"));
  TRY(ShareOk(t.early_exit_ppm, "the early exit share"));
  if (t.prepay_ppm > 0 && t.term_months == 0)
    return Wrong("there is a prepayment but no term", "a prepayment is a share of a commitment");
  if (t.prepay_ppm > t.take_or_pay_ppm)
    return Wrong(fmt::format("{} of the commitment is prepaid, but only {} of it has to be paid",
                             PercentText(t.prepay_ppm), PercentText(t.take_or_pay_ppm)),
                 "the prepayment can be at most the take-or-pay share");
  int last = -1;
  for (const PriceStep& s : t.steps) {
    if (s.month <= last || s.month < 1)
      return Wrong(fmt::format("the price step in month {} is out of order", s.month),
                   "give steps by rising month of the term, from 1");
    if (t.term_months > 0 && s.month >= t.term_months)
      return Wrong(fmt::format("the price step in month {} lies beyond the term of {} months",
                               s.month, t.term_months),
                   "the first month is 0, the last is the term less one");
    if (s.price.micro < 0)
      return Wrong(
          fmt::format("the price {} from month {} is below zero", AmountText(s.price), s.month),
          "a price of nothing is 0");
    last = s.month;
  }
  last = -1;
  int64_t ramped = 0;
  for (const RampStep& r : t.ramp) {
    if (r.month <= last || r.month < 0)
      return Wrong(fmt::format("the ramp's month {} is out of order", r.month),
                   "give the ramp by rising month of the term, from 0");
    if (t.term_months > 0 && r.month >= t.term_months)
      return Wrong(fmt::format("the ramp's month {} lies beyond the term of {} months", r.month,
                               t.term_months),
                   "the first month is 0, the last is the term less one");
    if (r.quantity <= ramped || r.quantity > t.quantity)
      return Wrong(fmt::format("the ramp's {} accelerators in month {} do not rise towards {}",
                               r.quantity, r.month, t.quantity),
                   "each step names how many there are in all by then");
    last = r.month;
    ramped = r.quantity;
  }
  if (!t.ramp.empty() && open_ended)
    return Wrong("there is a ramp but no quantity", "state how many accelerators can be had");
  if (!t.ramp.empty() && ramped != t.quantity)
    return Wrong(fmt::format("the ramp ends with {} of {} accelerators", ramped, t.quantity),
                 "its last step is the whole quantity");
  if (t.notice_days < 0 || t.notice_days > 3660)
    return Wrong(fmt::format("a notice of {} days is not between 0 and ten years", t.notice_days),
                 "write the days before the end");
  if (t.renewal_months < 0 || t.renewal_months > kMaxTermMonths || t.renewal_price.micro < 0)
    return Wrong("the renewal's months or price are out of range",
                 "renewal months 0 is the term again, renewal price 0 the last price");
  if (t.renews && t.term_months == 0)
    return Wrong("it renews but has no term", "state the term in months");
  for (const SwapOption& s : t.swaps) {
    if (s.accelerator.empty() || s.ratio_ppm < 1 || s.ratio_ppm > 100 * kWhole ||
        s.price.micro < 0 || s.from_month < 0)
      return Wrong(fmt::format("the swap option for \"{}\" is not possible", s.accelerator),
                   "it names an accelerator, a ratio above 0, a price and the first month");
  }
  int64_t below = kWhole + 1, credit = -1;
  for (const SlaTier& tier : t.sla.tiers) {
    TRY(ShareOk(tier.below_ppm, "an availability of the SLA"));
    TRY(ShareOk(tier.credit_ppm, "a credit of the SLA"));
    if (tier.below_ppm >= below || tier.credit_ppm < credit)
      return Wrong(
          fmt::format("the SLA tier below {} is out of order", PercentText(tier.below_ppm)),
          "tiers go from the highest availability down, credits up: 99.9%:10%, 99%:30%");
    below = tier.below_ppm;
    credit = tier.credit_ppm;
  }
  TRY(ShareOk(t.sla.cap_ppm, "the SLA's cap"));
  if (t.sla.claim_days < 0 || t.sla.claim_days > 3660)
    return Wrong("the SLA's claim window is out of range", "write days after the month's end");
  return {};
}

Money PriceIn(const Terms& t, int month) {
  Money price = t.price;
  for (const PriceStep& s : t.steps)
    if (month >= s.month) price = s.price;
  return price;
}

int64_t PromisedIn(const Terms& t, int64_t signed_quantity, int month) {
  if (t.ramp.empty()) return month >= 0 ? signed_quantity : 0;
  const RampStep* now = nullptr;
  for (const RampStep& r : t.ramp)
    if (month >= r.month) now = &r;
  if (now == nullptr) return 0;
  if (now == &t.ramp.back()) return signed_quantity;
  const auto part = static_cast<int64_t>(static_cast<unsigned __int128>(signed_quantity) *
                                         static_cast<uint64_t>(now->quantity) /
                                         static_cast<uint64_t>(t.quantity));
  return part / t.lot * t.lot;
}

Money Commitment(const Terms& t, int64_t quantity, Date start) {
  Money sum;
  for (int m = 0; m < t.term_months; ++m) {
    const int64_t hours = int64_t{24} * (AddMonths(start, m + 1) - AddMonths(start, m));
    sum += Scaled(Scaled(PriceIn(t, m), hours * PromisedIn(t, quantity, m)), t.take_or_pay_ppm,
                  kWhole);
  }
  return sum;
}

Date StartIf(const Terms& t, Date signed_on) {
  const Date earliest = signed_on + t.lead_days;
  return t.start.is_set() ? std::max(t.start, earliest) : earliest;
}

std::vector<std::string> Differences(const Terms& a, const Terms& b) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view what, const std::string& x, const std::string& y) {
    if (x != y)
      out.push_back(
          fmt::format("{} {} -> {}", what, x.empty() ? "none" : x, y.empty() ? "none" : y));
  };
  const auto number = [&](std::string_view what, int64_t x, int64_t y) {
    add(what, std::to_string(x), std::to_string(y));
  };
  add("accelerator", a.accelerator, b.accelerator);
  add("region", a.region, b.region);
  add("capacity", std::string(NameOf(a.capacity)), std::string(NameOf(b.capacity)));
  number("quantity", a.quantity, b.quantity);
  number("least quantity", a.min_quantity, b.min_quantity);
  number("lot", a.lot, b.lot);
  add("price", HumanPrice(a.price, a.currency), HumanPrice(b.price, b.currency));
  const auto steps = [](const Terms& t) {
    std::string s;
    for (const PriceStep& p : t.steps)
      s += fmt::format("{}{}: {}", s.empty() ? "" : ", ", p.month, AmountText(p.price));
    return s;
  };
  add("price steps", steps(a), steps(b));
  number("term in months", a.term_months, b.term_months);
  add("start", Text(a.start), Text(b.start));
  number("lead days", a.lead_days, b.lead_days);
  const auto ramp = [](const Terms& t) {
    std::string s;
    for (const RampStep& r : t.ramp)
      s += fmt::format("{}{}: {}", s.empty() ? "" : ", ", r.month, r.quantity);
    return s;
  };
  add("ramp", ramp(a), ramp(b));
  add("take-or-pay", PercentText(a.take_or_pay_ppm), PercentText(b.take_or_pay_ppm));
  add("prepayment", PercentText(a.prepay_ppm), PercentText(b.prepay_ppm));
  number("notice days", a.notice_days, b.notice_days);
  add("renews by itself", a.renews ? "yes" : "no", b.renews ? "yes" : "no");
  number("renewal months", a.renewal_months, b.renewal_months);
  add("renewal price", AmountText(a.renewal_price), AmountText(b.renewal_price));
  add("early exit", PercentText(a.early_exit_ppm), PercentText(b.early_exit_ppm));
  add("end follows delivery", a.end_follows_delivery ? "yes" : "no",
      b.end_follows_delivery ? "yes" : "no");
  const auto swaps = [](const Terms& t) {
    std::string s;
    for (const SwapOption& o : t.swaps)
      s += fmt::format("{}{} from month {} at {} for {}", s.empty() ? "" : ", ", o.accelerator,
                       o.from_month, AmountText({o.ratio_ppm}), AmountText(o.price));
    return s;
  };
  add("swaps", swaps(a), swaps(b));
  const auto sla = [](const Terms& t) {
    std::string s;
    for (const SlaTier& tier : t.sla.tiers)
      s += fmt::format("{}{}:{}", s.empty() ? "" : ", ", PercentText(tier.below_ppm),
                       PercentText(tier.credit_ppm));
    if (!s.empty()) s += fmt::format(" within {} days", t.sla.claim_days);
    if (!s.empty()) s += fmt::format(", at most {}", PercentText(t.sla.cap_ppm));
    return s;
  };
  add("SLA", sla(a), sla(b));
  return out;
}

OfferState StateOn(const Offer& o, Date today) {
  if (o.decided != OfferState::kOpen) return o.decided;
  return o.expires.is_set() && today > o.expires ? OfferState::kExpired : OfferState::kOpen;
}

Status Validate(const Offer& o) {
  if (o.provider.empty()) return Wrong("no provider is named", "say who offers it");
  if (!o.received.is_set()) return Wrong("the day it was received is missing", "write YYYY-MM-DD");
  if (!o.expires.is_set() && !o.list_price)
    return Wrong("the offer has no expiry",
                 "ask the provider until when it stands; a public price list is a list price "
                 "and needs none");
  if (o.expires.is_set() && o.expires < o.received)
    return Wrong(fmt::format("it expires on {}, before it was received on {}", Text(o.expires),
                             Text(o.received)),
                 "are the two dates swapped?");
  if (o.terms.start.is_set() && o.terms.start < o.received)
    return Wrong(fmt::format("it starts on {}, before it was received on {}", Text(o.terms.start),
                             Text(o.received)),
                 "are the two dates swapped?");
  return Validate(o.terms);
}

}  // namespace weir::market
