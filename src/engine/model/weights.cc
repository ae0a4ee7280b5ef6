#include "engine/model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/model/gguf.h"
#include "io/files.h"

namespace weir::model {
namespace {

constexpr int64_t kMaxConfigBytes = 1 << 20;
constexpr int64_t kMaxTokenizerBytes = 256 << 20;
constexpr int64_t kMaxIndexBytes = 64 << 20;

bool IsNorm(const TensorView& tensor) { return tensor.shape.size() == 1; }

bool IsRotary(std::string_view name) {
  return name.ends_with("q_proj.weight") || name.ends_with("k_proj.weight");
}

std::string Shape(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

Result<ModelConfig> ConfigFromGguf(const GgufFile& file) {
  const std::string_view architecture = TRY(file.String("general.architecture"))
  .value_or("");
  if (architecture != "llama") {
    return Error(Code::kUnimplemented,
                 fmt::format("general.architecture is \"{}\"; this program runs llama",
                             architecture.substr(0, 40)));
  }
  const auto integer = [&](std::string_view key, std::optional<int64_t> otherwise) -> Result<int> {
    std::optional<int64_t> value = TRY(file.Int(key));
    if (!value) value = otherwise;
    if (!value) return Error(Code::kInvalidArgument, fmt::format("{} is missing", key));
    if (*value < 0 || *value > INT32_MAX) {
      return Error(Code::kInvalidArgument, fmt::format("{} is {}", key, *value));
    }
    return static_cast<int>(*value);
  };
  for (const auto& [key, neutral] : {std::pair("llama.rope.scaling.type", "none")}) {
    const auto value = TRY(file.String(key));
    if (value && *value != neutral) {
      return Error(Code::kUnimplemented, fmt::format("{} = {} is not offered", key, *value));
    }
  }
  if (TRY(file.Int("llama.expert_count")).value_or(0) > 0) {
    return Error(Code::kUnimplemented, "llama.expert_count: mixtures of experts are not offered");
  }
  const TensorView* embedding = file.Find("token_embd.weight");
  std::optional<int64_t> vocabulary;
  if (embedding != nullptr && embedding->shape.size() == 2) vocabulary = embedding->shape[0];
  ModelConfig c;
  c.vocab_size = TRY(integer("llama.vocab_size", vocabulary));
  c.dim = TRY(integer("llama.embedding_length", {}));
  c.layers = TRY(integer("llama.block_count", {}));
  c.heads = TRY(integer("llama.attention.head_count", {}));
  c.kv_heads = TRY(integer("llama.attention.head_count_kv", c.heads));
  c.head_dim = TRY(integer("llama.attention.key_length", c.heads > 0 ? c.dim / c.heads : 0));
  c.ffn_dim = TRY(integer("llama.feed_forward_length", {}));
  c.max_seq = TRY(integer("llama.context_length", {}));
  c.rope_theta = static_cast<float>(TRY(file.Number("llama.rope.freq_base")).value_or(10000.0));
  c.norm_eps =
      static_cast<float>(TRY(file.Number("llama.attention.layer_norm_rms_epsilon")).value_or(1e-5));
  c.tied_embeddings = file.Find("output.weight") == nullptr;
  c.bos_id = TRY(integer("tokenizer.ggml.bos_token_id", c.vocab_size));
  c.eos_id = TRY(integer("tokenizer.ggml.eos_token_id", c.vocab_size));
  if (c.bos_id >= c.vocab_size) c.bos_id = -1;
  if (c.eos_id >= c.vocab_size) c.eos_id = -1;
  TRY(Validate(c));
  const int turned = TRY(integer("llama.rope.dimension_count", c.head_dim));
  if (turned != c.head_dim) {
    return Error(Code::kUnimplemented,
                 fmt::format("llama.rope.dimension_count is {}, not the head dimension {}", turned,
                             c.head_dim));
  }
  return c;
}

// Q4_0 to Q8_0: the same scale, the nibble less 8 as the byte. Exact.
void WidenQ4(std::span<const std::byte> from, std::byte* to) {
  constexpr size_t kFrom = 18, kTo = 34;
  for (size_t block = 0; block < from.size() / kFrom; ++block) {
    const std::byte* in = from.data() + block * kFrom;
    std::byte* out = to + block * kTo;
    std::memcpy(out, in, 2);
    for (int i = 0; i < kQuantBlock / 2; ++i) {
      const int packed = static_cast<int>(in[2 + i]);
      out[2 + i] = static_cast<std::byte>((packed & 15) - 8);
      out[2 + i + 16] = static_cast<std::byte>((packed >> 4) - 8);
    }
  }
}

}  // namespace

std::string GgufTensorName(std::string_view hf) {
  static const std::pair<std::string_view, std::string_view> kNames[] = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"input_layernorm.weight", "attn_norm.weight"},
      {"self_attn.q_proj.weight", "attn_q.weight"},
      {"self_attn.k_proj.weight", "attn_k.weight"},
      {"self_attn.v_proj.weight", "attn_v.weight"},
      {"self_attn.o_proj.weight", "attn_output.weight"},
      {"post_attention_layernorm.weight", "ffn_norm.weight"},
      {"mlp.gate_proj.weight", "ffn_gate.weight"},
      {"mlp.up_proj.weight", "ffn_up.weight"},
      {"mlp.down_proj.weight", "ffn_down.weight"}};
  constexpr std::string_view kLayer = "model.layers.";
  std::string prefix;
  if (hf.starts_with(kLayer)) {
    const size_t dot = hf.find('.', kLayer.size());
    prefix = fmt::format("blk.{}.", hf.substr(kLayer.size(), dot - kLayer.size()));
    hf.remove_prefix(dot + 1);
  }
  for (const auto& [from, to] : kNames) {
    if (hf == from) return prefix + std::string(to);
  }
  CHECK_MSG(false, "tensor {}", hf);
}

kernels::DType KernelType(DType type) {
  switch (type) {
    case DType::kF32:
      return kernels::DType::kF32;
    case DType::kF16:
      return kernels::DType::kF16;
    case DType::kBF16:
      return kernels::DType::kBF16;
    case DType::kQ8_0:
      return kernels::DType::kQ8_0;
    case DType::kQ4_0:
      break;
  }
  CHECK_MSG(false, "no kernel reads {}", NameOf(type));
}

bool HasNonFinite(const TensorView& tensor) {
  const std::byte* p = tensor.data.data();
  const size_t n = tensor.data.size();
  const auto half = [](const std::byte* at) {
    uint16_t bits;
    std::memcpy(&bits, at, 2);
    return bits;
  };
  // No early exit: a loop without one is vectorized, and weights are almost always finite.
  bool found = false;
  switch (tensor.type) {
    case DType::kF32:
      for (size_t i = 0; i < n; i += 4) {
        uint32_t bits;
        std::memcpy(&bits, p + i, 4);
        found |= (bits & 0x7F800000u) == 0x7F800000u;
      }
      return found;
    case DType::kF16:
      for (size_t i = 0; i < n; i += 2) found |= (half(p + i) & 0x7C00) == 0x7C00;
      return found;
    case DType::kBF16:
      for (size_t i = 0; i < n; i += 2) found |= (half(p + i) & 0x7F80) == 0x7F80;
      return found;
    case DType::kQ8_0:
    case DType::kQ4_0: {
      const auto block = static_cast<size_t>(BlockBytes(tensor.type));
      for (size_t i = 0; i < n; i += block) found |= (half(p + i) & 0x7C00) == 0x7C00;
      return found;
    }
  }
  return found;
}

void PermuteRotaryRows(RotaryRows which, int64_t head_dim, int64_t row_bytes,
                       std::span<const std::byte> from, std::byte* to) {
  const int64_t rows = static_cast<int64_t>(from.size()) / row_bytes;
  CHECK(rows % head_dim == 0 && head_dim % 2 == 0);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t first = row - row % head_dim, r = row % head_dim;
    const int64_t halves = (r % 2) * (head_dim / 2) + r / 2;  // where neighbour row r goes
    const int64_t a = first + halves, b = row;
    const bool to_neighbours = which == RotaryRows::kHalvesToNeighbours;
    std::memcpy(to + (to_neighbours ? b : a) * row_bytes,
                from.data() + (to_neighbours ? a : b) * row_bytes, static_cast<size_t>(row_bytes));
  }
}

// Brings tensors together from their files, then checks and places them.
class ModelLoader {
 public:
  Result<std::shared_ptr<const Model>> Folder(const std::string& path) {
    model_->format_ = "safetensors";
    const std::string config = TRY(Need(path, "config.json", kMaxConfigBytes));
    Result<ModelConfig> parsed = ConfigFromHfJson(config);
    if (!parsed) return std::move(parsed).error().In(path);
    model_->config_ = *parsed;
    const std::string json = TRY(Need(path, "tokenizer.json", kMaxTokenizerBytes));
    Result<Tokenizer> tokenizer = Tokenizer::FromHfJson(json);
    if (!tokenizer) return std::move(tokenizer).error().In(path);
    model_->tokenizer_ = std::make_unique<Tokenizer>(*std::move(tokenizer));
    model_->tokenizer_->AdoptIds(parsed->bos_id, parsed->eos_id);

    const std::string single = path + "/model.safetensors";
    const std::string index = path + "/model.safetensors.index.json";
    std::set<std::string> files;
    if (io::FileExists(single)) {
      files.insert(single);
    } else if (io::FileExists(index)) {
      files = TRY(Shards(path, index));
    } else {
      return Error(Code::kNotFound, fmt::format("{} has no model.safetensors", path))
          .Hint("a model folder holds config.json, tokenizer.json and model.safetensors");
    }
    for (const std::string& file : files) {
      auto opened = std::make_shared<const SafetensorsFile>(TRY(SafetensorsFile::Open(file)));
      for (const TensorView& tensor : opened->tensors()) {
        if (!found_.emplace(tensor.name, Found{&tensor, file}).second) {
          return Error(Code::kDataLoss,
                       fmt::format("{}: tensor {} stands in another shard too", file, tensor.name));
        }
      }
      model_->owners_.push_back(std::move(opened));
    }
    return Place(path, [](const std::string& hf) { return hf; });
  }

  Result<std::shared_ptr<const Model>> Gguf(const std::string& path) {
    model_->format_ = "gguf";
    gguf_ = true;
    auto file = std::make_shared<const GgufFile>(TRY(GgufFile::Open(path)));
    Result<ModelConfig> config = ConfigFromGguf(*file);
    if (!config) return std::move(config).error().In(path);
    model_->config_ = *config;
    model_->tokenizer_ = std::make_unique<Tokenizer>(TRY(Tokenizer::FromGguf(*file)));
    for (const auto& [name, type] : file->unsupported()) {
      return Error(Code::kUnimplemented,
                   fmt::format("{}: tensor {} is of {}; F32, F16, BF16, Q8_0 and Q4_0 are offered",
                               path, name, type))
          .Hint("convert the model to Q8_0");
    }
    for (const TensorView& tensor : file->tensors()) found_[tensor.name] = {&tensor, path};
    model_->owners_.push_back(file);
    return Place(path, [](const std::string& hf) { return GgufTensorName(hf); });
  }

 private:
  struct Found {
    const TensorView* view;
    std::string file;
  };

  static Result<std::string> Need(const std::string& folder, const std::string& name,
                                  int64_t max_bytes) {
    Result<std::string> text = io::ReadFile(folder + "/" + name, max_bytes);
    if (!text && text.error().code() == Code::kNotFound) {
      return Error(Code::kNotFound, fmt::format("{} has no {}", folder, name))
          .Hint("a model folder holds config.json, tokenizer.json and model.safetensors");
    }
    return text;
  }

  static Result<std::set<std::string>> Shards(const std::string& folder, const std::string& index) {
    const std::string text = TRY(io::ReadFile(index, kMaxIndexBytes));
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const auto bad = [&](std::string_view what) -> Error {
      return Error(Code::kInvalidArgument, fmt::format("{}: {}", index, what));
    };
    if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
      return bad("no weight_map");
    }
    std::set<std::string> files;
    for (const auto& [tensor, file] : json["weight_map"].items()) {
      if (!file.is_string()) return bad(fmt::format("tensor {} has no file name", tensor));
      files.insert(TRY(io::JoinInside(folder, file.get<std::string>())));
    }
    return files;
  }

  std::byte* Copy(int64_t bytes) {
    model_->copies_.push_back(
        std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(bytes)));
    return model_->copies_.back().get();
  }

  // The tensor as the kernels want it: right rows, right type, aligned.
  TensorView Ready(TensorView view) {
    const auto replace = [&](DType type, const auto& fill) {
      const int64_t bytes = *BytesOf(type, view.elements());
      std::byte* to = Copy(bytes);
      fill(to);
      view.type = type;
      view.data = {to, static_cast<size_t>(bytes)};
    };
    const std::span<const std::byte> from = view.data;
    if (IsNorm(view) && view.type != DType::kF32) {
      replace(DType::kF32, [&](std::byte* to) {
        ToFloat(view.type, from,
                {reinterpret_cast<float*>(to), static_cast<size_t>(view.elements())});
      });
    } else if (view.type == DType::kQ4_0) {
      replace(DType::kQ8_0, [&](std::byte* to) { WidenQ4(from, to); });
    }
    if (gguf_ && IsRotary(view.name)) {
      const std::span<const std::byte> rows = view.data;
      replace(view.type, [&](std::byte* to) {
        PermuteRotaryRows(RotaryRows::kNeighboursToHalves, model_->config_.head_dim,
                          *BytesOf(view.type, view.shape[1]), rows, to);
      });
    }
    const size_t alignment = view.type == DType::kF32 ? 4 : 2;
    if (reinterpret_cast<uintptr_t>(view.data.data()) % alignment != 0) {
      const std::span<const std::byte> odd = view.data;
      replace(view.type, [&](std::byte* to) { std::memcpy(to, odd.data(), odd.size()); });
    }
    return view;
  }

  template <class NameInFile>
  Result<std::shared_ptr<const Model>> Place(const std::string& path,
                                             const NameInFile& name_in_file) {
    const ModelConfig& config = model_->config_;
    if (model_->tokenizer_->vocab_size() > config.vocab_size) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: the tokenizer has {} tokens, the model {}", path,
                               model_->tokenizer_->vocab_size(), config.vocab_size));
    }
    for (TensorSpec& spec : TensorSpecs(config)) {
      const std::string stored = name_in_file(spec.name);
      const auto it = found_.find(stored);
      if (it == found_.end()) {
        return Error(Code::kDataLoss, fmt::format("{}: tensor {} is missing", path, stored))
            .Hint("the file is incomplete, or config.json belongs to another model");
      }
      const auto& [view, file] = it->second;
      if (view->shape != spec.shape) {
        return Error(Code::kInvalidArgument,
                     fmt::format("{}: tensor {} has shape {}, the config needs {}", file, stored,
                                 Shape(view->shape), Shape(spec.shape)));
      }
      if (HasNonFinite(*view)) {
        return Error(Code::kDataLoss,
                     fmt::format("{}: tensor {} holds NaN or infinity", file, stored))
            .Hint("the training run diverged or the file is damaged; take an earlier checkpoint");
      }
      TensorView named = *view;
      named.name = std::move(spec.name);
      model_->tensors_.push_back(Ready(std::move(named)));
      found_.erase(it);
    }
    for (const auto& [name, where] : found_) {
      const bool harmless = name.ends_with("rotary_emb.inv_freq") ||
                            (config.tied_embeddings && name == "lm_head.weight");
      if (!harmless) {
        return Error(
            Code::kUnimplemented,
            fmt::format("{}: tensor {} has no place in this architecture", where.file, name));
      }
    }
    std::string trimmed = path;
    while (trimmed.size() > 1 && trimmed.ends_with('/')) trimmed.pop_back();
    model_->name_ = std::filesystem::path(trimmed).filename().string();
    if (model_->name_.ends_with(".gguf")) model_->name_.resize(model_->name_.size() - 5);
    Connect();
    return std::shared_ptr<const Model>(std::move(model_));
  }

  void Connect() {
    size_t next = 0;
    const auto norm = [&] {
      return reinterpret_cast<const float*>(model_->tensors_[next++].data.data());
    };
    const auto matrix = [&] {
      const TensorView& tensor = model_->tensors_[next++];
      return kernels::Weights{KernelType(tensor.type), tensor.data.data(), tensor.shape[0],
                              tensor.shape[1]};
    };
    // The order of TensorSpecs.
    model_->embedding_ = matrix();
    for (int i = 0; i < model_->config_.layers; ++i) {
      Layer& layer = model_->layers_.emplace_back();
      layer.input_norm = norm();
      layer.q = matrix();
      layer.k = matrix();
      layer.v = matrix();
      layer.o = matrix();
      layer.post_norm = norm();
      layer.gate = matrix();
      layer.up = matrix();
      layer.down = matrix();
    }
    model_->final_norm_ = norm();
    model_->head_ = model_->config_.tied_embeddings ? model_->embedding_ : matrix();
  }

  std::shared_ptr<Model> model_ = std::make_shared<Model>();
  bool gguf_ = false;
  std::map<std::string, Found, std::less<>> found_;
};

Result<std::shared_ptr<const Model>> Model::Load(const std::string& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) return ModelLoader().Folder(path);
  if (!std::filesystem::exists(path, ec)) {
    return Error(Code::kNotFound, fmt::format("{} does not exist", path))
        .Hint("give a model folder or a .gguf file");
  }
  return ModelLoader().Gguf(path);
}

int64_t Model::weight_bytes() const {
  int64_t total = 0;
  for (const TensorView& tensor : tensors_) total += static_cast<int64_t>(tensor.data.size());
  return total;
}

}  // namespace weir::model
