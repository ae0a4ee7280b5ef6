// What a Tokenizer holds, and how its constructors make it. Only for tokenizer*.cc.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/merge.h"
#include "engine/model/token_map.h"
#include "engine/model/tokenizer.h"

namespace weir::model {

inline constexpr int64_t kMaxVocabulary = 1 << 21;
inline constexpr std::string_view kWordMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

enum class TokenKind : uint8_t { kNormal, kUnknown, kControl, kUserDefined, kByte, kUnused };

struct Tokenizer::Impl {
  bool sentence_piece = false;
  std::vector<std::string> bytes;  // what a token stands for
  std::vector<TokenKind> kinds;
  std::vector<TokenId> stops;
  std::optional<TokenId> bos, eos, unknown;
  bool add_bos = false;

  // Added tokens, found in text before anything else: by first byte, longest first.
  std::array<std::vector<TokenId>, 256> added;
  bool any_added = false;

  TokenMap map;  // byte-level BPE: of bytes; SentencePiece: of pieces
  // Byte-level BPE.
  PreTokenizer pre = PreTokenizer::kGpt2;
  bool whole_words = false;
  std::vector<std::pair<TokenId, TokenId>> merge_pairs;  // by rank
  std::vector<TokenId> merge_joined;
  MergeTable merges;
  // SentencePiece.
  std::vector<std::string> pieces;  // as in the file, with U+2581
  std::vector<float> scores;
  size_t longest_piece = 0;
  bool add_space_prefix = false;
  // No piece has a word mark after another character, so no join crosses the start of a word and
  // words can be merged one by one.
  bool words_are_separate = false;

  std::array<TokenId, 256> of_byte{};  // -1: none

  // Sizes and ids checked, tables built. The vectors above are filled.
  Status Prepare();

  void EncodeFragment(std::string_view text, bool at_start, std::vector<TokenId>& out) const;
  void MergeWord(std::string_view word, std::vector<TokenId>& scratch,
                 std::vector<std::string_view>& views, std::vector<TokenId>& out) const;
};

}  // namespace weir::model
