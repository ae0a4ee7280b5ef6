// `weir blueprint`: how to build it. Flags and wiring; the answers come from lab/blueprint.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>

#include "app/blueprint_print.h"
#include "app/client_commands.h"
#include "app/commands.h"
#include "app/setup.h"
#include "io/clock.h"
#include "io/files.h"
#include "lab/blueprint/spec.h"

namespace weir::app {

namespace {

using namespace blueprint;

constexpr int64_t kMaxTable = 256 << 20;
constexpr int64_t kMaxSpec = 1 << 20;
constexpr int kMaxCount = 1'000'000;
constexpr int kMaxDegree = 4096;  // of any kind of parallelism

// Flags that questions about a model on a cluster share.
struct Common {
  std::string model, accelerator, engine, release, calibration, price, carbon, region, precision;
  int count = 8;
  double pue = 1.2, oversubscription = 1;
  size_t top = 5;
  bool json = false;
};

void AddCommon(CLI::App& c, Common& f, bool with_accelerator) {
  c.add_option("--model", f.model, "Name (`weir blueprint models`) or TOML file")->required();
  if (with_accelerator) {
    c.add_option("--accelerator", f.accelerator,
                 "Name (`weir blueprint accelerators`) or TOML file")
        ->required();
    c.add_option("--count", f.count, "Accelerators, all of them used")
        ->check(CLI::Range(1, kMaxCount))
        ->capture_default_str();
    c.add_option("--price", f.price, "Price of an accelerator, as $2.49/h");
    c.add_option("--region", f.region, "Region of the grid, for its carbon intensity");
  }
  c.add_option("--precision", f.precision,
               "bf16, fp8, mxfp8, nvfp4; several with commas (default: training all the "
               "accelerator has but nvfp4, serving the model's 8 bits)");
  c.add_option("--engine", f.engine,
               "Whose calibration: megatron-lm, megatron-bridge, vllm, sglang, trtllm");
  c.add_option("--release", f.release, "Release of the engine, where it has one of its own");
  c.add_option("--carbon", f.carbon, "Carbon intensity instead of the region's, as 250g/kWh");
  c.add_option("--pue", f.pue, "Power of the site over power of the machines")
      ->check(CLI::Range(1.0, 3.0))
      ->capture_default_str();
  c.add_option("--calibration", f.calibration,
               "Folder with calibration.toml and residuals.csv (default: built in)");
  c.add_option("--top", f.top, "How many layouts to print")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  c.add_flag("--json", f.json, "Print as JSON");
}

bool IsFile(const std::string& name) { return name.ends_with(".toml"); }

Result<ModelShape> ModelOf(const std::string& name) {
  if (!IsFile(name)) return FindModel(name);
  return ParseModelToml(TRY(io::ReadFile(name, kMaxSpec)), name);
}
Result<Accelerator> AcceleratorOf(const std::string& name) {
  if (!IsFile(name)) return FindAccelerator(name);
  return ParseAcceleratorToml(TRY(io::ReadFile(name, kMaxSpec)), name);
}

// The calibration asked for, or the built-in one.
struct Loaded {
  std::unique_ptr<Calibration> own;
  const Calibration& get() const { return own ? *own : BuiltinCalibration(); }
};
Result<Loaded> CalibrationOf(const std::string& folder) {
  Loaded out;
  if (folder.empty()) return out;
  const std::string toml = TRY(io::ReadFile(folder + "/calibration.toml", kMaxTable));
  const std::string rows = TRY(io::ReadFile(folder + "/residuals.csv", kMaxTable));
  auto c = FromText(toml, rows);
  if (!c) return std::move(c).error().In(folder);
  out.own = std::make_unique<Calibration>(*std::move(c));
  return out;
}

Result<std::vector<Precision>> PrecisionsOf(const std::string& text,
                                            std::vector<Precision> otherwise) {
  if (text.empty()) return otherwise;
  std::vector<Precision> out;
  size_t from = 0;
  while (from <= text.size()) {
    const size_t comma = std::min(text.find(',', from), text.size());
    out.push_back(TRY(ParsePrecision(text.substr(from, comma - from))));
    from = comma + 1;
  }
  return out;
}

Result<Site> SiteOf(const Common& f) {
  Site s;
  s.pue = f.pue;
  if (!f.price.empty())
    s.price_per_accelerator_hour =
        TRY(ParseQuantity(f.price, Dimension::kDollarsPerHour, "--price"));
  if (!f.region.empty() && f.carbon.empty()) s.grams_co2_per_kwh = TRY(CarbonOf(f.region));
  if (!f.carbon.empty())
    s.grams_co2_per_kwh = TRY(ParseQuantity(f.carbon, Dimension::kGramsPerKwh, "--carbon"));
  return s;
}

struct RunFlags {
  double batch = 256, sequence = 4096, failures = 3.79;
  bool unfused = false, lora = false;
  std::string tokens, restart = "10m", repair = "24h", stall, interval, storage;
  int spares = 0;
};

void AddRun(CLI::App& c, RunFlags& r) {
  c.add_option("--batch", r.batch, "Sequences per step, all replicas together")
      ->check(CLI::Range(1.0, 1e7))
      ->capture_default_str();
  c.add_option("--sequence", r.sequence, "Tokens per sequence")
      ->check(CLI::Range(1.0, 1e7))
      ->capture_default_str();
  c.add_flag("--unfused", r.unfused, "Attention that writes its scores to memory");
  c.add_flag("--lora", r.lora, "Adapters are trained, weights are frozen");
  c.add_option("--tokens", r.tokens, "Tokens to train on, as 15T: asks for time, cost, energy");
  c.add_option("--failures", r.failures, "Failures per 1,000 node-days")
      ->check(CLI::Range(0.0, 1e5))
      ->capture_default_str();
  c.add_option("--restart", r.restart, "From a failure to training again")->capture_default_str();
  c.add_option("--repair", r.repair, "Until a failed node is a spare again")->capture_default_str();
  c.add_option("--spares", r.spares, "Spare nodes, paid for too")
      ->check(CLI::Range(0, 10000))
      ->capture_default_str();
  c.add_option("--checkpoint-stall", r.stall,
               "What a checkpoint stalls (default: its size over the storage)");
  c.add_option("--checkpoint-interval", r.interval,
               "Between checkpoints (default: the best, after Daly)");
  c.add_option("--storage", r.storage,
               "Speed of checkpoint storage, as 200GB/s (default: 2GB/s a node)");
}

Result<TrainQuestion> QuestionOf(const Common& f, const RunFlags& r) {
  TrainQuestion q;
  q.shape = TRY(ModelOf(f.model));
  q.work = {std::floor(r.sequence), std::floor(r.batch), !r.unfused, r.lora};
  q.keys = {f.engine, "", f.release};
  q.site = TRY(SiteOf(f));
  q.cluster.oversubscription = f.oversubscription;
  if (!r.tokens.empty()) q.tokens = TRY(ParseQuantity(r.tokens, Dimension::kTokens, "--tokens"));
  q.reliability.failures_per_1000_node_days = r.failures;
  q.reliability.restart_s = TRY(SecondsFlag("--restart", r.restart, 600));
  q.reliability.repair_h = TRY(SecondsFlag("--repair", r.repair, 86400))
  / 3600;
  q.reliability.spare_nodes = r.spares;
  q.reliability.checkpoint_stall_s = TRY(SecondsFlag("--checkpoint-stall", r.stall, 0));
  q.reliability.interval_s = TRY(SecondsFlag("--checkpoint-interval", r.interval, 0));
  if (!r.storage.empty())
    q.cluster.storage_bytes_per_s =
        TRY(ParseQuantity(r.storage, Dimension::kBytesPerSecond, "--storage"));
  return q;
}

std::vector<Precision> TrainingPrecisions(const Accelerator& a) {
  std::vector<Precision> out = {Precision::kBf16};
  for (const Precision p : {Precision::kFp8, Precision::kMxfp8})
    if (a.Flops(p) > 0) out.push_back(p);
  return out;
}

struct LayoutFlags {
  Layout layout;
  std::string recompute = "none";
  bool given = false;
};

Result<std::string> Train(const Common& f, const RunFlags& r, const LayoutFlags& l) {
  const Loaded calibration = TRY(CalibrationOf(f.calibration));
  TrainQuestion q = TRY(QuestionOf(f, r));
  q.cluster.accelerator = TRY(AcceleratorOf(f.accelerator));
  q.cluster.count = f.count;
  if (q.keys.engine.empty()) q.keys.engine = DefaultTrainEngine(q.cluster.accelerator);
  const std::vector<Precision> precisions =
      TRY(PrecisionsOf(f.precision, TrainingPrecisions(q.cluster.accelerator)));
  const TrainingModel model(q.shape, q.cluster.accelerator, q.cluster.oversubscription, q.work,
                            calibration.get().knobs.At(q.keys));
  if (l.given) {
    Layout layout = l.layout;
    if (f.precision.empty())
      layout.precision = Precision::kBf16;
    else
      layout.precision = precisions[0];
    layout.recompute = l.recompute == "full"        ? Recompute::kFull
                       : l.recompute == "selective" ? Recompute::kSelective
                                                    : Recompute::kNone;
    const int64_t spread = int64_t{layout.tp} * layout.pp * layout.cp;
    if (q.cluster.count % spread != 0)
      return Error(Code::kInvalidArgument,
                   fmt::format("tp {} x pp {} x cp {} = {} does not divide {} accelerators",
                               layout.tp, layout.pp, layout.cp, spread, q.cluster.count))
          .Hint("leave the layout out to have every possible one tried");
    layout.dp = static_cast<int>(q.cluster.count / spread);
    if (const std::string why = model.Forbids(layout); !why.empty())
      return Error(Code::kInvalidArgument,
                   fmt::format("the layout {} is not possible: {}", Describe(layout), why))
          .Hint("leave the layout out to have every possible one tried");
    const MemoryUse use = model.Memory(layout);
    if (use.total() > model.UsableBytes()) {
      return Error(
                 Code::kFailedPrecondition,
                 fmt::format(
                     "the layout {} does not fit: it needs {:.1f} of {:.1f} GiB (weights {:.1f}, "
                     "gradients {:.1f}, optimizer {:.1f}, activations {:.1f}, logits {:.1f})",
                     Describe(layout), use.total() / (1 << 30), model.UsableBytes() / (1 << 30),
                     use.weights / (1 << 30), use.gradients / (1 << 30), use.optimizer / (1 << 30),
                     use.activations / (1 << 30), use.logits / (1 << 30)))
          .Hint("leave the layout out to have every possible one tried");
    }
    return TrainText(q, {Answer(calibration.get(), q, layout)}, nullptr, 0, f.json);
  }
  SearchSpace space;
  space.count = q.cluster.count;
  space.precisions = precisions;
  space.keep = f.top;
  SearchResult search;
  const io::RealClock clock;
  const Duration start = clock.Monotonic();
  const std::vector<TrainAnswer> answers = SearchAnswers(calibration.get(), q, space, &search);
  const double wall = (clock.Monotonic() - start).seconds();
  if (answers.empty()) {
    return Error(Code::kFailedPrecondition,
                 fmt::format("{} cannot be trained on {} {}: {}", q.shape.name, q.cluster.count,
                             q.cluster.accelerator.name, search.binding))
        .Hint(
            "take more or larger accelerators, a batch that more of them divide, or a smaller "
            "model");
  }
  return TrainText(q, answers, &search, wall, f.json);
}

struct ServeFlags {
  double input = 1024, output = 1024, concurrency = 0;
  std::string rate, ttft, tpot;
  int tp = 0, attention_dp = 1, ep = 1;
  int prefill_tp = 1, prefill_dp = 1, prefill_ep = 1, prefill_workers = 0;
};

Result<std::string> Serve(const Common& f, const ServeFlags& s) {
  const Loaded calibration = TRY(CalibrationOf(f.calibration));
  ServeQuestion q;
  q.shape = TRY(ModelOf(f.model));
  q.accelerator = TRY(AcceleratorOf(f.accelerator));
  q.keys = {f.engine.empty() ? DefaultServeEngine(q.accelerator) : f.engine, q.accelerator.name,
            f.release};
  q.site = TRY(SiteOf(f));
  q.work = {std::floor(s.input), std::floor(s.output), s.concurrency};
  const std::vector<Precision> precisions = TRY(PrecisionsOf(
      f.precision, {q.accelerator.fp8_flops > 0 ? Precision::kFp8 : Precision::kBf16}));
  ServeTargets targets;
  targets.ttft_s = TRY(SecondsFlag("--ttft", s.ttft, 0));
  targets.tpot_s = TRY(SecondsFlag("--tpot", s.tpot, 0));
  const double rate =
      s.rate.empty() ? 0 : TRY(ParseQuantity(s.rate, Dimension::kPerSecond, "--rate"));
  const ServingModel model(q.shape, q.accelerator, calibration.get().knobs.At(q.keys));
  const auto answer = [&](ServeCandidate c) {
    q.work.concurrency = c.concurrency;
    return Answer(calibration.get(), q, c);
  };
  // Requests in flight at an arrival rate follow from the time each takes (Little's law), which
  // follows from them: a few turns settle it.
  const auto settle = [&](const ServeLayout& layout, ServeWork w) {
    double concurrency = std::max(1.0, rate * w.output * 0.02);
    for (int i = 0; i < 50; ++i) {
      w.concurrency = concurrency;
      const ServePrediction p = model.Predict(layout, w);
      const double next = std::max(1e-3, rate * (p.ttft_s + w.output * p.tpot_s));
      if (std::abs(next - concurrency) < 1e-3 * concurrency || next > 1e7) return next;
      concurrency = 0.5 * (concurrency + next);
    }
    return concurrency;
  };
  if (s.tp > 0) {
    ServeCandidate c;
    c.layout.decode = {s.tp, s.attention_dp, s.ep};
    c.layout.precision = precisions[0];
    const int64_t group = int64_t{s.tp} * s.attention_dp;
    int64_t left = f.count;
    if (s.prefill_workers > 0) {
      c.layout.disaggregated = true;
      c.layout.prefill = {s.prefill_tp, s.prefill_dp, s.prefill_ep};
      c.layout.prefill_workers = s.prefill_workers;
      left -= int64_t{s.prefill_workers} * s.prefill_tp * s.prefill_dp;
    }
    if (left < group || left % group != 0)
      return Error(Code::kInvalidArgument, fmt::format("{} accelerators do not divide into groups "
                                                       "of tp {} x attention copies {} = {}",
                                                       left, s.tp, s.attention_dp, group))
          .Hint("leave --tp out to have every layout tried");
    c.layout.workers = static_cast<double>(left / group);
    if (const std::string why = model.Forbids(c.layout); !why.empty())
      return Error(Code::kInvalidArgument, fmt::format("the layout is not possible: {}", why));
    c.concurrency = rate > 0 ? settle(c.layout, q.work) : s.concurrency > 0 ? s.concurrency : 16;
    q.work.concurrency = c.concurrency;
    c.prediction = model.Predict(c.layout, q.work);
    if (c.prediction.fits < 1)
      return Error(Code::kFailedPrecondition,
                   fmt::format("{} does not fit in that layout: weights take {:.1f} of {:.1f} GiB "
                               "per accelerator and leave no room for one sequence's cache",
                               q.shape.name, c.prediction.memory.weights / (1 << 30),
                               q.accelerator.memory_bytes / (1 << 30)))
          .Hint("take a larger tp, fewer bits, or leave --tp out to have every layout tried");
    return ServeText(q, f.count, {answer(c)}, nullptr, f.json);
  }
  ServeSearchResult search = SearchServing(model, q.accelerator, f.count, q.work, precisions,
                                           targets, rate > 0 ? 1000 : f.top);
  if (rate > 0) {
    // Each layout at the concurrency that the rate brings it, kept if it still meets the targets.
    std::vector<ServeCandidate> kept;
    for (ServeCandidate& c : search.best) {
      c.concurrency = settle(c.layout, q.work);
      ServeWork w = q.work;
      w.concurrency = c.concurrency;
      c.prediction = model.Predict(c.layout, w);
      const bool keeps_up = c.concurrency <= c.prediction.fits &&
                            (targets.ttft_s <= 0 || c.prediction.ttft_s <= targets.ttft_s) &&
                            (targets.tpot_s <= 0 || c.prediction.tpot_s <= targets.tpot_s);
      if (keeps_up) kept.push_back(c);
    }
    std::stable_sort(kept.begin(), kept.end(),
                     [](const ServeCandidate& a, const ServeCandidate& b) {
                       return a.prediction.tpot_s < b.prediction.tpot_s;
                     });
    search.fitting = static_cast<int64_t>(kept.size());
    if (kept.empty() && search.binding.empty())
      search.binding = fmt::format(
          "the rate: at {} requests/s every layout is slower than the targets or out of cache room",
          rate);
    if (kept.size() > f.top) kept.resize(f.top);
    search.best = std::move(kept);
  }
  if (search.best.empty()) {
    return Error(Code::kFailedPrecondition,
                 fmt::format("{} cannot be served so on {} {}: {}", q.shape.name, f.count,
                             q.accelerator.name, search.binding))
        .Hint("take more accelerators, fewer bits, or looser targets");
  }
  std::vector<ServeAnswer> answers;
  for (const ServeCandidate& c : search.best) answers.push_back(answer(c));
  return ServeText(q, f.count, answers, &search, f.json);
}

Result<std::string> Offers(const Common& f, const RunFlags& r, const std::string& file,
                           const std::string& from, const std::string& by) {
  const Loaded calibration = TRY(CalibrationOf(f.calibration));
  const TrainQuestion q = TRY(QuestionOf(f, r));
  if (q.tokens <= 0)
    return Error(Code::kInvalidArgument, "--tokens is missing: an offer is worth what it trains")
        .Hint("write it as --tokens 15T");
  const int64_t today =
      from.empty() ? io::RealClock().Now().us / 86'400'000'000 : TRY(ParseDay(from, "--from"));
  const int64_t deadline = by.empty() ? 0 : TRY(ParseDay(by, "--by"));
  if (deadline > 0 && deadline <= today)
    return Error(Code::kInvalidArgument,
                 fmt::format("--by {} is not after {}", by, DayText(today)));
  const auto offers = TRY(ReadOffers(TRY(io::ReadFile(file, kMaxTable)), file, today));
  SearchSpace space;
  space.precisions =
      TRY(PrecisionsOf(f.precision, {Precision::kBf16, Precision::kFp8, Precision::kMxfp8}));
  return OffersText(CompareOffers(calibration.get(), q, offers, space, deadline), deadline, f.json);
}

Result<std::string> Calibrated(const std::vector<std::string>& files, const std::string& folder) {
  std::vector<RowTable> tables;
  for (const std::string& file : files)
    tables.push_back(TRY(ReadRows(TRY(io::ReadFile(file, kMaxTable)), file)));
  const Calibration c = TRY(Calibrate(tables, {}));
  TRY(io::MakeDirs(folder, 0755));
  TRY(io::WriteFileAtomically(folder + "/calibration.toml", ToToml(c), 0644));
  TRY(io::WriteFileAtomically(folder + "/residuals.csv", RowsToCsv(c), 0644));
  std::string out =
      fmt::format("{} rows fitted; written to {}/calibration.toml and residuals.csv\n\n",
                  c.rows.size(), folder);
  size_t width = 8;
  for (const auto& [name, band] : c.bands) width = std::max(width, name.size());
  out += fmt::format("{:<{}}  {:>5}  {:>10}  {}\n", "QUANTITY|ENGINE|MODEL", width, "ROWS",
                     "MEAN ERROR", "80% OF measured / predicted");
  for (const auto& [name, b] : c.bands)
    out += fmt::format("{:<{}}  {:>5}  {:>9.1f}%  {:.2f} .. {:.2f}\n", name, width, b.rows,
                       100 * b.mean_error, std::exp(b.low), std::exp(b.high));
  return out;
}

Result<std::string> Checked(const std::vector<std::string>& files, const std::string& calibration,
                            bool json) {
  const Loaded c = TRY(CalibrationOf(calibration));
  std::vector<RowTable> tables;
  for (const std::string& file : files)
    tables.push_back(TRY(ReadRows(TRY(io::ReadFile(file, kMaxTable)), file)));
  return CheckText(CheckRows(c.get(), tables), json);
}

Result<std::string> Network(const FabricRequest& r, const std::string& svg, bool json) {
  const Fabric f = TRY(DesignFabric(r));
  if (!svg.empty()) TRY(io::WriteFileAtomically(svg, DrawFabric(f), 0644));
  return FabricText(f, json);
}

int Finish(const std::string& command, const Result<std::string>& text) {
  if (!text) return Complain("blueprint " + command, text.error());
  fmt::print("{}", *text);
  return 0;
}

}  // namespace

void AddBlueprintCommand(CLI::App& app, int& exit_status) {
  CLI::App* top = app.add_subcommand(
      "blueprint",
      "Technical design: what a cluster will do, the best layout, the network, the cost");
  top->require_subcommand(1);

  CLI::App* train =
      top->add_subcommand("train", "Predict a training run; without a layout, search every one");
  {
    auto f = std::make_shared<Common>();
    auto r = std::make_shared<RunFlags>();
    auto l = std::make_shared<LayoutFlags>();
    AddCommon(*train, *f, true);
    AddRun(*train, *r);
    train->add_option("--oversubscription", f->oversubscription, "Of the network above the leaves")
        ->check(CLI::Range(1.0, 64.0))
        ->capture_default_str();
    const auto degree = [&](const char* name, int& into, const char* help) {
      return train->add_option(name, into, help)->check(CLI::Range(1, kMaxDegree));
    };
    std::vector<CLI::Option*> options = {
        degree("--tp", l->layout.tp, "Tensor parallel"),
        degree("--pp", l->layout.pp, "Pipeline stages"),
        degree("--interleave", l->layout.interleave, "Model chunks per stage"),
        degree("--cp", l->layout.cp, "Context parallel"),
        degree("--ep", l->layout.ep, "Expert parallel"),
        degree("--micro-batch", l->layout.micro_batch, "Sequences per micro-batch"),
        train->add_option("--zero", l->layout.zero, "ZeRO stage (3: FSDP)")
            ->check(CLI::Range(0, 3)),
        train->add_option("--recompute", l->recompute, "Activations")
            ->check(CLI::IsMember({"none", "selective", "full"}))};
    train->footer(
        "Examples:\n"
        "  weir blueprint train --model llama3-70b --accelerator h100 --count 64 --sequence 8192\n"
        "  weir blueprint train --model llama3-405b --accelerator gb300 --count 256 --batch 1536 "
        "--sequence 8192 \\\n"
        "      --precision fp8 --tp 4 --pp 8 --interleave 4 --tokens 15T --price '$4/h' --region "
        "us-east4\n"
        "  weir blueprint train --model ours.toml --accelerator next-gen.toml --count 1024 --json");
    train->callback([f, r, l, options, &exit_status] {
      l->given = std::any_of(options.begin(), options.end(),
                             [](const CLI::Option* o) { return o->count() > 0; });
      exit_status = Finish("train", Train(*f, *r, *l));
    });
  }

  CLI::App* serve = top->add_subcommand(
      "serve", "Predict TTFT, TPOT and cost of serving; without --tp, search every layout");
  {
    auto f = std::make_shared<Common>();
    auto s = std::make_shared<ServeFlags>();
    AddCommon(*serve, *f, true);
    serve->add_option("--input", s->input, "Tokens of a request")
        ->check(CLI::Range(1.0, 1e7))
        ->capture_default_str();
    serve->add_option("--output", s->output, "Tokens of an answer")
        ->check(CLI::Range(1.0, 1e7))
        ->capture_default_str();
    CLI::Option* concurrency =
        serve
            ->add_option("--concurrency", s->concurrency,
                         "Requests in flight (default: as many as the targets allow)")
            ->check(CLI::Range(1.0, 1e7));
    serve->add_option("--rate", s->rate, "Requests arriving, as 20/s, instead")
        ->excludes(concurrency);
    serve->add_option("--ttft", s->ttft, "Target of the time to first token, as 500ms");
    serve->add_option("--tpot", s->tpot, "Target of the time per output token, as 30ms");
    const auto degree = [&](const char* name, int& into, const char* help) {
      return serve->add_option(name, into, help)->check(CLI::Range(1, kMaxDegree));
    };
    CLI::Option* tp = degree("--tp", s->tp, "Tensor parallel of a group");
    degree("--attention-dp", s->attention_dp, "Copies of the attention part within a group")
        ->needs(tp);
    degree("--ep", s->ep, "Expert parallel within a group")->needs(tp);
    CLI::Option* prefill = degree("--prefill-workers", s->prefill_workers,
                                  "Groups that only prefill; the rest only decode")
                               ->needs(tp);
    degree("--prefill-tp", s->prefill_tp, "Their tensor parallel")->needs(prefill);
    degree("--prefill-attention-dp", s->prefill_dp, "Their copies of the attention part")
        ->needs(prefill);
    degree("--prefill-ep", s->prefill_ep, "Their expert parallel")->needs(prefill);
    serve->footer(
        "Examples:\n"
        "  weir blueprint serve --model llama3-70b --accelerator h200 --count 8 --ttft 1s --tpot "
        "25ms --price '$3/h'\n"
        "  weir blueprint serve --model deepseek-v3 --accelerator b200 --count 8 --tp 8 "
        "--concurrency 64 --engine sglang\n"
        "  weir blueprint serve --model gpt-oss-120b --accelerator h100 --count 4 --rate 5/s "
        "--input 4096 --output 512");
    serve->callback([f, s, &exit_status] { exit_status = Finish("serve", Serve(*f, *s)); });
  }

  CLI::App* offers = top->add_subcommand(
      "offers", "Which offer trains this model, by when, for how much: offers x layouts");
  {
    auto f = std::make_shared<Common>();
    auto r = std::make_shared<RunFlags>();
    auto file = std::make_shared<std::string>();
    auto from = std::make_shared<std::string>();
    auto by = std::make_shared<std::string>();
    AddCommon(*offers, *f, false);
    AddRun(*offers, *r);
    offers
        ->add_option("--offers", *file,
                     "CSV: provider, accelerator, count, usd_per_accelerator_hour, region, from")
        ->required();
    offers->add_option("--from", *from, "First day of offers that name none (default: today)");
    offers->add_option("--by", *by, "Day by which it must be done, as 2027-03-01");
    offers->footer(
        "Example:\n  weir blueprint offers --offers offers.csv --model llama3-70b --tokens 2T "
        "--batch 1024 --sequence 8192 --by 2027-03-01");
    offers->callback([f, r, file, from, by, &exit_status] {
      exit_status = Finish("offers", Offers(*f, *r, *file, *from, *by));
    });
  }

  CLI::App* network = top->add_subcommand(
      "network", "Design a rail-optimised fat tree: switches, cables, optics, a drawing");
  {
    auto r = std::make_shared<FabricRequest>();
    auto svg = std::make_shared<std::string>();
    auto json = std::make_shared<bool>(false);
    network->add_option("--nodes", r->nodes, "Nodes")->required();
    network->add_option("--nics", r->nics, "NICs of a node, one a rail")->capture_default_str();
    network->add_option("--radix", r->radix, "Ports of a switch")->capture_default_str();
    network->add_option("--breakout", r->breakout, "Into how many a port can be split")
        ->capture_default_str();
    network->add_option("--oversubscription", r->oversubscription, "Of the leaves; 1 is none")
        ->capture_default_str();
    network->add_option("--tiers", r->tiers, "1, 2 or 3; 0: the fewest that join all")
        ->capture_default_str();
    network->add_option("--gbit", r->gbit_per_s, "Gbit/s of a port")->capture_default_str();
    network->add_option("--svg", *svg, "Write a drawing to this file");
    network->add_flag("--json", *json, "Print as JSON");
    network->footer(
        "Examples:\n  weir blueprint network --nodes 256 --svg fabric.svg\n  weir blueprint "
        "network --nodes 576 --radix 144 --gbit 800 --json");
    network->callback([r, svg, json, &exit_status] {
      exit_status = Finish("network", Network(*r, *svg, *json));
    });
  }

  CLI::App* calibrate = top->add_subcommand(
      "calibrate", "Fit the few knobs to measured rows, with held-out errors beside them");
  {
    auto files = std::make_shared<std::vector<std::string>>();
    auto folder = std::make_shared<std::string>();
    calibrate
        ->add_option("--rows", *files, "Tables of measurements (CSV); several, all fitted together")
        ->required();
    calibrate->add_option("--out", *folder, "Folder for calibration.toml and residuals.csv")
        ->required();
    calibrate->footer(
        "Example:\n  weir blueprint calibrate --rows train.csv --rows serving.csv --out "
        "calibration/");
    calibrate->callback([files, folder, &exit_status] {
      exit_status = Finish("calibrate", Calibrated(*files, *folder));
    });
  }

  CLI::App* check = top->add_subcommand(
      "check", "Predict every row of measured tables; errors by model, system and release");
  {
    auto files = std::make_shared<std::vector<std::string>>();
    auto calibration = std::make_shared<std::string>();
    auto json = std::make_shared<bool>(false);
    check->add_option("--rows", *files, "Tables of measurements (CSV)")->required();
    check->add_option("--calibration", *calibration,
                      "Folder with calibration.toml and residuals.csv (default: built in)");
    check->add_flag("--json", *json, "Print as JSON, every row of it");
    check->footer("Example:\n  weir blueprint check --rows train_megatron_bridge.csv");
    check->callback([files, calibration, json, &exit_status] {
      exit_status = Finish("check", Checked(*files, *calibration, *json));
    });
  }

  const auto list = [&](const char* name, const char* help, std::string (*text)(bool)) {
    CLI::App* c = top->add_subcommand(name, help);
    auto json = std::make_shared<bool>(false);
    c->add_flag("--json", *json, "Print as JSON");
    c->callback([json, text, &exit_status] {
      fmt::print("{}", text(*json));
      exit_status = 0;
    });
  };
  list("models", "The models that are known by name", ModelsText);
  list("accelerators", "The accelerators that are known by name", AcceleratorsText);
}

}  // namespace weir::app
