// Text for people at a terminal: aligned tables and a little colour.
// Colour only where it was asked for: Style::For() gives it to a terminal without NO_COLOR.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace weir::app {

enum class Colour { kNone, kBold, kDim, kRed, kGreen, kYellow, kBlue, kMagenta };

struct Style {
  bool colour = false;
  std::string Paint(std::string_view text, Colour colour) const;
  // Of stdout.
  static Style For();
};

struct Cell {
  Cell(std::string text_in, Colour colour_in = Colour::kNone)  // NOLINT: implicit on purpose
      : text(std::move(text_in)), colour(colour_in) {}
  Cell(const char* text_in) : text(text_in) {}  // NOLINT
  std::string text;
  Colour colour = Colour::kNone;
};

class Table {
 public:
  // A heading that begins with '>' is of a right-aligned column.
  explicit Table(std::vector<std::string> headings) : headings_(std::move(headings)) {}
  void Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }
  // Every line ends with a newline and has no blanks before it.
  std::string Print(const Style& style) const;

 private:
  std::vector<std::string> headings_;
  std::vector<std::vector<Cell>> rows_;
};

// Columns that UTF-8 text takes, one per code point: good for what Weir prints.
size_t WidthOf(std::string_view text);
// Control characters become '?', so that a name or a log line cannot drive the terminal.
std::string Printable(std::string_view text);

// JSON for programs: indented, ended by a newline; bytes that are not UTF-8 are replaced.
std::string Dump(const nlohmann::ordered_json& json);

}  // namespace weir::app
