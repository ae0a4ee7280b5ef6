#include "wire/openai_responses.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace weir::wire {
namespace {

using Json = nlohmann::json;

ResponsesRequest ParsedResponses(const std::string& body) {
  ResponsesRequest r;
  const auto error = ParseResponsesRequest(body, r);
  EXPECT_FALSE(error) << body << ": " << error->message;
  return r;
}

TEST(OpenAiResponses, InputBecomesMessages) {
  const ResponsesRequest r = ParsedResponses(R"({"model":"m","instructions":"be brief","input":[
      {"role":"user","content":"a"},
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"b"}]},
      {"type":"reasoning","summary":[]},
      {"type":"function_call","call_id":"c1","name":"dam","arguments":"{}"},
      {"type":"function_call","call_id":"c2","name":"dam","arguments":"{}"},
      {"type":"function_call_output","call_id":"c1","output":"full"}],
      "max_output_tokens":9,"tools":[{"type":"function","name":"dam","parameters":{}}],
      "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}}},
      "reasoning":{"effort":"high"},"top_logprobs":2})");
  const auto& m = *r.chat.messages;
  ASSERT_EQ(m.size(), 4u) << m.dump(1);
  EXPECT_EQ(m[0]["role"], "system");
  EXPECT_EQ(m[2]["content"], "b");
  EXPECT_EQ(m[2]["tool_calls"].size(), 2u);
  EXPECT_EQ(m[3]["role"], "tool");
  EXPECT_EQ(m[3]["tool_call_id"], "c1");
  EXPECT_EQ(r.chat.max_tokens, 9);
  EXPECT_EQ(r.chat.tool_names, std::vector<std::string>{"dam"});
  EXPECT_EQ((*r.chat.tools)[0]["function"]["name"], "dam");
  EXPECT_EQ(r.chat.format.kind, OutputFormat::Kind::kJsonSchema);
  EXPECT_EQ(r.chat.logprobs, 2);
  EXPECT_EQ((*r.chat.template_kwargs)["reasoning_effort"], "high");
}

TEST(OpenAiResponses, ErrorsNameTheParameter) {
  const struct {
    const char *body, *param;
  } rows[] = {
      {"{}", "input"},
      {R"({"input":[]})", "input"},
      {R"({"input":[{"role":"user"}]})", "input[0].content"},
      {R"({"input":[{"role":"tool","content":"x"}]})", "input[0].role"},
      {R"({"input":[{"role":"user","content":[{"type":"input_image"}]}]})", "input[0].content"},
      {R"({"input":[{"type":"item_reference","id":"x"}]})", "input[0].type"},
      {R"({"input":[{"type":"function_call","call_id":"x"}]})", "input[0]"},
      {R"({"input":[{"type":"function_call_output","call_id":"x"}]})", "input[0]"},
      {R"({"input":"a","previous_response_id":"resp_1"})", "previous_response_id"},
      {R"({"input":"a","conversation":"c"})", "conversation"},
      {R"({"input":"a","background":true})", "background"},
      {R"({"input":"a","truncation":"auto"})", "truncation"},
      {R"({"input":"a","tools":[{"type":"web_search"}]})", "tools[0].type"},
      {R"({"input":"a","max_output_tokens":0})", "max_output_tokens"},
      {R"({"input":"a","temperature":9})", "temperature"},
      {R"({"input":"a","text":{"format":{"type":"json_schema"}}})", "text.format.schema"},
      {R"({"input":"a","text":5})", "text"},
  };
  for (const auto& row : rows) {
    ResponsesRequest request;
    const auto error = ParseResponsesRequest(row.body, request);
    ASSERT_TRUE(error) << row.body;
    EXPECT_EQ(error->param, row.param) << row.body << " gave " << error->message;
  }
}

std::vector<Json> Events(const std::string& text) {
  std::vector<Json> events;
  std::istringstream lines(text);
  std::string name;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("event: ")) name = line.substr(7);
    if (!line.starts_with("data: ")) continue;
    events.push_back(Json::parse(line.substr(6)));
    EXPECT_EQ(events.back()["type"], name);
    EXPECT_EQ(events.back()["sequence_number"], events.size() - 1);
  }
  return events;
}

TEST(OpenAiResponses, AStreamTellsTheAnswerThatTheBodyHas) {
  ResponseAnswer answer(255, 7, "m", ParsedResponses(R"({"input":"a","metadata":{"k":"v"}})"));
  std::string text = answer.Begin();
  text += answer.Reasoning("hm");
  text += answer.Text("Hel", {});
  const std::vector<TokenLogprob> logprobs = {{"lo", -1, {}}};
  text += answer.Text("lo", logprobs);
  text += answer.ToolCall({0, "call_1", "dam", ""});
  text += answer.ToolCall({0, "", "", "{\"z\""});
  text += answer.ToolCall({0, "", "", ":1}"});
  text += answer.ToolCall({1, "call_2", "weir", "{}"});
  text += answer.Finish(false, {3, 4, 1});
  const std::vector<Json> events = Events(text);
  std::string names, spoken, arguments;
  for (const Json& event : events) {
    const std::string type = event["type"];
    names += type.substr(9) + " ";
    if (type == "response.output_text.delta") spoken += event["delta"];
    if (type == "response.function_call_arguments.delta") arguments += event["delta"];
  }
  EXPECT_EQ(names,
            "created in_progress "
            "output_item.added content_part.added reasoning_text.delta reasoning_text.done "
            "content_part.done output_item.done "
            "output_item.added content_part.added output_text.delta output_text.delta "
            "output_text.done content_part.done output_item.done "
            "output_item.added function_call_arguments.delta function_call_arguments.delta "
            "function_call_arguments.done output_item.done "
            "output_item.added function_call_arguments.delta function_call_arguments.done "
            "output_item.done completed ");
  EXPECT_EQ(spoken, "Hello");
  EXPECT_EQ(arguments, "{\"z\":1}{}");
  const Json body = Json::parse(answer.Body());
  EXPECT_EQ(events.back()["response"], body);
  EXPECT_EQ(body["id"], "resp_00000000000000ff");
  EXPECT_EQ(body["status"], "completed");
  ASSERT_EQ(body["output"].size(), 4u);
  EXPECT_EQ(body["output"][1]["content"][0]["text"], "Hello");
  EXPECT_EQ(body["output"][1]["content"][0]["logprobs"][0]["token"], "lo");
  EXPECT_EQ(body["output"][2]["arguments"], "{\"z\":1}");
  EXPECT_EQ(body["output"][3]["call_id"], "call_2");
  EXPECT_EQ(body["usage"]["input_tokens_details"]["cached_tokens"], 1);
  EXPECT_EQ(body["metadata"]["k"], "v");
  EXPECT_EQ(body["store"], false);
}

TEST(OpenAiResponses, AnAnswerThatIsCutOrFailsSaysSo) {
  ResponseAnswer cut(1, 7, "m", ParsedResponses(R"({"input":"a"})"));
  cut.Text("half", {});
  cut.Finish(true, {});
  Json body = Json::parse(cut.Body());
  EXPECT_EQ(body["status"], "incomplete");
  EXPECT_EQ(body["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(body["output"][0]["status"], "incomplete");

  ResponseAnswer failed(1, 7, "m", ParsedResponses(R"({"input":"a"})"));
  failed.Text("half", {});
  const ApiError why{.status = 503, .message = "gone", .code = "unavailable"};
  const std::string events = failed.Finish(false, {}, &why);
  EXPECT_NE(events.find("event: response.failed\n"), std::string::npos) << events;
  body = Json::parse(failed.Body());
  EXPECT_EQ(body["status"], "failed");
  EXPECT_EQ(body["error"]["message"], "gone");

  ResponseAnswer empty(1, 7, "m", ParsedResponses(R"({"input":"a"})"));
  empty.Finish(false, {});
  EXPECT_EQ(Json::parse(empty.Body())["output"][0]["content"][0]["text"], "");
}

}  // namespace
}  // namespace weir::wire
