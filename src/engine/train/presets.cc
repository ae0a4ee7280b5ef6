// The presets, and what is checked before a run begins.
#include <fmt/format.h>

#include <algorithm>

#include "engine/train/trainer.h"
#include "io/files.h"

namespace weir::train {
namespace {

struct Preset {
  const char* name;
  int vocab, dim, layers, heads, kv_heads, ffn, seq;
  int64_t batch, steps, warmup, eval_every;
  double lr;
  Duration checkpoint_interval;
  int64_t max_text_bytes;  // some times what the steps will see
};

// tiny: on two cores, a held-out loss below half of ln(vocabulary) within a minute (docs: numbers).
// small: an hour or so on a workstation. gpt124m: the shape of GPT-2 small, as a Llama.
constexpr Preset kPresets[] = {
    {"tiny", 512, 128, 2, 4, 2, 320, 128, 8, 2000, 50, 100, 4e-3, Duration::Seconds(10), 8 << 20},
    {"small", 8192, 384, 8, 6, 2, 1024, 256, 32, 4000, 100, 200, 1.5e-3, Duration::Minutes(1),
     256 << 20},
    {"gpt124m", 50304, 768, 12, 12, 12, 2048, 1024, 8, 20000, 200, 200, 6e-4, Duration::Minutes(10),
     int64_t{4} << 30},
};

Error Bad(std::string text) { return Error(Code::kInvalidArgument, std::move(text)); }

}  // namespace

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const Preset& p : kPresets) names.push_back(p.name);
  return names;
}

Result<Options> WithPreset(Options o) {
  const auto preset = std::find_if(std::begin(kPresets), std::end(kPresets),
                                   [&](const Preset& p) { return p.name == o.preset; });
  if (preset == std::end(kPresets)) {
    return Bad(fmt::format("--preset: {} is not known", o.preset))
        .Hint(fmt::format("one of {}", fmt::join(PresetNames(), ", ")));
  }
  const auto fill = [](auto& field, auto value) {
    if (field == 0) field = value;
  };
  if (!o.config_file.empty()) {
    const model::ModelConfig c =
        TRY(model::ConfigFromHfJson(TRY(io::ReadFile(o.config_file, 1 << 20))));
    fill(o.vocab, c.vocab_size);
    fill(o.dim, c.dim);
    fill(o.layers, c.layers);
    fill(o.heads, c.heads);
    fill(o.kv_heads, c.kv_heads);
    fill(o.ffn, c.ffn_dim);
    fill(o.seq, std::min(c.max_seq, 1024));
  }
  if (o.dim != 0 && o.heads == 0) o.heads = std::max(1, o.dim / 64);
  if (o.heads != 0 && o.kv_heads == 0) o.kv_heads = o.heads;
  if (o.dim != 0 && o.ffn == 0) o.ffn = (o.dim * 8 / 3 + 31) / 32 * 32;
  fill(o.vocab, preset->vocab);
  fill(o.dim, preset->dim);
  fill(o.layers, preset->layers);
  fill(o.heads, preset->heads);
  fill(o.kv_heads, preset->kv_heads);
  fill(o.ffn, preset->ffn);
  fill(o.seq, preset->seq);
  fill(o.batch, preset->batch);
  fill(o.steps, preset->steps);
  fill(o.eval_every, preset->eval_every);
  fill(o.lr, preset->lr);
  fill(o.max_text_bytes, preset->max_text_bytes);
  if (o.warmup < 0) o.warmup = std::min(preset->warmup, o.steps / 10);
  if (!o.checkpoint_interval && o.checkpoint_every == 0) {
    o.checkpoint_interval = preset->checkpoint_interval;
  }

  if (o.dataset.empty() == o.text.empty()) {
    return Bad("train on what?").Hint("give --dataset DIR or --text FILE, one of them");
  }
  if (o.out.empty()) return Bad("no folder for checkpoints").Hint("give --out DIR");
  if (o.vocab < 257 || o.vocab > (1 << 20)) {
    return Bad(
        fmt::format("--vocab: {} (257 to 1048576: 256 bytes and an end-of-text mark are in "
                    "every vocabulary)",
                    o.vocab));
  }
  if (o.dim < 1 || o.heads < 1 || o.dim % o.heads != 0 || o.dim / o.heads % 2 != 0) {
    return Bad(fmt::format("--dim {} and --heads {}: a head must be a whole, even share of dim",
                           o.dim, o.heads));
  }
  if (o.kv_heads < 1 || o.heads % o.kv_heads != 0) {
    return Bad(fmt::format("--kv-heads: {} does not divide --heads {}", o.kv_heads, o.heads));
  }
  if (o.seq < 2 || o.seq > 32768) return Bad(fmt::format("--seq: {} (2 to 32768)", o.seq));
  if (o.batch < o.ring.world) {
    return Bad(fmt::format("--batch: {} sequences for {} workers", o.batch, o.ring.world))
        .Hint("every worker needs one: a larger --batch, or fewer workers");
  }
  if (o.batch > (1 << 20)) return Bad(fmt::format("--batch: {}", o.batch));
  if (o.steps < 1) return Bad(fmt::format("--steps: {}", o.steps));
  if (o.layers < 1 || o.ffn < 1) {
    return Bad(fmt::format("--layers {}, --ffn {}: must be positive", o.layers, o.ffn));
  }
  if (!(o.lr > 0) || !(o.lr < 10)) return Bad(fmt::format("--lr: {}", o.lr));
  if (!(o.clip > 0)) return Bad(fmt::format("--clip: {} (above 0)", o.clip));
  if (!(o.weight_decay >= 0)) return Bad(fmt::format("--weight-decay: {}", o.weight_decay));
  if (!(o.held_out > 0) || !(o.held_out <= 0.5)) {
    return Bad(fmt::format("--heldout: {} (above 0, at most 0.5)", o.held_out));
  }
  if (o.threads < 1 || o.threads > 1024) return Bad(fmt::format("--threads: {}", o.threads));
  if (o.eval_every < 1) return Bad(fmt::format("--eval-every: {}", o.eval_every));
  return o;
}

}  // namespace weir::train
