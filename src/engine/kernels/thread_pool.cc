#include "engine/kernels/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
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

// A thread's place in its share of a ForShares loop; each in a cache line of its own.
struct alignas(64) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

// What a thread may fetch while it waits. Read without a lock: a torn hint fetches the wrong lines,
// which harms nobody.
struct alignas(64) Hint {
  std::atomic<const std::byte*> from{nullptr};
  std::atomic<int64_t> bytes{0};
};

// One loop is published by writing its fields and then raising `generation`. Workers that have
// seen a generation take indices from `next` until there are none, then count themselves out in
// `busy`; Run() returns when all have, so the fields are never rewritten under a reader.
struct ThreadPool::State {
  explicit State(int thread_count) : count(thread_count) {}
  const int count;  // of threads, the caller's included
  std::vector<int> cores;
  std::vector<std::thread> threads;

  // Written by Run() before `generation` rises, read by workers after.
  int64_t n = 0;
  Call call = nullptr;             // of a For loop
  RangeCall range_call = nullptr;  // of a ForShares loop; one of the two is null
  int64_t grain = 1;
  void* context = nullptr;
  std::unique_ptr<Share[]> shares;

  std::unique_ptr<Hint[]> ahead;
  alignas(64) std::atomic<uint64_t> hints{0};  // given so far

  alignas(64) std::atomic<uint64_t> generation{0};
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<int> busy{0};

  std::mutex mutex;  // guards sleeping and stop; wakes go through it so that none is lost
  std::condition_variable wake;
  int sleeping = 0;
  std::atomic<bool> stop{false};

  void Drain(int self) {
    if (range_call != nullptr) return DrainShares(self);
    for (;;) {
      const int64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= n) return;
      call(context, i);
    }
  }

  // The fields of a loop stand: wakes the workers, works along, returns when all are done.
  void Publish() {
    busy.store(count - 1, std::memory_order_relaxed);
    bool sleepers = false;
    {
      const std::lock_guard lock(mutex);
      generation.fetch_add(1, std::memory_order_release);
      sleepers = sleeping > 0;
    }
    if (sleepers) wake.notify_all();
    Drain(0);
    for (int spin = 0; busy.load(std::memory_order_acquire) != 0; ++spin) {
      if (spin < kSpins) {
        Relax();
      } else {
        std::this_thread::yield();  // a worker lost its core; give it ours
      }
    }
  }

  // This thread's own share to its end, then what others have left.
  void DrainShares(int self) {
    for (int i = 0; i < count; ++i) {
      Share& share = shares[static_cast<size_t>((self + i) % count)];
      for (;;) {
        const int64_t begin = share.next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= share.end) break;
        range_call(context, begin, std::min(begin + grain, share.end));
      }
    }
  }

  // Until the next loop comes.
  void Fetch(int self, uint64_t seen) {
    constexpr int64_t kLine = 64, kLook = 4096;
    const Hint& hint = ahead[static_cast<size_t>(self)];
    const std::byte* from = hint.from.load(std::memory_order_relaxed);
    const int64_t bytes = hint.bytes.load(std::memory_order_relaxed);
    for (int64_t at = 0; at < bytes; at += kLine) {
      if (at % kLook == 0 && generation.load(std::memory_order_relaxed) != seen) return;
      __builtin_prefetch(from + at, 0, 2);
    }
  }

  void Work(int self) {
    Bind(cores);
    uint64_t seen = 0, hinted = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins; ++spin) {
        if (generation.load(std::memory_order_acquire) != seen) break;
        if (const uint64_t hint = hints.load(std::memory_order_acquire); hint != hinted) {
          hinted = hint;
          Fetch(self, seen);
        }
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
      Drain(self);
      busy.fetch_sub(1, std::memory_order_release);
    }
  }
};

ThreadPool::ThreadPool(int threads, std::span<const int> cores)
    : state_(std::make_unique<State>(threads)) {
  CHECK_MSG(threads >= 1, "threads={}", threads);
  state_->cores.assign(cores.begin(), cores.end());
  Bind(state_->cores);
  state_->shares = std::make_unique<Share[]>(static_cast<size_t>(threads));
  state_->ahead = std::make_unique<Hint[]>(static_cast<size_t>(threads));
  state_->threads.reserve(static_cast<size_t>(threads) - 1);
  for (int i = 1; i < threads; ++i) {
    state_->threads.emplace_back([state = state_.get(), i] { state->Work(i); });
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

int ThreadPool::size() const { return state_->count; }

void ThreadPool::FetchAhead(std::span<const Bytes> first) {
  CHECK_MSG(static_cast<int>(first.size()) == size(), "{} for {} threads", first.size(), size());
  for (size_t i = 0; i < first.size(); ++i) {
    state_->ahead[i].from.store(first[i].data(), std::memory_order_relaxed);
    state_->ahead[i].bytes.store(static_cast<int64_t>(first[i].size()), std::memory_order_relaxed);
  }
  state_->hints.fetch_add(1, std::memory_order_release);
}

void ThreadPool::Run(int64_t n, Call call, void* context) {
  if (n <= 0) return;
  if (n == 1 || state_->threads.empty()) {
    for (int64_t i = 0; i < n; ++i) call(context, i);
    return;
  }
  State& s = *state_;
  s.n = n;
  s.call = call;
  s.range_call = nullptr;
  s.context = context;
  s.next.store(0, std::memory_order_relaxed);
  s.Publish();
}

void ThreadPool::RunShares(int64_t n, int64_t grain, RangeCall call, void* context) {
  if (n <= 0) return;
  grain = std::max<int64_t>(1, grain);
  if (n <= grain || state_->threads.empty()) return call(context, 0, n);
  State& s = *state_;
  const int64_t count = size();
  for (int64_t i = 0; i < count; ++i) {
    Share& share = s.shares[static_cast<size_t>(i)];
    share.next.store(n * i / count, std::memory_order_relaxed);
    share.end = n * (i + 1) / count;
  }
  s.range_call = call;
  s.grain = grain;
  s.context = context;
  s.Publish();
}

std::vector<int> OnePerCore(std::span<const int> cores,
                            const std::function<std::string(int core)>& siblings) {
  std::vector<int> out;
  std::vector<int> sorted(cores.begin(), cores.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<int> taken;  // ids that share hardware with one of `out`
  for (const int core : sorted) {
    if (std::find(taken.begin(), taken.end(), core) != taken.end()) continue;
    out.push_back(core);
    // "0,4", "0-1", "0-1,8-9": ids and ranges; what is not understood is taken as the end.
    const std::string list = siblings(core);
    const char* p = list.data();
    const char* const end = p + list.size();
    while (p < end) {
      int first = 0;
      auto parsed = std::from_chars(p, end, first);
      if (parsed.ec != std::errc()) break;
      int last = first;
      if (parsed.ptr < end && *parsed.ptr == '-') {
        parsed = std::from_chars(parsed.ptr + 1, end, last);
        if (parsed.ec != std::errc() || last < first || last - first > CPU_SETSIZE) break;
      }
      for (int id = first; id <= last; ++id) taken.push_back(id);
      if (parsed.ptr == end || *parsed.ptr != ',') break;
      p = parsed.ptr + 1;
    }
  }
  return out;
}

}  // namespace weir::kernels
