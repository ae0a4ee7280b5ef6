#include "base/csv.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace weir {

namespace {
std::string Trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return std::string(s);
}
}  // namespace

Result<CsvTable> CsvTable::Parse(std::string_view text) {
  CsvTable out;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  size_t at = 0;
  int line = 1;
  bool heading = true;
  while (at < text.size()) {
    std::vector<std::string> cells;
    const int first_line = line;
    bool end_of_row = false;
    while (!end_of_row) {
      std::string cell;
      if (at < text.size() && text[at] == '"') {
        ++at;
        for (;;) {
          if (at >= text.size())
            return Error(Code::kInvalidArgument,
                         fmt::format("line {}: a quoted cell never ends", first_line));
          if (text[at] == '"') {
            if (at + 1 < text.size() && text[at + 1] == '"') {
              cell += '"';
              at += 2;
              continue;
            }
            ++at;
            break;
          }
          if (text[at] == '\n') ++line;
          cell += text[at++];
          if (cell.size() > kMaxCsvCell)
            return Error(Code::kTooLarge, fmt::format("line {}: a cell is longer than {} bytes",
                                                      first_line, kMaxCsvCell));
        }
        while (at < text.size() && text[at] != ',' && text[at] != '\n') ++at;
      } else {
        const size_t from = at;
        while (at < text.size() && text[at] != ',' && text[at] != '\n') ++at;
        std::string_view raw = text.substr(from, at - from);
        if (!raw.empty() && raw.back() == '\r') raw.remove_suffix(1);
        if (raw.size() > kMaxCsvCell)
          return Error(Code::kTooLarge, fmt::format("line {}: a cell is longer than {} bytes",
                                                    first_line, kMaxCsvCell));
        cell = Trim(raw);
      }
      cells.push_back(std::move(cell));
      if (at >= text.size() || text[at] == '\n') {
        end_of_row = true;
        ++line;
      }
      ++at;
    }
    if (cells.size() == 1 && cells[0].empty()) continue;
    if (heading) {
      heading = false;
      while (!cells.empty() && cells.back().empty()) cells.pop_back();
      for (std::string& c : cells) {
        if (c.empty())
          return Error(Code::kInvalidArgument,
                       fmt::format("column {} has no name", out.columns_.size() + 1))
              .Hint("the first line names the columns");
        if (!out.index_.emplace(c, out.columns_.size()).second)
          return Error(Code::kInvalidArgument, fmt::format("column \"{}\" is there twice", c));
        out.columns_.push_back(c);
      }
      continue;
    }
    if (cells.size() < out.columns_.size())
      return Error(Code::kInvalidArgument,
                   fmt::format("line {} has {} cells, the heading {}", first_line, cells.size(),
                               out.columns_.size()))
          .Hint("is a line cut off, or a comma within a cell not quoted?");
    for (size_t i = out.columns_.size(); i < cells.size(); ++i)
      if (!cells[i].empty())
        return Error(Code::kInvalidArgument,
                     fmt::format("line {} has {} cells, the heading {}", first_line, cells.size(),
                                 out.columns_.size()))
            .Hint("is a comma within a cell not quoted?");
    if (out.rows_.size() >= kMaxCsvRows)
      return Error(Code::kTooLarge, fmt::format("more than {} rows", kMaxCsvRows));
    cells.resize(out.columns_.size());
    out.rows_.push_back(std::move(cells));
    out.lines_.push_back(first_line);
  }
  if (out.columns_.empty())
    return Error(Code::kInvalidArgument, "the table is empty")
        .Hint("the first line names the columns");
  return out;
}

const std::string& CsvTable::Cell(size_t row, std::string_view column) const {
  static const std::string none;
  const auto it = index_.find(std::string(column));
  return it == index_.end() ? none : rows_[row][it->second];
}

Result<std::optional<double>> CsvTable::Number(size_t row, std::string_view column) const {
  const std::string& text = Cell(row, column);
  if (text.empty() || text == "n/a" || text == "N/A" || text == "-") return std::optional<double>();
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || !std::isfinite(value))
    return Error(Code::kInvalidArgument,
                 fmt::format("line {}: {} is \"{}\", not a number", Line(row), column, text));
  return std::optional<double>(value);
}

Result<double> CsvTable::Positive(size_t row, std::string_view column) const {
  const std::optional<double> value = TRY(Number(row, column));
  if (!value) {
    return Error(Code::kInvalidArgument, fmt::format("line {}: {} is missing", Line(row), column));
  }
  if (*value <= 0)
    return Error(Code::kInvalidArgument, fmt::format("line {}: {} is {}; it must be above zero",
                                                     Line(row), column, *value));
  return *value;
}

std::string CsvCell(std::string_view text) {
  // Blanks at the ends would be trimmed, were they not quoted.
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  if (text.find_first_of(",\"\n\r") == std::string_view::npos &&
      (text.empty() || (!blank(text.front()) && !blank(text.back()))))
    return std::string(text);
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace weir
