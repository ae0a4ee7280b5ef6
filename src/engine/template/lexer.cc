#include "engine/template/lexer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace weir::templates {
namespace {

using TokenKind = Token::Kind;

bool IsSpace(char c) { return c == ' ' || (c >= 9 && c <= 13); }
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<int8_t>(c) < 0;
}
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

void AppendUtf8(uint32_t code, std::string& out) {
  const auto byte = [&](uint32_t b) { out += static_cast<char>(b); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0 | code >> 6), byte(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    byte(0xE0 | code >> 12), byte(0x80 | (code >> 6 & 0x3F)), byte(0x80 | (code & 0x3F));
  } else {
    byte(0xF0 | code >> 18), byte(0x80 | (code >> 12 & 0x3F)), byte(0x80 | (code >> 6 & 0x3F)),
        byte(0x80 | (code & 0x3F));
  }
}

// One kind of line break, and none at the end, as Jinja reads a source.
std::string Prepared(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(Prepared(source)) {}

  Result<std::vector<Token>> Whole() {
    while (i_ < source_.size()) {
      const size_t tag = NextTag();
      TRY(Text(tag));
      if (i_ >= source_.size()) break;
      const char kind = source_[i_ + 1];
      const Place place = Here();
      i_ += 2;
      const char sign = i_ < source_.size() ? source_[i_] : '\0';
      if (sign == '-' || sign == '+') ++i_;
      if (kind == '#') {
        const size_t end = source_.find("#}", i_);
        if (end == std::string::npos) return ErrorAt(place, "a comment {# without its #}");
        const char before = end > i_ ? source_[end - 1] : '\0';
        Move(end + 2);
        AfterTag(before == '-' || before == '+' ? before : '\0',
                 /*output=*/false);
      } else if (kind == '%' && TryRaw(place)) {
        if (raw_without_end_) return ErrorAt(place, "a {% raw %} without its {% endraw %}");
      } else {
        TRY(Tag(kind == '{', place));
      }
    }
    Add(TokenKind::kEnd, "", Here());
    return std::move(tokens_);
  }

 private:
  Place Here() {
    for (; counted_ < i_; ++counted_) {
      ++place_.column;
      if (source_[counted_] == '\n') {
        ++place_.line;
        place_.column = 1;
      }
    }
    return place_;
  }
  void Move(size_t to) { i_ = to; }
  void Add(TokenKind kind, std::string text, Place place) {
    tokens_.push_back({kind, std::move(text), place});
  }

  size_t NextTag() const {
    for (size_t i = source_.find('{', i_); i != std::string::npos; i = source_.find('{', i + 1)) {
      const char next = i + 1 < source_.size() ? source_[i + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return source_.size();
  }

  // The text up to `tag`, less what the tag's sign and lstrip_blocks take from
  // its end.
  Status Text(size_t tag) {
    const Place place = Here();
    std::string_view text = std::string_view(source_).substr(i_, tag - i_);
    if (skip_space_) {
      while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
    }
    const bool at_line_start = line_start_ || skip_space_at_line_;
    if (tag < source_.size()) {
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      if (sign == '-') {
        while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
      } else if (sign != '+' && source_[tag + 1] != '{') {
        const size_t line = text.rfind('\n') + 1;  // npos + 1 is 0
        const bool blank =
            std::all_of(text.begin() + static_cast<ptrdiff_t>(line), text.end(), IsSpace);
        if (blank && (line > 0 || at_line_start)) text = text.substr(0, line);
      }
    }
    skip_space_ = false;
    if (!text.empty()) Add(TokenKind::kText, std::string(text), place);
    Move(tag);
    return {};
  }

  // What a tag's end does to the text behind it: "-" takes all white space, a
  // block one line break.
  void AfterTag(char sign, bool output) {
    line_start_ = false;
    skip_space_at_line_ = false;
    if (sign == '-') {
      skip_space_ = true;
    } else if (!output && sign != '+' && i_ < source_.size() && source_[i_] == '\n') {
      Move(i_ + 1);
      line_start_ = true;
    }
    if (sign == '-') {  // did the white space that goes contain a line break at its end?
      size_t end = i_;
      while (end < source_.size() && IsSpace(source_[end])) ++end;
      skip_space_at_line_ = end > i_ && source_[end - 1] == '\n';
    }
  }

  // {% raw %} ... {% endraw %}
  bool TryRaw(Place place) {
    size_t i = i_;
    const auto space = [&] {
      while (i < source_.size() && IsSpace(source_[i])) ++i;
    };
    const auto eat = [&](std::string_view what) {
      if (std::string_view(source_).substr(i, what.size()) != what) return false;
      i += what.size();
      return true;
    };
    space();
    if (!eat("raw")) return false;
    space();
    const bool minus = i < source_.size() && source_[i] == '-';
    if (minus) ++i;
    if (!eat("%}")) return false;
    const size_t begin = i;
    for (size_t at = source_.find("{%", i); at != std::string::npos;
         at = source_.find("{%", at + 2)) {
      i = at + 2;
      const char sign = i < source_.size() ? source_[i] : '\0';
      if (sign == '-' || sign == '+') ++i;
      space();
      if (!eat("endraw")) continue;
      space();
      const char end_sign =
          i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i] : '\0';
      if (end_sign != '\0') ++i;
      if (!eat("%}")) continue;
      std::string_view text = std::string_view(source_).substr(begin, at - begin);
      if (minus) {
        while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
      }
      if (sign == '-') {
        while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
      } else if (sign != '+') {
        const size_t line = text.rfind('\n') + 1;
        if (line > 0 &&
            std::all_of(text.begin() + static_cast<ptrdiff_t>(line), text.end(), IsSpace)) {
          text = text.substr(0, line);
        }
      }
      if (!text.empty()) Add(TokenKind::kText, std::string(text), place);
      Move(i);
      AfterTag(end_sign, false);
      return true;
    }
    raw_without_end_ = true;
    return true;
  }

  // The tokens of {% ... %} or {{ ... }}, from behind its sign.
  Status Tag(bool output, Place place) {
    Add(output ? TokenKind::kOutputBegin : TokenKind::kBlockBegin, "", place);
    std::vector<char> open;  // brackets
    for (;;) {
      while (i_ < source_.size() && IsSpace(source_[i_])) ++i_;
      if (i_ >= source_.size()) {
        return ErrorAt(place, output ? "{{ without its }}" : "{% without its %}");
      }
      const Place at = Here();
      const char c = source_[i_];
      const std::string_view rest = std::string_view(source_).substr(i_);
      const std::string_view close = output ? "}}" : "%}";
      if (open.empty() || !output) {
        const bool sign = c == '-' || (c == '+' && !output);
        if (rest.starts_with(close) || (sign && rest.substr(1).starts_with(close))) {
          if (open.empty()) {
            Move(i_ + (sign ? 3 : 2));
            Add(output ? TokenKind::kOutputEnd : TokenKind::kBlockEnd, "", at);
            AfterTag(sign ? c : '\0', output);
            return {};
          }
        }
      }
      if (IsNameStart(c)) {
        size_t end = i_ + 1;
        while (end < source_.size() && (IsNameStart(source_[end]) || IsDigit(source_[end]))) ++end;
        Add(TokenKind::kName, source_.substr(i_, end - i_), at);
        Move(end);
      } else if (IsDigit(c)) {
        TRY(Number(at));
      } else if (c == '"' || c == '\'') {
        TRY(String(at));
      } else {
        static constexpr std::string_view kOperators[] = {
            "//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "<",
            ">",  "=",  "(",  ")",  "[",  "]",  "{", "}", ".", ",", ":", "|", ";"};
        const auto found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                        [&](std::string_view op) { return rest.starts_with(op); });
        if (found == std::end(kOperators)) {
          return ErrorAt(at, fmt::format("unexpected character {:?}", rest.substr(0, 1)));
        }
        const char op = (*found)[0];
        if (op == '(' || op == '[' || op == '{') {
          if (open.size() > 200) return ErrorAt(at, "brackets nested too deeply");
          open.push_back(op);
        }
        if (op == ')' || op == ']' || op == '}') {
          const char wanted = op == ')' ? '(' : op == ']' ? '[' : '{';
          if (open.empty() || open.back() != wanted) {
            return ErrorAt(at, fmt::format("unexpected '{}'", op));
          }
          open.pop_back();
        }
        Add(TokenKind::kOperator, std::string(*found), at);
        Move(i_ + found->size());
      }
    }
  }

  Status Number(Place at) {
    std::string text;
    bool real = false;
    const auto digits = [&] {
      while (i_ < source_.size() && (IsDigit(source_[i_]) || source_[i_] == '_')) {
        if (source_[i_] != '_') text += source_[i_];
        ++i_;
      }
    };
    digits();
    if (i_ + 1 < source_.size() && source_[i_] == '.' && IsDigit(source_[i_ + 1])) {
      real = true;
      text += source_[i_++];
      digits();
    }
    if (i_ + 1 < source_.size() && (source_[i_] == 'e' || source_[i_] == 'E')) {
      const size_t sign = source_[i_ + 1] == '-' || source_[i_ + 1] == '+' ? 1 : 0;
      if (i_ + 1 + sign < source_.size() && IsDigit(source_[i_ + 1 + sign])) {
        real = true;
        text += source_.substr(i_, 1 + sign);
        i_ += 1 + sign;
        digits();
      }
    }
    Add(real ? TokenKind::kFloat : TokenKind::kInteger, std::move(text), at);
    return {};
  }

  Status String(Place at) {
    const char quote = source_[i_++];
    std::string text;
    const auto hex = [&](size_t n) -> int64_t {
      int64_t code = 0;
      for (size_t k = 0; k < n; ++k) {
        const char c = i_ + k < source_.size() ? source_[i_ + k] : '\0';
        const int d = HexDigit(c);
        if (d < 0) return -1;
        code = code * 16 + d;
      }
      i_ += n;
      return code;
    };
    for (;;) {
      if (i_ >= source_.size()) return ErrorAt(at, "a string without its closing quote");
      const char c = source_[i_++];
      if (c == quote) break;
      if (c != '\\') {
        text += c;
        continue;
      }
      if (i_ >= source_.size()) return ErrorAt(at, "a string without its closing quote");
      const char e = source_[i_++];
      switch (e) {
        case 'n':
          text += '\n';
          break;
        case 't':
          text += '\t';
          break;
        case 'r':
          text += '\r';
          break;
        case 'b':
          text += '\b';
          break;
        case 'f':
          text += '\f';
          break;
        case 'v':
          text += '\v';
          break;
        case 'a':
          text += '\a';
          break;
        case '0':
          text += '\0';
          break;
        case '\n':
          break;
        case '\\':
        case '\'':
        case '"':
          text += e;
          break;
        case 'x':
        case 'u':
        case 'U': {
          const int64_t code = hex(e == 'x' ? 2 : e == 'u' ? 4 : 8);
          if (code < 0 || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
            return ErrorAt(at, fmt::format("\\{} without its hexadecimal digits", e));
          }
          AppendUtf8(static_cast<uint32_t>(code), text);
          break;
        }
        default:  // as Python: what is no escape stays
          text += '\\';
          text += e;
      }
    }
    Add(TokenKind::kString, std::move(text), at);
    return {};
  }

  const std::string source_;
  size_t i_ = 0, counted_ = 0;
  Place place_;
  bool skip_space_ = false;          // "-" stood at the end of the last tag
  bool line_start_ = true;           // the last token ended a line
  bool skip_space_at_line_ = false;  // so did the white space that "-" took
  bool raw_without_end_ = false;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> Lex(std::string_view source) { return Lexer(source).Whole(); }

}  // namespace weir::templates
