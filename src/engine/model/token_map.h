// Byte strings to token ids: open addressing over strings that somebody else keeps. Built once,
// then read by many threads. A lookup of a word that is no token usually costs one probe.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::model {

// Not for keys that an enemy chooses: the table holds a vocabulary, whose clusters are fixed.
inline uint64_t HashBytes(std::string_view bytes) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u;
  uint64_t h = bytes.size() * kOdd;
  const char* p = bytes.data();
  size_t n = bytes.size();
  for (; n >= 8; n -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    h = (h ^ word) * kOdd;
    h ^= h >> 32;
  }
  uint64_t tail = 0;
  if (n >= 4) {  // two loads that overlap
    uint32_t front, back;
    std::memcpy(&front, p, 4);
    std::memcpy(&back, p + n - 4, 4);
    tail = front | uint64_t{back} << 32;
  } else if (n > 0) {
    tail = static_cast<uint8_t>(p[0]) | uint64_t{static_cast<uint8_t>(p[n / 2])} << 8 |
           uint64_t{static_cast<uint8_t>(p[n - 1])} << 16;
  }
  h = (h ^ tail) * kOdd;
  return h ^ (h >> 29);
}

class TokenMap {
 public:
  // Where two tokens have the same bytes, the smaller id is kept. Empty strings are left out, and
  // where `skip` is given, those whose entry is not 0. The strings outlive the map and do not move.
  void Build(std::span<const std::string> tokens, std::span<const uint8_t> skip = {});
  int32_t Find(std::string_view bytes, uint64_t hash) const {  // -1: none
    for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
      const Slot& slot = slots_[i];
      if (slot.id < 0) return -1;
      if (slot.tag == static_cast<uint32_t>(hash >> 32) && tokens_[slot.id] == bytes) {
        return slot.id;
      }
    }
  }
  int32_t Find(std::string_view bytes) const { return Find(bytes, HashBytes(bytes)); }

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  const std::string* tokens_ = nullptr;
  std::vector<Slot> slots_ = std::vector<Slot>(1);
  size_t mask_ = 0;
};

}  // namespace weir::model
