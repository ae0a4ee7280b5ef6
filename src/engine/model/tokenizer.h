// Text to token ids and back.
//
// Kinds:
//   byte-level BPE (GPT-2, MPT, Llama 3, Qwen, Mistral-Nemo, Phi-4, and what BpeTrainer makes): a
//     pre-tokenizer cuts the text into words, each word starts as its bytes, and the pair with the
//     lowest merge rank is joined until none is left. Decode(Encode(x)) == x for any bytes (a
//     vocabulary without some byte that UTF-8 never has encodes that one as U+FFFD; a normalizer
//     in tokenizer.json, such as Qwen's NFC, may change text first).
//   BPE over characters with byte fallback (Llama 2, Mistral, Gemma, Phi-3; from tokenizer.json):
//     spaces become U+2581, a word starts as its UTF-8 characters, what is no token becomes bytes.
//   SentencePiece BPE (the same models from GGUF): the joined piece with the best score wins.
//   SentencePiece unigram: the division of the text whose scores add up to the most.
//   WordPiece (BERT): the longest piece first.
//
// Encoding is linear in the text for words of ordinary length and n log n for one endless word.
// Threads: immutable after construction; every method may be called from any thread.
// Errors: constructors name the field that is wrong; Encode cannot fail; Decode skips ids that do
// not exist.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace weir::model {

class GgufFile;
class GgufWriter;
struct HfReader;
struct GgufReader;

// How text is cut into words before merging. The patterns stand in pretokenizer.h.
enum class PreTokenizer : uint8_t { kGpt2, kLlama3, kQwen2, kTekken, kGpt4o };

enum class ParseSpecial : bool { kNo, kYes };

class Tokenizer {
 public:
  using TokenId = int32_t;

  // What a byte-level BPE is made of. tokens[id] are raw bytes (not the printable alphabet of
  // tokenizer.json). merges are in rank order; both sides and the join must be tokens.
  struct ByteBpe {
    std::vector<std::string> tokens;
    std::vector<std::pair<TokenId, TokenId>> merges;
    std::vector<TokenId> special;  // control tokens: found in text only with ParseSpecial::kYes
    std::vector<TokenId> user_defined;  // found in any text, before the pre-tokenizer
    PreTokenizer pre = PreTokenizer::kGpt2;
    std::optional<TokenId> bos, eos;
    bool add_bos = false;
    bool whole_words = false;  // a word that is a token is taken without merging ("ignore_merges")
  };
  static Result<Tokenizer> FromByteBpe(ByteBpe parts);
  static Result<Tokenizer> FromHfJson(std::string_view tokenizer_json);
  static Result<Tokenizer> FromGguf(const GgufFile& file);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // tokenizer.json that other tools read. Only for byte-level BPE; kUnimplemented for others.
  Result<std::string> ToHfJson() const;
  // tokenizer.ggml.*; padded with unused tokens to `vocab_size`, which other readers expect to be
  // the height of the embedding table. A pre-tokenizer that GGUF has no name for goes along as
  // tokenizer.huggingface.json.
  void ToGguf(GgufWriter& writer, int vocab_size = 0) const;
  // What config.json says and tokenizer.json does not. Ids that are no tokens are ignored.
  void AdoptIds(std::optional<TokenId> bos, std::optional<TokenId> eos);
  // Generation stops at these too (generation_config.json may name several).
  void StopAlsoAt(std::span<const TokenId> ids);

  int vocab_size() const;
  // Without beginning- or end-of-text tokens: see bos() and add_bos().
  std::vector<TokenId> Encode(std::string_view text,
                              ParseSpecial special = ParseSpecial::kNo) const;
  // The bytes of these tokens; not necessarily valid UTF-8. Special tokens are written out as their
  // text only with ParseSpecial::kYes.
  std::string Decode(std::span<const TokenId> ids, ParseSpecial special = ParseSpecial::kNo) const;
  // Raw bytes of one token (a SentencePiece word mark is a space); empty for an id out of range.
  std::string_view BytesOf(TokenId id) const;
  bool IsSpecial(TokenId id) const;
  std::optional<TokenId> Find(std::string_view bytes) const;

  std::optional<TokenId> bos() const;
  std::optional<TokenId> eos() const;
  bool add_bos() const;             // this model expects bos() before a prompt
  bool add_eos() const;             // and eos() after it (encoders)
  bool strips_first_space() const;  // SentencePiece: text begins with an added space
  // eos and the end-of-turn tokens by their usual names: generation stops at any of these.
  const std::vector<TokenId>& stop_tokens() const;

 private:
  struct Impl;
  friend struct HfReader;
  friend struct GgufReader;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Tokens in, valid UTF-8 out, as early as possible and never half a character: bytes that may
// still become a character are held back, bytes that cannot are U+FFFD (one for each maximal
// prefix, as the Unicode standard and browsers do). The concatenation of all results equals the
// whole decoded text, repaired.
class StreamDecoder {
 public:
  // The tokenizer outlives the decoder. With `at_start`, a SentencePiece text loses its added
  // space.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool at_start = false);
  // Special tokens are left out, but for this one, which is written out as its text.
  void Show(Tokenizer::TokenId special) { shown_.push_back(special); }
  std::string Push(Tokenizer::TokenId id);
  std::string Finish();  // what was held back

 private:
  const Tokenizer* tokenizer_;
  std::string held_;
  std::vector<Tokenizer::TokenId> shown_;
  bool strip_space_;
};

// Moves the longest prefix of `bytes` that needs no further byte to valid UTF-8 (see above) and
// returns it; with `final`, everything.
std::string TakeUtf8(std::string& bytes, bool final);

}  // namespace weir::model
