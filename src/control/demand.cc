#include "control/demand.h"

#include <algorithm>

#include "lab/sched/sizing.h"

namespace weir::control {

namespace {
using wire::DurationHistogram;
// A replica that was never seen busy can do at least this many times what it was seen doing: more
// than a forecast may run ahead of arrivals (1.5, over 70% use), so that a start is no surge.
constexpr double kHeadroom = 2.5;
}  // namespace

void DemandTracker::Note(const wire::ServiceTraffic& traffic, const wire::Service& service,
                         const ServiceReplicas& replicas, Time now, Duration look_ahead,
                         const sched::Policy& policy) {
  const wire::ServiceSpec& spec = service.spec;
  const int64_t ready = replicas.ready;
  // A gateway that began anew counts from zero.
  if (!window_.empty() && (traffic.arrivals < window_.back().traffic.arrivals ||
                           traffic.completed < window_.back().traffic.completed))
    window_.clear();
  const bool busy =
      ready > 0 && (traffic.queued > 0 || traffic.outstanding >= ready * spec.max_concurrency);
  window_.push_back({now, traffic, ready, busy, replicas.serving});
  while (window_.size() > 2 && now - window_[1].at >= kRateWindow) window_.pop_front();
  Rates(spec, look_ahead);
  RateOfAReplica(ready, replicas.serving);

  demand_.arrivals_per_s = view_.arrivals_per_s;
  demand_.forecast_per_s = view_.forecast_per_s;
  demand_.outstanding = static_cast<double>(traffic.outstanding);
  demand_.queued = static_cast<double>(traffic.queued);
  demand_.ttft_ms = view_.ttft_ms;
  demand_.tpot_ms = view_.tpot_ms;
  const double own = RateOf(replicas.own, policy);
  demand_.own_rate_per_replica = service.version == replicas.own ? 0 : own;
  if (const double rate = RateOf(service.version, policy); rate > 0)
    demand_.service_rate_per_replica = rate;
  else if (own > 0)
    demand_.service_rate_per_replica = own;
  view_.capacity_per_s = static_cast<double>(ready) * sched::RatePerReplica(demand_, policy);
  view_.slo_met = view_.ttft_ms <= spec.slo.ttft_ms && view_.tpot_ms <= spec.slo.tpot_ms;
  sched::ServiceState measured{service, demand_, look_ahead};
  sched::UpdateMarks(&measured, ready, replicas.held, now, policy);
  demand_ = measured.demand;
}

double DemandTracker::VersionRate::Best(const sched::Policy& policy) const {
  // What it did without being busy it can do at least.
  if (busy > 0) return std::max(busy, std::min(seen, 1.2 * busy));
  const double guess = std::max(kHeadroom * seen, guessed);
  return guess > policy.default_rate_per_replica ? guess : 0;
}

double DemandTracker::RateOf(const std::string& version, const sched::Policy& policy) const {
  const auto it = rates_.find(version);
  return it == rates_.end() ? 0 : it->second.Best(policy);
}

void DemandTracker::Rates(const wire::ServiceSpec& spec, Duration look_ahead) {
  const wire::ServiceTraffic& first = window_.front().traffic;
  const wire::ServiceTraffic& last = window_.back().traffic;
  const Time now = window_.back().at;
  const double span_s = (now - window_.front().at).seconds();
  const auto rate = [&](uint64_t before, uint64_t after) {
    return span_s <= 0 ? 0.0 : static_cast<double>(after - before) / span_s;
  };
  view_.arrivals_per_s = rate(first.arrivals, last.arrivals);
  view_.completions_per_s = rate(first.completed, last.completed);
  view_.refused_per_s = rate(first.refused(), last.refused());
  view_.errors_per_s = rate(first.errors(), last.errors());
  view_.tokens_per_s = rate(first.tokens_out, last.tokens_out);
  view_.outstanding = last.outstanding;
  view_.queued = last.queued;
  const double share = spec.slo.percentile / 100;
  view_.ttft_ms = last.ttft.Since(first.ttft).Quantile(share).seconds() * 1e3;
  view_.tpot_ms = last.tpot.Since(first.tpot).Quantile(share).seconds() * 1e3;
  if (span_s <= 0) return;
  forecast_.Observe(now, view_.arrivals_per_s);
  view_.forecast_per_s = forecast_.At(now + look_ahead);
  season_.Observe(now, view_.arrivals_per_s);
  if (const auto usual = season_.At(now, forecast_.level(), now + look_ahead))
    view_.forecast_per_s = std::max(view_.forecast_per_s, *usual);
}

void DemandTracker::RateOfAReplica(int64_t ready, const std::string& serving) {
  const double span_s = (window_.back().at - window_.front().at).seconds();
  const auto alike = [&](const Sample& s) { return s.ready == ready && s.serving == serving; };
  const bool known = rates_.count(serving) != 0;
  VersionRate rate = known ? rates_.at(serving) : VersionRate{};
  if (ready > 0 && span_s > 0 && view_.completions_per_s > 0 &&
      std::all_of(window_.begin(), window_.end(), alike)) {
    const double replicas = static_cast<double>(ready);
    const double per_replica = view_.completions_per_s / replicas;
    if (span_s >= kRateWindow.seconds() / 4) {
      rate.seen = std::max(rate.seen, per_replica);
      // Requests in flight at one replica on average (Little: rate x time each takes). One server
      // that works on one request at a time is then used to in_flight / (1 + in_flight) (M/M/1);
      // one that batches is used less, so this is the least that it can do when kept busy.
      const DurationHistogram& before = window_.front().traffic.latency;
      const DurationHistogram& after = window_.back().traffic.latency;
      const double in_flight =
          static_cast<double>(after.sum_us - before.sum_us) / 1e6 / span_s / replicas;
      if (in_flight > 0)
        rate.guessed = std::max(rate.guessed, per_replica * (1 + in_flight) / in_flight);
    }
  }
  // Busy: over the newest stretch in which all were, without a break.
  auto from = window_.end() - 1;
  while (from != window_.begin() && (from - 1)->busy && alike(*(from - 1))) --from;
  const Sample& first = *from;
  const Sample& last = window_.back();
  const double busy_s = (last.at - first.at).seconds();
  const double done = static_cast<double>(last.traffic.completed - first.traffic.completed);
  if (first.busy && last.busy && alike(first) && busy_s >= kBusyLeast.seconds() &&
      done >= kBusyCompletions) {
    const double now = done / busy_s / static_cast<double>(ready);
    rate.busy = rate.busy == 0 ? now : rate.busy + 0.2 * (now - rate.busy);
  }
  if (rate.busy == 0 && rate.seen == 0) return;
  if (!known && rates_.size() >= kVersionsKept) rates_.clear();
  rates_[serving] = rate;
}

int64_t DemandTracker::OutstandingAt(const std::string& lease) const {
  if (window_.empty()) return 0;
  for (const wire::ReplicaTraffic& replica : window_.back().traffic.replicas) {
    if (replica.id == lease) return replica.outstanding;
  }
  return 0;
}

}  // namespace weir::control
