#include "engine/kernels/quant/encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "engine/kernels/quant/blocks.h"
#include "engine/kernels/quant/fit.h"

namespace weir::kernels {
namespace {

using quant::Fit;
using quant::FitAffine;
using quant::FitSymmetric;
using quant::Minimum;
using quant::RoundError;
using quant::RoundTo;

constexpr float kMostHalf = 65504.0f;

uint16_t ToHalf(float x) { return FloatToHalf(std::clamp(x, -kMostHalf, kMostHalf)); }

// Importance times a factor that leans towards large values: an error there is an error of what
// the row mostly computes. `square` is the mean square of the block.
void WeightsOf(const float* x, const float* importance, int n, float* w) {
  float square = 0;
  for (int i = 0; i < n; ++i) square += x[i] * x[i];
  square /= static_cast<float>(n);
  if (square == 0) square = 1;
  for (int i = 0; i < n; ++i) {
    w[i] = std::sqrt(square + x[i] * x[i]) * (importance == nullptr ? 1.0f : importance[i]);
  }
  // All zero (columns that no activation met) would make every fit equally good.
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += w[i];
  if (!(sum > 0)) std::fill_n(w, n, 1.0f);
}

// ---- Blocks of 32 ----

void EncodeQ8(const float* x, BlockParts* p) {
  float largest = 0;
  for (int i = 0; i < kSmallBlock; ++i) largest = std::max(largest, std::fabs(x[i]));
  p->d = ToHalf(largest / 127.0f);
  const float d = HalfToFloat(p->d);
  const float inverse = d > 0 ? 1.0f / d : 0.0f;
  for (int i = 0; i < kSmallBlock; ++i) {
    const float q = std::nearbyint(std::clamp(x[i] * inverse, -127.0f, 127.0f));
    p->code[i] = static_cast<uint8_t>(static_cast<int>(q) + 128);
  }
}

void EncodeSmall(DType type, const float* x, const float* w, BlockParts* p) {
  const BlockFormat f = FormatOf(type);
  const int top = (1 << f.code_bits) - 1;
  if (f.has_min) {
    const Fit fit = FitAffine(x, w, kSmallBlock, top, Minimum::kFree);
    p->d = ToHalf(fit.d);
    p->m = ToHalf(-fit.m);
    RoundTo(x, w, kSmallBlock, HalfToFloat(p->d), -HalfToFloat(p->m), 0, top, p->code);
    return;
  }
  const Fit fit = FitSymmetric(x, w, kSmallBlock, -f.offset, top - f.offset);
  p->d = ToHalf(fit.d);
  RoundTo(x, w, kSmallBlock, HalfToFloat(p->d), 0, -f.offset, top - f.offset, p->code);
}

// ---- Super-blocks of 256 ----

// Ranges of the small integers.
struct ScaleRange {
  int low, high;  // of scales
  int min_high;
};
ScaleRange RangeOf(DType type) {
  switch (type) {
    case DType::kQ2_K:
      return {0, 15, 15};
    case DType::kQ3_K:
      return {-32, 31, 0};
    case DType::kQ6_K:
      return {-128, 127, 0};
    default:  // Q4_K, Q5_K
      return {0, 63, 63};
  }
}

class SuperBlock {
 public:
  SuperBlock(DType type, const float* x, const float* w)
      : f_(FormatOf(type)), range_(RangeOf(type)), x_(x), w_(w) {
    low_ = -f_.offset;
    high_ = (1 << f_.code_bits) - 1 - f_.offset;
    subs_ = kSuperBlock / f_.sub;
  }

  void Encode(BlockParts* p) {
    std::memset(p->scale, 0, sizeof(p->scale));
    std::memset(p->min, 0, sizeof(p->min));
    Start(p);
    float best = Choose(p);
    // Refit d and m to the integers chosen, then choose again while that helps.
    constexpr int kRounds = 3;
    for (int round = 0; round < kRounds; ++round) {
      BlockParts next = *p;
      Refit(&next);
      const float error = Choose(&next);
      if (!(error < best)) break;
      best = error;
      *p = next;
    }
    for (int j = 0; j < subs_; ++j) {
      RoundTo(At(x_, j), At(w_, j), f_.sub, Scale(*p, j), Min(*p, j), low_, high_,
              p->code + j * f_.sub);
    }
  }

 private:
  const float* At(const float* all, int j) const { return all + j * f_.sub; }
  float Scale(const BlockParts& p, int j) const {
    return HalfToFloat(p.d) * static_cast<float>(p.scale[j]);
  }
  float Min(const BlockParts& p, int j) const {
    return f_.has_min ? HalfToFloat(p.m) * static_cast<float>(p.min[j]) : 0.0f;
  }

  // Each sub-block's own best scale, all rounded against the largest.
  void Start(BlockParts* p) {
    Fit fits[16];
    float extreme = 0, most_min = 0;
    for (int j = 0; j < subs_; ++j) {
      fits[j] = f_.has_min ? FitAffine(At(x_, j), At(w_, j), f_.sub, high_, Minimum::kNotAboveZero)
                           : FitSymmetric(At(x_, j), At(w_, j), f_.sub, low_, high_);
      if (std::fabs(fits[j].d) > std::fabs(extreme)) extreme = fits[j].d;
      most_min = std::max(most_min, fits[j].m);
    }
    const int reach = range_.low < 0 ? range_.low : range_.high;
    p->d = ToHalf(extreme / static_cast<float>(reach));
    p->m = f_.has_min ? ToHalf(most_min / static_cast<float>(range_.min_high)) : 0;
    const float d = HalfToFloat(p->d), m = HalfToFloat(p->m);
    for (int j = 0; j < subs_; ++j) {
      if (d != 0) p->scale[j] = Nearest(fits[j].d / d, range_.low, range_.high);
      if (m != 0) p->min[j] = static_cast<uint8_t>(Nearest(fits[j].m / m, 0, range_.min_high));
    }
  }
  static int8_t Nearest(float q, int low, int high) {
    return static_cast<int8_t>(
        std::nearbyint(std::clamp(q, static_cast<float>(low), static_cast<float>(high))));
  }

  // Each sub-block's scale and minimum one step up or down where that lowers its error. Returns the
  // error of all.
  float Choose(BlockParts* p) const {
    float total = 0;
    for (int j = 0; j < subs_; ++j) {
      const int scale = p->scale[j], min = p->min[j];
      const float d = HalfToFloat(p->d), m = HalfToFloat(p->m);
      float best = RoundError(At(x_, j), At(w_, j), f_.sub, Scale(*p, j), Min(*p, j), low_, high_);
      const int min_step = f_.has_min ? 1 : 0;
      for (int a = -1; a <= 1; ++a) {
        for (int b = -min_step; b <= min_step; ++b) {
          const int s = scale + a, n = min + b;
          if ((a == 0 && b == 0) || s < range_.low || s > range_.high || n < 0 ||
              n > range_.min_high) {
            continue;
          }
          const float error = RoundError(At(x_, j), At(w_, j), f_.sub, d * static_cast<float>(s),
                                         m * static_cast<float>(n), low_, high_);
          if (error < best) {
            best = error;
            p->scale[j] = static_cast<int8_t>(s);
            p->min[j] = static_cast<uint8_t>(n);
          }
        }
      }
      total += best;
    }
    return total;
  }

  // Least squares for d and m over the whole block, integers as they are:
  // x ~ d a - m b,  a = scale * q,  b = min.
  void Refit(BlockParts* p) const {
    double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
    uint8_t codes[32];
    for (int j = 0; j < subs_; ++j) {
      const float* x = At(x_, j);
      const float* w = At(w_, j);
      RoundTo(x, w, f_.sub, Scale(*p, j), Min(*p, j), low_, high_, codes);
      const double b = p->min[j];
      for (int i = 0; i < f_.sub; ++i) {
        const double a = p->scale[j] * (codes[i] + low_);
        const double wi = static_cast<double>(w[i]), xi = static_cast<double>(x[i]);
        aa += wi * a * a;
        ab += wi * a * b;
        bb += wi * b * b;
        xa += wi * xi * a;
        xb += wi * xi * b;
      }
    }
    const double determinant = aa * bb - ab * ab;
    if (f_.has_min && determinant > 1e-9 * aa * bb) {
      const double d = (xa * bb - xb * ab) / determinant;
      const double m = (xa * ab - xb * aa) / determinant;
      if (d > 0 && m >= 0) {
        p->d = ToHalf(static_cast<float>(d));
        p->m = ToHalf(static_cast<float>(m));
        return;
      }
    }
    // m as it is: x + m b ~ d a.
    const double m = static_cast<double>(HalfToFloat(p->m));
    if (aa > 0) p->d = ToHalf(static_cast<float>((xa + m * ab) / aa));
  }

  const BlockFormat f_;
  const ScaleRange range_;
  const float* const x_;
  const float* const w_;
  int low_, high_, subs_;
};

void EncodeRow(DType type, const float* x, int64_t cols, const float* importance, uint8_t* to) {
  const int n = BlockElements(type), bytes = BlockBytes(type);
  float w[kSuperBlock];
  for (int64_t i = 0; i < cols; i += n, to += bytes) {
    BlockParts parts;
    parts.d = parts.m = 0;
    if (type == DType::kQ8_0) {
      EncodeQ8(x + i, &parts);
    } else {
      WeightsOf(x + i, importance == nullptr ? nullptr : importance + i, n, w);
      if (FormatOf(type).super) {
        SuperBlock(type, x + i, w).Encode(&parts);
      } else {
        EncodeSmall(type, x + i, w, &parts);
      }
    }
    PutTogether(type, parts, to);
  }
}

}  // namespace

void Quantize(ThreadPool* pool, DType type, const float* x, int64_t rows, int64_t cols,
              const float* importance, void* to) {
  const int64_t row_bytes = RowBytes(type, cols);
  auto* out = static_cast<uint8_t*>(to);
  if (importance != nullptr) {
    for (int64_t i = 0; i < cols; ++i) {
      CHECK_MSG(importance[i] >= 0 && std::isfinite(importance[i]), "importance[{}]={}", i,
                importance[i]);
    }
  }
  ParallelFor(pool, rows, [&](int64_t r) {
    const float* row = x + r * cols;
    if (!IsQuantized(type)) return FromF32(row, cols, type, out + r * row_bytes);
    for (int64_t i = 0; i < cols; ++i) {
      CHECK_MSG(std::isfinite(row[i]), "x[{}, {}]={} cannot be quantized", r, i, row[i]);
    }
    EncodeRow(type, row, cols, importance, out + r * row_bytes);
  });
}

}  // namespace weir::kernels
