// What becomes of a job when its run has ended, and of the wish to start again: pure rules.
//
//   stop asked for  \ exit   0       75        other, killed            lost
//   nothing                  done    paused    failure                  paused, after kLostBackoff
//   resize, pause, shutdown  done    paused    paused (work is lost)    paused
//   cancel                   cancelled, whatever it says
//
//   failure      queued again after a back-off, or failed once max_retries runs have failed
//   time limit   failed, without another try: the next run would reach it too
//   refused      (the site will never take this run) failed
//   75 unasked   paused, resumed at once; after a run shorter than kShortRun with a back-off, so
//                that a program that only ever says 75 does not spin
//
// Work lost     steps told since the checkpoint that the next run resumes from, and the time they
//               took on the slots held; without progress lines the time since that checkpoint (or
//               since the start).
#pragma once

#include <optional>
#include <string>

#include "control/drivers/driver.h"
#include "control/events.h"
#include "control/sightings.h"
#include "control/state.h"

namespace weir::control {

inline constexpr int kExitResume = 75;  // EX_TEMPFAIL: "saved, run me again"
inline constexpr Duration kFirstBackoff = Duration::Seconds(1);
inline constexpr Duration kLongestBackoff = Duration::Minutes(5);
inline constexpr Duration kLostBackoff = Duration::Seconds(5);
inline constexpr Duration kShortRun = Duration::Seconds(10);
inline constexpr Duration kReplicaLongestBackoff = Duration::Seconds(60);
// A replica that was ready for so long has proved itself: its failure counts as a first one.
inline constexpr Duration kReplicaProven = Duration::Seconds(30);

// After the n-th failure in a row: 1 s, 2 s, 4 s, ... up to the longest.
Duration Backoff(int64_t failures, Duration longest = kLongestBackoff);

// `run` is kExited or kLost, or absent: it never began.
JobMoved JobAfter(const wire::Job& job, const wire::Lease& lease,
                  const std::optional<RunObservation>& run, const JobSight& sight,
                  const std::string& refused, Time now);

}  // namespace weir::control
