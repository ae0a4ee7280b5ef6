// The plan as one page: no script, nothing fetched, light and dark.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/plan_print.h"
#include "control/sim/report/plot.h"

namespace weir::app {

using namespace plan;
using sim::AreaPlot;
using sim::Bar;
using sim::BarPlot;
using sim::Curve;
using sim::EscapeHtml;
using sim::LinePlot;

namespace {

constexpr int kColours = 8;
constexpr size_t kMostLadders = 8, kMostSteps = 14, kMostOffers = 60;

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2226;--dim:#5c666d;--line:#e6e8ea;--grid:#eceef0;--good:#1c7a3e;--warn:#a35a00;
--c0:#0b6e99;--c1:#c4622d;--c2:#5b8c3e;--c3:#8a4fa3;--c4:#b8962e;--c5:#c23b5a;--c6:#4a5fc1;--c7:#7b8790;--fan:#1c2226}
@media (prefers-color-scheme:dark){:root{--bg:#14181b;--fg:#e4e8ea;--dim:#98a3aa;--line:#2b3237;--grid:#232a2e;--good:#63c98a;--warn:#e3a54a;
--c0:#3f9fca;--c1:#de8350;--c2:#84b763;--c3:#b57ccc;--c4:#d4b44c;--c5:#e4647f;--c6:#7e90ea;--c7:#8a959c;--fan:#f2f4f5}}
body{font:14px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);margin:0 auto;max-width:1180px;padding:24px}
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:30px 0 8px}
p,li{max-width:84ch}.dim{color:var(--dim)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:3px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child,td.l,th.l{text-align:left}
td.yes{color:var(--good);font-weight:600;text-align:left}td.ask{color:var(--warn);font-weight:600;text-align:left}td.no{color:var(--dim);text-align:left}
tr.me td{font-weight:600}
.plots{display:flex;flex-wrap:wrap;gap:14px;align-items:flex-start}.plots>div{max-width:562px}
svg{background:var(--bg);border:1px solid var(--line);border-radius:4px;max-width:100%;height:auto}
svg .t{font-size:12px;font-weight:600;fill:var(--fg)}svg .n{font-size:10.5px;fill:var(--dim)}
svg .g{stroke:var(--grid)}
.key span{display:inline-block;margin-right:14px;white-space:nowrap}
.key i{display:inline-block;width:11px;height:11px;margin-right:5px;border-radius:2px}
.wide{overflow-x:auto}
)";

std::string ColourAt(size_t i) { return fmt::format("var(--c{})", i % kColours); }

std::string Key(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string out = "<p class=\"key\">";
  for (const auto& [name, colour] : entries)
    out += fmt::format("<span><i style=\"background:{}\"></i>{}</span>", colour, EscapeHtml(name));
  return out + "</p>";
}

// Bars with room for long names: what AreaPlot's kin in the simulator's page have not.
std::string WideBars(const std::string& title,
                     const std::vector<std::pair<std::string, double>>& bars,
                     const std::string& colour) {
  constexpr double kRow = 22, kTop = 26, kNames = 290, kWidth = 560, kValues = 60;
  double most = 1e-9;
  for (const auto& [name, value] : bars) most = std::max(most, value);
  const double height = kTop + kRow * static_cast<double>(bars.size()) + 10;
  std::string out = fmt::format(
      "<svg viewBox=\"0 0 {0} {1:.0f}\" width=\"{0}\" height=\"{1:.0f}\" role=\"img\" "
      "aria-label=\"{2}\">"
      "<text class=\"t\" x=\"8\" y=\"15\">{2}</text>",
      kWidth, height, EscapeHtml(title));
  double y = kTop;
  for (const auto& [name, value] : bars) {
    const double w = std::max(0.0, value) / most * (kWidth - kNames - kValues);
    out += fmt::format(
        "<text class=\"n\" text-anchor=\"end\" x=\"{:.0f}\" y=\"{:.1f}\">{}</text>"
        "<rect x=\"{:.0f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"16\" fill=\"{}\"/>"
        "<text class=\"n\" x=\"{:.1f}\" y=\"{:.1f}\">{:.3g}</text>",
        kNames - 6, y + 14, EscapeHtml(name), kNames, y + 2, w, colour, kNames + w + 5, y + 14,
        value);
    y += kRow;
  }
  return out + "</svg>";
}

// A step for each month, so that a commitment looks like one.
std::vector<std::pair<double, double>> Steps(const std::vector<double>& by_month) {
  std::vector<std::pair<double, double>> out;
  for (size_t t = 0; t < by_month.size(); ++t) {
    out.emplace_back(static_cast<double>(t), by_month[t]);
    out.emplace_back(static_cast<double>(t) + 1, by_month[t]);
  }
  return out;
}
std::vector<std::pair<double, double>> Middle(const std::vector<double>& by_month) {
  std::vector<std::pair<double, double>> out;
  for (size_t t = 0; t < by_month.size(); ++t)
    out.emplace_back(static_cast<double>(t) + 0.5, by_month[t]);
  return out;
}

std::string LadderOf(const PlanAnswer::Ladder& l) {
  std::vector<Curve> layers;
  std::vector<std::pair<std::string, std::string>> key;
  std::vector<double> rest;
  for (size_t i = 0; i < l.steps.size(); ++i) {
    if (i >= kMostSteps) {
      if (rest.empty()) rest.assign(l.steps[i].second.size(), 0.0);
      for (size_t t = 0; t < rest.size(); ++t) rest[t] += l.steps[i].second[t];
      continue;
    }
    layers.push_back({l.steps[i].first, ColourAt(i), Steps(l.steps[i].second), false});
    key.emplace_back(l.steps[i].first, ColourAt(i));
  }
  if (!rest.empty()) {
    layers.push_back({"others", "var(--c7)", Steps(rest), false});
    key.emplace_back("others", "var(--c7)");
  }
  double top = 0;
  for (const double v : l.p90) top = std::max(top, v);
  std::vector<double> sum(l.p50.size(), 0.0);
  for (const auto& [name, gives] : l.steps)
    for (size_t t = 0; t < sum.size(); ++t) top = std::max(top, sum[t] += gives[t]);
  // Nothing signed: an empty layer, so that the months are drawn.
  if (layers.empty()) layers.push_back({"nothing", "var(--c7)", Steps(sum), false});
  const std::vector<Curve> fan = {{"1 in 10 is below", "var(--fan)", Middle(l.p10), true},
                                  {"as many above as below", "var(--fan)", Middle(l.p50), false},
                                  {"1 in 10 is above", "var(--fan)", Middle(l.p90), true}};
  return "<div>" +
         AreaPlot({.title = l.title,
                   .x = "month of the plan",
                   .y = "work, accelerators",
                   .y_max = top * 1.05},
                  layers, fan) +
         Key(key) + "</div>";
}

}  // namespace

std::string PlanPage(const PlanAnswer& a, const std::string& title) {
  const Problem& p = a.problem;
  const Verdict& v = a.rivals[0].verdict;
  const auto when = [&](int month) { return MonthText(p.start + month); };
  std::string out = fmt::format(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>weir plan: {0}</title><style>{1}</style></head><body>"
      "<h1>weir plan: {0}</h1><p class=\"dim\">{2} months from {3}; {4} futures to plan for, {5} "
      "unseen "
      "ones to judge by; {6} offers, {7} contracts in force</p>",
      EscapeHtml(title), kStyle, p.months, MonthText(p.start), a.futures, a.unseen, p.offers.size(),
      p.holdings.size());
  out += fmt::format(
      "<p>The plan costs <b>{}</b> on average and <b>{}</b> in the worst {:.0f}% of futures. "
      "Research misses "
      "{:.1f}% of its work ({:.0f} accelerator-hours of its floor), product {:.1f}%. It is proven "
      "to be within "
      "{:.2f}% of the best one for its {} futures",
      Dollars(v.mean), Dollars(v.cvar), 100 * p.tail, 100 * v.research_missed(), v.floor_missed,
      100 * v.product_missed(), 100 * a.solution.gap(), a.futures);
  if (a.gap_asked)
    out += fmt::format(", and with 95% confidence within {} ({:.1f}%) of the best for all futures",
                       Dollars(a.gap_high_usd), 100 * a.gap_high_usd / std::max(1.0, v.objective));
  out += ".</p>";

  out +=
      "<h2>What to do</h2><div class=\"wide\"><table><tr><th>offer</th><th "
      "class=\"l\">decision</th>"
      "<th>accelerators</th><th>from</th><th>sign by</th><th>asks, $/h</th><th>walk away at, "
      "$/h</th>"
      "<th>worth</th><th class=\"l\">flips with</th></tr>";
  size_t shown = 0;
  for (const OfferAdvice& o : a.offers) {
    if (shown++ >= kMostOffers) break;
    const Offer& offer = p.offers[static_cast<size_t>(o.offer)];
    const char* css = o.accelerators > 0 ? "yes" : o.action == "renegotiate" ? "ask" : "no";
    std::string from;
    for (const Signed& x : o.lots) from += (from.empty() ? "" : ", ") + when(x.block.start);
    out += fmt::format(
        "<tr><td>{}</td><td class=\"{}\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.2f}</td>"
        "<td>{}</td><td>{}</td><td class=\"l\">{}</td></tr>",
        EscapeHtml(offer.name), css, o.action,
        o.accelerators > 0 ? fmt::format("{:.0f}", o.accelerators)
        : o.quantity > 0   ? fmt::format("({:.0f})", o.quantity)
                           : "",
        from, o.sign_by >= 0 ? when(o.sign_by) : "", o.ask_usd_h,
        o.indispensable ? "any" : fmt::format("{:.2f}", o.walk_away_usd_h),
        o.indispensable   ? "indispensable"
        : o.worth_usd > 0 ? Dollars(o.worth_usd)
                          : "",
        EscapeHtml(o.flip));
  }
  out += "</table></div>";
  if (a.offers.size() > kMostOffers)
    out += fmt::format("<p class=\"dim\">{} more offers are in plan.json.</p>",
                       a.offers.size() - kMostOffers);
  for (const std::string& name : a.lapsing)
    out +=
        fmt::format("<p>Contract {} ends and is not renewed: let it lapse.</p>", EscapeHtml(name));
  out +=
      "<p class=\"dim\">The walk-away price is what the offer is worth to us: above it the plan is "
      "as good "
      "without. A number in brackets is what would be taken just below it.</p>";

  out +=
      "<h2>Commitments against demand</h2><p class=\"dim\">Steps: what is held and signed, as "
      "promised. "
      "Lines: demand in futures that the planner has not seen; a tenth lies below the lower dashed "
      "line "
      "and a tenth above the upper one.</p><div class=\"plots\">";
  for (size_t i = 0; i < a.ladders.size() && i < kMostLadders; ++i) out += LadderOf(a.ladders[i]);
  out += "</div>";
  if (a.ladders.size() > kMostLadders)
    out += fmt::format("<p class=\"dim\">and {} more groups</p>", a.ladders.size() - kMostLadders);

  // How often the cost stays below: one curve for each way to plan.
  out += "<h2>What it costs</h2>";
  std::vector<Curve> costs;
  std::vector<std::pair<std::string, std::string>> key;
  for (size_t r = 0; r < a.rivals.size(); ++r) {
    std::vector<double> sorted = a.rivals[r].verdict.cost;
    std::sort(sorted.begin(), sorted.end());
    Curve c{a.rivals[r].name, ColourAt(r), {}, r > 0};
    for (int q = 0; q <= 100; ++q)
      c.points.emplace_back(
          q, sorted[static_cast<size_t>(q / 100.0 * static_cast<double>(sorted.size() - 1))] / 1e6);
    key.emplace_back(a.rivals[r].name, ColourAt(r));
    costs.push_back(std::move(c));
  }
  std::vector<Bar> parts;
  for (const Rival& r : a.rivals)
    parts.push_back({r.name,
                     {r.verdict.committed / 1e6, r.verdict.on_demand / 1e6, r.verdict.spot / 1e6,
                      r.verdict.lost / 1e6, r.verdict.floor_price / 1e6}});
  const std::vector<std::pair<std::string, std::string>> part_key = {
      {"committed", "var(--c0)"},
      {"on demand", "var(--c1)"},
      {"spot", "var(--c2)"},
      {"work not done", "var(--c3)"},
      {"research floor missed, at its stand-in price", "var(--c5)"}};
  const auto missed = [&](size_t cls, const char* name, const char* colour) {
    Curve c{name, colour, {}, false};
    for (size_t t = 0; t < v.asked[cls].size(); ++t)
      c.points.emplace_back(static_cast<double>(t) + 0.5,
                            v.asked[cls][t] > 0 ? 100 * v.missed[cls][t] / v.asked[cls][t] : 0);
    return c;
  };
  out += Key(key) + "<div class=\"plots\">" +
         LinePlot({.title = "cost in unseen futures, sorted",
                   .x = "% of futures that cost less",
                   .y = "$ million"},
                  costs) +
         "<div>" + BarPlot({.title = "mean cost by kind, $ million"}, parts, part_key) +
         Key(part_key) + "</div>" + "<div>" +
         LinePlot({.title = "expected shortage of this plan",
                   .x = "month of the plan",
                   .y = "% of the work"},
                  {missed(0, "research", "var(--c0)"), missed(1, "product", "var(--c1)")}) +
         Key({{"research", "var(--c0)"}, {"product", "var(--c1)"}}) + "</div></div>";
  out +=
      "<div class=\"wide\"><table><tr><th>way to plan</th><th>mean</th><th>worst</th><th>research "
      "missed</th>"
      "<th>floor missed, h</th><th>product missed</th><th class=\"l\">what it is</th></tr>";
  for (const Rival& r : a.rivals)
    out += fmt::format(
        "<tr{}><td>{}</td><td>{}</td><td>{}</td><td>{:.1f}%</td><td>{:.0f}</td><td>{:.1f}%</td>"
        "<td class=\"l\">{}</td></tr>",
        r.name == "plan" ? " class=\"me\"" : "", r.name, Dollars(r.verdict.mean),
        Dollars(r.verdict.cvar), 100 * r.verdict.research_missed(), r.verdict.floor_missed,
        100 * r.verdict.product_missed(), r.what);
  out += "</table></div>";

  double whole = 0;
  for (const auto& [name, spend] : a.spend_by_provider) whole += spend;
  out += "<h2>Whom and what it depends on</h2><div class=\"plots\">";
  std::vector<std::pair<std::string, double>> shares, bets, regret;
  for (const auto& [name, spend] : a.spend_by_provider)
    shares.emplace_back(name, 100 * spend / whole);
  for (size_t i = 0; i < a.factors.size() && i < 10 && a.factors[i].explains >= 0.005; ++i)
    bets.emplace_back(a.factors[i].name, 100 * a.factors[i].explains);
  for (const Stress& s : a.stresses) regret.emplace_back(s.what, s.regret / 1e6);
  if (!shares.empty()) out += WideBars("committed spend by provider, %", shares, "var(--c0)");
  if (!bets.empty())
    out += WideBars("what the cost goes with, % of its variance", bets, "var(--c3)");
  if (!regret.empty())
    out +=
        WideBars("sensitivity: dearer than a plan that had known, $ million", regret, "var(--c5)");
  out += "</div>";
  if (!a.stresses.empty()) {
    out +=
        "<h2>What would break it</h2><div class=\"wide\"><table><tr><th>if</th><th>mean cost</th>"
        "<th>research missed</th><th>product missed</th><th>dearer than a plan that had "
        "known</th></tr>";
    for (const Stress& s : a.stresses)
      out +=
          fmt::format("<tr><td>{}</td><td>{}</td><td>{:.1f}%</td><td>{:.1f}%</td><td>{}</td></tr>",
                      EscapeHtml(s.what), Dollars(s.mean), 100 * s.research_missed,
                      100 * s.product_missed, Dollars(s.regret));
    out += "</table></div>";
  }
  if (!a.binding.empty()) {
    out += "<h2>Limits that cost money</h2><ul>";
    for (size_t i = 0; i < a.binding.size() && i < 12; ++i)
      out += fmt::format("<li>{}: one percent more would save {}</li>",
                         EscapeHtml(a.binding[i].what), Dollars(a.binding[i].price));
    out += "</ul>";
  }
  out += fmt::format(
      "<h2>Assumptions</h2><p>All money is discounted to {} at {:.1f}% a year. The plan minimises "
      "{:.0f}% of "
      "the mean and {:.0f}% of the mean of the worst {:.0f}% of futures; the research floor comes "
      "before cost. "
      "Of what is owed after the last month, {:.0f}% is believed to be recovered by use.</p>",
      MonthText(p.start), 100 * p.capital, 100 * (1 - p.risk), 100 * p.risk, 100 * p.tail,
      100 * p.after_horizon);
  for (const std::string& n : a.notes) out += "<p class=\"dim\">" + EscapeHtml(n) + "</p>";
  return out + "</body></html>\n";
}

}  // namespace weir::app
