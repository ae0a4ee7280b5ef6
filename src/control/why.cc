#include "control/why.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "control/commands.h"
#include "control/events.h"

namespace weir::control {
namespace {

using wire::JobPhase;
using wire::LoanPhase;

std::string Ago(Time now, Time then) { return Human(now - then) + " ago"; }

wire::WhyView WhyJob(const State& state, const wire::Job& job, Time now) {
  wire::WhyView view{"job", job.id, job.spec.name, "", {}, std::nullopt, "", {}};
  view.now = fmt::format("{} ({}) is {}", job.spec.name, job.id, wire::NameOf(job.phase));
  if (job.phase == JobPhase::kRunning) {
    const auto lease = state.leases.find(job.lease);
    view.now += fmt::format(" on {} of {} to {} slots, run {}", job.slots, job.spec.min_slots,
                            job.spec.max_slots, job.attempts);
    if (lease != state.leases.end()) {
      view.now += fmt::format(", since {}", Human(now - lease->second.opened));
      if (lease->second.phase == wire::LeasePhase::kStopping)
        view.now += fmt::format("; asked to stop {} ({})", Ago(now, lease->second.stop_asked),
                                wire::NameOf(lease->second.stop_cause));
    }
  } else if (HasEnded(job)) {
    view.now += fmt::format(" since {}", Human(job.ended));
  }
  view.now += ": " + job.reason;
  if (job.not_before > now && !HasEnded(job))
    view.blockers.push_back(
        {"backoff",
         fmt::format("it starts again in {} at the earliest", Human(job.not_before - now)),
         "nothing: the back-off ends by itself"});
  return view;
}

wire::WhyView WhyService(const State& state, const wire::Service& service) {
  wire::WhyView view{"service", service.id, service.spec.name, "", {}, std::nullopt, "", {}};
  int64_t ready = 0, others = 0, lent = 0;
  for (const auto& [id, lease] : state.leases) {
    if (lease.holder != service.id) continue;
    (lease.ready && lease.phase == wire::LeasePhase::kActive ? ready : others) += 1;
    lent += lease.loan.empty() ? 0 : 1;
  }
  view.now = fmt::format(
      "{} ({}) is {}: {} replicas ready, {} starting or draining, {} of them "
      "on loans; {} to {} are asked for",
      service.spec.name, service.id, wire::NameOf(service.phase), ready, others, lent,
      service.spec.min_replicas, service.spec.max_replicas);
  const std::string own = OwnVersion(state, service);
  if (!service.version.empty()) view.now += "; new ones serve " + service.version;
  if (service.version != own) view.now += fmt::format(", a variant of {}", own);
  if (service.shed_above_tier > 0)
    view.now += fmt::format("; tiers above {} are refused", service.shed_above_tier);
  if (!service.reason.empty()) view.now += ": " + service.reason;
  return view;
}

wire::WhyView WhyLoan(const wire::Loan& loan, Time now) {
  wire::WhyView view{"loan", loan.id, loan.service, "", {}, std::nullopt, "", {}};
  size_t slots = 0;
  for (const wire::LoanPart& part : loan.parts) slots += part.slots.size();
  view.now = fmt::format("{} lends {} slots to {}", loan.id, slots, loan.service);
  if (loan.phase == LoanPhase::kOpen)
    view.now += fmt::format(", opened {}, due in {}", Ago(now, loan.opened), Human(loan.due - now));
  else if (loan.phase == LoanPhase::kRecalled)
    view.now += fmt::format(", recalled {}: {}", Ago(now, loan.recalled), loan.recall_why);
  else
    view.now += fmt::format(", returned after {}; it cost {:.1f} slot-seconds and {} steps",
                            Human(loan.returned - loan.opened), loan.cost_slot_s, loan.cost_steps);
  view.now += ". Opened because " + loan.why;
  if (loan.phase == LoanPhase::kOpen)
    view.could_change = "demand falling, its due time, or `weir loan recall`";
  return view;
}

}  // namespace

Result<wire::WhyView> WhyNow(const State& state, const std::string& kind, const std::string& which,
                             Time now) {
  if (kind == "job") {
    const wire::Job* job = FindJob(state, which);
    if (job == nullptr) return NoSuch(kind, which);
    return WhyJob(state, *job, now);
  }
  if (kind == "service") {
    const wire::Service* service = FindService(state, which);
    if (service == nullptr) return NoSuch(kind, which);
    return WhyService(state, *service);
  }
  if (kind == "loan") {
    const auto loan = state.loans.find(which);
    if (loan == state.loans.end()) return NoSuch(kind, which);
    return WhyLoan(loan->second, now);
  }
  return Error(Code::kInvalidArgument,
               fmt::format("kind: \"{}\" is not one of job, service, loan", kind));
}

void Explain(const sched::Explanation& explanation, wire::WhyView& view) {
  for (const sched::Blocker& blocker : explanation.blockers) {
    const bool known = std::any_of(view.blockers.begin(), view.blockers.end(),
                                   [&](const auto& b) { return b.kind == blocker.kind; });
    if (!known) view.blockers.push_back({blocker.kind, blocker.text, blocker.remedy});
  }
  if (explanation.expected_wait) view.expected_wait_s = explanation.expected_wait->seconds();
  if (explanation.latest_wait) view.latest_wait_s = explanation.latest_wait->seconds();
  if (!explanation.could_take_away.empty()) view.could_change = explanation.could_take_away;
  view.waits_for = explanation.waits_for;
  view.cheapest = explanation.cheapest;
  view.why_here = explanation.why_here;
}

Status AddHistory(io::Store& store, int64_t last_seq, wire::WhyView& view) {
  std::deque<wire::JournalRecord> kept;
  const std::string quoted = "\"" + view.id + "\"";
  TRY(store.Scan(std::max<int64_t>(1, last_seq - kWhyRecordsRead), [&](const io::Record& record) {
    // A quick look first: most records are about something else, and parsing is the cost.
    if (record.body.find(quoted) == std::string::npos) return true;
    Result<wire::JournalRecord> read = ToWire(record);
    if (!read) return true;
    if (std::find(read->subjects.begin(), read->subjects.end(), view.id) == read->subjects.end())
      return true;
    kept.push_back(*std::move(read));
    if (kept.size() > kWhyRecordsShown) kept.pop_front();
    return true;
  }));
  view.history.assign(kept.begin(), kept.end());
  return {};
}

}  // namespace weir::control
