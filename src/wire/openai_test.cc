#include "wire/openai.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace weir::wire {
namespace {

using Json = nlohmann::json;

TEST(OpenAi, ReadsACompletionRequestWhole) {
  CompletionRequest r;
  const auto error = ParseCompletionRequest(Api::kCompletion, R"({
      "model":"m","prompt":"Hi \u00e9","max_tokens":7,"temperature":0,"top_p":0.5,"top_k":40,"seed":-3,
      "stop":["a","b"],"logprobs":2,"echo":true,"stream":true,"stream_options":{"include_usage":true},
      "n":1,"user":"someone","unknown":[1,2],"presence_penalty":0.0,"logit_bias":{},"suffix":null})",
                                            r);
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(r.model, "m");
  EXPECT_EQ(r.prompt, "Hi é");
  EXPECT_EQ(r.max_tokens, 7);
  EXPECT_EQ(r.temperature, 0.0f);
  EXPECT_EQ(r.top_p, 0.5f);
  EXPECT_EQ(r.top_k, 40);
  EXPECT_EQ(r.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(r.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(r.logprobs, 2);
  EXPECT_TRUE(r.echo && r.stream && r.include_usage);
}

TEST(OpenAi, ReadsChatMessagesAndTheirTextParts) {
  CompletionRequest r;
  const auto error = ParseCompletionRequest(Api::kChat, R"({"messages":[
      {"role":"system","content":"s"},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":null}],"max_completion_tokens":3,"stop":"x",
      "logprobs":true,"top_logprobs":5,"response_format":{"type":"text"},"tools":[]})",
                                            r);
  ASSERT_FALSE(error) << error->message;
  ASSERT_EQ(r.messages.size(), 3u);
  EXPECT_EQ(r.messages[1].content, "ab");
  EXPECT_EQ(r.messages[2].content, "");
  EXPECT_EQ(r.max_tokens, 3);
  EXPECT_EQ(r.logprobs, 5);
  EXPECT_EQ(r.stop, std::vector<std::string>{"x"});
}

TEST(OpenAi, APromptMayBeTokens) {
  CompletionRequest r;
  ASSERT_FALSE(ParseCompletionRequest(Api::kCompletion, R"({"prompt":[1,2,3]})", r));
  EXPECT_EQ(r.prompt_tokens, (std::vector<int32_t>{1, 2, 3}));
  ASSERT_FALSE(ParseCompletionRequest(Api::kCompletion, R"({"prompt":[[4,5]]})", r));
  EXPECT_EQ(r.prompt_tokens, (std::vector<int32_t>{4, 5}));
  ASSERT_FALSE(ParseCompletionRequest(Api::kCompletion, R"({"prompt":["one"]})", r));
  EXPECT_EQ(r.prompt, "one");
}

TEST(OpenAi, ErrorsNameTheParameter) {
  const struct {
    Api api;
    const char* body;
    const char* param;
  } rows[] = {
      {Api::kCompletion, "", ""},
      {Api::kCompletion, "{\"prompt\":\"\xFF\"}", ""},
      {Api::kCompletion, "[]", ""},
      {Api::kCompletion, "{}", "prompt"},
      {Api::kCompletion, R"({"prompt":5})", "prompt"},
      {Api::kCompletion, R"({"prompt":["a","b"]})", "prompt"},
      {Api::kCompletion, R"({"prompt":[1,-2]})", "prompt"},
      {Api::kCompletion, R"({"prompt":[]})", "prompt"},
      {Api::kCompletion, R"({"prompt":"a","model":3})", "model"},
      {Api::kCompletion, R"({"prompt":"a","max_tokens":0})", "max_tokens"},
      {Api::kCompletion, R"({"prompt":"a","max_tokens":"5"})", "max_tokens"},
      {Api::kCompletion, R"({"prompt":"a","max_tokens":99999999999999999999})", "max_tokens"},
      {Api::kCompletion, R"({"prompt":"a","temperature":2.1})", "temperature"},
      {Api::kCompletion, R"({"prompt":"a","temperature":1e999})", ""},  // no such JSON number
      {Api::kCompletion, R"({"prompt":"a","top_p":0})", "top_p"},
      {Api::kCompletion, R"({"prompt":"a","top_k":-2})", "top_k"},
      {Api::kCompletion, R"({"prompt":"a","seed":1.5})", "seed"},
      {Api::kCompletion, R"({"prompt":"a","stop":["a","b","c","d","e"]})", "stop"},
      {Api::kCompletion, R"({"prompt":"a","stop":[""]})", "stop"},
      {Api::kCompletion, R"({"prompt":"a","stop":{"x":1}})", "stop"},
      {Api::kCompletion, R"({"prompt":"a","logprobs":21})", "logprobs"},
      {Api::kCompletion, R"({"prompt":"a","stream":1})", "stream"},
      {Api::kCompletion, R"({"prompt":"a","stream_options":{}})", "stream_options"},
      {Api::kCompletion, R"({"prompt":"a","n":2})", "n"},
      {Api::kCompletion, R"({"prompt":"a","suffix":"z"})", "suffix"},
      {Api::kChat, R"({"messages":[]})", "messages"},
      {Api::kChat, R"({"messages":[7]})", "messages[0]"},
      {Api::kChat, R"({"messages":[{"role":"king","content":"x"}]})", "messages[0].role"},
      {Api::kChat, R"({"messages":[{"role":"user","content":"x"},{"role":"user","content":4}]})",
       "messages[1].content"},
      {Api::kChat, R"({"messages":[{"role":"user","content":[{"type":"image_url"}]}]})",
       "messages[0].content"},
      {Api::kChat, R"({"messages":[{"role":"user","content":"x"}],"tools":[{}]})", "tools"},
      {Api::kChat, R"({"messages":[{"role":"user","content":"x"}],"top_logprobs":2})",
       "top_logprobs"},
  };
  for (const auto& row : rows) {
    CompletionRequest request;
    const auto error = ParseCompletionRequest(row.api, row.body, request);
    ASSERT_TRUE(error) << row.body;
    EXPECT_EQ(error->param, row.param) << row.body << " gave " << error->message;
    EXPECT_EQ(error->status, 400);
    const Json body = Json::parse(ErrorBody(*error));
    EXPECT_EQ(body["error"]["message"], error->message);
    EXPECT_EQ(body["error"]["type"], "invalid_request_error");
    EXPECT_EQ(body["error"]["param"].is_null(), error->param.empty());
  }
}

Json EventJson(const std::string& event) {
  EXPECT_TRUE(event.starts_with("data: ") && event.ends_with("\n\n")) << event;
  EXPECT_EQ(event.find('\n'), event.size() - 2) << "one line of data";
  return Json::parse(event.substr(6));
}

TEST(OpenAi, AnswersHaveTheShapesThatClientsExpect) {
  const std::vector<TokenLogprob> logprobs = {{"a\"\n", -0.5f, {{"a", -0.5f}, {"b", -INFINITY}}}};
  const AnswerHead chat{Api::kChat, "chatcmpl-1", 123, "m"};
  Json json = Json::parse(CompletionBody(chat, "say \"é\"\n", "stop", {3, 4}, &logprobs));
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["choices"][0]["message"]["content"], "say \"é\"\n");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(json["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1]["logprob"], -9999.0);
  EXPECT_EQ(json["usage"]["total_tokens"], 7);

  const AnswerHead text{Api::kCompletion, "cmpl-1", 123, "m"};
  json = Json::parse(CompletionBody(text, "t", "length", {3, 4}, &logprobs));
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["choices"][0]["text"], "t");
  EXPECT_EQ(json["choices"][0]["logprobs"]["tokens"][0], "a\"\n");
  EXPECT_EQ(json["choices"][0]["logprobs"]["token_logprobs"][0], -0.5);

  json = EventJson(ChunkEvent(chat, {.text = "", .first = true, .null_usage = true}));
  EXPECT_EQ(json["object"], "chat.completion.chunk");
  EXPECT_EQ(json["choices"][0]["delta"]["role"], "assistant");
  EXPECT_TRUE(json["usage"].is_null());
  json = EventJson(ChunkEvent(chat, {.text = "x\ny"}));
  EXPECT_EQ(json["choices"][0]["delta"], (Json{{"content", "x\ny"}}));
  EXPECT_TRUE(json["choices"][0]["finish_reason"].is_null());
  json = EventJson(ChunkEvent(chat, {.text = "", .finish_reason = "stop"}));
  EXPECT_EQ(json["choices"][0]["delta"], Json::object());
  json = EventJson(ChunkEvent(text, {.text = "x"}));
  EXPECT_EQ(json["choices"][0]["text"], "x");
  json = EventJson(UsageEvent(text, {1, 2}));
  EXPECT_EQ(json["choices"], Json::array());
  EXPECT_EQ(json["usage"]["completion_tokens"], 2);
  json = Json::parse(ModelListBody({{.id = "m", .created_s = 5, .context_length = 64}}));
  EXPECT_EQ(json["data"][0]["id"], "m");
  EXPECT_EQ(json["data"][0]["max_model_len"], 64);
}

TEST(OpenAi, ErrorsOfOurOwnGetOpenAisTypes) {
  EXPECT_EQ(FromError(Error(Code::kUnauthenticated, "x")).status, 401);
  const ApiError full = FromError(Error(Code::kResourceExhausted, "full").RetryAfter(3));
  EXPECT_EQ(full.status, 429);
  EXPECT_EQ(full.type, "rate_limit_error");
  EXPECT_EQ(full.retry_after_s, 3);
  EXPECT_EQ(FromError(Error(Code::kUnavailable, "x")).type, "server_error");
  EXPECT_EQ(ContextLengthExceeded(600, 16, 512).code, "context_length_exceeded");
}

}  // namespace
}  // namespace weir::wire
