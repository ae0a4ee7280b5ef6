#include "lab/guard/keys.h"

#include <fmt/format.h>

#include <unordered_map>

#include "base/text.h"
#include "io/secret.h"

namespace weir::guard {

struct KeyRing::Ring {
  std::unordered_map<std::string, wire::Key> by_hash;
};

Status CheckKey(const wire::Key& key, Time now) {
  const auto wrong = [](std::string message, std::string hint) -> Status {
    return Error(Code::kInvalidArgument, std::move(message)).Hint(std::move(hint));
  };
  if (!IsName(key.name)) {
    return wrong(
        "name: a key's name has 1 to 63 letters, digits, '-', '_' or '.', and begins with a "
        "letter or digit",
        "choose one that says who holds the key, such as ci or alice-laptop");
  }
  switch (key.role) {
    case wire::Role::kMember:
      if (key.team.empty()) return wrong("team: a member's key needs a team", "give its `team`");
      break;
    case wire::Role::kAdmin:
    case wire::Role::kClient:
      if (!key.team.empty()) {
        return wrong(fmt::format("team: only a member's key has a team, and this is of role {}",
                                 wire::NameOf(key.role)),
                     "leave `team` out, or choose the role member");
      }
      break;
  }
  if (key.role != wire::Role::kClient && !key.service.empty()) {
    return wrong(fmt::format("service: only a client's key has a service, and this is of role {}",
                             wire::NameOf(key.role)),
                 "leave `service` out, or choose the role client");
  }
  if (key.tier < 1 || key.tier > 9)
    return wrong(fmt::format("tier: {} is not in 1..9", key.tier), "1 is shed last");
  if (key.expires.is_set() && key.expires <= now) {
    return wrong(fmt::format("expires_us: {} has passed", Human(key.expires)),
                 "choose a later time, or 0 for never");
  }
  return {};
}

Result<NewKey> MakeKey(wire::Key wanted, Time now) {
  TRY(CheckKey(wanted, now));
  NewKey made{.key = std::move(wanted), .secret = io::NewKeySecret()};
  made.key.hash = io::HashOfSecret(made.secret);
  made.key.created = now;
  made.key.revoked = false;
  return made;
}

KeyRing::KeyRing() : ring_(std::make_shared<Ring>()) {}
KeyRing::~KeyRing() = default;

void KeyRing::Replace(const std::vector<wire::Key>& keys) {
  auto ring = std::make_shared<Ring>();
  for (const wire::Key& key : keys) {
    if (!key.hash.empty()) ring->by_hash[key.hash] = key;
  }
  const std::lock_guard lock(mutex_);
  ring_ = std::move(ring);
}

std::shared_ptr<const KeyRing::Ring> KeyRing::Current() const {
  const std::lock_guard lock(mutex_);
  return ring_;
}

Result<Principal> KeyRing::Authenticate(std::string_view secret, Time now) const {
  const std::string hash = io::HashOfSecret(secret);
  const std::shared_ptr<const Ring> ring = Current();
  // The map's own comparison may stop early, but what it compares is a hash: knowing some bytes of
  // it tells nothing about a secret that gives it. The comparison that decides is below.
  const auto it = ring->by_hash.find(hash);
  if (it == ring->by_hash.end() || !io::EqualInConstantTime(it->second.hash, hash)) {
    return Error(Code::kUnauthenticated, "the key is not known here")
        .Hint("see `weir key list`; `weir key create` makes one");
  }
  const wire::Key& key = it->second;
  if (key.revoked) {
    return Error(Code::kUnauthenticated, fmt::format("key {} was revoked", key.name))
        .Hint("ask an admin for another: `weir key create`");
  }
  if (key.expires.is_set() && key.expires <= now) {
    return Error(Code::kUnauthenticated,
                 fmt::format("key {} expired at {}", key.name, Human(key.expires)))
        .Hint("ask an admin for another: `weir key create`");
  }
  return Principal{.name = key.name,
                   .who = WhoOf(key.role),
                   .team = key.team,
                   .service = key.service,
                   .tier = key.tier};
}

}  // namespace weir::guard
