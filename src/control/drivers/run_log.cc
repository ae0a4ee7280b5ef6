#include "control/drivers/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace weir::control {

void LastLines::Put(std::string_view text) {
  if (text.empty()) return;
  if (returned_) {
    current_.clear();
    cut_ = false;
    returned_ = false;
  }
  const size_t room = kLineBytes - current_.size();
  cut_ = cut_ || text.size() > room;
  current_.append(text.substr(0, room));
}

void LastLines::Add(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    Put(bytes.substr(0, end));
    if (end == bytes.size()) return;
    if (bytes[end] == '\n') {
      lines_.push_back(cut_ ? current_ + "..." : current_);
      if (lines_.size() > kLines) lines_.pop_front();
      current_.clear();
      cut_ = false;
      returned_ = false;
    } else {
      returned_ = true;
    }
    bytes.remove_prefix(end + 1);
  }
}

std::vector<std::string> LastLines::Get() const {
  std::vector<std::string> lines(lines_.begin(), lines_.end());
  if (!current_.empty()) lines.push_back(cut_ ? current_ + "..." : current_);
  if (lines.size() > kLines) lines.erase(lines.begin());
  return lines;
}

RunLog::RunLog(std::string path, Limits limits) : path_(std::move(path)), limits_(limits) {
  limits_.file_bytes = std::max<int64_t>(limits_.file_bytes, 1);
  limits_.files = std::max<int64_t>(limits_.files, 1);
  Open();
}

RunLog::~RunLog() {
  if (fd_ >= 0) ::close(fd_);
}

void RunLog::Open() {
  if (path_.empty()) return;
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  struct stat info {};
  size_ = fd_ >= 0 && ::fstat(fd_, &info) == 0 ? static_cast<int64_t>(info.st_size) : 0;
}

void RunLog::Rotate() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
  if (limits_.files == 1) {
    ::unlink(path_.c_str());
  } else {
    for (int64_t n = limits_.files - 1; n > 1; --n) {
      ::rename(fmt::format("{}~{}", path_, n - 1).c_str(), fmt::format("{}~{}", path_, n).c_str());
    }
    ::rename(path_.c_str(), fmt::format("{}~1", path_).c_str());
  }
  Open();
}

void RunLog::Write(std::string_view bytes) {
  last_lines_.Add(bytes);
  if (path_.empty()) return;
  while (!bytes.empty()) {
    if (size_ >= limits_.file_bytes) Rotate();
    if (fd_ < 0) Open();  // the disk may have room again
    const auto room = static_cast<size_t>(std::max<int64_t>(limits_.file_bytes - size_, 1));
    const ssize_t n = fd_ < 0 ? -1 : ::write(fd_, bytes.data(), std::min(bytes.size(), room));
    if (n < 0 && fd_ >= 0 && errno == EINTR) continue;
    if (n <= 0) {
      dropped_bytes_ += static_cast<int64_t>(bytes.size());
      return;
    }
    size_ += n;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace weir::control
