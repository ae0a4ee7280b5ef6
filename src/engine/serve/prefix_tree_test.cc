#include "engine/serve/prefix_tree.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "base/random.h"

namespace weir::serve {
namespace {

const model::ModelConfig kTiny{.vocab_size = 10,
                               .dim = 8,
                               .layers = 1,
                               .heads = 1,
                               .kv_heads = 1,
                               .head_dim = 8,
                               .ffn_dim = 8,
                               .max_seq = 1 << 20};
using Tokens = std::vector<int32_t>;

Tokens Text(int64_t n, int32_t first = 1) {
  Tokens tokens;
  for (int64_t i = 0; i < n; ++i) tokens.push_back(first + static_cast<int32_t>(i % 7));
  return tokens;
}

// A sequence as the engine keeps one.
struct Seq {
  Tokens tokens;
  std::vector<int32_t> blocks;
  PrefixTree::Cursor cursor;
};

void Begin(KvCache& cache, PrefixTree& tree, Seq& s, int root = 0) {
  const PrefixTree::Match match = tree.Find(root, std::span(s.tokens).first(s.tokens.size() - 1));
  s.blocks = match.blocks;
  for (const int32_t block : s.blocks) cache.Share(block);
  s.cursor = tree.At(match);
  const int64_t more = KvCache::BlocksFor(static_cast<int64_t>(s.tokens.size())) -
                       static_cast<int64_t>(s.blocks.size());
  if (more > cache.free_blocks()) tree.Evict(more - cache.free_blocks());
  for (const int32_t block : cache.Take(more)) s.blocks.push_back(block);
}

void FinishSeq(PrefixTree& tree, Seq& s, int root = 0) {
  tree.Insert(root, s.tokens, s.blocks, s.cursor);
  tree.InsertRest(root, s.tokens, s.blocks, s.cursor);
  tree.Release(s.blocks);
  s.blocks.clear();
}

TEST(PrefixTree, FindsWholeBlocksAndTheRowsAfterThem) {
  KvCache cache(kTiny, 20);
  PrefixTree tree(cache, 2);
  Seq first{.tokens = Text(3 * kKvBlockTokens + 10)};
  Begin(cache, tree, first);
  const std::vector<int32_t> blocks = first.blocks;
  FinishSeq(tree, first);
  EXPECT_EQ(cache.cached_blocks(), 4);
  EXPECT_EQ(tree.nodes(), 4);

  PrefixTree::Match match = tree.Find(0, first.tokens);
  EXPECT_EQ(match.blocks, std::vector(blocks.begin(), blocks.begin() + 3));
  EXPECT_EQ(match.partial, blocks[3]);
  EXPECT_EQ(match.tokens(), 3 * kKvBlockTokens + 10);
  EXPECT_EQ(match.unheld, 3);
  // Another text from the middle of the second block on.
  Tokens other = first.tokens;
  other[kKvBlockTokens + 20] = 99;
  match = tree.Find(0, other);
  EXPECT_EQ(match.blocks.size(), 1u);
  EXPECT_EQ(match.partial, blocks[1]);
  EXPECT_EQ(match.partial_tokens, 20);
  EXPECT_EQ(tree.Find(1, first.tokens).tokens(), 0) << "another adapter's";
  tree.CheckInvariants();
}

TEST(PrefixTree, TwinsAreSwappedForTheFirst) {
  KvCache cache(kTiny, 20);
  PrefixTree tree(cache, 1);
  Seq a{.tokens = Text(2 * kKvBlockTokens + 1)}, b{.tokens = Text(2 * kKvBlockTokens + 1)};
  Begin(cache, tree, a);
  Begin(cache, tree, b);  // at the same time: nothing to share yet
  EXPECT_NE(a.blocks, b.blocks);
  tree.Insert(0, a.tokens, a.blocks, a.cursor);
  tree.Insert(0, b.tokens, b.blocks, b.cursor);
  EXPECT_EQ(a.blocks[0], b.blocks[0]);
  EXPECT_EQ(a.blocks[1], b.blocks[1]);
  EXPECT_NE(a.blocks[2], b.blocks[2]);
  EXPECT_EQ(cache.free_blocks(), 16);
  tree.CheckInvariants();
  FinishSeq(tree, a);
  FinishSeq(tree, b);
  tree.CheckInvariants();
  EXPECT_EQ(cache.free_blocks() + cache.cached_blocks(), 20);
}

TEST(PrefixTree, WhatIsUprootedStaysWithItsHoldersAlone) {
  KvCache cache(kTiny, 20);
  PrefixTree tree(cache, 1);
  Tokens longer = Text(4 * kKvBlockTokens);
  Seq other{.tokens = Text(3 * kKvBlockTokens)};
  for (size_t i = 2 * kKvBlockTokens; i < other.tokens.size(); ++i) other.tokens[i] = 77;
  Begin(cache, tree, other);
  FinishSeq(tree, other);  // its third block hangs below the second of what follows
  Seq s{.tokens = longer};
  Begin(cache, tree, s);
  tree.Insert(0, s.tokens, s.blocks, s.cursor);
  EXPECT_EQ(tree.nodes(), 5);
  tree.Uproot(s.blocks[1]);
  EXPECT_EQ(tree.nodes(), 1);
  EXPECT_EQ(cache.cached_blocks(), 0);
  EXPECT_EQ(cache.free_blocks(), 16) << "the other's third block is free, four are held";
  tree.Uproot(s.blocks[2]);  // not there any more: nothing happens
  tree.CheckInvariants();
  cache.Release(s.blocks[1]);
  s.blocks[1] = -1;
  tree.Release(s.blocks);
  EXPECT_EQ(cache.free_blocks() + cache.cached_blocks(), 20);
  tree.CheckInvariants();
}

TEST(PrefixTree, EvictsTheLeastRecentlyUsedLeafAndNothingThatIsHeld) {
  KvCache cache(kTiny, 12);
  PrefixTree tree(cache, 1);
  Seq old{.tokens = Text(4 * kKvBlockTokens)}, recent{.tokens = Text(4 * kKvBlockTokens, 50)};
  Begin(cache, tree, old);
  FinishSeq(tree, old);
  Begin(cache, tree, recent);
  FinishSeq(tree, recent);
  EXPECT_EQ(tree.Evict(2), 2);
  EXPECT_EQ(tree.Find(0, recent.tokens).blocks.size(), 4u);
  EXPECT_EQ(tree.Find(0, old.tokens).blocks.size(), 2u) << "from its end";
  Seq again{.tokens = old.tokens};
  Begin(cache, tree, again);  // holds two, which are now the least recent but one's
  EXPECT_EQ(tree.Evict(100), 4);
  EXPECT_EQ(tree.nodes(), 2);
  tree.CheckInvariants();
  FinishSeq(tree, again);
  EXPECT_EQ(tree.Evict(100), 4);
  EXPECT_EQ(cache.free_blocks(), 12);
}

// Goal:   the tree finds exactly the longest prefix that a plain list of all texts kept finds, and
//         no block is ever lost, shared wrongly or evicted while held.
// Method: random texts over a small alphabet begin, grow, finish and are found; a map from text to
//         what a block must hold is the oracle of content.
TEST(PrefixTree, AgreesWithAPlainListUnderRandomUse) {
  const char* text = std::getenv("SEED");
  const uint64_t first = text != nullptr ? std::strtoull(text, nullptr, 0) : 1;
  for (uint64_t seed = first; seed < first + 20; ++seed) {
    SCOPED_TRACE(fmt::format("SEED={}", seed));
    Random random(seed);
    const auto total = static_cast<int64_t>(20 + random.Below(60));
    KvCache cache(kTiny, total);
    PrefixTree tree(cache, 1);
    std::vector<Seq> live;
    std::map<int32_t, Tokens> holds;  // block: all tokens up to and with its own
    const auto note = [&](const Seq& s) {
      for (size_t b = 0; b < s.blocks.size(); ++b) {
        const size_t end = std::min(s.tokens.size(), (b + 1) * static_cast<size_t>(kKvBlockTokens));
        if (end == (b + 1) * static_cast<size_t>(kKvBlockTokens)) {
          holds[s.blocks[b]] =
              Tokens(s.tokens.begin(), s.tokens.begin() + static_cast<ptrdiff_t>(end));
        }
      }
    };
    for (int step = 0; step < 400; ++step) {
      if (random.Chance(0.5) || live.empty()) {
        Seq s;
        // Few different blocks, so that prefixes are common.
        const auto blocks = 1 + random.Below(5);
        for (uint64_t b = 0; b < blocks; ++b) {
          const auto kind = static_cast<int32_t>(random.Below(2));
          for (int i = 0; i < kKvBlockTokens; ++i) s.tokens.push_back(kind * 3 + i % 3);
        }
        s.tokens.resize(s.tokens.size() - random.Below(kKvBlockTokens));
        const PrefixTree::Match match = tree.Find(0, s.tokens);
        for (size_t b = 0; b < match.blocks.size(); ++b) {
          const Tokens& kept = holds[match.blocks[b]];
          ASSERT_EQ(kept.size(), (b + 1) * kKvBlockTokens);
          ASSERT_TRUE(std::equal(kept.begin(), kept.end(), s.tokens.begin()));
        }
        const int64_t need = KvCache::BlocksFor(static_cast<int64_t>(s.tokens.size())) + 1;
        if (cache.free_blocks() + cache.cached_blocks() - match.unheld < need) continue;
        Begin(cache, tree, s);
        note(s);
        live.push_back(std::move(s));
      } else {
        const size_t i = random.Below(live.size());
        Seq& s = live[i];
        const size_t done =
            random.Chance(0.3) ? random.Below(s.tokens.size() + 1) : s.tokens.size();
        if (done >= static_cast<size_t>(s.cursor.blocks) * kKvBlockTokens) {
          tree.Insert(0, std::span(s.tokens).first(done), s.blocks, s.cursor);
        }
        note(s);
        if (random.Chance(0.7)) {
          if (random.Chance(0.8)) {
            FinishSeq(tree, s);
          } else {
            tree.Release(s.blocks);  // cancelled
          }
          live.erase(live.begin() + static_cast<ptrdiff_t>(i));
        }
      }
      if (random.Chance(0.05)) {
        const int64_t could = cache.cached_blocks();
        const auto want = static_cast<int64_t>(1 + random.Below(6));
        ASSERT_EQ(tree.Evict(want), std::min(want, could));
      }
      tree.CheckInvariants();
    }
    for (Seq& s : live) tree.Release(s.blocks);
    tree.Evict(total);
    EXPECT_EQ(cache.free_blocks(), total);
  }
}

}  // namespace
}  // namespace weir::serve
