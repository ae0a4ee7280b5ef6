#include "control/sim/report/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/schema.h"

namespace weir::sim {

using wire::Json;

const std::vector<Metric>& Metrics() {
  static const std::vector<Metric> all = {
      {"product", "demand", "slot-min", 0, 0, [](const Outcome& o) { return o.need_slot_min; }},
      {"product", "unmet", "slot-min", 0, -1, [](const Outcome& o) { return o.unmet_slot_min; }},
      {"product", "unmet share", "%", 3, -1,
       [](const Outcome& o) {
         return o.need_slot_min > 0 ? 100 * o.unmet_slot_min / o.need_slot_min : 0;
       }},
      {"product", "below SLO", "service-min", 0, -1,
       [](const Outcome& o) { return o.below_slo_min; }},
      {"product", "borrowed", "slot-h", 0, 0, [](const Outcome& o) { return o.borrowed_slot_h; }},
      {"research", "completion mean", "h", 2, -1,
       [](const Outcome& o) { return o.completion.mean / 3600; }},
      {"research", "completion p50", "h", 3, -1,
       [](const Outcome& o) { return o.completion.p50 / 3600; }},
      {"research", "completion p90", "h", 2, -1,
       [](const Outcome& o) { return o.completion.p90 / 3600; }},
      {"research", "completion p99", "h", 1, -1,
       [](const Outcome& o) { return o.completion.p99 / 3600; }},
      {"research", "queueing mean", "h", 2, -1,
       [](const Outcome& o) { return o.delay.mean / 3600; }},
      {"research", "queueing p50", "h", 3, -1, [](const Outcome& o) { return o.delay.p50 / 3600; }},
      {"research", "queueing p90", "h", 2, -1, [](const Outcome& o) { return o.delay.p90 / 3600; }},
      {"research", "queueing p99", "h", 1, -1, [](const Outcome& o) { return o.delay.p99 / 3600; }},
      {"research", "jobs done", "jobs", 0, 1,
       [](const Outcome& o) { return static_cast<double>(o.done); }},
      {"stops", "lost to preemption", "slot-h", 1, -1,
       [](const Outcome& o) { return o.lost_to_preemption_slot_h; }},
      {"stops", "lost to failures", "slot-h", 1, -1,
       [](const Outcome& o) { return o.lost_to_failures_slot_h; }},
      {"stops", "pauses", "", 0, -1,
       [](const Outcome& o) { return static_cast<double>(o.preemptions); }},
      {"stops", "shrinks", "", 0, 0,
       [](const Outcome& o) { return static_cast<double>(o.shrinks); }},
      {"stops", "jobs hit", "jobs", 0, -1,
       [](const Outcome& o) { return static_cast<double>(o.jobs_hit); }},
      {"loans", "opened", "", 0, 0,
       [](const Outcome& o) { return static_cast<double>(o.loans.opened); }},
      {"loans", "past due", "", 0, -1,
       [](const Outcome& o) { return static_cast<double>(o.loans.late); }},
      {"loans", "length p50", "min", 1, 0,
       [](const Outcome& o) { return o.loans.length_s.p50 / 60; }},
      {"loans", "pay-back p99", "s", 1, -1,
       [](const Outcome& o) { return o.loans.pay_back_s.p99; }},
      {"fleet", "utilization", "%", 1, 1, [](const Outcome& o) { return 100 * o.utilization; }},
      {"fleet", "fragmentation", "%", 1, -1,
       [](const Outcome& o) { return 100 * o.fragmentation; }},
      {"fleet", "fairness (Jain)", "", 3, 1, [](const Outcome& o) { return o.jain; }},
      {"fleet", "simulated", "days", 1, -1,
       [](const Outcome& o) { return o.simulated_s / 86'400; }},
      {"money", "rent", "USD", 0, -1, [](const Outcome& o) { return o.cost_usd; }},
      {"money", "of it idle", "USD", 0, -1, [](const Outcome& o) { return o.idle_usd; }},
      {"money", "of it lost", "USD", 0, -1, [](const Outcome& o) { return o.lost_usd; }},
      {"money", "energy", "kWh", 0, -1, [](const Outcome& o) { return o.energy_kwh; }},
      {"money", "energy cost", "USD", 0, -1, [](const Outcome& o) { return o.energy_usd; }},
      {"money", "carbon", "kg", 0, -1, [](const Outcome& o) { return o.carbon_kg; }},
      {"decisions", "decisions", "", 0, 0,
       [](const Outcome& o) { return static_cast<double>(o.decisions); }},
      {"decisions", "moves", "", 0, 0,
       [](const Outcome& o) { return static_cast<double>(o.moves); }},
  };
  return all;
}

namespace {

Json Of(const Spread& s) {
  return {{"count", s.count}, {"mean", s.mean}, {"p50", s.p50},
          {"p90", s.p90},     {"p99", s.p99},   {"max", s.max}};
}

Json Of(const std::vector<GroupOutcome>& groups) {
  Json out = Json::array();
  for (const GroupOutcome& g : groups) {
    out.push_back({{"name", g.name},
                   {"queueing_s", Of(g.delay)},
                   {"completion_s", Of(g.completion)},
                   {"slot_h", g.slot_h}});
  }
  return out;
}

Json Of(const Outcome& o) {
  Json j;
  j["policy"] = o.policy;
  j["what"] = o.what;
  j["oracle"] = !o.online;
  j["simulated_s"] = o.simulated_s;
  j["jobs"] = {{"accepted", o.jobs}, {"done", o.done}, {"never_started", o.never_started}};
  j["research"] = {{"queueing_s", Of(o.delay)},
                   {"completion_s", Of(o.completion)},
                   {"by_size", Of(o.by_size)},
                   {"by_team", Of(o.by_team)}};
  Json services = Json::array();
  for (const ServiceOutcome& s : o.services) {
    services.push_back({{"name", s.name},
                        {"own_slots", s.own_slots},
                        {"need_slot_min", s.need_slot_min},
                        {"unmet_slot_min", s.unmet_slot_min},
                        {"below_slo_min", s.below_slo_min},
                        {"held_slot_h", s.held_slot_h}});
  }
  j["product"] = {{"need_slot_min", o.need_slot_min},
                  {"unmet_slot_min", o.unmet_slot_min},
                  {"below_slo_min", o.below_slo_min},
                  {"borrowed_slot_h", o.borrowed_slot_h},
                  {"services", services}};
  j["slot_h"] = {{"research", o.research_slot_h},
                 {"product", o.product_slot_h},
                 {"idle", o.idle_slot_h},
                 {"down", o.down_slot_h},
                 {"useful", o.useful_slot_h},
                 {"starting", o.start_slot_h},
                 {"checkpoints", o.checkpoint_slot_h},
                 {"lost_to_preemption", o.lost_to_preemption_slot_h},
                 {"lost_to_failures", o.lost_to_failures_slot_h},
                 {"lent_to_research", o.lent_to_research_slot_h}};
  j["stops"] = {{"pauses", o.preemptions},
                {"shrinks", o.shrinks},
                {"failures", o.failures},
                {"jobs_hit", o.jobs_hit},
                {"worst_repeat_s", o.worst_repeat_s}};
  j["loans"] = {{"opened", o.loans.opened},
                {"past_due", o.loans.late},
                {"slot_h", o.loans.slot_h},
                {"length_s", Of(o.loans.length_s)},
                {"pay_back_s", Of(o.loans.pay_back_s)}};
  Json shares = Json::array();
  for (const TeamShare& s : o.shares) {
    shares.push_back(
        {{"team", s.name}, {"slot_h", s.slot_h}, {"entitled_slot_h", s.entitled_slot_h}});
  }
  j["fairness"] = {{"jain", o.jain}, {"shares", shares}};
  j["utilization"] = o.utilization;
  j["fragmentation"] = o.fragmentation;
  j["money"] = {{"rent_usd", o.cost_usd},       {"research_usd", o.research_usd},
                {"product_usd", o.product_usd}, {"idle_usd", o.idle_usd},
                {"lost_usd", o.lost_usd},       {"energy_usd", o.energy_usd}};
  j["energy"] = {{"kwh", o.energy_kwh}, {"carbon_kg", o.carbon_kg}};
  j["decisions"] = {{"count", o.decisions}, {"moves", o.moves}, {"events", o.events}};
  j["fingerprint"] = fmt::format("{:016x}", o.fingerprint);
  j["violation"] = o.violation;
  Json series = Json::object();
  for (const Series::Channel& c : o.series.channels) series[c.name] = c.values;
  j["series"] = {{"bin_s", o.series.bin_s}, {"channels", series}};
  j["quantiles"] = {{"queueing_s", o.delay_quantiles}, {"completion_s", o.completion_quantiles}};
  return j;
}

}  // namespace

std::string ReportJson(const Report& report) {
  const Scenario& s = *report.scenario;
  Json j;
  j["format"] = "weir-sim-1";
  j["inputs"] = report.inputs;
  j["fleet"] = {{"name", s.fleet.name},
                {"nodes", s.fleet.nodes.size()},
                {"slots", s.fleet.slots()},
                {"sites", s.fleet.sites.size()}};
  j["seed"] = s.seed;
  j["notes"] = s.notes;
  j["checks"] = report.checks;
  j["bound"] = {{"unmet_slot_min", report.bound.unmet_slot_min},
                {"mean_completion_s", report.bound.mean_completion_s},
                {"mean_alone_s", report.bound.mean_alone_s},
                {"mean_fluid_s", report.bound.mean_fluid_s},
                {"alone_s", Of(report.bound.alone)}};
  j["policies"] = Json::array();
  for (const Outcome& o : report.outcomes) j["policies"].push_back(Of(o));
  return j.dump(1) + "\n";
}

std::string TimingJson(const Report& report) {
  Json j = Json::object();
  for (const Outcome& o : report.outcomes) j[o.policy] = {{"decide_us", Of(o.decide_us)}};
  return j.dump(1) + "\n";
}

std::string ReportTable(const Report& report) {
  std::vector<std::vector<std::string>> rows;
  rows.push_back({"", ""});
  for (const Outcome& o : report.outcomes) rows.back().push_back(o.policy);
  std::string_view group;
  for (const Metric& m : Metrics()) {
    const bool any = std::any_of(report.outcomes.begin(), report.outcomes.end(),
                                 [&](const Outcome& o) { return m.of(o) != 0; });
    if (!any && m.group != "research") continue;
    if (m.group != group) {
      group = m.group;
      rows.push_back({std::string(group)});
    }
    rows.push_back({fmt::format("  {}", m.name), std::string(m.unit)});
    for (const Outcome& o : report.outcomes)
      rows.back().push_back(fmt::format("{:.{}f}", m.of(o), m.digits));
  }
  std::vector<size_t> width;
  for (const auto& row : rows) {
    width.resize(std::max(width.size(), row.size()));
    for (size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t c = 0; c < row.size(); ++c)
      line += c < 2 ? fmt::format("{:<{}}  ", row[c], width[c])
                    : fmt::format("{:>{}}  ", row[c], width[c]);
    while (!line.empty() && line.back() == ' ') line.pop_back();
    out += line + "\n";
  }
  return out;
}

}  // namespace weir::sim
