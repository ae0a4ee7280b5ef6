// The primitives that differ between instruction sets: serial, on contiguous memory. Blocking and
// threads are written once, above them (gemm.cc, attention.cc, layers.cc).
//
// Adding an instruction set: compile body.inc with its lanes in a new file, add a row to the choice
// in dispatch.cc and the file's flags to CMakeLists.txt.
#pragma once

#include <cstdint>

namespace weir::kernels::cpu {

struct Table {
  int lanes = 0;  // floats in a vector
  int mr = 0;     // rows of the micro-tile; mr <= lanes
  int nr = 0;     // columns of the micro-tile; a multiple of lanes

  // c[rows, cols] = sum over k of a[k][rows] * b[k][nr], or +=; rows <= mr, cols <= nr.
  void (*micro)(int rows, int64_t k, const float* a, const float* b, float* c, int64_t ldc,
                int cols, bool accumulate);
  // to[k][width] from `count` rows of length k, ld apart; the rest of width is zero. Where width is
  // no multiple of lanes (then width <= lanes), up to `lanes` floats past the end are written.
  void (*pack_rows)(const float* from, int64_t ld, int count, int64_t k, int width, float* to);
  // to[k][width] from k rows of `count` contiguous floats, ld apart; the rest of width is zero.
  void (*pack_cols)(const float* from, int64_t ld, int count, int64_t k, int width, float* to);

  // y[r] = x[r] · w for r < rows <= kMaxDotRows; x[r] = x + r * x_stride; y[r] at y[r * y_stride].
  void (*dot_f32)(const void* w, const float* x, int64_t x_stride, int rows, int64_t n, float* y,
                  int64_t y_stride, bool accumulate);
  decltype(dot_f32) dot_bf16;
  decltype(dot_f32) dot_f16;
  decltype(dot_f32) dot_q8_0;

  void (*bf16_to_f32)(const uint16_t* from, int64_t n, float* to);
  void (*f32_to_bf16)(const float* from, int64_t n, uint16_t* to);
  void (*f16_to_f32)(const uint16_t* from, int64_t n, float* to);
  void (*f32_to_f16)(const float* from, int64_t n, uint16_t* to);
  void (*q8_0_to_f32)(const void* from, int64_t n, float* to);

  void (*add)(const float* x, int64_t n, float* y);                 // y += x
  void (*axpy)(float a, const float* x, int64_t n, float* y);       // y += a x
  float (*max)(const float* x, int64_t n);                          // n >= 1
  float (*exp_sub)(float* x, int64_t n, float scale, float minus);  // x = exp(scale x - minus); sum
  void (*scale)(float* x, int64_t n, float a);                      // x *= a
  // x = y * (x - minus) * a
  void (*softmax_back)(float* x, const float* y, int64_t n, float minus, float a);
  double (*sum_squares)(const float* x, int64_t n);
  void (*rms_scale)(const float* x, const float* gain, int64_t n, float inv_rms, float* y);
  void (*rms_back)(const float* dy, const float* x, const float* gain, int64_t n, float inv_rms,
                   float* dx);
  void (*rms_gain)(const float* dy, const float* x, int64_t n, float inv_rms, float* dgain);
  void (*rope)(float* x, const float* cos, const float* sin, int64_t half, bool backward);
  void (*rope_pairs)(float* x, const float* cos, const float* sin, int64_t half);
  void (*soft_cap)(float* x, int64_t n, float cap);  // x = cap tanh(x / cap)
  void (*geglu)(const float* gate, const float* up, int64_t n, float* out);
  void (*swiglu)(const float* gate, const float* up, int64_t n, float* out);
  void (*swiglu_back)(const float* dout, const float* gate, const float* up, int64_t n,
                      float* dgate, float* dup);
  struct AdamWConstants {
    float lr, beta1, beta2, eps, weight_decay, grad_scale, inv_c1, inv_sqrt_c2;
  };
  void (*adamw)(const AdamWConstants& how, int64_t n, const float* grad, float* param, float* m,
                float* v, uint16_t* bf16);
  bool (*non_finite)(const float* x, int64_t n);
  uint64_t (*read)(const uint8_t* from, int64_t n);  // the sum of all bytes' 64-bit words and rest
  void (*burn)(int64_t steps, float* sink);          // steps * kBurnChains vector multiply-adds
};
inline constexpr int kMaxDotRows = 8;
inline constexpr int kBurnChains = 10;

const Table& PlainTable();
#if defined(__x86_64__)
const Table& Avx2Table();
const Table& Avx512Table();
#endif

const Table& Active();

// A thread's own scratch: at least n floats, 64-byte aligned, valid until this thread asks for the
// same slot again. Slots: 0-1 the matrix product, 2-5 training's attention; those from 6 on have
// names (active.h).
float* Scratch(int slot, int64_t n);

}  // namespace weir::kernels::cpu
