#include "io/http_router.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace weir::io {

namespace {

std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> out;
  path.remove_prefix(path.starts_with('/') ? 1 : 0);
  for (;;) {
    const size_t slash = path.find('/');
    out.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return out;
    path.remove_prefix(slash + 1);
  }
}

struct Segment {
  enum class Kind { kLiteral, kName, kRest } kind;
  std::string text;
};

struct Route {
  std::string method, pattern;
  std::vector<Segment> segments;
  RouteHandler handler;
};

std::optional<PathParams> Match(const Route& route, const std::vector<std::string_view>& path) {
  PathParams params;
  for (size_t i = 0; i < route.segments.size(); ++i) {
    const Segment& segment = route.segments[i];
    if (segment.kind == Segment::Kind::kRest) {
      std::string rest;
      for (size_t k = i; k < path.size(); ++k) {
        const auto part = PercentDecode(path[k]);
        if (!part) return std::nullopt;
        rest += (k > i ? "/" : "") + *part;
      }
      params.Add(segment.text, std::move(rest));
      return params;
    }
    if (i >= path.size()) return std::nullopt;
    auto part = PercentDecode(path[i]);
    if (!part) return std::nullopt;
    if (segment.kind == Segment::Kind::kLiteral) {
      if (*part != segment.text) return std::nullopt;
    } else {
      if (part->empty()) return std::nullopt;
      params.Add(segment.text, std::move(*part));
    }
  }
  if (route.segments.size() != path.size()) return std::nullopt;
  return params;
}

}  // namespace

const std::string& PathParams::operator[](std::string_view name) const {
  const auto it = std::find_if(values_.begin(), values_.end(),
                               [&](const auto& pair) { return pair.first == name; });
  CHECK_MSG(it != values_.end(), "the route has no {{{}}}", name);
  return it->second;
}

struct HttpRouter::Impl {
  std::vector<Route> routes;
  HttpHandler fallback;
  HttpRefusal refusal;

  HttpResponse Refuse(const HttpRequest& request, int status, const Error& error) const {
    return refusal ? refusal(request.target, status, error) : ProblemResponse(error, status);
  }

  void Handle(HttpExchangePtr x) const {
    const HttpRequest& request = x->request();
    const auto path = Segments(request.raw_path());
    const std::string_view wanted =
        request.method == "HEAD" ? std::string_view("GET") : std::string_view(request.method);
    std::vector<std::string_view> allowed;
    for (const Route& route : routes) {
      const auto params = Match(route, path);
      if (!params) continue;
      if (route.method == wanted) return route.handler(std::move(x), *params);
      allowed.push_back(route.method);
    }
    if (allowed.empty()) {
      if (fallback) return fallback(std::move(x));
      return x->Answer(
          Refuse(request, 404,
                 Error(Code::kNotFound, fmt::format("there is nothing at {}", request.path()))));
    }
    if (std::find(allowed.begin(), allowed.end(), "GET") != allowed.end()) {
      allowed.push_back("HEAD");
    }
    allowed.push_back("OPTIONS");
    const std::string allow = fmt::format("{}", fmt::join(allowed, ", "));
    if (request.method == "OPTIONS") return x->Answer({204, {{"Allow", allow}}, ""});
    HttpResponse response =
        Refuse(request, 405,
               Error(Code::kInvalidArgument, fmt::format("{} is not offered at {}; {} is",
                                                         request.method, request.path(), allow)));
    response.headers.push_back({"Allow", allow});
    x->Answer(std::move(response));
  }
};

HttpRouter::HttpRouter() : impl_(std::make_shared<Impl>()) {}
HttpRouter::~HttpRouter() = default;

void HttpRouter::Add(std::string method, std::string_view pattern, RouteHandler handler) {
  Route route{std::move(method), std::string(pattern), {}, std::move(handler)};
  for (const std::string_view text : Segments(pattern)) {
    if (!text.starts_with('{')) {
      route.segments.push_back({Segment::Kind::kLiteral, std::string(text)});
      continue;
    }
    CHECK_MSG(text.ends_with('}'), "bad pattern {}", pattern);
    const std::string_view name = text.substr(1, text.size() - 2);
    if (name.ends_with("...")) {
      route.segments.push_back(
          {Segment::Kind::kRest, std::string(name.substr(0, name.size() - 3))});
    } else {
      route.segments.push_back({Segment::Kind::kName, std::string(name)});
    }
  }
  impl_->routes.push_back(std::move(route));
}

void HttpRouter::SetRefusal(HttpRefusal refusal) { impl_->refusal = std::move(refusal); }
void HttpRouter::SetFallback(HttpHandler fallback) { impl_->fallback = std::move(fallback); }

HttpHandler HttpRouter::Handler() const {
  return [impl = impl_](HttpExchangePtr x) { impl->Handle(std::move(x)); };
}

std::vector<std::string> HttpRouter::Routes() const {
  std::vector<std::string> out;
  for (const Route& route : impl_->routes) out.push_back(route.method + " " + route.pattern);
  return out;
}

}  // namespace weir::io
