#include "io/rotated_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "io/files.h"

namespace weir::io {

RotatedLog::~RotatedLog() { Close(); }

RotatedLog::RotatedLog(RotatedLog&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(other.fd_),
      id_(other.id_),
      position_(other.position_),
      offset_(other.offset_) {
  other.fd_ = -1;
}

void RotatedLog::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  position_ = 0;
}

std::string RotatedLog::NameOf(int age) const {
  return age == 0 ? path_ : path_ + "~" + std::to_string(age);
}

int RotatedLog::OldestAge() const {
  int oldest = -1;
  struct stat st;
  for (int age = 0; age <= kMostRotations; ++age) {
    if (::stat(NameOf(age).c_str(), &st) == 0)
      oldest = age;
    else if (age > 0)
      break;
  }
  return oldest;
}

Result<bool> RotatedLog::Open(int age) {
  const std::string name = NameOf(age);
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoError(errno, "cannot open", name);
  }
  struct stat st;
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    ::close(fd);
    return Error(Code::kFailedPrecondition, name + " is not a file")
        .Hint("a log is a plain file; move what is there away");
  }
  Close();
  fd_ = fd;
  id_ = {st.st_dev, st.st_ino};
  return true;
}

Result<bool> RotatedLog::Advance() {
  struct stat st;
  for (int age = 0; age <= kMostRotations; ++age) {
    if (::stat(NameOf(age).c_str(), &st) != 0) {
      if (age > 0) break;
      continue;  // between the renaming and the new file
    }
    if (FileId{st.st_dev, st.st_ino} != id_) continue;
    return age == 0 ? Result<bool>(false) : Open(age - 1);
  }
  // Ours is no longer kept: go on with the oldest that is.
  const int oldest = OldestAge();
  return oldest < 0 ? Result<bool>(false) : Open(oldest);
}

Result<std::string> RotatedLog::Read(int64_t max_bytes) {
  std::string out;
  if (fd_ < 0) {
    const int oldest = OldestAge();
    if (oldest < 0 || !TRY(Open(oldest))) return out;
  }
  out.resize(static_cast<size_t>(max_bytes));
  size_t got = 0;
  const auto fill = [&]() -> Result<bool> {  // whether anything came
    bool any = false;
    while (got < out.size()) {
      const ssize_t n =
          ::pread(fd_, out.data() + got, out.size() - got, static_cast<off_t>(position_));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return ErrnoError(errno, "cannot read", path_);
      if (n == 0) break;
      got += static_cast<size_t>(n);
      position_ += n;
      any = true;
    }
    return any;
  };
  for (int files = 0; files <= kMostRotations; ++files) {
    TRY(fill());
    if (got == out.size()) break;
    // At the end of this file. If it has been renamed meanwhile, more may have come before that:
    // read it once more before going on with the next.
    RotatedLog next(path_);
    next.id_ = id_;
    if (!TRY(next.Advance())) break;
    if (TRY(fill())) continue;
    std::swap(fd_, next.fd_);
    id_ = next.id_;
    position_ = 0;
  }
  out.resize(got);
  offset_ += static_cast<int64_t>(got);
  return out;
}

Status RotatedLog::Seek(int64_t offset) {
  Close();
  offset_ = 0;
  for (int age = OldestAge(); age >= 0; --age) {
    if (!TRY(Open(age))) continue;
    struct stat st;
    if (::fstat(fd_, &st) != 0) return ErrnoError(errno, "cannot read", NameOf(age));
    const int64_t size = st.st_size;
    if (offset - offset_ < size || age == 0) {
      position_ = std::min(offset - offset_, size);
      offset_ += position_;
      return {};
    }
    offset_ += size;
    position_ = size;
  }
  return {};
}

Status RotatedLog::SeekToLastLines(int64_t lines, int64_t max_bytes) {
  int64_t total = 0;
  for (int age = OldestAge(); age >= 0; --age) {
    struct stat st;
    if (::stat(NameOf(age).c_str(), &st) == 0) total += st.st_size;
  }
  const int64_t from = std::max<int64_t>(0, total - max_bytes);
  TRY(Seek(from));
  const std::string text = TRY(Read(max_bytes));
  // Count line ends backwards; one at the very end closes the last line.
  size_t at = text.size();
  if (at > 0 && text[at - 1] == '\n') --at;
  while (lines > 0 && at > 0) {
    const size_t newline = text.rfind('\n', at - 1);
    --lines;
    if (newline == std::string::npos) {
      at = 0;
      break;
    }
    at = newline;
  }
  if (lines == 0 && at < text.size() && text[at] == '\n') ++at;
  return Seek(from + static_cast<int64_t>(at));
}

}  // namespace weir::io
