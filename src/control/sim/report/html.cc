// The page: one file, no script, nothing fetched.
#include <fmt/format.h>

#include <algorithm>

#include "control/sim/report/plot.h"
#include "control/sim/report/report.h"

namespace weir::sim {

namespace {

const char* const kColours[] = {"#0b6e99", "#c4622d", "#5b8c3e", "#8a4fa3", "#b8962e",
                                "#c23b5a", "#4a5fc1", "#6b6b6b", "#1f9e89", "#444444"};
constexpr const char* kResearch = "#7fa8c9";
constexpr const char* kOwn = "#e3a765";
constexpr const char* kBorrowed = "#c4473a";
constexpr const char* kIdle = "#e9e9e4";
constexpr const char* kDown = "#8d8d8d";

constexpr const char* kStyle = R"(
:root{color-scheme:light}
body{font:14px/1.45 system-ui,sans-serif;color:#1c2226;background:#fff;margin:0 auto;max-width:1180px;padding:24px}
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:30px 0 8px}
p,li{max-width:80ch}small,.dim{color:#5c666d}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:3px 10px;text-align:right;border-bottom:1px solid #e6e8ea;white-space:nowrap}
th:first-child,td:first-child{text-align:left}td.u{text-align:left;color:#5c666d}
tr.h td{font-weight:600;border-bottom:1px solid #9aa3a9;padding-top:12px}
td.best{font-weight:700;color:#0b6e99}td.oracle,th.oracle{color:#777;font-style:italic}
.plots{display:flex;flex-wrap:wrap;gap:14px}
svg{background:#fff;border:1px solid #e6e8ea;border-radius:4px;max-width:100%;height:auto}
svg .t{font-size:12px;font-weight:600;fill:#1c2226}svg .n{font-size:10.5px;fill:#5c666d}
svg .g{stroke:#eceef0}
.key span{display:inline-block;margin-right:14px;white-space:nowrap}
.key i{display:inline-block;width:11px;height:11px;margin-right:5px;border-radius:2px}
.bad{color:#a4161a;white-space:pre-wrap;font-family:ui-monospace,monospace;font-size:12px}
.wide{overflow-x:auto}
)";

std::string Legend(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string out = "<p class=\"key\">";
  for (const auto& [name, colour] : entries)
    out += fmt::format("<span><i style=\"background:{}\"></i>{}</span>", colour, EscapeHtml(name));
  return out + "</p>";
}

const std::vector<double>* ChannelOf(const Outcome& o, std::string_view name) {
  for (const Series::Channel& c : o.series.channels) {
    if (c.name == name) return &c.values;
  }
  return nullptr;
}

Curve CurveOf(const Outcome& o, std::string_view channel, std::string name, std::string colour) {
  Curve curve{std::move(name), std::move(colour), {}, false};
  const std::vector<double>* values = ChannelOf(o, channel);
  if (values == nullptr) return curve;
  for (size_t i = 0; i < values->size(); ++i)
    curve.points.emplace_back((static_cast<double>(i) + 0.5) * o.series.bin_s / 86'400,
                              (*values)[i]);
  return curve;
}

// Percent of jobs below a time; the quantiles are at 0 %, 1 %, ...
Curve Cdf(const std::vector<double>& quantiles, std::string name, std::string colour) {
  Curve curve{std::move(name), std::move(colour), {}, false};
  for (size_t q = 0; q < quantiles.size(); ++q)
    curve.points.emplace_back(std::max(1.0, quantiles[q]), static_cast<double>(q));
  return curve;
}

std::string MetricTable(const Report& report) {
  std::string out = "<div class=\"wide\"><table><tr><th></th><th></th>";
  for (const Outcome& o : report.outcomes)
    out += fmt::format("<th{} title=\"{}\">{}</th>", o.online ? "" : " class=\"oracle\"",
                       EscapeHtml(o.what), EscapeHtml(o.policy));
  out += "</tr>";
  std::string_view group;
  for (const Metric& m : Metrics()) {
    const bool any = std::any_of(report.outcomes.begin(), report.outcomes.end(),
                                 [&](const Outcome& o) { return m.of(o) != 0; });
    if (!any) continue;
    if (m.group != group) {
      group = m.group;
      out += fmt::format("<tr class=\"h\"><td colspan=\"{}\">{}</td></tr>",
                         report.outcomes.size() + 2, group);
    }
    double best = 0;
    bool have = false;
    for (const Outcome& o : report.outcomes) {
      if (!o.online || m.better == 0) continue;
      const double v = m.of(o);
      if (!have || (m.better < 0 ? v < best : v > best)) best = v;
      have = true;
    }
    out += fmt::format("<tr><td>{}</td><td class=\"u\">{}</td>", m.name, m.unit);
    for (const Outcome& o : report.outcomes) {
      const double v = m.of(o);
      const char* css = !o.online                            ? " class=\"oracle\""
                        : have && m.better != 0 && v == best ? " class=\"best\""
                                                             : "";
      out += fmt::format("<td{}>{:.{}f}</td>", css, v, m.digits);
    }
    out += "</tr>";
  }
  return out + "</table></div>";
}

std::string GroupTable(const Report& report, const char* heading,
                       const std::vector<GroupOutcome> Outcome::*groups) {
  std::string out = fmt::format(
      "<div class=\"wide\"><table><tr><th>{}</th><th>policy</th><th>jobs</th><th>slot-h</th>"
      "<th>queueing mean, h</th><th>p50</th><th>p90</th><th>p99</th><th>completion mean, h</th>"
      "<th>p50</th><th>p90</th><th>p99</th></tr>",
      heading);
  constexpr size_t kMostGroups = 12;
  const size_t n =
      report.outcomes.empty() ? 0 : std::min(kMostGroups, (report.outcomes[0].*groups).size());
  for (size_t g = 0; g < n; ++g) {
    const std::string& name = (report.outcomes[0].*groups)[g].name;
    for (const Outcome& o : report.outcomes) {
      const auto found = std::find_if((o.*groups).begin(), (o.*groups).end(),
                                      [&](const GroupOutcome& x) { return x.name == name; });
      if (found == (o.*groups).end()) continue;
      const auto h = [](double s) { return fmt::format("<td>{:.2f}</td>", s / 3600); };
      out += fmt::format("<tr><td>{}</td><td class=\"u\">{}</td><td>{}</td><td>{:.0f}</td>",
                         EscapeHtml(name), EscapeHtml(o.policy), found->completion.count,
                         found->slot_h) +
             h(found->delay.mean) + h(found->delay.p50) + h(found->delay.p90) +
             h(found->delay.p99) + h(found->completion.mean) + h(found->completion.p50) +
             h(found->completion.p90) + h(found->completion.p99) + "</tr>";
    }
  }
  return out + "</table></div>";
}

}  // namespace

std::string ReportHtml(const Report& report) {
  const Scenario& s = *report.scenario;
  std::string out = fmt::format(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>weir sim: {0}</title><style>{1}</style></head><body>"
      "<h1>weir sim: {0}</h1><p class=\"dim\">{2} nodes, {3} slots; {4} jobs, {5} service{6}; seed "
      "{7}</p>",
      EscapeHtml(s.fleet.name), kStyle, s.fleet.nodes.size(), s.fleet.slots(), s.jobs.size(),
      s.services.size(), s.services.size() == 1 ? "" : "s", s.seed);
  for (const std::string& input : report.inputs)
    out += fmt::format("<div class=\"dim\">{}</div>", EscapeHtml(input));
  for (const Outcome& o : report.outcomes) {
    if (!o.violation.empty())
      out += fmt::format("<p class=\"bad\">an invariant does not hold: {}</p>",
                         EscapeHtml(o.violation));
  }
  if (!s.notes.empty()) {
    out += "<h2>About the input</h2><ul>";
    for (const std::string& note : s.notes) out += fmt::format("<li>{}</li>", EscapeHtml(note));
    out += "</ul>";
  }
  if (!report.checks.empty()) {
    out += "<h2>What was to be shown</h2><ul>";
    for (const std::string& check : report.checks)
      out += fmt::format("<li>{}</li>", EscapeHtml(check));
    out += "</ul>";
  }
  out += "<h2>Policies side by side</h2>" + MetricTable(report);
  out += fmt::format(
      "<p class=\"dim\">Bold: the best that knows nothing of the future. In italics: an oracle. No "
      "policy at all can have a mean completion below {:.2f} h ({:.2f} h if every job ran alone at "
      "once; {:.2f} h with jobs as water, shortest first), nor less unmet demand than {:.0f} "
      "slot-minutes.</p>",
      report.bound.mean_completion_s / 3600, report.bound.mean_alone_s / 3600,
      report.bound.mean_fluid_s / 3600, report.bound.unmet_slot_min);

  out += "<h2>Who held what</h2>" + Legend({{"research", kResearch},
                                            {"product, its own", kOwn},
                                            {"product, borrowed", kBorrowed},
                                            {"idle", kIdle},
                                            {"down", kDown},
                                            {"product's need", "#222"}});
  out += "<div class=\"plots\">";
  for (const Outcome& o : report.outcomes) {
    Axes axes{.title = o.policy,
              .x = "days",
              .y = "slots",
              .y_max = static_cast<double>(s.fleet.slots())};
    std::vector<Curve> lines;
    if (!s.services.empty()) lines.push_back(CurveOf(o, "need", "need", "#222"));
    out += AreaPlot(axes,
                    {CurveOf(o, "product", "product, its own", kOwn),
                     CurveOf(o, "borrowed", "product, borrowed", kBorrowed),
                     CurveOf(o, "research", "research", kResearch),
                     CurveOf(o, "idle", "idle", kIdle), CurveOf(o, "down", "down", kDown)},
                    lines);
  }
  out += "</div>";

  std::vector<std::pair<std::string, std::string>> names;
  std::vector<Curve> delay, completion, waiting, unmet;
  for (size_t i = 0; i < report.outcomes.size(); ++i) {
    const Outcome& o = report.outcomes[i];
    const char* colour = kColours[i % std::size(kColours)];
    names.emplace_back(o.policy, colour);
    delay.push_back(Cdf(o.delay_quantiles, o.policy, colour));
    completion.push_back(Cdf(o.completion_quantiles, o.policy, colour));
    delay.back().dashed = completion.back().dashed = !o.online;
    waiting.push_back(CurveOf(o, "waiting", o.policy, colour));
    Curve short_of{o.policy, colour, {}, !o.online};
    const auto* need = ChannelOf(o, "need");
    const auto* served = ChannelOf(o, "served");
    double sum = 0;
    for (size_t b = 0; need != nullptr && served != nullptr && b < need->size(); ++b) {
      sum += std::max(0.0, (*need)[b] - (*served)[b]) * o.series.bin_s / 60;
      short_of.points.emplace_back((static_cast<double>(b) + 1) * o.series.bin_s / 86'400, sum);
    }
    unmet.push_back(std::move(short_of));
  }
  if (!s.jobs.empty()) {
    out +=
        "<h2>Research</h2>" + Legend(names) + "<div class=\"plots\">" +
        LinePlot({.title = "time until the first start",
                  .x = "seconds, logarithmic",
                  .y = "% of jobs",
                  .log_x = true,
                  .y_max = 100},
                 delay) +
        LinePlot({.title = "time until the end",
                  .x = "seconds, logarithmic",
                  .y = "% of jobs",
                  .log_x = true,
                  .y_max = 100},
                 completion) +
        LinePlot({.title = "slots asked for by waiting jobs", .x = "days", .y = "slots"}, waiting) +
        "</div>";
  }
  if (!s.services.empty()) {
    std::vector<Bar> below;
    for (const Outcome& o : report.outcomes) {
      below.push_back({o.policy, {}});
      for (const ServiceOutcome& service : o.services)
        below.back().parts.push_back(service.below_slo_min);
    }
    std::vector<std::pair<std::string, std::string>> services;
    for (size_t i = 0; i < s.services.size(); ++i)
      services.emplace_back(s.services[i].spec.name, kColours[(i + 1) % std::size(kColours)]);
    out += "<h2>Product</h2>" + Legend(names) + "<div class=\"plots\">" +
           LinePlot({.title = "demand not served, added up", .x = "days", .y = "slot-minutes"},
                    unmet) +
           BarPlot({.title = "minutes below SLO, by service"}, below, services) + "</div>";
    std::vector<Curve> borrowed;
    for (size_t i = 0; i < report.outcomes.size(); ++i)
      borrowed.push_back(CurveOf(report.outcomes[i], "borrowed", report.outcomes[i].policy,
                                 kColours[i % std::size(kColours)]));
    out += "<h2>Loans</h2>" + Legend(names) + "<div class=\"plots\">" +
           LinePlot({.title = "slots beyond product's own", .x = "days", .y = "slots"}, borrowed) +
           "</div>";
  }
  std::vector<Bar> hours, money;
  for (const Outcome& o : report.outcomes) {
    hours.push_back({o.policy, {o.lost_to_preemption_slot_h, o.lost_to_failures_slot_h}});
    money.push_back({o.policy, {o.research_usd, o.product_usd, o.idle_usd}});
  }
  out += "<h2>What it cost</h2><div class=\"plots\">" +
         BarPlot({.title = "slot-hours lost to preemption (red) and failures (grey)"}, hours,
                 {{"preemption", kBorrowed}, {"failures", kDown}}) +
         BarPlot({.title = "rent by holder, USD: research, product, idle"}, money,
                 {{"research", kResearch}, {"product", kOwn}, {"idle", "#c9c9c2"}}) +
         "</div>";
  if (!s.jobs.empty()) {
    out += "<h2>Research by size of job</h2>" + GroupTable(report, "slots", &Outcome::by_size);
    if (!report.outcomes.empty() && report.outcomes[0].by_team.size() > 1)
      out += "<h2>Research by team</h2>" + GroupTable(report, "team", &Outcome::by_team);
  }
  out +=
      "<h2>Assumptions</h2><p>What a trace does not say is settled by the fleet file, the same "
      "for every policy: ";
  const Assume& a = s.fleet.assume;
  out += fmt::format(
      "a start takes {} for one slot and {} more for each doubling; a checkpoint every {} of work "
      "stalls a job for {} and {} more for each doubling; jobs of {} slots or more can be "
      "checkpointed, of the smaller ones {:.0f}%; {:.0f}% of those with 4 slots or more run at any "
      "size from {:.2g} to {:.2g} of theirs, where n slots do n^{:.2g} times the work of one; a "
      "job "
      "that is asked to stop {}.</p>",
      Human(a.start_base), Human(a.start_per_doubling), Human(a.checkpoint_interval),
      Human(a.save_base), Human(a.save_per_doubling), a.checkpointable_from,
      100 * a.checkpointable_share, 100 * a.elastic_share, a.elastic_min, a.elastic_max,
      a.scaling_exponent,
      a.stop_grace.us > 0
          ? fmt::format("saves first if that takes no longer than {}", Human(a.stop_grace))
          : std::string("does not save first"));
  if (!s.services.empty()) {
    out += "<p>Services: ";
    for (const SimService& service : s.services) {
      out += fmt::format(
          "{} needs one replica of {} slot{} for every {:.4g} requests/s ({:.4g} at "
          "full use, SLO up to {:.0f}% use), owns {} slots, mean need {:.1f}, peak "
          "{:.0f}; a replica is ready {} after its start. ",
          EscapeHtml(service.spec.name), service.spec.slots_per_replica,
          service.spec.slots_per_replica == 1 ? "" : "s",
          service.spec.rate_per_replica * service.spec.slo_utilization,
          service.spec.rate_per_replica, 100 * service.spec.slo_utilization, service.own_slots,
          service.mean_need_slots, service.peak_need_slots, Human(service.spec.startup));
    }
    out += "</p>";
  }
  return out + "</body></html>\n";
}

}  // namespace weir::sim
