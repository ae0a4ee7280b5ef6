#include "control/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include "base/check.h"
#include "base/logging.h"
#include "control/budget.h"
#include "control/settle.h"
#include "control/views.h"
#include "lab/sched/lab_scheduler.h"

namespace weir::control {
namespace {

constexpr int64_t kProgressTailBytes = 64 << 10;
constexpr size_t kRefusedKept = 100;

std::chrono::microseconds Chrono(Duration d) { return std::chrono::microseconds(d.us); }

}  // namespace

ControlLoop::ControlLoop(const LoopPorts& ports, LoopOptions options, Journal journal)
    : ports_(ports),
      options_(std::move(options)),
      journal_(std::move(journal)),
      clock_(*ports.clock, journal_.last_time()) {
  scheduler_ = std::make_unique<sched::LabScheduler>();
  now_ = started_ = clock_.Now();
  for (Driver* driver : ports_.drivers)
    learned_.prices[driver->site().name] = driver->site().price_usd_per_slot_h;
  const Duration monotonic = ports_.clock->Monotonic();
  for (const auto& [id, lease] : journal_.state().leases) {
    LeaseSight& sight = sights_.leases[id];
    sight.seen_at = monotonic;
    sight.at_open = true;
    if (lease.ready) sight.ready_since = now_;
  }
  if (ports_.files == nullptr) return;
  for (const auto& [id, job] : journal_.state().jobs) {
    const auto lines =
        ports_.files->ProgressLines(job.folder + "/progress.jsonl", kProgressTailBytes);
    if (lines && !lines->empty()) NoteProgress(*lines, now_, job.lease, sights_.jobs[id]);
  }
}

ControlLoop::~ControlLoop() = default;

Result<std::unique_ptr<ControlLoop>> ControlLoop::Open(const LoopPorts& ports,
                                                       LoopOptions options) {
  CHECK(ports.store != nullptr && ports.clock != nullptr);
  Journal journal = TRY(Journal::Open(*ports.store, options.snapshot_every));
  std::unique_ptr<ControlLoop> loop(new ControlLoop(ports, std::move(options), std::move(journal)));
  const LoopOptions& o = loop->options_;
  TRY(loop->journal_.Commit({Event{
      loop->now_,
      kLoopActor,
      {o.lab},
      fmt::format("lab {} starts, {} leases to adopt", o.lab, loop->journal_.state().leases.size()),
      {},
      LabStarted{o.lab, o.version}}}));
  loop->Publish();
  return loop;
}

void ControlLoop::NoteTrouble(const Error& error) {
  if (trouble_.empty()) log::error("the journal cannot be written: {}", error.ToString());
  trouble_ = "the journal cannot be written, so nothing new is started or acknowledged: " +
             error.ToString();
}

bool ControlLoop::Record(std::vector<Event> events) {
  if (events.empty()) {
    if (trouble_.empty()) return true;
    // Nothing to journal: ask with a key of no meaning whether the store writes again.
    if (const Status put = ports_.store->Put("loop.alive", ""); !put) return false;
    trouble_.clear();
    return true;
  }
  if (const Status written = journal_.Commit(std::move(events)); !written) {
    NoteTrouble(written.error());
    return false;
  }
  if (!trouble_.empty()) log::info("the journal is written again");
  trouble_.clear();
  return true;
}

void ControlLoop::NoteTraffic() {
  if (ports_.traffic == nullptr) return;
  const State& state = journal_.state();
  for (const wire::ServiceTraffic& traffic : ports_.traffic->Traffic()) {
    const wire::Service* service = FindService(state, traffic.service);
    if (service == nullptr) continue;
    ServiceReplicas replicas;
    replicas.own = OwnVersion(state, *service);
    for (const auto& [id, lease] : state.leases) {
      if (lease.holder != service->id || lease.phase == wire::LeasePhase::kStopping) continue;
      if (lease.replaces.empty() || state.leases.count(lease.replaces) == 0) ++replicas.held;
      if (!lease.ready || lease.phase != wire::LeasePhase::kActive) continue;
      replicas.serving = ++replicas.ready == 1 || replicas.serving == lease.version ? lease.version
                                                                                    : std::string();
    }
    const auto startup = sights_.replica_startup.find(service->id);
    demands_[service->id].Note(traffic, *service, replicas, now_,
                               startup == sights_.replica_startup.end()
                                   ? options_.guesses.replica_startup
                                   : startup->second,
                               options_.policy);
  }
}

void ControlLoop::DecideAndRecord() {
  const auto keep_refused = [&](std::vector<std::string> refused) {
    for (std::string& why : refused) {
      log::warn("a proposal was refused: {}", why);
      refused_.push_back(std::move(why));
    }
    if (refused_.size() > kRefusedKept)
      refused_.erase(refused_.begin(), refused_.end() - kRefusedKept);
  };
  learned_.Note(journal_.state());
  const sched::Snapshot snapshot =
      SchedSnapshot(journal_.state(), sights_, demands_, now_, draining_, options_.policy,
                    options_.guesses, learned_);
  const Duration began = ports_.clock->Monotonic();
  const sched::Decision decision = ports_.decide ? ports_.decide(snapshot, options_.policy)
                                                 : scheduler_->Decide(snapshot, options_.policy);
  times_.decide.Add(ports_.clock->Monotonic() - began);
  explanations_.clear();
  for (const sched::Explanation& e : decision.explanations) explanations_[e.subject] = e;
  if (options_.publish_views && now_ - foreseen_ >= kForeseeEvery) {
    foreseen_ = now_;
    expected_starts_ = scheduler_->ExpectedStarts();
  }
  Intents intents = FromDecision(journal_.state(), decision, now_);
  keep_refused(std::move(intents.refused));
  if (!Record(std::move(intents.events))) return;

  std::vector<learn::Step> steps =
      learn::Advance(LearnSnapshot(journal_.state(), ports_.files, now_, draining_));
  if (ports_.files != nullptr) KeepVersions(steps);
  if (steps.empty()) return;
  intents = FromSteps(journal_.state(), steps, options_.env.data_dir, now_);
  keep_refused(std::move(intents.refused));
  Record(std::move(intents.events));
}

// A version outlives the checkpoint that it was: the trainer tidies its folder. So the lab keeps
// the files first and then records the version; what a crash between the two leaves is found again.
void ControlLoop::KeepVersions(std::vector<learn::Step>& steps) {
  std::erase_if(steps, [&](learn::Step& step) {
    if (step.kind != learn::StepKind::kAddVersion || step.version.sha256.empty()) return false;
    const std::string to = fmt::format("{}/models/{}/{}", options_.env.data_dir, step.version.model,
                                       step.version.sha256.substr(0, 16));
    if (const Status kept = ports_.files->Keep(step.version.path, to); !kept) {
      log::warn("a version of {} is not registered: {}", step.version.model,
                kept.error().ToString());
      return true;  // a newer checkpoint will come, or this one can be kept later
    }
    step.version.path = to;
    return false;
  });
}

void ControlLoop::SyncSites(Duration monotonic) {
  const auto& sites = journal_.state().sites;
  std::erase_if(added_, [&](const auto& entry) { return sites.count(entry.first) == 0; });
  for (const auto& [name, spec] : sites) {
    wire::SiteSpec driven = spec;
    driven.draining = false;
    driven.why.clear();
    std::string text = wire::ToText(driven);
    AddedSite& site = added_[name];
    if (site.text == text && (site.driver != nullptr || monotonic < site.retry_at)) continue;
    site.driver.reset();  // before its successor takes the same folder
    site.text = std::move(text);
    Result<std::unique_ptr<Driver>> opened =
        ports_.open_site ? ports_.open_site(driven)
                         : Error(Code::kUnimplemented, "this lab cannot open sites");
    if (opened) {
      site.driver = *std::move(opened);
      site.trouble.clear();
      learned_.prices[name] = spec.price_usd_per_slot_h;
      continue;
    }
    site.retry_at = monotonic + kOpenSiteAgain;
    site.trouble = opened.error().ToString();
    log::warn("site {} cannot be opened: {}", name, site.trouble);
  }
}

void ControlLoop::Step() {
  const Duration began = ports_.clock->Monotonic();
  {
    std::lock_guard lock(mutex_);
    now_ = clock_.Now();
    const Instant now{now_, ports_.clock->Monotonic()};

    SyncSites(now.monotonic);
    std::vector<Driver*> drivers = ports_.drivers;
    std::vector<SiteReport> reports;
    for (Driver* driver : drivers)
      reports.push_back({driver->site().name, {}, driver->Slots(), driver->Poll()});
    for (const auto& [name, site] : added_) {
      SiteReport report{name, journal_.state().sites.at(name).lost_after};
      if (site.driver != nullptr) {
        report.slots = site.driver->Slots();
        report.runs = site.driver->Poll();
      } else {
        report.runs = Error(Code::kUnavailable, site.trouble);
      }
      drivers.push_back(site.driver.get());
      reports.push_back(std::move(report));
    }
    std::vector<ProbeResult> probes;
    if (ports_.probe != nullptr) probes = ports_.probe->Take();
    NoteTraffic();

    bool writes = Record(Observe(journal_.state(), reports, probes, now, sights_));
    if (writes)
      writes = Record(Settle(journal_.state(), now_, draining_,
                             Duration::FromSeconds(options_.policy.share_half_life_s)));
    if (writes && !draining_)
      writes = Record(
          StopOverspent(journal_.state(), Budgets(journal_.state(), learned_.prices, now_), now_));
    if (writes) DecideAndRecord();

    for (const auto& [id, lease] : journal_.state().leases) {
      const auto [sight, is_new] = sights_.leases.try_emplace(id);
      if (is_new) sight->second.seen_at = now.monotonic;
    }
    Reconcile reconcile{journal_.state(),
                        options_.env,
                        sights_,
                        now_,
                        [this](const wire::Lease& lease) {
                          const auto demand = demands_.find(lease.holder);
                          return demand == demands_.end() ? 0
                                                          : demand->second.OutstandingAt(lease.id);
                        },
                        draining_ ? ShutdownGraceLeft() : Duration{}};
    for (size_t i = 0; i < drivers.size(); ++i) {
      if (drivers[i] != nullptr && reports[i].runs) reconcile.Act(*drivers[i], *reports[i].runs);
    }
    for (const auto& [name, site] : added_) {
      if (site.driver != nullptr) site.driver->DrainNodes(DrainedNodes(journal_.state(), name));
    }
    if (ports_.probe != nullptr) {
      for (const ProbeTarget& target : DueProbes(journal_.state(), now_, sights_))
        ports_.probe->Start(target);
    }
    ForgetOldSights();
    if (ports_.routing != nullptr) {
      RouteTable routes = RoutesOf(journal_.state(), draining_);
      if (!routed_ || !SameRoutes(routes, routes_)) {
        routes.number = routes_.number + 1;
        routes_ = std::move(routes);
        routed_ = true;
        ports_.routing->Route(routes_);
      }
    }
  }
  Publish();
  std::lock_guard lock(mutex_);
  times_.turn.Add(ports_.clock->Monotonic() - began);
}

Duration ControlLoop::ShutdownGraceLeft() const {
  const Duration left = drain_began_ + drain_grace_ - ports_.clock->Monotonic();
  return std::max(left, Duration::Seconds(1));
}

void ControlLoop::ForgetOldSights() {
  const State& state = journal_.state();
  std::erase_if(sights_.leases, [&](const auto& e) { return state.leases.count(e.first) == 0; });
  std::erase_if(sights_.jobs, [&](const auto& e) { return state.jobs.count(e.first) == 0; });
  std::erase_if(sights_.replica_startup,
                [&](const auto& e) { return state.services.count(e.first) == 0; });
  std::erase_if(demands_, [&](const auto& e) { return state.services.count(e.first) == 0; });
}

Status ControlLoop::Change(
    const Actor& actor, const Make& make,
    const std::function<void(const State&, const std::vector<Event>&)>& read) {
  {
    std::lock_guard lock(mutex_);
    now_ = clock_.Now();
    const std::vector<Event> events =
        TRY(make(CommandContext{journal_.state(), actor, now_, options_.env.data_dir}));
    if (Status written = journal_.Commit(events); !written) {
      NoteTrouble(written.error());
      return written;
    }
    trouble_.clear();
    read(journal_.state(), events);
  }
  Publish();
  {
    std::lock_guard lock(wake_mutex_);
    woken_ = true;
  }
  wake_.notify_one();
  return {};
}

void ControlLoop::Read(const std::function<void(const State&)>& read) const {
  std::lock_guard lock(mutex_);
  read(journal_.state());
}

std::optional<sched::Explanation> ControlLoop::ExplanationOf(const std::string& subject) const {
  std::lock_guard lock(mutex_);
  const auto it = explanations_.find(subject);
  if (it != explanations_.end()) return it->second;
  std::optional<sched::Explanation> e = scheduler_->Explain(subject, /*foresee=*/true);
  if (!e) return e;
  const auto job = journal_.state().jobs.find(subject);
  if (job == journal_.state().jobs.end()) return e;
  const Budgets budgets(journal_.state(), learned_.prices, now_);
  const std::string over = budgets.Over(job->second.spec.team, job->second.submitted_by);
  for (sched::Blocker& blocker : e->blockers) {
    if (blocker.kind == "budget" && !over.empty()) blocker.text = over;
  }
  const std::string nearly = budgets.Nearly(job->second.spec.team, job->second.submitted_by);
  if (over.empty() && !nearly.empty() && !e->could_take_away.empty())
    e->could_take_away += "; and its budget: " + nearly;
  return e;
}

wire::DryRunView ControlLoop::TryJob(const wire::Job& job) {
  std::lock_guard lock(mutex_);
  wire::DryRunView view;
  if (ports_.decide) return view;
  const Budgets budgets(journal_.state(), learned_.prices, now_);
  const sched::DryRun run = scheduler_->Try(
      SchedJob(journal_.state(), sights_, job, options_.guesses, learned_, budgets));
  view.starts_now = run.starts_now;
  view.slots = run.slots;
  if (run.starts_now && run.spread.nodes > 0) {
    view.where = fmt::format(
        "{} nodes of one {}, {:.3g} GB/s a slot between them{}", run.spread.nodes,
        sched::NameOf(run.spread.level), run.spread.gb_per_s,
        run.spread.lost > 0
            ? fmt::format(", {:.0f}% less than its size could have", 100 * run.spread.lost)
            : "");
    if (run.spread.nodes == 1) view.where = "one node";
  }
  if (run.expected_wait) view.expected_wait_s = run.expected_wait->seconds();
  view.touches = run.touches;
  if (run.starts_now) return view;
  for (const sched::Blocker& b : run.explanation.blockers)
    view.blockers.push_back({b.kind, b.text, b.remedy});
  view.waits_for = run.explanation.waits_for;
  view.cheapest = run.explanation.cheapest;
  return view;
}

std::vector<wire::QuotaView> ControlLoop::Quotas() const {
  const State& state = journal_.state();
  const Budgets budgets(state, learned_.prices, now_);
  std::vector<wire::QuotaView> out;
  for (const sched::TeamShare& share : scheduler_->Shares()) {
    wire::QuotaView q;
    q.team = share.team;
    q.entitled = share.entitled;
    q.guarantee = share.guarantee;
    q.held = share.held;
    q.lent = share.lent;
    q.borrowed = share.borrowed;
    for (const auto& [id, job] : state.jobs)
      q.waiting += job.spec.team == share.team && job.lease.empty() && !HasEnded(job);
    const Used used = budgets.OfTeam(share.team);
    q.used_slot_h = used.slot_h;
    q.used_usd = used.usd;
    q.note = budgets.Over(share.team, "");
    if (!q.note.empty()) {
      q.note += ": nothing new starts";
    } else {
      q.note = budgets.Nearly(share.team, "");
    }
    out.push_back(std::move(q));
  }
  return out;
}

std::string ControlLoop::trouble() const {
  std::lock_guard lock(mutex_);
  return trouble_;
}

LoopTimes ControlLoop::times() const {
  std::lock_guard lock(mutex_);
  return times_;
}

Time ControlLoop::Now() const {
  std::lock_guard lock(mutex_);
  return now_;
}

std::vector<std::string> ControlLoop::refused() const {
  std::lock_guard lock(mutex_);
  return refused_;
}

Result<JournalReport> ControlLoop::VerifyNow() {
  std::lock_guard lock(mutex_);
  return Verify(*ports_.store, &journal_.state());
}

// ---- running ----

void ControlLoop::Run() {
  while (true) {
    Step();
    if (drained()) return;
    std::unique_lock lock(wake_mutex_);
    wake_.wait_for(lock, Chrono(options_.tick), [&] { return woken_ || stop_; });
    woken_ = false;
    if (stop_) return;
  }
}

void ControlLoop::RequestStop() {
  {
    std::lock_guard lock(wake_mutex_);
    stop_ = true;
  }
  wake_.notify_one();
}

void ControlLoop::BeginDrain(Duration grace) {
  {
    std::lock_guard lock(mutex_);
    if (draining_) return;
    draining_ = true;
    drain_grace_ = grace;
    drain_began_ = ports_.clock->Monotonic();
    now_ = clock_.Now();
    Record({Event{now_,
                  kLoopActor,
                  {options_.lab},
                  fmt::format("lab {} is shutting down: {} leases have {} to save or finish",
                              options_.lab, journal_.state().leases.size(), Human(grace)),
                  {},
                  LabStopping{grace}}});
  }
  {
    std::lock_guard lock(wake_mutex_);
    woken_ = true;
  }
  wake_.notify_one();
}

bool ControlLoop::drained() const {
  std::lock_guard lock(mutex_);
  if (!draining_) return false;
  return journal_.state().leases.empty() ||
         ports_.clock->Monotonic() > drain_began_ + drain_grace_ + kDrainSlack;
}

// ---- views ----

void ControlLoop::Publish() {
  if (!options_.publish_views) return;
  std::shared_ptr<const wire::LabView> view;
  std::string mark;
  {
    std::lock_guard lock(mutex_);
    // Everything that makes a view differ, in short: the second, the journal, traffic, progress,
    // trouble.
    mark = fmt::format("{}|{}|{}|{}", now_.us / 1'000'000, journal_.seq(), draining_, trouble_);
    for (const auto& [id, demand] : demands_) {
      const wire::TrafficView& t = demand.view();
      fmt::format_to(std::back_inserter(mark), "|{}:{:.3g},{:.3g},{},{},{:.3g},{:.3g}", id,
                     t.arrivals_per_s, t.completions_per_s, t.outstanding, t.queued, t.ttft_ms,
                     t.tpot_ms);
    }
    for (const auto& [id, sight] : sights_.jobs) {
      if (sight.progress)
        fmt::format_to(std::back_inserter(mark), "|{}:{}", id, sight.progress->step);
    }
    for (const auto& [site, sight] : sights_.sites)
      fmt::format_to(std::back_inserter(mark), "|{}:{}", site, sight.reachable);
    {
      std::lock_guard view_lock(view_mutex_);
      if (view_ != nullptr && mark == view_mark_) return;
    }
    std::vector<wire::Site> sites;
    for (Driver* driver : ports_.drivers) sites.push_back(driver->site());
    for (const auto& [name, site] : added_) {
      sites.push_back(site.driver != nullptr ? site.driver->site() : wire::Site{name, "slurm"});
    }
    wire::LabView made =
        ViewOf({journal_.state(), sights_, demands_, options_.policy, std::move(sites),
                options_.version, now_, started_, journal_.seq(), draining_, trouble_});
    made.quotas = Quotas();
    for (const auto& [job, at] : expected_starts_) {
      const auto it = journal_.state().jobs.find(job);
      if (it != journal_.state().jobs.end() && it->second.lease.empty() && !HasEnded(it->second))
        made.expected_starts.push_back({job, std::max(at, now_)});
    }
    view = std::make_shared<const wire::LabView>(std::move(made));
  }
  std::lock_guard view_lock(view_mutex_);
  // Two threads may get here the wrong way round: the older picture is thrown away.
  if (view_ != nullptr && view->now < view_->now) return;
  view_ = std::move(view);
  view_mark_ = std::move(mark);
  ++view_number_;
  view_changed_.notify_all();
}

std::shared_ptr<const wire::LabView> ControlLoop::View() const {
  std::lock_guard lock(view_mutex_);
  return view_;
}

std::shared_ptr<const wire::LabView> ControlLoop::WaitForChange(int64_t view_number,
                                                                Duration timeout) const {
  std::unique_lock lock(view_mutex_);
  view_changed_.wait_for(lock, Chrono(timeout), [&] { return view_number_ > view_number; });
  return view_;
}

int64_t ControlLoop::view_number() const {
  std::lock_guard lock(view_mutex_);
  return view_number_;
}

}  // namespace weir::control
