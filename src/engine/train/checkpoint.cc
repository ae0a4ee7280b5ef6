#include "engine/train/checkpoint.h"

#include <fmt/format.h>
#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/version.h"
#include "engine/model/safetensors.h"
#include "io/files.h"

namespace weir::train {
namespace {

using Json = nlohmann::json;
constexpr std::string_view kPrefix = "step-";
constexpr int64_t kMaxJsonBytes = 64 << 20;

class Sha256 {
 public:
  Sha256() { crypto_hash_sha256_init(&state_); }
  void Add(const void* data, size_t n) {
    crypto_hash_sha256_update(&state_, static_cast<const unsigned char*>(data), n);
  }
  std::string Hex() {
    unsigned char hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_final(&state_, hash);
    std::string hex;
    for (const unsigned char byte : hash) hex += fmt::format("{:02x}", byte);
    return hex;
  }

 private:
  crypto_hash_sha256_state state_;
};

std::string Absolute(const std::string& path) {
  char* real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  std::string out = real;
  free(real);
  return out;
}

std::string HashOf(std::string_view text) {
  Sha256 hash;
  hash.Add(text.data(), text.size());
  return hash.Hex();
}

model::TensorView ViewOf(const Slice& slice, const std::string& prefix, model::DType type,
                         const void* base) {
  const int64_t width = type == model::DType::kBF16 ? 2 : 4;
  return {prefix + slice.name, type, slice.shape,
          std::span(static_cast<const std::byte*>(base) + slice.offset * width,
                    static_cast<size_t>(slice.size * width))};
}

Json ToJson(const TrainerState& s) {
  return {{"step", s.step},
          {"windows", s.windows},
          {"tokens", s.tokens},
          {"seed", s.seed},
          {"world_size", s.world_size},
          {"train_seconds", s.train_seconds},
          {"loss", s.loss},
          {"held_out_loss", s.held_out_loss ? Json(*s.held_out_loss) : Json()},
          {"loss_tail", s.loss_tail},
          {"hyperparameters", Json::parse(s.hyperparameters_json, nullptr, false)}};
}
Result<TrainerState> StateFromJson(const std::string& text, const std::string& path) {
  try {
    const Json j = Json::parse(text);
    TrainerState s;
    s.step = j.at("step").get<int64_t>();
    s.windows = j.at("windows").get<int64_t>();
    s.tokens = j.at("tokens").get<int64_t>();
    s.seed = j.at("seed").get<uint64_t>();
    s.world_size = j.at("world_size").get<int>();
    s.train_seconds = j.at("train_seconds").get<double>();
    s.loss = j.at("loss").get<double>();
    if (j.contains("held_out_loss") && j["held_out_loss"].is_number()) {
      s.held_out_loss = j["held_out_loss"].get<double>();
    }
    s.loss_tail = j.at("loss_tail").get<std::vector<double>>();
    s.hyperparameters_json = j.at("hyperparameters").dump();
    return s;
  } catch (const Json::exception& e) {
    return Error(Code::kDataLoss, fmt::format("{}: {}", path, e.what()));
  }
}

struct FileEntry {
  std::string name;
  int64_t bytes;
  std::string sha256;
};

// Writes one file, then reads it back: what is on disk is what was meant.
class Writer {
 public:
  explicit Writer(std::string folder) : folder_(std::move(folder)) {}
  Status Text(const std::string& name, std::string_view bytes) {
    TRY(io::WriteFileDurably(folder_ + "/" + name, bytes, 0644));
    return Note(name, static_cast<int64_t>(bytes.size()), HashOf(bytes));
  }
  Status Tensors(const std::string& name, std::span<const model::TensorView> tensors,
                 const std::map<std::string, std::string>& metadata) {
    TRY(model::WriteSafetensors(folder_ + "/" + name, tensors, metadata));
    Sha256 hash;
    const std::string header = model::SafetensorsHeader(tensors, metadata);
    int64_t bytes = static_cast<int64_t>(header.size());
    hash.Add(header.data(), header.size());
    for (const model::TensorView& t : tensors) {
      hash.Add(t.data.data(), t.data.size());
      bytes += static_cast<int64_t>(t.data.size());
    }
    return Note(name, bytes, hash.Hex());
  }
  const std::vector<FileEntry>& files() const { return files_; }

 private:
  Status Note(const std::string& name, int64_t bytes, std::string sha256) {
    const std::string path = folder_ + "/" + name;
    const std::string on_disk = TRY(io::Sha256OfFile(path));
    if (on_disk != sha256) {
      return Error(Code::kDataLoss, fmt::format("{} reads back other than it was written", path))
          .Hint("check the disk");
    }
    files_.push_back({name, bytes, std::move(sha256)});
    return {};
  }
  std::string folder_;
  std::vector<FileEntry> files_;
};

Status WriteInto(const std::string& temporary, Model& model, const Buffer& m, const Buffer& v,
                 const TrainerState& state, const Lineage& lineage,
                 const std::string& tokenizer_json, std::string& manifest_sha256) {
  TRY(io::MakeDirs(temporary, 0755));
  Writer writer(temporary);
  const bool bf16 = model.storage() == Storage::kBf16;
  std::vector<model::TensorView> weights, optimizer;
  for (const Slice& s : model.slices()) {
    weights.push_back(bf16 ? ViewOf(s, "", model::DType::kBF16, model.stored())
                           : ViewOf(s, "", model::DType::kF32, model.parameters().data()));
  }
  if (bf16) {
    for (const Slice& s : model.slices()) {
      optimizer.push_back(ViewOf(s, "master.", model::DType::kF32, model.parameters().data()));
    }
  }
  for (const Slice& s : model.slices()) {
    optimizer.push_back(ViewOf(s, "m.", model::DType::kF32, m.data()));
  }
  for (const Slice& s : model.slices()) {
    optimizer.push_back(ViewOf(s, "v.", model::DType::kF32, v.data()));
  }
  TRY(writer.Tensors("model.safetensors", weights, {{"format", "pt"}}));
  const model::ModelConfig& config = model.config();
  const std::string config_json = model::ConfigToHfJson(config, bf16 ? "bfloat16" : "float32");
  TRY(writer.Text("config.json", config_json));
  Json generation = {{"do_sample", true}, {"temperature", 0.8}, {"top_p", 0.95}};
  if (config.bos_id >= 0) generation["bos_token_id"] = config.bos_id;
  if (config.eos_id >= 0) generation["eos_token_id"] = config.eos_id;
  TRY(writer.Text("generation_config.json", generation.dump(2) + "\n"));
  if (!tokenizer_json.empty()) TRY(writer.Text("tokenizer.json", tokenizer_json));
  TRY(writer.Tensors("optimizer.safetensors", optimizer, {}));
  TRY(writer.Text("trainer.json", ToJson(state).dump(2) + "\n"));

  Json files = Json::array();
  for (const FileEntry& f : writer.files()) {
    files.push_back({{"name", f.name}, {"bytes", f.bytes}, {"sha256", f.sha256}});
  }
  const Json manifest = {
      {"format", 1},
      {"kind", "checkpoint"},
      {"step", state.step},
      {"tokens", state.tokens},
      {"loss", state.loss},
      {"held_out_loss", state.held_out_loss ? Json(*state.held_out_loss) : Json()},
      {"vocab_size", config.vocab_size},
      {"parameters", model.parameter_count()},
      {"files", files},
      {"lineage",
       {{"dataset_sha256", lineage.dataset_sha256},
        {"parent", lineage.parent.empty() ? Json() : Json(lineage.parent)},
        {"code_version", lineage.code_version},
        {"config_sha256", HashOf(config_json)},
        {"job", lineage.job},
        {"run", lineage.run},
        {"seed", state.seed},
        {"world_size", state.world_size}}}};
  const std::string text = manifest.dump(2) + "\n";
  manifest_sha256 = HashOf(text);
  TRY(writer.Text("manifest.json", text));
  return io::SyncDir(temporary);
}

}  // namespace

Result<Written> WriteCheckpoint(const std::string& folder, Model& model, const Buffer& m,
                                const Buffer& v, const TrainerState& state, const Lineage& lineage,
                                const std::string& tokenizer_json) {
  const std::string name = fmt::format("{}{:06}", kPrefix, state.step);
  const std::string temporary = fmt::format("{}/.tmp-{}-{}", folder, name, getpid());
  const std::string path = folder + "/" + name;
  std::string sha256;
  Status status = WriteInto(temporary, model, m, v, state, lineage, tokenizer_json, sha256);
  if (status) {
    // One of the same step: an attempt that was killed after this one's parent. Ours is as good.
    status = io::RemoveTree(path);
    if (status && std::rename(temporary.c_str(), path.c_str()) != 0) {
      status = io::ErrnoError(errno, "cannot rename the checkpoint to", path);
    }
    if (status) status = io::SyncDir(folder);
  }
  if (!status) {
    (void)io::RemoveTree(temporary);
    return std::move(status).error().In(fmt::format("checkpoint of step {}", state.step));
  }
  return Written{Absolute(path), sha256};
}

Result<Found> VerifyCheckpoint(const std::string& path) {
  Found found;
  found.path = path;
  const std::string text = TRY(io::ReadFile(path + "/manifest.json", kMaxJsonBytes));
  found.manifest_sha256 = HashOf(text);
  std::vector<FileEntry> files;
  try {
    const Json manifest = Json::parse(text);
    if (manifest.at("format").get<int>() != 1) {
      return Error(Code::kDataLoss, fmt::format("{}/manifest.json is of format {}", path,
                                                manifest.at("format").dump()));
    }
    for (const Json& f : manifest.at("files")) {
      files.push_back({f.at("name").get<std::string>(), f.at("bytes").get<int64_t>(),
                       f.at("sha256").get<std::string>()});
    }
  } catch (const Json::exception& e) {
    return Error(Code::kDataLoss, fmt::format("{}/manifest.json: {}", path, e.what()));
  }
  for (const FileEntry& f : files) {
    const std::string file = TRY(io::JoinInside(path, f.name));
    const int64_t bytes = TRY(io::FileSize(file));
    if (bytes != f.bytes) {
      return Error(Code::kDataLoss,
                   fmt::format("{} has {} bytes, its manifest says {}", file, bytes, f.bytes));
    }
    if (TRY(io::Sha256OfFile(file)) != f.sha256) {
      return Error(Code::kDataLoss, fmt::format("{} is not what its manifest says", file));
    }
  }
  found.state = TRY(StateFromJson(TRY(io::ReadFile(path + "/trainer.json", kMaxJsonBytes)), path));
  found.config =
      TRY(model::ConfigFromHfJson(TRY(io::ReadFile(path + "/config.json", kMaxJsonBytes))));
  return found;
}

namespace {
// Names and steps of the checkpoints in a folder, newest first.
Result<std::vector<std::pair<int64_t, std::string>>> List(const std::string& folder) {
  std::vector<std::pair<int64_t, std::string>> out;
  if (!io::FileExists(folder)) return out;
  for (const io::DirEntry& entry : TRY(io::ListDir(folder))) {
    if (!entry.is_dir || !entry.name.starts_with(kPrefix)) continue;
    int64_t step = 0;
    const char* begin = entry.name.data() + kPrefix.size();
    const char* end = entry.name.data() + entry.name.size();
    const auto [at, error] = std::from_chars(begin, end, step);
    if (error == std::errc() && at == end && begin != end) out.emplace_back(step, entry.name);
  }
  std::sort(out.rbegin(), out.rend());
  return out;
}
}  // namespace

Result<std::optional<Found>> NewestCheckpoint(const std::string& folder,
                                              std::vector<std::string>& notes) {
  for (const auto& [step, name] : TRY(List(folder))) {
    Result<Found> found = VerifyCheckpoint(folder + "/" + name);
    if (found) return std::optional<Found>(*std::move(found));
    notes.push_back(fmt::format("passed over {}: {}", name, found.error().message()));
  }
  return std::optional<Found>();
}

Status LoadCheckpoint(const Found& found, Model& model, Buffer& m, Buffer& v,
                      kernels::ThreadPool* pool) {
  const model::SafetensorsFile weights =
      TRY(model::SafetensorsFile::Open(found.path + "/model.safetensors"));
  const model::SafetensorsFile optimizer =
      TRY(model::SafetensorsFile::Open(found.path + "/optimizer.safetensors"));
  const auto read = [](const model::SafetensorsFile& file, const std::string& name,
                       const Slice& slice, float* to) -> Status {
    const model::TensorView* view = file.Find(name);
    if (view == nullptr || view->shape != slice.shape) {
      return Error(Code::kFailedPrecondition,
                   fmt::format("the checkpoint has no {} of this model's shape", name))
          .Hint("use another --out for another model");
    }
    model::ToFloat(view->type, view->data, std::span(to, static_cast<size_t>(slice.size)));
    return {};
  };
  const Slice& first = model.slices().front();
  const bool has_master = optimizer.Find("master." + first.name) != nullptr;
  for (const Slice& s : model.slices()) {
    float* const to = model.parameters().data() + s.offset;
    TRY(has_master ? read(optimizer, "master." + s.name, s, to) : read(weights, s.name, s, to));
    TRY(read(optimizer, "m." + s.name, s, m.data() + s.offset));
    TRY(read(optimizer, "v." + s.name, s, v.data() + s.offset));
    if (kernels::HasNonFinite(pool, to, s.size)) {
      return Error(Code::kDataLoss,
                   fmt::format("{} holds NaN or infinite values in {}", found.path, s.name))
          .Hint("remove this checkpoint to go on from the one before it");
    }
  }
  model.RefreshStored();
  model.RefreshGains();
  return {};
}

Status Tidy(const std::string& folder, int keep) {
  for (const io::DirEntry& entry : TRY(io::ListDir(folder))) {
    if (entry.name.starts_with(".tmp-")) TRY(io::RemoveTree(folder + "/" + entry.name));
  }
  if (keep <= 0) return {};
  const auto all = TRY(List(folder));
  for (size_t i = static_cast<size_t>(keep); i < all.size(); ++i) {
    TRY(io::RemoveTree(folder + "/" + all[i].second));
  }
  return {};
}

}  // namespace weir::train
