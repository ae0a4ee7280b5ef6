// A file that appears whole or not at all: bytes go to "PATH.tmp-PID-N" in the same folder; Commit
// syncs them, renames the file to PATH and syncs the folder. Destroyed without Commit, the
// temporary file is removed.
//
// Threads: one at a time. Errors: the first failed write is kept and returned by Commit too.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace weir::io {

class AtomicFile {
 public:
  static Result<AtomicFile> Create(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();
  Status Append(std::span<const std::byte> bytes);
  Status Append(std::string_view text) { return Append(std::as_bytes(std::span(text))); }
  Status Commit();

 private:
  AtomicFile(int fd, std::string path, std::string temporary);
  int fd_ = -1;
  std::string path_, temporary_;
};

}  // namespace weir::io
