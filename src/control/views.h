// What the loop shows: the LabView for people and the RouteTable for the gateway, from the state
// and what has been seen. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/demand.h"
#include "control/ports.h"
#include "control/sightings.h"
#include "control/state.h"
#include "wire/view.h"

namespace weir::control {

struct ViewContext {
  const State& state;
  const Sightings& sights;
  const std::map<std::string, DemandTracker>& demands;  // by service id
  const sched::Policy& policy;
  std::vector<wire::Site> sites;
  std::string version;
  Time now;
  Time started;
  int64_t journal_seq = 0;
  bool draining = false;
  std::string trouble;
};

wire::LabView ViewOf(const ViewContext& c);

// `number` is left 0: the loop counts changes.
RouteTable RoutesOf(const State& state, bool draining);
bool SameRoutes(const RouteTable& a, const RouteTable& b);

}  // namespace weir::control
