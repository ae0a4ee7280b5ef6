// Goal:   every block format is read as it is defined, written so that it reads back near what was
//         given, and better with importance where importance is.
// Method: blocks built by hand with values worked out on paper; random bytes against decode.h
// (which
//         shares no code with blocks.cc); encoders against bounds and against plain rounding.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/random.h"
#include "engine/kernels/dtype.h"
#include "engine/kernels/quant/blocks.h"
#include "engine/kernels/quant/decode.h"
#include "engine/kernels/quant/encode.h"

namespace weir::kernels {
namespace {

using Floats = std::vector<float>;
using Bytes = std::vector<uint8_t>;

Floats Read(DType type, const Bytes& bytes, int64_t n) {
  Floats out(static_cast<size_t>(n));
  ToF32(type, bytes.data(), n, out.data());
  return out;
}

TEST(Blocks, NamesSizesAndIdsAreGgufs) {
  EXPECT_EQ(NameOf(DType::kQ4_K), "Q4_K");
  EXPECT_EQ(DTypeNamed("q4_k"), DType::kQ4_K);
  EXPECT_EQ(DTypeNamed("bf16"), DType::kBF16);
  EXPECT_EQ(DTypeNamed("Q4"), std::nullopt);
  EXPECT_EQ(DTypeOfGgufId(14), DType::kQ6_K);
  EXPECT_EQ(DTypeOfGgufId(16), std::nullopt);
  EXPECT_EQ(GgufTypeName(16), "IQ2_XXS");
  EXPECT_EQ(GgufTypeName(30), "BF16");
  EXPECT_EQ(GgufTypeName(4000), "?");
  EXPECT_EQ(BytesOf(DType::kQ6_K, 512), 420);
  EXPECT_EQ(BytesOf(DType::kQ6_K, 500), std::nullopt);
  EXPECT_EQ(BytesOf(DType::kF32, INT64_MAX / 2), std::nullopt);
  EXPECT_EQ(BytesOf(DType::kQ8_0, -32), std::nullopt);
  EXPECT_DOUBLE_EQ(BitsPerElement(DType::kQ4_K), 4.5);
  for (const DType type : kAllDTypes) {
    EXPECT_EQ(DTypeNamed(NameOf(type)), type);
    EXPECT_EQ(DTypeOfGgufId(GgufId(type)), type);
    EXPECT_EQ(GgufTypeName(GgufId(type)), NameOf(type));
  }
}

// Half 1.0 is 0x3C00, 2.0 0x4000, 0.5 0x3800, -1.0 0xBC00.
TEST(Blocks, SmallFormatsByHand) {
  {
    Bytes b(34);  // d = 0.5; q = -128, 127, 3
    b[1] = 0x38;
    b[2] = 0x80;
    b[3] = 0x7F;
    b[33] = 3;
    const Floats x = Read(DType::kQ8_0, b, 32);
    EXPECT_EQ(x[0], -64.0f);
    EXPECT_EQ(x[1], 63.5f);
    EXPECT_EQ(x[31], 1.5f);
  }
  {
    Bytes b(18, 0x88);  // every nibble 8: zero
    b[0] = 0;
    b[1] = 0x40;
    b[2] = 0xF0;  // element 0 is 0 - 8, element 16 is 15 - 8, times 2
    const Floats x = Read(DType::kQ4_0, b, 32);
    EXPECT_EQ(x[0], -16.0f);
    EXPECT_EQ(x[16], 14.0f);
    EXPECT_EQ(x[1], 0.0f);
  }
  {
    Bytes b(20);  // d = 2, m = -1
    b[1] = 0x40;
    b[3] = 0xBC;
    b[4] = 0x51;
    const Floats x = Read(DType::kQ4_1, b, 32);
    EXPECT_EQ(x[0], 1.0f);
    EXPECT_EQ(x[16], 9.0f);
    EXPECT_EQ(x[2], -1.0f);
  }
  {
    Bytes b(22);  // d = 1; fifth bits of elements 0 and 17
    b[1] = 0x3C;
    b[2] = 0x01;
    b[4] = 0x02;
    b[6] = 0x03;
    b[7] = 0x70;
    const Floats x = Read(DType::kQ5_0, b, 32);
    EXPECT_EQ(x[0], 3.0f);   // 16 + 3 - 16
    EXPECT_EQ(x[17], 7.0f);  // 16 + 7 - 16
    EXPECT_EQ(x[16], -16.0f);
  }
  {
    Bytes b(24);  // d = 1, m = 0.5; fifth bit of element 31
    b[1] = 0x3C;
    b[3] = 0x38;
    b[7] = 0x80;
    b[23] = 0x2F;
    const Floats x = Read(DType::kQ5_1, b, 32);
    EXPECT_EQ(x[31], 18.5f);
    EXPECT_EQ(x[15], 15.5f);
    EXPECT_EQ(x[0], 0.5f);
  }
}

TEST(Blocks, SuperBlocksByHand) {
  {
    Bytes b(84);  // d = 1, m = 0.5; sub-block 3 (elements 48..63): scale 5, min 2
    b[3] = 0x25;
    b[16 + 20] = 0x0C;  // element 52 = byte 20, bits 2-3: 3
    b[81] = 0x3C;
    b[83] = 0x38;
    const Floats x = Read(DType::kQ2_K, b, 256);
    EXPECT_EQ(x[52], 14.0f);  // 1 * 5 * 3 - 0.5 * 2
    EXPECT_EQ(x[53], -1.0f);
    EXPECT_EQ(x[0], 0.0f);
  }
  {
    Bytes b(110);  // d = 1. Sub-block 9 (elements 144..159): low nibble 9, high bits 2: 41 - 32 = 9
    b[96 + 1] = 0x90;
    b[104 + 1] = 0x20;
    b[32 + 32 + 16] = 0x03;  // element 144 = byte 48, bits 0-1: 3
    b[16] = 0x10;            // its third bit: byte 16, bit 4
    b[109] = 0x3C;
    const Floats x = Read(DType::kQ3_K, b, 256);
    EXPECT_EQ(x[144], 27.0f);   // 9 * (3 + 4 - 4)
    EXPECT_EQ(x[145], -36.0f);  // 9 * (0 - 4)
    EXPECT_EQ(x[0], 128.0f);    // -32 * (0 - 4)
  }
  {
    Bytes b(144);  // d = 2, m = 1. Sub-block 5: scale 0x2B = 11 + 2 << 4, min 0x1C = 12 + 1 << 4
    b[1] = 0x40;
    b[3] = 0x3C;
    b[4 + 1] = 0x80;  // top bits 2 of scale 5
    b[4 + 5] = 0x40;  // top bits 1 of min 5
    b[4 + 9] = 0xCB;
    b[16 + 64 + 7] = 0xA0;  // element 167 = 64 * 2 + 32 + 7: high nibble 10
    const Floats x = Read(DType::kQ4_K, b, 256);
    EXPECT_EQ(x[167], 2.0f * 43 * 10 - 28);
    EXPECT_EQ(x[160], -28.0f);
    EXPECT_EQ(x[0], 0.0f);
  }
  {
    Bytes b(176);  // d = 1, m = 1. Sub-block 2: scale 3, min 4
    b[1] = 0x3C;
    b[3] = 0x3C;
    b[4 + 2] = 3;
    b[4 + 6] = 4;
    b[16 + 1] = 0x04;       // fifth bit of element 65
    b[48 + 32 + 1] = 0x0E;  // its nibble: 14
    const Floats x = Read(DType::kQ5_K, b, 256);
    EXPECT_EQ(x[65], 3.0f * 30 - 4);
    EXPECT_EQ(x[64], -4.0f);
  }
  {
    Bytes b(210);             // d = 0.5. Sub-block 13 (elements 208..223): scale -3
    b[64 + 16] = 0x60;        // element 208 = 128 + 80: byte 64 + 16, high nibble 6
    b[128 + 32 + 16] = 0x20;  // its two bits: byte 32 + 16, bits 4-5: 2
    b[192 + 13] = 0xFD;
    b[209] = 0x38;
    const Floats x = Read(DType::kQ6_K, b, 256);
    EXPECT_EQ(x[208], 0.5f * -3 * (6 + 32 - 32));
    EXPECT_EQ(x[209], 0.5f * -3 * -32);
    EXPECT_EQ(x[0], 0.0f);
  }
}

TEST(Blocks, AnyBytesReadAsTheDefinitionHasThemAndGoTogetherAgain) {
  Random random(20261122);
  for (const DType type : kAllDTypes) {
    if (!IsQuantized(type)) continue;
    const int n = BlockElements(type);
    for (int round = 0; round < 300; ++round) {
      Bytes b(static_cast<size_t>(BlockBytes(type)));
      for (uint8_t& byte : b) byte = static_cast<uint8_t>(random.Below(256));
      const Floats got = Read(type, b, n);
      for (int i = 0; i < n; ++i) {
        const double want = reference::Element(type, b.data(), i);
        const double value = static_cast<double>(got[static_cast<size_t>(i)]);
        if (std::isnan(want) || std::isinf(want)) {
          EXPECT_FALSE(std::isfinite(value)) << NameOf(type);
          continue;
        }
        // One rounding of the product, one of the sum with the minimum.
        EXPECT_NEAR(value, want, 1e-6 * (std::fabs(want) + 8e6 * 0x1p-24 * 16))
            << NameOf(type) << " element " << i;
      }
      EXPECT_EQ(StoredNonFinite(type, std::as_bytes(std::span(b))), [&] {
        bool bad = false;
        for (int i = 0; i < n; ++i) bad |= !std::isfinite(reference::Element(type, b.data(), i));
        return bad;
      }()) << NameOf(type);
      BlockParts parts;
      TakeApart(type, b.data(), &parts);
      Bytes again(b.size());
      PutTogether(type, parts, again.data());
      EXPECT_EQ(again, b) << NameOf(type);
    }
  }
}

double WeightedError(const Floats& a, const Floats& b, const Floats& w) {
  double error = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double wi = w.empty() ? 1.0 : static_cast<double>(w[i % w.size()]);
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    error += wi * d * d;
    size += wi * static_cast<double>(a[i]) * static_cast<double>(a[i]);
  }
  return std::sqrt(error / size);
}

TEST(Encode, ErrorsOfGaussianWeightsStayBelowWhatPlainRoundingGives) {
  // Plain rounding of Gaussians to b bits by the largest of 32: about 1.2 times these; the numbers
  // are measured here plus a tenth.
  const std::pair<DType, double> kLimits[] = {
      {DType::kQ8_0, 0.0062}, {DType::kQ4_0, 0.088}, {DType::kQ4_1, 0.078}, {DType::kQ5_0, 0.044},
      {DType::kQ5_1, 0.039},  {DType::kQ2_K, 0.30},  {DType::kQ3_K, 0.16},  {DType::kQ4_K, 0.078},
      {DType::kQ5_K, 0.039},  {DType::kQ6_K, 0.020}};
  Random random(1);
  const int64_t rows = 16, cols = 1024;
  Floats x(static_cast<size_t>(rows * cols));
  for (float& f : x) f = static_cast<float>(random.Normal() * 0.05);
  // A few columns matter much more than others.
  Floats importance(static_cast<size_t>(cols));
  for (float& f : importance) f = static_cast<float>(std::exp(2 * random.Normal()));
  for (const auto& [type, limit] : kLimits) {
    Bytes plain(static_cast<size_t>(rows * RowBytes(type, cols))), guided(plain.size());
    Quantize(nullptr, type, x.data(), rows, cols, nullptr, plain.data());
    Quantize(nullptr, type, x.data(), rows, cols, importance.data(), guided.data());
    const Floats read = Read(type, plain, rows * cols), with = Read(type, guided, rows * cols);
    const double error = WeightedError(x, read, {});
    const double unguided = WeightedError(x, read, importance);
    const double better = WeightedError(x, with, importance);
    std::printf("%-5s %.3f bits: error %.4f; weighted %.4f, with importance %.4f\n",
                std::string(NameOf(type)).c_str(), BitsPerElement(type), error, unguided, better);
    EXPECT_LT(error, limit) << NameOf(type);
    if (type != DType::kQ8_0) {
      EXPECT_LT(better, unguided) << NameOf(type);
    }
  }
}

TEST(Encode, OddBlocksComeThrough) {
  ThreadPool pool(2);
  for (const DType type : kAllDTypes) {
    const int64_t cols = 512;
    const Floats patterns[] = {Floats(cols, 0.0f),
                               Floats(cols, 1.0f),
                               Floats(cols, -3.0f),
                               Floats(cols, 1e-30f),
                               Floats(cols, 6e4f),
                               [] {
                                 Floats x(cols, 0.0f);
                                 x[300] = 100;  // one value in a block of zeros
                                 return x;
                               }(),
                               [] {
                                 Floats x(cols);
                                 for (size_t i = 0; i < x.size(); ++i)
                                   x[i] = i % 2 ? 1.0f : 3.0f;  // no zero near
                                 return x;
                               }()};
    for (const Floats& x : patterns) {
      Bytes stored(static_cast<size_t>(RowBytes(type, cols)));
      Quantize(&pool, type, x.data(), 1, cols, nullptr, stored.data());
      ASSERT_FALSE(StoredNonFinite(type, std::as_bytes(std::span(stored)))) << NameOf(type);
      const Floats read = Read(type, stored, cols);
      double largest = 0;
      for (const float f : x) largest = std::max(largest, std::fabs(static_cast<double>(f)));
      for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_NEAR(static_cast<double>(read[i]), static_cast<double>(x[i]),
                    (type == DType::kQ2_K ? 0.34 : 0.13) * largest + 1e-7)
            << NameOf(type) << " element " << i << " of " << x[0] << "...";
      }
    }
    // Importance of nothing is importance of all alike.
    const Floats ramp = [] {
      Floats x(cols);
      for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 200.0f;
      return x;
    }();
    Bytes stored(static_cast<size_t>(RowBytes(type, cols)));
    const Floats none(cols, 0.0f);
    Quantize(nullptr, type, ramp.data(), 1, cols, none.data(), stored.data());
    EXPECT_LT(WeightedError(ramp, Read(type, stored, cols), {}), 0.3) << NameOf(type);
  }
}

TEST(Encode, WhatAFormatHoldsExactlyComesBackExactly) {
  // A block read and written again says the same, as far as its error shows.
  Random random(5);
  for (const DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ5_0, DType::kQ6_K}) {
    const int64_t cols = 256;
    Floats x(cols);
    for (float& f : x) f = static_cast<float>(random.Between(-7, 7));
    for (size_t i = 0; i < x.size(); i += 16) x[i] = -8;
    Bytes stored(static_cast<size_t>(RowBytes(type, cols)));
    Quantize(nullptr, type, x.data(), 1, cols, nullptr, stored.data());
    EXPECT_LT(WeightedError(x, Read(type, stored, cols), {}), 0.006) << NameOf(type);
  }
}

}  // namespace
}  // namespace weir::kernels
