// The syntax of regular expressions, as a tree: what the pre-tokenizers' patterns (pretokenizer.h)
// and grammars (engine/grammar) share. Matching is theirs.
//
//   a \n \xHH \uHHHH \x{H..} \cX    characters          . [...] [^...] [a-z&&[^aeiou]]   sets
//   \d \D \s \S \w \W \h \p{..} \P{..} \p{^..}  sets     (..) (?:..) (?i:..) (?<name>..)  groups
//   ? * + {n} {n,} {n,m}, lazy with ?, possessive with + (Oniguruma only)
//   | ^ $ \A \z \Z \b \B (?=..) (?!..)
// Not offered, refused: back references, look-behind, conditions.
// Errors: kInvalidArgument or kUnimplemented with the position in the pattern.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model/utf8_set.h"

namespace weir::model {

enum class RegexDialect : uint8_t {
  kOniguruma,  // of tokenizer.json: \d \w \s are Unicode's, ^ and $ are of lines
  kEcma,       // of JSON Schema: \d \w are ASCII, ^ and $ are of the text
};

struct RegexNode {
  enum class Kind : uint8_t {
    kEmpty,
    kSet,
    kSequence,
    kAlternatives,
    kRepeat,
    kLookAhead,
    kBegin,
    kEnd,
    kWordEdge
  };
  Kind kind = Kind::kEmpty;
  CodeSet set;
  std::vector<RegexNode> children;
  int min = 0, max = -1;  // kRepeat; -1: no end
  bool lazy = false, possessive = false;
  bool negative = false;  // kLookAhead, kWordEdge
  bool of_line = false;   // kBegin, kEnd
};

inline constexpr size_t kMaxRegexBytes = 1 << 16;
inline constexpr int kMaxRegexDepth = 100;
inline constexpr int kMaxRegexRepeat = 10000;

Result<RegexNode> ParseRegex(std::string_view pattern, RegexDialect dialect);

}  // namespace weir::model
