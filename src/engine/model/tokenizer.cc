#include "engine/model/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/model/pretokenizer.h"
#include "engine/model/tokenizer_impl.h"
#include "engine/model/utf8.h"

namespace weir::model {
namespace {

// Tokens that end a turn or a text, by the names that model families gave them.
constexpr std::string_view kStopNames[] = {
    "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>",    "<|eom_id|>",
    "<|im_end|>",    "<|end|>",         "<end_of_turn>", "</s>"};

// Where a word of this text was seen before, so that its tokens are copied and not merged again.
// Direct-mapped; entries point into the text and the output of one call, so that nothing is shared.
class WordCache {
 public:
  explicit WordCache(size_t text_bytes) {
    if (text_bytes >= kWorthIt) entries_.resize(kEntries);
  }
  struct Entry {
    std::string_view word;
    uint32_t first = 0, count = 0;  // tokens in the output
  };
  Entry* Find(uint64_t hash) {
    return entries_.empty() ? nullptr : &entries_[hash >> (64 - kBits)];
  }

 private:
  static constexpr size_t kWorthIt = 512;  // bytes of text below which the table costs more
  static constexpr int kBits = 14;
  static constexpr size_t kEntries = size_t{1} << kBits;
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
  for (const auto& [name, id] : {std::pair("bos", bos), std::pair("eos", eos)}) {
    if (id && (*id < 0 || static_cast<size_t>(*id) >= n)) {
      return bad(fmt::format("{} is {}, of {} tokens", name, *id, n));
    }
  }
  map.Build(sentence_piece ? pieces : bytes);
  of_byte.fill(-1);
  if (sentence_piece) {
    for (size_t id = 0; id < n; ++id) {
      longest_piece = std::max(longest_piece, pieces[id].size());
      if (kinds[id] == TokenKind::kByte) {
        of_byte[static_cast<uint8_t>(bytes[id][0])] = static_cast<TokenId>(id);
      }
    }
    words_are_separate = std::none_of(pieces.begin(), pieces.end(), [](const std::string& piece) {
      size_t i = 0;  // after the leading marks, is there another?
      while (piece.compare(i, kWordMark.size(), kWordMark) == 0) i += kWordMark.size();
      return piece.find(kWordMark, i) != std::string::npos;
    });
  } else {
    for (int b = 0; b < 256; ++b) {
      const char c = static_cast<char>(b);
      of_byte[static_cast<size_t>(b)] = map.Find(std::string_view(&c, 1));
      // Some vocabularies leave out the bytes that UTF-8 never has.
      const bool in_utf8 = b < 0xC0 || (b >= 0xC2 && b <= 0xF4);
      if (of_byte[static_cast<size_t>(b)] < 0 && in_utf8) {
        return bad(fmt::format("no token for the byte 0x{:02X}", b));
      }
    }
    merges.Build(merge_pairs, merge_joined);
  }
  for (size_t id = 0; id < n; ++id) {
    const bool special = kinds[id] == TokenKind::kControl;
    if (!special && kinds[id] != TokenKind::kUserDefined) continue;
    if (bytes[id].empty()) continue;
    added[static_cast<uint8_t>(bytes[id][0])].push_back(static_cast<TokenId>(id));
    any_added = true;
    const bool known =
        std::find(std::begin(kStopNames), std::end(kStopNames), bytes[id]) != std::end(kStopNames);
    if (special && known && eos != static_cast<TokenId>(id)) {
      stops.push_back(static_cast<TokenId>(id));
    }
  }
  if (eos) stops.insert(stops.begin(), *eos);
  for (auto& list : added) {
    std::stable_sort(list.begin(), list.end(), [&](TokenId a, TokenId b) {
      return bytes[static_cast<size_t>(a)].size() > bytes[static_cast<size_t>(b)].size();
    });
  }
  return {};
}

void Tokenizer::Impl::MergeWord(std::string_view word, std::vector<TokenId>& scratch,
                                std::vector<std::string_view>& views,
                                std::vector<TokenId>& out) const {
  if (!sentence_piece) {
    scratch.clear();
    for (const char c : word) {
      const TokenId id = of_byte[static_cast<uint8_t>(c)];
      if (id >= 0) {
        scratch.push_back(id);
      } else {
        for (const uint8_t b : {0xEF, 0xBF, 0xBD}) scratch.push_back(of_byte[b]);  // U+FFFD
      }
    }
    merges.Apply(scratch);
    out.insert(out.end(), scratch.begin(), scratch.end());
    return;
  }
  views.clear();
  SpmMerge(word, map, scores, longest_piece, views);
  for (const std::string_view piece : views) {
    if (const TokenId id = map.Find(piece); id >= 0) {
      out.push_back(id);
      continue;
    }
    for (const char c : piece) {
      const TokenId id = of_byte[static_cast<uint8_t>(c)];
      if (id >= 0) {
        out.push_back(id);
      } else if (unknown) {
        out.push_back(*unknown);
        break;  // one unknown for the whole character
      }
    }
  }
}

void Tokenizer::Impl::EncodeFragment(std::string_view text, bool at_start,
                                     std::vector<TokenId>& out) const {
  std::string marked;
  if (sentence_piece) {
    if (at_start && add_space_prefix) marked += kWordMark;
    for (const char c : text) {
      c == ' ' ? marked += kWordMark : marked += c;
    }
    text = marked;
  }
  WordCache cache(text.size());
  std::vector<TokenId> scratch;
  std::vector<std::string_view> views;
  while (!text.empty()) {
    size_t size = text.size();
    if (!sentence_piece) {
      size = FirstWord(pre, text);
    } else if (words_are_separate) {
      size_t i = 0;  // the leading marks belong to the word; the next mark begins another
      while (text.compare(i, kWordMark.size(), kWordMark) == 0) i += kWordMark.size();
      size = std::min(text.find(kWordMark, i), text.size());
    }
    const std::string_view word = text.substr(0, size);
    text.remove_prefix(size);
    const uint64_t hash = HashBytes(word);
    if (whole_words) {
      if (const TokenId id = map.Find(word, hash); id >= 0) {
        out.push_back(id);
        continue;
      }
    }
    WordCache::Entry* entry = cache.Find(hash);
    if (entry != nullptr && entry->word == word) {
      const size_t first = entry->first, count = entry->count;
      for (size_t i = 0; i < count; ++i) out.push_back(out[first + i]);
      continue;
    }
    const size_t first = out.size();
    MergeWord(word, scratch, views, out);
    if (entry != nullptr && out.size() <= UINT32_MAX) {
      *entry = {word, static_cast<uint32_t>(first), static_cast<uint32_t>(out.size() - first)};
    }
  }
}

std::vector<Tokenizer::TokenId> Tokenizer::Encode(std::string_view text,
                                                  ParseSpecial special) const {
  const Impl& t = *impl_;
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 1);
  size_t begin = 0;  // of the fragment that no added token has claimed
  bool at_start = true;
  const auto flush = [&](size_t end) {
    if (end > begin) t.EncodeFragment(text.substr(begin, end - begin), at_start, out);
  };
  if (t.any_added) {
    for (size_t i = 0; i < text.size();) {
      TokenId found = -1;
      for (const TokenId id : t.added[static_cast<uint8_t>(text[i])]) {
        const auto index = static_cast<size_t>(id);
        if (t.kinds[index] == TokenKind::kControl && special == ParseSpecial::kNo) continue;
        if (text.compare(i, t.bytes[index].size(), t.bytes[index]) == 0) {
          found = id;
          break;
        }
      }
      if (found < 0) {
        ++i;
        continue;
      }
      flush(i);
      out.push_back(found);
      i += t.bytes[static_cast<size_t>(found)].size();
      begin = i;
      at_start = t.kinds[static_cast<size_t>(found)] == TokenKind::kControl;
    }
  }
  flush(text.size());
  return out;
}

std::string Tokenizer::Decode(std::span<const TokenId> ids, ParseSpecial special) const {
  std::string out;
  for (const TokenId id : ids) {
    if (special == ParseSpecial::kNo && IsSpecial(id)) continue;
    out += BytesOf(id);
  }
  if (impl_->add_space_prefix && out.starts_with(' ')) out.erase(0, 1);
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
  const TokenId id = impl_->map.Find(bytes);
  return id < 0 ? std::nullopt : std::optional(id);
}

std::optional<Tokenizer::TokenId> Tokenizer::bos() const { return impl_->bos; }
std::optional<Tokenizer::TokenId> Tokenizer::eos() const { return impl_->eos; }
bool Tokenizer::add_bos() const { return impl_->add_bos; }
bool Tokenizer::strips_first_space() const { return impl_->add_space_prefix; }
const std::vector<Tokenizer::TokenId>& Tokenizer::stop_tokens() const { return impl_->stops; }

}  // namespace weir::model
