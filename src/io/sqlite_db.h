// A thin wrapper over one SQLite connection: prepared statements, errors as Result, nothing else.
// For sqlite_store.cc and sqlite_salvage.cc. Threads: one at a time (the owner's mutex).
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "io/store.h"

namespace weir::io {

class SqliteDb {
 public:
  struct OpenFlags {
    bool create = false;
    bool read_only = false;
  };
  static Result<std::unique_ptr<SqliteDb>> Open(const std::string& path, OpenFlags flags);
  ~SqliteDb();
  SqliteDb(const SqliteDb&) = delete;

  // One use of a prepared statement; resets it when it goes.
  class Query {
   public:
    explicit Query(SqliteDb* db, sqlite3_stmt* statement) : db_(db), statement_(statement) {}
    Query(Query&& other) noexcept
        : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)) {}
    ~Query();
    Query& Bind(int index, int64_t value);
    Query& BindText(int index, std::string_view value);  // borrowed until the Query goes
    Query& BindBlob(int index, std::string_view value);  // borrowed
    Result<bool> Step();                                 // true: there is a row
    Status Run();                                        // steps to the end
    int64_t Int(int column) const;
    std::string Bytes(int column) const;

   private:
    SqliteDb* db_;
    sqlite3_stmt* statement_;
  };
  // sql must be a literal: the pointer is the key under which the statement is kept.
  Result<Query> Prepare(const char* sql);
  Status Execute(const char* sql);
  // BEGIN IMMEDIATE, body, COMMIT; ROLLBACK if either fails.
  Status Transaction(const std::function<Status()>& body);
  const std::string& path() const { return path_; }
  Error ErrorOf(int code, std::string_view doing) const;

 private:
  SqliteDb(std::string path, sqlite3* db) : path_(std::move(path)), db_(db) {}
  std::string path_;
  sqlite3* db_;
  std::vector<std::pair<const char*, sqlite3_stmt*>> statements_;
};

// A row of "seq, time_us, actor, type, body, prev_hash, hash".
Record RecordOf(const SqliteDb::Query& row);

}  // namespace weir::io
