// bench/gateway: the edge beside HAProxy, in front of the same stub replica, in the same run.
//
//   gateway_bench [--seconds 1.5] [--rounds 3] [--idle 10000] [--json]
//
// Four processes: this one (the clients), the stub replica, the edge with one loop, HAProxy with
// one thread. Rounds alternate between direct, HAProxy and the edge, so that whatever else the
// machine does falls on all three alike; medians and the spread are printed, and beside requests
// per second the CPU time that the proxy's own process used per request, which a busy machine does
// not distort.
//
//   1. small JSON answers over 64 kept connections, closed loop: requests per second
//   2. 100 streams of timestamped events at half of that rate in sum: delay of each event; what a
//      proxy adds is its quantile less the direct one
//   3. idle streams: resident memory of the edge's process with both sides open
//
// The limit beside the number is the direct round: what clients, kernel and stub do without a
// proxy.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/version.h"
#include "gateway/edge/edge.h"
#include "io/http_server.h"

namespace {

using namespace weir;

constexpr int kConnections = 64;
constexpr int kStreams = 100;
const std::string kAnswer =
    R"({"id":"cmpl-1","object":"text_completion","created":1,"model":"story","choices":[{"index":0,)"
    R"("text":" and so it was","logprobs":null,"finish_reason":"stop"}],"usage":)"
    R"({"prompt_tokens":5,"completion_tokens":4,"total_tokens":9}})";

int64_t NowUs() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * 1'000'000 + t.tv_nsec / 1000;
}

int64_t RaiseLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  rlimit wanted{65536, std::max<rlim_t>(65536, limit.rlim_max)};
  if (setrlimit(RLIMIT_NOFILE, &wanted) == 0) return 65536;
  return io::RaiseOpenFileLimit();
}

// --- the processes under test
// ---------------------------------------------------------------------

// X-Mode: "events RATE" sends an event with its time of sending RATE times a second until the
// client leaves; "idle" sends one event and then nothing; anything else is the small JSON answer.
void ServeStub(int report_fd) {
  io::HttpServerOptions options;
  options.max_connections = 40000;
  io::HttpServer server(options, [](io::HttpExchangePtr x) {
    const auto mode = x->request().Header("X-Mode");
    if (!mode) return x->Answer(io::JsonResponse(200, kAnswer));
    x->Begin(200, {{"Content-Type", "text/event-stream"}});
    x->Write("data: {\"text\":\"first\"}\n\n");
    if (mode->starts_with("idle")) {
      x->OnClosed([x] {});  // held until the client leaves
      return;
    }
    const double rate = std::strtod(std::string(mode->substr(7)).c_str(), nullptr);
    auto timer = std::make_shared<io::Timer>(x->loop());
    auto next = std::make_shared<std::function<void()>>();
    auto due = std::make_shared<int64_t>(NowUs());
    *next = [x, due, gap = static_cast<int64_t>(1e6 / rate), weak = std::weak_ptr(timer),
             self = std::weak_ptr(next)] {
      const auto t = weak.lock();
      const auto again = self.lock();
      if (!t || !again || x->closed()) return;
      x->Write(fmt::format("data: {{\"us\":{}}}\n\n", NowUs()));
      *due += gap;
      t->Start(Duration::Micros(std::max<int64_t>(0, *due - NowUs())), [again] { (*again)(); });
    };
    x->OnClosed([timer, next] { *next = nullptr; });
    (*next)();
  });
  const uint16_t port = *server.Start();
  if (write(report_fd, &port, sizeof(port)) != sizeof(port)) _exit(1);
  for (;;) pause();
}

class AnyKey : public gateway::Authenticator {
 public:
  Result<gateway::Principal> Authenticate(std::string_view) override {
    return gateway::Principal{"bench", 0, {}};
  }
};

void ServeEdge(int report_fd, uint16_t upstream) {
  std::unique_ptr<gateway::Edge> edge;
  io::HttpServerOptions options;
  options.max_connections = 40000;
  io::HttpServer server(options, [&](io::HttpExchangePtr x) { edge->Handle(std::move(x)); });
  edge = std::make_unique<gateway::Edge>(server.loops(), gateway::EdgeOptions{},
                                         std::make_shared<AnyKey>());
  auto table = std::make_shared<gateway::RoutingTable>();
  table->services.push_back(
      {.name = "story",
       .replicas = {
           {.id = "stub", .host = "127.0.0.1", .port = upstream, .max_concurrency = 100'000}}});
  edge->SetRoutes(table);
  const uint16_t port = *server.Start();
  if (write(report_fd, &port, sizeof(port)) != sizeof(port)) _exit(1);
  for (;;) pause();
}

struct Process {
  pid_t pid = 0;
  uint16_t port = 0;
};

template <class F>
Process Spawn(F&& serve) {
  int ends[2];
  if (pipe(ends) != 0) std::exit(1);
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[0]);
    serve(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  Process p{pid, 0};
  if (read(ends[0], &p.port, sizeof(p.port)) != sizeof(p.port)) {
    fmt::print(stderr, "a process of the benchmark did not start\n");
    std::exit(1);
  }
  close(ends[0]);
  return p;
}

uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  bind(fd, reinterpret_cast<sockaddr*>(&at), size);
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  close(fd);
  return ntohs(at.sin_port);
}

int Connect(uint16_t port, bool quiet = false) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  if (fd < 0 || connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) {
    if (!quiet) fmt::print(stderr, "connect: {}\n", std::strerror(errno));
    if (fd >= 0) close(fd);
    return -1;
  }
  return fd;
}

// HAProxy as its manual would have it for this: HTTP mode, keep-alive and connection reuse on both
// sides, pieces of a stream forwarded at once (http-no-delay), no logging, least-connections
// balance, one thread.
Process SpawnHaproxy(uint16_t upstream) {
  Process p;
  p.port = FreePort();
  char path[] = "/tmp/weir-haproxy-XXXXXX";
  const int fd = mkstemp(path);
  const std::string config = fmt::format(
      "global\n  nbthread 1\n  maxconn 2000\n"
      "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n"
      "  option http-keep-alive\n  option http-no-delay\n  http-reuse always\n"
      "frontend f\n  bind 127.0.0.1:{}\n  default_backend b\n"
      "backend b\n  balance leastconn\n  server s 127.0.0.1:{}\n",
      p.port, upstream);
  if (write(fd, config.data(), config.size()) != static_cast<ssize_t>(config.size())) return {};
  close(fd);
  p.pid = fork();
  if (p.pid == 0) {
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    execlp("haproxy", "haproxy", "-db", "-f", path, nullptr);
    execl("/usr/sbin/haproxy", "haproxy", "-db", "-f", path, nullptr);
    _exit(127);
  }
  for (int i = 0; i < 200; ++i) {
    const int c = Connect(p.port, /*quiet=*/true);
    if (c >= 0) {
      close(c);
      unlink(path);
      return p;
    }
    if (waitpid(p.pid, nullptr, WNOHANG) == p.pid) break;
    usleep(20'000);
  }
  unlink(path);
  return {};
}

double CpuSeconds(pid_t pid) {  // of the process, user and system
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string all((std::istreambuf_iterator<char>(in)), {});
  const size_t after = all.rfind(')');
  if (after == std::string::npos) return 0;
  long user = 0, system = 0;
  std::sscanf(all.c_str() + after + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld",
              &user, &system);
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

int64_t RssKb(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmRSS:")) return std::strtoll(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

// --- the clients
// ----------------------------------------------------------------------------------

std::string Request(std::string_view extra, bool stream) {
  const std::string body = fmt::format(
      R"({{"model":"story","prompt":"Once upon a time, by the river","max_tokens":16,"stream":{}}})",
      stream);
  return fmt::format(
      "POST /v1/completions HTTP/1.1\r\nHost: weir\r\nAuthorization: Bearer bench\r\n"
      "Content-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}",
      extra, body.size(), body);
}

struct Closed {
  double per_s = 0, cpu_us = 0;
  int64_t p50_us = 0, p99_us = 0;
};

int64_t Quantile(std::vector<int64_t>& v, double q) {
  if (v.empty()) return 0;
  const auto at = v.begin() + static_cast<ptrdiff_t>(q * static_cast<double>(v.size() - 1));
  std::nth_element(v.begin(), at, v.end());
  return *at;
}

// kConnections requests always on their way, for `seconds`.
Closed RunClosed(uint16_t port, pid_t pid, double seconds) {
  const std::string request = Request("", false);
  struct C {
    int fd;
    int64_t sent_us;
    size_t got, want;
  };
  std::vector<C> all;
  const int ep = epoll_create1(0);
  const auto ask = [&](C& c) {
    c.sent_us = NowUs();
    c.got = c.want = 0;
    if (send(c.fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) std::exit(1);
  };
  for (int i = 0; i < kConnections; ++i) {
    const int fd = Connect(port);
    if (fd < 0) std::exit(1);
    all.push_back({fd, 0, 0, 0});
    epoll_event ev{.events = EPOLLIN, .data = {.u32 = static_cast<uint32_t>(i)}};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
  }
  std::vector<int64_t> delays;
  char buffer[65536];
  for (C& c : all) ask(c);
  const int64_t warm = NowUs() + 200'000;
  int64_t begin = 0, now = NowUs();
  double cpu = 0;
  while (begin == 0 || now < begin + static_cast<int64_t>(seconds * 1e6)) {
    epoll_event ready[kConnections];
    const int n = epoll_wait(ep, ready, kConnections, 1000);
    now = NowUs();
    if (begin == 0 && now >= warm) {
      begin = now;
      cpu = CpuSeconds(pid);
      delays.clear();
    }
    for (int k = 0; k < n; ++k) {
      C& c = all[ready[k].data.u32];
      const ssize_t r = recv(c.fd, buffer, sizeof(buffer), MSG_DONTWAIT);
      if (r <= 0) {
        if (errno == EAGAIN) continue;
        fmt::print(stderr, "a connection was closed\n");
        std::exit(1);
      }
      if (c.got == 0) {  // the head comes in one piece: answers are small
        const std::string_view text(buffer, static_cast<size_t>(r));
        const size_t end = text.find("\r\n\r\n");
        std::string lower(text.substr(0, end));
        for (char& ch : lower) ch = static_cast<char>(std::tolower(ch));
        if (!lower.starts_with("http/1.1 200")) {
          fmt::print(stderr, "an answer was not 200: {}\n", text.substr(0, 300));
          std::exit(1);
        }
        c.want = end + 4 + std::stoul(lower.substr(lower.find("content-length: ") + 16));
      }
      c.got += static_cast<size_t>(r);
      if (c.got < c.want) continue;
      delays.push_back(NowUs() - c.sent_us);
      ask(c);
    }
  }
  Closed out;
  const double elapsed = static_cast<double>(now - begin) / 1e6;
  out.per_s = static_cast<double>(delays.size()) / elapsed;
  out.cpu_us = (CpuSeconds(pid) - cpu) * 1e6 / static_cast<double>(delays.size());
  out.p50_us = Quantile(delays, 0.5);
  out.p99_us = Quantile(delays, 0.99);
  for (C& c : all) close(c.fd);
  close(ep);
  return out;
}

struct Streamed {
  int64_t p50_us = 0, p99_us = 0;
  size_t events = 0;
};

Streamed RunStreams(uint16_t port, double events_per_s, double seconds) {
  const std::string request =
      Request(fmt::format("X-Mode: events {}\r\n", events_per_s / kStreams), true);
  const int ep = epoll_create1(0);
  std::vector<int> fds;
  std::vector<std::string> kept(kStreams);
  for (int i = 0; i < kStreams; ++i) {
    const int fd = Connect(port);
    if (fd < 0 || send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) std::exit(1);
    fds.push_back(fd);
    epoll_event ev{.events = EPOLLIN, .data = {.u32 = static_cast<uint32_t>(i)}};
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    usleep(500);  // the streams' beats spread out
  }
  std::vector<int64_t> delays;
  char buffer[65536];
  const int64_t warm = NowUs() + 200'000, end = warm + static_cast<int64_t>(seconds * 1e6);
  for (int64_t now = NowUs(); now < end; now = NowUs()) {
    epoll_event ready[kStreams];
    const int n = epoll_wait(ep, ready, kStreams, 100);
    for (int k = 0; k < n; ++k) {
      const uint32_t i = ready[k].data.u32;
      const ssize_t r = recv(fds[i], buffer, sizeof(buffer), MSG_DONTWAIT);
      if (r <= 0) continue;
      now = NowUs();
      std::string& text = kept[i];
      text.append(buffer, static_cast<size_t>(r));
      size_t at = 0, mark;
      while ((mark = text.find("\"us\":", at)) != std::string::npos) {
        const size_t stop = text.find('}', mark);
        if (stop == std::string::npos) break;
        if (now > warm) delays.push_back(now - std::strtoll(text.c_str() + mark + 5, nullptr, 10));
        at = stop;
      }
      text.erase(0, mark == std::string::npos
                        ? std::max(at, text.size() - std::min<size_t>(text.size(), 4))
                        : mark);
    }
  }
  for (const int fd : fds) close(fd);
  close(ep);
  return {Quantile(delays, 0.5), Quantile(delays, 0.99), delays.size()};
}

struct Idle {
  int streams = 0;
  int64_t before_kb = 0, after_kb = 0;
};

// Each stream takes two descriptors of the edge: no more than its limit allows. Every stream must
// have begun with a 200, or it does not count.
Idle RunIdle(const Process& edge, int wanted, int64_t file_limit) {
  constexpr size_t kAhead = 100;  // streams that are being opened at once
  Idle out;
  out.before_kb = RssKb(edge.pid);
  const auto most = static_cast<size_t>(std::min<int64_t>(wanted, (file_limit - 200) / 2));
  const std::string request = Request("X-Mode: idle\r\n", true);
  std::vector<int> fds;
  char buffer[4096];
  const auto begun = [&](int fd) {
    const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
    return n > 0 && std::string_view(buffer, static_cast<size_t>(n)).starts_with("HTTP/1.1 200");
  };
  for (size_t i = 0; i < most + kAhead; ++i) {
    if (i < most) {
      fds.push_back(Connect(edge.port));
      if (fds.back() < 0 || send(fds.back(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
        break;
      }
    }
    if (i >= kAhead) out.streams += begun(fds[i - kAhead]);
  }
  out.after_kb = RssKb(edge.pid);
  for (const int fd : fds) close(fd);
  return out;
}

template <class T>
T Median(std::vector<T> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

std::string CpuModel() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 1.5;
  int rounds = 3, idle = 10'000;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--seconds" && i + 1 < argc)
      seconds = std::atof(argv[++i]);
    else if (flag == "--rounds" && i + 1 < argc)
      rounds = std::max(1, std::atoi(argv[++i]));
    else if (flag == "--idle" && i + 1 < argc)
      idle = std::atoi(argv[++i]);
    else if (flag == "--json")
      json = true;
    else {
      fmt::print(stderr, "usage: {} [--seconds S] [--rounds N] [--idle N] [--json]\n", argv[0]);
      return 2;
    }
  }
  signal(SIGPIPE, SIG_IGN);
  const int64_t file_limit = RaiseLimit();
  const Process stub = Spawn([](int fd) { ServeStub(fd); });
  const Process edge = Spawn([&](int fd) { ServeEdge(fd, stub.port); });
  const Process haproxy = SpawnHaproxy(stub.port);
  struct Way {
    const char* name;
    Process process;
    std::vector<double> per_s, cpu_us;
    std::vector<int64_t> p99, stream_p50, stream_p99;
    size_t events = 0;
  };
  std::vector<Way> ways = {{"direct", stub, {}, {}, {}, {}, {}}};
  if (haproxy.pid > 0) ways.push_back({"haproxy", haproxy, {}, {}, {}, {}, {}});
  ways.push_back({"weir", edge, {}, {}, {}, {}, {}});

  for (int r = 0; r < rounds; ++r) {
    for (Way& w : ways) {
      const Closed c = RunClosed(w.process.port, w.process.pid, seconds);
      w.per_s.push_back(c.per_s);
      w.cpu_us.push_back(c.cpu_us);
      w.p99.push_back(c.p99_us);
    }
  }
  const double half = Median(ways.back().per_s) / 2;
  for (int r = 0; r < rounds; ++r) {
    for (Way& w : ways) {
      const Streamed s = RunStreams(w.process.port, half, seconds);
      w.stream_p50.push_back(s.p50_us);
      w.stream_p99.push_back(s.p99_us);
      w.events += s.events;
    }
  }
  const Idle held = RunIdle(edge, idle, file_limit);
  for (const Process& p : {stub, edge, haproxy}) {
    if (p.pid > 0) kill(p.pid, SIGKILL), waitpid(p.pid, nullptr, 0);
  }

  const Way& direct = ways.front();
  const Way& weir = ways.back();
  const double ratio = ways.size() == 3 ? Median(weir.per_s) / Median(ways[1].per_s) : 0;
  if (json) {
    fmt::print("{{\"version\":\"{}\",\"cpu\":\"{}\",\"cores\":{},\"rounds\":{},\"seconds\":{},",
               kVersion, CpuModel(), std::thread::hardware_concurrency(), rounds, seconds);
    for (const Way& w : ways) {
      fmt::print(
          "\"{}\":{{\"requests_per_s\":{:.0f},\"cpu_us_per_request\":{:.2f},\"p99_us\":{},"
          "\"stream_p50_us\":{},\"stream_p99_us\":{}}},",
          w.name, Median(w.per_s), Median(w.cpu_us), Median(w.p99), Median(w.stream_p50),
          Median(w.stream_p99));
    }
    fmt::print(
        "\"ratio_to_haproxy\":{:.3f},\"stream_events_per_s\":{:.0f},"
        "\"stream_added_p99_us\":{},\"idle_streams\":{},\"idle_rss_mb\":{:.1f}}}\n",
        ratio, half, Median(weir.stream_p99) - Median(direct.stream_p99), held.streams,
        static_cast<double>(held.after_kb) / 1024);
    return 0;
  }
  fmt::print("weir {} on {}, {} cores; g++ {}; {} rounds of {} s, alternating\n\n", kVersion,
             CpuModel(), std::thread::hardware_concurrency(), __VERSION__, rounds, seconds);
  fmt::print("small JSON answers, {} connections, {} bytes each\n", kConnections, kAnswer.size());
  fmt::print("{:10}{:>12}{:>24}{:>18}{:>12}\n", "", "requests/s", "(lowest..highest)",
             "proxy CPU us/req", "p99 us");
  for (Way w : ways) {
    std::sort(w.per_s.begin(), w.per_s.end());
    fmt::print("{:10}{:>12.0f}{:>24}{:>18.2f}{:>12}\n", w.name, Median(w.per_s),
               fmt::format("({:.0f}..{:.0f})", w.per_s.front(), w.per_s.back()), Median(w.cpu_us),
               Median(w.p99));
  }
  if (ratio > 0)
    fmt::print("weir / haproxy: {:.2f} (at least 0.70 is asked)\n", ratio);
  else
    fmt::print("haproxy is not installed: `apt-get install haproxy` to compare\n");
  fmt::print("\n{} streams, {:.0f} events/s in sum (half of weir's requests/s)\n", kStreams, half);
  fmt::print("{:10}{:>12}{:>12}{:>14}\n", "", "p50 us", "p99 us", "added p99 us");
  for (const Way& w : ways) {
    fmt::print("{:10}{:>12}{:>12}{:>14}\n", w.name, Median(w.stream_p50), Median(w.stream_p99),
               Median(w.stream_p99) - Median(direct.stream_p99));
  }
  fmt::print("\n{} idle streams: {:.1f} MB resident ({:.1f} before), {:.1f} KB each\n",
             held.streams, static_cast<double>(held.after_kb) / 1024,
             static_cast<double>(held.before_kb) / 1024,
             static_cast<double>(held.after_kb - held.before_kb) / std::max(1, held.streams));
  if (held.streams < idle) {
    fmt::print("(of {} wanted: the limit of {} open files allows no more)\n", idle, file_limit);
  }
  return 0;
}
