#include "engine/serve/prefix_tree.h"

#include <algorithm>

#include "base/check.h"

namespace weir::serve {
namespace {

constexpr int32_t kRoot = -1, kUnused = -2;
constexpr auto kWhole = static_cast<size_t>(kKvBlockTokens);

// Fewer rows than this are sooner computed along with the rest than found and copied.
constexpr size_t kFewestCopied = 4;

size_t CommonPrefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  const size_t n = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin()).first - a.begin());
}

}  // namespace

PrefixTree::PrefixTree(KvCache& cache, int roots)
    : cache_(cache),
      roots_(static_cast<size_t>(roots)),
      node_of_block_(static_cast<size_t>(cache.total_blocks()), -1) {}

PrefixTree::~PrefixTree() {
  for (const Node& node : nodes_) {
    if (node.parent == kUnused) continue;
    cache_.MarkCached(node.block, false);
    cache_.Release(node.block);
  }
}

std::span<const int32_t> PrefixTree::TokensOf(int32_t node) const {
  return std::span(tokens_).subspan(static_cast<size_t>(node) * kWhole,
                                    static_cast<size_t>(nodes_[static_cast<size_t>(node)].count));
}

std::vector<int32_t>& PrefixTree::ChildrenOf(int root, int32_t node) {
  return node == kRoot ? roots_[static_cast<size_t>(root)]
                       : nodes_[static_cast<size_t>(node)].children;
}

const std::vector<int32_t>& PrefixTree::ChildrenOf(int root, int32_t node) const {
  return node == kRoot ? roots_[static_cast<size_t>(root)]
                       : nodes_[static_cast<size_t>(node)].children;
}

size_t PrefixTree::LowerBound(const std::vector<int32_t>& children,
                              std::span<const int32_t> tokens) const {
  const auto it = std::lower_bound(
      children.begin(), children.end(), tokens, [this](int32_t child, std::span<const int32_t> t) {
        return std::ranges::lexicographical_compare(TokensOf(child), t);
      });
  return static_cast<size_t>(it - children.begin());
}

PrefixTree::Match PrefixTree::Find(int root, std::span<const int32_t> tokens) {
  ++tick_;
  Match match;
  int32_t at = kRoot;
  for (;;) {
    const std::vector<int32_t>& children = ChildrenOf(root, at);
    const std::span<const int32_t> rest = tokens.subspan(match.blocks.size() * kWhole);
    const std::span<const int32_t> next = rest.first(std::min(rest.size(), kWhole));
    const size_t place = LowerBound(children, next);
    if (next.size() == kWhole && place < children.size() &&
        CommonPrefix(TokensOf(children[place]), next) == kWhole) {
      at = children[place];
      const Node& node = nodes_[static_cast<size_t>(at)];
      match.blocks.push_back(node.block);
      if (cache_.Holders(node.block) == 1) ++match.unheld;
      Touch(at);
      continue;
    }
    // In the order of tokens, the child that shares most stands right before or after this place.
    size_t best = kFewestCopied - 1;
    for (const size_t near : {place, place - 1}) {  // place - 1 may wrap around: too large
      if (near >= children.size()) continue;
      const size_t common = CommonPrefix(TokensOf(children[near]), next);
      if (common <= best) continue;
      best = common;
      match.partial = nodes_[static_cast<size_t>(children[near])].block;
      match.partial_tokens = static_cast<int64_t>(common);
    }
    if (match.partial >= 0) Touch(node_of_block_[static_cast<size_t>(match.partial)]);
    return match;
  }
}

PrefixTree::Cursor PrefixTree::At(const Match& match) const {
  if (match.blocks.empty()) return {};
  return {node_of_block_[static_cast<size_t>(match.blocks.back())],
          static_cast<int64_t>(match.blocks.size())};
}

int32_t PrefixTree::Add(int root, int32_t parent, size_t at, std::span<const int32_t> tokens,
                        int32_t block) {
  int32_t index = 0;
  if (unused_.empty()) {
    index = static_cast<int32_t>(nodes_.size());
    nodes_.emplace_back();
    tokens_.resize(nodes_.size() * kWhole);
  } else {
    index = unused_.back();
    unused_.pop_back();
  }
  Node& node = nodes_[static_cast<size_t>(index)];
  node.parent = parent;
  node.root = root;
  node.block = block;
  node.count = static_cast<int32_t>(tokens.size());
  std::ranges::copy(tokens, tokens_.begin() + static_cast<ptrdiff_t>(index) * kKvBlockTokens);
  std::vector<int32_t>& siblings = ChildrenOf(root, parent);
  siblings.insert(siblings.begin() + static_cast<ptrdiff_t>(at), index);
  node_of_block_[static_cast<size_t>(block)] = index;
  cache_.Share(block);
  cache_.MarkCached(block, true);
  ++live_;
  Touch(index);
  return index;
}

void PrefixTree::Remove(int32_t index) {
  Node& node = nodes_[static_cast<size_t>(index)];
  CHECK(node.children.empty() && node.parent != kUnused);
  std::vector<int32_t>& siblings = ChildrenOf(node.root, node.parent);
  const size_t at = LowerBound(siblings, TokensOf(index));
  CHECK(at < siblings.size() && siblings[at] == index);
  siblings.erase(siblings.begin() + static_cast<ptrdiff_t>(at));
  const int32_t parent = node.parent;
  node_of_block_[static_cast<size_t>(node.block)] = -1;
  cache_.MarkCached(node.block, false);
  cache_.Release(node.block);
  node.parent = kUnused;
  node.block = -1;
  unused_.push_back(index);
  --live_;
  if (parent != kRoot && siblings.empty()) {
    leaves_.push({nodes_[static_cast<size_t>(parent)].used, parent});
  }
}

void PrefixTree::Touch(int32_t index) {
  Node& node = nodes_[static_cast<size_t>(index)];
  node.used = tick_;
  if (!node.children.empty()) return;
  leaves_.push({tick_, index});
  // Without pressure nothing is ever popped: what is stale is thrown out now and then.
  if (leaves_.size() > 4 * static_cast<size_t>(live_) + 1024) {
    leaves_ = {};
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (nodes_[i].parent != kUnused && nodes_[i].children.empty()) {
        leaves_.push({nodes_[i].used, static_cast<int32_t>(i)});
      }
    }
  }
}

void PrefixTree::Insert(int root, std::span<const int32_t> tokens, std::vector<int32_t>& blocks,
                        Cursor& cursor) {
  ++tick_;
  const auto whole = static_cast<int64_t>(tokens.size() / kWhole);
  CHECK(whole <= static_cast<int64_t>(blocks.size()));
  for (; cursor.blocks < whole; ++cursor.blocks) {
    const auto i = static_cast<size_t>(cursor.blocks);
    const std::span<const int32_t> next = tokens.subspan(i * kWhole, kWhole);
    const std::vector<int32_t>& children = ChildrenOf(root, cursor.node);
    size_t at = LowerBound(children, next);
    if (at < children.size() && CommonPrefix(TokensOf(children[at]), next) == kWhole) {
      cursor.node = children[at];
      const int32_t twin = nodes_[static_cast<size_t>(cursor.node)].block;
      if (twin != blocks[i]) {
        cache_.Share(twin);
        cache_.Release(blocks[i]);
        blocks[i] = twin;
      }
      Touch(cursor.node);
      continue;
    }
    // A leaf that holds only a part of this block's tokens has had its time; it sorts right before.
    if (at > 0) {
      const int32_t before = children[at - 1];
      const std::span<const int32_t> part = TokensOf(before);
      if (part.size() < kWhole && CommonPrefix(part, next) == part.size() && Evictable(before)) {
        Remove(before);
        --at;
      }
    }
    cursor.node = Add(root, cursor.node, at, next, blocks[i]);
  }
}

void PrefixTree::InsertRest(int root, std::span<const int32_t> tokens, std::vector<int32_t>& blocks,
                            const Cursor& cursor) {
  const std::span<const int32_t> rest = tokens.subspan(static_cast<size_t>(cursor.blocks) * kWhole);
  CHECK(rest.size() < kWhole);
  if (rest.size() < kFewestCopied || static_cast<size_t>(cursor.blocks) >= blocks.size()) return;
  ++tick_;
  const std::vector<int32_t>& children = ChildrenOf(root, cursor.node);
  const size_t at = LowerBound(children, rest);
  if (at < children.size() && CommonPrefix(TokensOf(children[at]), rest) == rest.size()) {
    Touch(children[at]);
    return;  // all of it is there already
  }
  Add(root, cursor.node, at, rest, blocks[static_cast<size_t>(cursor.blocks)]);
}

void PrefixTree::Release(std::span<const int32_t> blocks) {
  ++tick_;
  for (const int32_t block : blocks) {
    if (block < 0) continue;
    const int32_t node = node_of_block_[static_cast<size_t>(block)];
    cache_.Release(block);
    if (node >= 0) Touch(node);
  }
}

bool PrefixTree::Evictable(int32_t index) const {
  const Node& node = nodes_[static_cast<size_t>(index)];
  return node.parent != kUnused && node.children.empty() && cache_.Holders(node.block) == 1;
}

void PrefixTree::Uproot(int32_t block) {
  const int32_t first = node_of_block_[static_cast<size_t>(block)];
  if (first < 0) return;
  // Each after all of its children: found from the front, removed from the back.
  std::vector<int32_t> below = {first};
  for (size_t i = 0; i < below.size(); ++i) {
    const std::vector<int32_t>& children = nodes_[static_cast<size_t>(below[i])].children;
    below.insert(below.end(), children.begin(), children.end());
  }
  for (size_t i = below.size(); i-- > 0;) Remove(below[i]);
}

int64_t PrefixTree::Evict(int64_t n) {
  int64_t freed = 0;
  while (freed < n && !leaves_.empty()) {
    const auto [used, index] = leaves_.top();
    leaves_.pop();
    // Stale entries are dropped: a node that is used again, given back or made a leaf gets a new
    // one.
    if (nodes_[static_cast<size_t>(index)].used != used || !Evictable(index)) continue;
    Remove(index);
    ++freed;
  }
  return freed;
}

void PrefixTree::CheckInvariants() const {
  int64_t live = 0, unheld = 0;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (node.parent == kUnused) continue;
    ++live;
    CHECK(node_of_block_[static_cast<size_t>(node.block)] == static_cast<int32_t>(i));
    CHECK(cache_.Cached(node.block) && cache_.Holders(node.block) >= 1);
    CHECK(node.count > 0 && (node.count == kKvBlockTokens || node.children.empty()));
    if (node.parent != kRoot) {
      const Node& parent = nodes_[static_cast<size_t>(node.parent)];
      CHECK(parent.parent != kUnused && parent.count == kKvBlockTokens);
      if (cache_.Holders(node.block) > 1 && node.count == kKvBlockTokens) {
        CHECK_MSG(cache_.Holders(parent.block) > 1, "block {} is held, its parent's is not",
                  node.block);
      }
    }
    for (size_t c = 1; c < node.children.size(); ++c) {
      CHECK(std::ranges::lexicographical_compare(TokensOf(node.children[c - 1]),
                                                 TokensOf(node.children[c])));
    }
    for (const int32_t child : node.children) {
      CHECK(nodes_[static_cast<size_t>(child)].parent == static_cast<int32_t>(i));
    }
    unheld += cache_.Holders(node.block) == 1 ? 1 : 0;
  }
  for (const std::vector<int32_t>& root : roots_) {
    for (const int32_t child : root) CHECK(nodes_[static_cast<size_t>(child)].parent == kRoot);
  }
  CHECK_MSG(live == live_ && unheld == cache_.cached_blocks(), "live {} {} unheld {} {}", live,
            live_, unheld, cache_.cached_blocks());
}

}  // namespace weir::serve
