// `weir model quantize`, `perplexity` and `compare`: smaller models, and what that costs.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/commands.h"
#include "app/table.h"
#include "base/units.h"
#include "engine/compress/calibrate.h"
#include "engine/compress/evaluate.h"
#include "engine/compress/quantize.h"
#include "engine/compress/recipe.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/weights.h"
#include "io/clock.h"
#include "io/cores.h"
#include "io/files.h"

namespace weir::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxTextBytes = int64_t{1} << 30;
constexpr int kSpeedPrompt = 64, kSpeedTokens = 32, kSpeedRounds = 3;

struct CompressFlags {
  std::string model, other, out, text, type = "Q4_K_M", calibrate;
  int64_t context = 512, max_tokens = 0;
  int threads = 0;
  bool json = false, quiet = false;
};

kernels::ThreadPool PoolOf(const CompressFlags& flags) {
  return kernels::ThreadPool(flags.threads > 0 ? flags.threads
                                               : static_cast<int>(io::UsableCores().size()));
}

// One line on a terminal that is written over; nothing elsewhere.
class ProgressLine {
 public:
  ProgressLine() : shown_(isatty(STDERR_FILENO) != 0) {}
  ~ProgressLine() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
  }
  void Show(std::string_view text) const {
    if (shown_) fmt::print(stderr, "\r\x1b[K{}", text);
  }

 private:
  bool shown_;
};

compress::EvaluateOptions OptionsOf(const CompressFlags& flags, const ProgressLine& line) {
  compress::EvaluateOptions options;
  options.context = flags.context;
  if (flags.max_tokens > 0) options.max_tokens = flags.max_tokens;
  options.on_progress = [&line](int64_t done, int64_t total) {
    line.Show(fmt::format("{} of {} tokens", done, total));
  };
  return options;
}

Status Quantize(const CompressFlags& flags) {
  const compress::Recipe* recipe = TRY(compress::RecipeNamed(flags.type));
  const auto files = TRY(model::ModelFiles::Open(flags.model));
  std::error_code ec;
  if (std::filesystem::exists(flags.out, ec)) {  // said before minutes of calibration, not after
    return Error(Code::kAlreadyExists, fmt::format("{} exists", flags.out))
        .Hint("give another name, or remove it first");
  }
  kernels::ThreadPool pool = PoolOf(flags);
  const ProgressLine line;
  std::optional<compress::Importance> importance;
  if (!flags.calibrate.empty()) {
    const std::string text = TRY(io::ReadFile(flags.calibrate, kMaxTextBytes));
    const auto loaded = TRY(model::Model::Load(files, &pool));
    compress::CalibrateOptions options;
    options.context = flags.context;
    if (flags.max_tokens > 0) options.max_tokens = flags.max_tokens;
    options.on_progress = [&](int64_t done, int64_t total) {
      line.Show(fmt::format("calibrating: {} of {} tokens", done, total));
    };
    importance =
        TRY(compress::Calibrate(*loaded, loaded->tokenizer().Encode(text), options, &pool));
  }
  size_t done = 0;
  compress::QuantizeOptions options;
  options.recipe = recipe;
  options.importance = importance ? &*importance : nullptr;
  options.on_tensor = [&](const model::TensorView& tensor) {
    line.Show(fmt::format("{:>4} {} {}", ++done, tensor.name, model::NameOf(tensor.type)));
  };
  TRY(compress::Quantize(*files, flags.out, options, &pool));
  const auto made = TRY(model::ModelFiles::Open(flags.out));
  const auto parameters = static_cast<double>(ParameterCount(files->config()));
  fmt::print("{}: {} in {} ({:.2f} bits a weight), was {}{}\n", flags.out, recipe->name,
             HumanBytes(made->weight_bytes()),
             8.0 * static_cast<double>(made->weight_bytes()) / parameters,
             HumanBytes(files->weight_bytes()),
             importance ? fmt::format("; calibrated on {} tokens", importance->tokens()) : "");
  return {};
}

Json ToJson(const compress::Fit& fit) {
  return {{"scored_tokens", fit.scored},
          {"mean_nll", fit.mean_nll},
          {"perplexity", fit.perplexity},
          {"perplexity_error", fit.perplexity_error},
          {"read_tokens_per_s", fit.read_tokens_per_s}};
}

Status Perplexity(const CompressFlags& flags) {
  const std::string text = TRY(io::ReadFile(flags.text, kMaxTextBytes));
  kernels::ThreadPool pool = PoolOf(flags);
  const auto loaded = TRY(model::Model::Load(flags.model, &pool));
  const io::RealClock clock;
  compress::Fit fit;
  {
    const ProgressLine line;
    fit = TRY(compress::Perplexity(*loaded, text, OptionsOf(flags, line), &pool, clock));
  }
  if (flags.json) {
    fmt::print("{}\n", ToJson(fit).dump(2));
  } else {
    fmt::print("perplexity {:.4f} +- {:.4f} over {} tokens, {:.0f} tokens/s\n", fit.perplexity,
               fit.perplexity_error, fit.scored, fit.read_tokens_per_s);
  }
  return {};
}

Status Compare(const CompressFlags& flags) {
  const std::string text = TRY(io::ReadFile(flags.text, kMaxTextBytes));
  kernels::ThreadPool pool = PoolOf(flags);
  const auto a = TRY(model::Model::Load(flags.model, &pool));
  const auto b = TRY(model::Model::Load(flags.other, &pool));
  const io::RealClock clock;
  compress::Comparison found;
  double decode[2] = {0, 0};
  {
    const ProgressLine line;
    found = TRY(compress::Compare(*a, *b, text, OptionsOf(flags, line), &pool, clock));
    std::vector<int32_t> prompt = a->tokenizer().Encode(text.substr(0, 64 * kSpeedPrompt));
    prompt.resize(std::min<size_t>(
        {prompt.size(), kSpeedPrompt, static_cast<size_t>(a->config().max_seq) / 2}));
    line.Show("decoding");
    for (int i = 0; i < 2; ++i) {
      decode[i] =
          compress::DecodeSpeed(i == 0 ? *a : *b, prompt, kSpeedTokens, kSpeedRounds, &pool, clock);
    }
  }
  if (flags.json) {
    const auto one = [&](const model::Model& m, const compress::Fit& fit, double speed) {
      Json json = ToJson(fit);
      json["model"] = m.name();
      json["weight_bytes"] = m.weight_bytes();
      json["decode_tokens_per_s"] = speed;
      return json;
    };
    const Json json = {{"a", one(*a, found.a, decode[0])},
                       {"b", one(*b, found.b, decode[1])},
                       {"perplexity_ratio", found.perplexity_ratio},
                       {"perplexity_ratio_error", found.perplexity_ratio_error},
                       {"kl_mean", found.kl.mean},
                       {"kl_p99", found.kl.p99},
                       {"kl_max", found.kl.max},
                       {"top1_agreement", found.kl.agreement}};
    fmt::print("{}\n", json.dump(2));
    return {};
  }
  Table table({"MODEL", ">SIZE", ">PERPLEXITY", ">KL MEAN", ">KL P99", ">TOP-1 AGREES",
               ">READ TOK/S", ">DECODE TOK/S"});
  const auto row = [&](const model::Model& m, const compress::Fit& fit, double speed, bool second) {
    const auto of_b = [&](const std::string& value) { return second ? value : std::string("-"); };
    table.Add({m.name(), HumanBytes(m.weight_bytes()), fmt::format("{:.4f}", fit.perplexity),
               of_b(fmt::format("{:.5f}", found.kl.mean)),
               of_b(fmt::format("{:.5f}", found.kl.p99)),
               of_b(fmt::format("{:.2f}%", 100 * found.kl.agreement)),
               fmt::format("{:.0f}", fit.read_tokens_per_s), fmt::format("{:.1f}", speed)});
  };
  row(*a, found.a, decode[0], false);
  row(*b, found.b, decode[1], true);
  fmt::print("{}", table.Print(Style::For()));
  fmt::print("perplexity ratio {:.4f} +- {:.4f} over {} tokens\n", found.perplexity_ratio,
             found.perplexity_ratio_error, found.b.scored);
  return {};
}

}  // namespace

void AddModelCompressCommands(CLI::App& model, int& exit_status) {
  const auto flags = std::make_shared<CompressFlags>();
  const auto run = [flags, &exit_status](CLI::App* command, Status (*body)(const CompressFlags&)) {
    command->callback([flags, &exit_status, command, body] {
      const Status status = body(*flags);
      if (status) return;
      fmt::print(stderr, "weir model {}: {}\n", command->get_name(), status.error().ToString());
      exit_status = InfoOf(status.error().code()).exit_status;
    });
  };
  const auto common = [flags](CLI::App* command) {
    command->add_option("--threads", flags->threads, "(default: one for each core that is ours)")
        ->check(CLI::Range(1, 1024));
    command->add_option("--context", flags->context, "Tokens of the text read together")
        ->capture_default_str()
        ->check(CLI::Range(4, 1 << 20));
    command->add_option("--max-tokens", flags->max_tokens, "Of the text (default: see docs)")
        ->check(CLI::Range(int64_t{4}, int64_t{1} << 40));
  };

  CLI::App* quantize = model.add_subcommand("quantize", "Write a smaller version of a model");
  quantize->add_option("model", flags->model, "A model folder or a .gguf file")->required();
  quantize->add_option("out", flags->out, "The GGUF file to write")->required();
  std::string types;
  for (const compress::Recipe& recipe : compress::Recipes()) {
    types += fmt::format("  {:<8} {}\n", recipe.name, recipe.what);
  }
  quantize->add_option("--type", flags->type, "One of the types below")->capture_default_str();
  quantize->add_option(
      "--calibrate", flags->calibrate,
      "A text like those that the model will read: rounding then spares the columns "
      "that matter there");
  common(quantize);
  quantize->footer("Types:\n" + types +
                   "Example:\n  weir model quantize ./model model-q4.gguf --type Q4_K_M "
                   "--calibrate sample.txt");
  run(quantize, Quantize);

  CLI::App* perplexity = model.add_subcommand("perplexity", "How well a model predicts a text");
  perplexity->add_option("model", flags->model, "A model folder or a .gguf file")->required();
  perplexity->add_option("--text", flags->text, "A text file")->required();
  perplexity->add_flag("--json", flags->json, "As JSON");
  common(perplexity);
  run(perplexity, Perplexity);

  CLI::App* compare = model.add_subcommand(
      "compare", "Quality beside size and speed: how far one model is from another on a text");
  compare->add_option("a", flags->model, "The model taken as right")->required();
  compare->add_option("b", flags->other, "The other, with the same tokens")->required();
  compare->add_option("--text", flags->text, "A text file")->required();
  compare->add_flag("--json", flags->json, "As JSON");
  common(compare);
  compare->footer("Example:\n  weir model compare model.gguf model-q4.gguf --text sample.txt");
  run(compare, Compare);
}

}  // namespace weir::app
