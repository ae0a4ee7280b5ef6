#include "lab/market/views.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>
#include <type_traits>

namespace weir::market {

namespace {

constexpr int kEndedStays = 365;  // days that a contract that ended is shown

// The phase of a day as known on `today`: PhaseOn() for days to come as well.
ContractPhase PhaseThen(const Contract& c, Date day, Date today) {
  if (c.notice_on.is_set() && day >= c.notice_on) return ContractPhase::kInNotice;
  const int64_t had = QuantityOn(c, day, today);
  if (had == 0) return ContractPhase::kSigned;
  return had < c.quantity ? ContractPhase::kRamping : ContractPhase::kActive;
}

ContractLine LineOf(const Contract& c, Date today) {
  ContractLine line;
  line.view = Viewed(c, today);
  if (!c.signed_on.is_set()) return line;
  const Date end = EndOn(c, today);
  std::vector<Date> days = {c.signed_on};
  for (const Delivery& d : c.deliveries) days.push_back(ExpectedOn(d, today));
  if (c.notice_on.is_set()) days.push_back(c.notice_on);
  std::sort(days.begin(), days.end());
  for (const Date day : days) {
    if (day >= end) break;
    const std::string phase(NameOf(PhaseThen(c, day, today)));
    if (line.spans.empty() || line.spans.back().phase != phase) {
      if (!line.spans.empty()) line.spans.back().to = day;
      line.spans.push_back({phase, day, end});
    }
    const int64_t had = QuantityOn(c, day, today);
    if (line.held.empty() ? had > 0 : line.held.back().quantity != had)
      line.held.push_back({day, had});
  }
  if (!line.held.empty()) line.held.push_back({end, 0});
  line.still_owed = FloorFrom(c, today, today) + c.exit_cost;
  return line;
}

std::vector<MonthOwed> OwedOf(const Book& b, Date today, std::vector<std::string>& notes) {
  std::map<int, MonthOwed> months;
  for (const Contract& c : b.contracts) {
    if (const auto rate = InBookCurrency(b, {1'000'000}, c.terms.currency); !rate) {
      notes.push_back(fmt::format("{} is not in the sums: {}", c.id, rate.error().message()));
      continue;
    }
    const auto amount = [&](Money m) {
      return InBookCurrency(b, m, c.terms.currency).value_or(Money{});
    };
    for (const Obligation& o : Obligations(c, today)) {
      if (o.month < MonthOf(today)) continue;
      MonthOwed& m = months[o.month];
      m.month = o.month;
      m.accelerator_hours += o.accelerator_hours;
      m.worth += amount(o.gross);
      m.at_least += amount(o.cash_at_least());
      m.if_used += amount(o.cash_if_used());
      m.prepaid += amount(o.prepaid);
    }
  }
  std::vector<MonthOwed> out;
  for (auto& [month, m] : months) out.push_back(m);
  return out;
}

OfferLine LineOf(const Book& b, const Offer& o, Date today, const GoodputOf& goodput) {
  OfferLine line;
  line.view = Viewed(o, today);
  const auto rate = InBookCurrency(b, {1'000'000}, o.terms.currency);
  if (!rate) {
    line.why_not = rate.error().message();
    return line;
  }
  const double to_book = rate->units();
  Assumptions a;
  a.signed_on = today;
  a.days_late = line.days_late = UsualDaysLate(b, o, today);
  if (a.days_late > 0) {
    line.bridge = "nowhere: the work waits";
    if (const Offer* other = CheapestByTheHour(b, o.terms.accelerator, today)) {
      line.bridge = other->id;
      const auto price = InBookCurrency(b, other->terms.price, other->terms.currency);
      if (price && rate->micro > 0) a.bridge = Scaled(*price, 1'000'000, rate->micro);
    }
  }
  const int64_t all = o.terms.quantity > 0 ? o.terms.quantity : o.terms.smallest();
  a.goodput = line.goodput = std::clamp(goodput(o.terms.accelerator, all), 1e-6, 1.0);
  const auto e = Evaluate(o, a);
  if (!e) {
    line.why_not = e.error().message();
    return line;
  }
  line.quantity = e->quantity;
  line.start = e->start;
  line.end = e->end;
  line.commitment = e->commitment;
  line.at_signing = e->at_signing;
  line.price = e->price * to_book;
  line.unused = e->unused * to_book;
  line.timing = e->timing * to_book;
  line.delivery = e->delivery * to_book;
  line.failures = e->failures * to_book;
  line.rate = e->rate * to_book;
  return line;
}

std::vector<OfferLine> OffersOf(const Book& b, Date today, const GoodputOf& goodput) {
  std::vector<OfferLine> all;
  for (const Offer& o : b.offers)
    if (StateOn(o, today) == OfferState::kOpen) all.push_back(LineOf(b, o, today, goodput));
  std::stable_sort(all.begin(), all.end(), [](const OfferLine& x, const OfferLine& y) {
    const auto key = [](const OfferLine& l) {
      return std::tuple(l.view.offer.terms.accelerator, l.rate <= 0, l.rate);
    };
    return key(x) < key(y);
  });
  std::vector<OfferLine> out;
  size_t best = 0, of_type = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const Terms& t = all[i].view.offer.terms;
    if (i == 0 || all[best].view.offer.terms.accelerator != t.accelerator) best = i, of_type = 0;
    if (++of_type > kMostOffersOfAType) continue;
    OfferLine line = all[i];
    if (i != best) line.differs = Differences(all[best].view.offer.terms, t);
    out.push_back(std::move(line));
  }
  return out;
}

// "offer-12": 12; 0 if it is no such id.
int64_t NumberOf(std::string_view id, std::string_view kind) {
  if (!id.starts_with(kind) || id.size() <= kind.size() || id[kind.size()] != '-') return 0;
  const std::string_view digits = id.substr(kind.size() + 1);
  int64_t n = 0;
  const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  const bool whole = wrong == std::errc() && end == digits.data() + digits.size();
  return whole && n > 0 && digits[0] != '0' ? n : 0;
}

// FNV-1a, 64 bits, over every field: it guards against two changes that do not know of each other,
// not against malice. A tenth of a second for the largest book.
struct Hasher {
  static constexpr bool kReadsMessage = true;
  uint64_t hash = 14695981039346656037u;

  void Byte(unsigned char c) {
    hash ^= c;
    hash *= 1099511628211u;
  }
  void Number(int64_t n) {
    for (int shift = 0; shift < 64; shift += 8) Byte(static_cast<unsigned char>(n >> shift));
  }
  template <class T>
  void operator()(const char* /*name*/, const T& value, const char* /*doc*/ = "",
                  wire::Need = wire::kOptional) {
    Add(value);
  }
  template <class T>
  void Add(const T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      Number(static_cast<int64_t>(value.size()));
      for (const char c : value) Byte(static_cast<unsigned char>(c));
    } else if constexpr (std::is_same_v<T, Date>) {
      Number(value.days);
    } else if constexpr (std::is_enum_v<T> || std::is_integral_v<T>) {
      Number(static_cast<int64_t>(value));
    } else if constexpr (wire::schema_internal::IsVector<T>::value) {
      Number(static_cast<int64_t>(value.size()));
      for (const auto& element : value) Add(element);
    } else {
      Fields(*this, value);
    }
  }
};

}  // namespace

MarketView ViewOf(const Book& b, Date today, const GoodputOf& goodput) {
  MarketView out;
  out.today = today;
  out.currency = b.currency;
  for (const Contract& c : b.contracts)
    if (PhaseOn(c, today) != ContractPhase::kEnded || EndOn(c, today) > today - kEndedStays)
      out.contracts.push_back(LineOf(c, today));
  std::stable_sort(
      out.contracts.begin(), out.contracts.end(),
      [](const ContractLine& x, const ContractLine& y) { return x.view.end < y.view.end; });
  out.owed = OwedOf(b, today, out.notes);
  out.due = DueBetween(b, today, today + kDueDays, today);
  out.offers = OffersOf(b, today, goodput);
  for (const Offer& o : b.offers) out.offers_open += StateOn(o, today) == OfferState::kOpen;
  for (const ProviderRecord& p : Providers(b, today))
    out.providers.push_back({p.provider, p.open_offers, p.contracts, p.delivery.quantity,
                             p.delivery.late_quantity, p.delivery.mean_days_late()});
  return out;
}

int FirstMonth(const Book& b, Date today) {
  Date earliest = today;
  for (const Contract& c : b.contracts)
    if (c.signed_on.is_set()) earliest = std::min(earliest, c.signed_on);
  return MonthOf(earliest);
}

std::string VersionOf(const Book& b) {
  Hasher hasher;
  hasher.Add(b);
  return fmt::format("{:016x}", hasher.hash);
}

BookChange ChangeBetween(const Book& from, const Book& to) {
  BookChange out;
  const auto changed = [](const auto& old, const auto& now, auto& into) {
    for (size_t i = 0; i < now.size(); ++i)
      if (i >= old.size() || !(old[i] == now[i])) into.push_back(now[i]);
  };
  changed(from.offers, to.offers, out.offers);
  changed(from.contracts, to.contracts, out.contracts);
  if (from.rates != to.rates) out.rates = to.rates;
  if (from.budgets != to.budgets) out.budgets = to.budgets;
  if (from.accelerators != to.accelerators) out.accelerators = to.accelerators;
  return out;
}

Status Take(Book& b, const BookChange& change, const AcceleratorNames& known) {
  if (change.version != VersionOf(b))
    return Error(Code::kFailedPrecondition, "the book was changed by somebody else meanwhile")
        .Hint("nothing was changed; read it again and say it once more");
  if (change.accelerators) {
    b.accelerators = *change.accelerators;
    for (const std::string& name : b.accelerators)
      if (name.empty() || name.size() > 63)
        return Wrong(fmt::format("accelerators: \"{}\" is no name", name),
                     "a name has 1 to 63 letters");
  }
  std::vector<int64_t> added;
  const auto put = [&](auto& all, const auto& changed, std::string_view kind,
                       size_t most) -> Status {
    std::map<std::string, size_t> at;
    for (size_t i = 0; i < all.size(); ++i) at.emplace(all[i].id, i);
    for (const auto& x : changed) {
      if (const Status valid = Validate(x); !valid) return Error(valid.error()).In(x.id);
      const std::string& accelerator = x.terms.accelerator;
      if (!std::count(b.accelerators.begin(), b.accelerators.end(), accelerator))
        if (const auto name = known(accelerator); !name) return Error(name.error()).In(x.id);
      const auto [place, is_new] = at.emplace(x.id, all.size());
      if (!is_new) {
        all[place->second] = x;
        continue;
      }
      const int64_t number = NumberOf(x.id, kind);
      if (number <= b.last_number)
        return Wrong(fmt::format("\"{}\" is no id of a new {}", x.id, kind),
                     fmt::format("the next one is {}-{}", kind, b.last_number + 1));
      if (all.size() >= most)
        return Error(Code::kTooLarge, fmt::format("the book has {} {}s already", most, kind));
      added.push_back(number);
      all.push_back(x);
    }
    return {};
  };
  TRY(put(b.offers, change.offers, "offer", kMaxOffers));
  TRY(put(b.contracts, change.contracts, "contract", kMaxContracts));
  std::sort(added.begin(), added.end());
  for (size_t i = 0; i < added.size(); ++i)
    if (added[i] != b.last_number + 1 + static_cast<int64_t>(i))
      return Wrong("the numbers of what is new do not follow on",
                   fmt::format("the next one is {}", b.last_number + 1));
  b.last_number += static_cast<int64_t>(added.size());
  if (change.rates) {
    b.rates = *change.rates;
    for (const Rate& r : b.rates)
      if (!IsCurrency(r.currency) || r.worth.micro <= 0)
        return Wrong(fmt::format("rates: {} at {} is none", r.currency, AmountText(r.worth)),
                     "a rate is above 0, of a currency of three letters");
  }
  if (change.budgets) {
    b.budgets = *change.budgets;
    for (const Budget& x : b.budgets)
      if (x.team.empty() || x.amount.micro < 0 || x.last_month < x.first_month)
        return Wrong(fmt::format("budgets: that of \"{}\" is none", x.team),
                     "it has a team, an amount from 0 on, and months in order");
  }
  return {};
}

}  // namespace weir::market
