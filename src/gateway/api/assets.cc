#include "gateway/api/assets.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace weir::gateway {

namespace {

constexpr std::string_view kNotBuilt =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Weir</title>\n"
    "<h1>Weir runs; its dashboard was not built</h1>\n"
    "<p>The dashboard is made of <code>web/</code> by npm and embedded in the program:\n"
    "<pre>cd web &amp;&amp; npm ci &amp;&amp; npm run build\ncmake --build build</pre>\n"
    "<p>Everything it shows is also at <code>weir status</code>, <code>weir top</code> and\n"
    "<a href=\"/api/v1/openapi.json\">the API</a>.\n";

// The page may load and call what comes from this server, and nothing else; nobody may frame it.
const io::HttpFields& SecurityHeaders() {
  static const io::HttpFields kHeaders = {
      {"Content-Security-Policy",
       "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
       "form-action 'self'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
  };
  return kHeaders;
}

const Asset* FindAsset(std::span<const Asset> assets, std::string_view path) {
  const auto it = std::ranges::lower_bound(assets, path, {}, &Asset::path);
  return it != assets.end() && it->path == path ? &*it : nullptr;
}

}  // namespace

std::string_view ContentTypeOf(std::string_view path) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".png", "image/png"},
      {".ico", "image/x-icon"},
      {".json", "application/json"},
      {".webmanifest", "application/manifest+json"},
      {".woff2", "font/woff2"},
      {".txt", "text/plain; charset=utf-8"},
  };
  for (const auto& [ending, type] : kTypes) {
    if (path.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

io::HttpResponse AnswerAsset(const io::HttpRequest& request, std::span<const Asset> assets) {
  const std::string path = request.path();
  io::HttpResponse response{.headers = SecurityHeaders()};
  const std::string_view last = std::string_view(path).substr(path.rfind('/') + 1);
  const bool is_page =
      last.find('.') == last.npos &&
      request.Header("accept").value_or("text/html").find("text/html") != std::string_view::npos;
  const Asset* asset = FindAsset(assets, path);
  if (!asset && (path == "/" || is_page)) {
    asset = FindAsset(assets, "/index.html");
    if (!asset && path == "/") {
      response.headers.push_back({"Content-Type", "text/html; charset=utf-8"});
      response.headers.push_back({"Cache-Control", "no-store"});
      response.body = kNotBuilt;
      return response;
    }
  }
  if (!asset) {
    return io::ProblemResponse(Error(Code::kNotFound, fmt::format("there is nothing at {}", path))
                                   .Hint("the dashboard is at /, the API at /api/v1"));
  }
  // Files whose names carry a hash of their content never change.
  const bool forever = asset->path.starts_with("/assets/");
  response.headers.push_back(
      {"Cache-Control", forever ? "public, max-age=31536000, immutable" : "no-cache"});
  response.headers.push_back({"ETag", std::string(asset->etag)});
  if (request.Header("if-none-match") == asset->etag) {
    response.status = 304;
    return response;
  }
  response.headers.push_back({"Content-Type", std::string(ContentTypeOf(asset->path))});
  response.body = asset->bytes;
  return response;
}

}  // namespace weir::gateway
