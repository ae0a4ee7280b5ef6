// Every store keeps the promises of store.h. The same tests run over each; what only a disk can do
// (fill up, rot, be read by two) is in sqlite_store_test.cc; crashes on demand are at the end.
#include "io/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <map>

#include "base/random.h"
#include "io/files.h"
#include "io/memory_store.h"
#include "io/sqlite_store.h"

namespace weir::io {
namespace {

using testing::HasSubstr;

class MemoryWorld {
 public:
  std::unique_ptr<Store> Open() { return std::make_unique<MemoryStore>(&disk_); }

 private:
  MemoryDisk disk_;
};

class SqliteWorld {
 public:
  std::unique_ptr<Store> Open() { return *OpenSqliteStore(dir_ / "weir.db"); }

 private:
  TempDir dir_ = *TempDir::Create();
};

template <class World>
class StoreTest : public testing::Test {
 protected:
  void Reopen() {
    store_.reset();
    store_ = world_.Open();
  }
  World world_;
  std::unique_ptr<Store> store_ = world_.Open();
};

Entry E(int n, std::string body = "{}") {
  return {{1'000'000 + n}, "system", fmt::format("test.{}", n), std::move(body)};
}

std::vector<Record> All(Store& store, int64_t from = 1) {
  std::vector<Record> records;
  EXPECT_TRUE(store.Scan(from, [&](const Record& record) {
    records.push_back(record);
    return true;
  }));
  return records;
}

using Worlds = testing::Types<MemoryWorld, SqliteWorld>;
TYPED_TEST_SUITE(StoreTest, Worlds);

TYPED_TEST(StoreTest, StartsEmpty) {
  EXPECT_EQ(*this->store_->LastSeq(), 0);
  EXPECT_TRUE(All(*this->store_).empty());
  EXPECT_FALSE(this->store_->LatestSnapshot()->has_value());
  EXPECT_FALSE(this->store_->Verify()->problem);
  EXPECT_EQ(*this->store_->Append(std::vector<Entry>{}), 1);
  EXPECT_EQ(*this->store_->LastSeq(), 0) << "an empty batch writes nothing";
}

TYPED_TEST(StoreTest, CountsWithoutGapsAndChainsHashesAcrossReopen) {
  EXPECT_EQ(*this->store_->Append(E(1)), 1);
  EXPECT_EQ(*this->store_->Append(std::vector<Entry>{E(2), E(3)}), 2);
  this->Reopen();
  EXPECT_EQ(*this->store_->Append(E(4)), 4);
  const auto records = All(*this->store_);
  ASSERT_EQ(records.size(), 4u);
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].seq, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(records[i].type, fmt::format("test.{}", i + 1));
    EXPECT_EQ(records[i].time.us, 1'000'001 + static_cast<int64_t>(i));
    EXPECT_EQ(records[i].prev_hash, i == 0 ? kGenesisHash : records[i - 1].hash);
    EXPECT_EQ(records[i].hash, HashOf(records[i]));
  }
}

TYPED_TEST(StoreTest, KeepsAnyBytesOfABody) {
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  ASSERT_TRUE(this->store_->Append(E(1, all)));
  ASSERT_TRUE(this->store_->Append(E(2, "")));
  this->Reopen();
  const auto records = All(*this->store_);
  EXPECT_EQ(records.at(0).body, all);
  EXPECT_EQ(records.at(1).body, "");
}

TYPED_TEST(StoreTest, RefusesABodyOverTheBoundAndKeepsNothingOfTheBatch) {
  const auto refused =
      this->store_->Append(std::vector<Entry>{E(1), E(2, std::string(kMaxBodyBytes + 1, 'x'))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kTooLarge);
  EXPECT_EQ(*this->store_->LastSeq(), 0);
}

TYPED_TEST(StoreTest, ScanStartsWhereAskedAndStopsWhenTold) {
  for (int i = 1; i <= 1000; ++i) ASSERT_TRUE(this->store_->Append(E(i)));
  EXPECT_EQ(All(*this->store_, 1000).size(), 1u);
  EXPECT_EQ(All(*this->store_, 1001).size(), 0u);
  EXPECT_EQ(All(*this->store_, -5).size(), 1000u);
  int seen = 0;
  ASSERT_TRUE(this->store_->Scan(300, [&](const Record&) { return ++seen < 10; }));
  EXPECT_EQ(seen, 10);
}

TYPED_TEST(StoreTest, ScanMayAppendAndEndsWhereTheJournalEndedWhenItBegan) {
  ASSERT_TRUE(this->store_->Append(std::vector<Entry>{E(1), E(2), E(3)}));
  int seen = 0;
  ASSERT_TRUE(this->store_->Scan(1, [&](const Record&) {
    ++seen;
    return this->store_->Append(E(100)).has_value();
  }));
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(*this->store_->LastSeq(), 6);
}

TYPED_TEST(StoreTest, KeepsTheTwoNewestSnapshots) {
  for (int i = 1; i <= 5; ++i) {
    ASSERT_TRUE(this->store_->Append(E(i)));
    ASSERT_TRUE(this->store_->PutSnapshot(i, fmt::format("state {}", i)));
  }
  ASSERT_TRUE(this->store_->PutSnapshot(5, "state 5 again"));
  this->Reopen();
  const auto snapshot = *this->store_->LatestSnapshot();
  ASSERT_TRUE(snapshot);
  EXPECT_EQ(snapshot->seq, 5);
  EXPECT_EQ(snapshot->blob, "state 5 again");
  EXPECT_EQ(snapshot->hash, All(*this->store_, 5).at(0).hash);
  for (const int64_t seq : {0, 6, -1}) {
    const Status put = this->store_->PutSnapshot(seq, "x");
    ASSERT_FALSE(put);
    EXPECT_EQ(put.error().code(), Code::kInvalidArgument);
  }
}

TYPED_TEST(StoreTest, TableHoldsAnyBytesInOrder) {
  const std::string odd("a\0b\xff", 4);
  ASSERT_TRUE(this->store_->Put("key/b", "2"));
  ASSERT_TRUE(this->store_->Put("key/a", odd));
  ASSERT_TRUE(this->store_->Put("other", ""));
  ASSERT_TRUE(this->store_->Put(odd, "odd"));
  ASSERT_TRUE(this->store_->Put("key/b", "3"));
  this->Reopen();
  EXPECT_EQ(**this->store_->Get("key/a"), odd);
  EXPECT_EQ(**this->store_->Get("key/b"), "3");
  EXPECT_EQ(**this->store_->Get("other"), "");
  EXPECT_EQ(**this->store_->Get(odd), "odd");
  EXPECT_FALSE(this->store_->Get("key")->has_value());
  const auto keys = *this->store_->List("key/");
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_EQ(keys[0].first, "key/a");
  EXPECT_EQ(keys[1].first, "key/b");
  ASSERT_TRUE(this->store_->Delete("key/a"));
  ASSERT_TRUE(this->store_->Delete("never there"));
  EXPECT_EQ(this->store_->List("")->size(), 3u);
}

// A store against the obvious: a vector and a map, through random calls and reopenings.
TYPED_TEST(StoreTest, EqualsItsModelThroughRandomCalls) {
  const uint64_t seed = 20261122;
  SCOPED_TRACE(fmt::format("SEED={}", seed));
  Random random(seed);
  std::vector<std::string> bodies;
  std::map<std::string, std::string> table;
  for (int step = 0; step < 400; ++step) {
    const std::string key = fmt::format("k{}", random.Below(10));
    switch (random.Below(5)) {
      case 0: {
        std::vector<Entry> batch;
        for (uint64_t n = random.Below(5); n > 0; --n) {
          batch.push_back(E(step, std::string(random.Below(9000), 'x')));
          bodies.push_back(batch.back().body);
        }
        ASSERT_TRUE(this->store_->Append(batch));
        break;
      }
      case 1:
        ASSERT_TRUE(this->store_->Put(key, fmt::format("{}", step)));
        table[key] = fmt::format("{}", step);
        break;
      case 2:
        ASSERT_TRUE(this->store_->Delete(key));
        table.erase(key);
        break;
      case 3:
        this->Reopen();
        break;
      default: {
        const auto got = *this->store_->Get(key);
        EXPECT_EQ(got.has_value(), table.contains(key));
        EXPECT_TRUE(!got || *got == table[key]);
      }
    }
  }
  const auto records = All(*this->store_);
  ASSERT_EQ(records.size(), bodies.size());
  for (size_t i = 0; i < bodies.size(); ++i) EXPECT_EQ(records[i].body, bodies[i]);
  const VerifyReport report = *this->store_->Verify();
  EXPECT_FALSE(report.problem);
  EXPECT_EQ(report.good_records, static_cast<int64_t>(bodies.size()));
}

TEST(HashOf, ChangesWithEveryFieldAndWithWhereTheBoundaryLies) {
  Record base{{{7}, "ab", "c", "d"}, 3, kGenesisHash, ""};
  std::vector<Record> variants(8, base);
  variants[1].time.us = 8;
  variants[2].actor = "a";
  variants[2].type = "bc";
  variants[3].seq = 4;
  variants[4].body = "e";
  variants[5].prev_hash[0] = '1';
  variants[6].type = "cd";
  variants[6].body = "";
  variants[7].actor = "";
  for (size_t i = 0; i < variants.size(); ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(HashOf(variants[i]), HashOf(variants[j])) << i << j;
  }
  // Fixed for ever: a store written by one version is read by the next.
  EXPECT_EQ(HashOf(base), "c47b7d12773cebac9f550f3d847c2d4fac10e4b1e0b8e3d883f3e1bfb2d8eab4");
}

// --- memory only ---

TEST(MemoryStore, ACrashKeepsWhatWasAcknowledgedAndTheCallInFlightWhollyOrNotAtAll) {
  for (int crash_at = 1; crash_at <= 12; ++crash_at) {
    for (const Fault fault : {Fault::kCrashBefore, Fault::kCrashAfter}) {
      SCOPED_TRACE(fmt::format("crash_at={} fault={}", crash_at, static_cast<int>(fault)));
      MemoryDisk disk;
      int op = 0;
      MemoryStore store(&disk,
                        [&](std::string_view) { return ++op == crash_at ? fault : Fault::kNone; });
      int64_t acknowledged = 0;
      while (!store.crashed()) {
        if (store.Append(std::vector<Entry>{E(1), E(2)})) acknowledged += 2;
      }
      EXPECT_EQ(store.LastSeq().error().code(), Code::kUnavailable) << "a dead process answers";
      MemoryStore next(&disk);
      EXPECT_EQ(*next.LastSeq(), acknowledged + (fault == Fault::kCrashAfter ? 2 : 0));
      EXPECT_FALSE(next.Verify()->problem);
    }
  }
}

TEST(MemoryStore, AFullDiskRefusesWritesAnswersReadsAndGoesOnAfterwards) {
  MemoryDisk disk;
  bool full = false;
  MemoryStore store(&disk,
                    [&](std::string_view) { return full ? Fault::kDiskFull : Fault::kNone; });
  ASSERT_TRUE(store.Append(E(1)));
  full = true;
  EXPECT_EQ(store.Append(E(2)).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(store.Put("a", "b").error().code(), Code::kResourceExhausted);
  EXPECT_EQ(All(store).size(), 1u);
  full = false;
  EXPECT_EQ(*store.Append(E(2)), 2);
}

TEST(MemoryStore, NamesTheDamagedRecord) {
  MemoryDisk disk;
  MemoryStore store(&disk);
  ASSERT_TRUE(store.Append(std::vector<Entry>{E(1), E(2), E(3)}));
  disk.journal[1].body = "{changed}";
  const VerifyReport report = *store.Verify();
  EXPECT_EQ(report.good_records, 1);
  ASSERT_TRUE(report.problem);
  EXPECT_EQ(report.problem->code(), Code::kDataLoss);
  EXPECT_THAT(report.problem->message(), HasSubstr("record 2"));
}

}  // namespace
}  // namespace weir::io
