#include "engine/serve/lora.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "engine/model/weights.h"
#include "io/files.h"

namespace weir::serve {
namespace {

using Json = nlohmann::json;

constexpr int kMaxRank = 1024;
constexpr int64_t kMaxConfigBytes = 1 << 20;

struct Settings {
  double rank = 0, alpha = 0;
  bool rank_stabilized = false;
  Json rank_pattern = Json::object(), alpha_pattern = Json::object();
};

Error Bad(const std::string& folder, std::string message) {
  return Error(Code::kInvalidArgument, std::move(message)).In(folder);
}

Result<Settings> ReadSettings(const std::string& folder) {
  const std::string text = TRY(io::ReadFile(folder + "/adapter_config.json", kMaxConfigBytes));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Bad(folder, "adapter_config.json is not a JSON object");
  const auto refuse = [&](const char* field, const char* why) {
    return Bad(folder,
               fmt::format("adapter_config.json: {} is {}, {}", field, json[field].dump(), why));
  };
  if (json.value("peft_type", Json("LORA")) != "LORA") {
    return refuse("peft_type", "only LORA can be served");
  }
  for (const char* field : {"use_dora", "fan_in_fan_out", "lora_bias"}) {
    if (json.contains(field) && json[field] != false && !json[field].is_null()) {
      return refuse(field, "which is not offered; train the adapter without it");
    }
  }
  if (json.contains("bias") && json["bias"] != "none") {
    return refuse("bias", "only \"none\" can be served");
  }
  if (json.contains("modules_to_save") && !json["modules_to_save"].is_null() &&
      !json["modules_to_save"].empty()) {
    return refuse("modules_to_save", "whole matrices are not adapted; merge the adapter instead");
  }
  Settings settings;
  const auto number = [&](const char* field, double& out) -> Status {
    if (!json.contains(field) || !json[field].is_number() || !(json[field].get<double>() > 0)) {
      return Bad(folder, fmt::format("adapter_config.json: {} must be a positive number", field));
    }
    out = json[field].get<double>();
    return {};
  };
  TRY(number("r", settings.rank));
  TRY(number("lora_alpha", settings.alpha));
  settings.rank_stabilized = json.contains("use_rslora") && json["use_rslora"] == true;
  for (const auto& [field, out] : {std::pair{"rank_pattern", &settings.rank_pattern},
                                   std::pair{"alpha_pattern", &settings.alpha_pattern}}) {
    if (json.contains(field) && json[field].is_object()) *out = json[field];
  }
  return settings;
}

// PEFT's patterns name modules by the end of their path.
double Patterned(const Json& patterns, std::string_view module, double otherwise) {
  for (const auto& [key, value] : patterns.items()) {
    const bool whole =
        module.size() == key.size() ||
        (module.size() > key.size() && module[module.size() - key.size() - 1] == '.');
    if (value.is_number() && module.ends_with(key) && whole) return value.get<double>();
  }
  return otherwise;
}

// "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight", taken apart.
struct TensorName {
  int layer = 0;
  std::string module;  // "self_attn.q_proj"
  bool is_a = false;
};
std::optional<TensorName> ParseName(std::string_view name) {
  TensorName out;
  for (const std::string_view end : {".weight", ".default"}) {
    if (name.ends_with(end)) name.remove_suffix(end.size());
  }
  if (name.ends_with(".lora_A")) {
    out.is_a = true;
  } else if (!name.ends_with(".lora_B")) {
    return std::nullopt;
  }
  name.remove_suffix(7);
  const size_t at = name.find("layers.");
  if (at == std::string_view::npos) return std::nullopt;
  name.remove_prefix(at + 7);
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), out.layer);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.' || out.layer < 0) {
    return std::nullopt;
  }
  out.module = std::string(end + 1, name.data() + name.size());
  return out;
}

// A module of Hugging Face's and the sites that it is: fused projections are several, one after
// another in their output.
struct Slice {
  LoraSite site;
  int64_t out;
};
struct Module {
  int64_t in = 0;
  std::vector<Slice> slices;
};
std::optional<Module> ModuleOf(std::string_view name, const model::ModelConfig& c) {
  using enum LoraSite;
  const int64_t dim = c.dim, q = c.q_dim(), kv = c.kv_dim(), ffn = c.ffn_dim;
  if (name == "self_attn.q_proj") return Module{dim, {{kQ, q}}};
  if (name == "self_attn.k_proj") return Module{dim, {{kK, kv}}};
  if (name == "self_attn.v_proj") return Module{dim, {{kV, kv}}};
  if (name == "self_attn.qkv_proj") return Module{dim, {{kQ, q}, {kK, kv}, {kV, kv}}};
  if (name == "self_attn.o_proj") return Module{q, {{kO, dim}}};
  if (name == "mlp.gate_proj") return Module{dim, {{kGate, ffn}}};
  if (name == "mlp.up_proj") return Module{dim, {{kUp, ffn}}};
  if (name == "mlp.gate_up_proj") return Module{dim, {{kGate, ffn}, {kUp, ffn}}};
  if (name == "mlp.down_proj") return Module{ffn, {{kDown, dim}}};
  return std::nullopt;
}

}  // namespace

Result<std::shared_ptr<const LoraAdapter>> LoraAdapter::Load(const std::string& folder,
                                                             const model::ModelConfig& config) {
  const Settings settings = TRY(ReadSettings(folder));
  auto adapter = std::make_shared<LoraAdapter>();
  const auto file = TRY(model::SafetensorsFile::Open(folder + "/adapter_model.safetensors"));
  adapter->pairs_.resize(static_cast<size_t>(config.layers * kLoraSites));
  const auto bad = [&](const model::TensorView& tensor, std::string_view what) {
    return Bad(folder, fmt::format("tensor {} {}", tensor.name, what));
  };
  for (const model::TensorView& tensor : file.tensors()) {
    const std::optional<TensorName> name = ParseName(tensor.name);
    if (!name) return bad(tensor, "is no lora_A or lora_B of a layer");
    const std::optional<Module> module = ModuleOf(name->module, config);
    if (!module) return bad(tensor, "adapts a matrix that cannot be adapted here");
    if (name->layer >= config.layers) {
      return bad(tensor, fmt::format("is beyond the model's {} layers", config.layers));
    }
    int64_t out = 0;
    for (const Slice& slice : module->slices) out += slice.out;
    const double wanted_rank = Patterned(settings.rank_pattern, name->module, settings.rank);
    if (!(wanted_rank >= 1 && wanted_rank <= kMaxRank)) {
      return bad(tensor, fmt::format("has rank {}, expected 1 to {}", wanted_rank, kMaxRank));
    }
    const auto rank = static_cast<int64_t>(wanted_rank);
    const std::vector<int64_t> shape =
        name->is_a ? std::vector{rank, module->in} : std::vector{out, rank};
    if (tensor.shape != shape) {
      return bad(tensor, fmt::format("has shape [{}], expected [{}]", fmt::join(tensor.shape, ", "),
                                     fmt::join(shape, ", ")));
    }
    if (kernels::StoredNonFinite(tensor.type, tensor.data))
      return bad(tensor, "holds NaN or infinity");
    adapter->bytes_ += static_cast<int64_t>(tensor.data.size());
    adapter->max_rank_ = std::max(adapter->max_rank_, static_cast<int>(rank));
    const double alpha = Patterned(settings.alpha_pattern, name->module, settings.alpha);
    const auto scale = static_cast<float>(
        alpha / (settings.rank_stabilized ? std::sqrt(wanted_rank) : wanted_rank));
    int64_t row = 0;
    for (const Slice& slice : module->slices) {
      Pair& pair = adapter->pairs_[static_cast<size_t>(name->layer * kLoraSites +
                                                       static_cast<int>(slice.site))];
      kernels::PackedMatrix& half = name->is_a ? pair.a : pair.b;
      if (!half.empty()) return bad(tensor, "adapts a matrix a second time");
      const std::byte* data = tensor.data.data();
      if (!name->is_a) data += row * kernels::RowBytes(tensor.type, rank);
      half = kernels::PackedMatrix::Pack(
          nullptr, {tensor.type, data, name->is_a ? rank : slice.out, shape[1]});
      pair.scale = scale;
      row += slice.out;
    }
  }
  for (size_t i = 0; i < adapter->pairs_.size(); ++i) {
    const Pair& pair = adapter->pairs_[i];
    if (pair.a.empty() != pair.b.empty()) {
      return Bad(folder, fmt::format("layer {} has lora_{} without its lora_{}",
                                     i / static_cast<size_t>(kLoraSites),
                                     pair.a.empty() ? "B" : "A", pair.a.empty() ? "A" : "B"));
    }
  }
  if (adapter->bytes_ == 0) return Bad(folder, "adapter_model.safetensors holds no tensor");
  return std::shared_ptr<const LoraAdapter>(std::move(adapter));
}

void MatMulAdapted(kernels::ThreadPool* pool, std::span<const LoraProduct> products,
                   std::span<const LoraRows> rows, int layer, const float* x, int64_t in,
                   LoraScratch& scratch) {
  // body(rows, product, pair) where there is something to add.
  const auto each = [&](const auto& body) {
    for (size_t run = 0; run < rows.size(); ++run) {
      if (rows[run].adapter == nullptr || rows[run].count == 0) continue;
      for (const LoraProduct& product : products) {
        const LoraAdapter::Pair& pair = rows[run].adapter->At(layer, product.site);
        if (!pair.a.empty()) body(run, product, pair);
      }
    }
  };
  // Everything that others point to gets its place first.
  std::vector<kernels::InputForms> forms(rows.size(), 0);
  size_t parts = 0;
  int64_t size = 0;
  each([&](size_t run, const LoraProduct& product, const LoraAdapter::Pair& pair) {
    CHECK_MSG(pair.a.in() == in && pair.b.out() == product.base.weights->out(),
              "in {} {} out {} {}", pair.a.in(), in, pair.b.out(), product.base.weights->out());
    forms[run] |= pair.a.form();
    ++parts;
    size += rows[run].count * pair.a.out();
  });
  if (scratch.inputs.size() < rows.size()) scratch.inputs.resize(rows.size());
  if (scratch.middles.size() < parts) scratch.middles.resize(parts);
  if (scratch.t.size() < static_cast<size_t>(size)) scratch.t.resize(static_cast<size_t>(size));
  for (size_t run = 0; run < rows.size(); ++run) {
    if (forms[run] == 0) continue;
    scratch.inputs[run].Prepare(pool, x + rows[run].begin * in, rows[run].count, in, forms[run]);
  }
  scratch.narrow.clear();
  for (const LoraProduct& product : products) scratch.narrow.push_back(product.base);
  float* t = scratch.t.data();
  each([&](size_t run, const LoraProduct&, const LoraAdapter::Pair& pair) {
    scratch.narrow.push_back({.weights = &pair.a, .input = &scratch.inputs[run], .y = t});
    t += rows[run].count * pair.a.out();
  });
  kernels::MatMul(pool, scratch.narrow);

  scratch.wide.clear();
  t = scratch.t.data();
  each([&](size_t run, const LoraProduct& product, const LoraAdapter::Pair& pair) {
    const int64_t rank = pair.a.out(), count = rows[run].count;
    for (int64_t i = 0; i < count * rank; ++i) t[i] *= pair.scale;
    kernels::Input& middle = scratch.middles[scratch.wide.size()];
    middle.Prepare(pool, t, count, rank, pair.b.form());
    t += count * rank;
    kernels::Product delta = {.weights = &pair.b, .input = &middle, .y = product.base.y};
    delta.into = kernels::Into::kAccumulate;
    delta.y_stride = product.base.y_stride;
    const int64_t stride = delta.y_stride == 0 ? pair.b.out() : delta.y_stride;
    delta.y += rows[run].begin * stride;
    scratch.wide.push_back(delta);
  });
  kernels::MatMul(pool, scratch.wide);
}

}  // namespace weir::serve
