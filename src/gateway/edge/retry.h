// May a request that failed at one replica be given to another? Only when nothing of it was begun:
// an answer that was half computed, or half sent, is never asked for twice.
//
//   failed                                            may go elsewhere
//   no connection (refused, unreachable, timeout)     yes
//   a kept connection was closed before any byte      once: a replica that stops or drops an idle
//                                                     connection closes it just as our request
//                                                     leaves, and then has not read it
//   a new connection was closed before any byte       no: it may have died of this very request
//   no answer in time                                 no: it may still be computing
//   503 with nothing else                             yes: a replica says so before it starts
//   the answer had begun                              no
//
// Pure.
#pragma once

#include "base/result.h"
#include "io/http_client.h"

namespace weir::gateway {

inline constexpr int kMaxAttempts = 3;

inline bool MayRetry(io::HttpProgress progress, Code code, bool reused_connection, int attempts,
                     bool retried_after_close) {
  if (attempts >= kMaxAttempts) return false;
  switch (progress) {
    case io::HttpProgress::kNotConnected:
      return true;
    case io::HttpProgress::kNoResponse:
      return code != Code::kDeadlineExceeded && reused_connection && !retried_after_close;
    case io::HttpProgress::kResponse:
      return false;
  }
  return false;
}

inline bool MayRetryStatus(int status, int attempts) {
  return status == 503 && attempts < kMaxAttempts;
}

}  // namespace weir::gateway
