// A fixed set of threads that split one loop at a time.
//
//     ThreadPool pool(2);
//     pool.For(n, [&](int64_t i) { ... });     // i in [0, n), each exactly once, in any order
//
// Indices are handed out one by one, so a thread that the machine takes away for a while does not
// hold the others back: make each index some tens of microseconds of work. Who computes an index
// differs from run to run; what is computed must not. Kernels keep that promise by cutting their
// work by shape alone, never by the number of threads, so results are equal bit for bit for any
// pool size.
//
// Threads   For() from one thread at a time, not nested; the calling thread works along.
//           Between loops workers spin for some microseconds, then sleep.
// Errors    none; the body must not throw.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

namespace weir::kernels {

class ThreadPool {
 public:
  // threads >= 1, the caller included. Where cores is not empty, the threads (the caller too) are
  // bound to these cores, as a set; a refusal by the system is ignored.
  explicit ThreadPool(int threads, std::span<const int> cores = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const;

  template <class Body>
  void For(int64_t n, Body&& body) {
    using Fn = std::remove_reference_t<Body>;
    Run(
        n, [](void* context, int64_t i) { (*static_cast<Fn*>(context))(i); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* context, int64_t i);
  void Run(int64_t n, Call call, void* context);
  struct State;
  std::unique_ptr<State> state_;
};

// With a pool where there is one, on the calling thread where pool is null.
template <class Body>
void ParallelFor(ThreadPool* pool, int64_t n, Body&& body) {
  if (pool != nullptr) {
    pool->For(n, body);
  } else {
    for (int64_t i = 0; i < n; ++i) body(i);
  }
}

}  // namespace weir::kernels
