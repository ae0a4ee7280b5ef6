// How long a job will run, learned from those that ran before it.
//
// The history of a job is looked for at four depths, from the closest: (user, team, name), (user,
// name's stem), (user, size), (team, size); then all jobs. The name's stem is the name without the
// digits and hashes that tell one run from the next. The closest depth that has kLeast runs
// answers; a shallower one does when it has been much surer than the deeper. A depth whose user or
// name was not told does not count. Each depth keeps, of the logarithm of the slot-independent run
// time, a mean that forgets (half of it after kForget runs, more for the shallower) and a mean
// distance from it; and how well it has predicted so far.
//
//   expected   = exp(mean)                          the median, for times that spread in ratios
//   error      = exp(kNineOfTen * distance) - 1     9 of 10 lie within expected / (1 + error) ..
//                                                   expected * (1 + error) if distances are
//                                                   Laplacian
// Source: Tsafrir, Etsion, Feitelson, "Backfilling using system-generated predictions rather than
// user runtime estimates", 2007 (the last runs of the same user predict well); Smith, Foster,
// Taylor, "Predicting application run times with historical information", 2004 (templates, the
// surest first).
//
// Memory    bounded: kMostKeys keys; those not used for the longest are forgotten.
// Pure: no clock; equal histories give equal estimates. A value type.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/units.h"

namespace weir::sched {

struct RunFacts {
  std::string user, team, name;
  int64_t slots = 1;
};
struct RunEstimate {
  Duration expected;  // 0 = nothing is known
  float error = 0;
  int64_t runs = 0;       // that it rests on
  std::string_view from;  // "runs of this name by this user", ...
};

class RunHistory {
 public:
  // A run that ended by itself (not one that was stopped).
  void Note(const RunFacts& run, Duration took);
  RunEstimate Estimate(const RunFacts& run) const;
  // Of all estimates that were given and then came true: the mean of |log(took / expected)|, as a
  // factor. 0 before the first.
  double mean_factor() const;
  int64_t noted() const { return noted_; }

 private:
  struct Kept {
    double mean = 0, distance = 0;  // of log seconds
    double missed = 0;              // mean |error| of what it would have predicted
    int64_t runs = 0;
    int64_t used = 0;
  };
  std::map<std::string, Kept, std::less<>> kept_;
  std::map<int64_t, std::string> by_use_;
  int64_t noted_ = 0, uses_ = 0, judged_ = 0;
  double missed_ = 0;
};

// "train-resnet-0042" -> "train-resnet-"; "eval_3f9a1c7d" -> "eval_".
std::string StemOf(std::string_view name);

}  // namespace weir::sched
