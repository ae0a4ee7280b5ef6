// Quantities, dates and small tables as people write them. A number without its unit is refused
// where a unit is needed, and so is a unit of another kind: "$2.40/h" and "2.40 EUR/h" never meet.
// Every error names where it stands (file and line), the field, and what would be right.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "lab/plan/model.h"

namespace weir::plan {

enum class Unit {
  kUsdPerHour,     // "$2.40/h", "$1750/month" (of 730 h)
  kUsd,            // "$12.5M", "$800k"
  kShare,          // "40%"
  kSharePerYear,   // "8%/year"; "1%/month" is compounded
  kSharePerMonth,  // "3%/month"; "12%/year" is its twelfth root
  kMonths,         // "6 months", "2 years", "90 days"
  kKilowatts,      // "5MW", "1.4kW", "700W"
  kGramsPerKwh,    // "250g/kWh"
  kTonnesPerYear,  // "900t/year", "12kt/year"
  kCount,          // "1200", "12k": the only one without a unit
};
// `what` names the field. Finite always; negative only for the shares per time.
Result<double> ParseQuantity(std::string_view text, Unit unit, std::string_view what);
// "2027-03" or "2027-03-15".
Result<Month> ParseMonth(std::string_view text, std::string_view what);

// A table of a TOML file, or a row of a CSV file: fields in order, and where it stands.
struct Node {
  std::string kind;   // "offer", "demand", ...
  std::string where;  // "plan.toml:14"
  std::vector<std::pair<std::string, std::string>> values;
  std::vector<std::pair<std::string, std::vector<std::string>>> lists;
  std::vector<Node> children;

  const std::string* Find(std::string_view name) const;
  const std::vector<std::string>* FindList(std::string_view name) const;
  // The first of that kind, or nullptr.
  const Node* Child(std::string_view kind) const;

  Result<std::string> Text(std::string_view name) const;  // must be there
  std::string TextOr(std::string_view name, std::string_view otherwise) const;
  Result<double> Number(std::string_view name, Unit unit) const;  // must be there
  Result<double> NumberOr(std::string_view name, Unit unit, double otherwise) const;
  Result<Month> DateOr(std::string_view name, Month otherwise) const;
  Result<bool> FlagOr(std::string_view name, bool otherwise) const;
  // Fields and children not among `known` are refused, with the nearest that is.
  Status Only(const std::vector<std::string>& known) const;
  Error Wrong(Code code, const std::string& sentence) const;
};

inline constexpr size_t kMostRows = 100'000;
inline constexpr size_t kMostBytes = 16 << 20;

Result<Node> ReadToml(std::string_view text, std::string_view source);
// One node per row, of kind `kind`; empty cells are left out. The heading names the fields.
Result<std::vector<Node>> ReadCsv(std::string_view text, std::string_view source,
                                  std::string_view kind);

}  // namespace weir::plan
