#include "control/sim/traces/trace.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cstdlib>
#include <cstring>

#include "control/sim/traces/format.h"
#include "io/files.h"

namespace weir::sim {
namespace {

Result<Trace> Read(std::string_view text, ReadOptions options = {}, std::string name = "t.csv") {
  Trace trace;
  TRY(ReadTrace(io::LineReader::OfBytes(text, std::move(name)), options, &trace));
  return trace;
}

std::string Gzip(std::string_view text) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<unsigned char*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - z.avail_out);
  deflateEnd(&z);
  return out;
}

TEST(Trace, ReadsOurOwnJobs) {
  const auto t = Read(
      "job,submit_s,duration_s,slots,min_slots,max_slots,team,user,name,type,limit_s,state,"
      "checkpointable,checkpoint_s,priority\n"
      "a,5,100,4,2,8,vision,eve,\"train, big\",A100,3600,failed,true,60,3\r\n"
      "b,1,10.5,1,,,,,,,,,,,\n");
  ASSERT_TRUE(t) << t.error().ToString();
  ASSERT_EQ(t->jobs.size(), 2u);
  EXPECT_EQ(t->reports[0].format, "weir_jobs");
  const Job& b = t->jobs[0];
  EXPECT_EQ(b.id, "b");
  EXPECT_EQ(b.duration.us, 10'500'000);
  EXPECT_EQ(b.checkpointable, Ability::kUnknown);
  const Job& a = t->jobs[1];
  EXPECT_EQ(a.name, "train, big");
  EXPECT_EQ(a.min_slots, 2);
  EXPECT_EQ(a.max_slots, 8);
  EXPECT_EQ(a.end, JobEnd::kFailed);
  EXPECT_EQ(a.checkpointable, Ability::kYes);
  EXPECT_EQ(a.limit, Duration::Seconds(3600));
  EXPECT_EQ(a.priority, 3);
  // Sorted, and said so.
  EXPECT_EQ(t->reports[0].backwards, 1);
  EXPECT_EQ(t->reports[0].first_backwards_line, 3);
}

TEST(Trace, CountsMalformedRowsAndNamesTheFirst) {
  const auto t = Read(
      "job,submit_s,duration_s,slots\n"
      "a,0,10,1\n"
      "b,zero,10,1\n"
      "c,0,-5,1\n"
      "d,0,10\n"
      "e,0,10,1.5\n"
      "\"f,0,10,1\n"
      "g,0,nan,1\n"
      "h,0,10,0\n"
      "i,3,10,2\n");
  ASSERT_TRUE(t) << t.error().ToString();
  EXPECT_EQ(t->jobs.size(), 2u);
  const ReadReport& r = t->reports[0];
  EXPECT_EQ(r.bad, 6);
  ASSERT_EQ(r.first_bad.size(), kBadRowsNamed);
  EXPECT_EQ(r.first_bad[0].line, 3);
  EXPECT_EQ(r.first_bad[0].reason, "submit_s is \"zero\", not a number");
  EXPECT_EQ(r.first_bad[1].line, 4);
  EXPECT_EQ(r.first_bad[2].reason, "has 3 columns; slots is missing");
  EXPECT_EQ(r.first_bad[3].reason, "slots is \"1.5\", not a whole number");
  EXPECT_EQ(r.first_bad[4].reason, "a quote does not close");
  EXPECT_EQ(r.skipped.at("asks for no accelerator"), 1);
}

TEST(Trace, StrictStopsAtTheFirstBadRowAndAtTimeRunningBackwards) {
  const auto bad = Read("job,submit_s,duration_s,slots\na,0,10,x\n", {.strict = true});
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().message(), "t.csv: line 2: slots is \"x\", not a number");
  const auto back = Read("job,submit_s,duration_s,slots\na,5,10,1\nb,4,10,1\n", {.strict = true});
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().message(), "t.csv: line 3: time runs backwards");
}

struct BadFile {
  const char* name;
  const char* text;
  ReadOptions options;
  const char* says;
};
class BadTrace : public testing::TestWithParam<BadFile> {};
TEST_P(BadTrace, IsRefusedInOneSentence) {
  const auto t = Read(GetParam().text, GetParam().options);
  ASSERT_FALSE(t);
  EXPECT_NE(t.error().message().find(GetParam().says), std::string::npos) << t.error().ToString();
}
INSTANTIATE_TEST_SUITE_P(
    Files, BadTrace,
    testing::Values(BadFile{"Empty", "", {}, "holds no rows"},
                    BadFile{"OnlyHeader", "job,submit_s,duration_s,slots\n", {}, "holds no rows"},
                    BadFile{"UnknownHeader", "a,b,c\n1,2,3\n", {}, "no known trace format"},
                    BadFile{"NothingUsable",
                            "job,submit_s,duration_s,slots\nx,y,z,w\n",
                            {},
                            "not one usable row"},
                    BadFile{"UnknownFormat", "a\n", {.format = "heliox"}, "is not a trace format"},
                    BadFile{"WrongFormat",
                            "a,b\n1,2\n",
                            {.format = "helios"},
                            "needs a first line with the columns job_id, submit_s"}),
    [](const auto& param) { return param.param.name; });

TEST(Trace, ReadsSlurmAccounting) {
  const auto t = Read(
      "JobIDRaw|JobName|User|Account|Partition|Submit|Start|End|ElapsedRaw|Timelimit|State|"
      "AllocTRES\n"
      "7|llm|ann|nlp|gpu|2026-01-02T00:00:00|2026-01-02T00:10:00|2026-01-02T01:10:00|3600|"
      "1-02:00:00|CANCELLED by 1000|billing=8,cpu=64,gres/gpu:a100=8,gres/gpu=8,node=1\n"
      "7.batch|batch||nlp||2026-01-02T00:00:00|2026-01-02T00:10:00|2026-01-02T01:10:00|3600||"
      "CANCELLED|gres/gpu=8\n"
      "8|cpu|ann|nlp|gpu|2026-01-02T00:00:01|2026-01-02T00:10:00|2026-01-02T00:11:00|60|05:00|"
      "COMPLETED|cpu=4\n"
      "9|late|bob|nlp|gpu|2026-01-02T00:00:02|Unknown|Unknown|0|UNLIMITED|PENDING|gres/gpu=1\n"
      "10|x|bob|nlp|gpu|yesterday|2026-01-02T00:10:00||60|30|FAILED|gres/gpu=2\n",
      {}, "sacct.txt");
  ASSERT_TRUE(t) << t.error().ToString();
  ASSERT_EQ(t->jobs.size(), 1u);
  const Job& job = t->jobs[0];
  EXPECT_EQ(job.slots, 8);
  EXPECT_EQ(job.type, "a100");
  EXPECT_EQ(job.team, "nlp");
  EXPECT_EQ(job.limit, Duration::Seconds(26 * 3600));
  EXPECT_EQ(job.end, JobEnd::kCancelled);
  EXPECT_EQ(job.duration, Duration::Seconds(3600));
  EXPECT_EQ(t->reports[0].bad, 1);
  EXPECT_EQ(t->reports[0].skipped.size(), 3u);
}

TEST(Trace, ReadsTheStandardWorkloadFormat) {
  const auto t = Read(
      "; Computer: iPSC/860\n"
      ";  MaxNodes: 128\n"
      "  1   0  -1 1451 128 -1 -1 -1 1500 -1 1  1 1 3 -1 -1 -1 -1\n"
      "2 1460 -1 -1 64 -1 -1 -1 -1 -1 5 1 1 4 -1 -1 -1 -1\n"
      "3 5198 -1 28 -1 -1 -1 32 -1 -1 0 2 1 5 -1 -1 -1 -1\n",
      {}, "nasa.swf");
  ASSERT_TRUE(t) << t.error().ToString();
  EXPECT_EQ(t->reports[0].format, "swf");
  ASSERT_EQ(t->jobs.size(), 2u);
  EXPECT_EQ(t->jobs[0].slots, 128);
  EXPECT_EQ(t->jobs[0].limit, Duration::Seconds(1500));
  EXPECT_EQ(t->jobs[0].user, "user-1");
  EXPECT_EQ(t->jobs[1].slots, 32);
  EXPECT_EQ(t->jobs[1].end, JobEnd::kFailed);
}

TEST(Trace, CountsRequestsIntoWindowsAndKeepsAGapAsOneRow) {
  const auto t =
      Read("arrival_s,input_tokens,output_tokens\n0,10,1\n59,30,3\n60,5,5\n400,7,7\n410,7,7\n", {},
           "conv.csv");
  ASSERT_TRUE(t) << t.error().ToString();
  ASSERT_EQ(t->demands.size(), 4u);
  EXPECT_EQ(t->demands[0].service, "conv");
  EXPECT_DOUBLE_EQ(t->demands[0].requests_per_s, 2.0 / 60);
  EXPECT_DOUBLE_EQ(t->demands[0].tokens_in, 20);
  EXPECT_DOUBLE_EQ(t->demands[2].requests_per_s, 0);  // 120 s .. 360 s: nothing came
  EXPECT_EQ(t->demands[2].at, Duration::Seconds(120));
  EXPECT_DOUBLE_EQ(t->demands[3].requests_per_s, 2.0 / 50);  // of the 50 s that there are
}

TEST(Trace, AddsUpClientsAndChecksTimeWithinEachOfThem) {
  const auto t = Read(
      "client,t_s,rate_rps,cv,arrival_dist,dist_a,dist_b\n"
      "0,0,1,1,Gamma,1,1\n0,600,2,1,Gamma,1,1\n1,0,0.5,1,Gamma,1,1\n1,1200,4,1,Gamma,1,1\n",
      {}, "m-small_client_rates.csv.gz");
  ASSERT_TRUE(t) << t.error().ToString();
  EXPECT_EQ(t->reports[0].backwards, 0);
  ASSERT_EQ(t->demands.size(), 3u);
  EXPECT_EQ(t->demands[0].service, "m-small");
  EXPECT_DOUBLE_EQ(t->demands[0].requests_per_s, 1.5);
}

TEST(LineReader, ReadsGzipInMembersAndSaysWhenItEndsEarly) {
  const std::string head = Gzip("job,submit_s,duration_s,slots\na,0,1,1\n");
  const std::string both = head + Gzip("b,1,1,1\n");
  const auto t = Read(both);
  ASSERT_TRUE(t) << t.error().ToString();
  EXPECT_EQ(t->jobs.size(), 2u);
  const auto cut = Read(std::string_view(both).substr(0, both.size() - 12));
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code(), Code::kDataLoss);
  std::string bent = head;
  bent[bent.size() / 2] ^= 0x55;
  const auto damaged = Read(bent);
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().code(), Code::kDataLoss);
}

TEST(LineReader, RefusesALineWithoutEnd) {
  const std::string huge(io::kMaxLineBytes * 2, 'x');
  const auto t = Read(huge);
  ASSERT_FALSE(t);
  EXPECT_EQ(t.error().code(), Code::kTooLarge);
}

TEST(Format, SplitsQuotedCells) {
  std::vector<std::string_view> cells;
  std::vector<std::string> scratch;
  ASSERT_TRUE(SplitLine("a,\"b \"\"c\"\", d\",,e,", ',', &cells, &scratch));
  ASSERT_EQ(cells.size(), 5u);
  EXPECT_EQ(cells[1], "b \"c\", d");
  EXPECT_EQ(cells[4], "");
  EXPECT_FALSE(SplitLine("\"open", ',', &cells, &scratch));
  EXPECT_FALSE(SplitLine("\"a\"b", ',', &cells, &scratch));
}

TEST(Format, CivilTimesAreDaysSince1970) {
  EXPECT_EQ(ParseCivil("1970-01-01T00:00:00"), 0);
  EXPECT_EQ(ParseCivil("2000-03-01 00:00:01"), 951'868'801);
  EXPECT_EQ(ParseCivil("2026-11-22T17:00:00"), 1'795'366'800);
  EXPECT_EQ(ParseCivil("2026-13-22T17:00:00"), std::nullopt);
  EXPECT_EQ(ParseCivil("Unknown"), std::nullopt);
}

TEST(Format, EveryFormatHasItsOwnNameAndARowFunction) {
  std::map<std::string_view, int> names;
  for (const Format* format : Formats()) {
    EXPECT_EQ(++names[format->name], 1) << format->name;
    EXPECT_NE(format->row, nullptr) << format->name;
    EXPECT_TRUE(format->header || format->matches != nullptr) << format->name;
    EXPECT_EQ(FindFormat(format->name), format);
  }
}

// The real ones: rows as their README counts them.
struct RealFile {
  const char* path;
  const char* format;
  int64_t rows;
};
class RealTrace : public testing::TestWithParam<RealFile> {};
TEST_P(RealTrace, IsReadWhole) {
  const char* shared = std::getenv("WEIR_SHARED");
  const std::string path =
      fmt::format("{}/traces/{}", shared == nullptr ? "" : shared, GetParam().path);
  if (shared == nullptr || !io::FileExists(path)) GTEST_SKIP() << "no shared traces here";
  Trace trace;
  const Status read = ReadTrace(path, {}, &trace);
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_EQ(trace.reports[0].format, GetParam().format);
  EXPECT_EQ(trace.reports[0].rows, GetParam().rows);
  EXPECT_EQ(trace.reports[0].bad, 0) << trace.reports[0].Notes()[0];
}
INSTANTIATE_TEST_SUITE_P(
    Files, RealTrace,
    testing::Values(RealFile{"helios_venus/jobs.csv.gz", "helios", 125'303},
                    RealFile{"helios_venus/sept_2vc_full.csv.gz", "helios_clusters", 1'867},
                    RealFile{"alibaba_openb_2023/nodes.csv.gz", "openb_nodes", 1'213},
                    RealFile{"alibaba_openb_2023/pods.csv.gz", "openb_pods", 6'203},
                    RealFile{"alibaba_spotgpu_2026/nodes.csv.gz", "spotgpu_nodes", 4'278},
                    RealFile{"lingjun_topology_2023/hosts.csv.gz", "lingjun_hosts", 847},
                    RealFile{"azure_llm_2023/conv.csv.gz", "azure_requests", 19'366},
                    RealFile{"mooncake_conversation/requests.csv.gz", "mooncake_requests", 12'031},
                    RealFile{"servegen/m-small_total.csv.gz", "servegen", 2'016},
                    RealFile{"servegen/m-large_client_rates.csv.gz", "servegen_clients", 99'839},
                    RealFile{"spot_aws_skypilot/spot_runs.csv.gz", "skypilot_spot", 6'846}),
    [](const auto& param) {
      std::string name = param.param.path;
      for (char& c : name) {
        if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
      }
      return name;
    });

}  // namespace
}  // namespace weir::sim
