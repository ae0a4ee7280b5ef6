// However the bytes are cut into reads, the parser must come to the same message or a refusal; and
// nothing may be read outside of them. One freedom is left: a message that is not whole may be
// refused now, or only when more of it has come.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "io/http_parser.h"

namespace {

using weir::io::HttpParser;

// What came of it, as text.
std::string Parsed(HttpParser::Kind kind, std::string_view bytes, size_t step) {
  HttpParser parser(kind, {.max_head_bytes = 4096, .max_body_bytes = 4096});
  std::string body, kept;
  size_t at = 0;
  while (!parser.done()) {
    const auto used = parser.Feed(kept, body);
    if (!used) return fmt::format("refused {}", parser.error_status());
    kept.erase(0, *used);
    if (*used > 0) continue;
    if (at == bytes.size()) break;
    const size_t n = std::min(step, bytes.size() - at);
    kept.append(bytes.substr(at, n));
    at += n;
  }
  if (!parser.head_done()) return "unfinished head";
  std::string out = fmt::format("{} {} {} {} done={} keep={}", parser.method, parser.target,
                                parser.status, body, parser.done(), parser.keep_alive());
  for (size_t i = 0; i < parser.head.field_count(); ++i) {
    out += fmt::format("\n{}: {}", parser.head.name(i), parser.head.value(i));
  }
  return out;
}

bool Unfinished(std::string_view parsed) {
  return parsed == "unfinished head" || parsed.find(" done=false") != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 3000) return 0;  // under the limits, so that only the cuts differ
  const size_t step = 1 + data[0] % 7;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const auto kind : {HttpParser::Kind::kRequest, HttpParser::Kind::kResponse}) {
    const std::string whole = Parsed(kind, bytes, bytes.size() + 1);
    const std::string cut = Parsed(kind, bytes, step);
    if (Unfinished(whole) != Unfinished(cut)) {
      const std::string& other = Unfinished(whole) ? cut : whole;
      CHECK_MSG(other.starts_with("refused"), "step {}\n{}", step, other);
      continue;
    }
    if (Unfinished(whole)) continue;
    CHECK_MSG(whole == cut, "step {}\n--- whole\n{}\n--- cut\n{}", step, whole, cut);
  }
  return 0;
}
