#include "gateway/edge/stream_meter.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace weir::gateway {

uint64_t StreamMeter::Feed(std::string_view bytes, Duration now) {
  if (bytes.empty()) return 0;
  if (!any_) first_at_ = now;
  any_ = true;
  last_at_ = now;
  if (bytes.size() >= kTail) {
    tail_.assign(bytes.substr(bytes.size() - kTail));
  } else {
    if (tail_.size() + bytes.size() > kTail) tail_.erase(0, tail_.size() + bytes.size() - kTail);
    tail_.append(bytes);
  }
  if (!event_stream_) return 0;
  // Line by line: an empty line ends an event. CR before LF counts as nothing.
  const uint64_t before = events_;
  const char* p = bytes.data();
  const char* const end = p + bytes.size();
  while (p < end) {
    const auto* newline =
        static_cast<const char*>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
    const char* const stop = newline ? newline : end;
    const std::string_view line(p, static_cast<size_t>(stop - p));
    if (!line.empty() && line != "\r") {
      if (line_empty_ && line[0] != ':') data_line_ = true;
      line_empty_ = false;
      in_event_ = true;
    }
    if (!newline) break;
    if (line_empty_) {
      if (data_line_) ++events_;
      data_line_ = in_event_ = false;
    }
    line_empty_ = true;
    p = newline + 1;
  }
  return events_ - before;
}

int64_t StreamMeter::UsageTokens() const {
  // Of /v1/completions and chat, and of /v1/responses.
  static constexpr std::string_view kKeys[] = {"\"completion_tokens\":", "\"output_tokens\":"};
  size_t at = std::string::npos;
  for (const std::string_view key : kKeys) {
    const size_t found = tail_.rfind(key);
    if (found != std::string::npos) at = found + key.size();
  }
  if (at == std::string::npos) return -1;
  const char* p = tail_.data() + at;
  const char* const end = tail_.data() + tail_.size();
  while (p < end && *p == ' ') ++p;
  int64_t n = -1;
  const auto [stop, ec] = std::from_chars(p, end, n);
  return ec == std::errc() && n >= 0 && stop < end ? n : -1;
}

bool StreamMeter::saw_done() const { return tail_.find("data: [DONE]") != std::string::npos; }

uint64_t StreamMeter::Tokens() const {
  if (const int64_t told = UsageTokens(); told >= 0) return static_cast<uint64_t>(told);
  return events_ - std::min<uint64_t>(events_, saw_done() ? 1 : 0);
}

}  // namespace weir::gateway
