#include "engine/model/export.h"

#include <fmt/format.h>

#include "engine/model/gguf.h"

namespace weir::model {
namespace {

// What GGUF calls the type that most of the file has (general.file_type).
uint32_t FileType(DType type) {
  switch (type) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kQ4_0:
      return 2;
    case DType::kQ8_0:
      return 7;
    case DType::kBF16:
      return 32;
  }
  return 0;
}

}  // namespace

Status ExportGguf(const Model& model, const std::string& path, std::optional<DType> type) {
  const ModelConfig& c = model.config();
  GgufWriter writer;
  writer.String("general.architecture", "llama");
  writer.String("general.name", model.name());
  writer.U32("general.file_type", FileType(type.value_or(model.tensors().front().type)));
  writer.U32("general.quantization_version", 2);
  const auto u32 = [&](std::string_view key, int value) {
    writer.U32(key, static_cast<uint32_t>(value));
  };
  u32("llama.vocab_size", c.vocab_size);
  u32("llama.context_length", c.max_seq);
  u32("llama.embedding_length", c.dim);
  u32("llama.block_count", c.layers);
  u32("llama.feed_forward_length", c.ffn_dim);
  u32("llama.attention.head_count", c.heads);
  u32("llama.attention.head_count_kv", c.kv_heads);
  u32("llama.attention.key_length", c.head_dim);
  u32("llama.attention.value_length", c.head_dim);
  u32("llama.rope.dimension_count", c.head_dim);
  writer.F32("llama.rope.freq_base", c.rope_theta);
  writer.F32("llama.attention.layer_norm_rms_epsilon", c.norm_eps);
  model.tokenizer().ToGguf(writer, c.vocab_size);

  std::vector<std::vector<std::byte>> made;
  std::vector<float> wide;
  for (TensorView view : model.tensors()) {
    const bool matrix = view.shape.size() == 2;
    const bool rotary =
        view.name.ends_with("q_proj.weight") || view.name.ends_with("k_proj.weight");
    DType wanted = matrix ? type.value_or(view.type) : DType::kF32;
    if (wanted == DType::kQ8_0 && view.shape.back() % kQuantBlock != 0) wanted = DType::kF16;
    if (wanted != view.type) {
      wide.resize(static_cast<size_t>(view.elements()));
      ToFloat(view.type, view.data, wide);
      std::vector<std::byte>& data =
          made.emplace_back(static_cast<size_t>(*BytesOf(wanted, view.elements())));
      FromFloat(wide, wanted, data);
      view.type = wanted;
      view.data = data;
      if (HasNonFinite(view)) {
        return Error(Code::kInvalidArgument,
                     fmt::format("tensor {} has values beyond the range of {}", view.name,
                                 NameOf(wanted)))
            .Hint("export as F32 or BF16");
      }
    }
    if (rotary) {
      std::vector<std::byte>& data = made.emplace_back(view.data.size());
      PermuteRotaryRows(RotaryRows::kHalvesToNeighbours, c.head_dim,
                        *BytesOf(view.type, view.shape[1]), view.data, data.data());
      view.data = data;
    }
    view.name = GgufTensorName(view.name);
    writer.Tensor(std::move(view));
  }
  return writer.Write(path);
}

}  // namespace weir::model
