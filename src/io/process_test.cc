#include "io/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "io/cgroup.h"
#include "io/cores.h"
#include "io/files.h"

namespace weir::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr Duration kPatience = Duration::Seconds(20);

class ProcessTest : public testing::Test {
 protected:
  SpawnSpec Shell(const std::string& script) {
    return {.argv = {"sh", "-c", script}, .env = {{"PATH", "/usr/bin:/bin"}, {"MARK", mark_}}};
  }
  // Runs a script to its end and gives what it printed.
  std::string OutputOf(SpawnSpec spec) {
    const std::string path = dir_ / "out";
    spec.stdout_fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    spec.stderr_fd = spec.stdout_fd;
    const auto child = Spawn(spec);
    ::close(spec.stdout_fd);
    if (!child) return child.error().message();
    EXPECT_TRUE(Wait(child->id().pid));
    return *ReadFile(path, 1 << 20);
  }
  TempDir dir_ = *TempDir::Create();
  std::string mark_ = dir_.path();
};

TEST_F(ProcessTest, GivesTheCommandItsFolderItsEnvironmentAndNothingElse) {
  SpawnSpec spec = Shell("pwd; env | sort; ls /proc/self/fd | wc -l");
  spec.cwd = dir_.path();
  ::setenv("WEIR_TEST_LEAK", "1", 1);
  const int extra = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  EXPECT_EQ(OutputOf(spec),
            fmt::format("{0}\nMARK={0}\nPATH=/usr/bin:/bin\nPWD={0}\n4\n", dir_.path()));
  ::close(extra);
}

TEST_F(ProcessTest, SetsCoresPriorityGroupAndLimits) {
  SpawnSpec spec = Shell(
      "grep Cpus_allowed_list /proc/self/status; nice; ulimit -v; "
      "cat /proc/self/oom_score_adj; cut -d' ' -f5 /proc/$$/stat; echo $$");
  spec.cores = {UsableCores().back()};
  spec.nice = 3;
  spec.max_address_space_bytes = int64_t{1} << 30;
  spec.oom_score_adj = 500;
  const std::string out = OutputOf(spec);
  EXPECT_THAT(out, HasSubstr(fmt::format("Cpus_allowed_list:\t{}\n", spec.cores[0])));
  EXPECT_THAT(out, HasSubstr("\n3\n1048576\n500\n"));
  const size_t pid_at = out.rfind('\n', out.size() - 2);
  const std::string pid = out.substr(pid_at + 1);
  EXPECT_THAT(out, HasSubstr("\n" + pid + pid)) << "it leads its own group";
}

TEST_F(ProcessTest, SaysWhyACommandCannotStart) {
  const auto error = [&](SpawnSpec spec) {
    const auto child = Spawn(spec);
    EXPECT_FALSE(child);
    return child ? Error(Code::kInternal, "started") : child.error();
  };
  EXPECT_EQ(error({}).code(), Code::kInvalidArgument);
  EXPECT_THAT(error({.argv = {"weir-no-such-program"}}).message(), HasSubstr("not found in PATH"));
  EXPECT_THAT(error({.argv = {"/no/such/program"}}).message(), HasSubstr("/no/such/program"));
  EXPECT_EQ(error({.argv = {"/etc/passwd"}}).code(), Code::kPermissionDenied);
  SpawnSpec spec = Shell("true");
  spec.cwd = "/no/such/folder";
  EXPECT_THAT(error(spec).message(), HasSubstr("/no/such/folder"));
  spec = Shell("true");
  spec.cores = {1000};
  EXPECT_THAT(error(spec).message(), HasSubstr("cores"));
  ASSERT_TRUE(WriteFileDurably(dir_ / "noexec", "not a program", 0700));
  EXPECT_THAT(error({.argv = {dir_ / "noexec"}}).message(), HasSubstr("noexec"));
}

TEST_F(ProcessTest, TellsExitCodesFromSignals) {
  const auto child = Spawn(Shell("exit 75"));
  EXPECT_EQ(Wait(child->id().pid)->code, 75);
  const auto killed = Spawn(Shell("kill -9 $$"));
  const ExitStatus status = *Wait(killed->id().pid);
  EXPECT_EQ(status.signal, 9);
  const auto sleeper = Spawn(Shell("sleep 1000"));
  EXPECT_FALSE(TryWait(sleeper->id().pid)->has_value());
  ASSERT_TRUE(SignalGroup(sleeper->id(), SIGKILL));
  EXPECT_EQ(Wait(sleeper->id().pid)->signal, 9);
}

TEST_F(ProcessTest, KnowsAProcessByMoreThanItsNumber) {
  const auto child = Spawn(Shell("sleep 1000"));
  const ProcessId id = child->id();
  EXPECT_TRUE(IsAlive(id));
  ProcessId earlier = id;  // the same number, given to another process before
  --earlier.start_ticks;
  EXPECT_FALSE(IsAlive(earlier));
  EXPECT_EQ(SignalProcess(earlier, SIGKILL).error().code(), Code::kNotFound);
  EXPECT_EQ(SignalGroup(earlier, SIGKILL).error().code(), Code::kNotFound);
  ProcessId last_boot = id;
  last_boot.boot_id = "before";
  EXPECT_FALSE(IsAlive(last_boot));
  EXPECT_EQ(SignalGroup(last_boot, SIGKILL).error().code(), Code::kNotFound);
  EXPECT_TRUE(IsAlive(id)) << "and none of that hit it";
  ASSERT_TRUE(SignalProcess(id, SIGKILL));
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return !IsAlive(id); })) << "a zombie does not live";
  EXPECT_EQ(Wait(id.pid)->signal, 9);
  EXPECT_EQ(SignalProcess(id, SIGKILL).error().code(), Code::kNotFound);
  EXPECT_FALSE(IsAlive({}));
  EXPECT_TRUE(IsAlive(OwnIdentity()));
}

TEST_F(ProcessTest, AGatedChildRunsNothingUntilReleased) {
  SpawnSpec spec = Shell("echo ran > " + (dir_ / "ran"));
  spec.gated = true;
  {
    const auto child = Spawn(spec);
    ASSERT_TRUE(child);
    EXPECT_TRUE(IsAlive(child->id()));
  }  // not released
  EXPECT_FALSE(FileExists(dir_ / "ran"));
  auto child = Spawn(spec);
  ASSERT_TRUE(child->Release());
  EXPECT_EQ(Wait(child->id().pid)->code, 0);
  EXPECT_TRUE(FileExists(dir_ / "ran"));
}

// The parent (a fork of this test) is killed: its child must not outlive it, released or not.
TEST_F(ProcessTest, ChildrenMayBeTiedToTheirParentsLife) {
  for (const bool released : {false, true}) {
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    const pid_t parent = ::fork();
    if (parent == 0) {
      SpawnSpec spec = Shell("sleep 1000");
      spec.gated = true;
      spec.die_with_parent = true;
      auto child = Spawn(spec);
      if (released) (void)child->Release();
      const pid_t pid = child->id().pid;
      (void)!::write(fds[1], &pid, sizeof pid);
      for (;;) ::pause();
    }
    pid_t pid = 0;
    ASSERT_EQ(::read(fds[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
    const ProcessId id = *IdentityOf(pid);
    EXPECT_TRUE(IsAlive(id));
    ::kill(parent, SIGKILL);
    ::waitpid(parent, nullptr, 0);
    EXPECT_TRUE(WaitUntil(kPatience, [&] { return !IsAlive(id); })) << "released=" << released;
    ::close(fds[0]);
    ::close(fds[1]);
  }
}

TEST_F(ProcessTest, FindsDescendantsAndMarkedProcesses) {
  EXPECT_THAT(ProcessesWithEnv("MARK", mark_), IsEmpty());
  const auto child = Spawn(Shell("setsid sleep 1000 & sleep 1000 & wait"));
  const pid_t pid = child->id().pid;
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return DescendantsOf(pid).size() == 2; }));
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return ProcessesWithEnv("MARK", mark_).size() == 3; }));
  EXPECT_THAT(ProcessesWithEnv("MARK", mark_ + "x"), IsEmpty());
  EXPECT_THAT(ProcessesWithEnv("ARK", mark_), IsEmpty());
  const auto own = DescendantsOf(::getpid());
  EXPECT_EQ(std::count(own.begin(), own.end(), pid), 1);
  for (const pid_t each : ProcessesWithEnv("MARK", mark_)) ::kill(each, SIGKILL);
  EXPECT_TRUE(Wait(pid));
  EXPECT_TRUE(WaitUntil(kPatience, [&] { return ProcessesWithEnv("MARK", mark_).empty(); }));
}

TEST(Usage, CountsMemoryThatIsTouchedAndCpu) {
  constexpr size_t kBytes = 32 << 20;
  const int64_t before = UsageOf(::getpid())->rss_bytes;
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  std::fill_n(static_cast<volatile char*>(memory), kBytes, 'x');
  EXPECT_GE(UsageOf(::getpid())->rss_bytes - before, static_cast<int64_t>(kBytes) * 9 / 10);
  ::munmap(memory, kBytes);
  EXPECT_GE(UsageOf(::getpid())->cpu.us, 0);
  EXPECT_EQ(UsageOf(1 << 30).error().code(), Code::kNotFound);
}

TEST(SlotShares, CutsTheRowOfCoresIntoEqualStretches) {
  const SlotShares four = SlotShares::Of(4, {2, 3});
  EXPECT_THAT(four.ShareOf({0}).cores, ElementsAre(2));
  EXPECT_THAT(four.ShareOf({1}).cores, ElementsAre(2));
  EXPECT_THAT(four.ShareOf({2, 3}).cores, ElementsAre(3));
  EXPECT_THAT(four.ShareOf({1, 2}).cores, ElementsAre(2, 3));
  EXPECT_DOUBLE_EQ(four.ShareOf({1, 2}).core_time, 1.0);
  EXPECT_EQ(four.ShareOf({0, 1, 2}).threads, 2);
  EXPECT_EQ(four.ShareOf({0}).threads, 1);
  const SlotShares two = SlotShares::Of(2, {0, 1, 2});
  EXPECT_THAT(two.ShareOf({0}).cores, ElementsAre(0, 1)) << "the middle core is shared";
  EXPECT_THAT(two.ShareOf({1}).cores, ElementsAre(1, 2));
}

// Against the definition in reals: every slot count and core count in a small range.
TEST(SlotShares, TouchesExactlyTheCoresOfItsStretch) {
  for (int cores = 1; cores <= 7; ++cores) {
    for (int slots = 1; slots <= 20; ++slots) {
      std::vector<int> row;
      for (int c = 0; c < cores; ++c) row.push_back(c);
      const SlotShares shares = SlotShares::Of(slots, row);
      for (int slot = 0; slot < slots; ++slot) {
        std::vector<int> expected;
        for (int c = 0; c < cores; ++c) {  // scaled by `slots`, so that it is exact
          const int begin = slot * cores;
          const int end = (slot + 1) * cores;
          if (begin < (c + 1) * slots && c * slots < end) expected.push_back(c);
        }
        EXPECT_EQ(shares.ShareOf({slot}).cores, expected) << cores << " " << slots << " " << slot;
      }
    }
  }
}

TEST(SlotShares, RefusesMoreSlotsThanTheMachineBears) {
  const auto refused = SlotShares::Detect(100'000);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().ToString(), HasSubstr("--slots"));
  EXPECT_FALSE(SlotShares::Detect(0));
  const auto shares = SlotShares::Detect(2);
  ASSERT_TRUE(shares);
  fmt::print("slots are held by: {}\n", shares->why());
  EXPECT_GE(CoreLimit(), 0.01);
  EXPECT_GT(MemoryLimitBytes(), 64 << 20);
}

// The kernel's files played by ordinary ones: what is written where. The real kernel's answers are
// not tested here.
TEST(Cgroup, WritesTheLimitsOfALease) {
  const TempDir dir = *TempDir::Create();
  const CgroupFiles files{dir / "self", dir / "mounts"};
  ASSERT_TRUE(WriteFileDurably(files.mounts, "25 1 0:22 / /sys rw - sysfs sysfs rw\n"));
  ASSERT_TRUE(WriteFileDurably(files.self_cgroup, "0::/user/weir.service\n"));
  EXPECT_THAT(PrepareCgroupRoot(files).error().message(), HasSubstr("no cgroup v2"));
  ASSERT_TRUE(WriteFileDurably(
      files.mounts, fmt::format("25 1 0:22 / {}/cg rw - cgroup2 cgroup2 rw\n", dir.path())));
  EXPECT_THAT(PrepareCgroupRoot(files).error().message(), HasSubstr("controllers"));
  const std::string root = dir / "cg/user/weir.service";
  ASSERT_TRUE(MakeDirs(root + "/weir-main"));
  ASSERT_TRUE(WriteFileDurably(root + "/cgroup.controllers", "cpuset cpu io memory\n"));
  EXPECT_THAT(PrepareCgroupRoot(files).error().message(), HasSubstr("not delegated"));
  ASSERT_TRUE(MakeDirs(root + "/weir-main"));
  for (const char* name : {"/weir-main/cgroup.procs", "/cgroup.procs", "/cgroup.subtree_control"}) {
    ASSERT_TRUE(WriteFileDurably(root + name, ""));
  }
  EXPECT_EQ(*PrepareCgroupRoot(files), root);
  EXPECT_EQ(*ReadFile(root + "/cgroup.subtree_control", 100), "+cpu +memory");
  EXPECT_EQ(*ReadFile(root + "/weir-main/cgroup.procs", 100), "0");
  ASSERT_TRUE(MakeDirs(root + "/lease-1"));
  for (const char* name : {"cpu.max", "memory.max", "memory.oom.group"}) {
    ASSERT_TRUE(WriteFileDurably(root + "/lease-1/" + name, ""));
  }
  const std::string lease = *MakeCgroup(root, "lease-1", {.core_time = 0.5, .memory_bytes = 4096});
  EXPECT_EQ(*ReadFile(lease + "/cpu.max", 100), "50000 100000");
  EXPECT_EQ(*ReadFile(lease + "/memory.max", 100), "4096");
  EXPECT_FALSE(MakeCgroup(root, "../escape", {}));
  EXPECT_EQ(OomKillsIn(lease), 0);
  ASSERT_TRUE(WriteFileDurably(lease + "/memory.events", "low 0\noom 3\noom_kill 2\n"));
  EXPECT_EQ(OomKillsIn(lease), 2);
}

}  // namespace
}  // namespace weir::io
