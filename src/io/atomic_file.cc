#include "io/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

namespace weir::io {
namespace {

Error WriteError(const std::string& path, int error) {
  const Code code = error == ENOENT                      ? Code::kNotFound
                    : error == EACCES || error == EROFS  ? Code::kPermissionDenied
                    : error == ENOSPC || error == EDQUOT ? Code::kResourceExhausted
                                                         : Code::kUnavailable;
  return Error(code, fmt::format("cannot write {}: {}", path, std::strerror(error)));
}

}  // namespace

AtomicFile::AtomicFile(int fd, std::string path, std::string temporary)
    : fd_(fd), path_(std::move(path)), temporary_(std::move(temporary)) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})) {}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Result<AtomicFile> AtomicFile::Create(const std::string& path) {
  static std::atomic<uint64_t> counter = 0;
  std::string temporary = fmt::format("{}.tmp-{}-{}", path, getpid(), counter++);
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return WriteError(path, errno);
  return AtomicFile(fd, path, std::move(temporary));
}

Status AtomicFile::Append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    // Linux moves at most 2 GiB - 4 KiB in one call.
    const ssize_t n = write(fd_, bytes.data(), std::min<size_t>(bytes.size(), 1u << 30));
    if (n < 0) {
      if (errno == EINTR) continue;
      return WriteError(path_, errno);
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return {};
}

Status AtomicFile::Commit() {
  if (fsync(fd_) != 0) return WriteError(path_, errno);
  const int closed = close(std::exchange(fd_, -1));
  if (closed != 0) return WriteError(path_, errno);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) return WriteError(path_, errno);
  temporary_.clear();
  const size_t slash = path_.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  const int dir = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return WriteError(folder, errno);
  const int synced = fsync(dir);
  const int error = errno;
  close(dir);
  if (synced != 0 && error != EINVAL) return WriteError(folder, error);
  return {};
}

}  // namespace weir::io
