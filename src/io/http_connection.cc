#include "io/http_connection.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>

#include "base/logging.h"

namespace weir::io {

namespace {
// How long a refused client may go on sending before the connection is simply closed. Closing with
// unread bytes would reset it, and the client might never see the refusal.
constexpr Duration kLinger = Duration::Seconds(2);
constexpr size_t kKeptCapacity = 4 << 10;  // an idle connection keeps no more buffer than this

// The target of a request line that may be cut anywhere, or that is none.
std::string_view TargetIn(std::string_view head) {
  head.remove_prefix(std::min(head.find_first_not_of("\r\n"), head.size()));
  const size_t begin = head.find(' ');
  if (begin == std::string_view::npos || begin + 1 >= head.size()) return {};
  head.remove_prefix(begin + 1);
  return head.substr(0, head.find_first_of(" \r\n"));
}

void Trim(std::string& buffer) {
  buffer.clear();
  if (buffer.capacity() > kKeptCapacity) std::string().swap(buffer);
}

void AppendField(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ");
  for (const char c : value) out += (c == '\r' || c == '\n') ? ' ' : c;  // no header injection
  out.append("\r\n");
}
}  // namespace

std::string_view ServerLoop::DateNow() {
  const std::time_t now = std::time(nullptr);
  if (now != date_second_) {
    date_second_ = now;
    std::tm parts{};
    gmtime_r(&now, &parts);
    std::strftime(date_, sizeof(date_), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  }
  return date_;
}

// --- the connection -----------------------------------------------------------------------------

ServerConnection::ServerConnection(ServerLoop& server, int fd, std::string peer)
    : Watched(*server.loop, fd),
      server_(server),
      peer_(std::move(peer)),
      parser_(HttpParser::Kind::kRequest,
              {server.options->max_head_bytes, server.options->max_body_bytes}) {}

void ServerConnection::Accept(ServerLoop& server, int fd, std::string peer) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  std::shared_ptr<ServerConnection> self(new ServerConnection(server, fd, std::move(peer)));
  self->index_ = server.connections.size();
  server.connections.push_back(self);
  self->SetDeadline(server.loop->Now() + server.options->head_timeout);
  self->WaitReadable();
}

// Off the loop's list and closed; whoever still points here finds it closed.
void ServerConnection::Unwatch() {
  if (!is_open()) return;
  Close();
  auto& all = server_.connections;
  const std::shared_ptr<ServerConnection> self = std::move(all[index_]);
  all[index_] = std::move(all.back());
  if (all[index_]) all[index_]->index_ = index_;
  all.pop_back();
  server_.counters->connections.fetch_sub(1);
  if (busy_) {
    busy_ = false;
    server_.counters->in_flight.fetch_sub(1);
    if (const auto exchange = exchange_.lock()) {
      if (!exchange->Over()) server_.counters->client_aborts.fetch_add(1);
      exchange->Finish(/*client_gone=*/true);
    }
    kept_.reset();
  }
}

void ServerConnection::Cut() { Unwatch(); }

void ServerConnection::Drain() {
  keep_alive_ = false;
  if (!busy_ && !lingering_ && fresh_) Unwatch();
}

void ServerConnection::OnReadable() {
  std::string& scratch = loop().scratch();
  const ssize_t n = recv(fd(), scratch.data(), scratch.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return WaitReadable();
  if (n <= 0) return Unwatch();
  if (lingering_) return WaitReadable();
  const auto size = static_cast<size_t>(n);
  if (!busy_) {
    if (fresh_) {
      fresh_ = false;
      SetDeadline(loop().Now() + server_.options->head_timeout);
    }
    Advance({scratch.data(), size});
  } else {
    in_.append(scratch, 0, size);
  }
  if (!busy_ || in_.size() <= kMaxAhead) WaitReadable();
}

// Parses what there is and hands out requests, until one is being worked on or bytes are missing.
void ServerConnection::Advance(std::string_view fresh) {
  advancing_ = true;
  if (!in_.empty()) {
    in_.append(fresh);
    fresh = {};
  }
  while (is_open() && !busy_ && !lingering_ && !(in_.empty() && fresh.empty())) {
    const bool stored = !in_.empty();
    const std::string_view data = stored ? std::string_view(in_) : fresh;
    size_t used = 0;
    while (!parser_.done()) {
      const auto n = parser_.Feed(data.substr(used), body_);
      if (!n) {
        Refuse(parser_.error_status(), n.error(), data);
        break;
      }
      used += *n;
      if (parser_.head_done() && !head_checked_ && !HeadIsAcceptable()) break;
      if (*n == 0) break;
    }
    if (stored) {
      in_.erase(0, used);
    } else {
      in_.assign(data.substr(used));
      fresh = {};
    }
    if (!is_open() || lingering_) break;
    if (parser_.done()) {
      Dispatch();
      continue;
    }
    if (in_.size() > server_.options->max_head_bytes + kMaxAhead) {
      Refuse(400, Error(Code::kInvalidArgument, "malformed HTTP message: a line without end"));
    } else if (parser_.head_done()) {
      LimitTransfer(body_.size());
    }
    break;
  }
  if (is_open() && in_.empty()) Trim(in_);
  advancing_ = false;
}

bool ServerConnection::HeadIsAcceptable() {
  head_checked_ = true;
  const auto too_large = [&](uint64_t limit) {
    return Error(Code::kTooLarge, fmt::format("the body has {} bytes; at most {} are taken here",
                                              parser_.content_length(), limit));
  };
  if (parser_.content_length() > static_cast<int64_t>(server_.options->max_body_bytes)) {
    Refuse(413, too_large(server_.options->max_body_bytes));
    return false;
  }
  const auto coding = parser_.head.Find("Transfer-Encoding");
  if (coding && !EqualsIgnoreCase(*coding, "chunked")) {
    Refuse(501, Error(Code::kUnimplemented,
                      fmt::format("transfer coding \"{}\" is not known here", *coding)));
    return false;
  }
  const auto expect = parser_.head.Find("Expect");
  if (expect && !EqualsIgnoreCase(*expect, "100-continue")) {
    Refuse(417, Error(Code::kInvalidArgument, fmt::format("cannot meet \"Expect: {}\"", *expect)));
    return false;
  }
  transfer_began_ = loop().Now();
  if (expect && parser_.version == 11 && !parser_.done()) {
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    Send();
  }
  return is_open();
}

// `bytes` have moved since transfer_began_: how long may the next ones take?
void ServerConnection::LimitTransfer(uint64_t bytes) {
  const auto bonus_us = static_cast<int64_t>(
      static_cast<double>(bytes) * 1e6 /
      static_cast<double>(std::max<size_t>(server_.options->min_bytes_per_second, 1)));
  SetDeadline(transfer_began_ + server_.options->transfer_timeout + Duration::Micros(bonus_us));
}

void ServerConnection::Dispatch() {
  HttpRequest request;
  request.method = std::move(parser_.method);
  request.target = std::move(parser_.target);
  request.head = std::move(parser_.head);
  request.body = std::move(body_);
  request.peer = peer_;
  request.keep_alive = parser_.keep_alive();
  body_.clear();
  keep_alive_ = request.keep_alive && !server_.draining;
  bodyless_ = request.method == "HEAD";
  busy_ = true;
  began_ = complete_ = chunked_ = false;
  length_left_ = -1;
  ClearDeadline();
  server_.counters->requests.fetch_add(1, std::memory_order_relaxed);
  server_.counters->in_flight.fetch_add(1, std::memory_order_relaxed);
  auto exchange =
      std::make_shared<Exchange>(std::static_pointer_cast<ServerConnection>(shared_from_this()),
                                 std::move(request), server_.options->high_water_bytes);
  exchange->self_ = exchange;
  exchange_ = exchange;
  try {
    (*server_.handler)(std::move(exchange));
  } catch (const std::exception& e) {
    // The exchange goes with the stack: an unanswered one sends 500.
    log::error("a request handler threw: {}", e.what());
  }
}

// Answers what was not a request we take, then closes without cutting the answer off.
void ServerConnection::Refuse(int status, const Error& error, std::string_view received) {
  server_.counters->bad_requests.fetch_add(1);
  const std::string_view head = received.empty() ? std::string_view(in_) : received;
  const HttpResponse response =
      Refusal(status, error, parser_.head_done() ? parser_.target : TargetIn(head));
  keep_alive_ = false;
  bodyless_ = false;
  AppendHead(status, response.headers, static_cast<int64_t>(response.body.size()));
  out_ += response.body;
  complete_ = true;
  lingering_ = true;
  Send();
}

HttpResponse ServerConnection::Refusal(int status, const Error& error,
                                       std::string_view target) const {
  const HttpRefusal& words = server_.options->refusal;
  return words ? words(target, status, error) : ProblemResponse(error, status);
}

void ServerConnection::AppendHead(int status, const HttpFields& headers, int64_t length) {
  if (status == 204 || status == 304) bodyless_ = true;
  const bool old = parser_.version == 10;
  out_.reserve(out_.size() + 256 + static_cast<size_t>(std::clamp<int64_t>(length, 0, 1 << 20)));
  fmt::format_to(std::back_inserter(out_), "HTTP/1.1 {} {}\r\nDate: {}\r\n", status,
                 ReasonPhrase(status), server_.DateNow());
  for (const HttpField& field : headers) AppendField(out_, field.name, field.value);
  chunked_ = false;
  if (length >= 0) {
    if (status != 204 && status != 304) {
      fmt::format_to(std::back_inserter(out_), "Content-Length: {}\r\n", length);
    }
  } else if (old) {
    keep_alive_ = false;  // HTTP/1.0 knows no chunks: the end of the connection ends the body
  } else if (status != 204 && status != 304) {
    chunked_ = !bodyless_;
    out_ += "Transfer-Encoding: chunked\r\n";
  }
  if (!keep_alive_) {
    out_ += "Connection: close\r\n";
  } else if (old) {
    out_ += "Connection: keep-alive\r\n";
  }
  out_ += "\r\n";
}

void ServerConnection::Answer(const HttpResponse& response) {
  began_ = true;
  AppendHead(response.status, response.headers, static_cast<int64_t>(response.body.size()));
  if (!bodyless_) out_ += response.body;
  complete_ = true;
  kept_ = exchange_.lock();
  Send();
}

void ServerConnection::Begin(int status, const HttpFields& headers, int64_t length) {
  began_ = true;
  length_left_ = length;
  AppendHead(status, headers, length);
}

void ServerConnection::Write(std::string_view bytes, HttpExchange::Flush flush) {
  if (!bytes.empty() && !bodyless_) {
    if (chunked_) {
      fmt::format_to(std::back_inserter(out_), "{:x}\r\n", bytes.size());
      out_.append(bytes).append("\r\n");
    } else {
      if (length_left_ >= 0) {
        length_left_ -= static_cast<int64_t>(bytes.size());
        if (length_left_ < 0) {
          log::error("an answer is longer than its Content-Length; the connection is cut");
          return Cut();
        }
      }
      out_ += bytes;
    }
  }
  if (flush == HttpExchange::Flush::kNow) Send();
}

void ServerConnection::End() {
  if (length_left_ > 0 && !bodyless_) return Cut();  // shorter than announced: let the client see
  if (chunked_) out_ += "0\r\n\r\n";
  complete_ = true;
  kept_ = exchange_.lock();
  Send();
}

void ServerConnection::Send() {
  while (sent_ < out_.size()) {
    const ssize_t n = send(fd(), out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
    if (n >= 0) {
      sent_ += static_cast<size_t>(n);
      transferred_ += static_cast<uint64_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return Unwatch();
    break;
  }
  const auto exchange = busy_ ? exchange_.lock() : nullptr;
  if (sent_ < out_.size()) {
    if (!blocked_) {
      blocked_ = true;
      transfer_began_ = loop().Now();
      transferred_ = 0;
    }
    if (sent_ >= (256 << 10)) {  // not a copy of the rest for every piece that leaves
      out_.erase(0, sent_);
      sent_ = 0;
    }
    LimitTransfer(transferred_);
    WaitWritable();
  } else {
    sent_ = 0;
    out_.clear();
    if (blocked_) {
      blocked_ = false;
      if (busy_) ClearDeadline();
    }
  }
  const size_t left = out_.size() - sent_;
  if (exchange) {
    exchange->buffered_.store(left, std::memory_order_relaxed);
    if (exchange->on_drained_ && left < exchange->high_water_ / 2) {
      const auto drained = std::move(exchange->on_drained_);
      exchange->on_drained_ = nullptr;
      drained();
      if (!is_open()) return;
    }
  }
  if (complete_ && sent_ == out_.size()) AnswerSent();
}

void ServerConnection::AnswerSent() {
  complete_ = false;
  if (lingering_) {
    Trim(out_);
    shutdown(fd(), SHUT_WR);
    SetDeadline(loop().Now() + kLinger);
    return WaitReadable();
  }
  busy_ = false;
  server_.counters->in_flight.fetch_sub(1, std::memory_order_relaxed);
  if (const auto exchange = exchange_.lock()) exchange->Finish(/*client_gone=*/false);
  exchange_.reset();
  kept_.reset();
  if (!keep_alive_ || server_.draining) return Unwatch();
  Trim(out_);
  parser_.Reset();
  head_checked_ = false;
  fresh_ = in_.empty();
  SetDeadline(loop().Now() +
              (fresh_ ? server_.options->idle_timeout : server_.options->head_timeout));
  if (!advancing_) Advance({});
  WaitReadable();  // reading may have paused for a client that sent far ahead
}

void ServerConnection::OnWritable() { Send(); }

void ServerConnection::OnDeadline() {
  if (lingering_ || blocked_ || fresh_ || busy_) {
    if (blocked_) server_.counters->timeouts.fetch_add(1);
    return Unwatch();
  }
  server_.counters->timeouts.fetch_add(1);
  Refuse(408, Error(Code::kDeadlineExceeded, "the request took too long to arrive"));
}

// --- the exchange -------------------------------------------------------------------------------

Exchange::Exchange(std::shared_ptr<ServerConnection> connection, HttpRequest request,
                   size_t high_water)
    : connection_(std::move(connection)), gate_(connection_->server_.gate) {
  request_ = std::move(request);
  high_water_ = high_water;
}

// Let go of without an answer: 500 if nothing was sent, otherwise a visible cut.
Exchange::~Exchange() {
  if (finished_ || closed()) return;
  const auto settle = [connection = connection_, target = request_.target] {
    if (!connection->is_open() || !connection->busy_ || !connection->exchange_.expired()) return;
    if (connection->complete_) return;  // the answer is on its way out
    if (connection->began_) return connection->Cut();
    connection->Answer(
        connection->Refusal(500, Error(Code::kInternal, "the request was not answered"), target));
  };
  // Posted in any case: the handler may be letting go deep inside a call of the connection.
  gate_->Post(settle);
}

std::shared_ptr<Exchange> Exchange::Self() { return self_.lock(); }

template <class F>
void Exchange::OnLoop(F&& f) {
  if (Over()) return;
  {
    const std::lock_guard lock(gate_->mutex);
    if (!gate_->loop) return;
    if (!gate_->loop->InLoop()) {
      gate_->loop->Post([self = Self(), f = std::forward<F>(f)]() mutable {
        if (!self->Over()) f(*self->connection_);
      });
      return;
    }
  }
  if (!Over()) f(*connection_);
}

void Exchange::Finish(bool client_gone) {
  finished_ = true;
  buffered_.store(0, std::memory_order_relaxed);
  on_drained_ = nullptr;
  const auto gone = std::move(on_closed_);
  on_closed_ = nullptr;
  if (!client_gone) return;
  closed_.store(true, std::memory_order_release);
  if (gone) gone();
}

void Exchange::Answer(HttpResponse response) {
  OnLoop([response = std::move(response)](ServerConnection& c) {
    if (!c.began_) c.Answer(response);
  });
}

void Exchange::Begin(int status, const HttpFields& headers, int64_t length) {
  OnLoop([status, headers, length](ServerConnection& c) {
    if (!c.began_) c.Begin(status, headers, length);
  });
}

void Exchange::Write(std::string_view bytes, Flush flush) {
  if (Over()) return;
  if (connection_->loop().InLoop()) {
    if (connection_->began_ && !connection_->complete_) connection_->Write(bytes, flush);
    return;
  }
  AddBuffered(bytes.size());
  OnLoop([copy = std::string(bytes), flush](ServerConnection& c) {
    if (c.began_ && !c.complete_) c.Write(copy, flush);
  });
}

void Exchange::End() {
  OnLoop([](ServerConnection& c) {
    if (c.began_ && !c.complete_) c.End();
  });
}

void Exchange::Abort() {
  OnLoop([](ServerConnection& c) { c.Cut(); });
}

void Exchange::OnDrained(std::function<void()> drained) {
  OnLoop([this, drained = std::move(drained)](ServerConnection& c) mutable {
    if (c.out_.size() - c.sent_ < high_water_ / 2) return drained();
    on_drained_ = std::move(drained);
  });
}

void Exchange::OnClosed(std::function<void()> closed_callback) {
  if (closed()) return closed_callback();
  if (finished_) return;
  const auto store = [this](std::function<void()> callback) {
    if (closed()) return callback();
    if (!finished_) on_closed_ = std::move(callback);
  };
  if (connection_->loop().InLoop()) return store(std::move(closed_callback));
  gate_->Post([self = Self(), store, callback = std::move(closed_callback)]() mutable {
    store(std::move(callback));
  });
}

}  // namespace weir::io
