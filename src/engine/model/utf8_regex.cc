#include "engine/model/utf8_regex.h"

#include <fmt/format.h>

#include <string>

#include "base/text.h"
#include "engine/model/utf8_class.h"

namespace weir::model {
namespace {

using Kind = RegexNode::Kind;

CodeSet One(uint32_t code) { return CodeSet{{code, code}}; }

class Parser {
 public:
  Parser(std::string_view text, RegexDialect dialect)
      : text_(text), ecma_(dialect == RegexDialect::kEcma) {}

  Result<RegexNode> Whole() {
    if (text_.size() > kMaxRegexBytes) {
      return Error(Code::kTooLarge, fmt::format("a pattern of {} bytes; at most {} are taken",
                                                text_.size(), kMaxRegexBytes));
    }
    RegexNode node = TRY(Alternatives(0));
    if (i_ < text_.size()) return Bad("a ) without its (");
    return node;
  }

 private:
  Error Bad(std::string_view what) const {
    return Error(Code::kInvalidArgument, fmt::format("pattern, byte {}: {}", i_, what));
  }
  Error NotOffered(std::string_view what) const {
    return Error(Code::kUnimplemented, fmt::format("pattern, byte {}: {}", i_, what));
  }
  bool End() const { return i_ >= text_.size(); }
  bool At(char c) const { return !End() && text_[i_] == c; }
  bool Eat(std::string_view what) {
    if (text_.substr(i_, what.size()) != what) return false;
    i_ += what.size();
    return true;
  }
  RegexNode SetNode(CodeSet set) const {
    RegexNode node;
    node.kind = Kind::kSet;
    set.Normalize();
    if (fold_) set.FoldCase();
    node.set = std::move(set);
    return node;
  }

  Result<RegexNode> Alternatives(int depth) {
    if (depth > kMaxRegexDepth) return Bad("groups nested too deeply");
    RegexNode all;
    all.kind = Kind::kAlternatives;
    for (;;) {
      all.children.push_back(TRY(Sequence(depth)));
      if (!Eat("|")) break;
    }
    if (all.children.size() == 1) return RegexNode(std::move(all.children.front()));
    return all;
  }

  Result<RegexNode> Sequence(int depth) {
    RegexNode all;
    all.kind = Kind::kSequence;
    while (!End() && !At('|') && !At(')')) {
      RegexNode atom = TRY(Atom(depth));
      for (;;) {
        RegexNode repeat;
        repeat.kind = Kind::kRepeat;
        const size_t before = i_;
        if (!TRY(Quantifier(repeat))) break;
        if (atom.kind == Kind::kBegin || atom.kind == Kind::kEnd || atom.kind == Kind::kWordEdge ||
            atom.kind == Kind::kLookAhead) {
          i_ = before;
          return Bad("a quantifier after something without width");
        }
        if (Eat("?")) {
          repeat.lazy = true;
        } else if (!ecma_ && At('+') && text_[before] != '{') {
          ++i_;
          repeat.possessive = true;
        }
        repeat.children.push_back(std::move(atom));
        atom = std::move(repeat);
        if (ecma_) break;
      }
      all.children.push_back(std::move(atom));
    }
    if (all.children.size() == 1) return RegexNode(std::move(all.children.front()));
    if (all.children.empty()) all.kind = Kind::kEmpty;
    return all;
  }

  std::optional<int> Number() {
    if (End() || text_[i_] < '0' || text_[i_] > '9') return std::nullopt;
    int64_t n = 0;
    while (!End() && text_[i_] >= '0' && text_[i_] <= '9') {
      n = std::min<int64_t>(n * 10 + (text_[i_++] - '0'), 1 << 30);
    }
    return static_cast<int>(n);
  }

  Result<bool> Quantifier(RegexNode& node) {
    if (Eat("*")) return node.min = 0, node.max = -1, true;
    if (Eat("+")) return node.min = 1, node.max = -1, true;
    if (Eat("?")) return node.min = 0, node.max = 1, true;
    if (!At('{')) return false;
    const size_t before = i_++;
    const std::optional<int> low = Number();
    bool comma = Eat(",");
    const std::optional<int> high = comma ? Number() : low;
    if (!At('}') || (!low && !high)) {  // a brace that is only a brace
      i_ = before;
      return false;
    }
    ++i_;
    node.min = low.value_or(0);
    node.max = high.value_or(-1);
    if (node.max >= 0 && node.max < node.min) return Bad("a repetition with its ends swapped");
    if (std::max(node.min, node.max) > kMaxRegexRepeat) {
      return Bad(fmt::format("a repetition of more than {}", kMaxRegexRepeat));
    }
    return true;
  }

  Result<RegexNode> Atom(int depth) {
    const auto simple = [](Kind kind, bool of_line) {
      RegexNode node;
      node.kind = kind;
      node.of_line = of_line;
      return node;
    };
    if (Eat("(")) return Group(depth);
    if (Eat("[")) return SetNode(TRY(Class(0)));
    if (Eat("^")) return simple(Kind::kBegin, !ecma_);
    if (Eat("$")) return simple(Kind::kEnd, !ecma_);
    if (Eat(".")) {
      CodeSet set{{'\n', '\n'}};
      if (ecma_) set = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
      set.Negate();
      return SetNode(std::move(set));
    }
    if (At('*') || At('+') || At('?')) return Bad("a quantifier without something before it");
    if (At('\\')) {
      if (i_ + 1 < text_.size()) {
        const char c = text_[i_ + 1];
        if (c == 'b' || c == 'B') {
          i_ += 2;
          RegexNode node = simple(Kind::kWordEdge, false);
          node.negative = c == 'B';
          return node;
        }
        if (!ecma_ && c == 'A') return i_ += 2, simple(Kind::kBegin, false);
        if (!ecma_ && (c == 'z' || c == 'Z')) return i_ += 2, simple(Kind::kEnd, false);
        if (c >= '1' && c <= '9') return NotOffered("back references are not offered");
        if (c == 'k') return NotOffered("back references are not offered");
      }
      return SetNode(TRY(Escape(nullptr)));
    }
    const Utf8Char c = Utf8At(text_, i_);
    if (c.code == kNoCode) return Bad("a byte that is not UTF-8");
    i_ += c.size;
    return SetNode(One(c.code));
  }

  Result<RegexNode> Group(int depth) {
    RegexNode node;
    const bool fold_outside = fold_;
    if (Eat("?=") || Eat("?!")) {
      node.kind = Kind::kLookAhead;
      node.negative = text_[i_ - 1] == '!';
      node.children.push_back(TRY(Alternatives(depth + 1)));
    } else if (Eat("?<=") || Eat("?<!")) {
      return NotOffered("look-behind is not offered");
    } else if (Eat("?<") || Eat("?P<")) {
      while (!End() && !At('>')) ++i_;
      if (!Eat(">")) return Bad("a group's name without its >");
      node = TRY(Alternatives(depth + 1));
    } else if (Eat("?>")) {
      node.kind = Kind::kRepeat;
      node.min = node.max = 1;
      node.possessive = true;
      node.children.push_back(TRY(Alternatives(depth + 1)));
    } else if (Eat("?")) {
      bool on = true;
      while (!End() && !At(':') && !At(')')) {
        const char flag = text_[i_++];
        if (flag == '-') {
          on = false;
        } else if (flag == 'i') {
          fold_ = on;
        } else if (flag != 'u' && flag != 'm' && flag != 's') {
          return NotOffered(fmt::format("the group (?{}", flag));
        }
      }
      if (Eat(":")) {
        node = TRY(Alternatives(depth + 1));
      } else {  // (?i) holds to the end of the enclosing group
        if (!At(')')) return Bad("a ( without its )");
        ++i_;
        return TRY(Alternatives(depth + 1));
      }
    } else {
      node = TRY(Alternatives(depth + 1));
    }
    if (!Eat(")")) return Bad("a ( without its )");
    fold_ = fold_outside;
    return node;
  }

  std::optional<uint32_t> Hex(size_t digits) {
    uint32_t code = 0;
    for (size_t k = 0; k < digits; ++k) {
      if (i_ + k >= text_.size()) return std::nullopt;
      const char c = text_[i_ + k];
      const int d = HexDigit(c);
      if (d < 0) return std::nullopt;
      code = code * 16 + static_cast<uint32_t>(d);
    }
    i_ += digits;
    return code;
  }

  // A backslash and what follows. `single`: where to put the code if it is one character.
  Result<CodeSet> Escape(std::optional<uint32_t>* single) {
    ++i_;
    if (End()) return Bad("a backslash at the end");
    const Utf8Char at = Utf8At(text_, i_);
    if (at.code == kNoCode) return Bad("a byte that is not UTF-8");
    i_ += at.size;
    const auto one = [&](uint32_t code) {
      if (single != nullptr) *single = code;
      return One(code);
    };
    const auto maybe_not = [](CodeSet set, bool negate) {
      set.Normalize();
      if (negate) set.Negate();
      return set;
    };
    switch (at.code) {
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 't':
        return one('\t');
      case 'v':
        return one('\v');
      case 'f':
        return one('\f');
      case 'a':
        return one(7);
      case 'e':
        return one(27);
      case '0':
        return one(0);
      case 'd':
      case 'D':
        return maybe_not(ecma_ ? CodeSet{{'0', '9'}} : SetOfCategories(BitOf(kNd)), at.code == 'D');
      case 's':
      case 'S': {
        CodeSet set = WhiteSpaceSet();
        if (ecma_) {
          set.Add(0xFEFF, 0xFEFF);
          CodeSet next_line{{0x85, 0x85}};
          next_line.Negate();
          set.Normalize();
          set.Intersect(next_line);
        }
        return maybe_not(std::move(set), at.code == 'S');
      }
      case 'w':
      case 'W': {
        CodeSet set{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
        if (!ecma_) set = SetOfCategories(kLetters | kMarks | BitOf(kNd) | BitOf(kPc));
        return maybe_not(std::move(set), at.code == 'W');
      }
      case 'h':
      case 'H':
        if (ecma_) return Bad("\\h is no escape");
        return maybe_not(CodeSet{{'0', '9'}, {'a', 'f'}, {'A', 'F'}}, at.code == 'H');
      case 'p':
      case 'P': {
        if (!Eat("{")) return Bad("\\p without {");
        const bool caret = Eat("^");
        const size_t end = text_.find('}', i_);
        if (end == std::string_view::npos) return Bad("\\p{ without }");
        std::string_view name = text_.substr(i_, end - i_);
        for (const std::string_view prefix : {"General_Category=", "gc=", "Is"}) {
          if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
        }
        std::optional<CodeSet> set = SetOfProperty(name);
        if (!set) return NotOffered(fmt::format("the property {:.40} is not known", name));
        i_ = end + 1;
        return maybe_not(*std::move(set), (at.code == 'P') != caret);
      }
      case 'c':
        if (End()) return Bad("\\c at the end");
        return one(static_cast<uint32_t>(text_[i_++]) & 31);
      case 'x':
      case 'u': {
        if (Eat("{")) {
          const size_t end = text_.find('}', i_);
          const auto code = end == std::string_view::npos || end - i_ > 6 || end == i_
                                ? std::nullopt
                                : Hex(end - i_);
          if (!code || *code > 0x10FFFF || !Eat("}")) return Bad("no character in the braces");
          return one(*code);
        }
        const auto code = Hex(at.code == 'x' ? 2 : 4);
        if (!code) return Bad("hexadecimal digits are missing");
        if (*code >= 0xD800 && *code <= 0xDBFF && text_.substr(i_, 2) == "\\u") {
          i_ += 2;
          const auto low = Hex(4);
          if (!low || *low < 0xDC00 || *low > 0xDFFF) return Bad("half a surrogate pair");
          return one(0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00));
        }
        return one(*code);
      }
      default:
        if ((at.code >= 'a' && at.code <= 'z') || (at.code >= 'A' && at.code <= 'Z')) {
          i_ -= at.size;
          return NotOffered(fmt::format("the escape \\{}", static_cast<char>(at.code)));
        }
        return one(at.code);
    }
  }

  // After "[".
  Result<CodeSet> Class(int depth) {
    if (depth > 10) return Bad("sets nested too deeply");
    const bool negate = Eat("^");
    CodeSet set;
    std::optional<CodeSet> left;  // of &&
    for (bool first = true;; first = false) {
      if (End()) return Bad("a [ without its ]");
      if (At(']') && !(first && !ecma_)) {
        ++i_;
        break;
      }
      if (!ecma_ && Eat("[:")) {
        const size_t end = text_.find(":]", i_);
        if (end == std::string_view::npos) return Bad("[: without :]");
        return NotOffered("POSIX classes");
      }
      if (!ecma_ && Eat("[")) {
        set.Add(TRY(Class(depth + 1)));
        continue;
      }
      if (!ecma_ && Eat("&&")) {
        set.Normalize();
        if (left) set.Intersect(*left);
        left = std::move(set);
        set = {};
        continue;
      }
      std::optional<uint32_t> low;
      CodeSet item;
      if (At('\\')) {
        if (text_.substr(i_, 2) == "\\b") {
          i_ += 2;
          low = 8;
        } else {
          item = TRY(Escape(&low));
        }
      } else {
        const Utf8Char c = Utf8At(text_, i_);
        if (c.code == kNoCode) return Bad("a byte that is not UTF-8");
        i_ += c.size;
        low = c.code;
      }
      if (!low) {
        set.Add(item);
        continue;
      }
      uint32_t high = *low;
      if (At('-') && i_ + 1 < text_.size() && text_[i_ + 1] != ']') {
        const size_t before = i_++;
        std::optional<uint32_t> to;
        if (At('\\')) {
          (void)TRY(Escape(&to));
        } else {
          const Utf8Char c = Utf8At(text_, i_);
          if (c.code == kNoCode) return Bad("a byte that is not UTF-8");
          i_ += c.size;
          to = c.code;
        }
        if (!to) {
          i_ = before;  // [\w-\d]: the hyphen is a hyphen
        } else {
          high = *to;
          if (high < *low) return Bad("a range with its ends swapped");
        }
      }
      set.Add(*low, high);
    }
    set.Normalize();
    if (left) set.Intersect(*left);
    if (fold_ && negate) set.FoldCase();
    if (negate) set.Negate();
    return set;
  }

  std::string_view text_;
  bool ecma_;
  bool fold_ = false;
  size_t i_ = 0;
};

}  // namespace

Result<RegexNode> ParseRegex(std::string_view pattern, RegexDialect dialect) {
  return Parser(pattern, dialect).Whole();
}

}  // namespace weir::model
