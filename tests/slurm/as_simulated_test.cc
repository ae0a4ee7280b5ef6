// Goal:   the simulated site tells the same story as a real one: the same scenario gives the same
//         order of events, with the same ends.
// Method: one list of steps, drawn from a seed, is carried out through the Driver interface on
//         SimSite (a virtual clock) and on the Slurm cluster of $SLURM_CONF (the real one); each
//         step waits for what it is about. What Poll shows is written down as it changes and
//         compared. tests/slurm/site_test.py brings the cluster and runs this.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "base/random.h"
#include "control/drivers/slurm/slurm.h"
#include "control/sim/sim_site.h"

namespace weir::control {
namespace {

enum class Kind { kFinishes, kFails, kSaves, kStubborn, kLost };
enum class What { kStart, kStop, kEnds };

struct ScenarioStep {
  What what;
  std::string run;
  Kind kind;
};

constexpr Duration kGrace = Duration::Seconds(2);

class PlayedWorld {
 public:
  virtual ~PlayedWorld() = default;
  virtual Driver& driver() = 0;
  virtual void Pass() = 0;  // a moment
  virtual std::string CheckpointDir(const std::string& run) = 0;
  virtual std::vector<std::string> CommandOf(Kind kind) = 0;
  virtual void BeforeStart(Kind) {}
  virtual void Break(const wire::Slot&) {}  // the node of a run that is to be lost
  virtual void Mend() {}
};

class Simulated final : public PlayedWorld {
 public:
  Simulated() : site_(clock_, 1, "alpha", 8, Pace()), driver_(&site_, Never, Alive) {
    site_.dies = [](const std::vector<std::string>& command) { return command[0] == "fails"; };
  }
  Driver& driver() override { return driver_; }
  void Pass() override {
    clock_.Advance(Duration::Millis(50));
    site_.Advance();
  }
  std::vector<std::string> CommandOf(Kind kind) override {
    return {kind == Kind::kFails ? "fails" : "runs"};
  }
  std::string CheckpointDir(const std::string& run) override { return run; }
  void BeforeStart(Kind kind) override {
    site_.faults = {};
    site_.faults.ignore_stop = kind == Kind::kStubborn ? 1 : 0;
    site_.faults.lost = kind == Kind::kLost ? 1 : 0;
  }
  const SimSite& site() const { return site_; }

 private:
  // A gang of four is done after 5 s; one of one slot would be after 20 s, when all is over.
  static SimPace Pace() {
    SimPace pace;
    pace.start_delay = Duration::Millis(100);
    pace.job_steps = 200;
    pace.life = Duration::Seconds(2);
    return pace;
  }
  static Strike Never(std::string_view) { return Strike::kNone; }
  static bool Alive() { return false; }
  io::VirtualClock clock_;
  SimSite site_;
  SimDriver driver_;
};

class Real final : public PlayedWorld {
 public:
  explicit Real(const std::string& conf) : dir_(*io::TempDir::Create("weir-as-simulated")) {
    for (const char* name : {"PATH", "SLURM_CONF", "HOME"}) {
      if (const auto value = io::ProcessEnv()(name)) env_[name] = *value;
    }
    slurm::Options options;
    options.site.name = options.site.slurm.cluster = "alpha";
    options.site.slurm.conf = conf;
    options.site.slurm.load_share = 0.5;
    options.data_dir = dir_.path();
    options.lab_tag = "as-simulated";
    door_ = *slurm::OpenDoor(options.site.slurm, env_);
    driver_ = *slurm::CreateSlurmDriver(options, *slurm::OpenDoor(options.site.slurm, env_),
                                        &clock_, slurm::Worker::kThread);
  }
  Driver& driver() override { return *driver_; }
  void Pass() override { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }
  std::vector<std::string> CommandOf(Kind kind) override {
    switch (kind) {
      case Kind::kFinishes:
        return {"sleep", "3"};
      case Kind::kFails:
        return {"sh", "-c", "sleep 2; exit 1"};
      case Kind::kStubborn:
      case Kind::kLost:  // Slurm asks before it kills
        return {"sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"};
      case Kind::kSaves:
        break;
    }
    return {"sh", "-c", "trap 'exit 75' TERM; while :; do sleep 0.2; done"};
  }
  std::string CheckpointDir(const std::string& run) override { return dir_ / run; }
  void Break(const wire::Slot& slot) override {
    node_ = slot.node;
    Slurm("state=down reason=broken");
  }
  void Mend() override {
    if (!node_.empty())
      (void)door_->Shell(fmt::format("scontrol update nodename={} state=resume", node_));
  }

 private:
  void Slurm(const std::string& change) {
    const auto done = door_->Shell(fmt::format("scontrol update nodename={} {}", node_, change));
    EXPECT_TRUE(done && done->exit_code == 0);
  }
  io::TempDir dir_;
  io::RealClock clock_;
  std::map<std::string, std::string> env_;
  std::unique_ptr<slurm::Door> door_;
  std::unique_ptr<slurm::SlurmDriver> driver_;
  std::string node_;
};

const char* NameOf(RunPhase phase) {
  switch (phase) {
    case RunPhase::kStarting:
      return "starting";
    case RunPhase::kRunning:
      return "running";
    case RunPhase::kStopping:
      return "stopping";
    case RunPhase::kExited:
      return "exited";
    case RunPhase::kLost:
      return "lost";
    case RunPhase::kRefused:
      return "refused";
  }
  return "?";
}

// Runs the steps; the order of what was seen.
std::vector<std::string> Story(PlayedWorld& world, const std::vector<ScenarioStep>& steps) {
  std::vector<std::string> story;
  std::map<std::string, RunPhase> phases;
  std::map<std::string, std::set<std::string>> held;  // slots of runs that have not ended
  std::map<std::string, wire::Slot> place;
  const auto look = [&] {
    world.Pass();
    const auto runs = world.driver().Poll();
    if (!runs) return;
    for (const RunObservation& run : *runs) {
      const auto known = phases.find(run.id);
      if (known != phases.end() && known->second == run.phase) continue;
      phases[run.id] = run.phase;
      const bool exited = run.phase == RunPhase::kExited;
      story.push_back(fmt::format("{} {}{}", run.id, NameOf(run.phase),
                                  exited ? fmt::format(" {}", run.exit_code) : ""));
      if (exited || run.phase == RunPhase::kLost) held.erase(run.id);
    }
  };
  const auto wait = [&](const std::string& run, std::vector<RunPhase> wanted) {
    for (int i = 0; i < 1200; ++i) {
      look();
      const auto phase = phases.find(run);
      if (phase != phases.end() &&
          std::find(wanted.begin(), wanted.end(), phase->second) != wanted.end())
        return true;
    }
    story.push_back("waited too long for " + run);
    return false;
  };
  for (int i = 0; i < 600 && !world.driver().Slots(); ++i) world.Pass();
  for (const ScenarioStep& step : steps) {
    bool well = true;
    if (step.what == What::kStart) {
      RunSpec spec;
      spec.id = step.run;
      spec.holder = "job-" + step.run;
      spec.command = world.CommandOf(step.kind);
      spec.checkpoint_dir = world.CheckpointDir(step.run);
      std::vector<wire::Slot> slots = *world.driver().Slots();
      // What will be lost has a node to itself: that of the last slots.
      if (step.kind == Kind::kLost) std::reverse(slots.begin(), slots.end());
      for (const wire::Slot& slot : slots) {
        const bool taken = std::any_of(held.begin(), held.end(),
                                       [&](const auto& h) { return h.second.count(slot.id) != 0; });
        if (!taken && spec.slots.size() < (step.kind == Kind::kFinishes ? 4u : 1u))
          spec.slots.push_back(slot);
      }
      for (const wire::Slot& slot : spec.slots) held[step.run].insert(slot.id);
      place[step.run] = spec.slots.front();
      world.BeforeStart(step.kind);
      EXPECT_TRUE(world.driver().Start(spec));
      well = wait(step.run, {RunPhase::kRunning});
      if (step.kind == Kind::kLost) world.Break(place[step.run]);
    } else if (step.what == What::kStop) {
      EXPECT_TRUE(world.driver().Stop(step.run, kGrace));
      well = wait(step.run, {RunPhase::kExited});
    } else {
      well = wait(step.run, {RunPhase::kExited, RunPhase::kLost});
    }
    if (!well) break;
  }
  world.Mend();
  for (const auto& [run, phase] : phases) (void)world.driver().Forget(run);
  return story;
}

std::vector<ScenarioStep> DrawScenario(uint64_t seed) {
  Random random(seed);
  // Two that are stopped may live through the ends of the others.
  std::vector<std::pair<std::string, Kind>> runs = {{"a", Kind::kSaves},
                                                    {"b", Kind::kStubborn},
                                                    {"c", Kind::kFinishes},
                                                    {"d", Kind::kFails},
                                                    {"e", Kind::kLost}};
  for (size_t i = runs.size(); i > 1; --i) std::swap(runs[i - 1], runs[random.Below(i)]);
  std::vector<ScenarioStep> steps;
  std::vector<std::pair<std::string, Kind>> open;
  const auto close = [&](size_t i) {
    const auto [run, kind] = open[i];
    open.erase(open.begin() + static_cast<std::ptrdiff_t>(i));
    const bool stopped = kind == Kind::kSaves || kind == Kind::kStubborn;
    steps.push_back({stopped ? What::kStop : What::kEnds, run, kind});
  };
  for (const auto& [run, kind] : runs) {
    steps.push_back({What::kStart, run, kind});
    open.emplace_back(run, kind);
    // What ends by itself is waited for before the next step, or the order would be a race.
    if (kind != Kind::kSaves && kind != Kind::kStubborn)
      close(open.size() - 1);
    else if (random.Chance(0.4))
      close(random.Below(open.size()));
  }
  while (!open.empty()) close(random.Below(open.size()));
  return steps;
}

TEST(AsSimulated, TheSameScenarioGivesTheSameOrderOfEventsOnSlurm) {
  const auto conf = io::ProcessEnv()("SLURM_CONF");
  if (!conf) GTEST_SKIP() << "no cluster: tests/slurm/site_test.py brings one";
  const auto given = io::ProcessEnv()("SEED");
  const uint64_t seed = given ? std::strtoull(given->c_str(), nullptr, 0) : 3;
  SCOPED_TRACE(fmt::format("SEED={}", seed));
  const std::vector<ScenarioStep> steps = DrawScenario(seed);
  Simulated simulated;
  const std::vector<std::string> expected = Story(simulated, steps);
  EXPECT_TRUE(simulated.site().violations().empty());
  Real real(*conf);
  EXPECT_EQ(Story(real, steps), expected);
}

}  // namespace
}  // namespace weir::control
