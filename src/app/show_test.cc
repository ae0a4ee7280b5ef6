#include "app/show.h"

#include <gtest/gtest.h>

#include "app/client.h"
#include "gateway/api/fake_lab.h"

namespace weir::app {
namespace {

constexpr Style kPlain{};

std::shared_ptr<const wire::LabView> Furnished() {
  gateway::FakeLab lab;
  gateway::FurnishFakeLab(lab, "/f");
  return lab.View();
}

TEST(Table, ColumnsAreAlignedAndLinesEndWithoutBlanks) {
  Table table({"NAME", ">N", "WHY"});
  table.Add({"a", "1", ""});
  table.Add({"long-name", "1000", "x\ny"});
  table.Add({"Größe", "20", "z"});
  EXPECT_EQ(table.Print(kPlain),
            "NAME          N  WHY\n"
            "a             1\n"
            "long-name  1000  x?y\n"
            "Größe        20  z\n");
}

TEST(Table, ColourIsAroundWordsAndMovesNothing) {
  Table table({"A", "B"});
  table.Add({{"x", Colour::kRed}, "y"});
  const std::string painted = table.Print({.colour = true});
  EXPECT_NE(painted.find("\x1b[31mx\x1b[0m  y\n"), std::string::npos);
  EXPECT_EQ(table.Print(kPlain), "A  B\nx  y\n");
}

TEST(Show, TheLabOnOneScreen) {
  EXPECT_EQ(ShowStatus(*Furnished(), kPlain),
            "fake  up 0 us  journal 0\n"
            "4 slots: 2 research, 0 product, 1 on loan, 1 idle\n"
            "  local/n1  RRL.\n"
            "  R research  P product  L on loan  . idle  x cordoned or down\n"
            "\n"
            "SERVICE  TEAM     SERVES   REPLICAS  REQ/S  QUEUED    TTFT   TPOT  SLO  REASON\n"
            "chat     product  tiny@1  1 of 1..3   12.5       0  180 ms  21 ms  met\n"
            "\n"
            "JOB    NAME   TEAM  PHASE        SLOTS     STEP   LOSS    AGE  REASON\n"
            "job-1  train  nlp   running  2 of 1..2  120/400  3.250  3 min  runs on 2 slots\n"
            "ended: 2 failed\n"
            "\n"
            "LOAN    SERVICE  PHASE  SLOTS  FROM                    DUE IN        COST  WHY\n"
            "loan-1  chat     open       1  nlp/job-1 (shrink)  6 min 59 s  180 slot-s  12.5 "
            "requests/s expected, 8 can be served\n");
}

TEST(Show, AFailedJobShowsItsLastLines) {
  const auto view = Furnished();
  const std::string text = ShowJob(view->jobs[1], view->now, kPlain);
  EXPECT_NE(text.find("failed: exit 1"), std::string::npos);
  EXPECT_NE(text.find("last lines\n  no such file\n"), std::string::npos);
}

TEST(Show, WhySaysWhatItWaitsForAndOnWhichNumbers) {
  wire::WhyView why{.kind = "job", .id = "job-7", .name = "train", .now = "queued for 3 s"};
  why.blockers = {{"capacity", "2 slots are idle, it needs 4", "lower --slots"}};
  wire::JournalRecord record{.seq = 12, .at = {1'767'225'600'000'000}, .actor = "weir"};
  record.text = "job-7 waits";
  record.numbers = {{"idle", 2}};
  why.history = {record};
  EXPECT_EQ(ShowWhy(why, kPlain),
            "job train (job-7): queued for 3 s\n"
            "waits for\n"
            "  capacity: 2 slots are idle, it needs 4\n"
            "    what would change it: lower --slots\n"
            "from the journal\n"
            "    12  2026-01-01 00:00:00Z  weir        job-7 waits\n"
            "          on idle=2\n");
}

TEST(Show, NothingIsSaidInASentence) {
  EXPECT_EQ(ShowLoans({}, {}, kPlain), "no loans\n");
  EXPECT_NE(ShowJobs({}, {}, kPlain).find("weir job submit"), std::string::npos);
}

TEST(Show, OutsideTextCannotDriveTheTerminal) {
  wire::Job job{.id = "job-1"};
  job.spec.name = "a\x1b[2Jb";
  EXPECT_EQ(ShowJobs({job}, {}, kPlain).find('\x1b'), std::string::npos);
}

TEST(Client, EventsAreWholeHoweverTheBytesArrive) {
  const std::string stream =
      ": still here\n\nevent: lab\nid: 1\ndata: {}\n\nevent: record\ndata: x\n\n";
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    SseReader reader;
    std::string got;
    for (size_t at = 0; at < stream.size(); at += piece) {
      reader.Feed(std::string_view(stream).substr(at, piece),
                  [&](const std::string& event, const std::string& data) {
                    got += event + "=" + data + ";";
                    return true;
                  });
    }
    EXPECT_EQ(got, "lab={};record=x;") << piece;
  }
}

TEST(Client, AProblemComesBackAsTheErrorItWas) {
  const Error error = ErrorFromAnswer(
      409, R"({"status":409,"detail":"the name x is taken","code":"already_exists","hint":"h"})");
  EXPECT_EQ(error.code(), Code::kAlreadyExists);
  EXPECT_EQ(error.message(), "the name x is taken");
  EXPECT_EQ(error.hint(), "h");
  EXPECT_EQ(ErrorFromAnswer(502, "<html>").code(), Code::kInternal);
}

TEST(Client, PartsOfPathsAreEncoded) {
  EXPECT_EQ(Segment("local/n1/0"), "local%2Fn1%2F0");
  EXPECT_EQ(Segment("tiny@1"), "tiny@1");
  EXPECT_EQ(Segment("a b?"), "a%20b%3F");
}

}  // namespace
}  // namespace weir::app
