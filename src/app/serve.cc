// `weir serve`: flags and a replica's environment (docs/formats.md) to serve::ReplicaOptions.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "app/client_commands.h"
#include "app/commands.h"
#include "base/logging.h"
#include "base/units.h"
#include "engine/kernels/thread_pool.h"
#include "engine/serve/replica.h"
#include "io/clock.h"
#include "io/cores.h"
#include "io/files.h"
#include "io/secret.h"

namespace weir::app {
namespace {

constexpr uint16_t kDefaultPort = 8081;
constexpr int64_t kMaxTextFile = 1 << 20;  // of keys, of a template
constexpr Duration kDefaultGrace = Duration::Seconds(20);

struct ServerFlags {
  std::string model, listen, name, kv_bytes, api_key_env, api_key_file, chat_template, draft;
  std::string generation_config = "auto";
  std::string reasoning = "separate", pooling = "last", kv_type = "f16", tpot_target;
  std::vector<std::string> aliases, adapters;
  int max_batch = 32, max_queue = 128, threads = 0, speculate = 16;
  int64_t context = 0;
  bool no_prefix_cache = false;
};

template <class T>
Result<T> Number(std::string_view flag, std::string_view text, T low, T high) {
  T value = 0;
  const auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || at != text.data() + text.size() || value < low || value > high) {
    return BadFlag(flag, fmt::format("a number from {} to {}", low, high), text);
  }
  return value;
}

// The processors that share a core's hardware, as the kernel lists them; empty where it does not
// say.
std::string SiblingsOf(int core) {
  constexpr int64_t kMostBytes = 4096;
  const auto list = io::ReadFile(
      fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", core), kMostBytes);
  return list ? *list : std::string();
}

// "HOST:PORT", "[::1]:PORT" or "PORT".
Status ParseListen(const std::string& text, serve::ReplicaOptions& options) {
  const size_t colon = text.rfind(':');
  std::string host = colon == std::string::npos ? "127.0.0.1" : text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty()) return BadFlag("--listen", "HOST:PORT", text);
  options.address = host;
  options.port = static_cast<uint16_t>(TRY(Number<int>(
      "--listen", colon == std::string::npos ? text : text.substr(colon + 1), 0, 65535)));
  return {};
}

// One key a line; empty lines and those that begin with # are passed over.
Result<std::vector<std::string>> KeysOf(const std::string& path) {
  const std::string text = TRY(io::ReadFile(path, kMaxTextFile));
  std::vector<std::string> keys;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string key = text.substr(begin, end - begin);
    while (!key.empty() && (key.back() == '\r' || key.back() == ' ')) key.pop_back();
    if (!key.empty() && key.front() != '#') keys.push_back(std::move(key));
    begin = end + 1;
  }
  if (keys.empty()) {
    return Error(Code::kInvalidArgument, fmt::format("--api-key-file: {} holds no key", path))
        .Hint("write one key a line");
  }
  return keys;
}

Result<serve::AdapterSource> AdapterOf(const std::string& text) {
  const size_t at = text.find('=');
  if (at == 0 || at == std::string::npos || at + 1 == text.size()) {
    return BadFlag("--adapter", "NAME=FOLDER", text);
  }
  return serve::AdapterSource{text.substr(0, at), text.substr(at + 1)};
}

Result<serve::ReplicaOptions> Complete(const ServerFlags& flags, const io::EnvLookup& env) {
  serve::ReplicaOptions o;
  o.port = kDefaultPort;
  if (const auto port = env("WEIR_PORT")) {
    o.port = static_cast<uint16_t>(TRY(Number<int>("WEIR_PORT", *port, 0, 65535)));
  }
  if (const auto host = env("WEIR_HOST"); host && !host->empty()) o.address = *host;
  if (!flags.listen.empty()) TRY(ParseListen(flags.listen, o));
  o.name = flags.name.empty() ? env("WEIR_SERVICE").value_or("") : flags.name;
  if (!flags.api_key_env.empty()) {
    const auto key = env(flags.api_key_env);
    if (key && !key->empty()) {
      o.api_keys.push_back(*key);
    } else {
      return Error(Code::kInvalidArgument,
                   fmt::format("--api-key-env: {} is not set", flags.api_key_env))
          .Hint(fmt::format("export {}=..., or leave the flag out", flags.api_key_env));
    }
  }
  if (!flags.api_key_file.empty()) {
    for (std::string& key : TRY(KeysOf(flags.api_key_file))) o.api_keys.push_back(std::move(key));
  }
  o.aliases = flags.aliases;
  for (const std::string& text : flags.adapters) {
    o.engine.adapters.push_back(TRY(AdapterOf(text)));
  }
  if (!flags.chat_template.empty())
    o.chat_template = TRY(io::ReadFile(flags.chat_template, kMaxTextFile));
  o.model_sampling = flags.generation_config == "auto";
  o.split_thinking = flags.reasoning == "separate";
  o.pooling = flags.pooling == "mean"   ? serve::Pooling::kMean
              : flags.pooling == "last" ? serve::Pooling::kLast
                                        : serve::Pooling::kNone;
  if (const auto cores = env("WEIR_SLOTS_CORES"); cores && !cores->empty()) {
    for (size_t begin = 0; begin < cores->size();) {
      const size_t end = std::min(cores->find(',', begin), cores->size());
      o.engine.cores.push_back(
          TRY(Number<int>("WEIR_SLOTS_CORES", cores->substr(begin, end - begin), 0, 1 << 16)));
      begin = end + 1;
    }
  }
  if (!flags.kv_bytes.empty()) {
    const std::optional<int64_t> bytes = ParseBytes(flags.kv_bytes);
    if (!bytes || *bytes < 1) return BadFlag("--kv-bytes", "bytes such as 512MiB", flags.kv_bytes);
    o.engine.kv_bytes = *bytes;
  }
  o.engine.max_batch = flags.max_batch;
  o.engine.max_queue = flags.max_queue;
  o.engine.context = flags.context;
  o.engine.speculative_rows = flags.speculate;
  o.engine.prefix_cache = !flags.no_prefix_cache;
  o.engine.threads = flags.threads;
  if (o.engine.threads == 0) {
    // One for each physical core: a second on the same core shares its arithmetic.
    const std::vector<int> ours = o.engine.cores.empty() ? io::UsableCores() : o.engine.cores;
    const std::vector<int> cores = kernels::OnePerCore(ours, SiblingsOf);
    o.engine.threads = static_cast<int>(cores.size());
    // Bound to them where the system could put two on one core.
    if (!o.engine.cores.empty() || cores.size() < ours.size()) o.engine.cores = cores;
  }
  const std::optional<serve::KvType> kv_type = serve::KvTypeNamed(flags.kv_type);
  if (!kv_type) return BadFlag("--kv-type", "f32, f16, bf16 or int8", flags.kv_type);
  o.engine.kv_type = *kv_type;
  if (!flags.tpot_target.empty()) {
    const std::optional<Duration> target = ParseDuration(flags.tpot_target);
    if (!target || target->us < 1) {
      return BadFlag("--tpot-target", "a time such as 100ms", flags.tpot_target);
    }
    o.engine.tpot_target = *target;
  }
  const std::string random = io::SecureRandomBytes(sizeof o.seed);
  std::copy(random.begin(), random.end(), reinterpret_cast<char*>(&o.seed));
  return o;
}

Result<Duration> Grace(const io::EnvLookup& env) {
  const auto text = env("WEIR_GRACE_S");
  if (!text) return kDefaultGrace;
  return Duration::Seconds(TRY(Number<int64_t>("WEIR_GRACE_S", *text, 0, 24 * 3600)));
}

Status Serve(const ServerFlags& flags) {
  // Blocked before any thread starts, so that every thread inherits it and only the descriptor
  // below ever sees them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  const int asked_to_stop = signalfd(-1, &signals, SFD_CLOEXEC);

  const io::EnvLookup env = io::ProcessEnv();
  serve::ReplicaOptions options = TRY(Complete(flags, env));
  const Duration grace = TRY(Grace(env));
  const auto load = [&options](const std::string& path) {
    kernels::ThreadPool pool(options.engine.threads, options.engine.cores);
    return model::Model::Load(path, &pool);
  };
  const auto model = TRY(load(flags.model));
  if (options.chat_template.empty()) options.chat_template = model->files().chat_template();
  if (!flags.draft.empty()) options.engine.draft = TRY(load(flags.draft));
  const io::RealClock clock;
  const auto replica = TRY(serve::Replica::Create(model, options, clock));
  const uint16_t port = TRY(replica->Start());
  const model::ModelConfig& c = model->config();
  log::info("{}: {} parameters, {} of weights, context {}, {} sequences at once, {} threads",
            replica->name(), HumanCount(static_cast<double>(ParameterCount(c))),
            HumanBytes(model->weight_bytes()), replica->engine().context(),
            options.engine.max_batch, options.engine.threads);
  fmt::print("serving {} on http://{}:{}\n", replica->name(), options.address, port);
  std::fflush(stdout);

  pollfd wait{asked_to_stop, POLLIN, 0};
  while (poll(&wait, 1, -1) < 0 && errno == EINTR) {
  }
  signalfd_siginfo taken;  // or it would still be pending, and kill us when it is unblocked
  (void)!read(asked_to_stop, &taken, sizeof taken);
  close(asked_to_stop);
  // A second Ctrl-C is not waited for.
  signal(SIGINT, SIG_DFL);
  sigdelset(&signals, SIGTERM);
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  const serve::EngineStats stats = replica->engine().stats();
  log::info("stopping: {} running, {} waiting, grace {}", stats.running, stats.queued,
            Human(grace));
  if (!replica->Drain(grace)) log::warn("the grace is over: some answers were cut");
  return {};
}

}  // namespace

void AddServeCommand(CLI::App& app, int& exit_status) {
  CLI::App* command = app.add_subcommand("serve", "Serve a model over an OpenAI-compatible API");
  auto flags = std::make_shared<ServerFlags>();
  command->add_option("model", flags->model, "A model folder or a .gguf file")->required();
  const auto repeated = [](CLI::Option* option) { option->type_size(1)->allow_extra_args(false); };
  command->add_option("--listen", flags->listen,
                      "HOST:PORT, port 0 for any free one (default: 127.0.0.1:$WEIR_PORT or 8081)");
  command->add_option("--name", flags->name,
                      "Name of the model in the API (default: $WEIR_SERVICE or the file's name)");
  repeated(command->add_option("--alias", flags->aliases, "Another name that requests may give"));
  command->add_option("--ctx,--context", flags->context,
                      "Tokens of prompt and answer together (default: the model's)");
  command->add_option("--parallel,--max-batch", flags->max_batch, "Sequences computed at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command->add_option("--max-queue", flags->max_queue, "Requests that may wait; more get 429")
      ->capture_default_str()
      ->check(CLI::Range(0, 1 << 20));
  command->add_option("--kv-bytes", flags->kv_bytes,
                      "Memory for keys and values, such as 512MiB (default: enough, up to 2GiB)");
  command->add_flag("--no-prefix-cache", flags->no_prefix_cache,
                    "Compute each prompt whole, though another began alike");
  command
      ->add_option("--threads", flags->threads,
                   "(default: one for each physical core that is ours)")
      ->check(CLI::Range(1, 1024));
  command
      ->add_option("--kv-type", flags->kv_type,
                   "Numbers that keys and values are kept in: f32, f16, bf16, or int8 (half the "
                   "memory of f16)")
      ->capture_default_str();
  command->add_option("--tpot-target", flags->tpot_target,
                      "Time between tokens that other people's prompts may not stretch (120ms)");
  repeated(command->add_option("--adapter", flags->adapters,
                               "NAME=FOLDER of a LoRA adapter; requests name it as their model"));
  command->add_option("--draft", flags->draft,
                      "A small model with the same vocabulary that guesses tokens ahead");
  command
      ->add_option("--speculate", flags->speculate,
                   "Rows of a step up to which guesses are checked; 0: none are made")
      ->capture_default_str()
      ->check(CLI::Range(0, 1024));
  command->add_option("--chat-template", flags->chat_template,
                      "File with a Jinja template (default: the model's own)");
  command
      ->add_option("--generation-config", flags->generation_config,
                   "Sampling of requests that leave it out: auto takes the model's "
                   "generation_config.json, none OpenAI's defaults")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "none"}));
  command
      ->add_option("--reasoning", flags->reasoning,
                   "What stands in <think>: apart, as reasoning_content, or in the content")
      ->capture_default_str()
      ->check(CLI::IsMember({"separate", "content"}));
  command->add_option("--pooling", flags->pooling, "Of embeddings: over the prompt's tokens")
      ->capture_default_str()
      ->check(CLI::IsMember({"last", "mean", "none"}));
  command->add_option("--api-key-env", flags->api_key_env,
                      "Environment variable with the key that clients must send (default: none)");
  command->add_option("--api-key-file", flags->api_key_file,
                      "File with keys, one a line, any of which clients may send");
  command->footer(
      "Examples:\n"
      "  weir serve ./checkpoint\n"
      "  weir serve model.gguf --listen 127.0.0.1:0 --name mine --ctx 8192 --parallel 16\n"
      "  weir serve ./base --adapter legal=./lora-legal --adapter code=./lora-code\n"
      "  weir serve large.gguf --draft small.gguf --api-key-file keys.txt\n"
      "  curl http://127.0.0.1:8081/v1/completions -d '{\"prompt\":\"Once\",\"max_tokens\":20}'\n"
      "SIGTERM and Ctrl-C finish what runs, within $WEIR_GRACE_S (20) seconds, and exit 0.\n"
      "docs/serving.md has every field of the API, and the same tasks for llama.cpp and vLLM.");
  command->callback([flags, &exit_status] {
    const Status status = Serve(*flags);
    if (status) return;
    fmt::print(stderr, "weir serve: {}\n", status.error().ToString());
    exit_status = InfoOf(status.error().code()).exit_status;
  });
}

}  // namespace weir::app
