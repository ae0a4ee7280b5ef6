// The pieces of the route table, by subject. A new route is one entry in one of them.
#pragma once

#include <vector>

#include "gateway/api/route.h"

namespace weir::gateway {

void AddLabRoutes(std::vector<Route>& all);     // lab, events, teams, slots, leases, loans, journal
void AddWorkRoutes(std::vector<Route>& all);    // jobs, services
void AddModelRoutes(std::vector<Route>& all);   // datasets, models, rollouts, pipelines
void AddMarketRoutes(std::vector<Route>& all);  // offers, contracts
void AddAdminRoutes(std::vector<Route>& all);   // keys, whoami, version, health, metrics, document

}  // namespace weir::gateway
