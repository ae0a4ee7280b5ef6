// Goal:   every kernel computes what reference.h defines, and every backward is the derivative of
// it,
//         on each instruction set that this machine has.
// Method: random inputs from one seed; forward against the plain loops in double; backward against
//         central differences, in double, of the plain loops. Shapes straddle vectors and tiles.
#include "engine/kernels/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "base/random.h"
#include "engine/kernels/reference.h"

namespace weir::kernels {
namespace {

using reference::Array;
using Floats = std::vector<float>;

Floats RandomFloats(Random& random, int64_t n, double spread = 1.0) {
  Floats x(static_cast<size_t>(n));
  for (float& f : x) f = static_cast<float>(random.Normal() * spread);
  return x;
}
Array Wide(const Floats& x) { return Array(x.begin(), x.end()); }

// The largest |got - want| / (1 + |want|).
double Error(const Floats& got, const Array& want) {
  EXPECT_EQ(got.size(), want.size());
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double e = std::fabs(static_cast<double>(got[i]) - want[i]) / (1.0 + std::fabs(want[i]));
    if (!(e <= worst)) worst = e;  // a NaN shows
  }
  return worst;
}

// d f / d x by central differences in double. With step 1e-5 on values near 1 the truncation error
// is near 1e-10 and the rounding error near 1e-11.
Array Differences(const std::function<double(const Array&)>& f, Array x) {
  Array gradient(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double at = x[i], h = 1e-5;
    x[i] = at + h;
    const double up = f(x);
    x[i] = at - h;
    gradient[i] = (up - f(x)) / (2 * h);
    x[i] = at;
  }
  return gradient;
}
double Dot(const Array& a, const Array& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// f32 rounding of sums of some tens of products; the largest seen on all shapes below is 4e-6.
constexpr double kTolerance = 2e-5;

class Kernels : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override {
    before_ = ActiveIsa();
    if (!SetIsa(GetParam())) GTEST_SKIP() << "this machine has no " << Name(GetParam());
  }
  void TearDown() override { SetIsa(before_); }
  Random random_{20261122};
  ThreadPool pool_{3};
  Isa before_ = Isa::kPlain;
};
INSTANTIATE_TEST_SUITE_P(Isa, Kernels, testing::Values(Isa::kPlain, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& param_info) {
                           return std::string(Name(param_info.param));
                         });

struct GemmCase {
  int64_t m, n, k;
};

TEST_P(Kernels, ProductsInEveryFormEqualPlainLoops) {
  double worst = 0;
  for (const GemmCase c : {GemmCase{1, 1, 1},
                           {0, 5, 3},
                           {5, 0, 3},
                           {3, 4, 0},
                           {14, 32, 16},
                           {15, 33, 17},
                           {13, 31, 15},
                           {29, 65, 403},
                           {283, 40, 9},
                           {6, 130, 801},
                           {64, 64, 64},
                           {2, 3, 1000}}) {
    for (const Form form : {Form::kNN, Form::kNT, Form::kTN}) {
      for (const Into into : {Into::kOverwrite, Into::kAccumulate}) {
        const bool at = form == Form::kTN, bt = form == Form::kNT;
        const int64_t lda = (at ? c.m : c.k) + 3, ldb = (bt ? c.k : c.n) + 1, ldc = c.n + 2;
        const Floats a = RandomFloats(random_, (at ? c.k : c.m) * lda);
        const Floats b = RandomFloats(random_, (bt ? c.n : c.k) * ldb);
        Floats got = RandomFloats(random_, c.m * ldc);
        Array want = Wide(got);
        for (int64_t i = 0; i < c.m; ++i) {
          for (int64_t j = 0; j < c.n; ++j) {
            double sum = into == Into::kAccumulate ? want[static_cast<size_t>(i * ldc + j)] : 0.0;
            for (int64_t l = 0; l < c.k; ++l) {
              sum += static_cast<double>(a[static_cast<size_t>(at ? l * lda + i : i * lda + l)]) *
                     static_cast<double>(b[static_cast<size_t>(bt ? j * ldb + l : l * ldb + j)]);
            }
            want[static_cast<size_t>(i * ldc + j)] = sum;
          }
        }
        Floats alone = got;
        const Gemm g{form, into, c.m, c.n, c.k, a.data(), lda, b.data(), ldb, got.data(), ldc};
        Sgemm(&pool_, g);
        Gemm serial = g;
        serial.c = alone.data();
        Sgemm(nullptr, serial);
        EXPECT_EQ(got, alone) << "threads changed the result";
        const double error = Error(got, want);
        EXPECT_LT(error, 1e-4) << c.m << "x" << c.n << "x" << c.k << " form "
                               << static_cast<int>(form);
        worst = std::max(worst, error);
      }
    }
  }
  RecordProperty("worst", std::to_string(worst));
}

TEST_P(Kernels, ProductsWithStoredWeightsEqualThoseWithTheSameWeightsWidened) {
  for (const DType type : {DType::kF32, DType::kBF16, DType::kF16, DType::kQ8_0}) {
    for (const int64_t rows : {1, 2, 3, 5, 8, 9, 40}) {
      for (const GemmCase c : {GemmCase{0, 37, 96}, {0, 70, 512}, {0, 33, 1056}}) {
        const Floats w = RandomFloats(random_, c.n * c.k);
        std::vector<uint8_t> stored(static_cast<size_t>(c.n * RowBytes(type, c.k)));
        FromF32(w.data(), c.n * c.k, type, stored.data());
        Floats widened(w.size());
        ToF32(type, stored.data(), c.n * c.k, widened.data());
        if (type == DType::kF32) {
          EXPECT_EQ(widened, w);
        }
        const Weights weights{type, stored.data(), c.n, c.k};
        const Floats x = RandomFloats(random_, rows * c.k);
        Floats y(static_cast<size_t>(rows * c.n), 1.0f);
        MatMul(&pool_, x.data(), rows, weights, y.data());
        EXPECT_LT(Error(y, reference::MatMul(Wide(x), Wide(widened), rows, c.k, c.n)), 1e-4)
            << NameOf(type) << " rows " << rows;

        if (type == DType::kQ8_0 && c.n % 32 != 0) continue;  // the way back is never quantized
        const Floats dy = RandomFloats(random_, rows * c.n);
        Floats dx(static_cast<size_t>(rows * c.k), 1.0f);
        MatMulBack(&pool_, dy.data(), rows, weights, dx.data(), Into::kAccumulate);
        Array want(dx.size(), 1.0);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < c.n; ++o) {
            for (int64_t i = 0; i < c.k; ++i) {
              want[static_cast<size_t>(r * c.k + i)] +=
                  static_cast<double>(dy[static_cast<size_t>(r * c.n + o)]) *
                  static_cast<double>(widened[static_cast<size_t>(o * c.k + i)]);
            }
          }
        }
        EXPECT_LT(Error(dx, want), 1e-4) << NameOf(type);
      }
    }
  }
}

TEST_P(Kernels, ShortFormatsRoundToNearestEven) {
  // Every finite half and bf16 survives the way to f32 and back.
  for (const DType type : {DType::kBF16, DType::kF16}) {
    std::vector<uint16_t> all(65536), back(65536);
    for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
    Floats wide(65536);
    ToF32(type, all.data(), 65536, wide.data());
    FromF32(wide.data(), 65536, type, back.data());
    for (size_t i = 0; i < all.size(); ++i) {
      if (std::isnan(wide[i])) {
        EXPECT_TRUE(back[i] & (type == DType::kBF16 ? 0x7F : 0x3FF)) << i;
      } else {
        ASSERT_EQ(back[i], all[i]) << NameOf(type) << " " << wide[i];
      }
    }
    // Half way between two neighbours goes to the even one; a hair above goes up.
    for (size_t i = 0; i + 1 < 0x7BFF; i += 7) {
      const float low = wide[i], high = wide[i + 1];
      if (!std::isfinite(high)) break;
      const float middle = low + (high - low) / 2;
      const float above = std::nextafter(middle, std::numeric_limits<float>::infinity());
      uint16_t got[2];
      const float in[2] = {middle, above};
      FromF32(in, 2, type, got);
      // (bf16's smallest neighbours have no f32 between them that is exact: skip these.)
      if (middle == low || middle == high) continue;
      EXPECT_EQ(got[0] % 2, 0) << middle;
      EXPECT_EQ(got[1], i + 1) << middle;
    }
  }
  const float big[] = {65519.0f, 65520.0f, 1e30f, -1e30f};
  uint16_t half[4];
  FromF32(big, 4, DType::kF16, half);
  EXPECT_EQ(half[0], 0x7BFF);
  EXPECT_EQ(half[1], 0x7C00);
  EXPECT_EQ(half[2], 0x7C00);
  EXPECT_EQ(half[3], 0xFC00);
}

TEST_P(Kernels, RmsNormAndItsGradient) {
  for (const int64_t dim : {1, 3, 16, 31, 48}) {
    const int64_t rows = 5;
    const Floats x = RandomFloats(random_, rows * dim), gain = RandomFloats(random_, dim),
                 dy = RandomFloats(random_, rows * dim);
    Floats y(x.size()), inv(static_cast<size_t>(rows));
    RmsNorm(&pool_, x.data(), gain.data(), rows, dim, 1e-5f, y.data(), inv.data());
    EXPECT_LT(Error(y, reference::RmsNorm(Wide(x), Wide(gain), rows, dim, 1e-5)), kTolerance);
    Floats dx(x.size(), 0.0f), dgain(gain.size(), 0.0f);
    RmsNormBackward(&pool_, dy.data(), x.data(), gain.data(), inv.data(), rows, dim, dx.data(),
                    dgain.data());
    const auto by_x = [&](const Array& v) {
      return Dot(reference::RmsNorm(v, Wide(gain), rows, dim, 1e-5), Wide(dy));
    };
    const auto by_gain = [&](const Array& v) {
      return Dot(reference::RmsNorm(Wide(x), v, rows, dim, 1e-5), Wide(dy));
    };
    EXPECT_LT(Error(dx, Differences(by_x, Wide(x))), kTolerance) << dim;
    EXPECT_LT(Error(dgain, Differences(by_gain, Wide(gain))), kTolerance) << dim;
  }
}

TEST_P(Kernels, RopeAndItsGradient) {
  for (const int64_t head_dim : {2, 6, 16, 40, 64}) {
    const int64_t rows = 4, heads = 3, stride = heads * head_dim;
    const std::vector<int32_t> position = {0, 7, 3, 100};
    const RopeTable table = MakeRopeTable(head_dim, 101, 10000.0);
    const Floats x = RandomFloats(random_, rows * stride),
                 dy = RandomFloats(random_, rows * stride);
    Floats y = x;
    Rope(&pool_, table, position.data(), rows, heads, stride, y.data());
    EXPECT_LT(Error(y, reference::Rope(Wide(x), position, rows, heads, head_dim, 10000.0)),
              kTolerance);
    Floats dx = dy;
    Rope(&pool_, table, position.data(), rows, heads, stride, dx.data(), Turn::kBackward);
    const auto f = [&](const Array& v) {
      return Dot(reference::Rope(v, position, rows, heads, head_dim, 10000.0), Wide(dy));
    };
    EXPECT_LT(Error(dx, Differences(f, Wide(x))), kTolerance);
  }
}

TEST_P(Kernels, SwiGluAndItsGradient) {
  for (const int64_t cols : {1, 15, 16, 35}) {
    const int64_t rows = 3;
    const Floats gate = RandomFloats(random_, rows * cols, 3.0),
                 up = RandomFloats(random_, rows * cols), dy = RandomFloats(random_, rows * cols);
    Floats y(gate.size()), dgate(gate.size()), dup(gate.size());
    SwiGlu(&pool_, gate.data(), up.data(), rows, cols, cols, y.data());
    EXPECT_LT(Error(y, reference::SwiGlu(Wide(gate), Wide(up))), kTolerance);
    SwiGluBackward(&pool_, dy.data(), gate.data(), up.data(), rows, cols, cols, dgate.data(),
                   dup.data());
    const auto by_gate = [&](const Array& v) {
      return Dot(reference::SwiGlu(v, Wide(up)), Wide(dy));
    };
    const auto by_up = [&](const Array& v) {
      return Dot(reference::SwiGlu(Wide(gate), v), Wide(dy));
    };
    EXPECT_LT(Error(dgate, Differences(by_gate, Wide(gate))), kTolerance);
    EXPECT_LT(Error(dup, Differences(by_up, Wide(up))), kTolerance);
  }
  const Floats far = {-1000.0f, 1000.0f, -88.0f, 88.0f};
  Floats y(4);
  SwiGlu(nullptr, far.data(), far.data(), 1, 4, 4, y.data());
  EXPECT_NEAR(y[0], 0.0f, 1e-6);
  EXPECT_FLOAT_EQ(y[1], 1e6f);
}

TEST_P(Kernels, AttentionAndItsGradient) {
  struct Case {
    int64_t batch, seq, heads, kv_heads, head_dim;
  };
  for (const Case c : {Case{1, 1, 1, 1, 2}, {2, 5, 4, 2, 6}, {1, 17, 3, 1, 16}, {1, 70, 2, 2, 8}}) {
    const int64_t rows = c.batch * c.seq, wide = c.heads * c.head_dim,
                  narrow = c.kv_heads * c.head_dim;
    const Floats q = RandomFloats(random_, rows * wide), k = RandomFloats(random_, rows * narrow),
                 v = RandomFloats(random_, rows * narrow), dy = RandomFloats(random_, rows * wide);
    const AttentionShape shape{c.batch, c.seq,  c.heads, c.kv_heads, c.head_dim,
                               wide,    narrow, narrow,  wide};
    Floats out(q.size()), lse(static_cast<size_t>(c.batch * c.heads * c.seq));
    Attention(&pool_, shape, q.data(), k.data(), v.data(), out.data(), lse.data());
    const auto plain = [&](const Array& qq, const Array& kk, const Array& vv) {
      return reference::Attention(qq, kk, vv, c.batch, c.seq, c.heads, c.kv_heads, c.head_dim);
    };
    EXPECT_LT(Error(out, plain(Wide(q), Wide(k), Wide(v))), kTolerance);

    Floats dq(q.size(), 9.0f), dk(k.size(), 9.0f), dv(v.size(), 9.0f);
    AttentionBackward(&pool_, shape, q.data(), k.data(), v.data(), out.data(), lse.data(),
                      dy.data(), dq.data(), dk.data(), dv.data());
    if (c.seq > 20) {  // differences over everything would take seconds: one position in seven
      Floats dq2(q.size()), dk2(k.size()), dv2(v.size());
      AttentionBackward(nullptr, shape, q.data(), k.data(), v.data(), out.data(), lse.data(),
                        dy.data(), dq2.data(), dk2.data(), dv2.data());
      EXPECT_EQ(dk, dk2) << "threads changed the result";
      for (size_t i = 0; i < k.size(); i += 97) {
        Array at = Wide(k);
        at[i] += 1e-5;
        const double up = Dot(plain(Wide(q), at, Wide(v)), Wide(dy));
        at[i] -= 2e-5;
        const double d = (up - Dot(plain(Wide(q), at, Wide(v)), Wide(dy))) / 2e-5;
        EXPECT_NEAR(static_cast<double>(dk[i]), d, 1e-4);
      }
      continue;
    }
    EXPECT_LT(
        Error(dq,
              Differences([&](const Array& x) { return Dot(plain(x, Wide(k), Wide(v)), Wide(dy)); },
                          Wide(q))),
        kTolerance);
    EXPECT_LT(
        Error(dk,
              Differences([&](const Array& x) { return Dot(plain(Wide(q), x, Wide(v)), Wide(dy)); },
                          Wide(k))),
        kTolerance);
    EXPECT_LT(
        Error(dv,
              Differences([&](const Array& x) { return Dot(plain(Wide(q), Wide(k), x), Wide(dy)); },
                          Wide(v))),
        kTolerance);
  }
}

TEST_P(Kernels, CrossEntropyAndItsGradient) {
  for (const int64_t cols : {1, 2, 16, 37, 100}) {
    const int64_t rows = 4;
    const Floats logits = RandomFloats(random_, rows * cols, 3.0);
    std::vector<int32_t> target = {0, -1, static_cast<int32_t>(cols - 1),
                                   static_cast<int32_t>(cols / 2)};
    Floats gradient = logits, loss(4);
    CrossEntropy(&pool_, gradient.data(), target.data(), rows, cols, 0.25f, Gradient::kYes,
                 loss.data());
    EXPECT_NEAR(static_cast<double>(loss[0] + loss[1] + loss[2] + loss[3]),
                reference::CrossEntropy(Wide(logits), target, rows, cols), 1e-4);
    const auto f = [&](const Array& x) {
      return 0.25 * reference::CrossEntropy(x, target, rows, cols);
    };
    EXPECT_LT(Error(gradient, Differences(f, Wide(logits))), kTolerance);
  }
  Floats far = {1000.0f, -1000.0f};  // no overflow where exp would have one
  float loss = 0;
  const int32_t target = 1;
  CrossEntropy(nullptr, far.data(), &target, 1, 2, 1.0f, Gradient::kYes, &loss);
  EXPECT_FLOAT_EQ(loss, 2000.0f);
}

TEST_P(Kernels, SoftmaxSumsToOne) {
  Floats x = RandomFloats(random_, 3 * 37, 5.0);
  const Array in = Wide(x);
  Softmax(&pool_, x.data(), 3, 37);
  for (size_t r = 0; r < 3; ++r) {
    double sum = 0;
    for (size_t c = 0; c < 37; ++c) sum += std::exp(in[r * 37 + c]);
    for (size_t c = 0; c < 37; ++c)
      EXPECT_NEAR(x[r * 37 + c], std::exp(in[r * 37 + c]) / sum, 1e-6);
  }
}

TEST_P(Kernels, EmbeddingRowsGoOutAndTheirGradientsComeBackToThem) {
  const int64_t vocab = 9, dim = 70, rows = 6;
  const std::vector<int32_t> token = {3, 3, 0, 8, 3, 0};
  const Floats table = RandomFloats(random_, vocab * dim), dy = RandomFloats(random_, rows * dim);
  Floats y(static_cast<size_t>(rows * dim));
  Embed(&pool_, {DType::kF32, table.data(), vocab, dim}, token.data(), rows, y.data());
  Floats dtable(table.size(), 0.0f);
  EmbedBackward(&pool_, dy.data(), token.data(), rows, dim, dtable.data());
  Array want(table.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < dim; ++c) {
      const auto at = static_cast<size_t>(token[static_cast<size_t>(r)] * dim + c);
      EXPECT_EQ(y[static_cast<size_t>(r * dim + c)], table[at]);
      want[at] += static_cast<double>(dy[static_cast<size_t>(r * dim + c)]);
    }
  }
  EXPECT_LT(Error(dtable, want), kTolerance);
}

TEST_P(Kernels, AdamWFollowsItsFormula) {
  for (const int64_t n : {1, 15, 33, 40000}) {
    Floats p = RandomFloats(random_, n), m(p.size(), 0.0f), v(p.size(), 0.0f);
    Array wp = Wide(p), wm(p.size()), wv(p.size());
    std::vector<uint16_t> bf16(p.size()), rounded(p.size());
    for (int64_t step = 1; step <= 3; ++step) {
      const Floats g = RandomFloats(random_, n);
      const AdamW how{.lr = 0.01f,
                      .beta1 = 0.9f,
                      .beta2 = 0.95f,
                      .eps = 1e-8f,
                      .weight_decay = 0.1f,
                      .grad_scale = 0.5f,
                      .step = step};
      AdamWStep(&pool_, how, n, g.data(), p.data(), m.data(), v.data(), bf16.data());
      for (size_t i = 0; i < p.size(); ++i) {
        const double gi = 0.5 * static_cast<double>(g[i]);
        wm[i] = 0.9 * wm[i] + 0.1 * gi;
        wv[i] = 0.95 * wv[i] + 0.05 * gi * gi;
        const double c1 = 1 - std::pow(0.9, step), c2 = 1 - std::pow(0.95, step);
        wp[i] -= 0.01 * (wm[i] / c1 / (std::sqrt(wv[i] / c2) + 1e-8) + 0.1 * wp[i]);
      }
    }
    EXPECT_LT(Error(p, wp), kTolerance);
    FromF32(p.data(), n, DType::kBF16, rounded.data());
    EXPECT_EQ(bf16, rounded);
  }
}

TEST_P(Kernels, SumsAndNonFiniteValuesAreFoundAnywhere) {
  for (const int64_t n : {0, 1, 17, 16384, 40001}) {
    Floats x = RandomFloats(random_, n);
    EXPECT_NEAR(SumOfSquares(&pool_, x.data(), n), Dot(Wide(x), Wide(x)), 1e-6 * (1.0 + n));
    EXPECT_FALSE(HasNonFinite(&pool_, x.data(), n));
    if (n == 0) continue;
    x.back() = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(HasNonFinite(&pool_, x.data(), n));
    x.back() = -std::numeric_limits<float>::infinity();
    EXPECT_TRUE(HasNonFinite(&pool_, x.data(), n));
  }
}

TEST_P(Kernels, RopeWithGivenFrequenciesTurnsInBothLayouts) {
  for (const int64_t head_dim : {2, 8, 40, 128}) {
    for (const int64_t turned : {head_dim, head_dim / 4 * 2}) {
      const int64_t rows = 3, heads = 2, half = turned / 2, stride = heads * head_dim + 5;
      const std::vector<int32_t> position = {0, 5, 90000};
      std::vector<double> inv_freq;
      for (int64_t i = 0; i < half; ++i) inv_freq.push_back(std::pow(10000.0, -2.0 * i / turned));
      const double magnitude = 1.25;
      RopeTurns turns;
      turns.Set(inv_freq, magnitude, position);
      for (const RopeLayout layout : {RopeLayout::kHalves, RopeLayout::kNeighbours}) {
        Floats x = RandomFloats(random_, rows * stride);
        Array want = Wide(x);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t h = 0; h < heads; ++h) {
            for (int64_t i = 0; i < half; ++i) {
              const auto at = static_cast<size_t>(r * stride + h * head_dim);
              const bool halves = layout == RopeLayout::kHalves;
              double& a = want[at + static_cast<size_t>(halves ? i : 2 * i)];
              double& b = want[at + static_cast<size_t>(halves ? i + half : 2 * i + 1)];
              const double angle =
                  position[static_cast<size_t>(r)] * inv_freq[static_cast<size_t>(i)];
              const double c = magnitude * std::cos(angle), s = magnitude * std::sin(angle);
              const double turned_a = a * c - b * s;
              b = b * c + a * s;
              a = turned_a;
            }
          }
        }
        Rope(&pool_, turns, layout, heads, head_dim, stride, x.data());
        EXPECT_LT(Error(x, want), kTolerance) << head_dim << " turned " << turned;
      }
    }
  }
}

TEST_P(Kernels, HeadNormIsRmsNormOfEachHead) {
  const int64_t rows = 3, heads = 4, head_dim = 24, stride = heads * head_dim + 3;
  Floats x = RandomFloats(random_, rows * stride);
  const Floats gain = RandomFloats(random_, head_dim), before = x;
  HeadNorm(&pool_, gain.data(), rows, heads, head_dim, stride, 1e-6f, x.data());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t h = 0; h < heads; ++h) {
      const auto at = r * stride + h * head_dim;
      const Floats got(x.begin() + at, x.begin() + at + head_dim);
      const Floats in(before.begin() + at, before.begin() + at + head_dim);
      EXPECT_LT(Error(got, reference::RmsNorm(Wide(in), Wide(gain), 1, head_dim, 1e-6)),
                kTolerance);
    }
    for (int64_t i = heads * head_dim; i < stride; ++i) {
      EXPECT_EQ(x[static_cast<size_t>(r * stride + i)],
                before[static_cast<size_t>(r * stride + i)]);
    }
  }
}

TEST_P(Kernels, GeGluAndSoftCapFollowTheirFormulas) {
  for (const int64_t cols : {1, 15, 33, 100}) {
    const int64_t rows = 2, stride = cols + 1;
    const Floats gate = RandomFloats(random_, rows * stride, 3.0),
                 up = RandomFloats(random_, rows * stride);
    Floats out(static_cast<size_t>(rows * cols));
    GeGlu(&pool_, gate.data(), up.data(), rows, cols, stride, out.data());
    Array want;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) {
        const double g = static_cast<double>(gate[static_cast<size_t>(r * stride + c)]);
        const double u = static_cast<double>(up[static_cast<size_t>(r * stride + c)]);
        want.push_back(0.5 * g * (1 + std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g))) *
                       u);
      }
    }
    EXPECT_LT(Error(out, want), kTolerance);
  }
  Floats x = RandomFloats(random_, 77, 40.0);
  x[3] = 1e30f;
  x[4] = -1e30f;
  Array want;
  for (const float f : x) want.push_back(30 * std::tanh(static_cast<double>(f) / 30));
  SoftCap(&pool_, 30.0f, 77, x.data());
  EXPECT_LT(Error(x, want), kTolerance);
}

TEST(ThreadPool, SharesCoverAllOnce) {
  for (const int threads : {1, 2, 5, 64}) {
    ThreadPool pool(threads);
    for (int64_t n = 0; n < 150; n += 1 + n / 7) {
      for (const int64_t grain : {1, 3, 50}) {
        std::vector<int> hits(static_cast<size_t>(n), 0);
        pool.ForShares(n, grain, [&](int64_t begin, int64_t end) {
          ASSERT_LT(begin, end);
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        for (const int h : hits) ASSERT_EQ(h, 1);
        pool.For(n, [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
        for (const int h : hits) ASSERT_EQ(h, 2);
      }
    }
  }
}

TEST(ThreadPool, OneThreadStandsForEachPhysicalCore) {
  const std::vector<int> all = {3, 1, 0, 2, 5, 4};
  const auto listed = [](std::vector<std::string> lists) {
    return [lists](int core) { return lists[static_cast<size_t>(core)]; };
  };
  EXPECT_EQ(OnePerCore(all, listed({"0-1", "0-1", "2,4", "3", "2,4", "5"})),
            (std::vector<int>{0, 2, 3, 5}));
  EXPECT_EQ(OnePerCore(all, listed({"", "", "", "", "", ""})),
            (std::vector<int>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(OnePerCore(all, listed({"0-2,5", "x", "3-1", "", "4,", "9"})),
            (std::vector<int>{0, 3, 4}));
  EXPECT_EQ(OnePerCore({}, listed({})), std::vector<int>{});
}

TEST(ThreadPool, RunsEachIndexOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int64_t round = 0; round < 200; ++round) {
      std::vector<int> hits(static_cast<size_t>(round), 0);
      pool.For(round, [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
      for (const int h : hits) ASSERT_EQ(h, 1);
    }
  }
}

}  // namespace
}  // namespace weir::kernels
