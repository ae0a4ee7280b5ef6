#include "control/drivers/local.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/check.h"
#include "base/logging.h"
#include "control/drivers/local_rank.h"
#include "control/drivers/progress_reader.h"
#include "control/drivers/run_files.h"
#include "io/ports.h"

namespace weir::control {

// run.json
struct LocalRun {
  std::string id;
  std::string holder;
  int64_t ranks = 1;
  int64_t port = 0;
  int64_t rendezvous_port = 0;
  std::string progress_path;
  int64_t progress_offset = 0;
  Duration grace = {};
  Time started;
};
template <class V>
void Fields(V& v, wire::Owned<V, LocalRun>& r) {
  v("id", r.id, "", wire::kRequired);
  v("holder", r.holder);
  v("ranks", r.ranks, "", wire::kRequired);
  v("port", r.port, "a replica's");
  v("rendezvous_port", r.rendezvous_port);
  v("progress_path", r.progress_path);
  v("progress_offset", r.progress_offset, "its length when the run began");
  v("grace_us", r.grace);
  v("started_us", r.started);
}

}  // namespace weir::control
WEIR_LOCAL_MESSAGE(weir::control::LocalRun);

namespace weir::control {
namespace {

constexpr int64_t kMaxRanks = 4096;
constexpr int kPortTries = 64;
constexpr Duration kSaveOffsetEvery = Duration::Seconds(5);

std::string ParentOf(const std::string& path) { return path.substr(0, path.find_last_of('/')); }

struct Run {
  LocalRun file;
  std::string dir;
  std::vector<LocalRank> ranks;
  std::optional<ProgressReader> progress;
  Duration offset_saved_at;
  int64_t malformed_told = 0;
  bool gang_stopped = false;  // by us, because a rank ended
};

class LocalDriver final : public Driver {
 public:
  LocalDriver(LocalOptions options, io::SlotShares shares, const io::Clock* clock)
      : options_(std::move(options)), shares_(std::move(shares)), clock_(clock) {
    site_.name = options_.site;
    site_.driver = "local";
    site_.isolation = shares_.why();
    site_.power_w_per_slot = options_.power_w_per_slot;
    site_.price_usd_per_slot_h = options_.price_usd_per_slot_h;
  }

  Status Adopt() {
    TRY(io::MakeDirs(options_.runs_dir));
    for (const io::DirEntry& entry : TRY(io::ListDir(options_.runs_dir))) {
      if (!entry.is_dir) continue;
      const std::string dir = options_.runs_dir + "/" + entry.name;
      Result<LocalRun> file = ReadRunFile<LocalRun>(dir + "/run.json");
      if (!file && file.error().code() == Code::kNotFound) {
        // A Start that was cut short before any shim, or a Forget cut short after all of them.
        TRY(io::RemoveTree(dir));
        continue;
      }
      if (!file || file->id != entry.name || file->ranks < 1 || file->ranks > kMaxRanks) {
        return Error(Code::kDataLoss, fmt::format("{}/run.json is damaged", dir))
            .Hint(
                "look for processes with WEIR_RUN_DIR below that folder, stop them, and move it "
                "away");
      }
      AddRun(*std::move(file), dir);
    }
    return {};
  }

  const wire::Site& site() const override { return site_; }

  Result<std::vector<wire::Slot>> Slots() override {
    std::vector<wire::Slot> slots;
    for (int i = 0; i < shares_.slots(); ++i) {
      const io::Share share = shares_.ShareOf({i});
      wire::Slot slot;
      slot.id = fmt::format("{}/{}/{}", options_.site, options_.node, i);
      slot.site = options_.site;
      slot.node = options_.node;
      slot.index = i;
      slot.cores.assign(share.cores.begin(), share.cores.end());
      slot.core_share = share.core_time;
      slots.push_back(std::move(slot));
    }
    return slots;
  }

  Status Start(const RunSpec& run) override {
    if (runs_.contains(run.id)) return {};
    TRY(Check(run));
    const std::string dir = TRY(io::JoinInside(options_.runs_dir, run.id));
    TRY(io::RemoveTree(dir));  // of a Start that was cut short
    LocalRun file;
    file.id = run.id;
    file.holder = run.holder;
    file.ranks = run.gang ? static_cast<int64_t>(run.slots.size()) : 1;
    file.grace = run.grace;
    file.started = clock_->Now();
    if (run.wants_port) file.port = TRY(PickPort());
    if (file.ranks > 1) file.rendezvous_port = TRY(PickPort());
    if (!run.progress_path.empty()) {
      TRY(io::MakeDirs(ParentOf(run.progress_path)));
      file.progress_path = run.progress_path;
      file.progress_offset = io::FileSize(run.progress_path).value_or(0);
    }
    if (!run.checkpoint_dir.empty()) TRY(io::MakeDirs(run.checkpoint_dir));
    if (!run.log_path.empty()) TRY(io::MakeDirs(ParentOf(run.log_path)));
    for (int64_t rank = 0; rank < file.ranks; ++rank) {
      const std::string rank_dir = fmt::format("{}/{}", dir, rank);
      TRY(io::MakeDirs(run.cwd.empty() ? rank_dir + "/work" : rank_dir));
      const ShimSpec spec = SpecOf(run, file, rank, rank_dir);
      TRY(io::WriteFileAtomically(rank_dir + "/spec.json", wire::ToText(spec)));
    }
    // From here on the run exists. No sync: what a power cut could take from us it takes from the
    // run too, and then nothing has run and the loop starts it again.
    TRY(io::WriteFileAtomically(dir + "/run.json", wire::ToText(file)));
    Run& added = AddRun(std::move(file), dir);
    for (LocalRank& rank : added.ranks) {
      const Status launched = rank.Launch();
      // Observe tries again and gives up in the open.
      if (!launched) log::warn("{}: {}", run.id, launched.error().ToString());
    }
    return {};
  }

  Status Stop(const std::string& run_id, Duration grace) override {
    const auto it = runs_.find(run_id);
    if (it == runs_.end()) return {};
    for (LocalRank& rank : it->second.ranks) TRY(rank.Stop(grace));
    return {};
  }

  Result<std::vector<RunObservation>> Poll() override {
    std::vector<RunObservation> observations;
    for (auto& [id, run] : runs_) {
      for (LocalRank& rank : run.ranks) rank.Observe();
      StopGangOfEndedRank(run);
      observations.push_back(Describe(run));
    }
    return observations;
  }

  Status Forget(const std::string& run_id) override {
    const auto it = runs_.find(run_id);
    if (it == runs_.end()) return {};
    const Run& run = it->second;
    if (!std::all_of(run.ranks.begin(), run.ranks.end(),
                     [](const LocalRank& rank) { return rank.ended(); })) {
      return Error(Code::kFailedPrecondition, fmt::format("run {} has not ended", run_id))
          .Hint("stop it first");
    }
    TRY(io::RemoveFile(run.dir + "/run.json"));  // first: what is left without it is rubbish
    TRY(io::RemoveTree(run.dir));
    runs_.erase(it);
    return {};
  }

 private:
  Status Check(const RunSpec& run) const {
    const auto refuse = [&](std::string why) {
      return Error(Code::kInvalidArgument, fmt::format("run '{}' {}", run.id, why));
    };
    if (run.id.empty() || run.id.front() == '.' || run.id.find('/') != std::string::npos) {
      return refuse("has an id that cannot name a folder");
    }
    if (run.command.empty() || run.command[0].empty()) return refuse("has no command");
    if (run.slots.empty()) return refuse("has no slots");
    if (static_cast<int64_t>(run.slots.size()) > kMaxRanks) return refuse("has too many slots");
    for (const wire::Slot& slot : run.slots) {
      if (slot.index < 0 || slot.index >= shares_.slots()) {
        return refuse(fmt::format("asks for slot {}; this site has slots 0 to {}", slot.index,
                                  shares_.slots() - 1));
      }
    }
    for (const auto& [name, value] : run.env) {
      if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
          value.find('\0') != std::string::npos) {
        return refuse(fmt::format("has an environment variable that cannot be set: '{}'", name));
      }
    }
    for (const std::string& path : {run.cwd, run.log_path, run.progress_path, run.checkpoint_dir}) {
      if (!path.empty() && path.front() != '/') {
        return refuse(fmt::format("names the path '{}', which is not absolute", path));
      }
    }
    return {};
  }

  // Not one that a run of ours was told to use, though it may not listen yet.
  Result<int64_t> PickPort() const {
    std::set<int64_t> taken;
    for (const auto& [id, run] : runs_) taken.insert({run.file.port, run.file.rendezvous_port});
    for (int i = 0; i < kPortTries; ++i) {
      const int port = TRY(io::FreePort());
      if (!taken.contains(port)) return int64_t{port};
    }
    return Error(Code::kResourceExhausted, "no free port on this machine");
  }

  ShimSpec SpecOf(const RunSpec& run, const LocalRun& file, int64_t rank,
                  const std::string& rank_dir) const {
    std::vector<int> slots;
    for (size_t i = 0; i < run.slots.size(); ++i) {
      if (!run.gang || static_cast<int64_t>(i) == rank) {
        slots.push_back(static_cast<int>(run.slots[i].index));
      }
    }
    const io::Share share = shares_.ShareOf(slots);
    ShimSpec spec;
    spec.run_id = run.id;
    spec.rank = rank;
    spec.argv = run.command;
    spec.cwd = run.cwd.empty() ? rank_dir + "/work" : run.cwd;
    spec.cores.assign(share.cores.begin(), share.cores.end());
    spec.core_time = share.core_time;
    spec.cgroup_root = shares_.cgroup_root();
    spec.nice = run.gang ? options_.job_nice : 0;
    spec.memory_limit_bytes = run.memory_limit_bytes;
    spec.time_limit = run.time_limit;
    spec.grace = run.grace;
    if (!run.log_path.empty()) {
      spec.log_path = rank == 0 ? run.log_path : fmt::format("{}.{}", run.log_path, rank);
    }
    spec.log_file_bytes = options_.log_file_bytes;
    spec.log_files = options_.log_files;

    auto& env = spec.env;
    env = options_.env;
    env["OMP_NUM_THREADS"] = std::to_string(share.threads);
    env["PYTHONUNBUFFERED"] = "1";  // so that logs can be followed
    for (const auto& [name, value] : run.env) env[name] = value;
    env["WEIR_RUN_ID"] = run.id;
    env["WEIR_HOLDER"] = run.holder;
    env["WEIR_RUN_DIR"] = rank_dir;
    env["WEIR_THREADS"] = std::to_string(share.threads);
    env["WEIR_GRACE_S"] = fmt::format("{:g}", run.grace.seconds());
    for (const char* name : {"WEIR_RANK", "RANK", "LOCAL_RANK"}) env[name] = std::to_string(rank);
    for (const char* name : {"WEIR_WORLD_SIZE", "WORLD_SIZE", "LOCAL_WORLD_SIZE"}) {
      env[name] = std::to_string(file.ranks);
    }
    if (file.rendezvous_port != 0) {
      env["WEIR_RENDEZVOUS"] = fmt::format("127.0.0.1:{}", file.rendezvous_port);
      env["MASTER_ADDR"] = "127.0.0.1";
      env["MASTER_PORT"] = std::to_string(file.rendezvous_port);
    }
    if (file.port != 0) env["WEIR_PORT"] = std::to_string(file.port);
    if (!run.checkpoint_dir.empty()) env["WEIR_CHECKPOINT_DIR"] = run.checkpoint_dir;
    if (rank == 0 && !run.progress_path.empty()) env["WEIR_PROGRESS_FILE"] = run.progress_path;
    return spec;
  }

  Run& AddRun(LocalRun file, const std::string& dir) {
    Run run;
    run.dir = dir;
    if (!file.progress_path.empty()) {
      // Lines told since the offset was last saved are told again after a restart: none is lost.
      const std::string saved = io::ReadFile(dir + "/progress.offset", 32).value_or("");
      const int64_t offset = std::max<int64_t>(file.progress_offset, std::atoll(saved.c_str()));
      run.progress.emplace(file.progress_path, offset);
    }
    for (int64_t rank = 0; rank < file.ranks; ++rank) {
      run.ranks.emplace_back(fmt::format("{}/{}", dir, rank), &options_.shim_command, clock_);
    }
    run.file = std::move(file);
    const std::string id = run.file.id;
    return runs_.insert_or_assign(id, std::move(run)).first->second;
  }

  void StopGangOfEndedRank(Run& run) {
    if (run.gang_stopped || run.ranks.size() == 1) return;
    const bool broken = std::any_of(run.ranks.begin(), run.ranks.end(), [](const LocalRank& rank) {
      return rank.ended() && rank.exit().exit_code != 0;
    });
    if (!broken) return;
    run.gang_stopped = true;
    for (LocalRank& rank : run.ranks) {
      const Status stopped = rank.ended() ? Status{} : rank.Stop(run.file.grace);
      if (!stopped) {
        run.gang_stopped = false;  // a full disk: again at the next Poll
        log::warn("{}: {}", run.file.id, stopped.error().ToString());
      }
    }
  }

  // The rank whose end is the run's: a lost one; else the first to end other than with 0 or 75;
  // else one that ended with 75; else rank 0.
  static size_t DecidingRank(const Run& run) {
    const auto order = [&](size_t i) {
      const LocalRank& rank = run.ranks[i];
      const int64_t code = rank.exit().exit_code;
      const int kind = rank.phase() == LocalRank::Phase::kLost ? 0
                       : code != 0 && code != 75               ? 1
                       : code == 75                            ? 2
                                                               : 3;
      return std::tuple(kind, kind == 1 ? rank.exit().ended : Time{}, i);
    };
    size_t best = 0;
    for (size_t i = 1; i < run.ranks.size(); ++i) {
      if (order(i) < order(best)) best = i;
    }
    return best;
  }

  RunObservation Describe(Run& run) {
    RunObservation seen;
    seen.id = run.file.id;
    seen.port = run.file.port;
    seen.started = run.file.started;
    size_t ended = 0;
    size_t started = 0;
    bool stopping = false;
    for (const LocalRank& rank : run.ranks) {
      ended += rank.ended() ? 1 : 0;
      started += rank.phase() != LocalRank::Phase::kStarting ? 1 : 0;
      stopping = stopping || rank.stop_asked();
      seen.rss_bytes += rank.rss_bytes();
      seen.cpu_s += rank.cpu_s();
    }
    if (ended == run.ranks.size()) {
      const size_t deciding = DecidingRank(run);
      const LocalRank& rank = run.ranks[deciding];
      seen.phase = rank.phase() == LocalRank::Phase::kLost ? RunPhase::kLost : RunPhase::kExited;
      seen.exit_code = static_cast<int>(rank.exit().exit_code);
      seen.reason = rank.exit().reason;
      if (run.ranks.size() > 1) {
        seen.reason = fmt::format("rank {} of {}: {}", deciding, run.ranks.size(), seen.reason);
      }
      seen.last_lines = rank.exit().last_lines;
      for (const LocalRank& each : run.ranks) seen.ended = std::max(seen.ended, each.exit().ended);
    } else if (stopping) {
      seen.phase = RunPhase::kStopping;
    } else {
      seen.phase = started == run.ranks.size() ? RunPhase::kRunning : RunPhase::kStarting;
    }
    if (run.progress) ReadProgress(run, seen);
    return seen;
  }

  void ReadProgress(Run& run, RunObservation& seen) {
    const int64_t told = run.progress->offset();
    seen.new_progress = run.progress->Read();
    if (run.progress->malformed() > run.malformed_told) {
      if (run.malformed_told == 0) {
        log::warn("{}: {} has a line that is not a JSON object; such lines are skipped",
                  run.file.id, run.file.progress_path);
      }
      run.malformed_told = run.progress->malformed();
    }
    const Duration now = clock_->Monotonic();
    if (seen.new_progress.empty() || now - run.offset_saved_at < kSaveOffsetEvery) return;
    run.offset_saved_at = now;
    // Where the lines just read began: they are not journaled yet.
    (void)io::WriteFileAtomically(run.dir + "/progress.offset", std::to_string(told));
  }

  const LocalOptions options_;
  const io::SlotShares shares_;
  const io::Clock* clock_;
  wire::Site site_;
  std::map<std::string, Run> runs_;
};

}  // namespace

std::map<std::string, std::string> CommandEnvironment(const io::EnvLookup& env) {
  std::map<std::string, std::string> given;
  for (const char* name : {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE",
                           "TZ", "TMPDIR", "LD_LIBRARY_PATH"}) {
    if (const auto value = env(name)) given[name] = *value;
  }
  if (!given.contains("PATH")) given["PATH"] = "/usr/local/bin:/usr/bin:/bin";
  return given;
}

Result<std::unique_ptr<Driver>> CreateLocalDriver(LocalOptions options, io::SlotShares shares,
                                                  const io::Clock* clock) {
  CHECK(clock != nullptr && !options.shim_command.empty());
  if (options.runs_dir.empty() || options.runs_dir.front() != '/') {
    return Error(Code::kInvalidArgument,
                 fmt::format("the folder for runs, '{}', is not absolute", options.runs_dir));
  }
  auto driver = std::make_unique<LocalDriver>(std::move(options), std::move(shares), clock);
  TRY(driver->Adopt());
  return std::unique_ptr<Driver>(std::move(driver));
}

}  // namespace weir::control
