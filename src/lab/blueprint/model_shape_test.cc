#include "lab/blueprint/model_shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lab/blueprint/spec.h"

namespace weir::blueprint {
namespace {

using ::testing::HasSubstr;

TEST(ModelShape, CountsTheParametersThatWerePublished) {
  const struct {
    const char* name;
    double parameters, tolerance;  // relative; 0: the checkpoint's exact count
  } published[] = {{"llama3-8b", 8'030'261'248, 0},      {"llama3-70b", 70'553'706'496, 0},
                   {"llama3-405b", 405'853'388'800, 0},  {"mixtral-8x7b", 46'702'792'704, 0},
                   {"qwen3-30b-a3b", 30'532'122'624, 0}, {"gpt2-xl", 1'557'611'200, 0},
                   {"deepseek-v3", 671e9, 0.001},        {"gpt-oss-120b", 116.8e9, 0.01},
                   {"gpt3-175b", 175e9, 0.01},           {"qwen3-235b-a22b", 235e9, 0.01},
                   {"nemotron-3-super", 120e9, 0.03},    {"qwen3.5-397b-a17b", 397e9, 0.03},
                   {"minimax-m2.5", 230e9, 0.03}};
  for (const auto& p : published) {
    const double counted = CountParameters(FindModel(p.name).value()).total();
    EXPECT_LE(std::abs(counted / p.parameters - 1), p.tolerance)
        << p.name << " " << static_cast<int64_t>(counted);
  }
}

TEST(ModelShape, CountsTheActiveParametersThatWerePublished) {
  for (const auto& [name, active] : {std::pair{"deepseek-v3", 37e9},
                                     {"qwen3-30b-a3b", 3.3e9},
                                     {"qwen3-235b-a22b", 22e9},
                                     {"gpt-oss-120b", 5.1e9},
                                     {"mixtral-8x7b", 12.9e9}})
    EXPECT_NEAR(CountParameters(FindModel(name).value()).active() / active, 1, 0.15) << name;
}

TEST(ModelShape, FlopsPerTokenAreThoseOfThePublishedTables) {
  // TFLOP/s over tokens/s of the vendor's tables: 2,524 GFLOP a token for 405B at 8,192, 51.5 for
  // 8B.
  EXPECT_NEAR(3 * ForwardFlopsPerToken(FindModel("llama3-405b").value(), 8192) / 2524e9, 1, 0.01);
  EXPECT_NEAR(3 * ForwardFlopsPerToken(FindModel("llama3-8b").value(), 8192) / 51.5e9, 1, 0.01);
  EXPECT_NEAR(3 * ForwardFlopsPerToken(FindModel("qwen3-30b-a3b").value(), 4096) / 23.0e9, 1, 0.03);
}

TEST(ModelShape, MeanContextIsThePlainAverageOverQueries) {
  ModelShape m = FindModel("gpt-oss-120b").value();
  for (const int sequence : {1, 5, 127, 128, 129, 1000}) {
    double sum = 0;
    for (int i = 1; i <= sequence; ++i) sum += 0.5 * i + 0.5 * std::min(i, 128);
    EXPECT_NEAR(MeanContext(m, sequence), sum / sequence, 1e-9) << sequence;
  }
}

TEST(ModelShape, CacheOfGroupedAndLatentAttention) {
  EXPECT_EQ(KvBytesPerToken(FindModel("llama3-70b").value(), 2), 80 * 2 * 8 * 128 * 2);
  EXPECT_EQ(KvBytesPerToken(FindModel("deepseek-v3").value(), 2), 61 * 576 * 2);
}

TEST(ModelShape, AnUnknownNameIsAnsweredWithTheNearest) {
  const auto m = FindModel("lama3-70b");
  ASSERT_FALSE(m);
  EXPECT_EQ(m.error().code(), Code::kNotFound);
  EXPECT_THAT(m.error().hint(), HasSubstr("llama3-70b"));
  EXPECT_TRUE(FindModel("meta-llama/Llama-3.1-70B"));
  const auto a = FindAccelerator("H100");
  EXPECT_TRUE(a) << a.error().ToString();
  const auto b = FindAccelerator("b20");
  ASSERT_FALSE(b);
  EXPECT_THAT(b.error().hint(), HasSubstr("b200-sxm"));
}

TEST(Spec, QuantitiesCarryTheirUnits) {
  EXPECT_EQ(ParseQuantity("80GiB", Dimension::kBytes, "memory").value(), 80.0 * 1024 * 1024 * 1024);
  EXPECT_EQ(ParseQuantity("400Gbit/s", Dimension::kBytesPerSecond, "nic").value(), 50e9);
  EXPECT_EQ(ParseQuantity("3.35 TB/s", Dimension::kBytesPerSecond, "m").value(), 3.35e12);
  EXPECT_EQ(ParseQuantity("989TFLOP/s", Dimension::kFlops, "f").value(), 989e12);
  EXPECT_EQ(ParseQuantity("$2.49/h", Dimension::kDollarsPerHour, "p").value(), 2.49);
  EXPECT_EQ(ParseQuantity("15T", Dimension::kTokens, "t").value(), 15e12);
  for (const auto& [text, d, says] : {std::tuple{"80", Dimension::kBytes, "no unit"},
                                      {"80GB/s", Dimension::kBytes, "no unit for it"},
                                      {"fast", Dimension::kFlops, "begin with a number"},
                                      {"-3W", Dimension::kWatts, "below zero"},
                                      {"2.5", Dimension::kDollarsPerHour, "no unit"}}) {
    const auto r = ParseQuantity(text, d, "field");
    ASSERT_FALSE(r) << text;
    EXPECT_THAT(r.error().message(), HasSubstr(says));
    EXPECT_THAT(r.error().hint(), HasSubstr("write it as"));
  }
}

TEST(Spec, AModelFileFillsInWhatFollowsFromTheLayers) {
  const auto m = ParseModelToml(
      "[model]\nname = \"x\"\nhidden = 4096\nlayers = 32\nheads = 32\nkv_heads = 8\nffn = "
      "14336\nvocab = 128256\n",
      "x.toml");
  ASSERT_TRUE(m) << m.error().ToString();
  EXPECT_EQ(CountParameters(*m).total(), 8'030'261'248);
  const auto moe = ParseModelToml("[model]\nbase = \"mixtral-8x7b\"\nexperts = 16\n", "y.toml");
  ASSERT_TRUE(moe) << moe.error().ToString();
  EXPECT_GT(CountParameters(*moe).experts,
            1.9 * CountParameters(FindModel("mixtral-8x7b").value()).experts);
}

TEST(Spec, BadFilesAreAnsweredWithTheLineAndTheNextStep) {
  const auto unit = ParseAcceleratorToml("[accelerator]\nname = \"n\"\nbf16 = 989\n", "a.toml");
  ASSERT_FALSE(unit);
  EXPECT_THAT(unit.error().ToString(), HasSubstr("line 3"));
  EXPECT_THAT(unit.error().ToString(), HasSubstr("989TFLOP/s"));
  const auto field = ParseModelToml("[model]\nhiden = 4096\n", "m.toml");
  ASSERT_FALSE(field);
  EXPECT_THAT(field.error().ToString(), HasSubstr("hidden"));
  const auto heads = ParseModelToml(
      "[model]\nhidden = 64\nlayers = 2\nheads = 8\nkv_heads = 3\nffn = 128\nvocab = 10\n",
      "m.toml");
  ASSERT_FALSE(heads);
  EXPECT_THAT(heads.error().message(), HasSubstr("no multiple"));
  EXPECT_FALSE(ParseModelToml("[model\n", "m.toml"));
  EXPECT_FALSE(ParseModelToml("", "m.toml"));
  const auto a =
      ParseAcceleratorToml("[accelerator]\nbase = \"b200\"\nmemory = \"384GiB\"\n", "a.toml");
  ASSERT_TRUE(a) << a.error().ToString();
  EXPECT_EQ(a->memory_bytes, 384.0 * 1024 * 1024 * 1024);
  EXPECT_EQ(a->bf16_flops, FindAccelerator("b200")->bf16_flops);
}

TEST(Spec, DaysThereAndBack) {
  EXPECT_EQ(ParseDay("1970-01-01", "d").value(), 0);
  EXPECT_EQ(ParseDay("2000-03-01", "d").value(), 11017);
  for (int64_t day = 0; day < 60000; day += 17) EXPECT_EQ(ParseDay(DayText(day), "d").value(), day);
  for (const char* bad : {"2027-02-29", "2027-13-01", "27-01-01", "2027-00-10", "tomorrow", ""})
    EXPECT_FALSE(ParseDay(bad, "d")) << bad;
}

}  // namespace
}  // namespace weir::blueprint
