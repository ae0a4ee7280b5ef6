// `weir load`: flags and wiring of the open-loop load generator (gateway/load).
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>

#include "app/client.h"
#include "app/commands.h"
#include "gateway/load/load.h"

namespace weir::app {

namespace {

std::atomic<bool> g_stop_asked{false};

struct LoadFlags {
  ClientFlags client;
  std::string model, rate = "1/s", duration = "60s", shape = "constant", arrivals = "poisson",
                     replay, slo_ttft, slo_tpot, slo_latency, timeout = "120s";
  double speedup = 1, sample = 1;
  int prompt_tokens = 16, max_tokens = 32;
  uint64_t seed = 1;
  size_t max_outstanding = 10'000;
  bool chat = false, no_stream = false, live = false;
};

Result<Duration> DurationFlag(const char* flag, const std::string& text) {
  if (text.empty()) return Duration{};
  const auto d = ParseDuration(text);
  if (!d || d->us <= 0) {
    return Error(Code::kInvalidArgument, fmt::format("{}: \"{}\" is not a duration", flag, text))
        .Hint("write one such as 500ms, 60s or 5m");
  }
  return *d;
}

Result<std::vector<gateway::PlannedRequest>> PlanOf(const LoadFlags& f, bool duration_given) {
  const Duration total = TRY(DurationFlag("--for", f.duration));
  if (!f.replay.empty()) {
    gateway::ReplayPlan plan;
    plan.csv = TRY(gateway::ReadMaybeGzip(f.replay));
    plan.speedup = f.speedup;
    plan.sample = f.sample;
    plan.total = duration_given ? total : Duration{};
    plan.seed = f.seed;
    return gateway::MakePlan(plan);
  }
  gateway::SyntheticPlan plan;
  plan.rate_per_s = TRY(gateway::ParseRate(f.rate));
  plan.total = total;
  plan.shape = TRY(gateway::ParseLoadShape(f.shape));
  plan.spacing = f.arrivals == "even" ? gateway::Spacing::kEven : gateway::Spacing::kPoisson;
  plan.seed = f.seed;
  return gateway::MakePlan(plan);
}

void ShowProgress(const gateway::LoadProgress& p, bool tty) {
  using What = gateway::LoadReport::What;
  const gateway::LoadReport& r = *p.report;
  fmt::print(stderr,
             "{}{:7.1f} s  sent {}  ok {}  failed {}  in flight {}  ttft p50 {} p99 {}  "
             "latency p99 {}{}",
             tty ? "\r\x1b[K" : "", p.elapsed.seconds(), r.sent(), r.ok(), r.failed(), p.in_flight,
             Human(r.Quantile(What::kTtft, 0.5)), Human(r.Quantile(What::kTtft, 0.99)),
             Human(r.Quantile(What::kLatency, 0.99)), tty ? "" : "\n");
  std::fflush(stderr);
}

Result<int> Load(const LoadFlags& f, bool duration_given) {
  gateway::LoadOptions o;
  const Client client = TRY(Client::Open(f.client));
  o.url = client.url();
  o.key = client.key();
  o.model = f.model;
  o.plan = TRY(PlanOf(f, duration_given));
  o.chat = f.chat;
  o.stream = !f.no_stream;
  o.prompt_tokens = f.prompt_tokens;
  o.max_tokens = f.max_tokens;
  // With --replay the trace gives the lengths, and the flags bound them.
  if (!f.replay.empty()) {
    o.max_prompt_tokens = f.prompt_tokens;
    o.max_tokens_bound = f.max_tokens;
  }
  o.seed = f.seed;
  o.slo.ttft = TRY(DurationFlag("--slo-ttft", f.slo_ttft));
  o.slo.tpot = TRY(DurationFlag("--slo-tpot", f.slo_tpot));
  o.slo.latency = TRY(DurationFlag("--slo-latency", f.slo_latency));
  o.timeout = TRY(DurationFlag("--timeout", f.timeout));
  o.max_outstanding = f.max_outstanding;
  const bool tty = isatty(STDERR_FILENO) == 1;
  if (tty || f.live) o.progress = [tty](const auto& p) { ShowProgress(p, tty); };
  o.cancelled = [] { return g_stop_asked.load(); };
  std::signal(SIGINT, [](int) {
    g_stop_asked = true;
    std::signal(SIGINT, SIG_DFL);  // the first asks for the report, the second does not wait for it
  });
  const gateway::LoadReport report = TRY(gateway::RunLoad(o));
  if (tty) fmt::print(stderr, "\r\x1b[K");
  fmt::print("{}", f.client.json ? report.Json() + "\n" : report.Text());
  return report.ok() > 0 || report.sent() == 0 ? 0 : 1;
}

}  // namespace

void AddLoadCommand(CLI::App& app, int& exit_status) {
  CLI::App* c = app.add_subcommand(
      "load", "Send requests on a schedule that does not wait for answers, and measure");
  auto f = std::make_shared<LoadFlags>();
  AddClientFlags(*c, f->client);
  c->add_option("--model", f->model, "Model (service) to ask")->required();
  c->add_option("--rate", f->rate, "Requests per time: 20/s, 90/m")->capture_default_str();
  CLI::Option* duration =
      c->add_option("--for", f->duration, "How long to send")->capture_default_str();
  c->add_option("--shape", f->shape,
                "constant, ramp:0.1x..3x, surge:10x@20s+60s (ten times from 20 s, for 60 s)")
      ->capture_default_str();
  c->add_option("--arrivals", f->arrivals, "poisson or even spacing")
      ->check(CLI::IsMember({"poisson", "even"}))
      ->capture_default_str();
  CLI::Option* replay = c->add_option("--replay", f->replay,
                                      "CSV trace (.gz too) with arrival_s or arrival_ms, or with "
                                      "t_s and rate_rps, instead of --rate and --shape");
  c->add_option("--speedup", f->speedup, "Replay this many times as fast")
      ->check(CLI::PositiveNumber)
      ->needs(replay);
  c->add_option("--sample", f->sample, "Replay this share of the trace")
      ->check(CLI::Range(1e-9, 1.0))
      ->needs(replay);
  c->add_option("--prompt-tokens", f->prompt_tokens, "About this long (with --replay: at most)")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  c->add_option("--max-tokens", f->max_tokens, "Tokens to ask for (with --replay: at most)")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  c->add_flag("--chat", f->chat, "Use /v1/chat/completions");
  c->add_flag("--no-stream", f->no_stream, "Ask for whole answers");
  c->add_option("--slo-ttft", f->slo_ttft, "Goodput: time to first token at most this");
  c->add_option("--slo-tpot", f->slo_tpot, "Goodput: time per output token at most this");
  c->add_option("--slo-latency", f->slo_latency, "Goodput: whole answer within this");
  c->add_option("--timeout", f->timeout, "Per request, from its intended time")
      ->capture_default_str();
  c->add_option("--max-outstanding", f->max_outstanding, "Bound of requests at once")
      ->capture_default_str();
  c->add_option("--seed", f->seed, "Of arrivals and prompts")->capture_default_str();
  c->add_flag("--live", f->live, "A line twice a second even when stderr is no terminal");
  c->footer(
      "Examples:\n"
      "  weir load --model story --rate 20/s --for 2m --slo-ttft 500ms --slo-tpot 50ms\n"
      "  weir load --model story --rate 4/s --shape surge:10x@20s+60s --for 2m --live\n"
      "  weir load --url http://10.0.0.7:8000 --model llama --chat --replay requests.csv.gz\n"
      "Any server that speaks OpenAI's API can be asked; the lab of the data folder is by "
      "default.");
  c->callback([f, duration, &exit_status] {
    const Result<int> done = Load(*f, duration->count() > 0);
    if (done) {
      exit_status = *done;
      return;
    }
    fmt::print(stderr, "weir load: {}\n", done.error().ToString());
    exit_status = InfoOf(done.error().code()).exit_status;
  });
}

}  // namespace weir::app
