// Outcomes of several policies side by side: as JSON, as one page, as a table for the terminal.
//
// All three are made from the same rows (Metrics()). Nothing in them depends on when, where or on
// how many threads the simulation ran: equal inputs and seed give equal bytes. What does, the time
// that decisions took, is TimingJson(), a file of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/sim/policies/policy.h"
#include "control/sim/replay/outcome.h"
#include "control/sim/report/bound.h"
#include "control/sim/scenario/scenario.h"

namespace weir::sim {

struct Metric {
  std::string_view group, name, unit;
  int digits = 1;
  int better = 0;  // -1: less is better, 1: more is, 0: neither
  double (*of)(const Outcome&) = nullptr;
};
const std::vector<Metric>& Metrics();

struct Report {
  const Scenario* scenario = nullptr;
  std::vector<Outcome> outcomes;
  Bound bound;
  std::vector<std::string> inputs;  // names of files, flags: what a reader needs to run it again
  std::vector<std::string> checks;  // sentences below the table (a benchmark's targets)
};

std::string ReportJson(const Report& report);
std::string ReportHtml(const Report& report);
// One column for each policy.
std::string ReportTable(const Report& report);
std::string TimingJson(const Report& report);

}  // namespace weir::sim
