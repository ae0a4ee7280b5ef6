#include "io/http_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir::io {
namespace {

TEST(HttpMessage, QueriesAreDecoded) {
  HttpRequest r;
  r.target = "/a%2fb/c?x=1+2&y=%C3%A4&empty=&flag&bad=%zz";
  EXPECT_EQ(r.raw_path(), "/a%2fb/c");
  EXPECT_EQ(r.path(), "/a/b/c");
  EXPECT_EQ(r.Query("x"), "1 2");
  EXPECT_EQ(r.Query("y"), "ä");
  EXPECT_EQ(r.Query("empty"), "");
  EXPECT_EQ(r.Query("flag"), "");
  EXPECT_EQ(r.Query("bad"), "%zz");
  EXPECT_EQ(r.Query("none"), std::nullopt);
}

TEST(HttpMessage, FieldsAreFoundWithoutCase) {
  HttpRequest r;
  r.head.Add("content-TYPE", "text/plain");
  r.head.Add("Connection", "keep-alive, Upgrade");
  r.head.Add("Authorization", "bearer  abc ");
  EXPECT_EQ(r.Header("Content-Type"), "text/plain");
  EXPECT_TRUE(r.head.HasToken("connection", "upgrade"));
  EXPECT_FALSE(r.head.HasToken("connection", "close"));
  EXPECT_EQ(r.BearerToken(), "abc");
}

TEST(HttpMessage, UrlsAreTakenApart) {
  const HttpUrl a = *ParseHttpUrl("http://127.0.0.1:7575/v1/models?x=1");
  EXPECT_EQ(a.host, "127.0.0.1");
  EXPECT_EQ(a.port, 7575);
  EXPECT_EQ(a.path, "/v1/models?x=1");
  EXPECT_EQ(ParseHttpUrl("http://[::1]:80")->host, "::1");
  EXPECT_EQ(ParseHttpUrl("http://lab")->port, 80);
  for (const char* bad : {"", "lab:7575", "https://lab/", "http://", "http://lab:0/",
                          "http://lab:99999/", "http://lab:x/", "http://u@lab/", "http://a/ b"}) {
    const auto r = ParseHttpUrl(bad);
    ASSERT_FALSE(r) << bad;
    EXPECT_FALSE(r.error().hint().empty());
  }
}

TEST(HttpMessage, JsonStringsAreQuoted) {
  EXPECT_EQ(JsonQuote("a\"b\\c\n\x01 ä"), "\"a\\\"b\\\\c\\u000a\\u0001 ä\"");
  EXPECT_EQ(JsonQuote("\xff\xc0\xaf"), "\"\\ufffd\\ufffd\\ufffd\"");
}

TEST(HttpMessage, ProblemsCarryStatusCodeHintAndRetryAfter) {
  const HttpResponse r =
      ProblemResponse(Error(Code::kResourceExhausted, "full").Hint("come back").RetryAfter(7));
  EXPECT_EQ(r.status, 429);
  EXPECT_EQ(r.body,
            R"({"type":"about:blank","title":"Too Many Requests","status":429,"detail":"full",)"
            R"("code":"resource_exhausted","hint":"come back"})"
            "\n");
  EXPECT_EQ(r.headers.back().name, "Retry-After");
  EXPECT_EQ(r.headers.back().value, "7");
}

}  // namespace
}  // namespace weir::io
