#include "io/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <vector>

#include "io/files.h"

namespace weir::io {
namespace {

constexpr int64_t kMaxCgroupFile = 1 << 20;
constexpr int64_t kPeriodUs = 100'000;  // the kernel's default period of cpu.max
constexpr int64_t kMinQuotaUs = 1000;   // the kernel takes no less

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

// One write, no temporary file: these are the kernel's files.
Status WriteControl(const std::string& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "cannot open", path);
  const ssize_t n = ::write(fd, text.data(), text.size());
  const int reason = errno;
  ::close(fd);
  if (n < 0) return ErrnoError(reason, fmt::format("cannot write {} to", text), path);
  return {};
}

bool HasControllers(const std::string& file) {
  const std::string text = ReadFile(file, kMaxCgroupFile).value_or("");
  bool cpu = false;
  bool memory = false;
  for (std::string_view name : Split(text, ' ')) {
    if (!name.empty() && name.back() == '\n') name.remove_suffix(1);
    cpu = cpu || name == "cpu";
    memory = memory || name == "memory";
  }
  return cpu && memory;
}

// "... 25 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw": the field after "-" is the type.
std::string MountPointOfV2(const std::string& mounts) {
  for (const std::string_view line : Split(mounts, '\n')) {
    const auto fields = Split(line, ' ');
    for (size_t i = 6; i + 1 < fields.size(); ++i) {
      if (fields[i] == "-" && fields[i + 1] == "cgroup2") return std::string(fields[4]);
    }
  }
  return {};
}

}  // namespace

Result<std::string> PrepareCgroupRoot(const CgroupFiles& files) {
  const auto no = [](std::string why) { return Error(Code::kUnimplemented, std::move(why)); };
  const std::string mount = MountPointOfV2(TRY(ReadFile(files.mounts, kMaxCgroupFile)));
  if (mount.empty()) return no("no cgroup v2 is mounted");
  const std::string self = TRY(ReadFile(files.self_cgroup, kMaxCgroupFile));
  std::string folder;
  for (const std::string_view line : Split(self, '\n')) {
    if (line.starts_with("0::")) folder = mount + std::string(line.substr(3));
  }
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  if (folder.empty()) return no("this process is in no cgroup v2");
  constexpr std::string_view kLeaf = "/weir-main";
  if (folder.ends_with(kLeaf)) folder.resize(folder.size() - kLeaf.size());  // prepared before
  if (!HasControllers(folder + "/cgroup.controllers")) {
    return no(fmt::format("cgroup v2 at {} has no cpu and memory controllers", folder));
  }
  if (HasControllers(folder + "/cgroup.subtree_control") && ::access(folder.c_str(), W_OK) == 0) {
    return folder;
  }
  const std::string leaf = folder + std::string(kLeaf);
  const Status made = MakeDirs(leaf, 0755);
  if (!made) return no(fmt::format("{} is not writable", folder));
  const Status moved = WriteControl(leaf + "/cgroup.procs", "0");
  const Status enabled =
      moved ? WriteControl(folder + "/cgroup.subtree_control", "+cpu +memory") : moved;
  if (!enabled) {
    (void)WriteControl(folder + "/cgroup.procs", "0");
    ::rmdir(leaf.c_str());
    return no(fmt::format("{} is not delegated to us ({})", folder, enabled.error().message()));
  }
  return folder;
}

Result<std::string> MakeCgroup(const std::string& root, const std::string& name,
                               const CgroupLimits& limits) {
  const std::string folder = TRY(JoinInside(root, name));
  TRY(MakeDirs(folder, 0755));
  if (limits.core_time > 0) {
    const auto quota =
        std::max(kMinQuotaUs, static_cast<int64_t>(std::llround(limits.core_time * kPeriodUs)));
    TRY(WriteControl(folder + "/cpu.max", fmt::format("{} {}", quota, kPeriodUs)));
  }
  if (limits.memory_bytes > 0) {
    TRY(WriteControl(folder + "/memory.max", fmt::format("{}", limits.memory_bytes)));
    // All or nothing: half a gang member is of no use. Older kernels lack the file.
    (void)WriteControl(folder + "/memory.oom.group", "1");
  }
  return folder;
}

Status RemoveCgroup(const std::string& folder) {
  (void)WriteControl(folder + "/cgroup.kill", "1");
  if (::rmdir(folder.c_str()) == 0 || errno == ENOENT) return {};
  return Error(Code::kUnavailable, fmt::format("{} is not empty yet", folder));
}

int64_t OomKillsIn(const std::string& folder) {
  const std::string text = ReadFile(folder + "/memory.events", kMaxCgroupFile).value_or("");
  for (const std::string_view line : Split(text, '\n')) {
    const auto fields = Split(line, ' ');
    if (fields.size() != 2 || fields[0] != "oom_kill") continue;
    int64_t count = 0;
    std::from_chars(fields[1].data(), fields[1].data() + fields[1].size(), count);
    return count;
  }
  return 0;
}

}  // namespace weir::io
