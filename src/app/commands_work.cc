// weir job ..., weir service ...
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "app/client_commands.h"
#include "app/commands.h"
#include "io/clock.h"

namespace weir::app {

namespace {

// What `weir job wait` exits with when the job did not end well: see docs/cli.md.
constexpr int kExitJobFailed = 20;
constexpr int kExitJobCancelled = 21;

struct JobFlags {
  std::string name, team, slots = "1", time_limit, memory, interval, grace, cwd;
  std::string deadline, widest;
  bool checkpointable = false, whole_nodes = false, dry_run = false;
  int64_t priority = 0, retries = 2;
  std::vector<std::string> env, command, types, sites, regions, avoid;
};

Result<wire::JobSpec> SpecOf(const JobFlags& f) {
  wire::JobSpec spec{.name = f.name, .team = f.team, .command = f.command};
  std::tie(spec.min_slots, spec.max_slots) = TRY(ParseRange("--slots", f.slots));
  spec.env = TRY(EnvFlags(f.env));
  std::error_code ec;
  spec.cwd = f.cwd.empty() ? std::filesystem::current_path(ec).string()
                           : std::filesystem::absolute(f.cwd, ec).string();
  spec.checkpointable = f.checkpointable;
  spec.priority = f.priority;
  spec.max_retries = f.retries;
  if (!f.time_limit.empty()) spec.time_limit = TRY(DurationFlag("--time-limit", f.time_limit));
  if (!f.memory.empty()) spec.memory_limit_bytes = TRY(BytesFlag("--memory", f.memory));
  if (!f.interval.empty())
    spec.checkpoint_interval = TRY(DurationFlag("--checkpoint-interval", f.interval));
  if (!f.grace.empty()) spec.grace = TRY(DurationFlag("--grace", f.grace));
  if (!f.deadline.empty()) {
    const Duration left = TRY(DurationFlag("--deadline", f.deadline));
    if (left.us <= 0)
      return Error(Code::kInvalidArgument, "--deadline: it lies in the past")
          .Hint("say how long from now, such as 8h");
    spec.deadline = Now() + left;
  }
  spec.types = f.types;
  spec.sites = f.sites;
  spec.regions = f.regions;
  spec.avoid = f.avoid;
  spec.widest = f.widest;
  spec.whole_nodes = f.whole_nodes;
  return spec;
}

void AddJobSubmit(CLI::App& job, int& exit_status) {
  auto f = std::make_shared<JobFlags>();
  CLI::App* c = AddLeaf(
      job, "submit", "Submit a command as a job",
      "  weir job submit --team research --name train --slots 2..8 --checkpointable -- "
      "python3 train.py\n"
      "  weir job submit --team research --name eval --time-limit 2h --memory 2GiB -- ./eval.sh",
      exit_status, [f](const ClientFlags& flags) -> Status {
        const wire::JobSpec spec = TRY(SpecOf(*f));
        if (f->dry_run) {
          return AskAndShow<wire::DryRunView>(
              flags, "POST", "/api/v1/jobs/dry-run", wire::ToText(spec),
              [](const wire::DryRunView& run) { return ShowDryRun(run, Style::For()); });
        }
        return AskAndShow<wire::Job>(
            flags, "POST", "/api/v1/jobs", wire::ToText(spec), [](const wire::Job& j) {
              return fmt::format("{} is {}; follow it with `weir job logs -f {}`\n", j.id,
                                 wire::NameOf(j.phase), j.spec.name);
            });
      });
  c->add_option("--name", f->name, "Unique among jobs that have not ended")->required();
  c->add_option("--team", f->team, "Who pays")->required();
  c->add_option("--slots", f->slots, "How many slots: 4, or 2..8 when it is elastic");
  c->add_flag("--checkpointable", f->checkpointable, "It saves on SIGTERM and exits 75");
  c->add_option("--checkpoint-interval", f->interval, "Work it may lose at most when killed");
  c->add_option("--time-limit", f->time_limit, "Of one run, such as 2h");
  c->add_option("--memory", f->memory, "Limit of one rank, such as 2GiB");
  c->add_option("--priority", f->priority, "Higher first within its team");
  c->add_option("--retries", f->retries, "Runs after failed ones");
  c->add_option("--grace", f->grace, "Between SIGTERM and SIGKILL");
  const auto several = [](CLI::Option* option) { option->type_size(1)->allow_extra_args(false); };
  several(c->add_option("--env", f->env, "NAME=VALUE, as often as needed"));
  several(c->add_option("--type", f->types, "Accelerator type that will do, as often as needed"));
  several(c->add_option("--site", f->sites, "Site that will do, as often as needed"));
  several(c->add_option("--region", f->regions, "Region that will do, as often as needed"));
  several(c->add_option("--avoid", f->avoid, "Node that will not do, as site/node"));
  c->add_option("--widest", f->widest, "No further apart than one node, rack, leaf or spine");
  c->add_flag("--whole-nodes", f->whole_nodes, "Nobody else on its nodes");
  c->add_option("--deadline", f->deadline, "It is to have ended in so long, such as 8h");
  c->add_flag("--dry-run", f->dry_run,
              "Submit nothing: say where and when it would start and whom that would touch");
  c->add_option("--cwd", f->cwd, "Working directory; where you are if not said");
  c->add_option("command", f->command, "Program and arguments, after --")->required();
}

Status WaitForJob(const ClientFlags& flags, const std::string& which, const std::string& timeout,
                  int& exit_status) {
  const Client client = TRY(Client::Open(flags));
  const Duration limit = timeout.empty() ? Duration{} : TRY(DurationFlag("--timeout", timeout));
  const io::RealClock clock;
  const Duration began = clock.Monotonic();
  std::string id = which;
  while (true) {
    const std::string answer = TRY(client.Get("/api/v1/jobs/" + Segment(id)));
    const auto job = TRY(wire::FromText<wire::Job>(answer));
    id = job.id;  // its name may be taken by another once it has ended
    const bool ended = job.phase == wire::JobPhase::kDone || job.phase == wire::JobPhase::kFailed ||
                       job.phase == wire::JobPhase::kCancelled;
    if (ended) {
      std::fputs(flags.json ? answer.c_str() : ShowJob(job, Now(), Style::For()).c_str(), stdout);
      exit_status = job.phase == wire::JobPhase::kDone     ? 0
                    : job.phase == wire::JobPhase::kFailed ? kExitJobFailed
                                                           : kExitJobCancelled;
      return {};
    }
    if (limit.us > 0 && clock.Monotonic() - began >= limit) {
      return Error(Code::kDeadlineExceeded, fmt::format("{} is still {} after {}", id,
                                                        wire::NameOf(job.phase), Human(limit)))
          .Hint(fmt::format("`weir why job {}` says what it waits for", id));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(400));
  }
}

void AddJob(CLI::App& app, int& exit_status) {
  CLI::App* job = AddGroup(app, "job", "Work that ends: submit, list, show, logs, cancel, wait");
  AddJobSubmit(*job, exit_status);
  auto team = std::make_shared<std::string>();
  auto phase = std::make_shared<std::string>();
  CLI::App* list = AddLeaf(*job, "list", "Jobs that have not ended, then the newest that have",
                           "  weir job list --team research --phase running", exit_status,
                           [=](const ClientFlags& flags) {
                             std::string path = "/api/v1/jobs";
                             char mark = '?';
                             if (!team->empty()) {
                               path += mark + std::string("team=") + Segment(*team);
                               mark = '&';
                             }
                             if (!phase->empty())
                               path += mark + std::string("phase=") + Segment(*phase);
                             return ListAndShow<wire::Job>(flags, path, [](const auto& jobs) {
                               return ShowJobs(jobs, Now(), Style::For());
                             });
                           });
  list->add_option("--team", *team, "Only this team's");
  list->add_option("--phase", *phase, "queued, running, paused, done, failed or cancelled");

  auto which = std::make_shared<std::string>();
  const auto named = [&](CLI::App* c) {
    c->add_option("job", *which, "Name or id of the job")->required();
    return c;
  };
  named(AddLeaf(
      *job, "show", "One job", "  weir job show train", exit_status, [=](const ClientFlags& flags) {
        return AskAndShow<wire::Job>(flags, "GET", "/api/v1/jobs/" + Segment(*which), "",
                                     [](const auto& j) { return ShowJob(j, Now(), Style::For()); });
      }));
  named(AddLeaf(*job, "cancel", "Stop a job for good", "  weir job cancel train", exit_status,
                [=](const ClientFlags& flags) {
                  return AskAndShow<wire::Job>(
                      flags, "POST", "/api/v1/jobs/" + Segment(*which) + "/cancel", "",
                      [](const wire::Job& j) {
                        return fmt::format("{} is {}\n", j.id, wire::NameOf(j.phase));
                      });
                }));
  auto follow = std::make_shared<bool>(false);
  auto tail = std::make_shared<int64_t>(-1);
  auto rank = std::make_shared<int64_t>(0);
  CLI::App* logs = named(AddLeaf(
      *job, "logs", "Output of a job", "  weir job logs -f train\n  weir job logs --tail 20 train",
      exit_status, [=](const ClientFlags& flags) -> Status {
        const Client client = TRY(Client::Open(flags));
        const std::string base =
            fmt::format("/api/v1/jobs/{}/logs?rank={}", Segment(*which), *rank);
        const auto print = [](std::string_view bytes) {
          const bool good = std::fwrite(bytes.data(), 1, bytes.size(), stdout) == bytes.size();
          return std::fflush(stdout) == 0 && good;
        };
        const std::string from = *tail >= 0 ? fmt::format("&tail={}", *tail) : std::string();
        if (*follow) return client.Follow(base + from + "&follow=true", print);
        if (*tail >= 0) {
          print(TRY(client.Get(base + from)));
          return {};
        }
        for (int64_t offset = 0;;) {
          const std::string page = TRY(client.Get(fmt::format("{}&offset={}", base, offset)));
          if (page.empty() || !print(page)) return {};
          offset += static_cast<int64_t>(page.size());
        }
      }));
  logs->add_flag("-f,--follow", *follow, "Go on until the job has ended");
  logs->add_option("--tail", *tail, "Begin with the last so many lines");
  logs->add_option("--rank", *rank, "Which of the job's processes");

  auto timeout = std::make_shared<std::string>();
  CLI::App* wait = job->add_subcommand("wait", "Wait until a job has ended");
  auto flags = std::make_shared<ClientFlags>();
  AddClientFlags(*named(wait), *flags);
  wait->add_option("--timeout", *timeout, "Give up after this long, such as 10m");
  wait->footer(
      "Exit status: 0 done, 20 failed, 21 cancelled, 9 not ended in time.\n"
      "Examples:\n  weir job wait train && echo trained");
  wait->callback([=, &exit_status] {
    int outcome = 0;
    exit_status = Report(WaitForJob(*flags, *which, *timeout, outcome));
    if (exit_status == 0) exit_status = outcome;
  });
}

struct ServiceFlags {
  std::string name, team, model, replicas, ttft, tpot, queue, memory, grace, health;
  std::optional<double> percentile;
  std::optional<int64_t> slots, tier, max_queue, concurrency;
  bool follow = false, no_follow = false;
  std::vector<std::string> env, variants, engine, command;
};

void AddServiceFlags(CLI::App& c, ServiceFlags& f) {
  c.add_option("--model", f.model, "Model name or version, such as tiny or tiny@3");
  c.add_option("--replicas", f.replicas, "How many: 2, or 1..4");
  c.add_option("--slots", f.slots, "Slots of one replica");
  c.add_option("--slo-ttft", f.ttft, "Time to first token, such as 500ms");
  c.add_option("--slo-tpot", f.tpot, "Time per token after it, such as 50ms");
  c.add_option("--slo-queue", f.queue, "Longest wait in the queue, such as 2s");
  c.add_option("--slo-percentile", f.percentile, "50..99.9");
  c.add_option("--tier", f.tier, "1 is the most important");
  c.add_option("--max-queue", f.max_queue, "Requests that may wait");
  c.add_option("--concurrency", f.concurrency, "Requests in flight at one replica");
  c.add_option("--memory", f.memory, "Limit of one replica, such as 2GiB");
  c.add_option("--grace", f.grace, "For a replica to finish what it serves");
  c.add_option("--health", f.health, "Path that answers 200 when a replica is ready");
  CLI::Option* follow =
      c.add_flag("--follow", f.follow, "Roll out newer versions as they pass the gate");
  c.add_flag("--no-follow", f.no_follow, "Stay with the version that is said")->excludes(follow);
  c.add_option("--variant", f.variants,
               "Model or version that may serve in a surge, such as the same one quantized; as "
               "often as needed, cheapest last")
      ->type_size(1)
      ->allow_extra_args(false);
  c.add_option("--engine", f.engine,
               "A flag of weir serve for every replica, as one word: --engine=--ctx=8192")
      ->type_size(1)
      ->allow_extra_args(false);
  c.add_option("--env", f.env, "NAME=VALUE, as often as needed")
      ->type_size(1)
      ->allow_extra_args(false);
}

// The words of a flag that may be repeated; a single "none" is the empty list, to take all away.
Result<std::vector<std::string>> ListFlag(const char* flag, const std::vector<std::string>& words) {
  if (words.size() == 1 && words[0] == "none") return std::vector<std::string>();
  for (const std::string& word : words) {
    if (word.empty() || word == "none")
      return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" beside others", flag, word))
          .Hint(fmt::format("`{} none` alone takes all away", flag));
  }
  return words;
}

// The fields that the flags give, under the names of ServiceSpec.
Result<wire::Json> FieldsOf(const ServiceFlags& f) {
  wire::Json j = wire::Json::object();
  if (!f.model.empty()) j["model"] = f.model;
  if (!f.replicas.empty()) {
    const auto [low, high] = TRY(ParseRange("--replicas", f.replicas));
    j["min_replicas"] = low;
    j["max_replicas"] = high;
  }
  const auto millis = [&](const char* name, const char* flag, const std::string& text) -> Status {
    if (!text.empty()) j["slo"][name] = TRY(DurationFlag(flag, text))
    .seconds() * 1e3;
    return {};
  };
  TRY(millis("ttft_ms", "--slo-ttft", f.ttft));
  TRY(millis("tpot_ms", "--slo-tpot", f.tpot));
  TRY(millis("queue_ms", "--slo-queue", f.queue));
  if (f.percentile) j["slo"]["percentile"] = *f.percentile;
  if (f.slots) j["slots_per_replica"] = *f.slots;
  if (f.tier) j["tier"] = *f.tier;
  if (f.max_queue) j["max_queue"] = *f.max_queue;
  if (f.concurrency) j["max_concurrency"] = *f.concurrency;
  if (!f.memory.empty()) j["memory_limit_bytes"] = TRY(BytesFlag("--memory", f.memory));
  if (!f.grace.empty()) j["grace_us"] = TRY(DurationFlag("--grace", f.grace))
  .us;
  if (!f.health.empty()) j["health_path"] = f.health;
  if (f.follow || f.no_follow) j["follow"] = f.follow;
  if (!f.variants.empty()) j["variants"] = TRY(ListFlag("--variant", f.variants));
  if (!f.engine.empty()) j["engine"] = TRY(ListFlag("--engine", f.engine));
  const auto env = TRY(EnvFlags(f.env));
  if (!env.empty()) j["env"] = env;
  if (!f.command.empty()) j["command"] = f.command;
  return j;
}

void AddService(CLI::App& app, int& exit_status) {
  CLI::App* service = AddGroup(
      app, "service", "Work that runs until retired: create, list, show, scale, update, retire");
  const auto show = [](const char* did) {
    return [did](const wire::Service& s) {
      return fmt::format("{} ({}) is {}\n", s.spec.name, s.id, did);
    };
  };
  {
    auto f = std::make_shared<ServiceFlags>();
    CLI::App* c = AddLeaf(
        *service, "create", "Serve a model, or any program that speaks HTTP on $WEIR_PORT",
        "  weir service create chat --team product --model tiny --replicas 1..4 --slo-ttft 500ms\n"
        "  weir service create chat --team product --model m --variant m-q4 --engine=--ctx=8192\n"
        "  weir service create stub --team product --health / -- python3 server.py",
        exit_status, [=](const ClientFlags& flags) -> Status {
          wire::Json body = TRY(FieldsOf(*f));
          body["name"] = f->name;
          body["team"] = f->team;
          return AskAndShow<wire::Service>(flags, "POST", "/api/v1/services", body.dump(),
                                           show("created"));
        });
    c->add_option("name", f->name, "What clients ask for as `model`")->required();
    c->add_option("--team", f->team, "A product team")->required();
    AddServiceFlags(*c, *f);
    c->add_option("command", f->command, "Program and arguments, after --");
  }
  AddLeaf(*service, "list", "Services and their traffic", "  weir service list", exit_status,
          [](const ClientFlags& flags) {
            return ListAndShow<wire::ServiceView>(flags, "/api/v1/services", [](const auto& all) {
              return ShowServices(all, Style::For());
            });
          });
  auto which = std::make_shared<std::string>();
  const auto named = [&](CLI::App* c) {
    c->add_option("service", *which, "Name or id of the service")->required();
    return c;
  };
  named(AddLeaf(*service, "show", "One service", "  weir service show chat", exit_status,
                [=](const ClientFlags& flags) {
                  return AskAndShow<wire::ServiceView>(
                      flags, "GET", "/api/v1/services/" + Segment(*which), "",
                      [](const auto& s) { return ShowService(s, Style::For()); });
                }));
  auto replicas = std::make_shared<std::string>();
  named(AddLeaf(*service, "scale", "Change how few and how many replicas it may have",
                "  weir service scale chat 1..6", exit_status,
                [=](const ClientFlags& flags) -> Status {
                  const auto [low, high] = TRY(ParseRange("replicas", *replicas));
                  return AskAndShow<wire::Service>(
                      flags, "POST", "/api/v1/services/" + Segment(*which) + "/scale",
                      wire::ToText(wire::ScaleRequest{low, high}), show("scaled"));
                }))
      ->add_option("replicas", *replicas, "2, or 1..6")
      ->required();
  auto changes = std::make_shared<ServiceFlags>();
  AddServiceFlags(
      *named(AddLeaf(
          *service, "update", "Change a service; a new model starts a rollout",
          "  weir service update chat --model tiny@3\n  weir service update chat --tier 2\n"
          "  weir service update chat --variant none --engine=--ctx=4096",
          exit_status,
          [=](const ClientFlags& flags) -> Status {
            const wire::Json body = TRY(FieldsOf(*changes));
            if (body.empty()) {
              return Error(Code::kInvalidArgument, "nothing to change was given")
                  .Hint("see `weir service update --help`");
            }
            return AskAndShow<wire::Service>(flags, "PATCH", "/api/v1/services/" + Segment(*which),
                                             body.dump(), show("updated"));
          })),
      *changes);
  named(AddLeaf(*service, "retire", "Finish what is being served, then stop for good",
                "  weir service retire chat", exit_status, [=](const ClientFlags& flags) {
                  return AskAndShow<wire::Service>(
                      flags, "POST", "/api/v1/services/" + Segment(*which) + "/retire", "",
                      show("retiring"));
                }));
}

}  // namespace

void AddWorkCommands(CLI::App& app, int& exit_status) {
  AddJob(app, exit_status);
  AddService(app, exit_status);
}

}  // namespace weir::app
