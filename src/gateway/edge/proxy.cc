#include "gateway/edge/proxy.h"

#include <fmt/format.h>

#include <array>

#include "gateway/edge/retry.h"
#include "wire/openai.h"

namespace weir::gateway {

namespace {

// RFC 9110 7.6.1: these concern one connection only. Host, length and date are each side's own; the
// key of a client is none of a replica's business, and who the client is says the edge alone.
bool IsPassedOn(std::string_view name) {
  static constexpr std::array<std::string_view, 15> kNot = {"connection",
                                                            "host",
                                                            "content-length",
                                                            "transfer-encoding",
                                                            "authorization",
                                                            "keep-alive",
                                                            "te",
                                                            "trailer",
                                                            "upgrade",
                                                            "expect",
                                                            "date",
                                                            "proxy-authorization",
                                                            "proxy-connection",
                                                            "weir-key",
                                                            "weir-tier"};
  for (const std::string_view n : kNot) {
    if (io::EqualsIgnoreCase(n, name)) return false;
  }
  return true;
}

io::HttpFields PassedOn(const io::HttpHead& head) {
  io::HttpFields out;
  out.reserve(head.field_count());
  for (size_t i = 0; i < head.field_count(); ++i) {
    if (IsPassedOn(head.name(i)) && !head.HasToken("Connection", head.name(i))) {
      out.push_back({std::string(head.name(i)), std::string(head.value(i))});
    }
  }
  return out;
}

}  // namespace

io::HttpResponse OpenAiError(int status, std::string message, std::string_view type,
                             std::string_view code, std::string_view param,
                             std::optional<int> retry_after_s) {
  wire::ApiError error;
  error.status = status;
  error.message = std::move(message);
  error.type = type;
  error.code = code;
  error.param = param;
  error.retry_after_s = retry_after_s;
  io::HttpResponse response = io::JsonResponse(status, wire::ErrorBody(error));
  if (retry_after_s) {
    response.headers.push_back({"Retry-After", std::to_string(*retry_after_s)});
  }
  if (status == 401) response.headers.push_back({"WWW-Authenticate", "Bearer"});
  return response;
}

Proxy::Proxy(io::HttpClient& client, ProxyRequest request)
    : client_(client), r_(std::move(request)), arrived_(r_.exchange->loop().Now()) {}

void Proxy::Start(io::HttpClient& client, ProxyRequest request) {
  const std::shared_ptr<Proxy> self(new Proxy(client, std::move(request)));
  self->r_.exchange->OnClosed([weak = std::weak_ptr<Proxy>(self)] {
    if (const auto p = weak.lock()) p->ClientGone();
  });
  self->Ask(/*first=*/true);
}

void Proxy::Ask(bool first) {
  ServiceState::Admission a = r_.service->Admit(shared_from_this(), r_.who, arrived_, Now(), first);
  ticket_ = a.ticket;
  if (a.granted) return Granted(std::move(a.granted));
  if (a.ticket == 0) Refused(a.refusal, a.retry_after_s);
}

void Proxy::Granted(ReplicaPtr replica) {
  ticket_ = 0;
  if (over_) return r_.service->Release(replica, Now(), /*healthy=*/false);
  replica_ = std::move(replica);
  ++attempts_;
  const io::HttpRequest& request = r_.exchange->request();
  io::HttpCallOptions call;
  call.method = request.method;
  call.host = replica_->route.host;
  call.port = replica_->route.port;
  call.target = r_.target;
  call.headers = PassedOn(request.head);
  call.headers.push_back({"Weir-Key", r_.who.name});
  call.headers.push_back({"Weir-Tier", std::to_string(r_.who.tier)});
  call.body = request.body;  // kept here too: another replica may have to be asked
  call.first_byte_timeout = r_.first_byte_timeout;
  call.idle_timeout = r_.idle_timeout;
  call_ = client_.Start(std::move(call), shared_from_this());
}

void Proxy::Refused(Refusal why, int retry_after_s) {
  ticket_ = 0;
  if (over_) return;
  over_ = true;
  const std::string& name = r_.service_name;
  const std::string again = fmt::format("try again in {} s", retry_after_s);
  switch (why) {
    case Refusal::kTier:
      return r_.exchange->Answer(
          OpenAiError(429,
                      fmt::format("service {} is over its capacity and refuses tier {} for now; {}",
                                  name, r_.who.tier, again),
                      "rate_limit_error", "tier_shed", {}, retry_after_s));
    case Refusal::kQueueFull:
      return r_.exchange->Answer(
          OpenAiError(429, fmt::format("the queue of service {} is full; {}", name, again),
                      "rate_limit_error", "queue_full", {}, retry_after_s));
    case Refusal::kWaitedTooLong:
      return r_.exchange->Answer(OpenAiError(
          429, fmt::format("no replica of service {} came free in time; {}", name, again),
          "rate_limit_error", "queue_timeout", {}, retry_after_s));
    case Refusal::kNoReplicas:
      return r_.exchange->Answer(
          OpenAiError(503, fmt::format("service {} has no replica that is ready; {}", name, again),
                      "server_error", "no_replica", {}, retry_after_s));
  }
}

void Proxy::OnHead(int status, const io::HttpHead& head, int64_t length) {
  status_ = status;
  if (MayRetryStatus(status, attempts_)) {
    // It refused before it began. When the last attempt is refused too, that answer is passed on.
    call_->Cancel();
    return OnFailure({Error(Code::kUnavailable, "the replica answered 503"),
                      io::HttpProgress::kNotConnected, false});
  }
  answering_ = true;
  std::string().swap(r_.exchange->request().body);  // nobody else will be asked
  const auto type = head.Find("Content-Type");
  event_stream_ = type && io::EqualsIgnoreCase(type->substr(0, 17), "text/event-stream");
  meter_.emplace(event_stream_);
  r_.exchange->Begin(status, PassedOn(head), length);
}

void Proxy::OnBody(std::string_view bytes) {
  const Duration now = Now();
  const bool first = !meter_->any();
  const uint64_t events = meter_->Feed(bytes, now);
  if (event_stream_) {
    if (first) r_.service->FirstByte(now - arrived_);
    if (events > 0) r_.service->AddTokens(events);
  }
  r_.exchange->Write(bytes, io::HttpExchange::Flush::kLater);
}

void Proxy::OnReadDone() {
  if (!answering_) return;
  if (r_.exchange->Write({}, io::HttpExchange::Flush::kNow); over_) return;
  if (!r_.exchange->over_high_water()) return;
  // The client is slower than the replica: let the network tell the replica.
  call_->Pause();
  r_.exchange->OnDrained([weak = weak_from_this()] {
    const auto p = weak.lock();
    if (p && p->call_) p->call_->Resume();
  });
}

void Proxy::OnEnd() {
  const Duration now = Now();
  const uint64_t tokens = meter_->Tokens(), counted = meter_->events();
  if (tokens > counted) r_.service->AddTokens(tokens - counted);
  r_.service->Release(replica_, now, /*healthy=*/true);
  Over(RequestEnd::Kind::kCompleted);  // counted before the client can see it
  r_.exchange->End();
}

void Proxy::OnFailure(io::HttpFailure failure) {
  call_.reset();
  r_.service->ReleaseFailed(std::exchange(replica_, nullptr), Now(), failure.error);
  if (!answering_ && MayRetry(failure.progress, failure.error.code(), failure.reused_connection,
                              attempts_, retried_after_close_)) {
    if (failure.progress == io::HttpProgress::kNoResponse) retried_after_close_ = true;
    return Ask(/*first=*/false);
  }
  GiveUp(failure);
}

void Proxy::GiveUp(const io::HttpFailure& failure) {
  const bool late = failure.error.code() == Code::kDeadlineExceeded;
  const auto lost = answering_ ? RequestEnd::Kind::kBroken : RequestEnd::Kind::kLost;
  Over(late ? RequestEnd::Kind::kTimeout : lost);
  if (!answering_) {
    return r_.exchange->Answer(
        late ? OpenAiError(
                   504,
                   fmt::format("a replica of service {} did not answer in time", r_.service_name),
                   "server_error", "replica_timeout")
             : OpenAiError(502,
                           fmt::format("the replica of service {} was lost before it answered",
                                       r_.service_name),
                           "server_error", "replica_lost"));
  }
  if (event_stream_) {
    // Said in the stream itself: a stream that merely stopped would pass for a finished one.
    wire::ApiError error;
    error.status = 502;
    error.message = fmt::format("the replica of service {} {} in the middle of this answer",
                                r_.service_name, late ? "stopped" : "was lost");
    error.type = "server_error";
    error.code = late ? "replica_timeout" : "replica_lost";
    if (!meter_->at_boundary()) {
      r_.exchange->Write("\n\n", io::HttpExchange::Flush::kLater);
    }
    r_.exchange->Write(wire::ErrorEvent(error), io::HttpExchange::Flush::kLater);
    r_.exchange->End();
  } else {
    r_.exchange->Abort();  // shorter than announced: the client sees that it is not whole
  }
}

void Proxy::ClientGone() {
  if (over_) return;
  if (call_) call_->Cancel();
  if (replica_) r_.service->Release(replica_, Now(), /*healthy=*/false);
  if (ticket_ != 0) r_.service->Leave(ticket_);
  Over(RequestEnd::Kind::kClientGone);
}

void Proxy::Over(RequestEnd::Kind kind) {
  if (over_) return;
  over_ = true;
  const Duration now = Now();
  RequestEnd end{.kind = kind, .status = status_, .latency = now - arrived_};
  if (meter_ && event_stream_ && meter_->events() > 1) {
    end.tpot = Duration::Micros((meter_->last_at() - meter_->first_at()).us /
                                static_cast<int64_t>(meter_->events() - 1));
  }
  r_.service->Ended(end, now);
  call_.reset();
  replica_.reset();
}

}  // namespace weir::gateway
