// The layers and the optimizer: how rows and ranges are shared out. The cuts depend on shapes
// alone.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "engine/kernels/cpu/table.h"
#include "engine/kernels/kernels.h"

namespace weir::kernels {
namespace {

constexpr int64_t kRangeElements = 16 << 10;  // 64 KiB: some tens of microseconds of memory traffic
constexpr int64_t kColumnBlock = 64;          // four cache lines of a row

// body(first, count) over [0, n) in ranges of `step`.
template <class Body>
void ForRanges(ThreadPool* pool, int64_t n, int64_t step, const Body& body) {
  const int64_t count = (n + step - 1) / step;
  ParallelFor(pool, count, [&](int64_t i) { body(i * step, std::min(step, n - i * step)); });
}

// Rows an index handles, so that it is some tens of microseconds of work.
int64_t RowStep(int64_t row_elements) {
  return std::max<int64_t>(1, kRangeElements / std::max<int64_t>(1, row_elements));
}

}  // namespace

void RmsNorm(ThreadPool* pool, const float* x, const float* gain, int64_t rows, int64_t dim,
             float eps, float* y, float* inv_rms) {
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, rows, RowStep(dim), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      const double mean = t.sum_squares(x + r * dim, dim) / static_cast<double>(dim);
      const float inv = static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps)));
      if (inv_rms != nullptr) inv_rms[r] = inv;
      t.rms_scale(x + r * dim, gain, dim, inv, y + r * dim);
    }
  });
}

void RmsNormBackward(ThreadPool* pool, const float* dy, const float* x, const float* gain,
                     const float* inv_rms, int64_t rows, int64_t dim, float* dx, float* dgain) {
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, rows, RowStep(dim), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      t.rms_back(dy + r * dim, x + r * dim, gain, dim, inv_rms[r], dx + r * dim);
    }
  });
  // By columns, so that each sum runs over the rows in order.
  ForRanges(pool, dim, kColumnBlock, [&](int64_t first, int64_t count) {
    for (int64_t r = 0; r < rows; ++r) {
      t.rms_gain(dy + r * dim + first, x + r * dim + first, count, inv_rms[r], dgain + first);
    }
  });
}

RopeTable MakeRopeTable(int64_t head_dim, int64_t positions, double theta) {
  CHECK_MSG(head_dim > 0 && head_dim % 2 == 0 && positions >= 0 && theta > 0,
            "head_dim={} positions={} theta={}", head_dim, positions, theta);
  RopeTable table{head_dim, positions, {}, {}};
  const int64_t half = head_dim / 2;
  table.cos.resize(static_cast<size_t>(positions * half));
  table.sin.resize(static_cast<size_t>(positions * half));
  for (int64_t i = 0; i < half; ++i) {
    const double turn =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    for (int64_t p = 0; p < positions; ++p) {
      const double angle = static_cast<double>(p) * turn;
      table.cos[static_cast<size_t>(p * half + i)] = static_cast<float>(std::cos(angle));
      table.sin[static_cast<size_t>(p * half + i)] = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

void Rope(ThreadPool* pool, const RopeTable& table, const int32_t* position, int64_t rows,
          int64_t heads, int64_t stride, float* x, Turn turn) {
  CHECK_MSG(heads * table.head_dim <= stride, "heads={} stride={}", heads, stride);
  const cpu::Table& t = cpu::Active();
  const int64_t half = table.head_dim / 2;
  ForRanges(pool, rows, RowStep(heads * table.head_dim), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      CHECK_MSG(position[r] >= 0 && position[r] < table.positions, "position={} of {}", position[r],
                table.positions);
      for (int64_t h = 0; h < heads; ++h) {
        t.rope(x + r * stride + h * table.head_dim, table.cos.data() + position[r] * half,
               table.sin.data() + position[r] * half, half, turn == Turn::kBackward);
      }
    }
  });
}

void RopeTurns::Set(std::span<const double> inv_freq, double magnitude,
                    std::span<const int32_t> position) {
  half = static_cast<int64_t>(inv_freq.size());
  rows = static_cast<int64_t>(position.size());
  cos.resize(static_cast<size_t>(rows * half));
  sin.resize(cos.size());
  size_t at = 0;
  for (const int32_t p : position) {
    for (const double turn : inv_freq) {
      const double angle = static_cast<double>(p) * turn;
      cos[at] = static_cast<float>(magnitude * std::cos(angle));
      sin[at] = static_cast<float>(magnitude * std::sin(angle));
      ++at;
    }
  }
}

void Rope(ThreadPool* pool, const RopeTurns& turns, RopeLayout layout, int64_t heads,
          int64_t head_dim, int64_t stride, float* x) {
  CHECK_MSG(2 * turns.half <= head_dim && heads * head_dim <= stride,
            "{} frequencies, head_dim={} heads={} stride={}", turns.half, head_dim, heads, stride);
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, turns.rows, RowStep(heads * head_dim), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      const float* cos = turns.cos.data() + r * turns.half;
      const float* sin = turns.sin.data() + r * turns.half;
      for (int64_t h = 0; h < heads; ++h) {
        float* head = x + r * stride + h * head_dim;
        if (layout == RopeLayout::kHalves) {
          t.rope(head, cos, sin, turns.half, false);
        } else {
          t.rope_pairs(head, cos, sin, turns.half);
        }
      }
    }
  });
}

void HeadNorm(ThreadPool* pool, const float* gain, int64_t rows, int64_t heads, int64_t head_dim,
              int64_t stride, float eps, float* x) {
  CHECK_MSG(heads * head_dim <= stride, "heads={} head_dim={} stride={}", heads, head_dim, stride);
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, rows, RowStep(heads * head_dim), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        float* head = x + r * stride + h * head_dim;
        const double mean = t.sum_squares(head, head_dim) / static_cast<double>(head_dim);
        const float inv = static_cast<float>(1.0 / std::sqrt(mean + static_cast<double>(eps)));
        t.rms_scale(head, gain, head_dim, inv, head);
      }
    }
  });
}

void SoftCap(ThreadPool* pool, float cap, int64_t n, float* x) {
  CHECK_MSG(cap > 0, "cap={}", cap);
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, n, kRangeElements,
            [&](int64_t first, int64_t count) { t.soft_cap(x + first, count, cap); });
}

void GeGlu(ThreadPool* pool, const float* gate, const float* up, int64_t rows, int64_t cols,
           int64_t stride, float* out) {
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, rows, RowStep(cols * 2), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      t.geglu(gate + r * stride, up + r * stride, cols, out + r * cols);
    }
  });
}

void SwiGlu(ThreadPool* pool, const float* gate, const float* up, int64_t rows, int64_t cols,
            int64_t stride, float* out) {
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, rows, RowStep(cols * 2), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      t.swiglu(gate + r * stride, up + r * stride, cols, out + r * cols);
    }
  });
}
void SwiGluBackward(ThreadPool* pool, const float* dout, const float* gate, const float* up,
                    int64_t rows, int64_t cols, int64_t stride, float* dgate, float* dup) {
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, rows, RowStep(cols * 2), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      t.swiglu_back(dout + r * cols, gate + r * stride, up + r * stride, cols, dgate + r * stride,
                    dup + r * stride);
    }
  });
}

void CrossEntropy(ThreadPool* pool, float* logits, const int32_t* target, int64_t rows,
                  int64_t cols, float scale, Gradient want_gradient, float* loss) {
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, rows, RowStep(cols), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      float* row = logits + r * cols;
      if (target[r] < 0) {
        loss[r] = 0;
        if (want_gradient == Gradient::kYes) std::fill(row, row + cols, 0.0f);
        continue;
      }
      CHECK_MSG(target[r] < cols, "target={} cols={}", target[r], cols);
      const float at_target = row[target[r]];
      const float largest = t.max(row, cols);
      const float sum = t.exp_sub(row, cols, 1.0f, largest);
      loss[r] = static_cast<float>(std::log(static_cast<double>(sum)) +
                                   (static_cast<double>(largest) - static_cast<double>(at_target)));
      if (want_gradient == Gradient::kYes) {
        t.scale(row, cols, scale / sum);
        row[target[r]] -= scale;
      }
    }
  });
}

void Softmax(ThreadPool* pool, float* x, int64_t rows, int64_t cols) {
  if (cols == 0) return;
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, rows, RowStep(cols), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      float* row = x + r * cols;
      const float sum = t.exp_sub(row, cols, 1.0f, t.max(row, cols));
      t.scale(row, cols, 1.0f / sum);
    }
  });
}

void Embed(ThreadPool* pool, const Weights& table, const int32_t* token, int64_t rows, float* y) {
  const int64_t row_bytes = RowBytes(table.type, table.in);
  ForRanges(pool, rows, RowStep(table.in), [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r) {
      CHECK_MSG(token[r] >= 0 && token[r] < table.out, "token={} of {}", token[r], table.out);
      ToF32(table.type, static_cast<const uint8_t*>(table.data) + token[r] * row_bytes, table.in,
            y + r * table.in);
    }
  });
}
void EmbedBackward(ThreadPool* pool, const float* dy, const int32_t* token, int64_t rows,
                   int64_t dim, float* dtable) {
  const cpu::Table& t = cpu::Active();
  // By columns: two rows with one token never meet in two threads.
  ForRanges(pool, dim, kColumnBlock, [&](int64_t first, int64_t count) {
    for (int64_t r = 0; r < rows; ++r) {
      t.add(dy + r * dim + first, count, dtable + token[r] * dim + first);
    }
  });
}

void Add(ThreadPool* pool, const float* x, int64_t n, float* y) {
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, n, kRangeElements,
            [&](int64_t first, int64_t count) { t.add(x + first, count, y + first); });
}

double SumOfSquares(ThreadPool* pool, const float* x, int64_t n) {
  const cpu::Table& t = cpu::Active();
  std::vector<double> part(static_cast<size_t>((n + kRangeElements - 1) / kRangeElements));
  ForRanges(pool, n, kRangeElements, [&](int64_t first, int64_t count) {
    part[static_cast<size_t>(first / kRangeElements)] = t.sum_squares(x + first, count);
  });
  double sum = 0;
  for (const double p : part) sum += p;
  return sum;
}

void AdamWStep(ThreadPool* pool, const AdamW& how, int64_t n, const float* grad, float* param,
               float* m, float* v, uint16_t* bf16) {
  CHECK_MSG(how.step >= 1, "step={}", how.step);
  const double step = static_cast<double>(how.step);
  const double c1 = 1.0 - std::pow(static_cast<double>(how.beta1), step);
  const double c2 = 1.0 - std::pow(static_cast<double>(how.beta2), step);
  const cpu::Table::AdamWConstants constants{how.lr,
                                             how.beta1,
                                             how.beta2,
                                             how.eps,
                                             how.weight_decay,
                                             how.grad_scale,
                                             static_cast<float>(1.0 / c1),
                                             static_cast<float>(1.0 / std::sqrt(c2))};
  const cpu::Table& t = cpu::Active();
  ForRanges(pool, n, kRangeElements, [&](int64_t first, int64_t count) {
    t.adamw(constants, count, grad + first, param + first, m + first, v + first,
            bf16 == nullptr ? nullptr : bf16 + first);
  });
}

bool HasNonFinite(ThreadPool* pool, const float* x, int64_t n) {
  const cpu::Table& t = cpu::Active();
  std::vector<char> bad(static_cast<size_t>((n + kRangeElements - 1) / kRangeElements));
  ForRanges(pool, n, kRangeElements, [&](int64_t first, int64_t count) {
    bad[static_cast<size_t>(first / kRangeElements)] = t.non_finite(x + first, count) ? 1 : 0;
  });
  return std::find(bad.begin(), bad.end(), 1) != bad.end();
}

}  // namespace weir::kernels
