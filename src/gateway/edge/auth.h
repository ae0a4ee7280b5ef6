// Who is asking: the edge's view of keys. The implementation lives with the keys (lab/guard); the
// edge caches what it says for EdgeOptions::key_cache_ttl, so a revoked key works at most that
// long.
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
