// What a Tokenizer holds, and how its constructors make it. Only for tokenizer*.cc.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/model/merge.h"
#include "engine/model/pretokenizer.h"
#include "engine/model/token_map.h"
#include "engine/model/tokenizer.h"
#include "engine/model/tokenizer_added.h"
#include "engine/model/tokenizer_normalizer.h"

namespace weir::model {

inline constexpr int64_t kMaxVocabulary = 1 << 21;
inline constexpr std::string_view kWordMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

enum class TokenKind : uint8_t { kNormal, kUnknown, kControl, kUserDefined, kByte, kUnused };

// How words become tokens; see tokenizer.h.
enum class TokenizerKind : uint8_t { kByteBpe, kCharBpe, kSentencePiece, kUnigram, kWordPiece };

// Where a text gets a word mark in front.
enum class MarkPrefix : uint8_t {
  kNever,
  kFirst,       // at the beginning of the whole text
  kAfterAdded,  // there, and behind each added token
};

struct Tokenizer::Impl {
  TokenizerKind kind = TokenizerKind::kByteBpe;
  std::vector<std::string> bytes;   // what a token stands for
  std::vector<std::string> pieces;  // as in the file, with U+2581; empty for kByteBpe
  std::vector<TokenKind> kinds;
  std::vector<TokenId> stops;
  std::optional<TokenId> bos, eos, unknown;
  bool add_bos = false, add_eos = false;

  // Before tokens are looked for.
  std::vector<AddedToken> added;  // by id; Prepare() adds the control and user-defined ones
  AddedTokens raw_added, normalized_added;
  Normalizer normalizer;
  Splitter splitter;
  bool space_prefix = false;  // kByteBpe: a fragment that begins without a space gets one
  bool spaces_are_marks = false;
  MarkPrefix mark_prefix = MarkPrefix::kNever;
  bool mark_prefix_once = false;  // not where the text begins with a mark anyway
  bool cut_marks = false;         // each mark begins a word
  bool strip_first_space = false;

  TokenMap map;  // kByteBpe: of bytes; others: of pieces. Without what only added tokens may be.
  // By merge rank.
  std::vector<std::pair<TokenId, TokenId>> merge_pairs;
  std::vector<TokenId> merge_joined;
  MergeTable merges;
  bool whole_words = false;
  bool fuse_unknown = false;
  // By score.
  std::vector<float> scores;
  size_t longest_piece = 0;
  float unknown_score = 0;  // kUnigram
  // kWordPiece.
  std::string continuation;        // "##", or empty where pieces that begin a word have a mark
  size_t longest_word = SIZE_MAX;  // characters; longer ones are unknown

  // No piece has a word mark behind another character, so no join crosses the start of a word and
  // words can be merged one by one.
  bool words_are_separate = false;

  std::array<TokenId, 256> of_byte{};   // -1: none
  std::array<TokenId, 128> of_ascii{};  // of pieces of one ASCII character; -1: none

  // Whether a word that is a token is what merging makes of it: 0 not tried, 1 yes, 2 no.
  mutable std::unique_ptr<std::atomic<uint8_t>[]> merges_to_itself;

  // Sizes and ids checked, tables built. The vectors above are filled.
  Status Prepare();

  struct Scratch {
    std::vector<TokenId> ids;
    std::vector<std::string_view> views;
    std::vector<float> best;
    std::vector<std::pair<uint32_t, TokenId>> back;
  };
  void EncodeFragment(std::string_view text, bool at_start, bool after_added,
                      std::vector<TokenId>& out) const;
  void EncodeWords(std::string_view text, std::vector<TokenId>& out) const;
  void MergeWord(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const;
  // tokenizer_words.cc
  void PushUnknown(std::string_view piece, std::vector<TokenId>& out) const;
  void Unigram(std::string_view word, Scratch& scratch, std::vector<TokenId>& out) const;
  void WordPiece(std::string_view word, std::vector<TokenId>& out) const;
};

// "<0x0A>", as SentencePiece names its byte tokens.
std::optional<char> ByteOfName(std::string_view name);
// U+2581 as spaces.
std::string WithSpaces(std::string_view piece);

}  // namespace weir::model
