#include "engine/kernels/input.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "engine/kernels/cpu/active.h"

namespace weir::kernels {
namespace {

using cpu::kGroupElements;

int64_t DivUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Source {
  const float* x;
  int64_t stride;
  const int32_t* pick;
  int64_t cols;
  const float* Row(int64_t r) const { return x + (pick == nullptr ? r : pick[r]) * stride; }
};

}  // namespace

Input::Buffers::Memory::~Memory() { std::free(data_); }

void Input::Buffers::Memory::Reserve(int64_t bytes) {
  if (bytes <= size_) return;
  std::free(data_);
  size_ = DivUp(bytes, 64) * 64;
  data_ = std::aligned_alloc(64, static_cast<size_t>(size_));
  CHECK_MSG(data_ != nullptr, "no memory for {} bytes of input", size_);
}

Input::Input() : buffers_(std::make_unique<Buffers>()) {}
Input::~Input() = default;
Input::Input(Input&&) noexcept = default;
Input& Input::operator=(Input&&) noexcept = default;

RowTiles TilesOf(int64_t rows) { return {rows, DivUp(rows, cpu::kMaxTileRows)}; }

namespace {

void Int8TileOf(const Source& from, int64_t first, int rows, int8_t* codes, float* scale,
                int16_t* sums) {
  const cpu::Int8Table& t = cpu::ActiveInt8();
  const int64_t groups = DivUp(from.cols, kGroupElements);
  codes += first * from.cols;
  scale += first * groups;
  sums += first * (from.cols / 16);
  for (int r = 0; r < rows; ++r) {
    const float* x = from.Row(first + r);
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t k = g * kGroupElements;
      const int n = static_cast<int>(std::min<int64_t>(kGroupElements, from.cols - k));
      alignas(64) int8_t row[kGroupElements];
      int16_t row_sums[16];
      t.quantize(x + k, n, row, scale + g * rows + r, row_sums);
      int8_t* to = codes + k * rows + 4 * r;
      for (int i = 0; i < n / 4; ++i) std::memcpy(to + i * 4 * rows, row + 4 * i, 4);
      for (int i = 0; i < n / 16; ++i) sums[(k / 16 + i) * rows + r] = row_sums[i];
    }
  }
}

int64_t Even(int64_t k) { return (k + 1) / 2 * 2; }

void F32TileOf(const Source& from, int64_t first, int rows, float* to) {
  to += first * Even(from.cols);
  for (int r = 0; r < rows; ++r) {
    const float* x = from.Row(first + r);
    for (int64_t k = 0; k < from.cols; ++k) to[k * rows + r] = x[k];
    if (from.cols % 2 != 0) to[from.cols * rows + r] = 0;
  }
}

void Bf16TileOf(const Source& from, int64_t first, int rows, uint16_t* to) {
  to += first * Even(from.cols);
  const cpu::Table& t = cpu::Active();
  for (int r = 0; r < rows; ++r) {
    const float* x = from.Row(first + r);
    constexpr int64_t kPiece = 256;
    for (int64_t k = 0; k < from.cols; k += kPiece) {
      const int64_t n = std::min(kPiece, from.cols - k);
      uint16_t narrow[kPiece + 1];
      t.f32_to_bf16(x + k, n, narrow);
      if (n % 2 != 0) narrow[n] = 0;
      for (int64_t i = 0; i < n; i += 2) std::memcpy(to + (k + i) * rows + 2 * r, narrow + i, 4);
    }
  }
}

}  // namespace

void Input::Prepare(ThreadPool* pool, const float* x, int64_t rows, int64_t cols, InputForms forms,
                    int64_t stride, const int32_t* pick) {
  CHECK_MSG(rows >= 0 && cols >= 0 && (stride == 0 || stride >= cols), "rows={} cols={} stride={}",
            rows, cols, stride);
  CHECK_MSG((forms & kInputInt8) == 0 || cols % kSmallBlock == 0,
            "{} columns for quantized weights", cols);
  const Source from{x, stride == 0 ? cols : stride, pick, cols};
  Buffers& b = *buffers_;
  if (forms & kInputInt8) {
    b.codes.Reserve(rows * cols);
    b.scale.Reserve(rows * DivUp(cols, kGroupElements) * 4);
    b.sums.Reserve(rows * (cols / 16) * 2);
  }
  if (forms & kInputBf16) b.bf16.Reserve(rows * Even(cols) * 2);
  if (forms & kInputF32) b.f32.Reserve(rows * Even(cols) * 4);
  rows_ = rows;
  cols_ = cols;
  forms_ = forms;
  const RowTiles tiles = TilesOf(rows);
  constexpr int64_t kWorthSharing = 64 << 10;  // elements: some tens of microseconds
  ParallelShares(rows * cols >= kWorthSharing ? pool : nullptr, tiles.count, 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     const int64_t first = tiles.First(i);
                     const int n = tiles.Rows(i);
                     if (forms & kInputInt8) {
                       Int8TileOf(from, first, n, b.codes.as<int8_t>(), b.scale.as<float>(),
                                  b.sums.as<int16_t>());
                     }
                     if (forms & kInputBf16) Bf16TileOf(from, first, n, b.bf16.as<uint16_t>());
                     if (forms & kInputF32) F32TileOf(from, first, n, b.f32.as<float>());
                   }
                 });
}

}  // namespace weir::kernels
