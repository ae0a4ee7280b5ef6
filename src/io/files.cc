#include "io/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

namespace weir::io {
namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string ParentOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status WriteAll(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "cannot write", path);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

enum class Sync { kNo, kYes };
enum class Existing { kReplace, kRefuse };

Status WriteViaTemporary(const std::string& path, std::string_view bytes, int mode, Sync sync,
                         Existing existing) {
  // The pid and a counter keep writers of one path apart; what a crash leaves behind ends in
  // ".tmp", which nothing reads.
  static std::atomic<uint64_t> counter{0};
  const std::string temporary = fmt::format("{}.{}.{}.tmp", path, ::getpid(), ++counter);
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (fd.get() < 0) return ErrnoError(errno, "cannot create", temporary);
  Status written = WriteAll(fd.get(), bytes, path);
  if (written && sync == Sync::kYes && ::fsync(fd.get()) != 0) {
    written = ErrnoError(errno, "cannot sync", path);
  }
  // Some file systems report a full quota only here.
  if (::close(fd.release()) != 0 && written) written = ErrnoError(errno, "cannot close", path);
  if (written) {
    const bool moved = existing == Existing::kReplace
                           ? ::rename(temporary.c_str(), path.c_str()) == 0
                           : ::link(temporary.c_str(), path.c_str()) == 0;
    if (!moved) written = ErrnoError(errno, "cannot create", path);
  }
  if (!written || existing == Existing::kRefuse) ::unlink(temporary.c_str());
  TRY(written);
  if (sync == Sync::kYes) TRY(SyncDir(ParentOf(path)));
  return {};
}

Status RemoveTreeAt(int parent_fd, const char* name, const std::string& path) {
  if (::unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT) return {};
  // EISDIR by Linux, EPERM by POSIX for a folder.
  if (errno != EISDIR && errno != EPERM) return ErrnoError(errno, "cannot remove", path);
  Fd fd(::openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoError(errno, "cannot remove", path);
  DIR* dir = ::fdopendir(fd.get());
  if (dir == nullptr) return ErrnoError(errno, "cannot remove", path);
  fd.release();  // dir owns it
  Status removed;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string_view entry_name = entry->d_name;
    if (entry_name == "." || entry_name == "..") continue;
    removed = RemoveTreeAt(::dirfd(dir), entry->d_name, path + "/" + entry->d_name);
    if (!removed) break;
  }
  ::closedir(dir);
  TRY(removed);
  if (::unlinkat(parent_fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return ErrnoError(errno, "cannot remove", path);
  }
  return {};
}

std::string HexOf(const unsigned char* bytes, size_t size) {
  std::string hex(size * 2 + 1, '\0');
  sodium_bin2hex(hex.data(), hex.size(), bytes, size);
  hex.pop_back();
  return hex;
}

Result<std::string> XdgDir(const EnvLookup& env, const char* variable, const char* below_home) {
  // The XDG specification: a relative path in the variable is to be ignored.
  if (const auto set = env(variable); set && !set->empty() && set->front() == '/') {
    return *set + "/weir";
  }
  if (const auto home = env("HOME"); home && !home->empty() && home->front() == '/') {
    return *home + below_home + "/weir";
  }
  return Error(Code::kFailedPrecondition,
               fmt::format("no folder to use: neither {} nor HOME is set", variable))
      .Hint("set HOME, or name the folder with --data");
}

flock64 WholeFile(short type) {
  flock64 lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

Error ErrnoError(int error_number, std::string_view doing, std::string_view path) {
  std::array<char, 128> buffer{};
  const std::string message = fmt::format("{} {}: {}", doing, path,
                                          ::strerror_r(error_number, buffer.data(), buffer.size()));
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return Error(Code::kNotFound, message).Hint("check the path");
    case EACCES:
    case EPERM:
      return Error(Code::kPermissionDenied, message)
          .Hint("run as the owner of that path, or name another folder with --data");
    case EROFS:
      return Error(Code::kPermissionDenied, message)
          .Hint("mount it read-write, or name another folder with --data");
    case ENOSPC:
    case EDQUOT:
      return Error(Code::kResourceExhausted, message)
          .Hint("free some space, or name a folder on another disk with --data");
    case EMFILE:
    case ENFILE:
      return Error(Code::kResourceExhausted, message)
          .Hint("raise the limit of open files: ulimit -n");
    case EEXIST:
      return Error(Code::kAlreadyExists, message).Hint("remove it, or choose another name");
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
    case EINVAL:
      return Error(Code::kInvalidArgument, message).Hint("check the path");
    case EFBIG:
      return Error(Code::kTooLarge, message).Hint("raise the limit of file size: ulimit -f");
    default:
      return Error(Code::kUnavailable, message).Hint("check the disk: dmesg, smartctl");
  }
}

Result<std::string> ReadFile(const std::string& path, int64_t max_bytes) {
  // One byte more than allowed tells "exactly full" from "too large" without trusting st_size,
  // which is 0 for the files of /proc.
  std::string bytes = TRY(ReadFileAt(path, 0, max_bytes + 1));
  if (static_cast<int64_t>(bytes.size()) > max_bytes) {
    return Error(Code::kTooLarge,
                 fmt::format("{} is larger than {} allowed here", path, HumanBytes(max_bytes)));
  }
  return bytes;
}

Result<std::string> ReadFileAt(const std::string& path, int64_t offset, int64_t max_bytes) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoError(errno, "cannot open", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError(errno, "cannot read", path);
  if (S_ISDIR(info.st_mode)) return ErrnoError(EISDIR, "cannot read", path);
  std::string bytes;
  constexpr size_t kChunk = 64 << 10;
  size_t step = kChunk;
  if (S_ISREG(info.st_mode) && info.st_size > offset) {
    step = static_cast<size_t>(std::min<int64_t>(info.st_size - offset, max_bytes)) + 1;
  }
  while (static_cast<int64_t>(bytes.size()) < max_bytes) {
    const size_t had = bytes.size();
    const size_t want = std::min(step, static_cast<size_t>(max_bytes) - had);
    bytes.resize(had + want);
    const ssize_t n = S_ISREG(info.st_mode) ? ::pread(fd.get(), bytes.data() + had, want,
                                                      offset + static_cast<int64_t>(had))
                                            : ::read(fd.get(), bytes.data() + had, want);
    if (n < 0 && errno == EINTR) {
      bytes.resize(had);
      continue;
    }
    if (n < 0) return ErrnoError(errno, "cannot read", path);
    bytes.resize(had + static_cast<size_t>(n));
    if (n == 0) break;
    step = kChunk;
  }
  return bytes;
}

Status WriteFileDurably(const std::string& path, std::string_view bytes, int mode) {
  return WriteViaTemporary(path, bytes, mode, Sync::kYes, Existing::kReplace);
}
Status WriteFileAtomically(const std::string& path, std::string_view bytes, int mode) {
  return WriteViaTemporary(path, bytes, mode, Sync::kNo, Existing::kReplace);
}
Status CreateFileDurably(const std::string& path, std::string_view bytes, int mode) {
  return WriteViaTemporary(path, bytes, mode, Sync::kYes, Existing::kRefuse);
}

Status MakeDirs(const std::string& path, int mode) {
  if (path.empty()) return Error(Code::kInvalidArgument, "an empty path names no folder");
  // Parents first; one that is there already is fine, whatever its mode.
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), static_cast<mode_t>(mode)) != 0) {
      const int reason = errno;
      struct stat info {};
      const bool is_dir = ::stat(part.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
      if (!is_dir) {
        return ErrnoError(reason == EEXIST ? ENOTDIR : reason, "cannot create the folder", part);
      }
    }
    if (end == std::string::npos) return {};
  }
}

Status SyncDir(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoError(errno, "cannot open the folder", path);
  // Some file systems (FUSE, some network ones) cannot sync a folder, and need not.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOSYS) {
    return ErrnoError(errno, "cannot sync the folder", path);
  }
  return {};
}

Status RemoveTree(const std::string& path) { return RemoveTreeAt(AT_FDCWD, path.c_str(), path); }

Status RemoveFile(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoError(errno, "cannot remove", path);
  }
  return {};
}

bool FileExists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

Result<int64_t> FileSize(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoError(errno, "cannot look at", path);
  return static_cast<int64_t>(info.st_size);
}

Result<std::vector<DirEntry>> ListDir(const std::string& path) {
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return ErrnoError(errno, "cannot list the folder", path);
  std::vector<DirEntry> entries;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    bool is_dir = entry->d_type == DT_DIR;
    if (entry->d_type == DT_UNKNOWN) {
      struct stat info {};
      is_dir = ::fstatat(::dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISDIR(info.st_mode);
    }
    entries.push_back({name, is_dir});
  }
  ::closedir(dir);
  std::sort(entries.begin(), entries.end(),
            [](const DirEntry& a, const DirEntry& b) { return a.name < b.name; });
  return entries;
}

Result<int64_t> FreeBytes(const std::string& path) {
  std::string there = path;
  struct statvfs info {};
  while (::statvfs(there.c_str(), &info) != 0) {
    if (errno != ENOENT || there == "/" || there == ".") {
      return ErrnoError(errno, "cannot ask for the free space of", path);
    }
    there = ParentOf(there);
  }
  return static_cast<int64_t>(info.f_bavail) * static_cast<int64_t>(info.f_frsize);
}

std::string Sha256Hex(std::string_view bytes) {
  std::array<unsigned char, crypto_hash_sha256_BYTES> sum{};
  crypto_hash_sha256(sum.data(), reinterpret_cast<const unsigned char*>(bytes.data()),
                     bytes.size());
  return HexOf(sum.data(), sum.size());
}

Result<std::string> Sha256OfFile(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoError(errno, "cannot open", path);
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  std::vector<unsigned char> buffer(256 << 10);
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError(errno, "cannot read", path);
    if (n == 0) break;
    crypto_hash_sha256_update(&state, buffer.data(), static_cast<size_t>(n));
  }
  std::array<unsigned char, crypto_hash_sha256_BYTES> sum{};
  crypto_hash_sha256_final(&state, sum.data());
  return HexOf(sum.data(), sum.size());
}

Result<std::string> JoinInside(const std::string& root, std::string_view relative) {
  const auto refuse = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, fmt::format("the path '{}' {}", relative, why))
        .Hint("use a path below the folder, such as a/b.txt");
  };
  if (relative.empty()) return refuse("is empty");
  if (relative.find('\0') != std::string_view::npos) {
    return Error(Code::kInvalidArgument, "the path holds a NUL byte");
  }
  for (size_t begin = 0; begin <= relative.size();) {
    const size_t end = std::min(relative.find('/', begin), relative.size());
    const std::string_view part = relative.substr(begin, end - begin);
    if (part.empty()) return refuse("is absolute or has an empty part");
    if (part == "." || part == "..") return refuse("leads out of its folder");
    begin = end + 1;
  }
  return root + "/" + std::string(relative);
}

EnvLookup ProcessEnv() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = ::getenv(name.c_str());
    if (value == nullptr) return std::nullopt;
    return value;
  };
}
Result<std::string> DefaultDataDir(const EnvLookup& env) {
  return XdgDir(env, "XDG_DATA_HOME", "/.local/share");
}
Result<std::string> DefaultConfigDir(const EnvLookup& env) {
  return XdgDir(env, "XDG_CONFIG_HOME", "/.config");
}

Result<FileLock> FileLock::Acquire(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (fd.get() < 0) return ErrnoError(errno, "cannot open the lock", path);
  flock64 lock = WholeFile(F_WRLCK);
  if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno != EAGAIN && errno != EACCES) return ErrnoError(errno, "cannot lock", path);
    const std::string note = ReadFile(path, 4096).value_or("");
    return Error(Code::kFailedPrecondition,
                 note.empty() ? fmt::format("{} is locked by another process", path) : note);
  }
  return FileLock(fd.release());
}

Result<bool> FileLock::IsLocked(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() < 0 && errno == ENOENT) return false;
  if (fd.get() < 0) return ErrnoError(errno, "cannot open the lock", path);
  flock64 lock = WholeFile(F_WRLCK);
  if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0) {
    return ErrnoError(errno, "cannot ask for the lock of", path);
  }
  return lock.l_type != F_UNLCK;
}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

Status FileLock::WriteNote(std::string_view note) {
  if (::ftruncate(fd_, 0) != 0 || ::lseek(fd_, 0, SEEK_SET) != 0) {
    return ErrnoError(errno, "cannot write", "the lock");
  }
  return WriteAll(fd_, note, "the lock");
}

Result<FileLock> LockDir(const std::string& dir, Time now) {
  TRY(MakeDirs(dir));
  Result<FileLock> lock = FileLock::Acquire(dir + "/lock");
  if (!lock && lock.error().code() == Code::kFailedPrecondition) {
    return Error(Code::kFailedPrecondition,
                 fmt::format("the data folder {} is in use: {}", dir, lock.error().message()))
        .Hint("stop that process, or name another folder with --data");
  }
  if (!lock) return lock;
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  TRY(lock->WriteNote(
      fmt::format("process {} on {} since {}", ::getpid(), host.data(), Human(now))));
  return lock;
}

Result<TempDir> TempDir::Create(std::string_view prefix) {
  const char* base = ::getenv("TMPDIR");
  std::string path = fmt::format("{}/{}-XXXXXX", base != nullptr ? base : "/tmp", prefix);
  if (::mkdtemp(path.data()) == nullptr) return ErrnoError(errno, "cannot create", path);
  return TempDir(path);
}

TempDir::~TempDir() {
  if (!path_.empty()) (void)RemoveTree(path_);
}

}  // namespace weir::io
