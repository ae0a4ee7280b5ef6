// Fitting a scale (and a minimum) to a few values that will be rounded: the core of the encoders.
//
// Symmetric:  x ~ d * q,            q integer in [low, high]
// Affine:     x ~ d * q - m,        q integer in [0, high], m >= 0 or free
// Both minimise the weighted squared error: candidate scales around the obvious one, rounding, a
// least-squares fit of the scale for these integers; the best candidate after its fit is taken.
#pragma once

#include <cstdint>

namespace weir::kernels::quant {

struct Fit {
  float d = 0, m = 0;
  float error = 0;  // sum of w (x - value)^2, with the integers best for d and m
};
// n <= 32; w >= 0. d may be negative: the value of largest magnitude goes to the end of the range
// that reaches further.
Fit FitSymmetric(const float* x, const float* w, int n, int low, int high);
enum class Minimum : uint8_t { kFree, kNotAboveZero };  // of the value at q = 0, which is -m
Fit FitAffine(const float* x, const float* w, int n, int high, Minimum minimum);

// The nearest q in [low, high] for x = d * q - m; codes[i] = q - low. Returns the weighted error.
float RoundTo(const float* x, const float* w, int n, float d, float m, int low, int high,
              uint8_t* codes);
// The same error without the codes.
float RoundError(const float* x, const float* w, int n, float d, float m, int low, int high);

}  // namespace weir::kernels::quant
