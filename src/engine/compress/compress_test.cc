#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/random.h"
#include "engine/compress/calibrate.h"
#include "engine/compress/evaluate.h"
#include "engine/compress/quantize.h"
#include "engine/compress/recipe.h"
#include "engine/model/export.h"
#include "engine/model/random_model.h"
#include "io/clock.h"
#include "io/files.h"

namespace weir::compress {
namespace {

using kernels::DType;
using model::Architecture;
using model::ModelConfig;
using model::Place;
using model::Slot;

TEST(Recipe, NamesAreFoundAndUnknownOnesRefused) {
  EXPECT_EQ((*RecipeNamed("q4_k_m"))->base, DType::kQ4_K);
  EXPECT_EQ((*RecipeNamed("Q4_K"))->name, "Q4_K_M");
  const auto bad = RecipeNamed("IQ1_S");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().ToString().find("type \"IQ1_S\" is not known"), std::string::npos);
}

TEST(Recipe, GivesMoreBitsToWhatSuffersMost) {
  ModelConfig c = model::TinyConfig(Architecture::kLlama, 256);
  c.layers = 32;
  c.ffn_dim = 512;
  const Recipe& q4 = **RecipeNamed("Q4_K_M");
  EXPECT_EQ(TypeFor(q4, c, {Slot::kHead}), DType::kQ6_K);
  EXPECT_EQ(TypeFor(q4, c, {Slot::kEmbedding}), DType::kQ4_K);
  EXPECT_EQ(TypeFor(q4, c, {Slot::kQ, 0}), DType::kQ4_K);
  int better = 0;
  for (int layer = 0; layer < 32; ++layer) {
    better += TypeFor(q4, c, {Slot::kV, layer}) == DType::kQ6_K;
    EXPECT_EQ(TypeFor(q4, c, {Slot::kV, layer}), TypeFor(q4, c, {Slot::kDown, layer}));
  }
  EXPECT_EQ(better, 16);  // 4 + 4 at the ends, every third of the 24 between
  c.tied_embeddings = true;
  EXPECT_EQ(TypeFor(q4, c, {Slot::kEmbedding}), DType::kQ6_K) << "it is the head too";
  c.ffn_dim = 5632 / 2;  // not whole blocks of 256
  c.dim = 48;            // not even of 32
  EXPECT_EQ(TypeFor(q4, c, {Slot::kDown, 0}), DType::kQ6_K);
  EXPECT_EQ(TypeFor(q4, c, {Slot::kQ, 0}), DType::kF16);
  c.dim = 96;
  EXPECT_EQ(TypeFor(q4, c, {Slot::kQ, 0}), DType::kQ5_0);
  EXPECT_EQ(TypeFor(**RecipeNamed("Q2_K"), model::TinyConfig(Architecture::kMixtral, 256),
                    {Slot::kRouter, 0}),
            DType::kF32);
}

TEST(Recipe, NoTypeIsLargerThanTheOnesBelowIt) {
  // The table goes from the most bits to the fewest, by what a 7B shape weighs.
  ModelConfig c = model::TinyConfig(Architecture::kLlama, 4096);
  c.vocab_size = 32000;
  c.ffn_dim = 11008;
  c.heads = c.kv_heads = 32;
  c.head_dim = 128;
  c.layers = 32;
  double last = 1e9;
  for (const Recipe& recipe : Recipes()) {
    double bits = 0, elements = 0;
    for (const model::TensorSpec& spec : TensorSpecs(c)) {
      const Place& place = spec.places.front();
      if (IsVector(place.slot)) continue;
      const auto n = static_cast<double>(RowsOf(c, place.slot) * ColumnsOf(c, place.slot));
      bits += n * kernels::BitsPerElement(TypeFor(recipe, c, place));
      elements += n;
    }
    fmt::print("{:<7} {:.2f} bits a weight\n", recipe.name, bits / elements);
    if (recipe.name == "Q5_1" || recipe.name == "Q4_1") continue;  // blocks of 32 stand beside
    EXPECT_LE(bits / elements, last + 0.01) << recipe.name;
    last = bits / elements;
  }
}

TEST(Evaluate, DistancesAreTheirDefinitions) {
  const std::vector<float> a = {0.0f, std::log(3.0f)}, b = {0.0f, 0.0f};  // 1/4, 3/4 and 1/2, 1/2
  EXPECT_NEAR(KlDivergence(a, b), 0.25 * std::log(0.5) + 0.75 * std::log(1.5), 1e-7);
  EXPECT_NEAR(NegativeLogLikelihood(a, 1), -std::log(0.75), 1e-7);
  EXPECT_EQ(KlDivergence(a, a), 0);
  const std::vector<float> huge = {1e30f, -1e30f};  // no overflow
  EXPECT_EQ(NegativeLogLikelihood(huge, 0), 0);
}

// A model that reads text: the small real one where the shared data are, a random one elsewhere.
struct Sample {
  Sample() : dir(*io::TempDir::Create()) {
    const char* shared = std::getenv("WEIR_SHARED");
    const std::string path =
        std::string(shared == nullptr ? "" : shared) + "/models/stories260K/stories260K-f32.gguf";
    real = io::FileExists(path);
    if (real) {
      files = *model::ModelFiles::Open(path);
    } else {
      EXPECT_TRUE(model::WriteRandomModel(dir.path(), model::TinyConfig(Architecture::kLlama), 1));
      files = *model::ModelFiles::Open(dir.path());
    }
    model = *model::Model::Load(files);
  }
  // Some of what the real one was trained on is like this.
  static std::string Text() {
    std::string text;
    for (int i = 0; i < 24; ++i) {
      text += fmt::format(
          "Once upon a time, there was a little {} named {}. {} loved to play outside in the {}. "
          "One "
          "day, they saw a big, {} ball. \"Can we play with it?\" asked the {}. ",
          i % 2 ? "girl" : "boy", i % 3 ? "Lily" : "Tim", i % 2 ? "She" : "He",
          i % 4 ? "park" : "garden", i % 5 ? "red" : "blue", i % 3 ? "dog" : "cat");
    }
    return text;
  }
  io::TempDir dir;
  std::shared_ptr<const model::ModelFiles> files;
  std::shared_ptr<const model::Model> model;
  bool real = false;
};

TEST(Evaluate, PerplexityEqualsTheSumByHand) {
  const Sample sample;
  const io::RealClock clock;
  const EvaluateOptions options{.context = 128};
  const Result<Fit> fit = Perplexity(*sample.model, Sample::Text(), options, nullptr, clock);
  ASSERT_TRUE(fit) << fit.error().ToString();
  // A uniform guess has the size of the vocabulary; a model that has learnt its language, far less.
  fmt::print("perplexity {:.3f} +- {:.3f} over {} tokens\n", fit->perplexity, fit->perplexity_error,
             fit->scored);
  if (sample.real) {
    EXPECT_LT(fit->perplexity, 12);
  }
  const auto tokens = static_cast<int64_t>(sample.model->tokenizer().Encode(Sample::Text()).size());
  EXPECT_EQ(fit->scored, tokens / 128 * 63);
  EXPECT_NEAR(fit->perplexity, std::exp(fit->mean_nll), 1e-9);
  const auto shorter = Perplexity(*sample.model, "short", options, nullptr, clock);
  ASSERT_FALSE(shorter);
  EXPECT_NE(shorter.error().ToString().find("one stretch 128"), std::string::npos);
}

TEST(Evaluate, AModelIsNoDistanceFromItself) {
  const Sample sample;
  const io::RealClock clock;
  const auto found =
      Compare(*sample.model, *sample.model, Sample::Text(), {.context = 64}, nullptr, clock);
  ASSERT_TRUE(found) << found.error().ToString();
  EXPECT_EQ(found->kl.max, 0);
  EXPECT_EQ(found->kl.agreement, 1);
  EXPECT_EQ(found->perplexity_ratio, 1);
}

TEST(Calibrate, MomentsAreThoseOfTheInputs) {
  // The input of the first layer's q is norm(embedding): the same for every context, so by hand.
  const io::TempDir dir = *io::TempDir::Create();
  ModelConfig config = model::TinyConfig(Architecture::kLlama);
  config.layers = 1;
  ASSERT_TRUE(model::WriteRandomModel(dir.path(), config, 5));
  const auto loaded = *model::Model::Load(dir.path());
  Random random(3);
  std::vector<int32_t> tokens;
  for (int i = 0; i < 100; ++i) tokens.push_back(static_cast<int32_t>(random.Below(300)));
  const auto found = Calibrate(*loaded, tokens, {.context = 32}, nullptr);
  ASSERT_TRUE(found) << found.error().ToString();
  EXPECT_EQ(found->tokens(), 96);
  std::vector<double> expected(64);
  std::vector<float> row(64);
  const std::vector<float> gain = *loaded->files().Vector({Slot::kInputNorm, 0});
  for (int t = 0; t < 96; ++t) {
    loaded->Embed(&tokens[static_cast<size_t>(t)], 1, row.data());
    double squares = 0;
    for (const float x : row) squares += static_cast<double>(x) * static_cast<double>(x);
    for (size_t i = 0; i < 64; ++i) {
      const double n = static_cast<double>(row[i] * gain[i]) /
                       std::sqrt(squares / 64 + static_cast<double>(config.norm_eps));
      expected[i] += n * n / 96;
    }
  }
  const float* q = found->Of({Slot::kQ, 0});
  ASSERT_NE(q, nullptr);
  for (size_t i = 0; i < 64; ++i)
    EXPECT_NEAR(static_cast<double>(q[i]), expected[i], 1e-4 * expected[i]);
  EXPECT_EQ(found->Of({Slot::kV, 0}), q) << "q, k and v read the same";
  EXPECT_NE(found->Of({Slot::kDown, 0}), nullptr);
  EXPECT_EQ(found->Of({Slot::kHead}), nullptr);
  EXPECT_FALSE(Calibrate(*loaded, std::span(tokens).first(20), {.context = 32}, nullptr));
}

TEST(Quantize, EveryRecipeGivesAModelThatServesAndFewerBitsMoreDistance) {
  const Sample sample;
  const io::RealClock clock;
  const std::string text = Sample::Text();
  double last = 0;
  for (const char* name : {"F32", "BF16", "Q8_0", "Q5_0", "Q4_0"}) {
    const std::string out = sample.dir / fmt::format("{}.gguf", name);
    const Status made = Quantize(*sample.files, out, {.recipe = *RecipeNamed(name)}, nullptr);
    ASSERT_TRUE(made) << made.error().ToString();
    const auto smaller = model::Model::Load(out);
    ASSERT_TRUE(smaller) << smaller.error().ToString();
    const auto found = Compare(*sample.model, **smaller, text, {.context = 128}, nullptr, clock);
    ASSERT_TRUE(found) << found.error().ToString();
    fmt::print("{:<5} {:>7} bytes  KL {:.6f}  agreement {:.3f}\n", name, (*smaller)->weight_bytes(),
               found->kl.mean, found->kl.agreement);
    EXPECT_GE(found->kl.mean, last * 0.9) << name;
    last = found->kl.mean;
    EXPECT_EQ((*smaller)->tokenizer().Encode(text), sample.model->tokenizer().Encode(text));
  }
  EXPECT_LT(last, 0.2);
  const Status again =
      Quantize(*sample.files, sample.dir / "Q4_0.gguf", {.recipe = *RecipeNamed("Q4_0")}, nullptr);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
}

TEST(Quantize, CalibrationBringsTheModelNearerToItselfOnSuchText) {
  const Sample sample;
  if (!sample.real) GTEST_SKIP() << "random weights have no columns that matter";
  const io::RealClock clock;
  const std::string text = Sample::Text();
  const auto importance =
      Calibrate(*sample.model, sample.model->tokenizer().Encode(text), {.context = 128}, nullptr);
  ASSERT_TRUE(importance) << importance.error().ToString();
  double kl[2];
  for (int i = 0; i < 2; ++i) {
    const std::string out = sample.dir / fmt::format("q4-{}.gguf", i);
    ASSERT_TRUE(Quantize(*sample.files, out,
                         {.recipe = *RecipeNamed("Q4_0"), .importance = i ? &*importance : nullptr},
                         nullptr));
    const auto smaller = *model::Model::Load(out);
    kl[i] = Compare(*sample.model, *smaller, text, {.context = 128}, nullptr, clock)->kl.mean;
  }
  fmt::print("KL {:.5f} by rounding alone, {:.5f} calibrated\n", kl[0], kl[1]);
  EXPECT_LT(kl[1], kl[0]);
}

}  // namespace
}  // namespace weir::compress
