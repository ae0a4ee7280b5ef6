#include "io/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "base/check.h"
#include "base/logging.h"
#include "io/http_connection.h"

namespace weir::io {

namespace {

constexpr int kBacklog = 1024;
constexpr int kAcceptsPerWake = 64;  // then the connections that are open get their turn
// After running out of descriptors: how long until the next try.
constexpr Duration kAcceptPause = Duration::Millis(200);

std::string PeerOf(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof(text));
  } else if (address.ss_family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text,
              sizeof(text));
  }
  return text;
}

struct BoundSocket {
  int fd;
  uint16_t port;
};

Result<BoundSocket> Bind(const std::string& address, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int rc = getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (rc != 0) {
    return Error(Code::kInvalidArgument,
                 fmt::format("cannot listen on \"{}\": {}", address, gai_strerror(rc)))
        .Hint("give an address of this machine, such as 127.0.0.1 or 0.0.0.0");
  }
  const int fd =
      socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, found->ai_protocol);
  const int one = 1;
  int error = fd < 0 ? errno : 0;
  if (!error) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (!error && (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, kBacklog) != 0)) {
    error = errno;
  }
  freeaddrinfo(found);
  sockaddr_storage bound{};
  socklen_t size = sizeof(bound);
  if (!error && getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) error = errno;
  if (!error) {
    return BoundSocket{
        fd, ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                              : reinterpret_cast<sockaddr_in&>(bound).sin_port)};
  }
  if (fd >= 0) close(fd);
  const std::string where = fmt::format("{}:{}", address, port);
  switch (error) {
    case EADDRINUSE:
      return Error(Code::kAlreadyExists,
                   fmt::format("cannot listen on {}: another program has this port", where))
          .Hint(fmt::format("`ss -ltnp 'sport = :{}'` names it; stop it or choose another port",
                            port));
    case EACCES:
      return Error(Code::kPermissionDenied, fmt::format("cannot listen on {}: not allowed", where))
          .Hint("choose a port above 1023, or run with the right to use this one");
    case EADDRNOTAVAIL:
      return Error(Code::kInvalidArgument,
                   fmt::format("cannot listen on {}: not an address of this machine", where))
          .Hint("give one that `ip address` shows, or 127.0.0.1");
    default:
      return Error(Code::kUnavailable,
                   fmt::format("cannot listen on {}: {}", where, std::strerror(error)));
  }
}

class Listener final : public Watched {
 public:
  using Taker = std::function<void(int fd, std::string peer)>;
  Listener(EventLoop& loop, int fd, Taker taker) : Watched(loop, fd), taker_(std::move(taker)) {}
  void Begin() { WaitReadable(); }
  void End() { Close(); }

 private:
  void OnReadable() override {
    for (int i = 0; i < kAcceptsPerWake; ++i) {
      sockaddr_storage address{};
      socklen_t size = sizeof(address);
      const int client =
          accept4(fd(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client >= 0) {
        taker_(client, PeerOf(address));
        if (!is_open()) return;
        continue;
      }
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        log::warn("cannot accept a connection: {}; trying again shortly", std::strerror(errno));
        return SetDeadline(loop().Now() + kAcceptPause);
      }
      if (errno == EAGAIN) break;
      // Anything else concerns a connection that died while it waited: take the next.
    }
    WaitReadable();
  }
  void OnWritable() override {}
  void OnDeadline() override { WaitReadable(); }

  const Taker taker_;
};

}  // namespace

struct HttpServer::Impl {
  HttpServerOptions options;
  HttpHandler handler;
  ServerCounters counters;
  std::vector<std::unique_ptr<ServerLoop>> states;
  std::shared_ptr<Listener> listener;
  size_t next_loop = 0;  // on the listener's loop
  uint16_t port = 0;
  bool started = false, stopped = false;
  LoopThreads threads;  // last: its loops go first, while what they refer to is still there

  Impl(HttpServerOptions o, HttpHandler h)
      : options(std::move(o)), handler(std::move(h)), threads(options.threads) {
    for (size_t i = 0; i < threads.size(); ++i) {
      auto state = std::make_unique<ServerLoop>();
      state->loop = &threads.at(i);
      state->gate = std::make_shared<LoopGate>();
      state->gate->loop = state->loop;
      state->options = &options;
      state->handler = &handler;
      state->counters = &counters;
      states.push_back(std::move(state));
    }
  }

  void Take(int fd, std::string peer) {
    if (counters.connections.load() >= options.max_connections) {
      counters.refused_connections.fetch_add(1);
      const Error full = Error(Code::kUnavailable, "too many connections").RetryAfter(1);
      const HttpResponse words =
          options.refusal ? options.refusal({}, 503, full) : ProblemResponse(full, 503);
      const std::string answer = fmt::format(
          "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
          "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
          words.body.size(), words.body);
      [[maybe_unused]] const ssize_t n = send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      close(fd);
      return;
    }
    counters.connections.fetch_add(1);
    counters.accepted.fetch_add(1);
    ServerLoop& state = *states[next_loop++ % states.size()];
    if (state.loop->InLoop()) return ServerConnection::Accept(state, fd, std::move(peer));
    state.loop->Post([&state, fd, peer = std::move(peer)]() mutable {
      ServerConnection::Accept(state, fd, std::move(peer));
    });
  }

  // Runs `work` on the loop and waits for it.
  static void Await(EventLoop& loop, const std::function<void()>& work) {
    std::mutex mutex;
    std::condition_variable done;
    bool ready = false;
    loop.Post([&] {
      work();
      const std::lock_guard lock(mutex);
      ready = true;
      done.notify_one();
    });
    std::unique_lock lock(mutex);
    done.wait(lock, [&] { return ready; });
  }
};

HttpServer::HttpServer(HttpServerOptions options, HttpHandler handler) {
  CHECK(options.threads > 0);
  impl_ = std::make_unique<Impl>(std::move(options), std::move(handler));
}

HttpServer::~HttpServer() { Stop({}); }

Result<uint16_t> HttpServer::Start() {
  CHECK(!impl_->started);
  const BoundSocket bound = TRY(Bind(impl_->options.address, impl_->options.port));
  impl_->started = true;
  impl_->port = bound.port;
  EventLoop& loop = impl_->threads.at(0);
  Impl::Await(loop, [&] {
    impl_->listener = std::make_shared<Listener>(
        loop, bound.fd,
        [impl = impl_.get()](int fd, std::string peer) { impl->Take(fd, std::move(peer)); });
    impl_->listener->Begin();
  });
  return bound.port;
}

uint16_t HttpServer::port() const { return impl_->port; }

bool HttpServer::Stop(Duration grace) {
  if (impl_->stopped) return true;
  impl_->stopped = true;
  if (impl_->started) Impl::Await(impl_->threads.at(0), [&] { impl_->listener->End(); });
  for (const auto& state : impl_->states) {
    Impl::Await(*state->loop, [&] {
      state->draining = true;
      const auto all = state->connections;  // a copy: closing takes them off the list
      for (const auto& connection : all) connection->Drain();
    });
  }
  // The loops work on their own; here is nothing to do but look, until the grace is over.
  EventLoop& clock = impl_->threads.at(0);
  const Duration end = clock.Now() + grace;
  while (impl_->counters.connections.load() > 0 && clock.Now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const bool clean = impl_->counters.in_flight.load() == 0;
  for (const auto& state : impl_->states) {
    Impl::Await(*state->loop, [&] {
      const auto all = state->connections;
      for (const auto& connection : all) connection->Cut();
    });
    const std::lock_guard lock(state->gate->mutex);
    state->gate->loop = nullptr;
  }
  impl_->threads.Stop();
  return clean;
}

HttpServerStats HttpServer::stats() const {
  const ServerCounters& c = impl_->counters;
  return {c.accepted, c.refused_connections, c.requests,    c.bad_requests,
          c.timeouts, c.client_aborts,       c.connections, c.in_flight};
}

LoopThreads& HttpServer::loops() { return impl_->threads; }

}  // namespace weir::io
