#include "lab/blueprint/training.h"

#include <gtest/gtest.h>

#include "lab/blueprint/calibration.h"
#include "lab/blueprint/collectives.h"
#include "lab/blueprint/search.h"
#include "lab/blueprint/serving.h"

namespace weir::blueprint {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

Coefficients Prior() { return KnobTree().At({}); }

// Korthikanti et al. 2022, table 2: bytes of activations per layer, sbh times this.
double PaperFactor(double tp, double heads, double sequence, double hidden, bool sequence_parallel,
                   Recompute r) {
  const double scores = r == Recompute::kNone ? 5 * heads * sequence / hidden : 0;
  if (r == Recompute::kFull) return 2;
  return sequence_parallel ? (34 + scores) / tp : 10 + (24 + scores) / tp;
}

TEST(TrainingMemory, IsTheFormulaOfThePaper) {
  const ModelShape m = FindModel("megatron-22b").value();
  const Accelerator a100 = FindAccelerator("a100").value();
  const TrainWork work{2048, 4, false, false};
  const TrainingModel model(m, a100, 1, work, Prior());
  for (const bool sp : {false, true}) {
    for (const Recompute r : {Recompute::kNone, Recompute::kSelective, Recompute::kFull}) {
      Layout l;
      l.tp = 8;
      l.micro_batch = 4;
      l.zero = 0;
      l.sequence_parallel = sp;
      l.recompute = r;
      double want = 2048.0 * 4 * 6144 * 48 * PaperFactor(8, 64, 2048, 6144, sp, r);
      if (r == Recompute::kFull && sp) want /= 8;
      EXPECT_NEAR(model.Memory(l).activations / want, 1, 1e-9) << sp << " " << NameOf(r);
    }
  }
  Layout l;
  l.tp = 8;
  l.micro_batch = 4;
  l.sequence_parallel = false;
  EXPECT_NEAR(model.Memory(l).activations / kGiB, 59.25, 0.01);  // the published measurement
}

TEST(TrainingMemory, ZeroSplitsWhatItSaysAndNothingElse) {
  const ModelShape m = FindModel("llama3-8b").value();
  const Accelerator h100 = FindAccelerator("h100").value();
  const TrainingModel model(m, h100, 1, {4096, 64, true, false}, Prior());
  Layout l;
  l.dp = 8;
  l.zero = 0;
  const MemoryUse plain = model.Memory(l);
  EXPECT_DOUBLE_EQ(plain.weights, 2 * model.counts().total());
  EXPECT_DOUBLE_EQ(plain.gradients, 4 * model.counts().total());
  EXPECT_DOUBLE_EQ(plain.optimizer, 12 * model.counts().total());
  for (int zero = 1; zero <= 3; ++zero) {
    l.zero = zero;
    const MemoryUse use = model.Memory(l);
    EXPECT_DOUBLE_EQ(use.optimizer, plain.optimizer / 8);
    EXPECT_DOUBLE_EQ(use.gradients, zero >= 2 ? plain.gradients / 8 : plain.gradients);
    EXPECT_DOUBLE_EQ(use.weights, zero >= 3 ? plain.weights / 8 : plain.weights);
    EXPECT_EQ(use.activations, plain.activations);
  }
}

TEST(Training, TheBubbleIsStagesLessOneOverMicroBatches) {
  const ModelShape m = FindModel("gpt3-175b").value();
  const Accelerator a100 = FindAccelerator("a100").value();
  Coefficients c = Prior();
  c.value[kPipeLatency] = c.value[kPipeExposed] = 1e-12;
  for (const int v : {1, 3}) {
    const TrainingModel model(m, a100, 1, {2048, 64, false, false}, c);
    Layout l;
    l.tp = 8;
    l.pp = 8;
    l.interleave = v;
    const TrainPrediction p = model.Predict(l);
    double layers = 0;
    for (const TimePart part :
         {TimePart::kProducts, TimePart::kAttention, TimePart::kStreaming, TimePart::kTensor,
          TimePart::kHost, TimePart::kExperts, TimePart::kDispatch, TimePart::kRecurrent})
      layers += p.parts[static_cast<size_t>(part)];
    EXPECT_NEAR(p.parts[static_cast<size_t>(TimePart::kBubble)] / layers, 7.0 / v / 64, 1e-6);
  }
}

TEST(Training, PartsAddUpAndMfuNeverPassesOne) {
  const Accelerator b200 = FindAccelerator("b200").value();
  for (const ModelShape& m : ModelPresets()) {
    const TrainingModel model(m, b200, 1, {4096, 256, true, false}, Prior());
    SearchSpace space;
    space.count = 64;
    space.precisions = {Precision::kBf16, Precision::kMxfp8};
    space.max_interleave = 2;
    int n = 0;
    EnumerateLayouts(model, space, [&](const Layout& l) {
      if (++n % 37 != 0 || !model.Forbids(l).empty()) return;
      const TrainPrediction p = model.Predict(l);
      double sum = 0;
      for (const double s : p.parts) {
        EXPECT_GE(s, -1e-12) << m.name << " " << Describe(l);
        sum += s;
      }
      EXPECT_NEAR(sum / p.step_s, 1, 1e-9);
      EXPECT_LT(p.mfu, 1) << m.name << " " << Describe(l);
      EXPECT_GT(p.mfu, 0);
      EXPECT_EQ(l.accelerators(), 64);
    });
    EXPECT_GT(n, 0) << m.name;
  }
}

TEST(Training, BetterHardwareIsNeverSlower) {
  const ModelShape m = FindModel("qwen3-30b-a3b").value();
  const Accelerator base = FindAccelerator("h100").value();
  Layout l;
  l.tp = 2;
  l.pp = 2;
  l.dp = 16;
  l.ep = 8;
  const auto step = [&](const Accelerator& a) {
    return TrainingModel(m, a, 1, {4096, 256, true, false}, Prior()).Predict(l).step_s;
  };
  const double before = step(base);
  for (double Accelerator::*field :
       {&Accelerator::bf16_flops, &Accelerator::memory_bytes_per_s, &Accelerator::link_bytes_per_s,
        &Accelerator::nic_bytes_per_s}) {
    Accelerator better = base;
    better.*field *= 2;
    EXPECT_LE(step(better), before);
  }
  EXPECT_GE(TrainingModel(m, base, 4, {4096, 256, true, false}, Prior()).Predict(l).step_s,
            before);  // oversubscription
}

TEST(Training, ALargerBatchTakesLongerAndWastesNoMore) {
  const ModelShape m = FindModel("llama3-70b").value();
  const Accelerator a = FindAccelerator("h100").value();
  Layout l;
  l.tp = 4;
  l.pp = 4;
  l.dp = 4;
  double step = 0, mfu = 0;
  for (double batch = 16; batch <= 1024; batch *= 2) {
    const TrainPrediction p =
        TrainingModel(m, a, 1, {8192, batch, true, false}, Prior()).Predict(l);
    EXPECT_GT(p.step_s, step);
    EXPECT_GT(p.mfu, mfu);
    step = p.step_s;
    mfu = p.mfu;
  }
}

// The same search written as plainly as can be: every combination, sorted.
TEST(Search, FindsWhatExhaustiveEnumerationFinds) {
  const Accelerator a = FindAccelerator("h100").value();
  for (const char* name : {"llama3-8b", "qwen3-30b-a3b"}) {
    const ModelShape m = FindModel(name).value();
    const TrainingModel model(m, a, 1, {4096, 32, true, false}, Prior());
    SearchSpace space;
    space.count = 8;
    space.max_micro_batch = 4;
    space.max_interleave = 3;
    space.precisions = {Precision::kBf16, Precision::kFp8};
    space.keep = 7;
    std::vector<double> all;
    for (const Precision p : space.precisions)
      for (int tp = 1; tp <= 8; ++tp)
        for (int pp = 1; pp <= 8; ++pp)
          for (int cp = 1; cp <= 8; ++cp)
            for (int ep = 1; ep <= 8; ++ep)
              for (int v = 1; v <= 3; ++v)
                for (const int b : {1, 2, 4})
                  for (const Recompute r :
                       {Recompute::kNone, Recompute::kSelective, Recompute::kFull})
                    for (int zero = 0; zero <= 3; ++zero) {
                      if (8 % (tp * pp * cp) != 0) continue;
                      const int dp = 8 / (tp * pp * cp);
                      if ((zero >= 2 && pp > 1) || (zero >= 1 && dp * cp == 1)) continue;
                      const double blocks = m.blocks;
                      if (v > 1 && (pp == 1 || (std::fmod(blocks, pp * v) != 0 &&
                                                std::fmod(blocks + 2, pp * v) != 0)))
                        continue;
                      Layout l;
                      l.tp = tp;
                      l.pp = pp;
                      l.cp = cp;
                      l.ep = ep;
                      l.dp = dp;
                      l.interleave = v;
                      l.micro_batch = b;
                      l.recompute = r;
                      l.zero = zero;
                      l.precision = p;
                      if (!model.Forbids(l).empty() ||
                          model.Memory(l).total() > model.UsableBytes())
                        continue;
                      all.push_back(model.Predict(l).step_s);
                    }
    std::sort(all.begin(), all.end());
    const SearchResult found = SearchLayouts(model, space);
    EXPECT_EQ(found.fitting, static_cast<int64_t>(all.size())) << name;
    ASSERT_EQ(found.best.size(), 7u);
    for (size_t i = 0; i < 7; ++i)
      EXPECT_DOUBLE_EQ(found.best[i].prediction.step_s, all[i]) << name << " " << i;
  }
}

TEST(Search, AModelThatFitsNowhereSaysWhatBinds) {
  const ModelShape m = FindModel("llama3-405b").value();
  const Accelerator a = FindAccelerator("l4").value();
  const TrainingModel model(m, a, 1, {4096, 32, true, false}, Prior());
  SearchSpace space;
  const SearchResult r = SearchLayouts(model, space);
  EXPECT_EQ(r.fitting, 0);
  EXPECT_NE(r.binding.find("memory"), std::string::npos) << r.binding;
  EXPECT_NE(r.binding.find("GiB"), std::string::npos);
  const ServingModel serving(m, a, Prior());
  const ServeSearchResult s =
      SearchServing(serving, a, 8, {1024, 1024, 0}, {Precision::kFp8}, {}, 3);
  EXPECT_EQ(s.fitting, 0);
  EXPECT_NE(s.binding.find("memory"), std::string::npos) << s.binding;
}

TEST(Serving, TimesGrowWithConcurrencyAndLengths) {
  const ModelShape m = FindModel("llama3-70b").value();
  const Accelerator a = FindAccelerator("h200").value();
  const ServingModel model(m, a, Prior());
  ServeLayout l;
  l.decode.tp = 4;
  l.precision = Precision::kFp8;
  double tpot = 0, ttft = 0;
  for (double n = 1; n <= 2048; n *= 2) {
    const ServePrediction p = model.Predict(l, {1024, 1024, n});
    EXPECT_GE(p.tpot_s, tpot);
    EXPECT_GE(p.ttft_s, ttft);
    double sum = 0;
    for (const double s : p.parts) sum += s;
    EXPECT_NEAR(sum, p.tpot_s, 1e-12);
    tpot = p.tpot_s;
    ttft = p.ttft_s;
  }
  EXPECT_GT(model.Predict(l, {8192, 1024, 8}).ttft_s, model.Predict(l, {1024, 1024, 8}).ttft_s);
  // Weights are read once a step: at one sequence TPOT cannot be below bytes over bandwidth.
  EXPECT_GT(model.Predict(l, {128, 128, 1}).tpot_s,
            CountParameters(m).total() / 4 / a.memory_bytes_per_s * 0.95);
}

TEST(Serving, ConcurrencyBeyondTheCacheQueuesByLittlesLaw) {
  const ModelShape m = FindModel("llama3-70b").value();
  const Accelerator a = FindAccelerator("h100").value();
  const ServingModel model(m, a, Prior());
  ServeLayout l;
  l.decode.tp = 2;
  l.precision = Precision::kFp8;
  const ServePrediction full = model.Predict(l, {4096, 1024, 1e5});
  ASSERT_GT(full.fits, 1);
  EXPECT_NEAR(full.queued_s, (1e5 - full.fits) / full.fits * 1024 * full.tpot_s,
              1e-6 * full.queued_s);
}

TEST(AllReduce, FollowsTheRingAndTheMesh) {
  const Accelerator a100 = FindAccelerator("a100").value(), v100 = FindAccelerator("v100").value();
  const Coefficients c = Prior();
  EXPECT_EQ(AllReduceSeconds(a100, 1, 1e9, c), 0);
  // Large messages: 2 (n-1)/n bytes over the share of the link.
  EXPECT_NEAR(AllReduceSeconds(a100, 8, 1e11, c), 2 * 7.0 / 8 * 1e11 / (300e9 * c[kReduceLink]),
              1e-2);
  // Two members of the cube mesh share one ring of six.
  EXPECT_NEAR(AllReduceSeconds(v100, 2, 1e11, c), 1e11 / (150e9 / 6 * c[kReduceLink]), 1e-2);
  EXPECT_GT(AllReduceSeconds(a100, 64, 1e9, c), AllReduceSeconds(a100, 8, 1e9, c));
}

}  // namespace
}  // namespace weir::blueprint
