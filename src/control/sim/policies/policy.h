// The policies that `weir sim` compares: one file each, and one line in policies.cc.
//
// A policy is a sched::Allocator, the interface that Weir's own core implements. docs/guides
// has the page on adding one.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/sched/turn.h"

namespace weir::sim {

struct PolicyEntry {
  std::string_view name;
  std::string_view what;  // one sentence
  std::unique_ptr<sched::Allocator> (*make)() = nullptr;
  bool online = true;              // false: it is told what nobody can know
  bool knows_durations = false;    // job rows say how long they run
  bool knows_demand = false;       // forecasts are the demand to come
  bool learns = false;             // job rows say what history expects
  bool wants_checkpoints = false;  // told of each checkpoint as it is saved
  bool requeues = false;           // what it stops goes back to the line as if it had never run
  bool loans = false;              // borrows only by loans with a due time, so those are checked
  bool elastic = false;  // can change a job's size; else it sees the size that the job asked for
  bool needs_limits = false;  // jobs without a limit have the site's default
};

const std::vector<const PolicyEntry*>& AllPolicies();
// "weir,fifo" or "all"; an unknown name is kInvalidArgument with the nearest known one.
Result<std::vector<const PolicyEntry*>> PoliciesNamed(std::string_view names);
std::string PoliciesMarkdown();

}  // namespace weir::sim
