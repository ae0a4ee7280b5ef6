#include "gateway/edge/edge.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "base/check.h"
#include "gateway/edge/proxy.h"
#include "gateway/edge/scan.h"
#include "gateway/edge/service_state.h"
#include "io/http_client.h"
#include "wire/openai.h"

namespace weir::gateway {

namespace {

constexpr Duration kTick = Duration::Millis(20);

// Paths that certainly exist. Another path may be one that a replica knows: a POST is passed on.
constexpr std::string_view kPosts[] = {"/v1/completions", "/v1/chat/completions",
                                       "/v1/embeddings",  "/v1/responses",
                                       "/tokenize",       "/detokenize"};
bool TakesPost(std::string_view path) {
  return std::find(std::begin(kPosts), std::end(kPosts), path) != std::end(kPosts);
}

io::HttpResponse RefuseAsOpenAi(int status, std::string_view detail) {
  return io::JsonResponse(status, wire::ErrorBody(wire::TransportError(status, detail)));
}

io::HttpResponse InvalidRequest(int status, std::string message, std::string_view code = {},
                                std::string_view param = {}) {
  return OpenAiError(status, std::move(message), "invalid_request_error", code, param);
}

}  // namespace

struct Edge::Impl {
  // A table with the state of each of its services, in the same order.
  struct Routes {
    std::shared_ptr<const RoutingTable> table = std::make_shared<RoutingTable>();
    std::vector<std::shared_ptr<ServiceState>> states;
  };
  // What one loop has for itself: no locks on the way of a request but the service's.
  struct PerLoop {
    PerLoop(io::EventLoop& l, const EdgeOptions& options)
        : loop(l), client(l, {.max_idle_per_upstream = options.max_idle_per_replica}) {}
    io::EventLoop& loop;
    io::HttpClient client;
    std::shared_ptr<const Routes> routes = std::make_shared<Routes>();
  };

  const EdgeOptions options;
  const std::shared_ptr<Authenticator> authenticator;
  const Trouble trouble;
  std::vector<std::unique_ptr<PerLoop>> loops;
  mutable std::mutex mutex;
  std::map<std::string, std::shared_ptr<ServiceState>> services;  // guarded by mutex
  std::unique_ptr<io::Timer> tick;                                // on loops[0]

  PerLoop& Here(const io::EventLoop& loop) {
    for (const auto& l : loops) {
      if (&l->loop == &loop) return *l;
    }
    CheckFailed(__FILE__, __LINE__, "the exchange is on one of the edge's loops", {});
  }

  void Tick() {
    std::vector<std::shared_ptr<ServiceState>> all;
    {
      const std::lock_guard lock(mutex);
      for (const auto& [name, state] : services) all.push_back(state);
    }
    const Duration now = loops[0]->loop.Now();
    for (const auto& state : all) state->Tick(now);
    tick->Start(kTick, [this] { Tick(); });
  }

  void Handle(io::HttpExchangePtr x) {
    const io::HttpRequest& request = x->request();
    PerLoop& here = Here(x->loop());
    const auto key = request.BearerToken();
    if (!key) {
      return x->Answer(InvalidRequest(401,
                                      "no API key was given; send it as "
                                      "`Authorization: Bearer KEY` (see `weir key list`)",
                                      "invalid_api_key"));
    }
    const Result<Principal> who = authenticator->Authenticate(*key);
    if (!who) {
      const bool bad_key = who.error().code() == Code::kUnauthenticated;
      return x->Answer(InvalidRequest(
          InfoOf(who.error().code()).http_status,
          bad_key ? "the API key is not valid: " + who.error().ToString() : who.error().ToString(),
          bad_key ? "invalid_api_key" : InfoOf(who.error().code()).name));
    }
    const std::string_view path = request.raw_path();
    if (path.starts_with("/services/")) return PlainHttp(here, std::move(x), *who);
    if (path == "/v1/models" || path.starts_with("/v1/models/")) {
      return Models(here, std::move(x), *who);
    }
    if (request.method != "POST") {
      if (!TakesPost(path)) {
        return x->Answer(RefuseAsOpenAi(404, fmt::format("there is nothing at {}", path)));
      }
      io::HttpResponse r = RefuseAsOpenAi(
          405, fmt::format("{} is not offered at {}; POST is", request.method, path));
      r.headers.push_back({"Allow", "POST"});
      return x->Answer(std::move(r));
    }
    auto scan = ScanBody(request.body);
    if (!scan) return x->Answer(InvalidRequest(400, scan.error().ToString(), "invalid_json"));
    if (!scan->has_model) {
      return x->Answer(
          InvalidRequest(400, "you must name a model: \"model\" is missing", {}, "model"));
    }
    const Routes& routes = *here.routes;
    const ServiceRoute* route = routes.table->Find(scan->model);
    if (!route || route->api != ServiceApi::kOpenAi) return ModelNotFound(*x, scan->model);
    if (!who->MayCall(route->name)) return MayNot(*x, route->name);
    Pass(here, std::move(x), *who, *route, std::string(request.target),
         scan->stream ? route->first_byte_timeout : route->answer_timeout);
  }

  void PlainHttp(PerLoop& here, io::HttpExchangePtr x, const Principal& who) {
    const std::string_view rest = std::string_view(x->request().target).substr(10);
    const size_t end = std::min(rest.find_first_of("/?"), rest.size());
    const auto name = io::PercentDecode(rest.substr(0, end)).value_or("");
    const ServiceRoute* route = here.routes->table->Find(name);
    if (!route) {
      return x->Answer(InvalidRequest(404, fmt::format("there is no service \"{}\"", name),
                                      "service_not_found"));
    }
    if (!who.MayCall(route->name)) return MayNot(*x, route->name);
    std::string target(rest.substr(end));
    if (!target.starts_with('/')) target.insert(0, "/");
    Pass(here, std::move(x), who, *route, std::move(target), route->answer_timeout);
  }

  static void ModelNotFound(io::HttpExchange& x, std::string_view model) {
    const wire::ApiError error = wire::ModelNotFound(model);
    x.Answer(io::JsonResponse(error.status, wire::ErrorBody(error)));
  }
  static void MayNot(io::HttpExchange& x, std::string_view service) {
    x.Answer(InvalidRequest(403, fmt::format("this key may not call service {}", service),
                            "permission_denied"));
  }

  static void Pass(PerLoop& here, io::HttpExchangePtr x, const Principal& who,
                   const ServiceRoute& route, std::string target, Duration first_byte_timeout) {
    const auto index = static_cast<size_t>(&route - here.routes->table->services.data());
    Proxy::Start(here.client, {.exchange = std::move(x),
                               .service = here.routes->states[index],
                               .service_name = route.name,
                               .who = who,
                               .target = std::move(target),
                               .first_byte_timeout = first_byte_timeout,
                               .idle_timeout = route.idle_timeout});
  }

  static void Models(const PerLoop& here, io::HttpExchangePtr x, const Principal& who) {
    const io::HttpRequest& request = x->request();
    if (request.method != "GET" && request.method != "HEAD") {
      io::HttpResponse r = RefuseAsOpenAi(405, "models can only be read: use GET");
      r.headers.push_back({"Allow", "GET, HEAD"});
      return x->Answer(std::move(r));
    }
    const auto info = [](const ServiceRoute& s) {
      wire::ModelInfo m;
      m.id = s.name;
      m.created_s = s.created_s;
      return m;
    };
    const std::string path = request.path();
    if (path.size() > 11) {
      const std::string name = path.substr(11);  // after "/v1/models/"
      const ServiceRoute* route = here.routes->table->Find(name);
      if (!route || route->api != ServiceApi::kOpenAi || !who.MayCall(route->name)) {
        return ModelNotFound(*x, name);
      }
      return x->Answer(io::JsonResponse(200, wire::ModelBody(info(*route))));
    }
    std::vector<wire::ModelInfo> all;
    for (const ServiceRoute& s : here.routes->table->services) {
      if (s.api == ServiceApi::kOpenAi && who.MayCall(s.name)) all.push_back(info(s));
    }
    x->Answer(io::JsonResponse(200, wire::ModelListBody(all)));
  }
};

Edge::Edge(io::LoopThreads& loops, EdgeOptions options,
           std::shared_ptr<Authenticator> authenticator, Trouble trouble)
    : impl_(new Impl{options, std::move(authenticator), std::move(trouble), {}, {}, {}, {}}) {
  for (size_t i = 0; i < loops.size(); ++i) {
    impl_->loops.push_back(std::make_unique<Impl::PerLoop>(loops.at(i), options));
  }
  impl_->tick = std::make_unique<io::Timer>(loops.at(0));
  loops.at(0).Post([impl = impl_.get()] { impl->Tick(); });
}

Edge::~Edge() = default;

bool Edge::Owns(std::string_view path) {
  path = path.substr(0, path.find('?'));
  return path == "/v1" || path.starts_with("/v1/") || path.starts_with("/services/") ||
         path == "/tokenize" || path == "/detokenize";
}

io::HttpResponse Edge::Refusal(std::string_view target, int status, const Error& error) {
  if (!Owns(target)) return io::ProblemResponse(error, status);
  io::HttpResponse response = RefuseAsOpenAi(status, error.ToString());
  if (const auto s = error.retry_after_s()) {
    response.headers.push_back({"Retry-After", std::to_string(*s)});
  }
  return response;
}

void Edge::Handle(io::HttpExchangePtr exchange) { impl_->Handle(std::move(exchange)); }

void Edge::SetRoutes(std::shared_ptr<const RoutingTable> table) {
  auto routes = std::make_shared<Impl::Routes>();
  routes->table = std::move(table);
  const std::lock_guard lock(impl_->mutex);
  std::map<std::string, bool> routed;
  for (const ServiceRoute& route : routes->table->services) {
    auto& state = impl_->services[route.name];
    if (!state) state = std::make_shared<ServiceState>(route.name, impl_->trouble);
    state->Update(route);
    routes->states.push_back(state);
    routed[route.name] = true;
  }
  for (const auto& [name, state] : impl_->services) {
    if (!routed[name]) state->Update(ServiceRoute{.name = name});  // retired: no replicas
  }
  for (const auto& l : impl_->loops) {
    l->loop.Post([l = l.get(), routes = std::shared_ptr<const Impl::Routes>(routes)] {
      l->routes = routes;
    });
  }
}

std::vector<wire::ServiceTraffic> Edge::Traffic() const {
  const Duration now = impl_->loops[0]->loop.Now();
  std::vector<wire::ServiceTraffic> out;
  const std::lock_guard lock(impl_->mutex);
  for (const auto& [name, state] : impl_->services) out.push_back(state->Snapshot(now));
  return out;
}

}  // namespace weir::gateway
