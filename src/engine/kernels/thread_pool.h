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
// ForShares is for streaming through memory: thread t of T first takes its own contiguous share
// [n t/T, n (t+1)/T) in order, `grain` indices at a time, then helps those that are not done.
// So the same thread meets the same indices on each call (its caches and its NUMA node), its reads
// run forward, and still nobody waits long for a thread that lost its core.
//
// Threads   For() and ForShares() from one thread at a time, not nested; the calling thread works
// along.
//           Between loops workers spin for some tens of microseconds, then sleep.
// Errors    none; the body must not throw.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

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
  // body(begin, end) on pieces that together are [0, n).
  template <class Body>
  void ForShares(int64_t n, int64_t grain, Body&& body) {
    using Fn = std::remove_reference_t<Body>;
    RunShares(
        n, grain,
        [](void* context, int64_t begin, int64_t end) { (*static_cast<Fn*>(context))(begin, end); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  // A hint: the next loop of thread i begins with reading first[i]. Threads that wait for it fetch
  // that into their caches (the caller, busy as it is, does not), and stop when the loop comes.
  using Bytes = std::span<const std::byte>;
  void FetchAhead(std::span<const Bytes> first);

 private:
  using Call = void (*)(void* context, int64_t i);
  using RangeCall = void (*)(void* context, int64_t begin, int64_t end);
  void Run(int64_t n, Call call, void* context);
  void RunShares(int64_t n, int64_t grain, RangeCall call, void* context);
  struct State;
  std::unique_ptr<State> state_;
};

// One processor of each physical core among `cores` (the lowest id), ascending: two threads on one
// core share its arithmetic and gain nothing. `siblings(core)` gives the ids that share the core's
// hardware, as /sys/devices/system/cpu/cpuN/topology/thread_siblings_list has them ("0,4" or
// "0-1"); where it is empty, the core stands alone.
std::vector<int> OnePerCore(std::span<const int> cores,
                            const std::function<std::string(int core)>& siblings);

// With a pool where there is one, on the calling thread where pool is null.
template <class Body>
void ParallelFor(ThreadPool* pool, int64_t n, Body&& body) {
  if (pool != nullptr) {
    pool->For(n, body);
  } else {
    for (int64_t i = 0; i < n; ++i) body(i);
  }
}

template <class Body>
void ParallelShares(ThreadPool* pool, int64_t n, int64_t grain, Body&& body) {
  if (pool != nullptr) {
    pool->ForShares(n, grain, body);
  } else if (n > 0) {
    body(int64_t{0}, n);
  }
}

}  // namespace weir::kernels
