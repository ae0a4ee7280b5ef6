#include "base/text.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace weir {

bool IsName(std::string_view text) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= kMaxNameBytes && alphanumeric(text[0]) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return alphanumeric(c) || c == '-' || c == '_' || c == '.'; });
}

std::optional<std::string> FromBase64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  int have = 0;
  for (const char c : text) {
    const int six = c >= 'A' && c <= 'Z'   ? c - 'A'
                    : c >= 'a' && c <= 'z' ? c - 'a' + 26
                    : c >= '0' && c <= '9' ? c - '0' + 52
                    : c == '+'             ? 62
                    : c == '/'             ? 63
                                           : -1;
    if (six < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(six);
    have += 6;
    if (have < 8) continue;
    have -= 8;
    out += static_cast<char>(bits >> have & 255);
  }
  return out;
}

JsonShape MeasureJson(std::string_view text, size_t max_depth) {
  JsonShape shape;
  std::vector<size_t> commas;  // of each bracket that is open
  std::vector<bool> objects;
  bool in_string = false;
  for (size_t i = 0; i < text.size() && shape.depth <= max_depth; ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      commas.push_back(0);
      objects.push_back(c == '{');
      shape.depth = std::max(shape.depth, commas.size());
    } else if ((c == '}' || c == ']') && !commas.empty()) {
      commas.pop_back();
      objects.pop_back();
    } else if (c == ',' && !commas.empty() && objects.back()) {
      shape.members = std::max(shape.members, ++commas.back() + 1);
    }
  }
  return shape;
}

}  // namespace weir
