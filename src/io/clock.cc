#include "io/clock.h"

#include <time.h>

#include "base/check.h"

namespace weir::io {
namespace {
int64_t ReadMicros(clockid_t id) {
  timespec ts{};
  CHECK(clock_gettime(id, &ts) == 0);
  return static_cast<int64_t>(ts.tv_sec) * 1'000'000 + ts.tv_nsec / 1000;
}
}  // namespace

Time RealClock::Now() const { return {ReadMicros(CLOCK_REALTIME)}; }

// BOOTTIME rather than MONOTONIC: a grace that ran out while the machine slept has run out.
Duration RealClock::Monotonic() const { return {ReadMicros(CLOCK_BOOTTIME)}; }

Time VirtualClock::Now() const {
  std::lock_guard lock(mutex_);
  return now_;
}

Duration VirtualClock::Monotonic() const {
  std::lock_guard lock(mutex_);
  return monotonic_;
}

void VirtualClock::Advance(Duration by) {
  CHECK_MSG(by.us >= 0, "by={} us", by.us);
  std::lock_guard lock(mutex_);
  now_ = now_ + by;
  monotonic_ = monotonic_ + by;
}

void VirtualClock::AdvanceTo(Duration instant) {
  std::lock_guard lock(mutex_);
  CHECK_MSG(instant >= monotonic_, "instant={} us, now={} us", instant.us, monotonic_.us);
  now_ = now_ + (instant - monotonic_);
  monotonic_ = instant;
}

void VirtualClock::JumpWall(Duration by) {
  std::lock_guard lock(mutex_);
  now_ = now_ + by;
}

}  // namespace weir::io
