// What only a real disk does to a store: kill -9, rot, fill up, refuse, be read by two.
#include "io/sqlite_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/random.h"
#include "io/files.h"
#include "io/sqlite_db.h"
#include "io/wal_check.h"

namespace weir::io {
namespace {

using testing::HasSubstr;

constexpr int64_t kMaxFile = 64 << 20;

Entry Numbered(int n, std::string body = "{}") {
  return {{1'000'000 + n}, "system", fmt::format("test.{}", n), std::move(body)};
}

class SqliteStoreTest : public testing::Test {
 protected:
  std::unique_ptr<Store> Open(SqliteOptions options = {}) {
    return *OpenSqliteStore(path_, options);
  }
  // n records, each about a quarter of a page, all checkpointed into the main file.
  void Fill(int n) {
    auto store = Open();
    for (int i = 1; i <= n; ++i) ASSERT_TRUE(store->Append(Numbered(i, std::string(1000, 'a'))));
    ASSERT_TRUE(store->Put("key", "value"));
  }
  std::string Bytes() { return *ReadFile(path_, kMaxFile); }
  void SetBytes(const std::string& bytes) { std::ofstream(path_, std::ios::binary) << bytes; }

  TempDir dir_ = *TempDir::Create();
  std::string path_ = dir_ / "weir.db";
};

TEST_F(SqliteStoreTest, FilesAreForTheOwnerOnly) {
  auto store = Open();
  ASSERT_TRUE(store->Append(Numbered(1)));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat info {};
    ASSERT_EQ(::stat((path_ + suffix).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(SqliteStoreTest, SaysWhenThereIsNothingOrNotAStore) {
  EXPECT_EQ(OpenSqliteStore(path_, {.create = false}).error().code(), Code::kNotFound);
  EXPECT_FALSE(FileExists(path_));
  EXPECT_EQ(OpenSqliteStore(dir_ / "no/such/folder.db").error().code(), Code::kNotFound);
  SetBytes(
      "this is a text file, and long enough to be taken for a header of something else....."
      "....................................................................................");
  const auto text = OpenSqliteStore(path_);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code(), Code::kDataLoss);
  EXPECT_THAT(text.error().message(), HasSubstr(path_));
  ASSERT_TRUE(RemoveFile(path_));
  {
    auto other = *SqliteDb::Open(path_, {.create = true});
    ASSERT_TRUE(other->Execute("CREATE TABLE cats(name)"));
  }
  EXPECT_EQ(OpenSqliteStore(path_).error().code(), Code::kFailedPrecondition);
}

TEST_F(SqliteStoreTest, RefusesAStoreOfANewerVersion) {
  Open();
  {
    auto db = *SqliteDb::Open(path_, {});
    ASSERT_TRUE(db->Execute("PRAGMA user_version = 99"));
  }
  const auto opened = OpenSqliteStore(path_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(opened.error().message(), HasSubstr("schema 99"));
}

TEST_F(SqliteStoreTest, AReaderFollowsTheWriterAndMayNotWrite) {
  auto writer = Open();
  ASSERT_TRUE(writer->Append(Numbered(1)));
  auto reader = Open({.read_only = true});
  EXPECT_EQ(*reader->LastSeq(), 1);
  ASSERT_TRUE(writer->Append(Numbered(2)));
  EXPECT_EQ(*reader->LastSeq(), 2);
  EXPECT_EQ(reader->Verify()->good_records, 2);
  EXPECT_EQ(reader->Append(Numbered(3)).error().code(), Code::kPermissionDenied);
}

// A child appends and reports each acknowledged seq through a pipe until it is killed at a random
// moment: everything reported must be there.
TEST_F(SqliteStoreTest, KillNineLosesNothingAcknowledged) {
  Random random(7);
  int64_t acknowledged = 0;
  for (int round = 0; round < 12; ++round) {
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      auto store = OpenSqliteStore(path_);
      for (int i = 0; store; ++i) {
        const auto seq =
            (*store)->Append(std::vector<Entry>{Numbered(i), Numbered(i, std::string(5000, 'b'))});
        const int64_t last = seq ? *seq + 1 : -1;
        if (::write(fds[1], &last, sizeof last) != sizeof last) break;
      }
      ::_exit(1);
    }
    ::close(fds[1]);
    for (uint64_t n = random.Below(30); n > 0; --n) {
      int64_t last = 0;
      ASSERT_EQ(::read(fds[0], &last, sizeof last), static_cast<ssize_t>(sizeof last));
      ASSERT_GT(last, acknowledged);
      acknowledged = last;
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    int64_t last = 0;
    while (::read(fds[0], &last, sizeof last) == sizeof last) acknowledged = last;
    ::close(fds[0]);
    auto store = Open();
    EXPECT_GE(*store->LastSeq(), acknowledged);
    EXPECT_EQ(*store->LastSeq() % 2, 0) << "half a batch";
    EXPECT_FALSE(store->Verify()->problem);
  }
  EXPECT_GT(acknowledged, 0);
}

TEST_F(SqliteStoreTest, ManyThreadsMayCall) {
  auto store = Open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        EXPECT_TRUE(store->Append(std::vector<Entry>{Numbered(t), Numbered(t)}));
        int64_t seen = 0;
        EXPECT_TRUE(store->Scan(1, [&](const Record& record) { return record.seq == ++seen; }));
        EXPECT_TRUE(store->Put(fmt::format("k{}", t), "v"));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(store->Verify()->good_records, 200);
}

TEST_F(SqliteStoreTest, AFullDiskStopsTheAppendWholeAndSpaceLetsItGoOn) {
  const std::string mount_point = dir_ / "small";
  ASSERT_TRUE(MakeDirs(mount_point));
  if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=512k") != 0) {
    GTEST_SKIP() << "cannot mount a small disk here";
  }
  {
    auto store = *OpenSqliteStore(mount_point + "/weir.db");
    std::ofstream filler(mount_point + "/filler", std::ios::binary);
    filler << std::string(200 << 10, 'f') << std::flush;
    int64_t acknowledged = 0;
    Result<int64_t> seq = int64_t{0};
    for (int i = 0; i < 1000 && seq; ++i) {
      seq = store->Append(std::vector<Entry>{Numbered(i, std::string(3000, 'x')), Numbered(i)});
      if (seq) acknowledged = *seq + 1;
    }
    ASSERT_FALSE(seq);
    EXPECT_EQ(seq.error().code(), Code::kResourceExhausted) << seq.error().ToString();
    EXPECT_THAT(seq.error().ToString(), HasSubstr("free some space"));
    EXPECT_EQ(*store->LastSeq(), acknowledged);
    EXPECT_EQ(store->Verify()->good_records, acknowledged) << "reading goes on";
    ASSERT_TRUE(RemoveFile(mount_point + "/filler"));
    filler.close();
    EXPECT_EQ(*store->Append(Numbered(1)), acknowledged + 1);
  }
  EXPECT_EQ(::umount2(mount_point.c_str(), MNT_DETACH), 0);
}

// The same by a limit on the file's size, which needs no right to mount. SQLite does not tell this
// from a failing disk, so neither do we.
TEST_F(SqliteStoreTest, AFileSizeLimitStopsTheAppendWhole) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    auto store = OpenSqliteStore(path_);
    const rlimit limit{200 << 10, 200 << 10};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    Result<int64_t> seq = int64_t{0};
    int64_t acknowledged = 0;
    while (seq) {
      seq = (*store)->Append(Numbered(1, std::string(3000, 'x')));
      if (seq) acknowledged = *seq;
    }
    const bool right = seq.error().code() == Code::kUnavailable && acknowledged > 10 &&
                       *(*store)->LastSeq() == acknowledged;
    if (!right) fmt::print(stderr, "{} after {}\n", seq.error().ToString(), acknowledged);
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(Open()->Verify()->problem);
}

TEST_F(SqliteStoreTest, AReadOnlyFolderIsSaid) {
  Fill(3);
  const std::string mount_point = dir_ / "ro";
  ASSERT_TRUE(MakeDirs(mount_point));
  if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "cannot mount here";
  }
  { auto store = *OpenSqliteStore(mount_point + "/weir.db"); }
  ASSERT_EQ(::mount("", mount_point.c_str(), "", MS_REMOUNT | MS_RDONLY, ""), 0);
  const auto opened = OpenSqliteStore(mount_point + "/weir.db");
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kPermissionDenied);
  EXPECT_THAT(opened.error().ToString(), HasSubstr("read-write"));
  EXPECT_EQ(::umount2(mount_point.c_str(), MNT_DETACH), 0);
}

TEST_F(SqliteStoreTest, AChangedByteInARecordIsNamedAndSalvageKeepsThePrefix) {
  Fill(200);
  std::string bytes = Bytes();
  const size_t at = bytes.find("test.120");
  ASSERT_NE(at, std::string::npos);
  bytes[at + 7] = '9';  // test.129: still perfect SQLite
  SetBytes(bytes);
  auto store = Open();
  const VerifyReport report = *store->Verify();
  EXPECT_EQ(report.good_records, 119);
  ASSERT_TRUE(report.problem);
  EXPECT_EQ(report.problem->code(), Code::kDataLoss);
  EXPECT_THAT(report.problem->message(), HasSubstr("record 120"));
  EXPECT_THAT(report.problem->message(), HasSubstr(path_));
  int seen = 0;
  const Status scan = store->Scan(1, [&](const Record&) { return ++seen < 1000; });
  EXPECT_EQ(seen, 119) << "the intact part is handed out before the error";
  EXPECT_EQ(scan.error().code(), Code::kDataLoss);

  const SalvageReport salvaged = *SalvageSqliteStore(path_, dir_ / "new.db");
  EXPECT_EQ(salvaged.records_kept, 119);
  EXPECT_EQ(salvaged.records_lost, 81);
  EXPECT_TRUE(salvaged.lost_is_exact);
  EXPECT_EQ(salvaged.keys_kept, 1);
  EXPECT_EQ(Bytes(), bytes) << "the damaged file is evidence: left as it was";
  auto next = *OpenSqliteStore(dir_ / "new.db");
  EXPECT_EQ(*next->LastSeq(), 119);
  EXPECT_FALSE(next->Verify()->problem);
  EXPECT_EQ(next->Verify()->last_hash, report.last_hash);
  EXPECT_EQ(*next->Append(Numbered(1)), 120);
}

TEST_F(SqliteStoreTest, SalvageOfAHealthyStoreIsACopyAndNeverOverwrites) {
  Fill(20);
  const SalvageReport salvaged = *SalvageSqliteStore(path_, dir_ / "new.db");
  EXPECT_EQ(salvaged.records_kept, 20);
  EXPECT_EQ(salvaged.records_lost, 0);
  EXPECT_EQ(salvaged.problem, "");
  EXPECT_EQ(SalvageSqliteStore(path_, dir_ / "new.db").error().code(), Code::kAlreadyExists);
  EXPECT_EQ(SalvageSqliteStore(dir_ / "nothing.db", dir_ / "new2.db").error().code(),
            Code::kNotFound);
  EXPECT_FALSE(FileExists(dir_ / "new2.db"));
}

// Zeros over every page in turn: whatever is hit, a damaged journal is never taken for a whole
// one, and Salvage gives back a true prefix of what was there.
TEST_F(SqliteStoreTest, EveryPageMayRotAndNothingWrongIsEverReadFromIt) {
  Fill(60);
  const std::string good = Bytes();
  const std::string good_hash = Open()->Verify()->last_hash;
  constexpr size_t kPage = 4096;
  ASSERT_EQ(good.size() % kPage, 0u);
  int noticed = 0;
  int64_t kept_least = 60;
  for (size_t page = 0; page < good.size() / kPage; ++page) {
    SCOPED_TRACE(fmt::format("page {}", page + 1));
    std::string bytes = good;
    bytes.replace(page * kPage, kPage, kPage, '\0');
    for (const char* suffix : {"-wal", "-shm"}) ASSERT_TRUE(RemoveFile(path_ + suffix));
    SetBytes(bytes);
    const auto opened = OpenSqliteStore(path_);
    bool whole = false;
    if (opened) {
      const auto report = (*opened)->Verify();
      whole = report && !report->problem;
      EXPECT_TRUE(!whole || report->last_hash == good_hash);
    } else {
      EXPECT_EQ(opened.error().code(), Code::kDataLoss) << opened.error().ToString();
    }
    noticed += whole ? 0 : 1;
    const std::string to = dir_ / fmt::format("new{}.db", page);
    const auto salvaged = SalvageSqliteStore(path_, to);
    ASSERT_TRUE(salvaged) << salvaged.error().ToString();
    if (salvaged->lost_is_exact) {
      EXPECT_EQ(salvaged->records_kept + salvaged->records_lost, 60) << salvaged->problem;
    }
    kept_least = std::min(kept_least, salvaged->records_kept);
    auto next = *OpenSqliteStore(to);
    EXPECT_FALSE(next->Verify()->problem);
    EXPECT_EQ(*next->LastSeq(), salvaged->records_kept);
  }
  EXPECT_GE(noticed, 10);
  fmt::print("fewest records kept: {}\n", kept_least);
}

TEST_F(SqliteStoreTest, ACutOffFileIsSaid) {
  Fill(60);
  const std::string good = Bytes();
  SetBytes(good.substr(0, good.size() - 4096));
  const auto opened = OpenSqliteStore(path_);
  const bool said =
      !opened ? opened.error().code() == Code::kDataLoss : (*opened)->Verify()->problem.has_value();
  EXPECT_TRUE(said);
}

class WalDamageTest : public SqliteStoreTest {
 protected:
  // A log of 20 appends that no checkpoint has taken in, as kill -9 leaves it.
  void SetUp() override {
    const pid_t child = ::fork();
    if (child == 0) {
      auto store = OpenSqliteStore(path_);
      for (int i = 1; i <= 20; ++i) (void)(*store)->Append(Numbered(i, std::string(100, 'w')));
      ::_exit(0);  // without closing: no checkpoint
    }
    ::waitpid(child, nullptr, 0);
    wal_ = *ReadFile(path_ + "-wal", kMaxFile);
    ASSERT_GT(wal_.size(), 20u * 4096);
  }
  std::string wal_;
};

TEST_F(WalDamageTest, AWholeLogAndEveryCutOffLogAreInnocent) {
  EXPECT_EQ(DamageInWal(wal_), std::nullopt);
  for (size_t size = 0; size < wal_.size(); size += 511) {
    EXPECT_EQ(DamageInWal(wal_.substr(0, size)), std::nullopt) << size;
  }
}

// SQLite itself would drop the appends after the bad frame without a word.
TEST_F(WalDamageTest, ADamagedMiddleIsSaidAtOpen) {
  std::string bad = wal_;
  bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
  EXPECT_NE(DamageInWal(bad), std::nullopt);
  std::ofstream(path_ + "-wal", std::ios::binary) << bad;
  const auto opened = OpenSqliteStore(path_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kDataLoss);
  const SalvageReport salvaged = *SalvageSqliteStore(path_, dir_ / "new.db");
  EXPECT_GT(salvaged.records_kept, 0);
  EXPECT_LT(salvaged.records_kept, 20);
  EXPECT_THAT(salvaged.problem, HasSubstr("write-ahead log"));
}

TEST_F(WalDamageTest, EveryByteOfNoiseIsSurvived) {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    std::string bad = wal_;
    for (int n = 0; n < 4; ++n) bad[random.Below(bad.size())] = static_cast<char>(random.Next());
    (void)DamageInWal(bad.substr(0, random.Below(bad.size())));
  }
}

}  // namespace
}  // namespace weir::io
