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
                         int64_t ready, int64_t held, Time now, Duration look_ahead,
                         const sched::Policy& policy) {
  const wire::ServiceSpec& spec = service.spec;
  // A gateway that began anew counts from zero.
  if (!window_.empty() && (traffic.arrivals < window_.back().traffic.arrivals ||
                           traffic.completed < window_.back().traffic.completed))
    window_.clear();
  const bool busy =
      ready > 0 && (traffic.queued > 0 || traffic.outstanding >= ready * spec.max_concurrency);
  window_.push_back({now, traffic, ready, busy});
  while (window_.size() > 2 && now - window_[1].at >= kRateWindow) window_.pop_front();
  Rates(spec, look_ahead);
  RateOfAReplica(ready, policy);

  demand_.arrivals_per_s = view_.arrivals_per_s;
  demand_.forecast_per_s = view_.forecast_per_s;
  demand_.outstanding = static_cast<double>(traffic.outstanding);
  demand_.queued = static_cast<double>(traffic.queued);
  demand_.ttft_ms = view_.ttft_ms;
  demand_.tpot_ms = view_.tpot_ms;
  view_.capacity_per_s = static_cast<double>(ready) * sched::RatePerReplica(demand_, policy);
  view_.slo_met = view_.ttft_ms <= spec.slo.ttft_ms && view_.tpot_ms <= spec.slo.tpot_ms;
  sched::ServiceState measured{service, demand_, look_ahead};
  sched::UpdateMarks(&measured, ready, held, now, policy);
  demand_ = measured.demand;
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

void DemandTracker::RateOfAReplica(int64_t ready, const sched::Policy& policy) {
  const double span_s = (window_.back().at - window_.front().at).seconds();
  const bool steady = std::all_of(window_.begin(), window_.end(),
                                  [&](const Sample& s) { return s.ready == ready; });
  if (ready > 0 && steady && span_s > 0 && view_.completions_per_s > 0) {
    const double replicas = static_cast<double>(ready);
    const double per_replica = view_.completions_per_s / replicas;
    if (span_s >= kRateWindow.seconds() / 4) {
      seen_rate_ = std::max(seen_rate_, per_replica);
      // Requests in flight at one replica on average (Little: rate x time each takes). One server
      // that works on one request at a time is then used to in_flight / (1 + in_flight) (M/M/1);
      // one that batches is used less, so this is the least that it can do when kept busy.
      const DurationHistogram& before = window_.front().traffic.latency;
      const DurationHistogram& after = window_.back().traffic.latency;
      const double in_flight =
          static_cast<double>(after.sum_us - before.sum_us) / 1e6 / span_s / replicas;
      if (in_flight > 0) {
        guessed_rate_ = std::max(guessed_rate_, per_replica * (1 + in_flight) / in_flight);
      }
    }
  }
  // Busy: over the newest stretch in which all were, without a break.
  auto from = window_.end() - 1;
  while (from != window_.begin() && (from - 1)->busy && (from - 1)->ready == ready) --from;
  const Sample& first = *from;
  const Sample& last = window_.back();
  const double busy_s = (last.at - first.at).seconds();
  const double done = static_cast<double>(last.traffic.completed - first.traffic.completed);
  if (first.busy && last.busy && first.ready == ready && busy_s >= kBusyLeast.seconds() &&
      done >= kBusyCompletions) {
    const double rate = done / busy_s / static_cast<double>(ready);
    busy_rate_ = busy_rate_ == 0 ? rate : busy_rate_ + 0.2 * (rate - busy_rate_);
  }
  // What it did without being busy it can do at least.
  if (busy_rate_ > 0)
    demand_.service_rate_per_replica = std::max(busy_rate_, std::min(seen_rate_, 1.2 * busy_rate_));
  else if (const double guess = std::max(kHeadroom * seen_rate_, guessed_rate_);
           guess > policy.default_rate_per_replica)
    demand_.service_rate_per_replica = guess;
}

int64_t DemandTracker::OutstandingAt(const std::string& lease) const {
  if (window_.empty()) return 0;
  for (const wire::ReplicaTraffic& replica : window_.back().traffic.replicas) {
    if (replica.id == lease) return replica.outstanding;
  }
  return 0;
}

}  // namespace weir::control
