#include "gateway/edge/scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::gateway {
namespace {

TEST(Scan, FindsModelAndStreamAtTheTopOnly) {
  const BodyScan s = *ScanBody(
      R"({"messages":[{"model":"no","stream":true}],"model":"story","n":1,"stream" : true})");
  EXPECT_EQ(s.model, "story");
  EXPECT_TRUE(s.stream);
  EXPECT_FALSE(ScanBody(R"({"x":{"model":"y"}})")->has_model);
  EXPECT_EQ(ScanBody(R"({"mod\u0065l":"\ud83d\ude00"})")->model, "😀");
  EXPECT_EQ(ScanBody(R"({"model":"a","model":"b"})")->model, "b");
  EXPECT_FALSE(ScanBody(R"({"model":7})")->has_model);
  EXPECT_FALSE(ScanBody(R"({"stream":"true"})")->stream);
}

TEST(Scan, RefusesWhatIsNotAJsonObjectInUtf8) {
  for (const char* bad : {"",
                          "[]",
                          "\"x\"",
                          "{",
                          "{]",
                          "{\"a\":1,}",
                          "{\"a\":01}",
                          "{\"a\":1}x",
                          "{\"a\":+1}",
                          "{\"a\":.5}",
                          "{\"a\":1.}",
                          "{\"a\":nul}",
                          "{\"a\":\"\x01\"}",
                          "{\"a\":\"\xff\"}",
                          "{\"a\":\"\xc0\xaf\"}",
                          "{\"a\":\"\xed\xa0\x80\"}",
                          "{\"a\":\"\\ud800\"}",
                          "{\"a\":\"\\x\"}",
                          "{\"a\":\"\\u12\"}",
                          "{a:1}",
                          "{'a':1}",
                          "{\"a\" 1}"}) {
    EXPECT_FALSE(ScanBody(bad)) << bad;
  }
  EXPECT_THAT(ScanBody("{\"model\":\"\xff\"}").error().message(),
              testing::HasSubstr("not UTF-8 at byte 10"));
  EXPECT_FALSE(ScanBody("{\"a\":" + std::string(5000, '[') + std::string(5000, ']') + "}"));
}

}  // namespace
}  // namespace weir::gateway
