#include "wire/openai.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "wire/openai_chat.h"
#include "wire/openai_completion.h"
#include "wire/openai_embeddings.h"
#include "wire/openai_responses.h"
#include "wire/openai_tokens.h"

namespace weir::wire {
namespace {

using Json = nlohmann::json;

TEST(OpenAi, ErrorsOfOurOwnGetOpenAisTypes) {
  EXPECT_EQ(FromError(Error(Code::kUnauthenticated, "x")).status, 401);
  const ApiError full = FromError(Error(Code::kResourceExhausted, "full").RetryAfter(3));
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.type, "rate_limit_error");
  EXPECT_EQ(full.retry_after_s, 3);
  EXPECT_EQ(FromError(Error(Code::kUnavailable, "x")).type, "server_error");
  EXPECT_EQ(ContextLengthExceeded(600, 16, 512).code, "context_length_exceeded");
  const struct {
    int status;
    const char *code, *type;
  } rows[] = {{400, "malformed_request", "invalid_request_error"},
              {404, "not_found", "invalid_request_error"},
              {405, "method_not_allowed", "invalid_request_error"},
              {408, "request_timeout", "invalid_request_error"},
              {413, "request_too_large", "invalid_request_error"},
              {431, "headers_too_large", "invalid_request_error"},
              {503, "unavailable", "server_error"}};
  for (const auto& row : rows) {
    const ApiError error = TransportError(row.status, "why");
    EXPECT_EQ(error.code, row.code);
    EXPECT_EQ(error.type, row.type);
    EXPECT_EQ(error.status, row.status);
  }
}

TEST(OpenAi, ModelsAndAdaptersAreListed) {
  const Json json = Json::parse(ModelListBody(
      {{.id = "m", .created_s = 5, .context_length = 64}, {.id = "a", .parent = "m"}}));
  EXPECT_EQ(json["data"][0]["id"], "m");
  EXPECT_EQ(json["data"][0]["max_model_len"], 64);
  EXPECT_FALSE(json["data"][0].contains("parent"));
  EXPECT_EQ(json["data"][1]["parent"], "m");
}

std::string Nested(int depth) { return std::string(static_cast<size_t>(depth), '['); }

TEST(OpenAi, ABodyBeyondTheBoundsIsRefusedBeforeItIsRead) {
  CompletionRequest r;
  const std::string deep = R"({"prompt":"a","x":)" + Nested(200) + "}";
  EXPECT_NE(ParseCompletionRequest(deep, r)->message.find("nests deeper"), std::string::npos);
  std::string wide = R"({"prompt":"a")";
  for (int i = 0; i < 2000; ++i) wide += fmt::format(",\"k{}\":0", i);
  EXPECT_NE(ParseCompletionRequest(wide + "}", r)->message.find("members"), std::string::npos);
  // In a string brackets and commas are text.
  EXPECT_FALSE(ParseCompletionRequest(R"({"prompt":"\"[[[)" + Nested(300) + "\"}", r));
}

TEST(OpenAi, EmbeddingsAreReadAndWrittenBothWays) {
  EmbeddingRequest r;
  ASSERT_FALSE(
      ParseEmbeddingRequest(R"({"model":"m","input":["a",[1,2]],"encoding_format":"base64"})", r));
  ASSERT_EQ(r.inputs.size(), 2u);
  EXPECT_EQ(r.inputs[0].text, "a");
  EXPECT_EQ(r.inputs[1].tokens, (std::vector<int32_t>{1, 2}));
  EXPECT_TRUE(r.base64);
  ASSERT_FALSE(ParseEmbeddingRequest(R"({"input":[1,2]})", r));
  EXPECT_EQ(r.inputs.size(), 1u);
  for (const char* bad : {R"({})", R"({"input":""})", R"({"input":[]})", R"({"input":["a",""]})",
                          R"({"input":["a",5]})", R"({"input":"a","encoding_format":"hex"})"}) {
    const auto error = ParseEmbeddingRequest(bad, r);
    ASSERT_TRUE(error) << bad;
    EXPECT_FALSE(error->param.empty()) << bad;
  }
  const std::vector<std::vector<float>> vectors = {{0.1f, -2.5f}};
  Json json = Json::parse(EmbeddingBody("m", vectors, false, 3));
  EXPECT_EQ(json["data"][0]["embedding"][0].get<float>(), 0.1f);
  EXPECT_EQ(json["usage"]["total_tokens"], 3);
  json = Json::parse(EmbeddingBody("m", vectors, true, 3));
  EXPECT_EQ(json["data"][0]["embedding"], "zczMPQAAIMA=");
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("foob"), "Zm9vYg==");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
}

TEST(OpenAi, TokenizeTakesTheFormsOfVllmAndOfLlamaCpp) {
  TokenizeRequest r;
  ASSERT_FALSE(ParseTokenizeRequest(R"({"prompt":"a"})", r));
  EXPECT_TRUE(r.add_special && r.parse_special && !r.pieces);
  ASSERT_FALSE(ParseTokenizeRequest(R"({"content":"a","with_pieces":true})", r));
  EXPECT_TRUE(!r.add_special && r.pieces);
  ASSERT_FALSE(ParseTokenizeRequest(R"({"messages":[{"role":"user","content":"x"}]})", r));
  EXPECT_TRUE(r.chat);
  EXPECT_EQ(ParseTokenizeRequest("{}", r)->param, "prompt");
  DetokenizeRequest d;
  ASSERT_FALSE(ParseDetokenizeRequest(R"({"tokens":[1,2]})", d));
  EXPECT_EQ(d.tokens.size(), 2u);
  EXPECT_EQ(ParseDetokenizeRequest(R"({"tokens":[-1]})", d)->param, "tokens");
  const Json json = Json::parse(TokenizeBody({5, 6}, {"a", "\xFF"}, 9));
  EXPECT_EQ(json["count"], 2);
  EXPECT_EQ(json["token_strs"][1], "\xEF\xBF\xBD");
  EXPECT_EQ(Json::parse(DetokenizeBody("x"))["content"], "x");
}

}  // namespace
}  // namespace weir::wire
