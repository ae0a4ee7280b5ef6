#include "lab/plan/beliefs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/nearest.h"
#include "lab/plan/history.h"

namespace weir::plan {

namespace {

constexpr int kMostMonths = 120;
constexpr int kMostPools = 200, kMostDemands = 500, kMostOffers = 20'000;

template <class List>
int IndexOf(const List& list, std::string_view name) {
  for (size_t i = 0; i < list.size(); ++i)
    if (list[i].name == name) return static_cast<int>(i);
  return -1;
}
template <class List>
std::vector<std::string> NamesOf(const List& list) {
  std::vector<std::string> out;
  for (const auto& e : list) out.push_back(e.name);
  return out;
}
std::string Lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}
std::string Suggest(const std::string& name, const std::vector<std::string>& known) {
  const std::string near = NearestOf(name, known);
  if (!near.empty()) return fmt::format("did you mean `{}`?", near);
  std::string list;
  for (size_t i = 0; i < known.size() && i < 12; ++i) list += (i ? ", " : "") + known[i];
  return known.empty() ? "none is defined" : fmt::format("known are {}", list);
}

Result<int> PoolNamed(const Node& n, const std::string& name, const Problem& p) {
  const int i = IndexOf(p.pools, name);
  if (i >= 0) return i;
  return n.Wrong(Code::kInvalidArgument, fmt::format("there is no pool `{}`", name))
      .Hint(Suggest(name, NamesOf(p.pools)));
}

Result<std::string> AcceleratorOf(const Node& n, const std::string& name, const Known& known,
                                  double* kw) {
  if (known.accelerators.empty()) return name;
  std::vector<std::string> names;
  for (const Known::Accelerator& a : known.accelerators) {
    bool is = Lower(a.name) == Lower(name);
    for (const std::string& alias : a.aliases) is = is || Lower(alias) == Lower(name);
    if (is) {
      *kw = a.kw;
      return a.name;
    }
    names.push_back(Lower(a.name));
    for (const std::string& alias : a.aliases) names.push_back(Lower(alias));
  }
  const std::string near = NearestOf(Lower(name), names);
  std::string all;
  for (const Known::Accelerator& a : known.accelerators) all += (all.empty() ? "" : ", ") + a.name;
  return n.Wrong(Code::kNotFound, fmt::format("accelerator `{}` is not known", name))
      .Hint(near.empty()
                ? "known are " + all + "; give `power` too to use any other name"
                : fmt::format("did you mean {}? With `power` given, any name will do", near));
}

// Months of the plan, from a date; with `sd` beside it as a length of time.
Result<double> MonthOf(const Node& n, std::string_view name, Month start) {
  const std::string text = TRY(n.Text(name));
  return static_cast<double>(TRY(ParseMonth(text, fmt::format("{}: {}", n.where, name))) - start);
}

Result<double> ShareBelow(const Node& n, std::string_view name, double otherwise) {
  const double v = TRY(n.NumberOr(name, Unit::kShare, otherwise));
  if (v > 1)
    return n.Wrong(Code::kInvalidArgument,
                   fmt::format("{} is {:.0f}%: more than all", name, 100 * v));
  return v;
}

Result<std::vector<double>> RampOf(const Node& n) {
  const auto* list = n.FindList("ramp");
  if (list == nullptr) {
    const double months = TRY(n.NumberOr("ramp", Unit::kMonths, 1));
    std::vector<double> out;
    const int steps = std::clamp(static_cast<int>(std::lround(months)), 1, kMostMonths);
    for (int i = 1; i <= steps; ++i) out.push_back(static_cast<double>(i) / steps);
    return out;
  }
  std::vector<double> out;
  for (const std::string& e : *list) {
    const double share = TRY(ParseQuantity(e, Unit::kShare, n.where + ": ramp"));
    if (share > 1 || (!out.empty() && share < out.back()))
      return n.Wrong(Code::kInvalidArgument, fmt::format("ramp: {} is above 100% or falls", e));
    out.push_back(share);
  }
  if (out.empty()) out.push_back(1);
  return out;
}

Status ReadPool(const Node& n, const Known& known, Beliefs* b) {
  TRY(n.Only({"name", "accelerator", "region", "on_demand", "on_demand_limit", "spot", "spot_limit",
              "power", "carbon", "price_drift", "price_sd", "spot_sd", "spot_return"}));
  Pool p;
  PoolBelief belief;
  p.name = TRY(n.Text("name"));
  if (IndexOf(b->problem.pools, p.name) >= 0)
    return n.Wrong(Code::kAlreadyExists, fmt::format("pool `{}` is there already", p.name));
  const std::string accelerator = TRY(n.Text("accelerator"));
  const bool has_power = n.Find("power") != nullptr;
  p.kw = TRY(n.NumberOr("power", Unit::kKilowatts, 0));
  p.accelerator = accelerator;
  if (!has_power) p.accelerator = TRY(AcceleratorOf(n, accelerator, known, &p.kw));
  p.region = n.TextOr("region", "");
  if (n.Find("carbon") != nullptr) {
    p.g_per_kwh = TRY(n.Number("carbon", Unit::kGramsPerKwh));
  } else if (!p.region.empty() && known.grams_per_kwh) {
    p.g_per_kwh = known.grams_per_kwh(p.region).value_or(0);
  }
  p.on_demand_usd_h = TRY(n.NumberOr("on_demand", Unit::kUsdPerHour, 0));
  p.on_demand_limit =
      TRY(n.NumberOr("on_demand_limit", Unit::kCount, p.on_demand_usd_h > 0 ? 1e6 : 0));
  p.spot_usd_h = TRY(n.NumberOr("spot", Unit::kUsdPerHour, 0));
  p.spot_limit = TRY(n.NumberOr("spot_limit", Unit::kCount, 0));
  if (p.on_demand_limit > 0 && p.on_demand_usd_h <= 0)
    return n.Wrong(Code::kInvalidArgument, "on_demand_limit without a price `on_demand`");
  if (p.spot_limit > 0 && p.spot_usd_h <= 0)
    return n.Wrong(Code::kInvalidArgument, "spot_limit without a price `spot`");
  belief.price_drift = TRY(n.NumberOr("price_drift", Unit::kSharePerYear, 0));
  belief.price_sd = TRY(n.NumberOr("price_sd", Unit::kSharePerYear, 0.15));
  belief.spot_sd = TRY(n.NumberOr("spot_sd", Unit::kShare, 0.35));
  belief.spot_return = TRY(ShareBelow(n, "spot_return", 0.3));
  if (belief.price_drift <= -1 || belief.price_sd < 0)
    return n.Wrong(Code::kInvalidArgument, "price_drift of -100% or a negative price_sd");
  b->problem.pools.push_back(std::move(p));
  b->pools.push_back(belief);
  return {};
}

Status ReadDemand(const Node& n, const ReadText& read, Beliefs* b) {
  TRY(n.Only({"name", "class", "runs_on", "level", "growth", "growth_sd", "noise", "persistence",
              "floor", "value", "interruptible", "spot_speed", "history", "run", "launch",
              "backlog", "column"}));
  const Month start = b->problem.start;
  Demand d;
  DemandBelief belief;
  d.name = TRY(n.Text("name"));
  if (IndexOf(b->problem.demands, d.name) >= 0)
    return n.Wrong(Code::kAlreadyExists, fmt::format("demand `{}` is there already", d.name));
  const std::string cls = TRY(n.Text("class"));
  if (cls != "research" && cls != "product")
    return n.Wrong(Code::kInvalidArgument,
                   fmt::format("class `{}` is neither research nor product", cls));
  d.cls = cls == "research" ? Class::kResearch : Class::kProduct;
  const Node* arcs = n.Child("runs_on");
  if (arcs == nullptr || arcs->values.empty()) {
    const auto* list = n.FindList("runs_on");
    if (list == nullptr)
      return n.Wrong(Code::kInvalidArgument, fmt::format("demand `{}` has no `runs_on`", d.name))
          .Hint("runs_on = { h100 = 1.0, b200 = 2.2 }: pools, and the work one accelerator does");
    for (const std::string& pool : *list)
      d.runs_on.push_back({
        TRY(PoolNamed(n, pool, b->problem))
        , 1
      });
  } else {
    for (const auto& [pool, speed] : arcs->values) {
      const int i = TRY(PoolNamed(*arcs, pool, b->problem));
      const double v = TRY(ParseQuantity(speed, Unit::kCount, arcs->where + ": runs_on " + pool));
      if (v <= 0 || v > 1000)
        return arcs->Wrong(Code::kInvalidArgument,
                           fmt::format("{} at speed {}: not between 0 and 1000", pool, speed));
      d.runs_on.push_back({i, v});
    }
  }
  std::sort(d.runs_on.begin(), d.runs_on.end(),
            [](const Arc& x, const Arc& y) { return x.pool < y.pool; });
  d.value_usd_h = TRY(n.Number("value", Unit::kUsdPerHour));
  d.interruptible = TRY(n.FlagOr("interruptible", false));
  d.spot_speed = TRY(ShareBelow(n, "spot_speed", 0.9));
  if (d.spot_speed <= 0)
    return n.Wrong(Code::kInvalidArgument, "spot_speed of nothing: set interruptible = false");
  if (const std::string* path = n.Find("history")) {
    const std::string text = TRY(read(*path));
    const History h = TRY(ReadHistory(text, *path, n.TextOr("column", "")));
    const Fit fit = TRY(FitHistory(h, start));
    belief.level = fit.level;
    belief.growth = fit.growth;
    belief.growth_sd = fit.growth_sd;
    belief.noise = fit.noise;
    belief.persistence = fit.persistence;
    belief.backlog = fit.backlog;
    b->notes.push_back(fmt::format(
        "{}: from {} months of {}: {:.0f} in {}, of which {:.0f} unserved, growing {:+.1f}% a "
        "month "
        "(sd {:.1f}%), noise {:.0f}%{}",
        d.name, h.demand.size(), *path, fit.level, MonthText(start), fit.unserved, 100 * fit.growth,
        100 * fit.growth_sd, 100 * fit.noise,
        fit.backlog > 0 ? fmt::format(", {:.0f} work-months waiting", fit.backlog) : ""));
  } else if (n.Find("level") == nullptr) {
    return n.Wrong(Code::kInvalidArgument,
                   fmt::format("demand `{}` has neither `level` nor `history`", d.name));
  }
  belief.level = TRY(n.NumberOr("level", Unit::kCount, belief.level));
  belief.growth = TRY(n.NumberOr("growth", Unit::kSharePerMonth, belief.growth));
  belief.growth_sd = TRY(n.NumberOr("growth_sd", Unit::kSharePerMonth, belief.growth_sd));
  belief.noise = TRY(n.NumberOr("noise", Unit::kShare, belief.noise));
  belief.persistence = TRY(ShareBelow(n, "persistence", belief.persistence));
  belief.backlog = TRY(n.NumberOr("backlog", Unit::kCount, belief.backlog));
  if (belief.growth <= -1 || belief.growth > 1 || belief.growth_sd < 0 || belief.growth_sd > 1)
    return n.Wrong(Code::kInvalidArgument, "growth is not between -100% and 100% a month");
  if (const std::string* floor = n.Find("floor")) {
    if (d.cls == Class::kProduct)
      return n.Wrong(Code::kInvalidArgument,
                     "a floor is of research; what product may not lose is its `value`");
    if (floor->find('%') != std::string::npos)
      belief.floor = belief.level * TRY(ShareBelow(n, "floor", 0));
    else
      belief.floor = TRY(n.Number("floor", Unit::kCount));
  }
  for (const Node& c : n.children) {
    if (c.kind == "run") {
      TRY(c.Only({"name", "accelerators", "start", "start_sd", "length", "end", "chance"}));
      RunBelief r;
      r.name = TRY(c.Text("name"));
      r.work = TRY(c.Number("accelerators", Unit::kCount));
      r.start = TRY(MonthOf(c, "start", start));
      r.start_sd = TRY(c.NumberOr("start_sd", Unit::kMonths, 0));
      if (c.Find("end") != nullptr) {
        r.length = TRY(MonthOf(c, "end", start))
        -r.start;
        if (r.length <= 0)
          return c.Wrong(Code::kInvalidArgument,
                         fmt::format("run `{}` ends before it starts", r.name));
      } else {
        r.length = TRY(c.Number("length", Unit::kMonths));
      }
      r.chance = TRY(ShareBelow(c, "chance", 1));
      belief.runs.push_back(std::move(r));
    } else if (c.kind == "launch") {
      TRY(c.Only({"name", "after", "month", "month_sd", "jump", "jump_sd", "chance", "over"}));
      LaunchBelief l;
      l.name = TRY(c.Text("name"));
      l.after = c.TextOr("after", "");
      l.month = TRY(MonthOf(c, "month", start));
      l.month_sd = TRY(c.NumberOr("month_sd", Unit::kMonths, 0));
      l.jump = TRY(c.Number("jump", Unit::kShare));
      l.jump_sd = TRY(c.NumberOr("jump_sd", Unit::kShare, 0));
      l.chance = TRY(ShareBelow(c, "chance", 1));
      l.over_months = std::max(1.0, TRY(c.NumberOr("over", Unit::kMonths, 1)));
      belief.launches.push_back(std::move(l));
    }
  }
  b->problem.demands.push_back(std::move(d));
  b->demands.push_back(std::move(belief));
  return {};
}

Status ReadHolding(const Node& n, Beliefs* b) {
  TRY(n.Only(
      {"name", "provider", "pool", "accelerators", "price", "start", "end", "ramp", "prepaid"}));
  Holding h;
  h.where = n.where;
  h.name = TRY(n.Text("name"));
  if (IndexOf(b->problem.holdings, h.name) >= 0)
    return n.Wrong(Code::kAlreadyExists, fmt::format("contract `{}` is there already", h.name));
  h.provider = TRY(n.Text("provider"));
  h.provider_index = ProviderNamed(b, h.provider);
  h.pool = TRY(PoolNamed(n, TRY(n.Text("pool")), b->problem));
  h.accelerators = TRY(n.Number("accelerators", Unit::kCount));
  h.price_usd_h = TRY(n.Number("price", Unit::kUsdPerHour));
  h.start = TRY(n.DateOr("start", b->problem.start))
  -b->problem.start;
  h.end = static_cast<int>(TRY(MonthOf(n, "end", b->problem.start)));
  if (h.end <= h.start)
    return n.Wrong(
        Code::kInvalidArgument,
        fmt::format("contract `{}` ends in {} and starts in {}: dates out of order", h.name,
                    MonthText(b->problem.start + h.end), MonthText(b->problem.start + h.start)));
  h.ramp = TRY(RampOf(n));
  h.prepaid_usd = TRY(n.NumberOr("prepaid", Unit::kUsd, 0));
  b->problem.holdings.push_back(std::move(h));
  return {};
}

Status AddOffer(const Node& n, Beliefs* b) {
  Offer o = TRY(ReadOffer(n, b->problem));
  if (IndexOf(b->problem.offers, o.name) >= 0)
    return n.Wrong(Code::kAlreadyExists, fmt::format("offer `{}` is there already", o.name));
  if (b->problem.offers.size() >= kMostOffers)
    return n.Wrong(Code::kTooLarge, fmt::format("more than {} offers", kMostOffers));
  o.provider_index = ProviderNamed(b, o.provider);
  b->problem.offers.push_back(std::move(o));
  return {};
}

Status ReadLimits(const Node& n, Limits* l) {
  TRY(n.Only(
      {"provider_share", "budget_per_year", "prepaid", "power", "carbon", "research_shortfall"}));
  if (n.Find("provider_share")) l->provider_share = TRY(ShareBelow(n, "provider_share", 1));
  if (n.Find("budget_per_year"))
    l->budget_per_year_usd = TRY(n.Number("budget_per_year", Unit::kUsd));
  if (n.Find("prepaid")) l->prepaid_usd = TRY(n.Number("prepaid", Unit::kUsd));
  if (n.Find("power")) l->power_kw = TRY(n.Number("power", Unit::kKilowatts));
  if (n.Find("carbon")) l->carbon_t_per_year = TRY(n.Number("carbon", Unit::kTonnesPerYear));
  if (n.Find("research_shortfall"))
    l->research_shortfall = TRY(ShareBelow(n, "research_shortfall", 0));
  return {};
}

}  // namespace

int ProviderNamed(Beliefs* b, const std::string& name) {
  for (size_t i = 0; i < b->problem.providers.size(); ++i)
    if (b->problem.providers[i] == name) return static_cast<int>(i);
  b->problem.providers.push_back(name);
  b->providers.emplace_back();
  return static_cast<int>(b->problem.providers.size()) - 1;
}

Result<Offer> ReadOffer(const Node& n, const Problem& p) {
  TRY(n.Only({"name", "provider", "pool", "lot", "min_lots", "max_lots", "price", "term", "lead",
              "ramp", "prepay", "escalator", "first_start", "last_start", "every", "expires",
              "setup", "renews"}));
  Offer o;
  o.where = n.where;
  o.name = TRY(n.Text("name"));
  o.provider = TRY(n.Text("provider"));
  o.pool = TRY(PoolNamed(n, TRY(n.Text("pool")), p));
  o.lot = TRY(n.NumberOr("lot", Unit::kCount, 1));
  o.max_lots =
      static_cast<int>(std::min(1e6, std::floor(TRY(n.NumberOr("max_lots", Unit::kCount, 1)))));
  o.min_lots =
      static_cast<int>(std::min(1e6, std::ceil(TRY(n.NumberOr("min_lots", Unit::kCount, 0)))));
  o.price_usd_h = TRY(n.Number("price", Unit::kUsdPerHour));
  o.term_months = static_cast<int>(std::lround(TRY(n.Number("term", Unit::kMonths))));
  // A part of a month late is a month late.
  o.lead_months = static_cast<int>(std::ceil(TRY(n.NumberOr("lead", Unit::kMonths, 0)) - 0.01));
  o.ramp = TRY(RampOf(n));
  o.prepay = TRY(ShareBelow(n, "prepay", 0));
  o.escalator = TRY(n.NumberOr("escalator", Unit::kSharePerYear, 0));
  o.setup_usd = TRY(n.NumberOr("setup", Unit::kUsd, 0));
  o.renews = n.TextOr("renews", "");
  const std::string expires = TRY(n.Text("expires"));
  if (expires != "never") o.expires = TRY(ParseMonth(expires, n.where + ": expires"))
  -p.start;
  if (!o.renews.empty()) {
    const int held = IndexOf(p.holdings, o.renews);
    if (held < 0)
      return n
          .Wrong(Code::kInvalidArgument,
                 fmt::format("it renews `{}`, which is no contract", o.renews))
          .Hint(Suggest(o.renews, NamesOf(p.holdings)));
    o.first_start = o.last_start = p.holdings[static_cast<size_t>(held)].end;
  }
  if (n.Find("first_start") || o.renews.empty())
    o.first_start = TRY(n.DateOr("first_start", p.start + o.lead_months))
  -p.start;
  o.first_start = std::max(o.first_start, o.renews.empty() ? o.lead_months : o.first_start);
  if (n.Find("last_start") || o.renews.empty())
    o.last_start = TRY(n.DateOr("last_start", p.start + o.first_start))
  -p.start;
  o.start_step = static_cast<int>(std::lround(TRY(n.NumberOr("every", Unit::kMonths, 3))));
  const auto wrong = [&](const std::string& why) { return n.Wrong(Code::kInvalidArgument, why); };
  if (o.lot <= 0) return wrong(fmt::format("offer `{}`: a lot of no accelerators", o.name));
  if (o.max_lots < 1) return wrong(fmt::format("offer `{}`: max_lots is below one", o.name));
  if (o.min_lots > o.max_lots)
    return wrong(fmt::format("offer `{}`: min_lots {} is above max_lots {}", o.name, o.min_lots,
                             o.max_lots));
  if (o.term_months < 1 || o.term_months > kMostMonths)
    return wrong(fmt::format("offer `{}`: a term of {} months, not 1 to {}", o.name, o.term_months,
                             kMostMonths));
  if (o.start_step < 1) return wrong(fmt::format("offer `{}`: `every` is below a month", o.name));
  if (o.last_start < o.first_start)
    return wrong(fmt::format(
                     "offer `{}`: last_start {} is before first_start {}: dates out of order",
                     o.name, MonthText(p.start + o.last_start), MonthText(p.start + o.first_start)))
        .Hint("first_start is never before the lead time is over");
  if (o.escalator <= -1) return wrong(fmt::format("offer `{}`: escalator of -100%", o.name));
  return o;
}

Result<Beliefs> ReadBeliefs(std::string_view toml, std::string_view source, const ReadText& read,
                            const Known& known) {
  const Node root = TRY(ReadToml(toml, source));
  TRY(root.Only({"plan", "pool", "demand", "provider", "offer", "offers", "contract", "contracts",
                 "generation", "branch", "limits"}));
  Beliefs b;
  const Node* plan = root.Child("plan");
  if (plan == nullptr)
    return Error(Code::kInvalidArgument, fmt::format("{}: there is no [plan]", source))
        .Hint("begin with [plan], start = \"2027-01\", months = 24; docs/plan.md has the rest");
  TRY(plan->Only({"start", "months", "scenarios", "seed", "risk", "tail", "capital",
                  "after_horizon", "research_first", "slip_together", "slip_within",
                  "market_together"}));
  b.problem.start = TRY(ParseMonth(TRY(plan->Text("start")), plan->where + ": start"));
  const double months = TRY(plan->NumberOr("months", Unit::kCount, 24));
  if (months < 1 || months > kMostMonths)
    return plan->Wrong(Code::kInvalidArgument,
                       fmt::format("months is {}, not 1 to {}", months, kMostMonths));
  b.problem.months = static_cast<int>(months);
  const double scenarios = TRY(plan->NumberOr("scenarios", Unit::kCount, 50));
  if (scenarios < 1 || scenarios > 5000)
    return plan->Wrong(Code::kInvalidArgument,
                       fmt::format("scenarios is {}, not 1 to 5000", scenarios));
  b.scenarios = static_cast<int>(scenarios);
  b.seed = static_cast<uint64_t>(TRY(plan->NumberOr("seed", Unit::kCount, 1)));
  b.problem.risk = TRY(ShareBelow(*plan, "risk", 0.3));
  b.problem.tail = TRY(ShareBelow(*plan, "tail", 0.1));
  if (b.problem.tail <= 0)
    return plan->Wrong(Code::kInvalidArgument,
                       "tail is nothing: the worst share of futures, such as 10%");
  b.problem.capital = TRY(plan->NumberOr("capital", Unit::kSharePerYear, 0.08));
  if (b.problem.capital < 0) return plan->Wrong(Code::kInvalidArgument, "capital is negative");
  b.problem.after_horizon = TRY(ShareBelow(*plan, "after_horizon", 0.75));
  b.research_first = TRY(plan->FlagOr("research_first", true));
  b.slip_together = TRY(ShareBelow(*plan, "slip_together", 0.3));
  b.slip_within = TRY(ShareBelow(*plan, "slip_within", 0.7));
  b.market_together = TRY(ShareBelow(*plan, "market_together", 0.7));

  for (const Node& n : root.children)
    if (n.kind == "pool") TRY(ReadPool(n, known, &b));
  if (b.problem.pools.empty())
    return Error(Code::kInvalidArgument, fmt::format("{}: there is no [[pool]]", source))
        .Hint("a pool is an accelerator type in a place; docs/plan.md shows one");
  if (b.problem.pools.size() > kMostPools)
    return Error(Code::kTooLarge, fmt::format("{}: more than {} pools", source, kMostPools));
  for (const Node& n : root.children) {
    if (n.kind != "provider") continue;
    TRY(n.Only({"name", "slip_chance", "slip", "fails_per_year"}));
    const std::string name = TRY(n.Text("name"));
    ProviderBelief& p = b.providers[static_cast<size_t>(ProviderNamed(&b, name))];
    p.slip_chance = TRY(ShareBelow(n, "slip_chance", 0));
    p.slip_months = TRY(n.NumberOr("slip", Unit::kMonths, 2));
    p.fails_per_year = TRY(n.NumberOr("fails_per_year", Unit::kShare, 0));
    if (p.fails_per_year >= 1)
      return n.Wrong(Code::kInvalidArgument, "fails_per_year is 100% or more");
  }
  for (const Node& n : root.children)
    if (n.kind == "demand") TRY(ReadDemand(n, read, &b));
  if (b.problem.demands.empty())
    return Error(Code::kInvalidArgument, fmt::format("{}: there is no [[demand]]", source))
        .Hint("docs/plan.md shows one");
  if (b.problem.demands.size() > kMostDemands)
    return Error(Code::kTooLarge, fmt::format("{}: more than {} demands", source, kMostDemands));
  for (size_t d = 0; d < b.demands.size(); ++d) {
    for (const LaunchBelief& l : b.demands[d].launches) {
      if (l.after.empty()) continue;
      std::vector<std::string> runs;
      for (const DemandBelief& other : b.demands)
        for (const RunBelief& r : other.runs) runs.push_back(r.name);
      if (std::find(runs.begin(), runs.end(), l.after) == runs.end())
        return root
            .Wrong(Code::kInvalidArgument,
                   fmt::format("launch `{}` comes after `{}`, which is no run", l.name, l.after))
            .Hint(Suggest(l.after, runs));
    }
  }
  for (const Node& n : root.children)
    if (n.kind == "contract") TRY(ReadHolding(n, &b));
  const auto tables = [&](std::string_view field, std::string_view kind, auto add) -> Status {
    std::vector<std::string> paths;
    if (const std::string* one = root.Find(field)) paths.push_back(*one);
    if (const auto* list = root.FindList(field)) paths = *list;
    for (const std::string& path : paths) {
      const std::string text = TRY(read(path));
      for (const Node& n : TRY(ReadCsv(text, path, kind))) TRY(add(n, &b));
    }
    return {};
  };
  TRY(tables("contracts", "contract", ReadHolding));
  for (const Node& n : root.children)
    if (n.kind == "offer") TRY(AddOffer(n, &b));
  TRY(tables("offers", "offer", AddOffer));
  for (const Node& n : root.children) {
    if (n.kind == "generation") {
      TRY(n.Only({"name", "pools", "older", "month", "month_sd", "fall", "fall_sd"}));
      GenerationBelief g;
      g.name = TRY(n.Text("name"));
      for (const auto& [field, into] :
           {std::pair{"pools", &g.pools}, std::pair{"older", &g.older}}) {
        const auto* list = n.FindList(field);
        if (list == nullptr) continue;
        for (const std::string& pool : *list) into->push_back(TRY(PoolNamed(n, pool, b.problem)));
      }
      g.month = TRY(MonthOf(n, "month", b.problem.start));
      g.month_sd = TRY(n.NumberOr("month_sd", Unit::kMonths, 0));
      g.fall = TRY(ShareBelow(n, "fall", 0));
      g.fall_sd = TRY(ShareBelow(n, "fall_sd", 0));
      b.generations.push_back(std::move(g));
    } else if (n.kind == "branch") {
      TRY(n.Only({"name", "chance", "from", "research", "product", "price", "spot", "slip"}));
      Branch br;
      br.name = TRY(n.Text("name"));
      br.chance = TRY(n.Number("chance", Unit::kShare));
      br.from = TRY(n.DateOr("from", b.problem.start))
      -b.problem.start;
      br.research = TRY(n.NumberOr("research", Unit::kShare, 1));
      br.product = TRY(n.NumberOr("product", Unit::kShare, 1));
      br.price = TRY(n.NumberOr("price", Unit::kShare, 1));
      br.spot = TRY(n.NumberOr("spot", Unit::kShare, 1));
      br.slip = TRY(n.NumberOr("slip", Unit::kShare, 1));
      b.branches.push_back(std::move(br));
    } else if (n.kind == "limits") {
      TRY(ReadLimits(n, &b.problem.limits));
    }
  }
  double chance = 0;
  for (const Branch& br : b.branches) chance += br.chance;
  if (!b.branches.empty() && std::fabs(chance - 1) > 1e-6)
    return root
        .Wrong(Code::kInvalidArgument,
               fmt::format("the chances of the branches add up to {:.4g}%, not 100%", 100 * chance))
        .Hint("add a branch for what else may happen, such as name = \"as believed\"");
  for (const Offer& o : b.problem.offers) {
    if (o.expires < 0)
      b.notes.push_back(fmt::format("offer {} has expired before {}: left out", o.name,
                                    MonthText(b.problem.start)));
    else if (o.first_start >= b.problem.months)
      b.notes.push_back(fmt::format("offer {} starts after the plan ends: left out", o.name));
  }
  return b;
}

}  // namespace weir::plan
