#include "io/sqlite_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "io/files.h"
#include "io/sqlite_db.h"
#include "io/wal_check.h"

namespace weir::io {
namespace {

// A page of Scan: enough to make the lock cheap, little enough to hold in memory.
constexpr int kScanRows = 256;
constexpr int64_t kScanBytes = 4 << 20;
// The log is cut back after 1000 pages; a reader that stays open can make it grow past that.
constexpr int64_t kMaxWalBytes = int64_t{1} << 30;

constexpr const char* kSchema = R"(
  CREATE TABLE journal(
    seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, actor TEXT NOT NULL, type TEXT NOT NULL,
    body TEXT NOT NULL, prev_hash TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
  CREATE TABLE tail(id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL) STRICT;
  CREATE TABLE snapshot(
    seq INTEGER PRIMARY KEY, hash TEXT NOT NULL, sum TEXT NOT NULL, blob BLOB NOT NULL) STRICT;
  CREATE TABLE kv(key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
  INSERT INTO tail VALUES(1, 0);
  PRAGMA application_id = 0x57454952;
  PRAGMA user_version = 1;
)";
static_assert(kSchemaVersion == 1, "kSchema writes the version too");
constexpr int64_t kApplicationId = 0x57454952;

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(std::unique_ptr<SqliteDb> db) : db_(std::move(db)) {}

  Status Init(const SqliteOptions& options) {
    if (const auto damage = WalDamage()) return DataLoss(*damage);
    // LIMIT has the header and the schema read; PRAGMA alone takes an empty file for granted.
    const int64_t tables = TRY(Number("SELECT count(*) FROM sqlite_schema"));
    if (tables == 0) {
      if (!options.create || options.read_only) {
        return Error(Code::kNotFound, fmt::format("{} is empty", db_->path()))
            .Hint("start `weir up` once to create it");
      }
      TRY(db_->Execute("PRAGMA journal_mode = WAL"));
      TRY(db_->Transaction([&] { return db_->Execute(kSchema); }));
    }
    if (TRY(Number("PRAGMA application_id")) != kApplicationId) {
      return Error(Code::kFailedPrecondition,
                   fmt::format("{} is an SQLite file, but not a weir store", db_->path()))
          .Hint("name another folder with --data");
    }
    const int64_t version = TRY(Number("PRAGMA user_version"));
    if (version > kSchemaVersion) {
      return Error(Code::kFailedPrecondition,
                   fmt::format("{} was written by a newer weir (schema {}, this one knows {})",
                               db_->path(), version, kSchemaVersion))
          .Hint("use that weir, or another folder with --data");
    }
    if (!options.read_only) TRY(db_->Execute("PRAGMA journal_mode = WAL"));
    TRY(db_->Execute("PRAGMA synchronous = FULL"));
    return ReadTail();
  }

  Result<int64_t> Append(std::span<const Entry> batch) override {
    std::lock_guard lock(mutex_);
    TRY(RequireTail());
    const int64_t first = last_seq_ + 1;
    if (batch.empty()) return first;
    TRY(CheckEntries(batch));
    Record record;
    record.seq = last_seq_;
    record.hash = last_hash_;
    tail_known_ = false;  // until the commit is through
    TRY(db_->Transaction([&]() -> Status {
      for (const Entry& entry : batch) {
        std::string prev_hash = std::move(record.hash);
        const int64_t seq = record.seq + 1;
        static_cast<Entry&>(record) = entry;
        record.seq = seq;
        record.prev_hash = std::move(prev_hash);
        record.hash = HashOf(record);
        TRY(TRY(db_->Prepare("INSERT INTO journal VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"))
                .Bind(1, record.seq)
                .Bind(2, record.time.us)
                .BindText(3, record.actor)
                .BindText(4, record.type)
                .BindText(5, record.body)
                .BindText(6, record.prev_hash)
                .BindText(7, record.hash)
                .Run());
      }
      return TRY(db_->Prepare("UPDATE tail SET seq = ?1"))
      .Bind(1, record.seq).Run();
    }));
    last_seq_ = record.seq;
    last_hash_ = record.hash;
    tail_known_ = true;
    return first;
  }

  Result<int64_t> LastSeq() override {
    std::lock_guard lock(mutex_);
    TRY(ReadTail());  // a read-only store has a writer beside it
    return last_seq_;
  }

  Status Scan(int64_t from_seq, const std::function<bool(const Record&)>& visit) override {
    int64_t seq = std::max<int64_t>(from_seq, 1);
    const int64_t end = TRY(LastSeq());
    std::string prev_hash;
    if (seq <= end) prev_hash = TRY(HashBefore(seq));
    while (seq <= end) {
      const std::vector<Record> page = TRY(ReadPage(seq, end));
      for (const Record& record : page) {
        if (record.seq != seq) break;  // the gap is said below
        if (record.prev_hash != prev_hash || record.hash != HashOf(record)) {
          return DataLoss(fmt::format("journal record {} is damaged", seq));
        }
        if (!visit(record)) return {};
        prev_hash = record.hash;
        ++seq;
      }
      if (page.empty() || page.back().seq != seq - 1) {
        return DataLoss(fmt::format("journal record {} is missing", seq));
      }
    }
    return {};
  }

  Status PutSnapshot(int64_t seq, std::string_view blob) override {
    std::lock_guard lock(mutex_);
    std::string hash;
    {
      SqliteDb::Query row = TRY(db_->Prepare("SELECT hash FROM journal WHERE seq = ?1"));
      if (!TRY(row.Bind(1, seq).Step())) return NoSuchRecord(seq);
      hash = row.Bytes(0);
    }
    const std::string sum = Sha256Hex(blob);
    return db_->Transaction([&]() -> Status {
      TRY(TRY(db_->Prepare("INSERT OR REPLACE INTO snapshot VALUES(?1, ?2, ?3, ?4)"))
              .Bind(1, seq)
              .BindText(2, hash)
              .BindText(3, sum)
              .BindBlob(4, blob)
              .Run());
      return TRY(
          db_->Prepare("DELETE FROM snapshot WHERE seq NOT IN "
                       "(SELECT seq FROM snapshot ORDER BY seq DESC LIMIT ?1)"))
      .Bind(1, kSnapshotsKept).Run();
    });
  }

  Result<std::optional<Snapshot>> LatestSnapshot() override {
    std::lock_guard lock(mutex_);
    SqliteDb::Query row =
        TRY(db_->Prepare("SELECT s.seq, s.hash, s.sum, s.blob FROM snapshot s JOIN journal j "
                         "ON j.seq = s.seq AND j.hash = s.hash ORDER BY s.seq DESC"));
    for (;;) {
      const Result<bool> more = row.Step();
      // Damage here costs a longer replay, nothing else: Scan is the judge of the journal.
      if (!more && more.error().code() == Code::kDataLoss) return {std::nullopt};
      if (!TRY(Result<bool>(more))) return {std::nullopt};
      Snapshot snapshot{row.Int(0), row.Bytes(1), row.Bytes(3)};
      if (Sha256Hex(snapshot.blob) == row.Bytes(2)) return {std::move(snapshot)};
    }
  }

  Status Put(std::string_view key, std::string_view value) override {
    std::lock_guard lock(mutex_);
    return TRY(db_->Prepare("INSERT OR REPLACE INTO kv VALUES(?1, ?2)"))
    .BindBlob(1, key).BindBlob(2, value).Run();
  }

  Result<std::optional<std::string>> Get(std::string_view key) override {
    std::lock_guard lock(mutex_);
    SqliteDb::Query row = TRY(db_->Prepare("SELECT value FROM kv WHERE key = ?1"));
    if (!TRY(row.BindBlob(1, key).Step())) return {std::nullopt};
    return {row.Bytes(0)};
  }

  Status Delete(std::string_view key) override {
    std::lock_guard lock(mutex_);
    return TRY(db_->Prepare("DELETE FROM kv WHERE key = ?1"))
    .BindBlob(1, key).Run();
  }

  Result<std::vector<std::pair<std::string, std::string>>> List(
      std::string_view key_prefix) override {
    std::lock_guard lock(mutex_);
    SqliteDb::Query row =
        TRY(db_->Prepare("SELECT key, value FROM kv WHERE key >= ?1 ORDER BY key"));
    row.BindBlob(1, key_prefix);
    std::vector<std::pair<std::string, std::string>> found;
    while (TRY(row.Step())) {
      std::string key = row.Bytes(0);
      if (!key.starts_with(key_prefix)) break;
      found.emplace_back(std::move(key), row.Bytes(1));
    }
    return found;
  }

  Result<VerifyReport> Verify() override {
    VerifyReport report{.last_hash = kGenesisHash};
    Status scanned = Scan(1, [&](const Record& record) {
      report.good_records = record.seq;
      report.last_hash = record.hash;
      return true;
    });
    if (scanned) scanned = CheckPages();
    if (!scanned && scanned.error().code() != Code::kDataLoss) return std::move(scanned).error();
    if (!scanned) report.problem = std::move(scanned).error();
    return report;
  }

  std::string Location() const override { return db_->path(); }

 private:
  Error DataLoss(std::string_view what) const {
    return db_->ErrorOf(SQLITE_CORRUPT, fmt::format("{} in", what));
  }

  std::optional<std::string> WalDamage() const {
    const Result<std::string> wal = ReadFile(db_->path() + "-wal", kMaxWalBytes);
    return wal ? DamageInWal(*wal) : std::nullopt;
  }

  Result<int64_t> Number(const char* sql) {
    SqliteDb::Query row = TRY(db_->Prepare(sql));
    TRY(row.Step());
    return row.Int(0);
  }

  Status RequireTail() {
    if (tail_known_) return {};
    return ReadTail();
  }

  // The last record, which must be whole and be the one that the tail table names.
  Status ReadTail() {
    tail_known_ = false;
    SqliteDb::Query row = TRY(db_->Prepare(
        "SELECT seq, time_us, actor, type, body, prev_hash, hash, (SELECT seq FROM tail) "
        "FROM journal ORDER BY seq DESC LIMIT 1"));
    if (TRY(row.Step())) {
      const Record record = RecordOf(row);
      if (record.hash != HashOf(record)) {
        return DataLoss(fmt::format("journal record {} is damaged", record.seq));
      }
      if (const int64_t tail = row.Int(7); tail != record.seq) {
        return DataLoss(fmt::format("journal records {} to {} are missing", record.seq + 1, tail));
      }
      last_seq_ = record.seq;
      last_hash_ = record.hash;
    } else {
      if (TRY(Number("SELECT seq FROM tail")) != 0) {
        return DataLoss("all journal records are missing");
      }
      last_seq_ = 0;
      last_hash_ = kGenesisHash;
    }
    tail_known_ = true;
    return {};
  }

  Result<std::string> HashBefore(int64_t seq) {
    if (seq == 1) return kGenesisHash;
    std::lock_guard lock(mutex_);
    SqliteDb::Query row = TRY(db_->Prepare("SELECT hash FROM journal WHERE seq = ?1"));
    if (!TRY(row.Bind(1, seq - 1).Step())) {
      return DataLoss(fmt::format("journal record {} is missing", seq - 1));
    }
    return row.Bytes(0);
  }

  Result<std::vector<Record>> ReadPage(int64_t from, int64_t end) {
    std::lock_guard lock(mutex_);
    SqliteDb::Query row =
        TRY(db_->Prepare("SELECT seq, time_us, actor, type, body, prev_hash, hash FROM journal "
                         "WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq"));
    row.Bind(1, from).Bind(2, end);
    std::vector<Record> page;
    int64_t bytes = 0;
    while (page.size() < kScanRows && bytes < kScanBytes) {
      Result<bool> more = row.Step();
      // What could be read before the damage is handed out first.
      if (!more && !page.empty()) break;
      if (!TRY(std::move(more))) break;
      page.push_back(RecordOf(row));
      bytes += static_cast<int64_t>(page.back().body.size());
    }
    return page;
  }

  Status CheckPages() {
    std::lock_guard lock(mutex_);
    SqliteDb::Query row = TRY(db_->Prepare("PRAGMA quick_check(1)"));
    if (TRY(row.Step()) && row.Bytes(0) != "ok") return DataLoss(row.Bytes(0));
    return {};
  }

  std::mutex mutex_;  // guards everything below
  std::unique_ptr<SqliteDb> db_;
  bool tail_known_ = false;  // false after an append that failed: its outcome is read again
  int64_t last_seq_ = 0;
  std::string last_hash_;
};

}  // namespace

Result<std::unique_ptr<Store>> OpenSqliteStore(const std::string& path, SqliteOptions options) {
  const bool is_new = !FileExists(path);
  auto db = TRY(SqliteDb::Open(
      path, {.create = options.create && !options.read_only, .read_only = options.read_only}));
  auto store = std::make_unique<SqliteStore>(std::move(db));
  TRY(store->Init(options));
  if (is_new) TRY(SyncDir(path.substr(0, path.find_last_of('/') + 1) + "."));
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace weir::io
