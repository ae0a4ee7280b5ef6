#include "engine/model/random_model.h"

#include <cmath>
#include <vector>

#include "base/random.h"
#include "engine/model/architecture.h"
#include "engine/model/bpe_trainer.h"
#include "engine/model/safetensors.h"
#include "io/files.h"

namespace weir::model {

Status WriteRandomModel(const std::string& folder, const ModelConfig& config, uint64_t seed,
                        DType type) {
  TRY(Validate(config));
  BpeTrainerOptions options;
  options.vocab_size = config.vocab_size;
  options.min_pair_count = 1;
  BpeTrainer trainer = TRY(BpeTrainer::Create(options));
  trainer.Add("A weir is a low dam: what rises over the crest spills to the other side.");
  const Tokenizer tokenizer = TRY(trainer.Train());
  TRY(io::WriteFileAtomically(folder + "/tokenizer.json", TRY(tokenizer.ToHfJson())));
  TRY(io::WriteFileAtomically(folder + "/config.json", ConfigToHfJson(config, "float32")));

  Random random(seed);
  std::vector<std::vector<std::byte>> data;
  std::vector<TensorView> views;
  for (const TensorSpec& spec : TensorSpecs(config)) {
    TensorView view{spec.name, type, spec.shape, {}};
    std::vector<float> values(static_cast<size_t>(view.elements()));
    const bool vector = view.shape.size() == 1;
    const bool norm = IsNorm(spec.places.front().slot);
    // Large enough that the logits differ clearly: greedy choices are then no coin tosses.
    const double scale = vector ? 0.1 : 1.0 / std::sqrt(static_cast<double>(view.shape.back()));
    const double middle = norm && !RowOf(config.architecture).gain_plus_one ? 1.0 : 0.0;
    for (float& x : values) x = static_cast<float>(middle + scale * random.Normal());
    data.emplace_back(static_cast<size_t>(*BytesOf(type, view.elements())));
    FromFloat(values, type, data.back());
    view.data = data.back();
    views.push_back(std::move(view));
  }
  return WriteSafetensors(folder + "/model.safetensors", views, {{"format", "pt"}});
}

ModelConfig TinyConfig(Architecture architecture, int width) {
  const ArchitectureRow& row = RowOf(architecture);
  ModelConfig c{.architecture = architecture,
                .vocab_size = 300,
                .dim = width,
                .layers = 3,
                .heads = 4,
                .kv_heads = 2,
                .head_dim = 32,
                .ffn_dim = 3 * width / 2,
                .max_seq = 256,
                .norm_eps = row.defaults.norm_eps,
                .tied_embeddings = row.defaults.tied,
                .bos_id = 0,
                .eos_id = 0};
  c.rope_theta_local = row.defaults.rope_theta_local > 0 ? 1000.0f : 0.0f;
  c.qkv_bias = row.bias == Bias::kQkv;
  constexpr int kWindow = 7;
  switch (row.sliding) {
    case Sliding::kNever:
      break;
    case Sliding::kAll:
      c.sliding_window = kWindow;
      break;
    case Sliding::kFromLayer:
      c.sliding_window = kWindow;
      c.sliding_from = 2;
      break;
    case Sliding::kPeriodic:
      c.sliding_window = kWindow;
      c.global_every = 2;
      break;
  }
  if (row.defaults.query_pre_attn_scalar > 0) c.query_scalar = 24.0f;
  c.attention_softcap = row.defaults.attention_softcap > 0 ? 2.0f : 0.0f;
  c.logit_softcap = row.defaults.logit_softcap > 0 ? 3.0f : 0.0f;
  if (row.experts) {
    c.experts = 6;
    c.experts_used = 2;
    c.expert_ffn_dim = architecture == Architecture::kMixtral ? c.ffn_dim : width / 2;
  }
  return c;
}

}  // namespace weir::model
