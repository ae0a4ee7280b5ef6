#include "engine/serve/speculate.h"

#include <algorithm>

#include "base/check.h"

namespace weir::serve {
namespace {

constexpr size_t kSmallestTable = 64;

uint64_t HashOf(std::span<const int32_t> gram) {
  uint64_t hash = 0;
  for (const int32_t token : gram) {
    hash = (hash ^ static_cast<uint32_t>(token)) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace

// Where the gram that ends before `end` stands in the table, or the empty slot where it would.
size_t PromptLookup::SlotOf(std::span<const int32_t> tokens, size_t end) const {
  const std::span<const int32_t> gram = tokens.subspan(end - kGram, kGram);
  size_t slot = HashOf(gram) & (table_.size() - 1);
  while (table_[slot] >= 0) {
    const auto at = static_cast<size_t>(table_[slot]);
    if (std::ranges::equal(tokens.subspan(at - kGram, kGram), gram)) break;
    slot = (slot + 1) & (table_.size() - 1);
  }
  return slot;
}

void PromptLookup::Grow(std::span<const int32_t> tokens) {
  const std::vector<int32_t> old = std::move(table_);
  table_.assign(std::max(kSmallestTable, 2 * old.size()), -1);
  for (const int32_t end : old) {
    if (end >= 0) table_[SlotOf(tokens, static_cast<size_t>(end))] = end;
  }
}

void PromptLookup::Extend(std::span<const int32_t> tokens) {
  CHECK(tokens.size() >= extended_);
  previous_.resize(tokens.size() + 1, -1);
  for (size_t end = std::max(extended_ + 1, kGram); end <= tokens.size(); ++end) {
    if (2 * (grams_ + 1) > table_.size()) Grow(tokens);
    const size_t slot = SlotOf(tokens, end);
    if (table_[slot] < 0) ++grams_;
    previous_[end] = table_[slot];
    table_[slot] = static_cast<int32_t>(end);
  }
  extended_ = tokens.size();
}

void PromptLookup::Propose(std::span<const int32_t> tokens, size_t most,
                           std::vector<int32_t>& draft) const {
  CHECK(tokens.size() == extended_);
  draft.clear();
  if (tokens.size() < kGram || most == 0) return;
  size_t best = 0, best_length = 0;
  int32_t at = previous_[tokens.size()];
  for (int tried = 0; at >= 0 && tried < kTried; ++tried) {
    const auto end = static_cast<size_t>(at);
    size_t length = kGram;
    const size_t furthest = std::min(end, kFurthest);
    while (length < furthest && tokens[end - 1 - length] == tokens[tokens.size() - 1 - length]) {
      ++length;
    }
    if (length > best_length) {
      best = end;
      best_length = length;
    }
    at = previous_[end];
  }
  if (best == 0) return;
  // What followed; where that reaches the end of the text, it goes on with itself: a cycle.
  for (size_t i = 0; i < most; ++i) {
    const size_t from = best + i;
    draft.push_back(from < tokens.size() ? tokens[from] : draft[from - tokens.size()]);
  }
}

int DraftLength::Next() {
  if (pause_ > 0) {
    --pause_;
    return 0;
  }
  return next_;
}

void DraftLength::Observe(int drafted, int accepted) {
  if (drafted == 0) return;
  if (accepted == 0) {
    next_ = std::max(1, next_ / 2);
    if (++misses_ >= kMisses) {
      pause_ = kPause;
      misses_ = 0;
    }
    return;
  }
  misses_ = 0;
  next_ = std::min(longest_, accepted == drafted ? std::max(next_, 2 * accepted) : accepted + 1);
}

}  // namespace weir::serve
