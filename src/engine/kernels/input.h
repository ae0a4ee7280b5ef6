// What an Input holds (packed.h has the class): for packed products only.
//
// The rows are cut into tiles of near equal size, at most kMaxTileRows; a tile's rows lie together,
// k by k, in each form:
//     int8   codes [k / 4][rows][4], scale [groups][rows], sums [k / 16][rows]
//     f32    [k][rows];   bf16 [k / 2][rows][2]; k rounded up to even, zero-filled
// so that tile t, whose first row is r, begins at r times what one row takes.
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
  Memory f32, bf16, codes, scale, sums;
};

struct RowTiles {
  int64_t rows = 0, count = 0;
  int64_t First(int64_t tile) const { return rows * tile / count; }
  int Rows(int64_t tile) const { return static_cast<int>(First(tile + 1) - First(tile)); }
};
RowTiles TilesOf(int64_t rows);

}  // namespace weir::kernels
