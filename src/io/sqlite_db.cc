#include "io/sqlite_db.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/check.h"
#include "io/files.h"

namespace weir::io {
namespace {
// How long to wait for another process that holds the file for a moment (`weir journal`, a backup).
constexpr int kBusyTimeoutMs = 3000;
}  // namespace

Result<std::unique_ptr<SqliteDb>> SqliteDb::Open(const std::string& path, OpenFlags flags) {
  // Made here and not by SQLite, for the mode: SQLite gives its side files the mode of this one.
  const int how = (flags.read_only ? O_RDONLY : O_RDWR) | (flags.create ? O_CREAT : 0) | O_CLOEXEC;
  const int fd = ::open(path.c_str(), how, 0600);
  if (fd < 0) return ErrnoError(errno, "cannot open the store", path);
  ::close(fd);
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(
      path.c_str(), &handle,
      (flags.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX,
      nullptr);
  std::unique_ptr<SqliteDb> db(new SqliteDb(path, handle));
  if (code != SQLITE_OK) return db->ErrorOf(code, "cannot open");
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  TRY(db->Execute("PRAGMA cell_size_check = ON"));  // a damaged page is said, not guessed at
  return db;
}

SqliteDb::~SqliteDb() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(db_);
}

Error SqliteDb::ErrorOf(int code, std::string_view doing) const {
  const int system_error = db_ == nullptr ? 0 : sqlite3_system_errno(db_);
  const std::string message = fmt::format("{} {}: {}", doing, path_, sqlite3_errstr(code));
  constexpr const char* kDamaged =
      "`weir journal verify` says how much is intact and `weir journal salvage` copies that part "
      "to a new file; or restore a backup. The damaged file is left as it is";
  switch (code & 0xff) {
    case SQLITE_FULL:
      return Error(Code::kResourceExhausted, message)
          .Hint("free some space on that disk; nothing acknowledged was lost");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Error(Code::kUnavailable, message)
          .Hint("another process is using the file: wait for it, or stop it");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Error(Code::kPermissionDenied, message)
          .Hint("make the file and its folder writable, or name another folder with --data");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Error(Code::kDataLoss, message).Hint(kDamaged);
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
      // A short read is a file that ends before the page that it says it has.
      if (code == SQLITE_IOERR_SHORT_READ) return Error(Code::kDataLoss, message).Hint(kDamaged);
      if (system_error != 0) return ErrnoError(system_error, doing, path_);
      return Error(Code::kUnavailable, message).Hint("check the disk: dmesg, smartctl");
    case SQLITE_NOMEM:
      return Error(Code::kResourceExhausted, message).Hint("free some memory");
    case SQLITE_TOOBIG:
      return Error(Code::kTooLarge, message);
    default:
      return Error(Code::kInternal,
                   fmt::format("{} ({})", message, db_ == nullptr ? "" : sqlite3_errmsg(db_)));
  }
}

Result<SqliteDb::Query> SqliteDb::Prepare(const char* sql) {
  for (auto& [known, statement] : statements_) {
    if (known == sql) return Query(this, statement);
  }
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return ErrorOf(code, "cannot read");
  statements_.emplace_back(sql, statement);
  return Query(this, statement);
}

Status SqliteDb::Execute(const char* sql) {
  const int code = sqlite3_exec(db_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return ErrorOf(code, "cannot use");
  return {};
}

Status SqliteDb::Transaction(const std::function<Status()>& body) {
  TRY(Execute("BEGIN IMMEDIATE"));
  Status done = body();
  if (done) {
    const int code = sqlite3_exec(db_, "COMMIT", nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) done = ErrorOf(code, "cannot write to");
  }
  // Some errors roll back by themselves.
  if (!done && sqlite3_get_autocommit(db_) == 0) (void)Execute("ROLLBACK");
  return done;
}

SqliteDb::Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

SqliteDb::Query& SqliteDb::Query::Bind(int index, int64_t value) {
  CHECK(sqlite3_bind_int64(statement_, index, value) == SQLITE_OK);
  return *this;
}
SqliteDb::Query& SqliteDb::Query::BindText(int index, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();  // a null pointer binds NULL
  CHECK(sqlite3_bind_text64(statement_, index, data, value.size(), SQLITE_STATIC, SQLITE_UTF8) ==
        SQLITE_OK);
  return *this;
}
SqliteDb::Query& SqliteDb::Query::BindBlob(int index, std::string_view value) {
  const char* data = value.data() == nullptr ? "" : value.data();
  CHECK(sqlite3_bind_blob64(statement_, index, data, value.size(), SQLITE_STATIC) == SQLITE_OK);
  return *this;
}

Result<bool> SqliteDb::Query::Step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return db_->ErrorOf(code, sqlite3_stmt_readonly(statement_) ? "cannot read" : "cannot write to");
}

Status SqliteDb::Query::Run() {
  while (TRY(Step())) {
  }
  return {};
}

int64_t SqliteDb::Query::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string SqliteDb::Query::Bytes(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

Record RecordOf(const SqliteDb::Query& row) {
  Record record;
  record.seq = row.Int(0);
  record.time = {row.Int(1)};
  record.actor = row.Bytes(2);
  record.type = row.Bytes(3);
  record.body = row.Bytes(4);
  record.prev_hash = row.Bytes(5);
  record.hash = row.Bytes(6);
  return record;
}

}  // namespace weir::io
