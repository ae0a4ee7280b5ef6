// bench/viral_day: a product goes viral in a lab that trains on everything it has.
//
//   viral_day [--shared DIR] [--out DIR] [--days N] [--from N] [--seed N] [--policy NAMES]
//             [--fleet N] [--threads N] [--set OPTION=VALUE]...
//
// Research  the jobs of SenseTime's Venus cluster, from day 14 on, on 256, 512 and 768
// accelerators. Product   the demand of both ServeGen models, repeated every 14 days for as long as
// jobs come. A
//           replica is one accelerator; fully used it serves 50 requests/s of m-small (130 tokens
//           in, 25 out on average) or 10 of m-large (360 in, 290 out); the SLO holds up to 80% use.
//           Product owns the mean of what it needs, on nodes beside research's; the rest is to be
//           borrowed.
// Others    nobody saves at a stop: every policy loses what was done since the last periodic
//           checkpoint. Starts, checkpoints and elasticity as the defaults of [assume] in
//           docs/sim.md.
// Policies  all, with their defaults, but for one: a loan lasts up to six hours instead of ten
//           minutes, as demand here swings by the day and is recorded by the ten minutes.
//
// Prints one table for each fleet and what was to be shown; writes DIR/N/report.html and .json.
// Exit status 1 if an invariant broke; a target that is missed is said with the bound, and is no
// failure of the program.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <thread>

#include "control/sim/run.h"
#include "control/sim/traces/format.h"
#include "io/files.h"
#include "io/line_reader.h"
#include "lab/sched/policy.h"

namespace weir::sim {
namespace {

struct Options {
  std::string shared, out = "viral_day", policies = "all";
  int64_t days = 0, from = 14, only = 0;
  uint64_t seed = 1;
  int threads = 1;
  std::map<std::string, std::string> set;  // options of the policy, for a look at what they do
};

// The median price on demand of one V100-class accelerator in the offers at hand; 2.5 USD without.
double MedianPrice(const std::string& path) {
  std::vector<double> prices;
  if (auto reader = io::LineReader::Open(path)) {
    std::string_view line;
    std::vector<std::string_view> cells;
    std::vector<std::string> scratch;
    size_t price = 0, type = 0;
    while (true) {
      const Result<bool> more = reader->Next(&line);
      if (!more || !*more) break;
      if (!SplitLine(line, ',', &cells, &scratch)) continue;
      if (reader->line_number() == 1) {
        for (size_t i = 0; i < cells.size(); ++i) {
          if (cells[i] == "on_demand_usd_per_accel_h") price = i;
          if (cells[i] == "accelerator") type = i;
        }
        continue;
      }
      if (cells.size() <= std::max(price, type) || !cells[type].starts_with("A100")) continue;
      if (const double usd = std::atof(std::string(cells[price]).c_str()); usd > 0)
        prices.push_back(usd);
    }
  }
  if (prices.empty()) return 2.5;
  std::sort(prices.begin(), prices.end());
  return prices[prices.size() / 2];
}

FleetSpec FleetOf(int64_t research, int64_t own, double price) {
  FleetSpec fleet = PlainFleet((research + own + 7) / 8, 8, "A100");
  fleet.name = fmt::format("viral day, {} + {} accelerators", research, own);
  for (size_t i = 0; i < fleet.nodes.size(); ++i) {
    fleet.nodes[i].leaf = static_cast<int>(i / 4);
    fleet.nodes[i].spine = static_cast<int>(i / 32);
    fleet.nodes[i].price_usd_per_slot_h = price;
  }
  for (const auto& [name, rate] : {std::pair("m-small", 50.0), std::pair("m-large", 10.0)}) {
    ServiceSpec service;
    service.name = name;
    service.rate_per_replica = rate;
    fleet.services.push_back(std::move(service));
  }
  return fleet;
}

// The defaults, but for the loan's term.
Result<sched::Policy> PolicyOf(std::map<std::string, std::string> set) {
  set.try_emplace("loan_term", "6h");
  return sched::PolicyFrom(set);
}

// What was to be shown of Weir's policy, one sentence each, and the bound where it is missed.
std::vector<std::string> Checks(const Report& report) {
  const Outcome *weir = nullptr, *oracle = nullptr;
  for (const Outcome& o : report.outcomes) {
    if (o.policy == "weir") weir = &o;
    if (o.policy == "shortest") oracle = &o;
  }
  std::vector<std::string> out;
  if (weir == nullptr) return out;
  const auto say = [&](bool met, std::string text) {
    out.push_back((met ? "met: " : "MISSED: ") + std::move(text));
  };
  const double need = std::max(1.0, weir->need_slot_min);
  if (oracle != nullptr) {
    const double excess = 100 * (weir->unmet_slot_min - oracle->unmet_slot_min) / need;
    say(excess <= 2,
        fmt::format(
            "demand not served is within 2% of all demand of the oracle's: {:.3f}% more "
            "({:.0f} against {:.0f} slot-min of {:.0f}; no policy can have less than {:.0f})",
            excess, weir->unmet_slot_min, oracle->unmet_slot_min, need,
            report.bound.unmet_slot_min));
  }
  // Online policies that serve product as well as Weir does, to 2% of the demand.
  const Outcome *least = nullptr, *mean = nullptr, *p99 = nullptr;
  for (const Outcome& o : report.outcomes) {
    if (!o.online || &o == weir) continue;
    if (o.unmet_slot_min > weir->unmet_slot_min + 0.02 * need) continue;
    if (o.preemptions > 0 &&
        (least == nullptr || o.lost_to_preemption_slot_h < least->lost_to_preemption_slot_h))
      least = &o;
    if (mean == nullptr || o.completion.mean < mean->completion.mean) mean = &o;
    if (p99 == nullptr || o.completion.p99 < p99->completion.p99) p99 = &o;
  }
  if (least != nullptr) {
    say(weir->lost_to_preemption_slot_h <= least->lost_to_preemption_slot_h / 3,
        fmt::format("lost to preemption: {:.0f} slot-h, at most a third of {}'s {:.0f}{}",
                    weir->lost_to_preemption_slot_h, least->policy,
                    least->lost_to_preemption_slot_h,
                    oracle == nullptr
                        ? std::string()
                        : fmt::format(" (the oracle loses {:.0f}, which bounds from above what "
                                      "knowing the future saves)",
                                      oracle->lost_to_preemption_slot_h)));
  }
  if (mean != nullptr) {
    say(weir->completion.mean <= mean->completion.mean,
        fmt::format("research's mean completion: {:.2f} h, no worse than {}'s {:.2f} h (nobody can "
                    "be below {:.2f} h)",
                    weir->completion.mean / 3600, mean->policy, mean->completion.mean / 3600,
                    report.bound.mean_completion_s / 3600));
  }
  if (p99 != nullptr) {
    say(weir->completion.p99 <= p99->completion.p99,
        fmt::format(
            "research's p99 completion: {:.1f} h, no worse than {}'s {:.1f} h (alone on the "
            "fleet every job would have {:.1f} h)",
            weir->completion.p99 / 3600, p99->policy, p99->completion.p99 / 3600,
            report.bound.alone.p99 / 3600));
  }
  say(weir->loans.late == 0 && weir->violation.empty(),
      fmt::format("every loan is returned by its due time: {} of {} were late", weir->loans.late,
                  weir->loans.opened));
  return out;
}

Status RunFleet(int64_t research, const Options& options, const Trace& trace, bool* broken) {
  const double price = MedianPrice(options.shared + "/prices/gpu_offers.csv");
  ScenarioOptions scenario_options;
  scenario_options.seed = options.seed;
  scenario_options.from = Duration::Seconds(options.from * 86'400);
  scenario_options.length = Duration::Seconds(options.days * 86'400);
  // Once to learn what product owns, then with nodes for it.
  FleetSpec fleet = FleetOf(research, 512, price);
  const Scenario first = TRY(MakeScenario(fleet, trace, scenario_options));
  int64_t own = 0;
  for (const SimService& service : first.services) own += service.own_slots;
  fleet = FleetOf(research, own, price);
  fleet.policy = TRY(PolicyOf(options.set));
  const Scenario scenario = TRY(MakeScenario(std::move(fleet), trace, scenario_options));
  const auto policies = TRY(PoliciesNamed(options.policies));

  const auto began = std::chrono::steady_clock::now();
  Report report;
  report.scenario = &scenario;
  RunOptions run;
  run.threads = options.threads;
  run.stopwatch = [] {
    return Duration{std::chrono::duration_cast<std::chrono::microseconds>(
                        std::chrono::steady_clock::now().time_since_epoch())
                        .count()};
  };
  report.outcomes = RunPolicies(scenario, policies, run);
  report.bound = BoundOf(scenario);
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  report.inputs = {fmt::format("helios_venus from day {}{}; servegen m-small and m-large, repeated",
                               options.from,
                               options.days > 0 ? fmt::format(", {} days", options.days) : "")};
  report.checks = Checks(report);
  TRY(WriteReport(report, fmt::format("{}/{}", options.out, research)));

  fmt::print("\n== {} accelerators for research, {} owned by product; {} jobs; {:.1f} s\n\n",
             research, own, scenario.jobs.size(), took);
  fmt::print("{}", ReportTable(report));
  fmt::print("\n{:<10} {:>10} {:>8} {:>8} {:>9}\n", "decisions", "count", "p50 us", "p99 us",
             "max us");
  for (const Outcome& o : report.outcomes) {
    fmt::print("{:<10} {:>10} {:>8.0f} {:>8.0f} {:>9.0f}\n", o.policy, o.decisions, o.decide_us.p50,
               o.decide_us.p99, o.decide_us.max);
    if (o.violation.empty()) continue;
    fmt::print(stderr, "an invariant does not hold: {}\n", o.violation);
    *broken = true;
  }
  fmt::print("\n");
  for (const std::string& check : report.checks) fmt::print("{}\n", check);
  fmt::print("page: {}/{}/report.html\n", options.out, research);
  return {};
}

int Main(int argc, char** argv) {
  Options options;
  if (const char* shared = std::getenv("WEIR_SHARED")) options.shared = shared;
  options.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--shared")
      options.shared = value;
    else if (flag == "--out")
      options.out = value;
    else if (flag == "--policy")
      options.policies = value;
    else if (flag == "--days")
      options.days = std::atoll(value.c_str());
    else if (flag == "--from")
      options.from = std::atoll(value.c_str());
    else if (flag == "--fleet")
      options.only = std::atoll(value.c_str());
    else if (flag == "--seed")
      options.seed = static_cast<uint64_t>(std::atoll(value.c_str()));
    else if (flag == "--set" && value.find('=') != std::string::npos)
      options.set[value.substr(0, value.find('='))] = value.substr(value.find('=') + 1);
    else if (flag == "--threads")
      options.threads = std::atoi(value.c_str());
    else {
      fmt::print(stderr, "viral_day: {} is not a flag; see the head of bench/viral_day.cc\n", flag);
      return 2;
    }
  }
  if (options.shared.empty()) {
    fmt::print(stderr, "viral_day: say where the traces are: --shared DIR, or WEIR_SHARED\n");
    return 2;
  }
  Trace trace;
  for (const char* file : {"helios_venus/jobs.csv.gz", "servegen/m-small_total.csv.gz",
                           "servegen/m-large_total.csv.gz"}) {
    const Status read = ReadTrace(fmt::format("{}/traces/{}", options.shared, file), {}, &trace);
    if (!read) {
      fmt::print(stderr, "viral_day: {}\n", read.error().ToString());
      return 2;
    }
  }
  bool broken = false;
  for (const int64_t research : {int64_t{256}, int64_t{512}, int64_t{768}}) {
    if (options.only != 0 && options.only != research) continue;
    if (const Status run = RunFleet(research, options, trace, &broken); !run) {
      fmt::print(stderr, "viral_day: {}\n", run.error().ToString());
      return 2;
    }
  }
  return broken ? 1 : 0;
}

}  // namespace
}  // namespace weir::sim

int main(int argc, char** argv) { return weir::sim::Main(argc, argv); }
