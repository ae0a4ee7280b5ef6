#include "lab/market/focus.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/csv.h"
#include "base/nearest.h"
#include "wire/schema.h"

namespace weir::market {

namespace {
using K = FocusColumn::Kind;
using L = FocusColumn::Level;

std::string Lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}
}  // namespace

const std::vector<FocusColumn>& FocusColumns() {
  static const std::vector<FocusColumn> columns = {
      {"AvailabilityZone", K::kText, L::kRecommended, true, ""},
      {"BilledCost", K::kDecimal, L::kMandatory, false, ""},
      {"BillingAccountId", K::kText, L::kMandatory, false, ""},
      {"BillingAccountName", K::kText, L::kMandatory, true, ""},
      {"BillingAccountType", K::kText, L::kConditional, false, ""},
      {"BillingCurrency", K::kCurrency, L::kMandatory, false, ""},
      {"BillingPeriodEnd", K::kInstant, L::kMandatory, false, ""},
      {"BillingPeriodStart", K::kInstant, L::kMandatory, false, ""},
      {"CapacityReservationId", K::kText, L::kConditional, true, ""},
      {"CapacityReservationStatus", K::kText, L::kConditional, true, "Used;Unused"},
      {"ChargeCategory", K::kText, L::kMandatory, false, "Usage;Purchase;Tax;Credit;Adjustment"},
      {"ChargeClass", K::kText, L::kMandatory, true, "Correction"},
      {"ChargeDescription", K::kText, L::kMandatory, true, ""},
      {"ChargeFrequency", K::kText, L::kRecommended, false, "One-Time;Recurring;Usage-Based"},
      {"ChargePeriodEnd", K::kInstant, L::kMandatory, false, ""},
      {"ChargePeriodStart", K::kInstant, L::kMandatory, false, ""},
      {"CommitmentDiscountCategory", K::kText, L::kConditional, true, "Spend;Usage"},
      {"CommitmentDiscountId", K::kText, L::kConditional, true, ""},
      {"CommitmentDiscountName", K::kText, L::kConditional, true, ""},
      {"CommitmentDiscountQuantity", K::kDecimal, L::kConditional, true, ""},
      {"CommitmentDiscountStatus", K::kText, L::kConditional, true, "Used;Unused"},
      {"CommitmentDiscountType", K::kText, L::kConditional, true, ""},
      {"CommitmentDiscountUnit", K::kText, L::kConditional, true, ""},
      {"ConsumedQuantity", K::kDecimal, L::kConditional, true, ""},
      {"ConsumedUnit", K::kText, L::kConditional, true, ""},
      {"ContractedCost", K::kDecimal, L::kMandatory, false, ""},
      {"ContractedUnitPrice", K::kDecimal, L::kConditional, true, ""},
      {"EffectiveCost", K::kDecimal, L::kMandatory, false, ""},
      {"InvoiceId", K::kText, L::kRecommended, true, ""},
      {"InvoiceIssuerName", K::kText, L::kMandatory, false, ""},
      {"ListCost", K::kDecimal, L::kMandatory, false, ""},
      {"ListUnitPrice", K::kDecimal, L::kConditional, true, ""},
      {"PricingCategory", K::kText, L::kConditional, true, "Standard;Dynamic;Committed;Other"},
      {"PricingCurrency", K::kCurrency, L::kConditional, true, ""},
      {"PricingCurrencyContractedUnitPrice", K::kDecimal, L::kConditional, true, ""},
      {"PricingCurrencyEffectiveCost", K::kDecimal, L::kConditional, true, ""},
      {"PricingCurrencyListUnitPrice", K::kDecimal, L::kConditional, true, ""},
      {"PricingQuantity", K::kDecimal, L::kMandatory, true, ""},
      {"PricingUnit", K::kText, L::kMandatory, true, ""},
      {"ProviderName", K::kText, L::kMandatory, false, ""},
      {"PublisherName", K::kText, L::kMandatory, false, ""},
      {"RegionId", K::kText, L::kConditional, true, ""},
      {"RegionName", K::kText, L::kConditional, true, ""},
      {"ResourceId", K::kText, L::kConditional, true, ""},
      {"ResourceName", K::kText, L::kConditional, true, ""},
      {"ResourceType", K::kText, L::kConditional, true, ""},
      {"ServiceCategory", K::kText, L::kMandatory, false,
       "AI and Machine Learning;Analytics;Business Applications;Compute;Databases;Developer "
       "Tools;Multicloud;Identity;Integration;Internet of Things;Management and "
       "Governance;Media;Migration;Mobile;Networking;Security;Storage;Web;Other"},
      {"ServiceName", K::kText, L::kMandatory, false, ""},
      {"ServiceSubcategory", K::kText, L::kRecommended, false, ""},
      {"SkuId", K::kText, L::kConditional, true, ""},
      {"SkuMeter", K::kText, L::kConditional, true, ""},
      {"SkuPriceDetails", K::kKeyValue, L::kConditional, true, ""},
      {"SkuPriceId", K::kText, L::kConditional, true, ""},
      {"SubAccountId", K::kText, L::kConditional, true, ""},
      {"SubAccountName", K::kText, L::kConditional, true, ""},
      {"SubAccountType", K::kText, L::kConditional, true, ""},
      {"Tags", K::kKeyValue, L::kConditional, true, ""},
  };
  return columns;
}

FocusTable::FocusTable(std::vector<std::string> columns) : columns_(std::move(columns)) {
  for (size_t i = 0; i < columns_.size(); ++i) index_.emplace(Lower(columns_[i]), i);
}

Result<FocusTable> FocusTable::Parse(std::string_view text) {
  const CsvTable csv = TRY(CsvTable::Parse(text));
  FocusTable out(csv.columns());
  if (out.index_.size() != out.columns_.size())
    return Error(Code::kInvalidArgument, "a column is there twice, in different spelling")
        .Hint("each column of FOCUS stands once");
  out.cells_.reserve(csv.size() * csv.columns().size());
  for (size_t i = 0; i < csv.size(); ++i) {
    for (const std::string& c : csv.columns()) out.cells_.push_back(csv.Cell(i, c));
    out.lines_.push_back(csv.Line(i));
  }
  return out;
}

std::string FocusTable::ToCsv() const {
  std::string out;
  for (size_t i = 0; i < columns_.size(); ++i) out += (i ? "," : "") + CsvCell(columns_[i]);
  out += "\n";
  for (size_t row = 0; row < size(); ++row) {
    std::string line;
    for (size_t i = 0; i < columns_.size(); ++i)
      line += (i ? "," : "") + CsvCell(cells_[row * columns_.size() + i]);
    // A table of one column would lose its empty cells, for a line of nothing is no row.
    out += (line.empty() ? "\"\"" : line) + "\n";
  }
  return out;
}

std::optional<size_t> FocusTable::IndexOf(std::string_view column) const {
  const auto it = index_.find(Lower(column));
  return it == index_.end() ? std::nullopt : std::optional(it->second);
}
bool FocusTable::Has(std::string_view column) const { return IndexOf(column).has_value(); }

std::optional<std::string_view> FocusTable::Cell(size_t row, std::string_view column) const {
  const auto at = IndexOf(column);
  if (!at) return std::nullopt;
  const std::string& cell = cells_[row * columns_.size() + *at];
  if (cell.empty() || cell == "null" || cell == "NULL") return std::nullopt;
  return cell;
}

Result<std::optional<Money>> FocusTable::Amount(size_t row, std::string_view column) const {
  const auto cell = Cell(row, column);
  if (!cell) return std::optional<Money>();
  const auto amount = ParseAmount(*cell, Fine::kRound);
  if (!amount) return Error(amount.error()).In(fmt::format("line {}: {}", Line(row), column));
  return std::optional<Money>(*amount);
}

Result<std::optional<Time>> FocusTable::Instant(size_t row, std::string_view column) const {
  const auto cell = Cell(row, column);
  if (!cell) return std::optional<Time>();
  return std::optional<Time>(
      TRY(ParseInstant(*cell, fmt::format("line {}: {}", Line(row), column))));
}

void FocusTable::Add(const std::map<std::string, std::string, std::less<>>& cells) {
  const size_t at = cells_.size();
  cells_.resize(at + columns_.size());
  for (const auto& [column, value] : cells)
    if (const auto i = IndexOf(column)) cells_[at + *i] = value;
  lines_.push_back(static_cast<int>(lines_.size()) + 2);
}

void FocusTable::Append(const FocusTable& other) {
  std::vector<std::string> wider = columns_;
  for (const std::string& c : other.columns_)
    if (!Has(c)) wider.push_back(c);
  if (wider.size() != columns_.size()) {
    FocusTable grown(wider);
    for (size_t row = 0; row < size(); ++row) {
      for (size_t i = 0; i < wider.size(); ++i)
        grown.cells_.push_back(i < columns_.size() ? cells_[row * columns_.size() + i] : "");
      grown.lines_.push_back(lines_[row]);
    }
    *this = std::move(grown);
  }
  for (size_t row = 0; row < other.size(); ++row) {
    for (const std::string& c : columns_) {
      const auto i = other.IndexOf(c);
      cells_.push_back(i ? other.cells_[row * other.columns_.size() + *i] : "");
    }
    lines_.push_back(other.lines_[row]);
  }
}

namespace {

bool IsAllowed(std::string_view value, std::string_view allowed) {
  while (!allowed.empty()) {
    const size_t at = allowed.find(';');
    if (value == allowed.substr(0, at)) return true;
    if (at == allowed.npos) return false;
    allowed.remove_prefix(at + 1);
  }
  return false;
}

class Validator {
 public:
  Validator(const FocusTable& t, Strictness strictness) : t_(t), strictness_(strictness) {}

  std::vector<Finding> Run() {
    Columns();
    for (row_ = 0; row_ < t_.size(); ++row_) {
      Cells();
      Periods();
      Commitments();
      Costs();
    }
    if (currencies_.size() > 1)
      Note("currency-mixed", false, 0,
           fmt::format("{} billing currencies in one table; sums are made for each",
                       currencies_.size()));
    return std::move(out_);
  }

 private:
  // A table of a million broken rows says so often enough.
  static constexpr size_t kMaxFindings = 10'000;
  void Note(std::string_view rule, bool error, int line, std::string what) {
    if (out_.size() < kMaxFindings)
      out_.push_back({std::string(rule), line, error, std::move(what)});
  }
  void Row(std::string_view rule, bool error, std::string what) {
    Note(rule, error, t_.Line(row_), std::move(what));
  }
  std::string_view Get(std::string_view column) const { return t_.Cell(row_, column).value_or(""); }
  bool Is(std::string_view column, std::string_view value) const { return Get(column) == value; }
  bool Null(std::string_view column) const { return !t_.Cell(row_, column).has_value(); }

  void Columns() {
    std::vector<std::string> names;
    for (const FocusColumn& c : FocusColumns()) names.emplace_back(c.name);
    for (const std::string& c : t_.columns()) {
      const auto same = std::find_if(names.begin(), names.end(),
                                     [&](const std::string& n) { return Lower(n) == Lower(c); });
      if (same != names.end()) {
        if (*same != c)
          Note("column-case", false, 0, fmt::format("column \"{}\" is spelt \"{}\"", c, *same));
        continue;
      }
      if (c.starts_with("x_")) continue;
      const std::string near = NearestOf(c, names);
      Note("column-unknown", true, 0,
           fmt::format("column \"{}\" is none of FOCUS 1.2{}", c,
                       near.empty() ? "; a provider's own columns begin with x_"
                                    : fmt::format("; did you mean {}?", near)));
    }
    if (strictness_ == Strictness::kFragment) return;
    for (const FocusColumn& c : FocusColumns())
      if (c.level == L::kMandatory && !t_.Has(c.name))
        Note("column-missing", true, 0, fmt::format("the mandatory column {} is missing", c.name));
  }

  void Cells() {
    for (const FocusColumn& c : FocusColumns()) {
      if (!t_.Has(c.name)) continue;
      const auto cell = t_.Cell(row_, c.name);
      if (!cell) {
        if (!c.may_be_null) Row("not-null", true, fmt::format("{} has no value", c.name));
        continue;
      }
      switch (c.kind) {
        case K::kText:
          if (!c.allowed.empty() && !IsAllowed(*cell, c.allowed))
            Row("value", true,
                fmt::format("{} is \"{}\", not one of {}", c.name, *cell, c.allowed));
          break;
        case K::kDecimal:
          if (const auto amount = ParseAmount(*cell, Fine::kRound); !amount)
            Row("number", true, fmt::format("{}: {}", c.name, amount.error().message()));
          break;
        case K::kInstant:
          if (const auto t = ParseInstant(*cell, c.name); !t)
            Row("instant", true, t.error().message());
          break;
        case K::kCurrency:
          if (!IsCurrency(*cell))
            Row("currency", true,
                fmt::format("{} is \"{}\", not a code such as USD", c.name, *cell));
          else if (c.name == "BillingCurrency")
            currencies_.emplace(*cell);
          break;
        case K::kKeyValue: {
          const auto json = wire::ParseJson(*cell);
          if (!json || !json->is_object())
            Row("key-value", true, fmt::format("{} is not a JSON object", c.name));
          break;
        }
      }
    }
  }

  void Ordered(std::string_view start, std::string_view end) {
    const auto a = t_.Instant(row_, start), b = t_.Instant(row_, end);
    if (!a || !b || !*a || !*b) return;  // said already
    if (**a >= **b)
      Row("period", true,
          fmt::format("{} {} is not before {} {}", start, Get(start), end, Get(end)));
  }
  void Periods() {
    Ordered("BillingPeriodStart", "BillingPeriodEnd");
    Ordered("ChargePeriodStart", "ChargePeriodEnd");
    if (!Is("ChargeCategory", "Usage") || !Null("ChargeClass")) return;
    const auto charge = t_.Instant(row_, "ChargePeriodStart");
    const auto from = t_.Instant(row_, "BillingPeriodStart"),
               to = t_.Instant(row_, "BillingPeriodEnd");
    if (charge && from && to && *charge && *from && *to && (**charge < **from || **charge >= **to))
      Row("period-outside", false,
          fmt::format("usage from {} lies outside of the billing period",
                      Get("ChargePeriodStart")));
  }

  // A value exactly where `wanted` says so.
  void Exactly(std::string_view rule, std::string_view column, bool wanted, std::string_view when) {
    if (!t_.Has(column) || Null(column) != wanted) return;
    Row(rule, true,
        fmt::format("{} {} {}", column, wanted ? "has no value though" : "has a value though",
                    when));
  }
  void Commitments() {
    const bool usage = Is("ChargeCategory", "Usage"), purchase = Is("ChargeCategory", "Purchase");
    if (t_.Has("CommitmentDiscountId")) {
      const bool id = !Null("CommitmentDiscountId");
      if (id && usage)
        Exactly("commitment", "CommitmentDiscountStatus", true, "a commitment covers the usage");
      if (!id)
        for (const std::string_view c :
             {"CommitmentDiscountStatus", "CommitmentDiscountQuantity", "CommitmentDiscountUnit",
              "CommitmentDiscountCategory", "CommitmentDiscountType", "CommitmentDiscountName"})
          Exactly("commitment", c, false, "no commitment is named");
      if (id && (usage || purchase) && Null("ChargeClass"))
        Exactly("commitment", "CommitmentDiscountQuantity", true, "a commitment is named");
      if (id && usage && t_.Has("PricingCategory") && !Is("PricingCategory", "Committed"))
        Row("commitment", true,
            "PricingCategory is not Committed though a commitment covers the usage");
    }
    if (t_.Has("CommitmentDiscountUnit") && t_.Has("CommitmentDiscountQuantity") &&
        Null("CommitmentDiscountUnit") != Null("CommitmentDiscountQuantity"))
      Row("unit", true, "CommitmentDiscountQuantity and its unit do not come together");
    if (t_.Has("ConsumedUnit") && t_.Has("ConsumedQuantity") &&
        Null("ConsumedUnit") != Null("ConsumedQuantity"))
      Row("unit", true, "ConsumedQuantity and its unit do not come together");
    if (t_.Has("PricingUnit") && t_.Has("PricingQuantity") &&
        Null("PricingUnit") != Null("PricingQuantity"))
      Row("unit", true, "PricingQuantity and its unit do not come together");
    if (!usage) Exactly("consumed", "ConsumedQuantity", false, "the charge is not usage");
    // The specification's own case of an unused commitment has it; so a remark, not an error.
    if (Is("CommitmentDiscountStatus", "Unused") && !Null("ConsumedQuantity"))
      Row("consumed", false, "ConsumedQuantity has a value though the commitment went unused");
    if (t_.Has("CapacityReservationId")) {
      if (Null("CapacityReservationId"))
        Exactly("reservation", "CapacityReservationStatus", false, "no reservation is named");
      else if (usage)
        Exactly("reservation", "CapacityReservationStatus", true, "a reservation is named");
    }
    if (purchase && Is("ChargeFrequency", "Usage-Based"))
      Row("frequency", true, "a purchase is One-Time or Recurring, not Usage-Based");
  }

  void Costs() {
    const bool purchase = Is("ChargeCategory", "Purchase");
    const auto amount = [&](std::string_view column) -> std::optional<Money> {
      const auto m = t_.Amount(row_, column);
      return m ? *m : std::nullopt;
    };
    if (purchase && !Null("CommitmentDiscountId")) {
      if (const auto e = amount("EffectiveCost"); e && e->micro != 0)
        Row("effective-cost", true,
            fmt::format(
                "the purchase of a commitment has an EffectiveCost of {}, not 0: its use has "
                "the cost",
                AmountText(*e)));
    }
    if (Is("ChargeCategory", "Usage") && !Null("CommitmentDiscountId")) {
      if (const auto b = amount("BilledCost"); b && b->micro != 0)
        Row("billed-cost", false,
            fmt::format("usage that a commitment covers is billed {} as well", AmountText(*b)));
    }
    // The specification's own cases break this where a commitment is flexible; so a remark.
    const auto product = [&](std::string_view price, std::string_view cost) {
      const auto p = amount(price), q = amount("PricingQuantity"), c = amount(cost);
      if (!p || !q || !c || !Null("ChargeClass")) return;
      const Money exact = Scaled(*p, q->micro, 1'000'000);
      if (std::abs((exact - *c).micro) > 5'000)  // half a cent
        Row("cost-arithmetic", false,
            fmt::format("{} {} is not {} {} x PricingQuantity {}", cost, AmountText(*c), price,
                        AmountText(*p), AmountText(*q)));
    };
    product("ListUnitPrice", "ListCost");
    product("ContractedUnitPrice", "ContractedCost");
  }

  const FocusTable& t_;
  const Strictness strictness_;
  size_t row_ = 0;
  std::set<std::string, std::less<>> currencies_;
  std::vector<Finding> out_;
};

}  // namespace

std::vector<Finding> Validate(const FocusTable& t, Strictness strictness) {
  return Validator(t, strictness).Run();
}

Result<std::vector<Balance>> BalanceOf(const FocusTable& t) {
  std::map<std::string, Balance, std::less<>> by;
  for (size_t row = 0; row < t.size(); ++row) {
    const std::string id(t.Cell(row, "CommitmentDiscountId").value_or(""));
    Balance& b = by[id];
    b.commitment = id;
    ++b.rows;
    const Money billed = TRY(t.Amount(row, "BilledCost"))
    .value_or(Money{});
    const Money effective = TRY(t.Amount(row, "EffectiveCost"))
    .value_or(Money{});
    b.billed += billed;
    b.effective += effective;
    if (id.empty()) continue;
    if (t.Cell(row, "ChargeCategory") == "Purchase")
      b.purchased += billed;
    else if (t.Cell(row, "CommitmentDiscountStatus") == "Unused")
      b.unused += effective;
    else
      b.used += effective;
  }
  std::vector<Balance> out;
  for (auto& [id, b] : by) {
    if (!id.empty()) b.left = b.purchased - b.used - b.unused;
    out.push_back(b);
  }
  return out;
}

Result<Money> Amortised(Money billed, Time start, Time end, Time from, Time to) {
  if (start >= end) return Error(Code::kInvalidArgument, "a charge period ends before it starts");
  // Differences of one running sum: however it is cut, the pieces add up to all of it.
  const auto until = [&](Time t) {
    const Time at = std::clamp(t, start, end);
    return Scaled(billed, (at - start).us, (end - start).us);
  };
  return until(std::max(from, to)) - until(from);
}

}  // namespace weir::market
