// What a character is: its general category and whether it is white space, from one table that is
// made from utf8proc at first use (about 30 KB, two steps: block, then character).
//
//   Category    Unicode's general categories, numbered as utf8proc does
//   kSpaceFlag  White_Space: what \s means to the pre-tokenizers' patterns
//   kBreakFlag  \r or \n
// Bytes that are not UTF-8 are characters of one byte and of category kNone ("symbols").
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::model {

enum Category : uint8_t {
  // clang-format off
  kNone = 0, kLu, kLl, kLt, kLm, kLo, kMn, kMc, kMe, kNd, kNl, kNo, kPc, kPd, kPs, kPe, kPi, kPf,
  kPo, kSm, kSc, kSk, kSo, kZs, kZl, kZp, kCc, kCf, kCs, kCo
  // clang-format on
};
constexpr uint32_t BitOf(Category c) { return uint32_t{1} << c; }
inline constexpr uint32_t kLetters = BitOf(kLu) | BitOf(kLl) | BitOf(kLt) | BitOf(kLm) | BitOf(kLo);
inline constexpr uint32_t kMarks = BitOf(kMn) | BitOf(kMc) | BitOf(kMe);
inline constexpr uint32_t kNumbers = BitOf(kNd) | BitOf(kNl) | BitOf(kNo);
inline constexpr uint32_t kPunctuation =
    BitOf(kPc) | BitOf(kPd) | BitOf(kPs) | BitOf(kPe) | BitOf(kPi) | BitOf(kPf) | BitOf(kPo);
inline constexpr uint32_t kSymbols = BitOf(kSm) | BitOf(kSc) | BitOf(kSk) | BitOf(kSo);
inline constexpr uint32_t kSeparators = BitOf(kZs) | BitOf(kZl) | BitOf(kZp);
inline constexpr uint32_t kOthers =
    BitOf(kNone) | BitOf(kCc) | BitOf(kCf) | BitOf(kCs) | BitOf(kCo);

inline constexpr uint8_t kSpaceFlag = 0x20;
inline constexpr uint8_t kBreakFlag = 0x40;
inline constexpr uint8_t kCategoryMask = 0x1F;

class CharTable {
 public:
  static const CharTable& Get();
  // Category and flags. `code` is at most 0x10FFFF.
  uint8_t Of(uint32_t code) const { return blocks_[first_[code >> 8]][code & 0xFF]; }
  uint8_t OfAscii(uint8_t byte) const { return ascii_[byte]; }  // also of bytes >= 0x80: kNone

 private:
  CharTable();
  std::array<uint8_t, 0x1100> first_{};
  std::vector<std::array<uint8_t, 256>> blocks_;
  std::array<uint8_t, 256> ascii_{};
};

inline constexpr uint32_t kNoCode = 0xFFFFFFFF;  // a byte that is not UTF-8

struct Utf8Char {
  uint32_t code;
  uint32_t size;  // bytes
};
// The character at text[i]; i < text.size().
inline Utf8Char Utf8At(std::string_view text, size_t i) {
  const auto at = [&](size_t k) { return static_cast<uint8_t>(text[k]); };
  const uint8_t b = at(i);
  if (b < 0x80) return {b, 1};
  const size_t left = text.size() - i;
  const auto tail = [&](size_t k) { return (at(i + k) & 0xC0) == 0x80; };
  if (b >= 0xC2 && b <= 0xDF && left >= 2 && tail(1)) {
    return {uint32_t(b & 0x1F) << 6 | uint32_t(at(i + 1) & 0x3F), 2};
  }
  if ((b & 0xF0) == 0xE0 && left >= 3 && tail(1) && tail(2)) {
    const uint32_t code =
        uint32_t(b & 0x0F) << 12 | uint32_t(at(i + 1) & 0x3F) << 6 | uint32_t(at(i + 2) & 0x3F);
    if (code >= 0x800 && (code < 0xD800 || code > 0xDFFF)) return {code, 3};
  }
  if (b >= 0xF0 && b <= 0xF4 && left >= 4 && tail(1) && tail(2) && tail(3)) {
    const uint32_t code = uint32_t(b & 0x07) << 18 | uint32_t(at(i + 1) & 0x3F) << 12 |
                          uint32_t(at(i + 2) & 0x3F) << 6 | uint32_t(at(i + 3) & 0x3F);
    if (code >= 0x10000 && code <= 0x10FFFF) return {code, 4};
  }
  return {kNoCode, 1};
}
void AppendUtf8(uint32_t code, std::string& out);

}  // namespace weir::model
