#include "gateway/edge/scan.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace weir::gateway {

namespace {

// 0: an ordinary byte of a string; 1: needs a look (quote, backslash, control, not ASCII).
constexpr std::array<uint8_t, 256> kSpecial = [] {
  std::array<uint8_t, 256> t{};
  for (int c = 0; c < 256; ++c) t[static_cast<size_t>(c)] = c < 0x20 || c >= 0x80;
  t['"'] = t['\\'] = 1;
  return t;
}();

void AppendUtf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// Every function returns false at the first byte that does not fit; at_ is then about there.
class Scanner {
 public:
  explicit Scanner(std::string_view text)
      : p_(reinterpret_cast<const uint8_t*>(text.data())), begin_(p_), end_(p_ + text.size()) {}

  bool Document(BodyScan& out) {
    if (end_ - p_ >= 3 && p_[0] == 0xEF && p_[1] == 0xBB && p_[2] == 0xBF) p_ += 3;  // a BOM
    Blanks();
    if (p_ == end_ || *p_ != '{') return Wrong("an object was expected");
    if (!Object(1, &out)) return false;
    Blanks();
    return p_ == end_ || Wrong("something follows the object");
  }
  size_t at() const { return static_cast<size_t>(p_ - begin_); }
  const char* wrong() const { return wrong_; }

 private:
  bool Wrong(const char* why) {
    if (!*wrong_) wrong_ = why;
    return false;
  }
  void Blanks() {
    while (p_ < end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t')) ++p_;
  }
  bool Take(char c) {
    if (p_ == end_ || *p_ != static_cast<uint8_t>(c)) return false;
    ++p_;
    return true;
  }

  bool Value(int depth) {
    Blanks();
    if (p_ == end_) return Wrong("it ends too soon");
    switch (*p_) {
      case '{':
        return Object(depth + 1, nullptr);
      case '[':
        return Array(depth + 1);
      case '"':
        return String(nullptr);
      case 't':
        return Literal("true");
      case 'f':
        return Literal("false");
      case 'n':
        return Literal("null");
      default:
        return Number();
    }
  }

  bool Object(int depth, BodyScan* top) {
    if (depth > kMaxJsonDepth) return Wrong("it is nested too deeply");
    ++p_;
    Blanks();
    if (Take('}')) return true;
    std::string key;
    for (;;) {
      Blanks();
      if (p_ == end_ || *p_ != '"') return Wrong("a key was expected");
      key.clear();
      if (!String(top ? &key : nullptr)) return false;
      Blanks();
      if (!Take(':')) return Wrong("a colon was expected");
      if (top && key == "model") {
        Blanks();
        top->model.clear();
        top->has_model = p_ < end_ && *p_ == '"';
        if (!(top->has_model ? String(&top->model) : Value(depth))) return false;
      } else if (top && key == "stream") {
        Blanks();
        top->stream = p_ < end_ && *p_ == 't';
        if (!Value(depth)) return false;
      } else if (!Value(depth)) {
        return false;
      }
      Blanks();
      if (Take('}')) return true;
      if (!Take(',')) return Wrong("a comma or a brace was expected");
    }
  }

  bool Array(int depth) {
    if (depth > kMaxJsonDepth) return Wrong("it is nested too deeply");
    ++p_;
    Blanks();
    if (Take(']')) return true;
    for (;;) {
      if (!Value(depth)) return false;
      Blanks();
      if (Take(']')) return true;
      if (!Take(',')) return Wrong("a comma or a bracket was expected");
    }
  }

  bool Literal(std::string_view word) {
    if (static_cast<size_t>(end_ - p_) < word.size() ||
        std::string_view(reinterpret_cast<const char*>(p_), word.size()) != word) {
      return Wrong("no value begins like this");
    }
    p_ += word.size();
    return true;
  }

  bool Digits() {
    if (p_ == end_ || *p_ < '0' || *p_ > '9') return Wrong("a digit was expected");
    while (p_ < end_ && *p_ >= '0' && *p_ <= '9') ++p_;
    return true;
  }
  bool Number() {
    const bool minus = Take('-');
    if (p_ == end_ || *p_ < '0' || *p_ > '9') {
      return Wrong(minus ? "a digit was expected" : "no value begins like this");
    }
    if (!Take('0') && !Digits()) return false;
    if (Take('.') && !Digits()) return false;
    if (Take('e') || Take('E')) {
      if (!Take('+')) Take('-');
      return Digits();
    }
    return true;
  }

  // `out`, when given, receives the decoded text.
  bool String(std::string* out) {
    ++p_;
    for (;;) {
      const uint8_t* const plain = p_;
      while (p_ < end_ && !kSpecial[*p_]) ++p_;
      if (out) out->append(reinterpret_cast<const char*>(plain), static_cast<size_t>(p_ - plain));
      if (p_ == end_) return Wrong("a string has no end");
      if (*p_ == '"') {
        ++p_;
        return true;
      }
      if (*p_ == '\\') {
        if (!Escape(out)) return false;
      } else if (*p_ < 0x20) {
        return Wrong("a control character stands in a string");
      } else if (!Utf8(out)) {
        return Wrong("the bytes are not UTF-8");
      }
    }
  }

  bool Escape(std::string* out) {
    ++p_;
    if (p_ == end_) return Wrong("a string has no end");
    const uint8_t c = *p_++;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        if (out) *out += static_cast<char>(c);
        return true;
      case 'b':
        return Put(out, '\b');
      case 'f':
        return Put(out, '\f');
      case 'n':
        return Put(out, '\n');
      case 'r':
        return Put(out, '\r');
      case 't':
        return Put(out, '\t');
      case 'u':
        break;
      default:
        return Wrong("an unknown escape");
    }
    uint32_t code = 0;
    if (!Hex4(code)) return false;
    if (code >= 0xDC00 && code < 0xE000) return Wrong("half of a surrogate pair");
    if (code >= 0xD800 && code < 0xDC00) {
      uint32_t low = 0;
      if (!Take('\\') || !Take('u')) return Wrong("half of a surrogate pair");
      if (!Hex4(low)) return false;
      if (low < 0xDC00 || low >= 0xE000) return Wrong("half of a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (out) AppendUtf8(*out, code);
    return true;
  }
  static bool Put(std::string* out, char c) {
    if (out) *out += c;
    return true;
  }
  bool Hex4(uint32_t& code) {
    if (end_ - p_ < 4) return Wrong("an escape is cut short");
    for (int i = 0; i < 4; ++i) {
      const uint8_t c = *p_++;
      const uint8_t lower = c | 0x20;
      if (c >= '0' && c <= '9') {
        code = code * 16 + (c - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        code = code * 16 + (lower - 'a' + 10u);
      } else {
        return Wrong("an escape is not hexadecimal");
      }
    }
    return true;
  }

  // One sequence of two to four bytes (RFC 3629: no overlong forms, no surrogates, <= U+10FFFF).
  bool Utf8(std::string* out) {
    const uint8_t b = *p_;
    const ptrdiff_t left = end_ - p_;
    const auto tail = [&](ptrdiff_t i) { return i < left && (p_[i] & 0xC0) == 0x80; };
    ptrdiff_t n = 0;
    if (b >= 0xC2 && b < 0xE0) {
      n = tail(1) ? 2 : 0;
    } else if (b >= 0xE0 && b < 0xF0) {
      n = tail(1) && tail(2) && !(b == 0xE0 && p_[1] < 0xA0) && !(b == 0xED && p_[1] >= 0xA0) ? 3
                                                                                              : 0;
    } else if (b >= 0xF0 && b < 0xF5) {
      n = tail(1) && tail(2) && tail(3) && !(b == 0xF0 && p_[1] < 0x90) &&
                  !(b == 0xF4 && p_[1] >= 0x90)
              ? 4
              : 0;
    }
    if (n == 0) return false;
    if (out) out->append(reinterpret_cast<const char*>(p_), static_cast<size_t>(n));
    p_ += n;
    return true;
  }

  const uint8_t* p_;
  const uint8_t* const begin_;
  const uint8_t* const end_;
  const char* wrong_ = "";
};

}  // namespace

Result<BodyScan> ScanBody(std::string_view json) {
  BodyScan out;
  Scanner scanner(json);
  if (scanner.Document(out)) return out;
  return Error(Code::kInvalidArgument,
               fmt::format("the body is not a JSON object in UTF-8: {} at byte {}", scanner.wrong(),
                           scanner.at()));
}

}  // namespace weir::gateway
