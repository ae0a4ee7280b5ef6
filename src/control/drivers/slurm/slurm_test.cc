// The slurm driver against a Slurm that is played (FakeDoor), its parsers against captured output.
// tests/slurm holds the same driver against real clusters.
#include "control/drivers/slurm/slurm.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/drivers/slurm/batch.h"
#include "control/drivers/slurm/check.h"
#include "control/drivers/slurm/outcome.h"
#include "control/drivers/slurm/slots.h"

namespace weir::control::slurm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

// ---- what Slurm prints (22.05.8) ----

TEST(SlurmText, JobsAsSqueuePrintsThem) {
  const auto jobs = ParseJobs(
      "2|COMPLETED|0|a[1-2]|None|weir.lab-1.lease-7|\n"
      "4|FAILED|768|a1|NonZeroExitCode|weir we|ird|\n"
      "9_3|RUNNING|0|a1|None|somebody's array|\n"
      "6|PENDING|0||Resources|wrap|\n");
  ASSERT_TRUE(jobs) << jobs.error().ToString();
  ASSERT_THAT(*jobs, SizeIs(3));
  EXPECT_EQ((*jobs)[0].name, "weir.lab-1.lease-7");
  EXPECT_EQ((*jobs)[1].name, "weir we|ird");
  EXPECT_EQ((*jobs)[1].exit, 768);
  EXPECT_EQ((*jobs)[2].reason, "Resources");
  EXPECT_EQ((*jobs)[2].nodes, "");
}

TEST(SlurmText, ALineThatMakesNoSenseIsNoEmptyQueue) {
  for (const char* bad :
       {"x", "1|RUNNING|0|a1|None", "|RUNNING|0|a|b|c|", "1||0|a|b|c|", "1|RUNNING|x|a|b|c|",
        "-3|RUNNING|0|a|b|c|", "slurm_load_jobs error: x"}) {
    const auto jobs = ParseJobs(bad);
    EXPECT_FALSE(jobs) << bad;
    EXPECT_EQ(jobs ? Code::kInternal : jobs.error().code(), Code::kDataLoss) << bad;
  }
}

TEST(SlurmText, NodesAsSinfoPrintsThem) {
  const auto nodes = ParseNodes(
      "a1|127.0.0.1|idle|gpu*|0/8/0/8|4000|gpu:h100:4|gpu:h100:0(IDX:N/A)|ib,eu|none|\n"
      "a2|10.0.0.2|mixed+drain|cpu|1/7/0/8|4000|gpu:h100:2(S:0),gpu:a100:2|"
      "gpu:h100:1(IDX:0),gpu:a100:0(IDX:N/A)|(null)|bad | disk|\n");
  ASSERT_TRUE(nodes) << nodes.error().ToString();
  ASSERT_THAT(*nodes, SizeIs(2));
  EXPECT_TRUE((*nodes)[0].default_partition);
  EXPECT_EQ((*nodes)[0].partition, "gpu");
  EXPECT_EQ((*nodes)[0].cpus, 8);
  EXPECT_THAT((*nodes)[0].gres, ElementsAre(Gres{"gpu", "h100", 4}));
  EXPECT_EQ((*nodes)[1].state, "MIXED+DRAIN");
  EXPECT_EQ((*nodes)[1].reason, "bad | disk");
  EXPECT_THAT((*nodes)[1].gres_used, ElementsAre(Gres{"gpu", "h100", 1}, Gres{"gpu", "a100", 0}));
}

TEST(SlurmText, StatesOfNodes) {
  struct Row {
    const char* state;
    NodeUse use;
  };
  for (const Row& row :
       {Row{"IDLE", NodeUse::kUp}, Row{"MIXED", NodeUse::kUp},
        Row{"ALLOCATED+PLANNED", NodeUse::kUp}, Row{"IDLE+COMPLETING", NodeUse::kUp},
        Row{"MIXED+DRAIN", NodeUse::kDrained}, Row{"IDLE+DRAIN", NodeUse::kDrained},
        Row{"IDLE+MAINT", NodeUse::kDrained}, Row{"RESERVED", NodeUse::kDrained},
        Row{"DOWN", NodeUse::kDown}, Row{"DOWN*", NodeUse::kDown}, Row{"IDLE*", NodeUse::kDown},
        Row{"DOWN+DRAIN", NodeUse::kDown}, Row{"UNKNOWN", NodeUse::kDown},
        Row{"IDLE+NOT_RESPONDING", NodeUse::kDown}, Row{"FAILING", NodeUse::kDown},
        Row{"UNKNOWN+DRAIN+INVALID_REG", NodeUse::kDown}})
    EXPECT_EQ(UseOf(row.state), row.use) << row.state;
}

TEST(SlurmText, HostLists) {
  struct Row {
    const char* text;
    std::vector<std::string> hosts;
  };
  for (const Row& row :
       {Row{"a1", {"a1"}}, Row{"a[1-3]", {"a1", "a2", "a3"}},
        Row{"a[08-10],b", {"a08", "a09", "a10", "b"}},
        Row{"r[1-2]n[01-02]x", {"r1n01x", "r1n02x", "r2n01x", "r2n02x"}},
        Row{"a[1,3-4],c2", {"a1", "a3", "a4", "c2"}}, Row{"(null)", {}}, Row{"", {}}}) {
    const auto hosts = ParseHosts(row.text);
    ASSERT_TRUE(hosts) << row.text;
    EXPECT_EQ(*hosts, row.hosts) << row.text;
  }
  for (const char* bad : {"a[1-", "a]", "a[]", "a[3-1]", "a[x]", "a,,b", "a[1-999999999]"})
    EXPECT_FALSE(ParseHosts(bad)) << bad;
}

TEST(SlurmText, ReservationsTopologyLimitsAndConfiguration) {
  const auto reservations = ParseReservations(
      "ReservationName=m1 StartTime=1795379285 EndTime=1795382885 Duration=01:00:00 Nodes=a[2-3] "
      "NodeCnt=2 Flags=MAINT,SPEC_NODES Users=root\nNo reservations in the system\n");
  ASSERT_TRUE(reservations);
  ASSERT_THAT(*reservations, SizeIs(1));
  EXPECT_THAT((*reservations)[0].nodes, ElementsAre("a2", "a3"));
  EXPECT_TRUE((*reservations)[0].maintenance);
  const auto paths = ParseTopology(
      "SwitchName=s0 Level=0 LinkSpeed=1 Nodes=n[0-1] \nSwitchName=s1 Level=0 LinkSpeed=1 "
      "Nodes=n2\n"
      "SwitchName=top Level=1 LinkSpeed=1 Nodes=n[0-2] Switches=s[0-1]\n");
  ASSERT_TRUE(paths);
  EXPECT_THAT(*paths, ElementsAre(std::pair<std::string, std::string>("n0", "top/s0"),
                                  std::pair<std::string, std::string>("n1", "top/s0"),
                                  std::pair<std::string, std::string>("n2", "top/s1")));
  EXPECT_EQ(ParseTimeLimit("UNLIMITED"), std::nullopt);
  EXPECT_EQ(ParseTimeLimit("30"), Duration::Minutes(30));
  EXPECT_EQ(ParseTimeLimit("01:30:00"), Duration::Minutes(90));
  EXPECT_EQ(ParseTimeLimit("2-12:00:00"), Duration::Minutes(60 * 60));
  EXPECT_EQ(ParseTimeLimit("1-1"), Duration::Minutes(25 * 60));
  EXPECT_EQ(ConfigValue("ClusterName             = alpha\nX = (null)\n", "ClusterName"), "alpha");
  EXPECT_EQ(ConfigValue("a = 1\n", "b"), std::nullopt);
}

// ---- how a run ended ----

TEST(SlurmOutcome, SlurmsStateAndTheRanksWords) {
  const auto rank = [](int64_t code, int64_t at = 1) { return std::optional(RankExit{code, at}); };
  struct Row {
    const char* name;
    Ending ending;
    RunPhase phase;
    int code;
    const char* reason;
  };
  const Row rows[] = {
      {"done",
       {.state = "COMPLETED", .ranks = {rank(0), rank(0)}, .began = true},
       RunPhase::kExited,
       0,
       "rank 0 of 2: exit 0"},
      {"saved",
       {.state = "FAILED", .ranks = {rank(0), rank(75)}, .began = true},
       RunPhase::kExited,
       75,
       "rank 1 of 2: exit 75"},
      {"first failure",
       {.state = "FAILED", .ranks = {rank(4, 9), rank(3, 5)}, .began = true},
       RunPhase::kExited,
       3,
       "rank 1 of 2: exit 3"},
      {"oom",
       {.state = "OUT_OF_MEMORY",
        .ranks = {rank(137)},
        .began = true,
        .memory_limit_bytes = 1 << 20},
       RunPhase::kExited,
       137,
       "memory limit 1"},
      {"node",
       {.state = "NODE_FAIL", .ranks = {std::nullopt}, .began = true},
       RunPhase::kLost,
       0,
       "a node failed (Slurm: NODE_FAIL"},
      {"preempted",
       {.state = "PREEMPTED", .ranks = {rank(143)}, .began = true},
       RunPhase::kLost,
       0,
       "the site's other users took"},
      {"preempted, saved",
       {.state = "PREEMPTED", .ranks = {rank(75)}, .began = true},
       RunPhase::kExited,
       75,
       "exit 75 (Slurm: PREEMPTED"},
      {"timeout",
       {.state = "TIMEOUT", .ranks = {std::nullopt}, .began = true},
       RunPhase::kExited,
       124,
       "the site's time limit"},
      {"our limit",
       {.state = "CANCELLED",
        .ranks = {rank(143)},
        .began = true,
        .asked = true,
        .cause = "time limit 2 s"},
       RunPhase::kExited,
       124,
       "time limit 2 s"},
      {"killed",
       {.state = "CANCELLED",
        .ranks = {std::nullopt},
        .began = true,
        .asked = true,
        .killed = true},
       RunPhase::kExited,
       137,
       "killed after grace"},
      {"withdrawn",
       {.state = "CANCELLED", .ranks = {std::nullopt}, .asked = true},
       RunPhase::kExited,
       75,
       "withdrawn before it began"},
      {"held back",
       {.state = "CANCELLED",
        .ranks = {std::nullopt},
        .asked = true,
        .cause = "not started within 5 min: Priority"},
       RunPhase::kExited,
       75,
       "not started within 5 min: Priority"},
      {"by hand",
       {.state = "CANCELLED", .ranks = {rank(143)}, .began = true},
       RunPhase::kExited,
       143,
       "cancelled at the site, not by Weir"},
      {"Slurm alone",
       {.state = "FAILED",
        .reason = "NonZeroExitCode",
        .exit = 768,
        .ranks = {std::nullopt},
        .began = true},
       RunPhase::kExited,
       3,
       "exit 3 (Slurm: FAILED, NonZeroExitCode)"},
      {"forgotten, told", {.ranks = {rank(0)}, .began = true}, RunPhase::kExited, 0, "exit 0"},
      {"forgotten",
       {.ranks = {std::nullopt}, .began = true},
       RunPhase::kLost,
       0,
       "Slurm does not know its job"},
  };
  for (const Row& row : rows) {
    const Verdict v = VerdictOf(row.ending);
    EXPECT_EQ(v.phase, row.phase) << row.name << ": " << v.reason;
    EXPECT_EQ(v.exit_code, row.code) << row.name << ": " << v.reason;
    EXPECT_THAT(v.reason, StartsWith(row.reason)) << row.name;
  }
}

// ---- nodes as slots ----

TEST(SlurmSlots, ReservationsAreReadByTheClusterClock) {
  const Time now{1'767'225'600'000'000};
  wire::SiteSpec site;
  site.name = "north";
  for (const Duration skew : {Duration::Minutes(-60), Duration{}, Duration::Minutes(90)}) {
    Look look;
    look.clock = now + skew;
    look.nodes = *ParseNodes(
        "n1|10.0.0.1|idle|main*|0/8/0/8|8000|gpu:h100:1|gpu:0||none|\n"
        "n2|10.0.0.2|idle|main*|0/8/0/8|8000|gpu:h100:1|gpu:0||none|\n"
        "n3|10.0.0.3|idle|main*|0/8/0/8|8000|gpu:h100:1|gpu:0||none|\n");
    look.reservations = {
        {"soon", look.clock + Duration::Minutes(10), look.clock + Duration::Minutes(20), {"n1"}},
        {"holds", look.clock + Duration::Minutes(-1), look.clock + Duration::Minutes(1), {"n2"}},
        {"over", look.clock + Duration::Minutes(-9), look.clock + Duration::Minutes(-1), {"n3"}}};
    std::map<std::string, int64_t> theirs;
    const auto slots = SlotsOf(site, {}, look, {}, now, theirs);
    ASSERT_THAT(slots, SizeIs(3));
    EXPECT_EQ(slots[0].health, wire::SlotHealth::kUp);
    EXPECT_EQ(slots[0].leaves, now + Duration::Minutes(10)) << "by this machine's clock";
    EXPECT_EQ(slots[1].health, wire::SlotHealth::kCordoned);
    EXPECT_THAT(slots[1].why, HasSubstr("holds"));
    EXPECT_EQ(slots[2].health, wire::SlotHealth::kUp);
    EXPECT_FALSE(slots[2].leaves.is_set());
  }
}

// ---- the driver over a Slurm that is played ----

// One cluster in memory. Its jobs do nothing by themselves: tests move them on.
struct World {
  std::map<int64_t, Job> jobs;
  std::map<std::string, int64_t> used;  // accelerators, by node
  std::map<std::string, std::string> states{{"n1", "idle"}, {"n2", "idle"}};
  std::vector<std::string> calls;
  std::vector<Submission> submissions;
  int64_t next = 100;
  bool down = false;          // the controller does not answer
  bool loses_answer = false;  // takes the next submission, and the answer is lost
  Code refuses = Code::kInternal;
  int64_t LastJob() const { return next - 1; }
};

class FakeDoor final : public Door {
 public:
  explicit FakeDoor(World& world) : w_(world) {}
  Result<Facts> Ask() override {
    TRY(Up());
    Facts facts;
    facts.cluster = "alpha";
    facts.version = "22.05.8";
    facts.partitions = {"main"};
    facts.default_partition = "main";
    return facts;
  }
  Result<Look> LookAround() override {
    TRY(Up());
    Look look;
    look.clock = {1'767'225'600'000'000};
    for (const auto& [id, job] : w_.jobs) look.jobs.push_back(job);
    look.nodes = TRY(ParseNodes(NodeText()));
    return look;
  }
  Result<std::vector<Result<int64_t>>> Submit(const std::vector<Submission>& all) override {
    TRY(Up());
    std::vector<Result<int64_t>> ids;
    for (const Submission& s : all) {
      w_.submissions.push_back(s);
      if (w_.refuses != Code::kInternal) {
        ids.push_back(Error(w_.refuses, "sbatch: no"));
        continue;
      }
      int64_t id = 0;
      for (const auto& [known, job] : w_.jobs) {
        if (job.name == s.name) id = known;
      }
      if (id == 0) {
        id = w_.next++;
        w_.jobs[id] = {id, "PENDING", 0, "", "Resources", s.name};
      }
      ids.push_back(id);
    }
    if (w_.loses_answer) {
      w_.loses_answer = false;
      return Error(Code::kUnavailable, "the answer was lost");
    }
    return ids;
  }
  Status Send(Nudge nudge, const std::vector<int64_t>& jobs) override {
    if (jobs.empty()) return {};
    TRY(Up());
    for (const int64_t id : jobs) {
      w_.calls.push_back(fmt::format("{} {}", nudge == Nudge::kTerm ? "term" : "cancel", id));
      if (nudge == Nudge::kCancel && w_.jobs.count(id) != 0) w_.jobs[id].state = "CANCELLED";
    }
    return {};
  }
  Result<std::vector<Job>> Remembered(const std::vector<int64_t>&) override {
    return Error(Code::kUnimplemented, "no accounting");
  }
  Status Drain(const std::string& node, const std::string& why) override {
    w_.calls.push_back("drain " + node + ": " + why);
    w_.states[node] = "idle+drain";
    reasons_[node] = why;
    return {};
  }
  Status Resume(const std::string& node) override {
    w_.calls.push_back("resume " + node);
    w_.states[node] = "idle";
    reasons_.erase(node);
    return {};
  }
  Result<io::CommandOutput> Shell(const std::string&) override {
    return Error(Code::kUnimplemented, "no shell");
  }
  void Interrupt() override {}

 private:
  Status Up() const {
    if (w_.down) return Error(Code::kUnavailable, "the controller does not answer");
    return {};
  }
  std::string NodeText() const {
    std::string text;
    for (const auto& [name, state] : w_.states) {
      const auto used = w_.used.find(name);
      const auto reason = reasons_.find(name);
      text += fmt::format(
          "{0}|10.0.0.{1}|{2}|main*|0/8/0/8|8000|gpu:h100:2|gpu:h100:{3}(IDX:N/A)||{4}|\n", name,
          name.substr(1), state, used == w_.used.end() ? 0 : used->second,
          reason == reasons_.end() ? "none" : reason->second);
    }
    return text;
  }
  World& w_;
  std::map<std::string, std::string> reasons_;
};

class SlurmDriverTest : public ::testing::Test {
 protected:
  SlurmDriverTest() : dir_(*io::TempDir::Create("weir-slurm-driver")) { Open(); }

  void Open() {
    Options options;
    options.site.name = "north";
    options.site.slurm.cluster = "alpha";
    options.site.unknown_after = Duration::Seconds(20);
    options.data_dir = dir_.path();
    options.lab_tag = "lab-1";
    driver_.reset();
    driver_ =
        *CreateSlurmDriver(options, std::make_unique<FakeDoor>(world_), &clock_, Worker::kNone);
  }
  void Turn(int times = 1) {
    for (int i = 0; i < times; ++i) {
      clock_.Advance(Duration::Seconds(3));
      driver_->Turn();
    }
  }
  RunSpec Gang(const std::string& id, std::vector<std::string> slots) {
    RunSpec run;
    run.id = id;
    run.holder = "job-1";
    run.command = {"python3", "it's.py"};
    run.env["GREETING"] = "it's $HOME";
    run.log_path = dir_.path() + "/jobs/1/log";
    run.progress_path = dir_.path() + "/jobs/1/progress.jsonl";
    run.checkpoint_dir = dir_.path() + "/jobs/1/checkpoints";
    for (const std::string& slot : slots) {
      const std::vector<wire::Slot> all = *driver_->Slots();
      for (const wire::Slot& s : all) {
        if (s.id == slot) run.slots.push_back(s);
      }
    }
    return run;
  }
  RunObservation Seen(const std::string& id) {
    const auto runs = driver_->Poll();
    EXPECT_TRUE(runs) << runs.error().ToString();
    for (const RunObservation& run : *runs) {
      if (run.id == id) return run;
    }
    ADD_FAILURE() << id << " is not listed";
    return {};
  }
  // The job begins, as run.sh does; and ends, as its ranks say.
  void Begins(const std::string& run) {
    world_.jobs[world_.LastJob()].state = "RUNNING";
    Write(run, "claim", std::to_string(world_.LastJob()));
  }
  void Ends(const std::string& run, const std::vector<int>& codes, const char* state) {
    for (size_t r = 0; r < codes.size(); ++r)
      Write(run, fmt::format("exit.{}", r), fmt::format("{} {}\n", codes[r], 100 + r));
    world_.jobs[world_.LastJob()].state = state;
  }
  void Write(const std::string& run, const std::string& file, const std::string& text) {
    ASSERT_TRUE(
        io::WriteFileAtomically(dir_.path() + "/sites/north/runs/" + run + "/" + file, text));
  }

  io::TempDir dir_;
  io::VirtualClock clock_;
  World world_;
  std::unique_ptr<SlurmDriver> driver_;
};

TEST_F(SlurmDriverTest, AGangRunsOnExactlyItsSlotsAndEndsAsItsRanksSay) {
  EXPECT_EQ(driver_->Poll().error().code(), Code::kUnavailable) << "not looked at is not empty";
  Turn();
  ASSERT_THAT(*driver_->Slots(), SizeIs(4));
  EXPECT_EQ((*driver_->Slots())[0].id, "north/n1/0");
  EXPECT_EQ((*driver_->Slots())[0].type, "h100");
  const RunSpec run = Gang("lease-1", {"north/n1/0", "north/n1/1", "north/n2/0"});
  ASSERT_TRUE(driver_->Start(run));
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kStarting);
  ASSERT_TRUE(driver_->Start(run)) << "asked again";
  Turn();
  ASSERT_THAT(world_.submissions, SizeIs(1));
  const Submission& s = world_.submissions[0];
  EXPECT_EQ(s.name, "weir.lab-1.lease-1");
  EXPECT_EQ(s.ranks, 3);
  EXPECT_EQ(s.nodes, 2);
  EXPECT_EQ(s.gpus_per_task, "h100:1");
  EXPECT_EQ(s.cpus_per_task, 4);
  EXPECT_EQ(*io::ReadFile(s.dir + "/hosts", 100), "n1\nn1\nn2\n");
  const std::string rank = *io::ReadFile(s.dir + "/rank.sh", 10'000);
  EXPECT_THAT(rank, HasSubstr("export GREETING='it'\\''s $HOME'\n"));
  EXPECT_THAT(rank, HasSubstr("export MASTER_ADDR='10.0.0.1'\n"));
  EXPECT_THAT(rank, HasSubstr("'python3' 'it'\\''s.py' &\n"));
  Begins("lease-1");
  Turn();
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kRunning);
  ASSERT_TRUE(io::WriteFileAtomically(run.progress_path,
                                      "{\"type\":\"progress\",\"step\":5}\n{\"type\":\"che"));
  Turn();
  EXPECT_THAT(Seen("lease-1").new_progress, SizeIs(1));
  EXPECT_THAT(Seen("lease-1").new_progress, IsEmpty()) << "told once";
  Ends("lease-1", {0, 0, 0}, "COMPLETED");
  Turn();
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kExited);
  EXPECT_EQ(Seen("lease-1").exit_code, 0);
  ASSERT_TRUE(driver_->Forget("lease-1"));
  Turn();
  EXPECT_THAT(*driver_->Poll(), IsEmpty());
  EXPECT_FALSE(io::FileExists(dir_.path() + "/sites/north/runs/lease-1"));
}

TEST_F(SlurmDriverTest, AnAnswerThatIsLostSubmitsNothingTwice) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  world_.loses_answer = true;
  Turn();
  EXPECT_THAT(world_.jobs, SizeIs(1));
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kStarting);
  Turn(5);
  EXPECT_THAT(world_.jobs, SizeIs(1));
  Begins("lease-1");
  Turn();
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kRunning);
}

TEST_F(SlurmDriverTest, ARestartFindsWhatRunsAndWhatEnded) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  Turn();
  Begins("lease-1");
  // Its id was never written down, and Slurm has forgotten the job by now.
  ASSERT_TRUE(io::RemoveFile(dir_.path() + "/sites/north/runs/lease-1/job"));
  Ends("lease-1", {0}, "COMPLETED");
  world_.jobs.clear();
  Open();
  EXPECT_EQ(driver_->Poll().error().code(), Code::kUnavailable);
  Turn(5);
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kExited);
  EXPECT_EQ(Seen("lease-1").exit_code, 0);
  EXPECT_THAT(world_.submissions, SizeIs(1)) << "never twice";
  Open();
  Turn();
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kExited) << "final";
}

TEST_F(SlurmDriverTest, OfTwoJobsOfOneRunTheOneThatClaimedItCounts) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  Turn();
  const int64_t second = world_.LastJob();
  world_.jobs[7] = {7, "RUNNING", 0, "n1", "None", "weir.lab-1.lease-1"};
  Write("lease-1", "claim", "7");
  world_.jobs[second].state = "FAILED";
  world_.jobs[second].exit = 75 * 256;
  Turn(2);
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kRunning);
}

TEST_F(SlurmDriverTest, AStopAsksThenKillsAndAWaitingJobIsWithdrawn) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(10)));
  EXPECT_EQ(Seen("lease-1").exit_code, 75) << "never submitted";
  Turn();
  EXPECT_THAT(world_.submissions, IsEmpty());

  ASSERT_TRUE(driver_->Start(Gang("lease-2", {"north/n1/0"})));
  Turn();
  ASSERT_TRUE(driver_->Stop("lease-2", Duration::Seconds(10)));
  Turn(2);
  EXPECT_THAT(world_.calls, ElementsAre("cancel 100"));
  EXPECT_EQ(Seen("lease-2").exit_code, 75);

  ASSERT_TRUE(driver_->Start(Gang("lease-3", {"north/n1/0"})));
  Turn();
  Begins("lease-3");
  Turn();
  world_.calls.clear();
  ASSERT_TRUE(driver_->Stop("lease-3", Duration::Seconds(10)));
  Turn(2);
  EXPECT_THAT(world_.calls, ElementsAre("term 101"));
  EXPECT_EQ(Seen("lease-3").phase, RunPhase::kStopping);
  Turn(6);
  EXPECT_THAT(world_.calls, ElementsAre("term 101", "cancel 101"));
  EXPECT_EQ(Seen("lease-3").exit_code, 137);
  EXPECT_EQ(Seen("lease-3").reason, "killed after grace");
}

TEST_F(SlurmDriverTest, WhatSlurmWillNeverTakeIsRefusedAndAFullSiteIsAskedAgain) {
  Turn();
  world_.refuses = Code::kInvalidArgument;
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  Turn();
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kRefused);
  world_.refuses = Code::kResourceExhausted;
  ASSERT_TRUE(driver_->Start(Gang("lease-2", {"north/n1/0"})));
  Turn(2);
  EXPECT_EQ(Seen("lease-2").phase, RunPhase::kStarting);
  world_.refuses = Code::kInternal;
  Turn(5);
  EXPECT_THAT(world_.jobs, SizeIs(1));
  world_.jobs[world_.LastJob()].reason = "Priority";
  Turn(120);
  EXPECT_EQ(Seen("lease-2").exit_code, 75);
  EXPECT_THAT(Seen("lease-2").reason, HasSubstr("not started within 5 min: Priority"));
}

TEST_F(SlurmDriverTest, ASilentControllerIsUnknownAndAJobThatItForgotIsLost) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  Turn();
  Begins("lease-1");
  Turn();
  world_.down = true;
  Turn(20);
  EXPECT_EQ(driver_->Poll().error().code(), Code::kUnavailable);
  EXPECT_EQ(driver_->Slots().error().code(), Code::kUnavailable);
  EXPECT_EQ(driver_->Start(Gang("lease-2", {})).error().code(), Code::kUnavailable);
  world_.down = false;
  Turn(15);
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kRunning);
  world_.jobs.clear();
  Turn();
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kRunning) << "one look proves nothing";
  Turn(2);
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kLost);
}

TEST_F(SlurmDriverTest, WhatARunSaysOfItselfNeedsNoLook) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0", "north/n2/0"})));
  Turn();
  const auto soon = [&] {
    clock_.Advance(kFilesEvery);
    driver_->Turn();
  };
  Begins("lease-1");
  Turn();
  world_.down = true;  // whoever asks Slurm now would fail
  Write("lease-1", "exit.0", "0 100\n");
  soon();
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kRunning) << "one rank is not all";
  Write("lease-1", "exit.1", "75 101\n");
  soon();
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kExited);
  EXPECT_EQ(Seen("lease-1").exit_code, 75);
  ASSERT_TRUE(driver_->Forget("lease-1"));
  world_.down = false;
  world_.used = {{"n1", 1}, {"n2", 1}};
  Turn(4);
  EXPECT_THAT(*driver_->Poll(), IsEmpty()) << "its job ends by itself: nobody has to stop it";
  for (const wire::Slot& slot : *driver_->Slots()) EXPECT_EQ(slot.health, wire::SlotHealth::kUp);
  EXPECT_TRUE(io::FileExists(dir_.path() + "/sites/north/runs/lease-1")) << "its job writes there";
  world_.jobs.clear();
  world_.used.clear();
  Turn(3);
  EXPECT_FALSE(io::FileExists(dir_.path() + "/sites/north/runs/lease-1"));
}

TEST_F(SlurmDriverTest, AWithdrawnRunCannotBeginWhateverTheSiteStillHolds) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  world_.loses_answer = true;
  Turn();
  world_.down = true;
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(5)));
  Turn();
  EXPECT_EQ(Seen("lease-1").exit_code, 75)
      << "although the site is silent and may hold a job of it";
  EXPECT_EQ(*io::ReadFile(dir_.path() + "/sites/north/runs/lease-1/claim", 100), "0\n");
  Open();
  world_.down = false;
  Turn(2);
  EXPECT_EQ(Seen("lease-1").exit_code, 75);
  EXPECT_THAT(world_.submissions, SizeIs(1));
}

TEST_F(SlurmDriverTest, ANumberThatSlurmGaveOutAgainIsNotOurJob) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  Turn();
  Begins("lease-1");
  Turn();
  world_.jobs[world_.LastJob()].name = "somebody's training";  // after a crash of the controller
  Turn();
  ASSERT_TRUE(driver_->Stop("lease-1", Duration::Seconds(1)));
  Turn(5);
  EXPECT_EQ(Seen("lease-1").phase, RunPhase::kLost);
  EXPECT_THAT(world_.calls, IsEmpty()) << "theirs is left alone";
}

TEST_F(SlurmDriverTest, OthersHoldWhatIsNotOursAndDrainsFlowBothWays) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0"})));
  Turn();
  Begins("lease-1");
  world_.used["n1"] = 2;
  Turn(2);
  const auto slots = *driver_->Slots();
  EXPECT_EQ(slots[0].health, wire::SlotHealth::kUp);
  EXPECT_EQ(slots[1].health, wire::SlotHealth::kCordoned);
  EXPECT_THAT(slots[1].why, HasSubstr("other users"));
  world_.states["n2"] = "down*";
  Turn(2);
  EXPECT_EQ((*driver_->Slots())[2].health, wire::SlotHealth::kDown);
  world_.states["n2"] = "idle";
  driver_->DrainNodes({{"n2", "fan"}});
  Turn(2);
  EXPECT_THAT(world_.calls, ElementsAre("drain n2: weir: fan"));
  EXPECT_EQ((*driver_->Slots())[2].health, wire::SlotHealth::kCordoned);
  driver_->DrainNodes({});
  Turn(3);
  EXPECT_THAT(world_.calls, ElementsAre("drain n2: weir: fan", "resume n2"));
}

TEST_F(SlurmDriverTest, AJobOfThisLabThatNoFolderKnowsIsListedAndStoppedWhenAsked) {
  world_.jobs[7] = {7, "RUNNING", 0, "n1", "None", "weir.lab-1.lease-9"};
  world_.jobs[8] = {8, "RUNNING", 0, "n1", "None", "weir.lab-2.lease-9"};
  Turn(3);
  EXPECT_EQ(Seen("lease-9").phase, RunPhase::kStopping);
  EXPECT_THAT(world_.calls, IsEmpty()) << "the loop decides";
  ASSERT_TRUE(driver_->Stop("lease-9", Duration::Seconds(1)));
  Turn(2);
  EXPECT_THAT(world_.calls, ElementsAre("cancel 7"));
  EXPECT_THAT(*driver_->Poll(), IsEmpty());
}

TEST_F(SlurmDriverTest, AGangEndsAsOneAndATimeLimitHolds) {
  Turn();
  ASSERT_TRUE(driver_->Start(Gang("lease-1", {"north/n1/0", "north/n2/0"})));
  Turn();
  Begins("lease-1");
  Turn();
  Write("lease-1", "exit.1", "3 100\n");
  Turn(2);
  EXPECT_THAT(world_.calls, ElementsAre("term 100"));
  Ends("lease-1", {143, 3}, "FAILED");
  Write("lease-1", "exit.0", "143 200\n");
  Turn(1);
  EXPECT_EQ(Seen("lease-1").exit_code, 3);
  RunSpec limited = Gang("lease-2", {"north/n1/0"});
  limited.time_limit = Duration::Seconds(30);
  ASSERT_TRUE(driver_->Start(limited));
  Turn();
  EXPECT_GT(world_.submissions.back().limit, Duration::Seconds(30));
  Begins("lease-2");
  Turn(20);
  EXPECT_EQ(Seen("lease-2").exit_code, 124);
  EXPECT_THAT(Seen("lease-2").reason, StartsWith("time limit 30 s"));
}

// ---- the command line, scripted ----

class ScriptedShell final : public Shell {
 public:
  std::vector<std::string> asked;
  std::vector<io::CommandOutput> answers;
  Result<io::CommandOutput> Run(const std::string& script) override {
    asked.push_back(script);
    if (answers.empty()) return Error(Code::kUnavailable, "nothing more");
    io::CommandOutput first = answers.front();
    answers.erase(answers.begin());
    return first;
  }
  void Interrupt() override {}
};

TEST(SlurmDoor, ALookIsOneScriptAndACutAnswerIsNoLook) {
  auto shell = std::make_unique<ScriptedShell>();
  ScriptedShell& s = *shell;
  const auto door = CommandDoor(std::move(shell), {.conf = "/x y/slurm.conf"});
  s.answers = {
      {0,
       "Welcome!\n\036clock\n1795379285\n\036clock.\n\036jobs\n2|RUNNING|0|a1|None|x|\n\036jobs.\n"
       "\036nodes\na1|127.0.0.1|idle|main*|0/8/0/8|4000|gpu:h100:4|gpu:0||none|\n\036nodes.\n"
       "\036reservations\n\036end\n",
       ""},
      {0, "\036clock\n1795379285\n\036clock.\n\036jobs\n2|RUNN", ""},
      {41, "\036clock\n1\n\036clock.\n\036jobs\n",
       "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"},
      {41, "", "squeue: error: authentication: Munged communication error: munge socket\n"}};
  const auto look = door->LookAround();
  ASSERT_TRUE(look) << look.error().ToString();
  EXPECT_THAT(look->jobs, SizeIs(1));
  EXPECT_THAT(look->nodes, SizeIs(1));
  EXPECT_THAT(s.asked[0], HasSubstr("export SLURM_CONF='/x y/slurm.conf'\n"));
  EXPECT_EQ(door->LookAround().error().code(), Code::kUnavailable);
  EXPECT_THAT(door->LookAround().error().message(), HasSubstr("Unable to contact"));
  EXPECT_THAT(door->LookAround().error().hint(), HasSubstr("munge"));
}

TEST(SlurmDoor, SubmissionsAreToldApartAndErrorsKeepSlurmsWords) {
  auto shell = std::make_unique<ScriptedShell>();
  ScriptedShell& s = *shell;
  const auto door = CommandDoor(std::move(shell), {.partition = "p 1"});
  s.answers = {
      {0,
       "\0361 0 17;alpha\n\0360 1 sbatch: error: invalid partition specified: x \n\0362 0 sbatch: "
       "warning: odd 99\n",
       ""}};
  Submission one;
  one.name = "weir.l.lease-1";
  one.dir = "/d";
  one.limit = Duration::Seconds(61);
  one.grace = Duration::Seconds(20);
  const auto ids = door->Submit({one, one, one, one});
  ASSERT_TRUE(ids);
  EXPECT_EQ((*ids)[0].error().code(), Code::kInvalidArgument);
  EXPECT_EQ(*(*ids)[1], 17);
  EXPECT_EQ(*(*ids)[2], 99);
  EXPECT_EQ((*ids)[3].error().code(), Code::kUnavailable) << "no word of it";
  EXPECT_THAT(s.asked[0], HasSubstr(" -p 'p 1'"));
  EXPECT_THAT(s.asked[0], HasSubstr(" -t 2 --signal=TERM@20"));
  EXPECT_THAT(s.asked[0], HasSubstr("squeue"));
  one.fresh = true;
  s.answers = {{0, "\0360 0 sbatch: warning: odd\n17;alpha\n", ""}};
  EXPECT_EQ(*(*door->Submit({one}))[0], 17);
  EXPECT_THAT(s.asked[1], ::testing::Not(HasSubstr("squeue -h"))) << "nobody tried before";
}

TEST(SlurmCheck, SaysWhatIsWrongBeforeAnythingIsSent) {
  World world;
  FakeDoor door(world);
  wire::SiteSpec site;
  site.name = "north";
  site.slurm.cluster = "alpha";
  const auto first_bad = [&] {
    for (const wire::SiteCheck& c : CheckSite(site, door, "/nonexistent", "weir", {}))
      if (!c.ok && c.fatal) return c.what + ": " + c.said + " -> " + c.hint;
    return std::string("all well");
  };
  site.slurm.cluster = "beta";
  EXPECT_THAT(first_bad(), HasSubstr("that of cluster \"alpha\", not of \"beta\""));
  site.slurm.cluster = "alpha";
  site.slurm.partition = "mian";
  EXPECT_THAT(first_bad(), HasSubstr("did you mean --partition main?"));
  site.slurm.partition = "main";
  site.slurm.gres = "tpu";
  EXPECT_THAT(first_bad(), HasSubstr("they have gpu:h100"));
  world.down = true;
  EXPECT_THAT(first_bad(), StartsWith("controller: "));
  EXPECT_THAT(world.submissions, IsEmpty());
}

}  // namespace
}  // namespace weir::control::slurm
