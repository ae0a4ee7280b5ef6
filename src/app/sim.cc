// `weir sim`: flags and wiring of the simulator (control/sim).
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <thread>

#include "app/commands.h"
#include "control/sim/from_journal.h"
#include "control/sim/run.h"
#include "control/sim/traces/format.h"
#include "io/clock.h"

namespace weir::app {

namespace {

struct SimFlags {
  std::string fleet, policy = "weir", out = "sim", jobs_format, demand_format, journal, from,
                     length;
  std::vector<std::string> jobs, demand;
  uint64_t seed = 1;
  int threads = 0;
  bool strict = false, json = false, once = false, quiet = false, timing = false, formats = false,
       policies = false;
};

Result<Duration> LengthFlag(const char* flag, const std::string& text) {
  if (text.empty()) return Duration{};
  const auto d = ParseDuration(text);
  if (!d || d->us < 0) {
    return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" is not a duration", flag, text))
        .Hint("write one such as 12h or 14d");
  }
  return *d;
}

Result<sim::Report> Simulate(const SimFlags& f, sim::Scenario* scenario) {
  const auto policies = TRY(sim::PoliciesNamed(f.policy));
  sim::Report report;
  sim::Trace trace;
  sim::FleetSpec fleet;
  if (!f.journal.empty()) {
    sim::JournalPast past = TRY(sim::ReadJournalPast(f.journal));
    trace = std::move(past.trace);
    fleet = f.fleet.empty() ? std::move(past.fleet) : TRY(sim::ReadFleet(f.fleet));
    report.inputs.push_back(fmt::format("journal of {}", f.journal));
  } else if (f.fleet.empty()) {
    return Error(Code::kInvalidArgument, "--fleet is missing")
        .Hint("docs/sim.md has a FLEET.toml to begin with");
  } else {
    fleet = TRY(sim::ReadFleet(f.fleet));
  }
  if (!f.fleet.empty()) report.inputs.push_back(fmt::format("fleet {}", f.fleet));
  for (const std::string& path : f.jobs) {
    TRY(sim::ReadTrace(path, {.strict = f.strict, .format = f.jobs_format}, &trace));
    report.inputs.push_back(fmt::format("jobs {}", path));
  }
  for (const std::string& path : f.demand) {
    TRY(sim::ReadTrace(path, {.strict = f.strict, .format = f.demand_format}, &trace));
    report.inputs.push_back(fmt::format("demand {}", path));
  }
  sim::ScenarioOptions options;
  options.seed = f.seed;
  options.from = TRY(LengthFlag("--from", f.from));
  options.length = TRY(LengthFlag("--for", f.length));
  options.repeat_demand = !f.once;
  options.strict = f.strict;
  *scenario = TRY(sim::MakeScenario(std::move(fleet), std::move(trace), options));
  for (const std::string& note : scenario->notes) fmt::print(stderr, "note: {}\n", note);

  sim::RunOptions run;
  run.threads = f.threads > 0 ? f.threads : static_cast<int>(std::thread::hardware_concurrency());
  if (!f.journal.empty())
    run.tick = Duration::Seconds(5);  // one machine's minutes, not a fleet's days
  const io::RealClock clock;
  if (f.timing) run.stopwatch = [&clock] { return clock.Monotonic(); };
  const bool live = !f.quiet && isatty(STDERR_FILENO) != 0;
  if (live) {
    const double jobs = static_cast<double>(scenario->jobs.size());
    run.progress = [jobs](const sim::PolicyEntry& policy, const sim::ReplayProgress& p) {
      fmt::print(stderr, "\r{:<10} day {:6.1f}   {:5.1f}% of jobs   ", policy.name,
                 p.simulated_days, jobs > 0 ? 100.0 * static_cast<double>(p.jobs_ended) / jobs : 0);
      std::fflush(stderr);
    };
  }
  report.scenario = scenario;
  report.outcomes = sim::RunPolicies(*scenario, policies, run);
  if (live) fmt::print(stderr, "\r{:60}\r", "");
  report.bound = sim::BoundOf(*scenario);
  return report;
}

int Run(const SimFlags& f) {
  if (f.formats) {
    fmt::print("{}", sim::FormatsMarkdown());
    return 0;
  }
  if (f.policies) {
    fmt::print("{}", sim::PoliciesMarkdown());
    return 0;
  }
  const auto fail = [](const Error& error) {
    fmt::print(stderr, "weir sim: {}\n", error.ToString());
    return InfoOf(error.code()).exit_status;
  };
  sim::Scenario scenario;
  const Result<sim::Report> report = Simulate(f, &scenario);
  if (!report) return fail(report.error());
  if (const Status written = sim::WriteReport(*report, f.out); !written)
    return fail(written.error());
  if (f.json) {
    fmt::print("{}", sim::ReportJson(*report));
  } else {
    fmt::print("{}", sim::ReportTable(*report));
    fmt::print("\nreport: {0}/report.html, {0}/report.json\n", f.out);
  }
  int status = 0;
  for (const sim::Outcome& outcome : report->outcomes) {
    if (outcome.violation.empty()) continue;
    fmt::print(stderr, "weir sim: an invariant does not hold: {}\n", outcome.violation);
    status = InfoOf(Code::kInternal).exit_status;
  }
  return status;
}

}  // namespace

void AddSimCommand(CLI::App& app, int& exit_status) {
  CLI::App* command =
      app.add_subcommand("sim", "Replay traces, or this lab's past, under several policies");
  auto f = std::make_shared<SimFlags>();
  command->add_option("--fleet", f->fleet, "FLEET.toml: nodes, teams, services, assumptions");
  command->add_option("--jobs", f->jobs, "Trace of jobs, plain or gzip; may be repeated");
  command->add_option("--demand", f->demand, "Trace of demand, plain or gzip; may be repeated");
  command->add_option("--policy", f->policy, "Names with commas between them, or all")
      ->capture_default_str();
  command->add_option("--seed", f->seed, "Of faults")->capture_default_str();
  command->add_option("--out", f->out, "Folder for report.html and report.json")
      ->capture_default_str();
  command->add_option("--from-journal", f->journal,
                      "Data folder of a lab: replay its own past (read only)");
  command->add_option("--from", f->from, "Leave out jobs submitted before, such as 14d");
  command->add_option("--for", f->length, "Take jobs of so long only, such as 7d");
  command->add_option("--jobs-format", f->jobs_format, "Instead of telling it by the first line");
  command->add_option("--demand-format", f->demand_format, "The same, of --demand");
  command->add_option("--threads", f->threads, "Policies side by side (default: the cores)");
  command->add_flag("--demand-once", f->once, "Do not repeat the demand when it has ended");
  command->add_flag("--strict", f->strict, "Stop at the first malformed row or impossible job");
  command->add_flag("--timing", f->timing, "Time the decisions too, into timing.json");
  command->add_flag("--json", f->json, "Print the report as JSON");
  command->add_flag("--quiet", f->quiet, "No progress line");
  command->add_flag("--formats", f->formats, "List the trace formats, and stop");
  command->add_flag("--policies", f->policies, "List the policies, and stop");
  command->footer(
      "Examples:\n"
      "  weir sim --fleet fleet.toml --jobs jobs.csv.gz --policy weir,tier,easy --out report\n"
      "  weir sim --fleet fleet.toml --jobs jobs.csv.gz --demand chat.csv.gz --policy all\n"
      "  weir sim --from-journal ~/.local/share/weir --policy weir,fifo\n"
      "docs/sim.md says what is simulated and how; docs/formats.md the formats.");
  command->callback([f, &exit_status] { exit_status = Run(*f); });
}

}  // namespace weir::app
