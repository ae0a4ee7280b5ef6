#include "io/memory_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace weir::io {
namespace {

Error Crashed() { return Error(Code::kUnavailable, "memory store: the process crashed"); }

// The first way in which a journal is not what was appended to it.
std::optional<Error> ProblemAt(const std::vector<Record>& journal, size_t i) {
  const Record& record = journal[i];
  const std::string& prev = i == 0 ? kGenesisHash : journal[i - 1].hash;
  if (record.seq == static_cast<int64_t>(i) + 1 && record.prev_hash == prev &&
      record.hash == HashOf(record)) {
    return std::nullopt;
  }
  return Error(Code::kDataLoss, fmt::format("memory store: journal record {} is damaged", i + 1));
}

}  // namespace

MemoryStore::MemoryStore(MemoryDisk* disk, FaultHook faults)
    : disk_(disk), faults_(std::move(faults)) {
  CHECK(disk != nullptr);
}

Status MemoryStore::Mutate(std::string_view op, const std::function<void()>& write) {
  if (crashed_) return Crashed();
  switch (faults_ ? faults_(op) : Fault::kNone) {
    case Fault::kNone:
      write();
      return {};
    case Fault::kDiskFull:
      return Error(Code::kResourceExhausted, fmt::format("memory store: {}: disk full", op))
          .Hint("free some space");
    case Fault::kIoError:
      return Error(Code::kUnavailable, fmt::format("memory store: {}: I/O error", op));
    case Fault::kCrashBefore:
      crashed_ = true;
      return Crashed();
    case Fault::kCrashAfter:
      write();
      crashed_ = true;
      return Crashed();
  }
  return Crashed();
}

Status MemoryStore::Read(std::string_view op) {
  if (crashed_) return Crashed();
  switch (faults_ ? faults_(op) : Fault::kNone) {
    case Fault::kNone:
    case Fault::kDiskFull:
      return {};
    case Fault::kIoError:
      return Error(Code::kUnavailable, fmt::format("memory store: {}: I/O error", op));
    case Fault::kCrashBefore:
    case Fault::kCrashAfter:
      crashed_ = true;
      return Crashed();
  }
  return Crashed();
}

Result<int64_t> MemoryStore::Append(std::span<const Entry> batch) {
  if (crashed_) return Crashed();
  const int64_t first = static_cast<int64_t>(disk_->journal.size()) + 1;
  if (batch.empty()) return first;
  TRY(CheckEntries(batch));
  TRY(Mutate("append", [&] {
    for (const Entry& entry : batch) {
      Record record{entry};
      record.seq = static_cast<int64_t>(disk_->journal.size()) + 1;
      record.prev_hash = disk_->journal.empty() ? kGenesisHash : disk_->journal.back().hash;
      record.hash = HashOf(record);
      disk_->journal.push_back(std::move(record));
    }
  }));
  return first;
}

Result<int64_t> MemoryStore::LastSeq() {
  TRY(Read("last_seq"));
  return static_cast<int64_t>(disk_->journal.size());
}

Status MemoryStore::Scan(int64_t from_seq, const std::function<bool(const Record&)>& visit) {
  TRY(Read("scan"));
  const size_t end = disk_->journal.size();
  for (size_t i = static_cast<size_t>(std::max<int64_t>(from_seq, 1)) - 1; i < end; ++i) {
    if (auto problem = ProblemAt(disk_->journal, i)) return *std::move(problem);
    const Record record = disk_->journal[i];  // a copy: visit may append
    if (!visit(record)) break;
  }
  return {};
}

Status MemoryStore::PutSnapshot(int64_t seq, std::string_view blob) {
  if (crashed_) return Crashed();
  if (seq < 1 || seq > static_cast<int64_t>(disk_->journal.size())) return NoSuchRecord(seq);
  return Mutate("put_snapshot", [&] {
    auto& kept = disk_->snapshots;
    std::erase_if(kept, [&](const Snapshot& s) { return s.seq == seq; });
    kept.push_back({seq, disk_->journal[static_cast<size_t>(seq) - 1].hash, std::string(blob)});
    std::sort(kept.begin(), kept.end(),
              [](const Snapshot& a, const Snapshot& b) { return a.seq < b.seq; });
    while (kept.size() > kSnapshotsKept) kept.erase(kept.begin());
  });
}

Result<std::optional<Snapshot>> MemoryStore::LatestSnapshot() {
  TRY(Read("latest_snapshot"));
  for (size_t i = disk_->snapshots.size(); i-- > 0;) {
    const Snapshot& snapshot = disk_->snapshots[i];
    const auto at = static_cast<size_t>(snapshot.seq) - 1;
    if (at < disk_->journal.size() && disk_->journal[at].hash == snapshot.hash) return {snapshot};
  }
  return {std::nullopt};
}

Status MemoryStore::Put(std::string_view key, std::string_view value) {
  return Mutate("put", [&] { disk_->table.insert_or_assign(std::string(key), value); });
}

Result<std::optional<std::string>> MemoryStore::Get(std::string_view key) {
  TRY(Read("get"));
  const auto it = disk_->table.find(key);
  if (it == disk_->table.end()) return {std::nullopt};
  return {it->second};
}

Status MemoryStore::Delete(std::string_view key) {
  return Mutate("delete", [&] { disk_->table.erase(std::string(key)); });
}

Result<std::vector<std::pair<std::string, std::string>>> MemoryStore::List(
    std::string_view key_prefix) {
  TRY(Read("list"));
  std::vector<std::pair<std::string, std::string>> found;
  for (auto it = disk_->table.lower_bound(key_prefix);
       it != disk_->table.end() && it->first.starts_with(key_prefix); ++it) {
    found.emplace_back(*it);
  }
  return found;
}

Result<VerifyReport> MemoryStore::Verify() {
  TRY(Read("verify"));
  VerifyReport report{.last_hash = kGenesisHash};
  for (size_t i = 0; i < disk_->journal.size(); ++i) {
    report.problem = ProblemAt(disk_->journal, i);
    if (report.problem) break;
    report.good_records = static_cast<int64_t>(i) + 1;
    report.last_hash = disk_->journal[i].hash;
  }
  return report;
}

}  // namespace weir::io
