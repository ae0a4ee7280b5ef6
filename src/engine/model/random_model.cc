#include "engine/model/random_model.h"

#include <cmath>
#include <vector>

#include "base/random.h"
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
  for (TensorSpec& spec : TensorSpecs(config)) {
    TensorView view{std::move(spec.name), type, std::move(spec.shape), {}};
    std::vector<float> values(static_cast<size_t>(view.elements()));
    const bool norm = view.shape.size() == 1;
    // Large enough that the logits differ clearly: greedy choices are then no coin tosses.
    const double scale = 1.0 / std::sqrt(static_cast<double>(view.shape.back()));
    for (float& x : values) {
      x = static_cast<float>(norm ? 1.0 + 0.1 * random.Normal() : scale * random.Normal());
    }
    data.emplace_back(static_cast<size_t>(*BytesOf(type, view.elements())));
    FromFloat(values, type, data.back());
    view.data = data.back();
    views.push_back(std::move(view));
  }
  return WriteSafetensors(folder + "/model.safetensors", views, {{"format", "pt"}});
}

}  // namespace weir::model
