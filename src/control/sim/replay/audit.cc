// What must hold, checked on the truth; and the last events, for when it does not.
#include <fmt/format.h>

#include <algorithm>

#include "control/sim/replay/run_state.h"

namespace weir::sim {

namespace {
constexpr size_t kEventsKept = 20;
}

void Run::Note(const Event& event) {
  ++out_.events;
  ++since_audit_;
  uint64_t h = out_.fingerprint;
  for (const uint64_t part : {static_cast<uint64_t>(event.at.us), static_cast<uint64_t>(event.kind),
                              static_cast<uint64_t>(event.id)}) {
    h = (h ^ part) * 1099511628211u;
    h ^= h >> 29;
  }
  out_.fingerprint = h;
  last_[out_.events % kEventsKept] = event;
}

void Run::Breach(std::string what) {
  if (!breach_.empty()) return;
  breach_ = fmt::format("policy {}, seed {}, at {:.3f} s: {}\nthe last events:", policy_.name,
                        s_.seed, (now_ - s_.start).seconds(), what);
  const int64_t from = std::max<int64_t>(1, out_.events - static_cast<int64_t>(kEventsKept) + 1);
  for (int64_t i = from; i <= out_.events; ++i) {
    const Event& e = last_[static_cast<size_t>(i) % kEventsKept];
    static const char* const moves[] = {"start job", "stop job",    "start replica", "stop replica",
                                        "open loan", "recall loan", "shed",          "use version"};
    breach_ += fmt::format("\n  {:>14.3f} s  {} {}", (e.at - s_.start).seconds(),
                           e.run >= 1000 && e.run < 1008 && e.kind == EventKind::kWake
                               ? moves[e.run - 1000]
                               : NameOf(e.kind),
                           e.id);
  }
}

// The sums and masks that are kept step by step, against what they are sums of.
void Run::Audit() {
  since_audit_ = 0;
  int64_t research = 0, product = 0;
  for (const int id : on_slots_) research += jobs_[static_cast<size_t>(id)].slots;
  for (const auto& [id, replica] : replicas_) product += replica.slots;
  if (research != research_slots_ || product != product_slots_ ||
      research + product != book_.held_slots()) {
    return Breach(fmt::format("slots held: jobs {} counted {}, replicas {} counted {}, in all {}",
                              research, research_slots_, product, product_slots_,
                              book_.held_slots()));
  }
  if (s_.fleet.faults.late_message.us > 0) return;  // the belief lags behind, rightly
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const int node = static_cast<int>(i);
    if (belief_.fleet().FreeMask(node) != book_.Free(node)) {
      return Breach(fmt::format("the belief takes slots {:#x} of {} as free, in truth {:#x} are",
                                belief_.fleet().FreeMask(node), s_.fleet.nodes[i].name,
                                book_.Free(node)));
    }
  }
}

// No team, and no team above it, has lent more than its limit.
void Run::AuditLending() {
  if (!policy_.loans || loans_.empty()) return;
  std::vector<int64_t> lent = lent_by_team_;
  for (size_t t = 0; t < lent.size(); ++t) {
    if (lent_by_team_[t] == 0) continue;
    for (int at = parent_[t]; at >= 0; at = parent_[static_cast<size_t>(at)])
      lent[static_cast<size_t>(at)] += lent_by_team_[t];
  }
  for (size_t t = 0; t < lent.size(); ++t) {
    const int64_t limit = s_.teams[t].lend_limit_slots;
    if (limit >= 0 && lent[t] > limit) {
      return Breach(fmt::format("team {} has {} slots out on loan, its limit is {}",
                                s_.teams[t].name, lent[t], limit));
    }
  }
}

// By team, with those below it: slots of jobs that nobody asked to give them up.
std::vector<int64_t> Run::Staying() const {
  std::vector<int64_t> staying(s_.teams.size());
  for (const int id : on_slots_) {
    const TrueJob& job = jobs_[static_cast<size_t>(id)];
    const int64_t slots = job.phase == RunPhase::kStopping ? job.keeps : job.slots;
    for (int at = s_.jobs[static_cast<size_t>(id)].team; at >= 0;
         at = parent_[static_cast<size_t>(at)])
      staying[static_cast<size_t>(at)] += slots;
  }
  return staying;
}

// A decision that opened loans has made no team give so much that less than its guarantee less its
// lend limit is left to it. `before`: Staying() before the decision.
void Run::AuditFloors(const std::vector<int64_t>& before) {
  const std::vector<int64_t> after = Staying();
  for (size_t t = 0; t < after.size(); ++t) {
    const wire::Team& team = s_.teams[t];
    if (team.team_class != wire::TeamClass::kResearch || team.lend_limit_slots < 0) continue;
    const int64_t floor = team.guarantee_slots - team.lend_limit_slots;
    if (after[t] >= floor || after[t] >= before[t]) continue;
    return Breach(
        fmt::format("team {} is left {} slots by a decision that lends; it is guaranteed {} "
                    "and lends at most {}",
                    team.name, after[t], team.guarantee_slots, team.lend_limit_slots));
  }
}

void Run::SetLevels() {
  const double research = static_cast<double>(research_slots_);
  const double product = static_cast<double>(product_slots_);
  const double own = static_cast<double>(own_slots_);
  const double usable = static_cast<double>(book_.usable_slots());
  const double held = static_cast<double>(book_.held_usable());
  ledger_.Set(kResearchSlots, research);
  ledger_.Set(kProductOwnSlots, std::min(product, own));
  ledger_.Set(kBorrowedSlots, std::max(0.0, product - own));
  ledger_.Set(kIdleSlots, usable - held);
  ledger_.Set(kDownSlots, static_cast<double>(total_slots_) - usable);
  ledger_.Set(kLentToResearch, std::max(0.0, research - std::max(0.0, usable - own)));
}

}  // namespace weir::sim
