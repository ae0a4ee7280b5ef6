// Time, real and simulated, behind one interface.
//
// Two clocks, never mixed. Now() is the wall clock: for records and for people; it may jump either
// way (NTP, an operator, a laptop waking up). Monotonic() only goes forward: every interval,
// timeout, grace and due time that must survive a jump is measured with it. It starts anywhere, so
// a value means nothing outside the process that took it.
//
// Threads   RealClock: any. VirtualClock: any (one mutex), though a simulation has one thread.
#pragma once

#include <mutex>

#include "base/units.h"

namespace weir::io {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time Now() const = 0;            // wall clock, UTC
  virtual Duration Monotonic() const = 0;  // never decreases
};

class RealClock final : public Clock {
 public:
  Time Now() const override;
  Duration Monotonic() const override;
};

// A clock that stands still until told otherwise.
class VirtualClock final : public Clock {
 public:
  // The default start is 2026-01-01T00:00:00Z: far from zero, which means "never".
  explicit VirtualClock(Time start = {1'767'225'600'000'000}) : now_(start) {}
  Time Now() const override;
  Duration Monotonic() const override;

  void Advance(Duration by);         // both clocks; by >= 0
  void AdvanceTo(Duration instant);  // until Monotonic() == instant; instant >= Monotonic()
  void JumpWall(Duration by);        // the wall clock alone, either way

 private:
  mutable std::mutex mutex_;
  Time now_;  // guarded by mutex_
  Duration monotonic_ = {
      1'000'000'000};  // guarded by mutex_; not zero, so that nobody relies on it
};

}  // namespace weir::io
