// Keys: how they are made, and whose a presented secret is.
//
// A secret is 256 bits of chance (io/secret.h), so a fast hash of it is enough to store and to look
// it up by; the hash that a secret gives is compared in constant time. Secrets are in no log, no
// journal record and no error message.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "lab/guard/access.h"
#include "wire/lab.h"

namespace weir::guard {

struct NewKey {
  wire::Key key;       // to be kept
  std::string secret;  // to be shown once
};
// Fills in hash and created of `wanted` and makes its secret. kInvalidArgument when the role and
// the rest disagree (a member without a team, an admin with one), when the name is not a name or
// when it would be expired at once. Whether team, service and name are free and known is the lab's
// to say.
Result<NewKey> MakeKey(wire::Key wanted, Time now);
// The checks of MakeKey alone.
Status CheckKey(const wire::Key& key, Time now);

// The living keys. Threads: any; Replace swaps the whole set, Authenticate never waits for it.
class KeyRing {
 public:
  KeyRing();
  ~KeyRing();
  void Replace(const std::vector<wire::Key>& keys);
  // kUnauthenticated: not known, revoked or expired (which of these, the sentence says).
  Result<Principal> Authenticate(std::string_view secret, Time now) const;

 private:
  struct Ring;
  std::shared_ptr<const Ring> Current() const;
  mutable std::mutex mutex_;
  std::shared_ptr<const Ring> ring_;  // guarded by mutex_
};

}  // namespace weir::guard
