#include "engine/serve/speculate.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "engine/serve/serve_test_util.h"

namespace weir::serve {
namespace {

using Tokens = std::vector<int32_t>;

Tokens Proposed(const Tokens& text, size_t most) {
  PromptLookup lookup;
  lookup.Extend(text);
  Tokens draft;
  lookup.Propose(text, most, draft);
  return draft;
}

TEST(PromptLookup, ProposesWhatFollowedTheSameWords) {
  EXPECT_EQ(Proposed({1, 2, 3, 4, 5, 9, 1, 2, 3}, 3), (Tokens{4, 5, 9}));
  EXPECT_EQ(Proposed({1, 2, 3, 4, 5, 9, 1, 2, 3}, 8), (Tokens{4, 5, 9, 1, 2, 3, 4, 5}));
  EXPECT_EQ(Proposed({7, 7, 7, 7}, 4), (Tokens{7, 7, 7, 7}));
  EXPECT_TRUE(Proposed({1, 2, 3, 4, 5, 6}, 4).empty());
  EXPECT_TRUE(Proposed({1, 2}, 4).empty());
  EXPECT_TRUE(Proposed({}, 4).empty());
  // Two places end in 2 3 4; the first agrees further back.
  EXPECT_EQ(Proposed({1, 2, 3, 4, 8, 6, 2, 3, 4, 9, 1, 2, 3, 4}, 1), (Tokens{8}));
}

TEST(PromptLookup, EqualsASearchThroughTheWholeText) {
  Random random(3);
  for (int round = 0; round < 60; ++round) {
    Tokens text;
    PromptLookup lookup;
    for (int i = 0; i < 120; ++i) {
      text.push_back(static_cast<int32_t>(random.Below(3 + static_cast<uint64_t>(round) % 5)));
      if (random.Chance(0.4)) lookup.Extend(text);  // in stretches of any length
      if (i % 10 != 9) continue;
      lookup.Extend(text);
      Tokens draft;
      lookup.Propose(text, 1, draft);
      // The plain search: does the last gram stand anywhere before, and does what follows there
      // follow some place of it?
      Tokens followers;
      for (size_t end = PromptLookup::kGram; end < text.size(); ++end) {
        if (std::equal(text.end() - PromptLookup::kGram, text.end(),
                       text.begin() + static_cast<ptrdiff_t>(end - PromptLookup::kGram))) {
          followers.push_back(text[end]);
        }
      }
      EXPECT_EQ(draft.empty(), followers.empty());
      if (!draft.empty()) {
        EXPECT_NE(std::find(followers.begin(), followers.end(), draft[0]), followers.end());
      }
    }
  }
}

TEST(DraftLength, GrowsWhileDraftsAreRightAndPausesAfterMisses) {
  DraftLength length(15);
  EXPECT_EQ(length.Next(), 4);
  length.Observe(4, 4);
  EXPECT_EQ(length.Next(), 8);
  length.Observe(8, 8);
  EXPECT_EQ(length.Next(), 15);
  length.Observe(15, 3);
  EXPECT_EQ(length.Next(), 4);
  for (int i = 0; i < 3; ++i) length.Observe(4, 0);
  int silent = 0;
  while (length.Next() == 0) ++silent;
  EXPECT_EQ(silent, 16);
  EXPECT_EQ(length.Next(), 1);
}

}  // namespace
}  // namespace weir::serve
