// The outcome: sums become shares, lists become percentiles.
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "control/sim/replay/run_state.h"
#include "lab/sched/shares.h"

namespace weir::sim {

namespace {

const std::pair<int64_t, const char*> kSizes[] = {
    {1, "1"}, {8, "2-8"}, {32, "9-32"}, {64, "33-64"}, {INT64_MAX, ">64"}};

std::vector<double> Quantiles(std::vector<double> values) {
  std::vector<double> out;
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  for (int q = 0; q <= 100; ++q) {
    const size_t at =
        static_cast<size_t>(std::ceil(q / 100.0 * static_cast<double>(values.size())));
    out.push_back(values[std::min(values.size() - 1, at == 0 ? 0 : at - 1)]);
  }
  return out;
}

}  // namespace

// Every ten minutes: how broken up the free slots are, and what each team is entitled to of what it
// asks for.
void Run::Sample() {
  const double dt = (now_ - sampled_at_).seconds();
  sampled_at_ = now_;
  if (waiting_ > 0) {
    const auto [part, all] = book_.FreeParts();
    if (all > 0) {
      fragment_sum_ += static_cast<double>(part) / static_cast<double>(all);
      ++fragment_n_;
    }
  }
  std::vector<sched::ShareNode> nodes(s_.teams.size());
  for (size_t t = 0; t < nodes.size(); ++t) {
    if (s_.teams[t].team_class != wire::TeamClass::kResearch) continue;
    nodes[t].parent = parent_[t];
    nodes[t].guarantee = static_cast<double>(s_.teams[t].guarantee_slots);
    nodes[t].weight = static_cast<double>(s_.teams[t].weight);
    nodes[t].demand = static_cast<double>(team_wanted_[t]);
  }
  const double capacity = static_cast<double>(book_.usable_slots() - product_slots_);
  const std::vector<double> entitled = sched::Entitlements(nodes, std::max(0.0, capacity));
  for (size_t t = 0; t < nodes.size(); ++t) team_entitled_s_[t] += entitled[t] * dt;
}

Outcome Run::Summary() {
  SetLevels();
  ledger_.Pass(now_);
  UpdateDemand();
  Outcome& o = out_;
  o.policy = policy_.name;
  o.what = policy_.what;
  o.online = policy_.online;
  o.violation = breach_;
  o.simulated_s = (now_ - s_.start).seconds();
  o.jobs = static_cast<int64_t>(jobs_.size());

  std::vector<double> delays, completions;
  std::map<int, std::pair<std::vector<double>, std::vector<double>>> sizes, teams;
  std::map<int, double> size_h;
  for (size_t i = 0; i < jobs_.size(); ++i) {
    const TrueJob& job = jobs_[i];
    const SimJob& spec = s_.jobs[i];
    JobOutcome row;
    row.job = static_cast<int>(i);
    row.ended = job.phase == RunPhase::kEnded;
    row.preempted = job.preempted;
    row.shrunk = job.shrunk;
    row.failed = job.failed;
    row.lost_slot_s = job.lost_slot_s;
    if (job.preempted + job.shrunk > 0) ++o.jobs_hit;
    int size = 0;
    while (spec.slots > kSizes[size].first) ++size;
    if (job.first_start.is_set()) {
      row.delay_s = (job.first_start - spec.submit).seconds();
      delays.push_back(row.delay_s);
      sizes[size].first.push_back(row.delay_s);
      teams[spec.team].first.push_back(row.delay_s);
    } else {
      ++o.never_started;
    }
    if (row.ended) {
      row.completion_s = (job.ended - spec.submit).seconds();
      completions.push_back(row.completion_s);
      sizes[size].second.push_back(row.completion_s);
      teams[spec.team].second.push_back(row.completion_s);
      size_h[size] += spec.work_s * static_cast<double>(spec.slots) / 3600;
    }
    o.job_outcomes.push_back(row);
  }
  o.delay_quantiles = Quantiles(delays);
  o.completion_quantiles = Quantiles(completions);
  o.delay = SpreadOf(std::move(delays));
  o.completion = SpreadOf(std::move(completions));
  for (auto& [size, lists] : sizes) {
    o.by_size.push_back({kSizes[size].second, SpreadOf(std::move(lists.first)),
                         SpreadOf(std::move(lists.second)), size_h[size]});
  }
  // Runs still going count up to now.
  for (const int id : on_slots_) {
    const TrueJob& job = jobs_[static_cast<size_t>(id)];
    team_slot_s_[static_cast<size_t>(s_.jobs[static_cast<size_t>(id)].team)] +=
        static_cast<double>(job.slots) * (now_ - job.placed).seconds();
  }
  for (auto& [team, lists] : teams) {
    o.by_team.push_back({s_.teams[static_cast<size_t>(team)].name, SpreadOf(std::move(lists.first)),
                         SpreadOf(std::move(lists.second)),
                         team_slot_s_[static_cast<size_t>(team)] / 3600});
  }

  o.research_slot_h = ledger_.Total(kResearchSlots) / 3600;
  o.product_slot_h = (ledger_.Total(kProductOwnSlots) + ledger_.Total(kBorrowedSlots)) / 3600;
  o.borrowed_slot_h = ledger_.Total(kBorrowedSlots) / 3600;
  o.idle_slot_h = ledger_.Total(kIdleSlots) / 3600;
  o.down_slot_h = ledger_.Total(kDownSlots) / 3600;
  o.lent_to_research_slot_h = ledger_.Total(kLentToResearch) / 3600;
  const double usable = o.research_slot_h + o.product_slot_h + o.idle_slot_h;
  o.utilization = usable > 0 ? (o.research_slot_h + o.product_slot_h) / usable : 0;
  o.fragmentation = fragment_n_ > 0 ? fragment_sum_ / static_cast<double>(fragment_n_) : 0;

  for (size_t i = 0; i < s_.services.size(); ++i) {
    ServiceOutcome service;
    service.name = s_.services[i].spec.name;
    service.own_slots = s_.services[i].own_slots;
    service.need_slot_min = need_slot_s_[i] / 60;
    service.unmet_slot_min = unmet_slot_s_[i] / 60;
    service.below_slo_min = below_s_[i] / 60;
    service.held_slot_h = held_slot_s_[i] / 3600;
    o.need_slot_min += service.need_slot_min;
    o.unmet_slot_min += service.unmet_slot_min;
    o.below_slo_min += service.below_slo_min;
    o.services.push_back(std::move(service));
  }
  o.loans.length_s = SpreadOf(loan_lengths_);
  o.loans.pay_back_s = SpreadOf(pay_backs_);

  // Jain's index: (sum x)^2 / (n sum x^2), of what each team got of what it was entitled to.
  double sum = 0, squares = 0, n = 0;
  for (size_t t = 0; t < s_.teams.size(); ++t) {
    if (s_.teams[t].team_class != wire::TeamClass::kResearch) continue;
    if (team_slot_s_[t] <= 0 && team_entitled_s_[t] <= 0) continue;
    o.shares.push_back({s_.teams[t].name, team_slot_s_[t] / 3600, team_entitled_s_[t] / 3600});
    if (team_entitled_s_[t] <= 0) continue;
    const double x = team_slot_s_[t] / team_entitled_s_[t];
    sum += x;
    squares += x * x;
    n += 1;
  }
  o.jain = squares > 0 ? sum * sum / (n * squares) : 1;

  // Money: rented nodes cost until their contract ends, spot nodes while they are there.
  double idle_watt_s = 0, energy_usd = 0, carbon = 0, watt_s = 0;
  for (size_t i = 0; i < s_.fleet.nodes.size(); ++i) {
    const NodeSpec& node = s_.fleet.nodes[i];
    double seconds = o.simulated_s;
    if (node.contract_end.us > 0) seconds = std::min(seconds, node.contract_end.seconds());
    const double slots = static_cast<double>(node.slots);
    o.cost_usd +=
        (seconds - (node.spot ? nodes_[i].down_s : 0)) / 3600 * slots * node.price_usd_per_slot_h;
    idle_watt_s += (seconds - nodes_[i].down_s) * slots * node.idle_w_per_slot;
  }
  o.idle_usd = std::max(0.0, o.cost_usd - o.research_usd - o.product_usd);
  const double held_h = o.research_slot_h + o.product_slot_h;
  const double lost_h = o.lost_to_preemption_slot_h + o.lost_to_failures_slot_h;
  if (held_h > 0) o.lost_usd = (o.research_usd + o.product_usd) / held_h * lost_h;
  // Sites differ in price of energy: by their share of the slots.
  watt_s = ledger_.Total(kBusyWatts) + idle_watt_s;
  for (size_t i = 0; i < s_.fleet.sites.size(); ++i) {
    const SiteSpec& site = s_.fleet.sites[i];
    double slots = 0;
    for (const NodeSpec& node : s_.fleet.nodes) {
      if (node.site == static_cast<int>(i)) slots += static_cast<double>(node.slots);
    }
    const double kwh =
        watt_s / 3.6e6 * site.pue * slots / static_cast<double>(std::max<int64_t>(1, total_slots_));
    o.energy_kwh += kwh;
    energy_usd += kwh * site.energy_usd_per_kwh;
    carbon += kwh * site.carbon_g_per_kwh / 1000;
  }
  o.energy_usd = energy_usd;
  o.carbon_kg = carbon;

  o.decide_us = SpreadOf(decide_us_);
  o.series = ledger_.Take({kResearchSlots, kProductOwnSlots, kBorrowedSlots, kIdleSlots, kDownSlots,
                           kNeedSlots, kServedSlots, kWaitingSlots, kWaitingJobs});
  return std::move(out_);
}

}  // namespace weir::sim
