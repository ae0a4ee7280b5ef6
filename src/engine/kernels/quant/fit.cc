#include "engine/kernels/quant/fit.h"

#include <algorithm>
#include <cmath>

namespace weir::kernels::quant {
namespace {

constexpr int kMost = 32;

// Rounds to the nearest integer, |x| < 2^22, ties to even; a form that compilers make vectors of.
inline float Nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }
inline float Clamp(float q, float low, float high) { return std::min(std::max(q, low), high); }
inline float Inverse(float d) { return std::fabs(d) > 1e-30f ? 1.0f / d : 0.0f; }

struct Moments {
  float wxq = 0, wqq = 0, wq = 0, wx = 0, w = 0, wxx = 0;
};

// Sums for the least-squares fit, with q rounded from (x + m) / d.
Moments MomentsOf(const float* x, const float* w, int n, float inverse, float m, float low,
                  float high) {
  Moments s;
  float q[kMost];
  for (int i = 0; i < n; ++i) q[i] = Nearest(Clamp((x[i] + m) * inverse, low, high));
  for (int i = 0; i < n; ++i) {
    s.wxq += w[i] * x[i] * q[i];
    s.wqq += w[i] * q[i] * q[i];
    s.wq += w[i] * q[i];
    s.wx += w[i] * x[i];
    s.w += w[i];
    s.wxx += w[i] * x[i] * x[i];
  }
  return s;
}

}  // namespace

float RoundError(const float* x, const float* w, int n, float d, float m, int low, int high) {
  const float inverse = Inverse(d);
  float error = 0;
  for (int i = 0; i < n; ++i) {
    const float q =
        Nearest(Clamp((x[i] + m) * inverse, static_cast<float>(low), static_cast<float>(high)));
    const float e = x[i] - (d * q - m);
    error += w[i] * e * e;
  }
  return error;
}

float RoundTo(const float* x, const float* w, int n, float d, float m, int low, int high,
              uint8_t* codes) {
  const float inverse = Inverse(d);
  float error = 0;
  for (int i = 0; i < n; ++i) {
    const float q =
        Nearest(Clamp((x[i] + m) * inverse, static_cast<float>(low), static_cast<float>(high)));
    const float e = x[i] - (d * q - m);
    error += w[i] * e * e;
    codes[i] = static_cast<uint8_t>(static_cast<int>(q) - low);
  }
  return error;
}

Fit FitSymmetric(const float* x, const float* w, int n, int low, int high) {
  float extreme = 0;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (std::fabs(extreme) < 1e-30f) return {};
  Fit best;
  bool any = false;
  const auto offer = [&](float d) {
    const float error = RoundError(x, w, n, d, 0, low, high);
    if (!any || error < best.error) best = {d, 0, error};
    any = true;
  };
  // The extreme at the far end of the range (low), and at the near end, a little inside and out.
  for (const float end : {static_cast<float>(low), static_cast<float>(high)}) {
    for (int step = -4; step <= 6; ++step) {
      const float d = extreme / (end * (1.0f + 0.03f * static_cast<float>(step)));
      const Moments s =
          MomentsOf(x, w, n, Inverse(d), 0, static_cast<float>(low), static_cast<float>(high));
      if (step == 0) offer(d);
      if (s.wqq > 0) offer(s.wxq / s.wqq);
    }
  }
  return best;
}

Fit FitAffine(const float* x, const float* w, int n, int high, Minimum minimum) {
  float least = x[0], most = x[0];
  for (int i = 1; i < n; ++i) {
    least = std::min(least, x[i]);
    most = std::max(most, x[i]);
  }
  if (minimum == Minimum::kNotAboveZero) least = std::min(least, 0.0f);
  Fit best;
  bool any = false;
  const auto offer = [&](float d, float m) {
    const float error = RoundError(x, w, n, d, m, 0, high);
    if (!any || error < best.error) best = {d, m, error};
    any = true;
  };
  if (most - least < 1e-30f) {
    offer(0, -least);
    return best;
  }
  for (int step = -4; step <= 4; ++step) {
    const float d =
        (most - least) / (static_cast<float>(high) * (1.0f + 0.05f * static_cast<float>(step)));
    const Moments s = MomentsOf(x, w, n, Inverse(d), -least, 0, static_cast<float>(high));
    if (step == 0) offer(d, -least);
    const float determinant = s.w * s.wqq - s.wq * s.wq;
    if (determinant <= 1e-12f * s.w * s.wqq) continue;
    float fit_d = (s.w * s.wxq - s.wx * s.wq) / determinant;
    float fit_m = -(s.wqq * s.wx - s.wq * s.wxq) / determinant;
    if (minimum == Minimum::kNotAboveZero && fit_m < 0) {
      fit_m = 0;
      fit_d = s.wxq / s.wqq;
    }
    if (fit_d > 0) offer(fit_d, fit_m);
  }
  return best;
}

}  // namespace weir::kernels::quant
