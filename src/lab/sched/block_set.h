// An ordered set of small rows, kept in blocks: for sets that are big and change all the time.
//
// Why not std::set: each of its rows is an allocation of its own, and finding one among a million
// waits for memory some ten times. Here the rows of a block lie side by side and the last row of
// every block lies in one array, so finding waits two or three times, and a walk through the set
// reads memory in order. Inserting moves half a block, which is less than one such wait.
//
// Cost      insert, erase and find O(log n + block); begin, empty, size O(1). sqrt(n) blocks would
// be
//           best for one size; a fixed block is within a few percent of it from none to a million.
// Order     that of Key's <. Equal keys are one.
// Iterators forward only, over const keys. A change of the set ends all of them: to go on where one
//           stood, keep its key and ask for upper_bound().
// Promised  iteration follows from the keys alone, never from how they came. Not promised: the
//           address of a row.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

namespace weir::sched {

template <class Key>
class BlockSet {
 public:
  class const_iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Key;
    using difference_type = std::ptrdiff_t;
    using pointer = const Key*;
    using reference = const Key&;
    const_iterator() = default;
    const Key& operator*() const { return (*blocks_)[block_][row_]; }
    const Key* operator->() const { return &**this; }
    const_iterator& operator++() {
      if (++row_ == (*blocks_)[block_].size()) {
        row_ = 0;
        ++block_;
      }
      return *this;
    }
    const_iterator operator++(int) {
      const_iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const const_iterator& o) const { return block_ == o.block_ && row_ == o.row_; }

   private:
    friend class BlockSet;
    const_iterator(const std::vector<std::vector<Key>>* blocks, size_t block, size_t row)
        : blocks_(blocks), block_(block), row_(row) {}
    const std::vector<std::vector<Key>>* blocks_ = nullptr;
    size_t block_ = 0, row_ = 0;
  };

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  const_iterator begin() const { return {&blocks_, 0, 0}; }
  const_iterator end() const { return {&blocks_, blocks_.size(), 0}; }
  const_iterator lower_bound(const Key& key) const {
    const auto [block, row] = Find(key);
    return {&blocks_, block, row};
  }
  const_iterator upper_bound(const Key& key) const {
    const_iterator at = lower_bound(key);
    if (at != end() && !(key < *at)) ++at;
    return at;
  }
  bool contains(const Key& key) const {
    const auto [block, row] = Find(key);
    return block < blocks_.size() && !(key < blocks_[block][row]);
  }

  bool insert(const Key& key) {
    auto [block, row] = Find(key);
    if (block < blocks_.size() && !(key < blocks_[block][row])) return false;
    if (blocks_.empty()) {
      blocks_.emplace_back();
      lasts_.push_back(key);
    } else if (block == blocks_.size()) {  // behind all: at the end of the last block
      row = blocks_[--block].size();
    }
    if (blocks_[block].size() >= kMost) {
      Split(block);
      if (row > blocks_[block].size()) row -= blocks_[block++].size();
    }
    blocks_[block].insert(blocks_[block].begin() + static_cast<std::ptrdiff_t>(row), key);
    lasts_[block] = blocks_[block].back();
    ++size_;
    return true;
  }

  bool erase(const Key& key) {
    const auto [block, row] = Find(key);
    if (block == blocks_.size() || key < blocks_[block][row]) return false;
    std::vector<Key>& rows = blocks_[block];
    rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(row));
    --size_;
    if (rows.empty()) {
      Drop(block);
    } else {
      lasts_[block] = rows.back();
      if (rows.size() < kMost / 4) Join(block);
    }
    return true;
  }

  void clear() {
    blocks_.clear();
    lasts_.clear();
    size_ = 0;
  }

 private:
  static constexpr size_t kMost = 128;

  // Where the key is, or would be: the end of no block but behind the last one, (blocks, 0).
  std::pair<size_t, size_t> Find(const Key& key) const {
    const auto block = std::lower_bound(lasts_.begin(), lasts_.end(), key);
    if (block == lasts_.end()) return {blocks_.size(), 0};
    const size_t at = static_cast<size_t>(block - lasts_.begin());
    const auto row = std::lower_bound(blocks_[at].begin(), blocks_[at].end(), key);
    return {at, static_cast<size_t>(row - blocks_[at].begin())};
  }
  void Split(size_t block) {
    std::vector<Key>& rows = blocks_[block];
    const auto half = rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2);
    std::vector<Key> upper;
    upper.reserve(kMost);
    upper.assign(half, rows.end());
    rows.erase(half, rows.end());
    lasts_[block] = rows.back();
    const auto behind = static_cast<std::ptrdiff_t>(block) + 1;
    lasts_.insert(lasts_.begin() + behind, upper.back());
    blocks_.insert(blocks_.begin() + behind, std::move(upper));
  }
  // With the block behind it, if both are less than half full together.
  void Join(size_t block) {
    if (block + 1 == blocks_.size()) return;
    std::vector<Key>&rows = blocks_[block], &next = blocks_[block + 1];
    if (rows.size() + next.size() > kMost / 2) return;
    rows.insert(rows.end(), next.begin(), next.end());
    lasts_[block] = rows.back();
    Drop(block + 1);
  }
  void Drop(size_t block) {
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(block));
    lasts_.erase(lasts_.begin() + static_cast<std::ptrdiff_t>(block));
  }

  std::vector<std::vector<Key>> blocks_;  // none empty
  std::vector<Key> lasts_;                // of each block
  size_t size_ = 0;
};

}  // namespace weir::sched
