// Adds up who held what over time, in sums and in bins for plots.
//
// Levels are set when they change; Pass(now) adds level x time since the last call. The bins double
// their width when they would become more than kMaxBins, so any length of simulation fits.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "base/units.h"
#include "control/sim/replay/outcome.h"

namespace weir::sim {

enum Level : int {
  kResearchSlots,
  kProductOwnSlots,
  kBorrowedSlots,
  kIdleSlots,
  kDownSlots,
  kNeedSlots,
  kServedSlots,  // of the need
  kWaitingSlots,
  kWaitingJobs,
  kLentToResearch,
  kBusyWatts,
  kUsdPerHour,
  kLevels
};
const char* NameOf(Level level);

class Ledger {
 public:
  explicit Ledger(Time start, double bin_s = 600) : start_(start), now_(start), bin_s_(bin_s) {}
  void Pass(Time now);
  void Set(Level level, double value) { level_[level] = value; }
  void Add(Level level, double by) { level_[level] += by; }
  double level(Level level) const { return level_[level]; }
  double Total(Level level) const { return total_[level]; }  // level x seconds
  Series Take(const std::vector<Level>& levels) const;

 private:
  static constexpr int kMaxBins = 1440;
  using Row = std::array<double, kLevels>;
  Time start_, now_;
  double bin_s_;
  Row level_{}, total_{};
  std::vector<Row> bins_;
};

}  // namespace weir::sim
