#include "lab/sched/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <variant>

namespace weir::sched {
namespace {

using Field = std::variant<Duration Policy::*, int64_t Policy::*, double Policy::*, bool Policy::*>;

struct Row {
  std::string_view name;
  Field field;
  std::string_view unit;
  std::string_view low, high;
  std::string_view what;
};

const Row kRows[] = {
    {"loan_term", &Policy::loan_term, "", "10s", "7d",
     "A loan is due this long after it was opened."},
    {"loan_limit_slots", &Policy::loan_limit_slots, "slots", "-1", "1000000",
     "Most slots out on loan in the whole lab; -1 is no limit."},
    {"loan_replicas", &Policy::loan_replicas, "replicas", "1", "1000000",
     "Most replicas on one loan; a bigger need opens several, which can come back one by one."},
    {"recall_margin", &Policy::recall_margin, "", "0s", "1h",
     "A loan is recalled this long before its due time less the service's grace."},
    {"surge_after", &Policy::surge_after, "", "0s", "1h",
     "Demand above what is ready for this long is a surge."},
    {"calm_after", &Policy::calm_after, "", "0s", "1d",
     "Demand below the low mark for this long ends a surge and recalls its loans."},
    {"target_utilization", &Policy::target_utilization, "of a replica's rate", "0.05", "1",
     "Replicas are added so that each is used this much."},
    {"low_mark", &Policy::low_mark, "of a replica's rate", "0.01", "1",
     "Replicas are given up when the smaller size would be used less than this; below "
     "target_utilization, or sizes would alternate."},
    {"default_rate_per_replica", &Policy::default_rate_per_replica, "requests/s", "0.001",
     "1000000", "What one replica is taken to serve until it has been measured."},
    {"drain_backlog", &Policy::drain_backlog, "", "100ms", "1h",
     "A queue is to be served off within this time."},
    {"replica_cooldown", &Policy::replica_cooldown, "", "0s", "1h",
     "Time between two downward steps of one service."},
    {"cheaper_wait", &Policy::cheaper_wait, "", "0s", "1h",
     "A cheaper version is given this long to end a surge before a loan is opened."},
    {"shed_after", &Policy::shed_after, "", "0s", "1h",
     "While a surge finds no slots, one more tier is refused each time this has passed."},
    {"lowest_tier", &Policy::lowest_tier, "tier", "1", "100",
     "The tier that is refused first; tier 1 never is."},
    {"min_run", &Policy::min_run, "", "0s", "1d",
     "A job that has just started is left alone for this long."},
    {"grow_after", &Policy::grow_after, "", "0s", "1d",
     "Slots are idle for this long before an elastic job restarts on more of them."},
    {"grow_payback", &Policy::grow_payback, "", "1s", "7d",
     "A job grows only if the extra slots win back its restart, and what it does again, within "
     "this "
     "time."},
    {"lose_share", &Policy::lose_share, "of its run", "0", "1",
     "Most that a job loses at once, for other research beyond guarantees, of the time that it has "
     "run."},
    {"pause_price", &Policy::pause_price, "", "0s", "30d",
     "What pausing a job weighs beside the work that it loses: this much time of its slots. The "
     "higher, the more often a bigger job is shrunk instead."},
    {"gang_hold_after", &Policy::gang_hold_after, "", "0s", "30d",
     "A job that has waited this long collects free slots until all of its gang fits."},
    {"short_first", &Policy::short_first, "s per s", "0", "100",
     "Within a team and priority, a job lets later ones pass for so many seconds for each second "
     "that it is expected to run; 0 is in order of submission."},
    {"share_memory", &Policy::share_memory, "", "0", "10",
     "What a team's past use weighs beside what it holds now in the order of teams; it fades with "
     "share_half_life_s."},
    {"least_gain", &Policy::least_gain, "of one slot's work", "0", "1",
     "An elastic job gets one slot more only if that adds at least this, by its measured speed-up "
     "curve."},
    {"leave_notice", &Policy::leave_notice, "", "0s", "30d",
     "Nothing starts on a node that leaves sooner; a job that cannot save needs all the time that "
     "it is expected to run."},
    {"spread_slot_s", &Policy::spread_slot_s, "slot-seconds", "0", "1000000",
     "Lost work that one more slot weighs from a team that has already lent its share."},
    {"share_half_life_s", &Policy::share_half_life_s, "s", "1", "31536000",
     "Half of what a team is owed for its loans is paid back in this time."},
    {"break_jobs", &Policy::break_jobs, "", "", "",
     "A job that cannot be checkpointed may be stopped when no other choice is left."},
};

std::string TextOf(Duration d) {
  const auto [unit, us] = d.us % 60'000'000 == 0 && d.us != 0 ? std::pair("m", 60'000'000)
                          : d.us % 1'000'000 == 0             ? std::pair("s", 1'000'000)
                          : d.us % 1000 == 0                  ? std::pair("ms", 1000)
                                                              : std::pair("us", 1);
  return fmt::format("{}{}", d.us / us, unit);
}
std::string TextOf(int64_t n) { return fmt::format("{}", n); }
std::string TextOf(double x) { return fmt::format("{}", x); }
std::string TextOf(bool b) { return b ? "true" : "false"; }

template <class T>
std::optional<T> Parse(std::string_view text) {
  if constexpr (std::is_same_v<T, Duration>) {
    return ParseDuration(text);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (text == "true") return true;
    if (text == "false") return false;
    return std::nullopt;
  } else {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    if constexpr (std::is_same_v<T, double>) {
      if (!std::isfinite(value)) return std::nullopt;
    }
    return value;
  }
}

template <class T>
constexpr std::string_view kTypeName = "number";
template <>
constexpr std::string_view kTypeName<Duration> = "duration";
template <>
constexpr std::string_view kTypeName<int64_t> = "integer";
template <>
constexpr std::string_view kTypeName<bool> = "bool";

template <class T>
std::string_view Example() {
  if constexpr (std::is_same_v<T, Duration>) {
    return "a duration such as 90s, 250ms or 10m";
  } else if constexpr (std::is_same_v<T, int64_t>) {
    return "a whole number";
  } else if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else {
    return "a number";
  }
}

Error Bad(const Row& row, std::string_view value, std::string_view wrong) {
  return Error(Code::kInvalidArgument,
               fmt::format("policy option {}: '{}' {}", row.name, value, wrong))
      .Hint(fmt::format("{}", row.what));
}

template <class T>
Status Set(Policy* policy, T Policy::*field, const Row& row, std::string_view text) {
  const std::optional<T> value = Parse<T>(text);
  if (!value) return Bad(row, text, fmt::format("is not {}", Example<T>()));
  if constexpr (!std::is_same_v<T, bool>) {
    if (*value < *Parse<T>(row.low) || *value > *Parse<T>(row.high)) {
      return Bad(row, text, fmt::format("is outside {}..{}", row.low, row.high));
    }
  }
  policy->*field = *value;
  return {};
}

const Row* Find(std::string_view name) {
  for (const Row& row : kRows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

}  // namespace

const std::vector<PolicyOption>& PolicyOptions() {
  static const std::vector<PolicyOption> options = [] {
    std::vector<PolicyOption> out;
    const Policy policy;
    for (const Row& row : kRows) {
      const std::string_view type =
          std::visit([]<class T>(T Policy::*) { return kTypeName<T>; }, row.field);
      out.push_back({row.name, type, row.unit, PolicyValue(policy, row.name), std::string(row.low),
                     std::string(row.high), row.what});
    }
    return out;
  }();
  return options;
}

Result<Policy> PolicyFrom(const std::map<std::string, std::string>& values) {
  Policy policy;
  for (const auto& [name, text] : values) {
    const Row* row = Find(name);
    if (row == nullptr) {
      return Error(Code::kInvalidArgument, fmt::format("policy option {} is not known", name))
          .Hint("docs/policy.md lists them all");
    }
    TRY(std::visit([&](auto field) { return Set(&policy, field, *row, text); }, row->field));
  }
  if (policy.low_mark >= policy.target_utilization) {
    return Error(Code::kInvalidArgument,
                 fmt::format("policy option low_mark: {} is not below target_utilization, {}",
                             policy.low_mark, policy.target_utilization))
        .Hint("with equal marks a constant demand would add and remove replicas in turn");
  }
  return policy;
}

std::string PolicyValue(const Policy& policy, std::string_view name) {
  const Row* row = Find(name);
  if (row == nullptr) return "";
  return std::visit([&](auto field) { return TextOf(policy.*field); }, row->field);
}

std::string PolicyMarkdown() {
  std::string out =
      "| option | default | range | unit | what it is |\n| --- | --- | --- | --- | --- |\n";
  for (const PolicyOption& o : PolicyOptions()) {
    const std::string range = o.low.empty() ? "true, false" : o.low + " .. " + o.high;
    out += fmt::format("| `{}` | {} | {} | {} | {} |\n", o.name, o.default_text, range, o.unit,
                       o.what);
  }
  return out;
}

}  // namespace weir::sched
