#include "control/drivers/progress_reader.h"

#include "io/files.h"

namespace weir::control {

std::optional<wire::Json> ParseProgressLine(std::string_view line) {
  wire::Json json = wire::Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

std::vector<wire::Json> ProgressReader::Read() {
  std::vector<wire::Json> lines;
  const Result<int64_t> size = io::FileSize(path_);
  if (!size || *size == offset_) return lines;
  if (*size < offset_) {
    offset_ = 0;
    skipping_ = false;
  }
  const Result<std::string> bytes = io::ReadFileAt(path_, offset_, kMaxBytesPerRead);
  if (!bytes) return lines;
  size_t at = 0;
  while (lines.size() < kMaxLinesPerRead) {
    const size_t end = bytes->find('\n', at);
    if (end == std::string::npos) break;
    const std::string_view line = std::string_view(*bytes).substr(at, end - at);
    at = end + 1;
    if (std::exchange(skipping_, false)) continue;  // the end of a long one, counted already
    auto json =
        static_cast<int64_t>(line.size()) <= kMaxLineBytes ? ParseProgressLine(line) : std::nullopt;
    if (json) {
      lines.push_back(*std::move(json));
    } else if (!line.empty()) {
      ++malformed_;
    }
  }
  // What is left is the beginning of a line, unless it is too long to become one.
  if (lines.size() < kMaxLinesPerRead && static_cast<int64_t>(bytes->size() - at) > kMaxLineBytes) {
    malformed_ += skipping_ ? 0 : 1;
    skipping_ = true;
    at = bytes->size();
  }
  offset_ += static_cast<int64_t>(at);
  return lines;
}

}  // namespace weir::control
