// Goal:   the hand-written backward is the derivative of the model, and the model is the one that
//         plain loops in double describe.
#include "engine/train/model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "engine/kernels/reference.h"

namespace weir::train {
namespace {

using kernels::reference::Array;

model::ModelConfig Small(bool tied) {
  model::ModelConfig c;
  c.vocab_size = 23;
  c.dim = 12;
  c.layers = 2;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 4;
  c.ffn_dim = 20;
  c.max_seq = 16;
  c.tied_embeddings = tied;
  return c;
}

// The whole model as plain loops in double: logits [batch * seq, vocab].
Array ReferenceLogits(const model::ModelConfig& c, const Array& p,
                      const std::vector<int32_t>& inputs, int64_t batch, int64_t seq) {
  namespace ref = kernels::reference;
  const int64_t rows = batch * seq;
  const std::vector<Slice> slices = SlicesOf(c);
  const auto get = [&](const std::string& name) {
    for (const Slice& s : slices) {
      if (s.name == name) return Array(p.begin() + s.offset, p.begin() + s.offset + s.size);
    }
    ADD_FAILURE() << name;
    return Array{};
  };
  std::vector<int32_t> position;
  for (int64_t r = 0; r < rows; ++r) position.push_back(static_cast<int32_t>(r % seq));
  const Array embedding = get("model.embed_tokens.weight");
  Array x;
  for (const int32_t token : inputs) {
    x.insert(x.end(), embedding.begin() + token * c.dim, embedding.begin() + (token + 1) * c.dim);
  }
  const double eps = static_cast<double>(c.norm_eps), theta = static_cast<double>(c.rope_theta);
  for (int l = 0; l < c.layers; ++l) {
    const std::string at = fmt::format("model.layers.{}.", l);
    Array n = ref::RmsNorm(x, get(at + "input_layernorm.weight"), rows, c.dim, eps);
    const Array q =
        ref::Rope(ref::MatMul(n, get(at + "self_attn.q_proj.weight"), rows, c.dim, c.q_dim()),
                  position, rows, c.heads, c.head_dim, theta);
    const Array k =
        ref::Rope(ref::MatMul(n, get(at + "self_attn.k_proj.weight"), rows, c.dim, c.kv_dim()),
                  position, rows, c.kv_heads, c.head_dim, theta);
    const Array v = ref::MatMul(n, get(at + "self_attn.v_proj.weight"), rows, c.dim, c.kv_dim());
    const Array a =
        ref::MatMul(ref::Attention(q, k, v, batch, seq, c.heads, c.kv_heads, c.head_dim),
                    get(at + "self_attn.o_proj.weight"), rows, c.q_dim(), c.dim);
    for (size_t i = 0; i < x.size(); ++i) x[i] += a[i];
    n = ref::RmsNorm(x, get(at + "post_attention_layernorm.weight"), rows, c.dim, eps);
    const Array f = ref::MatMul(
        ref::SwiGlu(ref::MatMul(n, get(at + "mlp.gate_proj.weight"), rows, c.dim, c.ffn_dim),
                    ref::MatMul(n, get(at + "mlp.up_proj.weight"), rows, c.dim, c.ffn_dim)),
        get(at + "mlp.down_proj.weight"), rows, c.ffn_dim, c.dim);
    for (size_t i = 0; i < x.size(); ++i) x[i] += f[i];
  }
  x = ref::RmsNorm(x, get("model.norm.weight"), rows, c.dim, eps);
  return ref::MatMul(x, c.tied_embeddings ? embedding : get("lm_head.weight"), rows, c.dim,
                     c.vocab_size);
}

struct Sample {
  std::vector<int32_t> tokens, inputs, targets;
};
Sample RandomSample(int64_t batch, int64_t seq, int vocab) {
  Random random(7);
  Sample s;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i <= seq; ++i) {
      s.tokens.push_back(static_cast<int32_t>(random.Below(static_cast<uint64_t>(vocab))));
      if (i < seq) s.inputs.push_back(s.tokens.back());
      if (i > 0) s.targets.push_back(s.tokens.back());
    }
  }
  return s;
}

// Weights larger than at the start of training, so that every part of the model matters.
void Roughen(Model& model) {
  Random random(5);
  for (float& p : model.parameters()) p += static_cast<float>(random.Normal() * 0.3);
  model.RefreshStored();
  model.RefreshGains();
}

TEST(Model, LossAndEveryGradientEqualDifferencesOfPlainLoopsInDouble) {
  for (const bool tied : {true, false}) {
    const model::ModelConfig c = Small(tied);
    ASSERT_TRUE(model::Validate(c));
    kernels::ThreadPool pool(2);
    Model model(c, 2 * 7, 16, Storage::kF32, &pool);
    model.Initialize(1);
    Roughen(model);
    const Sample s = RandomSample(2, 7, c.vocab_size);
    const auto loss_of = [&](const Array& p) {
      return kernels::reference::CrossEntropy(ReferenceLogits(c, p, s.inputs, 2, 7), s.targets, 14,
                                              c.vocab_size);
    };
    Array p(model.parameters().begin(), model.parameters().end());
    model.ZeroGradients();
    const double loss = model.ForwardBackward(s.tokens, 2, 7, 0.5f);
    EXPECT_NEAR(loss, loss_of(p), 1e-4);
    EXPECT_NEAR(model.Loss(s.tokens, 2, 7), loss, 1e-9);
    double worst = 0;
    for (const Slice& slice : model.slices()) {
      for (int64_t i = slice.offset; i < slice.offset + slice.size; ++i) {
        const double at = p[static_cast<size_t>(i)];
        p[static_cast<size_t>(i)] = at + 1e-5;
        const double up = loss_of(p);
        p[static_cast<size_t>(i)] = at - 1e-5;
        const double want = 0.5 * (up - loss_of(p)) / 2e-5;
        p[static_cast<size_t>(i)] = at;
        const double got = static_cast<double>(model.gradients()[static_cast<size_t>(i)]);
        worst = std::max(worst, std::fabs(got - want) / (1.0 + std::fabs(want)));
        ASSERT_NEAR(got, want, 1e-4 * (1.0 + std::fabs(want))) << slice.name << " " << i;
      }
    }
    RecordProperty("worst", std::to_string(worst));
  }
}

TEST(Model, LogitsEqualPlainLoops) {
  const model::ModelConfig c = Small(true);
  Model model(c, 14, 16, Storage::kF32, nullptr);
  model.Initialize(1);
  Roughen(model);
  const Sample s = RandomSample(1, 7, c.vocab_size);
  const std::vector<float> got = model.Logits(s.inputs);
  const Array want = ReferenceLogits(c, Array(model.parameters().begin(), model.parameters().end()),
                                     s.inputs, 1, 7);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(static_cast<double>(got[i]), want[i], 1e-4);
}

TEST(Model, ResultsDoNotDependOnTheNumberOfThreads) {
  const model::ModelConfig c = Small(true);
  std::vector<float> first;
  for (const int threads : {1, 2, 3}) {
    kernels::ThreadPool pool(threads);
    Model model(c, 14, 16, Storage::kF32, &pool);
    model.Initialize(3);
    const Sample s = RandomSample(2, 7, c.vocab_size);
    (void)model.ForwardBackward(s.tokens, 2, 7, 1.0f);
    const std::vector<float> gradients(model.gradients().begin(), model.gradients().end());
    if (threads == 1) first = gradients;
    EXPECT_EQ(gradients, first);
  }
}

TEST(Model, Bf16StorageStaysNearF32) {
  const model::ModelConfig c = Small(true);
  const Sample s = RandomSample(2, 7, c.vocab_size);
  Model exact(c, 14, 16, Storage::kF32, nullptr), rounded(c, 14, 16, Storage::kBf16, nullptr);
  exact.Initialize(1);
  rounded.Initialize(1);
  Roughen(exact);
  Roughen(rounded);
  const double a = exact.Loss(s.tokens, 2, 7), b = rounded.Loss(s.tokens, 2, 7);
  EXPECT_NE(a, b);
  EXPECT_NEAR(a, b, 0.02 * a);
}

TEST(Model, FlopsOfTheSmallGptShapeAreSixPerMultipliedParameterAndToken) {
  model::ModelConfig c;
  c.vocab_size = 50304;
  c.dim = 768;
  c.layers = 12;
  c.heads = c.kv_heads = 12;
  c.head_dim = 64;
  c.ffn_dim = 2048;
  c.max_seq = 1024;
  EXPECT_NEAR(FlopsPerToken(c, 0), 6.0 * static_cast<double>(model::ParameterCount(c)),
              6.0 * 25 * 768);  // all but the gains
  EXPECT_NEAR(FlopsPerToken(c, 1024) - FlopsPerToken(c, 0), 6.0 * 12 * 1024 * 768, 1);
}

}  // namespace
}  // namespace weir::train
