#include "control/lab_past.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/nearest.h"

namespace weir::control {

namespace {

constexpr int64_t kDayUs = 86'400'000'000;
constexpr int64_t kMostDaysAtOnce = 20'000;  // a clock that jumps further than this is not believed

template <class... F>
struct EachOf : F... {
  using F::operator()...;
};

}  // namespace

void PastFold::Advance(Time to) {
  if (!seen_.is_set()) seen_ = to;
  if (to <= seen_ || (to - seen_).us > kMostDaysAtOnce * kDayUs) return;
  while (seen_ < to) {
    const market::Date day = market::Date::Of(seen_);
    const Time until = std::min(to, (day + 1).Start());
    Day& d = days_[day.days];
    const Duration length = until - seen_;
    d.covered = d.covered + length;
    for (const auto& [team, slots] : held_)
      if (slots > 0) d.slot_us[team] += slots * length.us;
    d.waiting.clear();
    for (const auto& [id, job] : jobs_)
      if (job.waits) d.waiting[job.team] += job.slots;
    seen_ = until;
  }
}

void PastFold::See(const Event& event) {
  Advance(event.at);
  std::visit(
      EachOf{
          [&](const TeamPut& e) { out_.classes[e.team.name] = e.team.team_class; },
          [&](const SlotSeen& e) {
            slots_[e.slot.id] = {e.slot.site, e.slot.type};
          },
          [&](const JobSubmitted& e) {
            jobs_[e.job.id] = {e.job.spec.team, std::max<int64_t>(1, e.job.spec.min_slots), true};
          },
          [&](const JobMoved& e) { Moved(e); },
          [&](const LeaseIntended& e) { Opened(event.at, e.lease); },
          [&](const LeaseEnded& e) { Ended(event.at, e.lease); },
          [&](const LoanOpened& e) {
            market::LoanShare share{e.loan.id, {}};
            for (const wire::LoanPart& part : e.loan.parts) {
              // Slots that were idle are nobody's.
              const std::string lender = part.job.empty() ? "" : part.team;
              share.lenders.emplace_back(lender, static_cast<int64_t>(part.slots.size()));
            }
            out_.shares.push_back(std::move(share));
          },
          [](const auto&) {}},
      event.body);
}

void PastFold::Moved(const JobMoved& e) {
  const auto it = jobs_.find(e.job);
  if (it == jobs_.end()) return;
  switch (e.phase) {
    case wire::JobPhase::kQueued:
    case wire::JobPhase::kPaused:
      it->second.waits = true;
      break;
    case wire::JobPhase::kRunning:
      it->second.waits = false;
      break;
    case wire::JobPhase::kDone:
    case wire::JobPhase::kFailed:
    case wire::JobPhase::kCancelled:
      jobs_.erase(it);
      break;
  }
}

void PastFold::Opened(Time at, const wire::Lease& lease) {
  std::map<std::pair<std::string, std::string>, int64_t> places;
  for (const std::string& slot : lease.slots) {
    const auto known = slots_.find(slot);
    // A slot that no driver told of: its site is the first part of its id.
    ++places[known != slots_.end() ? known->second
                                   : std::pair(slot.substr(0, slot.find('/')), std::string())];
  }
  Open open;
  for (const auto& [place, slots] : places) {
    market::Use use;
    use.lease = lease.id;
    use.team = lease.team;
    use.holder = lease.holder;
    use.site = place.first;
    use.accelerator = place.second;
    use.from = at;
    use.slots = slots;
    use.loan = lease.loan;
    open.uses.push_back(std::move(use));
  }
  held_[lease.team] += static_cast<int64_t>(lease.slots.size());
  open_[lease.id] = std::move(open);
}

void PastFold::Ended(Time at, const std::string& lease) {
  const auto it = open_.find(lease);
  if (it == open_.end()) return;
  for (market::Use& use : it->second.uses) {
    held_[use.team] -= use.slots;
    use.to = at;
    if (use.from < use.to) out_.uses.push_back(std::move(use));
  }
  open_.erase(it);
  if (out_.uses.size() > kMostPastUses) {
    const auto half = out_.uses.begin() + static_cast<ptrdiff_t>(kMostPastUses / 2);
    out_.leases_since = (half - 1)->to;
    out_.uses.erase(out_.uses.begin(), half);
  }
}

LabPast PastFold::At(Time now) const {
  PastFold to_now = *this;
  to_now.Advance(now);
  LabPast out = std::move(to_now.out_);
  for (const auto& [id, open] : to_now.open_)
    for (market::Use use : open.uses) {
      use.to = std::max(now, to_now.seen_);
      if (use.from < use.to) out.uses.push_back(std::move(use));
    }
  for (const auto& [number, d] : to_now.days_) {
    PastDay day;
    day.on = {number};
    const auto whole = static_cast<double>(std::max<int64_t>(1, d.covered.us));
    for (const auto& [team, slot_us] : d.slot_us)
      day.teams[team].held = static_cast<double>(slot_us) / whole;
    for (const auto& [team, slots] : d.waiting)
      day.teams[team].waiting = static_cast<double>(slots);
    out.days.push_back(std::move(day));
  }
  return out;
}

Result<std::vector<DemandDay>> DemandOf(const LabPast& past, const std::string& of) {
  const auto is_class = [&](wire::TeamClass c) { return of == wire::NameOf(c); };
  const bool a_class = is_class(wire::TeamClass::kResearch) || is_class(wire::TeamClass::kProduct);
  if (!a_class && past.classes.count(of) == 0) {
    std::vector<std::string> names = {"research", "product"};
    for (const auto& [team, c] : past.classes) names.push_back(team);
    const std::string near = NearestOf(of, names);
    return Error(Code::kNotFound, fmt::format("of: there is no team \"{}\"", of))
        .Hint(near.empty() ? "ask for research, for product or for a team of `weir team list`"
                           : fmt::format("did you mean {}?", near));
  }
  std::vector<DemandDay> out;
  for (const PastDay& day : past.days) {
    DemandDay sum{day.on, 0, 0};
    for (const auto& [team, d] : day.teams) {
      const auto known = past.classes.find(team);
      if (a_class ? known == past.classes.end() || !is_class(known->second) : team != of) continue;
      sum.served += d.held;
      sum.waiting += d.waiting;
    }
    out.push_back(sum);
  }
  return out;
}

}  // namespace weir::control
