#include "control/local_lab.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/commands.h"
#include "control/curve.h"
#include "control/why.h"

namespace weir::control {
namespace {

constexpr int64_t kPageMost = 1000;
constexpr int64_t kCurveFileBytes = 16 << 20;

// Runs one command and reads its result out of the state after it.
template <class T>
Result<T> Changed(ControlLoop& loop, const Actor& actor, const ControlLoop::Make& make,
                  const std::function<T(const State&, const std::vector<Event>&)>& read) {
  std::optional<T> out;
  TRY(loop.Change(actor, make, [&](const State& state, const std::vector<Event>& events) {
    out = read(state, events);
  }));
  return *std::move(out);
}

}  // namespace

Result<wire::Team> LocalLab::PutTeam(const wire::Team& team, const Actor& actor) {
  return Changed<wire::Team>(
      loop_, actor, [&](const CommandContext& c) { return control::PutTeam(c, team); },
      [&](const State& s, const auto&) { return s.teams.at(team.name); });
}

Status LocalLab::RemoveTeam(const std::string& which, const Actor& actor) {
  return loop_.Change(
      actor, [&](const CommandContext& c) { return control::RemoveTeam(c, which); },
      [](const State&, const auto&) {});
}

Result<wire::Job> LocalLab::SubmitJob(const wire::JobSpec& spec, const Actor& actor) {
  return Changed<wire::Job>(
      loop_, actor, [&](const CommandContext& c) { return control::SubmitJob(c, spec); },
      [](const State& s, const std::vector<Event>& events) {
        return s.jobs.at(std::get<JobSubmitted>(events.front().body).job.id);
      });
}

Result<wire::Job> LocalLab::CancelJob(const std::string& which, const Actor& actor) {
  std::string id;
  return Changed<wire::Job>(
      loop_, actor,
      [&](const CommandContext& c) {
        if (const wire::Job* job = FindJob(c.state, which)) id = job->id;
        return control::CancelJob(c, which);
      },
      [&](const State& s, const auto&) { return s.jobs.at(id); });
}

Result<wire::Service> LocalLab::CreateService(const wire::ServiceSpec& spec, const Actor& actor) {
  return Changed<wire::Service>(
      loop_, actor, [&](const CommandContext& c) { return control::CreateService(c, spec); },
      [&](const State& s, const auto&) { return *FindService(s, spec.name); });
}

Result<wire::Service> LocalLab::UpdateService(const wire::ServiceSpec& spec, const Actor& actor) {
  return Changed<wire::Service>(
      loop_, actor, [&](const CommandContext& c) { return control::UpdateService(c, spec); },
      [&](const State& s, const auto&) { return *FindService(s, spec.name); });
}

Result<wire::Service> LocalLab::RetireService(const std::string& which, const Actor& actor) {
  return Changed<wire::Service>(
      loop_, actor, [&](const CommandContext& c) { return control::RetireService(c, which); },
      [&](const State& s, const auto&) { return *FindService(s, which); });
}

Result<wire::Loan> LocalLab::RecallLoan(const std::string& which, const Actor& actor) {
  return Changed<wire::Loan>(
      loop_, actor, [&](const CommandContext& c) { return control::RecallLoan(c, which); },
      [&](const State& s, const auto&) { return s.loans.at(which); });
}

Result<wire::Dataset> LocalLab::AddDataset(const wire::Dataset& dataset, const Actor& actor) {
  return Changed<wire::Dataset>(
      loop_, actor, [&](const CommandContext& c) { return control::AddDataset(c, dataset); },
      [](const State& s, const auto&) { return s.datasets.back(); });
}

Result<wire::ModelVersion> LocalLab::AddModelVersion(const wire::ModelVersion& version,
                                                     const Actor& actor) {
  return Changed<wire::ModelVersion>(
      loop_, actor, [&](const CommandContext& c) { return control::AddModelVersion(c, version); },
      [](const State& s, const auto&) { return s.versions.back(); });
}

Result<wire::Pipeline> LocalLab::PutPipeline(const wire::Pipeline& pipeline, const Actor& actor) {
  return Changed<wire::Pipeline>(
      loop_, actor, [&](const CommandContext& c) { return control::PutPipeline(c, pipeline); },
      [&](const State& s, const auto&) { return s.pipelines.at(pipeline.name); });
}

Result<MarketState> LocalLab::ChangeMarket(const MarketChange& change, const Actor& actor) {
  const market::Date today = market::Date::Of(loop_.Now());
  return Changed<MarketState>(
      loop_, actor, [&](const CommandContext& c) { return control::ChangeMarket(c, change); },
      [&](const State& s, const auto&) {
        return MarketState{s.book, today};
      });
}

MarketState LocalLab::Market() const {
  MarketState out;
  out.today = market::Date::Of(loop_.Now());
  loop_.Read([&](const State& s) { out.book = s.book; });
  return out;
}

Result<wire::HeldPlan> LocalLab::PutPlan(const wire::PlanDoc& plan, const Actor& actor) {
  return Changed<wire::HeldPlan>(
      loop_, actor, [&](const CommandContext& c) { return control::PutPlan(c, plan); },
      [](const State& s, const auto&) { return *s.plan; });
}

std::optional<wire::HeldPlan> LocalLab::Plan() const {
  std::optional<wire::HeldPlan> out;
  loop_.Read([&](const State& s) { out = s.plan; });
  return out;
}

Result<LabPast> LocalLab::Past() const {
  const std::lock_guard lock(past_mutex_);
  Status status;
  TRY(loop_.ports().store->Scan(past_next_seq_, [&](const io::Record& record) {
    const Result<Event> event = FromRecord(record);
    if (!event) {
      status = event.error();
      return false;
    }
    past_.See(*event);
    past_next_seq_ = record.seq + 1;
    return true;
  }));
  TRY(std::move(status));
  return past_.At(loop_.Now());
}

Result<wire::DryRunView> LocalLab::TryJob(const wire::JobSpec& spec, const Actor& actor) {
  Events checked = Error(Code::kInternal, "not read");
  const Time now = loop_.Now();
  loop_.Read([&](const State& s) {
    checked = control::SubmitJob(CommandContext{s, actor, now, loop_.options().env.data_dir}, spec);
  });
  const std::vector<Event> events = TRY(std::move(checked));
  return loop_.TryJob(std::get<JobSubmitted>(events.front().body).job);
}

Result<wire::Slot> LocalLab::SetSlotHealth(const std::string& slot, wire::SlotHealth health,
                                           const std::string& why, const Actor& actor) {
  return Changed<wire::Slot>(
      loop_, actor,
      [&](const CommandContext& c) { return control::SetSlotHealth(c, slot, health, why); },
      [&](const State& s, const auto&) { return EffectiveSlot(s, s.slots.at(slot)); });
}

Result<std::vector<wire::Slot>> LocalLab::DrainNode(const std::string& node, const std::string& why,
                                                    const Actor& actor) {
  return Changed<std::vector<wire::Slot>>(
      loop_, actor, [&](const CommandContext& c) { return control::DrainNode(c, node, why); },
      [](const State& s, const std::vector<Event>& events) {
        std::vector<wire::Slot> slots;
        for (const Event& event : events)
          slots.push_back(EffectiveSlot(s, s.slots.at(std::get<SlotMarked>(event.body).slot)));
        return slots;
      });
}

Result<wire::SiteSpec> LocalLab::PutSite(const wire::SiteSpec& site, const Actor& actor) {
  // What can be said without asking the site comes first.
  Events checked = Error(Code::kInternal, "not read");
  const Time now = loop_.Now();
  loop_.Read([&](const State& s) {
    checked = control::PutSite(CommandContext{s, actor, now, loop_.options().env.data_dir}, site);
  });
  TRY(std::move(checked));
  if (!loop_.ports().check_site) return Error(Code::kUnimplemented, "this lab cannot open sites");
  for (const wire::SiteCheck& check : loop_.ports().check_site(site)) {
    if (!check.ok && check.fatal)
      return Error(Code::kFailedPrecondition,
                   fmt::format("site {}, {}: {}", site.name, check.what, check.said))
          .Hint(check.hint);
  }
  return Changed<wire::SiteSpec>(
      loop_, actor, [&](const CommandContext& c) { return control::PutSite(c, site); },
      [&](const State& s, const auto&) { return s.sites.at(site.name); });
}

Result<wire::SiteSpec> LocalLab::DrainSite(const std::string& which, bool draining,
                                           const std::string& why, const Actor& actor) {
  return Changed<wire::SiteSpec>(
      loop_, actor,
      [&](const CommandContext& c) { return control::DrainSite(c, which, draining, why); },
      [&](const State& s, const auto&) { return s.sites.at(which); });
}

Status LocalLab::RemoveSite(const std::string& which, const Actor& actor) {
  return loop_.Change(
      actor, [&](const CommandContext& c) { return control::RemoveSite(c, which); },
      [](const State&, const auto&) {});
}

std::vector<wire::SiteSpec> LocalLab::Sites() const {
  std::vector<wire::SiteSpec> sites;
  loop_.Read([&](const State& s) {
    for (const auto& [name, site] : s.sites) sites.push_back(site);
  });
  return sites;
}

Result<std::vector<wire::SiteCheck>> LocalLab::CheckSite(const std::string& which) const {
  for (const wire::SiteSpec& site : Sites()) {
    if (site.name == which && loop_.ports().check_site) return loop_.ports().check_site(site);
  }
  return Error(Code::kNotFound, fmt::format("no site that was added is called \"{}\"", which))
      .Hint("see `weir site list`; `weir doctor` alone looks at this machine");
}

Result<wire::Key> LocalLab::CreateKey(const wire::Key& key, const Actor& actor) {
  return Changed<wire::Key>(
      loop_, actor, [&](const CommandContext& c) { return control::CreateKey(c, key); },
      [&](const State& s, const auto&) { return s.keys.at(key.name); });
}

Status LocalLab::RevokeKey(const std::string& name, const Actor& actor) {
  return loop_.Change(
      actor, [&](const CommandContext& c) { return control::RevokeKey(c, name); },
      [](const State&, const auto&) {});
}

std::vector<wire::Key> LocalLab::Keys() const {
  std::vector<wire::Key> keys;
  loop_.Read([&](const State& s) {
    for (const auto& [name, key] : s.keys) keys.push_back(key);
  });
  return keys;
}

Result<wire::JournalPage> LocalLab::Journal(int64_t from_seq, int64_t limit) const {
  if (from_seq < 0 || limit < 0)
    return Error(Code::kInvalidArgument, "from_seq and limit: neither may be negative");
  const int64_t most = limit == 0 ? 100 : std::min(limit, kPageMost);
  wire::JournalPage page;
  page.next = std::max<int64_t>(from_seq, 1);
  Status status;
  TRY(loop_.ports().store->Scan(page.next, [&](const io::Record& record) {
    if (static_cast<int64_t>(page.records.size()) >= most) return false;
    Result<wire::JournalRecord> read = ToWire(record);
    if (!read) {
      status = std::move(read).error();
      return false;
    }
    page.records.push_back(*std::move(read));
    page.next = record.seq + 1;
    return true;
  }));
  TRY(std::move(status));
  return page;
}

Result<wire::WhyView> LocalLab::Why(const std::string& kind, const std::string& which) const {
  Result<wire::WhyView> view = Error(Code::kInternal, "not read");
  const Time now = loop_.Now();
  loop_.Read([&](const State& state) { view = WhyNow(state, kind, which, now); });
  if (!view) return view;
  if (const auto explanation = loop_.ExplanationOf(view->id)) Explain(*explanation, *view);
  io::Store& store = *loop_.ports().store;
  TRY(AddHistory(store, TRY(store.LastSeq()), *view));
  return view;
}

Result<wire::Curve> LocalLab::CurveOf(const std::string& which) const {
  std::optional<wire::Job> job;
  loop_.Read([&](const State& s) {
    if (const wire::Job* found = FindJob(s, which)) job = *found;
  });
  if (!job)
    return Error(Code::kNotFound, fmt::format("no job is called \"{}\"", which))
        .Hint("see `weir job list`");
  std::vector<wire::Json> lines;
  if (loop_.ports().files != nullptr) {
    auto read =
        loop_.ports().files->ProgressLines(job->folder + "/progress.jsonl", kCurveFileBytes);
    if (read)
      lines = *std::move(read);
    else if (read.error().code() != Code::kNotFound)
      return std::move(read).error();
  }
  return CurveFrom(job->id, lines);
}

}  // namespace weir::control
