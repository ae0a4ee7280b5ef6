#include "lab/market/book.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"

namespace weir::market {

namespace {

Error Not(std::string what, std::string hint) {
  return Error(Code::kFailedPrecondition, std::move(what)).Hint(std::move(hint));
}

template <class T>
Result<size_t> IndexOf(const std::vector<T>& all, std::string_view id, std::string_view what) {
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i].id == id) return i;
  std::vector<std::string> known;
  for (const T& x : all) known.push_back(x.id);
  const std::string near = NearestOf(id, known);
  return Error(Code::kNotFound, fmt::format("no {} \"{}\" is in the book", what, id))
      .Hint(near.empty() ? fmt::format("`weir {} list` shows them", what)
                         : fmt::format("did you mean {}? `weir {} list` shows all", near, what));
}

Status NotLater(Date on, Date today, std::string_view what) {
  if (on <= today) return {};
  return Wrong(
      fmt::format("the {} on {} lies in the future (today is {})", what, Text(on), Text(today)),
      "note it when it has happened");
}

Status Living(const Contract& c, Date today, std::string_view what) {
  const ContractPhase p = PhaseOn(c, today);
  if (p == ContractPhase::kDraft)
    return Not(fmt::format("{} is a draft: {} needs a signed contract", c.id, what),
               fmt::format("sign it first: `weir contract sign {}`", c.id));
  if (p == ContractPhase::kEnded)
    return Not(fmt::format("{} ended on {}", c.id, Text(EndOn(c, today))),
               "`weir contract list` shows those that run");
  return {};
}

void Note(Contract& c, Date on, std::string what) { c.events.push_back({on, std::move(what)}); }
}  // namespace

const Offer* Book::FindOffer(std::string_view id) const {
  for (const Offer& o : offers)
    if (o.id == id) return &o;
  return nullptr;
}
const Contract* Book::FindContract(std::string_view id) const {
  for (const Contract& c : contracts)
    if (c.id == id) return &c;
  return nullptr;
}

Result<size_t> OfferAt(const Book& b, std::string_view id) {
  return IndexOf(b.offers, id, "offer");
}
Result<size_t> ContractAt(const Book& b, std::string_view id) {
  return IndexOf(b.contracts, id, "contract");
}

Result<Money> InBookCurrency(const Book& b, Money m, std::string_view currency) {
  if (currency == b.currency) return m;
  for (const Rate& r : b.rates)
    if (r.currency == currency) return Scaled(m, r.worth.micro, kWhole);
  return Not(fmt::format("no exchange rate from {} to {} is known", currency, b.currency),
             fmt::format("set one: `weir spend rate {} 1.08`", currency));
}

Result<Put> PutOffer(Book& b, Offer offer, Date today) {
  TRY(Validate(offer));
  for (Offer& o : b.offers) {
    if (o.provider != offer.provider || o.name != offer.name || o.name.empty() ||
        o.terms.accelerator != offer.terms.accelerator || o.terms.region != offer.terms.region ||
        o.terms.capacity != offer.terms.capacity || o.decided != OfferState::kOpen)
      continue;
    Put put{o.id, false, Differences(o.terms, offer.terms)};
    if (o.expires != offer.expires)
      put.changed.push_back(fmt::format("expiry {} -> {}", Text(o.expires), Text(offer.expires)));
    if (put.changed.empty()) return put;
    if (offer.received < o.received)
      return Wrong(fmt::format("a quote of {} is older than the last of {} ({})",
                               Text(offer.received), o.id, Text(o.received)),
                   "add quotes in the order in which they came");
    o.received = offer.received;
    o.expires = offer.expires;
    o.list_price = offer.list_price;
    o.source = offer.source;
    if (!offer.note.empty()) o.note = offer.note;
    if (o.terms != offer.terms) o.history.push_back({offer.received, offer.terms, offer.note});
    o.terms = std::move(offer.terms);
    return put;
  }
  if (b.offers.size() >= kMaxOffers)
    return Error(Code::kResourceExhausted, fmt::format("the book holds {} offers", kMaxOffers))
        .Hint("start a new book: --book FILE");
  if (offer.expires.is_set() && offer.expires < today)
    return Wrong(
        fmt::format("the offer expired on {} (today is {})", Text(offer.expires), Text(today)),
        "ask for a new quote, or pass --today to look at the past");
  offer.id = fmt::format("offer-{}", ++b.last_number);
  offer.history = {{offer.received, offer.terms, offer.note}};
  offer.decided = OfferState::kOpen;
  b.offers.push_back(std::move(offer));
  return Put{b.offers.back().id, true, {}};
}

Result<std::string> Accept(Book& b, std::string_view offer_id, int64_t quantity,
                           std::string_view site, Date today) {
  Offer& o = b.offers[TRY(OfferAt(b, offer_id))];
  const OfferState state = StateOn(o, today);
  if (state == OfferState::kExpired)
    return Not(fmt::format("{} expired on {}", o.id, Text(o.expires)),
               "ask the provider for a new quote and add it");
  if (state != OfferState::kOpen)
    return Not(fmt::format("{} is {}", o.id, NameOf(state)),
               "`weir offer list` shows those that are open");
  const Terms& t = o.terms;
  const int64_t most = t.quantity > 0 ? t.quantity : 10'000'000;
  if (quantity < t.smallest() || quantity > most || quantity % t.lot != 0)
    return Wrong(fmt::format("{} accelerators cannot be had: {} offers {} to {} in lots of {}",
                             quantity, o.id, t.smallest(), most, t.lot),
                 fmt::format("the nearest is {}",
                             std::max(t.smallest(),
                                      std::clamp(quantity, t.smallest(), most) / t.lot * t.lot)));
  if (b.contracts.size() >= kMaxContracts)
    return Error(Code::kResourceExhausted,
                 fmt::format("the book holds {} contracts", kMaxContracts))
        .Hint("start a new book: --book FILE");
  Contract c;
  c.id = fmt::format("contract-{}", ++b.last_number);
  c.provider = o.provider;
  c.offer = o.id;
  c.site = site;
  c.terms = t;
  if (c.terms.quantity == 0) c.terms.quantity = quantity;
  c.quantity = quantity;
  c.drafted = today;
  c.start = StartIf(t, today);
  Note(c, today, fmt::format("drafted from {} for {} {}", o.id, quantity, t.accelerator));
  o.decided = OfferState::kAccepted;
  o.contract = c.id;
  b.contracts.push_back(std::move(c));
  return b.contracts.back().id;
}

Status Decline(Book& b, std::string_view offer_id, std::string_view why, Date today) {
  Offer& o = b.offers[TRY(OfferAt(b, offer_id))];
  const OfferState state = StateOn(o, today);
  if (state != OfferState::kOpen && state != OfferState::kExpired)
    return Not(fmt::format("{} is {}", o.id, NameOf(state)),
               "`weir offer list` shows those that are open");
  o.decided = OfferState::kDeclined;
  o.why = why;
  return {};
}

Status Sign(Contract& c, Date signed_on, Date today) {
  TRY(NotLater(signed_on, today, "signature"));
  if (c.signed_on.is_set())
    return Not(fmt::format("{} was signed on {}", c.id, Text(c.signed_on)),
               fmt::format("`weir contract show {}`", c.id));
  if (signed_on < c.drafted)
    return Wrong(fmt::format("{} cannot be signed on {}, before it was drafted on {}", c.id,
                             Text(signed_on), Text(c.drafted)),
                 "are the two dates swapped?");
  c.signed_on = signed_on;
  c.start = StartIf(c.terms, signed_on);
  c.deliveries.clear();
  int64_t promised = 0;
  const auto promise = [&](int month) {
    const int64_t in_all = PromisedIn(c.terms, c.quantity, month);
    if (in_all > promised)
      c.deliveries.push_back({AddMonths(c.start, month), in_all - promised, kNoDate});
    promised = std::max(promised, in_all);
  };
  if (c.terms.ramp.empty()) promise(0);
  for (const RampStep& r : c.terms.ramp) promise(r.month);
  Note(c, signed_on, fmt::format("signed; first day {}", Text(c.start)));
  return {};
}

Status Deliver(Contract& c, int64_t quantity, Date on, Date today) {
  TRY(Living(c, today, "a delivery"));
  TRY(NotLater(on, today, "delivery"));
  if (on < c.signed_on)
    return Wrong(fmt::format("a delivery on {} is before {} was signed on {}", Text(on), c.id,
                             Text(c.signed_on)),
                 "are the two dates swapped?");
  int64_t outstanding = 0;
  for (const Delivery& d : c.deliveries)
    if (!d.delivered.is_set()) outstanding += d.quantity;
  if (quantity < 1 || quantity > outstanding)
    return Wrong(fmt::format("{} accelerators cannot be delivered: {} of {} are outstanding",
                             quantity, outstanding, c.quantity),
                 fmt::format("`weir contract show {}` lists the deliveries", c.id));
  Note(c, on, fmt::format("{} of {} delivered", quantity, c.quantity));
  for (size_t i = 0; i < c.deliveries.size() && quantity > 0; ++i) {
    Delivery& d = c.deliveries[i];
    if (d.delivered.is_set()) continue;
    if (d.quantity > quantity) {  // a part of it came
      Delivery rest = d;
      rest.quantity = d.quantity - quantity;
      d.quantity = quantity;
      d.delivered = on;
      c.deliveries.insert(c.deliveries.begin() + static_cast<std::ptrdiff_t>(i) + 1, rest);
      return {};
    }
    d.delivered = on;
    quantity -= d.quantity;
  }
  return {};
}

Status GiveNotice(Contract& c, Date on, Date today) {
  TRY(Living(c, today, "notice"));
  TRY(NotLater(on, today, "notice"));
  if (c.notice_on.is_set())
    return Not(fmt::format("notice of {} was given on {}", c.id, Text(c.notice_on)),
               fmt::format("it ends on {}", Text(EndOn(c, today))));
  if (c.terms.term_months > 0 && !c.terms.renews)
    return Not(fmt::format("{} does not renew by itself: it ends on {} without notice", c.id,
                           Text(EndOn(c, today))),
               fmt::format("to leave earlier: `weir contract leave {} --on DATE`", c.id));
  if (on < c.signed_on)
    return Wrong(fmt::format("notice on {} is before {} was signed on {}", Text(on), c.id,
                             Text(c.signed_on)),
                 "are the two dates swapped?");
  c.notice_on = on;
  Note(c, on, fmt::format("notice given; ends {}", Text(EndOn(c, today))));
  return {};
}

Status Renew(Contract& c, Date today) {
  TRY(Living(c, today, "a renewal"));
  if (c.terms.term_months == 0)
    return Not(fmt::format("{} runs by the hour and needs no renewal", c.id),
               "it ends when notice is given");
  if (c.terms.renews && !c.notice_on.is_set())
    return Not(fmt::format("{} renews by itself on {}", c.id, Text(EndOn(c, today))),
               "nothing has to be done; to stop it, give notice");
  if (c.leaves_on.is_set())
    return Not(fmt::format("{} is left on {}", c.id, Text(c.leaves_on)), "make a new contract");
  // A renewal by agreement takes the place of what notice had ended.
  if (c.notice_on.is_set()) {
    const Date end = EndOn(c, today);
    c.notice_on = kNoDate;
    c.terms.renews = false;
    while (EndOn(c, today) < end) ++c.renewals;
  }
  c.renewals += 1;
  Note(c, today, fmt::format("renewed; ends {}", Text(EndOn(c, today))));
  return {};
}

Result<std::string> Swap(Book& b, std::string_view contract_id, std::string_view to, Date on,
                         Date today) {
  const size_t index = TRY(ContractAt(b, contract_id));
  const Contract c = b.contracts[index];
  TRY(Living(c, today, "a swap"));
  if (c.leaves_on.is_set() || c.notice_on.is_set())
    return Not(fmt::format("{} is in notice and ends on {}", c.id, Text(EndOn(c, today))),
               "a swap needs a contract that goes on");
  if (on < today)
    return Wrong(fmt::format("a swap on {} lies in the past (today is {})", Text(on), Text(today)),
                 "name the day from which the other type is to be had");
  const SwapOption* option = nullptr;
  for (const SwapOption& s : c.terms.swaps)
    if (s.accelerator == to) option = &s;
  if (option == nullptr) {
    std::string names;
    for (const SwapOption& s : c.terms.swaps) names += (names.empty() ? "" : ", ") + s.accelerator;
    return Error(Code::kNotFound, fmt::format("{} has no option to swap for {}", c.id, to))
        .Hint(names.empty() ? "it has none at all; negotiate one" : "it has: " + names);
  }
  const Date earliest = AddMonths(c.start, option->from_month), end = EndOn(c, today);
  if (on < earliest || on >= end)
    return Not(fmt::format("{} can be swapped from {} until before {}, not on {}", c.id,
                           Text(earliest), Text(end), Text(on)),
               "choose a day in that time");
  const auto quantity = Scaled({c.quantity}, option->ratio_ppm, kWhole).micro;
  if (quantity < 1)
    return Not(fmt::format("{} {} are worth less than one {}", c.quantity, c.terms.accelerator, to),
               "the option's ratio is too small for this contract");
  Contract next;
  next.id = fmt::format("contract-{}", ++b.last_number);
  next.provider = c.provider;
  next.offer = c.offer;
  next.site = c.site;
  next.terms = c.terms;
  next.terms.accelerator = option->accelerator;
  next.terms.price = option->price;
  next.terms.steps.clear();
  next.terms.ramp.clear();
  next.terms.swaps.clear();
  next.terms.prepay_ppm = 0;
  next.terms.quantity = next.quantity = quantity;
  next.terms.min_quantity = 0;
  next.terms.lot = std::min(next.terms.lot, quantity);
  next.terms.lead_days = 0;
  next.terms.start = next.start = on;
  int months = 1;  // whole ones: up to the end or a few days beyond it
  while (AddMonths(on, months) < end) ++months;
  next.terms.term_months = months;
  next.drafted = today;
  Note(next, today, fmt::format("drafted: swapped for {} of {}", c.quantity, c.id));
  Contract& old = b.contracts[index];
  // What was paid ahead for the rest is given back on the day of the swap.
  old.exit_cost = -PrepaidLeft(c, on, today);
  old.leaves_on = on;
  Note(old, today,
       fmt::format("swapped for {} {} from {} on: {}", quantity, to, Text(on), next.id));
  b.contracts.push_back(std::move(next));
  return b.contracts.back().id;
}

Status Leave(Contract& c, Date on, Date today) {
  TRY(Living(c, today, "leaving"));
  if (on < today || on >= EndOn(c, today))
    return Wrong(fmt::format("{} can be left from today ({}) until before {}, not on {}", c.id,
                             Text(today), Text(EndOn(c, today)), Text(on)),
                 "choose a day in that time");
  const Money owed = Scaled(FloorFrom(c, on, today), c.terms.early_exit_ppm, kWhole);
  const Money left = PrepaidLeft(c, on, today);
  c.exit_cost = std::max(Money{}, owed - left);
  c.leaves_on = on;
  Note(c, today,
       fmt::format("left on {}; {} owed for it", Text(on),
                   market::Human(c.exit_cost, c.terms.currency)));
  return {};
}

Status NoteAvailability(Contract& c, int month, int64_t availability_ppm, Date today) {
  if (availability_ppm < 0 || availability_ppm > kWhole)
    return Wrong("an availability is between 0 and 100%", "write one such as 99.2%");
  if (!c.signed_on.is_set() || month < MonthOf(c.start) || month > MonthOf(today))
    return Wrong(fmt::format("{} did not run in {}", c.id, MonthText(month)),
                 "name a month between its start and today, as 2027-03");
  std::erase_if(c.sla_months, [&](const SlaMonth& m) { return m.month == month; });
  c.sla_months.push_back({month, availability_ppm, kNoDate, {}});
  std::sort(c.sla_months.begin(), c.sla_months.end(),
            [](const SlaMonth& a, const SlaMonth& x) { return a.month < x.month; });
  return {};
}

Status ClaimCredit(Contract& c, int month, Date on, Date today) {
  TRY(NotLater(on, today, "claim"));
  for (SlaMonth& m : c.sla_months) {
    if (m.month != month) continue;
    const Money credit = CreditOf(c, month, m.availability_ppm, today);
    if (credit.micro == 0)
      return Not(fmt::format("{}% in {} earns no credit under {}",
                             AmountText({m.availability_ppm * 100}), MonthText(month), c.id),
                 "the tiers are in `weir contract show`");
    const Date by = ClaimBy(c, month);
    if (by.is_set() && on > by)
      return Not(
          fmt::format("the credit of {} could be claimed until {}", MonthText(month), Text(by)),
          "`weir contract obligations` shows the claims that are still open");
    m.claimed = on;
    m.credited = credit;
    Note(c, on,
         fmt::format("credit of {} claimed for {}", market::Human(credit, c.terms.currency),
                     MonthText(month)));
    return {};
  }
  return Error(Code::kNotFound,
               fmt::format("{} has no availability for {}", c.id, MonthText(month)))
      .Hint(fmt::format("note it first: `weir contract sla {} {} 99.2%`", c.id, MonthText(month)));
}

std::vector<ProviderRecord> Providers(const Book& b, Date today) {
  std::map<std::string, ProviderRecord> by_name;
  for (const Offer& o : b.offers)
    by_name[o.provider].open_offers += StateOn(o, today) == OfferState::kOpen;
  for (const Contract& c : b.contracts) {
    ProviderRecord& r = by_name[c.provider];
    ++r.contracts;
    const DeliveryRecord d = RecordOf(c, today);
    r.delivery.quantity += d.quantity;
    r.delivery.late_quantity += d.late_quantity;
    r.delivery.late_accelerator_days += d.late_accelerator_days;
  }
  std::vector<ProviderRecord> out;
  for (auto& [name, r] : by_name) {
    r.provider = name;
    out.push_back(r);
  }
  return out;
}

bool IsOfType(std::string_view accelerator, std::string_view type) {
  return type.empty() || accelerator == type ||
         (accelerator.size() > type.size() && accelerator.starts_with(type) &&
          accelerator[type.size()] == '-');
}

std::optional<Supply> SupplyOf(const Book& b, std::string_view site, std::string_view type,
                               Date today) {
  std::vector<const Contract*> here;
  for (const Contract& c : b.contracts) {
    if (c.signed_on.is_set() && !c.site.empty() && c.site == site &&
        IsOfType(c.terms.accelerator, type))
      here.push_back(&c);
  }
  if (here.empty()) return std::nullopt;
  Supply out;
  std::vector<Date> ends;
  for (const Contract* c : here) {
    out.now += QuantityOn(*c, today, today);
    if (const Date end = EndOn(*c, today); end > today) ends.push_back(end);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  int64_t least = out.now;
  for (const Date end : ends) {
    int64_t then = 0;
    for (const Contract* c : here)  // what is here today and not gone by then
      if (EndOn(*c, today) > end) then += QuantityOn(*c, today, today);
    if (then < least) out.later.emplace_back(end, then);
    least = std::min(least, then);
  }
  return out;
}

}  // namespace weir::market
