// Reading a log while its writer rotates it by renaming: PATH is being written, PATH~1 was before
// it, PATH~2 before that, and so on. What is read is the bytes of all of them, oldest first, as one
// stream that grows.
//
// A reader that keeps up misses nothing when the log rotates: it holds the file open that it is in,
// reads it to its end under whatever name it has by then, and goes on with the next newer one.
// Files that were dropped before they were read are skipped.
//
// Threads   none: one reader, one thread. Errors: kNotFound from no call (a log that is not there
//           yet is empty); anything else the disk says, as in files.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/result.h"

namespace weir::io {

class RotatedLog {
 public:
  explicit RotatedLog(std::string path) : path_(std::move(path)) {}
  ~RotatedLog();
  RotatedLog(RotatedLog&& other) noexcept;
  RotatedLog& operator=(RotatedLog&&) = delete;

  // Read on from this byte of what is kept now (oldest kept byte: 0); past the end: from the end.
  Status Seek(int64_t offset);
  // Read on from the beginning of the last `lines` lines, at most max_bytes before the end.
  Status SeekToLastLines(int64_t lines, int64_t max_bytes);
  // The next bytes, at most max_bytes; empty: nothing more for now.
  Result<std::string> Read(int64_t max_bytes);
  // Where the next Read begins, counted as in Seek when this reader began.
  int64_t offset() const { return offset_; }

 private:
  struct FileId {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const FileId&) const = default;
  };
  std::string NameOf(int age) const;  // 0: the one being written
  int OldestAge() const;              // -1: no file at all
  Result<bool> Open(int age);         // false: not there
  Result<bool> Advance();             // to the next newer file; false: this is the newest
  void Close();

  std::string path_;
  int fd_ = -1;
  FileId id_;
  int64_t position_ = 0;  // in the open file
  int64_t offset_ = 0;
};

inline constexpr int kMostRotations = 64;

}  // namespace weir::io
