// Weights repacked for this program's products, inputs prepared once for several of them, and the
// products.
//
//     const PackedMatrix q = PackedMatrix::Pack(pool, w_q);        // once, at load
//     Input input;                                                 // kept, its memory is reused
//     input.Prepare(pool, x, rows, dim, q.form() | k.form() | v.form());
//     MatMul(pool, {{{&q, &input, y_q}, {&k, &input, y_k}, {&v, &input, y_v}}});   // one region
//
// Layout    sixteen rows of the matrix form a panel, in which the sixteen values that one vector
//           instruction wants lie together; along a row, 256 elements form a group with its scales
//           before its codes. Codes stay as narrow as they are stored (4, 4+1, 4+2, 2+1, 2 bits),
//           so a packed matrix has the bytes of its file (rows rounded up to 16). The layout does
//           not depend on the instruction set. packed.cc draws it.
// Numbers   quantized weights: the input is rounded to int8 with one f32 scale for each 256
//           consecutive elements, symmetric (|q| <= 127); the products are exact integers, scaled
//           and summed in f32 in an order that the shape fixes. The rounding of the input adds
//           about 0.65% of its norm for Gaussian inputs (bench/kernels prints it).
//           BF16: where the CPU has AVX512_BF16 the input is rounded to bf16 (2^-9 relative) and
//           products summed in f32; elsewhere, and for F16 and F32, the input is f32.
// Promise   a row of y depends on that row of x and on the weights alone: not on how many rows
//           came along, on their order, on which products share a call, nor on the threads. Equal
//           bit for bit (tested for every type and instruction set). Between instruction sets
//           results differ by rounding.
// Special   a row of x that holds NaN or infinity gives NaN in every y of that row (quantized
//           weights) or what IEEE arithmetic gives (others); other rows are untouched.
// Threads   a PackedMatrix is immutable; an Input belongs to one caller at a time. Each thread
//           streams its own contiguous share of each matrix, and helps others when it is done.
// Errors    none; shapes that contradict each other abort (CHECK).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "engine/kernels/dtype.h"
#include "engine/kernels/thread_pool.h"

namespace weir::kernels {

// A weight matrix [out, in] as a file holds it, rows one after another.
struct Weights {
  DType type = DType::kF32;
  const void* data = nullptr;
  int64_t out = 0, in = 0;
};

// What a product reads its input as; a set of bits, so that several may be prepared at once.
using InputForms = unsigned;
inline constexpr InputForms kInputF32 = 1, kInputBf16 = 2, kInputInt8 = 4;

// Where packed matrices of one model lie: one after another on huge pages. Streaming through 4 KiB
// pages costs a page walk (two-dimensional in a virtual machine) and a restart of the hardware's
// prefetcher for each, and a matrix on huge pages of its own would waste a megabyte on average.
// Memory lives as long as any matrix in it. Threads: one at a time.
class WeightMemory {
 public:
  std::shared_ptr<std::byte> Take(int64_t bytes);  // 64-byte aligned, not yet touched

 private:
  std::shared_ptr<std::byte> slab_;
  int64_t size_ = 0, used_ = 0;
};

class PackedMatrix {
 public:
  static constexpr int64_t kPanelRows = 16;
  static constexpr int64_t kGroup = 256;

  PackedMatrix() = default;  // empty: out() == 0, good for nothing but assignment
  // Reads w once; w may go away afterwards. Memory: bytes(), of `memory` where that is given, first
  // touched by the threads that will stream it.
  static PackedMatrix Pack(ThreadPool* pool, const Weights& w, WeightMemory* memory = nullptr);
  // A matrix packed earlier, by this version's Pack: `data` (64-byte aligned, PackedBytes long) is
  // borrowed and must outlive this. For weights kept packed in a file.
  static PackedMatrix Borrow(DType type, int64_t out, int64_t in, const std::byte* data);
  static int64_t PackedBytes(DType type, int64_t out, int64_t in);
  // Raised whenever the layout changes: a cache file of another version is packed anew.
  static constexpr int kLayoutVersion = 1;

  bool empty() const { return out_ == 0; }
  DType type() const { return type_; }
  int64_t out() const { return out_; }
  int64_t in() const { return in_; }
  int64_t bytes() const { return PackedBytes(type_, out_, in_); }
  const std::byte* data() const { return data_; }
  InputForms form() const;  // one bit; by type and by the active instruction set

  // Row o, widened: for embeddings that share the output matrix. Exactly ToF32 of the stored row.
  void Row(int64_t o, float* to) const;

 private:
  DType type_ = DType::kF32;
  int64_t out_ = 0, in_ = 0;
  const std::byte* data_ = nullptr;
  std::shared_ptr<const std::byte> owned_;
};

// y[r,:] = row token[r] of table.
void Embed(ThreadPool* pool, const PackedMatrix& table, const int32_t* token, int64_t rows,
           float* y);

class Input {
 public:
  Input();
  ~Input();
  Input(Input&&) noexcept;
  Input& operator=(Input&&) noexcept;

  // Prepares rows of x in each of `forms`. Row r is x + (pick ? pick[r] : r) * stride, of `cols`
  // elements; stride 0 means cols. x is not read after return. Memory is kept for the next call:
  // at most 7.5 bytes an element with all forms.
  void Prepare(ThreadPool* pool, const float* x, int64_t rows, int64_t cols, InputForms forms,
               int64_t stride = 0, const int32_t* pick = nullptr);
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  InputForms forms() const { return forms_; }

  struct Buffers;  // input.h
  const Buffers& buffers() const { return *buffers_; }

 private:
  int64_t rows_ = 0, cols_ = 0;
  InputForms forms_ = 0;
  std::unique_ptr<Buffers> buffers_;
};

enum class Into : uint8_t { kOverwrite, kAccumulate };

// y[rows, w.out] = x · w^T + bias, or += (bias only where not null, [w.out]).
struct Product {
  const PackedMatrix* weights = nullptr;
  const Input* input = nullptr;  // cols() == weights->in(), prepared for weights->form()
  float* y = nullptr;
  Into into = Into::kOverwrite;
  int64_t y_stride = 0;  // elements between rows of y; 0: weights->out()
  const float* bias = nullptr;
};
// All products in one parallel region; none may write what another reads or writes. Products of
// different inputs may stand together: the experts of a mixture are one call.
void MatMul(ThreadPool* pool, std::span<const Product> products);

// A hint: `next` are multiplied with few rows in one call before long. While the caller does what
// lies between, the pool's other threads fetch what they will begin with.
void FetchAhead(ThreadPool* pool, std::span<const PackedMatrix* const> next);

}  // namespace weir::kernels
