#include "engine/model/weights.h"

#include "engine/kernels/kernels.h"

namespace weir::model {

class ModelPacker {
 public:
  ModelPacker(std::shared_ptr<const ModelFiles> files, kernels::ThreadPool* pool)
      : pool_(pool), model_(std::make_shared<Model>()) {
    model_->files_ = std::move(files);
  }

  Result<std::shared_ptr<const Model>> Run() {
    const ModelConfig& config = files().config();
    for (int l = 0; l < config.layers; ++l) {
      model_->layers_.emplace_back();
      TRY(PackLayer(l, model_->layers_.back()));
    }
    model_->final_norm_ = TRY(files().Vector({Slot::kFinalNorm}));
    model_->head_ = TRY(Pack({Slot::kHead}));
    if (!config.tied_embeddings) {
      model_->embedding_ = TRY(files().Matrix({Slot::kEmbedding}, scratch_, pool_));
      if (model_->embedding_.data == scratch_.data()) model_->embedding_copy_.swap(scratch_);
      files().Forget({Slot::kEmbedding});
    }
    return std::shared_ptr<const Model>(std::move(model_));
  }

 private:
  const ModelFiles& files() const { return *model_->files_; }

  Result<kernels::PackedMatrix> Pack(const Place& place) {
    const kernels::Weights weights = TRY(files().Matrix(place, scratch_, pool_));
    kernels::PackedMatrix packed = kernels::PackedMatrix::Pack(pool_, weights, &memory_);
    files().Forget(place);
    return packed;
  }
  Result<kernels::PackedMatrix> PackIfThere(const Place& place) {
    if (files().Find(place) == nullptr) return kernels::PackedMatrix();
    return Pack(place);
  }

  Status PackLayer(int l, Layer& layer) {
    layer.sliding = files().config().IsSliding(l);
    const struct {
      Slot slot;
      std::vector<float>* to;
    } vectors[] = {{Slot::kInputNorm, &layer.input_norm},
                   {Slot::kFfnNorm, &layer.ffn_norm},
                   {Slot::kPostAttentionNorm, &layer.post_attention_norm},
                   {Slot::kPostFfnNorm, &layer.post_ffn_norm},
                   {Slot::kQNorm, &layer.q_norm},
                   {Slot::kKNorm, &layer.k_norm},
                   {Slot::kQBias, &layer.q_bias},
                   {Slot::kKBias, &layer.k_bias},
                   {Slot::kVBias, &layer.v_bias},
                   {Slot::kOBias, &layer.o_bias}};
    for (const auto& row : vectors) *row.to = TRY(files().Vector({row.slot, l}));
    const struct {
      Slot slot;
      kernels::PackedMatrix* to;
    } matrices[] = {{Slot::kQ, &layer.q},           {Slot::kK, &layer.k},
                    {Slot::kV, &layer.v},           {Slot::kO, &layer.o},
                    {Slot::kGate, &layer.mlp.gate}, {Slot::kUp, &layer.mlp.up},
                    {Slot::kDown, &layer.mlp.down}, {Slot::kRouter, &layer.router}};
    for (const auto& row : matrices) *row.to = TRY(PackIfThere({row.slot, l}));
    for (int e = 0; e < files().config().experts; ++e) {
      Mlp& expert = layer.experts.emplace_back();
      expert.gate = TRY(Pack({Slot::kExpertGate, l, e}));
      expert.up = TRY(Pack({Slot::kExpertUp, l, e}));
      expert.down = TRY(Pack({Slot::kExpertDown, l, e}));
    }
    return {};
  }

  kernels::ThreadPool* pool_;
  kernels::WeightMemory memory_;
  std::shared_ptr<Model> model_;
  std::vector<std::byte> scratch_;
};

Result<std::shared_ptr<const Model>> Model::Load(const std::string& path,
                                                 kernels::ThreadPool* pool) {
  return Load(TRY(ModelFiles::Open(path)), pool);
}

Result<std::shared_ptr<const Model>> Model::Load(std::shared_ptr<const ModelFiles> files,
                                                 kernels::ThreadPool* pool) {
  return ModelPacker(std::move(files), pool).Run();
}

void Model::Embed(const int32_t* token, int64_t rows, float* y) const {
  if (embedding_.data == nullptr) {
    kernels::Embed(nullptr, head_, token, rows, y);
  } else {
    kernels::Embed(nullptr, embedding_, token, rows, y);
  }
}

}  // namespace weir::model
