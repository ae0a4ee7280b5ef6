#include "engine/model/pretokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <climits>

#include "engine/model/pretokenizer_regex.h"
#include "engine/model/utf8_class.h"

namespace weir::model {
namespace {

// What the scanners tell apart. kBreak: \r or \n. kSymbol: all that is nothing else.
enum Class : uint8_t { kUpper, kLower, kOtherLetter, kMark, kNumber, kSpace, kBreak, kSymbol };

constexpr std::array<Class, 128> kClassOf = [] {
  std::array<Class, 128> table{};
  for (uint32_t i = 0; i < 128; ++i) {
    const uint32_t bit = uint32_t{1} << (i & kCategoryMask);
    table[i] = (i & kBreakFlag)                  ? kBreak
               : (i & kSpaceFlag)                ? kSpace
               : bit & (BitOf(kLu) | BitOf(kLt)) ? kUpper
               : bit & BitOf(kLl)                ? kLower
               : bit & kLetters                  ? kOtherLetter
               : bit & kMarks                    ? kMark
               : bit & kNumbers                  ? kNumber
                                                 : kSymbol;
  }
  return table;
}();

constexpr uint32_t Bit(Class c) { return uint32_t{1} << c; }
constexpr uint32_t kLetterBits = Bit(kUpper) | Bit(kLower) | Bit(kOtherLetter);
constexpr uint32_t kWhiteBits = Bit(kSpace) | Bit(kBreak);
constexpr uint32_t kSymbolBits = Bit(kSymbol) | Bit(kMark);  // not white, no letter, no number
constexpr uint32_t kUpperBits = Bit(kUpper) | Bit(kOtherLetter) | Bit(kMark);
constexpr uint32_t kLowerBits = Bit(kLower) | Bit(kOtherLetter) | Bit(kMark);

// ASCII by a table in the first cache lines; the rest by CharTable.
struct AsciiClasses {
  std::array<Class, 256> of;  // beyond 127: kSymbol
  AsciiClasses() {
    for (size_t i = 0; i < 256; ++i) {
      of[i] = kClassOf[CharTable::Get().OfAscii(static_cast<uint8_t>(i)) & 127];
    }
  }
};
const AsciiClasses& Ascii() {
  static const AsciiClasses table;
  return table;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text)
      : text_(text), ascii_(Ascii().of.data()), table_(CharTable::Get()) {}

  struct Char {
    uint32_t bit;   // Bit(Class)
    uint32_t size;  // bytes
  };
  bool End(size_t i) const { return i >= text_.size(); }
  void Skip(size_t n) { text_.remove_prefix(n); }
  Char At(size_t i) const {
    const auto byte = static_cast<uint8_t>(text_[i]);
    if (byte < 128) return {Bit(ascii_[byte]), 1};
    const Utf8Char c = Utf8At(text_, i);
    return {c.code == kNoCode ? Bit(kSymbol) : Bit(kClassOf[table_.Of(c.code) & 127]), c.size};
  }
  // The end of the run of characters of `bits` that begins at `i`.
  size_t Run(size_t i, uint32_t bits) const {
    while (i < text_.size()) {
      const auto byte = static_cast<uint8_t>(text_[i]);
      if (byte < 128) {
        if (!(Bit(ascii_[byte]) & bits)) return i;
        ++i;
      } else {
        const Char c = At(i);
        if (!(c.bit & bits)) return i;
        i += c.size;
      }
    }
    return i;
  }
  char Byte(size_t i) const { return i < text_.size() ? text_[i] : '\0'; }

  // 's 't 're 've 'm 'll 'd at `i`; 0: none. With `any_case`, the long s is an s.
  size_t Contraction(size_t i, bool any_case) const {
    if (Byte(i) != '\'' || End(i + 1)) return 0;
    const auto lower = [&](char c) {
      return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    };
    const char a = lower(Byte(i + 1)), b = lower(Byte(i + 2));
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return any_case && a == '\xC5' && b == '\xBF' ? 3 : 0;
  }

  // \s+(?!\S)|\s+ : a run of white space leaves its last character to the word that follows.
  size_t White(size_t i) const {
    size_t last = i;
    const size_t begin = i;
    while (i < text_.size()) {
      const Char c = At(i);
      if (!(c.bit & kWhiteBits)) return last > begin ? last : i;
      last = i;
      i += c.size;
    }
    return i;
  }
  // \s*[\r\n]+|\s+(?!\S)|\s+
  size_t Breaks(size_t i) const {
    size_t after_break = 0;
    for (size_t k = i; k < text_.size();) {
      const Char c = At(k);
      if (!(c.bit & kWhiteBits)) break;
      k += c.size;
      if (c.bit == Bit(kBreak)) after_break = k;
    }
    return after_break > 0 ? after_break : White(i);
  }
  // \p{N}{1,max}
  size_t Digits(size_t i, int max) const {
    for (int n = 0; n < max && !End(i); ++n) {
      const Char c = At(i);
      if (c.bit != Bit(kNumber)) break;
      i += c.size;
    }
    return i;
  }

  size_t Gpt2() const {
    if (const size_t n = Contraction(0, false)) return n;
    size_t i = 0;
    Char c = At(0);
    if (text_[0] == ' ' && !End(1)) {
      const Char second = At(1);
      if (!(second.bit & kWhiteBits)) {
        i = 1;
        c = second;
      }
    }
    i += c.size;
    if (c.bit & kLetterBits) return Run(i, kLetterBits);
    if (c.bit == Bit(kNumber)) return Run(i, Bit(kNumber));
    if (c.bit & kSymbolBits) return Run(i, kSymbolBits);
    return White(0);
  }

  size_t Llama3(int max_digits) const {
    if (const size_t n = Contraction(0, true)) return n;
    const Char first = At(0);
    if (first.bit & kLetterBits) return Run(first.size, kLetterBits);
    if (first.bit == Bit(kNumber)) return Digits(0, max_digits);
    if (first.bit != Bit(kBreak) && !End(first.size)) {
      const Char second = At(first.size);
      if (second.bit & kLetterBits) return Run(first.size + second.size, kLetterBits);
      if (text_[0] == ' ' && (second.bit & kSymbolBits)) {
        return Run(Run(1, kSymbolBits), Bit(kBreak));
      }
    }
    if (first.bit & kSymbolBits) return Run(Run(0, kSymbolBits), Bit(kBreak));
    return Breaks(0);
  }

  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ from `i`; 0: no match.
  size_t LowerWord(size_t i) const {
    size_t after_lower = 0;  // behind the last character of the first run that the second may have
    size_t k = i;
    while (!End(k)) {
      const Char c = At(k);
      if (!(c.bit & kUpperBits)) break;
      k += c.size;
      if (c.bit & kLowerBits) after_lower = k;
    }
    if (!End(k) && At(k).bit == Bit(kLower)) return Run(k, kLowerBits);
    return after_lower;
  }
  // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]* from `i`; 0: no match.
  size_t UpperWord(size_t i) const {
    const size_t k = Run(i, kUpperBits);
    return k == i ? 0 : Run(k, kLowerBits);
  }
  size_t ByCase(int max_digits, bool contractions) const {
    const Char first = At(0);
    // The character before a word: none of \r \n \p{L} \p{N}. Greedy, so it is tried first.
    const bool prefix = !(first.bit & (kLetterBits | Bit(kNumber) | Bit(kBreak)));
    size_t end = 0;
    if (prefix || (first.bit & kLetterBits)) {
      if (prefix) end = LowerWord(first.size);
      if (end == 0) end = LowerWord(0);
      if (end == 0 && prefix) end = UpperWord(first.size);
      if (end == 0) end = UpperWord(0);
    }
    if (end > 0) return contractions ? end + Contraction(end, true) : end;
    if (first.bit == Bit(kNumber)) return Digits(0, max_digits);
    const bool blank = text_[0] == ' ' && !End(1) && (At(1).bit & kSymbolBits);
    if (blank || (first.bit & kSymbolBits)) {
      size_t i = Run(blank ? 1 : 0, kSymbolBits);
      while (!End(i) && (text_[i] == '\r' || text_[i] == '\n' || text_[i] == '/')) ++i;
      return i;
    }
    return Breaks(0);
  }

 private:
  std::string_view text_;
  const Class* ascii_;
  const CharTable& table_;
};

constexpr PreTokenizer kScanners[] = {PreTokenizer::kGpt2, PreTokenizer::kLlama3,
                                      PreTokenizer::kQwen2, PreTokenizer::kTekken,
                                      PreTokenizer::kGpt4o};

#define WEIR_CONTRACTIONS_ANY_CASE R"((?i:'s|'t|'re|'ve|'m|'ll|'d))"
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3Pattern = WEIR_CONTRACTIONS_ANY_CASE
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2Pattern = WEIR_CONTRACTIONS_ANY_CASE
    R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)" WEIR_CONTRACTIONS_ANY_CASE
    R"(?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)" WEIR_CONTRACTIONS_ANY_CASE
    R"(?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// Another way of writing kGpt2's.
constexpr std::string_view kGpt2Short =
    R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::optional<PreTokenizer> ScannerOf(const SplitStep& step) {
  if (step.literal || step.invert || step.cut != Cut::kIsolated) return std::nullopt;
  for (const PreTokenizer pre : kScanners) {
    if (step.pattern == PatternOf(pre)) return pre;
  }
  return step.pattern == kGpt2Short ? std::optional(PreTokenizer::kGpt2) : std::nullopt;
}

}  // namespace

namespace {

template <class First>
size_t Lengths(std::string_view text, std::span<uint32_t> lengths, const First& first) {
  size_t count = 0;
  for (Scanner scanner(text); count < lengths.size() && !scanner.End(0); ++count) {
    const size_t n = first(scanner);
    // (A word of 4 GB is cut: its tokens are merged in parts.)
    lengths[count] = static_cast<uint32_t>(std::min<size_t>(n, UINT32_MAX));
    scanner.Skip(lengths[count]);
  }
  return count;
}

}  // namespace

size_t FirstWords(PreTokenizer pre, std::string_view text, std::span<uint32_t> lengths) {
  switch (pre) {
    case PreTokenizer::kGpt2:
      return Lengths(text, lengths, [](const Scanner& s) { return s.Gpt2(); });
    case PreTokenizer::kLlama3:
      return Lengths(text, lengths, [](const Scanner& s) { return s.Llama3(3); });
    case PreTokenizer::kQwen2:
      return Lengths(text, lengths, [](const Scanner& s) { return s.Llama3(1); });
    case PreTokenizer::kTekken:
      return Lengths(text, lengths, [](const Scanner& s) { return s.ByCase(1, false); });
    case PreTokenizer::kGpt4o:
      return Lengths(text, lengths, [](const Scanner& s) { return s.ByCase(3, true); });
  }
  return 0;
}

size_t FirstWord(PreTokenizer pre, std::string_view text) {
  uint32_t length = 0;
  FirstWords(pre, text, std::span(&length, 1));
  return length;
}

std::string_view PatternOf(PreTokenizer pre) {
  switch (pre) {
    case PreTokenizer::kGpt2:
      return kGpt2Pattern;
    case PreTokenizer::kLlama3:
      return kLlama3Pattern;
    case PreTokenizer::kQwen2:
      return kQwen2Pattern;
    case PreTokenizer::kTekken:
      return kTekkenPattern;
    case PreTokenizer::kGpt4o:
      return kGpt4oPattern;
  }
  return {};
}

Result<Splitter> Splitter::Create(std::vector<SplitStep> steps) {
  Splitter made;
  for (const SplitStep& step : steps) {
    made.scanners_.push_back(ScannerOf(step));
    std::shared_ptr<const SplitRegex> regex;
    if (step.literal) {
      if (step.pattern.empty()) {
        return Error(Code::kInvalidArgument, "a split at the empty string");
      }
    } else if (!made.scanners_.back()) {
      regex = TRY(SplitRegex::Create(step.pattern));
    }
    made.regexes_.push_back(std::move(regex));
  }
  if (steps.size() == 1) made.scanner_ = made.scanners_.front();
  made.steps_ = std::move(steps);
  return made;
}

Splitter Splitter::Of(PreTokenizer pre) {
  return *Create({{.pattern = std::string(PatternOf(pre))}});
}

std::vector<std::string_view> Splitter::Pieces(std::string_view text) const {
  struct Part {
    size_t begin, end;
    bool match;
  };
  std::vector<std::string_view> pieces = {text}, next;
  std::vector<Part> parts;
  for (size_t s = 0; s < steps_.size(); ++s) {
    const SplitStep& step = steps_[s];
    next.clear();
    for (std::string_view piece : pieces) {
      if (scanners_[s]) {
        while (!piece.empty()) {
          const size_t n = FirstWord(*scanners_[s], piece);
          next.push_back(piece.substr(0, n));
          piece.remove_prefix(n);
        }
        continue;
      }
      // The piece as matches and what lies between them.
      parts.clear();
      size_t at = 0;
      const auto match = [&](size_t begin, size_t end) {
        if (begin > at) parts.push_back({at, begin, step.invert});
        if (end > begin || begin > at) parts.push_back({begin, end, !step.invert});
        at = end;
      };
      if (step.literal) {
        for (size_t i = piece.find(step.pattern); i != std::string_view::npos;
             i = piece.find(step.pattern, i + step.pattern.size())) {
          match(i, i + step.pattern.size());
        }
      } else {
        for (const auto& [begin, end] : regexes_[s]->FindAll(piece)) match(begin, end);
      }
      if (at < piece.size()) parts.push_back({at, piece.size(), step.invert});
      const auto add = [&](size_t begin, size_t end) {
        if (end > begin) next.push_back(piece.substr(begin, end - begin));
      };
      switch (step.cut) {
        case Cut::kIsolated:
          for (const Part& p : parts) add(p.begin, p.end);
          break;
        case Cut::kRemoved:
          for (const Part& p : parts) {
            if (!p.match) add(p.begin, p.end);
          }
          break;
        case Cut::kContiguous:  // neighbours of one kind are one piece
          for (size_t i = 0; i < parts.size();) {
            size_t k = i + 1;
            while (k < parts.size() && parts[k].match == parts[i].match) ++k;
            add(parts[i].begin, parts[k - 1].end);
            i = k;
          }
          break;
        case Cut::kMergedWithPrevious: {
          size_t begin = 0;  // a piece ends behind each match
          for (const Part& p : parts) {
            if (!p.match) continue;
            add(begin, p.end);
            begin = p.end;
          }
          add(begin, piece.size());
          break;
        }
        case Cut::kMergedWithNext: {
          size_t begin = 0;  // a piece begins at each match
          for (const Part& p : parts) {
            if (!p.match) continue;
            add(begin, p.begin);
            begin = p.begin;
          }
          add(begin, piece.size());
          break;
        }
      }
    }
    pieces.swap(next);
  }
  return pieces;
}

namespace {

// The names of GGUF files. The steps are those of the models' own tokenizer.json.
enum class Steps : uint8_t {
  kGpt2,
  kLlama3,
  kQwen2,
  kQwen35,
  kTekken,
  kGpt4o,
  kDigitsGpt2,
  kFalcon,
  kDeepSeekLlm,
  kDeepSeekCoder,
  kDeepSeek3,
  kBloom,
  kViking,
  kSuperBpe,
  kBailing,
  kSeedCoder,
  kChameleon,
  kKimiK2,
  kDefault
};
struct GgufRow {
  std::string_view name;
  Steps steps;
  bool whole_words = false, add_bos = false;
};
// The first row of the same steps names them when a file is written.
constexpr GgufRow kGgufRows[] = {
    {"gpt-2", Steps::kGpt2},
    {"mpt", Steps::kGpt2},
    {"olmo", Steps::kGpt2},
    {"phi-2", Steps::kGpt2},
    {"jais", Steps::kGpt2},
    {"jina-es", Steps::kGpt2},
    {"jina-de", Steps::kGpt2},
    {"jina-v1-en", Steps::kGpt2},
    {"jina-v2-es", Steps::kGpt2},
    {"jina-v2-de", Steps::kGpt2},
    {"jina-v2-code", Steps::kGpt2},
    {"roberta-bpe", Steps::kGpt2},
    {"gigachat", Steps::kGpt2},
    {"exaone4", Steps::kGpt2},
    {"mellum", Steps::kGpt2},
    {"a.x-4.0", Steps::kGpt2},
    {"modern-bert", Steps::kGpt2},
    {"llama-bpe", Steps::kLlama3, true, true},
    {"llama3", Steps::kLlama3, true, true},
    {"llama-v3", Steps::kLlama3, true, true},
    {"falcon3", Steps::kLlama3, true, true},
    {"falcon-h1", Steps::kLlama3, true, true},
    {"pixtral", Steps::kLlama3, true, true},
    {"midm-2.0", Steps::kLlama3, true, true},
    {"lfm2", Steps::kLlama3, true, true},
    {"dbrx", Steps::kLlama3},
    {"smaug-bpe", Steps::kLlama3},
    {"glm4", Steps::kLlama3},
    {"chatglm-bpe", Steps::kLlama3},
    {"qwen2", Steps::kQwen2},
    {"stablelm2", Steps::kQwen2},
    {"deepseek-r1-qwen", Steps::kQwen2},
    {"megrez", Steps::kQwen2},
    {"kormo", Steps::kQwen2},
    {"hunyuan", Steps::kQwen2},
    {"grok-2", Steps::kQwen2},
    {"qwen35", Steps::kQwen35},
    {"tekken", Steps::kTekken, true, true},
    {"gpt-4o", Steps::kGpt4o},
    {"llama4", Steps::kGpt4o},
    {"kanana2", Steps::kGpt4o},
    {"starcoder", Steps::kDigitsGpt2},
    {"refact", Steps::kDigitsGpt2},
    {"command-r", Steps::kDigitsGpt2},
    {"smollm", Steps::kDigitsGpt2},
    {"codeshell", Steps::kDigitsGpt2},
    {"exaone", Steps::kDigitsGpt2},
    {"minerva-7b", Steps::kDigitsGpt2},
    {"trillion", Steps::kDigitsGpt2},
    {"granite-docling", Steps::kDigitsGpt2},
    {"falcon", Steps::kFalcon},
    {"deepseek-llm", Steps::kDeepSeekLlm},
    {"deepseek-coder", Steps::kDeepSeekCoder},
    {"deepseek-v3", Steps::kDeepSeek3},
    {"hunyuan-dense", Steps::kDeepSeek3},
    {"bloom", Steps::kBloom},
    {"poro-chat", Steps::kBloom},
    {"gpt3-finnish", Steps::kBloom},
    {"viking", Steps::kViking},
    {"superbpe", Steps::kSuperBpe},
    {"bailingmoe", Steps::kBailing},
    {"bailingmoe2", Steps::kBailing},
    {"llada-moe", Steps::kBailing},
    {"seed-coder", Steps::kSeedCoder},
    {"chameleon", Steps::kChameleon},
    {"kimi-k2", Steps::kKimiK2},
    {"default", Steps::kDefault},
};

std::vector<SplitStep> StepsOf(Steps steps) {
  const auto isolated = [](std::initializer_list<std::string_view> patterns) {
    std::vector<SplitStep> list;
    for (const std::string_view p : patterns) list.push_back({.pattern = std::string(p)});
    return list;
  };
  constexpr std::string_view kHan = "[一-龥ࠀ-一가-\xED\x9F\xBF]+";
  switch (steps) {
    case Steps::kGpt2:
      return isolated({kGpt2Pattern});
    case Steps::kLlama3:
      return isolated({kLlama3Pattern});
    case Steps::kQwen2:
      return isolated({kQwen2Pattern});
    case Steps::kQwen35:
      return isolated({WEIR_CONTRACTIONS_ANY_CASE
                       R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)"
                       R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"});
    case Steps::kTekken:
      return isolated({kTekkenPattern});
    case Steps::kGpt4o:
      return isolated({kGpt4oPattern});
    case Steps::kDigitsGpt2:
      return isolated({R"(\p{N})", kGpt2Pattern});
    case Steps::kFalcon:
      return isolated({R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Pattern, "[0-9][0-9][0-9]"});
    case Steps::kDeepSeekLlm:
      // clang-format off
      return isolated(
          {"[\r\n]",
           "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-"
           "ՖႠ-"
           "ჅᎠ-"
           "Ᏽᏸ-"
           "ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ"
           "\\u1E00-\\u1F15\\u1F18-\\u1F1D\\u1F20-\\u1F45\\u1F48-\\u1F4D\\u1F50-\\u1F57\\u1F59"
           "\\u1F5B\\u1F5D\\u1F5F-\\u1F7D\\u1F80-\\u1FB4\\u1FB6-\\u1FBC\\u1FBE\\u1FC2-\\u1FC4"
           "\\u1FC6-\\u1FCC\\u1FD0-\\u1FD3\\u1FD6-\\u1FDB\\u1FE0-\\u1FEC\\u1FF2-\\u1FF4"
           "\\u1FF6-\\u1FFC\\u2102\\u2107\\u210A-\\u2113\\u2115\\u2119-\\u211D\\u2124\\u2126"
           "\\u2128\\u212A-\\u212D\\u212F-\\u2134\\u2139\\u213C-\\u213F\\u2145-\\u2149\\u214E"
           "\\u2183\\u2184Ⰰ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-"
           "Ｚａ-"
           "ｚ𐐀-"
           "𐑏𐒰-"
           "𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
           "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", kHan, R"(\p{N}+)"});
      // clang-format on
    case Steps::kDeepSeekCoder:
      return isolated({"[\r\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kHan, R"(\p{N})"});
    case Steps::kDeepSeek3:
      return isolated(
          {R"(\p{N}{1,3})", "[一-龥\\u3040-ゟ゠-ヿ]+",
           R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
           R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"});
    case Steps::kBloom:
      return isolated({" ?[^(\\s|.,!?…。，、।۔،)]+"});
    case Steps::kViking:
      return isolated({" ?[^(\\s|.,!?…。，、।۔،)]+", R"(\p{N})"});
    case Steps::kSuperBpe:
      return isolated({R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"});
    case Steps::kBailing:
      return isolated({R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N})"
                       R"(| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)"});
    case Steps::kSeedCoder:
      return isolated({WEIR_CONTRACTIONS_ANY_CASE
                       R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+)"
                       R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"});
    case Steps::kChameleon:
      return isolated(
          {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\t\n]|    |  )",
           R"(\p{N})", R"([\p{P}!-/:-@\[-`{-~])",
           R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))"});
    case Steps::kKimiK2:
#define WEIR_NOT_HAN_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]])"
#define WEIR_NOT_HAN_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]])"
      return isolated({R"(\p{Han}+|[^\r\n\p{L}\p{N}]?)" WEIR_NOT_HAN_UPPER "*" WEIR_NOT_HAN_LOWER
                       R"(+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?)" WEIR_NOT_HAN_UPPER
                       "+" WEIR_NOT_HAN_LOWER R"(*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3})"
                       R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"});
    case Steps::kDefault:  // files from before the name existed
      return isolated({R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Pattern, R"(\p{N}+)", "[0-9][0-9][0-9]"});
  }
  return {};
}

}  // namespace

Result<GgufPreTokenizer> PreTokenizerOfGguf(std::string_view name) {
  for (const GgufRow& row : kGgufRows) {
    if (row.name == name) return GgufPreTokenizer{StepsOf(row.steps), row.whole_words, row.add_bos};
  }
  std::string known;
  for (const GgufRow& row : kGgufRows) {
    if (!known.empty()) known += ", ";
    known += row.name;
  }
  return Error(Code::kUnimplemented,
               fmt::format("tokenizer.ggml.pre is \"{}\", which says how this model's tokenizer "
                           "cuts text, and which Weir does not know",
                           name.substr(0, 40)))
      .Hint("the Hugging Face folder's tokenizer.json says it in full; known names are " + known);
}

std::optional<std::string_view> GgufNameOf(const std::vector<SplitStep>& steps, bool whole_words) {
  std::optional<std::string_view> found;
  for (const GgufRow& row : kGgufRows) {
    if (StepsOf(row.steps) != steps) continue;
    if (row.whole_words == whole_words) return row.name;
    if (!found) found = row.name;
  }
  return found;
}

}  // namespace weir::model
