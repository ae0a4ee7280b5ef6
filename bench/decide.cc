// bench/decide: what one decision costs in big labs, by Weir's own policy.
//
//   decide_bench [--nodes N] [--waiting W] [--cycles C] [--surges S] [--seed X] [--json]
//
// A fleet of N nodes of 8 slots (racks of 8, leaves of 32, spines of 1,024 nodes), full of jobs; W
// jobs wait. In each cycle 1% of the running jobs end, as many are submitted, S services change
// their demand, and the policy decides. Timed: all of that, changes and decision. Without --nodes:
// 1,000 / 10,000 / 100,000 nodes with 10 to 1,000,000 waiting jobs. Cold start is from an empty
// world to the first decision made. One thread.
#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "base/version.h"
#include "lab/sched/weir.h"

namespace weir::sched {
namespace {

using Clock = std::chrono::steady_clock;
double Ms(Clock::time_point from) {
  return std::chrono::duration<double, std::milli>(Clock::now() - from).count();
}

struct Size {
  int nodes = 1000;
  int waiting = 1000;
  int cycles = 200;
  int surges = 20;
};

int64_t ResidentMiB() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) / 1024;
  }
  return 0;
}

class Lab {
 public:
  Lab(const Size& size, uint64_t seed) : size_(size), random_(seed) {}

  void Build() {
    std::vector<wire::Team> teams;
    for (int t = 0; t < kTeams; ++t) {
      wire::Team team{.name = fmt::format("team-{}", t)};
      if (t >= kGroups) team.parent = fmt::format("team-{}", t % kGroups);
      team.guarantee_slots = t < kGroups ? 0 : 8L * size_.nodes / (2 * kTeams);
      team.weight = 1 + t % 3;
      teams.push_back(team);
    }
    wire::Team product{.name = "product", .team_class = wire::TeamClass::kProduct};
    product.guarantee_slots = size_.surges;
    teams.push_back(product);
    world_.SetTeams(std::move(teams));
    for (NodeId id = 0; id < size_.nodes; ++id) {
      world_.SetNode(
          id, {.spine = id / 1024, .leaf = id / 32, .rack = id / 8, .slots = 8, .usable = 0xFF});
    }
    world_.Advance(now_);
    SetDemand();
    // Enough to fill the fleet, and those that wait.
    int64_t slots = 0;
    while (slots < 8L * size_.nodes) slots += Submit();
    for (int i = 0; i < size_.waiting; ++i) Submit();
    Note(Decide(world_, allocator_, now_));
  }

  // Everything of one cycle; returns the milliseconds that changes and decision took.
  std::pair<double, double> Cycle() {
    now_ = now_ + Duration::Seconds(1);
    const size_t n = std::max<size_t>(running_.size() / 100, 1);
    std::vector<JobId> end;
    for (size_t i = 0; i < n && !running_.empty(); ++i) {
      const size_t at = random_.Below(running_.size());
      end.push_back(running_[at]);
      running_[at] = running_.back();
      running_.pop_back();
    }
    std::vector<std::pair<JobId, Job>> jobs;
    for (size_t i = 0; i < n; ++i) jobs.emplace_back(Next(end, i), NewJob());
    const auto start = Clock::now();
    world_.Advance(now_);
    for (const JobId id : stopped_) {
      Job row = world_.job(id);
      row.phase = RunPhase::kPaused;
      world_.SetJob(id, std::move(row));
    }
    for (const ReplicaId id : drained_) world_.SetReplica(id, std::nullopt);
    for (const JobId id : end) {
      if (world_.job(id).phase == RunPhase::kRunning) world_.SetJob(id, {});
    }
    for (auto& [id, job] : jobs) {
      if (!world_.HasJob(id)) world_.SetJob(id, std::move(job));
    }
    for (const JobId id : started_) {
      if (world_.job(id).phase == RunPhase::kRunning) world_.SetStarted(id, now_);
    }
    SetDemand();
    const double changes = Ms(start);
    const auto decide = Clock::now();
    std::vector<Move> moves = Decide(world_, allocator_, now_);
    const double decided = Ms(decide);
    Note(std::move(moves));
    return {changes, decided};
  }

  World& world() { return world_; }
  int64_t starts = 0, stops = 0, loans = 0;

 private:
  static constexpr int kTeams = 100, kGroups = 10;

  Job NewJob() {
    Job job;
    job.team = kGroups + static_cast<TeamId>(random_.Below(kTeams - kGroups));
    job.user = static_cast<int32_t>(random_.Below(1000));
    const double u = random_.Uniform();
    job.min_slots = u < 0.5 ? 1 : u < 0.65 ? 2 : u < 0.8 ? 4 : u < 0.95 ? 8 : u < 0.99 ? 16 : 64;
    if (u >= 0.999) job.min_slots = 512;
    job.min_slots = std::min(job.min_slots, 4 * size_.nodes);
    job.max_slots = random_.Chance(0.1) ? 2 * job.min_slots : job.min_slots;
    job.exponent = 0.9F;
    job.priority = static_cast<int32_t>(random_.Below(3));
    job.checkpointable = random_.Chance(0.8);
    if (random_.Chance(0.8)) job.expected = Duration::FromSeconds(random_.Exponential(7200));
    job.error = 1;
    job.restart_cost = Duration::Seconds(60);
    job.submitted = now_;
    job.phase = RunPhase::kWaiting;
    return job;
  }
  int64_t Submit() {
    Job job = NewJob();
    const int64_t slots = job.min_slots;
    world_.SetJob(next_++, std::move(job));
    return slots;
  }
  // Numbers of jobs that are gone are given again.
  JobId Next(const std::vector<JobId>& ended, size_t i) {
    return i < ended.size() ? ended[i] : next_++;
  }

  void SetDemand() {
    std::vector<ServiceState> services = world_.services();
    if (services.empty()) {
      for (int s = 0; s < size_.surges; ++s) {
        ServiceState v;
        v.service.id = fmt::format("svc-{}", s);
        v.service.spec = {.name = fmt::format("chat-{}", s),
                          .team = "product",
                          .model = "m",
                          .min_replicas = 1,
                          .max_replicas = 64,
                          .slots_per_replica = 1};
        v.demand.service_rate_per_replica = 10;
        services.push_back(std::move(v));
      }
    }
    for (ServiceState& s : services) {  // a surge of a minute, then calm
      const bool high = (now_.us / 60'000'000 + s.service.id.back()) % 3 == 0;
      s.demand.arrivals_per_s = s.demand.forecast_per_s = high ? 200 : 2;
      s.demand.above_since = high ? now_ - Duration::Seconds(5) : Time{};
      s.demand.below_since = high ? Time{} : now_ - Duration::Seconds(60);
    }
    world_.SetServices(std::move(services));
  }

  void Note(std::vector<Move> moves) {
    started_.clear();
    stopped_.clear();
    drained_.clear();
    for (const Move& move : moves) {
      if (move.kind == ActionKind::kStartJob) {
        started_.push_back(move.job);
        running_.push_back(move.job);
        ++starts;
      } else if (move.kind == ActionKind::kStopJob) {
        stopped_.push_back(move.job);
        std::erase(running_, move.job);
        ++stops;
      } else if (move.kind == ActionKind::kStopReplica) {
        drained_.push_back(move.replica);
      } else if (move.kind == ActionKind::kOpenLoan) {
        ++loans;
      }
    }
    std::vector<LoanId> back;
    for (const auto& [id, loan] : world_.loans()) {
      if (!loan.open) back.push_back(id);
    }
    for (const LoanId id : back) {
      const bool used = std::any_of(world_.replicas().begin(), world_.replicas().end(),
                                    [&](const auto& r) { return r.second.loan == id; });
      if (!used) world_.SetLoan(id, std::nullopt);
    }
  }

  Size size_;
  Random random_;
  World world_;
  WeirAllocator allocator_;
  Time now_{1'700'000'000'000'000};
  JobId next_ = 0;
  std::vector<JobId> running_, started_, stopped_;
  std::vector<ReplicaId> drained_;
};

double At(std::vector<double> v, double share) {
  std::sort(v.begin(), v.end());
  return v[std::min(v.size() - 1, static_cast<size_t>(share * static_cast<double>(v.size())))];
}

void Run(const Size& size, uint64_t seed, bool json) {
  const int64_t before = ResidentMiB();
  auto start = Clock::now();
  Lab lab(size, seed);
  lab.Build();
  const double cold_s = Ms(start) / 1e3;
  // Warm-up, past min_run: all of a fleet that was filled in one second may be stopped from the
  // same second on, which is a change of everything and not of 1%.
  for (int i = 0; i < 15; ++i) lab.Cycle();
  lab.starts = lab.stops = lab.loans = 0;
  std::vector<double> all, decide;
  for (int i = 0; i < size.cycles; ++i) {
    const auto [changed, decided] = lab.Cycle();
    all.push_back(changed + decided);
    decide.push_back(decided);
  }
  const int64_t mib = ResidentMiB() - before;
  const double moves =
      static_cast<double>(lab.starts + lab.stops) / static_cast<double>(size.cycles);
  if (json) {
    fmt::print(
        "{{\"nodes\": {}, \"slots\": {}, \"waiting\": {}, \"running\": {}, \"cycles\": {}, "
        "\"moves_per_cycle\": {:.1f}, \"loans\": {}, \"cycle_ms\": {{\"p50\": {:.3f}, \"p99\": "
        "{:.3f}, \"max\": {:.3f}}}, \"decide_ms\": {{\"p50\": {:.3f}, \"p99\": {:.3f}, \"max\": "
        "{:.3f}}}, \"cold_start_s\": {:.3f}, \"resident_mib\": {}}}\n",
        size.nodes, 8 * size.nodes, lab.world().waiting(), lab.world().holding(), size.cycles,
        moves, lab.loans, At(all, 0.5), At(all, 0.99), At(all, 1), At(decide, 0.5),
        At(decide, 0.99), At(decide, 1), cold_s, mib);
  } else {
    fmt::print("{:>7} {:>9} {:>8} {:>9.1f} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f} {:>9.2f} {:>8}\n",
               size.nodes, lab.world().waiting(), lab.world().holding(), moves, At(all, 0.5),
               At(all, 0.99), At(all, 1), At(decide, 0.99), cold_s, mib);
  }
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  Size one{.nodes = 0};
  uint64_t seed = 1;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--json") {
      json = true;
      continue;
    }
    int value = 0;
    const std::string text = i + 1 < argc ? argv[++i] : "";
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool good = error == std::errc() && end == text.data() + text.size() && value > 0;
    int* const where = flag == "--nodes"     ? &one.nodes
                       : flag == "--waiting" ? &one.waiting
                       : flag == "--cycles"  ? &one.cycles
                       : flag == "--surges"  ? &one.surges
                                             : nullptr;
    if (!good || (where == nullptr && flag != "--seed")) {
      fmt::print(stderr, "{}: not known, or its value \"{}\" is not a whole number above 0\n", flag,
                 text);
      return 2;
    }
    if (where != nullptr) {
      *where = value;
    } else {
      seed = static_cast<uint64_t>(value);
    }
  }
  utsname machine{};
  uname(&machine);
  if (!json) {
    fmt::print("# weir {} on {} {}, compiler {}, seed {}, one of {} threads\n", kVersion,
               machine.sysname, machine.machine, __VERSION__, seed,
               std::thread::hardware_concurrency());
    fmt::print("{:>7} {:>9} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}\n", "nodes", "waiting",
               "running", "moves", "p50 ms", "p99 ms", "max ms", "decide", "cold s", "MiB");
    fmt::print("{:>37} {:>29} {:>9}\n", "a cycle", "changes and decision", "p99 ms");
  }
  if (one.nodes > 0) {
    Run(one, seed, json);
  } else {
    for (const auto& [nodes, waiting, cycles] :
         std::initializer_list<std::tuple<int, int, int>>{{1000, 10, 300},
                                                          {1000, 10'000, 300},
                                                          {10'000, 1000, 200},
                                                          {10'000, 100'000, 200},
                                                          {100'000, 100'000, 200},
                                                          {100'000, 1'000'000, 300}}) {
      Run({nodes, waiting, cycles, 20}, seed, json);
    }
  }
  if (!json) {
    fmt::print(
        "\nPublic figures of others, which measure other things on other machines:\n"
        "  Kueue      60,000 workloads admitted in 1,404 s   (with the API server's part in it)\n"
        "  Ray        88.9 s for one decision over 9,838 placement bundles\n"
        "  KAI        2.5 s a cycle at 4,000 nodes           (with reading the cluster's state)\n"
        "  Slurm      500 jobs a second                      (with launching them)\n"
        "This one times changes and decision in one process; writing the journal and starting\n"
        "processes are not in it.\n");
  }
  return 0;
}

}  // namespace
}  // namespace weir::sched

int main(int argc, char** argv) { return weir::sched::Main(argc, argv); }
