#include "io/ports.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/files.h"

namespace weir::io {

Result<int> FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "cannot make", "a socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool found =
      ::bind(fd, generic, sizeof address) == 0 && ::getsockname(fd, generic, &size) == 0;
  const int reason = errno;
  ::close(fd);
  if (!found) return ErrnoError(reason, "cannot find", "a free port");
  return static_cast<int>(ntohs(address.sin_port));
}

}  // namespace weir::io
