// The whole loop on this machine: SQLite, the local driver, real processes and real HTTP probes.
// A crash of `weir up` is played by dropping the loop and the driver without a word.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "base/logging.h"
#include "control/disk_files.h"
#include "control/drivers/local.h"
#include "control/http_probe.h"
#include "control/local_lab.h"
#include "io/process.h"
#include "io/sqlite_store.h"

namespace weir::control {
namespace {

using wire::JobPhase;

class LocalLoop : public testing::Test {
 protected:
  void Open() {
    auto store = io::OpenSqliteStore(dir_ / "weir.db");
    ASSERT_TRUE(store) << store.error().ToString();
    store_ = *std::move(store);
    LocalOptions local;
    local.runs_dir = dir_ / "runs";
    local.shim_command = {*io::OwnProgramPath(), "shim"};
    local.env = {{"PATH", "/usr/bin:/bin"}};
    local.node = "here";
    auto driver = CreateLocalDriver(local, io::SlotShares::Of(2, io::UsableCores()), &clock_);
    ASSERT_TRUE(driver) << driver.error().ToString();
    driver_ = *std::move(driver);
    probe_ = std::make_unique<HttpProbe>();
    LoopPorts ports;
    ports.store = store_.get();
    ports.clock = &clock_;
    ports.drivers = {driver_.get()};
    ports.probe = probe_.get();
    ports.files = &files_;
    LoopOptions options;
    options.env.data_dir = dir_.path();
    auto loop = ControlLoop::Open(ports, std::move(options));
    ASSERT_TRUE(loop) << loop.error().ToString();
    loop_ = *std::move(loop);
    lab_.emplace(*loop_);
    loop_->Step();
  }
  void Crash() {
    lab_.reset();
    loop_.reset();
    probe_.reset();
    driver_.reset();
    store_.reset();
  }
  void Teams() {
    ASSERT_TRUE(lab_->PutTeam({.name = "research"}, {"test"}));
    ASSERT_TRUE(lab_->PutTeam(
        {.name = "product", .team_class = wire::TeamClass::kProduct, .guarantee_slots = 1},
        {"test"}));
  }
  wire::JobSpec Shell(const std::string& name, const std::string& script) {
    wire::JobSpec spec;
    spec.name = name;
    spec.team = "research";
    spec.command = {"sh", "-c", script};
    return spec;
  }
  bool StepUntil(const std::function<bool(const State&)>& done) {
    return io::WaitUntil(Duration::Seconds(60), [&] {
      loop_->Step();
      bool is = false;
      loop_->Read([&](const State& state) { is = done(state); });
      return is;
    });
  }
  bool StepUntilJob(const std::string& name, JobPhase phase) {
    return StepUntil([&](const State& s) {
      const wire::Job* job = FindJob(s, name);
      return job != nullptr && job->phase == phase;
    });
  }
  wire::Job JobOf(const std::string& name) {
    wire::Job job;
    loop_->Read([&](const State& s) { job = *FindJob(s, name); });
    return job;
  }
  ~LocalLoop() override {
    if (!loop_) return;
    loop_->BeginDrain(Duration::Seconds(2));
    io::WaitUntil(Duration::Seconds(20), [&] {
      loop_->Step();
      return loop_->drained();
    });
    Crash();
  }

  io::TempDir dir_ = *io::TempDir::Create();
  io::RealClock clock_;
  DiskFiles files_;
  std::unique_ptr<io::Store> store_;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<HttpProbe> probe_;
  std::unique_ptr<ControlLoop> loop_;
  std::optional<LocalLab> lab_;
};

TEST_F(LocalLoop, RunsAJobRetriesAFailureAndKeepsItsLastLines) {
  Open();
  Teams();
  ASSERT_TRUE(lab_->SubmitJob(Shell("good", "exit 0"), {"test"}));
  wire::JobSpec bad = Shell("bad", "echo it broke; exit 3");
  bad.max_retries = 1;
  ASSERT_TRUE(lab_->SubmitJob(bad, {"test"}));
  EXPECT_TRUE(StepUntilJob("good", JobPhase::kDone));
  EXPECT_TRUE(StepUntilJob("bad", JobPhase::kFailed));
  const wire::Job job = JobOf("bad");
  EXPECT_EQ(job.attempts, 2);
  EXPECT_EQ(job.failures, 2);
  EXPECT_EQ(job.exit_code, 3);
  EXPECT_EQ(job.last_lines, std::vector<std::string>{"it broke"});
  EXPECT_EQ(job.reason, "exit 3, after 1 retries");
}

TEST_F(LocalLoop, ACrashLosesNothingAndStartsNothingTwice) {
  Open();
  Teams();
  const std::string script =
      "echo run >> " + (dir_ / "runs.txt") +
      "; echo '{\"type\":\"checkpoint\",\"step\":7,\"path\":\"/p\"}' >> $WEIR_PROGRESS_FILE;"
      "while ! [ -e " +
      (dir_ / "go") + " ]; do sleep 0.05; done; exit 0";
  ASSERT_TRUE(lab_->SubmitJob(Shell("j", script), {"test"}));
  ASSERT_TRUE(StepUntil([](const State& s) { return s.jobs.at("job-1").checkpoint.has_value(); }));
  const std::string lease = JobOf("j").lease;
  for (int i = 0; i < 3; ++i) {
    Crash();
    Open();
    EXPECT_EQ(JobOf("j").lease, lease);
    EXPECT_EQ(JobOf("j").phase, JobPhase::kRunning);
  }
  ASSERT_TRUE(io::WriteFileAtomically(dir_ / "go", ""));
  EXPECT_TRUE(StepUntilJob("j", JobPhase::kDone));
  EXPECT_EQ(*io::ReadFile(dir_ / "runs.txt", 100), "run\n");
  const auto report = loop_->VerifyNow();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->problem, "");
}

TEST_F(LocalLoop, CancelStopsTheProcessAndAResumableJobIsResumed) {
  Open();
  Teams();
  ASSERT_TRUE(lab_->SubmitJob(Shell("forever", "sleep 1000"), {"test"}));
  ASSERT_TRUE(StepUntil([](const State& s) {
    return s.leases.count("lease-1") != 0 &&
           s.leases.at("lease-1").phase == wire::LeasePhase::kActive;
  }));
  ASSERT_TRUE(lab_->CancelJob("forever", {"test"}));
  EXPECT_TRUE(StepUntilJob("forever", JobPhase::kCancelled));
  ASSERT_TRUE(lab_->SubmitJob(
      Shell("twice", "if [ -e again ]; then exit 0; fi; touch again; exit 75"), {"test"}));
  EXPECT_TRUE(StepUntilJob("twice", JobPhase::kDone));
  EXPECT_EQ(JobOf("twice").attempts, 2);
  EXPECT_EQ(JobOf("twice").failures, 0);
}

TEST_F(LocalLoop, AReplicaIsReadyOnceItAnswersAndReplacedWhenItDies) {
  if (access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "no python3";
  Open();
  Teams();
  wire::ServiceSpec spec;
  spec.name = "web";
  spec.team = "product";
  spec.command = {"sh", "-c", "exec python3 -m http.server --bind 127.0.0.1 $WEIR_PORT"};
  spec.health_path = "/";
  spec.grace = Duration::Seconds(1);
  ASSERT_TRUE(lab_->CreateService(spec, {"test"}));
  const auto ready = [](const State& s) {
    for (const auto& [id, lease] : s.leases) {
      if (lease.ready && lease.port > 0) return true;
    }
    return false;
  };
  ASSERT_TRUE(StepUntil(ready));
  std::string first;
  loop_->Read([&](const State& s) { first = s.leases.begin()->first; });
  // Behind the loop's back.
  ASSERT_TRUE(driver_->Stop(first, Duration::Millis(1)));
  ASSERT_TRUE(StepUntil([&](const State& s) { return s.leases.count(first) == 0; }));
  EXPECT_TRUE(StepUntil(ready));
}

TEST_F(LocalLoop, TakesChangesFromManyThreadsWhileItRuns) {
  Open();
  Teams();
  std::thread runner([&] { loop_->Run(); });
  std::vector<std::thread> people;
  std::atomic<int> accepted = 0;
  for (int t = 0; t < 4; ++t) {
    people.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        const auto job = lab_->SubmitJob(Shell(fmt::format("j{}-{}", t, i), "exit 0"), {"person"});
        accepted += job ? 1 : 0;
        const int64_t seen = lab_->view_number();
        EXPECT_NE(lab_->WaitForChange(seen - 1, Duration::Seconds(5)), nullptr);
        EXPECT_TRUE(lab_->Journal(1, 10));
        EXPECT_TRUE(lab_->Why("job", job->id));
      }
    });
  }
  for (std::thread& person : people) person.join();
  EXPECT_EQ(accepted, 20);
  EXPECT_TRUE(io::WaitUntil(Duration::Seconds(60), [&] {
    int done = 0;
    const auto view = lab_->View();  // held: the loop throws the one before away
    for (const wire::Job& job : view->jobs) done += job.phase == JobPhase::kDone ? 1 : 0;
    return done == 20;
  }));
  loop_->BeginDrain(Duration::Seconds(5));
  runner.join();
  EXPECT_TRUE(loop_->drained());
}

TEST_F(LocalLoop, RefusesBadRequestsWithOneSentenceAndJournalsNothing) {
  Open();
  Teams();
  const int64_t before = *store_->LastSeq();
  const auto job = [&](const std::function<void(wire::JobSpec&)>& spoil) {
    wire::JobSpec spec = Shell("j", "exit 0");
    spoil(spec);
    const auto result = lab_->SubmitJob(spec, {"test"});
    return result ? std::string("accepted") : result.error().message();
  };
  EXPECT_EQ(job([](auto& s) { s.name = "-x"; }), "name: \"-x\" is not a name");
  EXPECT_EQ(job([](auto& s) { s.team = "nobody"; }), "team: \"nobody\" is not known");
  EXPECT_EQ(job([](auto& s) { s.command.clear(); }), "command: empty");
  EXPECT_EQ(job([](auto& s) { s.max_slots = 0; }), "max_slots: 0 is less than min_slots, 1");
  EXPECT_EQ(job([](auto& s) { s.min_slots = s.max_slots = 9; }),
            "min_slots: 9 slots asked for; the lab has 2 (2 of them up)");
  EXPECT_EQ(job([](auto& s) { s.env["WEIR_RANK"] = "1"; }),
            "env.WEIR_RANK: names that begin with WEIR_ are Weir's own");
  wire::ServiceSpec service{.name = "s", .team = "research", .command = {"x"}};
  EXPECT_EQ(lab_->CreateService(service, {"test"}).error().message(),
            "team: research is a research team; services belong to product teams");
  service.team = "product";
  service.command.clear();
  EXPECT_EQ(lab_->CreateService(service, {"test"}).error().message(),
            "model: neither a model nor a command is given");
  service.model = "nothing";
  EXPECT_EQ(lab_->CreateService(service, {"test"}).error().message(),
            "model: no model or version is called \"nothing\"");
  EXPECT_EQ(lab_->CancelJob("none", {"test"}).error().code(), Code::kNotFound);
  EXPECT_EQ(lab_->RemoveTeam("none", {"test"}).error().code(), Code::kNotFound);
  EXPECT_EQ(lab_->Why("cat", "x").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(*store_->LastSeq(), before);
}

}  // namespace
}  // namespace weir::control
