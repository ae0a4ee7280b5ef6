#include "lab/plan/first_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace weir::plan {

namespace {

// What a block, or a holding, uses of one limit: from its payments, prepayments and accelerators.
struct Use {
  std::vector<double> pay, prepaid, accelerators;
  int provider = 0, pool = 0;
};
using Measure = std::function<double(const Use&)>;
struct Rule {
  LimitSpec spec;
  Measure measure;
};

Use UseOf(const Problem& p, const Block& b) {
  const Offer& o = p.offers[static_cast<size_t>(b.offer)];
  return {PromisedPayments(p, b), PromisedPrepaid(p, b), PromisedAccelerators(p, b),
          o.provider_index, o.pool};
}
Use UseOf(const Problem& p, const Holding& h) {
  Use u{PromisedPayments(p, h), std::vector<double>(static_cast<size_t>(p.months), 0.0),
        PromisedAccelerators(p, h), h.provider_index, h.pool};
  const int from = std::max(0, h.start), to = std::min(h.end, p.months);
  for (int t = 0; t < to; ++t)
    u.prepaid[static_cast<size_t>(t)] =
        t < from ? h.prepaid_usd : h.prepaid_usd * (to - t - 1) / std::max(1, to - from);
  return u;
}

double Sum(const std::vector<double>& v, int from, int to) {
  double sum = 0;
  for (int t = from; t < to; ++t) sum += v[static_cast<size_t>(t)];
  return sum;
}

std::string Usd(double v) {
  return v >= 1e6 ? fmt::format("${:.4g}M", v / 1e6) : fmt::format("${:.0f}", v);
}

std::vector<Rule> RulesOf(const Problem& p) {
  const Limits& l = p.limits;
  std::vector<Rule> out;
  const auto add = [&](std::string what, std::string group, double high, int month, Measure m) {
    out.push_back({{std::move(what), std::move(group), {}, 0, high, 1, month}, std::move(m)});
  };
  const int months = p.months;
  if (l.provider_share < 1) {
    for (size_t k = 0; k < p.providers.size(); ++k)
      add(fmt::format("{} at most {:.0f}% of committed spend", p.providers[k],
                      100 * l.provider_share),
          "provider share of " + p.providers[k], 0, -1,
          [months, k, share = l.provider_share](const Use& u) {
            const double spend = Sum(u.pay, 0, months);
            return (u.provider == static_cast<int>(k) ? spend : 0) - share * spend;
          });
  }
  if (std::isfinite(l.budget_per_year_usd)) {
    for (int t = 0; t < months; t += 12)
      add(fmt::format("budget of the year from {}: at most {}", MonthText(p.start + t),
                      Usd(l.budget_per_year_usd * std::min(12, months - t) / 12)),
          "budget", l.budget_per_year_usd * std::min(12, months - t) / 12, t,
          [t, months](const Use& u) { return Sum(u.pay, t, std::min(t + 12, months)); });
  }
  for (int t = 0; t < months; ++t) {
    const auto m = static_cast<size_t>(t);
    if (std::isfinite(l.prepaid_usd))
      add(fmt::format("prepaid and not delivered at the end of {}: at most {}",
                      MonthText(p.start + t), Usd(l.prepaid_usd)),
          "prepaid exposure", l.prepaid_usd, t, [m](const Use& u) { return u.prepaid[m]; });
    if (std::isfinite(l.power_kw))
      add(fmt::format("power in {}: at most {:.4g} MW", MonthText(p.start + t), l.power_kw / 1000),
          "power", l.power_kw, t, [m, &p](const Use& u) {
            return u.accelerators[m] * p.pools[static_cast<size_t>(u.pool)].kw;
          });
  }
  if (std::isfinite(l.carbon_t_per_year)) {
    for (int t = 0; t < months; t += 12)
      add(fmt::format("carbon of the year from {}: at most {:.5g} t", MonthText(p.start + t),
                      l.carbon_t_per_year * std::min(12, months - t) / 12),
          "carbon", l.carbon_t_per_year * std::min(12, months - t) / 12, t,
          [t, months, &p](const Use& u) {
            const Pool& pool = p.pools[static_cast<size_t>(u.pool)];
            double tonnes = 0;
            for (int i = t; i < std::min(t + 12, months); ++i)
              tonnes += u.accelerators[static_cast<size_t>(i)] * p.hours[static_cast<size_t>(i)] *
                        pool.kw * pool.g_per_kwh / 1e6;
            return tonnes;
          });
  }
  return out;
}

// A row whose largest entry is one, without dust: dollars beside lots would spoil the solver's
// numbers.
double Clean(double use, double scale) { return std::fabs(use) < 1e-9 * scale ? 0 : use / scale; }

}  // namespace

std::vector<LimitSpec> LimitsOf(const Problem& p, const std::vector<Block>& blocks) {
  std::vector<Rule> rules = RulesOf(p);
  std::vector<LimitSpec> out;
  if (rules.empty()) return out;
  std::vector<Use> uses, held;
  for (const Block& b : blocks) uses.push_back(UseOf(p, b));
  for (const Holding& h : p.holdings) held.push_back(UseOf(p, h));
  for (Rule& rule : rules) {
    LimitSpec& l = rule.spec;
    for (const Use& u : uses) l.per_lot.push_back(rule.measure(u));
    for (const Use& u : held) l.held += rule.measure(u);
    l.scale = 0;
    for (const double use : l.per_lot) l.scale = std::max(l.scale, std::fabs(use));
    if (l.scale == 0) l.scale = std::max({1.0, std::fabs(l.held), std::fabs(l.high)});
    for (double& use : l.per_lot) use = Clean(use, l.scale);
    l.held /= l.scale;
    l.high /= l.scale;
    out.push_back(std::move(l));
  }
  return out;
}

std::vector<double> LimitUse(const Problem& p, const std::vector<LimitSpec>& limits,
                             const Block& b) {
  std::vector<double> out;
  if (limits.empty()) return out;
  const Use u = UseOf(p, b);
  const std::vector<Rule> rules = RulesOf(p);
  for (size_t i = 0; i < rules.size(); ++i)
    out.push_back(Clean(rules[i].measure(u), limits[i].scale));
  return out;
}

bool NeedsSwitch(const Offer& o) { return o.min_lots > 1 || o.setup_usd > 0; }

}  // namespace weir::plan
