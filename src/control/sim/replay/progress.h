// How far a run has come: work, checkpoints and what a stop would lose, as formulas in time.
//
// A run works for `interval`, stalls for `stall` while it saves, and so on; work done at `rate`
// (seconds of the job's own work in a second). With x the time since the run's checkpoint clock
// began, k = floor(x / (interval + stall)), r = x - k (interval + stall):
//
//   worked(x) = k interval + min(r, interval)         saved(x) = k interval
//
// A change of rate begins a new segment at the same place of the checkpoint clock. Runs that cannot
// be checkpointed have interval 0: nothing is saved until they end.
//
// Nothing here makes an event: a run costs the simulator its start and its end, however long it is.
// progress_test.cc compares with stepping through it second by second.
#pragma once

#include <algorithm>
#include <cmath>

namespace weir::sim {

struct RunClock {
  double interval = 0;  // seconds; 0 = no checkpoints
  double stall = 0;
  double rate = 1;
  double begin = 0;     // of this segment, in seconds of simulated time
  double phase = 0;     // place in the checkpoint clock at `begin`
  double done = 0;      // work at `begin`
  double saved = 0;     // durable work at `begin`
  double saved_at = 0;  // when that was saved, or when the run began

  double Cycle() const { return interval + stall; }
  double Worked(double x) const {
    if (interval <= 0) return x;
    const double k = std::floor(x / Cycle());
    return k * interval + std::min(x - k * Cycle(), interval);
  }
  double WorkAt(double now) const {
    return done + rate * (Worked(phase + std::max(0.0, now - begin)) - Worked(phase));
  }
  double Checkpoints(double now) const {  // completed since `begin`
    return interval <= 0 ? 0 : std::floor((phase + std::max(0.0, now - begin)) / Cycle());
  }
  double SavedAt(double now) const {
    const double k = Checkpoints(now);
    return k < 1 ? saved : done + rate * (k * interval - Worked(phase));
  }
  double LastSave(double now) const {
    const double k = Checkpoints(now);
    return k < 1 ? saved_at : begin + k * Cycle() - phase;
  }
  double FinishAt(double work) const {
    const double goal = Worked(phase) + std::max(0.0, work - done) / rate;
    if (interval <= 0) return begin + goal - phase;
    const double k = std::max(0.0, std::ceil(goal / interval) - 1);
    return begin + std::max(0.0, k * Cycle() + (goal - k * interval) - phase);
  }
  // The same run from `now` on at another rate.
  RunClock At(double now, double new_rate) const {
    RunClock next = *this;
    next.begin = std::max(now, begin);
    next.done = WorkAt(now);
    next.saved = SavedAt(now);
    next.saved_at = LastSave(now);
    const double x = phase + std::max(0.0, now - begin);
    next.phase = interval <= 0 ? 0 : x - std::floor(x / Cycle()) * Cycle();
    next.rate = new_rate;
    return next;
  }
};

}  // namespace weir::sim
