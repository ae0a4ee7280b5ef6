// Cuts text into the words that a byte-level BPE merges within.
//
// A model's pre-tokenizer is a list of steps, as tokenizer.json has it: each step cuts every piece
// that the one before left, at what its pattern matches. The patterns of the large families have a
// scanner each, written by hand (FirstWord); any other runs on a backtracking matcher
// (pretokenizer_regex.h). Both take any bytes: one that is not UTF-8 counts as a symbol. Unless a
// step removes what it matches, every byte of the text is in exactly one word, in order.
//
//   kGpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//   kLlama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
//            | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//   kQwen2   as kLlama3 with \p{N} for \p{N}{1,3}
//   kTekken  words change at a change from lower to upper case; single digits; no contractions
//   kGpt4o   as kTekken, with contractions behind words and up to three digits
// The scanners take time linear in the text; a pattern of the matcher is cut off after
// kMaxPatternSteps at one place, which then matches nothing.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/model/tokenizer.h"

namespace weir::model {

// The length of the first word of `text`, which is not empty.
size_t FirstWord(PreTokenizer pre, std::string_view text);
// The lengths of the first words of `text`, as many as there are or `lengths` holds; how many.
size_t FirstWords(PreTokenizer pre, std::string_view text, std::span<uint32_t> lengths);
// The pattern as tokenizer.json writes it.
std::string_view PatternOf(PreTokenizer pre);

// What becomes of what a step's pattern matches. Names as in tokenizer.json.
enum class Cut : uint8_t { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  std::string pattern;
  Cut cut = Cut::kIsolated;
  bool invert = false;   // what the pattern does not match
  bool literal = false;  // the pattern is a string, not an expression
  bool operator==(const SplitStep&) const = default;
};

class SplitRegex;

class Splitter {
 public:
  // No steps: the whole text is one word.
  static Result<Splitter> Create(std::vector<SplitStep> steps);
  static Splitter Of(PreTokenizer pre);
  const std::vector<SplitStep>& steps() const { return steps_; }

  template <class Word>
  void ForEach(std::string_view text, const Word& word) const {
    if (scanner_) {
      uint32_t lengths[128];
      while (!text.empty()) {
        const size_t count = FirstWords(*scanner_, text, lengths);
        for (size_t i = 0; i < count; ++i) {
          word(text.substr(0, lengths[i]));
          text.remove_prefix(lengths[i]);
        }
      }
      return;
    }
    for (const std::string_view piece : Pieces(text)) word(piece);
  }

 private:
  std::vector<std::string_view> Pieces(std::string_view text) const;

  std::vector<SplitStep> steps_;
  std::vector<std::optional<PreTokenizer>> scanners_;  // of each step
  std::vector<std::shared_ptr<const SplitRegex>> regexes_;
  std::optional<PreTokenizer> scanner_;  // of the only step
};

// What `tokenizer.ggml.pre` names.
struct GgufPreTokenizer {
  std::vector<SplitStep> steps;
  bool whole_words = false;  // "ignore_merges"
  bool add_bos = false;      // where the file does not say
};
// kUnimplemented, naming those that are known, for another name.
Result<GgufPreTokenizer> PreTokenizerOfGguf(std::string_view name);
// The name of these steps; nullopt: they have none.
std::optional<std::string_view> GgufNameOf(const std::vector<SplitStep>& steps, bool whole_words);

}  // namespace weir::model
