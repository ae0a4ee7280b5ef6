#include "engine/kernels/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"

namespace weir::kernels {
namespace {

// How long a worker looks for the next loop before it sleeps. A kernel's loops follow each other
// within microseconds; a sleep and a wake cost some ten. Longer would burn cores that are shared.
constexpr int kSpins = 2000;

void Bind(const std::vector<int>& cores) {
  if (cores.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) {
    if (core >= 0 && core < CPU_SETSIZE) CPU_SET(static_cast<size_t>(core), &set);
  }
  (void)sched_setaffinity(0, sizeof(set), &set);
}

void Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

// One loop is published by writing its fields and then raising `generation`. Workers that have
// seen a generation take indices from `next` until there are none, then count themselves out in
// `busy`; Run() returns when all have, so the fields are never rewritten under a reader.
struct ThreadPool::State {
  std::vector<int> cores;
  std::vector<std::thread> threads;

  // Written by Run() before `generation` rises, read by workers after.
  int64_t n = 0;
  Call call = nullptr;
  void* context = nullptr;

  alignas(64) std::atomic<uint64_t> generation{0};
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<int> busy{0};

  std::mutex mutex;  // guards sleeping and stop; wakes go through it so that none is lost
  std::condition_variable wake;
  int sleeping = 0;
  std::atomic<bool> stop{false};

  void Drain() {
    for (;;) {
      const int64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= n) return;
      call(context, i);
    }
  }

  void Work() {
    Bind(cores);
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins; ++spin) {
        if (generation.load(std::memory_order_acquire) != seen) break;
        Relax();
      }
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        ++sleeping;
        wake.wait(lock, [&] {
          return stop.load(std::memory_order_relaxed) ||
                 generation.load(std::memory_order_acquire) != seen;
        });
        --sleeping;
      }
      if (stop.load(std::memory_order_relaxed)) return;
      ++seen;
      Drain();
      busy.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads, std::span<const int> cores)
    : state_(std::make_unique<State>()) {
  CHECK_MSG(threads >= 1, "threads={}", threads);
  state_->cores.assign(cores.begin(), cores.end());
  Bind(state_->cores);
  for (int i = 1; i < threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] { state->Work(); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop.store(true, std::memory_order_relaxed);
    state_->generation.fetch_add(1, std::memory_order_release);
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int ThreadPool::size() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::Run(int64_t n, Call call, void* context) {
  if (n <= 0) return;
  if (n == 1 || state_->threads.empty()) {
    for (int64_t i = 0; i < n; ++i) call(context, i);
    return;
  }
  State& s = *state_;
  s.n = n;
  s.call = call;
  s.context = context;
  s.next.store(0, std::memory_order_relaxed);
  s.busy.store(static_cast<int>(s.threads.size()), std::memory_order_relaxed);
  bool wake = false;
  {
    const std::lock_guard lock(s.mutex);
    s.generation.fetch_add(1, std::memory_order_release);
    wake = s.sleeping > 0;
  }
  if (wake) s.wake.notify_all();
  s.Drain();
  for (int spin = 0; s.busy.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins) {
      Relax();
    } else {
      std::this_thread::yield();  // a worker lost its core; give it ours
    }
  }
}

}  // namespace weir::kernels
