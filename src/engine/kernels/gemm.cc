// The blocked matrix product.
//
// Problem   c[m,n] (+)= a · b with a and b larger than the caches. Every multiply-add needs three
//           numbers, and a core does 16 multiply-adds a cycle: they must come from registers.
// Idea      (Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.)
//           A micro-tile of c (14 x 32 with AVX-512) stays in registers while k runs; for each k it
//           reads 14 + 32 floats for 448 multiply-adds. Both operands are first copied ("packed")
//           into the order in which the micro-tile reads them: a in panels of mr rows, [k][mr]; b
//           in panels of nr columns, [k][nr]. k is cut to kBlockK so that the b panel stays near L1
//           and the a block in L2.
// Threads   c is cut into tiles of some hundred rows and columns, each computed whole by one
//           thread, which packs what it needs. No thread waits for another inside a product. The
//           price is packing a once for each tile column: about 1% of the tile's work.
// Numbers   each element of c is one chain of fused multiply-adds over k in order, a chain for each
//           kBlockK-th part, added in order. How c is tiled does not change it.
#include <algorithm>

#include "base/check.h"
#include "engine/kernels/cpu/table.h"
#include "engine/kernels/kernels.h"

namespace weir::kernels {
namespace {

constexpr int64_t kBlockK = 400;  // b panel: 400 x 32 floats = 50 KiB; a block: 270 x 400 = 420 KiB
constexpr int64_t kTileRows = 280;  // 20 panels of 14
constexpr int64_t kTileCols = 1024;
constexpr int64_t kTilesPerThread = 4;  // so that the last tiles to finish do not leave cores idle

int64_t DivUp(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t RoundUp(int64_t a, int64_t b) { return DivUp(a, b) * b; }

// b may be stored narrower than f32: then a panel's part is widened first.
struct Operands {
  const Gemm& gemm;
  DType b_type;
  const uint8_t* b_bytes;
  int64_t b_row_bytes;
};

// to[k][nr] from rows k0.. and columns j0.. of b.
void PackB(const cpu::Table& t, const Operands& in, int64_t k0, int64_t k, int64_t j0, int cols,
           float* to) {
  const Gemm& g = in.gemm;
  const bool transposed = g.form == Form::kNT;
  if (in.b_type == DType::kF32) {
    if (transposed) {
      t.pack_rows(g.b + j0 * g.ldb + k0, g.ldb, cols, k, t.nr, to);
    } else {
      t.pack_cols(g.b + k0 * g.ldb + j0, g.ldb, cols, k, t.nr, to);
    }
    return;
  }
  // Widening wants whole blocks: begin at the one that holds the first element.
  const int64_t first = transposed ? k0 : j0;
  const int64_t count = transposed ? k : cols;
  const int64_t block = BlockElements(in.b_type);
  const int64_t begin = first / block * block;
  const int64_t end = std::min(RoundUp(first + count, block), transposed ? g.k : g.n);
  const int64_t rows = transposed ? cols : k;
  float* wide = cpu::Scratch(1, rows * (end - begin));
  for (int64_t r = 0; r < rows; ++r) {
    const uint8_t* row = in.b_bytes + ((transposed ? j0 : k0) + r) * in.b_row_bytes;
    ToF32(in.b_type, row + RowBytes(in.b_type, begin), end - begin, wide + r * (end - begin));
  }
  if (transposed) {
    t.pack_rows(wide + (first - begin), end - begin, cols, k, t.nr, to);
  } else {
    t.pack_cols(wide + (first - begin), end - begin, cols, k, t.nr, to);
  }
}

void Tile(const cpu::Table& t, const Operands& in, int64_t i0, int64_t rows, int64_t j0,
          int64_t cols) {
  const Gemm& g = in.gemm;
  const int64_t blocks = std::max<int64_t>(1, DivUp(g.k, kBlockK));
  const int64_t block_k = std::max<int64_t>(16, RoundUp(DivUp(g.k, blocks), 16));
  float* const packed_a = cpu::Scratch(0, rows * block_k + block_k * t.nr + 64);
  for (int64_t k0 = 0; k0 < g.k || k0 == 0; k0 += block_k) {
    const int64_t k = std::min(block_k, g.k - k0);
    const bool accumulate = k0 > 0 || g.into == Into::kAccumulate;
    for (int64_t i = 0; i < rows; i += t.mr) {
      const int panel = static_cast<int>(std::min<int64_t>(t.mr, rows - i));
      if (g.form == Form::kTN) {
        t.pack_cols(g.a + k0 * g.lda + i0 + i, g.lda, panel, k, panel, packed_a + i * k);
      } else {
        t.pack_rows(g.a + (i0 + i) * g.lda + k0, g.lda, panel, k, panel, packed_a + i * k);
      }
    }
    float* const packed_b = packed_a + RoundUp(rows * k + t.lanes, 16);
    for (int64_t j = 0; j < cols; j += t.nr) {
      const int panel_cols = static_cast<int>(std::min<int64_t>(t.nr, cols - j));
      PackB(t, in, k0, k, j0 + j, panel_cols, packed_b);
      for (int64_t i = 0; i < rows; i += t.mr) {
        const int panel = static_cast<int>(std::min<int64_t>(t.mr, rows - i));
        t.micro(panel, k, packed_a + i * k, packed_b, g.c + (i0 + i) * g.ldc + j0 + j, g.ldc,
                panel_cols, accumulate);
      }
    }
  }
}

void Multiply(ThreadPool* pool, const Operands& in) {
  const Gemm& g = in.gemm;
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0 && g.into == Into::kAccumulate) return;
  const cpu::Table& t = cpu::Active();
  const int64_t tile_rows = RoundUp(DivUp(g.m, DivUp(g.m, kTileRows)), t.mr);
  const int64_t row_tiles = DivUp(g.m, tile_rows);
  const int64_t threads = pool == nullptr ? 1 : pool->size();
  int64_t tile_cols = kTileCols;
  if (threads > 1) {
    const int64_t wanted = DivUp(threads * kTilesPerThread, row_tiles);
    tile_cols = std::clamp(RoundUp(DivUp(g.n, wanted), t.nr), int64_t{2} * t.nr, kTileCols);
  }
  const int64_t col_tiles = DivUp(g.n, tile_cols);
  ParallelFor(pool, row_tiles * col_tiles, [&](int64_t i) {
    const int64_t i0 = i % row_tiles * tile_rows;
    const int64_t j0 = i / row_tiles * tile_cols;
    Tile(t, in, i0, std::min(tile_rows, g.m - i0), j0, std::min(tile_cols, g.n - j0));
  });
}

}  // namespace

void Sgemm(ThreadPool* pool, const Gemm& g) {
  const bool a_transposed = g.form == Form::kTN;
  const bool b_transposed = g.form == Form::kNT;
  CHECK_MSG(g.m >= 0 && g.n >= 0 && g.k >= 0, "m={} n={} k={}", g.m, g.n, g.k);
  CHECK_MSG(
      g.lda >= (a_transposed ? g.m : g.k) && g.ldb >= (b_transposed ? g.k : g.n) && g.ldc >= g.n,
      "m={} n={} k={} lda={} ldb={} ldc={}", g.m, g.n, g.k, g.lda, g.ldb, g.ldc);
  Multiply(pool, {g, DType::kF32, nullptr, 0});
}

static_assert(cpu::kMaxDotRows == kFewRows);

void MatMul(ThreadPool* pool, const float* x, int64_t rows, const Weights& w, float* y, Into into) {
  const cpu::Table& t = cpu::Active();
  const auto dot = w.type == DType::kF32    ? t.dot_f32
                   : w.type == DType::kBF16 ? t.dot_bf16
                   : w.type == DType::kF16  ? t.dot_f16
                   : w.type == DType::kQ8_0 ? t.dot_q8_0
                                            : nullptr;
  if (rows > cpu::kMaxDotRows || dot == nullptr) {
    const Gemm g{.form = Form::kNT,
                 .into = into,
                 .m = rows,
                 .n = w.out,
                 .k = w.in,
                 .a = x,
                 .lda = w.in,
                 .b = static_cast<const float*>(w.data),
                 .ldb = w.in,
                 .c = y,
                 .ldc = w.out};
    Multiply(pool, {g, w.type, static_cast<const uint8_t*>(w.data), RowBytes(w.type, w.in)});
    return;
  }
  const int64_t row_bytes = RowBytes(w.type, w.in);
  // About 64 KiB of weights an index: small enough to share out, large enough to stream.
  const int64_t chunk = std::max<int64_t>(1, (64 << 10) / std::max<int64_t>(1, row_bytes));
  ParallelFor(pool, DivUp(w.out, chunk), [&](int64_t c) {
    const int64_t end = std::min(w.out, (c + 1) * chunk);
    for (int64_t o = c * chunk; o < end; ++o) {
      dot(static_cast<const uint8_t*>(w.data) + o * row_bytes, x, w.in, static_cast<int>(rows),
          w.in, y + o, w.out, into == Into::kAccumulate);
    }
  });
}

void MatMulBack(ThreadPool* pool, const float* x, int64_t rows, const Weights& w, float* y,
                Into into) {
  const Gemm g{.form = Form::kNN,
               .into = into,
               .m = rows,
               .n = w.in,
               .k = w.out,
               .a = x,
               .lda = w.out,
               .b = static_cast<const float*>(w.data),
               .ldb = w.in,
               .c = y,
               .ldc = w.in};
  Multiply(pool, {g, w.type, static_cast<const uint8_t*>(w.data), RowBytes(w.type, w.in)});
}

}  // namespace weir::kernels
