#include "engine/model/weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <set>

#include "engine/model/export.h"
#include "engine/model/gguf.h"
#include "engine/model/random_model.h"
#include "engine/model/rope.h"
#include "io/files.h"

namespace weir::model {
namespace {

ModelConfig SmallConfig(bool tied) {
  return {.vocab_size = 300,
          .dim = 64,
          .layers = 2,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 16,
          .ffn_dim = 96,
          .max_seq = 128,
          .rope_theta = 10000.0f,
          .norm_eps = 1e-5f,
          .tied_embeddings = tied,
          .bos_id = 0,
          .eos_id = 0};
}

// A matrix in half order, widened; a vector as it is used.
std::vector<float> Values(const ModelFiles& files, const Place& place) {
  if (IsVector(place.slot)) return *files.Vector(place);
  std::vector<std::byte> scratch;
  const kernels::Weights w = *files.Matrix(place, scratch, nullptr);
  std::vector<float> values(static_cast<size_t>(w.out * w.in));
  kernels::ToF32(w.type, w.data, w.out * w.in, values.data());
  return values;
}

TEST(PermuteRotaryRows, IsHuggingFacesReshapeAndItsInverse) {
  // Two heads of 6 rows, one byte a row. Halves: x0 x1 x2 y0 y1 y2; neighbours: x0 y0 x1 y1 x2 y2.
  const std::string halves = "abcABCdefDEF", neighbours = "aAbBcCdDeEfF";
  std::string out(12, ' ');
  PermuteRotaryRows(RotaryRows::kHalvesToNeighbours, 6, 1, std::as_bytes(std::span(halves)),
                    reinterpret_cast<std::byte*>(out.data()));
  EXPECT_EQ(out, neighbours);
  PermuteRotaryRows(RotaryRows::kNeighboursToHalves, 6, 1, std::as_bytes(std::span(neighbours)),
                    reinterpret_cast<std::byte*>(out.data()));
  EXPECT_EQ(out, halves);
}

TEST(ModelFiles, AFolderAndItsGgufHoldTheSameModelInEveryArchitecture) {
  for (const ArchitectureRow& row : Architectures()) {
    SCOPED_TRACE(row.name);
    for (const bool tied : {true, false}) {
      ModelConfig config = TinyConfig(row.id);
      config.tied_embeddings = tied;
      const io::TempDir dir = *io::TempDir::Create();
      ASSERT_TRUE(WriteRandomModel(dir.path(), config, 1));
      const auto folder = ModelFiles::Open(dir.path() + "/");
      ASSERT_TRUE(folder) << folder.error().ToString();
      EXPECT_EQ((*folder)->config(), config);
      const std::string path = dir / "x.gguf";
      const Status exported = ExportGguf(**folder, path);
      ASSERT_TRUE(exported) << exported.error().ToString();
      const auto gguf = ModelFiles::Open(path);
      ASSERT_TRUE(gguf) << gguf.error().ToString();
      EXPECT_EQ((*gguf)->config(), config);
      EXPECT_EQ((*gguf)->name(), "x");
      size_t places = 0;
      for (const TensorSpec& spec : (*folder)->specs()) {
        for (const Place& place : spec.places) {
          ASSERT_EQ(Values(**folder, place), Values(**gguf, place)) << spec.name;
          ++places;
        }
      }
      EXPECT_GE(places, static_cast<size_t>(9 * config.layers));
      EXPECT_EQ((*gguf)->tokenizer().Encode("over the crest"),
                (*folder)->tokenizer().Encode("over the crest"));
      EXPECT_EQ((*gguf)->tokenizer().stop_tokens(), (*folder)->tokenizer().stop_tokens());
      // And once more, from GGUF to GGUF.
      ASSERT_TRUE(ExportGguf(**gguf, dir / "y.gguf"));
      const auto again = ModelFiles::Open(dir / "y.gguf");
      ASSERT_TRUE(again) << again.error().ToString();
      EXPECT_EQ((*again)->config(), config);
      for (const TensorSpec& spec : (*gguf)->specs()) {
        for (const Place& place : spec.places) {
          ASSERT_EQ(Values(**again, place), Values(**gguf, place)) << spec.name;
        }
      }
    }
  }
}

// The names that other programs give and expect, by hand.
TEST(ModelFiles, TensorsHaveTheNamesOfBothFormats) {
  const auto names = [](Architecture architecture, Format format) {
    std::set<std::string> found;
    for (const TensorSpec& spec : TensorSpecs(TinyConfig(architecture), format)) {
      found.insert(spec.name);
    }
    return found;
  };
  const struct {
    Architecture architecture;
    Format format;
    std::vector<const char*> expected;
  } rows[] = {
      {Architecture::kQwen2,
       Format::kGguf,
       {"blk.2.attn_q.bias", "blk.0.attn_k.bias", "blk.0.attn_v.bias", "output.weight"}},
      {Architecture::kQwen2, Format::kHf, {"model.layers.2.self_attn.q_proj.bias"}},
      {Architecture::kQwen3, Format::kHf, {"model.layers.1.self_attn.q_norm.weight"}},
      {Architecture::kQwen3,
       Format::kGguf,
       {"blk.1.attn_q_norm.weight", "blk.1.attn_k_norm.weight"}},
      {Architecture::kGemma2,
       Format::kGguf,
       {"blk.0.post_attention_norm.weight", "blk.0.ffn_norm.weight", "blk.0.post_ffw_norm.weight"}},
      {Architecture::kGemma3,
       Format::kHf,
       {"model.layers.0.pre_feedforward_layernorm.weight", "model.layers.0.self_attn.k_norm.weight",
        "model.layers.0.post_feedforward_layernorm.weight"}},
      {Architecture::kPhi3,
       Format::kHf,
       {"model.layers.0.self_attn.qkv_proj.weight", "model.layers.0.mlp.gate_up_proj.weight"}},
      {Architecture::kPhi3, Format::kGguf, {"blk.0.attn_qkv.weight", "blk.0.ffn_up.weight"}},
      {Architecture::kMixtral,
       Format::kHf,
       {"model.layers.0.block_sparse_moe.gate.weight",
        "model.layers.0.block_sparse_moe.experts.5.w2.weight"}},
      {Architecture::kMixtral,
       Format::kGguf,
       {"blk.0.ffn_gate_inp.weight", "blk.0.ffn_down_exps.weight"}},
      {Architecture::kQwen3Moe,
       Format::kHf,
       {"model.layers.0.mlp.gate.weight", "model.layers.0.mlp.experts.3.down_proj.weight"}},
  };
  for (const auto& row : rows) {
    const std::set<std::string> found = names(row.architecture, row.format);
    for (const char* name : row.expected) {
      EXPECT_TRUE(found.contains(name)) << RowOf(row.architecture).name << " " << name;
    }
  }
}

TEST(ModelFiles, ExportsEveryTypeWithinItsPrecision) {
  const io::TempDir dir = *io::TempDir::Create();
  ModelConfig config = TinyConfig(Architecture::kLlama, 256);
  config.head_dim = 64;
  config.ffn_dim = 512;
  config.layers = 1;
  ASSERT_TRUE(WriteRandomModel(dir.path(), config, 2));
  const auto original = *ModelFiles::Open(dir.path());
  const struct {
    DType type;
    double bound;  // root mean square, relative to the tensor's
  } rows[] = {{DType::kF16, 5e-4},  {DType::kBF16, 3e-3}, {DType::kQ8_0, 0.01},
              {DType::kQ6_K, 0.03}, {DType::kQ5_K, 0.05}, {DType::kQ5_1, 0.05},
              {DType::kQ5_0, 0.06}, {DType::kQ4_K, 0.09}, {DType::kQ4_1, 0.09},
              {DType::kQ4_0, 0.11}, {DType::kQ3_K, 0.2},  {DType::kQ2_K, 0.4}};
  for (const auto& row : rows) {
    const std::string path = dir / fmt::format("{}.gguf", NameOf(row.type));
    const Status exported = ExportGguf(*original, path, row.type);
    ASSERT_TRUE(exported) << exported.error().ToString();
    const auto back = ModelFiles::Open(path);
    ASSERT_TRUE(back) << back.error().ToString();
    double worst = 0;
    for (const TensorSpec& spec : original->specs()) {
      const Place& place = spec.places.front();
      const std::vector<float> x = Values(*original, place), y = Values(**back, place);
      if (IsVector(place.slot)) {
        EXPECT_EQ(x, y) << spec.name;
        continue;
      }
      EXPECT_EQ((*back)->At(place).type, row.type);
      double squares = 0, errors = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
        errors += std::pow(static_cast<double>(x[i]) - static_cast<double>(y[i]), 2);
      }
      worst = std::max(worst, std::sqrt(errors / squares));
    }
    fmt::print("{:<5} largest relative error of a tensor {:.3g}\n", NameOf(row.type), worst);
    EXPECT_LT(worst, row.bound) << NameOf(row.type);
  }
}

TEST(ModelFiles, ReadsShardsTheTemplateAndTheGenerationConfig) {
  const io::TempDir dir = *io::TempDir::Create();
  ASSERT_TRUE(WriteRandomModel(dir.path(), SmallConfig(true), 6));
  const auto whole = *ModelFiles::Open(dir.path());
  std::vector<TensorView> parts[2];
  std::string map;
  for (size_t i = 0; i < whole->tensors().size(); ++i) {
    const TensorView& tensor = whole->tensors()[i];
    parts[i % 2].push_back(tensor);
    map +=
        fmt::format("{}\"{}\":\"part-{}.safetensors\"", map.empty() ? "" : ",", tensor.name, i % 2);
  }
  const io::TempDir other = *io::TempDir::Create();
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(WriteSafetensors(other / fmt::format("part-{}.safetensors", i), parts[i]));
  }
  for (const char* name : {"config.json", "tokenizer.json"}) {
    ASSERT_TRUE(io::WriteFileAtomically(other / name, *io::ReadFile(dir / name, 1 << 20)));
  }
  const auto write = [&](const char* name, const std::string& text) {
    ASSERT_TRUE(io::WriteFileAtomically(other / name, text));
  };
  write("model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  write("generation_config.json", R"({"temperature":0.5,"eos_token_id":3})");
  write(
      "tokenizer_config.json",
      R"({"chat_template":[{"name":"tool_use","template":"no"},{"name":"default","template":"yes"}]})");
  const auto sharded = ModelFiles::Open(other.path());
  ASSERT_TRUE(sharded) << sharded.error().ToString();
  for (const TensorSpec& spec : whole->specs()) {
    EXPECT_EQ(Values(*whole, spec.places[0]), Values(**sharded, spec.places[0])) << spec.name;
  }
  EXPECT_EQ((*sharded)->chat_template(), "yes");
  EXPECT_EQ((*sharded)->generation().eos_ids, std::vector<int32_t>{3});
  EXPECT_EQ((*sharded)->tokenizer().stop_tokens().back(), 3);
  // A tensor that stands in two shards.
  ASSERT_TRUE(WriteSafetensors(other / "part-1.safetensors", whole->tensors()));
  EXPECT_NE(ModelFiles::Open(other.path()).error().ToString().find("stands in another shard"),
            std::string::npos);
  ASSERT_TRUE(io::RemoveFile(other / "part-1.safetensors"));
  EXPECT_FALSE(ModelFiles::Open(other.path()));
}

TEST(Model, WhatIsWrongIsRefusedWithTheFileAndTheTensorNamed) {
  const io::TempDir dir = *io::TempDir::Create();
  ASSERT_TRUE(WriteRandomModel(dir.path(), SmallConfig(true), 4));
  const std::string weights = dir / "model.safetensors";
  const std::string good = *io::ReadFile(weights, 1 << 24);
  const std::string config = *io::ReadFile(dir / "config.json", 1 << 20);
  const auto expect = [&](const std::string& part) {
    const auto model = Model::Load(dir.path());
    ASSERT_FALSE(model) << part;
    EXPECT_NE(model.error().ToString().find(part), std::string::npos) << model.error().ToString();
    EXPECT_NE(model.error().ToString().find(dir.path()), std::string::npos);
  };
  const auto write = [](const std::string& path, const std::string& text) {
    ASSERT_TRUE(io::WriteFileAtomically(path, text));
  };
  write(weights, good.substr(0, good.size() - 1));
  expect("model.safetensors");
  write(weights, good.substr(0, 20));
  expect("the header claims");
  std::string bad = good;
  const float nan = std::nanf("");
  std::memcpy(bad.data() + bad.size() - 4, &nan, 4);
  write(weights, bad);
  expect("tensor model.norm.weight holds NaN or infinity");
  bad = good;
  bad.replace(bad.find("layers.1.mlp.up_proj"), 8, "layers.9");
  write(weights, bad);
  expect("tensor model.layers.1.mlp.up_proj.weight is missing");
  write(weights, good);
  std::string other = config;
  other.replace(other.find("\"intermediate_size\": 96"), 23, "\"intermediate_size\": 95");
  write(dir / "config.json", other);
  expect(
      "tensor model.layers.0.mlp.gate_proj.weight has shape [96, 64], the config needs [95, 64]");
  other = config;
  other.replace(other.find("\"vocab_size\": 300"), 17, "\"vocab_size\": 256");
  write(dir / "config.json", other);
  expect("the tokenizer has");
  write(dir / "config.json", config);
  ASSERT_TRUE(Model::Load(dir.path()));
  ASSERT_TRUE(io::RemoveFile(dir / "tokenizer.json"));
  expect("has no tokenizer.json");
  ASSERT_TRUE(io::RemoveFile(dir / "config.json"));
  expect("has no config.json");
  EXPECT_NE(Model::Load(dir / "nowhere").error().ToString().find("does not exist"),
            std::string::npos);
}

TEST(Model, LoadsTheRealSmallGguf) {
  const char* shared = std::getenv("WEIR_SHARED");
  const std::string path =
      std::string(shared == nullptr ? "" : shared) + "/models/stories260K/stories260K-f32.gguf";
  if (!io::FileExists(path)) GTEST_SKIP() << "no shared data";
  const auto model = Model::Load(path);
  ASSERT_TRUE(model) << model.error().ToString();
  EXPECT_EQ((*model)->config().layers, 5);
  EXPECT_EQ((*model)->config().kv_heads, 4);
  EXPECT_TRUE((*model)->config().tied_embeddings);
  EXPECT_EQ((*model)->tokenizer().vocab_size(), 512);
  EXPECT_EQ((*model)->layers().size(), 5u);
}

}  // namespace
}  // namespace weir::model
