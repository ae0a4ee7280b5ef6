// An HTTP/1.1 server: keep-alive, pipelining, streamed answers with back-pressure, time limits on
// everything a client can make us wait for, and a drain that finishes what was begun.
//
//   HttpServer server(options, [](HttpExchangePtr x) {
//     if (x->request().path() == "/healthz") return x->Answer(TextResponse(200, "ok\n"));
//     std::thread([x] { x->Answer(SlowThing(x->request())); }).detach();   // from any thread
//   });
//   const uint16_t port = TRY(server.Start());
//
// Streaming:
//   x->Begin(200, {{"Content-Type", "text/event-stream"}});
//   x->OnClosed([] { /* the client went away: stop the work */ });
//   x->Write(SseEvent(json));  ...  x->End();
//
// A handler is called on a loop thread when the whole request has arrived, and must not block:
// answer at once, or keep the pointer and answer later. Letting go of the last pointer without an
// answer sends 500; in the middle of a stream it cuts the connection, so that the client sees it.
//
// Threads   HttpExchange's members may be called from any thread, one thread at a time; calls from
//           the connection's own loop act at once, others are handed over in order. Callbacks run
//           on the connection's loop.
// Limits    every bound is a member of HttpServerOptions. Refusals: 400 malformed, 408 too slow,
//           413 body, 431 head, 417, 501, 503 too many connections; worded by `refusal`.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "io/event_loop.h"
#include "io/http_message.h"

namespace weir::io {

struct HttpServerOptions {
  std::string address = "127.0.0.1";
  uint16_t port = 0;  // 0: any free port, returned by Start
  int threads = 1;
  size_t max_connections = 16384;
  size_t max_head_bytes = 16 << 10;
  size_t max_body_bytes = 8 << 20;
  // From the first byte of a request (or the accept) to the end of its head.
  Duration head_timeout = Duration::Seconds(10);
  // For a body to arrive or an answer to be taken: this, plus a second for every `min_rate` bytes
  // that moved. A client that moves one byte a second is cut off.
  Duration transfer_timeout = Duration::Seconds(20);
  size_t min_bytes_per_second = 16 << 10;
  Duration idle_timeout = Duration::Seconds(75);  // between two requests
  // A stream's Write() buffers at most about this much before OnDrained is worth waiting for.
  size_t high_water_bytes = 256 << 10;
  HttpRefusal refusal;  // the words of what is refused before a handler sees it
};

class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  const HttpRequest& request() const { return request_; }
  HttpRequest& request() { return request_; }  // a handler may move the body out
  // The loop of this connection: run what must be quick or lock-free there.
  virtual EventLoop& loop() = 0;

  // The whole answer. The second and later answers are ignored.
  virtual void Answer(HttpResponse response) = 0;
  void AnswerError(const Error& error) { Answer(ProblemResponse(error)); }

  // A streamed answer: chunked, or with Content-Length when `length` is given.
  virtual void Begin(int status, const HttpFields& headers, int64_t length = -1) = 0;
  enum class Flush { kNow, kLater };  // kLater: with the next kNow or End; saves system calls
  virtual void Write(std::string_view bytes, Flush flush = Flush::kNow) = 0;
  virtual void End() = 0;
  virtual void Abort() = 0;  // cut the connection: what was sent is not the whole

  // Bytes written and not yet taken by the client's side of the network.
  size_t buffered_bytes() const { return buffered_.load(std::memory_order_relaxed); }
  bool over_high_water() const { return buffered_bytes() > high_water_; }
  // One call when the buffer has fallen below half the high-water mark (at once if it is).
  virtual void OnDrained(std::function<void()> drained) = 0;
  // One call when the client goes away before it has the whole answer (at once if it has gone).
  virtual void OnClosed(std::function<void()> closed) = 0;
  bool closed() const { return closed_.load(std::memory_order_acquire); }

 protected:
  HttpRequest request_;
  size_t high_water_ = 0;
  std::atomic<size_t> buffered_{0};
  std::atomic<bool> closed_{false};
};
using HttpExchangePtr = std::shared_ptr<HttpExchange>;
using HttpHandler = std::function<void(HttpExchangePtr)>;

struct HttpServerStats {
  uint64_t accepted = 0, refused_connections = 0, requests = 0, bad_requests = 0, timeouts = 0,
           client_aborts = 0;
  size_t connections = 0, in_flight = 0;
};

class HttpServer {
 public:
  HttpServer(HttpServerOptions options, HttpHandler handler);
  ~HttpServer();  // Stop(0)
  // Binds, listens, starts the threads; returns the port. A taken port is kAlreadyExists and says
  // what to do.
  Result<uint16_t> Start();
  uint16_t port() const;
  // Stops accepting, closes idle connections, lets requests in flight finish within `grace`, cuts
  // the rest, joins the threads. True when nothing had to be cut. Not from a handler.
  bool Stop(Duration grace);
  HttpServerStats stats() const;
  // The server's loops, for whoever wants a client or a timer on the same thread as a connection.
  LoopThreads& loops();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::io
