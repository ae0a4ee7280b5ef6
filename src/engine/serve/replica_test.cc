// The replica over a real loopback socket.
#include "engine/serve/replica.h"

#include <thread>

#include "engine/serve/replica_test_util.h"
#include "io/http_test_socket.h"

namespace weir::serve {
namespace {

using Json = nlohmann::json;

TEST(Replica, AnswersWholeAndStreamedAlike) {
  const Server server(RandomModel(21));
  Json request = {{"model", "m"},
                  {"prompt", "over the crest"},
                  {"max_tokens", 20},
                  {"temperature", 0},
                  {"ignore_eos", true}};
  const io::HttpResult whole = server.Post("/v1/completions", request);
  ASSERT_EQ(whole.status, 200) << whole.body;
  const Json answer = Json::parse(whole.body);
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["model"], "m");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 20);
  EXPECT_EQ(answer["usage"]["prompt_tokens"],
            server.replica->engine().model().tokenizer().Encode("over the crest").size());

  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  const io::HttpResult streamed = server.Post("/v1/completions", request);
  ASSERT_EQ(streamed.status, 200);
  EXPECT_EQ(streamed.head.Find("Content-Type"), "text/event-stream");
  const std::vector<Json> events = Events(streamed.body);
  std::string text;
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    text += events[i]["choices"][0]["text"];
    EXPECT_TRUE(events[i]["usage"].is_null());
  }
  EXPECT_EQ(text, answer["choices"][0]["text"]);
  EXPECT_EQ(events[events.size() - 2]["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(events.back()["choices"], Json::array());
  EXPECT_EQ(events.back()["usage"]["total_tokens"], answer["usage"]["total_tokens"]);
  EXPECT_GT(events.back()["usage"]["prompt_tokens_details"]["cached_tokens"], 0) << "asked before";
}

TEST(Replica, ChatUsesThePlainPromptAndStreamsARoleFirst) {
  const Server server(RandomModel(22));
  Json request = {{"messages", {{{"role", "user"}, {"content", "hi"}}}},
                  {"max_tokens", 5},
                  {"temperature", 0},
                  {"ignore_eos", true},
                  {"stop", {"zzzz"}}};
  const Json chat = Json::parse(server.Post("/v1/chat/completions", request).body);
  EXPECT_EQ(chat["object"], "chat.completion");
  const Json plain = Json::parse(server
                                     .Post("/v1/completions", {{"prompt", "user: hi\nassistant:"},
                                                               {"max_tokens", 5},
                                                               {"temperature", 0},
                                                               {"ignore_eos", true}})
                                     .body);
  EXPECT_EQ(chat["choices"][0]["message"]["content"], plain["choices"][0]["text"]);
  EXPECT_EQ(chat["usage"]["prompt_tokens"], plain["usage"]["prompt_tokens"]);
  request["stream"] = true;
  const std::vector<Json> events = Events(server.Post("/v1/chat/completions", request).body);
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  for (const Json& event : events) text += event["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(text, chat["choices"][0]["message"]["content"]);
}

TEST(Replica, AnEmptyPromptBeginsAText) {
  const Server server(RandomModel(24));
  const io::HttpResult r = server.Post("/v1/completions", {{"prompt", ""}, {"max_tokens", 3}});
  EXPECT_EQ(r.status, 200) << r.body;
}

TEST(Replica, RefusalsHaveTheRightStatusAndOpenAisShape) {
  ReplicaOptions options;
  options.api_keys = {"secret"};
  const Server server(RandomModel(25), options);
  const io::HttpFields key = {{"Authorization", "Bearer secret"}};
  const auto expect = [](const io::HttpResult& r, int status, const std::string& code) {
    EXPECT_EQ(r.status, status) << r.body;
    const Json json = Json::parse(r.body, nullptr, false);
    ASSERT_TRUE(json.is_object()) << r.body;
    EXPECT_EQ(json["error"]["code"].is_null() ? "" : json["error"]["code"], code) << r.body;
    EXPECT_FALSE(json["error"]["message"].get<std::string>().empty());
  };
  const std::string path = "/v1/completions";
  expect(server.Call("POST", path, R"({"prompt":"x"})"), 401, "invalid_api_key");
  expect(server.Call("POST", path, R"({"prompt":"x"})", {{"Authorization", "Bearer no"}}), 401,
         "invalid_api_key");
  expect(server.Call("GET", "/v1/models"), 401, "invalid_api_key");
  EXPECT_EQ(server.Call("GET", "/healthz").status, 200);
  EXPECT_EQ(server.Call("GET", "/v1/models", "", key).status, 200);
  EXPECT_EQ(server.Call("GET", "/v1/models/m", "", key).status, 200);
  expect(server.Call("GET", "/v1/models/other", "", key), 404, "model_not_found");
  expect(server.Call("POST", path, "{", key), 400, "invalid_json");
  expect(server.Call("POST", path, "{}", key), 400, "");
  expect(server.Call("POST", path, R"({"prompt":"x","model":"other"})", key), 404,
         "model_not_found");
  expect(server.Call("POST", path, R"({"prompt":[999]})", key), 400, "");
  expect(server.Call("POST", path, R"({"prompt":"x","max_tokens":300})", key), 400,
         "context_length_exceeded");
  const std::string prompt_only = Json{{"prompt", std::string(2000, 'z')}}.dump();
  const io::HttpResult large = server.Call("POST", path, prompt_only, key);
  expect(large, 400, "context_length_exceeded");
  EXPECT_NE(large.body.find("256"), std::string::npos) << "the numbers belong into the message";
  expect(server.Call("GET", "/nowhere"), 404, "not_found");
  EXPECT_EQ(server.Call("DELETE", path).status, 405);
}

TEST(Replica, AClientThatLeavesFreesItsPlace) {
  ReplicaOptions options;
  options.engine = {.max_batch = 1, .context = 50'000};
  const Server server(RandomModel(26, model::DType::kF32, 100'000), options);
  const std::string body = Json{
      {"prompt", "a"},
      {"max_tokens", 40'000},
      {"stream", true},
      {"temperature", 0},
      {"ignore_eos", true}}.dump();
  {
    io::TestSocket client = io::TestSocket::Connect(server.port);
    ASSERT_TRUE(client.Send(
        fmt::format("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}",
                    body.size(), body)));
    ASSERT_FALSE(client.ReadSome(16).empty());
  }
  // The only place: answered once it is free.
  const io::HttpResult next =
      server.Post("/v1/completions", {{"prompt", "b"}, {"max_tokens", 3}, {"ignore_eos", true}});
  EXPECT_EQ(next.status, 200);
  EXPECT_EQ(server.replica->engine().stats().cancelled, 1u);
}

TEST(Replica, AFullQueueIs429WithRetryAfter) {
  ReplicaOptions options;
  options.engine = {.max_batch = 1, .context = 50'000, .max_queue = 0};
  const Server server(RandomModel(27, model::DType::kF32, 100'000), options);
  const std::string body = Json{
      {"prompt", "a"},
      {"max_tokens", 49'000},
      {"stream", true},
      {"temperature", 0},
      {"ignore_eos", true}}.dump();
  io::TestSocket client = io::TestSocket::Connect(server.port);
  ASSERT_TRUE(client.Send(
      fmt::format("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}",
                  body.size(), body)));
  ASSERT_FALSE(client.ReadSome(16).empty());  // it runs
  const io::HttpResult refused = server.Post("/v1/completions", {{"prompt", "b"}});
  EXPECT_EQ(refused.status, 429) << refused.body;
  ASSERT_TRUE(refused.head.Find("Retry-After"));
  EXPECT_EQ(Json::parse(refused.body)["error"]["code"], "rate_limit_exceeded");
}

TEST(Replica, DrainFinishesStreamsAndRefusesNewRequests) {
  Server server(RandomModel(28));
  std::string body;
  std::thread stream([&] {
    body = server
               .Post("/v1/completions", {{"prompt", "a"},
                                         {"max_tokens", 200},
                                         {"stream", true},
                                         {"temperature", 0},
                                         {"ignore_eos", true}})
               .body;
  });
  while (server.replica->engine().stats().submitted == 0) std::this_thread::yield();
  EXPECT_TRUE(server.replica->Drain(Duration::Seconds(60)));
  stream.join();
  const std::vector<Json> events = Events(body);
  EXPECT_EQ(events.back()["choices"][0]["finish_reason"], "length");
  EXPECT_FALSE(io::Fetch({.url = fmt::format("http://127.0.0.1:{}/healthz", server.port)}));
}

TEST(Replica, WhatARequestLeavesOutIsWhatTheModelsMakersSay) {
  const io::TempDir dir = *io::TempDir::Create();
  const model::ModelConfig config = RandomModel(28)->config();
  ASSERT_TRUE(model::WriteRandomModel(dir.path(), config, 28));
  ASSERT_TRUE(io::WriteFileAtomically(dir / "generation_config.json",
                                      R"({"do_sample":false,"top_k":20,"top_p":0.9})"));
  const auto model = *model::Model::Load(dir.path());
  const Server makers(model), openai(model, {.model_sampling = false});
  const auto text = [](const Server& server, Json more) {
    Json body = {{"prompt", "A weir is"}, {"max_tokens", 24}, {"ignore_eos", true}, {"seed", 3}};
    body.update(more);
    return server.Ask("/v1/completions", body)["choices"][0]["text"].get<std::string>();
  };
  const std::string greedy = text(openai, {{"temperature", 0}});
  EXPECT_EQ(text(makers, Json::object()), greedy);
  EXPECT_NE(text(openai, Json::object()), greedy);
  // A field that a request gives wins; the others stay the makers'.
  EXPECT_EQ(text(makers, {{"temperature", 1}}),
            text(openai, {{"temperature", 1}, {"top_k", 20}, {"top_p", 0.9}}));
  const Json answer = makers.Ask("/v1/responses", {{"input", "A weir"}, {"max_output_tokens", 2}});
  EXPECT_EQ(answer["temperature"], 0);
  EXPECT_EQ(answer["top_p"], 0.9);
}

// The stop token that a complete form asks for used to be accepted as text, and the next one was a
// bug.
TEST(Replica, ACompleteFormEndsAnAnswerThatIgnoresTheModelsEnd) {
  const Server server(RandomModel(31));
  const Json choice = server.Ask("/v1/completions", {{"prompt", "b"},
                                                     {"max_tokens", 30},
                                                     {"ignore_eos", true},
                                                     {"guided_regex", "[ab]{2}"}})["choices"][0];
  EXPECT_EQ(choice["text"].get<std::string>().size(), 2u);
  EXPECT_EQ(choice["finish_reason"], "stop");
}

TEST(Replica, WhileDrainingItSaysSo) {
  const Server server(RandomModel(29));
  server.replica->engine().StopAdmitting();
  const io::HttpResult r = server.Post("/v1/completions", {{"prompt", "b"}});
  EXPECT_EQ(r.status, 503);
  EXPECT_TRUE(r.head.Find("Retry-After"));
}

TEST(Replica, MetricsCountWhatHappened) {
  const Server server(RandomModel(30));
  ASSERT_EQ(
      server.Post("/v1/completions", {{"prompt", "b"}, {"max_tokens", 4}, {"ignore_eos", true}})
          .status,
      200);
  const std::string text = server.Call("GET", "/metrics").body;
  for (const char* line :
       {"weir_engine_ttft_seconds_count 1\n", "weir_engine_tpot_seconds_count 3\n",
        "weir_engine_ttft_seconds_bucket{le=\"+Inf\"} 1\n", "weir_engine_queue_length 0\n",
        "weir_engine_running_sequences 0\n", "weir_engine_generated_tokens_total 4\n",
        "weir_engine_requests_total{outcome=\"finished\"} 1\n",
        "weir_engine_kv_blocks{state=\"used\"} 0\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

}  // namespace
}  // namespace weir::serve
