// Chooses a handler by method and path. Patterns are literal segments and {names}; a last segment
// "{name...}" takes the rest of the path.
//
//   HttpRouter router;
//   router.Add("GET", "/api/v1/jobs/{job}", [](HttpExchangePtr x, const PathParams& p) { ... });
//   HttpServer server(options, router.Handler());
//
// HEAD is served by GET's handler (the server leaves the body out); OPTIONS is answered with Allow.
// An unknown path is a 404 and a known path with another method a 405 with Allow, both problem+json
// unless SetRefusal says otherwise. Threads   Add before Handler(); afterwards the router is
// immutable and shared by the handlers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/http_server.h"

namespace weir::io {

// Decoded {name} -> value, in the order of the pattern.
class PathParams {
 public:
  void Add(std::string name, std::string value) {
    values_.emplace_back(std::move(name), std::move(value));
  }
  // The name must be one of the pattern's: anything else is a bug (CHECK).
  const std::string& operator[](std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> values_;
};

using RouteHandler = std::function<void(HttpExchangePtr, const PathParams&)>;

class HttpRouter {
 public:
  HttpRouter();
  ~HttpRouter();
  void Add(std::string method, std::string_view pattern, RouteHandler handler);
  // What to do instead of 404 (a single-page dashboard, say).
  void SetFallback(HttpHandler fallback);
  void SetRefusal(HttpRefusal refusal);
  HttpHandler Handler() const;
  // "GET /api/v1/jobs/{job}" for every route, in order of Add: for the test against OpenAPI.
  std::vector<std::string> Routes() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir::io
