// The REST interface: everything under /api/v1, /healthz, /readyz, /metrics and the dashboard's
// files, on any HTTP server's router.
//
//   guard::KeyRing keys;
//   Api api({}, lab, keys, clock);
//   io::HttpRouter router;
//   api.Register(router);
//   io::HttpServer server(options, router.Handler());
//   ...
//   api.Stop();            // first, so that open streams do not hold up the server's drain
//   server.Stop(grace);
//
// Who may call   a key as `Authorization: Bearer KEY`, with the rights of guard/access.h. Without
//                one: what a visitor may do, for callers from this machine's loopback who name it
//                in Host (so that a page elsewhere cannot use a browser here by DNS rebinding), and
//                only while `visitors` is on.
// Threads        requests are checked on the connection's thread and carried out by a few workers
//                with a bounded queue (503 beyond it); streams have a thread of their own.
// Lifetime       lab, keys and clock outlive the Api; the Api outlives the server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "control/lab.h"
#include "io/clock.h"
#include "io/http_router.h"
#include "lab/guard/keys.h"

namespace weir::gateway {

class MetricsText;

struct ApiOptions {
  bool visitors = true;            // metrics without a key from loopback
  std::vector<std::string> hosts;  // names, beside localhost and loopback addresses, that visitors
                                   // may call this server by
  int workers = 3;
  size_t max_waiting = 256;  // requests that wait for a worker
  size_t max_body_bytes = 1 << 20;
  size_t max_streams = 1024;
  Duration stream_interval = Duration::Millis(250);
  Duration heartbeat = Duration::Seconds(15);
};

class Api {
 public:
  // Fills `keys` from the lab.
  Api(ApiOptions options, control::Lab& lab, guard::KeyRing& keys, const io::Clock& clock);
  ~Api();  // Stop()
  // Adds every route, and as the router's fallback the dashboard and the 404 that names the nearest
  // route.
  void Register(io::HttpRouter& router);
  // Something else that /metrics shows. Before the first request; called on worker threads.
  void AddMetrics(std::function<void(MetricsText&)> source);
  // Ends streams, finishes requests that were taken, refuses others.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::gateway
