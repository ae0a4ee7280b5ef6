// Small questions about text that several folders ask.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

// What every name in Weir is: 1 to kMaxNameBytes letters, digits, '-', '_' or '.', beginning with a
// letter or a digit.
inline constexpr size_t kMaxNameBytes = 63;
bool IsName(std::string_view text);

// 0..15, or -1: not a hexadecimal digit.
constexpr int HexDigit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

// Bytes written as base64, with or without padding; nullopt: it is none.
std::optional<std::string> FromBase64(std::string_view text);

// How a JSON text is built, by its brackets and commas alone: asked before anything that recurses
// sees it. A text that is no JSON is measured too.
struct JsonShape {
  size_t depth = 0;    // of brackets within brackets
  size_t members = 0;  // of the object that has most; 0: none has more than one
};
// Stops at the first bracket beyond max_depth.
JsonShape MeasureJson(std::string_view text, size_t max_depth);

}  // namespace weir
