// Control groups, version 2, in a part of the tree that was delegated to us (systemd Delegate=yes,
// a container with a writable /sys/fs/cgroup). Where there is none, callers do without and say why.
//
// Processes may sit only in leaves once controllers are on, so PrepareCgroupRoot moves this process
// into a leaf of its own, "weir-main". A lease's group is a sibling of that leaf.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace weir::io {

struct CgroupFiles {  // where to look; tests look elsewhere
  std::string self_cgroup = "/proc/self/cgroup";
  std::string mounts = "/proc/self/mountinfo";
};

// The folder under which groups with cpu and memory limits can be made. The error's message says
// why not, as a clause: "this is cgroup v1", "...is not writable".
Result<std::string> PrepareCgroupRoot(const CgroupFiles& files = {});

struct CgroupLimits {
  double core_time = 0;      // cores' worth of time; 0: no limit
  int64_t memory_bytes = 0;  // 0: no limit
};
// Creates root/name (a group that is there already gets the new limits) and returns its folder.
Result<std::string> MakeCgroup(const std::string& root, const std::string& name,
                               const CgroupLimits& limits);
// Kills what is in it, then removes it; it may need a moment: kUnavailable says ask again.
Status RemoveCgroup(const std::string& folder);
// How often the kernel killed something in it for want of memory.
int64_t OomKillsIn(const std::string& folder);

}  // namespace weir::io
