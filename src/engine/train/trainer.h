// The training run: one rank of it. `weir train` fills Options from flags and the environment.
//
// A step: each rank takes its share of the global batch, the ranks sum gradients, every rank makes
// the same AdamW step. Which windows a step sees depends on the seed and the count of windows seen
// alone, so the worker count may change from one attempt to the next. Numbers: equal bit for bit
// for equal seed, worker count and instruction set, whatever the timing, the threads, and wherever
// the run was paused; within float noise for another worker count (sums are associated otherwise).
//
// Stopping: when `stop` becomes true on any rank, all finish the step, rank 0 saves, and all return
// kStopped. Checkpoints hold everything that a resume needs.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "engine/model/config.h"
#include "engine/train/collective.h"
#include "engine/train/model.h"

namespace weir::train {

// 0 or empty in an optional field: as the preset says.
struct Options {
  // What to train on: one of these.
  std::string dataset;         // folder with text.txt and manifest.json
  std::string text;            // file
  int64_t max_text_bytes = 0;  // of a larger text, pieces from all over it

  std::string out;  // folder for checkpoints

  // Which model. config: a file like config.json, instead of a preset.
  std::string preset = "tiny";
  std::string config_file;
  int vocab = 0, dim = 0, layers = 0, heads = 0, kv_heads = 0, ffn = 0, seq = 0;

  // How.
  int64_t batch = 0;  // windows in a step, over all ranks
  int64_t steps = 0;
  std::optional<Duration> max_time;  // of training, over all attempts
  double lr = 0;
  int64_t warmup = -1;
  double weight_decay = 0.1, clip = 1.0;
  double beta1 = 0.9, beta2 = 0.95;
  double held_out = 0.05;
  uint64_t seed = 1;
  Storage storage = Storage::kF32;

  // When.
  int64_t checkpoint_every = 0;                 // steps; 0: by time alone
  std::optional<Duration> checkpoint_interval;  // none: as the preset says
  int64_t eval_every = 0;
  int keep = 5;

  // Who.
  RingOptions ring;
  int threads = 1;
  std::vector<int> cores;  // to bind to; empty: wherever the system likes
  std::string job, run;
  std::string progress_file;  // rank 0 appends JSON lines; empty: none
  std::string parent;         // lineage, where the model starts from another's weights
};

// Everything that the presets decide, filled in. kInvalidArgument names the flag.
Result<Options> WithPreset(Options options);
std::vector<std::string> PresetNames();

// The learning rate of step 0, 1, ...: up linearly for `warmup` steps, then half a cosine down to a
// tenth at `steps`.
double LearningRate(int64_t step, int64_t warmup, int64_t steps, double peak);

enum class Outcome { kDone, kStopped };
struct Summary {
  Outcome outcome = Outcome::kDone;
  int64_t step = 0;
  double loss = 0;
  std::optional<double> held_out_loss;
  std::string checkpoint;      // the newest one's folder
  std::vector<double> losses;  // of this attempt's steps
};
// Lines for people go to `say` (rank 0 only). Errors: kUnavailable where a peer was lost.
Result<Summary> Run(const Options& options, const std::atomic<bool>& stop,
                    const std::function<void(const std::string&)>& say);

}  // namespace weir::train
