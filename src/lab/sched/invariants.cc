#include "lab/sched/invariants.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "lab/sched/lab_scheduler.h"

namespace weir::sched {
namespace {

using wire::HolderKind;
using wire::LeasePhase;

template <class... Args>
void Note(std::vector<std::string>* out, fmt::format_string<Args...> text, Args&&... args) {
  out->push_back(fmt::format(text, std::forward<Args>(args)...));
}

template <class T, class Id>
const T* Find(const std::vector<T>& all, Id is) {
  const auto it = std::find_if(all.begin(), all.end(), is);
  return it == all.end() ? nullptr : &*it;
}

const wire::Service* ServiceNamed(const Snapshot& s, std::string_view name) {
  const auto* found =
      Find(s.services, [&](const ServiceState& v) { return v.service.spec.name == name; });
  return found == nullptr ? nullptr : &found->service;
}

void CheckGang(const Snapshot& s, const std::string& job, size_t slots,
               std::vector<std::string>* out) {
  const auto* j = Find(s.jobs, [&](const JobState& x) { return x.job.id == job; });
  if (j == nullptr) return;
  const wire::JobSpec& spec = j->job.spec;
  const int64_t n = static_cast<int64_t>(slots);
  if (n < spec.min_slots || n > std::max(spec.max_slots, spec.min_slots)) {
    Note(out, "{} has {} slots, not {}..{}", job, n, spec.min_slots, spec.max_slots);
  }
}

// Slots that a team and those below it have out on loan.
std::map<std::string_view, int64_t> LentByTeam(const Snapshot& s) {
  std::map<std::string_view, const wire::Team*> teams;
  for (const wire::Team& t : s.teams) teams.emplace(t.name, &t);
  std::map<std::string_view, int64_t> lent;
  for (const wire::Loan& loan : s.loans) {
    for (const wire::LoanPart& part : loan.parts) {
      std::string_view at = part.team;
      for (size_t depth = 0; teams.contains(at) && depth <= teams.size(); ++depth) {
        lent[at] += std::ssize(part.slots);
        at = teams[at]->parent;
      }
    }
  }
  return lent;
}

void CheckLendLimits(const Snapshot& s, const Policy& policy, std::vector<std::string>* out) {
  int64_t all = 0;
  for (const wire::Loan& loan : s.loans) {
    for (const wire::LoanPart& part : loan.parts) all += std::ssize(part.slots);
  }
  if (policy.loan_limit_slots >= 0 && all > policy.loan_limit_slots) {
    Note(out, "{} slots are out on loan, the lab's limit is {}", all, policy.loan_limit_slots);
  }
  const auto lent = LentByTeam(s);
  for (const wire::Team& t : s.teams) {
    const auto it = lent.find(t.name);
    if (it != lent.end() && t.lend_limit_slots >= 0 && it->second > t.lend_limit_slots) {
      Note(out, "team {} has lent {} slots, its limit is {}", t.name, it->second,
           t.lend_limit_slots);
    }
  }
}

// A guarantee counts as at least the sum of those below it. By definition: over the tree.
int64_t GuaranteeOf(const Snapshot& s, const wire::Team& team, size_t depth = 0) {
  int64_t below = 0;
  for (const wire::Team& t : s.teams) {
    if (depth < s.teams.size() && t.parent == team.name && t.team_class == team.team_class) {
      below += GuaranteeOf(s, t, depth + 1);
    }
  }
  return std::max(team.guarantee_slots, below);
}

int64_t ProductGuarantee(const Snapshot& s) {
  int64_t sum = 0;
  for (const wire::Team& t : s.teams) {
    const auto* parent = Find(s.teams, [&](const wire::Team& p) { return p.name == t.parent; });
    const bool top = parent == nullptr || parent->team_class != t.team_class;
    if (top && t.team_class == wire::TeamClass::kProduct) sum += GuaranteeOf(s, t);
  }
  return sum;
}

}  // namespace

std::vector<std::string> Breaches(const Snapshot& s, const Policy& policy) {
  std::vector<std::string> out;
  std::map<std::string_view, const wire::Lease*> holder;  // of each slot, one of them
  std::map<std::string_view, const wire::Loan*> on_loan;
  for (const wire::Loan& loan : s.loans) {
    for (const wire::LoanPart& part : loan.parts) {
      for (const std::string& slot : part.slots) {
        const auto [it, fresh] = on_loan.emplace(slot, &loan);
        if (!fresh) Note(&out, "slot {} is on {} and on {}", slot, it->second->id, loan.id);
      }
    }
    const wire::Service* service = ServiceNamed(s, loan.service);
    const Duration grace = service == nullptr ? Duration::Seconds(20) : service->spec.grace;
    if (loan.due.is_set() && s.now > loan.due + grace) {
      Note(&out, "{} was due {:.0f} s ago", loan.id, (s.now - loan.due).seconds());
    }
  }
  int64_t product = 0;
  for (const wire::Lease& lease : s.leases) {
    const bool stopping = lease.phase == LeasePhase::kStopping;
    for (const std::string& slot : lease.slots) {
      const auto [it, fresh] = holder.emplace(slot, &lease);
      if (!fresh && lease.replaces != it->second->id && it->second->replaces != lease.id) {
        Note(&out, "slot {} is held by {} and by {}", slot, it->second->id, lease.id);
      }
      const auto loan = on_loan.find(slot);
      const bool lent = loan != on_loan.end();
      if (lease.holder_kind == HolderKind::kJob && lent && !stopping) {
        Note(&out, "slot {} is on {} and {} of {} runs there", slot, loan->second->id, lease.id,
             lease.holder);
      }
      if (lease.holder_kind == HolderKind::kReplica) {
        const std::string& has = lent ? loan->second->id : lease.loan;
        if (!stopping && has != lease.loan) {
          Note(&out, "{} of service {} stands on {} and is of loan '{}'", lease.id, lease.service,
               has, lease.loan);
        }
        if (!stopping && !lent && !lease.loan.empty()) {
          Note(&out, "{} is of {}, which does not have its slot {}", lease.id, lease.loan, slot);
        }
      }
    }
    if (lease.holder_kind == HolderKind::kJob) {
      CheckGang(s, lease.holder, lease.slots.size(), &out);
      continue;
    }
    const bool second = Find(s.leases, [&](const wire::Lease& l) {
                          return l.id == lease.replaces && l.phase != LeasePhase::kStopping;
                        }) != nullptr;
    if (!stopping && !second && lease.loan.empty()) product += std::ssize(lease.slots);
    const wire::Service* service = ServiceNamed(s, lease.service);
    if (service != nullptr && !stopping &&
        std::ssize(lease.slots) != std::max<int64_t>(service->spec.slots_per_replica, 1)) {
      Note(&out, "{} of service {} has {} slots, not {}", lease.id, lease.service,
           lease.slots.size(), service->spec.slots_per_replica);
    }
  }
  const int64_t guaranteed = ProductGuarantee(s);
  if (product > guaranteed) {
    Note(&out, "product holds {} slots without a loan and is guaranteed {}", product, guaranteed);
  }
  CheckLendLimits(s, policy, &out);
  return out;
}

std::vector<std::string> Breaches(const Snapshot& s, const Decision& decision,
                                  const Policy& policy) {
  std::vector<std::string> out;
  std::set<std::string_view> held, usable, freed, given;
  std::map<std::string, std::set<std::string_view>> loan_slots;  // by id, new ones too
  for (const SlotState& slot : s.slots) {
    if (slot.usable) usable.insert(slot.id);
    if (!slot.lease.empty()) held.insert(slot.id);
  }
  for (const wire::Lease& lease : s.leases) {
    held.insert(lease.slots.begin(), lease.slots.end());
    if (lease.phase == LeasePhase::kStopping) freed.insert(lease.slots.begin(), lease.slots.end());
  }
  std::set<std::string_view> lent;
  for (const wire::Loan& loan : s.loans) {
    for (const wire::LoanPart& part : loan.parts) {
      lent.insert(part.slots.begin(), part.slots.end());
      if (loan.phase == wire::LoanPhase::kOpen) {
        loan_slots[loan.id].insert(part.slots.begin(), part.slots.end());
      }
    }
  }
  Snapshot after = s;  // its loans, for the limits
  std::set<std::string_view> stopped;
  for (const Action& a : decision.actions) {
    if (a.reason.text.empty()) Note(&out, "an action on {}{} has no reason", a.job, a.service);
    const bool starts = a.kind == ActionKind::kStartJob || a.kind == ActionKind::kStartReplica ||
                        a.kind == ActionKind::kOpenLoan;
    if (s.draining && starts) Note(&out, "{}{} starts while draining", a.job, a.service);
    if (a.kind == ActionKind::kStopJob || a.kind == ActionKind::kStopReplica) {
      const auto* lease = Find(s.leases, [&](const wire::Lease& l) { return l.id == a.lease; });
      if (lease == nullptr || lease->phase == LeasePhase::kStopping) {
        Note(&out, "{} is stopped and was not running", a.lease);
      } else {
        freed.insert(lease->slots.begin(), lease->slots.end());
      }
      if (!stopped.insert(a.lease).second) Note(&out, "{} is stopped twice", a.lease);
    }
    if (a.kind == ActionKind::kRecallLoan) loan_slots.erase(a.loan);
  }
  for (const Action& a : decision.actions) {
    if (a.kind != ActionKind::kOpenLoan) continue;
    after.loans.push_back({.id = a.loan, .service = a.service, .parts = a.parts, .due = a.due});
    if (a.due <= s.now) Note(&out, "{} opens already due", a.loan);
    for (const wire::LoanPart& part : a.parts) {
      for (const std::string& slot : part.slots) {
        if (!lent.insert(slot).second) Note(&out, "slot {} is lent twice", slot);
        if (!usable.contains(slot)) Note(&out, "slot {} is lent and not usable", slot);
        if (held.contains(slot) && !freed.contains(slot)) {
          Note(&out, "slot {} is lent and nobody frees it", slot);
        }
        loan_slots[a.loan].insert(slot);
      }
    }
  }
  for (const Action& a : decision.actions) {
    if (a.kind != ActionKind::kStartJob && a.kind != ActionKind::kStartReplica) continue;
    const std::string who = a.job.empty() ? a.service : a.job;
    std::set<std::string_view> sites;
    for (const std::string& slot : a.slots) {
      sites.insert(SiteOfSlot(slot));
      if (!usable.contains(slot)) Note(&out, "{} is given slot {}, not usable", who, slot);
      if (held.contains(slot)) Note(&out, "{} is given slot {}, which is held", who, slot);
      if (!given.insert(slot).second) Note(&out, "slot {} is given twice, to {} too", slot, who);
      const bool own_loan = !a.loan.empty() && loan_slots[a.loan].contains(slot);
      if (lent.contains(slot) != own_loan || (!a.loan.empty() && !own_loan)) {
        Note(&out, "{} is given slot {} and loan '{}', which do not belong together", who, slot,
             a.loan);
      }
    }
    if (sites.size() != 1) Note(&out, "{} is given slots on {} sites", who, sites.size());
    if (a.kind == ActionKind::kStartJob) {
      CheckGang(s, a.job, a.slots.size(), &out);
      const auto* lease = Find(s.leases, [&](const wire::Lease& l) { return l.holder == a.job; });
      if (lease != nullptr) Note(&out, "{} starts and still has {}", a.job, lease->id);
    }
  }
  CheckLendLimits(after, policy, &out);
  return out;
}

std::vector<std::string> UnsettledGuarantees(const Snapshot& s) {
  std::vector<std::string> out;
  std::map<std::string_view, int64_t> held;  // by team: with those below it, lent slots too
  std::map<std::string_view, const wire::Team*> teams;
  for (const wire::Team& t : s.teams) teams.emplace(t.name, &t);
  const auto add = [&](std::string_view team, int64_t slots) {
    for (size_t depth = 0; teams.contains(team) && depth <= s.teams.size(); ++depth) {
      held[team] += slots;
      const wire::Team* parent =
          teams.contains(teams[team]->parent) ? teams[teams[team]->parent] : nullptr;
      if (parent == nullptr || parent->team_class != teams[team]->team_class) break;
      team = parent->name;
    }
  };
  for (const wire::Lease& lease : s.leases) {
    if (lease.phase != LeasePhase::kStopping && lease.loan.empty()) {
      add(lease.team, std::ssize(lease.slots));
    }
  }
  for (const auto& [team, slots] : LentByTeam(s)) held[team] += slots;
  const auto guarantee = [&](std::string_view team) { return GuaranteeOf(s, *teams[team]); };
  int64_t usable = 0;
  for (const SlotState& slot : s.slots) usable += slot.usable;
  for (const JobState& job : s.jobs) {
    const wire::JobSpec& spec = job.job.spec;
    const bool runs = std::any_of(s.leases.begin(), s.leases.end(),
                                  [&](const wire::Lease& l) { return l.holder == job.job.id; });
    if (runs || !teams.contains(spec.team) || spec.min_slots > usable ||
        teams[spec.team]->team_class != wire::TeamClass::kResearch) {
      continue;
    }
    std::string_view at = spec.team;
    for (size_t depth = 0; teams.contains(at) && depth <= s.teams.size(); ++depth) {
      if (held[at] + spec.min_slots <= guarantee(at)) {
        Note(&out, "{} waits for {} slots, team {} holds {} and is guaranteed {}", job.job.id,
             spec.min_slots, at, held[at], guarantee(at));
        break;
      }
      at = teams[at]->parent;
    }
  }
  for (const ServiceState& service : s.services) {
    const wire::ServiceSpec& spec = service.service.spec;
    const int64_t own = std::count_if(s.leases.begin(), s.leases.end(), [&](const wire::Lease& l) {
      return l.service == spec.name && l.loan.empty() && l.phase != LeasePhase::kStopping;
    });
    if (!teams.contains(spec.team) || own >= spec.min_replicas) continue;
    if (held[spec.team] + spec.slots_per_replica <= guarantee(spec.team)) {
      Note(&out, "service {} has {} of {} replicas, its team holds {} and is guaranteed {}",
           spec.name, own, spec.min_replicas, held[spec.team], guarantee(spec.team));
    }
  }
  return out;
}

}  // namespace weir::sched
