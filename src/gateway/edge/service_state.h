// One service as the edge runs it: its replicas with their outstanding work, its queue, its counts.
// It outlives routing tables: an update keeps what is in flight and what was counted.
//
//             Admit ──▶ granted ──────────────▶ Release (or ReleaseFailed, then Admit again)
//               │ no replica free                  │ a slot is free
//               ├──▶ queued ──▶ granted ◀──────────┘
//               │       ├──▶ Leave (the client went)
//               │       └──▶ refused (max_wait)
//               └──▶ refused (tier, queue full)
//
// Threads   every member from any thread; one mutex, held for microseconds. Waiters are told on
// their
//           own loop, never from inside a call.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "gateway/edge/auth.h"
#include "gateway/edge/balance.h"
#include "gateway/edge/fair_queue.h"
#include "gateway/edge/rate.h"
#include "gateway/edge/routing.h"
#include "io/event_loop.h"
#include "wire/traffic.h"

namespace weir::gateway {

// A replica in this process's eyes. Only ServiceState looks inside, under its mutex; `route` is
// constant.
struct ReplicaState {
  explicit ReplicaState(ReplicaRoute r) : route(std::move(r)) {}
  const ReplicaRoute route;  // state and max_concurrency may be outdated: see the two below
  bool ready = true;
  bool gone = false;  // not in the table any more
  int max_concurrency = 1;
  int64_t outstanding = 0;
  int failures = 0;  // in a row
  Duration down_until = {};
  uint64_t started = 0, failed = 0;
};
using ReplicaPtr = std::shared_ptr<ReplicaState>;

enum class Refusal { kTier, kQueueFull, kWaitedTooLong, kNoReplicas };

// A request that asked for a replica.
class Waiter {
 public:
  virtual ~Waiter() = default;
  virtual io::EventLoop& loop() = 0;
  virtual void Granted(ReplicaPtr replica) = 0;
  virtual void Refused(Refusal why, int retry_after_s) = 0;
};

// How a request ended, for the counts.
struct RequestEnd {
  enum class Kind {
    kCompleted,  // `status` was passed on in full
    kClientGone,
    kLost,     // no replica could be reached
    kBroken,   // the replica died in the middle
    kTimeout,  // the replica hung
  } kind = Kind::kCompleted;
  int status = 200;
  Duration latency = {};
  Duration tpot = {};  // 0: does not apply
};

class ServiceState {
 public:
  using Trouble = std::function<void(const std::string& service, const std::string& replica,
                                     const Error& error)>;
  ServiceState(std::string name, Trouble trouble);
  void Update(const ServiceRoute& route);

  struct Admission {
    ReplicaPtr granted;                                     // or null, and then
    FairQueue<std::shared_ptr<Waiter>>::Ticket ticket = 0;  // queued, or 0, and then refused:
    Refusal refusal = Refusal::kQueueFull;
    int retry_after_s = 1;
  };
  // `first`: an arrival; otherwise a retry, which is not counted and not refused for a full queue.
  Admission Admit(const std::shared_ptr<Waiter>& waiter, const Principal& who, Duration arrived,
                  Duration now, bool first);
  // False when the waiter has been granted or refused in the meantime (and will hear of it).
  bool Leave(uint64_t ticket);
  void FirstByte(Duration after);  // a stream's, since its arrival
  void AddTokens(uint64_t n) { tokens_.fetch_add(n, std::memory_order_relaxed); }
  // The replica is free for another; `healthy`: it answered, so earlier failures are forgiven.
  void Release(const ReplicaPtr& replica, Duration now, bool healthy);
  void ReleaseFailed(const ReplicaPtr& replica, Duration now, const Error& error);
  void Ended(const RequestEnd& end, Duration now);

  void Tick(Duration now);  // queue deadlines, replicas whose rest is over
  wire::ServiceTraffic Snapshot(Duration now) const;

 private:
  ReplicaPtr PickLocked(Duration now);
  void PumpLocked(Duration now);
  bool AnyReplicaLocked() const;

  const std::string name_;
  const Trouble trouble_;
  std::atomic<uint64_t> tokens_{0};
  mutable std::mutex mutex_;  // guards everything below
  size_t queue_bound_ = 0;
  Duration max_wait_ = {};
  int shed_tier_ = INT_MAX;
  std::vector<ReplicaPtr> replicas_;
  std::vector<ReplicaLoad> loads_;  // PickLocked's
  uint64_t turn_ = 0;
  FairQueue<std::shared_ptr<Waiter>> queue_;
  RateMeter served_;
  wire::ServiceTraffic counts_;
};

}  // namespace weir::gateway
