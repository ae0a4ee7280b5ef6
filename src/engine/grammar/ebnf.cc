#include "engine/grammar/ebnf.h"

#include <fmt/format.h>

#include <map>
#include <optional>

#include "base/nearest.h"
#include "base/text.h"
#include "engine/grammar/regex_rules.h"
#include "engine/grammar/schema_rules.h"
#include "engine/grammar/vocabulary.h"
#include "engine/model/utf8_class.h"

namespace weir::grammar {
namespace {

constexpr int kMaxGroups = 200;
constexpr int kMaxRepeat = 10000;

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class Parser {
 public:
  Parser(Rules& rules, std::string_view text, const Vocabulary* vocabulary)
      : rules_(rules), text_(text), vocabulary_(vocabulary) {}

  Result<RuleId> Whole() {
    Skip();
    while (!End()) {
      const size_t at = i_;
      const std::string_view name = Name();
      if (name.empty()) return Bad("a rule's name is expected");
      Skip();
      if (!Eat("::=")) return Bad(fmt::format("::= is expected behind {:.60}", name));
      Named& rule = RuleOf(name);
      if (rule.defined) {
        i_ = at;
        return Bad(fmt::format("the rule {:.60} stands twice", name));
      }
      rule.defined = true;
      const RuleId id = rule.id;
      Skip();
      rules_.Define(id, TRY(Alternatives(0)));
      if (!End() && !AtRule()) return Bad("no part of a rule");
    }
    std::vector<std::string> known;
    for (const auto& [name, rule] : named_) {
      if (rule.defined) known.push_back(name);
    }
    for (const auto& [name, rule] : named_) {
      if (rule.defined) continue;
      i_ = rule.first_use;
      std::string hint = "write " + name + " ::= ...";
      if (const auto near = NearestOf(name, known); !near.empty()) hint = "did you mean " + near;
      return Bad(fmt::format("the rule {:.60} is not defined", name)).Hint(hint);
    }
    const auto root = named_.find("root");
    if (root == named_.end()) {
      i_ = 0;
      return Bad("there is no rule named root");
    }
    return root->second.id;
  }

 private:
  struct Named {
    RuleId id = -1;
    bool defined = false;
    size_t first_use = 0;
  };

  Error Bad(std::string_view what) const {
    size_t line = 1, column = 1;
    for (size_t k = 0; k < i_ && k < text_.size(); ++k) {
      ++column;
      if (text_[k] == '\n') {
        ++line;
        column = 1;
      }
    }
    return Error(Code::kInvalidArgument, fmt::format("grammar:{}:{}: {}", line, column, what));
  }
  bool End() const { return i_ >= text_.size(); }
  bool At(char c) const { return !End() && text_[i_] == c; }
  bool Eat(std::string_view what) {
    if (text_.substr(i_, what.size()) != what) return false;
    i_ += what.size();
    return true;
  }
  void Skip() {
    while (!End()) {
      const char c = text_[i_];
      if (c == '#') {
        while (!End() && text_[i_] != '\n') ++i_;
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++i_;
      } else {
        break;
      }
    }
  }
  std::string_view Name() {
    const size_t begin = i_;
    while (!End() && IsNameChar(text_[i_])) ++i_;
    return text_.substr(begin, i_ - begin);
  }
  // Does `name ::=` stand here?
  bool AtRule() {
    const size_t before = i_;
    bool yes = !Name().empty();
    if (yes) {
      Skip();
      yes = text_.substr(i_, 3) == "::=";
    }
    i_ = before;
    return yes;
  }
  Named& RuleOf(std::string_view name) {
    Named& rule = named_[std::string(name)];
    if (rule.id < 0) {
      rule.id = rules_.NewRule(std::string(name));
      rule.first_use = i_ - name.size();
    }
    return rule;
  }

  Result<NodeId> Alternatives(int depth) {
    if (depth > kMaxGroups) return Bad("groups nested too deeply");
    std::vector<NodeId> all;
    do {
      Skip();
      all.push_back(TRY(Sequence(depth)));
      Skip();
    } while (Eat("|"));
    return rules_.Choice(std::move(all));
  }

  Result<NodeId> Sequence(int depth) {
    std::vector<NodeId> all;
    for (;;) {
      Skip();
      if (End() || At('|') || At(')') || AtRule()) break;
      NodeId part = TRY(Part(depth));
      while (!End()) {  // quantifiers stand right behind
        int min = 0, max = -1;
        if (Eat("*")) {
        } else if (Eat("+")) {
          min = 1;
        } else if (Eat("?")) {
          max = 1;
        } else if (At('{')) {
          ++i_;
          TRY(Bounds(min, max));
        } else {
          break;
        }
        part = rules_.Repeat(part, min, max);
      }
      all.push_back(part);
    }
    if (all.empty()) return rules_.Empty();
    return rules_.Sequence(std::move(all));
  }

  Status Bounds(int& min, int& max) {
    const auto number = [&]() -> std::optional<int> {
      Skip();
      if (End() || text_[i_] < '0' || text_[i_] > '9') return std::nullopt;
      int64_t n = 0;
      while (!End() && text_[i_] >= '0' && text_[i_] <= '9') {
        n = std::min<int64_t>(n * 10 + (text_[i_++] - '0'), kMaxRepeat + 1);
      }
      Skip();
      return static_cast<int>(n);
    };
    const std::optional<int> low = number();
    const bool comma = Eat(",");
    const std::optional<int> high = comma ? number() : low;
    if ((!low && !high) || !Eat("}")) return Bad("{n}, {n,} or {n,m} is expected");
    min = low.value_or(0);
    max = high.value_or(-1);
    if (max >= 0 && max < min) return Bad("a repetition with its ends swapped");
    if (std::max(min, max) > kMaxRepeat) return Bad(fmt::format("more than {} times", kMaxRepeat));
    return {};
  }

  Result<NodeId> Part(int depth) {
    if (Eat("(")) {
      const NodeId inner = TRY(Alternatives(depth + 1));
      if (!Eat(")")) return Bad("a ( without its )");
      return inner;
    }
    if (Eat("\"")) {
      std::string bytes;
      while (!At('"')) {
        if (End() || At('\n')) return Bad("a text without its closing quote");
        model::AppendUtf8(TRY(Character()), bytes);
      }
      ++i_;
      return rules_.Bytes(bytes);
    }
    if (Eat("[")) return Set();
    if (Eat(".")) return rules_.Set(AnyCharacter());
    if (Eat("%json")) return Json();
    if (Eat("%regex")) return Regex();
    if (At('!') && text_.substr(i_, 2) == "!<") {
      return Bad("\"any token but this one\" is not offered");
    }
    if (Eat("<")) return Token();
    const size_t at = i_;
    const std::string_view name = Name();
    if (name.empty()) {
      return Bad(fmt::format("\"{}\" begins no part of a rule", text_.substr(at, 1)));
    }
    return rules_.Call(RuleOf(name).id);
  }

  // A character of a text or a set, escaped or not.
  Result<uint32_t> Character() {
    if (!At('\\')) {
      const model::Utf8Char c = model::Utf8At(text_, i_);
      if (c.code == model::kNoCode) return Bad("a byte that is not UTF-8");
      i_ += c.size;
      return c.code;
    }
    ++i_;
    if (End()) return Bad("a backslash at the end");
    const char c = text_[i_++];
    switch (c) {
      case 'n':
        return uint32_t{'\n'};
      case 'r':
        return uint32_t{'\r'};
      case 't':
        return uint32_t{'\t'};
      case 'x':
        return Hex(2);
      case 'u':
        return Hex(4);
      case 'U':
        return Hex(8);
      case '"':
      case '\'':
      case '\\':
      case '/':
      case '[':
      case ']':
      case '-':
      case '^':
      case '.':
        return static_cast<uint32_t>(c);
      default:
        --i_;
        return Bad(fmt::format("\\{} is no escape", c));
    }
  }
  Result<uint32_t> Hex(int digits) {
    uint64_t code = 0;
    for (int k = 0; k < digits; ++k) {
      const char c = End() ? '\0' : text_[i_];
      const int d = HexDigit(c);
      if (d < 0) return Bad("hexadecimal digits are missing");
      code = code * 16 + static_cast<uint64_t>(d);
      ++i_;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return Bad("no character");
    return static_cast<uint32_t>(code);
  }

  Result<NodeId> Set() {
    const bool negate = Eat("^");
    model::CodeSet set;
    while (!At(']')) {
      if (End()) return Bad("a [ without its ]");
      const uint32_t low = TRY(Character());
      uint32_t high = low;
      if (At('-') && i_ + 1 < text_.size() && text_[i_ + 1] != ']') {
        ++i_;
        high = TRY(Character());
        if (high < low) return Bad("a range with its ends swapped");
      }
      set.Add(low, high);
    }
    ++i_;
    set.Normalize();
    if (negate) set.Negate();
    return rules_.Set(std::move(set));
  }

  Result<NodeId> Token() {
    std::string_view name;
    const size_t begin = i_ - 1;
    if (Eat("[")) {
      const size_t end = text_.find("]>", i_);
      if (end == std::string_view::npos) return Bad("<[ without ]>");
      name = text_.substr(i_, end - i_);
      i_ = end + 2;
    } else {
      const size_t end = text_.find_first_of(">\n", i_);
      if (end == std::string_view::npos || text_[end] != '>') return Bad("< without >");
      i_ = end + 1;
      name = text_.substr(begin, i_ - begin);
    }
    const bool by_id = !name.empty() && name.find_first_not_of("0123456789") == name.npos;
    if (vocabulary_ == nullptr) return rules_.Special(name);
    const auto& text = vocabulary_->impl().text;
    if (by_id) {
      uint64_t id = 0;
      for (const char c : name)
        id = std::min<uint64_t>(id * 10 + static_cast<uint64_t>(c - '0'), 1u << 30);
      if (id >= text.size() || text[id].empty()) return Bad(fmt::format("no token {:.20}", name));
      return rules_.Bytes(text[id]);
    }
    const std::string special = std::string(1, kSpecialMark) + std::string(name);
    for (const std::string& token : text) {
      if (token == special) return rules_.Bytes(special);
    }
    return rules_.Bytes(name);  // a model without such a token writes it out
  }

  // The end of the JSON value that begins here.
  Result<NodeId> Json() {
    Skip();
    const size_t begin = i_;
    int depth = 0;
    bool in_string = false;
    for (; !End(); ++i_) {
      const char c = text_[i_];
      if (in_string) {
        if (c == '\\') {
          ++i_;
        } else if (c == '"') {
          in_string = false;
        }
        continue;
      }
      if (c == '"') in_string = true;
      if (c == '{' || c == '[') ++depth;
      if ((c == '}' || c == ']') && --depth <= 0) {
        ++i_;
        break;
      }
      if (depth == 0 && (c == '\n' || c == ' ')) break;  // true, false
    }
    const std::string_view schema = text_.substr(begin, std::min(i_, text_.size()) - begin);
    Result<NodeId> made = SchemaNodeOf(rules_, schema, {});
    if (!made) {
      i_ = begin;
      Error error = std::move(made).error();
      return Error(error.code(), Bad(error.message()).message()).Hint(error.hint());
    }
    return made;
  }

  Result<NodeId> Regex() {
    Skip();
    if (!Eat("/")) return Bad("%regex without /");
    const size_t begin = i_;
    std::string pattern;
    while (!At('/')) {
      if (End()) return Bad("a regular expression without its closing /");
      if (At('\\') && i_ + 1 < text_.size()) {
        if (text_[i_ + 1] != '/') pattern += '\\';
        ++i_;
      }
      pattern += text_[i_++];
    }
    ++i_;
    Result<NodeId> made = RegexNodeOf(rules_, pattern, Anchoring::kWhole, Spelling::kPlain);
    if (!made) {
      i_ = begin;
      return Error(made.error().code(), Bad(made.error().message()).message());
    }
    return made;
  }

  Rules& rules_;
  std::string_view text_;
  const Vocabulary* vocabulary_;
  size_t i_ = 0;
  std::map<std::string, Named, std::less<>> named_;
};

}  // namespace

Result<RuleId> EbnfRules(Rules& rules, std::string_view text, const Vocabulary* vocabulary) {
  return Parser(rules, text, vocabulary).Whole();
}

}  // namespace weir::grammar
