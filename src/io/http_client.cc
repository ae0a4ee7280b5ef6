#include "io/http_client.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "io/http_parser.h"

namespace weir::io {

namespace {

using UpstreamKey = std::pair<std::string, uint16_t>;
struct KeyLess {
  using is_transparent = void;
  template <class A, class B>
  bool operator()(const A& a, const B& b) const {
    return std::tie(a.first, a.second) < std::tie(b.first, b.second);
  }
};
using UpstreamView = std::pair<std::string_view, uint16_t>;

std::string Origin(std::string_view host, uint16_t port) {
  return host.find(':') == std::string_view::npos ? fmt::format("{}:{}", host, port)
                                                  : fmt::format("[{}]:{}", host, port);
}

// "connection refused", not "Connection refused": it continues a sentence.
std::string ErrnoText(int error) {
  std::string text = std::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] + 32);
  return text;
}

}  // namespace

class Upstream;

class Call final : public HttpCall, public std::enable_shared_from_this<Call> {
 public:
  Call(HttpCallOptions o, std::shared_ptr<HttpSink> s)
      : options(std::move(o)), sink(std::move(s)) {}
  void Cancel() override;
  void Pause() override;
  void Resume() override;
  bool live() const { return sink != nullptr; }

  HttpCallOptions options;
  std::shared_ptr<HttpSink> sink;  // null once the call is over
  std::shared_ptr<Upstream> connection;
  std::vector<std::string> addresses;  // still to be tried
  Duration ends_at = {};               // 0: no deadline
  int connect_error = 0;
  bool paused = false;
};

struct ClientState : std::enable_shared_from_this<ClientState> {
  ClientState(EventLoop& l, HttpClientOptions o) : loop(l), options(o) {}
  void Start(const std::shared_ptr<Call>& call);
  void Connect(const std::shared_ptr<Call>& call);
  static void Fail(const std::shared_ptr<Call>& call, Error error, HttpProgress progress,
                   bool reused);

  EventLoop& loop;
  const HttpClientOptions options;
  std::map<UpstreamKey, std::vector<std::shared_ptr<Upstream>>, KeyLess> idle;  // last used last
  std::vector<std::shared_ptr<Upstream>> all;
  std::string piece;  // body bytes of one read, on their way to a sink
};

// One connection to an upstream: connecting, busy with a call, or idle in the pool.
class Upstream final : public Watched {
 public:
  Upstream(ClientState& client, int fd, std::string host, uint16_t port)
      : Watched(client.loop, fd),
        client_(client),
        host_(std::move(host)),
        port_(port),
        parser_(HttpParser::Kind::kResponse, {.max_head_bytes = client.options.max_head_bytes}) {
    index_ = client.all.size();
  }
  void Connecting(std::shared_ptr<Call> call) {
    call_ = std::move(call);
    connecting_ = true;
    Limit(call_->options.connect_timeout);
    WaitWritable();
  }
  void Carry(std::shared_ptr<Call> call);
  void Drop();  // closes, leaves the client's lists; calls nobody
  void Release() { call_.reset(); }
  void ReadAgain() { WaitReadable(); }
  bool idle() const { return !call_; }

 private:
  friend struct ClientState;
  friend class HttpClient;
  void OnReadable() override;
  void OnWritable() override;
  void OnDeadline() override;
  void Send();
  void Received(std::string_view data);
  bool Deliver(const std::shared_ptr<Call>& call, HttpSink& sink, std::string_view& data);
  void Done();
  void Fail(Error error);
  void Limit(Duration phase);  // the sooner of this phase's limit and the call's deadline

  ClientState& client_;
  const std::string host_;
  const uint16_t port_;
  HttpParser parser_;
  std::string in_, out_;
  size_t sent_ = 0;
  size_t index_;  // in client_.all
  std::shared_ptr<Call> call_;
  bool connecting_ = false;
  bool reused_ = false;
  bool head_given_ = false;
  bool any_byte_ = false;  // of the response
};

void Call::Cancel() {
  sink.reset();
  if (const auto c = std::exchange(connection, nullptr)) c->Drop();
}

void Call::Pause() { paused = true; }

void Call::Resume() {
  paused = false;
  if (connection) connection->ReadAgain();
}

void ClientState::Fail(const std::shared_ptr<Call>& call, Error error, HttpProgress progress,
                       bool reused) {
  call->connection.reset();
  if (const auto sink = std::exchange(call->sink, nullptr)) {
    sink->OnFailure({std::move(error), progress, reused});
  }
}

void ClientState::Start(const std::shared_ptr<Call>& call) {
  const HttpCallOptions& o = call->options;
  if (o.deadline.us > 0) call->ends_at = loop.Now() + o.deadline;
  const auto found = idle.find(UpstreamView{o.host, o.port});
  if (found != idle.end() && !found->second.empty()) {
    const std::shared_ptr<Upstream> connection = std::move(found->second.back());
    found->second.pop_back();
    call->connection = connection;
    connection->reused_ = true;
    return connection->Carry(call);
  }
  loop.Resolve(o.host, [weak = weak_from_this(), call](Result<std::vector<std::string>> addresses) {
    const auto self = weak.lock();
    if (!self || !call->live()) return;
    if (!addresses) {
      // Posted: a sink is never called from inside Start.
      return self->loop.Post([call, error = addresses.error()]() mutable {
        Fail(call, std::move(error), HttpProgress::kNotConnected, false);
      });
    }
    call->addresses = std::move(*addresses);
    self->Connect(call);
  });
}

// Tries the next address; fails the call when none is left.
void ClientState::Connect(const std::shared_ptr<Call>& call) {
  const HttpCallOptions& o = call->options;
  while (!call->addresses.empty()) {
    const std::string address = std::move(call->addresses.front());
    call->addresses.erase(call->addresses.begin());
    sockaddr_storage to{};
    socklen_t size = 0;
    if (auto* v4 = reinterpret_cast<sockaddr_in*>(&to);
        inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
      v4->sin_family = AF_INET;
      v4->sin_port = htons(o.port);
      size = sizeof(sockaddr_in);
    } else if (auto* v6 = reinterpret_cast<sockaddr_in6*>(&to);
               inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(o.port);
      size = sizeof(sockaddr_in6);
    } else {
      call->connect_error = EAFNOSUPPORT;
      continue;
    }
    const int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
      call->connect_error = errno;
      continue;
    }
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, reinterpret_cast<sockaddr*>(&to), size) != 0 && errno != EINPROGRESS) {
      call->connect_error = errno;
      close(fd);
      continue;
    }
    auto connection = std::make_shared<Upstream>(*this, fd, o.host, o.port);
    all.push_back(connection);
    call->connection = connection;
    connection->Connecting(call);
    return;
  }
  Error error(Code::kUnavailable, fmt::format("cannot reach http://{}: {}", Origin(o.host, o.port),
                                              ErrnoText(call->connect_error)));
  loop.Post([call, error = std::move(error)]() mutable {
    Fail(call, std::move(error), HttpProgress::kNotConnected, false);
  });
}

void Upstream::Drop() {
  if (!is_open()) return;
  const auto self = shared_from_this();
  if (!call_) {
    auto& pool = client_.idle.find(UpstreamView{host_, port_})->second;
    std::erase_if(pool, [&](const auto& c) { return c.get() == this; });
  }
  call_.reset();
  Close();
  auto& all = client_.all;
  all[index_] = std::move(all.back());
  all[index_]->index_ = index_;
  all.pop_back();
}

void Upstream::Limit(Duration phase) {
  Duration at = phase.us > 0 ? loop().Now() + phase : Duration{};
  if (call_->ends_at.us > 0 && (at.us == 0 || call_->ends_at < at)) at = call_->ends_at;
  SetDeadline(at);
}

// Sends the call's request on this connection.
void Upstream::Carry(std::shared_ptr<Call> call) {
  call_ = std::move(call);
  const HttpCallOptions& o = call_->options;
  parser_.Reset(/*head_only=*/o.method == "HEAD");
  head_given_ = any_byte_ = false;
  out_.reserve(256 + o.body.size());
  fmt::format_to(std::back_inserter(out_), "{} {} HTTP/1.1\r\nHost: {}\r\n", o.method, o.target,
                 Origin(host_, port_));
  for (const HttpField& field : o.headers) {
    out_.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  if (!o.body.empty() || (o.method != "GET" && o.method != "HEAD")) {
    fmt::format_to(std::back_inserter(out_), "Content-Length: {}\r\n", o.body.size());
  }
  out_.append("\r\n").append(o.body);
  std::string().swap(call_->options.body);  // a call is carried once; a stream may last for hours
  Limit(o.first_byte_timeout);
  Send();
  if (call_) WaitReadable();
}

void Upstream::Send() {
  while (sent_ < out_.size()) {
    const ssize_t n = send(fd(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (n >= 0) {
      sent_ += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      return WaitWritable();
    } else if (errno != EINTR) {
      // The upstream may have answered before it closed: reading will tell.
      WaitReadable();
      break;
    }
  }
  sent_ = 0;
  out_.clear();
  if (out_.capacity() > 1024) std::string().swap(out_);
}

void Upstream::OnWritable() {
  if (!connecting_) return Send();
  connecting_ = false;
  int error = 0;
  socklen_t size = sizeof(error);
  getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  const std::shared_ptr<Call> call = call_;
  if (error == 0) return Carry(call);
  call->connect_error = error;
  call->connection.reset();
  Drop();
  client_.Connect(call);
}

void Upstream::OnReadable() {
  std::string& scratch = loop().scratch();
  const ssize_t n = recv(fd(), scratch.data(), scratch.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return WaitReadable();
  if (n > 0 && call_) return Received({scratch.data(), static_cast<size_t>(n)});
  // The end; or bytes that nobody asked for, after which the connection cannot be trusted.
  if (!call_) return Drop();
  const int error = n < 0 ? errno : 0;
  if (n == 0 && head_given_ && parser_.FeedEnd()) return Done();
  Fail(Error(Code::kUnavailable,
             fmt::format("http://{} {} {}", Origin(host_, port_),
                         error ? "broke the connection" : "closed the connection",
                         any_byte_ ? "in the middle of its answer" : "before answering")));
}

void Upstream::Received(std::string_view data) {
  const std::shared_ptr<Call> call = call_;
  const std::shared_ptr<HttpSink> sink = call->sink;  // it may cancel, and so let go of itself
  any_byte_ = true;
  if (!in_.empty()) in_.append(data);
  std::string stored;  // what data points into, when it is not the loop's scratch
  if (!in_.empty()) {
    stored.swap(in_);
    data = stored;
  }
  if (!Deliver(call, *sink, data)) return;
  in_.assign(data);
  if (!call->paused) {
    Limit(call->options.idle_timeout);
    WaitReadable();
  } else {
    Limit({});
  }
  sink->OnReadDone();
}

// Parses and hands out. False when the call is over, one way or the other.
bool Upstream::Deliver(const std::shared_ptr<Call>& call, HttpSink& sink, std::string_view& data) {
  std::string& piece = client_.piece;
  for (;;) {
    piece.clear();
    const auto used = parser_.Feed(data, piece);
    if (!used) {
      Fail(Error(Code::kUnavailable,
                 fmt::format("http://{}: {}", Origin(host_, port_), used.error().message())));
      return false;
    }
    data.remove_prefix(*used);
    if (parser_.head_done() && !head_given_) {
      if (parser_.status < 200 && parser_.status != 101) {  // 100 Continue, 103 Early Hints
        parser_.Reset(call->options.method == "HEAD");
        continue;
      }
      head_given_ = true;
      sink.OnHead(parser_.status, parser_.head,
                  parser_.done() && parser_.content_length() < 0 && !parser_.chunked()
                      ? 0
                      : parser_.content_length());
      if (!call->live()) return false;
    }
    if (!piece.empty()) {
      sink.OnBody(piece);
      if (!call->live()) return false;
    }
    if (parser_.done()) {
      if (!data.empty()) in_.assign(data);
      Done();
      return false;
    }
    if (*used == 0 || data.empty()) return true;
  }
}

// The response is whole: back to the pool, then tell.
void Upstream::Done() {
  const std::shared_ptr<Call> call = std::move(call_);
  call_.reset();
  call->connection.reset();
  const auto sink = std::exchange(call->sink, nullptr);
  auto& pool = client_.idle[UpstreamKey{host_, port_}];
  const bool reusable = parser_.keep_alive() && !parser_.need_eof() && in_.empty() &&
                        out_.empty() && pool.size() < client_.options.max_idle_per_upstream;
  if (reusable) {
    pool.push_back(std::static_pointer_cast<Upstream>(shared_from_this()));
    SetDeadline(loop().Now() + client_.options.idle_timeout);
    WaitReadable();
  } else {
    Drop();
  }
  sink->OnEnd();
}

void Upstream::Fail(Error error) {
  const std::shared_ptr<Call> call = call_;
  const HttpProgress progress = any_byte_ ? HttpProgress::kResponse : HttpProgress::kNoResponse;
  const bool reused = reused_;
  Drop();
  ClientState::Fail(call, std::move(error), progress, reused);
}

void Upstream::OnDeadline() {
  if (!call_) return Drop();
  const std::string where = Origin(host_, port_);
  if (connecting_) {
    const std::shared_ptr<Call> call = call_;
    call->connect_error = ETIMEDOUT;
    call->connection.reset();
    Drop();
    if (call->ends_at.us == 0 || loop().Now() < call->ends_at) return client_.Connect(call);
    return ClientState::Fail(
        call,
        Error(Code::kDeadlineExceeded, fmt::format("http://{}: no connection in time", where)),
        HttpProgress::kNotConnected, false);
  }
  Fail(Error(Code::kDeadlineExceeded,
             fmt::format("http://{} {}", where,
                         any_byte_ ? "stopped in the middle of its answer, or took too long"
                                   : "did not answer in time")));
}

struct HttpClient::Impl : ClientState {
  using ClientState::ClientState;
};

HttpClient::HttpClient(EventLoop& loop, HttpClientOptions options)
    : impl_(std::make_shared<Impl>(loop, options)) {}

HttpClient::~HttpClient() {
  const auto all = impl_->all;  // a copy: dropping takes them off the list
  for (const auto& connection : all) {
    if (connection->call_) {
      connection->call_->sink.reset();
      connection->call_->connection.reset();
    }
    connection->Drop();
  }
}

std::shared_ptr<HttpCall> HttpClient::Start(HttpCallOptions options,
                                            std::shared_ptr<HttpSink> sink) {
  CHECK(sink != nullptr);
  auto call = std::make_shared<Call>(std::move(options), std::move(sink));
  impl_->Start(call);
  return call;
}

void HttpClient::Forget(const std::string& host, uint16_t port) {
  const auto found = impl_->idle.find(UpstreamView{host, port});
  if (found == impl_->idle.end()) return;
  const auto pool = found->second;
  for (const auto& connection : pool) connection->Drop();
}

size_t HttpClient::idle_connections() const {
  size_t n = 0;
  for (const auto& [key, pool] : impl_->idle) n += pool.size();
  return n;
}

}  // namespace weir::io
