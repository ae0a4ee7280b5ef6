#include "io/http_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace weir::io {

namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The length of the UTF-8 sequence at the front of `text`, 0 if it is not one (RFC 3629).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
  const unsigned char b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b < 0xE0) return tail(1) ? 2 : 0;
  if (b >= 0xE0 && b < 0xF0) {
    if (!tail(1) || !tail(2)) return 0;
    if (b == 0xE0 && byte(1) < 0xA0) return 0;   // overlong
    if (b == 0xED && byte(1) >= 0xA0) return 0;  // surrogates
    return 3;
  }
  if (b >= 0xF0 && b < 0xF5) {
    if (!tail(1) || !tail(2) || !tail(3)) return 0;
    if (b == 0xF0 && byte(1) < 0x90) return 0;
    if (b == 0xF4 && byte(1) >= 0x90) return 0;  // beyond U+10FFFF
    return 4;
  }
  return 0;
}

}  // namespace

void HttpHead::Add(std::string_view name, std::string_view value) {
  const auto at = static_cast<uint32_t>(text_.size());
  text_.append(name).append(value);
  fields_.push_back({at, static_cast<uint32_t>(name.size()),
                     at + static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size())});
}

void HttpHead::Clear() {
  text_.clear();
  fields_.clear();
}

std::string_view HttpHead::name(size_t i) const {
  return std::string_view(text_).substr(fields_[i].name, fields_[i].name_size);
}

std::string_view HttpHead::value(size_t i) const {
  return std::string_view(text_).substr(fields_[i].value, fields_[i].value_size);
}

std::optional<std::string_view> HttpHead::Find(std::string_view wanted) const {
  for (size_t i = 0; i < fields_.size(); ++i) {
    if (EqualsIgnoreCase(name(i), wanted)) return value(i);
  }
  return std::nullopt;
}

bool HttpHead::HasToken(std::string_view wanted, std::string_view token) const {
  for (size_t i = 0; i < fields_.size(); ++i) {
    if (!EqualsIgnoreCase(name(i), wanted)) continue;
    std::string_view rest = value(i);
    while (!rest.empty()) {
      const size_t comma = std::min(rest.find(','), rest.size());
      if (EqualsIgnoreCase(Trimmed(rest.substr(0, comma)), token)) return true;
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return false;
}

std::string_view HttpRequest::raw_path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

std::string_view HttpRequest::raw_query() const {
  const size_t mark = target.find('?');
  return mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1);
}

std::string HttpRequest::path() const {
  return PercentDecode(raw_path()).value_or(std::string(raw_path()));
}

std::optional<std::string> HttpRequest::Query(std::string_view name) const {
  std::string_view rest = raw_query();
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const size_t equals = std::min(pair.find('='), pair.size());
    if (PercentDecode(pair.substr(0, equals), true) != name) continue;
    const std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    return PercentDecode(value, true).value_or(std::string(value));
  }
  return std::nullopt;
}

std::optional<std::string_view> HttpRequest::BearerToken() const {
  const auto value = Header("Authorization");
  if (!value || value->size() < 7 || !EqualsIgnoreCase(value->substr(0, 7), "Bearer ")) {
    return std::nullopt;
  }
  return Trimmed(value->substr(7));
}

HttpResponse TextResponse(int status, std::string body, std::string_view content_type) {
  return {status, {{"Content-Type", std::string(content_type)}}, std::move(body)};
}

HttpResponse JsonResponse(int status, std::string json) {
  return {status, {{"Content-Type", "application/json"}}, std::move(json)};
}

HttpResponse ProblemResponse(const Error& error, int status) {
  const CodeInfo& info = InfoOf(error.code());
  if (status == 0) status = info.http_status;
  std::string json = fmt::format(
      R"({{"type":"about:blank","title":{},"status":{},"detail":{},"code":{})",
      JsonQuote(ReasonPhrase(status)), status, JsonQuote(error.message()), JsonQuote(info.name));
  if (!error.hint().empty()) json += ",\"hint\":" + JsonQuote(error.hint());
  HttpResponse response{
      status, {{"Content-Type", "application/problem+json"}}, std::move(json) + "}\n"};
  if (error.retry_after_s()) {
    response.headers.push_back({"Retry-After", std::to_string(*error.retry_after_s())});
  }
  if (status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  return response;
}

std::string SseEvent(std::string_view data, std::string_view event, std::string_view id) {
  std::string out;
  out.reserve(data.size() + event.size() + id.size() + 24);
  if (!event.empty()) out.append("event: ").append(event).append("\n");
  if (!id.empty()) out.append("id: ").append(id).append("\n");
  for (;;) {
    const size_t end = data.find('\n');
    out.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  return out.append("\n");
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return status < 400 ? "OK" : "Error";
  }
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return Lower(x) == Lower(y); });
}

std::optional<std::string> PercentDecode(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out += ' ';
    } else if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]), low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string JsonQuote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text[0];
    const size_t length = Utf8Length(text);
    if (length == 0) {
      out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out += '"';
}

Result<HttpUrl> ParseHttpUrl(std::string_view url) {
  const auto wrong = [&](std::string_view why) {
    return Error(Code::kInvalidArgument, fmt::format("\"{}\" is not a usable URL: {}", url, why))
        .Hint("write it as http://HOST:PORT/PATH");
  };
  std::string_view rest = url;
  if (rest.starts_with("https://")) return wrong("https is not offered here, only plain http");
  if (!rest.starts_with("http://")) return wrong("it does not begin with http://");
  rest.remove_prefix(7);
  HttpUrl out;
  const size_t slash = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view authority = rest.substr(0, slash);
  if (slash < rest.size()) out.path = std::string(rest.substr(slash));
  if (out.path[0] == '?') out.path.insert(0, "/");
  if (out.path.find_first_of(" \r\n") != std::string::npos) return wrong("blanks in the path");
  if (authority.find('@') != std::string_view::npos) return wrong("credentials in a URL");
  std::string_view port;
  if (authority.starts_with('[')) {  // [::1]:8080
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return wrong("a '[' without ']'");
    out.host = std::string(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
    if (!port.empty() && port[0] != ':') return wrong("no ':' before the port");
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    out.host = std::string(authority.substr(0, colon));
    port = authority.substr(colon);
  }
  if (out.host.empty()) return wrong("no host");
  if (!port.empty()) {
    port.remove_prefix(1);
    const auto [end, ec] = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (ec != std::errc() || end != port.data() + port.size() || out.port == 0) {
      return wrong("the port is not a number from 1 to 65535");
    }
  }
  return out;
}

}  // namespace weir::io
