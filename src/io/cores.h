// This machine's cores, and slots as shares of them.
//
// A CPU site cuts C usable cores into N slots. Slot i is the stretch [i*C/N, (i+1)*C/N) of the row
// of cores; a lease of several slots gets the cores its stretches touch. Two mechanisms:
//   cgroup v2  where a cgroup with the cpu controller is delegated to us and writable: cpu.max
//              caps a lease at its exact share, memory.max its memory.
//   affinity   otherwise: a lease runs on the cores that it touches; leases that share a core
//              share it by nice. Memory is held by the shim's watch (control/drivers/shim.h).
// Detect says which, and why.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace weir::io {

// Cores this process may use, ascending: its affinity mask.
std::vector<int> UsableCores();
// How many cores' worth of time our cgroup allows (v2 cpu.max or v1 cfs quota); the number of
// usable cores if there is no limit.
double CoreLimit();
// Physical memory, or our cgroup's limit if that is lower.
int64_t MemoryLimitBytes();

struct Share {
  std::vector<int> cores;  // affinity
  double core_time = 0;    // cores' worth of time: slots * C / N
  int threads = 1;         // what a command should start: core_time rounded, at least 1
};

class SlotShares {
 public:
  enum class Mechanism { kCgroupV2, kAffinity };
  // slots in 1..kMaxSlotsPerCore * cores, else kInvalidArgument.
  static Result<SlotShares> Detect(int slots);
  // For tests and simulations: no look at the machine.
  static SlotShares Of(int slots, std::vector<int> cores, std::string cgroup_root = {});

  Mechanism mechanism() const {
    return cgroup_root_.empty() ? Mechanism::kAffinity : Mechanism::kCgroupV2;
  }
  // "affinity and nice, because ...", one sentence.
  const std::string& why() const { return why_; }
  // The delegated folder under which a lease's cgroup may be made; empty for affinity.
  const std::string& cgroup_root() const { return cgroup_root_; }
  int slots() const { return slots_; }
  const std::vector<int>& cores() const { return cores_; }
  // slot ids in [0, slots()).
  Share ShareOf(const std::vector<int>& slot_ids) const;

 private:
  int slots_ = 0;
  std::vector<int> cores_;
  std::string cgroup_root_;
  std::string why_;
};

inline constexpr int kMaxSlotsPerCore = 16;

}  // namespace weir::io
