#include "wire/openai_chat.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace weir::wire {
namespace {

using Json = nlohmann::json;
using Choice = ToolChoice::Kind;

constexpr const char* kHi = R"("messages":[{"role":"user","content":"x"}])";
constexpr const char* kTools =
    R"("tools":[{"type":"function","function":{"name":"dam","description":"d",
        "parameters":{"type":"object","properties":{"z":{},"a":{}}}}},
        {"type":"function","function":{"name":"weir"}}])";

ChatRequest Parsed(const std::string& members) {
  ChatRequest r;
  const auto error = ParseChatRequest(fmt::format("{{{}}}", members), r);
  EXPECT_FALSE(error) << members << ": " << error->message;
  return r;
}

TEST(OpenAiChat, ReadsMessagesAndKeepsThemAsTheyAre) {
  const ChatRequest r = Parsed(R"("messages":[
      {"role":"system","content":"s"},
      {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
      {"role":"assistant","content":null,"tool_calls":[
        {"id":"c1","type":"function","function":{"name":"dam","arguments":"{\"z\":1}"}}]},
      {"role":"tool","tool_call_id":"c1","content":"full"}],
      "max_completion_tokens":3,"stop":"x","logprobs":true,"top_logprobs":5,
      "response_format":{"type":"text"},"tools":[],"reasoning_effort":"low",
      "chat_template_kwargs":{"enable_thinking":false},"reasoning_format":"none")");
  ASSERT_EQ(r.messages->size(), 4u);
  EXPECT_EQ((*r.messages)[2]["tool_calls"][0]["id"], "c1");
  EXPECT_EQ(r.max_tokens, 3);
  EXPECT_EQ(r.logprobs, 5);
  EXPECT_EQ(r.stop, std::vector<std::string>{"x"});
  EXPECT_EQ(r.tool_choice.kind, Choice::kNone);
  EXPECT_EQ((*r.template_kwargs)["reasoning_effort"], "low");
  EXPECT_EQ((*r.template_kwargs)["enable_thinking"], false);
  EXPECT_EQ(r.split_reasoning, false);
  EXPECT_TRUE(r.add_generation_prompt);
}

TEST(OpenAiChat, ReadsToolsAndTheChoiceAmongThem) {
  const ChatRequest r = Parsed(fmt::format("{},{}", kHi, kTools));
  EXPECT_EQ(r.tool_names, (std::vector<std::string>{"dam", "weir"}));
  EXPECT_EQ(r.tool_choice.kind, Choice::kAuto);
  EXPECT_EQ((*r.tools)[0]["function"]["parameters"]["properties"].items().begin().key(), "z")
      << "in the order of the request";
  const auto choice = [&](const char* json) {
    return Parsed(fmt::format("{},{},\"tool_choice\":{}", kHi, kTools, json)).tool_choice;
  };
  EXPECT_EQ(choice("\"none\"").kind, Choice::kNone);
  EXPECT_EQ(choice("\"auto\"").kind, Choice::kAuto);
  EXPECT_EQ(choice("\"required\"").kind, Choice::kRequired);
  const ToolChoice named = choice(R"({"type":"function","function":{"name":"weir"}})");
  EXPECT_EQ(named.kind, Choice::kNamed);
  EXPECT_EQ(named.name, "weir");
}

TEST(OpenAiChat, ErrorsNameTheParameter) {
  const struct {
    std::string members;
    const char* param;
  } rows[] = {
      {"", "messages"},
      {R"("messages":[])", "messages"},
      {R"("messages":[{"role":"king","content":"x"}])", "messages[0].role"},
      {R"("messages":[{"role":"user"}])", "messages[0].content"},
      {R"("messages":[{"role":"user","content":5}])", "messages[0].content"},
      {R"("messages":[{"role":"user","content":[{"type":"image_url"}]}])", "messages[0].content"},
      {R"("messages":["x"])", "messages[0]"},
      {R"("messages":[{"role":"assistant","tool_calls":[{"id":"a"}]}])",
       "messages[0].tool_calls[0]"},
      {fmt::format(R"({},"tools":[{{}}])", kHi), "tools[0]"},
      {fmt::format(R"({},"tools":[{{"type":"custom","custom":{{}}}}])", kHi), "tools[0]"},
      {fmt::format(R"({},"tools":[{{"type":"function","function":{{"name":"a b"}}}}])", kHi),
       "tools[0].function.name"},
      {fmt::format(R"({},"tools":[{{"type":"function","function":{{"name":"a","parameters":1}}}}])",
                   kHi),
       "tools[0].function.parameters"},
      {fmt::format(R"({},{},"tool_choice":"some")", kHi, kTools), "tool_choice"},
      {fmt::format(R"({},{},"tool_choice":{{"type":"function","function":{{"name":"sea"}}}})", kHi,
                   kTools),
       "tool_choice"},
      {fmt::format(R"({},"tool_choice":"required")", kHi), "tool_choice"},
      {fmt::format(R"({},{},"tool_choice":"required","guided_regex":"a")", kHi, kTools),
       "tool_choice"},
      {fmt::format(R"({},"top_logprobs":2)", kHi), "top_logprobs"},
      {fmt::format(R"({},"functions":[{{}}])", kHi), "functions"},
      {fmt::format(R"({},"audio":{{"voice":"x"}})", kHi), "audio"},
      {fmt::format(R"({},"modalities":["audio"])", kHi), "modalities"},
      {fmt::format(R"({},"chat_template":"x")", kHi), "chat_template"},
      {fmt::format(R"({},"chat_template_kwargs":[])", kHi), "chat_template_kwargs"},
      {fmt::format(R"({},"continue_final_message":true,"add_generation_prompt":true)", kHi),
       "continue_final_message"},
      {fmt::format(R"({},"reasoning_format":"loud")", kHi), "reasoning_format"},
      {fmt::format(R"({},"parallel_tool_calls":"no")", kHi), "parallel_tool_calls"},
  };
  for (const auto& row : rows) {
    ChatRequest request;
    const auto error = ParseChatRequest("{" + row.members + "}", request);
    ASSERT_TRUE(error) << row.members;
    EXPECT_EQ(error->param, row.param) << row.members << " gave " << error->message;
  }
}

Json ChatEventJson(const std::string& event) { return Json::parse(event.substr(6)); }

TEST(OpenAiChat, AnswersHaveTheShapeThatClientsExpect) {
  const AnswerHead head{"chatcmpl-1", 123, "m"};
  const std::vector<TokenLogprob> tokens = {{"a\"\xC3", -0.5f, {{"a", -0.5f}}}};
  const ToolCallPart calls[] = {{0, "call_1", "dam", "{\"z\":1}"}};
  const ChatChoice choices[] = {
      {.index = 0, .content = "", .finish_reason = "stop", .logprobs = std::span(tokens)},
      {.index = 1, .reasoning = "hm", .tool_calls = calls, .finish_reason = "tool_calls"}};
  Json json = Json::parse(ChatBody(head, choices, {3, 4}));
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["choices"][0]["message"]["content"], "");
  EXPECT_FALSE(json["choices"][0]["message"].contains("tool_calls"));
  const Json& token = json["choices"][0]["logprobs"]["content"][0];
  EXPECT_EQ(token["bytes"], (Json{97, 34, 195})) << "the bytes, though they are half a character";
  EXPECT_EQ(token["top_logprobs"][0]["token"], "a");
  const Json& message = json["choices"][1]["message"];
  EXPECT_TRUE(message["content"].is_null());
  EXPECT_EQ(message["reasoning_content"], "hm");
  EXPECT_EQ(message["tool_calls"][0]["function"]["arguments"], "{\"z\":1}");
  EXPECT_EQ(message["tool_calls"][0]["type"], "function");

  json = ChatEventJson(ChatEvent(head, {.first = true}, true));
  EXPECT_EQ(json["object"], "chat.completion.chunk");
  EXPECT_EQ(json["choices"][0]["delta"], (Json{{"role", "assistant"}, {"content", ""}}));
  EXPECT_TRUE(json["usage"].is_null());
  json = ChatEventJson(ChatEvent(head, {.content = "x\ny"}, false));
  EXPECT_EQ(json["choices"][0]["delta"], (Json{{"content", "x\ny"}}));
  EXPECT_TRUE(json["choices"][0]["finish_reason"].is_null());
  json = ChatEventJson(ChatEvent(head, {.finish_reason = "stop"}, false));
  EXPECT_EQ(json["choices"][0]["delta"], Json::object());
  const ToolCallPart more[] = {{0, "", "", "1}"}};
  json = ChatEventJson(ChatEvent(head, {.tool_calls = more}, false));
  EXPECT_EQ(json["choices"][0]["delta"]["tool_calls"][0],
            (Json{{"index", 0}, {"function", {{"arguments", "1}"}}}}));
}

}  // namespace
}  // namespace weir::wire
