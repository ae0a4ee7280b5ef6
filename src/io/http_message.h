// HTTP/1.1 messages as values: heads that were received, requests, responses, and their helpers.
// Header names compare without case. Values are bytes as received, trimmed of outer blanks.
// Threads: values like any other.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weir::io {

struct HttpField {
  std::string name, value;
};
using HttpFields = std::vector<HttpField>;

// The fields of a received head: one buffer and offsets, so that a request costs two allocations
// and not two per field.
class HttpHead {
 public:
  void Add(std::string_view name, std::string_view value);
  void Clear();
  size_t field_count() const { return fields_.size(); }
  std::string_view name(size_t i) const;
  std::string_view value(size_t i) const;
  // The first field of that name.
  std::optional<std::string_view> Find(std::string_view name) const;
  // Does a comma-separated field ("Connection: keep-alive, Upgrade") hold this token?
  bool HasToken(std::string_view name, std::string_view token) const;

 private:
  struct Span {
    uint32_t name, name_size, value, value_size;
  };
  std::string text_;
  std::vector<Span> fields_;
};

struct HttpRequest {
  std::string method;  // "GET"
  std::string target;  // as sent: "/v1/models?limit=3"
  HttpHead head;
  std::string body;
  std::string peer;  // numeric address of the client, no port
  bool keep_alive = true;

  std::string_view raw_path() const;   // target before '?'
  std::string_view raw_query() const;  // after it, "" if none
  std::string path() const;            // percent-decoded
  // The first value of a query parameter, percent- and plus-decoded.
  std::optional<std::string> Query(std::string_view name) const;
  std::optional<std::string_view> Header(std::string_view name) const { return head.Find(name); }
  // The token of "Authorization: Bearer TOKEN".
  std::optional<std::string_view> BearerToken() const;
};

struct HttpResponse {
  int status = 200;
  HttpFields headers;  // Content-Length, Connection and Date are the server's business
  std::string body;
};

HttpResponse TextResponse(int status, std::string body,
                          std::string_view content_type = "text/plain; charset=utf-8");
HttpResponse JsonResponse(int status, std::string json);
// RFC 9457 application/problem+json: type, title, status, detail, code, and hint if there is one;
// the status comes from base's table unless given; Retry-After when the error says so.
HttpResponse ProblemResponse(const Error& error, int status = 0);
// How a refusal that no handler wrote is worded: malformed, late or too large requests, unknown
// paths. `target` is as much of the request's as is known, maybe nothing. Unset: ProblemResponse.
// Called from any thread.
using HttpRefusal =
    std::function<HttpResponse(std::string_view target, int status, const Error& error)>;
// One server-sent event: "event: NAME\nid: ID\ndata: LINE\n...\n\n"; empty name or id are left out.
std::string SseEvent(std::string_view data, std::string_view event = {}, std::string_view id = {});

std::string_view ReasonPhrase(int status);
bool EqualsIgnoreCase(std::string_view a, std::string_view b);
// nullopt on a broken escape.
std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_blank = false);
// A JSON string literal with its quotes. Bytes that are not UTF-8 become U+FFFD.
std::string JsonQuote(std::string_view text);

// "http://HOST[:PORT][/PATH]" split; https is refused with a sentence that says so.
struct HttpUrl {
  std::string host;
  uint16_t port = 80;
  std::string path = "/";  // with the query
};
Result<HttpUrl> ParseHttpUrl(std::string_view url);

}  // namespace weir::io
