#include "engine/model/utf8.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>

#include "engine/model/tokenizer.h"

namespace weir::model {
namespace {

constexpr bool PrintsAsItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// Code point U+0000..U+0143 to byte; -1: not in the alphabet.
const std::array<int16_t, 0x144>& BytesOfAlphabet() {
  static const std::array<int16_t, 0x144> table = [] {
    std::array<int16_t, 0x144> t;
    t.fill(-1);
    int next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      t[static_cast<size_t>(PrintsAsItself(byte) ? byte : next++)] = static_cast<int16_t>(byte);
    }
    return t;
  }();
  return table;
}

// What the bytes at the start of `text` are: a whole character, the beginning of one that the end
// of `text` cuts off, or a maximal part of an ill-formed one. Source: The Unicode Standard, table
// 3-7 (well-formed byte sequences) and "U+FFFD Substitution of Maximal Subparts", section 3.9.
struct Head {
  size_t size;
  enum { kWhole, kCut, kIll } kind;
};
Head HeadOf(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t b = at(0);
  if (b < 0x80) return {1, Head::kWhole};
  size_t need = 0;
  uint8_t low = 0x80, high = 0xBF;  // of the second byte
  if (b >= 0xC2 && b <= 0xDF) {
    need = 2;
  } else if (b >= 0xE0 && b <= 0xEF) {
    need = 3;
    if (b == 0xE0) low = 0xA0;   // no overlong forms
    if (b == 0xED) high = 0x9F;  // no surrogates
  } else if (b >= 0xF0 && b <= 0xF4) {
    need = 4;
    if (b == 0xF0) low = 0x90;
    if (b == 0xF4) high = 0x8F;  // up to U+10FFFF
  } else {
    return {1, Head::kIll};
  }
  for (size_t i = 1; i < need; ++i) {
    if (i == text.size()) return {i, Head::kCut};
    if (at(i) < low || at(i) > high) return {i, Head::kIll};
    low = 0x80;
    high = 0xBF;
  }
  return {need, Head::kWhole};
}

}  // namespace

const std::array<std::string, 256>& ByteAlphabet() {
  static const std::array<std::string, 256> alphabet = [] {
    std::array<std::string, 256> table;
    for (int c = 0; c < 0x144; ++c) {
      const int16_t byte = BytesOfAlphabet()[static_cast<size_t>(c)];
      if (byte < 0) continue;
      utf8proc_uint8_t buffer[4];
      const auto n = utf8proc_encode_char(c, buffer);
      table[static_cast<size_t>(byte)].assign(reinterpret_cast<char*>(buffer),
                                              static_cast<size_t>(n));
    }
    return table;
  }();
  return alphabet;
}

std::string ToByteAlphabet(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) text += ByteAlphabet()[static_cast<uint8_t>(c)];
  return text;
}

std::optional<std::string> FromByteAlphabet(std::string_view text) {
  const auto& table = BytesOfAlphabet();
  std::string bytes;
  for (size_t i = 0; i < text.size();) {
    const auto b = static_cast<uint8_t>(text[i]);
    size_t c = b;
    size_t size = 1;
    if (b >= 0xC2 && b <= 0xC5 && i + 1 < text.size()) {  // U+0080..U+017F
      c = static_cast<size_t>(b & 0x1F) << 6 | (static_cast<uint8_t>(text[i + 1]) & 0x3F);
      size = 2;
    } else if (b >= 0x80) {
      return std::nullopt;
    }
    if (c >= table.size() || table[c] < 0) return std::nullopt;
    bytes += static_cast<char>(table[c]);
    i += size;
  }
  return bytes;
}

size_t Utf8Length(std::string_view text) {
  const Head head = HeadOf(text);
  return head.kind == Head::kWhole ? head.size : 1;
}

std::string TakeUtf8(std::string& bytes, bool final) {
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  std::string out;
  size_t i = 0;
  while (i < bytes.size()) {
    const Head head = HeadOf(std::string_view(bytes).substr(i));
    if (head.kind == Head::kCut && !final) break;
    if (head.kind == Head::kWhole) {
      out.append(bytes, i, head.size);
    } else {
      out += kReplacement;
    }
    i += head.size;
  }
  bytes.erase(0, i);
  return out;
}

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, bool at_start)
    : tokenizer_(&tokenizer), strip_space_(at_start && tokenizer.strips_first_space()) {}

std::string StreamDecoder::Push(Tokenizer::TokenId id) {
  if (tokenizer_->IsSpecial(id) && std::find(shown_.begin(), shown_.end(), id) == shown_.end()) {
    return {};
  }
  std::string_view bytes = tokenizer_->BytesOf(id);
  if (strip_space_ && !bytes.empty()) {
    if (bytes.front() == ' ') bytes.remove_prefix(1);
    strip_space_ = false;
  }
  held_ += bytes;
  return TakeUtf8(held_, /*final=*/false);
}

std::string StreamDecoder::Finish() { return TakeUtf8(held_, /*final=*/true); }

}  // namespace weir::model
