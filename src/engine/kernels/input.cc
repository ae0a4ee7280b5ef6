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
  int64_t rows, cols;
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

// Row by row, and a row's groups in order, so that x is read straight on:
// body(row of the tile, x of the group, group, elements, where the tile's part of the group
// begins).
template <class Body>
void EachGroup(const Source& from, int64_t first, int rows, int64_t cols, const Body& body) {
  for (int r = 0; r < rows; ++r) {
    const float* x = from.Row(first + r);
    for (int64_t g = 0, k = 0; k < from.cols; ++g, k += kGroupElements) {
      body(r, x + k, g, std::min<int64_t>(kGroupElements, from.cols - k),
           GroupOffset(from.rows, cols, g, first, 1));
    }
  }
}

void Int8TileOf(const Source& from, int64_t first, int rows, const Input::Buffers& to) {
  const cpu::Int8Table& t = cpu::ActiveInt8();
  const uint32_t bias = t.biased && rows > 1 ? 0x80808080u : 0;
  EachGroup(from, first, rows, from.cols,
            [&](int r, const float* x, int64_t g, int64_t n, int64_t at) {
              alignas(64) int8_t row[kGroupElements];
              int32_t sums[16];
              t.quantize(x, static_cast<int>(n), row,
                         to.scale.as<float>() + g * from.rows + first + r, sums);
              int8_t* out = to.codes.as<int8_t>() + at + 4 * r;
              const int64_t step = 4 * rows;
              for (int64_t i = 0; i < n / 4; ++i) {
                uint32_t four;
                std::memcpy(&four, row + 4 * i, 4);
                four ^= bias;
                std::memcpy(out + i * step, &four, 4);
              }
              int32_t* sums32 =
                  to.sums32.as<int32_t>() + GroupOffset(from.rows, from.cols, g, first, 32) + r;
              int32_t* sums16 =
                  to.sums16.as<int32_t>() + GroupOffset(from.rows, from.cols, g, first, 16) + r;
              for (int64_t i = 0; i < n / 16; ++i) sums16[i * rows] = sums[i];
              for (int64_t i = 0; i < n / 32; ++i) {
                sums32[i * rows] = sums[2 * i] + sums[2 * i + 1];
              }
            });
}

int64_t Even(int64_t k) { return (k + 1) / 2 * 2; }

void F32TileOf(const Source& from, int64_t first, int rows, float* to) {
  EachGroup(from, first, rows, Even(from.cols),
            [&](int r, const float* x, int64_t, int64_t n, int64_t at) {
              float* out = to + at + r;
              for (int64_t i = 0; i < n; ++i) out[i * rows] = x[i];
              if (n % 2 != 0) out[n * rows] = 0;
            });
}

void Bf16TileOf(const Source& from, int64_t first, int rows, uint16_t* to) {
  const cpu::Table& t = cpu::Active();
  EachGroup(from, first, rows, Even(from.cols),
            [&](int r, const float* x, int64_t, int64_t n, int64_t at) {
              uint16_t narrow[kGroupElements + 1];
              t.f32_to_bf16(x, n, narrow);
              if (n % 2 != 0) narrow[n] = 0;
              uint16_t* out = to + at + 2 * r;
              for (int64_t i = 0; i < n; i += 2) std::memcpy(out + i * rows, narrow + i, 4);
            });
}

}  // namespace

void Input::Prepare(ThreadPool* pool, const float* x, int64_t rows, int64_t cols, InputForms forms,
                    int64_t stride, const int32_t* pick) {
  CHECK_MSG(rows >= 0 && cols >= 0 && (stride == 0 || stride >= cols), "rows={} cols={} stride={}",
            rows, cols, stride);
  CHECK_MSG((forms & kInputInt8) == 0 || cols % kSmallBlock == 0,
            "{} columns for quantized weights", cols);
  const Source from{x, stride == 0 ? cols : stride, pick, rows, cols};
  Buffers& b = *buffers_;
  if (forms & kInputInt8) {
    b.codes.Reserve(rows * cols);
    b.scale.Reserve(rows * DivUp(cols, kGroupElements) * 4);
    b.sums32.Reserve(rows * (cols / 32) * 4);
    b.sums16.Reserve(rows * (cols / 16) * 4);
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
                     if (forms & kInputInt8) Int8TileOf(from, first, n, b);
                     if (forms & kInputBf16) Bf16TileOf(from, first, n, b.bf16.as<uint16_t>());
                     if (forms & kInputF32) F32TileOf(from, first, n, b.f32.as<float>());
                   }
                 });
}

}  // namespace weir::kernels
