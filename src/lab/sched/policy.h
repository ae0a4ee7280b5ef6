// The policy's options, one table: names, types, units, defaults, ranges and a sentence each.
// Flags, the config file's [policy] section, `weir config show` and docs/policy.md are made from
// it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/sched/decide.h"

namespace weir::sched {

struct PolicyOption {
  std::string_view name;     // "loan_term"
  std::string_view type;     // "duration", "integer", "number" or "bool"
  std::string_view unit;     // "" for durations, which carry their own: "90s"
  std::string default_text;  // as it would be written in the config file
  std::string low, high;     // both ends included; empty for bool
  std::string_view what;     // one sentence
};

const std::vector<PolicyOption>& PolicyOptions();

// The default policy with what `values` (name to text) says. An unknown name, a value that is not
// of its type or out of range: kInvalidArgument naming the option, the value and what is allowed.
Result<Policy> PolicyFrom(const std::map<std::string, std::string>& values);

// One option's value as text; PolicyFrom() of all of them gives an equal policy.
std::string PolicyValue(const Policy& policy, std::string_view name);

// The table as Markdown, for docs/policy.md.
std::string PolicyMarkdown();

}  // namespace weir::sched
