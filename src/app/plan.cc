// `weir plan`: what to rent. Flags and wiring; the answers come from lab/plan.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/client.h"
#include "app/commands.h"
#include "app/plan_lab.h"
#include "app/plan_print.h"
#include "app/setup.h"
#include "io/clock.h"
#include "io/files.h"
#include "io/line_reader.h"
#include "lab/blueprint/goodput.h"
#include "lab/blueprint/hardware.h"
#include "lab/plan/advice.h"
#include "lab/plan/baselines.h"
#include "lab/plan/history.h"

namespace weir::app {

namespace {

constexpr int64_t kMostBytes = 64 << 20;
constexpr size_t kMostValues = 10'000'000;

struct Flags {
  std::string file, from, out;
  int scenarios = 0, unseen = 1000, replications = 2;
  int64_t seed = -1;
  double gap = 0.5, seconds = 300;
  bool prove = false, no_stress = false, quick = false, to_lab = false;
  ClientFlags client;
};
struct LevelFlags {
  std::string history, column = "served", from, to;
  double premium = 0;
  bool json = false, sum = false;
};

// A whole text, gzip or not.
Result<std::string> ReadText(const std::string& path) {
  io::LineReader reader = TRY(io::LineReader::Open(path));
  std::string out;
  std::string_view line;
  while (TRY(reader.Next(&line))) {
    out += line;
    out += '\n';
    if (out.size() > static_cast<size_t>(kMostBytes))
      return Error(Code::kTooLarge,
                   fmt::format("{}: more than {} MiB of text", path, kMostBytes >> 20));
  }
  return out;
}

plan::Known KnownThings() {
  plan::Known k;
  for (const blueprint::Accelerator& a : blueprint::AcceleratorPresets())
    k.accelerators.push_back(
        {a.name, a.aliases, (a.node_watts > 0 ? a.node_watts : a.watts) / 1000});
  k.grams_per_kwh = [](const std::string& region) -> std::optional<double> {
    const auto grams = blueprint::CarbonOf(region);
    if (!grams) return std::nullopt;
    return *grams;
  };
  return k;
}

// A commitment of an earlier plan as a contract in force.
Result<plan::Holding> HoldingOf(const wire::PlanCommitment& c, const std::string& path,
                                plan::Beliefs* b) {
  const plan::Problem& p = b->problem;
  plan::Holding h;
  h.name = c.name;
  h.where = path;
  h.provider = c.provider;
  h.provider_index = plan::ProviderNamed(b, c.provider);
  h.pool = -1;
  for (size_t k = 0; k < p.pools.size(); ++k)
    if (p.pools[k].name == c.pool) h.pool = static_cast<int>(k);
  if (h.pool < 0)
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: commitment {} is of pool {}, which the plan file has not", path,
                             c.name, c.pool));
  h.accelerators = c.accelerators;
  h.price_usd_h = c.price_usd_h;
  const plan::Month start = TRY(plan::ParseMonth(c.start, path + ": " + c.name + ": start"));
  const plan::Month end = TRY(plan::ParseMonth(c.end, path + ": " + c.name + ": end"));
  h.start = start - p.start;
  h.end = end - p.start;
  h.ramp = c.ramp;
  if (h.accelerators < 0 || h.price_usd_h < 0 || h.end <= h.start || h.ramp.empty())
    return Error(Code::kInvalidArgument,
                 fmt::format("{}: commitment {} is not possible", path, c.name));
  // What was prepaid is used up evenly over the term.
  const double left = static_cast<double>(h.end - std::max(0, h.start)) / (h.end - h.start);
  h.prepaid_usd = static_cast<double>(c.prepaid_microusd) / 1e6 * left;
  return h;
}

// The commitments of an earlier plan that have been signed by now become contracts in force.
Status TakeCommitments(const std::string& path, plan::Beliefs* b) {
  const auto read = wire::FromText<wire::PlanDoc>(TRY(io::ReadFile(path, kMostBytes)));
  const auto wrong = [&](const std::string& why) {
    return Error(Code::kInvalidArgument, fmt::format("{}: {}", path, why))
        .Hint("give the plan.json that an earlier `weir plan --out` wrote");
  };
  if (!read) return wrong(read.error().message());
  if (read->weir_plan != 1) return wrong("no plan of weir");
  plan::Problem& p = b->problem;
  int taken = 0, open = 0;
  const plan::Month then = TRY(plan::ParseMonth(read->start, path + ": start"));
  if (p.start < then)
    return wrong(fmt::format("it begins in {}, after this plan", plan::MonthText(then)));
  for (const wire::PlanCommitment& c : read->commitments) {
    const plan::Month signed_in = TRY(plan::ParseMonth(c.signed_in, path + ": " + c.name));
    if (signed_in >= p.start && signed_in > then) {
      ++open;  // not signed yet: decided anew
      continue;
    }
    bool known = false;
    for (const plan::Holding& other : p.holdings) known = known || other.name == c.name;
    if (known) continue;  // the plan file knows better how it stands
    plan::Holding h = TRY(HoldingOf(c, path, b));
    if (h.end <= 0) continue;  // over
    // A part of the offer is gone with it.
    for (plan::Offer& o : p.offers)
      if (o.name == c.offer) {
        o.max_lots -= static_cast<int>(c.lots + 0.5);
        o.min_lots = std::min(o.min_lots, std::max(0, o.max_lots));
      }
    p.holdings.push_back(std::move(h));
    ++taken;
  }
  for (plan::Offer& o : p.offers)
    if (o.max_lots < 1) {  // all of it is signed
      o.max_lots = 0;
      o.min_lots = 0;
      o.expires = -1;
    }
  b->notes.push_back(fmt::format("{}: {} contracts in force, {} planned for later are open again",
                                 path, taken, open));
  return {};
}

Result<int> MakePlan(const Flags& f) {
  if (f.file.empty())
    return Error(Code::kInvalidArgument, "a plan file is missing")
        .Hint("weir plan FILE.toml; docs/plan.md has one to begin with");
  const std::filesystem::path folder = std::filesystem::path(f.file).parent_path();
  const std::string toml = TRY(io::ReadFile(f.file, kMostBytes));
  LabTables lab(f.client, toml, f.file);
  plan::Beliefs b = TRY(plan::ReadBeliefs(
      toml, f.file,
      [&](const std::string& path) {
        return LabTables::IsOfLab(path) ? lab.Read(path) : ReadText((folder / path).string());
      },
      KnownThings()));
  b.notes.insert(b.notes.end(), lab.notes().begin(), lab.notes().end());
  if (f.scenarios > 0) b.scenarios = f.scenarios;
  if (f.seed >= 0) b.seed = static_cast<uint64_t>(f.seed);
  if (!f.from.empty()) TRY(TakeCommitments(f.from, &b));
  plan::PlanOptions options;
  options.solve.gap = f.gap / 100;
  options.solve.relaxed_gap = std::min(0.0005, options.solve.gap / 2);
  options.solve.prove = f.prove;
  const io::RealClock clock;
  const Duration began = clock.Monotonic();
  options.solve.out_of_time = [&clock, began, limit = f.seconds] {
    return (clock.Monotonic() - began).seconds() > limit;
  };
  options.unseen = f.unseen;
  options.replications = f.quick ? 0 : f.replications;
  options.stress = !f.no_stress && !f.quick;
  if (f.quick) options.most_resolves = 0;
  const plan::PlanAnswer answer = TRY(plan::MakePlan(std::move(b), options));
  const std::string title = std::filesystem::path(f.file).stem().string();
  const wire::PlanDoc doc = PlanDocOf(answer, title);
  if (!f.out.empty()) {
    TRY(io::MakeDirs(f.out, 0755));
    TRY(io::WriteFileAtomically(f.out + "/plan.json", PlanJson(doc), 0644));
    TRY(io::WriteFileAtomically(f.out + "/plan.html", PlanPage(answer, title), 0644));
  }
  fmt::print("{}", f.client.json ? PlanJson(doc) : PlanText(answer));
  if (!f.out.empty() && !f.client.json)
    fmt::print("\nthe page: {0}/plan.html; to go on from it: {0}/plan.json\n", f.out);
  if (f.to_lab) {
    const Client client = TRY(Client::Open(f.client));
    TRY(client.Ask("PUT", "/api/v1/plan", wire::ToText(doc)));
    if (!f.client.json) fmt::print("the lab holds it: {}/plan\n", client.url());
  }
  return 0;
}

// One committed level for a series: the newsvendor.
Result<int> FindLevel(const LevelFlags& f) {
  if (f.premium <= 1)
    return Error(Code::kInvalidArgument, fmt::format("--premium {} is not above 1", f.premium))
        .Hint("it is the on-demand price over the committed one, such as 2.1");
  io::LineReader reader = TRY(io::LineReader::Open(f.history));
  std::vector<double> values;
  std::string_view line;
  std::vector<std::string> heading;
  int column = -1, time = 0;
  std::string last;
  const auto split = [](std::string_view row) {
    std::vector<std::string> cells(1);
    for (const char c : row) {
      if (c == ',')
        cells.emplace_back();
      else if (c != '"' && c != '\r')
        cells.back() += c;
    }
    return cells;
  };
  while (TRY(reader.Next(&line))) {
    if (line.empty()) continue;
    const std::vector<std::string> cells = split(line);
    if (heading.empty()) {
      heading = cells;
      for (size_t i = 0; i < heading.size(); ++i)
        if (heading[i] == f.column) column = static_cast<int>(i);
      if (column < 0)
        return Error(Code::kInvalidArgument,
                     fmt::format("{}:1: there is no column {}", f.history, f.column))
            .Hint("its columns are: " + std::string(line));
      continue;
    }
    const auto where = fmt::format("{}:{}", f.history, reader.line_number());
    if (cells.size() != heading.size())
      return Error(Code::kInvalidArgument, fmt::format("{}: {} cells under {} headings", where,
                                                       cells.size(), heading.size()));
    const std::string& at = cells[static_cast<size_t>(time)];
    if (!f.from.empty() && at < f.from) continue;
    if (!f.to.empty() && at.substr(0, f.to.size()) > f.to) continue;
    const double v =
        TRY(plan::ParseQuantity(cells[static_cast<size_t>(column)], plan::Unit::kCount, where));
    if (f.sum && at == last && !values.empty()) {
      values.back() += v;
    } else {
      if (f.sum && !last.empty() && at < last)
        return Error(Code::kInvalidArgument,
                     fmt::format("{}: {} comes after {}: dates out of order", where, at, last));
      if (values.size() >= kMostValues)
        return Error(Code::kTooLarge, fmt::format("{}: too many rows", f.history));
      values.push_back(v);
    }
    last = at;
  }
  if (values.empty())
    return Error(Code::kInvalidArgument, fmt::format("{}: no row is within the dates", f.history));
  const plan::Level level = plan::NewsvendorLevel(values, f.premium);
  if (f.json) {
    fmt::print("{}\n", nlohmann::ordered_json({{"intervals", values.size()},
                                               {"premium", f.premium},
                                               {"level", level.level},
                                               {"cost", level.cost},
                                               {"on_demand_cost", level.on_demand_cost},
                                               {"saved", level.saved()}})
                           .dump(2));
  } else {
    fmt::print(
        "commit to {:.6g} of what {} intervals ask for: it costs {:.6g} an interval in committed "
        "prices, "
        "{:.2f}% less than on demand alone ({:.6g})\n",
        level.level, values.size(), level.cost, 100 * level.saved(), level.on_demand_cost);
  }
  return 0;
}

}  // namespace

void AddPlanCommand(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("plan", "What to rent: commitments under uncertainty");
  auto f = std::make_shared<Flags>();
  command->add_option("file", f->file, "PLAN.toml: pools, demand, offers, contracts, limits");
  command->add_option("--from", f->from,
                      "plan.json of an earlier plan: go on from where its contracts stand");
  command->add_option("--out", f->out, "Folder for plan.html and plan.json");
  command->add_option("--scenarios", f->scenarios, "Futures to plan for, instead of the file's")
      ->check(CLI::Range(1, 5000));
  command->add_option("--unseen", f->unseen, "Futures to judge by")
      ->check(CLI::Range(10, 20000))
      ->capture_default_str();
  command->add_option("--seed", f->seed, "Of the futures, instead of the file's");
  command->add_option("--gap", f->gap, "Distance from the best plan to stop at, in percent")
      ->check(CLI::Range(0.001, 50.0))
      ->capture_default_str();
  command
      ->add_option("--seconds", f->seconds,
                   "After so long, the best plan so far with its proven gap")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str();
  command
      ->add_option("--replications", f->replications,
                   "Fresh samples for the confidence interval; 0: none")
      ->check(CLI::Range(0, 20))
      ->capture_default_str();
  command->add_flag("--prove", f->prove, "Have the integer solver confirm it");
  command->add_flag("--no-stress", f->no_stress, "Leave out what would break the plan");
  command->add_flag("--quick", f->quick,
                    "The decisions and duals only: no re-solves, stress or interval");
  command->add_flag("--to-lab", f->to_lab,
                    "Have the running lab hold it: its dashboard shows the newest");
  command->add_flag("--json", f->client.json, "Print as JSON");
  AddConnectionFlags(*command, f->client);
  command->footer(
      "Examples:\n"
      "  weir plan examples/plan/three-offers.toml --out plan\n"
      "  weir plan next-quarter.toml --from plan/plan.json --out plan-q2\n"
      "  weir plan from-the-lab.toml --to-lab\n"
      "  weir plan newsvendor --history usage.csv --premium 2.1\n"
      "docs/plan.md has the file's fields; docs/guides/three-offers.md a worked example.");
  command->require_subcommand(0, 1);
  CLI::App* level =
      command->add_subcommand("newsvendor", "One level to commit to, from a history of demand");
  auto l = std::make_shared<LevelFlags>();
  level->add_option("--history", l->history, "CSV, plain or gzip; its first column is the time")
      ->required();
  level->add_option("--column", l->column, "The demand's column")->capture_default_str();
  level->add_option("--premium", l->premium, "On-demand price over the committed one")->required();
  level->add_option("--first", l->from, "First time, as the file writes it, such as 2024-01-07");
  level->add_option("--last", l->to, "Last time, such as 2024-01-20");
  level->add_flag("--sum", l->sum, "Rows of one time are parts of one demand");
  level->add_flag("--json", l->json, "Print as JSON");
  level->footer(
      "Example:\n  weir plan newsvendor --history demand.csv.gz --column NORM_USAGE --sum "
      "--premium 2.1");
  level->callback([l, &exit_status] {
    const auto done = FindLevel(*l);
    exit_status = done ? *done : Complain("plan newsvendor", done.error());
  });
  command->callback([command, f, &exit_status] {
    if (!command->get_subcommands().empty()) return;
    const auto done = MakePlan(*f);
    exit_status = done ? *done : Complain("plan", done.error());
  });
}

}  // namespace weir::app
