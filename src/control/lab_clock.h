// The lab's clock: the one time that records, due times and decisions are made with.
//
// It goes forward with the monotonic clock and is steered towards the wall clock, by at most a
// tenth of the time that passes. So:
//   - it never goes backwards, and record times never decrease;
//   - while `weir up` runs, a jump of the wall clock (NTP, an operator) ends no loan, no back-off
//     and no surge early or late by more than a tenth; an hour's jump is made up within ten hours,
//     and until then stamps differ from the wall clock;
//   - time asleep counts (the monotonic clock is CLOCK_BOOTTIME);
//   - at a start it begins at the wall clock or at the newest record, whichever is later. A wall
//     clock set back while Weir was down is waited for at nine tenths of the speed; one set
//     forward cannot be told from time that has passed, and loans that were due meanwhile are
//     recalled.
//
// Threads   one.
#pragma once

#include "base/units.h"
#include "io/clock.h"

namespace weir::control {

class LabClock {
 public:
  // Borrows the clock. `not_before`: time of the newest record, or 0.
  LabClock(const io::Clock& clock, Time not_before);
  Time Now();

 private:
  const io::Clock& clock_;
  Time now_;
  Duration read_at_;
};

}  // namespace weir::control
