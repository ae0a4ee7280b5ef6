// The shim with real processes. This test program is its own shim: started as `control_test shim
// --dir DIR` it does what `weir shim --dir DIR` does.
#include "control/drivers/shim.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>

#include "base/random.h"
#include "control/drivers/run_files.h"
#include "control/drivers/run_log.h"

namespace weir::control {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Duration kShimPatience = Duration::Seconds(60);

class ShimTest : public testing::Test {
 protected:
  ShimTest() {
    spec_.run_id = "lease-1";
    spec_.env = {{"PATH", "/usr/bin:/bin"}, {"WEIR_RUN_DIR", dir_.path()}};
    spec_.log_path = dir_ / "log";
    spec_.grace = Duration::Seconds(30);
  }
  ~ShimTest() override {
    for (const pid_t pid : io::ProcessesWithEnv("WEIR_RUN_DIR", dir_.path())) ::kill(pid, SIGKILL);
  }
  // Starts a shim for `script` and leaves it alone.
  io::ProcessId Start(const std::string& script) {
    spec_.argv = {"sh", "-c", script};
    EXPECT_TRUE(io::WriteFileAtomically(dir_ / "spec.json", wire::ToText(spec_)));
    return StartShim();
  }
  io::ProcessId StartShim() {
    io::SpawnSpec spawn;
    spawn.argv = {*io::OwnProgramPath(), "shim", "--dir", dir_.path()};
    spawn.stderr_fd = 2;
    spawn.group = io::SpawnSpec::Group::kSession;
    return io::Spawn(spawn)->id();
  }
  ShimExit ExitOf(const io::ProcessId& shim) {
    const auto status = io::Wait(shim.pid);
    EXPECT_TRUE(status && status->code == 0 && status->signal == 0);
    const auto exit = ReadRunFile<ShimExit>(dir_ / "exit.json");
    EXPECT_TRUE(exit) << (exit ? "" : exit.error().message());
    return exit.value_or(ShimExit{});
  }
  ShimExit Run(const std::string& script) { return ExitOf(Start(script)); }
  std::string Log(const std::string& suffix = "") {
    return io::ReadFile(dir_ / ("log" + suffix), 64 << 20).value_or("");
  }
  bool WaitFor(const std::string& file) {
    return io::WaitUntil(kShimPatience, [&] { return io::FileExists(dir_ / file); });
  }
  size_t Marked() { return io::ProcessesWithEnv("WEIR_RUN_DIR", dir_.path()).size(); }
  void AskToStop(Duration grace) {
    EXPECT_TRUE(io::WriteFileAtomically(dir_ / "stop", wire::ToText(StopRequest{grace})));
  }

  io::TempDir dir_ = *io::TempDir::Create();
  ShimSpec spec_;
};

TEST_F(ShimTest, WritesDownHowTheCommandEndedAndWhatItSaid) {
  const ShimExit exit = Run("echo out; echo err >&2; printf unfinished; exit 75");
  EXPECT_EQ(exit.cause, EndCause::kExit);
  EXPECT_EQ(exit.exit_code, 75);
  EXPECT_EQ(exit.reason, "exit 75");
  EXPECT_THAT(exit.last_lines, ElementsAre("out", "err", "unfinished"));
  EXPECT_EQ(Log(), "out\nerr\nunfinished");
  EXPECT_GT(exit.ended.us, exit.started.us - 1);
  EXPECT_GT(exit.max_rss_bytes, 0);
  const auto state = ReadRunFile<ShimState>(dir_ / "state.json");
  EXPECT_EQ(state->phase, ShimPhase::kRunning);
  EXPECT_TRUE(state->command);
}

TEST_F(ShimTest, SaysWhenTheCommandCannotStart) {
  spec_.argv = {"/no/such/program"};
  ASSERT_TRUE(io::WriteFileAtomically(dir_ / "spec.json", wire::ToText(spec_)));
  const ShimExit exit = ExitOf(StartShim());
  EXPECT_EQ(exit.cause, EndCause::kCannotStart);
  EXPECT_EQ(exit.exit_code, 127);
  EXPECT_THAT(exit.reason, HasSubstr("/no/such/program"));
  EXPECT_THAT(Log(), HasSubstr("/no/such/program")) << "whoever reads the log sees it too";
}

TEST_F(ShimTest, TellsASignalFromAnExit) {
  const ShimExit exit = Run("kill -SEGV $$");
  EXPECT_EQ(exit.cause, EndCause::kSignal);
  EXPECT_EQ(exit.exit_code, 128 + SIGSEGV);
  EXPECT_EQ(exit.reason, "signal 11");
}

TEST_F(ShimTest, ASecondShimForTheSameFolderDoesNothing) {
  const std::string count = "echo x >> " + (dir_ / "count") + "; ";
  const io::ProcessId first =
      Start(count + "while [ ! -e " + (dir_ / "go") + " ]; do sleep 0.02; done");
  ASSERT_TRUE(WaitFor("count"));
  EXPECT_EQ(io::Wait(StartShim().pid)->code, 1) << "while the first runs";
  ASSERT_TRUE(io::WriteFileAtomically(dir_ / "go", ""));
  EXPECT_EQ(ExitOf(first).exit_code, 0);
  EXPECT_EQ(io::Wait(StartShim().pid)->code, 0) << "after the first has finished";
  EXPECT_EQ(*io::ReadFile(dir_ / "count", 100), "x\n");
}

TEST_F(ShimTest, AStopGivesTheCommandItsGrace) {
  const io::ProcessId shim = Start("trap 'echo saved; exit 75' TERM; touch " + (dir_ / "up") +
                                   "; while :; do sleep 0.02; done");
  ASSERT_TRUE(WaitFor("up"));
  AskToStop(Duration::Seconds(30));
  ASSERT_TRUE(io::SignalProcess(shim, SIGUSR1));
  const ShimExit exit = ExitOf(shim);
  EXPECT_EQ(exit.exit_code, 75);
  EXPECT_EQ(exit.cause, EndCause::kExit);
  EXPECT_THAT(exit.last_lines, Contains("saved"));
}

TEST_F(ShimTest, AStopFileWorksWithoutItsSignalAndSoDoesSigtermWithoutAFile) {
  io::ProcessId shim = Start("touch " + (dir_ / "up") + "; exec sleep 1000");
  ASSERT_TRUE(WaitFor("up"));
  AskToStop(Duration::Seconds(30));
  EXPECT_EQ(ExitOf(shim).reason, "signal 15");
  for (const char* name : {"up", "stop", "state.json", "exit.json"}) {
    ASSERT_TRUE(io::RemoveFile(dir_ / name));
  }
  shim = Start("touch " + (dir_ / "up") + "; exec sleep 1000");
  ASSERT_TRUE(WaitFor("up"));
  ASSERT_TRUE(io::SignalProcess(shim, SIGTERM));
  EXPECT_EQ(ExitOf(shim).reason, "signal 15");
}

TEST_F(ShimTest, OneThatIgnoresSigtermIsKilledAfterItsGraceAndAShorterGraceCounts) {
  const io::ProcessId shim =
      Start("trap '' TERM; touch " + (dir_ / "up") + "; while :; do sleep 0.05; done");
  ASSERT_TRUE(WaitFor("up"));
  AskToStop(Duration::Seconds(3600));
  ASSERT_TRUE(io::SignalProcess(shim, SIGUSR1));
  EXPECT_TRUE(io::IsAlive(shim));
  AskToStop(Duration::Millis(100));
  ASSERT_TRUE(io::SignalProcess(shim, SIGUSR1));
  const ShimExit exit = ExitOf(shim);
  EXPECT_EQ(exit.cause, EndCause::kKilledAfterGrace);
  EXPECT_EQ(exit.exit_code, 128 + SIGKILL);
  EXPECT_EQ(exit.reason, "killed after grace");
}

TEST_F(ShimTest, AStoppedProcessIsWokenToBeTerminated) {
  const io::ProcessId shim = Start("touch " + (dir_ / "up") + "; kill -STOP $$; exec sleep 1000");
  ASSERT_TRUE(WaitFor("up"));
  AskToStop(Duration::Seconds(60));
  EXPECT_EQ(ExitOf(shim).reason, "signal 15");
}

TEST_F(ShimTest, TheTimeLimitEndsIt) {
  spec_.time_limit = Duration::Millis(200);
  const ShimExit exit = Run("exec sleep 1000");
  EXPECT_EQ(exit.cause, EndCause::kTimeLimit);
  EXPECT_EQ(exit.exit_code, 124);
  EXPECT_THAT(exit.reason, HasSubstr("time limit"));
}

TEST_F(ShimTest, TheMemoryLimitEndsItAndAllThatItStarted) {
  spec_.memory_limit_bytes = 64 << 20;
  // A child of the command takes the memory: 400 MB of text in a shell variable.
  const ShimExit exit =
      Run("(x=$(head -c 400000000 /dev/zero | tr '\\0' x); echo survived) & wait; echo end");
  EXPECT_EQ(exit.cause, EndCause::kMemoryLimit);
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_EQ(exit.reason, "memory limit 64 MiB");
  EXPECT_GT(exit.max_rss_bytes, 64 << 20);
  EXPECT_EQ(Log(), "");
  EXPECT_EQ(Marked(), 0u);
}

TEST_F(ShimTest, NothingThatTheCommandStartedOutlivesIt) {
  const ShimExit exit =
      Run("setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' &) ; "
          "sleep 1000 & exit 3");
  EXPECT_EQ(exit.exit_code, 3);
  EXPECT_EQ(Marked(), 0u);
}

TEST_F(ShimTest, KillingTheShimKillsTheCommandAndNoLaterShimStartsItAgain) {
  const io::ProcessId shim = Start("echo x >> " + (dir_ / "count") + "; exec sleep 1000");
  ASSERT_TRUE(WaitFor("count"));
  ASSERT_TRUE(io::SignalProcess(shim, SIGKILL));
  EXPECT_EQ(io::Wait(shim.pid)->signal, SIGKILL);
  EXPECT_TRUE(io::WaitUntil(kShimPatience, [&] { return Marked() == 0; }));
  EXPECT_EQ(io::Wait(StartShim().pid)->code, 1);
  EXPECT_FALSE(io::FileExists(dir_ / "exit.json"));
  EXPECT_EQ(*io::ReadFile(dir_ / "count", 100), "x\n");
}

// Killed at any moment from its first instruction on, and started again as a driver would: the
// command ran at most once, and if state.json does not say "running" it has not run.
TEST_F(ShimTest, KilledAtAnyMomentTheCommandRunsAtMostOnce) {
  Random random(11);
  int ran = 0;
  for (int round = 0; round < 40; ++round) {
    SCOPED_TRACE(fmt::format("round {}", round));
    for (const char* name : {"state.json", "exit.json", "count"}) {
      ASSERT_TRUE(io::RemoveFile(dir_ / name));
    }
    const io::ProcessId shim = Start("echo x >> " + (dir_ / "count"));
    ::usleep(static_cast<useconds_t>(random.Below(40'000)));  // the moment, not a wait
    (void)io::SignalProcess(shim, SIGKILL);
    ASSERT_TRUE(io::Wait(shim.pid));
    // The command dies with it, or had ended; then what is on disk is final.
    ASSERT_TRUE(io::WaitUntil(kShimPatience, [&] { return Marked() == 0; }));
    const auto state = ReadRunFile<ShimState>(dir_ / "state.json");
    const bool may_have_run = state && state->phase == ShimPhase::kRunning;
    EXPECT_TRUE(may_have_run || !io::FileExists(dir_ / "count"));
    const io::ProcessId again = StartShim();
    ASSERT_TRUE(io::Wait(again.pid));
    const std::string count = io::ReadFile(dir_ / "count", 100).value_or("");
    EXPECT_LE(count.size(), 2u) << "ran twice";
    EXPECT_TRUE(may_have_run || count == "x\n") << "never ran";
    ran += static_cast<int>(count.size()) / 2;
  }
  EXPECT_GT(ran, 0);
}

TEST_F(ShimTest, AFloodIsRotatedAndHoldsBackNoStop) {
  spec_.log_file_bytes = 100'000;
  spec_.log_files = 3;
  const io::ProcessId shim = Start("yes 'a line of output' & touch " + (dir_ / "up") + "; wait");
  ASSERT_TRUE(WaitFor("log~2"));
  AskToStop(Duration::Seconds(30));
  ASSERT_TRUE(io::SignalProcess(shim, SIGUSR1));
  const ShimExit exit = ExitOf(shim);
  EXPECT_EQ(exit.reason, "signal 15");
  EXPECT_EQ(exit.last_lines.size(), 20u);
  EXPECT_LE(Log().size(), 100'000u);
  EXPECT_EQ(Log("~1").size(), 100'000u);
  EXPECT_EQ(Log("~2").size(), 100'000u);
  EXPECT_FALSE(io::FileExists(dir_ / "log~3"));
  EXPECT_EQ(exit.log_bytes_dropped, 0);
}

TEST_F(ShimTest, BinaryOutputAndOneHugeLineAreKept) {
  const ShimExit exit = Run("head -c 3000000 /dev/zero; printf '\\377\\200\\n'");
  EXPECT_EQ(Log().size(), 3'000'003u);
  ASSERT_EQ(exit.last_lines.size(), 1u);
  EXPECT_LE(exit.last_lines[0].size(), 6u * 450) << "bounded, though each NUL takes six bytes";
}

TEST_F(ShimTest, RefusesASpecThatIsNotOne) {
  for (const char* text : {"", "{}", "[1]", "{\"run_id\":1,\"argv\":[\"x\"]}", "{\"run_id\":"}) {
    ASSERT_TRUE(io::WriteFileAtomically(dir_ / "spec.json", text));
    EXPECT_EQ(io::Wait(StartShim().pid)->code, 2) << text;
  }
}

TEST(LastLines, ShowsWhatATerminalWouldShowLast) {
  const auto of = [](std::string_view bytes) {
    LastLines whole;
    whole.Add(bytes);
    LastLines split;  // the same, a byte at a time
    for (const char& byte : bytes) split.Add({&byte, 1});
    EXPECT_EQ(whole.Get(), split.Get());
    return whole.Get();
  };
  EXPECT_THAT(of(""), IsEmpty());
  EXPECT_THAT(of("a\nb"), ElementsAre("a", "b"));
  EXPECT_THAT(of("a\r\nb\r\n"), ElementsAre("a", "b"));
  EXPECT_THAT(of("10%\r20%\r100%\ndone\n"), ElementsAre("100%", "done"));
  EXPECT_THAT(of("10%\r20%\r"), ElementsAre("20%"));
  EXPECT_THAT(of("\n\n"), ElementsAre("", ""));
  const std::string huge(10'000, 'h');
  EXPECT_THAT(of(huge + "\n" + huge),
              ElementsAre(huge.substr(0, 400) + "...", huge.substr(0, 400) + "..."));
  std::string many;
  for (int i = 0; i < 100; ++i) many += fmt::format("{}\n", i);
  EXPECT_EQ(of(many).size(), 20u);
  EXPECT_EQ(of(many).back(), "99");
}

TEST(RunLog, GoesOnWhereAnEarlierRunEndedAndSurvivesAPathThatCannotBe) {
  const io::TempDir dir = *io::TempDir::Create();
  { RunLog(dir / "log", {10, 2}).Write("1234567"); }
  { RunLog(dir / "log", {10, 2}).Write("89abcdefghijklmnopqrstuvw"); }
  EXPECT_EQ(*io::ReadFile(dir / "log~1", 100), "lmnopqrstu");
  EXPECT_EQ(*io::ReadFile(dir / "log", 100), "vw");
  RunLog nowhere("/no/such/folder/log", {10, 2});
  nowhere.Write("hello\n");
  EXPECT_EQ(nowhere.dropped_bytes(), 6);
  EXPECT_THAT(nowhere.last_lines().Get(), ElementsAre("hello"));
}

}  // namespace
}  // namespace weir::control

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "shim") return weir::control::RunShim(argv[3]);
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
