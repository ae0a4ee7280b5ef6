#include "wire/openai_completion.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace weir::wire {
namespace {

using Json = nlohmann::json;
using Kind = OutputFormat::Kind;

TEST(OpenAiCompletion, ReadsARequestWhole) {
  CompletionRequest r;
  const auto error = ParseCompletionRequest(R"({
      "model":"m","prompt":"Hi \u00e9","max_tokens":7,"temperature":0,"top_p":0.5,"top_k":40,"seed":-3,
      "stop":["a","b"],"logprobs":2,"echo":true,"stream":true,"stream_options":{"include_usage":true},
      "n":3,"best_of":3,"min_p":0.05,"repetition_penalty":1.1,"presence_penalty":-1,
      "frequency_penalty":0.5,"logit_bias":{"5":-100,"7":1.5},"stop_token_ids":[2],"priority":-4,
      "user":"someone","unknown":[1,2],"suffix":null})",
                                            r);
  ASSERT_FALSE(error) << error->message;
  EXPECT_EQ(r.model, "m");
  EXPECT_EQ(r.prompts[0].text, "Hi é");
  EXPECT_EQ(r.max_tokens, 7);
  EXPECT_EQ(r.temperature, 0.0f);
  EXPECT_EQ(r.top_p, 0.5f);
  EXPECT_EQ(r.top_k, 40);
  EXPECT_EQ(r.min_p, 0.05f);
  EXPECT_EQ(r.repetition_penalty, 1.1f);
  EXPECT_EQ(r.presence_penalty, -1.0f);
  EXPECT_EQ(r.frequency_penalty, 0.5f);
  EXPECT_EQ(r.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.0f}, {7, 1.5f}}));
  EXPECT_EQ(r.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(r.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(r.stop_token_ids, std::vector<int32_t>{2});
  EXPECT_EQ(r.priority, -4);
  EXPECT_EQ(r.logprobs, 2);
  EXPECT_EQ(r.n, 3);
  EXPECT_TRUE(r.echo && r.stream && r.include_usage);
}

TEST(OpenAiCompletion, APromptMayBeTextTokensOrSeveralOfEither) {
  const auto prompts = [](const char* json) {
    CompletionRequest r;
    const auto error = ParseCompletionRequest(fmt::format(R"({{"prompt":{}}})", json), r);
    EXPECT_FALSE(error) << error->message;
    return r.prompts;
  };
  EXPECT_EQ(prompts("[1,2,3]")[0].tokens, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(prompts("[[4,5]]")[0].tokens, (std::vector<int32_t>{4, 5}));
  EXPECT_EQ(prompts(R"(["one","two"])")[1].text, "two");
  EXPECT_EQ(prompts("[[4],[5]]").size(), 2u);
}

TEST(OpenAiCompletion, ConstraintsComeUnderAllTheirNames) {
  const struct {
    const char* json;
    Kind kind;
    const char *text, *param;
  } rows[] = {
      {R"("response_format":{"type":"text"})", Kind::kText, "", ""},
      {R"("response_format":{"type":"json_object"})", Kind::kJsonObject, "", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,)"
       R"("schema":{"z":1,"a":2}}})",
       Kind::kJsonSchema, R"({"z":1,"a":2})", "response_format.json_schema.schema"},
      {R"("response_format":{"type":"json_object","schema":{"type":"object"}})", Kind::kJsonSchema,
       R"({"type":"object"})", "response_format.schema"},
      {R"("guided_json":{"type":"object"})", Kind::kJsonSchema, R"({"type":"object"})",
       "guided_json"},
      {R"("guided_json":"{\"type\":\"object\"}")", Kind::kJsonSchema, R"({"type":"object"})",
       "guided_json"},
      {R"("json_schema":true)", Kind::kJsonSchema, "true", "json_schema"},
      {R"("guided_regex":"a+")", Kind::kRegex, "a+", "guided_regex"},
      {R"("guided_choice":["yes","n.o"])", Kind::kRegex, R"((?:yes)|(?:n\.o))", "guided_choice"},
      {R"("guided_grammar":"root ::= \"a\"")", Kind::kGrammar, "root ::= \"a\"", "guided_grammar"},
      {R"("grammar":"root ::= \"a\"")", Kind::kGrammar, "root ::= \"a\"", "grammar"},
      {R"("grammar":"")", Kind::kText, "", ""},
      {R"("structured_outputs":{"regex":"b","json":null})", Kind::kRegex, "b",
       "structured_outputs.regex"},
  };
  for (const auto& row : rows) {
    CompletionRequest r;
    const auto error = ParseCompletionRequest(fmt::format(R"({{"prompt":"a",{}}})", row.json), r);
    ASSERT_FALSE(error) << row.json << error->message;
    EXPECT_EQ(r.format.kind, row.kind) << row.json;
    EXPECT_EQ(r.format.text, row.text) << row.json;
    EXPECT_EQ(r.format.param, row.param) << row.json;
  }
}

TEST(OpenAiCompletion, ErrorsNameTheParameter) {
  const struct {
    const char *body, *param;
  } rows[] = {
      {"", ""},
      {"{\"prompt\":\"\xFF\"}", ""},
      {"[]", ""},
      {"{}", "prompt"},
      {R"({"prompt":5})", "prompt"},
      {R"({"prompt":["a",5]})", "prompt"},
      {R"({"prompt":[1,-2]})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":[[]]})", "prompt"},
      {R"({"prompt":"a","model":3})", "model"},
      {R"({"prompt":"a","max_tokens":0})", "max_tokens"},
      {R"({"prompt":"a","max_tokens":"5"})", "max_tokens"},
      {R"({"prompt":"a","max_tokens":99999999999999999999})", "max_tokens"},
      {R"({"prompt":"a","temperature":2.1})", "temperature"},
      {R"({"prompt":"a","temperature":1e999})", ""},  // no such JSON number
      {R"({"prompt":"a","top_p":0})", "top_p"},
      {R"({"prompt":"a","top_k":-2})", "top_k"},
      {R"({"prompt":"a","min_p":1.5})", "min_p"},
      {R"({"prompt":"a","repetition_penalty":0})", "repetition_penalty"},
      {R"({"prompt":"a","presence_penalty":3})", "presence_penalty"},
      {R"({"prompt":"a","logit_bias":{"x":1}})", "logit_bias"},
      {R"({"prompt":"a","logit_bias":{"1":101}})", "logit_bias"},
      {R"({"prompt":"a","logit_bias":[[1]]})", "logit_bias"},
      {R"({"prompt":"a","seed":1.5})", "seed"},
      {R"({"prompt":"a","stop":[1]})", "stop"},
      {R"({"prompt":"a","stop":[""]})", "stop"},
      {R"({"prompt":"a","stop":{"x":1}})", "stop"},
      {R"({"prompt":"a","stop_token_ids":"x"})", "stop_token_ids"},
      {R"({"prompt":"a","logprobs":21})", "logprobs"},
      {R"({"prompt":"a","stream":1})", "stream"},
      {R"({"prompt":"a","stream_options":{}})", "stream_options"},
      {R"({"prompt":"a","stream":true,"stream_options":{"include_usage":1}})",
       "stream_options.include_usage"},
      {R"({"prompt":"a","n":0})", "n"},
      {R"({"prompt":["a","b"],"n":100})", "n"},
      {R"({"prompt":"a","n":2,"best_of":3})", "best_of"},
      {R"({"prompt":"a","use_beam_search":true})", "use_beam_search"},
      {R"({"prompt":"a","suffix":"z"})", "suffix"},
      {R"({"prompt":"a","prompt_logprobs":1})", "prompt_logprobs"},
      {R"({"prompt":"a","guided_regex":""})", "guided_regex"},
      {R"({"prompt":"a","guided_json":"no"})", "guided_json"},
      {R"({"prompt":"a","guided_choice":[]})", "guided_choice"},
      {R"({"prompt":"a","guided_regex":"a","grammar":"b"})", "grammar"},
      {R"({"prompt":"a","response_format":{}})", "response_format.type"},
      {R"({"prompt":"a","response_format":{"type":"xml"}})", "response_format.type"},
      {R"({"prompt":"a","response_format":{"type":"json_schema"}})", "response_format.json_schema"},
      {R"({"prompt":"a","response_format":{"type":"json_schema","json_schema":{}}})",
       "response_format.json_schema.schema"},
      {R"({"prompt":"a","structured_outputs":{"structural_tag":{}}})",
       "structured_outputs.structural_tag"},
  };
  for (const auto& row : rows) {
    CompletionRequest request;
    const auto error = ParseCompletionRequest(row.body, request);
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

TEST(OpenAiCompletion, AnswersHaveTheShapeThatClientsExpect) {
  const std::vector<TokenLogprob> tokens = {
      {"é\"", -9, {}},
      {"a\n", -0.5f, {{"a", -0.5f}, {"\xC3", -1}, {"\xA9", -2}, {"b", -INFINITY}}}};
  const CompletionLogprobs logprobs{.tokens = tokens, .text_offset = 3, .first_is_unknown = true};
  const AnswerHead head{"cmpl-1", 123, "m"};
  const CompletionChoice choices[] = {
      {.index = 0, .text = "say \"é\"\n", .finish_reason = "length", .logprobs = logprobs},
      {.index = 1, .text = "t", .finish_reason = "stop"}};
  Json json = Json::parse(CompletionBody(head, choices, {3, 4, 2}));
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["choices"][0]["text"], "say \"é\"\n");
  EXPECT_EQ(json["choices"][1]["index"], 1);
  EXPECT_TRUE(json["choices"][1]["logprobs"].is_null());
  const Json& l = json["choices"][0]["logprobs"];
  EXPECT_EQ(l["tokens"][0], "é\"");
  EXPECT_TRUE(l["token_logprobs"][0].is_null() && l["top_logprobs"][0].is_null());
  EXPECT_EQ(l["token_logprobs"][1], -0.5);
  EXPECT_EQ(l["text_offset"], (Json{3, 5})) << "characters, not bytes";
  EXPECT_EQ(l["top_logprobs"][1].size(), 3u) << "tokens that read alike are one: " << l.dump();
  EXPECT_EQ(l["top_logprobs"][1]["\xEF\xBF\xBD"], -1.0);
  EXPECT_EQ(l["top_logprobs"][1]["b"], -9999.0);
  EXPECT_EQ(json["usage"]["total_tokens"], 7);
  EXPECT_EQ(json["usage"]["prompt_tokens_details"]["cached_tokens"], 2);

  json = EventJson(CompletionEvent(head, {.text = "x"}, true));
  EXPECT_EQ(json["choices"][0]["text"], "x");
  EXPECT_TRUE(json["choices"][0]["finish_reason"].is_null());
  EXPECT_TRUE(json["usage"].is_null());
  json = EventJson(CompletionUsageEvent(head, {1, 2}));
  EXPECT_EQ(json["choices"], Json::array());
  EXPECT_EQ(json["usage"]["completion_tokens"], 2);
}

}  // namespace
}  // namespace weir::wire
