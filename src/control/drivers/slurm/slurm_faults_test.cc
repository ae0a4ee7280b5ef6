// Goal:   whatever a cluster does to the driver, no program is started twice, none begins after its
//         end was told, every run ends once and as its ranks said, and no job but the lab's is
//         touched; when the faults stop, nothing of the lab is left in the queue.
// Method: a Slurm that is played (PlayedCluster) on a virtual clock behind the driver's Door. It
//         loses answers, cuts submissions short, doubles them, forgets jobs, crashes and gives the
//         numbers of the jobs that it lost out again, is full, is away; the driver dies at any
//         moment, also between a submission and its note. All chance comes from one seed; safety
//         is checked at every event.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/random.h"
#include "control/drivers/slurm/slurm.h"

namespace weir::control::slurm {
namespace {

constexpr const char* kPlayedPrefix = "weir.lab-1.";

enum class PlayedFate {
  kDone,
  kSaved,
  kFails,
  kOutOfMemory,
  kNodeFails,
  kPreempted,
  kCancelledThere
};

struct PlayedJob {
  Job job;
  std::string dir;
  size_t ranks = 1;
  PlayedFate fate = PlayedFate::kDone;
  Duration submitted, begins, ends, told_at, gone_at;
  bool ended = false, told = false, ours = true;
};

class PlayedCluster {
 public:
  PlayedCluster(const io::VirtualClock& clock, uint64_t seed) : clock_(clock), random_(seed) {
    forgets_after_ = Duration::Seconds(random_.Between(7, 60));
    accounting_ = random_.Chance(0.5);
    skew_ = Duration::Seconds(random_.Between(-7200, 7200));
  }

  // What Door is asked.
  Result<Facts> Ask() {
    TRY(Reach());
    Facts facts;
    facts.cluster = "alpha";
    facts.version = "22.05.8";
    facts.accounting = accounting_;
    facts.forgets_after = forgets_after_;
    facts.partitions = {"main"};
    facts.default_partition = "main";
    return facts;
  }
  Result<Look> LookAround() {
    TRY(Reach());
    Look look;
    look.clock = clock_.Now() + skew_;
    for (const auto& [id, played] : jobs_) look.jobs.push_back(played.job);
    for (const char* name : {"n1", "n2"}) {
      Node node;
      node.name = node.address = name;
      node.state = "IDLE";
      node.partition = "main";
      node.default_partition = true;
      node.cpus = 64;
      node.memory_mb = 64'000;
      node.gres = {{"gpu", "h100", 8}};
      look.nodes.push_back(std::move(node));
    }
    return look;
  }
  Result<std::vector<Result<int64_t>>> Submit(const std::vector<Submission>& all) {
    TRY(Reach());
    const size_t cut = faults && random_.Chance(0.1) ? random_.Below(all.size() + 1) : all.size();
    std::vector<Result<int64_t>> ids(all.size(), Error(Code::kUnavailable, "cut short"));
    for (size_t i = 0; i < cut; ++i) {
      if (faults && random_.Chance(0.1)) {
        ids[i] = Error(Code::kResourceExhausted, "full");
        continue;
      }
      ids[i] = IdOf(all[i]);
    }
    // A controller that restarts just then is asked again by sbatch itself.
    if (faults && cut > 0 && random_.Chance(0.1)) (void)Take(all[cut - 1]);
    TRY(Answer());
    return ids;
  }
  Status Send(Nudge nudge, const std::vector<int64_t>& jobs) {
    if (jobs.empty()) return {};
    TRY(Reach());
    for (const int64_t id : jobs) {
      const auto it = jobs_.find(id);
      if (it == jobs_.end() || it->second.ended) continue;
      PlayedJob& played = it->second;
      if (!played.ours) Wrong(fmt::format("job {} of somebody else was touched", id));
      Note(fmt::format("{} {}", nudge == Nudge::kTerm ? "term" : "cancel", id));
      if (nudge == Nudge::kCancel) {
        played.fate = PlayedFate::kCancelledThere;
        End(played);
      } else if (played.job.state == "RUNNING" && random_.Chance(0.8)) {
        played.fate = PlayedFate::kSaved;
        played.ends = std::min(played.ends, clock_.Monotonic() + Duration::Seconds(2));
      }
    }
    return Answer();
  }
  Result<std::vector<Job>> Remembered(const std::vector<int64_t>& jobs) {
    TRY(Reach());
    if (!accounting_) return Error(Code::kUnavailable, "no accounting");
    std::vector<Job> all;
    for (const int64_t id : jobs) {
      if (const auto it = accounted_.find(id); it != accounted_.end()) all.push_back(it->second);
    }
    return all;
  }

  // What happens up to now.
  void Advance() {
    const Duration now = clock_.Monotonic();
    if (now >= up_at_ && faults && random_.Chance(0.01)) Crash();
    if (faults && random_.Chance(0.02)) Foreign(next_++);
    for (auto it = jobs_.begin(); it != jobs_.end();) {
      PlayedJob& played = it->second;
      if (!played.ended && played.job.state == "PENDING" && now >= played.begins) Begin(played);
      if (!played.ended && played.job.state == "RUNNING" && now >= played.ends) End(played);
      if (played.ended && !played.told && now >= played.told_at) Tell(played);
      if (played.ended && played.told && now >= played.gone_at) {
        accounted_[played.job.id] = played.job;
        it = jobs_.erase(it);
      } else {
        ++it;
      }
    }
  }

  size_t LiveJobs() const {
    size_t live = 0;
    for (const auto& [id, played] : jobs_) live += played.ours && !played.ended ? 1 : 0;
    return live;
  }
  void Note(const std::string& what) {
    events_.push_back(fmt::format("{:.1f} {}", clock_.Monotonic().seconds() - 1000, what));
  }
  void Wrong(std::string what) {
    Note("WRONG: " + what);
    wrong_.push_back(std::move(what));
  }

  bool faults = true;
  std::map<std::string, int> begun;          // by run: so many times its program was started
  std::map<std::string, PlayedFate> truth;   // of those that ended
  std::map<std::string, std::string> told_;  // the ends that the driver told
  std::vector<std::string> wrong_, events_;

 private:
  static std::string RunOf(const PlayedJob& p) {
    return p.job.name.substr(std::string_view(kPlayedPrefix).size());
  }
  Status Reach() {
    if (clock_.Monotonic() < up_at_ || (faults && random_.Chance(0.05)))
      return Error(Code::kUnavailable, "the controller does not answer");
    return {};
  }
  Status Answer() {
    if (faults && random_.Chance(0.1)) return Error(Code::kUnavailable, "the answer was lost");
    return {};
  }
  int64_t IdOf(const Submission& s) {
    if (!s.fresh) {
      for (const auto& [id, played] : jobs_) {
        if (played.job.name == s.name) return id;
      }
    }
    return Take(s);
  }
  int64_t Take(const Submission& s) {
    PlayedJob played;
    played.job = {next_++, "PENDING", 0, "", "Resources", s.name};
    played.dir = s.dir;
    played.ranks = static_cast<size_t>(s.ranks);
    played.fate = static_cast<PlayedFate>(random_.Below(12) < 6 ? 0 : random_.Below(7));
    played.submitted = clock_.Monotonic();
    played.begins = played.submitted + Duration::Millis(random_.Between(0, 20'000));
    Note(fmt::format("submitted {} as {}", s.name, played.job.id));
    const int64_t id = played.job.id;
    jobs_[id] = std::move(played);
    return id;
  }
  void Foreign(int64_t id) {
    PlayedJob played;
    played.job = {id, "RUNNING", 0, "n1", "None", "training of somebody"};
    played.ours = false;
    played.submitted = clock_.Monotonic();
    played.ends = played.submitted + Duration::Seconds(random_.Between(1, 200));
    jobs_[id] = std::move(played);
  }
  // As run.sh: one job makes the claim.
  void Begin(PlayedJob& played) {
    const std::string run = RunOf(played);
    const std::string claim = played.dir + "/claim";
    if (!io::FileExists(played.dir) ||
        !io::CreateFileDurably(claim, fmt::format("{}\n", played.job.id))) {
      Note(fmt::format("job {} of {} does nothing", played.job.id, run));
      played.job.exit = 75 * 256;
      return Over(played, "FAILED", true);
    }
    played.job.state = "RUNNING";
    played.job.nodes = "n1";
    played.ends = clock_.Monotonic() + Duration::Millis(random_.Between(500, 60'000));
    Note(fmt::format("begun {} by {}", run, played.job.id));
    if (++begun[run] > 1) Wrong(run + " was started twice");
    if (told_.count(run) != 0) Wrong(run + " began after its end was told: " + told_[run]);
  }
  void Over(PlayedJob& played, const char* state, bool told) {
    played.job.state = state;
    played.ended = true;
    played.told = told;
    played.told_at = clock_.Monotonic() + Duration::Millis(random_.Between(0, 4000));
    played.gone_at = clock_.Monotonic() + forgets_after_;
  }
  void End(PlayedJob& played) {
    static constexpr const char* kStates[] = {"COMPLETED", "FAILED",    "FAILED",   "OUT_OF_MEMORY",
                                              "NODE_FAIL", "PREEMPTED", "CANCELLED"};
    const bool ran = played.job.state == "RUNNING";
    played.job.exit = played.fate == PlayedFate::kSaved   ? 75 * 256
                      : played.fate == PlayedFate::kFails ? 768
                                                          : 0;
    const bool speaks =
        ran && played.ours &&
        (played.fate == PlayedFate::kDone || played.fate == PlayedFate::kSaved ||
         played.fate == PlayedFate::kFails || played.fate == PlayedFate::kOutOfMemory);
    Over(played, kStates[static_cast<size_t>(played.fate)], !speaks);
    if (ran && played.ours) truth[RunOf(played)] = played.fate;
    Note(fmt::format("job {} is {}", played.job.id, played.job.state));
  }
  // The ranks' last words, which a shared file system may show late.
  void Tell(PlayedJob& played) {
    played.told = true;
    static constexpr int kCodes[] = {0, 75, 3, 137};
    for (size_t r = 0; r < played.ranks; ++r)
      (void)io::WriteFileAtomically(
          fmt::format("{}/exit.{}", played.dir, r),
          fmt::format("{} {}\n", kCodes[static_cast<size_t>(played.fate)], 100 + r));
  }
  // The controller dies and comes back without its last moments; nodes kill what it does not know.
  void Crash() {
    const Duration now = clock_.Monotonic();
    up_at_ = now + Duration::Seconds(random_.Between(0, 15));
    const Duration saved = now - Duration::Millis(random_.Between(0, 3000));
    Note("the controller crashes");
    while (!jobs_.empty() && jobs_.rbegin()->second.submitted > saved) {
      PlayedJob& lost = jobs_.rbegin()->second;
      if (lost.ours && lost.job.state == "RUNNING") truth[RunOf(lost)] = PlayedFate::kNodeFails;
      next_ = lost.job.id;
      Note(fmt::format("job {} is lost", lost.job.id));
      jobs_.erase(lost.job.id);
    }
    if (random_.Chance(0.5)) Foreign(next_++);
  }

  const io::VirtualClock& clock_;
  Random random_;
  std::map<int64_t, PlayedJob> jobs_;
  std::map<int64_t, Job> accounted_;
  int64_t next_ = 100;
  Duration up_at_, forgets_after_, skew_;
  bool accounting_ = false;
};

class PlayedDoor final : public Door {
 public:
  explicit PlayedDoor(PlayedCluster& cluster) : cluster_(cluster) {}
  Result<Facts> Ask() override { return cluster_.Ask(); }
  Result<Look> LookAround() override { return cluster_.LookAround(); }
  Result<std::vector<Result<int64_t>>> Submit(const std::vector<Submission>& all) override {
    return cluster_.Submit(all);
  }
  Status Send(Nudge nudge, const std::vector<int64_t>& jobs) override {
    return cluster_.Send(nudge, jobs);
  }
  Result<std::vector<Job>> Remembered(const std::vector<int64_t>& jobs) override {
    return cluster_.Remembered(jobs);
  }
  Status Drain(const std::string&, const std::string&) override { return {}; }
  Status Resume(const std::string&) override { return {}; }
  Result<io::CommandOutput> Shell(const std::string&) override {
    return Error(Code::kUnimplemented, "no shell");
  }
  void Interrupt() override {}

 private:
  PlayedCluster& cluster_;
};

// A loop's life with one played site: starts runs, stops some, forgets what ended.
class PlayedLab {
 public:
  static constexpr int kRuns = 14;

  explicit PlayedLab(uint64_t seed)
      : cluster(clock_, seed + 1), dir_(*io::TempDir::Create("weir-slurm-faults")), random_(seed) {
    Open();
  }

  io::VirtualClock clock_;
  PlayedCluster cluster;

  void Play() {
    for (int step = 0; step < 250; ++step) {
      Step(Duration::Millis(random_.Between(50, 3000)));
      if (!known_) continue;
      if (started_ < kRuns && random_.Chance(0.15)) StartOne();
      if (!live_.empty() && random_.Chance(0.02)) {
        const auto it = std::next(live_.begin(), static_cast<int64_t>(random_.Below(live_.size())));
        cluster.Note("stop " + *it);
        (void)driver_->Stop(*it, Duration::Seconds(random_.Between(0, 8)));
        stopped_.insert(*it);
      }
      if (random_.Chance(0.03)) Die();
    }
    cluster.faults = false;
    for (int step = 0; step < 400 && !(live_.empty() && cluster.LiveJobs() == 0); ++step)
      Step(Duration::Seconds(2));
    for (const std::string& run : live_) cluster.Wrong(run + " never ended");
    if (cluster.LiveJobs() > 0) cluster.Wrong("jobs of the lab are left in the queue");
  }

 private:
  void Open() {
    Options options;
    options.site.name = "north";
    options.site.slurm.cluster = "alpha";
    options.data_dir = dir_.path();
    options.lab_tag = "lab-1";
    driver_.reset();
    driver_ =
        *CreateSlurmDriver(options, std::make_unique<PlayedDoor>(cluster), &clock_, Worker::kNone);
  }
  // kill -9, perhaps after a submission was answered and before that was written down.
  void Die() {
    cluster.Note("weir dies");
    driver_.reset();
    for (const std::string& run : live_) {
      if (random_.Chance(0.5)) (void)io::RemoveFile(dir_ / ("sites/north/runs/" + run + "/job"));
    }
    Open();
    for (auto it = live_.begin(); it != live_.end();) {  // the loop starts again what is not there
      if (io::FileExists(dir_ / ("sites/north/runs/" + *it + "/run.json"))) {
        ++it;
      } else {
        again_.insert(*it);
        it = live_.erase(it);
      }
    }
  }
  void Step(Duration by) {
    clock_.Advance(by);
    cluster.Advance();
    driver_->Turn();
    const auto runs = driver_->Poll();
    known_ = runs.has_value();
    if (!known_) return;
    for (const RunObservation& run : *runs) {
      const bool over = run.phase == RunPhase::kExited || run.phase == RunPhase::kLost ||
                        run.phase == RunPhase::kRefused;
      if (live_.count(run.id) == 0) {
        if (over)
          (void)driver_->Forget(run.id);
        else
          (void)driver_->Stop(run.id, Duration::Seconds(1));
        continue;
      }
      if (!over) continue;
      Told(run);
      live_.erase(run.id);
    }
    for (const std::string& run : live_) {
      if (std::none_of(runs->begin(), runs->end(), [&](const auto& r) { return r.id == run; }))
        cluster.Wrong(run + " is not listed");
    }
    for (const std::string& run : std::set(again_)) {
      if (driver_->Start(Spec(run))) {
        again_.erase(run);
        live_.insert(run);
      }
    }
  }
  void Told(const RunObservation& run) {
    const std::string said =
        fmt::format("{} {}: {}", static_cast<int>(run.phase), run.exit_code, run.reason);
    cluster.Note(fmt::format("told {} {}", run.id, said));
    if (!cluster.told_.emplace(run.id, said).second) cluster.Wrong(run.id + " ended twice");
    const auto truth = cluster.truth.find(run.id);
    const bool done = truth != cluster.truth.end() && truth->second == PlayedFate::kDone;
    const bool saved = truth != cluster.truth.end() && truth->second == PlayedFate::kSaved;
    const bool exited = run.phase == RunPhase::kExited;
    if ((exited && run.exit_code == 0) != done)
      cluster.Wrong(fmt::format("{} was {}done, told as {}", run.id, done ? "" : "not ", said));
    if (saved && !(exited && run.exit_code == 75))
      cluster.Wrong(fmt::format("{} had saved, told as {}", run.id, said));
    if (run.phase == RunPhase::kRefused) cluster.Wrong(run.id + " was refused");
    if (exited && run.exit_code != 0 && stopped_.count(run.id) == 0 &&
        truth == cluster.truth.end() && run.reason.find("not ") != 0 &&
        run.reason.find("cancelled at the site") != 0)
      cluster.Wrong(fmt::format("{} did not end, told as {}", run.id, said));
  }
  RunSpec Spec(const std::string& id) const {
    RunSpec run;
    run.id = id;
    run.holder = "job-" + id;
    run.command = {"true"};
    const int64_t number = std::atoll(id.substr(6).c_str());
    for (int64_t i = 0; i < 1 + number % 3; ++i) {
      wire::Slot slot;
      slot.node = i == 0 ? "n1" : "n2";
      slot.id = fmt::format("north/{}/{}", slot.node, (number + i) % 8);
      slot.site = "north";
      slot.type = "h100";
      run.slots.push_back(std::move(slot));
    }
    return run;
  }
  void StartOne() {
    const std::string id = fmt::format("lease-{}", ++started_);
    cluster.Note("start " + id);
    if (driver_->Start(Spec(id)))
      live_.insert(id);
    else
      again_.insert(id);
  }

  io::TempDir dir_;
  Random random_;
  std::unique_ptr<SlurmDriver> driver_;
  std::set<std::string> live_, again_, stopped_;
  bool known_ = false;
  int started_ = 0;
};

std::vector<std::string> PlayFaults(uint64_t seed) {
  PlayedLab lab(seed);
  lab.Play();
  if (!lab.cluster.wrong_.empty()) {
    ADD_FAILURE() << "SEED=" << seed << "\n"
                  << fmt::format("{}\n--\n{}", fmt::join(lab.cluster.wrong_, "\n"),
                                 fmt::join(lab.cluster.events_, "\n"));
  }
  return lab.cluster.events_;
}

TEST(SlurmFaults, NothingRunsTwiceAndEveryEndIsToldAsItWas) {
  if (const char* seed = std::getenv("SEED")) {
    (void)PlayFaults(std::strtoull(seed, nullptr, 0));
    return;
  }
  for (uint64_t seed = 1; seed <= 8 && !::testing::Test::HasFailure(); ++seed)
    (void)PlayFaults(seed * 7919);
  EXPECT_EQ(PlayFaults(11), PlayFaults(11)) << "the play itself is not deterministic";
}

}  // namespace
}  // namespace weir::control::slurm
