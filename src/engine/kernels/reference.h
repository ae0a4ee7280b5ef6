// Each operator of kernels.h as plain loops in double: the definition, for reading, and the oracle
// of kernels_test.cc and of the trainer's tests. Never tuned. Gradients have no reference here: the
// tests take differences of these functions, so a mistake cannot be made twice.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace weir::kernels::reference {

using Array = std::vector<double>;
inline size_t At(int64_t i) { return static_cast<size_t>(i); }

// y[rows, out] = x[rows, in] w[out, in]^T
inline Array MatMul(const Array& x, const Array& w, int64_t rows, int64_t in, int64_t out) {
  Array y(At(rows * out));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = 0;
      for (int64_t i = 0; i < in; ++i) sum += x[At(r * in + i)] * w[At(o * in + i)];
      y[At(r * out + o)] = sum;
    }
  }
  return y;
}

inline Array RmsNorm(const Array& x, const Array& gain, int64_t rows, int64_t dim, double eps) {
  Array y(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < dim; ++c) squares += x[At(r * dim + c)] * x[At(r * dim + c)];
    const double inv = 1.0 / std::sqrt(squares / static_cast<double>(dim) + eps);
    for (int64_t c = 0; c < dim; ++c) y[At(r * dim + c)] = gain[At(c)] * x[At(r * dim + c)] * inv;
  }
  return y;
}

// x[rows, heads * head_dim], row r at position[r].
inline Array Rope(Array x, const std::vector<int32_t>& position, int64_t rows, int64_t heads,
                  int64_t head_dim, double theta) {
  const int64_t half = head_dim / 2;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle = position[At(r)] * std::pow(theta, -2.0 * static_cast<double>(i) /
                                                                   static_cast<double>(head_dim));
        double& a = x[At((r * heads + h) * head_dim + i)];
        double& b = x[At((r * heads + h) * head_dim + half + i)];
        const double turned_a = a * std::cos(angle) - b * std::sin(angle);
        const double turned_b = a * std::sin(angle) + b * std::cos(angle);
        a = turned_a;
        b = turned_b;
      }
    }
  }
  return x;
}

inline Array SwiGlu(const Array& gate, const Array& up) {
  Array out(gate.size());
  for (size_t i = 0; i < gate.size(); ++i) {
    out[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
  }
  return out;
}

// Dense q[batch * seq, heads * head_dim], k and v [batch * seq, kv_heads * head_dim].
inline Array Attention(const Array& q, const Array& k, const Array& v, int64_t batch, int64_t seq,
                       int64_t heads, int64_t kv_heads, int64_t head_dim) {
  Array out(q.size());
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t kv = h / (heads / kv_heads);
      for (int64_t t = 0; t < seq; ++t) {
        const int64_t at_q = ((b * seq + t) * heads + h) * head_dim;
        Array p(At(t + 1));
        double sum = 0;
        for (int64_t s = 0; s <= t; ++s) {
          double dot = 0;
          const int64_t at_k = ((b * seq + s) * kv_heads + kv) * head_dim;
          for (int64_t i = 0; i < head_dim; ++i) dot += q[At(at_q + i)] * k[At(at_k + i)];
          p[At(s)] = std::exp(dot / std::sqrt(static_cast<double>(head_dim)));
          sum += p[At(s)];
        }
        for (int64_t s = 0; s <= t; ++s) {
          const int64_t at_v = ((b * seq + s) * kv_heads + kv) * head_dim;
          for (int64_t i = 0; i < head_dim; ++i) {
            out[At(at_q + i)] += p[At(s)] / sum * v[At(at_v + i)];
          }
        }
      }
    }
  }
  return out;
}

// The sum over rows with target >= 0 of -log softmax(logits)[target].
inline double CrossEntropy(const Array& logits, const std::vector<int32_t>& target, int64_t rows,
                           int64_t cols) {
  double loss = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (target[At(r)] < 0) continue;
    double sum = 0;
    for (int64_t c = 0; c < cols; ++c) sum += std::exp(logits[At(r * cols + c)]);
    loss += std::log(sum) - logits[At(r * cols + target[At(r)])];
  }
  return loss;
}

}  // namespace weir::kernels::reference
