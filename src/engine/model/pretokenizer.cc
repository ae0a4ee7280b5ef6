#include "engine/model/pretokenizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

namespace weir::model {
namespace {

enum Class : uint8_t { kLetter, kNumber, kSpace, kNewline, kSymbol };  // kNewline: \r or \n

struct Char {
  Class cls;
  uint8_t size;  // bytes
};

bool IsSpace(utf8proc_int32_t c) {  // Unicode's White_Space, beyond ASCII
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

constexpr std::array<Class, 128> kAscii = [] {
  std::array<Class, 128> table{};
  for (int c = 0; c < 128; ++c) {
    table[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ? kLetter
               : c >= '0' && c <= '9'                           ? kNumber
               : c == '\r' || c == '\n'                         ? kNewline
               : c == ' ' || (c >= 9 && c <= 13)                ? kSpace
                                                                : kSymbol;
  }
  return table;
}();

Char CharAt(std::string_view text, size_t i) {
  const auto byte = static_cast<uint8_t>(text[i]);
  if (byte < 128) return {kAscii[byte], 1};
  utf8proc_int32_t c = 0;
  const auto n =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + i),
                       static_cast<utf8proc_ssize_t>(std::min<size_t>(text.size() - i, 4)), &c);
  if (n <= 0) return {kSymbol, 1};
  const auto size = static_cast<uint8_t>(n);
  if (IsSpace(c)) return {kSpace, size};
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return {kLetter, size};
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return {kNumber, size};
    default:
      return {kSymbol, size};
  }
}

bool IsWhite(Class c) { return c == kSpace || c == kNewline; }

// The end of the run of class `cls` that begins at `i`.
size_t RunEnd(std::string_view text, size_t i, Class cls) {
  while (i < text.size()) {
    const Char c = CharAt(text, i);
    if (c.cls != cls) break;
    i += c.size;
  }
  return i;
}

// 's 't 're 've 'm 'll 'd at the start of `text`; 0: none.
size_t Contraction(std::string_view text, bool any_case) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const auto lower = [&](size_t i) -> char {
    const char c = i < text.size() ? text[i] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char a = lower(1), b = lower(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  return 0;
}

// \s+(?!\S)|\s+ : a run of white space leaves its last character to the word that follows.
size_t WhiteRun(std::string_view text) {
  size_t i = 0, last = 0;
  while (i < text.size()) {
    const Char c = CharAt(text, i);
    if (!IsWhite(c.cls)) return last > 0 ? last : i;
    last = i;
    i += c.size;
  }
  return i;
}

size_t FirstWordGpt2(std::string_view text) {
  if (const size_t n = Contraction(text, false)) return n;
  const Char first = CharAt(text, 0);
  if (!IsWhite(first.cls)) return RunEnd(text, first.size, first.cls);
  if (text[0] == ' ' && text.size() > 1) {
    const Char second = CharAt(text, 1);
    if (!IsWhite(second.cls)) return RunEnd(text, 1u + second.size, second.cls);
  }
  return WhiteRun(text);
}

size_t FirstWordLlama3(std::string_view text, int max_digits) {
  if (const size_t n = Contraction(text, true)) return n;
  const Char first = CharAt(text, 0);
  if (first.cls == kLetter) return RunEnd(text, first.size, kLetter);
  const bool more = first.size < text.size();
  const Char second = more ? CharAt(text, first.size) : Char{kSpace, 0};
  const size_t two = first.size + second.size;
  if (more && second.cls == kLetter && (first.cls == kSpace || first.cls == kSymbol)) {
    return RunEnd(text, two, kLetter);
  }
  if (first.cls == kNumber) {
    size_t end = first.size;
    for (int digits = 1; digits < max_digits && end < text.size(); ++digits) {
      const Char c = CharAt(text, end);
      if (c.cls != kNumber) break;
      end += c.size;
    }
    return end;
  }
  if (first.cls == kSymbol || (text[0] == ' ' && more && second.cls == kSymbol)) {
    const size_t end = RunEnd(text, first.size, kSymbol);
    return RunEnd(text, end, kNewline);
  }
  // \s*[\r\n]+ : up to the last line break of this run of white space.
  size_t after_newline = 0;
  for (size_t i = 0; i < text.size();) {
    const Char c = CharAt(text, i);
    if (!IsWhite(c.cls)) break;
    i += c.size;
    if (c.cls == kNewline) after_newline = i;
  }
  return after_newline > 0 ? after_newline : WhiteRun(text);
}

}  // namespace

size_t FirstWord(PreTokenizer pre, std::string_view text) {
  switch (pre) {
    case PreTokenizer::kGpt2:
      return FirstWordGpt2(text);
    case PreTokenizer::kLlama3:
      return FirstWordLlama3(text, 3);
    case PreTokenizer::kQwen2:
      return FirstWordLlama3(text, 1);
  }
  return text.size();
}

std::string_view PatternOf(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::kGpt2:
      return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
    case PreTokenizer::kLlama3:
      return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    case PreTokenizer::kQwen2:
      return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  }
  return {};
}

std::string_view GgufNameOf(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::kGpt2:
      return "gpt-2";
    case PreTokenizer::kLlama3:
      return "llama-bpe";
    case PreTokenizer::kQwen2:
      return "qwen2";
  }
  return {};
}

}  // namespace weir::model
