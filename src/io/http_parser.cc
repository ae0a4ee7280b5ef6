#include "io/http_parser.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <optional>

#include "base/check.h"

namespace weir::io {

namespace http = boost::beast::http;
using boost::beast::error_code;
using Text = boost::beast::string_view;

namespace {
std::string_view View(Text text) { return {text.data(), text.size()}; }
}  // namespace

struct HttpParser::Base {
  virtual ~Base() = default;
  virtual size_t Put(std::string_view bytes, error_code& ec) = 0;
  virtual void PutEof(error_code& ec) = 0;
  virtual void Reset(bool head_only) = 0;

  HttpHead* head = nullptr;
  std::string* method = nullptr;
  std::string* target = nullptr;
  int* status = nullptr;
  int* version = nullptr;
  std::string* body = nullptr;  // of the Feed that is running
  uint64_t max_body = 0, body_bytes = 0;
  int error_status = 400;
  bool started = false, head_done = false, done = false, keep_alive = false, chunked = false,
       need_eof = false;
  int64_t content_length = -1;
};

template <bool kIsRequest>
struct HttpParser::Machine : HttpParser::Base {
  struct Parser : http::basic_parser<kIsRequest> {
    explicit Parser(Machine& machine) : m(machine) {}
    void on_request_impl(http::verb, Text method_text, Text target_text, int v,
                         error_code&) override {
      m.method->assign(method_text.data(), method_text.size());
      m.target->assign(target_text.data(), target_text.size());
      *m.version = v;
    }
    void on_response_impl(int code, Text, int v, error_code&) override {
      *m.status = code;
      *m.version = v;
    }
    void on_field_impl(http::field, Text name, Text value, error_code&) override {
      // A trailer after a chunked body must not pass for a field of the head.
      if (!m.head_done) m.head->Add(View(name), View(value));
    }
    void on_header_impl(error_code&) override {}
    void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
    size_t Take(Text piece, error_code& ec) {
      m.body_bytes += piece.size();
      if (m.body_bytes > m.max_body) {
        ec = http::error::body_limit;
        return 0;
      }
      m.body->append(piece.data(), piece.size());
      return piece.size();
    }
    size_t on_body_impl(Text piece, error_code& ec) override { return Take(piece, ec); }
    void on_chunk_header_impl(std::uint64_t, Text, error_code&) override {}
    size_t on_chunk_body_impl(std::uint64_t, Text piece, error_code& ec) override {
      return Take(piece, ec);
    }
    void on_finish_impl(error_code&) override {}
    Machine& m;
  };

  explicit Machine(const Limits& l) : limits(l) { Machine::Reset(false); }

  void Reset(bool head_only) override {
    parser.emplace(*this);
    parser->header_limit(static_cast<uint32_t>(limits.max_head_bytes));
    parser->body_limit(boost::none);  // ours, below: it may change once the head is known
    if (head_only) parser->skip(true);
    max_body = limits.max_body_bytes;
    body_bytes = 0;
    error_status = 400;
    started = head_done = done = keep_alive = chunked = need_eof = false;
    content_length = -1;
  }
  size_t Put(std::string_view bytes, error_code& ec) override {
    parser->eager(head_done);
    const size_t n = parser->put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
    if (!head_done && parser->is_header_done()) {
      head_done = true;
      keep_alive = parser->keep_alive();
      chunked = parser->chunked();
      need_eof = parser->need_eof();
      const auto length = parser->content_length();
      if (length && *length <= static_cast<uint64_t>(INT64_MAX)) {
        content_length = static_cast<int64_t>(*length);
      }
    }
    done = parser->is_done();
    return n;
  }
  void PutEof(error_code& ec) override {
    parser->put_eof(ec);
    done = !ec;
  }

  Limits limits;
  std::optional<Parser> parser;
};

HttpParser::HttpParser(Kind kind, Limits limits) : kind_(kind), limits_(limits) {
  CHECK(limits.max_head_bytes < UINT32_MAX);
  if (kind == Kind::kRequest) {
    machine_ = std::make_unique<Machine<true>>(limits);
  } else {
    machine_ = std::make_unique<Machine<false>>(limits);
  }
  machine_->head = &head;
  machine_->method = &method;
  machine_->target = &target;
  machine_->status = &status;
  machine_->version = &version;
}

HttpParser::~HttpParser() = default;

void HttpParser::Reset(bool head_only) {
  head.Clear();
  status = 0;
  machine_->Reset(head_only);
}

Result<size_t> HttpParser::Feed(std::string_view bytes, std::string& body) {
  size_t blanks = 0;
  if (!machine_->started) {  // RFC 9112 2.2: empty lines before a request line are to be ignored
    while (blanks < bytes.size() && (bytes[blanks] == '\r' || bytes[blanks] == '\n')) ++blanks;
    bytes.remove_prefix(blanks);
  }
  if (bytes.empty() || machine_->done) return blanks;
  machine_->started = true;
  machine_->body = &body;
  error_code ec;
  const size_t n = machine_->Put(bytes, ec);
  if (!ec || ec == http::error::need_more) return blanks + n;
  if (ec == http::error::header_limit) {
    machine_->error_status = 431;
    return Error(Code::kTooLarge, fmt::format("the head of the {} is longer than {} bytes",
                                              kind_ == Kind::kRequest ? "request" : "response",
                                              limits_.max_head_bytes))
        .Hint("send fewer or shorter header fields");
  }
  if (ec == http::error::body_limit) {
    machine_->error_status = 413;
    return Error(Code::kTooLarge,
                 fmt::format("the body is longer than {} bytes", machine_->max_body));
  }
  machine_->error_status = 400;
  return Error(Code::kInvalidArgument, "malformed HTTP message: " + ec.message());
}

Status HttpParser::FeedEnd() {
  if (machine_->done) return {};
  error_code ec = http::error::partial_message;
  if (machine_->head_done) machine_->PutEof(ec);
  if (ec) {
    return Error(Code::kUnavailable, machine_->head_done
                                         ? "the connection was closed in the middle of the body"
                                         : "the connection was closed before the head was whole");
  }
  return {};
}

bool HttpParser::started() const { return machine_->started; }
bool HttpParser::head_done() const { return machine_->head_done; }
bool HttpParser::done() const { return machine_->done; }
bool HttpParser::keep_alive() const { return machine_->keep_alive; }
bool HttpParser::chunked() const { return machine_->chunked; }
int64_t HttpParser::content_length() const { return machine_->content_length; }
bool HttpParser::need_eof() const { return machine_->need_eof; }
void HttpParser::SetMaxBody(uint64_t bytes) { machine_->max_body = bytes; }
int HttpParser::error_status() const { return machine_->error_status; }

}  // namespace weir::io
