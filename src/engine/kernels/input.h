// What an Input holds (packed.h has the class): for packed products only.
//
// The rows are cut into tiles of near equal size, at most kMaxTileRows. Group by group (256 k), and
// in a group tile by tile, a tile's rows lie together, k by k:
//     int8   codes [k / 4][rows][4], scale [rows], sums [k / 32][rows] and [k / 16][rows]
//     f32    [k][rows];   bf16 [k / 2][rows][2]; k rounded up to even, zero-filled
// so a product that goes through the tiles for one group of weights reads straight on.
#pragma once

#include <cstdint>

#include "engine/kernels/packed.h"

namespace weir::kernels {

struct Input::Buffers {
  // Grown, never shrunk; 64-byte aligned.
  class Memory {
   public:
    Memory() = default;
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    void Reserve(int64_t bytes);
    template <class T>
    T* as() const {
      return static_cast<T*>(data_);
    }

   private:
    void* data_ = nullptr;
    int64_t size_ = 0;
  };
  Memory f32, bf16, codes, scale, sums32, sums16;
};

struct RowTiles {
  int64_t rows = 0, count = 0;
  int64_t First(int64_t tile) const { return rows * tile / count; }
  int Rows(int64_t tile) const { return static_cast<int>(First(tile + 1) - First(tile)); }
};
RowTiles TilesOf(int64_t rows);

// Where group g of the tile that begins at row `first` lies, in units of one k of one row (of
// `per` k for what is kept once for `per` of them), among `rows` rows of `cols` elements.
inline int64_t GroupOffset(int64_t rows, int64_t cols, int64_t group, int64_t first, int64_t per) {
  const int64_t k = group * PackedMatrix::kGroup;
  const int64_t rest = cols - k;
  const int64_t n = rest < PackedMatrix::kGroup ? rest : PackedMatrix::kGroup;
  return k / per * rows + n / per * first;
}

}  // namespace weir::kernels
