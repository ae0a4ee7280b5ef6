// The primitives of attention over KV blocks (../attend.h) that differ between instruction sets.
#pragma once

#include <stdint.h>

namespace weir::kernels::cpu {

constexpr int kKvTokens = 32;    // positions of a block
constexpr int kValueAlign = 16;  // the values of a head are padded to this many elements

struct AttendTable {
  // to[rows][to_stride], kKvTokens columns = q[rows][q_stride] · keys[dim][kKvTokens]; each a chain
  // of multiply-adds in the order of the dimensions.
  void (*scores)(const float* q, int64_t q_stride, int64_t rows, int64_t dim, const float* keys,
                 float* to, int64_t to_stride);
  // out[rows][width] += p[rows][p_stride], n columns, · values[n][width], in the order of n.
  // width: a multiple of kValueAlign.
  void (*mix)(const float* p, int64_t p_stride, int64_t rows, int64_t n, const float* values,
              int64_t width, float* out);
  // Stored keys [dim][kKvTokens] to f32; of int8, column t times scale[t].
  void (*keys_f16)(const void* from, const float* scale, int64_t dim, float* to);
  decltype(keys_f16) keys_bf16;
  decltype(keys_f16) keys_int8;
  // Stored values [n][width] to f32; of int8, row t times scale[t].
  void (*values_f16)(const void* from, const float* scale, int64_t n, int64_t width, float* to);
  decltype(values_f16) values_bf16;
  decltype(values_f16) values_int8;
};

const AttendTable& PlainAttend();
#if defined(__x86_64__)
const AttendTable& Avx2Attend();
const AttendTable& Avx512Attend();
#endif

}  // namespace weir::kernels::cpu
