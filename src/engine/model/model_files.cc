#include "engine/model/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/check.h"
#include "engine/model/config_gguf.h"
#include "engine/model/rope.h"
#include "io/files.h"

namespace weir::model {
namespace {

constexpr int64_t kMaxConfigBytes = 1 << 20;
constexpr int64_t kMaxTokenizerBytes = 256 << 20;
constexpr int64_t kMaxIndexBytes = 64 << 20;
constexpr int64_t kScanBytes = 1 << 20;  // of a tensor, one thread at a time

std::string Shape(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

// "" where the file is absent.
Result<std::string> Optional(const std::string& path, int64_t max_bytes) {
  if (!io::FileExists(path)) return std::string();
  return io::ReadFile(path, max_bytes);
}

// tokenizer_config.json has one template, or a list of {name, template}: the one named "default".
std::string TemplateOf(const nlohmann::json& json) {
  if (!json.is_object() || !json.contains("chat_template")) return "";
  const nlohmann::json& given = json["chat_template"];
  if (given.is_string()) return given.get<std::string>();
  if (!given.is_array()) return "";
  for (const nlohmann::json& item : given) {
    if (item.is_object() && item.value("name", nlohmann::json()) == "default" &&
        item.contains("template") && item["template"].is_string()) {
      return item["template"].get<std::string>();
    }
  }
  return "";
}

// Vision towers and the like of models that do more than text; the trainer's leftovers.
bool IsForeign(const ModelConfig& config, std::string_view name) {
  for (const char* prefix : {"vision_tower.", "model.vision_tower.", "multi_modal_projector.",
                             "model.multi_modal_projector."}) {
    if (name.starts_with(prefix)) return true;
  }
  return name.ends_with("rotary_emb.inv_freq") || IsConfigTensor(name) ||
         (config.tied_embeddings && name == "lm_head.weight");
}

// A model that also sees images calls its text part by a longer name.
std::string Plain(std::string_view name) {
  for (const auto& [prefix, plain] :
       {std::pair<std::string_view, std::string_view>("language_model.model.", "model."),
        std::pair<std::string_view, std::string_view>("language_model.lm_head.", "lm_head."),
        std::pair<std::string_view, std::string_view>("model.language_model.", "model.")}) {
    if (name.starts_with(prefix)) return fmt::format("{}{}", plain, name.substr(prefix.size()));
  }
  return std::string(name);
}

}  // namespace

class FilesOpener {
 public:
  Result<std::shared_ptr<const ModelFiles>> Folder(const std::string& path) {
    const std::string config = TRY(Need(path, "config.json", kMaxConfigBytes));
    const std::string tokenizer = TRY(Need(path, "tokenizer.json", kMaxTokenizerBytes));
    Status read = ReadJson(path, config, tokenizer);
    if (!read) return std::move(read).error().In(path);
    const std::string single = path + "/model.safetensors";
    const std::string index = path + "/model.safetensors.index.json";
    std::vector<std::string> names;
    if (io::FileExists(single)) {
      names.push_back("model.safetensors");
    } else if (io::FileExists(index)) {
      Result<std::vector<std::string>> parsed =
          ParseSafetensorsIndex(TRY(io::ReadFile(index, kMaxIndexBytes)));
      if (!parsed) return std::move(parsed).error().In(index);
      names = *std::move(parsed);
    } else {
      return Error(Code::kNotFound, fmt::format("{} has no model.safetensors", path))
          .Hint("a model folder holds config.json, tokenizer.json and model.safetensors");
    }
    for (const std::string& name : names) {
      const std::string file = path + "/" + name;
      auto opened = std::make_shared<const SafetensorsFile>(TRY(SafetensorsFile::Open(file)));
      for (const TensorView& tensor : opened->tensors()) {
        const Found found{&tensor, file, files_->shards_.size()};
        if (!found_.emplace(Plain(tensor.name), found).second) {
          return Error(Code::kDataLoss,
                       fmt::format("{}: tensor {} stands in another shard too", file, tensor.name));
        }
      }
      files_->shards_.push_back(std::move(opened));
    }
    return Arrange(path);
  }

  Result<std::shared_ptr<const ModelFiles>> Gguf(const std::string& path) {
    auto file = std::make_shared<const GgufFile>(TRY(GgufFile::Open(path)));
    Result<ModelConfig> config = ConfigFromGguf(*file);
    if (!config) return std::move(config).error().In(path);
    files_->config_ = *std::move(config);
    files_->tokenizer_ = std::make_unique<Tokenizer>(TRY(Tokenizer::FromGguf(*file)));
    Result<std::optional<std::string_view>> chat = file->String("tokenizer.chat_template");
    if (!chat) return std::move(chat).error().In(path);
    files_->chat_template_ = chat->value_or("");
    for (const auto& [name, type] : file->unsupported()) {
      return Error(Code::kUnimplemented, fmt::format("{}: tensor {} is {}", path, name, type))
          .Hint("convert the model to one of F32, F16, BF16, Q8_0, Q4_0 to Q5_1, Q2_K to Q6_K");
    }
    for (const TensorView& tensor : file->tensors()) found_[tensor.name] = {&tensor, path, 0};
    files_->gguf_ = std::move(file);
    return Arrange(path);
  }

 private:
  struct Found {
    const TensorView* view;
    std::string file;
    size_t shard;
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

  Status ReadJson(const std::string& folder, const std::string& config,
                  const std::string& tokenizer) {
    files_->config_ = TRY(ConfigFromHfJson(config));
    files_->tokenizer_ = std::make_unique<Tokenizer>(TRY(Tokenizer::FromHfJson(tokenizer)));
    files_->tokenizer_->AdoptIds(files_->config_.bos_id, files_->config_.eos_id);
    const std::string generation =
        TRY(Optional(folder + "/generation_config.json", kMaxConfigBytes));
    if (!generation.empty()) files_->generation_ = TRY(GenerationFromJson(generation));
    files_->tokenizer_->StopAlsoAt(files_->generation_.eos_ids);
    files_->chat_template_ = TRY(Optional(folder + "/chat_template.jinja", kMaxConfigBytes));
    if (files_->chat_template_.empty()) {
      const std::string other =
          TRY(Optional(folder + "/tokenizer_config.json", kMaxTokenizerBytes));
      files_->chat_template_ = TemplateOf(nlohmann::json::parse(other, nullptr, false));
    }
    return {};
  }

  Result<std::shared_ptr<const ModelFiles>> Arrange(const std::string& path) {
    const ModelConfig& config = files_->config_;
    files_->path_ = path;
    if (files_->tokenizer_->vocab_size() > config.vocab_size) {
      return Error(Code::kInvalidArgument,
                   fmt::format("{}: the tokenizer has {} tokens, the model {}", path,
                               files_->tokenizer_->vocab_size(), config.vocab_size));
    }
    for (TensorSpec& spec : TensorSpecs(config, files_->format())) {
      const auto it = found_.find(spec.name);
      if (it == found_.end()) {
        return Error(Code::kDataLoss, fmt::format("{}: tensor {} is missing", path, spec.name))
            .Hint("the file is incomplete, or config.json belongs to another model");
      }
      const Found& found = it->second;
      if (found.view->shape != spec.shape) {
        return Error(Code::kInvalidArgument,
                     fmt::format("{}: tensor {} has shape {}, the config needs {}", found.file,
                                 spec.name, Shape(found.view->shape), Shape(spec.shape)));
      }
      Register(spec, found);
      found_.erase(it);
    }
    for (const auto& [name, where] : found_) {
      if (IsForeign(config, name)) continue;
      return Error(Code::kUnimplemented,
                   fmt::format("{}: tensor {} has no place in this architecture, {}", where.file,
                               name, RowOf(config.architecture).name));
    }
    std::string trimmed = path;
    while (trimmed.size() > 1 && trimmed.ends_with('/')) trimmed.pop_back();
    files_->name_ = std::filesystem::path(trimmed).filename().string();
    if (files_->name_.ends_with(".gguf")) files_->name_.resize(files_->name_.size() - 5);
    return std::shared_ptr<const ModelFiles>(std::move(files_));
  }

  void Register(TensorSpec& spec, const Found& found) {
    const ModelConfig& config = files_->config_;
    const size_t index = files_->tensors_.size();
    size_t at = 0;
    for (const Place& place : spec.places) {
      const int64_t rows = RowsOf(config, place.slot), columns = ColumnsOf(config, place.slot);
      const auto bytes = static_cast<size_t>(*BytesOf(found.view->type, rows * columns));
      files_->places_[place] = {.type = found.view->type,
                                .rows = rows,
                                .columns = columns,
                                .data = found.view->data.subspan(at, bytes),
                                .neighbours = files_->format() == Format::kGguf &&
                                              IsRotary(place.slot) &&
                                              RowOf(config.architecture).gguf_neighbours,
                                .tensor = index};
      at += bytes;
    }
    TensorView view = *found.view;
    view.name = spec.name;
    files_->tensors_.push_back(std::move(view));
    files_->shard_of_.push_back(found.shard);
    files_->file_of_.push_back(found.file);
    files_->specs_.push_back(std::move(spec));
  }

  std::shared_ptr<ModelFiles> files_ = std::make_shared<ModelFiles>();
  std::map<std::string, Found, std::less<>> found_;
};

Result<std::shared_ptr<const ModelFiles>> ModelFiles::Open(const std::string& path) {
  std::error_code ec;
  if (std::filesystem::is_directory(path, ec)) return FilesOpener().Folder(path);
  if (!std::filesystem::exists(path, ec)) {
    return Error(Code::kNotFound, fmt::format("{} does not exist", path))
        .Hint("give a model folder or a .gguf file");
  }
  return FilesOpener().Gguf(path);
}

int64_t ModelFiles::weight_bytes() const {
  int64_t total = 0;
  for (const TensorView& tensor : tensors_) total += static_cast<int64_t>(tensor.data.size());
  return total;
}

const Stored* ModelFiles::Find(const Place& place) const {
  auto it = places_.find(place);
  if (it == places_.end() && place.slot == Slot::kHead && config_.tied_embeddings) {
    it = places_.find({Slot::kEmbedding});
  }
  return it == places_.end() ? nullptr : &it->second;
}

const Stored& ModelFiles::At(const Place& place) const {
  const Stored* found = Find(place);
  CHECK_MSG(found != nullptr, "slot {} of layer {}", static_cast<int>(place.slot), place.layer);
  return *found;
}

Error ModelFiles::NonFinite(const Stored& stored) const {
  return Error(Code::kDataLoss, fmt::format("{}: tensor {} holds NaN or infinity",
                                            file_of_[stored.tensor], tensors_[stored.tensor].name))
      .Hint("the training run diverged or the file is damaged; take an earlier checkpoint");
}

Result<std::vector<float>> ModelFiles::Vector(const Place& place) const {
  const Stored* stored = Find(place);
  if (stored == nullptr) return std::vector<float>();
  const std::vector<std::byte> aligned(stored->data.begin(), stored->data.end());
  std::vector<float> values(static_cast<size_t>(stored->rows));
  ToFloat(stored->type, aligned, values);
  for (const float x : values) {
    if (!std::isfinite(x)) return NonFinite(*stored);
  }
  if (stored->neighbours) {
    const std::vector<float> turned = values;
    PermuteRotaryRows(RotaryRows::kNeighboursToHalves, config_.head_dim, sizeof(float),
                      std::as_bytes(std::span(turned)),
                      reinterpret_cast<std::byte*>(values.data()));
  }
  if (format() == Format::kHf && IsNorm(place.slot) && RowOf(config_.architecture).gain_plus_one) {
    for (float& x : values) x += 1.0f;
  }
  return values;
}

Result<kernels::Weights> ModelFiles::Matrix(const Place& place, std::vector<std::byte>& scratch,
                                            kernels::ThreadPool* pool) const {
  const Stored& stored = At(place);
  const auto size = static_cast<int64_t>(stored.data.size());
  const int64_t row_bytes = *BytesOf(stored.type, stored.columns);
  // Whole rows a piece, so that no block is cut.
  const int64_t rows_a_piece = std::max<int64_t>(1, kScanBytes / row_bytes);
  std::atomic<bool> bad = false;
  kernels::ParallelFor(pool, (stored.rows + rows_a_piece - 1) / rows_a_piece, [&](int64_t i) {
    const int64_t begin = i * rows_a_piece * row_bytes;
    const int64_t bytes = std::min(rows_a_piece * row_bytes, size - begin);
    if (kernels::StoredNonFinite(stored.type, stored.data.subspan(static_cast<size_t>(begin),
                                                                  static_cast<size_t>(bytes)))) {
      bad.store(true, std::memory_order_relaxed);
    }
  });
  if (bad) return NonFinite(stored);
  const std::byte* data = stored.data.data();
  const size_t alignment = stored.type == DType::kF32 ? alignof(float) : alignof(uint16_t);
  if (stored.neighbours) {
    scratch.resize(stored.data.size());
    PermuteRotaryRows(RotaryRows::kNeighboursToHalves, config_.head_dim, row_bytes, stored.data,
                      scratch.data());
    data = scratch.data();
  } else if (reinterpret_cast<uintptr_t>(data) % alignment != 0) {
    scratch.assign(stored.data.begin(), stored.data.end());
    data = scratch.data();
  }
  return kernels::Weights{stored.type, data, stored.rows, stored.columns};
}

void ModelFiles::Forget(const Place& place) const {
  const Stored& stored = At(place);
  if (gguf_ != nullptr) {
    gguf_->Forget(stored.data);
  } else {
    shards_[shard_of_[stored.tensor]]->Forget(stored.data);
  }
}

}  // namespace weir::model
