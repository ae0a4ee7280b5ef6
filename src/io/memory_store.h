// A store in memory, for simulations and tests: the same promises as on disk, no time taken,
// every fault on demand.
//
// A MemoryDisk outlives the process that is simulated; a MemoryStore is that process's handle. A
// crash kills the handle (every later call says kUnavailable "crashed") and leaves on the disk
// exactly what was acknowledged, plus the call in flight wholly or not at all. The simulation then
// throws its process away and opens a new MemoryStore on the same disk.
//
// Before every operation that touches the disk the handle asks `faults` what happens to it.
//
//   MemoryDisk disk;
//   int n = 0;
//   MemoryStore store(&disk, [&](std::string_view op) {
//     return ++n == 7 ? Fault::kCrashAfter : Fault::kNone; });
//
// Threads   one.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/store.h"

namespace weir::io {

enum class Fault {
  kNone,
  kDiskFull,     // kResourceExhausted, nothing written; reads do not fail so
  kIoError,      // kUnavailable, nothing written
  kCrashBefore,  // the process dies, nothing of the call is on disk
  kCrashAfter,   // the process dies, the whole call is on disk, nobody was told
};
// op: "append", "scan", "last_seq", "put_snapshot", "latest_snapshot", "put", "get", "delete",
// "list", "verify".
using FaultHook = std::function<Fault(std::string_view op)>;

struct MemoryDisk {
  std::vector<Record> journal;
  std::vector<Snapshot> snapshots;  // oldest first
  std::map<std::string, std::string, std::less<>> table;
};

class MemoryStore final : public Store {
 public:
  // Borrows disk. No hook: no faults.
  explicit MemoryStore(MemoryDisk* disk, FaultHook faults = {});

  bool crashed() const { return crashed_; }
  void Crash() { crashed_ = true; }  // from outside, between two calls

  using Store::Append;
  Result<int64_t> Append(std::span<const Entry> batch) override;
  Result<int64_t> LastSeq() override;
  Status Scan(int64_t from_seq, const std::function<bool(const Record&)>& visit) override;
  Status PutSnapshot(int64_t seq, std::string_view blob) override;
  Result<std::optional<Snapshot>> LatestSnapshot() override;
  Status Put(std::string_view key, std::string_view value) override;
  Result<std::optional<std::string>> Get(std::string_view key) override;
  Status Delete(std::string_view key) override;
  Result<std::vector<std::pair<std::string, std::string>>> List(
      std::string_view key_prefix) override;
  Result<VerifyReport> Verify() override;
  std::string Location() const override { return "memory"; }

 private:
  // Runs write (which changes the disk) between the faults.
  Status Mutate(std::string_view op, const std::function<void()>& write);
  Status Read(std::string_view op);

  MemoryDisk* disk_;
  FaultHook faults_;
  bool crashed_ = false;
};

}  // namespace weir::io
