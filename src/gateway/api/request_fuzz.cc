// Whatever comes as method, path, query and body, the API answers it: never a crash, never silence,
// and every refusal is a problem document. The first line of the input is "METHOD TARGET", the rest
// the body; keys are an admin's, so that everything behind the checks is reached.
//
// The server is left out (io has its own fuzz target): an exchange in memory goes straight to the
// router.
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "gateway/api/api.h"
#include "gateway/api/fake_lab.h"
#include "gateway/api/route.h"

namespace weir::gateway {
namespace {

class MemoryExchange final : public io::HttpExchange {
 public:
  MemoryExchange(std::string method, std::string target, std::string body,
                 const std::string& secret) {
    request_.method = std::move(method);
    request_.target = std::move(target);
    request_.body = std::move(body);
    request_.peer = "127.0.0.1";
    request_.head.Add("Authorization", "Bearer " + secret);
  }
  io::EventLoop& loop() override {
    CheckFailed(__FILE__, __LINE__, "no handler of the API needs the loop", "");
  }
  void Answer(io::HttpResponse response) override {
    const std::lock_guard lock(mutex_);
    if (status_ == 0) {
      status_ = response.status;
      body_ = std::move(response.body);
    }
    done_.notify_all();
  }
  void Begin(int status, const io::HttpFields&, int64_t) override {
    const std::lock_guard lock(mutex_);
    status_ = status;
    closed_ = true;  // one look at a stream is enough
    done_.notify_all();
  }
  void Write(std::string_view, Flush) override {}
  void End() override {}
  void Abort() override {}
  void OnDrained(std::function<void()>) override {}
  void OnClosed(std::function<void()>) override {}

  int WaitForStatus() {
    std::unique_lock lock(mutex_);
    CHECK(done_.wait_for(lock, std::chrono::seconds(20), [&] { return status_ != 0; }));
    return status_;
  }
  std::string body() {
    const std::lock_guard lock(mutex_);
    return body_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  int status_ = 0;
  std::string body_;
};

struct World {
  World() {
    FurnishFakeLab(lab, "/nonexistent");
    wire::Key key{.name = "admin", .role = wire::Role::kAdmin};
    guard::NewKey made = guard::MakeKey(key, clock.Now()).value();
    secret = made.secret;
    CHECK(lab.CreateKey(made.key, {"test"}).has_value());
    api = std::make_unique<Api>(ApiOptions{.workers = 1}, lab, keys, clock);
    api->Register(router);
    handler = router.Handler();
  }
  void Send(const std::string& method, const std::string& target, const std::string& body) {
    const auto x = std::make_shared<MemoryExchange>(method, target, body, secret);
    handler(x);
    const int status = x->WaitForStatus();
    CHECK(status >= 200 && status < 600);
    // 500 is for what nobody expected: here, everything is.
    CHECK_MSG(status != 500, "{} {}: {}", method, target, x->body());
    if (status >= 400 && method != "HEAD") {
      const wire::Json problem = wire::Json::parse(x->body(), nullptr, false);
      CHECK_MSG(problem.is_object() && problem.contains("detail"), "{}", x->body());
    }
  }
  io::RealClock clock;
  FakeLab lab;
  guard::KeyRing keys;
  std::string secret;
  io::HttpRouter router;
  io::HttpHandler handler;
  std::unique_ptr<Api> api;
};

// Rebuilt now and then: what fuzzing creates must not pile up.
World& TheWorld() {
  static std::unique_ptr<World> world;
  static int uses = 0;
  if (!world || ++uses % 500 == 0) world = std::make_unique<World>();
  return *world;
}

}  // namespace
}  // namespace weir::gateway

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir::gateway;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t line = std::min(text.find('\n'), text.size());
  const std::string head = text.substr(0, line);
  const std::string body = text.substr(std::min(line + 1, text.size()));
  const size_t blank = std::min(head.find(' '), head.size());
  const std::string method = head.substr(0, blank);
  const std::string target = head.substr(std::min(blank + 1, head.size()));
  World& world = TheWorld();
  world.Send(method, target.empty() || target[0] != '/' ? "/" + target : target, body);
  // The same body to one of the routes that take one, chosen by the input.
  std::vector<const Route*> takers;
  for (const Route& route : Routes()) {
    if (!route.request_type.empty()) takers.push_back(&route);
  }
  const Route& route = *takers[(size * 31 + (size ? data[size / 2] : 0)) % takers.size()];
  std::string path = route.path;
  for (const auto& [name, value] : {std::pair<std::string, std::string>{"service", "chat"},
                                    {"slot", "local%2Fn1%2F0"},
                                    {"node", "n1"},
                                    {"team", "nlp"},
                                    {"pipeline", "story"},
                                    {"offer", "offer-1"},
                                    {"contract", "contract-2"}}) {
    const size_t at = path.find("{" + name + "}");
    if (at != path.npos) path.replace(at, name.size() + 2, value);
  }
  world.Send(route.method, path, body);
  return 0;
}
