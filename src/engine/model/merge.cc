#include "engine/model/merge.h"

#include <algorithm>
#include <bit>
#include <climits>
#include <queue>

#include "base/check.h"
#include "engine/model/utf8.h"

namespace weir::model {
namespace {

constexpr size_t kShortWord = 48;  // below this the quadratic loop beats the heap

}  // namespace

void MergeTable::Build(std::span<const std::pair<int32_t, int32_t>> pairs,
                       std::span<const int32_t> joined) {
  slots_.assign(std::bit_ceil(2 * pairs.size() + 2), Slot{});
  mask_ = slots_.size() - 1;
  for (size_t rank = 0; rank < pairs.size(); ++rank) {
    const uint64_t key = Key(pairs[rank].first, pairs[rank].second);
    size_t i = Hash(key) & mask_;
    while (slots_[i].rule.rank >= 0 && slots_[i].key != key) i = (i + 1) & mask_;
    if (slots_[i].rule.rank < 0) slots_[i] = {key, {static_cast<int32_t>(rank), joined[rank]}};
  }
}

void MergeTable::Apply(std::vector<int32_t>& ids) const {
  if (ids.size() < 2) return;
  ids.size() <= kShortWord ? ApplyShort(ids) : ApplyLong(ids);
}

void MergeTable::ApplyReference(std::vector<int32_t>& ids) const {
  for (;;) {
    size_t best = 0;
    Rule rule;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const Rule found = Find(ids[i], ids[i + 1]);
      if (found.rank >= 0 && (rule.rank < 0 || found.rank < rule.rank)) {
        rule = found;
        best = i;
      }
    }
    if (rule.rank < 0) return;
    ids[best] = rule.joined;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

void MergeTable::ApplyShort(std::vector<int32_t>& ids) const {
  Rule rules[kShortWord];  // rules[i] joins ids[i] and ids[i+1]
  size_t n = ids.size();
  for (size_t i = 0; i + 1 < n; ++i) rules[i] = Find(ids[i], ids[i + 1]);
  while (n > 1) {
    size_t best = 0;
    uint32_t best_rank = UINT32_MAX;  // -1 as unsigned: no rule
    for (size_t i = 0; i + 1 < n; ++i) {
      const auto rank = static_cast<uint32_t>(rules[i].rank);
      if (rank < best_rank) {
        best_rank = rank;
        best = i;
      }
    }
    if (best_rank == UINT32_MAX) break;
    ids[best] = rules[best].joined;
    for (size_t i = best + 1; i + 1 < n; ++i) ids[i] = ids[i + 1];
    for (size_t i = best + 1; i + 2 < n; ++i) rules[i] = rules[i + 1];
    --n;
    if (best > 0) rules[best - 1] = Find(ids[best - 1], ids[best]);
    if (best + 1 < n) rules[best] = Find(ids[best], ids[best + 1]);
  }
  ids.resize(n);
}

void MergeTable::ApplyLong(std::vector<int32_t>& ids) const {
  CHECK_MSG(ids.size() < INT32_MAX, "a word of {} bytes", ids.size());
  struct Candidate {
    int32_t rank, at, left, right;  // valid while ids[at] == left and its successor is right
    bool operator>(const Candidate& o) const { return rank != o.rank ? rank > o.rank : at > o.at; }
  };
  const auto n = static_cast<int32_t>(ids.size());
  std::vector<int32_t> next(ids.size()), previous(ids.size());
  for (int32_t i = 0; i < n; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto consider = [&](int32_t at) {
    if (at < 0 || next[at] >= n) return;
    const Rule rule = Find(ids[at], ids[next[at]]);
    if (rule.rank >= 0) heap.push({rule.rank, at, ids[at], ids[next[at]]});
  };
  for (int32_t i = 0; i + 1 < n; ++i) consider(i);
  while (!heap.empty()) {
    const Candidate c = heap.top();
    heap.pop();
    const int32_t gone = next[c.at];
    if (ids[c.at] != c.left || gone >= n || ids[gone] != c.right) continue;
    ids[c.at] = Find(c.left, c.right).joined;
    ids[gone] = -1;
    next[c.at] = next[gone];
    if (next[gone] < n) previous[next[gone]] = c.at;
    consider(previous[c.at]);
    consider(c.at);
  }
  std::erase(ids, -1);
}

void SpmMerge(std::string_view word, const TokenMap& pieces, std::span<const float> scores,
              size_t longest_piece, std::vector<std::string_view>& out) {
  CHECK_MSG(word.size() < INT32_MAX, "a word of {} bytes", word.size());
  struct Symbol {
    std::string_view text;  // empty: joined to the one before
    int32_t next, previous;
  };
  struct Candidate {
    float score;
    int32_t at;
    size_t size;  // bytes of both together, when this was found
    bool operator<(const Candidate& o) const {
      return score != o.score ? score < o.score : at > o.at;
    }
  };
  std::vector<Symbol> symbols;
  for (size_t i = 0; i < word.size();) {
    const size_t size = Utf8Length(word.substr(i));
    const auto index = static_cast<int32_t>(symbols.size());
    symbols.push_back({word.substr(i, size), index + 1, index - 1});
    i += size;
  }
  const auto n = static_cast<int32_t>(symbols.size());
  std::priority_queue<Candidate> heap;
  const auto consider = [&](int32_t at) {
    if (at < 0 || symbols[at].next >= n) return;
    const size_t size = symbols[at].text.size() + symbols[symbols[at].next].text.size();
    if (size > longest_piece) return;
    const int32_t id = pieces.Find({symbols[at].text.data(), size});
    if (id >= 0) heap.push({scores[static_cast<size_t>(id)], at, size});
  };
  for (int32_t i = 0; i + 1 < n; ++i) consider(i);
  while (!heap.empty()) {
    const Candidate c = heap.top();
    heap.pop();
    Symbol& left = symbols[c.at];
    if (left.text.empty() || left.next >= n) continue;
    Symbol& right = symbols[left.next];
    if (left.text.size() + right.text.size() != c.size) continue;
    left.text = {left.text.data(), c.size};
    right.text = {};
    left.next = right.next;
    if (right.next < n) symbols[right.next].previous = c.at;
    consider(left.previous);
    consider(c.at);
  }
  for (int32_t i = 0; i < n; i = symbols[i].next) out.push_back(symbols[i].text);
}

}  // namespace weir::model
