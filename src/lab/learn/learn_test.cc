#include "lab/learn/learn.h"

#include <gtest/gtest.h>

#include <cmath>

namespace weir::learn {
namespace {

wire::Pipeline Story() {
  wire::Pipeline p;
  p.name = "story";
  p.dataset = "docs";
  p.dataset_path = "/d";
  p.build = wire::JobSpec{.name = "build", .team = "research", .command = {"b"}};
  p.train = wire::JobSpec{.name = "train", .team = "research", .command = {"t"}};
  p.model = "story";
  p.service = wire::ServiceSpec{.name = "story", .team = "product", .follow = true};
  return p;
}

CheckpointFacts At(int64_t step, double loss) {
  return {.job = "job-2",
          .checkpoint = {.step = step,
                         .path = "/c",
                         .sha256 = "h" + std::to_string(step),
                         .heldout_loss = loss},
          .vocab_size = 1000};
}

wire::Lease Replica(std::string id, std::string version, bool ready = true) {
  wire::Lease lease;
  lease.id = std::move(id);
  lease.holder_kind = wire::HolderKind::kReplica;
  lease.service = "story";
  lease.version = std::move(version);
  lease.phase = wire::LeasePhase::kActive;
  lease.ready = ready;
  return lease;
}

TEST(Gate, PassesOnlyBelowTheBarAndNeverWithoutANumber) {
  const wire::Pipeline p = Story();
  const double bar = 0.5 * std::log(1000.0);
  EXPECT_TRUE(Gate(p, At(1, bar - 0.01)).passes);
  EXPECT_FALSE(Gate(p, At(1, bar)).passes);
  EXPECT_FALSE(Gate(p, At(1, std::nan(""))).passes);
  CheckpointFacts facts = At(1, 0.1);
  facts.checkpoint.heldout_loss.reset();
  EXPECT_FALSE(Gate(p, facts).passes);
  facts = At(1, 0.1);
  facts.vocab_size = 0;
  EXPECT_FALSE(Gate(p, facts).passes);
}

// Plays the control loop: applies each step's effect at once, and counts the steps by kind.
TEST(Advance, TakesTheStoryFromNothingToAServedModelAndRepeatsNoStep) {
  Snapshot s;
  s.pipelines = {Story()};
  const auto one = [&] {
    const std::vector<Step> steps = Advance(s);
    EXPECT_EQ(steps.size(), 1u);
    return steps.empty() ? Step{} : steps[0];
  };
  EXPECT_EQ(one().job.name, "build");
  wire::Job build{.id = "job-1", .spec = *s.pipelines[0].build};
  s.jobs.push_back(build);
  EXPECT_TRUE(Advance(s).empty());  // it runs
  s.built.push_back({.path = "/d", .sha256 = "abc", .bytes = 5});
  const Step add = one();
  EXPECT_EQ(add.kind, StepKind::kAddDataset);
  EXPECT_EQ(add.dataset.sha256, "abc");
  s.datasets.push_back(add.dataset);
  EXPECT_EQ(one().job.name, "train");
  s.jobs.push_back({.id = "job-2", .spec = *s.pipelines[0].train});
  s.checkpoints = {At(10, 6.0)};
  EXPECT_TRUE(Advance(s).empty());  // the gate
  s.checkpoints = {At(20, 3.0)};
  Step version = one();
  EXPECT_EQ(version.kind, StepKind::kAddVersion);
  version.version.id = "story@1";
  version.version.number = 1;
  s.versions.push_back(version.version);
  EXPECT_EQ(one().kind, StepKind::kCreateService);
  wire::Service service{.id = "svc-1", .spec = *s.pipelines[0].service};
  service.spec.model = "story";
  service.version = "story@1";
  s.services.push_back(service);
  EXPECT_TRUE(Advance(s).empty());
  s.checkpoints = {At(30, 2.99)};  // better, but not by the margin
  EXPECT_TRUE(Advance(s).empty());
  s.checkpoints = {At(40, 2.5)};
  version = one();
  EXPECT_EQ(version.version.parent, "story@1");
  version.version.id = "story@2";
  version.version.number = 2;
  s.versions.push_back(version.version);
  const Step rollout = one();
  EXPECT_EQ(rollout.kind, StepKind::kStartRollout);
  EXPECT_EQ(rollout.rollout.to, "story@2");
}

TEST(Rollout, MovesOneReplicaAtATimeAndOnlyOnceTheNewOneIsReady) {
  Snapshot s;
  s.services = {
      {.id = "svc-1", .spec = {.name = "story"}, .version = "story@2", .rollout = "ro-1"}};
  s.rollouts = {{.id = "ro-1", .service = "story", .from = "story@1", .to = "story@2"}};
  s.replicas = {Replica("lease-1", "story@1"), Replica("lease-2", "story@1")};
  std::vector<Step> steps = Advance(s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].kind, StepKind::kReplaceReplica);
  EXPECT_EQ(steps[0].lease, "lease-1");

  s.replicas.push_back(Replica("lease-3", "story@2", false));
  s.replicas[2].replaces = "lease-1";
  EXPECT_TRUE(Advance(s).empty());  // not ready
  s.replicas[2].ready = true;
  EXPECT_TRUE(Advance(s).empty());  // the old one has not ended
  s.replicas.erase(s.replicas.begin());
  steps = Advance(s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].lease, "lease-2");
  s.replicas[0].version = "story@2";
  steps = Advance(s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].kind, StepKind::kFinishRollout);
  EXPECT_EQ(steps[0].rollout.phase, wire::RolloutPhase::kDone);
}

TEST(Rollout, GoesBackAfterThreeNewReplicasFailed) {
  Snapshot s;
  s.services = {{.id = "svc-1", .spec = {.name = "story"}, .rollout = "ro-1"}};
  s.rollouts = {
      {.id = "ro-1", .service = "story", .from = "story@1", .to = "story@2", .failures = 3}};
  s.replicas = {Replica("lease-1", "story@1"), Replica("lease-2", "story@2")};
  std::vector<Step> steps = Advance(s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].lease, "lease-2");
  EXPECT_EQ(steps[0].to_version, "story@1");
  s.replicas.pop_back();
  steps = Advance(s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].rollout.phase, wire::RolloutPhase::kAborted);
}

TEST(Variant, ReplicasFollowTheVersionOfTheirServiceAQuarterAtATime) {
  Snapshot s;
  s.services = {{.id = "svc-1", .spec = {.name = "story"}, .version = "small@1"}};
  s.services[0].reason = "a surge";
  for (int i = 0; i < 8; ++i) s.replicas.push_back(Replica("lease-" + std::to_string(i), "m@1"));
  s.replicas[0].phase = wire::LeasePhase::kStopping;
  s.replicas[1].ready = false;  // it starts: it is exchanged once it serves
  std::vector<Step> steps = Advance(s);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[0].lease, "lease-2");
  EXPECT_EQ(steps[0].to_version, "small@1");
  EXPECT_NE(steps[1].why.find("a surge"), std::string::npos);
  // What was asked for is under way: nothing twice, nothing more.
  for (const char* old : {"lease-2", "lease-3"}) {
    s.replicas.push_back(Replica("new-" + std::string(old), "small@1", false));
    s.replicas.back().replaces = old;
  }
  EXPECT_TRUE(Advance(s).empty());
  s.replicas[8].ready = true;  // the old one still drains
  EXPECT_TRUE(Advance(s).empty());
  s.replicas.erase(s.replicas.begin() + 2);
  steps = Advance(s);
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].lease, "lease-4");
  s.services[0].rollout = "ro-1";  // which moves the replicas itself
  EXPECT_TRUE(Advance(s).empty());
}

TEST(Rollout, AnAbortedVersionIsNotTriedAgainButANewerOneIs) {
  Snapshot s;
  s.services = {{.id = "svc-1",
                 .spec = {.name = "story", .model = "story", .follow = true},
                 .version = "story@1"}};
  s.versions = {{.id = "story@1", .model = "story", .number = 1},
                {.id = "story@2", .model = "story", .number = 2}};
  s.aborted = {
      {.id = "ro-1", .service = "story", .to = "story@2", .phase = wire::RolloutPhase::kAborted}};
  EXPECT_TRUE(Advance(s).empty());
  s.versions.push_back({.id = "story@3", .model = "story", .number = 3});
  ASSERT_EQ(Advance(s).size(), 1u);
}

}  // namespace
}  // namespace weir::learn
