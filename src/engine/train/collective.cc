#include "engine/train/collective.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "io/clock.h"

namespace weir::train {
namespace {

class OneProcess final : public Collective {
 public:
  int rank() const override { return 0; }
  int world() const override { return 1; }
  Status Sum(std::span<float>) override { return {}; }
  Status Sum(std::span<double>) override { return {}; }
  Status CheckPeers() override { return {}; }
};

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

Error Failed(std::string_view doing) {
  return Error(Code::kUnavailable, fmt::format("{}: {}", doing, std::strerror(errno)));
}

// A deadline, and the wish to stop before it.
struct Patience {
  const io::Clock& clock;
  Duration until;
  const std::atomic<bool>* stop;
  Status Check(std::string_view waiting_for) const {
    if (stop != nullptr && stop->load()) {
      return Error(Code::kCancelled, fmt::format("stopped while waiting for {}", waiting_for));
    }
    if (clock.Monotonic() > until) {
      return Error(Code::kUnavailable, fmt::format("gave up waiting for {}", waiting_for))
          .Hint(
              "all ranks must start, with the same WEIR_RENDEZVOUS, WEIR_WORLD_SIZE and WEIR_RUN");
    }
    return {};
  }
};
constexpr int kPollMs = 50;

Status WaitFor(int fd, short events, const Patience& patience, std::string_view waiting_for) {
  for (;;) {
    TRY(patience.Check(waiting_for));
    pollfd p{fd, events, 0};
    const int n = poll(&p, 1, kPollMs);
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return Failed("poll");
  }
}

void SetFlags(int fd) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
}

struct Address {
  std::string host;
  uint16_t port = 0;
};
Result<Address> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  int port = -1;
  if (colon != std::string_view::npos) {
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + colon + 1, end, port);
    if (error != std::errc() || at != end) port = -1;
  }
  if (colon == 0 || port < 1 || port > 65535) {
    return Error(Code::kInvalidArgument, fmt::format("WEIR_RENDEZVOUS is \"{}\"", text))
        .Hint("host:port, such as 127.0.0.1:29500");
  }
  return Address{std::string(text.substr(0, colon)), static_cast<uint16_t>(port)};
}
Result<sockaddr_in> Resolve(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &list); error != 0) {
    return Error(Code::kUnavailable, fmt::format("host {}: {}", host, gai_strerror(error)));
  }
  sockaddr_in address{};
  std::memcpy(&address, list->ai_addr, sizeof(address));
  freeaddrinfo(list);
  address.sin_port = htons(port);
  return address;
}

Result<Socket> Listen(const std::string& host, uint16_t port) {
  const sockaddr_in address = TRY(Resolve(host, port));
  Socket s(socket(AF_INET, SOCK_STREAM, 0));
  const int one = 1;
  setsockopt(s.fd(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (s.fd() < 0 ||
      bind(s.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(s.fd(), 128) != 0) {
    return Failed(fmt::format("cannot listen on {}:{}", host, port));
  }
  SetFlags(s.fd());
  return s;
}

Result<Socket> Dial(const Address& to, const Patience& patience) {
  const std::string name = fmt::format("{}:{}", to.host, to.port);
  const sockaddr_in address = TRY(Resolve(to.host, to.port));
  for (;;) {
    TRY(patience.Check(name));
    Socket s(socket(AF_INET, SOCK_STREAM, 0));
    if (s.fd() < 0) return Failed("socket");
    if (connect(s.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      SetFlags(s.fd());
      return s;
    }
    poll(nullptr, 0, kPollMs);  // not listening yet
  }
}

Result<Socket> Accept(const Socket& listener, const Patience& patience, std::string_view of) {
  for (;;) {
    TRY(WaitFor(listener.fd(), POLLIN, patience, of));
    Socket s(accept(listener.fd(), nullptr, nullptr));
    if (s.fd() >= 0) {
      SetFlags(s.fd());
      return s;
    }
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) return Failed("accept");
  }
}

Status WriteAll(const Socket& s, const void* data, size_t n, const Patience& patience) {
  const char* p = static_cast<const char*>(data);
  while (n > 0) {
    const ssize_t sent = send(s.fd(), p, n, MSG_NOSIGNAL);
    if (sent > 0) {
      p += sent;
      n -= static_cast<size_t>(sent);
    } else if (errno == EAGAIN || errno == EINTR) {
      TRY(WaitFor(s.fd(), POLLOUT, patience, "a peer to read"));
    } else {
      return Failed("send");
    }
  }
  return {};
}
Status ReadAll(const Socket& s, void* data, size_t n, const Patience& patience) {
  char* p = static_cast<char*>(data);
  while (n > 0) {
    const ssize_t got = recv(s.fd(), p, n, 0);
    if (got > 0) {
      p += got;
      n -= static_cast<size_t>(got);
    } else if (got == 0) {
      return Error(Code::kUnavailable, "a peer hung up");
    } else if (errno == EAGAIN || errno == EINTR) {
      TRY(WaitFor(s.fd(), POLLIN, patience, "a peer's answer"));
    } else {
      return Failed("recv");
    }
  }
  return {};
}

// What a rank says first on every connection. Anything else that connects is turned away.
struct Hello {
  uint64_t magic = 0x5745495252494E47;  // "WEIRRING"
  uint64_t run = 0;
  uint32_t rank = 0, world = 0, port = 0, unused = 0;
};
struct Seat {  // where a rank listens for its ring neighbour
  char host[64] = {};
  uint32_t port = 0;
};
uint64_t Fnv1a(std::string_view text) {  // to tell attempts apart, not to keep anyone out
  uint64_t h = 0xCBF29CE484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return h;
}

class Ring final : public Collective {
 public:
  Ring(const RingOptions& options, Socket next, Socket previous)
      : options_(options), next_(std::move(next)), previous_(std::move(previous)) {}
  int rank() const override { return options_.rank; }
  int world() const override { return options_.world; }
  Status Sum(std::span<float> x) override { return SumOf(x); }
  Status Sum(std::span<double> x) override { return SumOf(x); }

  Status CheckPeers() override {
    for (const auto& [socket, peer] : {std::pair(&next_, NextRank()), {&previous_, LastRank()}}) {
      pollfd p{socket->fd(), POLLRDHUP, 0};
      if (poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
        return Lost(peer, "hung up");
      }
    }
    return {};
  }

 private:
  int NextRank() const { return (rank() + 1) % world(); }
  int LastRank() const { return (rank() + world() - 1) % world(); }
  Error Lost(int peer, std::string_view why) const {
    return Error(Code::kUnavailable, fmt::format("peer lost: rank {} {}", peer, why))
        .Hint("its own last lines say why; start the job again to resume from its checkpoint");
  }

  // Sends and receives at once; received(n) is told how many bytes of `in` are there so far.
  template <class Received>
  Status Exchange(const char* out, size_t out_bytes, char* in, size_t in_bytes,
                  const Received& received) {
    size_t sent = 0, got = 0;
    Duration last = clock_.Monotonic();
    while (sent < out_bytes || got < in_bytes) {
      pollfd p[2] = {{next_.fd(), static_cast<short>(sent < out_bytes ? POLLOUT : 0), 0},
                     {previous_.fd(), static_cast<short>(got < in_bytes ? POLLIN : 0), 0}};
      const int ready = poll(p, 2, 1000);
      if (ready < 0 && errno != EINTR) return Failed("poll");
      if (ready <= 0) {
        if (clock_.Monotonic() - last > options_.silence_timeout) {
          return Lost(got < in_bytes ? LastRank() : NextRank(),
                      fmt::format("has been silent for {}", Human(options_.silence_timeout)));
        }
        continue;
      }
      last = clock_.Monotonic();
      if (sent < out_bytes && p[0].revents != 0) {
        const ssize_t n = send(next_.fd(), out + sent, out_bytes - sent, MSG_NOSIGNAL);
        if (n > 0) sent += static_cast<size_t>(n);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
          return Lost(NextRank(), fmt::format("hung up ({})", std::strerror(errno)));
        }
      }
      if (got < in_bytes && p[1].revents != 0) {
        const ssize_t n =
            recv(previous_.fd(), in + got, std::min<size_t>(in_bytes - got, 1 << 18), 0);
        if (n > 0) {
          got += static_cast<size_t>(n);
          received(got);
        }
        if (n == 0) return Lost(LastRank(), "hung up");
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
          return Lost(LastRank(), fmt::format("hung up ({})", std::strerror(errno)));
        }
      } else if (got == in_bytes && (p[0].revents & (POLLHUP | POLLERR)) != 0 && sent < out_bytes) {
        return Lost(NextRank(), "hung up");
      }
    }
    return {};
  }

  template <class T>
  Status SumOf(std::span<T> x) {
    // Neighbours first compare what they are about to do: a mismatch is a bug that would otherwise
    // show as wrong numbers.
    const uint64_t mine[2] = {++calls_, x.size() * sizeof(T)};
    uint64_t theirs[2] = {};
    TRY(Exchange(reinterpret_cast<const char*>(mine), sizeof(mine), reinterpret_cast<char*>(theirs),
                 sizeof(theirs), [](size_t) {}));
    if (mine[0] != theirs[0] || mine[1] != theirs[1]) {
      return Error(Code::kInternal,
                   fmt::format("ranks disagree: call {} of {} bytes here, call {} of {} at rank {}",
                               mine[0], mine[1], theirs[0], theirs[1], LastRank()));
    }
    const size_t parts = static_cast<size_t>(world()), r = static_cast<size_t>(rank());
    const auto part = [&](size_t c) {
      c %= parts;
      const size_t begin = x.size() * c / parts, end = x.size() * (c + 1) / parts;
      return x.subspan(begin, end - begin);
    };
    staging_.resize((x.size() / parts + 1) * sizeof(T));
    for (size_t s = 0; s + 1 < parts; ++s) {  // after this, rank r holds the sum of part r + 1
      const std::span<T> out = part(r + parts - s), in = part(r + 2 * parts - s - 1);
      size_t added = 0;
      const T* arrived = reinterpret_cast<const T*>(staging_.data());
      TRY(Exchange(reinterpret_cast<const char*>(out.data()), out.size_bytes(), staging_.data(),
                   in.size_bytes(), [&](size_t bytes) {
                     for (; added < bytes / sizeof(T); ++added) in[added] += arrived[added];
                   }));
    }
    for (size_t s = 0; s + 1 < parts; ++s) {
      const std::span<T> out = part(r + 1 + parts - s), in = part(r + parts - s);
      TRY(Exchange(reinterpret_cast<const char*>(out.data()), out.size_bytes(),
                   reinterpret_cast<char*>(in.data()), in.size_bytes(), [](size_t) {}));
    }
    return {};
  }

  const RingOptions options_;
  const io::RealClock clock_;
  Socket next_, previous_;
  uint64_t calls_ = 0;
  std::vector<char> staging_;
};

}  // namespace

std::unique_ptr<Collective> Alone() { return std::make_unique<OneProcess>(); }

Result<std::unique_ptr<Collective>> ConnectRing(const RingOptions& options) {
  if (options.world < 1 || options.rank < 0 || options.rank >= options.world) {
    return Error(Code::kInvalidArgument,
                 fmt::format("rank {} of {} workers", options.rank, options.world));
  }
  if (options.world == 1) return Alone();
  const Address rendezvous = TRY(ParseAddress(options.rendezvous));
  const io::RealClock clock;
  const Patience patience{clock, clock.Monotonic() + options.connect_timeout, options.stop};
  const size_t world = static_cast<size_t>(options.world);
  const Hello self{.run = Fnv1a(options.run),
                   .rank = static_cast<uint32_t>(options.rank),
                   .world = static_cast<uint32_t>(options.world)};
  const auto known = [&](const Hello& hello) {
    return hello.magic == self.magic && hello.run == self.run && hello.world == self.world &&
           hello.rank < self.world;
  };
  const auto read_hello = [&](const Socket& s) -> Result<Hello> {
    Hello hello;
    const Patience brief{clock, clock.Monotonic() + Duration::Seconds(2), options.stop};
    TRY(ReadAll(s, &hello, sizeof(hello), brief));
    return hello;
  };

  // Where this rank's predecessor will find it. On rank 0's host for rank 0, any other's own.
  Socket door = TRY(Listen(options.rank == 0 ? rendezvous.host : "0.0.0.0", 0));
  sockaddr_in at{};
  socklen_t at_size = sizeof(at);
  getsockname(door.fd(), reinterpret_cast<sockaddr*>(&at), &at_size);
  Hello hello = self;
  hello.port = ntohs(at.sin_port);

  std::vector<Seat> seats(world);
  if (options.rank == 0) {
    Socket listener = TRY(Listen(rendezvous.host, rendezvous.port));
    std::vector<Socket> members(world);
    seats[0].port = hello.port;
    for (size_t present = 1; present < world;) {
      Socket s =
          TRY(Accept(listener, patience, fmt::format("{} of {} workers", world - present, world)));
      const Result<Hello> said = read_hello(s);
      if (!said || !known(*said) || said->rank == 0 || members[said->rank].fd() >= 0) continue;
      sockaddr_in peer{};
      socklen_t peer_size = sizeof(peer);
      getpeername(s.fd(), reinterpret_cast<sockaddr*>(&peer), &peer_size);
      inet_ntop(AF_INET, &peer.sin_addr, seats[said->rank].host, sizeof(Seat::host));
      seats[said->rank].port = said->port;
      members[said->rank] = std::move(s);
      ++present;
    }
    for (size_t r = 1; r < world; ++r) {
      TRY(WriteAll(members[r], seats.data(), world * sizeof(Seat), patience));
    }
  } else {
    const Socket s = TRY(Dial(rendezvous, patience));
    TRY(WriteAll(s, &hello, sizeof(hello), patience));
    TRY(ReadAll(s, seats.data(), world * sizeof(Seat), patience));
  }

  const Seat& seat = seats[(static_cast<size_t>(options.rank) + 1) % world];
  const std::string host = seat.host[0] == '\0' ? rendezvous.host : std::string(seat.host);
  Socket next = TRY(Dial({host, static_cast<uint16_t>(seat.port)}, patience));
  TRY(WriteAll(next, &hello, sizeof(hello), patience));
  const uint32_t before = static_cast<uint32_t>((options.rank + options.world - 1) % options.world);
  for (;;) {
    Socket s = TRY(Accept(door, patience, fmt::format("rank {}", before)));
    const Result<Hello> said = read_hello(s);
    if (!said || !known(*said) || said->rank != before) continue;
    return std::unique_ptr<Collective>(
        std::make_unique<Ring>(options, std::move(next), std::move(s)));
  }
}

}  // namespace weir::train
