// Who is asking: the edge's view of keys. The implementation lives with the keys (lab/guard) and is
// asked for every request: a hash and a look into a map, and a revoked or expired key is refused
// from that moment on.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::gateway {

struct Principal {
  std::string name;                   // of the key: fairness is between these
  int tier = 0;                       // 0 is shed last
  std::vector<std::string> services;  // that it may call; empty: every one

  bool MayCall(std::string_view service) const {
    return services.empty() ||
           std::find(services.begin(), services.end(), service) != services.end();
  }
};

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // Any thread, must not block long. kUnauthenticated for no such key, an expired or revoked one.
  virtual Result<Principal> Authenticate(std::string_view key) = 0;
};

}  // namespace weir::gateway
