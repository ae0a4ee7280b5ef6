// An HTTP/1.1 client: keep-alive pool per upstream, streamed responses with pause and resume,
// deadlines, cancel. Two doors: HttpClient, asynchronous on one loop, for the gateway and the load
// generator; and Fetch(), which blocks, for commands.
//
//   const HttpResult r = TRY(Fetch({.url = "http://127.0.0.1:7575/api/v1/jobs"}));
//
// What is not here: TLS, redirects, proxies, decompression, HTTP/2.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "io/event_loop.h"
#include "io/http_message.h"

namespace weir::io {

// How far a request had got when it failed; what may be repeated follows from it.
enum class HttpProgress {
  kNotConnected,  // no connection: nothing reached the upstream
  kNoResponse,    // sent, wholly or partly; not one byte came back
  kResponse,      // the response had begun
};

struct HttpFailure {
  Error error;
  HttpProgress progress = HttpProgress::kNotConnected;
  bool reused_connection = false;  // it had served an earlier request
};

// Receives one response. Calls come on the client's loop, in order: OnHead, then any OnBody, one
// OnReadDone after each read from the network that did not end the response, then exactly one of
// OnEnd or OnFailure, never from inside Start(). After
// Cancel() no call comes.
class HttpSink {
 public:
  virtual ~HttpSink() = default;
  // length: of the body, or -1 when only its end will tell.
  virtual void OnHead(int status, const HttpHead& head, int64_t length) = 0;
  virtual void OnBody(std::string_view bytes) = 0;  // chunk framing removed
  virtual void OnReadDone() {}
  virtual void OnEnd() = 0;
  virtual void OnFailure(HttpFailure failure) = 0;
};

struct HttpCallOptions {
  std::string method = "GET";
  std::string host = "127.0.0.1";  // numeric or a name
  uint16_t port = 80;
  std::string target = "/";
  HttpFields headers;  // Host and Content-Length are added
  std::string body;
  Duration connect_timeout = Duration::Seconds(5);
  Duration first_byte_timeout = {};  // from sent to the first byte of the response; 0: none
  Duration idle_timeout = {};        // between two reads of the response; 0: none
  Duration deadline = {};            // for the whole call; 0: none
};

// A call in flight. Dropping the pointer does not cancel it.
class HttpCall {
 public:
  virtual ~HttpCall() = default;
  virtual void Cancel() = 0;  // closes the connection: the upstream sees it at once
  virtual void Pause() = 0;   // stop reading: the network pushes back on the upstream
  virtual void Resume() = 0;
};

struct HttpClientOptions {
  size_t max_idle_per_upstream = 256;
  Duration idle_timeout = Duration::Seconds(30);
  size_t max_head_bytes = 64 << 10;
};

// Threads: everything on the loop's thread.
class HttpClient {
 public:
  explicit HttpClient(EventLoop& loop, HttpClientOptions options = {});
  ~HttpClient();  // cancels every call
  std::shared_ptr<HttpCall> Start(HttpCallOptions call, std::shared_ptr<HttpSink> sink);
  // Closes pooled connections to an upstream (it was marked down).
  void Forget(const std::string& host, uint16_t port);
  size_t idle_connections() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

struct FetchOptions {
  std::string method = "GET";
  std::string url;
  HttpFields headers;
  std::string body;
  Duration deadline = Duration::Seconds(30);  // 0: none, for streams
  size_t max_body_bytes = 64 << 20;
  // When set, the body is handed over as it comes instead of being kept; false ends the call.
  std::function<bool(std::string_view)> on_body;
  // When it returns true the call ends with kCancelled; asked about every 100 ms (Ctrl-C).
  std::function<bool()> cancelled;
};
struct HttpResult {
  int status = 0;
  HttpHead head;
  std::string body;
};
// Blocks until the response is complete. Any HTTP status is a value; errors are the network's:
// "cannot reach http://127.0.0.1:7575: connection refused", with `hint` as the next step.
Result<HttpResult> Fetch(FetchOptions options, std::string_view hint = "is `weir up` running?");

}  // namespace weir::io
