#include "control/drivers/slurm/slurm.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "base/check.h"
#include "base/logging.h"
#include "control/drivers/progress_reader.h"
#include "control/drivers/run_files.h"
#include "control/drivers/run_log.h"
#include "control/drivers/slurm/batch.h"
#include "control/drivers/slurm/outcome.h"
#include "control/drivers/slurm/slots.h"
#include "control/outcome.h"

namespace weir::control::slurm {

// run.json
struct RunFile {
  std::string id;
  std::string holder;
  std::vector<std::string> hosts;
  std::vector<std::string> slots;
  std::string type;
  std::string log_path;
  std::string progress_path;
  int64_t progress_offset = 0;
  bool wants_port = false;
  int64_t memory_limit_bytes = 0;
  Duration time_limit;
  Duration grace;
  Time started;
};
template <class V>
void Fields(V& v, wire::Owned<V, RunFile>& r) {
  v("id", r.id, "", wire::kRequired);
  v("holder", r.holder);
  v("hosts", r.hosts, "of its ranks", wire::kRequired);
  v("slots", r.slots, "ids", wire::kRequired);
  v("type", r.type, "of its accelerators; empty: any");
  v("log_path", r.log_path);
  v("progress_path", r.progress_path);
  v("progress_offset", r.progress_offset, "its length when the run began");
  v("wants_port", r.wants_port);
  v("memory_limit_bytes", r.memory_limit_bytes);
  v("time_limit_us", r.time_limit);
  v("grace_us", r.grace);
  v("started_us", r.started);
}

enum class EndPhase { kExited, kLost, kRefused };

// end.json
struct EndFile {
  EndPhase phase = EndPhase::kExited;
  int64_t exit_code = 0;
  std::string reason;
  std::vector<std::string> last_lines;
  Time ended;
};
template <class V>
void Fields(V& v, wire::Owned<V, EndFile>& e) {
  v("phase", e.phase, "", wire::kRequired);
  v("exit_code", e.exit_code);
  v("reason", e.reason);
  v("last_lines", e.last_lines);
  v("ended_us", e.ended);
}

}  // namespace weir::control::slurm
WEIR_ENUM(weir::control::slurm::EndPhase, {weir::control::slurm::EndPhase::kExited, "exited"},
          {weir::control::slurm::EndPhase::kLost, "lost"},
          {weir::control::slurm::EndPhase::kRefused, "refused"});
WEIR_LOCAL_MESSAGE(weir::control::slurm::RunFile);
WEIR_LOCAL_MESSAGE(weir::control::slurm::EndFile);

namespace weir::control::slurm {
namespace {

constexpr int64_t kSmallFileBytes = 4096;
constexpr int64_t kTailBytes = 8 << 10;
constexpr int64_t kPortSpan = 10'000;
constexpr int kAbsentLooks = 2;
constexpr Duration kSaveOffsetEvery = Duration::Seconds(5);
constexpr Duration kDrainRetry = Duration::Seconds(30);
constexpr int kProgressReads = 16;  // of ProgressReader's bounds each, at once
constexpr int64_t kWithheld = 0;    // in `claim`: no job may begin it
constexpr const char* kDrainMark = "weir: ";

std::string ParentOf(const std::string& path) { return path.substr(0, path.find_last_of('/')); }

int64_t NumberIn(const std::string& path) {
  return std::atoll(io::ReadFile(path, kSmallFileBytes).value_or("").c_str());
}

struct Run {
  RunFile file;
  std::string dir;
  std::optional<RunSpec> spec;  // until its files are written
  std::optional<ProgressReader> progress;
  std::vector<wire::Json> told;  // progress that no Poll has taken yet
  Duration offset_saved_at;

  int64_t job = 0;        // 0: not known
  bool tried = false;     // a submission was sent: it may be there although its id is not known
  bool in_hand = false;   // the worker is submitting it now
  Duration sent_at = {};  // of the newest submission
  int tries = 0;
  Duration retry_at = {};
  Duration asked_at = {};

  std::optional<Duration> kill_at;  // a stop was asked: SIGTERM now, the end then
  std::string cause;                // of a stop of our own
  bool term_sent = false, cancel_sent = false;

  size_t said = 0;  // so many ranks, from the first on, have said how they ended
  JobStage stage = JobStage::kPending;
  std::string state, reason;
  bool began = false;
  Duration running_at = {};
  Duration ended_seen_at = {};
  int absent = 0;
  std::string host;
  int64_t port = 0;
  std::optional<EndFile> end;
};

// A run that ended by its own word before Slurm said so: its job is listed for a moment yet.
struct Settled {
  int64_t job = 0;
  std::vector<std::string> slots;
  Duration since;
  std::string rubbish;  // its folder, once it is forgotten
};

// How each rank ended, as far as they have said.
std::vector<std::optional<RankExit>> ReadExits(const std::string& dir, size_t ranks, size_t from) {
  std::vector<std::optional<RankExit>> exits(ranks);
  for (size_t rank = from; rank < ranks; ++rank) {
    const auto text = io::ReadFile(fmt::format("{}/exit.{}", dir, rank), kSmallFileBytes);
    long long code = 0, at = 0;
    if (text && std::sscanf(text->c_str(), "%lld %lld", &code, &at) == 2 && code >= 0 && code < 256)
      exits[rank] = RankExit{code, at};
  }
  return exits;
}

// What the worker reads of a run's folder, without the lock.
struct Wrote {
  int64_t claim = 0;
  std::vector<std::optional<RankExit>> ranks;
  std::string host;
  int64_t port = 0;
  std::vector<wire::Json> progress;
  int64_t size_told = 0;
};

class Implementation final : public SlurmDriver {
 public:
  Implementation(Options options, std::unique_ptr<Door> door, const io::Clock* clock)
      : options_(std::move(options)), door_(std::move(door)), clock_(clock) {
    const wire::SiteSpec& spec = options_.site;
    site_.name = spec.name;
    site_.driver = "slurm";
    site_.isolation = "as Slurm keeps its jobs apart";
    site_.power_w_per_slot = spec.power_w_per_slot;
    site_.price_usd_per_slot_h = spec.price_usd_per_slot_h;
    dir_ = options_.data_dir + "/sites/" + spec.name;
    runs_dir_ = dir_ + "/runs";
    prefix_ = "weir." + options_.lab_tag + ".";
  }

  ~Implementation() override {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    door_->Interrupt();
    wake_.notify_one();
    if (worker_.joinable()) worker_.join();
  }

  Status Adopt() {
    TRY(io::MakeDirs(runs_dir_));
    for (const io::DirEntry& entry : TRY(io::ListDir(runs_dir_))) {
      if (!entry.is_dir) continue;
      const std::string dir = runs_dir_ + "/" + entry.name;
      Result<RunFile> file = ReadRunFile<RunFile>(dir + "/run.json");
      if (!file && file.error().code() == Code::kNotFound) {
        TRY(io::RemoveTree(dir));  // cut short before anything was submitted
        continue;
      }
      if (!file || file->id != entry.name || file->hosts.empty()) {
        return Error(Code::kDataLoss, fmt::format("{}/run.json is damaged", dir))
            .Hint("look for the job in Slurm's queue, cancel it, and move that folder away");
      }
      Run& run = AddRun(*std::move(file));
      run.tried = true;
      run.job = NumberIn(dir + "/job");
      if (Result<EndFile> end = ReadRunFile<EndFile>(dir + "/end.json"); end) {
        run.end = *std::move(end);
      } else if (io::FileExists(dir + "/claim") && NumberIn(dir + "/claim") == kWithheld) {
        End(run, Withdrawn());  // cut short between the two
        if (run.job != 0) unwanted_.insert(run.job);
      }
    }
    return {};
  }

  void Begin() {
    worker_ = std::thread([this] {
      std::unique_lock lock(mutex_);
      while (!ending_) {
        lock.unlock();
        Turn();
        lock.lock();
        const Duration now = clock_->Monotonic();
        if (const Duration due = NextDue(); due > now)
          wake_.wait_for(lock, std::chrono::microseconds((due - now).us),
                         [&] { return ending_ || woken_; });
        woken_ = false;
      }
    });
  }

  // ---- what the loop calls ----

  const wire::Site& site() const override { return site_; }

  Result<std::vector<wire::Slot>> Slots() override {
    std::lock_guard lock(mutex_);
    TRY(Known());
    return slots_;
  }

  Status Start(const RunSpec& spec) override {
    std::lock_guard lock(mutex_);
    if (runs_.contains(spec.id)) return {};
    TRY(Known());
    TRY(Check(spec));
    RunFile file;
    file.id = spec.id;
    file.holder = spec.holder;
    for (const wire::Slot& slot : spec.slots) {
      if (spec.gang || file.hosts.empty()) file.hosts.push_back(slot.node);
      file.slots.push_back(slot.id);
    }
    file.log_path = spec.log_path;
    file.progress_path = spec.progress_path;
    if (!spec.progress_path.empty())
      file.progress_offset = io::FileSize(spec.progress_path).value_or(0);
    file.wants_port = spec.wants_port;
    file.memory_limit_bytes = spec.memory_limit_bytes;
    file.time_limit = spec.time_limit;
    file.grace = spec.grace;
    file.started = clock_->Now();
    Run& run = AddRun(std::move(file));
    run.spec = spec;
    Wake();
    return {};
  }

  Status Stop(const std::string& run_id, Duration grace) override {
    std::lock_guard lock(mutex_);
    const auto it = runs_.find(run_id);
    if (it == runs_.end()) {
      for (const Job& job : orphans_) {
        if (job.name == prefix_ + run_id) unwanted_.insert(job.id);
      }
      Wake();
      return {};
    }
    if (it->second.end) return {};
    Run& run = it->second;
    const Duration kill_at = clock_->Monotonic() + grace;
    run.kill_at = run.kill_at ? std::min(*run.kill_at, kill_at) : kill_at;
    if (!run.tried && !run.in_hand) End(run, Withdrawn());
    Wake();
    return {};
  }

  Result<std::vector<RunObservation>> Poll() override {
    std::lock_guard lock(mutex_);
    TRY(Known());
    std::vector<RunObservation> all;
    for (auto& [id, run] : runs_) all.push_back(Describe(run));
    for (const Job& job : orphans_) {
      RunObservation seen;
      seen.id = job.name.substr(prefix_.size());
      seen.phase = RunPhase::kStopping;
      seen.reason = fmt::format("job {} of this lab that no folder knows", job.id);
      if (!runs_.contains(seen.id)) all.push_back(std::move(seen));
    }
    std::sort(all.begin(), all.end(),
              [](const RunObservation& a, const RunObservation& b) { return a.id < b.id; });
    return all;
  }

  Status Forget(const std::string& run_id) override {
    std::lock_guard lock(mutex_);
    const auto it = runs_.find(run_id);
    if (it == runs_.end()) return {};
    if (!it->second.end)
      return Error(Code::kFailedPrecondition, fmt::format("run {} has not ended", run_id))
          .Hint("stop it first");
    const auto settled = settled_.find(run_id);
    if (settled != settled_.end())
      settled->second.rubbish = it->second.dir;
    else
      rubbish_.push_back(it->second.dir);
    runs_.erase(it);
    Wake();
    return {};
  }

  void DrainNodes(const std::map<std::string, std::string>& why_by_node) override {
    std::lock_guard lock(mutex_);
    if (drain_ == why_by_node) return;
    drain_ = why_by_node;
    drain_at_ = {};
  }

  // ---- what the worker does ----

  void Turn() override {
    CleanUp();
    SendStops();
    SubmitSome();
    bool due;
    {
      std::lock_guard lock(mutex_);
      due = clock_->Monotonic() >= next_look_;
    }
    if (due)
      LookAgain();
    else
      WatchFiles();
  }

 private:
  // Under the lock, as all that follows unless it says otherwise.

  void Wake() {
    woken_ = true;
    wake_.notify_one();
  }

  Status Known() const {
    const Duration now = clock_->Monotonic();
    if (looked_ && now - looked_at_ <= options_.site.unknown_after) return {};
    return Error(Code::kUnavailable,
                 !looked_ && trouble_.empty()
                     ? fmt::format("site {} has not been looked at yet", site_.name)
                     : fmt::format("site {} does not answer: {}", site_.name,
                                   trouble_.empty() ? "its newest picture is too old" : trouble_));
  }

  Run& AddRun(RunFile file) {
    Run run;
    run.dir = runs_dir_ + "/" + file.id;
    run.asked_at = clock_->Monotonic();
    if (!file.progress_path.empty()) {
      const std::string saved = io::ReadFile(run.dir + "/progress.offset", 32).value_or("");
      run.progress.emplace(file.progress_path,
                           std::max<int64_t>(file.progress_offset, std::atoll(saved.c_str())));
    }
    const std::string id = file.id;
    run.file = std::move(file);
    return runs_.insert_or_assign(id, std::move(run)).first->second;
  }

  Status Check(const RunSpec& spec) const {
    const auto refuse = [&](std::string why) {
      return Error(Code::kInvalidArgument, fmt::format("run '{}' {}", spec.id, why));
    };
    if (spec.id.empty() || spec.id.front() == '.' ||
        spec.id.find_first_of("/|'\n") != std::string::npos)
      return refuse("has an id that cannot name a folder and a job");
    if (spec.command.empty() || spec.command[0].empty()) return refuse("has no command");
    if (spec.slots.empty()) return refuse("has no slots");
    for (const auto& [name, value] : spec.env) {
      if (!IsShellName(name) || value.find('\0') != std::string::npos)
        return refuse(
            fmt::format("has an environment variable that a shell cannot set: '{}'", name));
    }
    for (const std::string& word : spec.command) {
      if (word.find('\0') != std::string::npos) return refuse("has a command with a zero byte");
    }
    for (const wire::Slot& slot : spec.slots) {
      if (!spec.gang && slot.node != spec.slots[0].node)
        return refuse("is one process on slots of two nodes");
    }
    for (const std::string& path :
         {spec.cwd, spec.log_path, spec.progress_path, spec.checkpoint_dir}) {
      if (!path.empty() && path.front() != '/')
        return refuse(fmt::format("names the path '{}', which is not absolute", path));
    }
    return {};
  }

  static EndFile Withdrawn() {
    EndFile end;
    end.exit_code = 75;
    end.reason = "withdrawn before it began";
    return end;
  }

  void End(Run& run, EndFile end) {
    end.ended = clock_->Now();
    run.end = std::move(end);
    run.spec.reset();
    if (run.tried) unsaved_ends_.insert(run.file.id);
  }

  RunObservation Describe(Run& run) {
    RunObservation seen;
    seen.id = run.file.id;
    seen.started = run.file.started;
    seen.port = run.port;
    if (!run.host.empty()) seen.host = run.host;
    seen.new_progress = std::move(run.told);
    run.told.clear();
    if (run.end) {
      seen.phase = run.end->phase == EndPhase::kExited ? RunPhase::kExited
                   : run.end->phase == EndPhase::kLost ? RunPhase::kLost
                                                       : RunPhase::kRefused;
      seen.exit_code = static_cast<int>(run.end->exit_code);
      seen.reason = run.end->reason;
      seen.last_lines = run.end->last_lines;
      seen.ended = run.end->ended;
    } else if (run.kill_at) {
      seen.phase = RunPhase::kStopping;
    } else {
      seen.phase = run.began ? RunPhase::kRunning : RunPhase::kStarting;
      if (!run.began && !run.reason.empty()) seen.reason = "Slurm holds it back: " + run.reason;
    }
    return seen;
  }

  bool Live(const Run& run) const { return !run.end && run.job != 0; }

  bool Submittable(const Run& run, Duration now) const {
    return !run.end && run.job == 0 && !run.in_hand && !run.kill_at && now >= run.retry_at;
  }

  // The next instant at which a Turn has something to do.
  Duration NextDue() const {
    if (!rubbish_.empty() || !unsaved_ends_.empty()) return {};
    Duration due = next_look_;
    const auto at = [&](Duration when) { due = std::min(due, std::max(when, changes_from_)); };
    if (!unwanted_.empty() && looked_) at({});
    for (const auto& [id, run] : runs_) {
      if (run.end || run.in_hand) continue;
      if (run.kill_at && !run.began && run.tried) return {};  // withdrawn, or begun after all
      if (run.job != 0) due = std::min(due, files_from_);
      if (run.job == 0 && !run.kill_at && looked_) at(run.retry_at);
      if (run.job == 0 || !run.kill_at || run.cancel_sent || !looked_ || run.absent > 0) continue;
      at(!run.term_sent || !run.began ? Duration{} : *run.kill_at);
    }
    return due;
  }

  // Changes that took so long: the next may not come before they are their share of the time.
  void SpendOnChanges(Duration took, Duration now) {
    changes_from_ = now + std::min(Duration::FromSeconds(took.seconds() * (1 / kChangesShare - 1)),
                                   kLongestBackoff);
    next_look_ = std::min(next_look_, std::max(looks_from_, now + kSoon));
  }
  // A look took so long: the next one may not come before that is a small share of the time.
  void SpendOnLook(Duration took, Duration now) {
    const double share = std::clamp(options_.site.slurm.load_share, 0.001, 1.0);
    looks_from_ =
        now + std::min(Duration::FromSeconds(took.seconds() * (1 / share - 1)), kLongestBackoff);
  }

  // ---- the worker's steps: they take the lock themselves ----

  void CleanUp() {
    std::vector<std::string> dirs;
    std::vector<std::pair<std::string, EndFile>> ends;
    {
      std::lock_guard lock(mutex_);
      dirs.swap(rubbish_);
      for (const std::string& id : unsaved_ends_) {
        if (const auto run = runs_.find(id); run != runs_.end() && run->second.end)
          ends.emplace_back(run->second.dir, *run->second.end);
      }
      unsaved_ends_.clear();
    }
    // An end that the disk does not take is found again after a restart, from Slurm and the ranks.
    for (const auto& [dir, end] : ends)
      (void)io::WriteFileAtomically(dir + "/end.json", wire::ToText(end));
    for (const std::string& dir : dirs) {
      (void)io::RemoveFile(dir + "/run.json");  // first: what is left without it is rubbish
      if (const Status removed = io::RemoveTree(dir); !removed)
        log::warn("{}: {}", site_.name, removed.error().ToString());
    }
  }

  void SendStops() {
    Withdraw();
    std::vector<std::string> term_runs, cancel_runs;
    std::vector<int64_t> term, cancel;
    Duration began;
    {
      std::lock_guard lock(mutex_);
      began = clock_->Monotonic();
      if (!looked_ || began < changes_from_) return;
      for (auto& [id, run] : runs_) {
        // Of a job that the newest look did not show nothing is known; its number may be another's.
        if (!Live(run) || !run.kill_at || run.absent > 0) continue;
        if (!run.cancel_sent && (began >= *run.kill_at || !run.began)) {
          cancel.push_back(run.job);
          cancel_runs.push_back(id);
        } else if (!run.term_sent) {
          term.push_back(run.job);
          term_runs.push_back(id);
        }
      }
      cancel.insert(cancel.end(), unwanted_.begin(), unwanted_.end());
      unwanted_.clear();  // the loop asks again for those that the next look still lists
    }
    if (term.empty() && cancel.empty()) return;
    const Status termed = door_->Send(Nudge::kTerm, term);
    const Status cancelled = door_->Send(Nudge::kCancel, cancel);
    std::lock_guard lock(mutex_);
    const Duration now = clock_->Monotonic();
    SpendOnChanges(now - began, now);
    for (const Status* status : {&termed, &cancelled}) {
      if (*status) continue;
      Trouble(status->error());
      changes_from_ = std::max(changes_from_, now + Duration::Seconds(1));
    }
    for (const std::string& id : term_runs) {
      if (const auto run = runs_.find(id); run != runs_.end() && termed)
        run->second.term_sent = true;
    }
    for (const std::string& id : cancel_runs) {
      if (const auto run = runs_.find(id); run != runs_.end() && cancelled)
        run->second.term_sent = run->second.cancel_sent = true;
    }
  }

  // Runs that are to stop and that no job has begun: from here on none can, whatever Slurm holds or
  // has not answered yet. This needs the folder alone, so it holds for a site that is silent.
  void Withdraw() {
    std::vector<std::pair<std::string, std::string>> idle;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [id, run] : runs_) {
        if (!run.end && run.kill_at && !run.began && run.tried && !run.in_hand)
          idle.emplace_back(id, run.dir);
      }
    }
    for (const auto& [id, dir] : idle) {
      const bool withheld = Withhold(dir);
      std::lock_guard lock(mutex_);
      const auto it = runs_.find(id);
      if (it == runs_.end() || it->second.end) continue;
      Run& run = it->second;
      if (!withheld) {
        run.began = true;
        continue;
      }
      if (run.job != 0 && run.absent == 0) unwanted_.insert(run.job);
      EndFile end = Withdrawn();
      if (!run.cause.empty()) end.reason = run.cause;
      End(run, std::move(end));
    }
  }

  // Claims a run for nobody. False: a job has begun it. A disk that takes no file lets no job begin
  // either, so then it counts as withheld.
  static bool Withhold(const std::string& dir) {
    const Status made = io::CreateFileDurably(dir + "/claim", fmt::format("{}\n", kWithheld));
    return made || made.error().code() != Code::kAlreadyExists ||
           NumberIn(dir + "/claim") == kWithheld;
  }

  void SubmitSome() {
    struct InHand {
      std::string id, dir;
      RunFile file;
      std::optional<RunSpec> spec;
      bool tried = false;
      bool fresh = false;
    };
    std::vector<InHand> taken;
    Facts facts;
    std::vector<Node> nodes;
    Duration began;
    {
      std::lock_guard lock(mutex_);
      began = clock_->Monotonic();
      if (!looked_ || began < changes_from_) return;
      for (auto& [id, run] : runs_) {
        if (taken.size() == kSubmitBatch) break;
        if (!Submittable(run, began)) continue;
        run.in_hand = true;
        taken.push_back({id, run.dir, run.file, run.spec, run.tried});
      }
      if (taken.empty()) return;
      facts = facts_;
      nodes = look_.nodes;
      for (InHand& t : taken) {
        t.fresh = !t.tried && std::none_of(look_.jobs.begin(), look_.jobs.end(),
                                           [&](const Job& j) { return j.name == prefix_ + t.id; });
      }
    }
    std::vector<Submission> asks;
    std::vector<size_t> asked;  // index into taken
    std::vector<std::optional<Result<int64_t>>> answers(taken.size());
    for (size_t i = 0; i < taken.size(); ++i) {
      InHand& t = taken[i];
      // One that was adopted: perhaps it runs already, though its id was lost.
      if (const int64_t claim = t.tried ? NumberIn(t.dir + "/claim") : 0; claim > 0) {
        answers[i] = claim;
        continue;
      }
      Result<Submission> ask = Prepare(t.dir, t.file, t.spec, facts, nodes);
      if (!ask) {
        answers[i] = std::move(ask).error();
        continue;
      }
      ask->fresh = t.fresh;
      asks.push_back(*std::move(ask));
      asked.push_back(i);
    }
    if (!asks.empty()) {
      Result<std::vector<Result<int64_t>>> ids = door_->Submit(asks);
      for (size_t a = 0; a < asked.size(); ++a)
        answers[asked[a]] = ids ? (*ids)[a] : Result<int64_t>(ids.error());
    }
    for (size_t i = 0; i < taken.size(); ++i) {
      if (*answers[i])
        (void)io::WriteFileAtomically(taken[i].dir + "/job", std::to_string(**answers[i]) + "\n");
    }

    std::lock_guard lock(mutex_);
    const Duration now = clock_->Monotonic();
    SpendOnChanges(now - began, now);
    for (size_t i = 0; i < taken.size(); ++i) {
      const auto it = runs_.find(taken[i].id);
      if (it == runs_.end()) continue;
      Run& run = it->second;
      run.in_hand = false;
      if (*answers[i] || std::find(asked.begin(), asked.end(), i) != asked.end()) {
        run.tried = true;
        run.sent_at = now;
        run.spec.reset();  // its files are there
      }
      if (*answers[i]) {
        run.job = **answers[i];
        continue;
      }
      const Error& error = answers[i]->error();
      run.tries += 1;
      run.retry_at =
          now + std::min(kLongestBackoff, Duration::Seconds(1) * (1 << std::min(run.tries, 5)));
      run.reason = error.message();
      const bool never =
          error.code() == Code::kInvalidArgument || error.code() == Code::kPermissionDenied;
      const bool late = !run.tried && now - run.asked_at >= options_.site.slurm.start_within;
      if (!never && !late && error.code() != Code::kNotFound) {
        Trouble(error);
      } else if (run.tried && !Withhold(run.dir)) {
        run.began = true;  // an earlier try was taken after all; its claim says which
      } else {
        EndFile end = Withdrawn();
        end.reason = error.message();
        if (never) {
          end.phase = EndPhase::kRefused;
          end.exit_code = 0;
          end.reason = error.ToString();
        }
        End(run, std::move(end));
      }
    }
  }

  // Writes the run's files; without the lock.
  Result<Submission> Prepare(const std::string& dir, RunFile& file,
                             const std::optional<RunSpec>& spec, const Facts& facts,
                             const std::vector<Node>& nodes) const {
    const wire::SlurmSite& site = options_.site.slurm;
    int64_t cpus_per_slot = 0, mem_per_cpu = 0;
    std::string first_address, type;
    for (const std::string& host : file.hosts) {
      const auto node =
          std::find_if(nodes.begin(), nodes.end(), [&](const Node& n) { return n.name == host; });
      if (node == nodes.end())
        return Error(Code::kNotFound,
                     fmt::format("node {} has left cluster {}", host, site.cluster));
      const std::vector<std::string> types = SlotTypes(site, *node);
      const int64_t slots = std::max<int64_t>(1, static_cast<int64_t>(types.size()));
      int64_t cpus = site.cpus_per_slot > 0 ? site.cpus_per_slot : node->cpus / slots;
      cpus = std::max<int64_t>(1, cpus);
      cpus_per_slot = cpus_per_slot == 0 ? cpus : std::min(cpus_per_slot, cpus);
      const int64_t memory = node->memory_mb / std::max<int64_t>(1, node->cpus);
      mem_per_cpu = mem_per_cpu == 0 ? memory : std::min(mem_per_cpu, memory);
      if (first_address.empty()) first_address = node->address.empty() ? host : node->address;
    }
    std::set<std::string> distinct(file.hosts.begin(), file.hosts.end());
    const auto slots = static_cast<int64_t>(file.slots.size());
    const auto ranks = static_cast<int64_t>(file.hosts.size());
    const int64_t per_rank = ranks == slots ? 1 : slots;

    Submission s;
    s.name = prefix_ + file.id;
    s.comment = fmt::format("weir {} of {}, for {}", file.id, options_.lab_tag, file.holder);
    s.dir = There(dir);
    s.ranks = ranks;
    s.nodes = static_cast<int64_t>(distinct.size());
    s.cpus_per_task = cpus_per_slot * per_rank;
    s.arbitrary = distinct.size() > 1;
    s.host = file.hosts.front();
    s.hosts = file.hosts;
    if (!site.gres.empty()) {
      // The slots' own type, where it is one: a node may have several.
      std::set<std::string> kinds;
      for (const wire::Slot& slot : spec ? spec->slots : std::vector<wire::Slot>{})
        kinds.insert(slot.type);
      if (!spec) kinds.insert(file.type);
      if (kinds.size() == 1) type = *kinds.begin();
      file.type = type;
      const std::string kind = type.empty() ? "" : type + ":";
      if (ranks > 1 && site.gres == "gpu")
        s.gpus_per_task = kind + "1";
      else if (ranks == 1)
        s.extra_gres = fmt::format("{}:{}{}", site.gres, kind, per_rank);
      else
        return Error(
            Code::kInvalidArgument,
            fmt::format("gangs need gpu as generic resource; this site has {}", site.gres));
    }
    if (file.memory_limit_bytes > 0) {
      const int64_t mb = (file.memory_limit_bytes + (1 << 20) - 1) / (1 << 20);
      s.mem_per_cpu_mb = (mb + s.cpus_per_task - 1) / s.cpus_per_task;
    } else if (facts.memory_is_shared_out) {
      s.mem_per_cpu_mb = mem_per_cpu;
    }
    // Weir ends a run at its limit itself; Slurm's, by whole minutes, holds while Weir is away.
    s.grace = file.grace;
    if (file.time_limit.us > 0) s.limit = file.time_limit + file.grace + Duration::Minutes(1);
    if (facts.longest && (s.limit.us == 0 || *facts.longest < s.limit)) s.limit = *facts.longest;

    if (!spec) return s;  // adopted: its files are there
    TRY(io::RemoveTree(dir));
    TRY(io::MakeDirs(dir));
    if (!spec->progress_path.empty()) TRY(io::MakeDirs(ParentOf(spec->progress_path)));
    if (!spec->checkpoint_dir.empty()) TRY(io::MakeDirs(spec->checkpoint_dir));
    if (!spec->log_path.empty()) TRY(io::MakeDirs(ParentOf(spec->log_path)));
    Batch batch;
    batch.dir = s.dir;
    batch.run_id = file.id;
    batch.holder = file.holder;
    batch.command = spec->command;
    for (std::string& word : batch.command) word = There(word);
    if (!site.weir_at.empty() && spec->command[0] == options_.weir_binary)
      batch.command[0] = site.weir_at;
    for (const auto& [name, value] : spec->env) batch.env[name] = There(value);
    batch.cwd = There(spec->cwd);
    batch.log_path = There(spec->log_path);
    batch.progress_path = There(spec->progress_path);
    batch.checkpoint_dir = There(spec->checkpoint_dir);
    batch.hosts = file.hosts;
    batch.first_address = first_address;
    batch.cpus_per_task = s.cpus_per_task;
    batch.wants_port = spec->wants_port;
    batch.port = site.first_port + PortOf(file.id);
    batch.grace = spec->grace;
    TRY(io::WriteFileAtomically(dir + "/run.sh", RunScript(batch), 0700));
    TRY(io::WriteFileAtomically(dir + "/rank.sh", RankScript(batch), 0700));
    TRY(io::WriteFileAtomically(dir + "/hosts", HostsFile(batch)));
    TRY(io::WriteFileDurably(dir + "/run.json", wire::ToText(file)));
    return s;
  }

  // Runs of a lab get different ports for a long while: ids are numbered.
  static int64_t PortOf(const std::string& id) {
    const size_t digits = id.find_last_not_of("0123456789");
    const std::string number = id.substr(digits == std::string::npos ? 0 : digits + 1);
    if (!number.empty() && number.size() < 18) return std::stoll(number) % kPortSpan;
    uint64_t hash = 1469598103934665603ULL;
    for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
    return static_cast<int64_t>(hash % kPortSpan);
  }

  // A path of the lab's data folder as the site sees it, and back. Anything else stays as it is.
  std::string There(const std::string& path) const {
    return Moved(path, options_.data_dir, options_.site.slurm.data_at);
  }
  static std::string Moved(const std::string& path, const std::string& from,
                           const std::string& to) {
    if (from.empty() || to.empty() || from == to || path.rfind(from, 0) != 0 ||
        (path.size() > from.size() && path[from.size()] != '/'))
      return path;
    return to + path.substr(from.size());
  }

  void LookAgain() {
    Duration began = clock_->Monotonic();
    bool ask_facts;
    {
      std::lock_guard lock(mutex_);
      ask_facts = !looked_ || began >= facts_due_;
    }
    Result<Facts> facts = Error(Code::kInternal, "not asked");
    if (ask_facts) {
      facts = door_->Ask();
      if (facts && !facts->cluster.empty() && facts->cluster != options_.site.slurm.cluster)
        facts = Error(Code::kFailedPrecondition,
                      fmt::format("the controller is that of cluster {}, not of {}", facts->cluster,
                                  options_.site.slurm.cluster));
      if (!facts) return LookFailed(facts.error(), began);
    }
    const Duration looked_from = clock_->Monotonic();
    Result<Look> look = door_->LookAround();
    if (!look) return LookFailed(look.error(), began);

    // The files of those that may have something to say.
    struct Reading {
      std::string id, dir;
      size_t ranks = 1;
      bool exits = false, wants_port = false, wants_progress = false;
    };
    std::vector<Reading> readings;
    std::map<int64_t, const Job*> by_id;
    std::map<std::string, const Job*> by_name;
    for (const Job& job : look->jobs) {
      by_id[job.id] = &job;
      if (job.name.rfind(prefix_, 0) != 0) continue;
      // Of several of one name, one that has not ended.
      const Job*& known = by_name[job.name.substr(prefix_.size())];
      if (known == nullptr || StageOf(known->state) == JobStage::kEnded || job.id < known->id)
        known = &job;
    }
    {
      std::lock_guard lock(mutex_);
      for (auto& [id, run] : runs_) {
        if (run.end || !run.tried) continue;
        const Job* job = JobOf(run, by_id, by_name);
        const bool runs = job != nullptr && StageOf(job->state) == JobStage::kRunning;
        readings.push_back({id, run.dir, run.file.hosts.size(), !runs || run.file.hosts.size() > 1,
                            run.file.wants_port && run.port == 0,
                            run.progress.has_value() && run.told.empty()});
      }
    }
    std::map<std::string, Wrote> wrote;
    std::vector<int64_t> forgotten;
    for (const Reading& r : readings) {
      Wrote& w = wrote[r.id];
      w.claim = NumberIn(r.dir + "/claim");
      if (r.exits) w.ranks = ReadExits(r.dir, r.ranks, 0);
      if (r.wants_port) ReadAddress(r.dir, w);
      if (r.wants_progress) ReadProgress(r.id, w);
    }
    if (facts_.accounting || (facts && facts->accounting)) Recall(by_id);

    std::vector<std::pair<std::string, int64_t>> found;  // ids to be written down
    {
      std::lock_guard lock(mutex_);
      const Duration now = clock_->Monotonic();
      SpendOnLook(now - began, now);
      if (facts) {
        facts_ = *std::move(facts);
        facts_due_ = now + kFactsEvery;
      }
      if (!trouble_.empty()) log::info("site {} answers again", site_.name);
      trouble_.clear();
      failures_ = 0;
      looked_ = true;
      looked_at_ = now;
      bool busy = false;
      std::vector<Held> held;
      for (auto& [id, run] : runs_) {
        const auto files = wrote.find(id);
        if (!run.end && files != wrote.end())
          Apply(run, JobOf(run, by_id, by_name), files->second, looked_from, now, found);
        if (!run.end) {
          held.push_back({run.file.slots, run.job != 0 && run.stage != JobStage::kPending});
          busy = busy || !run.began || run.kill_at.has_value() || run.stage != JobStage::kRunning;
        }
      }
      for (auto it = settled_.begin(); it != settled_.end();) {
        const auto job = by_id.find(it->second.job);
        const bool there = job != by_id.end() && job->second->name == prefix_ + it->first &&
                           StageOf(job->second->state) != JobStage::kEnded;
        if (there && now - it->second.since < kSettles) {
          held.push_back({it->second.slots, true});
          ++it;
          continue;
        }
        if (!it->second.rubbish.empty()) rubbish_.push_back(it->second.rubbish);
        it = settled_.erase(it);
      }
      orphans_.clear();
      for (const auto& [id, job] : by_name) {
        if (!runs_.contains(id) && !settled_.contains(id) &&
            StageOf(job->state) != JobStage::kEnded)
          orphans_.push_back(*job);
      }
      slots_ = SlotsOf(options_.site, facts_, *look, held, clock_->Now(), theirs_);
      look_ = *std::move(look);
      next_look_ =
          std::max(looks_from_, now + (busy ? std::min(kSoon, options_.site.slurm.poll_every)
                                            : options_.site.slurm.poll_every));
    }
    for (const auto& [dir, job] : found)
      (void)io::WriteFileAtomically(dir + "/job", std::to_string(job) + "\n");
    SyncDrains();
  }

  void LookFailed(const Error& error, Duration began) {
    std::lock_guard lock(mutex_);
    const Duration now = clock_->Monotonic();
    SpendOnLook(now - began, now);
    Trouble(error);
    failures_ += 1;
    next_look_ = std::max(
        looks_from_,
        now + std::min(kLongestBackoff, Duration::Millis(500) * (1 << std::min(failures_, 6))));
  }

  void Trouble(const Error& error) {
    if (trouble_ != error.ToString()) log::warn("site {}: {}", site_.name, error.ToString());
    trouble_ = error.ToString();
  }

  const Job* JobOf(const Run& run, const std::map<int64_t, const Job*>& by_id,
                   const std::map<std::string, const Job*>& by_name) const {
    if (run.job != 0) {
      // A controller that lost its last moments gives their numbers out again.
      const auto it = by_id.find(run.job);
      return it == by_id.end() || it->second->name != prefix_ + run.file.id ? nullptr : it->second;
    }
    const auto it = by_name.find(run.file.id);
    return it == by_name.end() ? nullptr : it->second;
  }

  // Without the lock: only the worker touches a run's reader.
  void ReadProgress(const std::string& id, Wrote& w) {
    ProgressReader* reader = nullptr;
    {
      std::lock_guard lock(mutex_);
      const auto it = runs_.find(id);
      if (it == runs_.end() || !it->second.progress) return;
      reader = &*it->second.progress;
    }
    w.size_told = reader->offset();
    for (int i = 0; i < kProgressReads; ++i) {
      std::vector<wire::Json> lines = reader->Read();
      if (lines.empty()) return;
      std::move(lines.begin(), lines.end(), std::back_inserter(w.progress));
    }
  }

  static void ReadAddress(const std::string& dir, Wrote& w) {
    const std::string text = io::ReadFile(dir + "/address", kSmallFileBytes).value_or("");
    const size_t space = text.find(' ');
    if (space == std::string::npos) return;
    w.host = text.substr(0, space);
    w.port = std::atoll(text.c_str() + space);
  }

  // What runs say of themselves between two looks, without asking Slurm: that they began, where
  // they listen, and that every rank ended with 0 or 75, which no word of Slurm's would change.
  void WatchFiles() {
    struct Watch {
      std::string id, dir;
      size_t ranks = 1, said = 0;
      bool began = false, wants_port = false;
      Wrote wrote;
    };
    std::vector<Watch> all;
    const Duration from = clock_->Monotonic();
    {
      std::lock_guard lock(mutex_);
      if (!looked_ || from < files_from_) return;
      for (const auto& [id, run] : runs_) {
        if (run.end || run.job == 0 || run.in_hand) continue;
        all.push_back({id,
                       run.dir,
                       run.file.hosts.size(),
                       run.said,
                       run.began,
                       run.file.wants_port && run.port == 0,
                       {}});
      }
    }
    for (Watch& w : all) {
      if (!w.began) w.wrote.claim = NumberIn(w.dir + "/claim");
      if (!w.began && w.wrote.claim == 0) continue;
      if (w.wants_port) ReadAddress(w.dir, w.wrote);
      const size_t before = w.said;
      while (w.said < w.ranks && io::FileExists(fmt::format("{}/exit.{}", w.dir, w.said))) ++w.said;
      if (w.said < w.ranks || before == w.ranks) continue;
      w.wrote.ranks = ReadExits(w.dir, w.ranks, 0);
      if (EndedWell(w.wrote)) ReadProgress(w.id, w.wrote);  // after the exits: all that there is
    }
    std::lock_guard lock(mutex_);
    const Duration now = clock_->Monotonic();
    files_from_ = now + std::max(kFilesEvery, (now - from) * kFilesRest);
    for (Watch& w : all) {
      const auto it = runs_.find(w.id);
      if (it == runs_.end() || it->second.end) continue;
      Run& run = it->second;
      if (w.wrote.claim > 0 && w.wrote.claim != run.job) {  // for the next look to sort out
        next_look_ = std::min(next_look_, looks_from_);
        continue;
      }
      if (w.wrote.claim > 0 && !run.began) {
        run.began = true;
        run.running_at = now;
      }
      run.said = w.said;
      TakeWords(run, w.wrote, now);
      if (w.wrote.ranks.empty()) continue;
      if (EndedWell(w.wrote)) {
        settled_[w.id] = {run.job, run.file.slots, now, ""};
        Finish(run, nullptr, w.wrote);
      } else {
        next_look_ = std::min(next_look_, looks_from_);
      }
    }
  }

  static bool EndedWell(const Wrote& w) {
    return !w.ranks.empty() && std::all_of(w.ranks.begin(), w.ranks.end(), [](const auto& r) {
      return r && (r->code == 0 || r->code == kExitResume);
    });
  }

  // Jobs that have left the controller's memory, from accounting: they are put among those listed.
  void Recall(std::map<int64_t, const Job*>& by_id) {
    std::vector<int64_t> missing;
    {
      std::lock_guard lock(mutex_);
      for (const auto& [id, run] : runs_) {
        if (Live(run) && run.absent + 1 >= kAbsentLooks && by_id.find(run.job) == by_id.end())
          missing.push_back(run.job);
      }
    }
    recalled_.clear();
    if (missing.empty()) return;
    Result<std::vector<Job>> known = door_->Remembered(missing);
    if (!known) return;  // then what the ranks wrote decides
    recalled_ = *std::move(known);
    for (const Job& job : recalled_) by_id.emplace(job.id, &job);
  }

  // Under the lock: what a run said of itself, for Poll.
  void TakeWords(Run& run, Wrote& w, Duration now) {
    if (w.port > 0) {
      run.host = w.host;
      run.port = w.port;
    }
    if (w.progress.empty()) return;
    for (wire::Json& line : w.progress) {
      if (const auto path = line.find("path"); path != line.end() && path->is_string())
        *path = Moved(path->get<std::string>(), options_.site.slurm.data_at, options_.data_dir);
      run.told.push_back(std::move(line));
    }
    if (now - run.offset_saved_at < kSaveOffsetEvery) return;
    run.offset_saved_at = now;
    (void)io::WriteFileAtomically(run.dir + "/progress.offset", std::to_string(w.size_told));
  }

  // Under the lock: one run against what the look showed.
  void Apply(Run& run, const Job* job, Wrote& w, Duration looked_from, Duration now,
             std::vector<std::pair<std::string, int64_t>>& found) {
    TakeWords(run, w, now);
    // Two jobs of one run: the one that made the claim is it.
    if (w.claim > 0 && w.claim != run.job) {
      run.job = w.claim;
      found.emplace_back(run.dir, run.job);
      return;  // the next look shows that one
    }
    if (run.job == 0) {
      if (job != nullptr) {
        run.job = job->id;
        found.emplace_back(run.dir, run.job);
      } else if (!run.in_hand && looked_from > run.sent_at && !run.kill_at &&
                 now - run.asked_at >= options_.site.slurm.start_within) {
        run.cause = fmt::format("not submitted within {}: {}",
                                Human(options_.site.slurm.start_within), run.reason);
        run.kill_at = now;
        return;
      } else {
        return;
      }
    }
    if (job == nullptr) {
      if (looked_from <= run.sent_at || run.in_hand) return;
      if (++run.absent < kAbsentLooks) return;
      Finish(run, nullptr, w);
      return;
    }
    run.absent = 0;
    run.stage = StageOf(job->state);
    run.state = job->state;
    run.reason = job->reason;
    run.began = run.began || w.claim > 0 || run.stage == JobStage::kRunning;
    if (run.stage == JobStage::kEnded) {
      const bool all =
          std::all_of(w.ranks.begin(), w.ranks.end(), [](const auto& r) { return r.has_value(); });
      if (run.ended_seen_at.us == 0) run.ended_seen_at = now;
      // A shared file system may show the ranks' last words later than Slurm the end.
      const bool may_come = run.began && !all &&
                            (job->state == "COMPLETED" || job->state == "FAILED" ||
                             job->state == "TIMEOUT" || job->state == "CANCELLED");
      if (!may_come || now - run.ended_seen_at >= kFilesSettle) Finish(run, job, w);
      return;
    }
    if (run.began) {
      if (run.running_at.us == 0) run.running_at = now;
      if (run.file.time_limit.us > 0 && run.cause.empty() && !run.kill_at &&
          now - run.running_at >= run.file.time_limit) {
        run.cause = "time limit " + Human(run.file.time_limit);
        run.kill_at = now + run.file.grace;
      }
      const bool broken =
          run.file.hosts.size() > 1 && std::any_of(w.ranks.begin(), w.ranks.end(),
                                                   [](const auto& r) { return r && r->code != 0; });
      if (broken && !run.kill_at) run.kill_at = now + run.file.grace;  // a gang ends as one
    } else if (now - run.asked_at >= options_.site.slurm.start_within && !run.kill_at) {
      run.cause = fmt::format("not started within {}: {}", Human(options_.site.slurm.start_within),
                              job->reason);
      run.kill_at = now;
    }
  }

  void Finish(Run& run, const Job* job, const Wrote& w) {
    Ending ending;
    ending.began = run.began || w.claim > 0;
    if (!ending.began && !Withhold(run.dir)) return;  // another job of it just began
    if (job != nullptr) {
      ending.state = job->state;
      ending.reason = job->reason;
      ending.exit = job->exit;
    }
    ending.ranks = w.ranks;
    ending.asked = run.kill_at.has_value();
    ending.killed = run.cancel_sent;
    ending.cause = run.cause;
    ending.time_limit = run.file.time_limit;
    ending.memory_limit_bytes = run.file.memory_limit_bytes;
    const Verdict verdict = VerdictOf(ending);
    EndFile end;
    end.phase = verdict.phase == RunPhase::kLost ? EndPhase::kLost : EndPhase::kExited;
    end.exit_code = verdict.exit_code;
    end.reason = verdict.reason;
    if (verdict.exit_code != 0 || verdict.phase == RunPhase::kLost)
      end.last_lines = Tail(run, verdict.rank);
    End(run, std::move(end));
  }

  static std::vector<std::string> Tail(const Run& run, int rank) {
    std::string path = run.file.log_path;
    if (rank > 0) path += fmt::format(".{}", rank);
    if (path.empty() || io::FileSize(path).value_or(0) == 0) path = run.dir + "/slurm.out";
    const int64_t size = io::FileSize(path).value_or(0);
    LastLines lines;
    lines.Add(
        io::ReadFileAt(path, std::max<int64_t>(0, size - kTailBytes), kTailBytes).value_or(""));
    return lines.Get();
  }

  // Nodes that a person drained through Weir, against the drains in Slurm that carry Weir's mark.
  void SyncDrains() {
    std::map<std::string, std::string> wanted;
    std::vector<Node> nodes;
    {
      std::lock_guard lock(mutex_);
      const Duration now = clock_->Monotonic();
      if (now < drain_at_) return;
      wanted = drain_;
      nodes = look_.nodes;
    }
    for (const Node& node : nodes) {
      const bool drained = node.state.find("DRAIN") != std::string::npos;
      const bool by_us = drained && node.reason.rfind(kDrainMark, 0) == 0;
      const auto want = wanted.find(node.name);
      Status done;
      if (want != wanted.end() && !drained) {
        done = door_->Drain(
            node.name, kDrainMark + (want->second.empty() ? std::string("drained") : want->second));
      } else if (want == wanted.end() && by_us) {
        done = door_->Resume(node.name);
      }
      if (done) continue;
      log::warn("site {}, node {}: {}", site_.name, node.name, done.error().ToString());
      std::lock_guard lock(mutex_);
      // What the door cannot do it is not asked for again until the wish changes.
      drain_at_ =
          clock_->Monotonic() +
          (done.error().code() == Code::kUnimplemented ? Duration::Minutes(24 * 60) : kDrainRetry);
      return;
    }
  }

  const Options options_;
  const std::unique_ptr<Door> door_;
  const io::Clock* clock_;
  wire::Site site_;
  std::string dir_, runs_dir_, prefix_;
  std::thread worker_;
  std::vector<Job> recalled_;  // the worker's

  std::mutex mutex_;  // guards all below
  std::condition_variable wake_;
  bool woken_ = false, ending_ = false;
  std::map<std::string, Run> runs_;
  std::map<std::string, Settled> settled_;
  std::vector<Job> orphans_;
  std::set<int64_t> unwanted_;  // jobs of those, to be cancelled
  std::vector<std::string> rubbish_;
  std::set<std::string> unsaved_ends_;
  std::map<std::string, std::string> drain_;
  Duration drain_at_ = {};
  Facts facts_;
  Duration facts_due_ = {};
  Look look_;
  std::vector<wire::Slot> slots_;
  bool looked_ = false;
  std::map<std::string, int64_t> theirs_;  // by node: what others held at the newest look
  Duration looked_at_ = {}, next_look_ = {}, looks_from_ = {}, changes_from_ = {}, files_from_ = {};
  int failures_ = 0;
  std::string trouble_;
};

}  // namespace

Result<std::unique_ptr<SlurmDriver>> CreateSlurmDriver(Options options, std::unique_ptr<Door> door,
                                                       const io::Clock* clock, Worker worker) {
  CHECK(door != nullptr && clock != nullptr);
  auto driver = std::make_unique<Implementation>(std::move(options), std::move(door), clock);
  TRY(driver->Adopt());
  if (worker == Worker::kThread) driver->Begin();
  return std::unique_ptr<SlurmDriver>(std::move(driver));
}

}  // namespace weir::control::slurm
