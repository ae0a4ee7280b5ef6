#include "io/files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "io/clock.h"
#include "io/secret.h"

namespace weir::io {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr int64_t kBound = 1 << 20;

class FilesTest : public testing::Test {
 protected:
  TempDir dir_ = *TempDir::Create();
};

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST_F(FilesTest, ReadsBackWhatWasWrittenWithTheOwnersModeAndNothingLeftOver) {
  const std::string bytes("a\0b\n\xff", 5);
  for (const std::string& content : {bytes, std::string(), std::string(300'000, 'x')}) {
    ASSERT_TRUE(WriteFileDurably(dir_ / "f", content));
    EXPECT_EQ(*ReadFile(dir_ / "f", kBound), content);
    ASSERT_TRUE(WriteFileAtomically(dir_ / "g", content, 0644));
    EXPECT_EQ(*ReadFile(dir_ / "g", kBound), content);
  }
  EXPECT_EQ(ModeOf(dir_ / "f"), 0600u);
  EXPECT_EQ(ModeOf(dir_ / "g"), 0644u);
  EXPECT_EQ(ListDir(dir_.path())->size(), 2u);
}

TEST_F(FilesTest, ReadRefusesMoreThanTheBoundAndTakesExactlyTheBound) {
  ASSERT_TRUE(WriteFileDurably(dir_ / "f", "12345"));
  EXPECT_EQ(*ReadFile(dir_ / "f", 5), "12345");
  const auto refused = ReadFile(dir_ / "f", 4);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kTooLarge);
  EXPECT_FALSE(ReadFile("/proc/self/environ", kBound)->empty()) << "a file whose size says 0";
  EXPECT_EQ(ReadFile("/dev/zero", 1000).error().code(), Code::kTooLarge);
}

TEST_F(FilesTest, ReadsFromAnOffset) {
  ASSERT_TRUE(WriteFileDurably(dir_ / "f", "0123456789"));
  EXPECT_EQ(*ReadFileAt(dir_ / "f", 3, 4), "3456");
  EXPECT_EQ(*ReadFileAt(dir_ / "f", 8, 100), "89");
  EXPECT_EQ(*ReadFileAt(dir_ / "f", 50, 100), "");
}

TEST_F(FilesTest, ErrorsNameThePathTheReasonAndTheNextStep) {
  const auto missing = ReadFile(dir_ / "no", kBound);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_THAT(missing.error().message(), HasSubstr(dir_ / "no"));
  EXPECT_THAT(missing.error().message(), HasSubstr("No such file"));
  EXPECT_EQ(ReadFile(dir_.path(), kBound).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(WriteFileDurably(dir_ / "no/f", "x").error().code(), Code::kNotFound);
  ASSERT_TRUE(WriteFileDurably(dir_ / "f", "x"));
  EXPECT_EQ(MakeDirs(dir_ / "f/sub").error().code(), Code::kNotFound);
  EXPECT_EQ(MakeDirs("").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(ErrnoError(ENOSPC, "cannot write", "/x").code(), Code::kResourceExhausted);
  EXPECT_THAT(ErrnoError(ENOSPC, "cannot write", "/x").hint(), HasSubstr("--data"));
  EXPECT_EQ(ErrnoError(EROFS, "cannot write", "/x").code(), Code::kPermissionDenied);
  EXPECT_EQ(ErrnoError(EIO, "cannot write", "/x").code(), Code::kUnavailable);
}

TEST_F(FilesTest, AFailedWriteLeavesTheOldContentAndNoTemporary) {
  const std::string small = dir_ / "small";
  ASSERT_TRUE(MakeDirs(small));
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "cannot mount a small disk here";
  }
  EXPECT_TRUE(WriteFileDurably(small + "/f", "old"));
  const Status full = WriteFileDurably(small + "/f", std::string(100 << 10, 'n'));
  EXPECT_FALSE(full);
  EXPECT_EQ(full.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(*ReadFile(small + "/f", kBound), "old");
  EXPECT_EQ(ListDir(small)->size(), 1u);
  EXPECT_LE(*FreeBytes(small), 64 << 10);
  EXPECT_EQ(::umount2(small.c_str(), MNT_DETACH), 0);
}

TEST_F(FilesTest, OneOfManyCreatorsWins) {
  std::vector<int> won(8, 0);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < won.size(); ++i) {
    threads.emplace_back([&, i] {
      const Status created = CreateFileDurably(dir_ / "once", std::to_string(i));
      won[i] = created ? 1 : 0;
      EXPECT_TRUE(created || created.error().code() == Code::kAlreadyExists);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::count(won.begin(), won.end(), 1), 1);
  EXPECT_EQ(ListDir(dir_.path())->size(), 1u);
}

TEST_F(FilesTest, MakesAndRemovesTreesWithoutFollowingLinks) {
  ASSERT_TRUE(MakeDirs(dir_ / "keep"));
  ASSERT_TRUE(WriteFileDurably(dir_ / "keep/f", "precious"));
  ASSERT_TRUE(MakeDirs(dir_ / "a/b//c/"));
  ASSERT_TRUE(MakeDirs(dir_ / "a/b/c")) << "there already";
  EXPECT_EQ(ModeOf(dir_ / "a/b/c"), 0700u);
  ASSERT_TRUE(WriteFileDurably(dir_ / "a/b/f", "x"));
  ASSERT_EQ(::symlink((dir_ / "keep").c_str(), (dir_ / "a/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(dir_ / "a"));
  ASSERT_TRUE(RemoveTree(dir_ / "a")) << "gone already";
  EXPECT_FALSE(FileExists(dir_ / "a"));
  EXPECT_EQ(*ReadFile(dir_ / "keep/f", kBound), "precious");
}

TEST_F(FilesTest, ListsInOrder) {
  ASSERT_TRUE(WriteFileDurably(dir_ / "b", ""));
  ASSERT_TRUE(MakeDirs(dir_ / "a"));
  const auto entries = *ListDir(dir_.path());
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_TRUE(entries[0].is_dir);
  EXPECT_FALSE(entries[1].is_dir);
}

TEST_F(FilesTest, FreeSpaceOfWhatIsNotThereYetIsThatOfItsParent) {
  EXPECT_GT(*FreeBytes(dir_ / "not/yet/there"), 0);
}

TEST_F(FilesTest, HashesAreSha256) {
  // FIPS 180-2, appendix B.1.
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(Sha256Hex("abc"), abc);
  ASSERT_TRUE(WriteFileDurably(dir_ / "f", "abc"));
  EXPECT_EQ(*Sha256OfFile(dir_ / "f"), abc);
  const std::string large(1'000'000, 'a');
  ASSERT_TRUE(WriteFileDurably(dir_ / "f", large));
  EXPECT_EQ(*Sha256OfFile(dir_ / "f"), Sha256Hex(large));
}

TEST(JoinInside, KeepsEveryNameBelowItsRoot) {
  EXPECT_EQ(*JoinInside("/r", "a"), "/r/a");
  EXPECT_EQ(*JoinInside("/r", "a/b..c/.d"), "/r/a/b..c/.d");
  for (const std::string& bad :
       {std::string(""), std::string("/"), std::string("/etc/passwd"), std::string(".."),
        std::string("a/.."), std::string("a/../../b"), std::string("."), std::string("a//b"),
        std::string("a/"), std::string("a\0b", 3)}) {
    EXPECT_EQ(JoinInside("/r", bad).error().code(), Code::kInvalidArgument) << bad;
  }
}

TEST(Xdg, FollowsTheVariablesThenHome) {
  std::map<std::string, std::string> env;
  const EnvLookup lookup = [&](const std::string& name) -> std::optional<std::string> {
    const auto it = env.find(name);
    if (it == env.end()) return std::nullopt;
    return it->second;
  };
  EXPECT_EQ(DefaultDataDir(lookup).error().code(), Code::kFailedPrecondition);
  env["HOME"] = "/home/ada";
  EXPECT_EQ(*DefaultDataDir(lookup), "/home/ada/.local/share/weir");
  EXPECT_EQ(*DefaultConfigDir(lookup), "/home/ada/.config/weir");
  env["XDG_DATA_HOME"] = "relative/is/ignored";
  EXPECT_EQ(*DefaultDataDir(lookup), "/home/ada/.local/share/weir");
  env["XDG_DATA_HOME"] = "/data";
  EXPECT_EQ(*DefaultDataDir(lookup), "/data/weir");
}

TEST_F(FilesTest, TheSecondProcessIsToldWhoHoldsTheFolder) {
  RealClock clock;
  const std::string data = dir_ / "data";
  {
    const auto held = LockDir(data, clock.Now());
    ASSERT_TRUE(held);
    EXPECT_TRUE(*FileLock::IsLocked(data + "/lock"));
    const auto second = LockDir(data, clock.Now());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), Code::kFailedPrecondition);
    EXPECT_THAT(second.error().message(), HasSubstr(fmt::format("process {} on ", ::getpid())));
    EXPECT_THAT(second.error().message(), HasSubstr(data));
  }
  EXPECT_FALSE(*FileLock::IsLocked(data + "/lock"));
  EXPECT_TRUE(LockDir(data, clock.Now()));
}

TEST_F(FilesTest, AKilledHolderBlocksNobody) {
  int fds[2];
  ASSERT_EQ(::pipe(fds), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto held = LockDir(dir_ / "data", {1});
    (void)!::write(fds[1], "x", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(fds[0], &byte, 1), 1);
  EXPECT_FALSE(LockDir(dir_ / "data", {2}));
  EXPECT_TRUE(*FileLock::IsLocked(dir_ / "data/lock"));
  EXPECT_FALSE(LockDir(dir_ / "data", {2})) << "asking does not break it";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(LockDir(dir_ / "data", {2}));
  ::close(fds[0]);
  ::close(fds[1]);
}

TEST_F(FilesTest, SecretsAreForTheOwnerAlone) {
  const std::string secret = NewKeySecret();
  EXPECT_THAT(secret, StartsWith("weir_"));
  EXPECT_EQ(secret.size(), 48u);
  EXPECT_NE(secret, NewKeySecret());
  EXPECT_EQ(SecureRandomHex(8).size(), 16u);
  ASSERT_TRUE(WriteSecretFile(dir_ / "key", secret));
  EXPECT_EQ(*ReadSecretFile(dir_ / "key"), secret);
  EXPECT_EQ(ModeOf(dir_ / "key"), 0600u);
  ASSERT_EQ(::chmod((dir_ / "key").c_str(), 0640), 0);
  EXPECT_EQ(ReadSecretFile(dir_ / "key").error().code(), Code::kPermissionDenied);
  EXPECT_EQ(HashOfSecret(secret), HashOfSecret(secret));
  EXPECT_NE(HashOfSecret(secret), HashOfSecret(secret + "x"));
  EXPECT_EQ(HashOfSecret(secret).size(), 64u);
  EXPECT_TRUE(EqualInConstantTime("abc", "abc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abcd"));
}

TEST(Clock, AWallThatJumpsMovesNoInterval) {
  VirtualClock clock;
  const Time wall = clock.Now();
  const Duration began = clock.Monotonic();
  clock.Advance(Duration::Seconds(5));
  clock.JumpWall(Duration::Seconds(-3600));
  EXPECT_EQ(clock.Monotonic() - began, Duration::Seconds(5));
  EXPECT_EQ(clock.Now() - wall, Duration::Seconds(5 - 3600));
  clock.AdvanceTo(began + Duration::Seconds(9));
  EXPECT_EQ(clock.Monotonic() - began, Duration::Seconds(9));
  const RealClock real;
  const Duration first = real.Monotonic();
  EXPECT_GE(real.Monotonic(), first);
  EXPECT_GT(real.Now().us, Time{1'700'000'000'000'000}.us);
}

}  // namespace
}  // namespace weir::io
