#include "app/table.h"

#include <unistd.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>

namespace weir::app {

std::string Style::Paint(std::string_view text, Colour which) const {
  if (!colour || which == Colour::kNone || text.empty()) return std::string(text);
  static constexpr const char* kCodes[] = {"0", "1", "2", "31", "32", "33", "34", "35"};
  return "\x1b[" + std::string(kCodes[static_cast<int>(which)]) + "m" + std::string(text) +
         "\x1b[0m";
}

Style Style::For() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = !term || std::string_view(term) == "dumb";
  return {.colour = isatty(STDOUT_FILENO) != 0 && !(no_colour && *no_colour) && !dumb};
}

size_t WidthOf(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string Printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return out;
}

std::string Table::Print(const Style& style) const {
  std::vector<size_t> widths;
  const auto heading = [](const std::string& h) { return h.starts_with('>') ? h.substr(1) : h; };
  for (const std::string& h : headings_) widths.push_back(WidthOf(heading(h)));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], WidthOf(row[i].text));
  }
  std::string out;
  const auto line = [&](const auto& text_of, const auto& colour_of, size_t columns) {
    std::string text;
    for (size_t i = 0; i < columns; ++i) {
      const std::string cell = Printable(text_of(i));
      const std::string blanks(widths[i] - std::min(widths[i], WidthOf(cell)), ' ');
      const bool right = headings_[i].starts_with('>');
      if (i > 0) text += "  ";
      if (right) text += blanks;
      text += style.Paint(cell, colour_of(i));
      if (!right) text += blanks;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line([&](size_t i) { return heading(headings_[i]); }, [](size_t) { return Colour::kDim; },
       headings_.size());
  for (const auto& row : rows_) {
    line([&](size_t i) { return row[i].text; }, [&](size_t i) { return row[i].colour; },
         std::min(row.size(), headings_.size()));
  }
  return out;
}

std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace weir::app
