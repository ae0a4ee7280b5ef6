#include <gtest/gtest.h>

#include "base/random.h"
#include "base/result.h"
#include "base/text.h"
#include "base/units.h"

namespace weir {
namespace {

Result<int> Half(int n) {
  if (n % 2) return Error(Code::kInvalidArgument, fmt::format("{} is odd", n)).Hint("use 2");
  return n / 2;
}
Result<std::string> Quarter(int n) { return std::to_string(TRY(Half(TRY(Half(n))))); }

TEST(Result, TryPassesTheErrorOnUntouched) {
  EXPECT_EQ(*Quarter(12), "3");
  EXPECT_EQ(Quarter(6).error().ToString(), "3 is odd (use 2)");
  EXPECT_EQ(Quarter(6).error().code(), Code::kInvalidArgument);
}

TEST(Result, EveryCodeStandsAtItsOwnPlaceInTheTable) {
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    EXPECT_EQ(static_cast<int>(InfoOf(static_cast<Code>(i)).code), i);
  }
}

TEST(ResultDeathTest, ValueOfAnErrorStopsTheProgramAndPrintsIt) {
  EXPECT_DEATH((void)Half(3).value(), "3 is odd");
}

TEST(Units, HumanFormsReadWell) {
  EXPECT_EQ(Human(Duration::Millis(1500)), "1.5 s");
  EXPECT_EQ(Human(Duration::Seconds(125)), "2 min 5 s");
  EXPECT_EQ(Human(Duration::Seconds(12000)), "3 h 20 min");
  EXPECT_EQ(Human(Duration::Micros(2500)), "2.5 ms");
  EXPECT_EQ(HumanBytes(12'900'000), "12.3 MiB");
  EXPECT_EQ(Human(MicroUsd{1'234'560'000}), "$1,234.56");
  EXPECT_EQ(HumanCount(12345), "12.3k");
  EXPECT_EQ(Rfc3339(Time{1'700'000'000'000'001}), "2023-11-14T22:13:20.000001Z");
}

TEST(Units, ParseTakesWhatPeopleWriteAndNothingElse) {
  EXPECT_EQ(ParseDuration("1m30s")->us, 90'000'000);
  EXPECT_EQ(ParseDuration("250ms")->us, 250'000);
  for (const char* bad : {"", "5", "s", "-1s", "1x", "1s!", "nan s", "1e999s"}) {
    EXPECT_FALSE(ParseDuration(bad)) << bad;
  }
  EXPECT_EQ(ParseBytes("1.5GiB"), 1'610'612'736);
  EXPECT_EQ(ParseBytes("64k"), 65536);
  for (const char* bad : {"", "k", "-1", "1Q", "inf"}) EXPECT_FALSE(ParseBytes(bad)) << bad;
}

TEST(Text, Names) {
  for (const char* good : {"a", "A-b_c.9", "0"}) EXPECT_TRUE(IsName(good)) << good;
  for (const char* bad : {"", "-a", ".a", "a b", "a/b", "\xff", "é"}) EXPECT_FALSE(IsName(bad));
  EXPECT_TRUE(IsName(std::string(63, 'a')));
  EXPECT_FALSE(IsName(std::string(64, 'a')));
}

TEST(Text, Base64) {
  EXPECT_EQ(FromBase64("aGkh"), "hi!");
  EXPECT_EQ(FromBase64("aGk="), "hi");
  EXPECT_EQ(FromBase64("aA"), "h");
  EXPECT_EQ(FromBase64("/+8="), "\xFF\xEF");
  EXPECT_EQ(FromBase64(""), "");
  for (const char* bad : {"a", "aG-h", "aGk=h"}) EXPECT_FALSE(FromBase64(bad)) << bad;
}

TEST(Text, AJsonTextIsMeasuredByItsBracketsAndCommas) {
  const struct {
    const char* text;
    size_t depth, members;
  } rows[] = {{"5", 0, 0},         {"[]", 1, 0},
              {"[1,2,3]", 1, 0},   {R"({"a":1,"b":[{},{"c":2}]})", 3, 2},
              {R"("[[{,")", 0, 0}, {R"({"a\"{[":1})", 1, 0},
              {"]]}[", 1, 0},      {R"({"a":1,"b":2,"c":[1,2,3,4]})", 2, 3}};
  for (const auto& row : rows) {
    const JsonShape shape = MeasureJson(row.text, 100);
    EXPECT_EQ(shape.depth, row.depth) << row.text;
    EXPECT_EQ(shape.members, row.members) << row.text;
  }
  EXPECT_EQ(MeasureJson(std::string(1000, '['), 10).depth, 11u);
}

TEST(Random, OneSeedGivesOneSequenceAndItsStateCanBeRestored) {
  Random a(42), b(42);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(a.Next(), b.Next());
  const Random::State saved = a.state();
  const uint64_t next = a.Next();
  b.set_state(saved);
  EXPECT_EQ(b.Next(), next);
}

TEST(Random, BelowIsEvenEnough) {
  Random random(7);
  int count[10] = {};
  for (int i = 0; i < 100'000; ++i) ++count[random.Below(10)];
  for (const int c : count) EXPECT_NEAR(c, 10'000, 500);
}

}  // namespace
}  // namespace weir
