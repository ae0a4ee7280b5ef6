// A file's bytes, mapped read-only. Shared between all readers through the page cache.
//
// A file that shrinks while it is mapped raises SIGBUS on access, as with any mmap: model files are
// written under a temporary name and renamed, never changed in place.
// Threads: immutable. Errors: kNotFound, kInvalidArgument (not a regular file), kPermissionDenied.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace weir::io {

class MappedFile {
 public:
  static Result<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return bytes_; }
  // Takes the pages that lie wholly within `part` out of this process's memory. The bytes stay
  // readable: touched again, they come from the page cache or the file.
  void Forget(std::span<const std::byte> part) const;

 private:
  explicit MappedFile(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::span<const std::byte> bytes_;
};

}  // namespace weir::io
