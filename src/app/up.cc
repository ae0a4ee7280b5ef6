// `weir up`: one lab in the foreground. Flags and wiring; what it wires is in control/ and
// gateway/.
//
//   store -> control loop -> driver -> shims            (decides and runs)
//   server -> api -> lab (the loop's door)              (changes and views)
//          -> edge -> replicas      edge <-> bridge <-> loop
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <climits>
#include <memory>
#include <thread>

#include "app/commands.h"
#include "app/setup.h"
#include "app/story.h"
#include "base/logging.h"
#include "base/version.h"
#include "control/disk_files.h"
#include "control/drivers/local.h"
#include "control/drivers/slurm/check.h"
#include "control/drivers/slurm/slurm.h"
#include "control/http_probe.h"
#include "control/local_lab.h"
#include "control/loop.h"
#include "gateway/api/api.h"
#include "gateway/api/traffic_metrics.h"
#include "gateway/bridge.h"
#include "gateway/edge/edge.h"
#include "io/clock.h"
#include "io/cores.h"
#include "io/files.h"
#include "io/http_server.h"
#include "io/process.h"
#include "io/secret.h"
#include "io/sqlite_store.h"
#include "lab/guard/keys.h"

namespace weir::app {

namespace {

constexpr Duration kServerGrace =
    Duration::Seconds(2);  // for answers still in flight after a drain

struct Address {
  std::string host;
  uint16_t port = 0;
};

Result<Address> ParseAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  const std::string port = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (port.empty() || port.size() > 5 ||
      port.find_first_not_of("0123456789") != std::string::npos || std::stoi(port) > 65535 ||
      colon == 0) {
    return Error(Code::kInvalidArgument,
                 fmt::format("lab.listen: expected HOST:PORT, got \"{}\"", text))
        .Hint("such as 127.0.0.1:7575");
  }
  return Address{text.substr(0, colon), static_cast<uint16_t>(std::stoi(port))};
}

std::string ProgramPath() {
  char path[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path);
  return n > 0 ? std::string(path, static_cast<size_t>(n)) : "weir";
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "localhost";
}

// The keys of the lab as the edge asks for them.
class KeyAuthenticator final : public gateway::Authenticator {
 public:
  KeyAuthenticator(const guard::KeyRing& keys, const io::Clock& clock)
      : keys_(keys), clock_(clock) {}
  Result<gateway::Principal> Authenticate(std::string_view key) override {
    const guard::Principal who = TRY(keys_.Authenticate(key, clock_.Now()));
    TRY(guard::AuthorizeAtAll(who, guard::Action::kInfer));
    gateway::Principal out;
    out.name = who.name;
    out.tier = static_cast<int>(who.tier);
    if (!who.service.empty()) out.services = {who.service};
    return out;
  }

 private:
  const guard::KeyRing& keys_;
  const io::Clock& clock_;
};

// An admin key whose secret lies in DATA/admin.key. The file comes first: a crash in between leaves
// a secret that nothing accepts, and the next start makes another. Returns the secret if it is new.
Result<std::string> EnsureAdminKey(control::Lab& lab, const std::string& data, Time now) {
  for (const wire::Key& key : lab.Keys()) {
    if (key.role == wire::Role::kAdmin && !key.revoked) return std::string();
  }
  wire::Key wanted;
  wanted.name = fmt::format("admin-{}", lab.Keys().size() + 1);
  wanted.role = wire::Role::kAdmin;
  const guard::NewKey made = TRY(guard::MakeKey(wanted, now));
  TRY(io::WriteSecretFile(data + "/admin.key", made.secret));
  TRY(lab.CreateKey(made.key, {"weir"}));
  return made.secret;
}

// What a site's commands and ssh find in their environment.
std::map<std::string, std::string> SiteEnvironment(const io::EnvLookup& env) {
  auto given = control::CommandEnvironment(env);
  for (const char* name : {"SSH_AUTH_SOCK", "SLURM_CONF"}) {
    if (const auto value = env(name)) given[name] = *value;
  }
  return given;
}

// Tells this lab's jobs from those of any other lab at the same cluster; made once, kept in DATA.
Result<std::string> LabTag(const std::string& data, const std::string& lab) {
  const std::string path = data + "/lab.tag";
  if (const auto tag = io::ReadFile(path, 256)) return tag->substr(0, tag->find('\n'));
  std::string name;
  for (const char c : lab.substr(0, 24))
    name += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  const std::string tag = name + "-" + io::SecureRandomHex(4);
  TRY(io::WriteFileDurably(path, tag + "\n"));
  return tag;
}

bool IsEmpty(const wire::LabView& view) {
  for (const wire::Team& team : view.teams) {
    if (team.name != "research" && team.name != "product") return false;
  }
  return view.jobs.empty() && view.services.empty() && view.pipelines.empty();
}

Status BeginStory(control::Lab& lab, const Story& story) {
  const control::Actor actor{"weir"};
  TRY(lab.PutTeam(story.research, actor));
  TRY(lab.PutTeam(story.product, actor));
  TRY(lab.PutPipeline(story.pipeline, actor));
  return {};
}

void PrintBanner(const Setup& setup, const std::string& url, const std::string& new_secret,
                 const io::SlotShares& shares, bool story) {
  fmt::print("weir {}: lab \"{}\" in {}\n", kVersion, setup.config.String("lab.name"), setup.data);
  fmt::print("  {} slots on {} cores, kept apart by {}\n", shares.slots(), shares.cores().size(),
             shares.mechanism() == io::SlotShares::Mechanism::kCgroupV2 ? "cgroup v2"
                                                                        : "affinity and nice");
  if (shares.mechanism() == io::SlotShares::Mechanism::kAffinity)
    fmt::print("  ({})\n", shares.why());
  if (new_secret.empty()) {
    fmt::print("  dashboard  {}/   (key: {}/admin.key)\n", url, setup.data);
  } else {
    fmt::print(
        "  admin key  {}\n             shown this once; kept in {}/admin.key, readable by you "
        "alone\n",
        new_secret, setup.data);
    fmt::print("  dashboard  {}/#key={}\n", url, new_secret);
  }
  if (story) {
    fmt::print(
        "  the first story begins: text, tokenizer, a small model, a service. When it serves, ask "
        "it:\n");
  }
  fmt::print(
      "  curl -N {}/v1/completions -H \"Authorization: Bearer $(cat {}/admin.key)\" "
      "-H 'Content-Type: application/json' -d '{{\"model\":\"story\",\"prompt\":\"The "
      "\",\"max_tokens\":64,\"stream\":true}}'\n",
      url, setup.data);
  fmt::print("  weir status | weir top | weir why service story      Ctrl-C drains and stops\n");
  std::fflush(stdout);
}

Status Up(const Setup& setup) {
  const Config& config = setup.config;
  const Address address = TRY(ParseAddress(config.String("lab.listen")));
  const sched::Policy policy = TRY(config.Policy());
  const io::RealClock clock;

  // Signals are taken by one thread that waits for them; every thread made from here on blocks
  // them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }

  TRY(io::MakeDirs(setup.data));
  const io::FileLock lock = TRY(io::LockDir(setup.data, clock.Now()));
  const int slots = LocalSlots(config);
  const io::SlotShares shares = TRY(io::SlotShares::Detect(slots));
  const std::unique_ptr<io::Store> store = TRY(io::OpenSqliteStore(setup.data + "/weir.db"));
  const std::string program = ProgramPath();

  control::LocalOptions local;
  local.runs_dir = setup.data + "/runs";
  local.shim_command = {program, "shim"};
  local.env = control::CommandEnvironment(io::ProcessEnv());
  local.node = HostName();
  local.power_w_per_slot = config.Number("site.power_w_per_slot");
  local.price_usd_per_slot_h = config.Number("site.price_usd_per_slot_h");
  const std::unique_ptr<control::Driver> driver =
      TRY(control::CreateLocalDriver(local, shares, &clock));

  // What is made later is ended first; `stop_server` below ends the server before all it calls.
  io::HttpRouter router;
  io::HttpHandler rest;
  gateway::Edge* openai = nullptr;
  io::HttpServerOptions server_options;
  server_options.address = address.host;
  server_options.port = address.port;
  server_options.threads = static_cast<int>(config.Integer("gateway.threads"));
  server_options.max_connections = static_cast<size_t>(config.Integer("gateway.max_connections"));
  server_options.max_body_bytes = static_cast<size_t>(config.Bytes("gateway.max_body"));
  server_options.refusal = gateway::Edge::Refusal;
  io::HttpServer server(server_options, [&openai, &rest](io::HttpExchangePtr x) {
    if (gateway::Edge::Owns(x->request().path()))
      openai->Handle(std::move(x));
    else
      rest(std::move(x));
  });
  guard::KeyRing keys;
  gateway::Edge edge(server.loops(), gateway::EdgeOptions{},
                     std::make_shared<KeyAuthenticator>(keys, clock));
  openai = &edge;
  gateway::Bridge bridge(edge);
  control::HttpProbe probe;
  control::DiskFiles lab_files;

  control::LoopOptions loop_options;
  loop_options.lab = config.String("lab.name");
  loop_options.version = kVersion;
  loop_options.env.data_dir = setup.data;
  loop_options.env.weir_binary = program;
  loop_options.tick = config.Span("lab.tick");
  loop_options.policy = policy;
  const std::string lab_tag = TRY(LabTag(setup.data, config.String("lab.name")));
  const auto site_env = SiteEnvironment(io::ProcessEnv());
  const auto open_site =
      [&](const wire::SiteSpec& spec) -> Result<std::unique_ptr<control::Driver>> {
    auto door = TRY(control::slurm::OpenDoor(spec.slurm, site_env));
    return std::unique_ptr<control::Driver>(
        TRY(control::slurm::CreateSlurmDriver({spec, setup.data, lab_tag, program}, std::move(door),
                                              &clock, control::slurm::Worker::kThread)));
  };
  const auto check_site = [&](const wire::SiteSpec& spec) -> std::vector<wire::SiteCheck> {
    auto door = control::slurm::OpenDoor(spec.slurm, site_env);
    if (!door) return {{"door", false, true, door.error().message(), door.error().hint()}};
    return control::slurm::CheckSite(spec, **door, setup.data, program, clock.Now());
  };
  control::LoopPorts ports;
  ports.open_site = open_site;
  ports.check_site = check_site;
  ports.store = store.get();
  ports.clock = &clock;
  ports.drivers = {driver.get()};
  ports.traffic = &bridge;
  ports.routing = &bridge;
  ports.probe = &probe;
  ports.files = &lab_files;
  const std::unique_ptr<control::ControlLoop> loop =
      TRY(control::ControlLoop::Open(ports, loop_options));
  control::LocalLab lab(*loop);

  gateway::ApiOptions api_options;
  api_options.visitors = config.Bool("gateway.open_metrics");  // metrics is all that they may see
  gateway::Api api(api_options, lab, keys, clock);
  api.AddMetrics([&](gateway::MetricsText& text) {
    for (const wire::ServiceTraffic& traffic : edge.Traffic())
      gateway::AddTrafficMetrics(text, traffic);
    const control::LoopTimes times = loop->times();
    gateway::AddLoopMetrics(text, times.turn, times.decide);
    if (const auto usage = io::UsageOf(getpid()))
      gateway::AddProcessMetrics(text, *usage, io::OpenFileCount());
  });
  api.Register(router);
  rest = router.Handler();

  struct StopServer {
    io::HttpServer& server;
    ~StopServer() { server.Stop(kServerGrace); }
  };
  const StopServer stop_server{server};
  const uint16_t port = TRY(server.Start());
  const std::string url = fmt::format("http://{}:{}", address.host, port);
  const std::string new_secret = TRY(EnsureAdminKey(lab, setup.data, clock.Now()));
  keys.Replace(lab.Keys());
  loop->Step();  // the first view: what the journal says, and what still runs
  const bool story = config.Bool("story.enabled") && IsEmpty(*lab.View());
  if (story) TRY(BeginStory(lab, MakeStory(config, program, setup.data, slots)));
  TRY(io::WriteFileAtomically(setup.data + "/endpoint", url + "\n"));
  PrintBanner(setup, url, new_secret, shares, story);

  std::thread signal_thread([&] {
    int stops = 0;
    for (;;) {
      int signal_number = 0;
      sigwait(&signals, &signal_number);
      if (signal_number == SIGUSR1) return;  // the loop has ended
      if (++stops == 1) {
        const Duration grace = config.Span("lab.drain");
        log::info(
            "draining: saving jobs, finishing requests, at most {}; once more to stop at once",
            Human(grace));
        loop->BeginDrain(grace);
      } else {
        log::warn("stopping at once; what still runs is adopted by the next start");
        loop->RequestStop();
      }
    }
  });
  loop->Run();
  pthread_kill(signal_thread.native_handle(), SIGUSR1);
  signal_thread.join();
  api.Stop();
  (void)io::RemoveFile(setup.data + "/endpoint");
  log::info("stopped; the journal is at {}", setup.data);
  return {};
}

}  // namespace

void AddUpCommand(CLI::App& app, int& exit_status) {
  CLI::App* command =
      app.add_subcommand("up", "Bring up the lab and keep it up, in the foreground");
  auto flags = AddUpFlags(*command);
  command->footer(
      "Examples:\n"
      "  weir up                                  the first story on an empty folder, the lab as "
      "it was on another\n"
      "  weir up --text ~/books --data /srv/lab   train on your own text\n"
      "  weir up --empty --listen 127.0.0.1:0     an empty lab on a free port\n"
      "The options can also stand in a file and in the environment: see `weir config show`.");
  command->callback([flags, &exit_status] {
    const Result<Setup> setup = LoadSetup(*flags);
    if (!setup) {
      exit_status = Complain("up", setup.error());
      return;
    }
    log::Init(setup->config.String("lab.log_level"));
    const Status status = Up(*setup);
    exit_status = status ? 0 : Complain("up", status.error());
  });
}

}  // namespace weir::app
