#include "engine/model/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/model/tokenizer_impl.h"
#include "engine/model/utf8.h"

namespace weir::model {
namespace {

// Tokens that end a turn or a text, by the names that model families gave them.
constexpr std::string_view kStopNames[] = {"<|endoftext|>",
                                           "<|end_of_text|>",
                                           "<|eot_id|>",
                                           "<|eom_id|>",
                                           "<|im_end|>",
                                           "<|end|>",
                                           "<end_of_turn>",
                                           "</s>",
                                           "<|eot|>",
                                           "<|return|>",
                                           "<|call|>",
                                           "<eos>",
                                           "<|END_OF_TURN_TOKEN|>"};

// The words of this text that were met before, and their tokens, so that they are not merged again.
// Direct-mapped; it belongs to one call, so that nothing is shared and nothing outlives it. A word
// of up to 16 bytes is its own key; longer ones are not kept.
class WordCache {
 public:
  static constexpr size_t kMaxBytes = 16;
  struct Entry {
    uint64_t low = 0, high = 0;    // the word, zeros behind it
    uint32_t size = 0;             // bytes; 0: empty
    uint32_t count = 0;            // tokens
    uint32_t first = 0;            // of more than one token: where they stand in the output
    Tokenizer::TokenId token = 0;  // of one
  };
  explicit WordCache(size_t text_bytes) {
    if (text_bytes < kWorthIt) return;
    // About one entry for each word of a short text: clearing the table is a cost too.
    bits_ = std::min(kMostBits, static_cast<int>(std::bit_width(text_bytes / 8)));
    entries_.resize(size_t{1} << bits_);
  }
  bool on() const { return !entries_.empty(); }

  // The entry for a word, which may hold another. `end`: of the text that the word is in.
  Entry& At(std::string_view word, const char* end, Entry& key) {
    if (word.data() + kMaxBytes <= end) {
      std::memcpy(&key.low, word.data(), 8);
      std::memcpy(&key.high, word.data() + 8, 8);
      const size_t n = word.size();
      key.low &= n >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * n)) - 1;
      key.high &= n >= 16 ? ~uint64_t{0} : n <= 8 ? 0 : (uint64_t{1} << (8 * (n - 8))) - 1;
    } else {
      char bytes[kMaxBytes] = {};
      std::memcpy(bytes, word.data(), word.size());
      std::memcpy(&key.low, bytes, 8);
      std::memcpy(&key.high, bytes + 8, 8);
    }
    key.size = static_cast<uint32_t>(word.size());
    uint64_t hash = (key.low ^ (key.high * 0xC2B2AE3D27D4EB4Fu)) * 0x9E3779B97F4A7C15u;
    hash = (hash ^ (hash >> 32)) * 0x9E3779B97F4A7C15u;
    return entries_[hash >> (64 - bits_)];
  }

 private:
  static constexpr size_t kWorthIt = 256;  // bytes of text below which the table costs more
  static constexpr int kMostBits = 15;     // 1 MB
  int bits_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Status Tokenizer::Impl::Prepare() {
  const auto bad = [](std::string what) -> Error {
    return Error(Code::kInvalidArgument, "tokenizer: " + std::move(what));
  };
  const size_t n = bytes.size();
  if (n == 0 || n > kMaxVocabulary) {
    return bad(fmt::format("{} tokens; 1 to {} are taken", n, kMaxVocabulary));
  }
  for (const auto& [name, id] :
       {std::pair("bos", bos), std::pair("eos", eos), std::pair("unk", unknown)}) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= n)) {
      return bad(fmt::format("{} is {}, of {} tokens", name, *id, n));
    }
  }
  of_byte.fill(-1);
  of_ascii.fill(-1);
  // Control tokens, and in SentencePiece bytes by their names, are never made of text.
  std::vector<uint8_t> skip(n);
  for (size_t id = 0; id < n; ++id) {
    const TokenKind k = kinds[id];
    const bool literal = k == TokenKind::kControl || k == TokenKind::kUnknown;
    skip[id] = literal || (kind == TokenizerKind::kByteBpe && k == TokenKind::kUserDefined) ||
               (kind != TokenizerKind::kByteBpe && k == TokenKind::kByte);
  }
  if (kind == TokenizerKind::kByteBpe) {
    map.Build(bytes, skip);
    for (int b = 0; b < 256; ++b) {
      const char c = static_cast<char>(b);
      TokenId& id = of_byte[static_cast<size_t>(b)];
      id = map.Find(std::string_view(&c, 1));
      // Some vocabularies leave out the bytes that UTF-8 never has.
      const bool in_utf8 = b < 0xC0 || (b >= 0xC2 && b <= 0xF4);
      if (id < 0 && in_utf8) return bad(fmt::format("no token for the byte 0x{:02X}", b));
    }
  } else {
    map.Build(pieces, skip);
    unknown_score = 0;
    for (size_t id = 0; id < n; ++id) {
      if (kinds[id] == TokenKind::kByte) {
        of_byte[static_cast<uint8_t>(bytes[id][0])] = static_cast<TokenId>(id);
      }
      if (skip[id]) continue;
      longest_piece = std::max(longest_piece, pieces[id].size());
      if (kind == TokenizerKind::kUnigram) unknown_score = std::min(unknown_score, scores[id]);
    }
    unknown_score -= 10;  // below every piece, as SentencePiece has it
    for (size_t c = 0; c < of_ascii.size(); ++c) {
      const char byte = static_cast<char>(c);
      of_ascii[c] = map.Find(std::string_view(&byte, 1));
    }
    words_are_separate = true;
    for (size_t id = 0; id < n && words_are_separate; ++id) {
      if (skip[id]) continue;
      const std::string& piece = pieces[id];
      size_t i = 0;  // after the leading marks, is there another?
      while (piece.compare(i, kWordMark.size(), kWordMark) == 0) i += kWordMark.size();
      words_are_separate = piece.find(kWordMark, i) == std::string::npos;
    }
    if (kind == TokenizerKind::kUnigram) words_are_separate = cut_marks;  // sums cross words
  }
  if (!merge_pairs.empty()) merges.Build(merge_pairs, merge_joined);
  if (kind == TokenizerKind::kByteBpe) {
    merges_to_itself = std::make_unique<std::atomic<uint8_t>[]>(n);
  }

  std::vector<uint8_t> listed(n);
  for (const AddedToken& token : added) {
    if (token.id < 0 || static_cast<size_t>(token.id) >= n) {
      return bad(fmt::format("added token {} of {} tokens", token.id, n));
    }
    listed[static_cast<size_t>(token.id)] = 1;
  }
  for (size_t id = 0; id < n; ++id) {
    const bool special = kinds[id] == TokenKind::kControl || kinds[id] == TokenKind::kUnknown;
    if (!special && kinds[id] != TokenKind::kUserDefined) continue;
    if (!listed[id]) {
      added.push_back({.id = static_cast<TokenId>(id),
                       .content = pieces.empty() ? bytes[id] : pieces[id],
                       .special = special});
    }
    const bool known =
        std::find(std::begin(kStopNames), std::end(kStopNames), bytes[id]) != std::end(kStopNames);
    if (special && known && eos != static_cast<TokenId>(id)) {
      stops.push_back(static_cast<TokenId>(id));
    }
  }
  std::stable_sort(added.begin(), added.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  for (const AddedToken& token : added) {
    if (token.normalized && !normalizer.empty()) {
      normalized_added.Add(normalizer.Apply(token.content), token.id, token);
    } else {
      raw_added.Add(token.content, token.id, token);
    }
  }
  if (eos) stops.insert(stops.begin(), *eos);
  return {};
}

void Tokenizer::Impl::MergeWord(std::string_view word, Scratch& scratch,
                                std::vector<TokenId>& out) const {
  switch (kind) {
    case TokenizerKind::kByteBpe:
      scratch.ids.clear();
      for (const char c : word) {
        const TokenId id = of_byte[static_cast<uint8_t>(c)];
        if (id >= 0) {
          scratch.ids.push_back(id);
        } else {
          for (const uint8_t b : {0xEF, 0xBF, 0xBD}) scratch.ids.push_back(of_byte[b]);  // U+FFFD
        }
      }
      merges.Apply(scratch.ids);
      out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
      return;
    case TokenizerKind::kCharBpe:
      scratch.ids.clear();
      for (size_t i = 0; i < word.size();) {
        const size_t size = Utf8Length(word.substr(i));
        const auto byte = static_cast<uint8_t>(word[i]);
        const TokenId id = byte < 128 ? of_ascii[byte] : map.Find(word.substr(i, size));
        if (id >= 0) {
          scratch.ids.push_back(id);
        } else {
          PushUnknown(word.substr(i, size), scratch.ids);
        }
        i += size;
      }
      merges.Apply(scratch.ids);
      out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
      return;
    case TokenizerKind::kSentencePiece:
      scratch.views.clear();
      SpmMerge(word, map, scores, longest_piece, scratch.views);
      for (const std::string_view piece : scratch.views) {
        if (const TokenId id = map.Find(piece); id >= 0) {
          out.push_back(id);
        } else {
          PushUnknown(piece, out);
        }
      }
      return;
    case TokenizerKind::kUnigram:
      return Unigram(word, scratch, out);
    case TokenizerKind::kWordPiece:
      return WordPiece(word, out);
  }
}

void Tokenizer::Impl::EncodeWords(std::string_view text, std::vector<TokenId>& out) const {
  WordCache cache(text.size());
  Scratch scratch;
  const char* const end = text.data() + text.size();
  const auto make = [&](std::string_view word) {
    const TokenId id = kind == TokenizerKind::kByteBpe || whole_words ? map.Find(word) : -1;
    if (id < 0) return MergeWord(word, scratch, out);
    if (whole_words) return out.push_back(id);
    std::atomic<uint8_t>& known = merges_to_itself[static_cast<size_t>(id)];
    const uint8_t itself = known.load(std::memory_order_relaxed);
    if (itself == 1) return out.push_back(id);
    const size_t first = out.size();
    MergeWord(word, scratch, out);
    if (itself == 0) {
      const bool same = out.size() == first + 1 && out[first] == id;
      known.store(same ? 1 : 2, std::memory_order_relaxed);
    }
  };
  const auto word_to_tokens = [&](std::string_view word) {
    if (!cache.on() || word.size() > WordCache::kMaxBytes) return make(word);
    WordCache::Entry key;
    WordCache::Entry& entry = cache.At(word, end, key);
    if (entry.low == key.low && entry.high == key.high && entry.size == key.size) {
      if (entry.count == 1) return out.push_back(entry.token);
      const size_t first = entry.first, count = entry.count;
      for (size_t i = 0; i < count; ++i) out.push_back(out[first + i]);
      return;
    }
    const size_t first = out.size();
    make(word);
    if (out.size() > UINT32_MAX) return;
    entry = key;
    entry.first = static_cast<uint32_t>(first);
    entry.count = static_cast<uint32_t>(out.size() - first);
    entry.token = entry.count > 0 ? out[first] : 0;
  };
  const auto by_marks = [&](std::string_view rest) {
    while (!rest.empty()) {
      size_t i = rest.starts_with(kWordMark) ? kWordMark.size() : 0;
      if (!cut_marks) {  // the leading marks belong to the word
        while (rest.compare(i, kWordMark.size(), kWordMark) == 0) i += kWordMark.size();
      }
      const size_t size = std::min(rest.find(kWordMark, i), rest.size());
      word_to_tokens(rest.substr(0, size));
      rest.remove_prefix(size);
    }
  };
  const bool marks = kind != TokenizerKind::kByteBpe && kind != TokenizerKind::kWordPiece &&
                     (cut_marks || words_are_separate);
  if (splitter.steps().empty()) {
    if (!text.empty()) marks ? by_marks(text) : word_to_tokens(text);
  } else {
    splitter.ForEach(text,
                     [&](std::string_view word) { marks ? by_marks(word) : word_to_tokens(word); });
  }
}

void Tokenizer::Impl::EncodeFragment(std::string_view text, bool at_start, bool after_added,
                                     std::vector<TokenId>& out) const {
  if (text.empty()) return;
  std::string made;
  if (space_prefix && !text.starts_with(' ')) {
    made = " ";
    made += text;
    text = made;
  }
  if (spaces_are_marks) {
    std::string marked;
    marked.reserve(text.size() + text.size() / 2 + kWordMark.size());
    const bool prefix = (mark_prefix == MarkPrefix::kFirst && at_start) ||
                        (mark_prefix == MarkPrefix::kAfterAdded && (at_start || after_added));
    if (prefix && !(mark_prefix_once && (text[0] == ' ' || text.starts_with(kWordMark)))) {
      marked += kWordMark;
    }
    for (const char c : text) c == ' ' ? marked += kWordMark : marked += c;
    made = std::move(marked);
    text = made;
  }
  EncodeWords(text, out);
}

std::vector<Tokenizer::TokenId> Tokenizer::Encode(std::string_view text,
                                                  ParseSpecial special) const {
  const Impl& t = *impl_;
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 1);
  bool after_added = false;
  const auto on_token = [&](TokenId id) {
    out.push_back(id);
    after_added = true;
  };
  t.raw_added.Cut(
      text, special,
      [&](std::string_view piece, size_t offset) {
        std::string made;
        if (!t.normalizer.empty()) {
          made = t.normalizer.Apply(piece);
          piece = made;
        }
        t.normalized_added.Cut(
            piece, special,
            [&](std::string_view inner, size_t inner_offset) {
              t.EncodeFragment(inner, offset + inner_offset == 0, after_added, out);
              after_added = false;
            },
            on_token);
      },
      on_token);
  return out;
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, ParseSpecial special) const {
  std::string out;
  for (const TokenId id : ids) {
    if (special == ParseSpecial::kNo && IsSpecial(id)) continue;
    out += BytesOf(id);
  }
  if (impl_->strip_first_space && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

int Tokenizer::vocab_size() const { return static_cast<int>(impl_->bytes.size()); }

std::string_view Tokenizer::BytesOf(TokenId id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return impl_->bytes[static_cast<size_t>(id)];
}

bool Tokenizer::IsSpecial(TokenId id) const {
  return id >= 0 && id < vocab_size() &&
         (impl_->kinds[static_cast<size_t>(id)] == TokenKind::kControl ||
          impl_->kinds[static_cast<size_t>(id)] == TokenKind::kUnknown);
}

std::optional<Tokenizer::TokenId> Tokenizer::Find(std::string_view bytes) const {
  if (const TokenId id = impl_->map.Find(bytes); id >= 0) return id;
  for (const AddedToken& token : impl_->added) {
    if (token.content == bytes) return token.id;
  }
  return std::nullopt;
}

std::optional<Tokenizer::TokenId> Tokenizer::bos() const { return impl_->bos; }
std::optional<Tokenizer::TokenId> Tokenizer::eos() const { return impl_->eos; }
bool Tokenizer::add_bos() const { return impl_->add_bos; }
bool Tokenizer::add_eos() const { return impl_->add_eos; }
bool Tokenizer::strips_first_space() const { return impl_->strip_first_space; }
const std::vector<Tokenizer::TokenId>& Tokenizer::stop_tokens() const { return impl_->stops; }

void Tokenizer::AdoptIds(std::optional<TokenId> bos, std::optional<TokenId> eos) {
  const auto known = [&](std::optional<TokenId> id) {
    return id && *id >= 0 && *id < vocab_size();
  };
  if (known(bos) && !impl_->bos) impl_->bos = bos;
  if (known(eos)) {
    impl_->eos = eos;
    std::erase(impl_->stops, *eos);
    impl_->stops.insert(impl_->stops.begin(), *eos);
  }
}

void Tokenizer::StopAlsoAt(std::span<const TokenId> ids) {
  for (const TokenId id : ids) {
    if (id < 0 || id >= vocab_size()) continue;
    if (std::find(impl_->stops.begin(), impl_->stops.end(), id) != impl_->stops.end()) continue;
    impl_->stops.push_back(id);
  }
}

}  // namespace weir::model
