// slurmrestd as a door: openapi v0.0.38, which Slurm 21.08 to 23.02 speak, with a token (auth/jwt).
//
// What it does not give: a shell, the cluster's name, MinJobAge, the switches' tree, and a way to
// drain a node. The driver does without each; docs/guides/slurm-site.md says what follows.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <set>

#include "control/drivers/slurm/door.h"
#include "io/http_client.h"

namespace weir::control::slurm {
namespace {

constexpr const char* kApi = "/slurm/v0.0.38";
constexpr Duration kRestLimit = Duration::Seconds(30);
constexpr int64_t kMaxTokenBytes = 16 << 10;
constexpr int64_t kUnlimitedMinutes = 4'294'967'294;  // and its neighbour: INFINITE and NO_VAL

std::string TextIn(const wire::Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || !it->is_string() ? "" : it->get<std::string>();
}
int64_t NumberIn(const wire::Json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || !it->is_number_integer() ? 0 : it->get<int64_t>();
}
std::vector<std::string> TextsIn(const wire::Json& object, const char* key) {
  std::vector<std::string> all;
  const auto it = object.find(key);
  if (it == object.end() || !it->is_array()) return all;
  for (const wire::Json& one : *it) {
    if (one.is_string()) all.push_back(one.get<std::string>());
  }
  return all;
}
std::string UpperCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return text;
}

class RestDoor final : public Door {
 public:
  explicit RestDoor(wire::SlurmSite site) : site_(std::move(site)) {}

  Result<Facts> Ask() override {
    const wire::Json diag = TRY(Get("/diag"));
    Facts facts;
    if (const auto meta = diag.find("meta"); meta != diag.end() && meta->is_object()) {
      if (const auto slurm = meta->find("Slurm"); slurm != meta->end() && slurm->is_object())
        facts.version = TextIn(*slurm, "release");
    }
    // Whether memory is shared out is not said; a node that knows how much it has can be asked.
    facts.memory_is_shared_out = true;
    facts.forgets_after = Duration::Minutes(5);  // Slurm's own default
    const wire::Json partitions = TRY(ListOf("/partitions", "partitions"));
    for (const wire::Json& partition : partitions) {
      const std::string name = TextIn(partition, "name");
      facts.partitions.push_back(name);
      for (const std::string& flag : TextsIn(partition, "flags")) {
        if (flag == "default") facts.default_partition = name;
      }
    }
    partition_ = site_.partition.empty() ? facts.default_partition : site_.partition;
    for (const wire::Json& partition : partitions) {
      const int64_t minutes = NumberIn(partition, "max_time_limit");
      if (TextIn(partition, "name") == partition_ && minutes > 0 && minutes < kUnlimitedMinutes)
        facts.longest = Duration::Minutes(minutes);
    }
    return facts;
  }

  Result<Look> LookAround() override {
    Look look;
    const wire::Json diag = TRY(Get("/diag"));
    const auto statistics = diag.find("statistics");
    if (statistics == diag.end() || !statistics->is_object() ||
        NumberIn(*statistics, "req_time") <= 0)
      return Unclear("no time of the controller");
    look.clock = {NumberIn(*statistics, "req_time") * 1'000'000};
    look.jobs = TRY(Jobs());
    if (partition_.empty()) TRY(Ask());
    for (const wire::Json& one : TRY(ListOf("/nodes", "nodes"))) {
      const auto in = TextsIn(one, "partitions");
      if (std::find(in.begin(), in.end(), partition_) == in.end()) continue;
      Node node;
      node.name = TextIn(one, "name");
      node.address = TextIn(one, "address");
      node.state = UpperCase(TextIn(one, "state"));
      if (node.name.empty() || node.state.empty()) return Unclear("a node without name or state");
      for (const std::string& flag : TextsIn(one, "state_flags"))
        node.state += "+" + UpperCase(flag);
      node.partition = partition_;
      node.default_partition = site_.partition.empty();
      node.cpus = NumberIn(one, "cpus");
      node.cpus_used = NumberIn(one, "alloc_cpus");
      node.memory_mb = NumberIn(one, "real_memory");
      node.gres = TRY(ParseGres(TextIn(one, "gres")));
      node.gres_used = TRY(ParseGres(TextIn(one, "gres_used")));
      node.features = TextIn(one, "active_features");
      node.reason = TextIn(one, "reason");
      look.nodes.push_back(std::move(node));
    }
    for (const wire::Json& one : TRY(ListOf("/reservations", "reservations"))) {
      Reservation reservation;
      reservation.name = TextIn(one, "name");
      reservation.start = {NumberIn(one, "start_time") * 1'000'000};
      reservation.end = {NumberIn(one, "end_time") * 1'000'000};
      reservation.nodes = TRY(ParseHosts(TextIn(one, "node_list")));
      for (const std::string& flag : TextsIn(one, "flags"))
        reservation.maintenance = reservation.maintenance || UpperCase(flag) == "MAINT";
      look.reservations.push_back(std::move(reservation));
    }
    return look;
  }

  Result<std::vector<Result<int64_t>>> Submit(const std::vector<Submission>& all) override {
    std::map<std::string, int64_t> known;
    if (std::any_of(all.begin(), all.end(), [](const Submission& s) { return !s.fresh; })) {
      for (const Job& job : TRY(Jobs())) known.emplace(job.name, job.id);
    }
    std::vector<Result<int64_t>> ids;
    for (const Submission& s : all) {
      const auto before = s.fresh ? known.end() : known.find(s.name);
      if (before != known.end()) {
        ids.emplace_back(before->second);
        continue;
      }
      Result<wire::Json> answer = Call("POST", "/job/submit", BodyOf(s).dump());
      if (!answer)
        ids.emplace_back(answer.error());
      else if (const int64_t id = NumberIn(*answer, "job_id"); id > 0)
        ids.emplace_back(id);
      else
        ids.emplace_back(Error(Code::kUnavailable, "slurmrestd gave no job id"));
    }
    return ids;
  }

  Status Send(Nudge nudge, const std::vector<int64_t>& jobs) override {
    for (const int64_t job : jobs) {
      const Result<wire::Json> done = Call(
          "DELETE", fmt::format("/job/{}?signal={}", job, nudge == Nudge::kTerm ? "TERM" : "KILL"));
      // A job that is over by now is what was wanted.
      if (!done && done.error().message().find("nvalid job id") == std::string::npos &&
          done.error().message().find("already comple") == std::string::npos)
        return done.error();
    }
    return {};
  }

  Result<std::vector<Job>> Remembered(const std::vector<int64_t>&) override {
    return Error(Code::kUnimplemented, "accounting is not asked through slurmrestd");
  }
  Status Drain(const std::string& node, const std::string&) override { return NoDrain(node); }
  Status Resume(const std::string& node) override { return NoDrain(node); }
  Result<io::CommandOutput> Shell(const std::string&) override {
    return Error(Code::kUnimplemented, "slurmrestd gives no shell");
  }
  void Interrupt() override { ending_.store(true); }

 private:
  static Error NoDrain(const std::string& node) {
    return Error(Code::kUnimplemented, fmt::format("slurmrestd has no way to drain node {}", node))
        .Hint("reach the site by its command line for that: --via ssh");
  }
  static Error Unclear(const std::string& what) {
    return Error(Code::kDataLoss, "slurmrestd's answer makes no sense: " + what);
  }

  Result<std::vector<Job>> Jobs() {
    std::vector<Job> jobs;
    for (const wire::Json& one : TRY(ListOf("/jobs", "jobs"))) {
      if (TextIn(one, "user_name") != site_.user) continue;
      Job job;
      job.id = NumberIn(one, "job_id");
      job.state = TextIn(one, "job_state");
      if (job.id <= 0 || job.state.empty()) return Unclear("a job without number or state");
      job.exit = NumberIn(one, "exit_code");
      job.nodes = TextIn(one, "nodes");
      job.reason = TextIn(one, "state_reason");
      if (job.reason == "None") job.reason.clear();
      job.name = TextIn(one, "name");
      jobs.push_back(std::move(job));
    }
    return jobs;
  }

  wire::Json BodyOf(const Submission& s) const {
    wire::Json env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
    wire::Json job = {{"name", s.name},
                      {"comment", s.comment},
                      {"current_working_directory", s.dir},
                      {"standard_output", s.dir + "/slurm.out"},
                      {"open_mode", "append"},
                      {"requeue", false},
                      {"tasks", s.ranks},
                      {"nodes", {s.nodes, s.nodes}},
                      {"cpus_per_task", s.cpus_per_task},
                      {"nodelist", s.host}};
    if (s.arbitrary) {
      job["distribution"] = "arbitrary";
      job["nodelist"] = fmt::format("{}", fmt::join(s.hosts, ","));
      // 22.05 drops how often a node is named: an even gang says it this way. An uneven one is laid
      // out right only where Slurm fills its nodes in their order (docs/guides/slurm-site.md).
      std::map<std::string, int64_t> on;
      for (const std::string& host : s.hosts) on[host] += 1;
      const bool even = std::all_of(on.begin(), on.end(), [&](const auto& node) {
        return node.second == on.begin()->second;
      });
      if (even) job["tasks_per_node"] = on.begin()->second;
      env["SLURM_DISTRIBUTION"] = "arbitrary";
      env["SLURM_HOSTFILE"] = s.dir + "/hosts";
    }
    if (s.mem_per_cpu_mb > 0) job["memory_per_cpu"] = s.mem_per_cpu_mb;
    if (!s.gpus_per_task.empty()) job["gpus_per_task"] = s.gpus_per_task;
    if (!s.extra_gres.empty()) job["gres"] = s.extra_gres;
    for (const auto& [key, value] :
         {std::pair("partition", &site_.partition), std::pair("account", &site_.account),
          std::pair("qos", &site_.qos), std::pair("reservation", &site_.reservation)}) {
      if (!value->empty()) job[key] = *value;
    }
    if (s.limit.us > 0) {
      job["time_limit"] = std::max<int64_t>(1, (s.limit.us + 59'999'999) / 60'000'000);
      job["signal"] =
          fmt::format("TERM@{}", std::clamp<int64_t>(s.grace.us / 1'000'000, 1, 65'535));
    }
    job["environment"] = std::move(env);
    return {{"script", "#!/bin/sh\nexec sh " + Quoted(s.dir + "/run.sh") + "\n"},
            {"job", std::move(job)}};
  }

  Result<wire::Json> Get(const std::string& path) { return Call("GET", path); }
  Result<wire::Json> ListOf(const std::string& path, const char* key) {
    wire::Json answer = TRY(Get(path));
    const auto list = answer.find(key);
    if (list == answer.end() || !list->is_array())
      return Unclear(fmt::format("{} without {}", path, key));
    return wire::Json(std::move(*list));
  }

  Result<wire::Json> Call(const std::string& method, const std::string& path,
                          std::string body = "") {
    // Read each time: a token that is replaced counts from the next question on.
    Result<std::string> token = io::ReadFile(site_.token_file, kMaxTokenBytes);
    if (!token)
      return Error(Code::kUnavailable, "the token: " + token.error().message()).Hint(TokenHint());
    if (token->rfind("SLURM_JWT=", 0) == 0) token->erase(0, 10);  // as `scontrol token` prints it
    while (!token->empty() && static_cast<unsigned char>(token->back()) <= ' ') token->pop_back();
    io::FetchOptions ask;
    ask.method = method;
    ask.url = site_.address + kApi + path;
    ask.headers = {{"X-SLURM-USER-NAME", site_.user}, {"X-SLURM-USER-TOKEN", *token}};
    if (!body.empty()) ask.headers.push_back({"Content-Type", "application/json"});
    ask.body = std::move(body);
    ask.deadline = kRestLimit;
    ask.cancelled = [this] { return ending_.load(); };
    const Result<io::HttpResult> done = io::Fetch(std::move(ask), "is slurmrestd running there?");
    if (!done) return Error(Code::kUnavailable, done.error().message()).Hint(done.error().hint());
    Result<wire::Json> answer = wire::ParseJson(done->body);
    const wire::Json* errors = nullptr;
    if (answer && answer->is_object()) {
      const auto it = answer->find("errors");
      if (it != answer->end() && it->is_array() && !it->empty()) errors = &*it;
    }
    if (done->status == 200 && answer && answer->is_object() && errors == nullptr) return answer;
    std::string said = fmt::format("status {}", done->status);
    if (errors != nullptr && errors->front().is_object())
      said = TextIn(errors->front(), "error").empty() ? TextIn(errors->front(), "description")
                                                      : TextIn(errors->front(), "error");
    if (done->status == 401 || said.find("uthentication") != std::string::npos ||
        said.find("credential") != std::string::npos) {
      return Error(Code::kUnavailable, fmt::format("slurmrestd refused the token: {}", said))
          .Hint(TokenHint());
    }
    if (done->status == 200 && errors == nullptr) return Unclear("no JSON object");
    // All that 22.05 says of a token that has expired, and of a controller that is away.
    if (said == "Unspecified error" || said.rfind("status ", 0) == 0) {
      return Error(Code::kUnavailable,
                   fmt::format("slurmrestd does not say why ({}): the controller is away, or the "
                               "token has expired",
                               said))
          .Hint(TokenHint());
    }
    return ErrorOf("slurmrestd", said);
  }

  std::string TokenHint() const {
    return fmt::format(
        "it has expired, or is not {}'s: `scontrol token username={} lifespan=86400` at the site, "
        "and put it into {}; it is read anew at each question",
        site_.user, site_.user, site_.token_file);
  }

  const wire::SlurmSite site_;
  std::string partition_;
  std::atomic<bool> ending_{false};
};

}  // namespace

Result<std::unique_ptr<Door>> OpenRestDoor(const wire::SlurmSite& site) {
  if (site.address.rfind("http://", 0) != 0) {
    return Error(
               Code::kInvalidArgument,
               fmt::format("slurmrestd's address \"{}\" does not begin with http://", site.address))
        .Hint("where it only speaks https, reach it through a tunnel: ssh -L 6820:localhost:6820");
  }
  if (site.user.empty() || site.token_file.empty()) {
    return Error(Code::kInvalidArgument,
                 "slurmrestd needs a user and a file with that user's token")
        .Hint("give --user NAME and --token-file FILE (`scontrol token` makes one)");
  }
  return std::unique_ptr<Door>(std::make_unique<RestDoor>(site));
}

}  // namespace weir::control::slurm
