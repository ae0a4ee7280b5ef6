// One thread's event loop: readiness of descriptors, timers, and work posted from other threads.
// The reactor underneath is Boost.Asio's (epoll on Linux); it stays inside event_loop.cc, so that
// whoever includes this compiles quickly.
//
//   EventLoop loop;
//   Timer timer(loop);
//   timer.Start(Duration::Millis(50), [&] { loop.Stop(); });
//   loop.Run();
//
// Threads   Post, Dispatch, Stop, Now and InLoop may be called from any thread; everything else
// only
//           from the thread inside Run(), or before Run() is entered.
// Errors    running out of descriptors for the loop itself is a CHECK; everything later is a
// Status.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace weir::io {

class Watched;

class EventLoop {
 public:
  EventLoop();
  ~EventLoop();  // Run() must have returned. Posted work that never ran is destroyed.
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  void Run();   // until Stop(); may be called again afterwards
  void Stop();  // Run() returns after the callback that is running now
  void Post(std::function<void()> work);
  void Dispatch(std::function<void()> work);  // at once when InLoop(), otherwise Post
  bool InLoop() const;
  // Monotonic time since an arbitrary start; not the wall clock.
  Duration Now() const;
  // Looks `host` up (at once when it is a numeric address) and calls `done` on the loop with
  // numeric addresses, in the resolver's order.
  void Resolve(const std::string& host, std::function<void(Result<std::vector<std::string>>)> done);
  // 64 KiB that any callback may use until it returns: reading into it keeps idle connections free
  // of buffers.
  std::string& scratch() { return scratch_; }

 private:
  friend class Watched;
  friend class Timer;
  struct Impl;
  // Deadlines of descriptors. A sweep every kSweep fires those that passed: connections change
  // theirs several times per request, and a heap of timers would cost a system call for each.
  struct Slot {
    int64_t at_us;  // 0: none
    Watched* owner;
  };
  uint32_t AddSlot(Watched* owner);
  void RemoveSlot(uint32_t slot);
  void Sweep();

  std::string scratch_;
  std::vector<Slot> slots_;
  std::unique_ptr<Impl> impl_;
};

// The resolution of Watched::SetDeadline.
inline constexpr Duration kDeadlineSweep = Duration::Millis(100);

// A one-shot timer with the kernel's resolution. Destroying it cancels it. `fire` may destroy or
// restart the timer.
class Timer {
 public:
  explicit Timer(EventLoop& loop);
  ~Timer();
  void Start(Duration after, std::function<void()> fire);  // replaces an earlier Start
  void Cancel();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// A descriptor on a loop: derive from it, own it by shared_ptr. While a wait is pending the loop
// keeps the object alive. Waits are one-shot; Close() ends them without a call.
class Watched : public std::enable_shared_from_this<Watched> {
 public:
  virtual ~Watched();
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  EventLoop& loop() const { return loop_; }

 protected:
  // Takes ownership of `fd`, which must be non-blocking and pollable (a socket or a pipe).
  Watched(EventLoop& loop, int fd);
  virtual void OnReadable() = 0;
  virtual void OnWritable() = 0;
  virtual void OnDeadline() = 0;  // the deadline is cleared before the call
  void WaitReadable();            // no-op when already waiting
  void WaitWritable();
  void SetDeadline(Duration at);  // on EventLoop::Now()'s clock, replaces the earlier one
  void ClearDeadline();
  void Close();  // idempotent; the descriptor is gone at return
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

 private:
  friend class EventLoop;
  struct Impl;
  EventLoop& loop_;
  int fd_;
  uint32_t slot_;
  bool waiting_read_ = false;
  bool waiting_write_ = false;
  std::unique_ptr<Impl> impl_;
};

// `count` loops, each on a thread of its own.
class LoopThreads {
 public:
  explicit LoopThreads(int count);
  ~LoopThreads();  // Stop(), then the loops go
  void Stop();     // stops and joins; the loops stay, so that what lives on them can be destroyed
  size_t size() const { return loops_.size(); }
  EventLoop& at(size_t i) { return *loops_[i]; }

 private:
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::vector<std::thread> threads_;
};

// Raises this process's soft limit of open files to its hard limit; returns the limit now in force.
int64_t RaiseOpenFileLimit();

}  // namespace weir::io
