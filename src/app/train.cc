// `weir train`: flags and the environment of a worker (docs/formats.md) to train::Options.
#include <fmt/format.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <charconv>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "app/client_commands.h"
#include "app/commands.h"
#include "base/units.h"
#include "engine/train/trainer.h"
#include "io/cores.h"
#include "io/files.h"

namespace weir::app {
namespace {

constexpr int kResumeMe = 75;  // the contract: saved on request, start me again

std::atomic<bool> stop_wanted{false};
static_assert(std::atomic<bool>::is_always_lock_free);
void OnSignal(int) { stop_wanted.store(true); }

struct TrainFlags {
  train::Options options;
  std::string max_time, checkpoint_interval, max_text, dtype = "f32";
  int threads = 0;
  bool quiet = false;
};

Result<int> EnvInt(const io::EnvLookup& env, const std::string& name, int otherwise) {
  const std::optional<std::string> text = env(name);
  if (!text) return otherwise;
  int value = 0;
  const auto [at, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || at != text->data() + text->size()) {
    return BadFlag(name, "a whole number", *text);
  }
  return value;
}

Result<train::Options> Complete(TrainFlags flags, const io::EnvLookup& env) {
  train::Options& o = flags.options;
  const auto duration = [](std::string_view flag,
                           const std::string& text) -> Result<std::optional<Duration>> {
    if (text.empty()) return std::optional<Duration>();
    const std::optional<Duration> d = ParseDuration(text);
    if (!d || d->us <= 0) return BadFlag(flag, "a duration such as 90s or 10m", text);
    return d;
  };
  o.max_time = TRY(duration("--max-time", flags.max_time));
  o.checkpoint_interval = TRY(duration("--checkpoint-interval", flags.checkpoint_interval));
  if (!flags.max_text.empty()) {
    const std::optional<int64_t> max_text = ParseBytes(flags.max_text);
    if (!max_text || *max_text < 1) {
      return BadFlag("--max-text", "bytes such as 24MiB", flags.max_text);
    }
    o.max_text_bytes = *max_text;
  }
  if (flags.dtype != "f32" && flags.dtype != "bf16") {
    return BadFlag("--dtype", "f32 or bf16", flags.dtype);
  }
  o.storage = flags.dtype == "bf16" ? train::Storage::kBf16 : train::Storage::kF32;

  o.ring.rank = TRY(EnvInt(env, "WEIR_RANK", 0));
  o.ring.world = TRY(EnvInt(env, "WEIR_WORLD_SIZE", 1));
  o.ring.rendezvous = env("WEIR_RENDEZVOUS").value_or("");
  o.ring.stop = &stop_wanted;
  o.job = env("WEIR_JOB").value_or("");
  o.run = o.ring.run = env("WEIR_RUN").value_or("");
  if (o.out.empty()) o.out = env("WEIR_CHECKPOINT_DIR").value_or("");
  o.progress_file = env("WEIR_PROGRESS_FILE").value_or("");
  if (const std::optional<std::string> cores = env("WEIR_SLOTS_CORES")) {
    for (size_t begin = 0; begin < cores->size();) {
      const size_t end = std::min(cores->find(',', begin), cores->size());
      int core = -1;
      const auto [at, error] = std::from_chars(cores->data() + begin, cores->data() + end, core);
      if (error != std::errc() || at != cores->data() + end || core < 0) {
        return BadFlag("WEIR_SLOTS_CORES", "cores such as 0,1", *cores);
      }
      o.cores.push_back(core);
      begin = end + 1;
    }
  }
  // As many threads as cores are ours; ranks that were given no cores share the machine.
  o.threads = flags.threads;
  if (o.threads == 0) {
    const size_t mine =
        o.cores.empty() ? io::UsableCores().size() / static_cast<size_t>(std::max(1, o.ring.world))
                        : o.cores.size();
    o.threads = static_cast<int>(std::max<size_t>(1, mine));
  }
  return flags.options;
}

int Run(const TrainFlags& flags) {
  struct sigaction action {};
  action.sa_handler = &OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);

  const auto fail = [](const Error& error) {
    if (error.code() == Code::kCancelled) return kResumeMe;  // stopped before there was a step
    fmt::print(stderr, "weir train: {}\n", error.ToString());
    return error.code() == Code::kUnavailable ? train::kPeerLostExit
                                              : InfoOf(error.code()).exit_status;
  };
  const Result<train::Options> options = Complete(flags, io::ProcessEnv());
  if (!options) return fail(options.error());
  const bool quiet = flags.quiet;
  const Result<train::Summary> summary =
      train::Run(*options, stop_wanted, [quiet](const std::string& line) {
        if (quiet) return;
        fmt::print("{}\n", line);
        std::fflush(stdout);
      });
  if (!summary) return fail(summary.error());
  return summary->outcome == train::Outcome::kStopped ? kResumeMe : 0;
}

}  // namespace

void AddTrainCommand(CLI::App& app, int& exit_status) {
  CLI::App* command =
      app.add_subcommand("train", "Train a model on text; resumes where it stopped");
  auto flags = std::make_shared<TrainFlags>();
  train::Options& o = flags->options;
  command->add_option("--dataset", o.dataset, "Folder made by `weir dataset build`");
  command->add_option("--text", o.text, "A file of plain text, instead of --dataset");
  command->add_option("--max-text", flags->max_text,
                      "Of a larger text, pieces from all over it (tiny: 8MiB)");
  command->add_option("--out", o.out, "Folder for checkpoints (default: $WEIR_CHECKPOINT_DIR)");
  CLI::Option* preset =
      command->add_option("--preset", o.preset, "Shape and pace: tiny, small or gpt124m")
          ->capture_default_str();
  command->add_option("--config", o.config_file, "A config.json with the shape")->excludes(preset);
  command->add_option("--vocab", o.vocab, "Tokens of the vocabulary to train");
  command->add_option("--dim", o.dim, "Width");
  command->add_option("--layers", o.layers, "Layers");
  command->add_option("--heads", o.heads, "Attention heads");
  command->add_option("--kv-heads", o.kv_heads, "Key and value heads; divides --heads");
  command->add_option("--ffn", o.ffn, "Width of the feed-forward part");
  command->add_option("--seq", o.seq, "Tokens in a sequence");
  command->add_option("--batch", o.batch, "Sequences in a step, over all workers");
  command->add_option("--steps", o.steps, "Steps, of which the learning rate is a function");
  command->add_option("--max-time", flags->max_time, "Ends earlier: training time, such as 90s");
  command->add_option("--lr", o.lr, "Peak learning rate");
  command->add_option("--warmup", o.warmup, "Steps up to it");
  command->add_option("--weight-decay", o.weight_decay, "AdamW's")->capture_default_str();
  command->add_option("--clip", o.clip, "Largest gradient norm")->capture_default_str();
  command->add_option("--seed", o.seed, "Of weights and data order")->capture_default_str();
  command->add_option("--heldout", o.held_out, "Fraction of the text to measure on")
      ->capture_default_str();
  command->add_option("--dtype", flags->dtype, "Storage of weights: f32 or bf16")
      ->capture_default_str();
  command->add_option("--checkpoint-every", o.checkpoint_every, "Steps between checkpoints");
  command->add_option("--checkpoint-interval", flags->checkpoint_interval,
                      "Time between checkpoints, such as 10s");
  command->add_option("--eval-every", o.eval_every, "Steps between held-out losses");
  command->add_option("--keep", o.keep, "Checkpoints kept, newest first; 0: all")
      ->capture_default_str();
  command->add_option("--threads", flags->threads, "Threads (default: the cores that are ours)");
  command->add_flag("--quiet", flags->quiet, "Print nothing but errors");
  command->footer(
      "Examples:\n"
      "  weir train --text book.txt --out run                        a tiny model, some two "
      "minutes\n"
      "  weir train --dataset docs --out run --preset small --dtype bf16\n"
      "  weir train --text a.txt --out run --dim 256 --layers 6 --seq 256 --steps 2000 --max-time "
      "1h\n"
      "Run again with the same --out to go on from the newest checkpoint. Exit status: 0 done, 75\n"
      "stopped and saved (run it again), 74 another worker was lost; others as docs/cli.md says.\n"
      "As one of several workers: WEIR_RANK, WEIR_WORLD_SIZE, WEIR_RENDEZVOUS; see "
      "docs/formats.md.");
  command->callback([flags, &exit_status] { exit_status = Run(*flags); });
}

}  // namespace weir::app
