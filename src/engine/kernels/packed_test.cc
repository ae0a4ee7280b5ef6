// Goal:   packed products compute what their header defines, for every type, shape and instruction
//         set; a row's result is the same whatever came along.
// Method: random blocks of every type (any bytes are a legal block but for the scales), weights
//         read by the plain definitions of quant/decode.h. The exact part: inputs that int8 holds
//         without error (small integers with 127 among them) leave only f32 rounding. The rounding
//         of inputs is measured apart, against its bound.
#include "engine/kernels/packed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/random.h"
#include "engine/kernels/kernels.h"
#include "engine/kernels/quant/blocks.h"
#include "engine/kernels/quant/decode.h"

namespace weir::kernels {
namespace {

using Floats = std::vector<float>;

size_t At(int64_t i) { return static_cast<size_t>(i); }

// Rows of random blocks; scales of ordinary size.
std::vector<uint8_t> RandomStored(Random& random, DType type, int64_t out, int64_t in) {
  std::vector<uint8_t> bytes(At(out * RowBytes(type, in)));
  if (!IsQuantized(type)) {
    Floats x(At(out * in));
    for (float& f : x) f = static_cast<float>(random.Normal());
    FromF32(x.data(), out * in, type, bytes.data());
    return bytes;
  }
  const auto block = At(BlockBytes(type));
  const BlockFormat format = FormatOf(type);
  for (size_t b = 0; b < bytes.size(); b += block) {
    for (size_t i = 0; i < block; ++i) bytes[b + i] = static_cast<uint8_t>(random.Below(256));
    BlockParts parts;
    TakeApart(type, bytes.data() + b, &parts);
    parts.d = FloatToHalf(static_cast<float>(random.Normal() * 0.02));
    parts.m = format.has_min ? FloatToHalf(static_cast<float>(random.Normal() * 0.02)) : 0;
    PutTogether(type, parts, bytes.data() + b);
  }
  return bytes;
}

std::vector<double> Widen(DType type, const std::vector<uint8_t>& bytes, int64_t n) {
  std::vector<double> out;
  const int per = BlockElements(type);
  for (int64_t i = 0; i < n; ++i) {
    out.push_back(reference::Element(type, bytes.data() + i / per * BlockBytes(type),
                                     static_cast<int>(i % per)));
  }
  return out;
}

class Packed : public testing::TestWithParam<Isa> {
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
INSTANTIATE_TEST_SUITE_P(Isa, Packed, testing::Values(Isa::kPlain, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& param_info) {
                           return std::string(Name(param_info.param));
                         });

struct Shape {
  int64_t out, in;
};
std::vector<Shape> ShapesOf(DType type) {
  if (BlockElements(type) == 1) return {{1, 1}, {5, 3}, {16, 16}, {33, 70}, {47, 257}, {70, 600}};
  if (BlockElements(type) == 32) return {{1, 32}, {17, 96}, {64, 256}, {50, 288}, {81, 544}};
  return {{1, 256}, {17, 512}, {70, 768}};
}
constexpr int64_t kRows[] = {1, 2, 3, 5, 8, 9, 13, 16, 33};

Floats Times(ThreadPool* pool, const PackedMatrix& w, const float* x, int64_t rows) {
  Input input;
  input.Prepare(pool, x, rows, w.in(), w.form());
  Floats y(At(rows * w.out()), 7.0f);
  const Product product{&w, &input, y.data()};
  MatMul(pool, {&product, 1});
  return y;
}

TEST_P(Packed, ProductsEqualPlainLoopsOnInputsThatInt8Holds) {
  double worst = 0;
  for (const DType type : kAllDTypes) {
    for (const Shape s : ShapesOf(type)) {
      const std::vector<uint8_t> stored = RandomStored(random_, type, s.out, s.in);
      const std::vector<double> w = Widen(type, stored, s.out * s.in);
      const PackedMatrix packed = PackedMatrix::Pack(&pool_, {type, stored.data(), s.out, s.in});
      for (const int64_t rows : kRows) {
        // Whole numbers up to 127, one of them 127 in each 256: the scale is 1.
        Floats x(At(rows * s.in));
        for (size_t i = 0; i < x.size(); ++i) {
          x[i] = static_cast<float>(random_.Between(-127, 127));
          if (i % At(s.in) % 256 == 0) x[i] = 127;
        }
        const Floats y = Times(&pool_, packed, x.data(), rows);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t o = 0; o < s.out; ++o) {
            double sum = 0, size = 0;
            for (int64_t k = 0; k < s.in; ++k) {
              const double term = static_cast<double>(x[At(r * s.in + k)]) * w[At(o * s.in + k)];
              sum += term;
              size += std::fabs(term);
            }
            const double error =
                std::fabs(static_cast<double>(y[At(r * s.out + o)]) - sum) / (1e-6 + size);
            worst = std::max(worst, error);
            // Sums in f32 of up to 600 terms: 2^-24 for each rounding on the way, of which the
            // terms' sizes are what counts. Largest seen: 3e-7.
            ASSERT_LT(error, 1.5e-6) << NameOf(type) << " " << s.out << "x" << s.in << " row " << r
                                     << " of " << rows << " out " << o << " want " << sum;
          }
        }
      }
    }
  }
  std::printf("largest error, of the sum of |terms|: %.2g\n", worst);
}

TEST_P(Packed, RowsDoNotDependOnWhatComesAlong) {
  for (const DType type : kAllDTypes) {
    const Shape s = ShapesOf(type).back();
    const std::vector<uint8_t> stored = RandomStored(random_, type, s.out, s.in);
    const PackedMatrix packed = PackedMatrix::Pack(&pool_, {type, stored.data(), s.out, s.in});
    constexpr int64_t kMost = 41;
    Floats x(At(kMost * s.in));
    for (float& f : x) f = static_cast<float>(random_.Normal());
    Floats alone;
    for (int64_t r = 0; r < kMost; ++r) {
      const Floats one = Times(nullptr, packed, x.data() + r * s.in, 1);
      alone.insert(alone.end(), one.begin(), one.end());
    }
    for (const int64_t rows : {2, 3, 4, 5, 6, 7, 8, 9, 17, 24, 41}) {
      const Floats together = Times(&pool_, packed, x.data(), rows);
      ASSERT_EQ(0, std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)))
          << NameOf(type) << " rows " << rows;
    }
  }
}

TEST_P(Packed, AnInputServesSeveralProductsAndBiasAndSumsAreAdded) {
  const int64_t in = 512, rows = 11;
  const DType types[] = {DType::kQ4_K, DType::kQ6_K, DType::kQ8_0, DType::kBF16, DType::kF32};
  Floats x(At(rows * in));
  for (float& f : x) f = static_cast<float>(random_.Normal());
  std::vector<PackedMatrix> packed;
  InputForms forms = 0;
  for (const DType type : types) {
    const int64_t out = 20 + 16 * static_cast<int64_t>(packed.size());
    const std::vector<uint8_t> stored = RandomStored(random_, type, out, in);
    packed.push_back(PackedMatrix::Pack(nullptr, {type, stored.data(), out, in}));
    forms |= packed.back().form();
  }
  // A pick turns the rows round; a stride leaves something between them.
  const int64_t stride = in + 3;
  Floats spread(At(rows * stride), NAN);
  std::vector<int32_t> pick;
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(&spread[At((rows - 1 - r) * stride)], &x[At(r * in)], At(in) * sizeof(float));
    pick.push_back(static_cast<int32_t>(rows - 1 - r));
  }
  Input input;
  input.Prepare(&pool_, spread.data(), rows, in, forms, stride, pick.data());
  std::vector<Product> products;
  std::vector<Floats> y, bias;
  for (const PackedMatrix& w : packed) {
    y.emplace_back(At(rows * (w.out() + 5)), 3.0f);
    bias.emplace_back(At(w.out()));
    for (float& f : bias.back()) f = static_cast<float>(random_.Normal());
  }
  for (size_t i = 0; i < packed.size(); ++i) {
    products.push_back({&packed[i], &input, y[i].data(),
                        i % 2 ? Into::kAccumulate : Into::kOverwrite, packed[i].out() + 5,
                        bias[i].data()});
  }
  MatMul(&pool_, products);
  for (size_t i = 0; i < packed.size(); ++i) {
    const int64_t out = packed[i].out();
    const Floats plain = Times(nullptr, packed[i], x.data(), rows);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t o = 0; o < out + 5; ++o) {
        const float got = y[i][At(r * (out + 5) + o)];
        if (o >= out) {
          ASSERT_EQ(got, 3.0f) << "written past a row";
        } else {
          const float sum = plain[At(r * out + o)] + bias[i][At(o)];
          ASSERT_EQ(got, i % 2 ? sum + 3.0f : sum) << NameOf(packed[i].type());
        }
      }
    }
  }
}

TEST_P(Packed, RoundingTheInputCostsWhatTheHeaderSays) {
  // Q8_0 weights as the identity's multiples: y shows the rounded input itself.
  const int64_t n = 4096, in = 256;
  double error = 0, size = 0;
  const std::vector<uint8_t> stored = RandomStored(random_, DType::kQ8_0, 64, in);
  const std::vector<double> w = Widen(DType::kQ8_0, stored, 64 * in);
  const PackedMatrix packed = PackedMatrix::Pack(nullptr, {DType::kQ8_0, stored.data(), 64, in});
  Floats x(At(n / 64 * in));
  for (float& f : x) f = static_cast<float>(random_.Normal());
  const Floats y = Times(&pool_, packed, x.data(), n / 64);
  for (int64_t r = 0; r < n / 64; ++r) {
    for (int64_t o = 0; o < 64; ++o) {
      double sum = 0;
      for (int64_t k = 0; k < in; ++k) {
        sum += static_cast<double>(x[At(r * in + k)]) * w[At(o * in + k)];
      }
      const double e = static_cast<double>(y[At(r * 64 + o)]) - sum;
      error += e * e;
      size += sum * sum;
    }
  }
  const double relative = std::sqrt(error / size);
  std::printf("error of int8 inputs, relative to the norm of y: %.4f%%\n", 100 * relative);
  EXPECT_LT(relative, 0.008);
  EXPECT_GT(relative, 0.004) << "better than int8 can be: is it int8 at all?";
}

TEST_P(Packed, NonFiniteRowsStayAmongThemselves) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const DType type : kAllDTypes) {
    const std::vector<uint8_t> stored = RandomStored(random_, type, 20, 256);
    const PackedMatrix packed = PackedMatrix::Pack(nullptr, {type, stored.data(), 20, 256});
    Floats x(At(3 * 256), 1.0f);
    const Floats good = Times(nullptr, packed, x.data(), 3);
    for (const float bad : {nan, infinity, -infinity}) {
      x[256 + 77] = bad;
      const Floats y = Times(nullptr, packed, x.data(), 3);
      for (size_t o = 0; o < 20; ++o) {
        EXPECT_EQ(y[o], good[o]);
        EXPECT_EQ(y[40 + o], good[40 + o]);
        if (IsQuantized(type)) {
          EXPECT_TRUE(std::isnan(y[20 + o]));
        } else {
          EXPECT_FALSE(std::isfinite(y[20 + o])) << NameOf(type);
        }
      }
    }
    // All zero, and so small that the scale has no inverse.
    for (const float small : {0.0f, 1e-45f, -1e-38f}) {
      std::fill(x.begin(), x.end(), small);
      for (const float value : Times(nullptr, packed, x.data(), 3))
        EXPECT_LT(std::fabs(value), 1e-30f);
    }
  }
}

TEST_P(Packed, RowsComeBackAsToF32ReadsThem) {
  for (const DType type : kAllDTypes) {
    for (const Shape s : ShapesOf(type)) {
      const std::vector<uint8_t> stored = RandomStored(random_, type, s.out, s.in);
      const PackedMatrix packed = PackedMatrix::Pack(&pool_, {type, stored.data(), s.out, s.in});
      Floats want(At(s.in)), got(At(s.in));
      for (int64_t o = 0; o < s.out; ++o) {
        ToF32(type, stored.data() + o * RowBytes(type, s.in), s.in, want.data());
        packed.Row(o, got.data());
        ASSERT_EQ(0, std::memcmp(got.data(), want.data(), want.size() * sizeof(float)))
            << NameOf(type) << " row " << o;
      }
    }
  }
}

TEST(PackedMatrix, HasTheBytesOfItsFile) {
  for (const DType type : kAllDTypes) {
    EXPECT_EQ(PackedMatrix::PackedBytes(type, 64, 2048), 64 * RowBytes(type, 2048)) << NameOf(type);
    EXPECT_EQ(PackedMatrix::PackedBytes(type, 64, 5632), 64 * RowBytes(type, 5632)) << NameOf(type);
  }
}

TEST(PackedMatrix, NothingToMultiplyIsNoWork) {
  const PackedMatrix empty = PackedMatrix::Pack(nullptr, {DType::kQ4_0, nullptr, 0, 64});
  const PackedMatrix hollow = PackedMatrix::Pack(nullptr, {DType::kF32, nullptr, 3, 0});
  const float x = 1;
  Floats y = Times(nullptr, empty, &x, 0);
  EXPECT_TRUE(y.empty());
  y = Times(nullptr, hollow, &x, 2);
  EXPECT_EQ(y, Floats(6, 0.0f));
}

}  // namespace
}  // namespace weir::kernels
