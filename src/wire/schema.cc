#include "wire/schema.h"

#include <fmt/format.h>

namespace weir::wire {

namespace {

// Depth before parsing, so that a hostile body cannot exhaust the stack.
bool TooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Json> ParseJson(std::string_view text) {
  if (TooDeep(text)) {
    return Error(Code::kInvalidArgument,
                 fmt::format("JSON nested deeper than {} levels", kMaxDepth));
  }
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& e) {
    return Error(Code::kInvalidArgument,
                 fmt::format("not valid JSON at byte {} of {}", e.byte, text.size()))
        .Hint("check quotes, commas and UTF-8");
  } catch (const Json::exception& e) {
    return Error(Code::kInvalidArgument, fmt::format("not usable JSON: {}", e.what()));
  }
}

}  // namespace weir::wire
