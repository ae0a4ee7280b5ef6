// The local driver with real processes and real shims (this program is its own: see shim_test.cc).
#include "control/drivers/local.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "base/random.h"
#include "control/drivers/progress_reader.h"
#include "control/drivers/run_files.h"

namespace weir::control {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Duration kPatience = Duration::Seconds(60);
constexpr int kSlots = 4;

class LocalDriverTest : public testing::Test {
 protected:
  ~LocalDriverTest() override { KillAll(); }

  std::unique_ptr<Driver> Open() {
    LocalOptions options;
    options.runs_dir = dir_ / "runs";
    options.shim_command = {*io::OwnProgramPath(), "shim"};
    options.env = {{"PATH", "/usr/bin:/bin"}};
    options.node = "here";
    auto driver =
        CreateLocalDriver(options, io::SlotShares::Of(kSlots, io::UsableCores()), &clock_);
    EXPECT_TRUE(driver) << (driver ? "" : driver.error().ToString());
    return *std::move(driver);
  }
  // A gang of `ranks` that runs `script`, which may use $D (this test's folder).
  RunSpec Gang(const std::string& id, int ranks, const std::string& script) {
    RunSpec run;
    run.id = id;
    run.holder = "job-1";
    run.command = {"sh", "-c", script};
    run.env = {{"D", dir_.path()}};
    const auto slots = *driver_->Slots();
    run.slots.assign(slots.begin(), slots.begin() + ranks);
    run.log_path = dir_ / (id + ".log");
    run.progress_path = dir_ / "progress.jsonl";
    run.grace = Duration::Seconds(30);
    return run;
  }
  RunObservation See(const std::string& id) {
    const std::vector<RunObservation> all = *driver_->Poll();
    for (const RunObservation& seen : all) {
      for (const wire::Json& line : seen.new_progress) progress_.push_back(line);
      if (seen.id == id) return seen;
    }
    ADD_FAILURE() << id << " is not there";
    return {};
  }
  RunObservation WaitFor(const std::string& id, RunPhase phase) {
    RunObservation seen;
    EXPECT_TRUE(io::WaitUntil(kPatience, [&] { return (seen = See(id)).phase == phase; }))
        << id << " is in phase " << static_cast<int>(seen.phase) << ": " << seen.reason;
    return seen;
  }
  bool WaitForFile(const std::string& name) {
    return io::WaitUntil(kPatience, [&] { return io::FileExists(dir_ / name); });
  }
  std::string Text(const std::string& name) {
    return io::ReadFile(dir_ / name, 1 << 20).value_or("");
  }
  std::string RankDir(const std::string& id, int rank) {
    return dir_ / fmt::format("runs/{}/{}", id, rank);
  }
  io::ProcessId ShimOf(const std::string& id, int rank) {
    return ReadRunFile<ShimState>(RankDir(id, rank) + "/state.json")->shim.id();
  }
  void KillAll() {
    const auto runs = io::ListDir(dir_ / "runs").value_or({});
    for (const auto& run : runs) {
      for (int rank = 0; rank < kSlots; ++rank) {
        const auto state = ReadRunFile<ShimState>(RankDir(run.name, rank) + "/state.json");
        if (state) (void)io::SignalProcess(state->shim.id(), SIGKILL);
      }
    }
    (void)io::WaitUntil(kPatience, [&] { return MarkedCount() == 0; });
  }
  size_t MarkedCount() { return io::ProcessesWithEnv("D", dir_.path()).size(); }

  io::TempDir dir_ = *io::TempDir::Create();
  io::RealClock clock_;
  std::vector<wire::Json> progress_;
  std::unique_ptr<Driver> driver_ = Open();
};

TEST_F(LocalDriverTest, DescribesItsSlots) {
  const auto slots = *driver_->Slots();
  ASSERT_EQ(slots.size(), 4u);
  EXPECT_EQ(slots[2].id, "local/here/2");
  EXPECT_EQ(slots[2].index, 2);
  EXPECT_FALSE(slots[2].cores.empty());
  EXPECT_DOUBLE_EQ(slots[2].core_share, static_cast<double>(io::UsableCores().size()) / 4);
  EXPECT_EQ(driver_->site().driver, "local");
  EXPECT_NE(driver_->site().isolation, "");
}

TEST_F(LocalDriverTest, RunsAGangToItsEndAndTellsEveryRankWhoItIs) {
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 2,
                                  "echo $WEIR_RANK/$WEIR_WORLD_SIZE $WEIR_RUN_ID $WEIR_HOLDER; "
                                  "env > $D/env.$WEIR_RANK")));
  const RunObservation seen = WaitFor("lease-1", RunPhase::kExited);
  EXPECT_EQ(seen.exit_code, 0);
  EXPECT_EQ(seen.reason, "rank 0 of 2: exit 0");
  EXPECT_EQ(Text("lease-1.log"), "0/2 lease-1 job-1\n");
  EXPECT_EQ(Text("lease-1.log.1"), "1/2 lease-1 job-1\n");
  EXPECT_GE(seen.ended.us, seen.started.us);
  const std::string env = Text("env.1");
  for (const char* line : {"\nRANK=1\n", "\nWORLD_SIZE=2\n", "MASTER_PORT=", "WEIR_RENDEZVOUS=127",
                           "WEIR_THREADS=1\n", "OMP_NUM_THREADS=1\n", "WEIR_GRACE_S=30\n"}) {
    EXPECT_THAT("\n" + env, HasSubstr(line));
  }
  EXPECT_THAT(env, testing::Not(HasSubstr("WEIR_PROGRESS_FILE"))) << "rank 0 alone writes it";
  EXPECT_THAT(Text("env.0"), HasSubstr("WEIR_PROGRESS_FILE"));
  ASSERT_TRUE(driver_->Forget("lease-1"));
  ASSERT_TRUE(driver_->Forget("lease-1"));
  EXPECT_THAT(*driver_->Poll(), IsEmpty());
  EXPECT_FALSE(io::FileExists(dir_ / "runs/lease-1"));
  EXPECT_EQ(Text("lease-1.log"), "0/2 lease-1 job-1\n") << "logs stay";
}

TEST_F(LocalDriverTest, StartAndStopMayBeAskedAgain) {
  const RunSpec run = Gang("lease-1", 1, "echo x >> $D/count; exec sleep 1000");
  ASSERT_TRUE(driver_->Start(run));
  ASSERT_TRUE(driver_->Start(run));
  ASSERT_TRUE(WaitForFile("count"));
  WaitFor("lease-1", RunPhase::kRunning);
  EXPECT_EQ(driver_->Forget("lease-1").error().code(), Code::kFailedPrecondition);
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(30)));
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(30)));
  const RunObservation seen = WaitFor("lease-1", RunPhase::kExited);
  EXPECT_EQ(seen.exit_code, 128 + SIGTERM);
  EXPECT_EQ(seen.reason, "signal 15");
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(30)));
  ASSERT_TRUE(driver_->Stop("never-heard-of", Duration::Seconds(30)));
  ASSERT_TRUE(driver_->Start(run)) << "it exists: ended, but not forgotten";
  EXPECT_EQ(Text("count"), "x\n");
}

TEST_F(LocalDriverTest, GivesAReplicaOneProcessAllItsSlotsAndAPort) {
  RunSpec run = Gang("lease-9", 3,
                     "echo $WEIR_PORT > $D/port; grep Cpus_allowed_list "
                     "/proc/self/status > $D/cores; exec sleep 1000");
  run.gang = false;
  run.wants_port = true;
  ASSERT_TRUE(driver_->Start(run));
  const RunObservation seen = WaitFor("lease-9", RunPhase::kRunning);
  EXPECT_GT(seen.port, 1024);
  ASSERT_TRUE(WaitForFile("cores"));
  EXPECT_EQ(Text("port"), fmt::format("{}\n", seen.port));
  EXPECT_TRUE(io::WaitUntil(kPatience, [&] { return MarkedCount() == 1; })) << "one process";
  driver_.reset();
  driver_ = Open();
  EXPECT_EQ(See("lease-9").port, seen.port) << "the next driver knows it too";
}

TEST_F(LocalDriverTest, RefusesARunThatCanNeverBe) {
  const auto code_of = [&](auto change) {
    RunSpec run = Gang("lease-1", 1, "true");
    change(run);
    const Status started = driver_->Start(run);
    EXPECT_FALSE(started);
    return started ? Code::kInternal : started.error().code();
  };
  EXPECT_EQ(code_of([](RunSpec& r) { r.id = ""; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](RunSpec& r) { r.id = "../x"; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](RunSpec& r) { r.id = ".."; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](RunSpec& r) { r.command = {}; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](RunSpec& r) { r.slots = {}; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](RunSpec& r) { r.slots[0].index = kSlots; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](RunSpec& r) { r.env["A=B"] = "x"; }), Code::kInvalidArgument);
  EXPECT_EQ(code_of([](RunSpec& r) { r.cwd = "here"; }), Code::kInvalidArgument);
  EXPECT_THAT(*driver_->Poll(), IsEmpty()) << "nothing half done";
}

TEST_F(LocalDriverTest, ACommandThatCannotStartIsAnExitWithItsReason) {
  RunSpec run = Gang("lease-1", 1, "");
  run.command = {"weir-no-such-program"};
  ASSERT_TRUE(driver_->Start(run));
  const RunObservation seen = WaitFor("lease-1", RunPhase::kExited);
  EXPECT_EQ(seen.exit_code, 127);
  EXPECT_THAT(seen.reason, HasSubstr("weir-no-such-program: not found"));
}

TEST_F(LocalDriverTest, ARankThatFailsTakesItsGangDownAndIsNamed) {
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 4,
                                  "touch $D/up.$WEIR_RANK; if [ $WEIR_RANK = 2 ]; then "
                                  "while [ ! -e $D/go ]; do sleep 0.02; done; "
                                  "echo the disk is on fire; exit 3; fi; exec sleep 1000")));
  WaitFor("lease-1", RunPhase::kRunning);
  for (int rank = 0; rank < 4; ++rank) ASSERT_TRUE(WaitForFile(fmt::format("up.{}", rank)));
  ASSERT_TRUE(io::WriteFileAtomically(dir_ / "go", ""));
  const RunObservation seen = WaitFor("lease-1", RunPhase::kExited);
  EXPECT_EQ(seen.exit_code, 3);
  EXPECT_EQ(seen.reason, "rank 2 of 4: exit 3");
  EXPECT_THAT(seen.last_lines, ElementsAre("the disk is on fire"));
  EXPECT_EQ(MarkedCount(), 0u);
}

TEST_F(LocalDriverTest, AGangThatSavesOnSigtermEndsWith75) {
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 2,
                                  "trap 'exit 75' TERM; touch $D/up.$WEIR_RANK; "
                                  "while :; do sleep 0.02; done")));
  ASSERT_TRUE(WaitForFile("up.0") && WaitForFile("up.1"));
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(30)));
  EXPECT_EQ(WaitFor("lease-1", RunPhase::kExited).exit_code, 75);
}

TEST_F(LocalDriverTest, AGangThatIgnoresSigtermIsKilledAfterItsGrace) {
  ASSERT_TRUE(driver_->Start(
      Gang("lease-1", 2, "trap '' TERM; touch $D/up.$WEIR_RANK; while :; do sleep 0.02; done")));
  ASSERT_TRUE(WaitForFile("up.0") && WaitForFile("up.1"));
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(3600)));
  WaitFor("lease-1", RunPhase::kStopping);
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Millis(50)));
  const RunObservation seen = WaitFor("lease-1", RunPhase::kExited);
  EXPECT_EQ(seen.exit_code, 137);
  EXPECT_THAT(seen.reason, HasSubstr("killed after grace"));
}

TEST_F(LocalDriverTest, ANewDriverAdoptsWhatRunsAndHearsWhatEndedMeanwhile) {
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 1, "echo x >> $D/count; exec sleep 1000")));
  ASSERT_TRUE(
      driver_->Start(Gang("lease-2", 1, "while [ ! -e $D/go ]; do sleep 0.02; done; exit 4")));
  ASSERT_TRUE(WaitForFile("count"));
  WaitFor("lease-2", RunPhase::kRunning);
  driver_.reset();
  ASSERT_TRUE(io::WriteFileAtomically(dir_ / "go", ""));
  ASSERT_TRUE(io::WaitUntil(kPatience,
                            [&] { return io::FileExists(RankDir("lease-2", 0) + "/exit.json"); }));
  driver_ = Open();
  EXPECT_EQ(See("lease-1").phase, RunPhase::kRunning);
  EXPECT_EQ(See("lease-2").exit_code, 4);
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(30)));
  EXPECT_EQ(WaitFor("lease-1", RunPhase::kExited).reason, "signal 15");
  EXPECT_EQ(Text("count"), "x\n");
}

TEST_F(LocalDriverTest, AKilledShimMeansLostAndNothingIsLeftRunning) {
  // The command starts a process in a session of its own: only its environment gives it away.
  ASSERT_TRUE(
      driver_->Start(Gang("lease-1", 1, "setsid sleep 1000 & touch $D/up; exec sleep 1000")));
  ASSERT_TRUE(WaitForFile("up"));
  ASSERT_TRUE(io::WaitUntil(kPatience, [&] { return MarkedCount() == 2; }));
  ASSERT_TRUE(io::SignalProcess(ShimOf("lease-1", 0), SIGKILL));
  const RunObservation seen = WaitFor("lease-1", RunPhase::kLost);
  EXPECT_EQ(MarkedCount(), 0u) << "said to be lost while it still ran";
  EXPECT_THAT(seen.reason, HasSubstr("lost"));
  driver_.reset();
  driver_ = Open();
  EXPECT_EQ(See("lease-1").phase, RunPhase::kLost);
}

TEST_F(LocalDriverTest, OneLostRankStopsTheGang) {
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 2, "touch $D/up.$WEIR_RANK; exec sleep 1000")));
  ASSERT_TRUE(WaitForFile("up.0") && WaitForFile("up.1"));
  ASSERT_TRUE(io::SignalProcess(ShimOf("lease-1", 1), SIGKILL));
  EXPECT_THAT(WaitFor("lease-1", RunPhase::kLost).reason, HasSubstr("rank 1 of 2: lost"));
  EXPECT_EQ(MarkedCount(), 0u);
}

// The shim's pid now belongs to somebody else: that one is neither taken for it nor signalled.
TEST_F(LocalDriverTest, AReusedPidIsNotTakenForOurs) {
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 1, "touch $D/up; exec sleep 1000")));
  ASSERT_TRUE(WaitForFile("up"));
  const io::ProcessId shim = ShimOf("lease-1", 0);
  driver_.reset();
  ASSERT_TRUE(io::SignalProcess(shim, SIGKILL));
  io::SpawnSpec other;
  other.argv = {"/bin/sleep", "1000"};
  const auto bystander = io::Spawn(other);
  auto state = *ReadRunFile<ShimState>(RankDir("lease-1", 0) + "/state.json");
  state.shim.pid = bystander->id().pid;
  state.command->pid = bystander->id().pid;
  ASSERT_TRUE(io::WriteFileAtomically(RankDir("lease-1", 0) + "/state.json", wire::ToText(state)));
  driver_ = Open();
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Millis(1)));
  WaitFor("lease-1", RunPhase::kLost);
  EXPECT_TRUE(io::IsAlive(bystander->id()));
  ASSERT_TRUE(io::SignalProcess(bystander->id(), SIGKILL));
  ASSERT_TRUE(io::Wait(bystander->id().pid));
}

TEST_F(LocalDriverTest, AfterARebootWhatRanIsLostAndWhatHadNotBegunIsStarted) {
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 1, "touch $D/up; exec sleep 1000")));
  ASSERT_TRUE(WaitForFile("up"));
  ASSERT_TRUE(io::SignalProcess(ShimOf("lease-1", 0), SIGKILL));
  ASSERT_TRUE(io::WaitUntil(kPatience, [&] { return MarkedCount() == 0; }));
  auto state = *ReadRunFile<ShimState>(RankDir("lease-1", 0) + "/state.json");
  state.shim.boot_id = state.command->boot_id = "the boot before";
  ASSERT_TRUE(io::WriteFileAtomically(RankDir("lease-1", 0) + "/state.json", wire::ToText(state)));
  driver_.reset();
  driver_ = Open();
  EXPECT_EQ(See("lease-1").phase, RunPhase::kLost);
  ASSERT_TRUE(driver_->Forget("lease-1"));

  // Written down, its shim killed before it let the command go.
  state.phase = ShimPhase::kStarting;
  ASSERT_TRUE(driver_->Start(Gang("lease-2", 1, "echo x >> $D/count")));
  WaitFor("lease-2", RunPhase::kExited);
  driver_.reset();
  ASSERT_TRUE(io::RemoveFile(RankDir("lease-2", 0) + "/exit.json"));
  ASSERT_TRUE(io::WriteFileAtomically(RankDir("lease-2", 0) + "/state.json", wire::ToText(state)));
  driver_ = Open();
  EXPECT_EQ(WaitFor("lease-2", RunPhase::kExited).exit_code, 0);
  EXPECT_EQ(Text("count"), "x\nx\n");
}

TEST_F(LocalDriverTest, DamagedRunFilesNeverStartACommandAgain) {
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 1, "echo x >> $D/count")));
  WaitFor("lease-1", RunPhase::kExited);
  for (const char* broken : {"exit.json", "state.json"}) {
    driver_.reset();
    ASSERT_TRUE(io::WriteFileAtomically(RankDir("lease-1", 0) + "/" + broken, "{\"phase\":"));
    driver_ = Open();
    EXPECT_EQ(WaitFor("lease-1", RunPhase::kLost).phase, RunPhase::kLost);
    ASSERT_TRUE(io::RemoveFile(RankDir("lease-1", 0) + "/exit.json"));
  }
  EXPECT_EQ(Text("count"), "x\n");
  driver_.reset();
  ASSERT_TRUE(io::WriteFileAtomically(dir_ / "runs/lease-1/run.json", "{}"));
  LocalOptions options;
  options.runs_dir = dir_ / "runs";
  options.shim_command = {"/bin/true"};
  const auto refused = CreateLocalDriver(options, io::SlotShares::Of(1, {0}), &clock_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kDataLoss);
}

TEST_F(LocalDriverTest, AShimThatNeverComesUpIsGivenUpInTheOpen) {
  driver_.reset();
  LocalOptions options;
  options.runs_dir = dir_ / "runs";
  options.shim_command = {"/bin/false"};
  options.node = "here";
  driver_ = *CreateLocalDriver(options, io::SlotShares::Of(kSlots, {0}), &clock_);
  ASSERT_TRUE(driver_->Start(Gang("lease-1", 1, "echo x >> $D/count")));
  const RunObservation seen = WaitFor("lease-1", RunPhase::kExited);
  EXPECT_EQ(seen.exit_code, 126);
  EXPECT_THAT(seen.reason, HasSubstr("shim.log"));
  EXPECT_EQ(Text("count"), "");
}

// The driver's process is killed at a random moment while it starts runs; the next one is asked
// for the same runs, as the journal's intents would: each runs exactly once.
TEST_F(LocalDriverTest, KilledAtAnyMomentEachIntendedRunRunsExactlyOnce) {
  Random random(5);
  constexpr int kRuns = 4;
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    std::vector<RunSpec> runs;
    for (int i = 0; i < kRuns; ++i) {
      runs.push_back(Gang(fmt::format("lease-{}-{}", round, i), 1 + i % 2,
                          "echo x >> $D/count.$WEIR_RUN_ID.$WEIR_RANK"));
    }
    driver_.reset();
    const pid_t victim = ::fork();
    if (victim == 0) {
      auto driver = Open();
      for (const RunSpec& run : runs) (void)driver->Start(run);
      for (;;) (void)driver->Poll();
    }
    ::usleep(static_cast<useconds_t>(random.Below(60'000)));  // the moment, not a wait
    ::kill(victim, SIGKILL);
    ::waitpid(victim, nullptr, 0);
    driver_ = Open();
    for (const RunSpec& run : runs) ASSERT_TRUE(driver_->Start(run));
    for (const RunSpec& run : runs) {
      EXPECT_EQ(WaitFor(run.id, RunPhase::kExited).exit_code, 0);
      for (size_t rank = 0; rank < run.slots.size(); ++rank) {
        EXPECT_EQ(Text(fmt::format("count.{}.{}", run.id, rank)), "x\n") << run.id;
      }
      ASSERT_TRUE(driver_->Forget(run.id));
    }
  }
}

TEST_F(LocalDriverTest, HearsProgressOnceAndSkipsWhatIsNotProgress) {
  ASSERT_TRUE(
      io::WriteFileAtomically(dir_ / "progress.jsonl", "{\"step\":0}\n"));  // an earlier run
  ASSERT_TRUE(
      driver_->Start(Gang("lease-1", 1,
                          "for i in 1 2 3; do echo \"{\\\"step\\\":$i}\" >> $WEIR_PROGRESS_FILE; "
                          "echo nonsense >> $WEIR_PROGRESS_FILE; done")));
  WaitFor("lease-1", RunPhase::kExited);
  See("lease-1");
  ASSERT_EQ(progress_.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(progress_[static_cast<size_t>(i)]["step"], i + 1);
}

TEST_F(LocalDriverTest, TheTimeAndMemoryLimitsReachTheCommand) {
  RunSpec run = Gang("lease-1", 1, "exec sleep 1000");
  run.time_limit = Duration::Millis(100);
  ASSERT_TRUE(driver_->Start(run));
  RunObservation seen = WaitFor("lease-1", RunPhase::kExited);
  EXPECT_EQ(seen.exit_code, 124);
  EXPECT_THAT(seen.reason, HasSubstr("time limit"));
  run = Gang("lease-2", 1, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); sleep 1000");
  run.memory_limit_bytes = 32 << 20;
  ASSERT_TRUE(driver_->Start(run));
  seen = WaitFor("lease-2", RunPhase::kExited);
  EXPECT_EQ(seen.exit_code, 137);
  EXPECT_THAT(seen.reason, HasSubstr("memory limit 32 MiB"));
}

TEST(CommandEnvironment, PassesOnOnlyWhatIsListed) {
  const auto env = CommandEnvironment([](const std::string& name) -> std::optional<std::string> {
    if (name == "HOME" || name == "AWS_SECRET_ACCESS_KEY") return "value";
    return std::nullopt;
  });
  EXPECT_EQ(env.at("HOME"), "value");
  EXPECT_TRUE(env.contains("PATH"));
  EXPECT_EQ(env.size(), 2u);
}

class ProgressReaderTest : public testing::Test {
 protected:
  void Append(std::string_view text) { std::ofstream(path_, std::ios::app) << text; }
  std::vector<int> Steps() {
    std::vector<int> steps;
    for (const wire::Json& line : reader_.Read()) steps.push_back(line.value("step", -1));
    return steps;
  }
  io::TempDir dir_ = *io::TempDir::Create();
  std::string path_ = dir_ / "p";
  ProgressReader reader_{path_, 0};
};

TEST_F(ProgressReaderTest, WaitsForTheEndOfALine) {
  EXPECT_THAT(Steps(), IsEmpty());
  Append("{\"step\":1}\n{\"st");
  EXPECT_THAT(Steps(), ElementsAre(1));
  EXPECT_THAT(Steps(), IsEmpty());
  Append("ep\":2}\n");
  EXPECT_THAT(Steps(), ElementsAre(2));
  EXPECT_EQ(reader_.malformed(), 0);
}

TEST_F(ProgressReaderTest, CountsAndSkipsWhatIsNotAnObject) {
  Append("[1]\n\n7\n{\"step\":1\n\xff\xfe\n{\"step\":1}\n");
  EXPECT_THAT(Steps(), ElementsAre(1));
  EXPECT_EQ(reader_.malformed(), 4);
}

TEST_F(ProgressReaderTest, SkipsALineThatIsTooLongHoweverItArrives) {
  const std::string huge = "{\"x\":\"" + std::string(1 << 20, 'x') + "\"}\n";
  Append("{\"step\":1}\n" + huge + "{\"step\":2}\n");
  std::vector<int> steps;
  for (int i = 0; i < 20; ++i) {
    for (const int step : Steps()) steps.push_back(step);
  }
  EXPECT_THAT(steps, ElementsAre(1, 2));
  EXPECT_EQ(reader_.malformed(), 1);
}

TEST_F(ProgressReaderTest, GivesManyLinesInBoundedPortionsAndFollowsAReplacedFile) {
  for (int i = 0; i < 1000; ++i) Append(fmt::format("{{\"step\":{}}}\n", i));
  EXPECT_THAT(Steps(), SizeIs(ProgressReader::kMaxLinesPerRead));
  size_t left = 0;
  for (int i = 0; i < 5; ++i) left += Steps().size();
  EXPECT_EQ(left, 1000 - ProgressReader::kMaxLinesPerRead);
  ASSERT_TRUE(io::WriteFileAtomically(path_, "{\"step\":7}\n"));
  EXPECT_THAT(Steps(), ElementsAre(7));
}

}  // namespace
}  // namespace weir::control
