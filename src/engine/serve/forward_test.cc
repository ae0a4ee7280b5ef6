#include "engine/serve/forward.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "engine/kernels/thread_pool.h"
#include "engine/model/architecture.h"
#include "engine/model/export.h"
#include "engine/serve/reference_forward.h"
#include "engine/serve/serve_test_util.h"

namespace weir::serve {
namespace {

using model::Architecture;
using model::DType;
using model::ModelConfig;
using ModelPtr = std::shared_ptr<const model::Model>;

constexpr int kRows = 24;  // a pass of the forward: less than most of the texts here

std::vector<int32_t> RandomTokens(Random& random, size_t n) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < n; ++i) tokens.push_back(static_cast<int32_t>(random.Below(300)));
  return tokens;
}

// The same random weights as a folder and as the GGUF file made from it.
struct Both {
  explicit Both(const ModelConfig& config, uint64_t seed = 3, std::optional<DType> type = {})
      : dir(*io::TempDir::Create()) {
    const Status written = model::WriteRandomModel(dir.path(), config, seed);
    EXPECT_TRUE(written) << written.error().ToString();
    const auto loaded = model::Model::Load(dir.path());
    EXPECT_TRUE(loaded) << loaded.error().ToString();
    folder = *loaded;
    const Status exported = ExportGguf(folder->files(), dir / "m.gguf", type);
    EXPECT_TRUE(exported) << exported.error().ToString();
    const auto back = model::Model::Load(dir / "m.gguf");
    EXPECT_TRUE(back) << back.error().ToString();
    gguf = *back;
  }
  io::TempDir dir;
  ModelPtr folder, gguf;
};

// Logits of every token, the sequence cut into pieces of random lengths.
std::vector<float> LogitsInPieces(const model::Model& model, std::span<const int32_t> tokens,
                                  Random& random, kernels::ThreadPool* pool, uint64_t longest,
                                  int64_t context = 0) {
  const auto vocabulary = static_cast<size_t>(model.config().vocab_size);
  const int64_t positions = context > 0 ? context : model.config().max_seq;
  KvCache cache(model.config(), KvCache::BlocksFor(positions));
  Forward forward(model, cache, pool, positions, kRows);
  const std::vector<int32_t> blocks = cache.Take(KvCache::BlocksFor(positions));
  std::vector<float> logits(tokens.size() * vocabulary);
  for (size_t done = 0; done < tokens.size();) {
    const size_t n = std::min(tokens.size() - done, size_t{1} + random.Below(longest));
    const Piece piece{.tokens = tokens.subspan(done, n),
                      .begin = static_cast<int64_t>(done),
                      .blocks = blocks,
                      .logits = &logits[done * vocabulary],
                      .logit_rows = static_cast<int64_t>(n)};
    forward.Run({&piece, 1});
    done += n;
  }
  return logits;
}

double LargestDifference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return worst;
}

// Logits here are of size 3; f32 sums of some hundred terms, three layers deep, differ by 1e-6 to
// 1e-5. A wrong pair of the rotary turn, a norm or a bias left out moves them by 0.1 and more.
constexpr double kF32Tolerance = 1e-4;

TEST(Forward, EveryArchitectureEqualsThePlainLoopsInBothFormatsHoweverItIsCut) {
  kernels::ThreadPool pool(2);
  for (const model::ArchitectureRow& row : model::Architectures()) {
    SCOPED_TRACE(row.name);
    const Both both(model::TinyConfig(row.id));
    ASSERT_EQ(both.gguf->config().IsSliding(0), both.folder->config().IsSliding(0));
    Random random(5);
    const std::vector<int32_t> tokens = RandomTokens(random, 53);
    const std::vector<float> expected = Reference(*both.folder).Logits(tokens);
    const std::vector<float> whole = LogitsInPieces(*both.folder, tokens, random, &pool, 1);
    const double folder = LargestDifference(whole, expected);
    for (int round = 0; round < 3; ++round) {
      ASSERT_EQ(LogitsInPieces(*both.folder, tokens, random, &pool, 40), whole);
    }
    ASSERT_EQ(LogitsInPieces(*both.gguf, tokens, random, &pool, 40), whole)
        << "the GGUF file's weights or shape are others";
    const double gguf = LargestDifference(whole, Reference(*both.gguf).Logits(tokens));
    fmt::print("{:<12} largest difference {:.2g} (folder), {:.2g} (GGUF)\n", row.name, folder,
               gguf);
    EXPECT_LT(folder, kF32Tolerance);
    EXPECT_LT(gguf, kF32Tolerance);
  }
}

TEST(Forward, WhatAFamilyMayHaveBesides) {
  const auto check = [&](const char* what, const ModelConfig& config) {
    SCOPED_TRACE(what);
    const Both both(config);
    Random random(9);
    const std::vector<int32_t> tokens = RandomTokens(random, 31);
    const std::vector<float> logits = LogitsInPieces(*both.folder, tokens, random, nullptr, 20);
    EXPECT_LT(LargestDifference(logits, Reference(*both.folder).Logits(tokens)), kF32Tolerance);
    EXPECT_EQ(LogitsInPieces(*both.gguf, tokens, random, nullptr, 20), logits);
  };
  ModelConfig c = model::TinyConfig(Architecture::kLlama);
  c.qkv_bias = c.output_bias = true;
  c.tied_embeddings = true;
  check("llama with biases, tied", c);
  c = model::TinyConfig(Architecture::kQwen3Moe);
  c.normalize_experts = false;
  check("experts whose shares do not sum to 1", c);
  c = model::TinyConfig(Architecture::kQwen2);
  c.sliding_window = c.sliding_from = 0;
  check("no window", c);
  c = model::TinyConfig(Architecture::kPhi3);
  c.rope_dim = 24;
  check("a head that turns in part", c);
}

TEST(Forward, EveryRopeVariantEqualsItsFormula) {
  using model::RopeKind;
  const auto line = [](float step) {
    std::vector<float> factors;
    for (int i = 0; i < 16; ++i) factors.push_back(1.0f + step * static_cast<float>(i));
    return factors;
  };
  const struct {
    const char* name;
    Architecture family;
    model::RopeScaling rope;
  } rows[] = {
      {"linear", Architecture::kLlama, {.kind = RopeKind::kLinear, .factor = 4}},
      {"linear, local layers plain",
       Architecture::kGemma3,
       {.kind = RopeKind::kLinear, .factor = 8}},
      {"dynamic",
       Architecture::kLlama,
       {.kind = RopeKind::kDynamic, .factor = 4, .original_seq = 64}},
      {"yarn", Architecture::kQwen2, {.kind = RopeKind::kYarn, .factor = 4, .original_seq = 64}},
      {"yarn, its magnitude given",
       Architecture::kQwen3,
       {.kind = RopeKind::kYarn,
        .factor = 4,
        .original_seq = 64,
        .beta_fast = 16,
        .attention_factor = 1.5f}},
      {"llama3",
       Architecture::kLlama,
       {.kind = RopeKind::kLlama3, .factor = 8, .original_seq = 64}},
      {"longrope",
       Architecture::kPhi3,
       {.kind = RopeKind::kLongRope,
        .original_seq = 32,
        .short_factors = line(0.05f),
        .long_factors = line(0.5f)}},
  };
  Random random(11);
  for (const auto& [name, family, rope] : rows) {
    ModelConfig config = model::TinyConfig(family);
    config.rope = rope;
    SCOPED_TRACE(name);
    const io::TempDir dir = *io::TempDir::Create();
    ASSERT_TRUE(model::WriteRandomModel(dir.path(), config, 8));
    const auto model = model::Model::Load(dir.path());
    ASSERT_TRUE(model) << model.error().ToString();
    ASSERT_EQ((*model)->config(), config);
    const std::vector<int32_t> tokens = RandomTokens(random, 30);
    ModelPtr gguf;
    if (config.rope.kind != RopeKind::kDynamic) {
      const Status exported = ExportGguf((*model)->files(), dir / "m.gguf");
      ASSERT_TRUE(exported) << exported.error().ToString();
      const auto back = model::Model::Load(dir / "m.gguf");
      ASSERT_TRUE(back) << back.error().ToString();
      gguf = *back;
    }
    // Within the positions trained and beyond: what is served decides.
    for (const int64_t context : {int64_t{32}, int64_t{config.max_seq}}) {
      const std::vector<float> expected = Reference(**model, context).Logits(tokens);
      EXPECT_LT(LargestDifference(LogitsInPieces(**model, tokens, random, nullptr, 30, context),
                                  expected),
                kF32Tolerance)
          << "context " << context;
      if (gguf == nullptr) continue;
      // Divisors are rounded to f32 in the file: angles differ by 1e-7 of 30 turns.
      EXPECT_LT(
          LargestDifference(LogitsInPieces(*gguf, tokens, random, nullptr, 30, context), expected),
          kF32Tolerance)
          << "GGUF, context " << context;
    }
  }
}

TEST(Forward, EveryStoredTypeStaysWithinTheRoundingOfItsInputs) {
  // Against the plain loops over the same stored weights, so that only the rounding of what goes
  // into a product (int8 for quantized types, bf16 for BF16) remains.
  Random random(13);
  const std::vector<int32_t> tokens = RandomTokens(random, 7);
  for (const Architecture family : {Architecture::kLlama, Architecture::kQwen3Moe}) {
    ModelConfig config = model::TinyConfig(family, 256);
    config.ffn_dim = 512;
    config.head_dim = 64;  // q_dim 256
    if (config.experts > 0) config.expert_ffn_dim = 256;
    config.layers = 1;
    const io::TempDir dir = *io::TempDir::Create();
    ASSERT_TRUE(model::WriteRandomModel(dir.path(), config, 4));
    const auto files = *model::ModelFiles::Open(dir.path());
    for (const DType type : kernels::kAllDTypes) {
      ASSERT_TRUE(ExportGguf(*files, dir / "m.gguf", type));
      const ModelPtr model = *model::Model::Load(dir / "m.gguf");
      const std::vector<float> logits = LogitsInPieces(*model, tokens, random, nullptr, 20);
      const std::vector<float> expected = Reference(*model).Logits(tokens);
      // The median over the tokens: where two experts are nearly as good as each other, rounding
      // decides which a token gets, and that token is then another.
      std::vector<double> relative;
      for (size_t t = 0; t < tokens.size(); ++t) {
        double squares = 0, errors = 0;
        for (size_t i = t * 300; i < (t + 1) * 300; ++i) {
          const auto want = static_cast<double>(expected[i]);
          errors += std::pow(static_cast<double>(logits[i]) - want, 2);
          squares += want * want;
        }
        relative.push_back(std::sqrt(errors / squares));
      }
      std::sort(relative.begin(), relative.end());
      const double median = relative[relative.size() / 2];
      fmt::print("{:<10} {:<5} relative error {:.2g}\n", RowOf(family).name, NameOf(type), median);
      // Rounding to int8 costs 0.65% a product for Gaussian inputs, to bf16 0.2%; seven products,
      // the head.
      EXPECT_LT(median, kernels::IsQuantized(type) ? 0.05
                        : type == DType::kBF16     ? 0.02
                                                   : 2e-5)
          << NameOf(type);
    }
  }
}

TEST(Forward, ASequencesNumbersDoNotDependOnItsCompany) {
  kernels::ThreadPool pool(2);
  const struct {
    Architecture family;
    DType type;
  } rows[] = {{Architecture::kLlama, DType::kF32},    {Architecture::kLlama, DType::kBF16},
              {Architecture::kLlama, DType::kQ8_0},   {Architecture::kGemma3, DType::kQ4_0},
              {Architecture::kMixtral, DType::kQ8_0}, {Architecture::kQwen3, DType::kF16}};
  for (const auto& row : rows) {
    SCOPED_TRACE(fmt::format("{} {}", RowOf(row.family).name, NameOf(row.type)));
    const Both both(model::TinyConfig(row.family), 4, row.type);
    const model::Model& model = *both.gguf;
    Random random(6);
    KvCache cache(model.config(), 64);
    Forward forward(model, cache, &pool, 128, kRows);
    std::vector<std::vector<int32_t>> tokens, blocks;
    for (int i = 0; i < 11; ++i) {
      tokens.push_back(RandomTokens(random, 20 + random.Below(40)));
      blocks.push_back(cache.Take(2));
    }
    // Each alone: the prompt but for its end, then that. Odd ones end in a token, even ones in
    // some.
    const auto ending = [](size_t i) { return i % 2 == 1 ? size_t{1} : 3 + i; };
    std::vector<std::vector<float>> alone(11, std::vector<float>(300));
    for (size_t i = 0; i < 11; ++i) {
      const std::span<const int32_t> all = tokens[i];
      const size_t n = ending(i);
      const Piece start{.tokens = all.first(all.size() - n), .blocks = blocks[i]};
      forward.Run({&start, 1});
      const Piece end{.tokens = all.last(n),
                      .begin = static_cast<int64_t>(all.size() - n),
                      .blocks = blocks[i],
                      .logits = alone[i].data()};
      forward.Run({&end, 1});
    }
    for (size_t company = 2; company <= 11; ++company) {
      std::vector<std::vector<float>> together(company, std::vector<float>(300));
      std::vector<Piece> pieces;
      for (size_t i = 0; i < company; ++i) {
        const std::span<const int32_t> all = tokens[i];
        const size_t n = ending(i);
        pieces.push_back({.tokens = all.last(n),
                          .begin = static_cast<int64_t>(all.size() - n),
                          .blocks = blocks[i],
                          .logits = together[i].data()});
      }
      forward.Run(pieces);
      for (size_t i = 0; i < company; ++i) {
        ASSERT_EQ(together[i], alone[i]) << "sequence " << i << " of " << company;
      }
    }
  }
}

TEST(Forward, HiddenStatesAndTheLastRowsOfLogitsAreThoseOfTheWholeText) {
  const Both both(model::TinyConfig(Architecture::kQwen3));
  const model::Model& model = *both.folder;
  Random random(15);
  const std::vector<int32_t> tokens = RandomTokens(random, 40);
  KvCache cache(model.config(), 2);
  Forward forward(model, cache, nullptr, 64, kRows);
  const std::vector<int32_t> blocks = cache.Take(2);
  const auto dim = static_cast<size_t>(model.config().dim);
  std::vector<float> logits(3 * 300), hidden(40 * dim);
  // A piece longer than a pass: its last rows come from the second.
  const Piece piece{.tokens = tokens,
                    .blocks = blocks,
                    .logits = logits.data(),
                    .logit_rows = 3,
                    .hidden = hidden.data()};
  forward.Run({&piece, 1});
  Reference reference(model);
  EXPECT_LT(LargestDifference(hidden, reference.Hidden(tokens)), kF32Tolerance);
  const std::vector<float> expected = reference.Logits(tokens);
  EXPECT_LT(LargestDifference(logits, std::span(expected).last(3 * 300)), kF32Tolerance);
}

TEST(Forward, TheSmallRealModelTellsItsKnownStory) {
  const ModelPtr model = Stories();
  if (model == nullptr) GTEST_SKIP() << "no shared data";
  // Published with the model, at temperature 0 from the beginning of a text (llama2.c,
  // stories260K).
  const std::string known =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
      "park. "
      "One day, she saw a big, red ball. She wanted to play with it, but it was too high.";
  KvCache cache(model->config(), KvCache::BlocksFor(512));
  kernels::ThreadPool pool(2);
  Forward forward(*model, cache, &pool, 512, kRows);
  const std::vector<int32_t> blocks = cache.Take(KvCache::BlocksFor(512));
  std::vector<int32_t> tokens = {*model->tokenizer().bos()};
  std::vector<float> logits(static_cast<size_t>(model->config().vocab_size));
  std::string text;
  while (text.size() <= known.size() && tokens.size() < 512) {
    const auto at = static_cast<int64_t>(tokens.size()) - 1;
    const Piece piece{.tokens = std::span(tokens).last(1),
                      .begin = at,
                      .blocks = blocks,
                      .logits = logits.data()};
    forward.Run({&piece, 1});
    tokens.push_back(Greedy(logits));
    text = model->tokenizer().Decode(std::span(tokens).subspan(1));
  }
  text.erase(0, text.find_first_not_of(' '));
  EXPECT_EQ(text.substr(0, known.size()), known);
}

}  // namespace
}  // namespace weir::serve
