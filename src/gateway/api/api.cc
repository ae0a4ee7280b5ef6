#include "gateway/api/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "base/logging.h"
#include "base/nearest.h"
#include "gateway/api/assets.h"
#include "gateway/api/metrics.h"
#include "gateway/api/openapi.h"
#include "gateway/api/route.h"
#include "gateway/api/streams.h"
#include "gateway/api/workers.h"

namespace weir::gateway {

namespace {

bool IsLoopback(std::string_view address) {
  return address.starts_with("127.") || address == "::1" || address.starts_with("::ffff:127.");
}

// "localhost:7575" -> "localhost"; "[::1]:7575" -> "[::1]".
std::string_view WithoutPort(std::string_view host) {
  const size_t colon = host.rfind(':');
  const bool inside_brackets = host.find(']', colon == host.npos ? 0 : colon) != host.npos;
  return colon == host.npos || inside_brackets ? host : host.substr(0, colon);
}

void AnswerWith(const io::HttpExchangePtr& x, const Error& error) {
  io::HttpResponse response = io::ProblemResponse(error);
  if (response.status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  response.headers.push_back({"Cache-Control", "no-store"});
  x->Answer(std::move(response));
}

// The path with the segments that a route's {names} stand for filled in from `path`: what the
// caller would have had to write, for measuring how near they were.
std::string FilledIn(std::string_view route, std::string_view path) {
  std::string out;
  while (!route.empty()) {
    const size_t end = std::min(route.find('/', 1), route.size());
    const size_t path_end = std::min(path.find('/', std::min<size_t>(1, path.size())), path.size());
    const std::string_view segment = route.substr(0, end);
    out += segment.starts_with("/{") && path_end > 1 ? path.substr(0, path_end) : segment;
    route.remove_prefix(end);
    path.remove_prefix(path_end);
  }
  return out;
}

Error NoSuchRoute(const io::HttpRequest& request) {
  const std::string path = request.path();
  std::string nearest;
  int best = INT_MAX;
  for (const Route& route : Routes()) {
    const int distance = EditDistance(path, FilledIn(route.path, path));
    if (distance < best) {
      best = distance;
      nearest = route.path;
    }
  }
  return Error(Code::kNotFound, fmt::format("there is nothing at {}", path))
      .Hint(fmt::format("the nearest is {}; all are in /api/v1/openapi.json", nearest));
}

}  // namespace

struct Api::Impl {
  Impl(ApiOptions options_in, control::Lab& lab_in, guard::KeyRing& keys_in,
       const io::Clock& clock_in)
      : options(std::move(options_in)),
        lab(lab_in),
        keys(keys_in),
        clock(clock_in),
        document(OpenApiDocument(Routes()).dump(1) + "\n"),
        context{lab, keys,
                [this](MetricsText& text) {
                  AddLabMetrics(text, *lab.View());
                  text.Gauge("weir_api_streams", "Open streams of the API",
                             static_cast<double>(streams.size()));
                  for (const auto& source : metrics) source(text);
                },
                [this]() -> const std::string& { return document; }},
        streams(lab, clock,
                {.interval = options.stream_interval,
                 .heartbeat = options.heartbeat,
                 .max_streams = options.max_streams}),
        workers(options.workers, options.max_waiting) {
    keys.Replace(lab.Keys());
  }

  Result<guard::Principal> WhoIs(const io::HttpRequest& request, const Route& route) const {
    if (const auto token = request.BearerToken()) return keys.Authenticate(*token, clock.Now());
    if (request.Header("authorization")) {
      return Error(Code::kUnauthenticated, "the Authorization header is not `Bearer KEY`")
          .Hint("send it as `Authorization: Bearer KEY`");
    }
    if (!route.action) return guard::Visitor();
    const std::string_view host = WithoutPort(request.Header("host").value_or(""));
    const bool names_us = host == "localhost" || host == "[::1]" || IsLoopback(host) ||
                          std::ranges::find(options.hosts, host) != options.hosts.end();
    if (options.visitors && IsLoopback(request.peer) && names_us) return guard::Visitor();
    return Error(Code::kUnauthenticated, "a key is needed")
        .Hint("send it as `Authorization: Bearer KEY`; `weir key create` makes one");
  }

  // Everything that can be checked without waiting for anything.
  Result<std::shared_ptr<Call>> Check(const Route& route, io::HttpRequest& request,
                                      const io::PathParams& params) const {
    const guard::Principal who = TRY(WhoIs(request, route));
    if (route.action) TRY(guard::AuthorizeAtAll(who, *route.action));
    const size_t most = std::max(options.max_body_bytes, route.max_body_bytes);
    if (request.body.size() > most) {
      return Error(Code::kTooLarge, fmt::format("the body has {} bytes; at most {} are taken",
                                                request.body.size(), most))
          .Hint("send less; data is registered by its folder, not sent");
    }
    const bool takes_body = !route.request_type.empty();
    if (!takes_body && !request.body.empty()) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{} {} takes no body", route.method, route.path))
          .Hint("leave the body out");
    }
    if (takes_body && request.body.empty() && !route.body_may_be_empty) {
      return Error(Code::kInvalidArgument, "the body is missing")
          .Hint(fmt::format("send JSON, such as {}", route.example.dump()));
    }
    auto call = std::make_shared<Call>(context, who, clock.Now(), route.action);
    call->query = TRY(Query::Parse(request.raw_query(), route.query));
    call->body = std::move(request.body);
    for (const std::string& name : PathParamsOf(route.path)) call->path[name] = params[name];
    return call;
  }

  void CarryOut(const Route& route, const io::HttpExchangePtr& x, Call& call) {
    Result<Reply> reply = Error(Code::kInternal, "not answered");
    try {
      reply = route.handle(call);
    } catch (const std::exception& e) {
      log::error("{} {}: {}", route.method, route.path, e.what());
      reply = Error(Code::kInternal, "something unexpected went wrong here")
                  .Hint("the server's log has the details");
    }
    if (!reply) return AnswerWith(x, reply.error());
    // A role that has the action on its own things only must have been asked about which.
    CHECK_MSG(!route.action || call.allow_was_asked() ||
                  guard::PermissionOf(*route.action).grant[static_cast<int>(call.who.who)] ==
                      guard::Grant::kAny,
              "{} {} did not ask for permission", route.method, route.path);
    if (reply->stream) return streams.Add(x, std::move(reply->stream));
    io::HttpResponse response{.status = reply->status,
                              .headers = std::move(reply->headers),
                              .body = std::move(reply->body)};
    if (!reply->content_type.empty())
      response.headers.push_back({"Content-Type", std::move(reply->content_type)});
    response.headers.push_back({"Cache-Control", "no-store"});
    response.headers.push_back({"X-Content-Type-Options", "nosniff"});
    x->Answer(std::move(response));
  }

  void Accept(const Route& route, io::HttpExchangePtr x, const io::PathParams& params) {
    Result<std::shared_ptr<Call>> call = Check(route, x->request(), params);
    if (!call) return AnswerWith(x, call.error());
    if (route.quick) return CarryOut(route, x, **call);
    if (!workers.Submit([this, &route, x, call = *call] { CarryOut(route, x, *call); })) {
      AnswerWith(x, Error(Code::kUnavailable, "too many requests wait here already")
                        .Hint("ask again in a second")
                        .RetryAfter(1));
    }
  }

  const ApiOptions options;
  control::Lab& lab;
  guard::KeyRing& keys;
  const io::Clock& clock;
  const std::string document;
  std::vector<std::function<void(MetricsText&)>> metrics;
  const ApiContext context;
  Streams streams;
  Workers workers;  // last: stops first
};

Api::Api(ApiOptions options, control::Lab& lab, guard::KeyRing& keys, const io::Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), lab, keys, clock)) {}

Api::~Api() { Stop(); }

void Api::Register(io::HttpRouter& router) {
  Impl* impl = impl_.get();
  for (const Route& route : Routes()) {
    router.Add(route.method, route.path,
               [impl, &route](io::HttpExchangePtr x, const io::PathParams& params) {
                 impl->Accept(route, std::move(x), params);
               });
  }
  router.SetFallback([](io::HttpExchangePtr x) {
    const io::HttpRequest& request = x->request();
    const std::string path = request.path();
    const bool is_asset = (request.method == "GET" || request.method == "HEAD") &&
                          !path.starts_with("/api") && !path.starts_with("/v1");
    if (is_asset) return x->Answer(AnswerAsset(request));
    AnswerWith(x, NoSuchRoute(request));
  });
}

void Api::AddMetrics(std::function<void(MetricsText&)> source) {
  impl_->metrics.push_back(std::move(source));
}

void Api::Stop() {
  impl_->workers.Stop();
  impl_->streams.Stop();
}

}  // namespace weir::gateway
