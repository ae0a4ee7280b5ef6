#include "control/sim/report/bound.h"

#include <algorithm>
#include <cmath>
#include <queue>

namespace weir::sim {

namespace {

double BestSpeed(const FleetSpec& fleet) {
  double speed = 0;
  for (const NodeSpec& node : fleet.nodes) speed = std::max(speed, node.speed);
  return speed;
}

// Slot-seconds that the job takes at its most efficient size, and seconds at its fastest.
struct Least {
  double slot_s = 0, alone_s = 0;
};
Least LeastOf(const SimJob& job, const Assume& assume, double speed) {
  const double n = static_cast<double>(job.slots);
  const auto rate = [&](int64_t slots) {
    return speed * std::pow(static_cast<double>(slots) / n, assume.scaling_exponent);
  };
  Least least;
  // Slots over rate grow with the size (exponent at most 1): the smallest size is the cheapest.
  least.slot_s = job.work_s / rate(job.min_slots) * static_cast<double>(job.min_slots);
  least.alone_s = assume.launch_delay.seconds() + StartCost(assume, job.min_slots).seconds() +
                  job.work_s / rate(job.max_slots);
  return least;
}

}  // namespace

Bound BoundOf(const Scenario& s) {
  Bound bound;
  const double slots = static_cast<double>(s.fleet.slots());
  const double speed = BestSpeed(s.fleet);
  constexpr double kStep = 600;
  const auto need = [&](double at) {
    double sum = 0;
    for (const SimService& service : s.services)
      sum += static_cast<double>(service.NeedSlots(Duration::FromSeconds(at)));
    return sum;
  };
  const double demand_end = s.services.empty() ? 0 : (s.last_demand - s.start).seconds();
  for (double at = 0; at < demand_end; at += 60)
    bound.unmet_slot_min += std::max(0.0, need(at) - slots);

  std::vector<double> alone;
  // Shortest remaining work first, on all slots that product leaves.
  std::priority_queue<double, std::vector<double>, std::greater<>> left;
  double now = 0, sum = 0, capacity = std::max(1e-9, slots - std::min(slots, need(0)));
  double next_step = kStep;
  std::vector<std::pair<double, double>> waiting;  // (submit, work) are in order already
  const auto run_until = [&](double until) {
    while (!left.empty() && now < until) {
      const double stop = std::min(until, next_step);
      const double work = left.top(), done_at = now + work / capacity;
      left.pop();
      if (done_at <= stop) {
        now = done_at;
        sum += now;
        continue;
      }
      left.push(work - (stop - now) * capacity);
      now = stop;
      if (now >= next_step) {
        next_step += kStep;
        // The least need of the step: the most that research could have.
        capacity = std::max(
            1e-9, slots - std::min({slots, need(now), need(now + kStep / 2), need(now + kStep)}));
      }
    }
    if (now < until) {
      now = until;
      if (now >= next_step) {
        next_step = (std::floor(now / kStep) + 1) * kStep;
        capacity = std::max(1e-9, slots - std::min({slots, need(now), need(next_step)}));
      }
    }
  };
  double submits = 0;
  for (const SimJob& job : s.jobs) {
    const Least least = LeastOf(job, s.fleet.assume, speed);
    alone.push_back(least.alone_s);
    const double submit = (job.submit - s.start).seconds();
    run_until(submit);
    left.push(least.slot_s);
    submits += submit;
  }
  run_until(std::numeric_limits<double>::max());
  const double n = static_cast<double>(std::max<size_t>(1, s.jobs.size()));
  bound.alone = SpreadOf(std::move(alone));
  bound.mean_alone_s = bound.alone.mean;
  bound.mean_fluid_s = (sum - submits) / n;
  bound.mean_completion_s = std::max(bound.mean_alone_s, bound.mean_fluid_s);
  return bound;
}

}  // namespace weir::sim
