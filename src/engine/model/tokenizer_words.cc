// Words to tokens by score (unigram) and by length (WordPiece), and what no token stands for.
//
// Unigram: the division of a word into pieces whose scores (logarithms of probabilities) add up to
// the most, found from left to right (Viterbi); a character that is no piece costs unknown_score.
// Of equal sums the longest last piece wins. Source: Kudo, "Subword Regularization", 2018.
// WordPiece: the longest piece that begins the rest of the word, again and again; a word that
// cannot be divided so is unknown as a whole. Source: Devlin et al., "BERT", 2019.
#include <algorithm>
#include <limits>

#include "engine/model/tokenizer_impl.h"
#include "engine/model/utf8.h"

namespace weir::model {

std::optional<char> ByteOfName(std::string_view name) {
  if (name.size() != 6 || !name.starts_with("<0x") || name[5] != '>') return std::nullopt;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
  };
  const int high = digit(name[3]), low = digit(name[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<char>(high * 16 + low);
}

std::string WithSpaces(std::string_view piece) {
  std::string out;
  for (size_t i = 0; i < piece.size();) {
    if (piece.compare(i, kWordMark.size(), kWordMark) == 0) {
      out += ' ';
      i += kWordMark.size();
    } else {
      out += piece[i++];
    }
  }
  return out;
}

void Tokenizer::Impl::PushUnknown(std::string_view piece, std::vector<TokenId>& out) const {
  const bool bytes_known =
      kind != TokenizerKind::kWordPiece && std::all_of(piece.begin(), piece.end(), [&](char c) {
        return of_byte[static_cast<uint8_t>(c)] >= 0;
      });
  if (bytes_known) {
    for (const char c : piece) out.push_back(of_byte[static_cast<uint8_t>(c)]);
  } else if (unknown && !(fuse_unknown && !out.empty() && out.back() == *unknown)) {
    out.push_back(*unknown);
  }
}

void Tokenizer::Impl::Unigram(std::string_view word, Scratch& scratch,
                              std::vector<TokenId>& out) const {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  auto& best = scratch.best;  // best[i]: of the first i bytes
  auto& back = scratch.back;  // where the last piece begins, and which it is
  best.assign(word.size() + 1, kNever);
  back.assign(word.size() + 1, {0, -1});
  best[0] = 0;
  for (size_t i = 0; i < word.size();) {
    const size_t size = Utf8Length(word.substr(i));
    bool single = false;
    for (size_t n = size; n <= longest_piece && i + n <= word.size();) {
      const TokenId id = map.Find(word.substr(i, n));
      if (id >= 0) {
        single |= n == size;
        const float score = best[i] + scores[static_cast<size_t>(id)];
        if (score > best[i + n]) {
          best[i + n] = score;
          back[i + n] = {static_cast<uint32_t>(i), id};
        }
      }
      if (i + n >= word.size()) break;
      n += Utf8Length(word.substr(i + n));
    }
    if (!single && best[i] + unknown_score > best[i + size]) {
      best[i + size] = best[i] + unknown_score;
      back[i + size] = {static_cast<uint32_t>(i), -1};
    }
    i += size;
  }
  // From the end; unknown pieces are kept as ranges until they are in order.
  auto& views = scratch.views;
  views.clear();
  for (size_t end = word.size(); end > 0; end = back[end].first) {
    views.push_back(word.substr(back[end].first, end - back[end].first));
  }
  std::string_view unknown_run;
  const auto flush = [&] {
    if (!unknown_run.empty()) PushUnknown(unknown_run, out);
    unknown_run = {};
  };
  for (auto it = views.rbegin(); it != views.rend(); ++it) {
    const auto end = static_cast<size_t>(it->data() + it->size() - word.data());
    const TokenId id = back[end].second;
    if (id >= 0) {
      flush();
      out.push_back(id);
    } else {
      unknown_run = unknown_run.empty()
                        ? *it
                        : std::string_view(unknown_run.data(), unknown_run.size() + it->size());
    }
  }
  flush();
}

void Tokenizer::Impl::WordPiece(std::string_view word, std::vector<TokenId>& out) const {
  const auto give_up = [&](size_t keep) {
    out.resize(keep);
    if (unknown) out.push_back(*unknown);
  };
  const size_t first = out.size();
  size_t characters = 0;
  for (size_t i = 0; i < word.size(); i += Utf8Length(word.substr(i))) ++characters;
  if (characters > longest_word) return give_up(first);
  std::string piece;
  for (size_t i = 0; i < word.size();) {
    TokenId found = -1;
    size_t end = std::min(word.size(), i + longest_piece);
    for (; end > i; --end) {
      if (end < word.size() && (static_cast<uint8_t>(word[end]) & 0xC0) == 0x80) continue;
      piece = i == 0 ? (continuation.empty() ? std::string(kWordMark) : "") : continuation;
      piece += word.substr(i, end - i);
      found = map.Find(piece);
      if (found >= 0) break;
    }
    if (found < 0) return give_up(first);
    out.push_back(found);
    i = end;
  }
}

}  // namespace weir::model
