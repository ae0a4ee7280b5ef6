// The problem: after each of some thousands of merges, know the most frequent pair of neighbours
// over all words. Recounting is (merges x text); this keeps, for each pair, its count and the words
// that have (or had) it, and a heap of (count, pair). A merge visits only its own words; there it
// lowers the counts of the pairs it destroys and raises those it creates. Heap entries are never
// updated in place: an entry whose count is not the current one is pushed back with the right count
// (lowered meanwhile) or dropped; raised counts get a new entry. Every pair with count c > 0 always
// has an entry of at least c in the heap, so the first entry that is true is the maximum.
#include "engine/model/bpe_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <queue>

#include "engine/model/pretokenizer.h"

namespace weir::model {
namespace {

constexpr int kBytes = 256;
constexpr int kMaxTrainedVocabulary = 1 << 20;

using Pair = std::pair<int32_t, int32_t>;
struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64_t key = static_cast<uint64_t>(static_cast<uint32_t>(pair.first)) << 32 |
                         static_cast<uint32_t>(pair.second);
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> 20);
  }
};

struct Candidate {
  int64_t count;
  Pair pair;
  bool operator<(const Candidate& o) const {  // the heap's top: most frequent, then smallest ids
    return count != o.count ? count < o.count : pair > o.pair;
  }
};

struct PairState {
  int64_t count = 0;
  std::vector<uint32_t> words;  // may name a word twice, or one that has lost the pair
};

// The vocabulary as it grows. Two merges may spell the same bytes ("ab"+"c", "a"+"bc"): they make
// one token.
class Vocabulary {
 public:
  explicit Vocabulary(const BpeTrainerOptions& options) : wanted_(options.vocab_size) {
    for (const std::string& name : options.special_tokens) tokens_.push_back(name);
    for (int byte = 0; byte < kBytes; ++byte) Append(std::string(1, static_cast<char>(byte)));
  }
  bool full() const { return static_cast<int>(tokens_.size()) >= wanted_; }
  int32_t Join(const Pair& pair) {
    merges_.push_back(pair);
    std::string bytes =
        tokens_[static_cast<size_t>(pair.first)] + tokens_[static_cast<size_t>(pair.second)];
    const auto it = ids_.find(bytes);
    return it != ids_.end() ? it->second : Append(std::move(bytes));
  }
  std::vector<std::string>& tokens() { return tokens_; }
  std::vector<Pair>& merges() { return merges_; }

 private:
  int32_t Append(std::string bytes) {
    const auto id = static_cast<int32_t>(tokens_.size());
    ids_[bytes] = id;
    tokens_.push_back(std::move(bytes));
    return id;
  }
  int wanted_;
  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Pair> merges_;
};

Result<Tokenizer> Finish(const BpeTrainerOptions& options, Vocabulary vocabulary) {
  Tokenizer::ByteBpe parts;
  parts.pre = options.pre;
  parts.tokens = std::move(vocabulary.tokens());
  parts.merges = std::move(vocabulary.merges());
  for (size_t id = 0; id < options.special_tokens.size(); ++id) {
    parts.special.push_back(static_cast<int32_t>(id));
  }
  if (!parts.special.empty()) parts.bos = parts.eos = parts.special.front();
  return Tokenizer::FromByteBpe(std::move(parts));
}

}  // namespace

Result<BpeTrainer> BpeTrainer::Create(BpeTrainerOptions options) {
  const auto specials = static_cast<int>(options.special_tokens.size());
  if (options.vocab_size < kBytes + specials || options.vocab_size > kMaxTrainedVocabulary) {
    return Error(
        Code::kInvalidArgument,
        fmt::format("a vocabulary of {} is asked for; it must be {} (256 bytes and {} "
                    "special tokens) to {}",
                    options.vocab_size, kBytes + specials, specials, kMaxTrainedVocabulary));
  }
  for (const std::string& name : options.special_tokens) {
    if (name.size() < 2) {
      return Error(Code::kInvalidArgument, "a special token is shorter than two bytes");
    }
  }
  if (options.max_word_bytes < 1 || options.max_words < 1) {
    return Error(Code::kInvalidArgument, "max_word_bytes and max_words must be positive");
  }
  return BpeTrainer(std::move(options));
}

void BpeTrainer::Add(std::string_view text) {
  std::string key;
  while (!text.empty()) {
    size_t size = FirstWord(options_.pre, text);
    size = std::min(size, static_cast<size_t>(options_.max_word_bytes));
    key.assign(text.substr(0, size));
    text.remove_prefix(size);
    const auto it = counts_.find(key);
    if (it != counts_.end()) {
      ++it->second;
    } else if (distinct_words() < options_.max_words) {
      counts_.emplace(key, 1);
    } else {
      ++dropped_words_;
    }
  }
}

// Sorted, so that nothing depends on the order of a hash table.
std::vector<BpeTrainer::Word> BpeTrainer::SortedWords() const {
  std::vector<std::pair<std::string_view, int64_t>> sorted(counts_.begin(), counts_.end());
  std::sort(sorted.begin(), sorted.end());
  const auto first_byte = static_cast<int32_t>(options_.special_tokens.size());
  std::vector<Word> words;
  words.reserve(sorted.size());
  for (const auto& [text, count] : sorted) {
    Word& word = words.emplace_back(Word{{}, count});
    for (const char c : text) word.ids.push_back(first_byte + static_cast<uint8_t>(c));
  }
  return words;
}

Result<Tokenizer> BpeTrainer::Train() const {
  std::vector<Word> words = SortedWords();
  std::unordered_map<Pair, PairState, PairHash> pairs;
  for (uint32_t w = 0; w < words.size(); ++w) {
    const std::vector<int32_t>& ids = words[w].ids;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      PairState& state = pairs[{ids[i], ids[i + 1]}];
      state.count += words[w].count;
      if (state.words.empty() || state.words.back() != w) state.words.push_back(w);
    }
  }
  std::priority_queue<Candidate> heap;
  for (const auto& [pair, state] : pairs) heap.push({state.count, pair});

  Vocabulary vocabulary(options_);
  std::vector<Pair> raised;
  while (!vocabulary.full() && !heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    const auto found = pairs.find(top.pair);
    const int64_t now = found == pairs.end() ? 0 : found->second.count;
    if (now < options_.min_pair_count) continue;
    if (now != top.count) {
      if (now < top.count) heap.push({now, top.pair});
      continue;  // a raised count has an entry of its own
    }
    const auto [left, right] = top.pair;
    const int32_t joined = vocabulary.Join(top.pair);
    const std::vector<uint32_t> members = std::move(found->second.words);
    pairs.erase(found);

    raised.clear();
    for (const uint32_t w : members) {
      Word& word = words[w];
      std::vector<int32_t>& ids = word.ids;
      const auto lower = [&](Pair pair) {
        if (const auto it = pairs.find(pair); it != pairs.end()) it->second.count -= word.count;
      };
      const auto raise = [&](Pair pair) {
        PairState& state = pairs[pair];
        state.count += word.count;
        if (state.words.empty() || state.words.back() != w) state.words.push_back(w);
        raised.push_back(pair);
      };
      size_t to = 0;
      for (size_t i = 0; i < ids.size(); ++to) {
        if (i + 1 < ids.size() && ids[i] == left && ids[i + 1] == right) {
          // ids[to-1] is the left neighbour as it is now, maybe a fresh join itself.
          if (to > 0) {
            lower({ids[to - 1], left});
            raise({ids[to - 1], joined});
          }
          if (i + 2 < ids.size()) {
            lower({right, ids[i + 2]});
            raise({joined, ids[i + 2]});
          }
          ids[to] = joined;
          i += 2;
        } else {
          ids[to] = ids[i++];
        }
      }
      ids.resize(to);
    }
    // Within one word "x left right left right": the pair (joined, left) was raised and lowered
    // again; only what ends above zero needs an entry.
    std::sort(raised.begin(), raised.end());
    raised.erase(std::unique(raised.begin(), raised.end()), raised.end());
    for (const Pair& pair : raised) {
      const int64_t count = pairs.at(pair).count;
      if (count > 0) heap.push({count, pair});
    }
  }
  return Finish(options_, std::move(vocabulary));
}

Result<Tokenizer> BpeTrainer::TrainReference() const {
  std::vector<Word> words = SortedWords();
  Vocabulary vocabulary(options_);
  while (!vocabulary.full()) {
    std::map<Pair, int64_t> counts;
    for (const Word& word : words) {
      for (size_t i = 0; i + 1 < word.ids.size(); ++i) {
        counts[{word.ids[i], word.ids[i + 1]}] += word.count;
      }
    }
    Candidate best{0, {}};
    for (const auto& [pair, count] : counts) best = std::max(best, Candidate{count, pair});
    if (best.count < options_.min_pair_count || best.count == 0) break;
    const int32_t joined = vocabulary.Join(best.pair);
    for (Word& word : words) {
      std::vector<int32_t> ids;
      for (size_t i = 0; i < word.ids.size(); ++i) {
        if (i + 1 < word.ids.size() && Pair(word.ids[i], word.ids[i + 1]) == best.pair) {
          ids.push_back(joined);
          ++i;
        } else {
          ids.push_back(word.ids[i]);
        }
      }
      word.ids = std::move(ids);
    }
  }
  return Finish(options_, std::move(vocabulary));
}

}  // namespace weir::model
