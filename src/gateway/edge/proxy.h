// One request on its way through the edge: asks for a replica, passes the request on, hands the
// answer back piece by piece, and keeps the promises at each end: a client that leaves frees the
// replica at once, a replica that dies is not hidden, nothing is asked for twice that was begun.
//
// Costs per small request, on each side: one read, one write and a poll; the body is copied once
// into the upstream's send buffer and once into the client's.
//
// Threads: all on the loop of the client's connection.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gateway/edge/service_state.h"
#include "gateway/edge/stream_meter.h"
#include "io/http_client.h"
#include "io/http_server.h"

namespace weir::gateway {

struct ProxyRequest {
  io::HttpExchangePtr exchange;
  std::shared_ptr<ServiceState> service;
  std::string service_name;
  Principal who;
  std::string target;           // at the replica
  Duration first_byte_timeout;  // of this kind of request
  Duration idle_timeout;
};

class Proxy final : public io::HttpSink, public Waiter, public std::enable_shared_from_this<Proxy> {
 public:
  static void Start(io::HttpClient& client, ProxyRequest request);

  io::EventLoop& loop() override { return r_.exchange->loop(); }
  void Granted(ReplicaPtr replica) override;
  void Refused(Refusal why, int retry_after_s) override;
  void OnHead(int status, const io::HttpHead& head, int64_t length) override;
  void OnBody(std::string_view bytes) override;
  void OnReadDone() override;
  void OnEnd() override;
  void OnFailure(io::HttpFailure failure) override;

 private:
  Proxy(io::HttpClient& client, ProxyRequest request);
  void Ask(bool first);
  void ClientGone();
  void GiveUp(const io::HttpFailure& failure);
  void Over(RequestEnd::Kind kind);
  Duration Now() const { return r_.exchange->loop().Now(); }

  io::HttpClient& client_;
  ProxyRequest r_;
  const Duration arrived_;
  // waiting (ticket_) -> at a replica (replica_, call_) -> answering -> over
  bool over_ = false;
  bool answering_ = false;
  bool event_stream_ = false;
  bool retried_after_close_ = false;
  int attempts_ = 0;
  int status_ = 0;
  uint64_t ticket_ = 0;
  ReplicaPtr replica_;
  std::shared_ptr<io::HttpCall> call_;
  std::optional<StreamMeter> meter_;
};

// An answer in OpenAI's shape.
io::HttpResponse OpenAiError(int status, std::string message, std::string_view type,
                             std::string_view code, std::string_view param = {},
                             std::optional<int> retry_after_s = std::nullopt);

}  // namespace weir::gateway
