// Packing: rows of blocks to panels of groups (cpu/layout.h), and single rows back.
#include "engine/kernels/packed.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "engine/kernels/cpu/active.h"
#include "engine/kernels/quant/blocks.h"

namespace weir::kernels {
namespace {

using cpu::kGroupElements;
using cpu::kPanelRows;
using cpu::PackedFormat;

constexpr int64_t kPackGrain = 4;  // panels

int64_t Panels(int64_t out) { return (out + kPanelRows - 1) / kPanelRows; }

// ---- Quantized types -------------------------------------------------------------------------

// What 16 rows have in one group.
struct GroupParts {
  alignas(64) uint8_t code[kPanelRows][kGroupElements];
  uint16_t d[cpu::kGroupBlocks][kPanelRows], m[cpu::kGroupBlocks][kPanelRows];
  uint8_t small[kPanelRows][16];  // sub-block numbers as packed, [sub]
};

// Row r's blocks that make up the group; a row past the matrix is zero.
void TakeRow(DType type, const PackedFormat& f, const uint8_t* from, int elements, int r,
             GroupParts* to) {
  BlockParts parts;
  if (f.scales == cpu::Scales::kHalves) {
    const int bytes = BlockBytes(type);
    for (int b = 0; b * kSmallBlock < elements; ++b, from += bytes) {
      TakeApart(type, from, &parts);
      std::memcpy(to->code[r] + b * kSmallBlock, parts.code, kSmallBlock);
      to->d[b][r] = parts.d;
      to->m[b][r] = parts.m;
    }
    return;
  }
  TakeApart(type, from, &parts);
  std::memcpy(to->code[r], parts.code, kSuperBlock);
  to->d[0][r] = parts.d;
  to->m[0][r] = parts.m;
  for (int j = 0; j < 16; ++j) {
    uint8_t number = static_cast<uint8_t>(parts.scale[j]);
    if (f.scales == cpu::Scales::kNibbles) {
      number = static_cast<uint8_t>(number | parts.min[j] << 4);
    } else if (f.scales == cpu::Scales::kSixBits) {
      number = !f.has_min ? static_cast<uint8_t>(parts.scale[j] + 32)
               : j < 8    ? number
                          : parts.min[j - 8];
    }
    to->small[r][j] = number;
  }
}

void ZeroRow(int r, GroupParts* to) {
  std::memset(to->code[r], 0, kGroupElements);
  std::memset(to->small[r], 0, 16);
  for (int b = 0; b < cpu::kGroupBlocks; ++b) to->d[b][r] = to->m[b][r] = 0;
}

uint8_t* PutScales(const PackedFormat& f, const GroupParts& g, int blocks, uint8_t* to) {
  const size_t halves = 2 * kPanelRows;
  const int count = f.scales == cpu::Scales::kHalves ? blocks : 1;
  for (int b = 0; b < count; ++b, to += halves) std::memcpy(to, g.d[b], halves);
  if (f.has_min) {
    for (int b = 0; b < count; ++b, to += halves) std::memcpy(to, g.m[b], halves);
  }
  if (f.scales == cpu::Scales::kHalves) return to;
  uint8_t numbers[16 * kPanelRows];
  for (int j = 0; j < 16; ++j) {
    for (int r = 0; r < kPanelRows; ++r) numbers[j * kPanelRows + r] = g.small[r][j];
  }
  if (f.scales != cpu::Scales::kSixBits) {
    std::memcpy(to, numbers, sizeof(numbers));
    return to + sizeof(numbers);
  }
  for (int i = 0; i < 64; ++i) {
    const int last = numbers[192 + i];
    to[i] = static_cast<uint8_t>(numbers[i] | (last & 3) << 6);
    to[64 + i] = static_cast<uint8_t>(numbers[64 + i] | (last >> 2 & 3) << 6);
    to[128 + i] = static_cast<uint8_t>(numbers[128 + i] | (last >> 4 & 3) << 6);
  }
  return to + 192;
}

// The planes of one block of 32 k; `code` is the first k of row 0.
uint8_t* PutBlock(const PackedFormat& f, const GroupParts& g, int block, uint8_t* to) {
  uint32_t step[8][kPanelRows];  // four codes each
  for (int r = 0; r < kPanelRows; ++r) {
    uint32_t row[8];
    std::memcpy(row, g.code[r] + block * kSmallBlock, sizeof(row));
    for (int s = 0; s < 8; ++s) step[s][r] = row[s];
  }
  uint32_t plane[kPanelRows];
  const auto put = [&] {
    std::memcpy(to, plane, sizeof(plane));
    to += sizeof(plane);
  };
  if (f.has8()) {
    std::memcpy(to, step, sizeof(step));
    return to + sizeof(step);
  }
  int bits_done = 0;
  const auto narrow = [&](int width) {  // `width` bits of each code, 8 / width steps to a plane
    const uint32_t mask = (1u << width) - 1;
    for (int s = 0; s < 8; s += 8 / width) {
      for (int r = 0; r < kPanelRows; ++r) {
        uint32_t packed = 0;
        for (int i = 0; i < 8 / width; ++i) {
          packed |= (step[s + i][r] >> bits_done & mask * 0x01010101u) << (width * i);
        }
        plane[r] = packed;
      }
      put();
    }
    bits_done += width;
  };
  if (f.has4()) narrow(4);
  if (f.has2()) narrow(2);
  if (f.has1()) narrow(1);
  return to;
}

void PackQuantPanel(const Weights& w, int64_t panel, uint8_t* to) {
  const PackedFormat& f = cpu::FormatAt(w.type);
  const int64_t row_bytes = RowBytes(w.type, w.in);
  const auto* data = static_cast<const uint8_t*>(w.data);
  GroupParts parts;
  for (int64_t k = 0; k < w.in; k += kGroupElements) {
    const int elements = static_cast<int>(std::min<int64_t>(kGroupElements, w.in - k));
    for (int r = 0; r < kPanelRows; ++r) {
      const int64_t o = panel * kPanelRows + r;
      if (o < w.out) {
        TakeRow(w.type, f, data + o * row_bytes + RowBytes(w.type, k), elements, r, &parts);
      } else {
        ZeroRow(r, &parts);
      }
    }
    const int blocks = elements / kSmallBlock;
    to = PutScales(f, parts, blocks, to);
    for (int b = 0; b < blocks; ++b) to = PutBlock(f, parts, b, to);
  }
}

// ---- Float types -----------------------------------------------------------------------------

template <class T, int kPer>
void PackFloatPanel(const Weights& w, int64_t panel, uint8_t* bytes) {
  T* to = reinterpret_cast<T*>(bytes);
  const T* data = static_cast<const T*>(w.data);
  const int64_t steps = (w.in + kPer - 1) / kPer;
  for (int r = 0; r < kPanelRows; ++r) {
    const int64_t o = panel * kPanelRows + r;
    for (int64_t s = 0; s < steps; ++s) {
      for (int64_t j = 0; j < kPer; ++j) {
        const int64_t k = s * kPer + j;
        T value{};
        if (o < w.out && k < w.in) std::memcpy(&value, data + o * w.in + k, sizeof(T));
        to[(s * kPanelRows + r) * kPer + j] = value;
      }
    }
  }
}

constexpr int64_t kHugePage = 2 << 20;
constexpr int64_t kSlab = 16 * kHugePage;  // what is not touched of the last one costs nothing

}  // namespace

std::shared_ptr<std::byte> WeightMemory::Take(int64_t bytes) {
  const int64_t rounded = (std::max<int64_t>(bytes, 1) + 63) / 64 * 64;
  if (size_ - used_ < rounded) {
    // A matrix larger than a slab gets one of its size.
    size_ = std::max(kSlab, (rounded + kHugePage - 1) / kHugePage * kHugePage);
    used_ = 0;
    auto* slab = static_cast<std::byte*>(std::aligned_alloc(kHugePage, static_cast<size_t>(size_)));
    CHECK_MSG(slab != nullptr, "no memory for {} bytes of weights", size_);
    (void)::madvise(slab, static_cast<size_t>(size_), MADV_HUGEPAGE);
    slab_ = {slab, [](std::byte* p) { std::free(p); }};
  }
  std::byte* at = slab_.get() + used_;
  used_ += rounded;
  return {slab_, at};
}

int64_t PackedMatrix::PackedBytes(DType type, int64_t out, int64_t in) {
  return Panels(out) * cpu::PanelBytes(type, in);
}

PackedMatrix PackedMatrix::Pack(ThreadPool* pool, const Weights& w, WeightMemory* memory) {
  CHECK_MSG(w.out >= 0 && w.in >= 0 && w.in % BlockElements(w.type) == 0, "{} [{}, {}]",
            NameOf(w.type), w.out, w.in);
  const int64_t bytes = PackedBytes(w.type, w.out, w.in);
  std::shared_ptr<std::byte> owned;
  if (memory != nullptr) {
    owned = memory->Take(bytes);
  } else {
    const auto size = static_cast<size_t>((std::max<int64_t>(bytes, 1) + 63) / 64 * 64);
    auto* alone = static_cast<std::byte*>(std::aligned_alloc(64, size));
    CHECK_MSG(alone != nullptr, "no memory for {} bytes of weights", bytes);
    owned = {alone, [](std::byte* p) { std::free(p); }};
  }
  const int64_t panel_bytes = cpu::PanelBytes(w.type, w.in);
  auto* to = reinterpret_cast<uint8_t*>(owned.get());
  ParallelShares(pool, Panels(w.out), kPackGrain, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      uint8_t* panel = to + p * panel_bytes;
      switch (w.type) {
        case DType::kF32:
          PackFloatPanel<uint32_t, 1>(w, p, panel);
          break;
        case DType::kF16:
          PackFloatPanel<uint16_t, 1>(w, p, panel);
          break;
        case DType::kBF16:
          PackFloatPanel<uint16_t, 2>(w, p, panel);
          break;
        default:
          PackQuantPanel(w, p, panel);
      }
    }
  });
  PackedMatrix m = Borrow(w.type, w.out, w.in, owned.get());
  m.owned_ = std::move(owned);
  return m;
}

PackedMatrix PackedMatrix::Borrow(DType type, int64_t out, int64_t in, const std::byte* data) {
  CHECK_MSG(reinterpret_cast<uintptr_t>(data) % 64 == 0, "packed weights at {}",
            static_cast<const void*>(data));
  PackedMatrix m;
  m.type_ = type;
  m.out_ = out;
  m.in_ = in;
  m.data_ = data;
  return m;
}

InputForms PackedMatrix::form() const {
  if (IsQuantized(type_)) return kInputInt8;
  const bool pairs = type_ == DType::kBF16 && cpu::ActiveFloats().tile_bf16_pairs != nullptr;
  return pairs ? kInputBf16 : kInputF32;
}

namespace {

// Row r of a group: scales as ToF32 has them, codes four at a time.
void QuantGroupRow(const PackedFormat& f, const uint8_t* group, int blocks, int r, float* to) {
  const auto half = [&](const uint8_t* p) {
    uint16_t bits;
    std::memcpy(&bits, p + 2 * r, 2);
    return HalfToFloat(bits);
  };
  const auto six = [&](const uint8_t* z, int i) {
    if (i < 192) return z[i] & 63;
    i -= 192;
    return z[i] >> 6 | z[64 + i] >> 6 << 2 | z[128 + i] >> 6 << 4;
  };
  const uint8_t* small = group + (f.has_min ? 64 : 32);
  const int subs = cpu::kBlockElements / f.sub;
  const uint8_t* code = group + f.scale_bytes(blocks);
  for (int b = 0; b < blocks; ++b, code += f.block_bytes()) {
    uint8_t codes[cpu::kBlockElements];
    for (int s = 0; s < 8; ++s) {
      const auto word = [&](const uint8_t* p) {
        uint32_t v;
        std::memcpy(&v, p + 4 * r, 4);
        return v;
      };
      const uint8_t* p = code;
      uint32_t four = 0;
      int up = 0;
      const auto widen = [&](int width) {
        const int per = 8 / width;
        const uint32_t mask = ((1u << width) - 1) * 0x01010101u;
        four |= (word(p + 64 * (s / per)) >> (width * (s % per)) & mask) << up;
        p += 64 * width;
        up += width;
      };
      if (f.has8()) four = word(p + 64 * s);
      if (f.has4()) widen(4);
      if (f.has2()) widen(2);
      if (f.has1()) widen(1);
      std::memcpy(codes + 4 * s, &four, 4);
    }
    for (int j = 0; j < subs; ++j) {
      const int sub = b * subs + j;
      float scale = 0, minimum = 0;
      if (f.scales == cpu::Scales::kHalves) {
        scale = half(group + 32 * b);
        if (f.has_min) minimum = half(group + 32 * (blocks + b));
      } else {
        const float d = half(group), m = f.has_min ? -half(group + 32) : 0.0f;
        const int at = sub * kPanelRows + r;
        if (f.scales == cpu::Scales::kSixBits) {
          scale = d * static_cast<float>(six(small, at) - (f.has_min ? 0 : 32));
          if (f.has_min) minimum = m * static_cast<float>(six(small, 128 + at));
        } else if (f.scales == cpu::Scales::kNibbles) {
          scale = d * static_cast<float>(small[at] & 15);
          minimum = m * static_cast<float>(small[at] >> 4);
        } else {
          scale = d * static_cast<float>(static_cast<int8_t>(small[at]));
        }
      }
      for (int l = 0; l < f.sub; ++l) {
        float value = scale * static_cast<float>(codes[j * f.sub + l] - f.offset);
        if (f.has_min) value += minimum;  // adding 0 would lose the sign of -0
        to[b * cpu::kBlockElements + j * f.sub + l] = value;
      }
    }
  }
}

}  // namespace

void PackedMatrix::Row(int64_t o, float* to) const {
  CHECK_MSG(o >= 0 && o < out_, "row {} of {}", o, out_);
  const int r = static_cast<int>(o % kPanelRows);
  const auto* panel =
      reinterpret_cast<const uint8_t*>(data_) + o / kPanelRows * cpu::PanelBytes(type_, in_);
  if (type_ == DType::kF32) {
    for (int64_t k = 0; k < in_; ++k) std::memcpy(to + k, panel + (k * kPanelRows + r) * 4, 4);
    return;
  }
  if (!IsQuantized(type_)) {
    const bool pairs = type_ == DType::kBF16;
    for (int64_t k = 0; k < in_; ++k) {
      const int64_t at = pairs ? (k / 2 * kPanelRows + r) * 2 + k % 2 : k * kPanelRows + r;
      uint16_t bits;
      std::memcpy(&bits, panel + at * 2, 2);
      to[k] = pairs ? BfloatToFloat(bits) : HalfToFloat(bits);
    }
    return;
  }
  const PackedFormat& f = cpu::FormatAt(type_);
  for (int64_t k = 0; k < in_; k += kGroupElements) {
    const int blocks =
        static_cast<int>(std::min<int64_t>(kGroupElements, in_ - k) / cpu::kBlockElements);
    QuantGroupRow(f, panel, blocks, r, to + k);
    panel += f.group_bytes(blocks);
  }
}

void Embed(ThreadPool* pool, const PackedMatrix& table, const int32_t* token, int64_t rows,
           float* y) {
  constexpr int64_t kGrain = 4;
  ParallelShares(rows >= 2 * kGrain ? pool : nullptr, rows, kGrain,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t r = begin; r < end; ++r) table.Row(token[r], y + r * table.in());
                 });
}

}  // namespace weir::kernels
