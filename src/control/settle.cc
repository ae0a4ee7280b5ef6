#include "control/settle.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "control/observe.h"

namespace weir::control {

using wire::LeasePhase;
using wire::LoanPhase;
using wire::StopCause;

double CreditNow(const State& state, const wire::Team& team, Time now, Duration half_life) {
  const auto at = state.credit_at.find(team.name);
  if (at == state.credit_at.end() || half_life.us <= 0 || now <= at->second)
    return team.credit_slot_s;
  return team.credit_slot_s * std::exp2(-(now - at->second).seconds() / half_life.seconds());
}

namespace {

Event Returned(const State& state, const wire::Loan& loan, Time now, Duration half_life) {
  LoanReturned returned;
  returned.loan = loan.id;
  const double lent_s = (now - loan.opened).seconds();
  for (const wire::LoanPart& part : loan.parts) {
    const double cost = lent_s * static_cast<double>(part.slots.size()) + part.work_lost_slot_s;
    returned.cost_slot_s += cost;
    returned.cost_steps += part.steps_lost;
    const auto team = state.teams.find(part.team);
    if (team == state.teams.end()) continue;
    const auto [credit, is_new] = returned.credit_slot_s.try_emplace(
        part.team, CreditNow(state, team->second, now, half_life));
    credit->second += cost;
  }
  return {now,
          kLoopActor,
          {loan.id, loan.service},
          fmt::format("{} is returned after {}: it cost research {:.1f} slot-seconds and {} steps",
                      loan.id, Human(now - loan.opened), returned.cost_slot_s, returned.cost_steps),
          {{"cost_slot_s", returned.cost_slot_s},
           {"cost_steps", static_cast<double>(returned.cost_steps)},
           {"lent_s", lent_s}},
          returned};
}

Event StopFor(const wire::Lease& lease, StopCause cause, std::string text, Time now) {
  return {now,
          kLoopActor,
          {lease.id, lease.holder},
          std::move(text),
          {},
          LeaseStopAsked{lease.id, cause}};
}

}  // namespace

std::vector<Event> Settle(const State& state, Time now, bool draining, Duration credit_half_life) {
  std::vector<Event> events;
  std::set<std::string> holders, loans, stopped;
  for (const auto& [id, lease] : state.leases) {
    holders.insert(lease.holder);
    if (!lease.loan.empty()) loans.insert(lease.loan);
  }
  const auto stop = [&](const wire::Lease& lease, StopCause cause, std::string text) {
    if (lease.phase == LeasePhase::kStopping || !stopped.insert(lease.id).second) return;
    events.push_back(StopFor(lease, cause, std::move(text), now));
  };

  for (const auto& [id, lease] : state.leases) {
    const auto site = state.sites.find(SiteOf(lease.slots.front()));
    if (site != state.sites.end() && site->second.draining) {
      const std::string why = fmt::format("{} moves: site {} is being drained", id, site->first);
      if (lease.holder_kind == wire::HolderKind::kReplica)
        stop(lease, StopCause::kDrain, why);
      else if (state.jobs.at(lease.holder).spec.checkpointable)
        stop(lease, StopCause::kPause, why);
    }
    if (draining) stop(lease, StopCause::kShutdown, id + " stops: Weir is shutting down");
    if (lease.replaces.empty() || !lease.ready) continue;
    if (const auto old = state.leases.find(lease.replaces); old != state.leases.end())
      stop(old->second, StopCause::kReplace,
           fmt::format("{} drains: {} is ready in its slots", old->first, id));
  }
  for (const auto& [id, service] : state.services) {
    if (service.phase != wire::ServicePhase::kRetiring) continue;
    if (holders.count(id) == 0) {
      events.push_back({now,
                        kLoopActor,
                        {id, service.spec.name},
                        fmt::format("{} is retired: its last replica has ended", service.spec.name),
                        {},
                        ServiceRetired{id}});
      continue;
    }
    for (const auto& [lease_id, lease] : state.leases) {
      if (lease.holder == id)
        stop(lease, StopCause::kDrain,
             fmt::format("{} drains: {} is being retired", lease_id, service.spec.name));
    }
  }
  for (const auto& [id, loan] : state.loans) {
    if (loan.phase == LoanPhase::kRecalled && loans.count(id) == 0)
      events.push_back(Returned(state, loan, now, credit_half_life));
    if (loan.phase == LoanPhase::kOpen && FindService(state, loan.service) == nullptr) {
      const std::string why = fmt::format("service {} is gone", loan.service);
      events.push_back({now,
                        kLoopActor,
                        {id, loan.service},
                        fmt::format("{} is recalled: {}", id, why),
                        {},
                        LoanRecalled{id, why}});
    }
  }
  return events;
}

}  // namespace weir::control
