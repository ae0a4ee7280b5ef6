// The loops of the packed products.
//
// One row streams a panel straight from memory (Int8Table::row, FloatTable's tiles). More rows:
// a group of one or four panels is unpacked once into the nearest cache (16 KiB of codes and 8 of
// scales for four) and all tiles of rows are multiplied with it; their running sums wait in a
// buffer, [panel][rows][16], that lies in the second cache. So weights are unpacked once for a
// batch, the input is read once for each 64 rows of the matrix, and no order of sums depends on any
// of it.
//
// The region's indices are (product, panels, stretch of tiles). Stretches of one set of panels
// follow each other, so that the second finds the weights in a cache.
#include <algorithm>
#include <cstring>
#include <memory>

#include "base/check.h"
#include "engine/kernels/cpu/active.h"
#include "engine/kernels/input.h"
#include "engine/kernels/packed.h"

namespace weir::kernels {
namespace {

using cpu::kGroupElements;
using cpu::kPanelRows;

constexpr int64_t kWidePanels = 4;  // panels multiplied together where there are several tiles
constexpr int64_t kFewTiles = 2;    // up to here one panel at a time: its stream stays whole
constexpr int64_t kMaxTiles = 64;   // tiles whose sums wait together: 4 x 512 x 64 bytes
constexpr int64_t kGrainBytes = 128 << 10;  // of weights that a thread takes at once
constexpr int64_t kFinishAhead = 8;         // rows of y
constexpr int64_t kMinWork = 1 << 17;  // multiply-adds below which a second thread does not pay

int64_t DivUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

struct Job {
  const Product* product;
  RowTiles tiles;
  int64_t panels, panel_bytes;
  int64_t wide;       // panels of an index
  int64_t stretches;  // of tiles
  int64_t first;      // index
  int64_t count() const { return DivUp(panels, wide) * stretches; }
};

// What follows for a whole panel, four at a time: the compiler does not by itself.
void FinishSixteen(const float* bias, Into into, const float* from, float* y) {
  using Four = float __attribute__((vector_size(16)));
  for (int64_t i = 0; i < kPanelRows; i += 4) {
    Four value, other;
    std::memcpy(&value, from + i, sizeof value);
    if (bias != nullptr) {
      std::memcpy(&other, bias + i, sizeof other);
      value += other;
    }
    if (into == Into::kAccumulate) {
      std::memcpy(&other, y + i, sizeof other);
      value += other;
    }
    std::memcpy(y + i, &value, sizeof value);
  }
}

// sums[panels][rows][16] to y. A row's stretch of y is written at once: its cache lines lie
// together, those of the next row far away.
void Finish(const Product& p, int64_t panel, int64_t panels, int64_t row, int64_t rows,
            const float* sums) {
  const int64_t out = p.weights->out();
  const int64_t stride = p.y_stride == 0 ? out : p.y_stride;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < panels; ++j) {
      const float* from = sums + (j * rows + r) * kPanelRows;
      const int64_t column = (panel + j) * kPanelRows;
      const int64_t n = std::min<int64_t>(kPanelRows, out - column);
      float* y = p.y + (row + r) * stride + column;
      // y is written once and far apart: ask for its lines some rows ahead.
      __builtin_prefetch(y + kFinishAhead * stride, 1);
      if (n == kPanelRows) {
        FinishSixteen(p.bias == nullptr ? nullptr : p.bias + column, p.into, from, y);
        continue;
      }
      for (int64_t i = 0; i < n; ++i) {
        float value = from[i];
        if (p.bias != nullptr) value += p.bias[column + i];
        y[i] = p.into == Into::kAccumulate ? value + y[i] : value;
      }
    }
  }
}

struct Piece {
  int64_t panel, panels;  // first, count
  int64_t tile, tile_end;
};

float* Sums(int64_t panels, int64_t rows) {
  return reinterpret_cast<float*>(
      cpu::ScratchBytes(cpu::Bytes::kSums, panels * rows * kPanelRows * 4));
}

// ---- Quantized weights ----

void RunInt8(const Job& job, const Piece& piece) {
  const Product& p = *job.product;
  const cpu::Int8Table& t = cpu::ActiveInt8();
  const int type = cpu::IndexOf(p.weights->type());
  const cpu::PackedFormat& format = cpu::kPackedFormats[type];
  const int64_t in = p.weights->in();
  const int64_t groups = DivUp(in, kGroupElements);
  const Input::Buffers& x = p.input->buffers();
  const auto* weights = reinterpret_cast<const uint8_t*>(p.weights->data());
  const auto tile_of = [&](int64_t tile, int64_t group) {
    const int64_t first = job.tiles.First(tile);
    const auto at = [&](int64_t per) { return GroupOffset(job.tiles.rows, in, group, first, per); };
    return cpu::Int8Tile{job.tiles.Rows(tile), x.codes.as<int8_t>() + at(1),
                         x.scale.as<float>() + group * job.tiles.rows + first,
                         x.sums32.as<int32_t>() + at(32), x.sums16.as<int32_t>() + at(16)};
  };
  const int64_t row = job.tiles.First(piece.tile);
  const int64_t rows = job.tiles.First(piece.tile_end) - row;
  if (rows == 1) {
    const cpu::Int8Tile tile = tile_of(piece.tile, 0);
    for (int64_t i = piece.panel; i < piece.panel + piece.panels; ++i) {
      alignas(64) float acc[kPanelRows] = {};
      t.row[type](weights + i * job.panel_bytes, in, tile, acc);
      Finish(p, i, 1, row, 1, acc);
    }
    return;
  }
  const int64_t wide = std::min(job.wide, piece.panels);
  auto* chunks = reinterpret_cast<cpu::Int8Chunk*>(cpu::ScratchBytes(
      cpu::Bytes::kInt8Chunk, kWidePanels * static_cast<int64_t>(sizeof(cpu::Int8Chunk))));
  for (int64_t i = piece.panel; i < piece.panel + piece.panels; i += wide) {
    const int64_t panels = std::min(wide, piece.panel + piece.panels - i);
    float* sums = Sums(panels, rows);
    if (groups == 0) std::memset(sums, 0, static_cast<size_t>(panels * rows * kPanelRows) * 4);
    for (int64_t g = 0; g < groups; ++g) {
      const int blocks = static_cast<int>(
          std::min<int64_t>(cpu::kGroupBlocks, (in - g * kGroupElements) / cpu::kBlockElements));
      for (int64_t j = 0; j < panels; ++j) {
        t.unpack[type](weights + (i + j) * job.panel_bytes + g * format.group_bytes(8), blocks,
                       chunks + j);
      }
      for (int64_t tile = piece.tile; tile < piece.tile_end; ++tile) {
        const cpu::Int8Tile in_tile = tile_of(tile, g);
        float* acc = sums + (job.tiles.First(tile) - row) * kPanelRows;
        for (int64_t j = 0; j < panels; j += 2) {
          t.tile[type](chunks + j, j + 1 < panels ? 2 : 1, blocks, in_tile,
                       acc + j * rows * kPanelRows, rows * kPanelRows, g == 0);
        }
      }
    }
    Finish(p, i, panels, row, rows, sums);
  }
}

// ---- Float weights ----

void RunFloat(const Job& job, const Piece& piece) {
  const Product& p = *job.product;
  const cpu::FloatTable& t = cpu::ActiveFloats();
  const DType type = p.weights->type();
  const bool pairs = p.weights->form() == kInputBf16;
  const auto run = pairs                  ? t.tile_bf16_pairs
                   : type == DType::kBF16 ? t.tile_bf16
                   : type == DType::kF16  ? t.tile_f16
                                          : t.tile_f32;
  const int64_t in = p.weights->in();
  const Input::Buffers& x = p.input->buffers();
  const auto* weights = reinterpret_cast<const uint8_t*>(p.weights->data());
  const auto input_at = [&](int64_t tile, int64_t k) -> const void* {
    const int64_t at =
        GroupOffset(job.tiles.rows, (in + 1) / 2 * 2, k / kGroupElements, job.tiles.First(tile), 1);
    if (pairs) return x.bf16.as<uint16_t>() + at;
    return x.f32.as<float>() + at;
  };
  const int64_t row = job.tiles.First(piece.tile);
  const int64_t rows = job.tiles.First(piece.tile_end) - row;
  const bool single = job.tiles.count == 1;  // then its groups follow each other
  const int64_t step_k = single ? std::max<int64_t>(in, 1) : kGroupElements;
  const int64_t k_bytes = type == DType::kF32 ? 64 : 32;  // of one k of 16 rows
  for (int64_t i = piece.panel; i < piece.panel + piece.panels; i += 2) {
    const int panels = static_cast<int>(std::min<int64_t>(2, piece.panel + piece.panels - i));
    float* sums = Sums(2, rows);
    std::memset(sums, 0, static_cast<size_t>(2 * rows * kPanelRows) * sizeof(float));
    for (int64_t k = 0; k < in; k += step_k) {
      const int64_t n = std::min(step_k, in - k);
      const uint8_t* w = weights + i * job.panel_bytes + k * k_bytes;
      for (int64_t tile = piece.tile; tile < piece.tile_end; ++tile) {
        run(w, job.panel_bytes, panels, n, input_at(tile, k), job.tiles.Rows(tile),
            sums + (job.tiles.First(tile) - row) * kPanelRows, rows * kPanelRows,
            tile == piece.tile);
      }
    }
    Finish(p, i, panels, row, rows, sums);
  }
}

}  // namespace

void MatMul(ThreadPool* pool, std::span<const Product> products) {
  constexpr size_t kInPlace = 8;
  Job in_place[kInPlace];
  std::unique_ptr<Job[]> many;
  Job* jobs = in_place;
  if (products.size() > kInPlace) {
    many = std::make_unique<Job[]>(products.size());
    jobs = many.get();
  }
  const int64_t threads = pool == nullptr ? 1 : pool->size();
  size_t count = 0;
  int64_t total = 0, work = 0, bytes = 0;
  for (const Product& p : products) {
    const PackedMatrix& w = *p.weights;
    CHECK_MSG(p.input->cols() == w.in() && (p.input->forms() & w.form()) != 0,
              "input of {} columns in forms {} for {} [{}, {}]", p.input->cols(), p.input->forms(),
              NameOf(w.type()), w.out(), w.in());
    CHECK_MSG(p.y_stride == 0 || p.y_stride >= w.out(), "y_stride={} out={}", p.y_stride, w.out());
    const int64_t rows = p.input->rows();
    if (rows == 0 || w.out() == 0) continue;
    Job job{&p, TilesOf(rows), DivUp(w.out(), kPanelRows), cpu::PanelBytes(w.type(), w.in()), 1,
            1,  total};
    const bool quantized = IsQuantized(w.type());
    job.wide = !quantized ? 2 : job.tiles.count <= kFewTiles ? 1 : kWidePanels;
    // Matrices too small to give every thread some panels: fewer at once, then rows shared out too.
    while (job.wide > 1 && DivUp(job.panels, job.wide) < threads * 2) job.wide /= 2;
    job.stretches = DivUp(job.tiles.count, kMaxTiles);
    while (job.count() < threads * 2 && DivUp(job.tiles.count, job.stretches) > 4) {
      job.stretches *= 2;
    }
    job.stretches = std::min(job.stretches, job.tiles.count);
    jobs[count++] = job;
    total += job.count();
    work += rows * w.out() * w.in();
    bytes += w.bytes();
  }
  if (total == 0) return;
  if (work < kMinWork) pool = nullptr;
  const int64_t bytes_an_index = std::max<int64_t>(1, bytes / total);
  const int64_t grain = std::clamp<int64_t>(kGrainBytes / bytes_an_index, 1,
                                            std::max<int64_t>(1, total / threads / 4));
  ParallelShares(pool, total, grain, [&](int64_t begin, int64_t end) {
    size_t j = 0;
    while (begin < end) {
      while (j + 1 < count && begin >= jobs[j + 1].first) ++j;
      const Job& job = jobs[j];
      const int64_t at = begin - job.first;
      const int64_t set = at / job.stretches, stretch = at % job.stretches;
      // Whole sets of panels in a row go together where rows are not cut.
      int64_t sets = 1;
      if (job.stretches == 1) sets = std::min(end, job.first + job.count()) - begin;
      const int64_t panel = set * job.wide;
      const Piece piece{panel, std::min(job.panels - panel, sets * job.wide),
                        job.tiles.count * stretch / job.stretches,
                        job.tiles.count * (stretch + 1) / job.stretches};
      if (IsQuantized(job.product->weights->type())) {
        RunInt8(job, piece);
      } else {
        RunFloat(job, piece);
      }
      begin += sets;
    }
  });
}

void FetchAhead(ThreadPool* pool, std::span<const PackedMatrix* const> next) {
  constexpr int64_t kAhead = 512 << 10;  // half of a second cache; more than a wait has time for
  constexpr size_t kMostThreads = 64;
  if (pool == nullptr || pool->size() < 2 || pool->size() > static_cast<int>(kMostThreads)) return;
  int64_t total = 0;
  for (const PackedMatrix* w : next) total += DivUp(w->out(), kPanelRows);
  ThreadPool::Bytes first[kMostThreads];
  const int64_t threads = pool->size();
  // Where MatMul's shares begin.
  for (int64_t t = 1; t < threads; ++t) {
    int64_t panel = total * t / threads;
    for (const PackedMatrix* w : next) {
      const int64_t panels = DivUp(w->out(), kPanelRows);
      if (panel < panels) {
        const int64_t at = panel * cpu::PanelBytes(w->type(), w->in());
        first[t] = {w->data() + at, static_cast<size_t>(std::min(kAhead, w->bytes() - at))};
        break;
      }
      panel -= panels;
    }
  }
  pool->FetchAhead({first, static_cast<size_t>(threads)});
}

}  // namespace weir::kernels
