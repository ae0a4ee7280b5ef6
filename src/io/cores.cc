#include "io/cores.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string_view>

#include "base/check.h"
#include "io/cgroup.h"
#include "io/files.h"

namespace weir::io {
namespace {

constexpr int64_t kMaxProcFile = 1 << 20;

std::optional<int64_t> NumberIn(const std::string& file) {
  const Result<std::string> text = ReadFile(file, kMaxProcFile);
  int64_t number = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), number).ec != std::errc())
    return std::nullopt;
  return number;
}

// The folders of our cgroup and of all above it: a limit anywhere on the way counts. In a
// container the path of /proc/self/cgroup may not exist below the mount; its root then does.
std::vector<std::string> OwnCgroups(std::string_view controller, const std::string& mount) {
  const std::string self = ReadFile("/proc/self/cgroup", kMaxProcFile).value_or("");
  std::vector<std::string> folders = {mount};
  for (size_t begin = 0; begin < self.size();) {
    const size_t end = std::min(self.find('\n', begin), self.size());
    const std::string_view line = std::string_view(self).substr(begin, end - begin);
    begin = end + 1;
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    if (line.substr(first + 1, second - first - 1) != controller) continue;
    const std::string_view path = line.substr(second + 1);
    for (size_t at = path.find('/', 1);; at = path.find('/', at + 1)) {
      if (path.size() > 1) folders.push_back(mount + std::string(path.substr(0, at)));
      if (at == std::string_view::npos) break;
    }
  }
  return folders;
}

}  // namespace

std::vector<int> UsableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(static_cast<size_t>(core), &set)) cores.push_back(core);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

double CoreLimit() {
  auto limit = static_cast<double>(UsableCores().size());
  for (const std::string& folder : OwnCgroups("", "/sys/fs/cgroup")) {
    const std::string text = ReadFile(folder + "/cpu.max", kMaxProcFile).value_or("max");
    int64_t quota = 0;
    int64_t period = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, quota);
    if (parsed.ec != std::errc() || parsed.ptr == end) continue;
    std::from_chars(parsed.ptr + 1, end, period);
    if (period > 0)
      limit = std::min(limit, static_cast<double>(quota) / static_cast<double>(period));
  }
  for (const std::string& folder : OwnCgroups("cpu", "/sys/fs/cgroup/cpu")) {
    const auto quota = NumberIn(folder + "/cpu.cfs_quota_us");
    const auto period = NumberIn(folder + "/cpu.cfs_period_us");
    if (quota && period && *quota > 0 && *period > 0) {
      limit = std::min(limit, static_cast<double>(*quota) / static_cast<double>(*period));
    }
  }
  return limit;
}

int64_t MemoryLimitBytes() {
  int64_t limit = static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  for (const std::string& folder : OwnCgroups("", "/sys/fs/cgroup")) {
    if (const auto max = NumberIn(folder + "/memory.max")) limit = std::min(limit, *max);
  }
  for (const std::string& folder : OwnCgroups("memory", "/sys/fs/cgroup/memory")) {
    if (const auto max = NumberIn(folder + "/memory.limit_in_bytes")) {
      limit = std::min(limit, *max);
    }
  }
  return limit;
}

Result<SlotShares> SlotShares::Detect(int slots) {
  const std::vector<int> cores = UsableCores();
  const int most = static_cast<int>(cores.size()) * kMaxSlotsPerCore;
  if (slots < 1 || slots > most) {
    return Error(Code::kInvalidArgument,
                 fmt::format("{} slots: this machine has {} usable cores and takes 1 to {} slots",
                             slots, cores.size(), most))
        .Hint(fmt::format("use --slots {}", std::clamp(slots, 1, most)));
  }
  const Result<std::string> root = PrepareCgroupRoot();
  SlotShares shares = Of(slots, cores, root ? *root : std::string());
  shares.why_ = root ? fmt::format("cgroup v2 cpu.max below {}", *root)
                     : fmt::format("affinity and nice, because {}", root.error().message());
  return shares;
}

SlotShares SlotShares::Of(int slots, std::vector<int> cores, std::string cgroup_root) {
  CHECK_MSG(slots >= 1 && !cores.empty(), "slots={} cores={}", slots, cores.size());
  SlotShares shares;
  shares.slots_ = slots;
  shares.cores_ = std::move(cores);
  shares.cgroup_root_ = std::move(cgroup_root);
  shares.why_ = "as told";
  return shares;
}

Share SlotShares::ShareOf(const std::vector<int>& slot_ids) const {
  const auto core_count = static_cast<int>(cores_.size());
  std::set<int> touched;
  for (const int slot : slot_ids) {
    CHECK_MSG(slot >= 0 && slot < slots_, "slot={} of {}", slot, slots_);
    // In integers: slot s touches core c if [s*C/N, (s+1)*C/N) meets [c, c+1).
    const int first = slot * core_count / slots_;
    const int last = ((slot + 1) * core_count - 1) / slots_;
    for (int core = first; core <= last; ++core) touched.insert(cores_[static_cast<size_t>(core)]);
  }
  Share share;
  share.cores.assign(touched.begin(), touched.end());
  share.core_time = static_cast<double>(slot_ids.size()) * core_count / slots_;
  share.threads = std::max(1, static_cast<int>(std::lround(share.core_time)));
  return share;
}

}  // namespace weir::io
