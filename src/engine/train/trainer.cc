#include "engine/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "base/version.h"
#include "engine/model/tokenizer.h"
#include "engine/train/checkpoint.h"
#include "engine/train/corpus.h"
#include "engine/train/progress.h"
#include "io/clock.h"
#include "io/files.h"

namespace weir::train {
namespace {

constexpr int64_t kMicroTokens = 2048;  // in one pass: bounds memory, and the time between looks
constexpr int64_t kEvalTokens = 8192;   // held-out tokens of one evaluation
constexpr size_t kLossTail = 50;
constexpr int64_t kMaxTokenizerBytes = 256 << 20;

// One rank's run. The methods follow each other as Run() calls them.
class Trainer {
 public:
  Trainer(const Options& options, const std::atomic<bool>& stop, Collective& peers,
          Progress& progress)
      : o_(options),
        stop_(stop),
        peers_(peers),
        progress_(progress),
        pool_(options.threads, options.cores) {}

  Status Prepare();
  Result<Summary> Loop();

 private:
  bool leads() const { return peers_.rank() == 0; }
  std::string Path(std::string_view name) const { return o_.out + "/" + std::string(name); }
  Status PrepareData();
  Status PrepareModel(const std::optional<Found>& found);
  Result<double> MeasurePeak();
  // The windows of this rank's share of [first, first + count), as tokens of micro batches.
  Result<double> ShareOfGradient(int64_t first, int64_t count);
  Result<double> Evaluate();
  // Rank 0 writes. An error only where the run cannot go on without it.
  Status Save(bool required);
  void Report(double loss, std::optional<double> held_out);

  const Options& o_;
  const std::atomic<bool>& stop_;
  Collective& peers_;
  Progress& progress_;
  const io::RealClock clock_;
  kernels::ThreadPool pool_;
  std::optional<io::FileLock> lock_;
  std::string tokenizer_json_;
  Lineage lineage_;
  std::optional<Corpus> corpus_;
  std::unique_ptr<Model> model_;
  Buffer m_, v_;
  TrainerState state_;
  double peak_flops_ = 0;
  Summary summary_;
  int64_t saved_step_ = -1;
  // Of the last report, for rates.
  Duration reported_at_{};
  int64_t reported_tokens_ = 0, reported_step_ = 0;
};

double Share(int64_t count, int rank, int world) {
  return static_cast<double>(count) * rank / world;
}

std::string Hyperparameters(const Options& o) {
  const nlohmann::json j = {{"preset", o.preset},
                            {"batch", o.batch},
                            {"steps", o.steps},
                            {"seq", o.seq},
                            {"lr", o.lr},
                            {"warmup", o.warmup},
                            {"weight_decay", o.weight_decay},
                            {"clip", o.clip},
                            {"beta1", o.beta1},
                            {"beta2", o.beta2},
                            {"held_out", o.held_out},
                            {"dtype", o.storage == Storage::kBf16 ? "bf16" : "f32"}};
  return j.dump();
}

Status Trainer::PrepareData() {
  const std::string text_path = o_.dataset.empty() ? o_.text : o_.dataset + "/text.txt";
  if (!o_.dataset.empty() && !io::FileExists(text_path)) {
    return Error(Code::kNotFound, fmt::format("{} is no dataset: it has no text.txt", o_.dataset))
        .Hint("make one with `weir dataset build --out DIR`");
  }
  const std::string tokenizer_path = Path("tokenizer.json"), tokens_path = Path("tokens.bin");
  std::vector<int32_t> tokens;
  if (leads()) {
    const std::string text = TRY(ReadText(text_path, o_.max_text_bytes));
    const std::string text_sha256 = io::Sha256Hex(text);
    lineage_.dataset_sha256 = text_sha256;
    if (!o_.dataset.empty() && io::FileExists(o_.dataset + "/manifest.json")) {
      const auto manifest = nlohmann::json::parse(
          TRY(io::ReadFile(o_.dataset + "/manifest.json", 64 << 20)), nullptr, false);
      if (manifest.is_object() && manifest.contains("sha256") && manifest["sha256"].is_string()) {
        lineage_.dataset_sha256 = manifest["sha256"].get<std::string>();
      }
    }
    std::optional<model::Tokenizer> tokenizer;
    if (io::FileExists(tokenizer_path)) {
      tokenizer_json_ = TRY(io::ReadFile(tokenizer_path, kMaxTokenizerBytes));
      tokenizer = TRY(model::Tokenizer::FromHfJson(tokenizer_json_));
    } else {
      const Duration start = clock_.Monotonic();
      tokenizer = TRY(TrainTokenizer(text, o_.vocab));
      tokenizer_json_ = TRY(tokenizer->ToHfJson());
      TRY(io::WriteFileDurably(tokenizer_path, tokenizer_json_, 0644));
      progress_.Note(fmt::format("trained a vocabulary of {} tokens in {:.1f} s",
                                 tokenizer->vocab_size(), (clock_.Monotonic() - start).seconds()));
    }
    const std::string key = io::Sha256Hex(text_sha256 + tokenizer_json_);
    if (Result<std::vector<int32_t>> kept = ReadTokens(tokens_path, key)) {
      tokens = *std::move(kept);
    } else {
      const Duration start = clock_.Monotonic();
      tokens = Encode(*tokenizer, text, &pool_);
      progress_.Note(fmt::format(
          "{} of text became {} tokens in {:.1f} s", HumanBytes(static_cast<int64_t>(text.size())),
          HumanCount(static_cast<double>(tokens.size())), (clock_.Monotonic() - start).seconds()));
      TRY(WriteTokens(tokens_path, key, tokens));
    }
    // The others read the same file by the same key.
    TRY(io::WriteFileAtomically(Path("tokens.key"), key, 0644));
  }
  TRY(peers_.Barrier());
  if (!leads()) {
    tokenizer_json_ = TRY(io::ReadFile(tokenizer_path, kMaxTokenizerBytes));
    tokens = TRY(ReadTokens(tokens_path, TRY(io::ReadFile(Path("tokens.key"), 4096))));
  }
  corpus_ = TRY(Corpus::Create(std::move(tokens), o_.seq, o_.held_out, o_.seed));
  return {};
}

Status Trainer::PrepareModel(const std::optional<Found>& found) {
  const model::Tokenizer tokenizer = TRY(model::Tokenizer::FromHfJson(tokenizer_json_));
  model::ModelConfig c;
  c.vocab_size = tokenizer.vocab_size();
  c.dim = o_.dim;
  c.layers = o_.layers;
  c.heads = o_.heads;
  c.kv_heads = o_.kv_heads;
  c.head_dim = o_.dim / o_.heads;
  c.ffn_dim = o_.ffn;
  c.max_seq = o_.seq;
  c.tied_embeddings = true;
  c.bos_id = tokenizer.bos().value_or(-1);
  c.eos_id = tokenizer.eos().value_or(-1);
  TRY(model::Validate(c));
  if (found) {
    model::ModelConfig kept = found->config;
    kept.bos_id = c.bos_id;
    kept.eos_id = c.eos_id;
    if (!(kept == c)) {
      return Error(Code::kFailedPrecondition,
                   fmt::format("{} is of another shape ({} layers of {}, vocabulary {}) than asked "
                               "for ({} layers of {}, vocabulary {})",
                               found->path, kept.layers, kept.dim, kept.vocab_size, c.layers, c.dim,
                               c.vocab_size))
          .Hint("give the flags of the earlier run, or another --out");
    }
  }
  const int64_t rows = std::max<int64_t>(o_.seq, kMicroTokens / o_.seq * o_.seq);
  model_ = std::make_unique<Model>(c, rows, o_.seq, o_.storage, &pool_);
  m_ = Buffer(model_->parameter_count());
  v_ = Buffer(model_->parameter_count());
  state_.seed = o_.seed;
  if (found) {
    TRY(LoadCheckpoint(*found, *model_, m_, v_, &pool_));
    state_ = found->state;
    if (state_.seed != o_.seed) {
      return Error(Code::kFailedPrecondition, fmt::format("{} was begun with --seed {}, not {}",
                                                          found->path, state_.seed, o_.seed))
          .Hint("give that seed, or another --out");
    }
    saved_step_ = state_.step;
    summary_.checkpoint = found->path;
  } else {
    model_->Initialize(o_.seed);
  }
  state_.world_size = peers_.world();
  state_.hyperparameters_json = Hyperparameters(o_);
  return {};
}

// All ranks at once, so that a core that two share counts once.
Result<double> Trainer::MeasurePeak() {
  TRY(peers_.Barrier());
  double best = 0;
  for (int i = 0; i < 10; ++i) {  // the first may find the threads asleep, or on one core
    const Duration start = clock_.Monotonic();
    const int64_t flops = kernels::BurnPeakFlops(&pool_, 3);
    best = std::max(best, static_cast<double>(flops) / (clock_.Monotonic() - start).seconds());
  }
  TRY(peers_.Sum(std::span(&best, 1)));
  return best;
}

Status Trainer::Prepare() {
  std::optional<Found> found;
  lineage_ = {.parent = o_.parent, .code_version = kVersion, .run = o_.run, .job = o_.job};
  if (leads()) {
    TRY(io::MakeDirs(o_.out, 0755));
    // An earlier attempt of this job may be in its last moments.
    const Duration until = clock_.Monotonic() + Duration::Seconds(10);
    for (;;) {
      Result<io::FileLock> lock = io::FileLock::Acquire(Path("lock"));
      if (lock) {
        lock_.emplace(*std::move(lock));
        break;
      }
      if (clock_.Monotonic() > until || stop_.load()) return std::move(lock).error();
      TRY(peers_.CheckPeers());
    }
    TRY(lock_->WriteNote(fmt::format("{} is being trained into by run {}", o_.out,
                                     o_.run.empty() ? "(none)" : o_.run)));
    TRY(Tidy(o_.out, 0));
    std::vector<std::string> notes;
    found = TRY(NewestCheckpoint(o_.out, notes));
    for (const std::string& note : notes) progress_.Note(note);
  }
  // Rank 0 tells whether there is a checkpoint, and of which step; the others add zeros.
  double told[2] = {found ? 1.0 : 0.0, found ? static_cast<double>(found->state.step) : 0.0};
  TRY(peers_.Sum(told));
  if (!leads() && told[0] > 0) {
    const auto resume = static_cast<int64_t>(told[1]);
    found = TRY(VerifyCheckpoint(Path(fmt::format("step-{:06}", resume))));
  }
  if (found) lineage_.parent = found->manifest_sha256;
  TRY(PrepareData());
  TRY(PrepareModel(found));
  peak_flops_ = TRY(MeasurePeak());
  if (leads()) {
    progress_.Note(fmt::format(
        "{} parameters ({} layers of {}, vocabulary {}), {} tokens to train on, {} held out; {} "
        "worker{} of {} thread{}, {}, measured peak {:.0f} GFLOP/s",
        HumanCount(static_cast<double>(model_->parameter_count())), o_.layers, o_.dim,
        model_->config().vocab_size, HumanCount(static_cast<double>(corpus_->train_tokens())),
        HumanCount(static_cast<double>(corpus_->held_out_tokens())), peers_.world(),
        peers_.world() == 1 ? "" : "s", o_.threads, o_.threads == 1 ? "" : "s",
        kernels::Name(kernels::ActiveIsa()), peak_flops_ / 1e9));
    if (found) {
      progress_.Note(fmt::format("resumed from {} (loss {:.3f}, {} workers wrote it, {} now)",
                                 found->path, state_.loss, found->state.world_size,
                                 peers_.world()));
    }
  }
  return {};
}

Result<double> Trainer::ShareOfGradient(int64_t first, int64_t count) {
  const int64_t begin = first + static_cast<int64_t>(Share(count, peers_.rank(), peers_.world()));
  const int64_t end = first + static_cast<int64_t>(Share(count, peers_.rank() + 1, peers_.world()));
  const int64_t micro = std::max<int64_t>(1, kMicroTokens / o_.seq);
  const float scale = 1.0f / static_cast<float>(count * o_.seq);
  model_->ZeroGradients();
  double loss = 0;
  std::vector<int32_t> tokens;
  for (int64_t i = begin; i < end; i += micro) {
    const int64_t windows = std::min(micro, end - i);
    tokens.clear();
    for (int64_t w = i; w < i + windows; ++w) {
      const std::span<const int32_t> window = corpus_->Window(w);
      tokens.insert(tokens.end(), window.begin(), window.end());
    }
    loss += model_->ForwardBackward(tokens, windows, o_.seq, scale);
    TRY(peers_.CheckPeers());
  }
  return loss;
}

Result<double> Trainer::Evaluate() {
  const int64_t all = corpus_->held_out_windows();
  const int64_t count = std::min(all, std::max<int64_t>(1, kEvalTokens / o_.seq));
  const int64_t begin = static_cast<int64_t>(Share(count, peers_.rank(), peers_.world()));
  const int64_t end = static_cast<int64_t>(Share(count, peers_.rank() + 1, peers_.world()));
  const int64_t micro = std::max<int64_t>(1, kMicroTokens / o_.seq);
  double loss = 0;
  std::vector<int32_t> tokens;
  for (int64_t i = begin; i < end; i += micro) {
    tokens.clear();
    const int64_t windows = std::min(micro, end - i);
    for (int64_t w = i; w < i + windows; ++w) {
      const std::span<const int32_t> window = corpus_->HeldOut(w * all / count);  // evenly spread
      tokens.insert(tokens.end(), window.begin(), window.end());
    }
    loss += model_->Loss(tokens, windows, o_.seq);
  }
  TRY(peers_.Sum(std::span(&loss, 1)));
  return loss / static_cast<double>(count * o_.seq);
}

Status Trainer::Save(bool required) {
  if (saved_step_ == state_.step) return {};
  if (leads()) {
    Result<Written> written =
        WriteCheckpoint(o_.out, *model_, m_, v_, state_, lineage_, tokenizer_json_);
    if (written) {
      saved_step_ = state_.step;
      summary_.checkpoint = written->path;
      progress_.Checkpoint(state_.step, written->path, state_.held_out_loss, state_.tokens,
                           written->manifest_sha256);
      if (const Status tidy = Tidy(o_.out, o_.keep); !tidy) progress_.Note(tidy.error().ToString());
    } else if (required) {
      return std::move(written).error();
    } else {
      // A full disk may be emptied before the next one is due; the last checkpoint is still there.
      progress_.Note("not saved, training goes on: " + written.error().ToString());
    }
  }
  return {};
}

void Trainer::Report(double loss, std::optional<double> held_out) {
  const Duration now = clock_.Monotonic();
  const double seconds = std::max(1e-6, (now - reported_at_).seconds());
  const double rate = static_cast<double>(state_.tokens - reported_tokens_) / seconds;
  const double step_rate = static_cast<double>(state_.step - reported_step_) / seconds;
  double left = step_rate > 0 ? static_cast<double>(o_.steps - state_.step) / step_rate : 0;
  if (o_.max_time) left = std::min(left, o_.max_time->seconds() - state_.train_seconds);
  reported_at_ = now;
  reported_tokens_ = state_.tokens;
  reported_step_ = state_.step;
  if (!leads()) return;
  progress_.Step({.step = state_.step,
                  .steps = o_.steps,
                  .tokens = state_.tokens,
                  .loss = loss,
                  .held_out_loss = held_out,
                  .tokens_per_s = rate,
                  .mfu = rate * FlopsPerToken(model_->config(), o_.seq) / peak_flops_,
                  .lr = LearningRate(state_.step - 1, o_.warmup, o_.steps, o_.lr),
                  .eta_s = std::max(0.0, left)});
}

Result<Summary> Trainer::Loop() {
  reported_at_ = clock_.Monotonic();
  reported_tokens_ = state_.tokens;
  reported_step_ = state_.step;
  Duration saved_at = reported_at_;
  if (leads() && state_.step >= o_.steps) {
    progress_.Note(fmt::format("already done: step {} of {}", state_.step, o_.steps));
  }
  bool stopped = false, out_of_time = false;
  while (state_.step < o_.steps && !stopped && !out_of_time) {
    const Duration start = clock_.Monotonic();
    const double share = TRY(ShareOfGradient(state_.windows, o_.batch));
    TRY(peers_.Sum(model_->gradients()));
    // One sum tells all: the loss, whether any rank wants to stop, and what rank 0's clock says.
    const double spent = state_.train_seconds;
    double agreed[4] = {share, stop_.load() ? 1.0 : 0.0, 0.0, 0.0};
    if (leads()) {
      const bool due = o_.checkpoint_interval && start - saved_at > *o_.checkpoint_interval;
      agreed[2] = due ? 1.0 : 0.0;
      agreed[3] = o_.max_time && spent > o_.max_time->seconds() ? 1.0 : 0.0;
    }
    TRY(peers_.Sum(agreed));
    stopped = agreed[1] > 0;
    out_of_time = agreed[3] > 0;
    const double loss = agreed[0] / static_cast<double>(o_.batch * o_.seq);
    const int64_t n = model_->parameter_count();
    const double norm = std::sqrt(kernels::SumOfSquares(&pool_, model_->gradients().data(), n));
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      return Error(Code::kFailedPrecondition,
                   fmt::format("the loss became {} (gradient norm {}) at step {}", loss, norm,
                               state_.step + 1))
          .Hint("a smaller --lr; the checkpoints before this step are good");
    }
    ++state_.step;
    kernels::AdamW how{
        .lr = static_cast<float>(LearningRate(state_.step - 1, o_.warmup, o_.steps, o_.lr)),
        .beta1 = static_cast<float>(o_.beta1),
        .beta2 = static_cast<float>(o_.beta2),
        .grad_scale = static_cast<float>(std::min(1.0, o_.clip / (norm + 1e-12))),
        .step = state_.step};
    for (const Slice& s : model_->slices()) {
      // Gains are scales, not directions: decay would pull the norms to zero.
      how.weight_decay = s.shape.size() == 1 ? 0.0f : static_cast<float>(o_.weight_decay);
      kernels::AdamWStep(&pool_, how, s.size, model_->gradients().data() + s.offset,
                         model_->parameters().data() + s.offset, m_.data() + s.offset,
                         v_.data() + s.offset,
                         model_->stored() == nullptr ? nullptr : model_->stored() + s.offset);
    }
    model_->RefreshGains();
    state_.windows += o_.batch;
    state_.tokens += o_.batch * o_.seq;
    state_.loss = loss;
    state_.loss_tail.push_back(loss);
    if (state_.loss_tail.size() > kLossTail) state_.loss_tail.erase(state_.loss_tail.begin());
    summary_.losses.push_back(loss);
    state_.train_seconds += (clock_.Monotonic() - start).seconds();

    const bool last = state_.step == o_.steps || out_of_time;
    const bool save = last || stopped || agreed[2] > 0 ||
                      (o_.checkpoint_every > 0 && state_.step % o_.checkpoint_every == 0);
    // A stop is in a hurry: no evaluation.
    std::optional<double> held_out;
    if (!stopped && (save || state_.step % o_.eval_every == 0)) {
      held_out = state_.held_out_loss = TRY(Evaluate());
    }
    if (held_out || state_.step == 1 || clock_.Monotonic() - reported_at_ > Duration::Seconds(1)) {
      Report(loss, held_out);
    }
    if (save) {
      TRY(Save(last || stopped));
      saved_at = clock_.Monotonic();
    }
  }
  // Nobody leaves before the last checkpoint is on disk: if rank 0 fails, all know.
  TRY(peers_.Barrier());
  summary_.outcome = stopped && state_.step < o_.steps ? Outcome::kStopped : Outcome::kDone;
  summary_.step = state_.step;
  summary_.loss = state_.loss;
  summary_.held_out_loss = state_.held_out_loss;
  return summary_;
}

}  // namespace

double LearningRate(int64_t step, int64_t warmup, int64_t steps, double peak) {
  if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  const double part = static_cast<double>(step - warmup) /
                      static_cast<double>(std::max<int64_t>(1, steps - warmup));
  return peak * (0.1 + 0.9 * 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(1.0, part))));
}

Result<Summary> Run(const Options& asked, const std::atomic<bool>& stop,
                    const std::function<void(const std::string&)>& say) {
  const Options options = TRY(WithPreset(asked));
  const bool leads = options.ring.rank == 0;
  Progress progress = TRY(Progress::Open(
      leads ? options.progress_file : std::string(), leads ? say : [](const std::string&) {}));
  const std::unique_ptr<Collective> peers = TRY(ConnectRing(options.ring));
  Trainer trainer(options, stop, *peers, progress);
  TRY(trainer.Prepare());
  return trainer.Loop();
}

}  // namespace weir::train
