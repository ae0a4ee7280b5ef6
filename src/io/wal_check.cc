#include "io/wal_check.h"

#include <fmt/format.h>

#include <cstdint>

namespace weir::io {
namespace {

constexpr size_t kHeaderBytes = 32;
constexpr size_t kFrameHeaderBytes = 24;
constexpr uint32_t kMagic = 0x377f0682;  // its lowest bit: checksums over big-endian words

uint32_t Word(std::string_view bytes, size_t at, bool big_endian = true) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[at + i]);
    word |= static_cast<uint32_t>(byte) << (8 * (big_endian ? 3 - i : i));
  }
  return word;
}

struct Sum {
  uint32_t s0 = 0;
  uint32_t s1 = 0;
  void Add(std::string_view bytes, bool big_endian) {
    for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
      s0 += Word(bytes, i, big_endian) + s1;
      s1 += Word(bytes, i + 4, big_endian) + s0;
    }
  }
};

}  // namespace

std::optional<std::string> DamageInWal(std::string_view wal) {
  if (wal.size() < kHeaderBytes + kFrameHeaderBytes) return std::nullopt;
  const uint32_t magic = Word(wal, 0);
  const bool big_endian = (magic & 1) != 0;
  const uint32_t page_bytes = Word(wal, 8);
  Sum sum;
  sum.Add(wal.substr(0, 24), big_endian);
  if ((magic & ~1u) != kMagic || page_bytes < 512 || page_bytes > 65536 ||
      sum.s0 != Word(wal, 24) || sum.s1 != Word(wal, 28)) {
    // The header is synced before the first frame counts, so frames after a bad one are a loss;
    // but a power cut in the very first write of a log looks the same, and that one is innocent.
    return std::nullopt;
  }
  const std::string_view salts = wal.substr(16, 8);
  const size_t frame_bytes = kFrameHeaderBytes + page_bytes;
  size_t bad_frame = 0;  // 1-based; 0: none so far
  bool committed_since = false;
  for (size_t frame = 1, at = kHeaderBytes; at + frame_bytes <= wal.size();
       ++frame, at += frame_bytes) {
    const std::string_view header = wal.substr(at, kFrameHeaderBytes);
    const bool this_generation = header.substr(8, 8) == salts;
    if (bad_frame == 0) {
      sum.Add(header.substr(0, 8), big_endian);
      sum.Add(wal.substr(at + kFrameHeaderBytes, page_bytes), big_endian);
      const bool good = this_generation && sum.s0 == Word(header, 16) && sum.s1 == Word(header, 20);
      if (good) continue;
      bad_frame = frame;
    }
    if (!this_generation) continue;
    if (committed_since) {
      return fmt::format("frame {} of the write-ahead log is damaged, and later ones depend on it",
                         bad_frame);
    }
    committed_since = Word(header, 4) != 0;
  }
  return std::nullopt;
}

}  // namespace weir::io
