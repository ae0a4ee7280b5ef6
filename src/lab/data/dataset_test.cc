#include "lab/data/dataset.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include "io/files.h"
#include "lab/data/text.h"

namespace weir::data {
namespace {

std::string Gzip(const std::string& text) {
  std::string out(compressBound(text.size()) + 64, '\0');
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

TEST(Text, GunzipGivesBackWhatWasPackedAndNamesDamage) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "line " + std::to_string(i) + "\n";
  const std::string packed = Gzip(text);
  EXPECT_EQ(*Gunzip(packed, 1 << 20), text);
  EXPECT_EQ(*Gunzip(packed + packed, 1 << 20), text + text);
  EXPECT_EQ(Gunzip(packed, 1000).error().code(), Code::kTooLarge);
  for (const size_t cut : {packed.size() - 1, packed.size() / 2, size_t{12}}) {
    EXPECT_EQ(Gunzip(packed.substr(0, cut), 1 << 20).error().code(), Code::kDataLoss) << cut;
  }
}

TEST(Text, DecodesWhatPeopleHaveAndRefusesBinaries) {
  EXPECT_EQ(*DecodeText("\xef\xbb\xbfgr\xc3\xbc\xc3\x9f"), "grüß");
  EXPECT_EQ(*DecodeText("gr\xfc\xdf dich"), "grüß dich");
  EXPECT_EQ(*DecodeText(std::string("\xff\xfeg\0r\0\xfc\0", 8)), "grü");
  EXPECT_FALSE(DecodeText(std::string("a\0b", 3)));
  EXPECT_FALSE(DecodeText("\x01\x02\x03\x04"));
  EXPECT_FALSE(DecodeText("\xff\xff\xfe\x80\x81"));
}

TEST(Text, Utf8IsJudgedAsTheStandardSays) {
  for (const char* good : {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(IsUtf8(good));
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xf8\x88", "\xc2", "\xe2\x82"}) {
    EXPECT_FALSE(IsUtf8(bad)) << bad;
  }
}

TEST(Text, TroffLosesItsMacrosAndKeepsItsWords) {
  const char* page =
      ".\\\" a comment\n.TH LS 1\n.SH NAME\nls \\- list \\fBdirectory\\fR contents\n.PP\n.B \"one "
      "two\"\nit\\(aqs\n.ad l\n";
  ASSERT_TRUE(LooksLikeTroff(page));
  EXPECT_EQ(StripTroff(page), "\nNAME\nls - list directory contents\n\none two\nit's\n");
}

class DatasetTest : public testing::Test {
 protected:
  void Put(const std::string& name, const std::string& bytes) {
    ASSERT_TRUE(io::MakeDirs(dir_ / "in/sub"));
    ASSERT_TRUE(io::WriteFileDurably(dir_ / ("in/" + name), bytes));
  }
  Result<Manifest> BuildIt(int64_t max_bytes = 1 << 20) {
    return Build({.paths = {dir_ / "in"}, .out = dir_ / "out", .max_bytes = max_bytes}, {});
  }
  io::TempDir dir_ = *io::TempDir::Create();
};

TEST_F(DatasetTest, TakesTextDropsTheRestAndSaysWhy) {
  Put("a.txt", "hello  \nworld\n\n\n\nhello\n");
  Put("sub/b.gz", Gzip("packed\nworld\n"));
  Put("c.bin", std::string("\0\1\2", 3));
  Put("d.html", "<p>");
  Put("e.txt", "");
  Put("f.gz", Gzip("x").substr(0, 9));
  Put("long.txt", std::string(3000, 'x') + "\nshort\n");
  ASSERT_EQ(symlink("/etc", (dir_ / "in/link").c_str()), 0);
  const Result<Manifest> m = BuildIt();
  ASSERT_TRUE(m) << m.error().ToString();
  const Report& r = m->report;
  EXPECT_EQ(r.files_seen, 7);
  EXPECT_EQ(r.files_taken, 3);
  EXPECT_EQ(r.files_dropped.at("binary"), 1);
  EXPECT_EQ(r.files_dropped.at("not prose"), 1);
  EXPECT_EQ(r.files_dropped.at("empty"), 1);
  EXPECT_EQ(r.files_dropped.at("damaged"), 1);
  EXPECT_EQ(r.lines_dropped.at("duplicate"), 2);
  EXPECT_EQ(r.lines_dropped.at("too long"), 1);
  EXPECT_EQ(r.lines_taken, 4);
  const std::string text = *io::ReadFile(dir_ / "out/text.txt", 1 << 20);
  EXPECT_EQ(io::Sha256Hex(text), m->sha256);
  EXPECT_EQ(ReadManifest(dir_ / "out")->sha256, m->sha256);
}

TEST_F(DatasetTest, TheSameFilesGiveTheSameContentAndBuildingAgainIsASuccess) {
  for (int i = 0; i < 50; ++i) Put("f" + std::to_string(i), "line " + std::to_string(i) + "\n");
  const std::string first = BuildIt()->sha256;
  EXPECT_EQ(BuildIt()->sha256, first);
  Put("new", "another\n");
  EXPECT_EQ(BuildIt().error().code(), Code::kAlreadyExists);
}

TEST_F(DatasetTest, StaysUnderItsByteLimitAndCutsAtALine) {
  for (int i = 0; i < 50; ++i)
    Put("f" + std::to_string(i), "line number " + std::to_string(i) + "\n");
  const Result<Manifest> m = BuildIt(100);
  ASSERT_TRUE(m);
  const std::string text = *io::ReadFile(dir_ / "out/text.txt", 1 << 20);
  EXPECT_LE(text.size(), 100u);
  EXPECT_EQ(text.back(), '\n');
}

TEST_F(DatasetTest, NoTextAtAllIsRefusedWithTheNextStep) {
  Put("c.bin", std::string("\0\1\2", 3));
  EXPECT_EQ(BuildIt().error().message(), "no text found in 1 file under " + (dir_ / "in"));
  EXPECT_FALSE(io::FileExists(dir_ / "out"));
  EXPECT_EQ(Build({.paths = {dir_ / "none"}, .out = dir_ / "out"}, {}).error().code(),
            Code::kNotFound);
  EXPECT_EQ(Build({.paths = {}, .out = dir_ / "out"}, {}).error().code(), Code::kInvalidArgument);
}

TEST_F(DatasetTest, AnInterruptedBuildLeavesNothingInTheWay) {
  Put("a", "text\n");
  ASSERT_TRUE(io::MakeDirs(dir_ / "out.building"));
  ASSERT_TRUE(io::WriteFileDurably(dir_ / "out.building/text.txt", "half"));
  ASSERT_TRUE(io::MakeDirs(dir_ / "out"));
  ASSERT_TRUE(BuildIt());
  EXPECT_EQ(*io::ReadFile(dir_ / "out/text.txt", 100), "text\n\n");
}

}  // namespace
}  // namespace weir::data
