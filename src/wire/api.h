// The shapes that only the API has, most of them what is asked of it.
// Lists are {"items": [...]} of the lab's own objects: see gateway/api/typed.h.
#pragma once

#include "wire/view.h"

namespace weir::wire {

struct KeyRequest {
  std::string name;
  Role role = Role::kClient;
  std::string team;
  std::string service;
  int64_t tier = 1;
  Duration expires_in = {};
};
template <class V>
void Fields(V& v, Owned<V, KeyRequest>& k) {
  v("name", k.name, "unique; shown wherever this key does something", kRequired);
  v("role", k.role, "admin, member (of a team) or client (of a service)", kRequired);
  v("team", k.team, "members: the team whose work it may change");
  v("service", k.service, "clients: the service it may call; empty = any");
  v("tier", k.tier, "clients: 1..9, 1 is shed last");
  v("expires_in_us", k.expires_in, "0 = never");
}

// A key without the hash of its secret.
struct KeyView {
  std::string name;
  Role role = Role::kClient;
  std::string team;
  std::string service;
  int64_t tier = 1;
  Time created;
  Time expires;
  bool revoked = false;
};
template <class V>
void Fields(V& v, Owned<V, KeyView>& k) {
  v("name", k.name, "", kRequired);
  v("role", k.role, "", kRequired);
  v("team", k.team);
  v("service", k.service);
  v("tier", k.tier);
  v("created_us", k.created);
  v("expires_us", k.expires, "0 = never");
  v("revoked", k.revoked);
}
inline KeyView ViewOf(const Key& k) {
  return {k.name, k.role, k.team, k.service, k.tier, k.created, k.expires, k.revoked};
}

struct CreatedKey {
  KeyView key;
  std::string secret;
};
template <class V>
void Fields(V& v, Owned<V, CreatedKey>& k) {
  v("key", k.key, "", kRequired);
  v("secret", k.secret, "shown here and never again", kRequired);
}

struct ScaleRequest {
  int64_t min_replicas = 0;
  int64_t max_replicas = 0;
};
template <class V>
void Fields(V& v, Owned<V, ScaleRequest>& s) {
  v("min_replicas", s.min_replicas, "", kRequired);
  v("max_replicas", s.max_replicas, "", kRequired);
}

struct CordonRequest {
  std::string why;
};
template <class V>
void Fields(V& v, Owned<V, CordonRequest>& c) {
  v("why", c.why, "shown beside the slot");
}

struct SiteDrain {
  bool draining = true;
  std::string why;
};
template <class V>
void Fields(V& v, Owned<V, SiteDrain>& d) {
  v("draining", d.draining, "false: it takes work again");
  v("why", d.why, "shown beside the site");
}

struct WhoAmI {
  std::string name;
  std::string role;
  std::string team;
  std::string service;
  std::vector<std::string> may;
};
template <class V>
void Fields(V& v, Owned<V, WhoAmI>& w) {
  v("name", w.name, "of the key; visitor without one", kRequired);
  v("role", w.role, "visitor, client, member or admin", kRequired);
  v("team", w.team);
  v("service", w.service);
  v("may", w.may, "permissions; `:own` after those that hold for its own team or service only");
}

struct VersionView {
  std::string version;
  std::string api = "v1";
};
template <class V>
void Fields(V& v, Owned<V, VersionView>& x) {
  v("version", x.version, "of Weir", kRequired);
  v("api", x.api, "", kRequired);
}

}  // namespace weir::wire

WEIR_MESSAGE(weir::wire::KeyRequest);
WEIR_MESSAGE(weir::wire::KeyView);
WEIR_MESSAGE(weir::wire::CreatedKey);
WEIR_MESSAGE(weir::wire::ScaleRequest);
WEIR_MESSAGE(weir::wire::CordonRequest);
WEIR_MESSAGE(weir::wire::SiteDrain);
WEIR_MESSAGE(weir::wire::WhoAmI);
WEIR_MESSAGE(weir::wire::VersionView);
