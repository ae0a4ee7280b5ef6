#include "lab/market/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/csv.h"
#include "base/nearest.h"

namespace weir::market {

namespace {

std::string_view Trimmed(std::string_view s) {
  while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
  while (!s.empty() && s.back() == ' ') s.remove_suffix(1);
  return s;
}

// Calls `each` for the trimmed parts of `text` between separators; no parts in an empty text.
Status ForParts(std::string_view text, char separator,
                const std::function<Status(std::string_view)>& each) {
  text = Trimmed(text);
  while (!text.empty()) {
    const size_t at = text.find(separator);
    TRY(each(Trimmed(text.substr(0, at))));
    if (at == text.npos) break;
    text = Trimmed(text.substr(at + 1));
  }
  return {};
}

Result<std::pair<std::string_view, std::string_view>> Halves(std::string_view text, char middle,
                                                             std::string_view field,
                                                             std::string_view hint) {
  const size_t at = text.find(middle);
  if (at == text.npos)
    return Wrong(fmt::format("{}: \"{}\" has no '{}'", field, text, middle), std::string(hint));
  return std::pair(Trimmed(text.substr(0, at)), Trimmed(text.substr(at + 1)));
}

constexpr size_t kMaxParts = 600;
}  // namespace

Result<int64_t> ParseCount(std::string_view text, std::string_view field, int64_t low,
                           int64_t high) {
  int64_t n = 0;
  const std::string_view t = Trimmed(text);
  const auto [end, problem] = std::from_chars(t.data(), t.data() + t.size(), n);
  if (problem != std::errc() || end != t.data() + t.size() || t.empty())
    return Wrong(fmt::format("{}: \"{}\" is not a whole number", field, text.substr(0, 40)));
  if (n < low || n > high)
    return Wrong(fmt::format("{}: {} is not between {} and {}", field, n, low, high));
  return n;
}

Result<int64_t> ParseShare(std::string_view text, std::string_view field) {
  std::string_view t = Trimmed(text);
  if (!t.ends_with('%'))
    return Wrong(fmt::format("{}: \"{}\" has no unit", field, text.substr(0, 40)),
                 "write a share with its unit: 80%");
  t.remove_suffix(1);
  const auto amount = ParseAmount(t);
  // Percent in micro-units: 80% is 80,000,000; a millionth of the whole is 100 of them.
  if (!amount || amount->micro % 100 != 0)
    return Wrong(fmt::format("{}: \"{}\" is not a share", field, text.substr(0, 40)),
                 "write one such as 80% or 99.95%");
  if (amount->micro < 0 || amount->micro > 100'000'000)
    return Wrong(fmt::format("{}: {} is not between 0% and 100%", field, text.substr(0, 40)));
  return amount->micro / 100;
}
std::string ShareText(int64_t ppm) { return AmountText({ppm * 100}) + "%"; }

Result<bool> ParseYes(std::string_view text, std::string_view field) {
  const std::string_view t = Trimmed(text);
  if (t == "yes" || t == "true") return true;
  if (t == "no" || t == "false" || t.empty()) return false;
  return Wrong(fmt::format("{}: \"{}\" is neither yes nor no", field, text.substr(0, 40)));
}

Result<std::vector<PriceStep>> ParseSteps(std::string_view text, std::string_view field) {
  std::vector<PriceStep> out;
  TRY(ForParts(text, ';', [&](std::string_view part) -> Status {
    const auto [month, price] =
        TRY(Halves(part, ':', field, "write MONTH:PRICE;... as 12:2.20;24:2.00"));
    PriceStep s;
    s.month = static_cast<int>(TRY(ParseCount(month, field, 0, 1200)));
    const auto amount = ParseAmount(price);
    if (!amount) return Error(amount.error()).In(field);
    s.price = *amount;
    if (out.size() >= kMaxParts) return Wrong(fmt::format("{}: too many steps", field));
    out.push_back(s);
    return {};
  }));
  return out;
}

Result<std::vector<RampStep>> ParseRamp(std::string_view text, std::string_view field) {
  std::vector<RampStep> out;
  TRY(ForParts(text, ';', [&](std::string_view part) -> Status {
    const auto [month, quantity] =
        TRY(Halves(part, ':', field, "write MONTH:ACCELERATORS;... as 0:64;3:256"));
    RampStep s;
    s.month = static_cast<int>(TRY(ParseCount(month, field, 0, 1200)));
    s.quantity = TRY(ParseCount(quantity, field, 1, 10'000'000));
    if (out.size() >= kMaxParts) return Wrong(fmt::format("{}: too many steps", field));
    out.push_back(s);
    return {};
  }));
  return out;
}

Result<std::vector<SlaTier>> ParseSla(std::string_view text, std::string_view field) {
  std::vector<SlaTier> out;
  TRY(ForParts(text, ';', [&](std::string_view part) -> Status {
    const auto [below, credit] =
        TRY(Halves(part, ':', field, "write AVAILABILITY:CREDIT;... as 99.9%:10%;99%:30%"));
    if (out.size() >= kMaxParts) return Wrong(fmt::format("{}: too many tiers", field));
    out.push_back({
      TRY(ParseShare(below, field))
      , TRY(ParseShare(credit, field))
    });
    return {};
  }));
  return out;
}

Result<std::vector<SwapOption>> ParseSwaps(std::string_view text, std::string_view field,
                                           std::string_view currency,
                                           const AcceleratorNames& accelerators) {
  std::vector<SwapOption> out;
  constexpr std::string_view kHint =
      "write ACCELERATOR@MONTHxRATIO=PRICE;... as b200-sxm@12x0.5=$4.20/h";
  TRY(ForParts(text, ';', [&](std::string_view part) -> Status {
    const auto [what, price] = TRY(Halves(part, '=', field, kHint));
    const auto [name, when] = TRY(Halves(what, '@', field, kHint));
    const auto [month, ratio] = TRY(Halves(when, 'x', field, kHint));
    SwapOption s;
    s.accelerator = TRY(accelerators(name));
    s.from_month = static_cast<int>(TRY(ParseCount(month, field, 0, 1200)));
    const auto factor = ParseAmount(ratio);
    if (!factor) return Error(factor.error()).In(field);
    s.ratio_ppm = factor->micro;
    const Price p = TRY(ParsePrice(price, field));
    if (p.currency != currency)
      return Wrong(fmt::format("{}: {} in an offer in {}", field, p.currency, currency),
                   "an offer has one currency");
    s.price = p.amount;
    if (out.size() >= kMaxParts) return Wrong(fmt::format("{}: too many options", field));
    out.push_back(s);
    return {};
  }));
  return out;
}

namespace {

// The unit that a row's price is in. One file has one: mixed units are a copying mistake far more
// often than meant, and a factor of eight hides well in a table of prices.
enum class PriceUnit { kAcceleratorHour, kInstanceHour, kAcceleratorMonth };
std::string_view NameOf(PriceUnit u) {
  switch (u) {
    case PriceUnit::kAcceleratorHour:
      return "an hour of one accelerator";
    case PriceUnit::kInstanceHour:
      return "an hour of a node";
    case PriceUnit::kAcceleratorMonth:
      return "a month of one accelerator";
  }
  return "?";
}
struct RowPrice {
  Money amount;
  std::string currency;
  PriceUnit unit;
};

// "$2.49/h", "$19.92/node/h", "1800EUR/month".
Result<RowPrice> PriceCell(std::string_view cell) {
  std::string text(Trimmed(cell));
  RowPrice out{.unit = PriceUnit::kAcceleratorHour};
  const auto ends = [&](std::string_view end, PriceUnit unit) {
    if (!text.ends_with(end)) return false;
    text.resize(text.size() - end.size());
    text += "/h";
    out.unit = unit;
    return true;
  };
  (void)(ends("/node/h", PriceUnit::kInstanceHour) ||
         ends("/instance/h", PriceUnit::kInstanceHour) ||
         ends("/accelerator/month", PriceUnit::kAcceleratorMonth) ||
         ends("/month", PriceUnit::kAcceleratorMonth) ||
         ends("/accelerator/h", PriceUnit::kAcceleratorHour) ||
         ends("/gpu/h", PriceUnit::kAcceleratorHour));
  const Price p = TRY(ParsePrice(text, "price"));
  out.amount = p.amount;
  out.currency = p.currency;
  return out;
}

// A column name as people vary it: "AcceleratorName", "accelerator_name".
std::string Plain(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z')
      out += static_cast<char>(c - 'A' + 'a');
    else if (c != '_' && c != ' ' && c != '-')
      out += c;
  }
  return out;
}

constexpr std::string_view kQuoteColumns[] = {"provider",       "name",
                                              "accelerator",    "region",
                                              "capacity",       "quantity",
                                              "min_quantity",   "lot",
                                              "price",          "price_steps",
                                              "term_months",    "start",
                                              "lead_days",      "ramp",
                                              "take_or_pay",    "prepay",
                                              "notice_days",    "renews",
                                              "renewal_months", "renewal_price",
                                              "early_exit",     "end_follows_delivery",
                                              "swaps",          "sla",
                                              "sla_claim_days", "sla_cap",
                                              "received",       "expires",
                                              "list_price",     "note"};

class Reader {
 public:
  Reader(const CsvTable& table, std::string_view source, const ImportOptions& options)
      : t_(table), source_(source), options_(options) {
    for (const std::string& c : table.columns()) columns_.emplace(Plain(c), c);
  }

  Result<Imported> Read() {
    if (Has("instancetype") && Has("acceleratorname") && Has("price")) {
      out_.kind = "catalog";
    } else if (Has("accelerator") && Has("acceleratorcount") &&
               (Has("ondemandusdperh") || Has("ondemandusdperaccelh"))) {
      out_.kind = "prices";
    } else if (Has("accelerator") && Has("price")) {
      out_.kind = "quotes";
      for (const auto& [plain, column] : columns_) {
        std::vector<std::string> known(std::begin(kQuoteColumns), std::end(kQuoteColumns));
        if (std::any_of(known.begin(), known.end(),
                        [&](const std::string& k) { return Plain(k) == plain; }))
          continue;
        const std::string near = NearestOf(column, known);
        return Error(Code::kInvalidArgument,
                     fmt::format("{}: column \"{}\" is not known", source_, column))
            .Hint(near.empty() ? "docs/market.md lists the columns" : "did you mean " + near + "?");
      }
    } else {
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: the columns are those of no table of offers", source_))
          .Hint(
              "quotes have accelerator, quantity, price and expires; price tables "
              "accelerator_count and on_demand_usd_per_h; catalogs InstanceType, "
              "AcceleratorName and Price");
    }
    if (!Has("provider") && options_.provider.empty())
      return Error(Code::kInvalidArgument, fmt::format("{} does not name the provider", source_))
          .Hint("say whose it is: --provider NAME");
    for (size_t i = 0; i < t_.size(); ++i) {
      Status status = out_.kind == "quotes"   ? QuoteRow(i)
                      : out_.kind == "prices" ? PriceRow(i)
                                              : CatalogRow(i);
      if (!status)
        out_.problems.push_back({t_.Line(i), status.error().message(), status.error().hint()});
    }
    return std::move(out_);
  }

 private:
  bool Has(const std::string& plain) const { return columns_.contains(plain); }
  std::string_view Cell(size_t row, const std::string& name) const {
    const auto it = columns_.find(Plain(name));
    if (it == columns_.end()) return "";
    const std::string_view cell = Trimmed(t_.Cell(row, it->second));
    return cell == "null" || cell == "n/a" || cell == "N/A" ? "" : cell;
  }
  Result<int64_t> Count(size_t row, const std::string& name, int64_t otherwise, int64_t low,
                        int64_t high) const {
    const std::string_view cell = Cell(row, name);
    if (cell.empty()) return otherwise;
    return ParseCount(cell, name, low, high);
  }
  Result<Date> DateCell(size_t row, const std::string& name, Date otherwise) const {
    const std::string_view cell = Cell(row, name);
    if (cell.empty()) return otherwise;
    return ParseDate(cell, name);
  }
  Result<int64_t> Share(size_t row, const std::string& name, int64_t otherwise) const {
    const std::string_view cell = Cell(row, name);
    if (cell.empty()) return otherwise;
    return ParseShare(cell, name);
  }

  Result<Offer> Base(size_t row, const std::string& accelerator) const {
    Offer o;
    o.provider =
        Cell(row, "provider").empty() ? options_.provider : std::string(Cell(row, "provider"));
    o.terms.accelerator = TRY(options_.accelerators(accelerator));
    o.terms.region = Cell(row, "region");
    o.received = options_.today;
    o.source = fmt::format("{} line {}", source_, t_.Line(row));
    return o;
  }

  // Amounts in tables of prices: a number alone, its unit stands in the column's name.
  Result<std::optional<Money>> Dollars(size_t row, const std::string& name) const {
    const std::string_view cell = Cell(row, name);
    if (cell.empty()) return std::optional<Money>();
    if (cell.find_first_of("$/") != cell.npos || cell.ends_with("USD"))
      return Wrong(
          fmt::format("{}: \"{}\" has a unit, though the column's name says it", name, cell),
          "write the number alone");
    const auto amount = ParseAmount(cell, Fine::kRound);
    if (!amount) return Error(amount.error()).In(name);
    if (amount->micro < 0)
      return Wrong(fmt::format("{}: the price {} is below zero", name, cell),
                   "an empty cell says that there is none");
    return std::optional<Money>(*amount);
  }

  Status ListPrice(size_t row, Offer o, Capacity capacity, Money price) {
    o.terms.capacity = capacity;
    o.terms.price = price;
    o.list_price = true;
    o.expires = options_.expires;
    TRY(Validate(o));
    out_.offers.push_back(std::move(o));
    (void)row;
    return {};
  }

  Status PriceRow(size_t row) {
    if (Cell(row, "accelerator").empty()) return ++out_.without_accelerator, Status();
    Offer o = TRY(Base(row, std::string(Cell(row, "accelerator"))));
    const int64_t count = TRY(Count(row, "accelerator_count", 0, 1, 100'000));
    if (count == 0) return Wrong("accelerator_count is missing", "say how many one instance has");
    o.name = Cell(row, "instance_type");
    if (const std::string_view zone = Cell(row, "zone"); !zone.empty())
      o.name += (o.name.empty() ? "" : " ") + std::string(zone);
    o.terms.lot = count;
    bool any = false;
    const struct {
      Capacity capacity;
      const char *whole, *each;
    } kinds[] = {{Capacity::kOnDemand, "on_demand_usd_per_h", "on_demand_usd_per_accel_h"},
                 {Capacity::kSpot, "spot_usd_per_h", "spot_usd_per_accel_h"}};
    for (const auto& k : kinds) {
      const auto whole = TRY(Dollars(row, k.whole));
      const auto each = TRY(Dollars(row, k.each));
      if (!whole && !each) continue;
      any = true;
      if (whole && each) {
        // Tables round the second to a few digits: a hundredth apart is another unit.
        const Money part = Scaled(*whole, 1, count);
        const int64_t gap = std::abs(part.micro - each->micro);
        if (gap > 200 && gap > part.micro / 100)
          return Wrong(
              fmt::format("{} of {} for {} accelerators is {} each, but {} says {}", k.whole,
                          AmountText(*whole), count, AmountText(part), k.each, AmountText(*each)),
              "are the units mixed: the price of the instance and that of one accelerator?");
      }
      TRY(ListPrice(row, o, k.capacity, whole ? Scaled(*whole, 1, count) : *each));
    }
    if (!any) ++out_.without_price;
    return {};
  }

  Status CatalogRow(size_t row) {
    if (Cell(row, "AcceleratorName").empty()) return ++out_.without_accelerator, Status();
    const auto price = TRY(Dollars(row, "Price"));
    const auto spot = TRY(Dollars(row, "SpotPrice"));
    if (!price && !spot) return ++out_.without_price, Status();
    Offer o = TRY(Base(row, std::string(Cell(row, "AcceleratorName"))));
    // Catalogs write counts as decimals ("8.0").
    const std::string_view cell = Cell(row, "AcceleratorCount");
    const auto count = ParseAmount(cell.empty() ? "0" : cell);
    if (!count || count->micro % 1'000'000 != 0 || count->micro < 1'000'000 ||
        count->micro > 100'000'000'000)
      return Wrong(fmt::format("AcceleratorCount: \"{}\" is not a whole number from 1", cell),
                   "shares of an accelerator are not offers here");
    o.terms.lot = count->micro / 1'000'000;
    o.name = Cell(row, "InstanceType");
    if (const std::string_view zone = Cell(row, "AvailabilityZone"); !zone.empty())
      o.name += " " + std::string(zone);
    if (price) TRY(ListPrice(row, o, Capacity::kOnDemand, Scaled(*price, 1, o.terms.lot)));
    if (spot) TRY(ListPrice(row, o, Capacity::kSpot, Scaled(*spot, 1, o.terms.lot)));
    return {};
  }

  Status QuoteRow(size_t row) {
    if (Cell(row, "accelerator").empty())
      return Wrong("no accelerator is named", "name one such as h100-sxm");
    if (Cell(row, "price").empty()) return ++out_.without_price, Status();
    Offer o = TRY(Base(row, std::string(Cell(row, "accelerator"))));
    Terms& t = o.terms;
    o.name = Cell(row, "name");
    const std::string_view capacity = Cell(row, "capacity");
    t.term_months = static_cast<int>(TRY(Count(row, "term_months", 0, 0, 1200)));
    if (capacity.empty())
      t.capacity = t.term_months > 0 ? Capacity::kReserved : Capacity::kOnDemand;
    else if (capacity == "reserved")
      t.capacity = Capacity::kReserved;
    else if (capacity == "on-demand")
      t.capacity = Capacity::kOnDemand;
    else if (capacity == "spot")
      t.capacity = Capacity::kSpot;
    else
      return Wrong(fmt::format("capacity: \"{}\" is not known", capacity),
                   "write reserved, on-demand or spot");
    t.quantity = TRY(Count(row, "quantity", 0, 0, 10'000'000));
    t.min_quantity = TRY(Count(row, "min_quantity", 0, 0, 10'000'000));
    t.lot = TRY(Count(row, "lot", 1, 1, 10'000'000));
    const RowPrice price = TRY(PriceCell(Cell(row, "price")));
    if (!unit_) {
      unit_ = price.unit;
      unit_line_ = t_.Line(row);
    } else if (*unit_ != price.unit) {
      return Wrong(fmt::format("the price is of {}, that of line {} is of {}", NameOf(price.unit),
                               unit_line_, NameOf(*unit_)),
                   "one file, one unit: bring the prices to the same one");
    }
    t.currency = price.currency;
    const auto hourly = [&](Money m) {
      if (price.unit == PriceUnit::kInstanceHour) return Scaled(m, 1, t.lot);
      if (price.unit == PriceUnit::kAcceleratorMonth) return Scaled(m, 1, 730);  // 8760 h / 12
      return m;
    };
    t.price = hourly(price.amount);
    t.steps = TRY(ParseSteps(Cell(row, "price_steps"), "price_steps"));
    for (PriceStep& s : t.steps) s.price = hourly(s.price);
    t.start = TRY(DateCell(row, "start", kNoDate));
    t.lead_days = static_cast<int>(TRY(Count(row, "lead_days", 0, 0, 3660)));
    t.ramp = TRY(ParseRamp(Cell(row, "ramp"), "ramp"));
    t.take_or_pay_ppm = TRY(Share(row, "take_or_pay", 1'000'000));
    t.prepay_ppm = TRY(Share(row, "prepay", 0));
    t.notice_days = static_cast<int>(TRY(Count(row, "notice_days", 0, 0, 3660)));
    t.renews = TRY(ParseYes(Cell(row, "renews"), "renews"));
    t.renewal_months = static_cast<int>(TRY(Count(row, "renewal_months", 0, 0, 1200)));
    if (const std::string_view cell = Cell(row, "renewal_price"); !cell.empty()) {
      const RowPrice renewal = TRY(PriceCell(cell));
      if (renewal.currency != price.currency || renewal.unit != price.unit)
        return Wrong(fmt::format("renewal_price: \"{}\" is in another unit than the price", cell),
                     "one offer, one unit");
      t.renewal_price = hourly(renewal.amount);
    }
    t.early_exit_ppm = TRY(Share(row, "early_exit", 1'000'000));
    t.end_follows_delivery =
        TRY(ParseYes(Cell(row, "end_follows_delivery"), "end_follows_delivery"));
    t.swaps = TRY(ParseSwaps(Cell(row, "swaps"), "swaps", t.currency, options_.accelerators));
    t.sla.tiers = TRY(ParseSla(Cell(row, "sla"), "sla"));
    t.sla.claim_days = static_cast<int>(TRY(Count(row, "sla_claim_days", 0, 0, 3660)));
    t.sla.cap_ppm = TRY(Share(row, "sla_cap", 1'000'000));
    o.received = TRY(DateCell(row, "received", options_.today));
    o.expires = TRY(DateCell(row, "expires", options_.expires));
    o.list_price = TRY(ParseYes(Cell(row, "list_price"), "list_price"));
    o.note = Cell(row, "note");
    TRY(Validate(o));
    out_.offers.push_back(std::move(o));
    return {};
  }

  const CsvTable& t_;
  std::string_view source_;
  const ImportOptions& options_;
  std::map<std::string, std::string> columns_;  // plain name -> as written
  std::optional<PriceUnit> unit_;
  int unit_line_ = 0;
  Imported out_;
};

}  // namespace

Result<Imported> ReadOffers(std::string_view text, std::string_view source,
                            const ImportOptions& options) {
  const auto table = CsvTable::Parse(text);
  if (!table) return Error(table.error()).In(source);
  return Reader(*table, source, options).Read();
}

std::string WriteOffers(const std::vector<Offer>& offers) {
  std::string out;
  for (const std::string_view c : kQuoteColumns)
    out += fmt::format("{}{}", out.empty() ? "" : ",", c);
  out += "\n";
  const auto joined = [](const auto& parts, const auto& text) {
    std::string s;
    for (const auto& p : parts) s += (s.empty() ? "" : ";") + text(p);
    return s;
  };
  for (const Offer& o : offers) {
    const Terms& t = o.terms;
    const auto price = [&](Money m) { return AmountText(m) + t.currency + "/h"; };
    const std::string cells[] = {
        o.provider,
        o.name,
        t.accelerator,
        t.region,
        std::string(market::NameOf(t.capacity)),
        std::to_string(t.quantity),
        std::to_string(t.min_quantity),
        std::to_string(t.lot),
        price(t.price),
        joined(
            t.steps,
            [](const PriceStep& s) { return fmt::format("{}:{}", s.month, AmountText(s.price)); }),
        std::to_string(t.term_months),
        Text(t.start),
        std::to_string(t.lead_days),
        joined(t.ramp, [](const RampStep& r) { return fmt::format("{}:{}", r.month, r.quantity); }),
        ShareText(t.take_or_pay_ppm),
        ShareText(t.prepay_ppm),
        std::to_string(t.notice_days),
        t.renews ? "yes" : "no",
        std::to_string(t.renewal_months),
        t.renewal_price.micro > 0 ? price(t.renewal_price) : "",
        ShareText(t.early_exit_ppm),
        t.end_follows_delivery ? "yes" : "no",
        joined(t.swaps,
               [&](const SwapOption& s) {
                 return fmt::format("{}@{}x{}={}", s.accelerator, s.from_month,
                                    AmountText({s.ratio_ppm}), price(s.price));
               }),
        joined(t.sla.tiers,
               [](const SlaTier& s) {
                 return fmt::format("{}:{}", ShareText(s.below_ppm), ShareText(s.credit_ppm));
               }),
        std::to_string(t.sla.claim_days),
        ShareText(t.sla.cap_ppm),
        Text(o.received),
        Text(o.expires),
        o.list_price ? "yes" : "no",
        o.note};
    static_assert(std::size(cells) == std::size(kQuoteColumns));
    std::string line;
    for (const std::string& c : cells) line += (&c == cells ? "" : ",") + CsvCell(c);
    out += line + "\n";
  }
  return out;
}

}  // namespace weir::market
