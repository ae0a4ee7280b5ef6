// Comma-separated tables with a heading line, as the published figures come: quotes as in RFC 4180,
// cells trimmed. Bounded: at most kMaxCsvRows rows and kMaxCsvCell bytes a cell.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir {

inline constexpr size_t kMaxCsvRows = 1'000'000;
inline constexpr size_t kMaxCsvCell = 65'536;

class CsvTable {
 public:
  static Result<CsvTable> Parse(std::string_view text);

  const std::vector<std::string>& columns() const { return columns_; }
  bool Has(std::string_view column) const { return index_.contains(std::string(column)); }
  size_t size() const { return rows_.size(); }
  // The line of the file that row i begins on; the heading is line 1.
  int Line(size_t row) const { return lines_[row]; }
  // "" where the column is not there.
  const std::string& Cell(size_t row, std::string_view column) const;
  // nullopt where the cell is empty or "n/a"; an error where it is no finite number.
  Result<std::optional<double>> Number(size_t row, std::string_view column) const;
  // A number above zero; the error names line and column.
  Result<double> Positive(size_t row, std::string_view column) const;

 private:
  std::vector<std::string> columns_;
  std::map<std::string, size_t> index_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<int> lines_;
};

// A cell as it must be written to be read back.
std::string CsvCell(std::string_view text);

}  // namespace weir
