// Lines of a file that may be gzip: read in pieces, so a trace of any length costs one buffer.
//
// Gzip      told by its first two bytes, not by the name; several members one after the other are
//           one text (RFC 1952, section 2.2).
// Lines     end with "\n" or "\r\n", which is not part of them; the last one may lack it. A byte
//           order mark at the start is dropped. A NUL byte is text like any other.
// Errors    those of opening a file; kDataLoss: the gzip is damaged or ends early; kTooLarge: a
// line
//           longer than kMaxLineBytes.
// Threads   one at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::io {

inline constexpr size_t kMaxLineBytes = 1 << 20;

class LineReader {
 public:
  static Result<LineReader> Open(const std::string& path);
  // Of bytes that the caller keeps alive; `name` is for messages.
  static LineReader OfBytes(std::string_view bytes, std::string name);
  LineReader(LineReader&&) noexcept;
  LineReader& operator=(LineReader&&) noexcept;
  ~LineReader();

  // False at the end. `line` is good until the next call.
  Result<bool> Next(std::string_view* line);
  int64_t line_number() const { return line_number_; }  // of the line handed out last, from 1
  const std::string& name() const { return name_; }

 private:
  struct Source;
  LineReader(std::unique_ptr<Source> source, std::string name);
  Result<bool> Fill();

  std::unique_ptr<Source> source_;
  std::string name_;
  std::string text_;
  size_t at_ = 0;
  bool end_ = false;
  int64_t line_number_ = 0;
};

}  // namespace weir::io
