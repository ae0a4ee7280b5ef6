#include "control/lab_clock.h"

#include <algorithm>

namespace weir::control {

LabClock::LabClock(const io::Clock& clock, Time not_before)
    : clock_(clock), now_(std::max(clock.Now(), not_before)), read_at_(clock.Monotonic()) {}

Time LabClock::Now() {
  const Duration monotonic = clock_.Monotonic();
  const Duration passed = monotonic - read_at_;
  read_at_ = monotonic;
  now_ = now_ + passed;
  const int64_t off_us = (clock_.Now() - now_).us;
  const int64_t most_us = passed.us / 10;
  now_ = now_ + Duration::Micros(std::clamp(off_us, -most_us, most_us));
  return now_;
}

}  // namespace weir::control
