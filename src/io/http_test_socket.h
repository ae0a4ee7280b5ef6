// For tests: a plain blocking socket that sends and reads bytes exactly as told, so that a test can
// be the rude client or the dying upstream that a library would not let it be.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace weir::io {

class TestSocket {
 public:
  TestSocket() = default;
  explicit TestSocket(int fd) : fd_(fd) {
    const timeval limit{20, 0};  // a test that hangs fails instead
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  static TestSocket Connect(uint16_t port, int receive_buffer = 0) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) {
      setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) {
      close(fd);
      return TestSocket();
    }
    return TestSocket(fd);
  }
  ~TestSocket() { Close(); }
  TestSocket(TestSocket&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  TestSocket& operator=(TestSocket&& o) noexcept {
    Close();
    fd_ = std::exchange(o.fd_, -1);
    return *this;
  }
  bool ok() const { return fd_ >= 0; }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }
  // Closes so that the other side gets a reset.
  void Reset() {
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    Close();
  }
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Up to `most` bytes; "" at the end or on an error.
  std::string ReadSome(size_t most = 64 << 10) {
    std::string out(most, '\0');
    const ssize_t n = recv(fd_, out.data(), most, 0);
    out.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return out;
  }
  // Until `mark` has come (included) or the other side ends.
  std::string ReadUntil(std::string_view mark) {
    while (kept_.find(mark) == std::string::npos) {
      const std::string more = ReadSome();
      if (more.empty()) return std::exchange(kept_, {});
      kept_ += more;
    }
    const size_t end = kept_.find(mark) + mark.size();
    std::string out = kept_.substr(0, end);
    kept_.erase(0, end);
    return out;
  }
  std::string ReadAll() {
    std::string out = std::exchange(kept_, {});
    for (std::string more = ReadSome(); !more.empty(); more = ReadSome()) out += more;
    return out;
  }
  // A whole answer that has a Content-Length.
  std::string ReadAnswer() {
    std::string out = ReadUntil("\r\n\r\n");
    const size_t at = out.find("Content-Length: ");
    if (at == std::string::npos) return out;
    const size_t length = std::stoul(out.substr(at + 16));
    while (kept_.size() < length) {
      const std::string more = ReadSome();
      if (more.empty()) break;
      kept_ += more;
    }
    out += kept_.substr(0, length);
    kept_.erase(0, length);
    return out;
  }

 private:
  int fd_ = -1;
  std::string kept_;
};

// A listening socket on a free port, for a stub upstream that is written out in the test.
class TestListener {
 public:
  TestListener() {
    fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(at);
    if (bind(fd_, reinterpret_cast<sockaddr*>(&at), size) == 0 && listen(fd_, 64) == 0 &&
        getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size) == 0) {
      port_ = ntohs(at.sin_port);
    }
  }
  ~TestListener() { Close(); }
  TestListener(const TestListener&) = delete;
  TestListener& operator=(const TestListener&) = delete;
  uint16_t port() const { return port_; }
  TestSocket Accept() { return TestSocket(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC)); }
  // Is somebody waiting to be accepted within `ms`?
  bool Waiting(int ms) {
    pollfd p{fd_, POLLIN, 0};
    return poll(&p, 1, ms) == 1;
  }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
  uint16_t port_ = 0;
};

}  // namespace weir::io
