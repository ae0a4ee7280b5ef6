#include "gateway/edge/service_state.h"

#include <algorithm>

namespace weir::gateway {

ServiceState::ServiceState(std::string name, Trouble trouble)
    : name_(std::move(name)), trouble_(std::move(trouble)) {
  counts_.service = name_;
}

void ServiceState::Update(const ServiceRoute& route) {
  const std::lock_guard lock(mutex_);
  queue_bound_ = route.queue_bound;
  max_wait_ = route.max_wait;
  shed_tier_ = route.shed_tier;
  std::vector<ReplicaPtr> next;
  for (const ReplicaRoute& r : route.replicas) {
    const auto known = std::find_if(replicas_.begin(), replicas_.end(), [&](const auto& old) {
      return old && old->route.id == r.id && old->route.host == r.host && old->route.port == r.port;
    });
    ReplicaPtr state =
        known != replicas_.end() ? std::move(*known) : std::make_shared<ReplicaState>(r);
    state->ready = r.state == ReplicaRoute::State::kReady;
    state->max_concurrency = std::max(1, r.max_concurrency);
    next.push_back(std::move(state));
  }
  for (const ReplicaPtr& old : replicas_) {
    if (old) old->gone = true;  // what is in flight there goes on
  }
  replicas_ = std::move(next);
  // New room is used at the next Tick; the clock is not at hand here.
}

bool ServiceState::AnyReplicaLocked() const {
  return std::any_of(replicas_.begin(), replicas_.end(), [](const auto& r) { return r->ready; });
}

ReplicaPtr ServiceState::PickLocked(Duration now) {
  loads_.clear();
  for (const ReplicaPtr& r : replicas_) {
    loads_.push_back({r->outstanding, r->max_concurrency, r->ready, now < r->down_until});
  }
  const int k = PickReplica(loads_, turn_);
  if (k == kNoReplica) return nullptr;
  ++turn_;
  const ReplicaPtr& replica = replicas_[static_cast<size_t>(k)];
  ++replica->outstanding;
  ++replica->started;
  ++counts_.outstanding;
  return replica;
}

ServiceState::Admission ServiceState::Admit(const std::shared_ptr<Waiter>& waiter,
                                            const Principal& who, Duration arrived, Duration now,
                                            bool first) {
  const std::lock_guard lock(mutex_);
  Admission out;
  if (first) {
    ++counts_.arrivals;
  } else {
    ++counts_.retries;
  }
  if (first && who.tier > shed_tier_) {
    ++counts_.refused_tier;
    out.refusal = Refusal::kTier;
    out.retry_after_s = RetryAfterSeconds(queue_.size() + 1, served_.PerSecond(now));
    return out;
  }
  if (queue_.empty()) out.granted = PickLocked(now);
  if (out.granted) {
    if (first) counts_.queue_wait.Add({});
    return out;
  }
  if (first && queue_.size() >= queue_bound_) {
    ++counts_.refused_full;
    out.retry_after_s = RetryAfterSeconds(queue_.size(), served_.PerSecond(now));
    return out;
  }
  out.ticket = queue_.Push(who.name, waiter, arrived + max_wait_);
  return out;
}

bool ServiceState::Leave(uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  return queue_.Remove(ticket).has_value();
}

void ServiceState::PumpLocked(Duration now) {
  while (!queue_.empty()) {
    ReplicaPtr replica = PickLocked(now);
    if (!replica) return;
    std::shared_ptr<Waiter> waiter = *queue_.Pop();
    io::EventLoop& loop = waiter->loop();
    loop.Post([waiter = std::move(waiter), replica = std::move(replica)]() mutable {
      waiter->Granted(std::move(replica));
    });
  }
}

void ServiceState::FirstByte(Duration after) {
  const std::lock_guard lock(mutex_);
  counts_.ttft.Add(after);
}

void ServiceState::Release(const ReplicaPtr& replica, Duration now, bool healthy) {
  const std::lock_guard lock(mutex_);
  --replica->outstanding;
  --counts_.outstanding;
  if (healthy) {
    replica->failures = 0;
    replica->down_until = {};
  }
  PumpLocked(now);
}

void ServiceState::ReleaseFailed(const ReplicaPtr& replica, Duration now, const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    --replica->outstanding;
    --counts_.outstanding;
    ++replica->failed;
    // A burst that fails together is one failure: the rest grows with tries, not with clients.
    if (replica->down_until <= now) {
      replica->down_until = now + Duration::Micros(RestAfterFailuresUs(++replica->failures));
    }
    PumpLocked(now);
  }
  if (trouble_) trouble_(name_, replica->route.id, error);
}

void ServiceState::Ended(const RequestEnd& end, Duration now) {
  const std::lock_guard lock(mutex_);
  switch (end.kind) {
    case RequestEnd::Kind::kCompleted:
      served_.Add(now);
      if (end.status >= 500) {
        ++counts_.upstream_errors;
      } else {
        ++counts_.completed;
        if (end.status >= 400) ++counts_.client_errors;
      }
      if (end.status < 400) {
        counts_.latency.Add(end.latency);
        if (end.tpot.us > 0) counts_.tpot.Add(end.tpot);
      }
      break;
    case RequestEnd::Kind::kClientGone:
      ++counts_.client_aborts;
      break;
    case RequestEnd::Kind::kLost:
      ++counts_.upstream_lost;
      break;
    case RequestEnd::Kind::kBroken:
      ++counts_.upstream_broken;
      break;
    case RequestEnd::Kind::kTimeout:
      ++counts_.upstream_timeouts;
      break;
  }
}

void ServiceState::Tick(Duration now) {
  const std::lock_guard lock(mutex_);
  PumpLocked(now);
  if (queue_.empty()) return;
  const Refusal why = AnyReplicaLocked() ? Refusal::kWaitedTooLong : Refusal::kNoReplicas;
  for (std::shared_ptr<Waiter>& waiter : queue_.Expire(now)) {
    ++counts_.refused_wait;
    const int retry_after_s = RetryAfterSeconds(queue_.size() + 1, served_.PerSecond(now));
    io::EventLoop& loop = waiter->loop();
    loop.Post(
        [waiter = std::move(waiter), why, retry_after_s] { waiter->Refused(why, retry_after_s); });
  }
}

wire::ServiceTraffic ServiceState::Snapshot(Duration now) const {
  const std::lock_guard lock(mutex_);
  wire::ServiceTraffic out = counts_;
  out.at = now;
  out.queued = static_cast<int64_t>(queue_.size());
  out.tokens_out = tokens_.load(std::memory_order_relaxed);
  for (const ReplicaPtr& r : replicas_) {
    out.replicas.push_back(
        {r->route.id, r->outstanding, r->started, r->failed, now < r->down_until});
  }
  return out;
}

}  // namespace weir::gateway
