// The blocking door of http_client.h: a loop and a client for the length of one call.
#include <fmt/format.h>

#include <optional>

#include "io/http_client.h"

namespace weir::io {

namespace {

constexpr Duration kCancelPoll = Duration::Millis(100);

class FetchSink final : public HttpSink {
 public:
  FetchSink(EventLoop& loop, FetchOptions& options) : loop_(loop), options_(options) {}
  void OnHead(int status, const HttpHead& head, int64_t) override {
    result.status = status;
    result.head = head;
  }
  void OnBody(std::string_view bytes) override {
    if (stopped) return;
    if (options_.on_body && result.status < 400) {
      if (!options_.on_body(bytes)) Stop();
      return;
    }
    result.body += bytes;
    if (result.body.size() > options_.max_body_bytes) {
      failure.emplace(
          HttpFailure{Error(Code::kTooLarge, fmt::format("the answer of {} is longer than {} bytes",
                                                         options_.url, options_.max_body_bytes))});
      failure->progress = HttpProgress::kResponse;
      Stop();
    }
  }
  void OnEnd() override { Stop(); }
  void OnFailure(HttpFailure f) override {
    failure = std::move(f);
    Stop();
  }
  void Stop() {
    stopped = true;
    loop_.Stop();
  }

  HttpResult result;
  std::optional<HttpFailure> failure;
  bool stopped = false;

 private:
  EventLoop& loop_;
  FetchOptions& options_;
};

}  // namespace

Result<HttpResult> Fetch(FetchOptions options, std::string_view hint) {
  const HttpUrl url = TRY(ParseHttpUrl(options.url));
  EventLoop loop;
  HttpClient client(loop);
  const auto sink = std::make_shared<FetchSink>(loop, options);
  HttpCallOptions call{.method = options.method,
                       .host = url.host,
                       .port = url.port,
                       .target = url.path,
                       .headers = options.headers,
                       .body = std::move(options.body),
                       .deadline = options.deadline};
  Timer poll(loop);
  bool cancelled = false;
  std::function<void()> look = [&] {
    if (options.cancelled()) {
      cancelled = true;
      return loop.Stop();
    }
    poll.Start(kCancelPoll, look);
  };
  loop.Post([&] {
    if (options.cancelled) look();
    client.Start(std::move(call), sink);
  });
  loop.Run();
  if (cancelled) return Error(Code::kCancelled, "cancelled");
  if (!sink->failure) return std::move(sink->result);
  Error error = std::move(sink->failure->error);
  if (sink->failure->progress != HttpProgress::kNotConnected || hint.empty()) return error;
  return std::move(error).Hint(std::string(hint));
}

}  // namespace weir::io
