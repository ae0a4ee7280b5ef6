// For tests: adapters as PEFT writes them, and what they hold.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"
#include "engine/model/safetensors.h"
#include "engine/serve/serve_test_util.h"
#include "io/files.h"

namespace weir::serve {

struct LoraTensor {
  std::string name;
  std::vector<int64_t> shape;
};

// f32, random values of about the size that keeps y's.
inline void WriteAdapter(const std::string& folder, const std::string& config,
                         std::vector<LoraTensor> tensors, uint64_t seed = 1) {
  ASSERT_TRUE(io::WriteFileAtomically(folder + "/adapter_config.json", config));
  Random random(seed);
  std::vector<std::vector<std::byte>> data;
  std::vector<model::TensorView> views;
  for (LoraTensor& tensor : tensors) {
    model::TensorView view{std::move(tensor.name), model::DType::kF32, std::move(tensor.shape), {}};
    std::vector<float> values(static_cast<size_t>(view.elements()));
    for (float& x : values) x = static_cast<float>(0.2 * random.Normal());
    data.emplace_back(values.size() * sizeof(float));
    model::FromFloat(values, model::DType::kF32, data.back());
    view.data = data.back();
    views.push_back(std::move(view));
  }
  ASSERT_TRUE(model::WriteSafetensors(folder + "/adapter_model.safetensors", views));
}

// Every matrix of every layer; alpha is twice the rank. `more` goes into the config.
inline void WriteRandomAdapter(const std::string& folder, const model::ModelConfig& c, int rank,
                               uint64_t seed, const std::string& more = "\"bias\":\"none\"") {
  std::vector<LoraTensor> tensors;
  const auto add = [&](int layer, const std::string& module, int64_t in, int64_t out) {
    const std::string name =
        fmt::format("base_model.model.model.layers.{}.{}.lora_", layer, module);
    tensors.push_back({name + "A.weight", {rank, in}});
    tensors.push_back({name + "B.weight", {out, rank}});
  };
  for (int l = 0; l < c.layers; ++l) {
    add(l, "self_attn.q_proj", c.dim, c.q_dim());
    add(l, "self_attn.k_proj", c.dim, c.kv_dim());
    add(l, "self_attn.v_proj", c.dim, c.kv_dim());
    add(l, "self_attn.o_proj", c.q_dim(), c.dim);
    add(l, "mlp.gate_proj", c.dim, c.ffn_dim);
    add(l, "mlp.up_proj", c.dim, c.ffn_dim);
    add(l, "mlp.down_proj", c.ffn_dim, c.dim);
  }
  WriteAdapter(
      folder,
      fmt::format(R"({{"peft_type":"LORA","r":{},"lora_alpha":{},{}}})", rank, 2 * rank, more),
      std::move(tensors), seed);
}

// A tensor of the adapter, by the end of its name.
inline std::vector<double> Dense(const std::string& folder, const std::string& name) {
  const auto file = *model::SafetensorsFile::Open(folder + "/adapter_model.safetensors");
  for (const model::TensorView& tensor : file.tensors()) {
    if (!tensor.name.ends_with(name)) continue;
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    model::ToFloat(tensor.type, tensor.data, values);
    return {values.begin(), values.end()};
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

// The model with an adapter of WriteRandomAdapter added to its matrices.
inline std::shared_ptr<const model::Model> MergedModel(const model::Model& base,
                                                       const std::string& adapter) {
  const io::TempDir dir = *io::TempDir::Create();
  const auto file = *model::SafetensorsFile::Open(adapter + "/adapter_model.safetensors");
  std::vector<std::vector<std::byte>> data;
  std::vector<model::TensorView> views;
  for (const model::TensorView& tensor : base.tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    model::ToFloat(tensor.type, tensor.data, values);
    const std::string stem =
        "base_model.model." +
        tensor.name.substr(0, tensor.name.size() - std::string("weight").size());
    if (const model::TensorView* a_view = file.Find(stem + "lora_A.weight")) {
      const std::vector<double> a = Dense(adapter, a_view->name),
                                b = Dense(adapter, stem + "lora_B.weight");
      const auto rank = static_cast<size_t>(a_view->shape[0]),
                 in = static_cast<size_t>(tensor.shape[1]);
      for (size_t i = 0; i < values.size(); ++i) {
        double sum = 0;
        for (size_t k = 0; k < rank; ++k) sum += b[i / in * rank + k] * a[k * in + i % in];
        values[i] += static_cast<float>(2 * sum);  // alpha / rank
      }
    }
    data.emplace_back(values.size() * sizeof(float));
    model::FromFloat(values, model::DType::kF32, data.back());
    views.push_back({tensor.name, model::DType::kF32, tensor.shape, data.back()});
  }
  EXPECT_TRUE(
      model::WriteSafetensors(dir.path() + "/model.safetensors", views, {{"format", "pt"}}));
  EXPECT_TRUE(io::WriteFileAtomically(dir.path() + "/config.json",
                                      model::ConfigToHfJson(base.config(), "float32")));
  EXPECT_TRUE(
      io::WriteFileAtomically(dir.path() + "/tokenizer.json", *base.tokenizer().ToHfJson()));
  return *model::Model::Load(dir.path());
}

}  // namespace weir::serve
