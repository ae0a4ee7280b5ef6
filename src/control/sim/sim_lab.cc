#include "control/sim/sim_lab.h"

#include <fmt/format.h>

#include "base/check.h"
#include "control/intents.h"
#include "lab/sched/invariants.h"

namespace weir::control {

SimLab::SimLab(SimLabOptions options)
    : site(clock, options.seed, "sim", options.slots, options.pace),
      gateway(clock, &site, options.rate_per_replica),
      options_(std::move(options)) {
  site.intended = [this](const std::string& run) {
    Follow();
    return durable_.leases.count(run) != 0;
  };
  site.stop_asked = [this](const std::string& run) {
    Follow();
    const auto lease = durable_.leases.find(run);
    return lease == durable_.leases.end() || lease->second.phase == wire::LeasePhase::kStopping;
  };
  site.exchange = [this](const std::string& a, const std::string& b) {
    const auto replaces = [&](const std::string& x, const std::string& y) {
      const auto lease = durable_.leases.find(x);
      return lease != durable_.leases.end() && lease->second.replaces == y;
    };
    return replaces(a, b) || replaces(b, a);
  };
}

SimLab::~SimLab() = default;

io::Fault SimLab::Strike(std::string_view op) {
  ++io_steps_;
  const io::Fault fault = strike ? strike(io_steps_, op) : io::Fault::kNone;
  if (fault != io::Fault::kNone) hurt_at_ = clock.Monotonic();
  return fault;
}

void SimLab::Boot() {
  ++boots_;
  dead_ = false;
  store_ = std::make_unique<io::MemoryStore>(&disk, [this](std::string_view op) {
    const io::Fault fault = Strike(op);
    if (fault == io::Fault::kCrashBefore || fault == io::Fault::kCrashAfter) dead_ = true;
    return fault;
  });
  driver_ = std::make_unique<SimDriver>(
      &site,
      [this](std::string_view op) {
        const io::Fault fault = Strike(op);
        const bool before = fault == io::Fault::kCrashBefore;
        const bool after = fault == io::Fault::kCrashAfter;
        if (!before && !after) return control::Strike::kNone;  // a driver has no disk to fill
        dead_ = true;
        store_->Crash();
        return before ? control::Strike::kCrashBefore : control::Strike::kCrashAfter;
      },
      [this] { return dead_; });
  LoopPorts ports;
  ports.store = store_.get();
  ports.clock = &clock;
  ports.drivers = {driver_.get()};
  ports.traffic = &gateway;
  ports.routing = &gateway;
  ports.probe = &gateway;
  ports.decide = options_.decide;
  LoopOptions options;
  options.lab = "sim";
  options.version = "sim";
  options.env = {"/data", "weir"};
  options.policy = options_.policy;
  options.snapshot_every = options_.snapshot_every;
  options.publish_views = false;
  auto loop = ControlLoop::Open(ports, std::move(options));
  if (!loop) return KillProcess();  // it died while opening, or the disk is full: again next tick
  loop_ = *std::move(loop);
  lab_.emplace(*loop_);
}

void SimLab::KillProcess() {
  dead_ = true;
  lab_.reset();
  loop_.reset();
  driver_.reset();
  store_.reset();
  gateway.ControlLoopGone();
}

void SimLab::Tick(Duration dt) {
  if (!failure_.empty()) return;
  clock.Advance(dt);
  site.Advance();
  gateway.Advance();
  if (dead_) {
    KillProcess();
    Boot();
  }
  if (loop_) loop_->Step();
  Check();
  if (dead_) KillProcess();
}

bool SimLab::RunUntil(const std::function<bool()>& done, Duration within, Duration tick) {
  const Duration end = clock.Monotonic() + within;
  while (failure_.empty() && !done()) {
    if (clock.Monotonic() >= end) return false;
    Tick(tick);
  }
  return failure_.empty();
}

Result<wire::Job> SimLab::Submit(const wire::JobSpec& spec) {
  if (!lab_) return Error(Code::kUnavailable, "the lab is down");
  Result<wire::Job> job = lab_->SubmitJob(spec, {"sim"});
  if (job) acknowledged_.insert(job->id);
  return job;
}

void SimLab::BeginDrain(Duration grace) {
  if (loop_) loop_->BeginDrain(grace);
}

void SimLab::Follow() {
  for (; durable_seq_ < disk.journal.size(); ++durable_seq_) {
    const io::Record& record = disk.journal[durable_seq_];
    const Result<Event> event = FromRecord(record);
    if (!event) return Fail(event.error().ToString());
    if (const Status applied = Apply(durable_, *event); !applied)
      return Fail(
          fmt::format("record {} does not follow: {}", record.seq, applied.error().message()));
    if (const auto* moved = std::get_if<JobMoved>(&event->body);
        moved != nullptr &&
        (moved->phase == wire::JobPhase::kDone || moved->phase == wire::JobPhase::kFailed ||
         moved->phase == wire::JobPhase::kCancelled) &&
        ++endings_[moved->job] > 1)
      return Fail(moved->job + " ended twice");
  }
}

void SimLab::Check() {
  Follow();
  if (!failure_.empty()) return;
  if (!site.violations().empty()) return Fail(site.violations().front());
  for (const std::string& id : acknowledged_) {
    if (durable_.jobs.count(id) == 0 && endings_[id] == 0)
      return Fail(id + " was acknowledged and is not in the journal");
  }
  const sched::Snapshot snapshot =
      SchedSnapshot(durable_, {}, {}, loop_ ? loop_->Now() : Time{}, false, options_.policy, {});
  if (dead_ || !site.reachable) hurt_at_ = clock.Monotonic();
  if (loop_) {
    const bool healing = clock.Monotonic() - hurt_at_ < kHealing;
    for (const std::string& breach : sched::Breaches(snapshot, options_.policy)) {
      if (!healing || breach.find(" was due ") == std::string::npos) return Fail(breach);
    }
  }
  if (loop_ && !loop_->refused().empty())
    return Fail("a decider proposed what the state refuses: " + loop_->refused().front());
}

void SimLab::CheckAtEnd() {
  if (!failure_.empty()) return;
  Follow();
  // Through a handle of its own: no fault strikes the examiner.
  io::MemoryStore reader(&disk);
  const Result<JournalReport> report = Verify(reader, &durable_);
  if (!report) return Fail(report.error().ToString());
  if (!report->problem.empty()) return Fail(report->problem);
  if (!loop_) return;
  bool same = true;
  loop_->Read([&](const State& state) { same = Text(state) == Text(durable_); });
  if (!same) Fail("the loop holds another state than its journal");
}

void SimLab::Fail(std::string what) {
  if (failure_.empty()) failure_ = what + "\n" + LastRecords(25);
}

std::string SimLab::LastRecords(size_t n) const {
  std::string out;
  const size_t from = disk.journal.size() > n ? disk.journal.size() - n : 0;
  for (size_t i = from; i < disk.journal.size(); ++i) {
    const io::Record& r = disk.journal[i];
    const Result<wire::JournalRecord> read = ToWire(r);
    out += fmt::format("  {:4} {:8.2f}s {:18} {}\n", r.seq,
                       (r.time - disk.journal.front().time).seconds(), r.type,
                       read ? read->text : r.body);
  }
  return out;
}

uint64_t SimLab::Fingerprint() const {
  // The hash chain covers every record; the counts cover what is not journaled.
  uint64_t h =
      disk.journal.empty() ? 0 : std::stoull(disk.journal.back().hash.substr(0, 15), nullptr, 16);
  for (const int64_t n : {io_steps_, boots_, site.starts(), clock.Monotonic().us})
    h = h * 0x9E3779B97F4A7C15u + static_cast<uint64_t>(n);
  return h;
}

}  // namespace weir::control
