// Reads the progress file of a job as it grows: one JSON object a line, appended by rank 0.
//
// A line counts once its "\n" is there. Lines that are not a JSON object, or are longer than
// kMaxLineBytes, are counted and passed over. A file that became shorter was replaced and is read
// from its beginning.
//
// Threads   one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wire/schema.h"

namespace weir::control {

class ProgressReader {
 public:
  static constexpr int64_t kMaxLineBytes = 64 << 10;
  static constexpr int64_t kMaxBytesPerRead = 256 << 10;
  static constexpr size_t kMaxLinesPerRead = 256;

  // Starts at offset: a place just after some earlier line's "\n", or 0.
  ProgressReader(std::string path, int64_t offset) : path_(std::move(path)), offset_(offset) {}

  // New lines, oldest first, at most the bounds above: the rest comes with the next call. A file
  // that is not there has none.
  std::vector<wire::Json> Read();
  int64_t offset() const { return offset_; }  // of the first byte not consumed
  int64_t malformed() const { return malformed_; }

 private:
  std::string path_;
  int64_t offset_;
  int64_t malformed_ = 0;
  bool skipping_ = false;  // inside a line that is too long
};

// One line without its "\n"; nullopt if it is not a JSON object.
std::optional<wire::Json> ParseProgressLine(std::string_view line);

}  // namespace weir::control
