// The output of a command: written to a log of bounded size, its last lines kept in memory.
//
// path is the current file. When it has file_bytes it becomes path~1, path~1 becomes path~2, and
// so on up to files - 1; the oldest goes. Bytes are written as they come: nothing is decoded.
// A disk that takes no more never stops the command: what does not fit is counted and dropped.
//
// Threads   one.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace weir::control {

// The end of a byte stream as lines, in bounded memory. "\n" ends a line; a "\r" not before "\n"
// starts it over, as a terminal would show a progress bar; a longer line keeps its beginning.
class LastLines {
 public:
  static constexpr size_t kLines = 20;
  static constexpr size_t kLineBytes = 400;
  void Add(std::string_view bytes);
  std::vector<std::string> Get() const;  // the unfinished one too

 private:
  void Put(std::string_view text);
  std::deque<std::string> lines_;
  std::string current_;
  bool cut_ = false;       // current_ is longer than it shows
  bool returned_ = false;  // a "\r" came last
};

class RunLog {
 public:
  struct Limits {
    int64_t file_bytes = 8 << 20;
    int64_t files = 4;
  };
  // Appends to what is there. An empty path keeps last lines only.
  RunLog(std::string path, Limits limits);
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;
  void Write(std::string_view bytes);
  const LastLines& last_lines() const { return last_lines_; }
  int64_t dropped_bytes() const { return dropped_bytes_; }

 private:
  void Open();
  void Rotate();
  std::string path_;
  Limits limits_;
  int fd_ = -1;
  int64_t size_ = 0;
  int64_t dropped_bytes_ = 0;
  LastLines last_lines_;
};

}  // namespace weir::control
