#include "engine/serve/lora.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/serve/lora_test_util.h"

namespace weir::serve {
namespace {

TEST(LoraAdapter, RefusesWhatItWouldNotComputeByName) {
  const auto model = RandomModel(1);
  const auto error = [&](const std::string& config, std::vector<LoraTensor> tensors) {
    const io::TempDir dir = *io::TempDir::Create();
    WriteAdapter(dir.path(), config, std::move(tensors));
    const auto adapter = LoraAdapter::Load(dir.path(), model->config());
    return adapter ? std::string("loaded") : adapter.error().ToString();
  };
  const auto expect = [&](const std::string& said, const std::string& config,
                          std::vector<LoraTensor> tensors) {
    const std::string got = error(config, std::move(tensors));
    EXPECT_NE(got.find(said), std::string::npos) << got;
  };
  const std::string plain = R"({"peft_type":"LORA","r":4,"lora_alpha":8})";
  const std::string q = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
  const std::vector<LoraTensor> good = {{q + "A.weight", {4, 64}}, {q + "B.weight", {64, 4}}};
  expect("loaded", plain, good);
  expect("not a JSON object", "[]", good);
  expect("peft_type", R"({"peft_type":"IA3","r":4,"lora_alpha":8})", good);
  expect("use_dora", R"({"use_dora":true,"r":4,"lora_alpha":8})", good);
  expect("bias", R"({"bias":"all","r":4,"lora_alpha":8})", good);
  expect("modules_to_save", R"({"modules_to_save":["lm_head"],"r":4,"lora_alpha":8})", good);
  expect("r must be a positive number", R"({"lora_alpha":8})", good);
  expect("lora_alpha must be", R"({"r":4,"lora_alpha":-1})", good);
  expect("without its lora_B", plain, {good[0]});
  expect("has shape [4, 63], expected [4, 64]", plain,
         {{q + "A.weight", {4, 63}}, {q + "B.weight", {64, 4}}});
  expect("beyond the model's 2 layers", plain,
         {{"base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight", {4, 64}}});
  expect("cannot be adapted", plain,
         {{"base_model.model.model.layers.0.mlp.router.lora_A.weight", {4, 64}}});
  expect("is no lora_A or lora_B", plain, {{"lm_head.weight", {4, 64}}});
  expect("holds no tensor", plain, {});
}

// The same row comes out the same whatever the other rows are: alone, with them, and on two
// threads.
TEST(LoraAdapter, AddsScaleTimesBTimesAToItsRowsAlone) {
  const auto model = RandomModel(1);
  const io::TempDir dir = *io::TempDir::Create();
  WriteRandomAdapter(dir.path(), model->config(), 8, 3, R"("use_rslora":true)");
  const auto adapter = *LoraAdapter::Load(dir.path(), model->config());
  const LoraAdapter::Pair& pair = adapter->At(1, LoraSite::kDown);
  EXPECT_FLOAT_EQ(pair.scale, static_cast<float>(16 / std::sqrt(8.0)));
  Random random(4);
  const int64_t in = 96, out = 64, rows = 11;
  std::vector<float> x(static_cast<size_t>(in * rows)), w(static_cast<size_t>(in * out));
  for (float& v : x) v = static_cast<float>(random.Normal());
  for (float& v : w) v = static_cast<float>(0.1 * random.Normal());
  const auto base = kernels::PackedMatrix::Pack(nullptr, {model::DType::kF32, w.data(), out, in});
  LoraScratch scratch;
  const auto run = [&](kernels::ThreadPool* pool, std::span<const LoraRows> runs, int64_t first,
                       int64_t count) {
    kernels::Input input;
    input.Prepare(pool, &x[static_cast<size_t>(first * in)], count, in, base.form());
    std::vector<float> to(static_cast<size_t>(count * out), 0.5f);
    const LoraProduct product[] = {
        {LoraSite::kDown,
         {.weights = &base, .input = &input, .y = to.data(), .into = kernels::Into::kAccumulate}}};
    MatMulAdapted(pool, product, runs, 1, &x[static_cast<size_t>(first * in)], in, scratch);
    return to;
  };
  const LoraRows runs[] = {{adapter.get(), 1, 2}, {adapter.get(), 5, 6}};
  const std::vector<float> y = run(nullptr, runs, 0, rows);
  kernels::ThreadPool pool(2);
  EXPECT_EQ(run(&pool, runs, 0, rows), y);
  for (int64_t r = 0; r < rows; ++r) {
    const bool adapted = (r >= 1 && r < 3) || r >= 5;
    const LoraRows alone[] = {{adapted ? adapter.get() : nullptr, 0, 1}};
    const auto row = y.begin() + r * out;
    EXPECT_EQ(run(nullptr, alone, r, 1), std::vector<float>(row, row + out)) << "row " << r;
  }
  const std::vector<double> a = Dense(dir.path(), "layers.1.mlp.down_proj.lora_A.weight"),
                            b = Dense(dir.path(), "layers.1.mlp.down_proj.lora_B.weight");
  double worst = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const bool adapted = (r >= 1 && r < 3) || r >= 5;
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0, plain = 0.5;
      for (int64_t i = 0; i < in; ++i)
        plain += static_cast<double>(w[static_cast<size_t>(o * in + i)]) *
                 x[static_cast<size_t>(r * in + i)];
      for (int64_t k = 0; adapted && k < 8; ++k) {
        double t = 0;
        for (int64_t i = 0; i < in; ++i)
          t += a[static_cast<size_t>(k * in + i)] * x[static_cast<size_t>(r * in + i)];
        sum += b[static_cast<size_t>(o * 8 + k)] * t;
      }
      worst = std::max(worst,
                       std::fabs(plain + pair.scale * sum - y[static_cast<size_t>(r * out + o)]));
    }
  }
  fmt::print("largest difference {:.2g}\n", worst);
  EXPECT_LT(worst, 1e-4);
}

}  // namespace
}  // namespace weir::serve
