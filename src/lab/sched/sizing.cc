#include "lab/sched/sizing.h"

#include <algorithm>
#include <cmath>

namespace weir::sched {
namespace {

// Above this many replicas a service is not sized: the double below still counts exactly.
constexpr double kMostReplicas = 1e6;
// Rates are measured: a load this close to a whole number of replicas is that number.
constexpr double kSlack = 1e-9;

int64_t Ceil(double replicas) {
  return static_cast<int64_t>(std::ceil(std::clamp(replicas - kSlack, 0.0, kMostReplicas)));
}

// Work waits although replicas run, or they are close to their limit of requests in flight.
bool Busy(const ServiceState& s, int64_t ready, const Policy& policy) {
  const double places = static_cast<double>(ready * s.service.spec.max_concurrency);
  return s.demand.queued > 0 || s.demand.outstanding > policy.target_utilization * places;
}

bool MissesSlo(const ServiceState& s) {
  const wire::Slo& slo = s.service.spec.slo;
  return s.demand.ttft_ms > slo.ttft_ms || s.demand.tpot_ms > slo.tpot_ms;
}

}  // namespace

double RatePerReplica(const Demand& demand, const Policy& policy) {
  return demand.service_rate_per_replica > 0 ? demand.service_rate_per_replica
                                             : policy.default_rate_per_replica;
}

double Load(const Demand& demand, const Policy& policy) {
  const double drain_s = std::max(policy.drain_backlog.seconds(), 0.001);
  return std::max({demand.arrivals_per_s, demand.forecast_per_s, 0.0}) +
         std::max(demand.queued, 0.0) / drain_s;
}

int64_t ReplicasFor(const ServiceState& s, int64_t ready, const Policy& policy) {
  const double rate = RatePerReplica(s.demand, policy) * policy.target_utilization;
  int64_t n = Ceil(Load(s.demand, policy) / rate);
  if (ready > 0 && MissesSlo(s) && Busy(s, ready, policy)) n = std::max(n, ready + 1);
  return n;
}

int64_t WantedReplicas(const ServiceState& s, int64_t ready, const Policy& policy) {
  const wire::ServiceSpec& spec = s.service.spec;
  return std::clamp(ReplicasFor(s, ready, policy), spec.min_replicas,
                    std::max(spec.min_replicas, spec.max_replicas));
}

int64_t PressingReplicas(const ServiceState& s, int64_t ready, Time now, const Policy& policy) {
  ServiceState full = s;  // every replica used to the full
  full.demand.service_rate_per_replica =
      RatePerReplica(s.demand, policy) / std::max(policy.target_utilization, 1e-3);
  const int64_t at_once = WantedReplicas(full, ready, policy);
  const Duration above = s.demand.above_since.is_set() ? now - s.demand.above_since : Duration{};
  if (above < policy.surge_after + s.replica_startup) return at_once;
  ServiceState lasting = s;
  lasting.demand.forecast_per_s = 0;
  return std::max(at_once, WantedReplicas(lasting, ready, policy));
}

int64_t CalmReplicas(const ServiceState& s, const Policy& policy) {
  const double rate = RatePerReplica(s.demand, policy) * policy.low_mark;
  const wire::ServiceSpec& spec = s.service.spec;
  return std::clamp(Ceil(Load(s.demand, policy) / rate), spec.min_replicas,
                    std::max(spec.min_replicas, spec.max_replicas));
}

void UpdateMarks(ServiceState* s, int64_t ready, int64_t held, Time now, const Policy& policy) {
  const auto mark = [now](bool is, Time* since) {
    if (!is) {
      *since = {};
    } else if (!since->is_set()) {
      *since = now;
    }
  };
  const bool above = ReplicasFor(*s, ready, policy) > ready;
  // At its floor there is no smaller size: calm is then below the low mark of the floor itself,
  // which is what ends shedding and a cheaper version.
  const int64_t smaller =
      held > s->service.spec.min_replicas ? held - 1 : std::max<int64_t>(held, 1);
  const double rate = RatePerReplica(s->demand, policy) * policy.low_mark;
  const bool below = !above && Load(s->demand, policy) <= static_cast<double>(smaller) * rate;
  mark(above, &s->demand.above_since);
  mark(below, &s->demand.below_since);
}

}  // namespace weir::sched
