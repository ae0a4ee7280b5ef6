#include "lab/plan/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace weir::plan {

namespace {

constexpr double kForever = std::numeric_limits<double>::infinity();

double RampAt(const std::vector<double>& ramp, int age) {
  return ramp[std::min(static_cast<size_t>(age), ramp.size() - 1)];
}

double HoursOf(Month m) {
  const int year = m / 12, month = m % 12;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return 24.0 * (kDays[month] + (month == 1 && leap ? 1 : 0));
}

double HoursAt(const Problem& p, int t) {
  return t >= 0 && t < p.months ? p.hours[static_cast<size_t>(t)] : HoursOf(p.start + t);
}

// Price of an accelerator-hour, `age` months after delivery.
double PriceAt(const Offer& o, int age) {
  return o.escalator == 0 ? o.price_usd_h : o.price_usd_h * std::pow(1 + o.escalator, age / 12);
}

// All that a lot will cost over its term, as promised.
double WholePrice(const Problem& p, const Offer& o, int start) {
  double sum = 0;
  for (int age = 0; age < o.term_months; ++age)
    sum += PriceAt(o, age) * RampAt(o.ramp, age) * HoursAt(p, start + age) * o.lot;
  return sum;
}

}  // namespace

std::string_view NameOf(Class c) { return c == Class::kResearch ? "research" : "product"; }

Limits::Limits()
    : provider_share(1),
      budget_per_year_usd(kForever),
      prepaid_usd(kForever),
      power_kw(kForever),
      carbon_t_per_year(kForever),
      research_shortfall(kForever) {}

std::vector<Block> BlocksOf(const Problem& p) {
  std::vector<Block> out;
  for (size_t i = 0; i < p.offers.size(); ++i) {
    const Offer& o = p.offers[i];
    for (int t = o.first_start; t <= o.last_start; t += std::max(1, o.start_step)) {
      if (t - o.lead_months < 0 || t - o.lead_months > o.expires || t >= p.months) continue;
      out.push_back({static_cast<int>(i), t});
    }
  }
  return out;
}

void Finish(Problem* p, const std::vector<Scenario>& scenarios) {
  p->hours.clear();
  p->discount.clear();
  for (int t = 0; t < p->months; ++t) {
    p->hours.push_back(HoursOf(p->start + t));
    p->discount.push_back(std::pow(1 + p->capital, -t / 12.0));
  }
  // A unit of floor must be worth more than all that serving it could displace or cost: the dearest
  // market hour or the most valuable other work, at the worst ratio of speeds.
  double dearest = 1, slowest = 1, fastest = 0;
  for (const Demand& d : p->demands) {
    dearest = std::max(dearest, d.value_usd_h);
    for (const Arc& a : d.runs_on) {
      slowest = std::min(slowest, a.speed * (d.interruptible ? d.spot_speed : 1));
      fastest = std::max(fastest, a.speed);
    }
  }
  for (const Scenario& s : scenarios) {
    for (const float price : s.on_demand_usd_h) dearest = std::max(dearest, double{price});
    for (const float price : s.spot_usd_h) dearest = std::max(dearest, double{price});
  }
  const double ratio = std::max(1.0, fastest) / std::max(1e-3, slowest);
  p->floor_usd_h = 2 * dearest * ratio * ratio;
}

double Availability(const Problem& p, const Scenario& s, const Block& b, int t) {
  const Offer& o = p.offers[static_cast<size_t>(b.offer)];
  const int opens = s.pool_opens[static_cast<size_t>(o.pool)];
  const int begin = std::max(b.start + s.offer_slip[static_cast<size_t>(b.offer)], opens);
  const int age = t - begin;
  if (age < 0 || age >= o.term_months) return 0;
  if (t >= s.provider_fails[static_cast<size_t>(o.provider_index)]) return 0;
  return RampAt(o.ramp, age);
}

double Availability(const Problem&, const Scenario& s, const Holding& h, int index, int t) {
  const int slip = s.holding_slip[static_cast<size_t>(index)];
  const int begin = h.start + (h.start > 0 ? slip : 0);
  const int end = h.end + (h.start > 0 ? slip : 0);
  if (t < begin || t >= end) return 0;
  if (t >= s.provider_fails[static_cast<size_t>(h.provider_index)]) return 0;
  return RampAt(h.ramp, t - begin);
}

double LotCost(const Problem& p, const Scenario& s, const Block& b) {
  const Offer& o = p.offers[static_cast<size_t>(b.offer)];
  const int opens = s.pool_opens[static_cast<size_t>(o.pool)];
  const int begin = std::max(b.start + s.offer_slip[static_cast<size_t>(b.offer)], opens);
  const int fails = s.provider_fails[static_cast<size_t>(o.provider_index)];
  const int sign = std::clamp(b.start - o.lead_months, 0, p.months - 1);
  double cost = 0;
  // A provider that fails before the signature signs nothing.
  if (fails <= sign) return 0;
  if (o.prepay > 0)
    cost += o.prepay * WholePrice(p, o, b.start) * p.discount[static_cast<size_t>(sign)];
  for (int age = 0; age < o.term_months; ++age) {
    const int t = begin + age;
    if (t >= fails && fails < p.months) break;
    const double whole = PriceAt(o, age) * RampAt(o.ramp, age) * HoursAt(p, t) * o.lot;
    if (t < p.months) {
      cost += (1 - o.prepay) * whole * p.discount[static_cast<size_t>(t)];
    } else {  // past the plan: what is owed less what use recovers
      cost += (1 - o.prepay - p.after_horizon) * whole * std::pow(1 + p.capital, -t / 12.0);
    }
  }
  return cost;
}

double HoldingCost(const Problem& p, const Scenario& s, const Holding& h, int index) {
  double cost = 0;
  int left = 0;
  for (int t = std::max(0, h.start); t < std::min(h.end, p.months); ++t) ++left;
  for (int t = 0; t < p.months; ++t) {
    const double share = Availability(p, s, h, index, t);
    if (share <= 0) continue;
    cost += std::max(0.0, share * h.accelerators * h.price_usd_h * HoursAt(p, t) -
                              h.prepaid_usd / std::max(1, left)) *
            p.discount[static_cast<size_t>(t)];
  }
  return cost;
}

std::vector<double> PromisedPayments(const Problem& p, const Block& b) {
  const Offer& o = p.offers[static_cast<size_t>(b.offer)];
  std::vector<double> out(static_cast<size_t>(p.months), 0.0);
  const int sign = std::clamp(b.start - o.lead_months, 0, p.months - 1);
  out[static_cast<size_t>(sign)] += o.prepay * WholePrice(p, o, b.start);
  for (int age = 0; age < o.term_months && b.start + age < p.months; ++age)
    out[static_cast<size_t>(b.start + age)] +=
        (1 - o.prepay) * PriceAt(o, age) * RampAt(o.ramp, age) * HoursAt(p, b.start + age) * o.lot;
  return out;
}

std::vector<double> PromisedPayments(const Problem& p, const Holding& h) {
  std::vector<double> out(static_cast<size_t>(p.months), 0.0);
  const int from = std::max(0, h.start), to = std::min(h.end, p.months);
  for (int t = from; t < to; ++t)
    out[static_cast<size_t>(t)] =
        std::max(0.0, h.accelerators * h.price_usd_h * RampAt(h.ramp, t - h.start) * HoursAt(p, t) -
                          h.prepaid_usd / (to - from));
  return out;
}

std::vector<double> PromisedPrepaid(const Problem& p, const Block& b) {
  const Offer& o = p.offers[static_cast<size_t>(b.offer)];
  std::vector<double> out(static_cast<size_t>(p.months), 0.0);
  if (o.prepay <= 0) return out;
  double left = o.prepay * WholePrice(p, o, b.start);
  for (int t = std::max(0, b.start - o.lead_months); t < p.months; ++t) {
    const int age = t - b.start;
    if (age >= o.term_months) break;
    if (age >= 0) left -= o.prepay * PriceAt(o, age) * RampAt(o.ramp, age) * HoursAt(p, t) * o.lot;
    out[static_cast<size_t>(t)] = std::max(0.0, left);
  }
  return out;
}

std::vector<double> PromisedAccelerators(const Problem& p, const Block& b) {
  const Offer& o = p.offers[static_cast<size_t>(b.offer)];
  std::vector<double> out(static_cast<size_t>(p.months), 0.0);
  for (int age = 0; age < o.term_months && b.start + age < p.months; ++age)
    out[static_cast<size_t>(b.start + age)] = o.lot * RampAt(o.ramp, age);
  return out;
}

std::vector<double> PromisedAccelerators(const Problem& p, const Holding& h) {
  std::vector<double> out(static_cast<size_t>(p.months), 0.0);
  for (int t = std::max(0, h.start); t < std::min(h.end, p.months); ++t)
    out[static_cast<size_t>(t)] = h.accelerators * RampAt(h.ramp, t - h.start);
  return out;
}

std::string MonthText(Month m) { return fmt::format("{:04}-{:02}", m / 12, m % 12 + 1); }

}  // namespace weir::plan
