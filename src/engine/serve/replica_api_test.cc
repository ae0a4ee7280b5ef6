// What the API offers beyond one answer to one prompt. The shapes themselves are tested in wire/.
#include <cmath>
#include <regex>
#include <set>

#include "engine/serve/replica_test_util.h"

namespace weir::serve {
namespace {

using Json = nlohmann::json;

TEST(ReplicaApi, SeveralPromptsTimesSeveralChoices) {
  const Server server(RandomModel(40));
  Json request = {{"prompt", {"ab", "cd"}}, {"n", 2},
                  {"max_tokens", 5},        {"seed", 3},
                  {"temperature", 1},       {"ignore_eos", true}};
  const Json whole = server.Ask("/v1/completions", request);
  ASSERT_EQ(whole["choices"].size(), 4u);
  std::set<std::string> texts;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(whole["choices"][i]["index"], i);
    texts.insert(whole["choices"][i]["text"]);
  }
  EXPECT_GT(texts.size(), 2u) << "each draws for itself";
  EXPECT_EQ(whole["usage"]["completion_tokens"], 20);
  EXPECT_EQ(whole["usage"]["prompt_tokens"], 4);

  // Choice i of a prompt is the same when the prompt is asked alone, and when it is streamed.
  request["prompt"] = "cd";
  const Json alone = server.Ask("/v1/completions", request);
  EXPECT_EQ(alone["choices"][1]["text"], whole["choices"][3]["text"]);
  request["prompt"] = {"ab", "cd"};
  request["stream"] = true;
  std::string streamed[4];
  int finished = 0;
  for (const Json& event : Events(server.Post("/v1/completions", request).body)) {
    const Json& choice = event["choices"][0];
    streamed[choice["index"].get<size_t>()] += choice["text"];
    finished += choice["finish_reason"] == "length";
  }
  EXPECT_EQ(finished, 4);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(streamed[i], whole["choices"][i]["text"]);
}

TEST(ReplicaApi, EchoTellsThePromptAndItsLogprobs) {
  const Server server(RandomModel(41));
  const Json request = {{"prompt", {98, 99, 100}}, {"max_tokens", 2},
                        {"temperature", 0},        {"echo", true},
                        {"logprobs", 2},           {"ignore_eos", true}};
  const Json choice = server.Ask("/v1/completions", request)["choices"][0];
  EXPECT_TRUE(choice["text"].get<std::string>().starts_with("abc")) << choice.dump();
  const Json& logprobs = choice["logprobs"];
  ASSERT_EQ(logprobs["tokens"].size(), 5u) << logprobs.dump();
  EXPECT_EQ(logprobs["tokens"][1], "b");
  EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
  for (size_t i = 1; i < 5; ++i) EXPECT_LE(logprobs["token_logprobs"][i].get<double>(), 0.0);
  EXPECT_EQ(logprobs["text_offset"][2], 2);

  Json scoring = request;
  scoring["max_tokens"] = 0;
  const Json scored = server.Ask("/v1/completions", scoring);
  EXPECT_EQ(scored["choices"][0]["text"], "abc");
  EXPECT_EQ(scored["usage"]["completion_tokens"], 0);
  EXPECT_EQ(scored["choices"][0]["logprobs"]["token_logprobs"][2], logprobs["token_logprobs"][2]);
}

TEST(ReplicaApi, StopTokensAndBiasesAreObeyed) {
  const Server server(RandomModel(42));
  Json request = {{"prompt", "ab"},
                  {"max_tokens", 4},
                  {"temperature", 0},
                  {"ignore_eos", true},
                  {"logit_bias", {{"105", 100}}}};
  const Json biased = server.Ask("/v1/completions", request);
  EXPECT_EQ(biased["choices"][0]["text"], "hhhh");
  request["stop_token_ids"] = {105};
  const Json stopped = server.Ask("/v1/completions", request);
  EXPECT_EQ(stopped["choices"][0]["text"], "");
  EXPECT_EQ(stopped["choices"][0]["finish_reason"], "stop");
  request["logit_bias"] = {{"5000", 1}};
  EXPECT_EQ(Json::parse(server.Post("/v1/completions", request).body)["error"]["param"],
            "logit_bias");
}

TEST(ReplicaApi, FormsHoldExactly) {
  const Server server(RandomModel(43));
  const Json schema = {
      {"type", "object"},
      {"properties", {{"dry", {{"type", "boolean"}}}, {"side", {{"enum", {"left", "right"}}}}}},
      {"required", {"dry", "side"}},
      {"additionalProperties", false}};
  for (int seed = 0; seed < 5; ++seed) {
    Json request = {
        {"messages", {{{"role", "user"}, {"content", "hi"}}}}, {"max_tokens", 200}, {"seed", seed}};
    request["response_format"] = {{"type", "json_schema"},
                                  {"json_schema", {{"name", "x"}, {"schema", schema}}}};
    Json answer = server.Ask("/v1/chat/completions", request)["choices"][0];
    if (answer["finish_reason"] == "stop") {
      const Json value =
          Json::parse(answer["message"]["content"].get<std::string>(), nullptr, false);
      ASSERT_TRUE(value.is_object()) << answer.dump();
      EXPECT_TRUE(value["dry"].is_boolean());
    }
    request.erase("response_format");
    request["guided_regex"] = "[a-c]{3}-(yes|no)";
    answer = server.Ask("/v1/chat/completions", request)["choices"][0];
    EXPECT_TRUE(std::regex_match(answer["message"]["content"].get<std::string>(),
                                 std::regex("[a-c]{3}-(yes|no)")))
        << answer.dump();
    request.erase("guided_regex");
    request["grammar"] = "root ::= \"x\" root \"y\" | \"z\"";
    answer = server.Ask("/v1/chat/completions", request)["choices"][0];
    const std::string text = answer["message"]["content"];
    const size_t x = std::count(text.begin(), text.end(), 'x');
    if (answer["finish_reason"] == "stop") {
      EXPECT_EQ(text, std::string(x, 'x') + "z" + std::string(x, 'y'));
    }
  }
}

TEST(ReplicaApi, WhatCannotBeFollowedIsNamed) {
  const Server server(RandomModel(44));
  const struct {
    const char *path, *body, *param;
  } rows[] = {
      {"/v1/completions", R"({"prompt":"a","guided_regex":"("})", "guided_regex"},
      {"/v1/completions", R"({"prompt":"a","grammar":"root ::= nothing"})", "grammar"},
      {"/v1/completions", R"({"prompt":"a","guided_json":{"type":"sea"}})", "guided_json"},
      {"/v1/completions", R"({"prompt":[[99999]]})", "prompt"},
      {"/v1/chat/completions", R"({"messages":[{"role":"user","content":"x"}],"max_tokens":9999})",
       "messages"},
      {"/v1/responses", R"({"input":"x","max_output_tokens":9999})", "input"},
      {"/v1/embeddings", R"({"input":"a","dimensions":7})", "dimensions"},
      {"/v1/embeddings", R"({"input":[99999]})", "input"},
      {"/v1/embeddings", R"({"input":"a","model":"other"})", "model"},
      {"/detokenize", R"({"tokens":[99999]})", "tokens"},
      {"/tokenize", R"({"messages":[]})", "messages"},
  };
  for (const auto& row : rows) {
    const io::HttpResult r = server.Call("POST", row.path, row.body);
    EXPECT_TRUE(r.status == 400 || r.status == 404) << row.body << r.body;
    EXPECT_EQ(Json::parse(r.body)["error"]["param"], row.param) << r.body;
  }
}

Json Gate() {
  return {{"type", "function"},
          {"function",
           {{"name", "open_gate"},
            {"parameters",
             {{"type", "object"},
              {"properties", {{"side", {{"enum", {"left", "right"}}}}}},
              {"required", {"side"}},
              {"additionalProperties", false}}}}}};
}

TEST(ReplicaApi, AToolThatMustBeCalledIsCalledInEveryFormat) {
  // Templates by which the format is told; what they render matters to no random model.
  const char* templates[] = {
      "",
      "{% for m in messages %}{{ m.content }}{% endfor %}{% if tools %}<tool_call>{% endif %}",
      "{{ tools }}{{ messages }}[TOOL_CALLS]",
  };
  for (const char* source : templates) {
    SCOPED_TRACE(source);
    ReplicaOptions options;
    options.chat_template = source;
    const Server server(RandomModel(51, model::DType::kF32, 2048), options);
    for (int seed = 0; seed < 2; ++seed) {
      Json request = {{"messages", {{{"role", "user"}, {"content", "hi"}}}},
                      {"max_tokens", 250},
                      {"seed", seed},
                      {"tools", {Gate()}},
                      {"parallel_tool_calls", false},
                      {"tool_choice", "required"}};
      const Json choice = server.Ask("/v1/chat/completions", request)["choices"][0];
      if (choice["finish_reason"] == "length") continue;
      EXPECT_EQ(choice["finish_reason"], "tool_calls") << choice.dump();
      ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u) << choice.dump();
      const Json call = choice["message"]["tool_calls"][0];
      EXPECT_EQ(call["function"]["name"], "open_gate");
      const Json arguments =
          Json::parse(call["function"]["arguments"].get<std::string>(), nullptr, false);
      EXPECT_TRUE(arguments["side"] == "left" || arguments["side"] == "right") << call.dump();

      request["stream"] = true;
      std::string streamed, name, finish;
      for (const Json& event : Events(server.Post("/v1/chat/completions", request).body)) {
        const Json& said = event["choices"][0];
        if (!said["finish_reason"].is_null()) finish = said["finish_reason"];
        if (!said["delta"].contains("tool_calls")) continue;
        const Json& part = said["delta"]["tool_calls"][0];
        name += part["function"].value("name", "");
        streamed += part["function"].value("arguments", "");
      }
      EXPECT_EQ(finish, "tool_calls");
      EXPECT_EQ(name, "open_gate");
      EXPECT_EQ(streamed, call["function"]["arguments"]);
    }
  }
}

TEST(ReplicaApi, TheModelsTemplateMakesThePrompt) {
  ReplicaOptions options;
  options.chat_template =
      "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
      "{% if kind is defined %}[{{ kind }}]{% endif %}"
      "{% if add_generation_prompt %}<assistant>{% endif %}";
  const Server server(RandomModel(52), options);
  const auto rendered = [&](Json request) {
    return server
        .Ask("/detokenize", {{"tokens", server.Ask("/tokenize", request)["tokens"]}})["prompt"]
        .get<std::string>();
  };
  const Json messages = {{{"role", "developer"}, {"content", "s"}},
                         {{"role", "user"}, {"content", {{{"type", "text"}, {"text", "a"}}}}}};
  EXPECT_EQ(rendered({{"messages", messages}}), "<system>s<user>a<assistant>");
  EXPECT_EQ(rendered({{"messages", messages}, {"chat_template_kwargs", {{"kind", "x"}}}}),
            "<system>s<user>a[x]<assistant>");
  Json begun = messages;
  begun.push_back({{"role", "assistant"}, {"content", "The dam "}});
  EXPECT_EQ(rendered({{"messages", begun}, {"continue_final_message", true}}),
            "<system>s<user>a<assistant>The dam");
  ReplicaOptions broken;
  broken.chat_template = "{% for %}";
  const auto made = Replica::Create(RandomModel(52), broken, clock_for_tests);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message().find("template"), std::string::npos);
}

TEST(ReplicaApi, ThinkingStandsApartUnlessAskedOtherwise) {
  ReplicaOptions options;
  options.chat_template = "{{ messages[0].content }}<think>";
  options.chat_template += "{# ends with </think> #}";
  const Server server(RandomModel(53), options);
  Json request = {{"messages", {{{"role", "user"}, {"content", "hi"}}}},
                  {"max_tokens", 8},
                  {"temperature", 0},
                  {"ignore_eos", true}};
  const Json apart = server.Ask("/v1/chat/completions", request)["choices"][0]["message"];
  EXPECT_EQ(apart["content"], "");
  request["reasoning_format"] = "none";
  const Json together = server.Ask("/v1/chat/completions", request)["choices"][0]["message"];
  EXPECT_EQ(together["content"], apart["reasoning_content"]);
  EXPECT_FALSE(together.contains("reasoning_content"));
}

TEST(ReplicaApi, AResponseIsTheChatInAnotherForm) {
  const Server server(RandomModel(45));
  const Json chat =
      server.Ask("/v1/chat/completions",
                 {{"messages",
                   {{{"role", "system"}, {"content", "s"}}, {{"role", "user"}, {"content", "hi"}}}},
                  {"max_tokens", 6},
                  {"temperature", 0},
                  {"ignore_eos", true}});
  Json request = {{"instructions", "s"},
                  {"input", "hi"},
                  {"max_output_tokens", 6},
                  {"temperature", 0},
                  {"ignore_eos", true}};
  const Json response = server.Ask("/v1/responses", request);
  EXPECT_EQ(response["output"][0]["content"][0]["text"], chat["choices"][0]["message"]["content"]);
  EXPECT_EQ(response["usage"]["input_tokens"], chat["usage"]["prompt_tokens"]);
  request["stream"] = true;
  const io::HttpResult streamed = server.Post("/v1/responses", request);
  EXPECT_EQ(streamed.head.Find("Content-Type"), "text/event-stream");
  for (const char* name :
       {"response.created", "response.output_text.delta", "response.incomplete"}) {
    EXPECT_NE(streamed.body.find(fmt::format("event: {}\n", name)), std::string::npos) << name;
  }
}

TEST(ReplicaApi, EmbeddingsAreOfUnitLengthAndKeepTheirOrder) {
  ReplicaOptions options;
  options.engine.max_batch = 2;
  const Server server(RandomModel(46), options);
  Json inputs = Json::array();
  for (int i = 0; i < 9; ++i) inputs.push_back(std::string(1 + static_cast<size_t>(i), 'a'));
  const Json all = server.Ask("/v1/embeddings", {{"input", inputs}});
  ASSERT_EQ(all["data"].size(), 9u);
  for (size_t i = 0; i < 9; ++i) {
    EXPECT_EQ(all["data"][i]["index"], i);
    double sum = 0;
    for (const Json& x : all["data"][i]["embedding"]) sum += std::pow(x.get<double>(), 2);
    EXPECT_NEAR(sum, 1, 1e-3);
    const Json alone = server.Ask("/v1/embeddings", {{"input", inputs[i]}});
    const double first = alone["data"][0]["embedding"][0];
    EXPECT_NEAR(first, all["data"][i]["embedding"][0].get<double>(), 1e-4) << "input " << i;
  }
  options.pooling = Pooling::kNone;
  const Server without(RandomModel(46), options);
  EXPECT_EQ(without.Post("/v1/embeddings", {{"input", "a"}}).status, 400);
}

TEST(ReplicaApi, TokensGoThereAndBack) {
  const Server server(RandomModel(47));
  const Json tokens = server.Ask("/tokenize", {{"prompt", "over"}, {"return_token_strs", true}});
  EXPECT_EQ(tokens["count"], tokens["tokens"].size());
  EXPECT_EQ(tokens["max_model_len"], 256);
  EXPECT_EQ(server.Ask("/detokenize", {{"tokens", tokens["tokens"]}})["content"], "over");
}

TEST(ReplicaApi, AliasesAndKeysAreSeveral) {
  ReplicaOptions options;
  options.aliases = {"also"};
  options.api_keys = {"one", "two"};
  const Server server(RandomModel(48), options);
  const std::string body = R"({"model":"also","prompt":"a","max_tokens":1})";
  for (const char* key : {"one", "two"}) {
    const io::HttpResult r = server.Call("POST", "/v1/completions", body,
                                         {{"Authorization", fmt::format("Bearer {}", key)}});
    EXPECT_EQ(r.status, 200) << r.body;
    EXPECT_EQ(Json::parse(r.body)["model"], "also");
  }
  EXPECT_EQ(server.Call("POST", "/v1/completions", body).status, 401);
  const Json models =
      Json::parse(server.Call("GET", "/v1/models", "", {{"Authorization", "Bearer one"}}).body);
  EXPECT_EQ(models["data"].size(), 2u);
}

TEST(ReplicaApi, AMethodOrPathThatIsNotThereIsRefusedInTheApisWords) {
  const Server server(RandomModel(49));
  for (const auto& [method, path, status] :
       {std::tuple("GET", "/v1/completions", 405), std::tuple("POST", "/v1/nowhere", 404),
        std::tuple("DELETE", "/tokenize", 405)}) {
    const io::HttpResult r = server.Call(method, path);
    EXPECT_EQ(r.status, status) << path;
    EXPECT_EQ(Json::parse(r.body)["error"]["type"], "invalid_request_error") << r.body;
  }
}

TEST(ReplicaApi, ADeadlineThatCannotBeKeptEndsIn504) {
  ReplicaOptions options;
  options.engine = {.max_batch = 1, .context = 50'000};
  const Server server(RandomModel(50, model::DType::kF32, 100'000), options);
  const Json request = {{"prompt", "a"}, {"max_tokens", 40'000}, {"ignore_eos", true}};
  const io::HttpResult r =
      server.Call("POST", "/v1/completions", request.dump(), {{"Weir-Deadline-Ms", "100"}});
  EXPECT_EQ(r.status, 504) << r.body;
  EXPECT_EQ(Json::parse(r.body)["error"]["code"], "deadline_exceeded");
}

}  // namespace
}  // namespace weir::serve
