// Invoices as FOCUS 1.2 tables (FinOps Open Cost and Usage Specification).
//
// A table keeps the columns that it came with and every cell as it was written, so that what is
// written back is what was read. "null" and an empty cell are both no value. Amounts are read as
// whole millionths of the billing currency on demand; a finer amount is rounded.
//
// Validate() holds a table to the schema and to what must be true between its columns; each rule
// has a name that docs/market.md explains. BalanceOf() adds up what a commitment cost against what
// its use was worth.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/market/date.h"
#include "lab/market/money.h"

namespace weir::market {

struct FocusColumn {
  std::string_view name;
  enum class Kind { kText, kDecimal, kInstant, kCurrency, kKeyValue } kind;
  enum class Level { kMandatory, kConditional, kRecommended } level;
  bool may_be_null;
  std::string_view allowed;  // values, with ';' between; empty: any
};
// The 57 of FOCUS 1.2, by name.
const std::vector<FocusColumn>& FocusColumns();

class FocusTable {
 public:
  explicit FocusTable(std::vector<std::string> columns);
  // Any case of a column's name; its own spelling is kept.
  static Result<FocusTable> Parse(std::string_view text);
  std::string ToCsv() const;

  const std::vector<std::string>& columns() const { return columns_; }
  bool Has(std::string_view column) const;
  size_t size() const { return lines_.size(); }
  int Line(size_t row) const { return lines_[row]; }
  // nullopt: null, or no such column.
  std::optional<std::string_view> Cell(size_t row, std::string_view column) const;
  Result<std::optional<Money>> Amount(size_t row, std::string_view column) const;
  Result<std::optional<Time>> Instant(size_t row, std::string_view column) const;
  void Add(const std::map<std::string, std::string, std::less<>>& cells);
  // Rows of `other` behind these; columns that only one of them has are null in the other's rows.
  void Append(const FocusTable& other);

 private:
  std::optional<size_t> IndexOf(std::string_view column) const;
  std::vector<std::string> columns_;
  std::map<std::string, size_t, std::less<>> index_;  // lower case
  std::vector<std::string> cells_;                    // row by row
  std::vector<int> lines_;
};

enum class Strictness {
  kComplete,  // a whole export: every mandatory column must be there
  kFragment,  // an excerpt, such as the specification's worked cases: what is there must be right
};

struct Finding {
  std::string rule;   // "column-missing", "not-null", "value", "period", "cost-arithmetic", ...
  int line = 0;       // 0: of the whole table
  bool error = true;  // false: worth a look
  std::string what;
};
std::vector<Finding> Validate(const FocusTable& t, Strictness strictness);

// What was billed and what use was worth, per commitment ("" = none) and in all.
struct Balance {
  std::string commitment;
  Money billed, effective;
  Money purchased;     // billed for the commitment itself
  Money used, unused;  // effective cost of its covered use, and of what went unused
  Money left;          // purchased and not yet worth anything: still to be used
  int rows = 0;
};
Result<std::vector<Balance>> BalanceOf(const FocusTable& t);

// Spreads each one-time or recurring purchase of a commitment evenly over the hours of its charge
// period that lie in [from, to): the amortised cost, exact to the micro-unit over the whole period.
Result<Money> Amortised(Money billed, Time start, Time end, Time from, Time to);

}  // namespace weir::market
