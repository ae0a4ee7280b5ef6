// Which KV blocks hold which beginnings of text: a radix tree over tokens with one node for each
// block, so that requests with a common prefix (a system prompt, an earlier turn) share its blocks.
//
// Idea      A node is reached by kKvBlockTokens tokens from its parent and names the block that
//           holds their keys and values. A leaf may hold fewer tokens: the end of a finished
//           sequence. Find walks down by whole blocks; where the text then parts from a node within
//           its block, the rows up to there can be copied (`partial`), so that sharing is exact to
//           the token. Keys and values depend on everything before them and on the adapter, so
//           nodes are only ever found from their root; each adapter has one.
//           Zheng et al., "SGLang: Efficient Execution of Structured Language Model Programs",
//           2024, section 3 (RadixAttention).
// Twins     Two sequences that compute the same text at the same time both bring its blocks.
//           Insert keeps the first and swaps it into the later sequence's list. So whoever holds
//           the block of a node holds those of all its ancestors, and every block that the tree
//           alone holds can be evicted, leaves first: KvCache::cached_blocks() counts them.
// Eviction  the leaf least recently used (found or given back), of those that nobody else holds.
//           A heap with stale entries: an entry counts only while it is its node's newest.
// Cost      Find and Insert: a binary search among children for each block. Evict: amortised
//           O(log nodes). Memory: some 200 bytes a node, at most one node for each block.
// Threads   one at a time.
#pragma once

#include <cstdint>
#include <queue>
#include <span>
#include <utility>
#include <vector>

#include "engine/serve/kv_cache.h"

namespace weir::serve {

class PrefixTree {
 public:
  // The cache outlives the tree. Roots are 0..roots-1.
  PrefixTree(KvCache& cache, int roots);
  ~PrefixTree();
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;

  struct Match {
    std::vector<int32_t> blocks;  // whole blocks, in order; nothing is held yet
    int32_t partial = -1;         // a block whose first rows continue them; to be copied
    int64_t partial_tokens = 0;
    int64_t unheld = 0;  // of blocks: held by the tree alone
    int64_t tokens() const {
      return static_cast<int64_t>(blocks.size()) * kKvBlockTokens + partial_tokens;
    }
  };
  // The longest known prefix of tokens.
  Match Find(int root, std::span<const int32_t> tokens);

  // How far a sequence's blocks are in the tree. Valid as long as the sequence holds them.
  struct Cursor {
    int32_t node = -1;  // -1: at the root
    int64_t blocks = 0;
  };
  // Puts the whole blocks of `tokens` (all computed) beyond the cursor into the tree and moves the
  // cursor there. Blocks may be swapped for twins. The blocks before the cursor came from Find or
  // from Insert.
  void Insert(int root, std::span<const int32_t> tokens, std::vector<int32_t>& blocks,
              Cursor& cursor);
  // For a cursor at the last whole block of tokens: also keeps the rows in the block after it, if
  // any. That block is not written to any more.
  void InsertRest(int root, std::span<const int32_t> tokens, std::vector<int32_t>& blocks,
                  const Cursor& cursor);
  // The cursor behind a match's whole blocks.
  Cursor At(const Match& match) const;

  // Gives a sequence's blocks back (negative: it has none there): those in the tree stay there.
  void Release(std::span<const int32_t> blocks);
  // Takes the block's node, where it has one, and all that follow it out of the tree. Who holds
  // their blocks keeps them; nobody but holders of `block` does.
  void Uproot(int32_t block);
  // Frees up to n blocks that the tree alone holds; how many.
  int64_t Evict(int64_t n);

  int64_t nodes() const { return live_; }
  // Every invariant above, for tests: structure, holders, counts (CHECK).
  void CheckInvariants() const;

 private:
  struct Node {
    int32_t parent = -1;  // -1: child of its root; -2: not in use
    int32_t root = 0;
    int32_t block = -1;
    int32_t count = 0;              // tokens
    uint64_t used = 0;              // tick of the last use
    std::vector<int32_t> children;  // in the order of their tokens
  };
  std::span<const int32_t> TokensOf(int32_t node) const;
  std::vector<int32_t>& ChildrenOf(int root, int32_t node);
  const std::vector<int32_t>& ChildrenOf(int root, int32_t node) const;
  // The first child whose tokens are not less.
  size_t LowerBound(const std::vector<int32_t>& children, std::span<const int32_t> tokens) const;
  int32_t Add(int root, int32_t parent, size_t at, std::span<const int32_t> tokens, int32_t block);
  void Remove(int32_t node);
  void Touch(int32_t node);
  bool Evictable(int32_t node) const;

  KvCache& cache_;
  std::vector<std::vector<int32_t>> roots_;
  std::vector<Node> nodes_;
  std::vector<int32_t> tokens_;         // kKvBlockTokens for each node
  std::vector<int32_t> unused_;         // nodes
  std::vector<int32_t> node_of_block_;  // -1: none
  int64_t live_ = 0;
  uint64_t tick_ = 0;
  using Entry = std::pair<uint64_t, int32_t>;  // tick of use, node
  std::priority_queue<Entry, std::vector<Entry>, std::greater<>> leaves_;
};

}  // namespace weir::serve
