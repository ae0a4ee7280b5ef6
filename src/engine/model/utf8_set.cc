#include "engine/model/utf8_set.h"

#include <utf8proc.h>

#include <algorithm>

#include "engine/model/utf8_class.h"

namespace weir::model {
namespace {

template <class Belongs>
CodeSet Collect(const Belongs& belongs) {
  const CharTable& table = CharTable::Get();
  CodeSet set;
  uint32_t first = 0;
  bool in = false;
  for (uint32_t code = 0; code <= 0x10FFFF; ++code) {
    const bool now = belongs(table.Of(code));
    if (now && !in) first = code;
    if (!now && in) set.Add(first, code - 1);
    in = now;
  }
  if (in) set.Add(first, 0x10FFFF);
  return set;
}

// The letters that fold to the same letter as `code`: at most a handful.
void AddCases(uint32_t code, CodeSet& set) {
  const auto c = static_cast<utf8proc_int32_t>(code);
  for (const utf8proc_int32_t other :
       {utf8proc_tolower(c), utf8proc_toupper(c), utf8proc_tolower(utf8proc_toupper(c)),
        utf8proc_toupper(utf8proc_tolower(c))}) {
    set.Add(static_cast<uint32_t>(other), static_cast<uint32_t>(other));
  }
  if (code == 's' || code == 'S') set.Add(0x17F, 0x17F);    // the long s
  if (code == 'k' || code == 'K') set.Add(0x212A, 0x212A);  // the Kelvin sign
}

}  // namespace

void CodeSet::Normalize() {
  std::sort(ranges_.begin(), ranges_.end());
  size_t n = 0;
  for (const Range& r : ranges_) {
    if (r.first > r.second) continue;
    if (n > 0 && r.first <= ranges_[n - 1].second + 1) {
      ranges_[n - 1].second = std::max(ranges_[n - 1].second, r.second);
    } else {
      ranges_[n++] = r;
    }
  }
  ranges_.resize(n);
}

void CodeSet::Negate() {
  Normalize();
  std::vector<Range> out;
  uint32_t next = 0;
  for (const Range& r : ranges_) {
    if (r.first > next) out.emplace_back(next, r.first - 1);
    next = r.second + 1;
  }
  if (next <= kInvalidByte) out.emplace_back(next, kInvalidByte);
  ranges_ = std::move(out);
}

void CodeSet::Intersect(const CodeSet& other) {
  CodeSet a = *this, b = other;
  a.Negate();
  b.Negate();
  a.Add(b);
  a.Negate();
  *this = std::move(a);
}

void CodeSet::FoldCase() {
  constexpr uint32_t kMany = 512;  // a class of this size has both cases, or means what it says
  const std::vector<Range> before = ranges_;
  for (const Range& r : before) {
    for (uint32_t c = r.first; c <= r.second && c - r.first < kMany && c <= 0x10FFFF; ++c) {
      AddCases(c, *this);
    }
  }
  Normalize();
}

bool CodeSet::Contains(uint32_t code) const {
  const auto it = std::upper_bound(ranges_.begin(), ranges_.end(), code,
                                   [](uint32_t c, const Range& r) { return c < r.first; });
  return it != ranges_.begin() && code <= std::prev(it)->second;
}

CodeSet SetOfCategories(uint32_t mask) {
  return Collect([mask](uint8_t cls) { return (mask >> (cls & kCategoryMask) & 1) != 0; });
}

const CodeSet& WhiteSpaceSet() {
  static const CodeSet set = Collect([](uint8_t cls) { return (cls & kSpaceFlag) != 0; });
  return set;
}

std::optional<CodeSet> SetOfProperty(std::string_view name) {
  struct Row {
    std::string_view name, alias;
    uint32_t mask;
  };
  static constexpr Row kRows[] = {
      {"L", "Letter", kLetters},
      {"Lu", "Uppercase_Letter", BitOf(kLu)},
      {"Ll", "Lowercase_Letter", BitOf(kLl)},
      {"Lt", "Titlecase_Letter", BitOf(kLt)},
      {"Lm", "Modifier_Letter", BitOf(kLm)},
      {"Lo", "Other_Letter", BitOf(kLo)},
      {"M", "Mark", kMarks},
      {"Mn", "Nonspacing_Mark", BitOf(kMn)},
      {"Mc", "Spacing_Mark", BitOf(kMc)},
      {"Me", "Enclosing_Mark", BitOf(kMe)},
      {"N", "Number", kNumbers},
      {"Nd", "Decimal_Number", BitOf(kNd)},
      {"Nl", "Letter_Number", BitOf(kNl)},
      {"No", "Other_Number", BitOf(kNo)},
      {"P", "Punctuation", kPunctuation},
      {"Pc", "Connector_Punctuation", BitOf(kPc)},
      {"Pd", "Dash_Punctuation", BitOf(kPd)},
      {"Ps", "Open_Punctuation", BitOf(kPs)},
      {"Pe", "Close_Punctuation", BitOf(kPe)},
      {"Pi", "Initial_Punctuation", BitOf(kPi)},
      {"Pf", "Final_Punctuation", BitOf(kPf)},
      {"Po", "Other_Punctuation", BitOf(kPo)},
      {"S", "Symbol", kSymbols},
      {"Sm", "Math_Symbol", BitOf(kSm)},
      {"Sc", "Currency_Symbol", BitOf(kSc)},
      {"Sk", "Modifier_Symbol", BitOf(kSk)},
      {"So", "Other_Symbol", BitOf(kSo)},
      {"Z", "Separator", kSeparators},
      {"Zs", "Space_Separator", BitOf(kZs)},
      {"Zl", "Line_Separator", BitOf(kZl)},
      {"Zp", "Paragraph_Separator", BitOf(kZp)},
      {"C", "Other", kOthers},
      {"Cc", "Control", BitOf(kCc)},
      {"Cf", "Format", BitOf(kCf)},
      {"Cs", "Surrogate", BitOf(kCs)},
      {"Co", "Private_Use", BitOf(kCo)},
      {"Cn", "Unassigned", BitOf(kNone)},
  };
  for (const Row& row : kRows) {
    if (name == row.name || name == row.alias) return SetOfCategories(row.mask);
  }
  if (name == "White_Space" || name == "Space" || name == "space") return WhiteSpaceSet();
  if (name == "Any" || name == "ASCII") return CodeSet{{0, name == "Any" ? 0x10FFFFu : 0x7Fu}};
  // The scripts that pre-tokenizers name, by the ranges of Scripts.txt (Unicode 15).
  if (name == "Han" || name == "Script=Han") {
    return CodeSet{{0x2E80, 0x2E99},   {0x2E9B, 0x2EF3},   {0x2F00, 0x2FD5},   {0x3005, 0x3005},
                   {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303B},   {0x3400, 0x4DBF},
                   {0x4E00, 0x9FFF},   {0xF900, 0xFA6D},   {0xFA70, 0xFAD9},   {0x16FE2, 0x16FE3},
                   {0x16FF0, 0x16FF1}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B739}, {0x2B740, 0x2B81D},
                   {0x2B820, 0x2CEA1}, {0x2CEB0, 0x2EBE0}, {0x2F800, 0x2FA1D}, {0x30000, 0x3134A},
                   {0x31350, 0x323AF}};
  }
  return std::nullopt;
}

}  // namespace weir::model
