#include "control/journal.h"

#include <gtest/gtest.h>

#include "base/logging.h"
#include "control/lab_clock.h"
#include "control/outcome.h"
#include "io/memory_store.h"

namespace weir::control {
namespace {

using wire::JobPhase;
using wire::StopCause;

Event TeamEvent(const std::string& name, int64_t weight = 1) {
  return {Time{1'000'000}, "me", {name},
          "team " + name,  {},   TeamPut{{.name = name, .weight = weight}}};
}

Event JobEvent(int n) {
  wire::Job job;
  job.id = "job-" + std::to_string(n);
  job.spec = {.name = "j" + std::to_string(n), .team = "research", .command = {"x"}};
  return {Time{2'000'000}, "me", {job.id}, "submitted", {{"n", 1.0 * n}}, JobSubmitted{job}};
}

TEST(Events, ReadBackAsTheyWereWritten) {
  io::Record record;
  static_cast<io::Entry&>(record) = ToEntry(JobEvent(1));
  EXPECT_EQ(record.type, "job.submitted");
  const auto back = FromRecord(record);
  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_EQ(ToEntry(*back).body, record.body);
  EXPECT_EQ(ToEntry({.body = JobMoved{.phase = JobPhase::kPaused}}).type, "job.paused");
  record.type = "job.vanished";
  EXPECT_EQ(FromRecord(record).error().code(), Code::kUnimplemented);
  record.type = "job.submitted";
  record.body = "{\"body\":{}}";
  EXPECT_EQ(FromRecord(record).error().code(), Code::kDataLoss);
}

TEST(State, RefusesArrowsThatAreNotDrawn) {
  const auto refuses = [](State state, EventBody body) {
    return !Apply(state, {.at = Time{5}, .body = std::move(body)});
  };
  State state;
  state.slots["s/n/0"] = {.id = "s/n/0", .site = "s"};
  ASSERT_TRUE(Apply(state, JobEvent(1)));
  EXPECT_TRUE(refuses(state, JobSubmitted{{.id = "job-3"}})) << "ids are given in order";
  EXPECT_TRUE(refuses(state, JobMoved{.job = "job-1", .phase = JobPhase::kDone})) << "never ran";
  EXPECT_TRUE(refuses(state, JobMoved{.job = "job-2", .phase = JobPhase::kFailed}));
  wire::Lease lease{.id = "lease-1", .holder = "job-1", .slots = {"s/n/0"}};
  State leased = state;
  ASSERT_TRUE(Apply(leased, {.body = LeaseIntended{lease}}));
  EXPECT_EQ(leased.jobs.at("job-1").phase, JobPhase::kRunning);
  EXPECT_TRUE(refuses(leased, JobMoved{.job = "job-1", .phase = JobPhase::kDone})) << "leased";
  lease.id = "lease-2";
  EXPECT_TRUE(refuses(leased, LeaseIntended{lease})) << "the slot is taken";
  EXPECT_TRUE(refuses(leased, LeaseStopAsked{"lease-1", StopCause::kNone}));
  EXPECT_TRUE(refuses(leased, ReplicaReady{"lease-1", 1}));
  EXPECT_TRUE(refuses(leased, LoanReturned{.loan = "loan-1"}));
  ASSERT_TRUE(Apply(leased, {.at = Time{9}, .body = LeaseEnded{.lease = "lease-1"}}));
  ASSERT_TRUE(
      Apply(leased, {.at = Time{9}, .body = JobMoved{.job = "job-1", .phase = JobPhase::kDone}}));
  EXPECT_TRUE(refuses(leased, JobMoved{.job = "job-1", .phase = JobPhase::kFailed})) << "ended";
  EXPECT_EQ(leased.jobs.at("job-1").ended, Time{9});
  const auto back = StateFromText(Text(leased));
  ASSERT_TRUE(back) << back.error().ToString();
  EXPECT_EQ(Text(*back), Text(leased));
}

TEST(Journal, OpensFromSnapshotAndTailToWhatReplayGives) {
  io::MemoryDisk disk;
  io::MemoryStore store(&disk);
  auto journal = Journal::Open(store, 3);
  ASSERT_TRUE(journal);
  for (int i = 1; i <= 10; ++i) {
    ASSERT_TRUE(journal->Commit({TeamEvent("t" + std::to_string(i)), JobEvent(i)}));
    const auto again = Journal::Open(store, 3);
    ASSERT_TRUE(again) << again.error().ToString();
    EXPECT_EQ(Text(again->state()), Text(journal->state()));
    EXPECT_EQ(again->seq(), journal->seq());
  }
  EXPECT_FALSE(disk.snapshots.empty());
  const auto report = Verify(store, &journal->state());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->problem, "");
  EXPECT_EQ(report->records, 20);
  State other = journal->state();
  other.teams["t1"].weight = 9;
  EXPECT_NE(Verify(store, &other)->problem, "");
  disk.journal[4].body[10] ^= 1;
  EXPECT_NE(Verify(store)->problem, "");
}

TEST(Journal, AnAppendInDoubtIsAppliedOnceOrNotAtAll) {
  log::Init("off");
  for (const io::Fault fault : {io::Fault::kDiskFull, io::Fault::kIoError, io::Fault::kCrashBefore,
                                io::Fault::kCrashAfter}) {
    io::MemoryDisk disk;
    bool strike = false;
    io::MemoryStore store(&disk, [&](std::string_view op) {
      return strike && op == "append" ? fault : io::Fault::kNone;
    });
    auto journal = Journal::Open(store);
    ASSERT_TRUE(journal->Commit({TeamEvent("a")}));
    strike = true;
    EXPECT_FALSE(journal->Commit({TeamEvent("b")}));
    EXPECT_EQ(journal->state().teams.count("b"), 0u);
    strike = false;
    if (!store.crashed()) {
      ASSERT_TRUE(journal->Commit({TeamEvent("c")}));
      EXPECT_EQ(journal->state().teams.size(), 2u);
    }
    io::MemoryStore after(&disk);
    const auto again = Journal::Open(after);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->state().teams.count("b"), fault == io::Fault::kCrashAfter ? 1u : 0u);
    EXPECT_EQ(Verify(after, &again->state())->problem, "");
  }
  log::Init("info");
}

TEST(LabClock, NeverGoesBackAndFollowsTheWallClockByATenth) {
  io::VirtualClock real;
  LabClock lab(real, {});
  const Time start = lab.Now();
  real.JumpWall(Duration::Minutes(60));
  real.Advance(Duration::Seconds(10));
  EXPECT_EQ((lab.Now() - start).us, Duration::Seconds(11).us);
  real.JumpWall(Duration::Minutes(-180));
  Time last = lab.Now();
  for (int i = 0; i < 100; ++i) {
    real.Advance(Duration::Seconds(1));
    const Time now = lab.Now();
    EXPECT_EQ((now - last).us, Duration::Millis(900).us);
    last = now;
  }
  LabClock restarted(real, last + Duration::Seconds(50));
  EXPECT_EQ(restarted.Now(), last + Duration::Seconds(50));
}

TEST(JobAfter, FollowsItsTable) {
  using enum JobPhase;
  const auto exited = [](int code, std::string reason) {
    RunObservation run;
    run.phase = RunPhase::kExited;
    run.exit_code = code;
    run.reason = std::move(reason);
    return std::optional(run);
  };
  RunObservation lost;
  lost.phase = RunPhase::kLost;
  const Time now{100'000'000};
  const struct {
    const char* name;
    StopCause cause;
    std::optional<RunObservation> run;
    int64_t failures;
    JobPhase phase;
    bool waits;
  } kRows[] = {
      {"Done", StopCause::kNone, exited(0, "exit 0"), 0, kDone, false},
      {"DoneThoughPaused", StopCause::kPause, exited(0, "exit 0"), 0, kDone, false},
      {"Cancelled", StopCause::kCancel, exited(75, "exit 75"), 0, kCancelled, false},
      {"CancelledBeforeItBegan", StopCause::kCancel, std::nullopt, 0, kCancelled, false},
      {"Saved", StopCause::kResize, exited(75, "exit 75"), 0, kPaused, false},
      {"KilledWhenPaused", StopCause::kPause, exited(137, "signal 9"), 0, kPaused, false},
      {"Shutdown", StopCause::kShutdown, exited(75, "exit 75"), 0, kPaused, false},
      {"Failure", StopCause::kNone, exited(3, "exit 3"), 0, kQueued, true},
      {"LastFailure", StopCause::kNone, exited(3, "exit 3"), 2, kFailed, false},
      {"TimeLimit", StopCause::kNone, exited(75, "time limit 2 h"), 0, kFailed, false},
      {"Lost", StopCause::kNone, lost, 2, kPaused, true},
      {"ResumesItself", StopCause::kNone, exited(75, "exit 75"), 2, kPaused, false},
      {"NeverBegan", StopCause::kPause, std::nullopt, 0, kQueued, false},
  };
  for (const auto& row : kRows) {
    wire::Job job{.id = "job-1"};
    job.spec.max_retries = 2;
    job.failures = row.failures;
    job.attempts = 1;
    wire::Lease lease{.id = "lease-1", .slots = {"a"}, .active = Time{1}, .stop_cause = row.cause};
    const JobMoved moved = JobAfter(job, lease, row.run, {}, "", now);
    EXPECT_EQ(moved.phase, row.phase) << row.name << ": " << moved.reason;
    EXPECT_EQ(moved.not_before > now, row.waits) << row.name;
    EXPECT_FALSE(moved.reason.empty()) << row.name;
  }
  EXPECT_EQ(JobAfter({}, {}, std::nullopt, {}, "no such program", now).phase, kFailed);
}

TEST(JobAfter, CountsTheStepsSinceTheCheckpoint) {
  wire::Job job{.id = "job-1"};
  job.checkpoint = wire::Checkpoint{.step = 80};
  wire::Lease lease{.id = "lease-1", .slots = {"a", "b"}, .stop_cause = StopCause::kPause};
  RunObservation run;
  run.phase = RunPhase::kExited;
  run.exit_code = 137;
  JobSight sight;
  sight.lease = "lease-1";
  sight.progress = wire::Progress{.step = 100};
  sight.steps_per_s = 10;
  const JobMoved moved = JobAfter(job, lease, run, sight, "", Time{1});
  EXPECT_EQ(moved.lost_steps, 20);
  EXPECT_DOUBLE_EQ(moved.lost_slot_s, 4.0);
}

TEST(Backoff, DoublesUpToItsBound) {
  EXPECT_EQ(Backoff(1).us, Duration::Seconds(1).us);
  EXPECT_EQ(Backoff(4).us, Duration::Seconds(8).us);
  EXPECT_EQ(Backoff(1000).us, kLongestBackoff.us);
}

}  // namespace
}  // namespace weir::control
