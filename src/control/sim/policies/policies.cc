// The table of policies: one line each, in the order of reports.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/nearest.h"
#include "control/sim/policies/policy.h"

namespace weir::sim {

extern const PolicyEntry kWeirPolicy, kStaticSplit, kFifo, kEasy, kTier, kCohort, kLyra, kShortest;

const std::vector<const PolicyEntry*>& AllPolicies() {
  static const std::vector<const PolicyEntry*> all = {
      &kWeirPolicy,   //
      &kStaticSplit,  //
      &kFifo,         //
      &kEasy,         //
      &kTier,         //
      &kCohort,       //
      &kLyra,         //
      &kShortest,     // oracle
  };
  return all;
}

Result<std::vector<const PolicyEntry*>> PoliciesNamed(std::string_view names) {
  if (names == "all") return AllPolicies();
  std::vector<std::string> known;
  for (const PolicyEntry* policy : AllPolicies()) known.emplace_back(policy->name);
  std::vector<const PolicyEntry*> out;
  for (size_t at = 0; at <= names.size();) {
    const size_t stop = std::min(names.find(',', at), names.size());
    const std::string name(names.substr(at, stop - at));
    at = stop + 1;
    const auto found = std::find_if(AllPolicies().begin(), AllPolicies().end(),
                                    [&](const PolicyEntry* p) { return p->name == name; });
    if (found == AllPolicies().end()) {
      const std::string nearest = NearestOf(name, known);
      return Error(Code::kInvalidArgument, fmt::format("\"{}\" is not a policy", name))
          .Hint(nearest.empty() ? fmt::format("known: {}, or all", fmt::join(known, ", "))
                                : fmt::format("did you mean {}?", nearest));
    }
    if (std::find(out.begin(), out.end(), *found) == out.end()) out.push_back(*found);
  }
  return out;
}

std::string PoliciesMarkdown() {
  std::string out = "| policy | what it does | oracle |\n| --- | --- | --- |\n";
  for (const PolicyEntry* p : AllPolicies())
    out += fmt::format("| `{}` | {} | {} |\n", p->name, p->what, p->online ? "" : "yes");
  return out;
}

}  // namespace weir::sim
