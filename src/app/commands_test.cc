// The commands against the real API in front of a lab in memory: flags in, text and exit status
// out.
#include "app/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>

#include "gateway/api/api.h"
#include "gateway/api/fake_lab.h"
#include "io/files.h"
#include "io/http_server.h"
#include "io/secret.h"

namespace weir::app {
namespace {

using ::testing::HasSubstr;

class Commands : public ::testing::Test {
 protected:
  void SetUp() override {
    gateway::FurnishFakeLab(lab_, dir_.path());
    const guard::NewKey made =
        guard::MakeKey({.name = "admin", .role = wire::Role::kAdmin}, clock_.Now()).value();
    ASSERT_TRUE(lab_.CreateKey(made.key, {"test"}));
    ASSERT_TRUE(io::WriteSecretFile(dir_ / "admin.key", made.secret));
    api_ = std::make_unique<gateway::Api>(
        gateway::ApiOptions{.stream_interval = Duration::Millis(20)}, lab_, keys_, clock_);
    io::HttpRouter router;
    api_->Register(router);
    server_ = std::make_unique<io::HttpServer>(io::HttpServerOptions{}, router.Handler());
    const uint16_t port = server_->Start().value();
    ASSERT_TRUE(io::WriteFileAtomically(dir_ / "endpoint",
                                        "http://127.0.0.1:" + std::to_string(port) + "\n"));
  }
  void TearDown() override {
    api_->Stop();
    server_->Stop(Duration::Seconds(1));
  }
  struct Outcome {
    int status = 0;
    std::string out, err;
  };
  // The data folder (and so the server and the key) goes in after the first `words` words.
  Outcome Run(std::vector<std::string> args, size_t words) {
    args.insert(args.begin() + static_cast<ptrdiff_t>(words), {"--data", dir_.path()});
    CLI::App app("", "weir");
    app.require_subcommand(1);
    int status = 0;
    AddWorkCommands(app, status);
    AddLabCommands(app, status);
    std::vector<std::string> reversed(args.rbegin(), args.rend());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    std::string wrong;
    try {
      app.parse(reversed);
    } catch (const CLI::ParseError& e) {
      status = 2;
      wrong = ExplainParseError(app, args, e.what());
    }
    std::fflush(stdout);
    return {status, testing::internal::GetCapturedStdout(),
            testing::internal::GetCapturedStderr() + wrong};
  }

  io::RealClock clock_;
  io::TempDir dir_ = io::TempDir::Create("weir-cli").value();
  gateway::FakeLab lab_;
  guard::KeyRing keys_;
  std::unique_ptr<gateway::Api> api_;
  std::unique_ptr<io::HttpServer> server_;
};

TEST_F(Commands, EachSaysWhatItDidOrWhatIsWrong) {
  struct Row {
    std::vector<std::string> args;
    size_t words;
    int status;
    const char* says;
  };
  const Row rows[] = {
      {{"status"}, 1, 0, "RRL."},
      {{"status", "--json"}, 1, 0, "\"journal_seq\""},
      {{"top", "-n", "1"}, 1, 0, "RRL."},
      {{"job", "list", "--phase", "failed"}, 2, 0, "job-2"},
      {{"job", "list", "--phase", "over"}, 2, 2, "one of queued"},
      {{"job", "show", "train"}, 2, 0, "python3 train.py"},
      {{"job", "show", "trian"}, 2, 4, "did you mean train?"},
      {{"job", "submit", "--team", "nlp", "--name", "x", "--slots", "2..8", "--env", "A=b",
        "--time-limit", "2h", "--memory", "2GiB", "--", "python3", "a.py", "--lr", "3"},
       2,
       0,
       "weir job logs -f x"},
      {{"job", "submit", "--team", "nlp", "--name", "x", "--", "true"}, 2, 5, "taken"},
      {{"job", "submit", "--team", "no", "--name", "y", "--", "true"}, 2, 4, "team no"},
      {{"job", "submit", "--team", "nlp", "--name", "y"}, 2, 2, "command is required"},
      {{"job", "cancel", "train"}, 2, 0, "cancelled"},
      {{"job", "wait", "train"}, 2, 21, "cancelled"},
      {{"job", "wait", "job-2"}, 2, 20, "exit 1"},
      {{"job", "wait", "x", "--timeout", "1ms"}, 2, 9, "weir why job"},
      {{"job", "logs", "train"}, 2, 0, ""},
      {{"service", "create", "a", "--team", "product", "--model", "tiny", "--replicas", "1..4",
        "--slo-ttft", "500ms"},
       2,
       0,
       "a (svc-"},
      {{"service", "list"}, 2, 0, "1..4"},
      {{"service", "scale", "a", "2..6"}, 2, 0, "scaled"},
      {{"service", "update", "a", "--tier", "2", "--follow"}, 2, 0, "updated"},
      {{"service", "update", "a"}, 2, 2, "nothing to change"},
      {{"service", "show", "a"}, 2, 0, "2..6 allowed"},
      {{"service", "retire", "a"}, 2, 0, "retiring"},
      {{"loan", "list"}, 2, 0, "loan-1"},
      {{"loan", "show", "loan-1"}, 2, 0, "shrink"},
      {{"loan", "recall", "loan-1"}, 2, 0, "recalled"},
      {{"team", "put", "vision", "--class", "research", "--weight", "3"}, 2, 0, "vision"},
      {{"team", "put", "vision", "--lend-limit", "2"}, 2, 0, "research"},
      {{"team", "put", "other"}, 2, 2, "--class"},
      {{"team", "remove", "vision"}, 2, 0, "removed"},
      {{"slot", "cordon", "local/n1/3", "--why", "fan"}, 2, 0, "cordoned"},
      {{"slot", "list"}, 2, 0, "fan"},
      {{"node", "uncordon", "n1"}, 2, 0, "uncordoned"},
      {{"why", "job", "train"}, 2, 0, "waits for"},
      {{"why", "loan", "loan-9"}, 2, 4, "loan-9"},
      {{"key", "create", "ci", "--role", "client", "--service", "chat"}, 2, 0, "weir_"},
      {{"key", "list"}, 2, 0, "ci"},
      {{"key", "revoke", "ci"}, 2, 0, "revoked"},
      {{"journal", "show", "--last", "3"}, 2, 0, "key.revoked by admin"},
      {{"journal", "verify"}, 2, 4, "weir.db"},
      {{"dataset", "show", "docs"}, 2, 0, "ds-1"},
      {{"model", "list"}, 2, 0, "tiny@1"},
      {{"jbo", "list"}, 2, 2, "did you mean job?"},
      {{"job", "list", "--tema", "a"}, 2, 2, "did you mean --team?"},
  };
  for (const Row& row : rows) {
    std::string line;
    for (const std::string& arg : row.args) line += arg + " ";
    SCOPED_TRACE(line);
    const Outcome got = Run(row.args, row.words);
    EXPECT_EQ(got.status, row.status) << got.out << got.err;
    EXPECT_THAT(got.out + got.err, HasSubstr(row.says));
  }
  // What was submitted is what was said.
  const auto view = lab_.View();
  const wire::JobSpec& x = view->jobs.back().spec;
  EXPECT_EQ(x.command, (std::vector<std::string>{"python3", "a.py", "--lr", "3"}));
  EXPECT_EQ(x.min_slots, 2);
  EXPECT_EQ(x.max_slots, 8);
  EXPECT_EQ(x.env.at("A"), "b");
  EXPECT_EQ(x.time_limit, Duration::Minutes(120));
  EXPECT_EQ(x.memory_limit_bytes, int64_t{2} << 30);
  EXPECT_FALSE(x.cwd.empty());
}

TEST_F(Commands, AKeyFileThatOthersMayReadIsRefused) {
  ASSERT_EQ(::chmod((dir_ / "admin.key").c_str(), 0644), 0);
  const Outcome got = Run({"status"}, 1);
  EXPECT_EQ(got.status, 3);
  EXPECT_THAT(got.err, HasSubstr("chmod 600"));
}

}  // namespace
}  // namespace weir::app
