// The store: an append-only journal with a hash chain, snapshots of the state it folds to, and a
// small key/value table. One interface for SQLite (sqlite_store.h), for simulations
// (memory_store.h) and for PostgreSQL later; store_test.cc holds every implementation to it.
//
// Journal   seq counts 1, 2, 3, ... without gaps. hash = SHA-256 over prev_hash, seq, time_us,
//           actor, type and body (each with its length, see HashOf); prev_hash of seq 1 is 64
//           zeros. A changed, missing or reordered record is found by its seq.
// Durable   an Append, Put or Delete that returned without error survives kill -9 and a power
//           cut, whole. One that returned an error, or never returned, happened wholly or not at
//           all; LastSeq() tells which, in this process or the next.
// Errors    kResourceExhausted: disk full, nothing of this call was kept, the store stays usable.
//           kUnavailable: locked by another process, or an I/O error.
//           kPermissionDenied: read-only. kDataLoss: bytes are not what was written; the message
//           names the file and the first bad seq, the hint says how to go on.
// Threads   any thread; calls are serialised. Scan hands out records without holding the lock, so
//           its callback may call the store.
// Writers   one process at a time. SQLite: the data folder's lock (files.h LockDir).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace weir::io {

// What a caller appends. body is JSON, UTF-8; the store does not look inside.
struct Entry {
  Time time;
  std::string actor;  // who did it: "system", "key:ab12", "cli:root"
  std::string type;   // "job.submitted"
  std::string body;
};

struct Record : Entry {
  int64_t seq = 0;
  std::string prev_hash;  // lower-case hex, 64 characters
  std::string hash;
};

struct Snapshot {
  int64_t seq = 0;   // the state after this record
  std::string hash;  // that record's hash: ties the snapshot to this journal
  std::string blob;
};

struct VerifyReport {
  int64_t good_records = 0;      // 1..good_records are intact
  std::string last_hash;         // of the last intact record
  std::optional<Error> problem;  // none: everything is intact
};

inline constexpr int64_t kMaxBodyBytes = 16 << 20;
inline constexpr int kSnapshotsKept = 2;
extern const std::string kGenesisHash;  // 64 zeros

// The hash that `record` must have, from its other fields.
std::string HashOf(const Record& record);

// For implementations: what every store refuses in the same words.
Status CheckEntries(std::span<const Entry> batch);
Error NoSuchRecord(int64_t seq);

class Store {
 public:
  virtual ~Store() = default;

  // All entries of the batch or none, one sync to disk. Returns the seq of the first; the rest
  // follow on. An empty batch writes nothing. A body over kMaxBodyBytes is kTooLarge.
  virtual Result<int64_t> Append(std::span<const Entry> batch) = 0;
  Result<int64_t> Append(Entry entry) { return Append(std::span<const Entry>(&entry, 1)); }
  // 0: empty.
  virtual Result<int64_t> LastSeq() = 0;
  // Calls visit for from_seq, from_seq + 1, ... up to the last record there is when Scan starts,
  // checking the chain; visit returns false to stop early.
  virtual Status Scan(int64_t from_seq, const std::function<bool(const Record&)>& visit) = 0;

  // seq must be a record of the journal. The newest kSnapshotsKept are kept.
  virtual Status PutSnapshot(int64_t seq, std::string_view blob) = 0;
  // The newest snapshot that is intact and belongs to this journal. A damaged one is passed over:
  // the journal is the truth, a snapshot only saves time.
  virtual Result<std::optional<Snapshot>> LatestSnapshot() = 0;

  // Keys and values are any bytes; for small things that are not history (hashes of keys, marks).
  virtual Status Put(std::string_view key, std::string_view value) = 0;
  virtual Result<std::optional<std::string>> Get(std::string_view key) = 0;
  virtual Status Delete(std::string_view key) = 0;
  // Sorted by key.
  virtual Result<std::vector<std::pair<std::string, std::string>>> List(
      std::string_view key_prefix) = 0;

  // Reads everything. An error only if reading itself is impossible; damage is in the report.
  virtual Result<VerifyReport> Verify() = 0;
  // Where this store lives, for messages: "/data/weir.db", "memory".
  virtual std::string Location() const = 0;
};

}  // namespace weir::io
