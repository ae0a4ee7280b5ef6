#include "io/rotated_log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "base/random.h"
#include "io/files.h"

namespace weir::io {
namespace {

// A writer that appends, and rotates by renaming, keeping `kept` old files.
struct Writer {
  std::string path;
  int kept;
  void Append(const std::string& text) { std::ofstream(path, std::ios::app) << text; }
  void Rotate() {
    for (int age = kept - 1; age >= 0; --age) {
      const std::string from = age == 0 ? path : path + "~" + std::to_string(age);
      std::rename(from.c_str(), (path + "~" + std::to_string(age + 1)).c_str());
    }
  }
};

TEST(RotatedLog, ALogThatIsNotThereYetIsEmptyAndThenGrows) {
  const TempDir dir = TempDir::Create().value();
  RotatedLog log(dir / "log");
  EXPECT_EQ(log.Read(100).value(), "");
  Writer writer{dir / "log", 2};
  writer.Append("one\n");
  EXPECT_EQ(log.Read(100).value(), "one\n");
  EXPECT_EQ(log.Read(100).value(), "");
  writer.Append("two\n");
  EXPECT_EQ(log.Read(2).value(), "tw");
  EXPECT_EQ(log.Read(100).value(), "o\n");
  EXPECT_EQ(log.offset(), 8);
}

TEST(RotatedLog, AReaderThatKeepsUpMissesNothingWhileTheLogRotates) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const TempDir dir = TempDir::Create().value();
    Writer writer{dir / "log", 3};
    RotatedLog log(writer.path);
    std::string written, read;
    int rotations_since_read = 0;
    for (int step = 0; step < 200; ++step) {
      const std::string text = "line " + std::to_string(step) + "\n";
      writer.Append(text);
      written += text;
      if (rotations_since_read < 3 && random.Chance(0.3)) {
        writer.Rotate();
        ++rotations_since_read;
      }
      if (random.Chance(0.4)) {
        for (std::string more = log.Read(7).value(); !more.empty(); more = log.Read(7).value())
          read += more;
        rotations_since_read = 0;
        EXPECT_EQ(read, written);
      }
    }
  }
}

TEST(RotatedLog, SeekCountsOverAllFilesThatAreKept) {
  const TempDir dir = TempDir::Create().value();
  Writer writer{dir / "log", 2};
  writer.Append("0123");
  writer.Rotate();
  writer.Append("45");
  writer.Rotate();
  writer.Append("6789");
  const std::string all = "0123456789";
  for (int64_t offset = 0; offset <= 12; ++offset) {
    RotatedLog log(writer.path);
    ASSERT_TRUE(log.Seek(offset));
    EXPECT_EQ(log.offset(), std::min<int64_t>(offset, 10));
    EXPECT_EQ(log.Read(100).value(), all.substr(std::min<size_t>(all.size(), offset)));
  }
}

TEST(RotatedLog, TheLastLinesAreWhatTailPrints) {
  struct Row {
    const char* name;
    const char* text;
    int64_t lines;
    const char* expected;
  };
  const Row rows[] = {
      {"two of three", "a\nb\nc\n", 2, "b\nc\n"},
      {"all", "a\nb\n", 2, "a\nb\n"},
      {"more than there are", "a\nb\n", 9, "a\nb\n"},
      {"an unfinished line counts", "a\nb", 1, "b"},
      {"none", "a\nb\n", 0, ""},
      {"empty lines count", "a\n\n\n", 2, "\n\n"},
      {"no text", "", 3, ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const TempDir dir = TempDir::Create().value();
    Writer{dir / "log", 2}.Append(row.text);
    RotatedLog log(dir / "log");
    ASSERT_TRUE(log.SeekToLastLines(row.lines, 1000));
    EXPECT_EQ(log.Read(100).value(), row.expected);
  }
}

TEST(RotatedLog, AFolderInItsPlaceIsSaid) {
  const TempDir dir = TempDir::Create().value();
  ::mkdir((dir / "log").c_str(), 0700);
  RotatedLog log(dir / "log");
  EXPECT_EQ(log.Read(10).error().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace weir::io
