#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "io/files.h"
#include "io/sqlite_db.h"
#include "io/sqlite_store.h"
#include "io/wal_check.h"

namespace weir::io {
namespace {

constexpr int64_t kMaxStoreBytes = int64_t{64} << 30;
constexpr int64_t kCopyStep = 4 << 20;
constexpr size_t kBatch = 500;

// In pieces: a store may be larger than memory.
Status CopyFile(const std::string& from, const std::string& to) {
  std::FILE* out = std::fopen(to.c_str(), "wbe");
  if (out == nullptr) return ErrnoError(errno, "cannot create", to);
  Status copied;
  for (int64_t offset = 0; copied && offset < kMaxStoreBytes;) {
    const Result<std::string> piece = ReadFileAt(from, offset, kCopyStep);
    if (!piece) {
      copied = piece.error();
    } else if (piece->empty()) {
      break;
    } else if (std::fwrite(piece->data(), 1, piece->size(), out) != piece->size()) {
      copied = ErrnoError(errno, "cannot write", to);
    } else {
      offset += static_cast<int64_t>(piece->size());
    }
  }
  if (std::fclose(out) != 0 && copied) copied = ErrnoError(errno, "cannot write", to);
  return copied;
}

class Salvager {
 public:
  Salvager(SqliteDb* db, Store* to, SalvageReport* report) : db_(db), to_(to), report_(report) {}

  // Errors of reading end the copying and are noted; errors of writing are returned.
  Status Run() {
    TRY(CopyJournal());
    Count();
    return CopyTable();
  }

 private:
  void Note(const Error& error) {
    if (report_->problem.empty()) report_->problem = error.message();
  }

  // One record by its seq, so that damage further on cannot reach it. nullopt: the end of what is
  // intact.
  std::optional<Record> Next(int64_t seq, const std::string& prev_hash) {
    Result<SqliteDb::Query> row = db_->Prepare(
        "SELECT seq, time_us, actor, type, body, prev_hash, hash FROM journal WHERE seq = ?1");
    if (!row) {
      Note(row.error());
      return std::nullopt;
    }
    const Result<bool> there = row->Bind(1, seq).Step();
    if (!there) {
      Note(there.error());
      return std::nullopt;
    }
    if (!*there) return std::nullopt;
    Record record = RecordOf(*row);
    if (record.prev_hash != prev_hash || record.hash != HashOf(record)) {
      Note(Error(Code::kDataLoss, fmt::format("journal record {} is damaged", seq)));
      return std::nullopt;
    }
    return record;
  }

  Status CopyJournal() {
    std::vector<Entry> batch;
    std::string prev_hash = kGenesisHash;
    int64_t seq = 0;
    for (bool more = true; more;) {
      std::optional<Record> record = Next(seq + 1, prev_hash);
      more = record.has_value();
      if (more) {
        ++seq;
        prev_hash = record->hash;
        batch.push_back(std::move(*record));
      }
      if (batch.size() >= kBatch || !more) {
        TRY(to_->Append(batch));  // same fields, same chain: the hashes come out the same
        batch.clear();
      }
    }
    report_->records_kept = seq;
    return {};
  }

  void Count() {
    int64_t last = report_->records_kept;
    bool exact = false;
    // Either may be on a page that is gone.
    for (const char* sql : {"SELECT seq FROM tail", "SELECT max(seq) FROM journal",
                            "SELECT max(seq) FROM snapshot"}) {
      Result<SqliteDb::Query> row = db_->Prepare(sql);
      if (!row) continue;
      const Result<bool> there = row->Step();
      if (!there || !*there) continue;
      last = std::max(last, row->Int(0));
      exact = exact || sql == std::string_view("SELECT seq FROM tail");
    }
    report_->records_lost = last - report_->records_kept;
    report_->lost_is_exact = exact;
    if (report_->records_lost > 0) {
      Note(Error(Code::kDataLoss,
                 fmt::format("journal record {} is missing", report_->records_kept + 1)));
    }
  }

  Status CopyTable() {
    Result<SqliteDb::Query> row = db_->Prepare("SELECT key, value FROM kv");
    if (!row) return {};
    for (;;) {
      const Result<bool> more = row->Step();
      if (!more) Note(more.error());
      if (!more || !*more) return {};
      TRY(to_->Put(row->Bytes(0), row->Bytes(1)));
      ++report_->keys_kept;
    }
  }

  SqliteDb* db_;
  Store* to_;
  SalvageReport* report_;
};

}  // namespace

Result<SalvageReport> SalvageSqliteStore(const std::string& from, const std::string& to) {
  TRY(FileSize(from));  // is it there?
  if (FileExists(to)) {
    return Error(Code::kAlreadyExists, fmt::format("{} exists already", to))
        .Hint("salvage writes a new file: choose another name");
  }
  // Even reading makes SQLite write (it replays the log, makes side files), so it gets a copy.
  const std::string work = to + ".salvage";
  TRY(RemoveTree(work));
  TRY(MakeDirs(work));
  const auto salvage = [&]() -> Result<SalvageReport> {
    const std::string copy = work + "/damaged.db";
    TRY(CopyFile(from, copy));
    SalvageReport report;
    if (FileExists(from + "-wal")) {
      TRY(CopyFile(from + "-wal", copy + "-wal"));
      const Result<std::string> wal = ReadFile(copy + "-wal", int64_t{1} << 30);
      if (wal) report.problem = DamageInWal(*wal).value_or("");
    }
    {
      const std::unique_ptr<Store> target = TRY(OpenSqliteStore(work + "/new.db"));
      Result<std::unique_ptr<SqliteDb>> damaged = SqliteDb::Open(copy, {});
      if (damaged) {
        TRY(Salvager(damaged->get(), target.get(), &report).Run());
      } else {
        report.problem = damaged.error().message();
      }
    }  // closing moves everything from the log into the file
    if (std::rename((work + "/new.db").c_str(), to.c_str()) != 0) {
      return ErrnoError(errno, "cannot create", to);
    }
    return report;
  };
  Result<SalvageReport> report = salvage();
  TRY(RemoveTree(work));
  if (report) TRY(SyncDir(to.substr(0, to.find_last_of('/') + 1) + "."));
  return report;
}

}  // namespace weir::io
