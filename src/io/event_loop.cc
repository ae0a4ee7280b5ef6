#include "io/event_loop.h"

#include <arpa/inet.h>
#include <sys/resource.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

namespace weir::io {

namespace asio = boost::asio;

struct EventLoop::Impl {
  asio::io_context context{1};  // one thread runs it: Asio leaves out what only several need
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  asio::steady_timer sweep{context};
  asio::ip::tcp::resolver resolver{context};
  bool sweeping = false;
  std::atomic<std::thread::id> thread;
};

EventLoop::EventLoop() : scratch_(64 << 10, '\0'), impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() = default;

void EventLoop::Run() {
  impl_->thread = std::this_thread::get_id();
  impl_->context.restart();
  impl_->context.run();
  impl_->thread = std::thread::id();
}

void EventLoop::Stop() {
  // Posted, not called: a Stop that comes before Run() must not be lost.
  Post([this] { impl_->context.stop(); });
}

void EventLoop::Post(std::function<void()> work) { asio::post(impl_->context, std::move(work)); }

void EventLoop::Dispatch(std::function<void()> work) {
  if (InLoop()) return work();
  Post(std::move(work));
}

bool EventLoop::InLoop() const { return impl_->thread.load() == std::this_thread::get_id(); }

Duration EventLoop::Now() const {
  return Duration::Micros(std::chrono::duration_cast<std::chrono::microseconds>(
                              std::chrono::steady_clock::now().time_since_epoch())
                              .count());
}

void EventLoop::Resolve(const std::string& host,
                        std::function<void(Result<std::vector<std::string>>)> done) {
  unsigned char numeric[sizeof(in6_addr)];
  if (inet_pton(AF_INET, host.c_str(), numeric) == 1 ||
      inet_pton(AF_INET6, host.c_str(), numeric) == 1) {
    return done(std::vector<std::string>{host});
  }
  impl_->resolver.async_resolve(
      host, "", [host, done = std::move(done)](const boost::system::error_code& ec, auto results) {
        if (ec == asio::error::operation_aborted) return;
        std::vector<std::string> addresses;
        for (const auto& entry : results) {
          addresses.push_back(entry.endpoint().address().to_string());
        }
        if (ec || addresses.empty()) {
          return done(Error(Code::kUnavailable, "no address is known for host " + host)
                          .Hint("check the name, or give a numeric address"));
        }
        done(std::move(addresses));
      });
}

uint32_t EventLoop::AddSlot(Watched* owner) {
  slots_.push_back({0, owner});
  if (!impl_->sweeping) Sweep();
  return static_cast<uint32_t>(slots_.size() - 1);
}

void EventLoop::RemoveSlot(uint32_t slot) {
  slots_[slot] = slots_.back();
  slots_[slot].owner->slot_ = slot;
  slots_.pop_back();
}

void EventLoop::Sweep() {
  const int64_t now = Now().us;
  for (size_t i = 0; i < slots_.size(); ++i) {  // the call may add and remove slots
    if (slots_[i].at_us == 0 || slots_[i].at_us > now) continue;
    const std::shared_ptr<Watched> owner = slots_[i].owner->weak_from_this().lock();
    slots_[i].at_us = 0;
    if (owner) owner->OnDeadline();
  }
  impl_->sweeping = !slots_.empty();
  if (!impl_->sweeping) return;
  impl_->sweep.expires_after(std::chrono::microseconds(kDeadlineSweep.us));
  impl_->sweep.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) Sweep();
  });
}

struct Timer::Impl {
  explicit Impl(asio::io_context& context) : timer(context) {}
  asio::steady_timer timer;
  std::function<void()> fire;
  uint64_t generation = 0;  // tells a cancelled wait that had already expired from the current one
};

Timer::Timer(EventLoop& loop) : impl_(std::make_shared<Impl>(loop.impl_->context)) {}

Timer::~Timer() { Cancel(); }

void Timer::Start(Duration after, std::function<void()> fire) {
  impl_->fire = std::move(fire);
  const uint64_t generation = ++impl_->generation;
  impl_->timer.expires_after(std::chrono::microseconds(after.us));
  impl_->timer.async_wait(
      [impl = std::weak_ptr<Impl>(impl_), generation](const boost::system::error_code& ec) {
        const auto alive = impl.lock();
        if (ec || !alive || alive->generation != generation) return;
        const auto now = std::move(alive->fire);
        alive->fire = nullptr;
        now();
      });
}

void Timer::Cancel() {
  ++impl_->generation;
  impl_->fire = nullptr;
  impl_->timer.cancel();
}

struct Watched::Impl {
  Impl(asio::io_context& context, int fd) : descriptor(context, fd) {}
  asio::posix::stream_descriptor descriptor;
};

Watched::Watched(EventLoop& loop, int fd)
    : loop_(loop),
      fd_(fd),
      slot_(loop.AddSlot(this)),
      impl_(std::make_unique<Impl>(loop.impl_->context, fd)) {}

Watched::~Watched() { Watched::Close(); }

void Watched::WaitReadable() {
  if (waiting_read_ || !is_open()) return;
  waiting_read_ = true;
  impl_->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                               [self = shared_from_this()](const boost::system::error_code& ec) {
                                 self->waiting_read_ = false;
                                 if (!ec && self->is_open()) self->OnReadable();
                               });
}

void Watched::WaitWritable() {
  if (waiting_write_ || !is_open()) return;
  waiting_write_ = true;
  impl_->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                               [self = shared_from_this()](const boost::system::error_code& ec) {
                                 self->waiting_write_ = false;
                                 if (!ec && self->is_open()) self->OnWritable();
                               });
}

void Watched::SetDeadline(Duration at) {
  if (is_open()) loop_.slots_[slot_].at_us = at.us;
}

void Watched::ClearDeadline() { SetDeadline({}); }

void Watched::Close() {
  if (!is_open()) return;
  loop_.RemoveSlot(slot_);
  fd_ = -1;
  impl_.reset();  // closes the descriptor; pending waits end with operation_aborted
}

LoopThreads::LoopThreads(int count) {
  for (int i = 0; i < count; ++i) loops_.push_back(std::make_unique<EventLoop>());
  for (const auto& loop : loops_) threads_.emplace_back([&l = *loop] { l.Run(); });
}

LoopThreads::~LoopThreads() { Stop(); }

void LoopThreads::Stop() {
  if (threads_.empty()) return;
  for (const auto& loop : loops_) loop->Stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

int64_t RaiseOpenFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) getrlimit(RLIMIT_NOFILE, &limit);
  }
  return static_cast<int64_t>(limit.rlim_cur);
}

}  // namespace weir::io
