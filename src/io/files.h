// Files and folders: bounded reads, writes that survive a power cut, one process per folder.
//
// Errors    every sentence names what was tried, the path and the system's reason; the hint is the
//           next step (free space, another folder, permissions). Codes: kNotFound,
//           kPermissionDenied (also a read-only file system), kResourceExhausted (disk or quota
//           full), kTooLarge (over the caller's bound), kAlreadyExists, kInvalidArgument,
//           kUnavailable (anything else the disk says).
// Modes     new files are 0600 and new folders 0700 unless the caller says otherwise.
// Threads   free functions: any thread. Two writers of one path: the last rename wins, whole.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace weir::io {

// The error for a failed system call: ErrnoError(errno, "cannot open", path).
Error ErrnoError(int error_number, std::string_view doing, std::string_view path);

// The whole file. More than max_bytes is kTooLarge: nobody reads an unbounded file into memory.
Result<std::string> ReadFile(const std::string& path, int64_t max_bytes);
// At most max_bytes from offset on; shorter (or empty) at the end of the file.
Result<std::string> ReadFileAt(const std::string& path, int64_t offset, int64_t max_bytes);

// After kOk the file holds exactly bytes, even if the power fails now; before, whatever it held.
// A temporary name in the same folder, write, fsync, rename, fsync of the folder.
Status WriteFileDurably(const std::string& path, std::string_view bytes, int mode = 0600);
// As above without the fsyncs: readers see old or new, a power cut may lose the new one. For
// content that can be made again.
Status WriteFileAtomically(const std::string& path, std::string_view bytes, int mode = 0600);
// As WriteFileDurably, but kAlreadyExists if the path is there (two creators: one wins).
Status CreateFileDurably(const std::string& path, std::string_view bytes, int mode = 0600);

// Creates missing parents too. An existing folder is fine and keeps its mode.
Status MakeDirs(const std::string& path, int mode = 0700);
// Makes the entries of a folder (creations, renames, removals in it) survive a power cut.
Status SyncDir(const std::string& path);
// A file or a whole tree; does not follow links; not there is fine.
Status RemoveTree(const std::string& path);
// Not there is fine.
Status RemoveFile(const std::string& path);
bool FileExists(const std::string& path);  // of any type; does not follow links
Result<int64_t> FileSize(const std::string& path);

struct DirEntry {
  std::string name;
  bool is_dir = false;
};
// Sorted by name, without "." and "..".
Result<std::vector<DirEntry>> ListDir(const std::string& path);

// What an unprivileged writer may still use on the file system that holds path (which may not yet
// exist: the nearest parent that does is asked).
Result<int64_t> FreeBytes(const std::string& path);

// SHA-256, lower-case hex.
std::string Sha256Hex(std::string_view bytes);
Result<std::string> Sha256OfFile(const std::string& path);

// root joined with an outside name that must stay inside: no absolute path, no "..", no NUL, no
// empty part. Does not look at the disk (so not at links either).
Result<std::string> JoinInside(const std::string& root, std::string_view relative);

// One environment variable: how these functions, and tests, see the environment.
using EnvLookup = std::function<std::optional<std::string>(const std::string&)>;
EnvLookup ProcessEnv();
// XDG base folders with "weir" appended: $XDG_DATA_HOME or ~/.local/share; $XDG_CONFIG_HOME or
// ~/.config. kFailedPrecondition if neither the variable nor HOME is set.
Result<std::string> DefaultDataDir(const EnvLookup& env);
Result<std::string> DefaultConfigDir(const EnvLookup& env);

// An exclusive lock on a file, held until the object dies or the process does, however it dies.
// An open-file-description lock: the kernel drops it, so a stale file blocks nobody; asking who
// holds it (IsLocked) does not take it.
class FileLock {
 public:
  // Creates the file if need be. kFailedPrecondition if another process (or another FileLock of
  // this one) holds it; the message is then the holder's note, if it left one.
  static Result<FileLock> Acquire(const std::string& path);
  // Whether anybody holds the lock now; false if the file is not there.
  static Result<bool> IsLocked(const std::string& path);

  FileLock(FileLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();
  // Replaces the file's text, for whoever finds it locked.
  Status WriteNote(std::string_view note);

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_;
};

// One process per data folder. Creates dir if need be; dir/lock names the holder. When it is
// taken: "the data folder X is in use by process 123 on host H since T".
Result<FileLock> LockDir(const std::string& dir, Time now);

// A folder under $TMPDIR that disappears with its tree. For tests and for work that is thrown away.
class TempDir {
 public:
  static Result<TempDir> Create(std::string_view prefix = "weir");
  TempDir(TempDir&& other) noexcept : path_(std::move(other.path_)) { other.path_.clear(); }
  TempDir& operator=(TempDir&&) = delete;
  ~TempDir();
  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace weir::io
