#include "engine/model/weights.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>

#include "engine/model/export.h"
#include "engine/model/gguf.h"
#include "engine/model/random_model.h"
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

bool SameBytes(const TensorView& a, const TensorView& b) {
  return a.name == b.name && a.shape == b.shape && a.type == b.type &&
         std::equal(a.data.begin(), a.data.end(), b.data.begin(), b.data.end());
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

TEST(Model, AFolderAndItsGgufHoldTheSameModel) {
  for (const bool tied : {true, false}) {
    const io::TempDir dir = *io::TempDir::Create();
    ASSERT_TRUE(WriteRandomModel(dir.path(), SmallConfig(tied), 1));
    const auto folder = Model::Load(dir.path() + "/");
    ASSERT_TRUE(folder) << folder.error().ToString();
    EXPECT_EQ((*folder)->config(), SmallConfig(tied));
    const std::string path = dir / "x.gguf";
    ASSERT_TRUE(ExportGguf(**folder, path));
    const auto gguf = Model::Load(path);
    ASSERT_TRUE(gguf) << gguf.error().ToString();
    EXPECT_EQ((*gguf)->config(), SmallConfig(tied));
    EXPECT_EQ((*gguf)->name(), "x");
    ASSERT_EQ((*gguf)->tensors().size(), (*folder)->tensors().size());
    for (size_t i = 0; i < (*folder)->tensors().size(); ++i) {
      EXPECT_TRUE(SameBytes((*folder)->tensors()[i], (*gguf)->tensors()[i]))
          << (*folder)->tensors()[i].name;
    }
    EXPECT_EQ((*gguf)->tokenizer().Encode("over the crest"),
              (*folder)->tokenizer().Encode("over the crest"));
    EXPECT_EQ((*gguf)->tokenizer().stop_tokens(), (*folder)->tokenizer().stop_tokens());
  }
}

TEST(Model, ExportsEveryTypeWithinItsPrecision) {
  const io::TempDir dir = *io::TempDir::Create();
  ASSERT_TRUE(WriteRandomModel(dir.path(), SmallConfig(false), 2));
  const auto original = *Model::Load(dir.path());
  const struct {
    DType type;
    double bound;  // relative to the tensor's largest value
  } rows[] = {{DType::kF16, 1e-3}, {DType::kBF16, 8e-3}, {DType::kQ8_0, 8e-3}};
  for (const auto& row : rows) {
    const std::string path = dir / "y.gguf";
    ASSERT_TRUE(ExportGguf(*original, path, row.type));
    const auto back = Model::Load(path);
    ASSERT_TRUE(back) << back.error().ToString();
    for (size_t i = 0; i < original->tensors().size(); ++i) {
      const TensorView &a = original->tensors()[i], &b = (*back)->tensors()[i];
      std::vector<float> x(static_cast<size_t>(a.elements())), y(x.size());
      ToFloat(a.type, a.data, x);
      ToFloat(b.type, b.data, y);
      float largest = 0;
      for (const float v : x) largest = std::max(largest, std::fabs(v));
      for (size_t j = 0; j < x.size(); ++j) ASSERT_NEAR(x[j], y[j], row.bound * largest) << a.name;
    }
  }
}

TEST(Model, Q4IsWidenedExactly) {
  // One tensor of a good file replaced by Q4_0 blocks: read back, it equals the plain definition.
  const io::TempDir dir = *io::TempDir::Create();
  ASSERT_TRUE(WriteRandomModel(dir.path(), SmallConfig(true), 3));
  const auto original = *Model::Load(dir.path());
  ASSERT_TRUE(ExportGguf(*original, dir / "a.gguf"));
  const GgufFile file = *GgufFile::Open(dir / "a.gguf");
  GgufWriter writer;
  writer.String("general.architecture", "llama");
  for (const char* key :
       {"vocab_size", "context_length", "embedding_length", "block_count", "feed_forward_length",
        "attention.head_count", "attention.head_count_kv"}) {
    const std::string name = std::string("llama.") + key;
    writer.U32(name, static_cast<uint32_t>(**file.Int(name)));
  }
  original->tokenizer().ToGguf(writer, 300);
  std::vector<std::byte> q4(96 * 64 / 32 * 18);
  for (size_t i = 0; i < q4.size(); ++i) q4[i] = static_cast<std::byte>(i * 37 % 120);
  const TensorView expected{"", DType::kQ4_0, {96, 64}, q4};
  for (TensorView tensor : file.tensors()) {
    if (tensor.name == "blk.0.ffn_up.weight") {
      tensor.type = DType::kQ4_0;
      tensor.data = q4;
    }
    writer.Tensor(std::move(tensor));
  }
  ASSERT_TRUE(writer.Write(dir / "b.gguf"));
  const auto back = Model::Load(dir / "b.gguf");
  ASSERT_TRUE(back) << back.error().ToString();
  const kernels::Weights& up = (*back)->layers()[0].up;
  EXPECT_EQ(up.type, kernels::DType::kQ8_0);
  std::vector<float> x(96 * 64), y(96 * 64);
  ToFloat(DType::kQ4_0, q4, x);
  ToFloat(DType::kQ8_0, {static_cast<const std::byte*>(up.data), 96 * 64 / 32 * 34}, y);
  EXPECT_EQ(x, y);
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
}

}  // namespace
}  // namespace weir::model
