// The server's side of one connection: reads requests, hands them out one at a time, sends the
// answers. Private to io/: http_server.h is the door.
//
//              bytes            head whole         body whole            answer sent
//   idle ───────────▶ reading head ──▶ reading body ──▶ busy (handler) ──────────────▶ idle
//     │ idle_timeout     │ head_timeout   │ transfer time   │ client closes              or closed
//     ▼                  ▼                ▼                 ▼
//   closed            408, linger      408, linger       closed, OnClosed called
//
// While busy, the socket is still read, so that a client that goes away is noticed at once; what it
// sends ahead is kept, up to kMaxAhead. The next request starts when the answer has left.
//
// Threads   a connection lives on its loop; Exchange hands calls from other threads over through
//           the LoopGate, which closes before the loops go.
#pragma once

#include <atomic>
#include <cstdint>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "io/http_parser.h"
#include "io/http_server.h"

namespace weir::io {

class ServerConnection;

// Posts to a loop for as long as there is one.
struct LoopGate {
  std::mutex mutex;
  EventLoop* loop = nullptr;  // guarded by mutex; null once the server has stopped
  void Post(std::function<void()> work) {
    const std::lock_guard lock(mutex);
    if (loop) loop->Post(std::move(work));
  }
};

struct ServerCounters {
  std::atomic<uint64_t> accepted{0}, refused_connections{0}, requests{0}, bad_requests{0},
      timeouts{0}, client_aborts{0};
  std::atomic<size_t> connections{0}, in_flight{0};
};

// What the connections of one loop share. Touched on that loop only, but for the counters.
struct ServerLoop {
  EventLoop* loop = nullptr;
  std::shared_ptr<LoopGate> gate;
  const HttpServerOptions* options = nullptr;
  const HttpHandler* handler = nullptr;
  ServerCounters* counters = nullptr;
  std::vector<std::shared_ptr<ServerConnection>> connections;
  bool draining = false;
  std::string_view DateNow();  // "Sun, 06 Nov 1994 08:49:37 GMT", rendered once a second

 private:
  std::time_t date_second_ = 0;
  char date_[40] = {};
};

class Exchange;

class ServerConnection final : public Watched {
 public:
  static void Accept(ServerLoop& server, int fd, std::string peer);
  void Drain();  // closes now if idle, otherwise after the answer
  void Cut();    // closes now

 private:
  friend class Exchange;
  // Bytes kept of requests sent ahead of their turn; beyond it the network pushes back.
  static constexpr size_t kMaxAhead = 64 << 10;

  ServerConnection(ServerLoop& server, int fd, std::string peer);
  void OnReadable() override;
  void OnWritable() override;
  void OnDeadline() override;

  void Advance(std::string_view fresh);
  bool HeadIsAcceptable();
  void Dispatch();
  // `received`: what came of a head that is not whole, if it is not in in_.
  void Refuse(int status, const Error& error, std::string_view received = {});
  HttpResponse Refusal(int status, const Error& error, std::string_view target) const;
  void AppendHead(int status, const HttpFields& headers, int64_t length);
  void Send();
  void AnswerSent();
  void LimitTransfer(uint64_t bytes);
  void Unwatch();

  // Called by the exchange in hand, on the loop.
  void Answer(const HttpResponse& response);
  void Begin(int status, const HttpFields& headers, int64_t length);
  void Write(std::string_view bytes, HttpExchange::Flush flush);
  void End();

  ServerLoop& server_;
  const std::string peer_;
  HttpParser parser_;
  std::string in_;    // received, not yet parsed
  std::string body_;  // of the request being read
  std::string out_;   // to be sent from sent_ on
  size_t sent_ = 0;
  std::weak_ptr<Exchange> exchange_;
  std::shared_ptr<Exchange> kept_;  // exchange_ once its answer is whole: OnClosed may yet be due
  size_t index_ = 0;                // in server_.connections
  Duration transfer_began_ = {};
  uint64_t transferred_ = 0;
  int64_t length_left_ = -1;  // of a streamed answer with Content-Length
  bool fresh_ = true;         // nothing received since accept or the last answer
  bool head_checked_ = false;
  bool busy_ = false;        // a request is with the handler, or its answer is being sent
  bool began_ = false;       // the answer's head is out
  bool complete_ = false;    // the answer is wholly in out_
  bool chunked_ = false;     // the answer's framing
  bool bodyless_ = false;    // HEAD, 204, 304
  bool keep_alive_ = false;  // after this answer
  bool blocked_ = false;     // the client does not take bytes as fast as we have them
  bool lingering_ = false;   // answered and half-closed: reading away what still comes
  bool advancing_ = false;
};

class Exchange final : public HttpExchange {
 public:
  Exchange(std::shared_ptr<ServerConnection> connection, HttpRequest request, size_t high_water);
  ~Exchange() override;
  EventLoop& loop() override { return connection_->loop(); }
  void Answer(HttpResponse response) override;
  void Begin(int status, const HttpFields& headers, int64_t length) override;
  void Write(std::string_view bytes, Flush flush) override;
  void End() override;
  void Abort() override;
  void OnDrained(std::function<void()> drained) override;
  void OnClosed(std::function<void()> closed) override;

 private:
  friend class ServerConnection;
  std::shared_ptr<Exchange> Self();
  // Did the connection go, or the answer end? From then on the loops may be gone.
  bool Over() const { return finished_ || closed(); }
  void Finish(bool client_gone);  // on the loop
  void AddBuffered(size_t bytes) { buffered_.fetch_add(bytes, std::memory_order_relaxed); }
  void SubBuffered(size_t bytes) { buffered_.fetch_sub(bytes, std::memory_order_relaxed); }
  template <class F>
  void OnLoop(F&& f);

  const std::shared_ptr<ServerConnection> connection_;
  const std::shared_ptr<LoopGate> gate_;
  std::weak_ptr<Exchange> self_;
  std::atomic<bool> finished_{false};             // no further call has an effect
  std::function<void()> on_drained_, on_closed_;  // on the loop
};

}  // namespace weir::io
