#include "control/http_probe.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>

#include "io/event_loop.h"
#include "io/http_client.h"

namespace weir::control {
namespace {

struct Results {
  std::mutex mutex;
  std::vector<ProbeResult> done;  // guarded by mutex
  void Add(std::string lease, bool ok, std::string detail) {
    std::lock_guard lock(mutex);
    done.push_back({std::move(lease), ok, std::move(detail)});
  }
};

class Sink final : public io::HttpSink {
 public:
  Sink(std::string lease, std::shared_ptr<Results> results)
      : lease_(std::move(lease)), results_(std::move(results)) {}
  void OnHead(int status, const io::HttpHead&, int64_t) override { status_ = status; }
  void OnBody(std::string_view) override {}
  void OnEnd() override {
    results_->Add(lease_, status_ == 200, status_ == 200 ? "" : fmt::format("status {}", status_));
  }
  void OnFailure(io::HttpFailure failure) override {
    results_->Add(lease_, false, failure.error.message());
  }

 private:
  std::string lease_;
  std::shared_ptr<Results> results_;
  int status_ = 0;
};

}  // namespace

struct HttpProbe::Impl {
  std::shared_ptr<Results> results = std::make_shared<Results>();
  io::LoopThreads threads{1};
  // Used on the loop's thread only, and made and unmade there.
  std::unique_ptr<io::HttpClient> client;
};

HttpProbe::HttpProbe() : impl_(std::make_unique<Impl>()) {
  io::EventLoop& loop = impl_->threads.at(0);
  loop.Post([impl = impl_.get(), &loop] {
    // No pool: a replica that accepts nothing new must not look well on an old connection.
    impl->client =
        std::make_unique<io::HttpClient>(loop, io::HttpClientOptions{.max_idle_per_upstream = 0});
  });
}

HttpProbe::~HttpProbe() {
  std::mutex mutex;
  std::condition_variable gone;
  bool done = false;
  impl_->threads.at(0).Post([&] {
    impl_->client.reset();
    std::lock_guard lock(mutex);
    done = true;
    gone.notify_one();
  });
  std::unique_lock lock(mutex);
  gone.wait(lock, [&] { return done; });
}

void HttpProbe::Start(const ProbeTarget& target) {
  impl_->threads.at(0).Post([impl = impl_.get(), target] {
    io::HttpCallOptions call;
    call.host = target.host;
    call.port = static_cast<uint16_t>(target.port);
    call.target = target.path;
    call.connect_timeout = target.timeout;
    call.deadline = target.timeout;
    impl->client->Start(std::move(call), std::make_shared<Sink>(target.lease, impl->results));
  });
}

std::vector<ProbeResult> HttpProbe::Take() {
  std::lock_guard lock(impl_->results->mutex);
  return std::exchange(impl_->results->done, {});
}

}  // namespace weir::control
