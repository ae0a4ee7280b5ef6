// The client against our own server, and against upstreams that misbehave byte by byte.
#include "io/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <optional>
#include <thread>

#include "io/http_server.h"
#include "io/http_test_socket.h"

namespace weir::io {
namespace {

using testing::HasSubstr;

// Everything that came, in order: "head 200 5 |hello|read |..|end".
struct Recorder : HttpSink {
  void OnHead(int status, const HttpHead&, int64_t length) override {
    log += "head " + std::to_string(status) + " " + std::to_string(length) + " ";
  }
  void OnBody(std::string_view bytes) override {
    log.append("|").append(bytes).append("|");
    body += bytes;
    if (on_body) on_body();
  }
  void OnReadDone() override { ++reads; }
  void OnEnd() override {
    log += "end";
    over();
  }
  void OnFailure(HttpFailure f) override {
    log += "failure";
    failure = std::move(f);
    over();
  }
  std::string log, body;
  int reads = 0;
  std::optional<HttpFailure> failure;
  std::function<void()> over = [] {}, on_body;
};

// A client and its loop, driven from the test's thread.
struct Bench {
  EventLoop loop;
  std::unique_ptr<HttpClient> client = std::make_unique<HttpClient>(loop);
  std::shared_ptr<Recorder> Get(uint16_t port, HttpCallOptions options = {}) {
    options.port = port;
    auto sink = std::make_shared<Recorder>();
    sink->over = [this] { loop.Stop(); };
    loop.Post([this, options, sink] { client->Start(options, sink); });
    loop.Run();
    return sink;
  }
};

// A stub upstream: accepts once per script and plays it on a thread.
class Stub {
 public:
  explicit Stub(std::vector<std::function<void(TestSocket&)>> scripts)
      : thread_([this, scripts = std::move(scripts)] {
          for (const auto& script : scripts) {
            TestSocket s = listener_.Accept();
            script(s);
          }
        }) {}
  ~Stub() { thread_.join(); }
  uint16_t port() const { return listener_.port(); }

 private:
  TestListener listener_;
  std::thread thread_;
};

TEST(HttpClient, KeepsAConnectionForTheNextCall) {
  HttpServer server({}, [](HttpExchangePtr x) { x->Answer(TextResponse(200, "hello")); });
  const uint16_t port = *server.Start();
  Bench b;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(b.Get(port)->log, "head 200 5 |hello|end");
  EXPECT_EQ(server.stats().accepted, 1u);
  EXPECT_EQ(b.client->idle_connections(), 1u);
  b.client->Forget("127.0.0.1", port);
  EXPECT_EQ(b.client->idle_connections(), 0u);
}

TEST(HttpClient, SendsABodyAndReadsABigOneBack) {
  HttpServer server({}, [](HttpExchangePtr x) { x->Answer(TextResponse(200, x->request().body)); });
  const uint16_t port = *server.Start();
  Bench b;
  HttpCallOptions call;
  call.method = "POST";
  call.body = std::string(3 << 20, 'b');
  EXPECT_EQ(b.Get(port, call)->body, call.body);
}

TEST(HttpClient, HandsChunksOverAsTheyCome) {
  Stub stub({[](TestSocket& s) {
    s.ReadUntil("\r\n\r\n");
    s.Send("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    s.Send("5\r\nhel");
    s.Send("lo\r\n");
    s.Send("1\r\n!\r\n0\r\n");
    s.Send("\r\n");
    s.ReadSome();
  }});
  Bench b;
  const auto r = b.Get(stub.port());
  EXPECT_EQ(r->body, "hello!");
  EXPECT_THAT(r->log, testing::StartsWith("head 200 -1 "));
  EXPECT_THAT(r->log, testing::EndsWith("end"));
  b.client.reset();
}

TEST(HttpClient, TheEndOfTheConnectionEndsABodyWithoutLength) {
  Stub stub({[](TestSocket& s) {
    s.ReadUntil("\r\n\r\n");
    s.Send("HTTP/1.0 200 OK\r\n\r\nuntil the end");
  }});
  Bench b;
  EXPECT_EQ(b.Get(stub.port())->body, "until the end");
}

TEST(HttpClient, AFailureSaysHowFarItGot) {
  TestListener gone;
  const uint16_t closed_port = gone.port();
  gone.Close();
  Bench b;
  auto r = b.Get(closed_port);
  ASSERT_TRUE(r->failure);
  EXPECT_EQ(r->failure->progress, HttpProgress::kNotConnected);
  EXPECT_THAT(r->failure->error.message(), HasSubstr("connection refused"));

  Stub stub({[](TestSocket& s) { s.ReadUntil("\r\n\r\n"); },
             [](TestSocket& s) {
               s.ReadUntil("\r\n\r\n");
               s.Reset();
             },
             [](TestSocket& s) {
               s.ReadUntil("\r\n\r\n");
               s.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
             },
             [](TestSocket& s) {
               s.ReadUntil("\r\n\r\n");
               s.Send("this is not HTTP\r\n\r\n");
             }});
  r = b.Get(stub.port());
  EXPECT_EQ(r->failure->progress, HttpProgress::kNoResponse);
  EXPECT_FALSE(r->failure->reused_connection);
  r = b.Get(stub.port());
  EXPECT_EQ(r->failure->progress, HttpProgress::kNoResponse);
  r = b.Get(stub.port());
  EXPECT_EQ(r->failure->progress, HttpProgress::kResponse);
  EXPECT_THAT(r->failure->error.message(), HasSubstr("in the middle of its answer"));
  r = b.Get(stub.port());
  EXPECT_EQ(r->failure->progress, HttpProgress::kResponse);
}

TEST(HttpClient, AReusedConnectionThatFailsIsMarkedSo) {
  Stub stub({[](TestSocket& s) {
    s.ReadUntil("\r\n\r\n");
    s.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    s.ReadUntil("\r\n\r\n");  // the second request: die without a byte
  }});
  Bench b;
  EXPECT_EQ(b.Get(stub.port())->body, "ok");
  const auto r = b.Get(stub.port());
  ASSERT_TRUE(r->failure);
  EXPECT_TRUE(r->failure->reused_connection);
  EXPECT_EQ(r->failure->progress, HttpProgress::kNoResponse);
}

TEST(HttpClient, AnIdleConnectionThatTheUpstreamClosedIsNotUsed) {
  Stub stub({[](TestSocket& s) {
               s.ReadUntil("\r\n\r\n");
               s.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
             },
             [](TestSocket& s) {
               s.ReadUntil("\r\n\r\n");
               s.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2");
             }});
  Bench b;
  EXPECT_EQ(b.Get(stub.port())->body, "1");
  while (b.client->idle_connections() > 0) {  // until its end has been seen
    Timer t(b.loop);
    t.Start(Duration::Millis(1), [&] { b.loop.Stop(); });
    b.loop.Run();
  }
  EXPECT_EQ(b.Get(stub.port())->body, "2");
}

TEST(HttpClient, TimesOutOnAHungUpstreamAndInTheMiddle) {
  std::promise<void> release;
  auto released = release.get_future().share();
  Stub stub({[&](TestSocket& s) { s.ReadAll(); },
             [&](TestSocket& s) {
               s.Send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
               s.ReadAll();
             },
             [&](TestSocket& s) { s.ReadAll(); }});
  Bench b;
  HttpCallOptions call;
  call.first_byte_timeout = Duration::Millis(100);
  auto r = b.Get(stub.port(), call);
  ASSERT_TRUE(r->failure);
  EXPECT_EQ(r->failure->error.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(r->failure->progress, HttpProgress::kNoResponse);
  call.first_byte_timeout = {};
  call.idle_timeout = Duration::Millis(100);
  r = b.Get(stub.port(), call);
  EXPECT_EQ(r->failure->error.code(), Code::kDeadlineExceeded);
  EXPECT_EQ(r->failure->progress, HttpProgress::kResponse);
  call.idle_timeout = {};
  call.deadline = Duration::Millis(100);
  r = b.Get(stub.port(), call);
  EXPECT_EQ(r->failure->error.code(), Code::kDeadlineExceeded);
}

TEST(HttpClient, CancelClosesTheConnectionAtOnce) {
  std::promise<void> gone;
  HttpServer server({}, [&](HttpExchangePtr x) {
    x->OnClosed([&, x] { gone.set_value(); });
    x->Begin(200, {});
    x->Write("first");
  });
  const uint16_t port = *server.Start();
  Bench b;
  auto sink = std::make_shared<Recorder>();
  std::shared_ptr<HttpCall> call;
  sink->on_body = [&] {
    call->Cancel();
    b.loop.Stop();
  };
  HttpCallOptions options;
  options.port = port;
  b.loop.Post([&] { call = b.client->Start(options, sink); });
  b.loop.Run();
  gone.get_future().get();
  EXPECT_EQ(sink->log, "head 200 -1 |first|") << "after Cancel() no call comes";
}

TEST(HttpClient, PauseLetsTheUpstreamFeelIt) {
  HttpExchangePtr exchange;
  std::promise<void> full;
  HttpServer server({}, [&](HttpExchangePtr x) {
    exchange = x;
    x->Begin(200, {});
    const std::string piece(64 << 10, 'x');
    for (int i = 0; i < 400 && !x->over_high_water(); ++i) x->Write(piece);
    x->OnDrained([x] { x->End(); });
    if (x->over_high_water()) full.set_value();
  });
  const uint16_t port = *server.Start();
  Bench b;
  auto sink = std::make_shared<Recorder>();
  sink->over = [&] { b.loop.Stop(); };
  std::shared_ptr<HttpCall> call;
  sink->on_body = [&] { call->Pause(); };
  HttpCallOptions options;
  options.port = port;
  b.loop.Post([&] { call = b.client->Start(options, sink); });
  std::thread resume([&] {
    full.get_future().get();
    b.loop.Post([&] {
      sink->on_body = nullptr;
      call->Resume();
    });
  });
  b.loop.Run();
  resume.join();
  EXPECT_THAT(sink->log.substr(sink->log.size() - 3), "end");
  EXPECT_GT(sink->body.size(), 256u << 10);
}

TEST(HttpFetch, SaysWhoCouldNotBeReachedAndWhatToDo) {
  TestListener gone;
  const std::string url = "http://127.0.0.1:" + std::to_string(gone.port());
  gone.Close();
  const auto r = Fetch({.url = url + "/api/v1/jobs"});
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().ToString(),
            "cannot reach " + url + ": connection refused (is `weir up` running?)");
  EXPECT_EQ(r.error().code(), Code::kUnavailable);
}

TEST(HttpFetch, ReturnsTheAnswerStreamsItAndCanBeCancelled) {
  HttpServer server({}, [](HttpExchangePtr x) {
    if (x->request().target == "/never") {
      x->OnClosed([x] {});
      return;
    }
    x->Begin(x->request().target == "/bad" ? 418 : 200, {{"X-Kind", "tea"}});
    for (int i = 0; i < 3; ++i) x->Write("line\n");
    x->End();
  });
  const std::string base = "http://localhost:" + std::to_string(*server.Start());
  const HttpResult r = *Fetch({.url = base + "/"});
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, "line\nline\nline\n");
  EXPECT_EQ(r.head.Find("x-kind"), "tea");
  std::string streamed;
  EXPECT_TRUE(Fetch({.url = base + "/", .on_body = [&](std::string_view b) {
                       streamed += b;
                       return true;
                     }}));
  EXPECT_EQ(streamed, "line\nline\nline\n");
  EXPECT_EQ(Fetch({.url = base + "/bad", .on_body = [&](std::string_view) { return true; }})->body,
            "line\nline\nline\n")
      << "an error's body is kept even when a stream was asked for";
  EXPECT_EQ(Fetch({.url = base + "/", .max_body_bytes = 4}).error().code(), Code::kTooLarge);
  EXPECT_EQ(Fetch({.url = base + "/never", .cancelled = [] { return true; }}).error().code(),
            Code::kCancelled);
  EXPECT_EQ(Fetch({.url = base + "/never", .deadline = Duration::Millis(150)}).error().code(),
            Code::kDeadlineExceeded);
  EXPECT_EQ(Fetch({.url = "ftp://x"}).error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace weir::io
