// What the journal tells of the past: every lease with its slots, who lent to each loan, and day by
// day how many slots each team held and was waiting for. The ledger of spend (lab/market) and the
// planner's history of demand are made of it. Pure: events in, in their order.
//
//   held      slots of leases from their intent to their end, as an average over the day
//   waiting   slots that queued and paused jobs ask for at least, at the day's end
//
// What is not in the journal is not here: requests that a service refused in a surge.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "control/events.h"
#include "lab/market/ledger.h"

namespace weir::control {

// Leases that are kept; when there are more, the older half is forgotten (leases_since).
inline constexpr size_t kMostPastUses = 1'000'000;

struct TeamDay {
  double held = 0, waiting = 0;  // slots
};
struct PastDay {
  market::Date on;
  std::map<std::string, TeamDay> teams;
};

struct LabPast {
  std::vector<market::Use> uses;  // as they ended; those that run end now, and come last
  std::vector<market::LoanShare> shares;
  Time leases_since;  // 0 = all, from the beginning
  std::vector<PastDay> days;
  std::map<std::string, wire::TeamClass> classes;  // of every team there ever was
};

class PastFold {
 public:
  void See(const Event& event);
  LabPast At(Time now) const;

 private:
  struct Open {
    std::vector<market::Use> uses;  // one for each site and type
  };
  struct Waiting {
    std::string team;
    int64_t slots = 0;
    bool waits = true;
  };
  struct Day {
    Duration covered;
    std::map<std::string, int64_t> slot_us, waiting;
  };
  void Advance(Time to);
  void Moved(const JobMoved& e);
  void Opened(Time at, const wire::Lease& lease);
  void Ended(Time at, const std::string& lease);

  LabPast out_;
  std::map<std::string, std::pair<std::string, std::string>> slots_;  // id: site, type
  std::map<std::string, Open> open_;                                  // by lease
  std::map<std::string, Waiting> jobs_;                               // that have not ended
  std::map<std::string, int64_t> held_;                               // slots by team
  std::map<int32_t, Day> days_;
  Time seen_;
};

// One series of demand: "research" or "product" (the teams of that class), or a team.
struct DemandDay {
  market::Date on;
  double served = 0, waiting = 0;
};
template <class V>
void Fields(V& v, Owned<V, DemandDay>& d) {
  v("on", d.on, "the day", kRequired);
  v("served", d.served, "slots held, as an average over the day");
  v("waiting", d.waiting, "slots that waiting jobs asked for at its end, at least");
}
// kNotFound with the nearest names.
Result<std::vector<DemandDay>> DemandOf(const LabPast& past, const std::string& of);

}  // namespace weir::control

WEIR_MESSAGE(weir::control::DemandDay);
