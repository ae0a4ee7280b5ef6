// The store in one SQLite file (weir.db): WAL, synchronous=FULL, one sync per Append.
//
// Tables    journal(seq, time_us, actor, type, body, prev_hash, hash)
//           snapshot(seq, hash, sum, blob)     sum: SHA-256 of blob
//           kv(key, value)
//           application_id 0x57454952 ("WEIR"), user_version kSchemaVersion.
// Damage    Open reads the tail, not everything: a damaged page is found when it is read (Scan,
//           Verify, or at Open if it is the last one) and said as kDataLoss. Salvage then copies
//           the longest intact prefix to a new file and leaves the old one as it was.
// Disk full an Append that does not fit is undone whole; the store goes on once there is space.
#pragma once

#include <memory>
#include <string>

#include "io/store.h"

namespace weir::io {

inline constexpr int kSchemaVersion = 1;

struct SqliteOptions {
  bool create = true;      // false: a missing file is kNotFound
  bool read_only = false;  // for `weir journal` beside a running `weir up`
};

// kDataLoss: not an SQLite file, or a damaged one. kFailedPrecondition: written by a newer weir.
Result<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path, SqliteOptions options = {});

struct SalvageReport {
  int64_t records_kept = 0;
  int64_t records_lost = 0;    // at least this many: rows past the damage that could be counted
  bool lost_is_exact = false;  // whether the damaged file still let itself be counted
  int64_t keys_kept = 0;
  std::string problem;  // what was wrong, one sentence; empty: nothing
};
// Copies what is intact from the store at `from` into a new one at `to` (which must not exist).
Result<SalvageReport> SalvageSqliteStore(const std::string& from, const std::string& to);

}  // namespace weir::io
