// The server over real loopback sockets: what it answers, what it refuses, and when it lets go.
#include "io/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "io/http_router.h"
#include "io/http_test_socket.h"

namespace weir::io {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

HttpHandler Echo() {
  return [](HttpExchangePtr x) {
    x->Answer(TextResponse(200, x->request().method + " " + x->request().path() + " " +
                                    std::to_string(x->request().body.size()) + "\n"));
  };
}

struct Running {
  HttpServer server;
  uint16_t port;
  explicit Running(HttpHandler handler, HttpServerOptions options = {})
      : server(options, std::move(handler)), port(*server.Start()) {}
  TestSocket Connect(int receive_buffer = 0) { return TestSocket::Connect(port, receive_buffer); }
};

TEST(HttpServer, AnswersOnAConnectionThatStaysOpen) {
  Running r(Echo());
  TestSocket c = r.Connect();
  for (int i = 0; i < 3; ++i) {
    c.Send("GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\n\r\n");
    const std::string answer = c.ReadAnswer();
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
    EXPECT_THAT(answer, HasSubstr("\r\n\r\nGET /a b 0\n"));
  }
  EXPECT_EQ(r.server.stats().requests, 3u);
  EXPECT_EQ(r.server.stats().accepted, 1u);
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  Running r([](HttpExchangePtr x) {
    std::thread([x] { x->Answer(TextResponse(200, x->request().target)); }).detach();
  });
  TestSocket c = r.Connect();
  std::string all;
  for (int i = 0; i < 20; ++i) all += "GET /" + std::to_string(i) + "; HTTP/1.1\r\nHost: h\r\n\r\n";
  c.Send(all);
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(c.ReadAnswer(), HasSubstr("\r\n\r\n/" + std::to_string(i) + ";"));
  }
}

TEST(HttpServer, TakesARequestThatComesByteByByte) {
  Running r(Echo());
  TestSocket c = r.Connect();
  for (const char b :
       std::string("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n")) {
    ASSERT_TRUE(c.Send(std::string(1, b)));
  }
  EXPECT_THAT(c.ReadAnswer(), HasSubstr("POST /p 5\n"));
}

TEST(HttpServer, RefusesWhatIsNotARequest) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  options.max_head_bytes = 2000;
  Running r(Echo(), options);
  const struct {
    const char* name;
    std::string request;
    const char* status;
  } kCases[] = {
      {"noise", "\x16\x03\x01\x02 hello\r\n\r\n", "HTTP/1.1 400"},
      {"two lengths", "POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
       "HTTP/1.1 400"},
      {"length and chunked",
       "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
       "HTTP/1.1 400"},
      {"negative length", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400"},
      {"blank before colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", "HTTP/1.1 400"},
      {"long head", "GET / HTTP/1.1\r\nX: " + std::string(4000, 'x') + "\r\n\r\n", "HTTP/1.1 431"},
      {"long body announced", "POST / HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", "HTTP/1.1 413"},
      {"long body in chunks",
       "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n" + std::string(1500, 'x') +
           "\r\n0\r\n\r\n",
       "HTTP/1.1 413"},
      {"bad chunk", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400"},
      {"unknown coding", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
       "HTTP/1.1 501"},
      {"unknown expectation", "POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: tea\r\n\r\n",
       "HTTP/1.1 417"},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400"},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    TestSocket s = r.Connect();
    s.Send(c.request);
    const std::string answer = s.ReadAnswer();
    EXPECT_THAT(answer, StartsWith(c.status));
    EXPECT_THAT(answer, HasSubstr("Connection: close"));
    EXPECT_THAT(answer, HasSubstr("application/problem+json"));
    EXPECT_EQ(s.ReadAll(), "") << "the connection ends after a refusal";
  }
}

// Clients of an API expect its errors, whoever found them: the words are chosen by the target, as
// far as it was heard.
TEST(HttpServer, RefusalsAreWordedByTheTarget) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  options.max_head_bytes = 2000;
  options.head_timeout = Duration::Millis(200);
  options.transfer_timeout = Duration::Millis(200);
  options.refusal = [](std::string_view target, int status, const Error&) {
    return JsonResponse(status, "<" + std::string(target) + ">");
  };
  Running r([](HttpExchangePtr) {}, options);
  const struct {
    std::string request;
    const char *status, *words;
  } kCases[] = {
      {"\r\nPOST /v1/x?a=1 HTTP/9\r\n\r\n", "HTTP/1.1 400", "</v1/x?a=1>"},
      {"POST /v1/x HTTP/1.1\r\nA : b\r\n\r\n", "HTTP/1.1 400", "</v1/x>"},
      {"POST /v1/x HTTP/1.1\r\nX: " + std::string(4000, 'x') + "\r\n\r\n", "HTTP/1.1 431",
       "</v1/x>"},
      {"POST /v1/x HTTP/1.1\r\nContent-Length: 1001\r\n\r\n", "HTTP/1.1 413", "</v1/x>"},
      {"POST /v1/x HTT", "HTTP/1.1 408", "</v1/x>"},
      {"POST /v1/x HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 408", "</v1/x>"},
      {"\x16\x03\r\n\r\n", "HTTP/1.1 400", "<>"},
      {"GET /v1/x HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 500", "</v1/x>"},  // nobody answers
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.request.substr(0, 60));
    TestSocket s = r.Connect();
    s.Send(c.request);
    const std::string answer = s.ReadAnswer();
    EXPECT_THAT(answer, StartsWith(c.status));
    EXPECT_THAT(answer, HasSubstr(c.words));
  }
}

TEST(HttpServer, ARefusalReachesAClientThatIsStillSending) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  Running r(Echo(), options);
  TestSocket c = r.Connect();
  c.Send("POST / HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n");
  std::thread sender([&] { c.Send(std::string(1 << 20, 'x')); });
  EXPECT_THAT(c.ReadAnswer(), StartsWith("HTTP/1.1 413"));
  sender.join();
}

TEST(HttpServer, SendsContinueBeforeTheBody) {
  Running r(Echo());
  TestSocket c = r.Connect();
  c.Send("POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(c.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  c.Send("abc");
  EXPECT_THAT(c.ReadAnswer(), HasSubstr("POST / 3\n"));
}

TEST(HttpServer, HeadHasTheLengthAndNoBody) {
  Running r(Echo());
  TestSocket c = r.Connect();
  c.Send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(c.ReadUntil("\r\n\r\n"), HasSubstr("Content-Length: 10\r\n"));
  EXPECT_THAT(c.ReadAnswer(), HasSubstr("GET /y 0\n"));
}

TEST(HttpServer, Http10ClosesUnlessAskedToStay) {
  Running r(Echo());
  TestSocket c = r.Connect();
  c.Send("GET /x HTTP/1.0\r\n\r\n");
  EXPECT_THAT(c.ReadAll(), HasSubstr("Connection: close"));
  TestSocket d = r.Connect();
  d.Send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(d.ReadAnswer(), HasSubstr("Connection: keep-alive"));
  d.Send("GET /y HTTP/1.0\r\n\r\n");
  EXPECT_THAT(d.ReadAnswer(), HasSubstr("GET /y 0\n"));
}

TEST(HttpServer, StreamsChunksAsTheyAreWritten) {
  std::promise<HttpExchangePtr> given;
  Running r([&](HttpExchangePtr x) { given.set_value(x); });
  TestSocket c = r.Connect();
  c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpExchangePtr x = given.get_future().get();
  x->Begin(200, {{"Content-Type", "text/event-stream"}});
  x->Write(SseEvent("one"));
  EXPECT_THAT(c.ReadUntil("data: one\n\n\r\n"), HasSubstr("Transfer-Encoding: chunked"));
  x->Write(SseEvent("two\nlines", "tick", "7"));
  EXPECT_EQ(c.ReadUntil("\n\n\r\n"), "29\r\nevent: tick\nid: 7\ndata: two\ndata: lines\n\n\r\n");
  x->End();
  EXPECT_EQ(c.ReadUntil("0\r\n\r\n"), "0\r\n\r\n");
}

TEST(HttpServer, TellsTheHandlerAtOnceWhenTheClientGoes) {
  std::promise<void> gone;
  std::promise<HttpExchangePtr> given;
  Running r([&](HttpExchangePtr x) {
    x->Begin(200, {});
    x->Write("x");
    x->OnClosed([&] { gone.set_value(); });
    given.set_value(x);
  });
  TestSocket c = r.Connect();
  c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  c.ReadUntil("x");
  HttpExchangePtr x = given.get_future().get();
  EXPECT_FALSE(x->closed());
  c.Close();
  gone.get_future().get();
  EXPECT_TRUE(x->closed());
  x->Write("to nobody");  // harmless
  x->End();
  std::promise<void> told;
  x->OnClosed([&] { told.set_value(); });
  told.get_future().get();
  EXPECT_EQ(r.server.stats().client_aborts, 1u);
}

TEST(HttpServer, BackPressureHoldsAndReleases) {
  std::promise<HttpExchangePtr> given;
  HttpServerOptions options;
  options.high_water_bytes = 64 << 10;
  Running r([&](HttpExchangePtr x) { given.set_value(x); }, options);
  TestSocket c = r.Connect(/*receive_buffer=*/8192);
  c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpExchangePtr x = given.get_future().get();
  x->Begin(200, {});
  const std::string piece(32 << 10, 'x');
  size_t written = 0;
  while (!x->over_high_water() && written < (64u << 20)) {
    std::promise<void> done;
    x->loop().Post([&] {
      x->Write(piece);
      done.set_value();
    });
    done.get_future().get();
    written += piece.size();
  }
  ASSERT_TRUE(x->over_high_water()) << "a client that does not read must be felt";
  std::promise<void> drained;
  x->OnDrained([&] { drained.set_value(); });
  std::thread reader([&] { c.ReadUntil("0\r\n\r\n"); });
  drained.get_future().get();
  EXPECT_FALSE(x->over_high_water());
  x->End();
  reader.join();
}

TEST(HttpServer, AHandlerThatLetsGoAnswers500) {
  Running r([](HttpExchangePtr x) {
    if (x->request().target == "/throw") throw std::runtime_error("boom");
  });
  TestSocket c = r.Connect();
  c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(c.ReadAnswer(), StartsWith("HTTP/1.1 500"));
  c.Send("GET /throw HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(c.ReadAnswer(), StartsWith("HTTP/1.1 500"));
}

TEST(HttpServer, AStreamThatIsLetGoIsCutVisibly) {
  Running r([](HttpExchangePtr x) {
    x->Begin(200, {});
    x->Write("half");
  });
  TestSocket c = r.Connect();
  c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string all = c.ReadAll();
  EXPECT_THAT(all, HasSubstr("half"));
  EXPECT_EQ(all.find("0\r\n\r\n"), std::string::npos);
}

TEST(HttpServer, CutsOffASlowHeadASlowBodyAndAnIdleConnection) {
  HttpServerOptions options;
  options.head_timeout = options.transfer_timeout = options.idle_timeout = Duration::Millis(200);
  Running r(Echo(), options);
  TestSocket silent = r.Connect(), head = r.Connect(), body = r.Connect(), idle = r.Connect();
  head.Send("GET / HT");
  body.Send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
  idle.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(idle.ReadAnswer(), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_THAT(head.ReadAll(), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(body.ReadAll(), StartsWith("HTTP/1.1 408"));
}

TEST(HttpServer, ATricklingSenderIsCutOffThoughItNeverPauses) {
  HttpServerOptions options;
  options.head_timeout = Duration::Millis(300);
  Running r(Echo(), options);
  TestSocket c = r.Connect();
  c.Send("GET / HTTP/1.1\r\nX: ");
  // As fast as the peer lets us: only the server's clock ends this.
  int sent = 0;
  while (c.Send("x") && sent < 10'000'000) {
    ++sent;
    usleep(10'000);
    if (sent > 1000) break;
  }
  EXPECT_LT(sent, 1000) << "the head must arrive within head_timeout, however many bytes come";
}

TEST(HttpServer, AClientThatReadsTooSlowlyIsCutOff) {
  HttpServerOptions options;
  options.transfer_timeout = Duration::Millis(200);
  options.min_bytes_per_second = 100 << 20;
  std::promise<void> gone;
  Running r(
      [&](HttpExchangePtr x) {
        x->OnClosed([&] { gone.set_value(); });
        x->Answer(TextResponse(200, std::string(32 << 20, 'x')));
      },
      options);
  TestSocket c = r.Connect(8192);
  c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  gone.get_future().get();
  EXPECT_EQ(r.server.stats().timeouts, 1u);
}

TEST(HttpServer, AThousandIdleConnectionsDoNoHarm) {
  Running r(Echo());
  std::vector<TestSocket> idle;
  for (int i = 0; i < 1000; ++i) idle.push_back(r.Connect());
  TestSocket c = r.Connect();
  c.Send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(c.ReadAnswer(), HasSubstr("GET /x 0\n"));
  idle[500].Send("GET /y HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(idle[500].ReadAnswer(), HasSubstr("GET /y 0\n"));
}

TEST(HttpServer, BeyondTheBoundOfConnectionsItSays503) {
  HttpServerOptions options;
  options.max_connections = 2;
  Running r(Echo(), options);
  TestSocket a = r.Connect(), b = r.Connect();
  a.Send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
  a.ReadAnswer();
  b.Send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
  b.ReadAnswer();
  TestSocket c = r.Connect();
  EXPECT_THAT(c.ReadAll(), StartsWith("HTTP/1.1 503"));
}

TEST(HttpServer, APortThatIsTakenIsSaidWithTheNextStep) {
  Running r(Echo());
  HttpServerOptions options;
  options.port = r.port;
  HttpServer second(options, Echo());
  const auto port = second.Start();
  ASSERT_FALSE(port);
  EXPECT_EQ(port.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(port.error().ToString(), HasSubstr("another program has this port"));
  EXPECT_THAT(port.error().hint(), HasSubstr(std::to_string(r.port)));
}

TEST(HttpServer, DrainFinishesWhatWasBegunAndClosesTheIdle) {
  std::promise<HttpExchangePtr> given;
  Running r([&](HttpExchangePtr x) { given.set_value(x); });
  TestSocket idle = r.Connect(), busy = r.Connect();
  busy.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpExchangePtr x = given.get_future().get();
  auto stopped = std::async([&] { return r.server.Stop(Duration::Seconds(20)); });
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_FALSE(TestSocket::Connect(r.port).ok()) << "nobody listens any more";
  x->Answer(TextResponse(200, "late but whole"));
  EXPECT_THAT(busy.ReadAll(), HasSubstr("late but whole"));
  EXPECT_TRUE(stopped.get());
}

TEST(HttpServer, DrainCutsWhatOutlivesTheGrace) {
  std::promise<HttpExchangePtr> given;
  Running r([&](HttpExchangePtr x) { given.set_value(x); });
  TestSocket c = r.Connect();
  c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  HttpExchangePtr x = given.get_future().get();
  EXPECT_FALSE(r.server.Stop(Duration::Millis(50)));
  EXPECT_TRUE(x->closed());
  x->Answer(TextResponse(200, "too late"));  // after the server: harmless
  EXPECT_EQ(c.ReadAll(), "");
}

TEST(HttpServer, ManyThreadsAnswerManyClients) {
  HttpServerOptions options;
  options.threads = 3;
  Running r(
      [](HttpExchangePtr x) {
        std::thread([x] {
          x->Begin(200, {});
          for (int i = 0; i < 5; ++i) x->Write("piece ");
          x->End();
        }).detach();
      },
      options);
  std::vector<std::thread> clients;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    clients.emplace_back([&] {
      TestSocket c = r.Connect();
      for (int i = 0; i < 25; ++i) {
        c.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        const std::string all = c.ReadUntil("0\r\n\r\n");
        if (all.find("piece ") != std::string::npos) ++good;
      }
    });
  }
  for (std::thread& t : clients) t.join();
  EXPECT_EQ(good, 100);
}

TEST(HttpRouter, FindsTheRouteAndItsParameters) {
  HttpRouter router;
  router.Add("GET", "/api/jobs/{job}", [](HttpExchangePtr x, const PathParams& p) {
    x->Answer(TextResponse(200, "job " + p["job"]));
  });
  router.Add("POST", "/api/jobs/{job}",
             [](HttpExchangePtr x, const PathParams&) { x->Answer(TextResponse(201, "posted")); });
  router.Add("GET", "/files/{path...}", [](HttpExchangePtr x, const PathParams& p) {
    x->Answer(TextResponse(200, "file " + p["path"]));
  });
  Running r(router.Handler());
  TestSocket c = r.Connect();
  const auto ask = [&](const std::string& line) {
    c.Send(line + " HTTP/1.1\r\nHost: h\r\n\r\n");
    return line.starts_with("HEAD") ? c.ReadUntil("\r\n\r\n") : c.ReadAnswer();
  };
  EXPECT_THAT(ask("GET /api/jobs/a%2Fb"), HasSubstr("job a/b"));
  EXPECT_THAT(ask("POST /api/jobs/x"), StartsWith("HTTP/1.1 201"));
  EXPECT_THAT(ask("GET /files/a/b/c.js"), HasSubstr("file a/b/c.js"));
  EXPECT_THAT(ask("GET /api/jobs/"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask("GET /api/jobs/x/y"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(ask("DELETE /api/jobs/x"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(ask("DELETE /api/jobs/x"), HasSubstr("Allow: GET, POST, HEAD, OPTIONS"));
  EXPECT_THAT(ask("HEAD /api/jobs/x"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask("OPTIONS /api/jobs/x"), StartsWith("HTTP/1.1 204"));
  EXPECT_EQ(router.Routes().front(), "GET /api/jobs/{job}");
}

}  // namespace
}  // namespace weir::io
