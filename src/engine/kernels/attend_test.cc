// Goal:   Attend computes its definition for every type of cache, head size, window and cap; a
//         query's result does not depend on the others of its call.
// Method: plain loops in double over the keys and values as the cache gives them back, so that only
//         the arithmetic is compared; what storing costs is measured apart.
#include "engine/kernels/attend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/random.h"
#include "engine/kernels/kernels.h"

namespace weir::kernels {
namespace {

using Floats = std::vector<float>;
size_t At(int64_t i) { return static_cast<size_t>(i); }

constexpr KvType kTypes[] = {KvType::kF32, KvType::kF16, KvType::kBF16, KvType::kInt8};

// One sequence of random keys and values in blocks; what lies behind its end is NaN.
class Sequence {
 public:
  Sequence(Random& random, const KvShape& shape, int64_t length) : shape_(shape), length_(length) {
    const int64_t blocks = (length + kKvBlockTokens - 1) / kKvBlockTokens;
    const auto bytes = At(KvBlockBytes(shape));
    const auto words = bytes / 4;
    memory_.resize(At(2 * blocks) * words + 16, NAN);
    auto* base = reinterpret_cast<std::byte*>(memory_.data());
    base += (64 - reinterpret_cast<uintptr_t>(base) % 64) % 64;
    for (int64_t b = 0; b < blocks; ++b) {
      key_blocks.push_back(base + At(2 * b) * bytes);
      value_blocks.push_back(base + At(2 * b + 1) * bytes);
    }
    Floats row(At(shape.kv_heads * shape.head_dim));
    const auto fill = [&] {
      for (float& f : row) f = static_cast<float>(random.Normal());
    };
    for (int64_t p = 0; p < length; ++p) {
      const auto block = At(p / kKvBlockTokens);
      fill();
      StoreKeys(shape, row.data(), p % kKvBlockTokens, const_cast<std::byte*>(key_blocks[block]));
      given_keys.insert(given_keys.end(), row.begin(), row.end());
      fill();
      StoreValues(shape, row.data(), p % kKvBlockTokens,
                  const_cast<std::byte*>(value_blocks[block]));
      given_values.insert(given_values.end(), row.begin(), row.end());
    }
    keys.resize(given_keys.size());
    values.resize(given_values.size());
    for (int64_t p = 0; p < length; ++p) {
      const auto block = At(p / kKvBlockTokens);
      const int64_t at = p * shape.kv_heads * shape.head_dim;
      LoadKeys(shape, key_blocks[block], p % kKvBlockTokens, &keys[At(at)]);
      LoadValues(shape, value_blocks[block], p % kKvBlockTokens, &values[At(at)]);
    }
  }

  // The definition.
  Floats Reference(const AttendHow& how, const float* q, int64_t position) const {
    Floats out;
    const int64_t dim = shape_.head_dim, row = shape_.kv_heads * dim;
    const double scale =
        how.scale != 0 ? static_cast<double>(how.scale) : 1.0 / std::sqrt(static_cast<double>(dim));
    const double cap = static_cast<double>(how.softcap);
    const int64_t low = how.window > 0 ? std::max<int64_t>(0, position - how.window + 1) : 0;
    for (int64_t h = 0; h < how.heads; ++h) {
      const int64_t kv = h / (how.heads / shape_.kv_heads);
      std::vector<double> p;
      double sum = 0;
      for (int64_t s = low; s <= position; ++s) {
        double dot = 0;
        for (int64_t d = 0; d < dim; ++d) {
          dot += static_cast<double>(q[h * dim + d]) *
                 static_cast<double>(keys[At(s * row + kv * dim + d)]);
        }
        dot *= scale;
        if (cap > 0) dot = cap * std::tanh(dot / cap);
        p.push_back(std::exp(dot));
        sum += p.back();
      }
      for (int64_t d = 0; d < dim; ++d) {
        double mixed = 0;
        for (int64_t s = low; s <= position; ++s) {
          mixed += p[At(s - low)] / sum * static_cast<double>(values[At(s * row + kv * dim + d)]);
        }
        out.push_back(static_cast<float>(mixed));
      }
    }
    return out;
  }

  std::vector<const std::byte*> key_blocks, value_blocks;
  Floats given_keys, given_values, keys, values;

 private:
  KvShape shape_;
  int64_t length_;
  Floats memory_;
};

class Attention : public testing::TestWithParam<Isa> {
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
INSTANTIATE_TEST_SUITE_P(Isa, Attention, testing::Values(Isa::kPlain, Isa::kAvx2, Isa::kAvx512),
                         [](const auto& param_info) {
                           return std::string(Name(param_info.param));
                         });

struct Case {
  int64_t heads, kv_heads, head_dim, length, window;
  float softcap, scale;
};
constexpr Case kCases[] = {{1, 1, 2, 1, 0, 0, 0},        {8, 4, 8, 33, 0, 0, 0},
                           {8, 1, 64, 300, 0, 0, 0},     {6, 2, 80, 161, 40, 0, 0},
                           {4, 4, 128, 140, 1, 0, 0},    {2, 1, 256, 70, 33, 50, 0.0625f},
                           {14, 2, 64, 129, 128, 20, 0}, {3, 3, 22, 400, 130, 0, 0.3f}};

TEST_P(Attention, EqualsPlainLoopsAndDecodingEqualsPrefill) {
  double worst = 0;
  for (const KvType type : kTypes) {
    for (const Case& c : kCases) {
      const KvShape kv{type, c.kv_heads, c.head_dim};
      const Sequence sequence(random_, kv, c.length);
      const int64_t row = c.heads * c.head_dim;
      const AttendHow how{kv, c.heads, row + 1, row + 2, c.scale, c.softcap, c.window};
      Floats q(At(c.length * how.q_stride));
      for (float& f : q) f = static_cast<float>(random_.Normal() * 1.5);
      Floats whole(At(c.length * how.out_stride), 5.0f);
      const AttendQuery all{q.data(),
                            whole.data(),
                            c.length,
                            0,
                            sequence.key_blocks.data(),
                            sequence.value_blocks.data()};
      Attend(&pool_, how, {&all, 1});

      // The same in pieces of all sizes, decoding among them, two sequences a call.
      Floats pieces(whole.size(), 5.0f);
      std::vector<AttendQuery> queries;
      std::vector<std::vector<const std::byte*>> held;
      held.reserve(At(c.length) + 1);
      for (int64_t p = 0, n = 1; p < c.length; p += n, n = n % 23 + 4) {
        n = std::min(n, c.length - p);
        if (p > c.length - 9) n = 1;
        held.push_back(sequence.key_blocks);
        std::vector<const std::byte*>& keys = held.back();
        if (c.window > 0) {  // blocks that nobody sees are not there
          for (int64_t b = 0; (b + 1) * kKvBlockTokens <= p - c.window + 1; ++b)
            keys[At(b)] = nullptr;
        }
        queries.push_back({&q[At(p * how.q_stride)], &pieces[At(p * how.out_stride)], n, p,
                           keys.data(), sequence.value_blocks.data()});
      }
      Attend(nullptr, how, queries);
      ASSERT_EQ(0, std::memcmp(whole.data(), pieces.data(), whole.size() * sizeof(float)))
          << "type " << static_cast<int>(type) << " head_dim " << c.head_dim;
      // One query for three threads: the heads of a group go apart.
      Attend(&pool_, how, {&queries.back(), 1});
      ASSERT_EQ(0, std::memcmp(whole.data(), pieces.data(), whole.size() * sizeof(float)));

      for (int64_t p = 0; p<c.length; p += c.length> 100 ? 7 : 1) {
        const Floats want = sequence.Reference(how, &q[At(p * how.q_stride)], p);
        for (int64_t i = 0; i < row; ++i) {
          const float got = whole[At(p * how.out_stride + i)];
          const double e = std::fabs(static_cast<double>(got) - static_cast<double>(want[At(i)]));
          worst = std::max(worst, e);
          // Values are near 1; largest error seen 3e-6.
          ASSERT_LT(e, 2e-5) << "type " << static_cast<int>(type) << " head_dim " << c.head_dim
                             << " position " << p << " element " << i;
        }
        ASSERT_EQ(whole[At(p * how.out_stride + row)], 5.0f) << "written past a row";
      }
    }
  }
  std::printf("largest difference: %.2g\n", worst);
}

TEST_P(Attention, StoringCostsWhatItsTypePromises) {
  for (const KvType type : kTypes) {
    const KvShape kv{type, 2, 64};
    const Sequence sequence(random_, kv, 50);
    double error = 0, size = 0;
    for (size_t i = 0; i < sequence.keys.size(); ++i) {
      const double k = static_cast<double>(sequence.given_keys[i]);
      const double e = static_cast<double>(sequence.keys[i]) - k;
      const double v = static_cast<double>(sequence.values[i] - sequence.given_values[i]);
      error += e * e + v * v;
      size += 2 * k * k;
    }
    const double relative = std::sqrt(error / size);
    std::printf("kv type %d: %.5f%% of the norm, %lld bytes a token\n", static_cast<int>(type),
                100 * relative, static_cast<long long>(KvBytesPerToken(kv)));
    const double limit = type == KvType::kF32    ? 0
                         : type == KvType::kF16  ? 0.0003
                         : type == KvType::kBF16 ? 0.0025
                                                 : 0.007;
    EXPECT_LE(relative, limit);
  }
  EXPECT_EQ(KvBytesPerToken({KvType::kF16, 4, 64}), 2 * 4 * 64 * 2);
  EXPECT_EQ(KvBytesPerToken({KvType::kInt8, 4, 64}), 2 * 4 * (64 + 4));
}

TEST_P(Attention, LargeScoresDoNotOverflow) {
  const KvShape kv{KvType::kF32, 1, 16};
  const Sequence sequence(random_, kv, 200);
  const AttendHow how{kv, 1, 16, 16, 1000.0f, 0, 0};
  Floats q(16), out(16);
  for (float& f : q) f = static_cast<float>(random_.Normal());
  const AttendQuery query{
      q.data(), out.data(), 1, 199, sequence.key_blocks.data(), sequence.value_blocks.data()};
  Attend(nullptr, how, {&query, 1});
  for (const float f : out) EXPECT_TRUE(std::isfinite(f));
}

}  // namespace
}  // namespace weir::kernels
