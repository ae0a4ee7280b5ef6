// The OpenAI-compatible edge: what stands between clients and replicas.
//
//   GET  /v1/models, /v1/models/{model}      the services that speak OpenAI's API
//   POST /v1/completions, /v1/chat/completions, /v1/responses, /v1/embeddings, /tokenize, ...
//                                            to the service that "model" names
//   any  /services/{service}/{path}          to a service that speaks plain HTTP
//
//   key -> principal -> service (model name or alias) -> [queue] -> replica -> answer, byte for
//   byte
//
// The body is scanned once, for validity, "model" and "stream"; it is not parsed further and not
// changed; the replica is told whose it is (Weir-Key, Weir-Tier), for its fair share. Errors of the
// edge itself come in OpenAI's shape: 400 invalid JSON, 401 invalid_api_key, 403, 404
// model_not_found, 429 with Retry-After, 502/504 when a replica is lost or hangs. Answers of a
// replica, errors included, are passed on as they are.
//
// Why the transport is src/io's own server and client rather than a proxy beside us: the edge must
// know which request is where, to balance by outstanding work, to free a slot when a client leaves,
// and to tell the control loop at once; and bench/gateway shows what it costs beside HAProxy.
//
// Threads   Handle on the loops of `loops`; everything else from any thread.
// Lifetime  create it after the HttpServer whose loops it uses and destroy it after that server's
//           Stop() and before the server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gateway/edge/auth.h"
#include "gateway/edge/routing.h"
#include "io/http_server.h"
#include "wire/traffic.h"

namespace weir::gateway {

struct EdgeOptions {
  size_t max_idle_per_replica = 256;  // kept connections, per loop
};

class Edge {
 public:
  // `trouble`: a replica failed (unreachable, closed, hung). Called from any loop, must not block.
  using Trouble = std::function<void(const std::string& service, const std::string& replica,
                                     const Error& error)>;
  Edge(io::LoopThreads& loops, EdgeOptions options, std::shared_ptr<Authenticator> authenticator,
       Trouble trouble = {});
  ~Edge();
  Edge(const Edge&) = delete;
  Edge& operator=(const Edge&) = delete;

  // Is this path (or target) the edge's? Then give it to Handle.
  static bool Owns(std::string_view path);
  // For HttpServerOptions: what is refused before anybody handles it, in OpenAI's shape where the
  // target is the edge's, problem+json elsewhere.
  static io::HttpResponse Refusal(std::string_view target, int status, const Error& error);
  void Handle(io::HttpExchangePtr exchange);

  // Replaces the whole table. Requests in flight keep the replica they have.
  void SetRoutes(std::shared_ptr<const RoutingTable> table);
  // Of every service ever routed, by name.
  std::vector<wire::ServiceTraffic> Traffic() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::gateway
