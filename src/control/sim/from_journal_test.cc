#include "control/sim/from_journal.h"

#include <gtest/gtest.h>

#include "control/events.h"
#include "control/sim/run.h"
#include "io/memory_store.h"

namespace weir::sim {
namespace {

using namespace control;  // NOLINT: events

class Writer {
 public:
  explicit Writer(io::Store& store) : store_(store) {}
  void At(int64_t second, EventBody body) {
    Event event;
    event.at = Time{1'767'225'600'000'000} + Duration::Seconds(second);
    event.body = std::move(body);
    ASSERT_TRUE(store_.Append(ToEntry(event)));
  }

 private:
  io::Store& store_;
};

wire::Lease LeaseOf(std::string id, std::string holder, std::vector<std::string> slots) {
  wire::Lease lease;
  lease.id = std::move(id);
  lease.holder = std::move(holder);
  lease.slots = std::move(slots);
  return lease;
}

TEST(FromJournal, ALabsPastIsATraceThatOtherPoliciesCanReplay) {
  io::MemoryDisk disk;
  io::MemoryStore store(&disk);
  Writer w(store);
  wire::Team research, product;
  research.name = "research";
  product.name = "product";
  product.team_class = wire::TeamClass::kProduct;
  product.guarantee_slots = 1;
  w.At(0, TeamPut{research});
  w.At(0, TeamPut{product});
  for (int i = 0; i < 4; ++i) {
    wire::Slot slot;
    slot.id = "local/n/" + std::to_string(i);
    slot.site = "local";
    slot.node = "n";
    w.At(1, SlotSeen{slot});
  }
  wire::Job job;
  job.id = "job-1";
  job.spec.name = "train";
  job.spec.team = "research";
  job.spec.min_slots = 1;
  job.spec.max_slots = 2;
  job.spec.checkpointable = true;
  w.At(10, JobSubmitted{job});
  // 100 s on two slots, of which 20 s are lost, then 60 s on one: 80 + 30 s of its work at full
  // size.
  w.At(11, LeaseIntended{LeaseOf("lease-1", "job-1", {"local/n/0", "local/n/1"})});
  w.At(12, LeaseActive{"lease-1"});
  LeaseEnded ended;
  ended.lease = "lease-1";
  w.At(112, ended);
  JobMoved moved;
  moved.job = "job-1";
  moved.phase = wire::JobPhase::kPaused;
  moved.lost_slot_s = 40;
  w.At(112, moved);
  w.At(120, LeaseIntended{LeaseOf("lease-2", "job-1", {"local/n/0"})});
  w.At(121, LeaseActive{"lease-2"});
  wire::Service service;
  service.id = "svc-1";
  service.spec.name = "chat";
  service.spec.team = "product";
  w.At(130, ServiceCreated{service});
  wire::Lease replica = LeaseOf("lease-3", "svc-1", {"local/n/3"});
  replica.holder_kind = wire::HolderKind::kReplica;
  replica.service = "chat";
  w.At(131, LeaseIntended{replica});
  w.At(140, ReplicaReady{"lease-3", 1});
  ended.lease = "lease-2";
  w.At(181, ended);
  moved.phase = wire::JobPhase::kDone;
  moved.lost_slot_s = 0;
  w.At(181, moved);

  auto past = ReadJournalPast(store);
  ASSERT_TRUE(past) << past.error().ToString();
  ASSERT_EQ(past->trace.jobs.size(), 1u);
  EXPECT_NEAR(past->trace.jobs[0].duration.seconds(), 110, 1e-6);
  EXPECT_EQ(past->trace.jobs[0].submit, Duration::Seconds(10));
  EXPECT_EQ(past->trace.jobs[0].slots, 2);
  EXPECT_EQ(past->fleet.slots(), 4);
  EXPECT_EQ(past->fleet.teams.size(), 2u);
  const auto scenario = MakeScenario(past->fleet, past->trace, {.repeat_demand = false});
  ASSERT_TRUE(scenario) << scenario.error().ToString();
  for (const Outcome& o : RunPolicies(*scenario, AllPolicies(), {})) {
    EXPECT_EQ(o.violation, "");
    EXPECT_EQ(o.done, 1) << o.policy;
    EXPECT_NEAR(o.need_slot_min, 41 / 60.0, 1.1) << o.policy;  // 140 s .. 181 s, by ticks
  }
}

TEST(FromJournal, AnEmptyLabIsSaidToBeEmpty) {
  io::MemoryDisk disk;
  io::MemoryStore store(&disk);
  const auto past = ReadJournalPast(store);
  ASSERT_FALSE(past);
  EXPECT_EQ(past.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(ReadJournalPast("/nonexistent").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace weir::sim
